"""A well-behaved client beside the attacks, and what all attacks report to.

The witness writes one record and reads one back, again and again, on a topic whose settings no attack on the broker's
own can reach. It keeps what it was told is written: verify() reads the whole topic and says what is missing.
"""
import struct
import threading
import time

import node as nodes
import records
from records import Record


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, problem=None):
        if problem:
            self.failed += 1
            print(f'FAIL {name}: {problem}', flush=True)
        else:
            self.passed += 1


def produce(topic, data, partition=0, acks=-1):
    return {'Acks': acks, 'TimeoutMs': 10000, 'TopicData': [{'Name': topic, 'PartitionData': [
        {'Index': partition, 'Records': data}]}]}


def fetch(topic, offset, size=1 << 20, partition=0, wait_ms=1000, min_bytes=1):
    return {'ReplicaId': -1, 'MaxWaitMs': wait_ms, 'MinBytes': min_bytes, 'MaxBytes': size, 'SessionEpoch': -1, 'Topics': [
        {'Topic': topic, 'Partitions': [{'Partition': partition, 'FetchOffset': offset, 'PartitionMaxBytes': size}]}]}


def topic_make(node, name, partitions=1):
    """A topic that keeps everything, whatever the broker's own settings become; waits until it takes records."""
    settings = {'retention.ms': -1, 'retention.bytes': -1, 'cleanup.policy': 'delete', 'min.insync.replicas': 1,
                'max.message.bytes': 1 << 20, 'message.timestamp.type': 'CreateTime', 'segment.bytes': 1 << 24,
                'message.timestamp.before.max.ms': 2 ** 63 - 1, 'message.timestamp.after.max.ms': 2 ** 63 - 1,
                'compression.type': 'producer'}
    with node.connect(timeout_s=180) as c:  # behind thousands of others it may take its time
        c.call('CreateTopics', 5, {'timeoutMs': 10000, 'Topics': [
            {'Name': name, 'NumPartitions': partitions, 'ReplicationFactor': 1,
             'Configs': [{'Name': k, 'Value': str(v)} for k, v in settings.items()]}]})
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            row = c.call('Produce', 9, produce(name, records.batch([Record(b'first', b'')])))
            if not row['Responses'][0]['PartitionResponses'][0]['ErrorCode']:
                return
            time.sleep(0.02)  # the poll's pace
    raise TimeoutError(f'{name} does not take records')


def stop(node):
    """Stops it; what is wrong with how it ended, or None."""
    try:
        status = node.stop(timeout_s=120)
    except nodes.Failed as error:
        return str(error)
    return f'status {status}\n{node.tail(40)}' if status else None


class Witness(threading.Thread):
    """One record in, one record out, for as long as the attacks last."""

    def __init__(self, node, topic='witness', pause_s=0.01):
        super().__init__(daemon=True)
        self.node, self.topic, self.pause_s = node, topic, pause_s
        self.ended = threading.Event()
        self.error, self.rounds, self.times = None, 0, []
        self.kept = {}  # offset -> value, of all that was acknowledged

    def run(self):
        try:
            with self.node.connect(timeout_s=60, client_id='witness') as c:
                while not self.ended.is_set():
                    began = time.monotonic()
                    value = b'%d' % self.rounds
                    row = c.call('Produce', 9, produce(self.topic, records.batch([Record(b'k', value)])))
                    row = row['Responses'][0]['PartitionResponses'][0]
                    if row['ErrorCode']:
                        raise ValueError(f'produce: error {row["ErrorCode"]}')
                    self.kept[row['BaseOffset']] = value
                    answer = c.call('Fetch', 12, fetch(self.topic, row['BaseOffset']))
                    found = records.flat(answer['Responses'][0]['Partitions'][0]['Records'])
                    if not found or found[0][2] != value:
                        raise ValueError(f'offset {row["BaseOffset"]} came back as {found[:1]}')
                    self.rounds += 1
                    self.times.append(time.monotonic() - began)
                    self.ended.wait(self.pause_s)
        except Exception as error:
            self.error = f'{type(error).__name__}: {error}'

    def end(self):
        self.ended.set()
        self.join(60)
        if self.is_alive():
            self.error = self.error or 'no answer for a minute'

    @property
    def longest(self):
        return max(self.times, default=0.0)

    def percentile(self, share):
        """Seconds of a round; 0 when there was none."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def verify(self):
        """Reads all that the topic has; says what was acknowledged and is not there."""
        found, offset = {}, 0
        with self.node.connect(timeout_s=60) as c:
            while True:
                row = c.call('Fetch', 12, fetch(self.topic, offset, wait_ms=0))['Responses'][0]['Partitions'][0]
                if row['ErrorCode']:
                    return f'error {row["ErrorCode"]} at offset {offset}'
                if not row['Records']:
                    break
                at, data = 0, row['Records']
                while at + 61 <= len(data):
                    base, length = struct.unpack_from('>qi', data, at)
                    if at + 12 + length > len(data):
                        break
                    for one in records.flat(data[at:at + 12 + length]):
                        found[one[0]] = one[2]
                    offset = max(found) + 1
                    at += 12 + length
        missing = [o for o, value in self.kept.items() if found.get(o) != value]
        return f'{len(missing)} of {len(self.kept)} acknowledged records are gone, first {missing[:5]}' if missing else None
