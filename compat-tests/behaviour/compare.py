"""Two transcripts in, a list of differences out.

What may differ stands in differences.tbl, by the path of a field and with a reason; nothing is excused here. A
path is API.Field.Field without positions; patterns are those of a shell. Rules:

    symbol      replaced by a name for "the first, second, … such value of this scenario": ids that each broker
                draws for itself; that the same value comes back later is still compared
    any         not compared
    present     only whether it is null (or empty) is compared
    clock       a time that only the broker's clock can have told
    sign        only whether it is negative, zero or positive is compared
    whole       record bytes whose incomplete last entry is left out
    prefix      record bytes of which Kafka may send fewer entries than we do
    unordered   an array whose order Kafka does not promise

A rule may be for some versions: API:0-3.Field.Field. A difference that we mean stands there by scenario and field, with what we answer, so that it hides nothing else:

    Metadata/*/auto_creation  1.Topics.ErrorCode  differs=0   reason

API, versions (*, 3 or 0-4) and scenario, all as patterns; the number of the request (or *) and the path of the field
in its answer. Beside fields there are `closed` and `silent`; where only one broker answered, each field of the
answer is a difference of its own. `differs=VALUE` also fixes ours (as Python writes it), and no wider row excuses another
value. A row that excuses nothing any more fails a full run, as stale.
"""
import fnmatch
import functools
import os
import re

import records

NAME_FIELDS = ('Name', 'TopicName', 'Topic', 'GroupId', 'TransactionalId', 'ResourceName')
BROKER_TIME_MS = 1735689600000  # what scenarios send is older
EMPTY = (None, '', 0, -1, bytes(16), b'')


def _versions(text):
    """'*', '3' or '0-4' as (lowest, highest)."""
    low, _, high = text.partition('-')
    return (0, 32767) if text == '*' else (int(low), int(high or low))


class Declared:
    """A row of differences.tbl that says how an answer of ours differs in one scenario."""

    def __init__(self, where, path, rule):
        self.where, self.path = where, path
        self.api, versions, self.scenario = where.split('/')
        self.versions = _versions(versions)
        self.value = rule.partition('=')[2]
        self.used = False

    def of(self, case):
        return (fnmatch.fnmatchcase(case[0], self.api) and fnmatch.fnmatchcase(case[2], self.scenario)
                and self.versions[0] <= case[1] <= self.versions[1])

    def allows(self, ours):
        return not self.value or repr(ours) == self.value


class Rules:
    def __init__(self, path=None):
        self.rows, self.declared = [], []
        path = path or os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differences.tbl')
        with open(path) as table:
            for line in table:
                if not line.strip() or line.startswith('#'):
                    continue
                if '/' in line.split(None, 1)[0]:
                    where, pattern, rule, reason = line.split(None, 3)
                    assert rule.startswith('differs') and reason, line
                    self.declared.append(Declared(where, pattern, rule))
                else:
                    pattern, rule, reason = line.split(None, 2)
                    api, colon, rest = pattern.partition(':')
                    versions, _, fields = rest.partition('.')
                    pattern = f'{api}.{fields}' if colon else pattern
                    self.rows.append((re.compile(fnmatch.translate(pattern)), _versions(versions or '*'), rule))
        self.of = functools.lru_cache(maxsize=None)(self._of)

    def _of(self, path, version):
        return frozenset(rule for pattern, (low, high), rule in self.rows
                         if low <= version <= high and pattern.match(path))

    def undeclared(self, case, position, found):
        """Those of the differences of a request that no row declares."""
        declared = [d for d in self.declared if d.of(case)]
        if not declared:
            return found
        out = []
        for path, kafka, ours in found:
            plain = f'{position + 1}.' + re.sub(r'\[\d+\]|^\.(response\.)?', '', path)
            rows = [d for d in declared if fnmatch.fnmatchcase(plain, d.path)]
            if any(d.value and not d.allows(ours) for d in rows):  # the value is fixed: no wider row excuses another
                rows = []
            for row in rows:
                row.used = True
            if not rows:
                out.append((path, kafka, ours))
        return out

    def stale(self):
        return [d for d in self.declared if not d.used]


