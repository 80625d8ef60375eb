"""Everything that a client can see of a broker's durable state, as plain values that can be compared."""
import hashlib
import time

import records


def _fetch_all(c, topic, topic_id, partition, start, end):
    """A digest of every batch from start to end, as clients get them."""
    digest, at, count = hashlib.sha256(), start, 0
    while at < end:
        answer = c.call('Fetch', 12, {'ReplicaId': -1, 'MaxWaitMs': 500, 'MinBytes': 1, 'MaxBytes': 4 << 20,
                                      'SessionEpoch': -1, 'Topics': [{'Topic': topic, 'Partitions': [
                                          {'Partition': partition, 'FetchOffset': at,
                                           'PartitionMaxBytes': 4 << 20}]}]})
        row = answer['Responses'][0]['Partitions'][0]
        if row['ErrorCode'] or not row['Records']:
            return f'error {row["ErrorCode"]} at {at} of {end}'
        for batch in records.parse(row['Records']):
            if 'partial' in batch:
                break
            if not batch['crc_ok']:
                return f'a bad checksum at {batch["base_offset"]}'
            if batch['magic'] == 2:
                following = batch['base_offset'] + batch['last_offset_delta'] + 1
            else:
                following = batch['base_offset'] + 1
            if following > at:
                # The leader epoch is the broker's to say; all else are the producer's bytes.
                digest.update(repr(sorted((k, v) for k, v in batch.items() if k != 'crc_ok')).encode())
                at, count = following, count + 1
    return f'{count} batches {digest.hexdigest()[:16]}'


def _offset(c, topic, partition, timestamp, isolation=0):
    """One ListOffsets answer; a partition whose leader is about to be one after a start is asked again."""
    deadline = time.monotonic() + 20
    while True:
        row = c.call('ListOffsets', 7, {'ReplicaId': -1, 'IsolationLevel': isolation, 'Topics': [
            {'Name': topic, 'Partitions': [{'PartitionIndex': partition, 'Timestamp': timestamp}]}],
        })['Topics'][0]['Partitions'][0]
        if row['ErrorCode'] not in (3, 5, 6) or time.monotonic() > deadline:
            return row
        time.sleep(0.02)


def _committed_view(c, topic, partition, start):
    """What a reader of committed data gets: the records that are left when it drops the transactions it is told were
    aborted, as clients do, and where it comes to a stop."""
    stop = _offset(c, topic, partition, -1, isolation=1)
    at, seen, aborted = start, [], {}
    while at < stop['Offset']:
        answer = c.call('Fetch', 12, {'ReplicaId': -1, 'MaxWaitMs': 500, 'MinBytes': 1, 'MaxBytes': 4 << 20,
                                      'IsolationLevel': 1, 'SessionEpoch': -1, 'Topics': [
                                          {'Topic': topic, 'Partitions': [{'Partition': partition, 'FetchOffset': at,
                                                                           'PartitionMaxBytes': 4 << 20}]}]})
        row = answer['Responses'][0]['Partitions'][0]
        if row['ErrorCode'] or not row['Records']:
            return f'error {row["ErrorCode"]} at {at} of {stop["Offset"]}'
        if row['LastStableOffset'] != stop['Offset']:
            return f'the last stable offset is {row["LastStableOffset"]} and {stop["Offset"]}'
        for transaction in row['AbortedTransactions'] or ():
            aborted.setdefault(transaction['ProducerId'], set()).add(transaction['FirstOffset'])
        for batch in records.parse(row['Records']):
            if 'partial' in batch:
                break
            if batch['base_offset'] >= stop['Offset']:
                return f'a batch at {batch["base_offset"]} behind the last stable offset {stop["Offset"]}'
            begun = [o for o in aborted.get(batch['producer_id'], ()) if o <= batch['base_offset']]
            control = batch['attributes'] & 0x20
            if control:
                for offset in begun:
                    aborted[batch['producer_id']].discard(offset)
            elif not (begun and batch['attributes'] & 0x10):
                seen += [(batch['base_offset'] + i, r['value']) for i, r in enumerate(batch['records'])]
            at = batch['base_offset'] + batch['last_offset_delta'] + 1
    return seen, stop['Offset']


def take(node, groups=()):
    """What the broker serves: topics, their ids and settings, the bounds and content of logs, committed offsets."""
    out = {}
    with node.connect(timeout_s=30) as c:
        metadata = c.call('Metadata', 12, {'Topics': None, 'AllowAutoTopicCreation': False})
        out['cluster'] = metadata['ClusterId']
        for topic in sorted(metadata['Topics'], key=lambda t: t['Name']):
            name = topic['Name']
            if name.startswith('__'):
                continue
            row = out[name] = {'id': topic['TopicId'].hex(), 'error': topic['ErrorCode']}
            config = c.call('DescribeConfigs', 4, {'Resources': [
                {'ResourceType': 2, 'ResourceName': name, 'ConfigurationKeys': None}]})['Results'][0]
            row['configs'] = sorted((e['Name'], e['Value']) for e in config['Configs'] if e['ConfigSource'] == 1)
            for partition in sorted(topic['Partitions'], key=lambda p: p['PartitionIndex']):
                index = partition['PartitionIndex']
                bounds = []
                for timestamp in (-2, -1):
                    found = _offset(c, name, index, timestamp)
                    bounds.append(found['Offset'] if not found['ErrorCode'] else f'error {found["ErrorCode"]}')
                row[f'{index} bounds'] = bounds
                if all(isinstance(b, int) for b in bounds):
                    row[f'{index} content'] = _fetch_all(c, name, topic['TopicId'], index, *bounds)
                    middle = _offset(c, name, index, 1700000010500)
                    row[f'{index} by time'] = (middle['Offset'], middle['Timestamp'])
                    if name.startswith('transactions-'):
                        row[f'{index} committed'] = _committed_view(c, name, index, bounds[0])
    for group in groups:
        out['group ' + group] = committed(node, group)
    return out


def committed(node, group):
    """[(topic, partition, offset, metadata)] once the coordinator has loaded."""
    deadline = time.monotonic() + 30
    with node.connect(timeout_s=30) as c:
        while True:
            found = c.call('FindCoordinator', 3, {'Key': group, 'KeyType': 0})
            answer = c.call('OffsetFetch', 7, {'GroupId': group, 'Topics': None, 'RequireStable': False})
            if not found['ErrorCode'] and not answer['ErrorCode'] or time.monotonic() > deadline:
                break
            time.sleep(0.02)
    return answer['ErrorCode'], sorted((t['Name'], p['PartitionIndex'], p['CommittedOffset'], p['Metadata'])
                                       for t in answer['Topics'] for p in t['Partitions'])


def differences(before, after):
    """Lines that say what is not the same any more."""
    out = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            left, right = before.get(name), after.get(name)
            if isinstance(left, dict) and isinstance(right, dict):
                out += [f'{name} {key}: {left.get(key)} became {right.get(key)}'
                        for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)]
            else:
                out.append(f'{name}: {left} became {right}')
    return out
