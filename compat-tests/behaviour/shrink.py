"""From a drawn scenario that differs to the shortest one that still does.

Steps are left out in ever smaller runs (delta debugging), then elements of arrays and fields of bodies, as long as
`differs(steps)` holds. Every candidate is tried on the live brokers, so there is a limit to how many.
"""
import copy

TRIES_MAX = 80


def _without(steps, differs, budget):
    """The fewest steps, the first of which (the setup) always stays."""
    size = max(1, (len(steps) - 1) // 2)
    while size:
        at, shrunk = len(steps) - size, False
        while at >= 1 and budget[0] > 0:
            candidate = steps[:at] + steps[at + size:]
            budget[0] -= 1
            if len(candidate) > 1 and differs(candidate):
                steps, shrunk = candidate, True
            at -= size
        size = size if shrunk and len(steps) > size + 1 else size // 2
    return steps


def _places(value, path=()):
    """Every element of an array and every field below, outermost first."""
    if isinstance(value, dict):
        for key in value:
            yield path + (key,)
            yield from _places(value[key], path + (key,))
    elif isinstance(value, list):
        for i in range(len(value)):
            yield path + (i,)
            yield from _places(value[i], path + (i,))


def _left_out(body, path):
    """A copy without what stands at the path: an element goes, a field gets its default; None if it isn't there."""
    body = copy.deepcopy(body)
    holder = body
    try:
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    return body


def _simpler(steps, differs, budget):
    for at in range(len(steps) - 1, 0, -1):
        for path in reversed(list(_places(steps[at].body))):
            body = _left_out(steps[at].body, path)
            if body is None or budget[0] <= 0:
                continue
            changed = copy.copy(steps[at])
            changed.body = body
            candidate = steps[:at] + [changed] + steps[at + 1:]
            budget[0] -= 1
            if differs(candidate):
                steps = candidate
    return steps


def shrink(steps, differs):
    """differs(steps) says whether a list of steps still differs; an exception of it means that it does not."""
    def safely(candidate):
        try:
            return differs(candidate)
        except Exception:  # a field that must be there was left out
            return False

    budget = [TRIES_MAX]
    return _simpler(_without(steps, safely, budget), safely, budget)
