"""The metadata log as Kafka's own DumpLogSegments decodes it: a sequence of batches of records, and its comparison."""
import json
import re

UUID = re.compile(r'^[A-Za-z0-9_-]{22}$')


def parse(output):
    """[(epoch, is control, [record])] from the dump of one segment; a record is what the decoder printed."""
    batches = []
    for line in output.splitlines():
        if line.startswith('baseOffset:'):
            fields = dict(re.findall(r'(\w+): (\S+)', line))
            batches.append((int(fields['partitionLeaderEpoch']), fields['isControl'] == 'true', []))
        elif line.startswith('| offset:'):
            found = re.search(r'payload: ?(\{.*\})\s*$', line)
            if found:
                batches[-1][2].append(json.loads(found[1]))
            else:
                batches[-1][2].append({'type': 'control', 'text': re.sub(r'.*headerKeys: \[\] ?', '', line)})
    return batches


class Plain:
    """Replaces what each node draws for itself by names in the order of appearance."""

    def __init__(self, ports):
        self.names = {}
        self.ports = ports

    def value(self, value, key=''):
        if isinstance(value, dict):
            return {k: self.value(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(v, key) for v in value]
        if key not in ('type', 'name') and isinstance(value, str) and UUID.match(value) and not value.startswith('AAAAAAAAAAAAAAAAAAAA'):
            return self.names.setdefault(value, f'<id {len(self.names) + 1}>')
        if key in ('port', 'Port') and value in self.ports:
            return '<port>'
        if isinstance(value, str):
            return re.sub(r'(?<![0-9])(\d{4,5})(?![0-9])',
                          lambda m: '<port>' if int(m[1]) in self.ports else m[0], value)
        return value


def sequence(batches, ports):
    """Comparable lines: one a record, without the no-ops that time alone decides, with batch boundaries.

    Offsets that stand inside records (a broker's epoch is one) shift with the number of no-ops: they become names.
    """
    plain, lines = Plain(ports), []
    kept = [(epoch, control, [r for r in found if r.get('type') != 'NO_OP_RECORD']) for epoch, control, found in batches]
    kept = [b for b in kept if b[2]]
    for i in range(len(kept) - 1):
        # The broker's heartbeat that unfences it and the one that tells of cordoned directories race in Kafka.
        if _changes(kept[i]) == {'cordonedLogDirs'} and _changes(kept[i + 1]) >= {'fenced'}:
            kept[i], kept[i + 1] = kept[i + 1], kept[i]
    for epoch, control, found in kept:
        lines.append(f'--- a batch of epoch {epoch}' + (' of control records' if control else ''))
        for record in found:
            row = plain.value(record)
            data = row.get('data', {})
            if data.get('brokerEpoch', -1) > 0:
                data['brokerEpoch'] = plain.names.setdefault(('epoch', data['brokerEpoch']),
                                                             f'<epoch {len(plain.names) + 1}>')
            for field in ('features', 'endPoints'):  # Kafka writes them in the order of a hash map
                if field in data:
                    data[field] = sorted(data[field], key=lambda e: e['name'])
            text = row.get('text')
            lines.append(re.sub(r'\d{13}', '<time>', text) if text else json.dumps(row, sort_keys=True))
    return lines


def _changes(batch):
    first = batch[2][0]
    if first.get('type') != 'BROKER_REGISTRATION_CHANGE_RECORD':
        return set()
    return first['data'].keys() - {'brokerId', 'brokerEpoch'}
