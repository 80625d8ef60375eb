"""Two transcripts in, a list of differences out.

What may differ stands in differences.tbl, by the path of a field and with a reason; nothing is excused here. A
path is API.Field.Field without positions; patterns are those of a shell. Rules:

    symbol      replaced by a name for "the first, second, … such value of this scenario": ids that each broker
                draws for itself; that the same value comes back later is still compared
    any         not compared
    present     only whether it is null (or empty) is compared
    sign        only whether it is negative, zero or positive is compared
    whole       record bytes whose incomplete last entry is left out
    unordered   an array whose order Kafka does not promise
    scenario    the whole scenario is a known difference; the path is API/scenario or API/version/scenario
"""
import fnmatch
import functools
import os
import re

import records

NAME_FIELDS = ('Name', 'TopicName', 'Topic', 'GroupId', 'TransactionalId', 'ResourceName')
EMPTY = (None, '', 0, -1, bytes(16), b'')


class Rules:
    def __init__(self, path=None):
        self.rows, self.scenarios = [], []
        path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differences.tbl')
        with open(path) as table:
            for line in table:
                if line.strip() and not line.startswith('#'):
                    pattern, rule, reason = line.split(None, 2)
                    if rule == 'scenario':
                        self.scenarios.append(pattern)
                    else:
                        self.rows.append((re.compile(fnmatch.translate(pattern)), rule))
        self.of = functools.lru_cache(maxsize=None)(self._of)

    def _of(self, path):
        return frozenset(rule for pattern, rule in self.rows if pattern.match(path))

    def excuses(self, api, version, scenario):
        return any(fnmatch.fnmatch(name, pattern) for pattern in self.scenarios
                   for name in (f'{api}/{scenario}', f'{api}/{version}/{scenario}'))


class Normaliser:
    """Turns one broker's transcript into plain values that can be compared. One for each transcript."""

    def __init__(self, rules, session_prefix, keep_internal, keep_foreign, ports, folders=()):
        self.rules = rules
        self.prefix = session_prefix
        self.keep_internal = keep_internal
        self.keep_foreign = keep_foreign
        self.ports = ports
        self.folders = folders
        self.symbols = {}

    def foreign(self, value, path):
        """Whether an element of a list is there only because of other scenarios on the same broker."""
        if path == 'ListGroups.Groups':
            return not value['GroupId'].startswith(self.prefix + '-')
        if not isinstance(value, dict) or self.keep_foreign:
            return False
        for field in NAME_FIELDS:
            name = value.get(field)
            if isinstance(name, str):
                if name.startswith('bh-') and not name.startswith(self.prefix + '-'):
                    return True
                if name.startswith('__') and not self.keep_internal:
                    return True
        return False

    def text(self, value):
        """A string without the folder and the ports that the fixture gave the broker."""
        for folder in self.folders:
            value = value.replace(folder, '<folder>')
        return re.sub(r':(\d+)', lambda m: ':<port>' if int(m[1]) in self.ports else m[0], value)

    def order_key(self, value, path):
        if isinstance(value, dict):
            return [(k, self.order_key(v, f'{path}.{k}')) for k, v in sorted(value.items())
                    if not self.rules.of(f'{path}.{k}') & {'symbol', 'any'}].__repr__()
        return repr(value)

    def value(self, value, path):
        rules = self.rules.of(path)
        if 'any' in rules:
            return '<any>'
        if 'present' in rules:
            return '<present>' if value not in (None, '', b'', []) else value
        if 'sign' in rules and isinstance(value, int):
            return '<negative>' if value < 0 else '<positive>' if value > 0 else 0
        if 'port' in rules:
            return '<port>' if value in self.ports else value
        if 'symbol' in rules and not isinstance(value, (list, dict)):
            if value in EMPTY:
                return value
            return self.symbols.setdefault(value, f'<{len(self.symbols) + 1}>')
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {k: self.value(v, f'{path}.{k}') for k, v in value.items()}
        if isinstance(value, list):
            kept = [v for v in value if not self.foreign(v, path)]
            if 'unordered' in rules:
                kept.sort(key=lambda v: self.order_key(v, path))
            return [self.value(v, path) for v in kept]
        if isinstance(value, bytes) and path.endswith('.Records'):
            try:
                entries = records.parse(value)
                if 'whole' in rules and entries and 'partial' in entries[-1]:
                    entries.pop()
                return self.value(entries, path)
            except Exception as error:
                return f'undecodable records {error}: {value.hex()}'
        return value

    def entry(self, entry):
        out = {k: entry[k] for k in ('closed', 'silent', 'undecodable', 'bytes') if k in entry}
        if 'response' in entry:
            out['response'] = self.value(entry['response'], entry['api'])
        return out


def differences(left, right, path=''):
    """(path, left, right) for every leaf that is not equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        out = []
        for key in list(left) + [k for k in right if k not in left]:
            if key not in left:
                out.append((f'{path}.{key}', '(absent)', right[key]))
            elif key not in right:
                out.append((f'{path}.{key}', left[key], '(absent)'))
            else:
                out += differences(left[key], right[key], f'{path}.{key}')
        return out
    if isinstance(left, list) and isinstance(right, list):
        out = []
        if len(left) != len(right):
            out.append((f'{path}.length', len(left), len(right)))
        for i, (a, b) in enumerate(zip(left, right)):
            out += differences(a, b, f'{path}[{i}]')
        if len(left) != len(right):
            for i in range(min(len(left), len(right)), max(len(left), len(right))):
                out.append((f'{path}[{i}]', left[i] if i < len(left) else '(absent)',
                            right[i] if i < len(right) else '(absent)'))
        return out
    if type(left) is not type(right) or left != right:
        return [(path, left, right)]
    return []
