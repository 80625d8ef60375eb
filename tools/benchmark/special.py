"""Cases that are more than one load: each a function (bench, node, case) -> figures."""
import os
import shutil
import time

import cluster
import loads

# Where an OffsetCommit response v8 of one partition of topic "one" has its error code.
OFFSET_COMMIT_ERROR_AT = 4 + 1 + 4 + 1 + 1 + len('one') + 1 + 4


def coordinator_await(node, group):
    """Until the group has a coordinator that has read its log."""
    with node.connect() as c:
        cluster.until('the group has a coordinator', lambda: c.call('FindCoordinator', 3, {
            'Key': group, 'KeyType': 0})['ErrorCode'] == 0 and c.call('ListGroups', 3, {})['ErrorCode'] == 0)


def offset_commit(node):
    """A consumer that assigns its partitions itself."""
    coordinator_await(node, 'bench-commits')
    return {'GroupId': 'bench-commits', 'GenerationIdOrMemberEpoch': -1, 'MemberId': '', 'Topics': [
        {'Name': 'one', 'Partitions': [{'PartitionIndex': 0, 'CommittedOffset': 1, 'CommittedMetadata': ''}]}]}


def heartbeat(node):
    """The only member of a group, stable."""
    group = {'GroupId': 'bench-heartbeats', 'MemberId': '', 'ProtocolType': 'consumer', 'SessionTimeoutMs': 60000,
             'RebalanceTimeoutMs': 60000, 'Protocols': [{'Name': 'range', 'Metadata': b''}]}
    coordinator_await(node, group['GroupId'])
    with node.connect() as c:
        joined = c.call('JoinGroup', 3, group)
        member = {'GroupId': group['GroupId'], 'GenerationId': joined['GenerationId'], 'MemberId': joined['MemberId']}
        c.call('SyncGroup', 3, {**member, 'Assignments': [{'MemberId': member['MemberId'], 'Assignment': b''}]})
    return member


class EndToEnd:
    """From when a record was due at its producer to when its consumer has it, at a fixed rate."""

    def __init__(self, share, rate):
        self.share = share
        self.rate = rate

    def __call__(self, bench, node, case):
        """The maximum is that of the broker that is measured first, which is Apache Kafka where both are."""
        if not self.rate and not bench.end_to_end_maximum:
            bench.end_to_end_maximum = bench.load_on_topics(node, case, loads.end_to_end_groups(0))['requests_per_s']
        return bench.load_on_topics(node, case, self.groups(bench))

    def groups(self, bench):
        if not self.rate and not bench.end_to_end_maximum:
            raise cluster.nodes.Failed('no broker was measured whose maximum the rate is a share of')
        return loads.end_to_end_groups(self.rate or max(1, int(self.share * bench.end_to_end_maximum)))


def cold(bench, node, case):
    """Producers at a fixed rate, alone and while consumers read what is on the disk only."""
    shape = dict(topic='cold', partitions=4, record_bytes=1000, batch_bytes=65536)
    producers = loads.small_groups(16, record_bytes=1000, rate=1000)
    consumers = (loads.group('fetch', connections=4, wrap=1, **shape),)
    with bench.topics(node, case.topics):
        bench.load(node.port, node.process.pid, (loads.group('produce', connections=4, inflight=5, count=bench.scaled(45000), **shape),),
                   600, 0)
        drop_caches(node, 'cold-')
        quiet = bench.load_figures(node, producers, 6, 1)
        drop_caches(node, 'cold-')
        busy = bench.load_figures(node, producers + consumers, 6, 1)
    return {**busy, 'quiet_p99_ms': quiet['p99_ms'], 'p99_growth': busy['p99_ms'] / quiet['p99_ms']}


