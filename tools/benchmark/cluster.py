"""The brokers as they are measured: pinned to their core, with the settings of a release.

Unlike in the tests, Apache Kafka runs with the flags of its own start script: 1 GiB of heap, G1, both compilers.
"""
import os
import shutil
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, 'compat-tests', 'lib')]

import node as nodes  # noqa: E402

DEADLINE_S = 180


def cpus():
    """(the broker's, the load's): the first and the last that we may use; the same one when there is only one."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[-1]


class Pinned:
    both_cores = False

    def pin(self):
        return ['taskset', '-c', f'{cpus()[0]},{cpus()[1]}' if self.both_cores else str(cpus()[0])]

    def settings(self):
        out = super().settings()
        out['offsets.topic.num.partitions'] = 16
        # Deleted topics give their space back before the next case. (Kafka goes by this one, not by the topics'.)
        out['log.segment.delete.delay.ms'] = 500
        # A thousand consumers, while the sessions of those before them have not expired.
        out['max.incremental.fetch.session.cache.slots'] = 20000
        out.update(self.extra)
        return out


class Barnabas(Pinned, nodes.Barnabas):
    kind = 'barnabas'

    def command(self, path):
        return self.pin() + super().command(path)

    def start_embedded(self):
        """Without a configuration: makes and formats its directory itself. Does not wait."""
        self.log = open(self.log_path, 'ab')
        self.process = subprocess.Popen(
            self.pin() + [self.binary, 'serve', '--set', f'log.dirs={self.data}',
                          '--set', f'listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}'],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder)


class Kafka(Pinned, nodes.Kafka):
    kind = 'kafka'

    def command(self, path):
        logging = os.path.join(ROOT, 'compat-tests', 'lib', 'log4j2.properties')
        return self.pin() + ['java', '-Xmx1G', '-Xms1G', '-server', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20',
                             '-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent',
                             '-Djava.awt.headless=true', f'-Dlog4j2.configurationFile={logging}',
                             '-cp', os.path.join(self.jars, '*'), 'kafka.Kafka', path]


KINDS = {'barnabas': Barnabas, 'kafka': Kafka}


# Kafka refuses to write more than 10,000 records of metadata for one request.
PARTITIONS_A_REQUEST = 5000


def answered(node, what, rows):
    for row in rows:
        if row['ErrorCode']:
            raise nodes.Failed(f'{node.kind}: {what} {row["Name"]}: error {row["ErrorCode"]}')


def topics_create(node, topics):
    """Makes topics (loads.Topic) and waits until all of their partitions have leaders."""
    with node.connect(timeout_s=DEADLINE_S) as c:
        for at in range(0, len(topics), 500):
            answered(node, 'CreateTopics', c.call('CreateTopics', 5, {'timeoutMs': DEADLINE_S * 1000, 'Topics': [
                {'Name': t.name, 'NumPartitions': min(t.partitions, PARTITIONS_A_REQUEST), 'ReplicationFactor': 1,
                 'Configs': [{'Name': name, 'Value': str(value)} for name, value in t.settings.items()]}
                for t in topics[at:at + 500]]})['Topics'])
        for topic in topics:
            for count in range(PARTITIONS_A_REQUEST, topic.partitions, PARTITIONS_A_REQUEST):
                answered(node, 'CreatePartitions', c.call('CreatePartitions', 1, {
                    'TimeoutMs': DEADLINE_S * 1000, 'ValidateOnly': False, 'Topics': [
                        {'Name': topic.name, 'Count': min(count + PARTITIONS_A_REQUEST, topic.partitions),
                         'Assignments': None}]})['Results'])
            until(f'{topic.name} has its leaders', lambda t=topic: all_answer(c, t))


def all_answer(connection, topic):
    """Has every partition of the topic a leader that answers?"""
    asked = [{'PartitionIndex': p, 'Timestamp': -1} for p in range(topic.partitions)]
    answer = connection.call('ListOffsets', 7, {'ReplicaId': -1, 'Topics': [{'Name': topic.name, 'Partitions': asked}]})
    return not any(p['ErrorCode'] for p in answer['Topics'][0]['Partitions'])


def topics_delete(node, topics):
    """Deletes topics and waits until their files are gone, so that the next case does not pay for it."""
    with node.connect(timeout_s=DEADLINE_S) as c:
        for at in range(0, len(topics), 500):
            c.call('DeleteTopics', 5, {'TopicNames': [t.name for t in topics[at:at + 500]], 'TimeoutMs': DEADLINE_S * 1000})
    names = {t.name for t in topics}
    until('the files of deleted topics are gone',
          lambda: not any(entry.rsplit('-', 1)[0] in names or entry.endswith('-delete') for entry in os.listdir(node.data)))


def until(what, fact):
    deadline = time.monotonic() + DEADLINE_S
    while not fact():
        if time.monotonic() > deadline:
            raise nodes.Failed(f'not within {DEADLINE_S} s: {what}')
        time.sleep(0.02)  # the poll's pace


IDLE_SHARE, IDLE_LOOK_S, IDLE_LIMIT_S = 0.05, 0.2, 5


def idle_await(node):
    """Until the broker has ended what its last load left it to do (compiling, collecting), or for some seconds."""
    deadline = time.monotonic() + IDLE_LIMIT_S
    before = node.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(IDLE_LOOK_S)  # the window in which its CPU is counted
        now = node.cpu_s()
        if now - before <= IDLE_SHARE * IDLE_LOOK_S:
            return
        before = now


def page_cache_prepare(folder, gb):
    """
    Writes and deletes a file of so many gigabytes. A virtual machine's host hands memory out at its first touch; what
    that costs would otherwise count as the broker's.
    """
    path = os.path.join(folder, 'page-cache')
    block = bytes(1 << 20)
    with open(path, 'wb', buffering=0) as out:
        for _ in range(int(gb * 1000)):
            out.write(block)
    os.unlink(path)


def start(kind, scratch, settings=None, both_cores=False):
    folder = os.path.join(scratch, kind)
    shutil.rmtree(folder, ignore_errors=True)
    node = KINDS[kind](folder, settings)
    node.both_cores = both_cores
    return node.start(timeout_s=DEADLINE_S)


class LimitServer:
    """A bare server of limits.c on the broker's core, with the face of a node."""
    kind = 'limit'

    def __init__(self, tools, mode, path, files=0):
        self.port = nodes.free_port()
        self.command = ['taskset', '-c', str(cpus()[0]), os.path.join(tools, 'limits'), mode, str(self.port), path]
        if files > 1 or mode in ('relay', 'durable'):
            self.command.append(str(files))
            os.mkdir(path)

    def __enter__(self):
        self.process = subprocess.Popen(self.command)
        until('the bare server listens', self.listens)
        return self

    def listens(self):
        try:
            socket.create_connection(('127.0.0.1', self.port)).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
