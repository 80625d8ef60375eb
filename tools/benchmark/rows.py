"""What is measured: one Case for each line of the report, in numbered rows.

A case names topics to make, groups of load to run (the words of options.c), and which figure is compared with Apache
Kafka's. What a plain load can't say (restarts, cold caches) has a function of its own in special.py.
"""
from dataclasses import dataclass
from typing import Callable, Optional

import special
from loads import CLIENT, Topic, bulk_groups, end_to_end_groups, group, small_groups

# The figures that a case may be about, with their units. Of most of them less is better.
FIGURES = {
    'cpu_s_per_gb': 'CPU s/GB',
    'cpu_us_per_request': 'CPU µs/request',
    'requests_per_s': 'requests/s',
    'p50_ms': 'p50 ms',
    'p99_ms': 'p99 ms',
    'p999_ms': 'p99.9 ms',
    'max_ms': 'max ms',
    'p99_growth': 'p99 / quiet p99',
    'kb_per_connection': 'KiB/connection',
    'ms': 'ms',
    'first_answer_ms': 'ms to the first answer',
    'rss_mb': 'MB',
}
MORE_IS_BETTER = {'requests_per_s'}


@dataclass
class Want:
    """Of another figure than the one that the case is about."""
    figure: str
    target: Optional[float] = None     # divided by Kafka's: at most
    bound: Optional[float] = None      # itself: at most


@dataclass
class Case:
    row: int
    name: str
    figure: str                        # of FIGURES: what the ratio is about
    target: Optional[float] = None     # the figure divided by Kafka's: at most, or where more is better at least
    bound: Optional[float] = None      # the figure itself: at most
    beside: Optional[tuple] = None     # (name of a case, our figure divided by our figure there: at most)
    of_limit: Optional[float] = None   # the figure divided by the bare server's: at most
    also: tuple = ()                   # more that is wanted: Want
    topics: tuple = ()
    fill: tuple = ()                   # groups with a count, run before
    groups: tuple = ()                 # run while measuring; results are those of the first
    calls: tuple = ()                  # of a call group: (API, version, values or function(node), error position)
    seconds: float = 4
    warmup_s: float = 0.5
    bulk_gb: float = 0                 # written at most; page cache of this size is prepared
    limit: str = ''                    # the bare server of limits.c that takes the same load; or sync
    measure: Optional[Callable] = None # of special.py, instead of the groups
    quick: bool = False
    ours_only: bool = False            # a figure to set another of ours beside
    rounds_max: Optional[int] = None   # of a case that takes minutes: measured in the first rounds only


def produce_bulk(row, name, partitions, record_bytes, batch_bytes, target=None, gb=1.5, settings=None, quick=False,
                 beside=None, of_limit=None, measure=None, ours_only=False, rounds_max=None, seconds=6, **more):
    return Case(row, name, 'cpu_s_per_gb', target, beside=beside, of_limit=of_limit,
                topics=(Topic('bulk', partitions, settings or {}),),
                groups=bulk_groups(partitions, record_bytes, batch_bytes, gb, **more), seconds=seconds, warmup_s=0.3,
                bulk_gb=gb, limit='store' if 'codec' not in more else '', quick=quick, measure=measure,
                ours_only=ours_only, rounds_max=rounds_max)


def produce_small(row, name, connections, target=None, quick=False, beside=None, partitions=16, rounds_max=None,
                  limit='echo', **more):
    return Case(row, name, 'cpu_us_per_request', target, beside=beside, topics=(Topic('small', partitions),),
                groups=small_groups(connections, partitions, **more), limit=limit, quick=quick, rounds_max=rounds_max)


def produce_widely(partitions, **more):
    return produce_small(9, f'produce 1 KB a request to {partitions:,} partitions, 50 connections', 50, 1 / 4,
                         partitions=partitions, record_bytes=1000, limit='store', **more)


def produce_durable(name, connections, partitions, target, quick=False, limit='durable'):
    return Case(10, name, 'requests_per_s', target, topics=(Topic('small', partitions, {'flush.messages': 1}),),
                groups=small_groups(connections, partitions, inflight=1), seconds=5, warmup_s=1, limit=limit, quick=quick,
                also=(Want('p99_ms', 1 / 5),))


WARM = dict(topic='warm', record_bytes=1000, batch_bytes=65536)


def fetch_warm(consumers, quick=False):
    return Case(5, f'fetch warm, {consumers} consumer{"s" * (consumers > 1)}', 'cpu_s_per_gb', 1,
                topics=(Topic('warm'),), fill=(group('produce', connections=4, inflight=5, count=8000, **WARM),),
                groups=(group('fetch', connections=consumers, wrap=1, **WARM),), warmup_s=0.3, bulk_gb=0.52,
                limit='sendfile', quick=quick)


def end_to_end(name, share, target, rate=0, quick=False):
    return Case(7, name, 'p99_ms', target, topics=(Topic('live', 16),), seconds=8, warmup_s=2, quick=quick,
                measure=special.EndToEnd(share, rate), limit='relay',
                also=(Want('p50_ms', 1 / 2), Want('p999_ms', 1 / 4), Want('max_ms', bound=20)))


def ping(name, *call, topics=(), target=1 / 15, quick=False):
    return Case(12, name, 'cpu_us_per_request', target, topics=topics, calls=(call,),
                groups=(group('call', connections=10, inflight=5, error_at=call[3]),), seconds=3,
                limit='echo', quick=quick)


def metadata(topics):
    return 'Metadata', 12, {'Topics': topics, 'AllowAutoTopicCreation': False}, -1