def drop_caches(node, prefix):
    """Takes the logs of some partitions out of the page cache."""
    os.sync()
    for folder in os.listdir(node.data):
        if not folder.startswith(prefix):
            continue
        for name in os.listdir(os.path.join(node.data, folder)):
            if name.endswith('.log'):
                fd = os.open(os.path.join(node.data, folder, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)


CONNECTIONS = 10000


def api_versions_group(bench, node, rate):
    frames = bench.frames(node, (('ApiVersions', 3, loads.CLIENT, 4),))
    return loads.group('call', connections=bench.scaled(CONNECTIONS), rate=bench.scaled(rate), frames=frames, error_at=4)


def idle_connections(bench, node, case):
    """Every connection has asked once; memory per connection is what a broker that did nothing before grew by."""
    other = cluster.start(node.kind, os.path.join(bench.scratch, 'connections'))
    try:
        before = other.rss_kb()
        # At this rate each connection has asked once when the window of a second begins.
        measured = bench.load(other.port, other.process.pid, (api_versions_group(bench, other, CONNECTIONS // 2),), 1, 3)
        return {'kb_per_connection': max(0, measured['rss_kb'] - before) / bench.scaled(CONNECTIONS),
                'rss_mb': measured['rss_kb'] / 1000}
    finally:
        other.kill()


def many_connections(bench, node, case):
    producers = loads.small_groups(16, rate=1000)
    with bench.topics(node, case.topics):
        quiet = bench.load_figures(node, producers, 5, 1)
        busy = bench.load_figures(node, producers + (api_versions_group(bench, node, 2000),), 5, 6)
    return {**busy, 'quiet_p99_ms': quiet['p99_ms'], 'p99_growth': busy['p99_ms'] / quiet['p99_ms']}


class OnBothCores:
    """A broker of its own, which may use both cores, as may the load."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, bench, node, case):
        settings = self.settings if node.kind == 'barnabas' else {}
        other = cluster.start(node.kind, os.path.join(bench.scratch, 'both'), settings, both_cores=True)
        try:
            if node.kind == 'kafka':
                bench.warm_up(other)
            with bench.topics(other, case.topics):
                cluster.page_cache_prepare(bench.scratch, case.bulk_gb)
                return bench.load_figures(other, case.groups, case.seconds, case.warmup_s, both_cores=True)
        finally:
            other.kill()


def answer_await(node, ask, timeout_s=120):
    """Milliseconds until ASK(connection) is true; connects again until then."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        try:
            with node.connect() as c:
                while not ask(c):
                    time.sleep(0.001)  # the poll's pace
                return (time.monotonic() - began) * 1000
        except (OSError, cluster.nodes.wire.Closed, cluster.nodes.wire.Silent):
            time.sleep(0.0003)  # the poll's pace: no listener
    raise cluster.nodes.Failed(f'{node.kind} does not answer within {timeout_s} s\n{node.tail()}')


def spawned(bench, node, name):
    """A node like NODE in a folder of its own that does not wait for its start."""
    folder = os.path.join(bench.scratch, name, node.kind)
    shutil.rmtree(folder, ignore_errors=True)
    other = cluster.KINDS[node.kind](folder)
    other.wait = lambda timeout_s: None  # answer_await does
    return other


def first_start(bench, node, case):
    """From nothing on the disk, formatting included, to the first answered request."""
    other = spawned(bench, node, 'first-start')
    began = time.monotonic()
    try:
        if node.kind == 'barnabas':
            other.start_embedded()
        else:
            other.start()
        answer_await(other, lambda c: c.call('Metadata', 9, {'Topics': []})['Brokers'])
        return {'ms': (time.monotonic() - began) * 1000}
    finally:
        other.kill()


def idle_memory(bench, node, case):
    other = spawned(bench, node, 'idle')
    try:
        other.start()
        answer_await(other, lambda c: c.call('Metadata', 9, {'Topics': []})['Brokers'])
        return {'rss_mb': other.rss_kb() / 1000}
    finally:
        other.kill()


class Recovery:
    """SIGKILL after writing so many gigabytes to 1,000 partitions; then until every partition answers."""

    def __init__(self, gb):
        self.gb = gb

    def __call__(self, bench, node, case):
        topic = loads.Topic('many', bench.scaled(1000))
        batches = bench.scaled(self.gb * loads.GB / 65536)
        other = cluster.start(node.kind, os.path.join(bench.scratch, 'recovery'))
        try:
            cluster.topics_create(other, (topic,))
            bench.load(other.port, other.process.pid, (loads.group(
                'produce', topic='many', partitions=topic.partitions, connections=8, inflight=5, batch_bytes=65536,
                count=batches),), 1800, 0)
            other.kill()
            other.wait = lambda timeout_s: None  # answer_await does
            began = time.monotonic()
            other.start()
            answer_await(other, lambda c: c.call('Metadata', 9, {'Topics': []})['Brokers'])
            first_ms = (time.monotonic() - began) * 1000
            answer_await(other, lambda c: cluster.all_answer(c, topic))
            return {'ms': (time.monotonic() - began) * 1000, 'first_answer_ms': first_ms, 'rss_mb': other.rss_kb() / 1000}
        finally:
            other.kill()
            shutil.rmtree(other.folder, ignore_errors=True)
