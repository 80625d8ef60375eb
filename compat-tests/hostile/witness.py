"""A well-behaved client beside the attacks, and what all attacks report to.

The witness writes one record and reads one back, again and again, on a topic whose settings no attack on the broker's
own can reach. It keeps what it was told is written: verify() reads the whole topic and says what is missing.
"""
import os
import pickle
import select
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', 'lib')]

import node as nodes  # noqa: E402
import wire  # noqa: E402
import records  # noqa: E402
from records import Record  # noqa: E402


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


class Witness:
    """One record in, one record out, for as long as the attacks last.

    It is a process of its own: as a thread of the attack's it would measure how long that keeps the interpreter to
    itself while it encodes ten thousand partitions, and call that the broker's."""

    def __init__(self, node, topic='witness', pause_s=0.01):
        self.node, self.pause_s = node, pause_s
        self.arguments = (str(node.port), topic) if node else ()
        self.topic = topic
        self.process = None
        self.error, self.rounds, self.times = None, 0, []
        self.kept = {}  # offset -> value, of all that was acknowledged

    def start(self):
        """Returns when it is connected."""
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__), repr(self.pause_s), *self.arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process.stdout.readline()

    def end(self):
        try:
            out, _ = self.process.communicate(timeout=60)  # the end of its input is what tells it to end
            self.error, self.rounds, self.times, kept = pickle.loads(out)
            self.kept.update(kept)
        except subprocess.TimeoutExpired:
            self.error = 'no answer for a minute'
            self.process.kill()
            self.process.communicate()
        except (pickle.UnpicklingError, EOFError):
            self.error = f'it ended with {self.process.returncode}'

    @property
    def longest(self):
        return max(self.times, default=0.0)

    def percentile(self, share):
        """Seconds of a round; 0 when there was none."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def wait_at(self, share=0.01):
        """Seconds: what comes at a random moment waits longer with this probability.

        Where percentile() counts rounds, of which a stall of a second holds up one, this counts the time: the witness
        asks the next thing only when it has its answer, but others would not have waited for it."""
        total = sum(self.times) + self.pause_s * len(self.times)
        low, high = 0.0, self.longest
        for _ in range(40):
            middle = (low + high) / 2
            if sum(t - middle for t in self.times if t > middle) > share * total:
                low = middle
            else:
                high = middle
        return high

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


class Echo(Witness):
    """What the machine itself does to a client and a server that do next to nothing: two bytes there and two back for
    each round, as often as the witness asks. It measures the noise that others make for the processors."""

    def __init__(self, pause_s=0.01):
        super().__init__(None, pause_s=pause_s)

    def verify(self):
        raise NotImplementedError


def echo(pause_s):
    """What the process of an Echo does: as work()."""
    here, there = socket.socketpair()
    if os.fork() == 0:
        here.close()
        while there.recv(1):
            there.send(b'e')
        os._exit(0)
    there.close()
    times = []
    print(flush=True)
    while not select.select([sys.stdin], [], [], pause_s)[0]:
        began = time.monotonic()
        for _ in range(2):
            here.send(b'e')
            here.recv(1)
        times.append(time.monotonic() - began)
    here.close()
    return None, len(times), times, {}


def work(port, topic, pause_s):
    """What the process of a Witness does until its input ends: (error, rounds, times, kept)."""
    error, times, kept, connected = None, [], {}, False
    try:
        with wire.Connection(nodes.registry(), port, timeout_s=60, client_id='witness') as c:
            print(flush=True)
            connected = True
            while not select.select([sys.stdin], [], [], pause_s)[0]:
                began = time.monotonic()
                value = b'%d' % len(times)
                row = c.call('Produce', 9, produce(topic, records.batch([Record(b'k', value)])))
                row = row['Responses'][0]['PartitionResponses'][0]
                if row['ErrorCode']:
                    raise ValueError(f'produce: error {row["ErrorCode"]}')
                kept[row['BaseOffset']] = value
                answer = c.call('Fetch', 12, fetch(topic, row['BaseOffset']))
                found = records.flat(answer['Responses'][0]['Partitions'][0]['Records'])
                if not found or found[0][2] != value:
                    raise ValueError(f'offset {row["BaseOffset"]} came back as {found[:1]}')
                times.append(time.monotonic() - began)
    except Exception as problem:
        error = f'{type(problem).__name__}: {problem}'
        if not connected:
            print(flush=True)
    return error, len(times), times, kept


if __name__ == '__main__':
    pause = float(sys.argv[1])
    outcome = work(int(sys.argv[2]), sys.argv[3], pause) if len(sys.argv) > 2 else echo(pause)
    sys.stdout.buffer.write(pickle.dumps(outcome))
    sys.stdout.flush()
