"""Topics, and groups of load in the words of the load generator (options.c)."""
from dataclasses import dataclass, field

GB = 1_000_000_000
CLIENT = {'ClientSoftwareName': 'bench', 'ClientSoftwareVersion': '1'}


@dataclass
class Topic:
    name: str
    partitions: int = 1
    settings: dict = field(default_factory=dict)


def group(kind, **options):
    return ','.join([kind] + [f'{name}={value}' for name, value in options.items()])


def bulk_groups(partitions, record_bytes, batch_bytes, gb, connections=4, inflight=5, **more):
    batches = max(1, int(gb * GB / max(batch_bytes, record_bytes)))
    return (group('produce', topic='bulk', partitions=partitions, connections=connections, inflight=inflight,
                  record_bytes=record_bytes, batch_bytes=batch_bytes, count=batches, **more),)


def small_groups(connections, partitions=16, inflight=5, record_bytes=100, batch_bytes=0, **more):
    return (group('produce', topic='small', partitions=partitions, connections=connections, inflight=inflight,
                  record_bytes=record_bytes, batch_bytes=batch_bytes, **more),)


def end_to_end_groups(rate, partitions=16, connections=16, session=1):
    """Consumers first: their latency is from when a record was due to when it arrived."""
    shape = dict(topic='live', partitions=partitions, record_bytes=100, stamp=1)
    return (group('fetch', connections=partitions, session=session, **shape),
            group('produce', connections=connections, inflight=5, rate=rate, **shape))