class Prefix(list):
    """Kafka's list may end before ours does."""


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
        self.version = 0  # of the answer that is looked at

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
        """Names first, so that fields which only one of two versions has do not decide the order. Of a symbol only what
        has been seen before is known."""
        if isinstance(value, dict):
            rules = {k: self.rules.of(f'{path}.{k}', self.version) for k in value}
            rows = [(k, self.symbols.get(v, '') if 'symbol' in rules[k] else self.order_key(v, f'{path}.{k}'))
                    for k, v in sorted(value.items()) if 'any' not in rules[k]]
            return repr(sorted(rows, key=lambda row: row[0] not in NAME_FIELDS))
        if isinstance(value, list) and 'unordered' in self.rules.of(path, self.version):
            return repr(sorted(self.order_key(v, path) for v in value))
        return repr(value)

    def value(self, value, path):
        rules = self.rules.of(path, self.version)
        if 'any' in rules:
            return '<any>'
        if 'present' in rules:
            return '<present>' if value not in (None, '', b'', []) else value
        if 'sign' in rules and isinstance(value, int):
            return '<negative>' if value < 0 else '<positive>' if value > 0 else 0
        if 'clock' in rules and isinstance(value, int) and value > BROKER_TIME_MS:
            return '<clock>'
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
                entries = self.value([self.clockless(e) for e in entries], path)
                return Prefix(entries) if 'prefix' in rules else entries
            except Exception as error:
                return f'undecodable records {error}: {value.hex()}'
        return value

    def clockless(self, entry):
        """A batch without the broker's clock, where that stamped it, and without what a codec's size decides."""
        if entry.get('attributes', 0) & 8:
            stamps = {'timestamp', 'base_timestamp', 'max_timestamp'} & set(entry)
            entry = {**entry, **{k: '<clock>' for k in stamps}}
            if 'records' in entry:
                entry['records'] = [{**r, 'timestamp': '<clock>'} for r in entry['records']]
        if isinstance(entry.get('value'), list):
            entry = {**entry, 'value': [self.clockless(e) for e in entry['value']]}
        if entry.get('attributes', 0) & 7:
            entry = {k: v for k, v in entry.items() if k != 'size'}
        return entry

    def entry(self, entry):
        out = {k: entry[k] for k in ('closed', 'silent', 'undecodable', 'bytes') if k in entry}
        self.version = entry['version']
        if 'response' in entry:
            out['response'] = self.value(entry['response'], entry['api'])
        return out


def leaves(value, path):
    """(path, value) of everything below; an empty list is a leaf."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, f'{path}.{key}')]
    if isinstance(value, list) and value:
        return [leaf for i, inner in enumerate(value) for leaf in leaves(inner, f'{path}[{i}]')]
    return [(path, value)]


def differences(left, right, path=''):
    """(path, left, right) for every leaf that is not equal."""
    if isinstance(left, dict) and isinstance(right, dict):
        out = []
        for key in list(left) + [k for k in right if k not in left]:
            if key not in left:
                out += [(at, '(absent)', value) for at, value in leaves(right[key], f'{path}.{key}')]
            elif key not in right:
                out += [(at, value, '(absent)') for at, value in leaves(left[key], f'{path}.{key}')]
            else:
                out += differences(left[key], right[key], f'{path}.{key}')
        return out
    if isinstance(left, list) and isinstance(right, list):
        if isinstance(left, Prefix) and left:
            right = right[:len(left)]
        out = []
        if len(left) != len(right):
            out.append((f'{path}.length', len(left), len(right)))
        for i, (a, b) in enumerate(zip(left, right)):
            out += differences(a, b, f'{path}[{i}]')
        out += [(at, value, '(absent)') for i in range(len(right), len(left))
                for at, value in leaves(left[i], f'{path}[{i}]')]
        out += [(at, '(absent)', value) for i in range(len(left), len(right))
                for at, value in leaves(right[i], f'{path}[{i}]')]
        return out
    if type(left) is not type(right) or left != right:
        return [(path, left, right)]
    return []
