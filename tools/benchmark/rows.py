"""What is measured: one Case for each line of the report, in numbered rows.

A case names topics to make, groups of load to run (the words of options.c), and which figure is compared with Apache
Kafka's. What a plain load can't say (restarts, cold caches) has a function of its own in special.py.
"""
from dataclasses import dataclass, field
from typing import Callable, Optional

GB = 1_000_000_000

# The figures of a result, with what the report prints. For the first three less is better.
FIGURES = {
    'cpu_s_per_gb': 'CPU s/GB',
    'cpu_us_per_request': 'CPU µs/request',
    'p99_ms': 'p99 ms',
    'requests_per_s': 'requests/s',
    'ms': 'ms',
    'mb': 'MB',
}
MORE_IS_BETTER = {'requests_per_s'}


@dataclass
class Topic:
    name: str
    partitions: int = 1
    settings: dict = field(default_factory=dict)


@dataclass
class Case:
    row: int
    name: str
    figure: str                       # of FIGURES: what the ratio is about
    target: Optional[float] = None    # the figure divided by Kafka's: at most this (at least, when more is better)
    topics: tuple = ()
    fill: tuple = ()                  # groups with a count, run before
    groups: tuple = ()                # run while measuring; results are those of the first
    calls: tuple = ()                 # for a call group: (API, version, values or function(cluster), error position)
    seconds: float = 4
    warmup_s: float = 1
    bulk_gb: float = 0                # written at most; page cache of this size is prepared
    limit: str = ''                   # the machine's limit that stands beside it (limits.py)
    measure: Optional[Callable] = None
    quick: bool = False
    cores: str = 'one'                # 'both': the broker may use both, and so may the load


def group(kind, **options):
    return ','.join([kind] + [f'{name}={value}' for name, value in options.items()])


def produce_bulk(row, name, partitions, record_bytes, batch_bytes, target, gb=1.5, quick=False, codec='none', seconds=4,
                 limit='store', connections=4, figure='cpu_s_per_gb', settings=None, cores='one', **more):
    batches = max(1, int(gb * GB / max(batch_bytes, record_bytes)))
    return Case(row, name, figure, target,
                topics=(Topic('bulk', partitions, settings or {}),),
                groups=(group('produce', topic='bulk', partitions=partitions, connections=connections, inflight=5,
                              record_bytes=record_bytes, batch_bytes=batch_bytes, codec=codec, count=batches, **more),),
                seconds=seconds, warmup_s=0.3, bulk_gb=gb, limit=limit, quick=quick, cores=cores)


def produce_single(row, connections, target, quick=False, figure='cpu_us_per_request', name=None, **more):
    return Case(row, name or f'produce 100 B a request, {connections} connections', figure, target,
                topics=(Topic('small', 16),),
                groups=(group('produce', topic='small', partitions=16, connections=connections, inflight=5,
                              record_bytes=100, batch_bytes=0, **more),),
                seconds=4, warmup_s=0.5, limit='echo', quick=quick)


def fetch_warm(row, consumers, target, quick=False, seconds=4):
    shape = dict(record_bytes=1000, batch_bytes=65536)
    return Case(row, f'fetch warm, {consumers} consumer{"s" * (consumers > 1)}', 'cpu_s_per_gb', target,
                topics=(Topic('warm', 1),),
                fill=(group('produce', topic='warm', connections=4, inflight=5, count=8000, **shape),),
                groups=(group('fetch', topic='warm', connections=consumers, wrap=1, **shape),),
                seconds=seconds, warmup_s=0.3, bulk_gb=0.52, limit='sendfile', quick=quick)


def ping(row, name, call, target, topics=(), quick=False, connections=10):
    return Case(row, name, 'cpu_us_per_request', target, topics=topics, calls=(call,),
                groups=(group('call', connections=connections, inflight=5, error_at=call[3]),),
                seconds=3, warmup_s=0.5, limit='echo', quick=quick)


THOUSAND = tuple(Topic(f'many-{n}') for n in range(1000))

CASES = [
    produce_bulk(1, 'produce 1 KB in 64 KB batches, 1 partition', 1, 1000, 65536, 1 / 4, quick=True),
    produce_bulk(1, 'produce 1 KB in 64 KB batches, 16 partitions', 16, 1000, 65536, 1 / 4),
    produce_bulk(2, 'produce 100 B in 16 KB batches', 16, 100, 16384, 1 / 4, gb=1, quick=True),
    produce_single(3, 1, 1 / 8),
    produce_single(3, 50, 1 / 8, quick=True),
    produce_single(3, 500, 1 / 8),
    fetch_warm(5, 1, 1, quick=True),
    fetch_warm(5, 20, 1),
    ping(12, 'ApiVersions', ('ApiVersions', 3, {'ClientSoftwareName': 'bench', 'ClientSoftwareVersion': '1'}, 4), 1 / 15,
         quick=True),
    ping(12, 'Metadata of 1 topic', ('Metadata', 12, {'Topics': [{'Name': 'one'}], 'AllowAutoTopicCreation': False}, -1),
         1 / 15, topics=(Topic('one'),)),
    ping(12, 'Metadata of 1,000 topics', ('Metadata', 12, {'Topics': None, 'AllowAutoTopicCreation': False}, -1),
         1 / 15, topics=THOUSAND),
]
