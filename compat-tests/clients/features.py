"""The features of the matrix and the order in which clients go through them.

First every client for itself, a few at a time: write in each codec and read back, from an offset, from a time, in a
group; commit; two members that join and leave; idempotence, headers, a large record, administration. Then all read what
all others wrote. Then a restart in the middle of writing and reading, and kill -9, after which everything must be there
and groups go on from what they committed.
"""
import concurrent.futures
import threading
import time

import rows

CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
FEATURES = CODECS + ('headers', 'idempotent', 'timestamps', 'offset', 'time', 'group', 'committed', 'members', 'large',
                     'admin', 'cross', 'restart', 'kill')
AT_A_TIME = 5
COMMITTED = 25  # where a group stops before the restart
LARGE = 5000000
THROUGH = 20  # records on the way when the broker restarts
SLOW_S = 20


class Results:
    """Cells of the table: per client and feature how often it passed, and the first difference."""

    def __init__(self):
        self.lock = threading.Lock()
        self.cells = {}
        self.passed = self.failed = 0

    def note(self, client, feature, error, seconds):
        with self.lock:
            cell = self.cells.setdefault((client, feature), [0, None])
            if error is None:
                cell[0] += 1
                self.passed += 1
            else:
                cell[1] = cell[1] or error
                self.failed += 1
                print(f'FAIL {client} {feature} ({seconds:.1f} s): {error}', flush=True)
            if seconds > SLOW_S:
                print(f'slow {client} {feature}: {seconds:.1f} s', flush=True)

    def cell(self, client, feature):
        passed, error = self.cells.get((str(client), feature), [0, None])
        return 'FAIL' if error else 'ok' if passed else '-'