BATCHES_64K = 'produce 1 KB in 64 KB batches, 1 partition'
SINGLE_50 = 'produce 100 B a request, 50 connections'
ONE_SHARD = 'produce 1 KB in 64 KB batches, both cores, one shard'
LONG_ROUNDS = 1
HUNDRED_PARTITIONS = 'produce 1 KB a request to 100 partitions, 50 connections'

CASES = [
    produce_bulk(1, BATCHES_64K, 1, 1000, 65536, 1 / 4, of_limit=1.3, quick=True),
    produce_bulk(1, 'produce 1 KB in 64 KB batches, 16 partitions', 16, 1000, 65536, 1 / 4, of_limit=1.3),
    produce_bulk(2, 'produce 100 B in 16 KB batches', 16, 100, 16384, 1 / 4, gb=1, quick=True),
    produce_small(3, 'produce 100 B a request, 1 connection', 1, 1 / 8),
    produce_small(3, SINGLE_50, 50, 1 / 8, quick=True),
    produce_small(3, 'produce 100 B a request, 500 connections', 500, 1 / 8),
    produce_bulk(4, 'produce 1 MB records', 4, 1_000_000, 0, 1 / 3, settings={'max.message.bytes': 2_000_000}),
    *(produce_bulk(4, f'produce 1 KB in 64 KB batches, {codec}', 4, 1000, 65536, 1 / 3, gb=1, codec=codec)
      for codec in ('lz4', 'zstd', 'gzip', 'snappy')),
    fetch_warm(1, quick=True),
    fetch_warm(20),
    Case(6, 'long polls: 1,000 consumers of 1,000 partitions, 4,000 records/s', 'cpu_us_per_request', 1 / 5,
         topics=(Topic('live', 1000),), groups=end_to_end_groups(4000, 1000, 50), seconds=5, warmup_s=2,
         limit='relay'),
    Case(6, 'fetch 1 KB, 50 consumers', 'cpu_us_per_request', 1 / 5, topics=(Topic('small', 16),),
         fill=small_groups(16, record_bytes=1000, count=32000),
         groups=(group('fetch', topic='small', partitions=16, connections=50, record_bytes=1000, max_bytes=1024, wrap=1),),
         limit='echo', quick=True),
    end_to_end('end to end at 1,000 a second', 0, 1 / 4, rate=1000, quick=True),
    *(end_to_end(f'end to end at {share}% of the slower broker\'s maximum', share / 100, 1 / 4) for share in (25, 50, 75)),
    Case(8, 'producers while consumers read cold data', 'p99_growth', bound=1.5,
         topics=(Topic('cold', 4), Topic('small', 16)), measure=special.cold),
    produce_widely(100),
    produce_widely(1000),
    produce_widely(10000, beside=(HUNDRED_PARTITIONS, 1.25), rounds_max=LONG_ROUNDS),
    produce_durable('durable: 1 producer', 1, 1, 1, limit='sync'),
    produce_durable('durable: 50 producers of 1 partition', 50, 1, 10, quick=True),
    produce_durable('durable: 50 producers of 50 partitions', 50, 50, 10),
    produce_durable('durable: 500 producers of 1 partition', 500, 1, 10),
    produce_durable('durable: 500 producers of 1,000 partitions', 500, 1000, 10),
    produce_bulk(11, 'idempotent, 1 KB in 64 KB batches, 1 partition', 1, 1000, 65536, 1 / 4, producers=4,
                 beside=(BATCHES_64K, 1.05)),
    produce_small(11, 'idempotent, 100 B a request, 50 connections', 50, 1 / 8, producers=50, beside=(SINGLE_50, 1.05)),
    produce_small(11, 'idempotent, 100 B a request, 10,000 producer ids', 50, 1 / 8, producers=10000,
                  beside=(SINGLE_50, 1.05)),
    ping('ApiVersions', 'ApiVersions', 3, CLIENT, 4, quick=True),
    ping('Metadata of 1 topic', *metadata([{'Name': 'one'}]), topics=(Topic('one'),)),
    ping('Metadata of 1,000 topics', *metadata(None), topics=tuple(Topic(f'many-{n}') for n in range(1000))),
    ping('OffsetCommit', 'OffsetCommit', 8, special.offset_commit, special.OFFSET_COMMIT_ERROR_AT, topics=(Topic('one'),)),
    ping('Heartbeat', 'Heartbeat', 4, special.heartbeat, 9),
    Case(13, 'memory of an idle connection, of 10,000', 'kb_per_connection', bound=8, measure=special.idle_connections,
         rounds_max=LONG_ROUNDS),
    Case(13, 'producers beside 10,000 slow connections', 'p99_growth', bound=1.25, topics=(Topic('small', 16),),
         measure=special.many_connections),
    produce_bulk(14, ONE_SHARD, 16, 1000, 65536, measure=special.OnBothCores({'barnabas.shards': 1}), ours_only=True,
                 rounds_max=LONG_ROUNDS),
    produce_bulk(14, 'produce 1 KB in 64 KB batches, both cores, two shards', 16, 1000, 65536,
                 measure=special.OnBothCores({'barnabas.shards': 2}), beside=(ONE_SHARD, 1.1), rounds_max=LONG_ROUNDS),
    Case(15, 'exec to first answer, fresh directory', 'ms', bound=20, measure=special.first_start, quick=True),
    Case(15, 'idle memory', 'rss_mb', bound=8, measure=special.idle_memory, quick=True),
    Case(15, 'kill -9 with 10 GB in 1,000 partitions, to the answer of all', 'ms', bound=1000, measure=special.Recovery(10),
         also=(Want('first_answer_ms', bound=1000),), rounds_max=LONG_ROUNDS),
]
