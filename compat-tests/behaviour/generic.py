"""Scenarios that follow from a message's definition alone, for every API and version.

Each fills the request in one systematic way; what Kafka makes of it is the expectation. Scenarios that know what an
API means are in scenarios/.
"""
import schema

SHORT_MS = 50  # what fields that say how long to wait get instead of an extreme
LONG_MS = 10000


def fill(fields, version, leaf, count, skip=()):
    """A request body whose leaves are leaf(field) and whose arrays have `count` elements."""
    out = {}
    for field in fields:
        if not schema.within(version, field.versions) or field.name in skip:
            continue
        if field.array and field.fields is None:
            out[field.name] = [leaf(field)] * count
        elif field.array:
            out[field.name] = [fill(field.fields, version, leaf, count, skip) for _ in range(count)]
        elif field.fields is not None:
            out[field.name] = fill(field.fields, version, leaf, count, skip)
        else:
            out[field.name] = leaf(field)
    return out


LIMITS = {'int8': 127, 'int16': 32767, 'int32': 2147483647, 'int64': 9223372036854775807, 'uint16': 65535,
          'uint32': 4294967295}


def default_leaf(field):
    if field.name == 'GroupsNames':  # the group without a name, which other scenarios share, is not theirs to delete
        return 'made-by-nobody'
    if field.name.lower() == 'timeoutms':  # what a busy Kafka may need to do what is asked, not a length to wait
        return LONG_MS
    if field.name.lower().endswith('ms'):
        return SHORT_MS
    if field.default is None or field.array:
        return {'string': '', 'bytes': b'', 'uuid': bytes(16)}.get(field.kind, 0 if field.kind in LIMITS else None)
    return field.default


def number_leaf(pick):
    def leaf(field):
        if field.kind in LIMITS and not field.name.lower().endswith('ms'):
            return pick(field.kind)
        return default_leaf(field)
    return leaf


def text_leaf(text):
    def leaf(field):
        if field.kind == 'string':
            return text
        return default_leaf(field)
    return leaf


def request_fields(t):
    return t.registry.message(t.api + 'Request', t.version).fields


def as_it_is(t):
    """Every field at its default."""
    t.ask({})
    t.ask({})


def nulls(t):
    """Null wherever the version allows it."""
    def walk(fields):
        return {f.name: None for f in fields if schema.within(t.version, f.versions)
                and schema.within(t.version, f.nullable) and not schema.within(t.version, f.tagged)}
    t.ask(walk(request_fields(t)))


def one_of_each(t):
    """Arrays with one element of defaults."""
    t.ask(fill(request_fields(t), t.version, default_leaf, 1))


def largest_numbers(t):
    t.ask(fill(request_fields(t), t.version, number_leaf(lambda kind: LIMITS[kind]), 1))


def negative_numbers(t):
    t.ask(fill(request_fields(t), t.version, number_leaf(
        lambda kind: LIMITS[kind] if kind.startswith('u') else -1), 1))


def smallest_numbers(t):
    t.ask(fill(request_fields(t), t.version, number_leaf(
        lambda kind: 0 if kind.startswith('u') else -LIMITS[kind] - 1), 1))


def unknown_names(t):
    t.ask(fill(request_fields(t), t.version, text_leaf(t.name('none')), 1))


def long_names(t):
    t.ask(fill(request_fields(t), t.version, text_leaf(t.name('x' * 300)), 1))


def odd_names(t):
    t.ask(fill(request_fields(t), t.version, text_leaf('a/b c\u00e4'), 1))


def twice_the_same(t):
    t.ask(fill(request_fields(t), t.version, text_leaf(t.name('twice')), 2))


def pipelined(t):
    body = fill(request_fields(t), t.version, text_leaf(t.name('none')), 1)
    requests = [(t.api, t.version, {}), (t.api, t.version, body), (t.api, t.version, {})]
    if t.api == 'Produce':
        requests = [(a, v, {**b, 'Acks': 1}) for a, v, b in requests]
    t.pipeline(requests)


def cut_short(t):
    """The last byte is missing."""
    body = t.encode(fill(request_fields(t), t.version, default_leaf, 1))
    if body:
        t.ask(body[:-1])


def trailing_bytes(t):
    body = t.encode({'Acks': 1} if t.api == 'Produce' else {})
    t.ask(body, tail=b'\x00\x01\x02')


def unknown_tag(t):
    if t.registry.flexible(t.api, t.version):
        t.ask({'_tags': {9999: b'whatever'}, **({'Acks': 1} if t.api == 'Produce' else {})})


def no_client_id(t):
    t.ask({'Acks': 1} if t.api == 'Produce' else {}, client_id=None)


SCENARIOS = [as_it_is, nulls, one_of_each, largest_numbers, negative_numbers, smallest_numbers, unknown_names,
             long_names, odd_names, twice_the_same, pipelined, cut_short, trailing_bytes, unknown_tag, no_client_id]