class Matrix:
    def __init__(self, node, clients, only, logs):
        self.node, self.clients, self.logs = node, clients, logs
        self.features = [f for f in FEATURES if not only or f in only]
        self.results = Results()
        self.running = {}
        self.written = {}  # topic -> [author, base, headers], for those that were written well

    def has(self, client, feature):
        return feature in self.features and feature not in client.lacks

    def topic(self, client, feature):
        return f'{client}-{feature}'.replace(' ', '-')

    def base(self, client):
        return 0 if 'timestamps' in client.lacks else rows.BASE_MS

    def attempt(self, client, feature, work):
        began, error = time.monotonic(), None
        try:
            work()
        except Exception as caught:
            error = str(caught) or repr(caught)
        self.results.note(str(client), feature, error, time.monotonic() - began)
        return error is None

    def everyone(self, phase, clients=None, at_a_time=AT_A_TIME):
        with concurrent.futures.ThreadPoolExecutor(at_a_time or 1) as pool:
            list(pool.map(phase, clients or self.clients))

    def create_topics(self):
        partitions = {'members': 4}
        topics = []
        for client in self.clients:
            for feature in self.features:
                if self.has(client, feature) and feature not in ('admin',):
                    # The records have fixed, old timestamps, which retention would remove at once.
                    configs = [{'Name': 'retention.ms', 'Value': '-1'}]
                    if feature == 'large':
                        configs.append({'Name': 'max.message.bytes', 'Value': str(LARGE + 100000)})
                    topics.append({'Name': self.topic(client, feature), 'NumPartitions': partitions.get(feature, 1),
                                   'ReplicationFactor': 1, 'Configs': configs})
        topics.append({'Name': 'for-tools', 'NumPartitions': 1, 'ReplicationFactor': 1, 'Configs': []})
        with self.node.connect() as c:
            answer = c.call('CreateTopics', 5, {'timeoutMs': 60000, 'Topics': topics})
        for row in answer['Topics']:
            if row['ErrorCode']:
                raise SystemExit(f'cannot create {row}')

    def write(self, client, feature, codec, headers, idempotent):
        """Writes a topic and, where the client can, reads it back."""
        topic, base, program = self.topic(client, feature), self.base(client), self.running[client]
        program.call('produce', topic, codec, rows.COUNT, base, headers, idempotent)
        self.written[topic] = (client, base, headers)
        if 'consume' not in client.lacks:
            program.call('read', topic, 0, rows.COUNT, base, headers)

    def alone(self, client):
        log = open(os_path(self.logs, client), 'w')
        self.running[client] = program = client.start(log, self.node.bootstrap)
        base = self.base(client)
        for codec in CODECS:
            if self.has(client, codec):
                self.attempt(client, codec, lambda: self.write(client, codec, codec, False, False))
        if self.has(client, 'headers'):
            self.attempt(client, 'headers', lambda: self.write(client, 'headers', 'gzip', True, False))
        if self.has(client, 'idempotent'):
            self.attempt(client, 'idempotent', lambda: self.write(client, 'idempotent', 'none', False, True))
        own = self.topic(client, 'timestamps' if self.has(client, 'timestamps') else 'none')
        if self.has(client, 'timestamps'):
            self.attempt(client, 'timestamps', lambda: self.write(client, 'timestamps', 'lz4', False, False))
        elif own not in self.written:
            return
        for feature, words in (
                ('offset', ('read', own, 7, rows.COUNT, base, 0)),
                ('time', ('time', own, 11, rows.COUNT, base, 0)),
                ('group', ('group', own, own + '-group', 0, COMMITTED, base, 0)),
                ('committed', ('committed', own, own + '-group', COMMITTED)),
                ('members', ('members', self.topic(client, 'members'), own + '-members')),
                ('large', ('large', self.topic(client, 'large'), LARGE)),
                ('admin', ('admin', self.topic(client, 'admin'), own + '-group', own + '-members'))):
            if self.has(client, feature) and (feature != 'time' or base):
                self.attempt(client, feature, lambda: program.call(*words))
        self.resumes = getattr(self, 'resumes', {})
        self.resumes[client] = own

    def sources(self, client, mine):
        return [(topic, base, headers) for topic, (author, base, headers) in sorted(self.written.items())
                if (author is client) == mine and (not headers or 'headers' not in client.lacks)
                and not ('zstd' in client.lacks and topic.endswith('-zstd'))]

    def read_all(self, client, mine):
        sources = [f'{topic},{base},{int(headers)}' for topic, base, headers in self.sources(client, mine)]
        self.running[client].call('cross', rows.COUNT, *sources)

    def others(self, client):
        foreign = [s for s in self.sources(client, False) if s[1] and not s[2]]
        if self.has(client, 'time') and 'timestamps' in client.lacks and foreign:
            topic, base, _ = foreign[0]
            self.attempt(client, 'time', lambda: self.running[client].call('time', topic, 20, rows.COUNT, base, 0))
        if self.has(client, 'cross') and self.sources(client, False):
            self.attempt(client, 'cross', lambda: self.read_all(client, False))

    def restart(self):
        able = [c for c in self.clients if self.has(c, 'restart')]
        ready = []

        def begin(client):
            topic = self.topic(client, 'restart')
            idempotent = 'idempotent' not in client.lacks
            if self.attempt(client, 'restart', lambda: self.running[client].through_begin(
                    topic, topic + '-group', THROUGH, idempotent)):
                ready.append(client)
        self.everyone(begin, able, len(able))
        self.node.stop()
        for client in ready:
            self.running[client].go_on()
        self.node.start()
        self.everyone(lambda client: self.attempt(client, 'restart', self.running[client].through_end), ready, len(ready))

    def after_kill(self, client):
        if not self.has(client, 'kill') or client not in self.resumes:
            return
        own = self.resumes[client]
        if 'consume' not in client.lacks:
            self.attempt(client, 'kill', lambda: self.read_all(client, True))
        if 'group' not in client.lacks:
            self.attempt(client, 'kill', lambda: self.running[client].call(
                'group', own, own + '-group', COMMITTED if self.has(client, 'group') else 0, rows.COUNT, self.base(client), 0))

    def await_leaders(self):
        """Apache Kafka answers before it has recovered its logs: until then it knows no topics, or no leaders."""
        deadline = time.monotonic() + 120
        topics = [{'Name': name} for name in self.written]
        with self.node.connect() as c:
            while any(t['ErrorCode'] or any(p['ErrorCode'] for p in t['Partitions'])
                      for t in c.call('Metadata', 8, {'Topics': topics})['Topics']):
                if time.monotonic() > deadline:
                    raise SystemExit('no leaders after kill -9')
                time.sleep(0.1)

    def run(self):
        self.create_topics()
        self.resumes = {}
        self.everyone(self.alone)
        self.everyone(self.others)
        if 'restart' in self.features:
            self.restart()
        if 'kill' in self.features:
            self.node.kill()
            self.node.start()
            self.await_leaders()
            self.everyone(self.after_kill)
        for client in self.running.values():
            client.close()


def os_path(folder, client):
    return f'{folder}/{client}.log'.replace(' ', '-')
