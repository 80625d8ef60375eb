"""The metadata log as Kafka's own DumpLogSegments decodes it: a sequence of batches of records, and its comparison."""
import difflib
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

    def __init__(self, ports, known):
        self.names, self.counts = {}, {}
        self.ports, self.known = ports, known

    def name(self, value, key):
        if value not in self.names:
            self.counts[key] = self.counts.get(key, 0) + 1
            self.names[value] = f'<{key} {self.counts[key]}>'
        return self.names[value]

    def value(self, value, key=''):
        if isinstance(value, dict):
            return {k: self.value(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(v, key) for v in value]
        if value in self.known:
            return self.known[value]
        if key not in ('type', 'name') and isinstance(value, str) and UUID.match(value) and not value.startswith('AAAAAAAAAAAAAAAAAAAA'):
            return self.name(value, key)
        if key in ('port', 'Port') and value in self.ports:
            return '<port>'
        if isinstance(value, str):
            for text, named in self.known.items():
                value = value.replace(text, named)
            return re.sub(r'(?<![0-9])(\d{4,5})(?![0-9])',
                          lambda m: '<port>' if int(m[1]) in self.ports else m[0], value)
        return value


def sequence(batches, ports, known=None):
    """Comparable lines: one a record, without the no-ops that time alone decides, with batch boundaries.

    Offsets that stand inside records (a broker's epoch is one) shift with the number of no-ops: they become names,
    as do the texts that the caller knows by one.
    """
    plain, lines = Plain(ports, known or {}), []
    kept = [(epoch, control, [r for r in found if r.get('type') != 'NO_OP_RECORD']) for epoch, control, found in batches]
    kept = [b for b in kept if b[2]]
    kept = _placements_together(_cordons_after_unfencing(kept))
    ids = _order_of_topics(kept)
    for epoch, control, found in kept:
        found = _changes_in_order(found, ids)
        lines.append(f'--- a batch of epoch {epoch}' + (' of control records' if control else ''))
        for record in found:
            row = plain.value(record)
            data = row.get('data', {})
            if data.get('brokerEpoch', -1) > 0:
                data['brokerEpoch'] = plain.name(data['brokerEpoch'], 'brokerEpoch')
            for field in ('features', 'endPoints'):  # Kafka writes them in the order of a hash map
                if field in data:
                    data[field] = sorted(data[field], key=lambda e: e['name'])
            for field in ('logDirs', 'cordonedLogDirs'):  # in the order of ids, which are drawn
                if data.get(field):
                    data[field] = sorted(data[field])
            text = row.get('text')
            lines.append(re.sub(r'\d{13}', '<time>', text) if text else json.dumps(row, sort_keys=True))
    return lines


def _cordons_after_unfencing(batches):
    """That no directory is cordoned comes by a heartbeat of its own in Kafka, before or after the one that unfences
    the broker, as it happens: it gets a batch of its own behind the unfencing one."""
    out, waiting, unfenced = [], None, False
    for epoch, control, found in batches:
        if any(r['type'] == 'REGISTER_BROKER_RECORD' for r in found):
            unfenced = False
        # Later ones stand where they are: an operator asked for them.
        cordons = [r for r in found if 'cordonedLogDirs' in r.get('data', {}) and not unfenced
                   and r['type'] == 'BROKER_REGISTRATION_CHANGE_RECORD']
        others = [r for r in found if r not in cordons]
        waiting = waiting or ((epoch, control, cordons) if cordons else None)
        if others:
            out.append((epoch, control, others))
        if waiting and any(r.get('data', {}).get('fenced') == -1 for b in out[-2:] for r in b[2]):
            out.append(waiting)
            waiting, unfenced = None, True
    return out + ([waiting] if waiting else [])


def _placements_together(batches):
    """A broker tells the controller in which directories it keeps new partitions as it gets to it: how many of them
    share a request, and so a batch, is a matter of time in Kafka too. Neighbouring batches of nothing else are joined."""
    def places(batch):
        return all(r['type'] == 'PARTITION_CHANGE_RECORD' and set(r['data']) <= {'partitionId', 'topicId', 'directories'}
                   for r in batch[2])

    out = []
    for batch in batches:
        if out and batch[:2] == out[-1][:2] and places(batch) and places(out[-1]):
            out[-1] = (*batch[:2], out[-1][2] + batch[2])
        else:
            out.append(batch)
    return out


def _order_of_topics(batches):
    """Topic ids in the order in which the topics were made."""
    made = [r['data']['topicId'] for _, _, found in batches for r in found if r['type'] == 'TOPIC_RECORD']
    return {topic_id: place for place, topic_id in enumerate(made)}


def _changes_in_order(found, ids):
    """Neighbouring changes of partitions: Kafka gives them in the order of its hash maps."""
    out, run = [], []
    for record in found + [None]:
        if record and record['type'] == 'PARTITION_CHANGE_RECORD':
            run.append(record)
            continue
        out += sorted(run, key=lambda r: (ids.get(r['data']['topicId'], -1), r['data']['partitionId']))
        out += [record] if record else []
        run = []
    return out


def compare(theirs, ours):
    """Lines that say where two sequences part; of records that differ, only the fields that do."""
    out = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, theirs, ours, autojunk=False).get_opcodes():
        if tag == 'equal':
            continue
        for i in range(max(b - a, d - c)):
            left = theirs[a + i] if a + i < b else None
            right = ours[c + i] if c + i < d else None
            if left and right and left[0] == right[0] == '{':
                one, other = json.loads(left), json.loads(right)
                if one.get('type') == other.get('type'):
                    data = {'version': (one['version'], other['version'])}
                    data.update({k: (one['data'].get(k), other['data'].get(k))
                                 for k in sorted(one['data'].keys() | other['data'].keys())})
                    out.append(f'{one["type"]} at {a + i}: ' + ', '.join(
                        f'{k} is {v[1]} where Kafka has {v[0]}' for k, v in data.items() if v[0] != v[1]))
                    continue
            if left:
                out.append(f'missing at {a + i}: {left}')
            if right:
                out.append(f'added at {c + i}: {right}')
    return out
