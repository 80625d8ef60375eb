"""Where a log begins and ends: offsets by time, ends of epochs, and moving the start."""
import records
from records import Record

from scenarios.fetch import filled

EARLIEST, LATEST = -2, -1


# --- ListOffsets ---------------------------------------------------------------------------------------------
def _list(*topics, replica=-1, isolation=0, timeout_ms=5000):
    """A topic is (name, [(partition, timestamp[, epoch])])."""
    return {'ReplicaId': replica, 'IsolationLevel': isolation, 'TimeoutMs': timeout_ms, 'Topics': [
        {'Name': n, 'Partitions': [{'PartitionIndex': p[0], 'Timestamp': p[1], 'MaxNumOffsets': 10,
                                    'CurrentLeaderEpoch': p[2] if len(p) > 2 else -1} for p in ps]}
        for n, ps in topics]}


def ends_of_an_empty_log(t):
    name = t.create_topic()
    for timestamp in (EARLIEST, LATEST, 0):
        t.ask(_list((name, [(0, timestamp)])))


def ends(t):
    name = filled(t, 2, 3)
    t.ask(_list((name, [(0, EARLIEST)])))
    t.ask(_list((name, [(0, LATEST)])))


def ends_after_delete_records(t):
    name = filled(t, 2, 3)
    t.delete_records(name, 3)
    t.ask(_list((name, [(0, EARLIEST)])))
    t.ask(_list((name, [(0, 0)])))


def special_timestamps(t):
    """-3 the largest timestamp (7), -4 the local start (8), -5 the last tiered (9), -6 the earliest pending (11)."""
    name = t.create_topic()
    t.produce(name, data=records.batch([Record(b'a', b'', timestamp=1700000005000),
                                        Record(b'b', b'', timestamp=1700000009000),
                                        Record(b'c', b'', timestamp=1700000001000)]))
    t.produce(name, data=records.batch([Record(b'd', b'', timestamp=1700000004000)]))
    for timestamp in (-3, -4, -5, -6, -7, -100):
        t.ask(_list((name, [(0, timestamp)])))


def by_time(t):
    name = t.create_topic()
    for start in (1700000001000, 1700000005000, 1700000003000):
        t.produce(name, data=records.batch([Record(b'k', b'', timestamp=start + i * 500) for i in range(3)]))
    for timestamp in (0, 1, 1700000000999, 1700000001000, 1700000001001, 1700000002000, 1700000002001,
                      1700000005500, 1700000006000, 1700000006001):
        t.ask(_list((name, [(0, timestamp)])))


def by_time_in_a_compressed_batch(t):
    name = t.create_topic()
    t.produce(name, data=records.batch([Record(b'k', b'', timestamp=1700000001000 + i * 500) for i in range(4)],
                                       codec='gzip'))
    for timestamp in (1700000001001, 1700000002500):
        t.ask(_list((name, [(0, timestamp)])))


def by_time_over_several_segments(t):
    name = t.create_topic(configs={'segment.bytes': 1048576})
    for i in range(5):
        t.produce(name, data=records.batch([Record(b'k', b'x' * 400000, timestamp=1700000000000 + i * 1000)]))
    for timestamp in (1700000000000, 1700000001500, 1700000003000, 1700000004000, 1700000005000, -1, -2, -3):
        t.ask(_list((name, [(0, timestamp)])))


def unknown_topics_and_partitions(t):
    name = filled(t, 1)
    t.ask(_list((t.name('none'), [(0, LATEST)]), (name, [(0, LATEST), (4, LATEST), (-1, LATEST)])))


def the_same_partition_twice(t):
    name = filled(t, 1)
    t.ask(_list((name, [(0, LATEST), (0, EARLIEST)])))


def several_topics(t):
    a, b = filled(t, 1, suffix='a', partitions=2), filled(t, 2, suffix='b')
    t.ask(_list((b, [(0, LATEST)]), (a, [(1, EARLIEST), (0, LATEST)])))


def read_committed(t):
    name = filled(t, 2)
    t.ask(_list((name, [(0, LATEST)]), isolation=1))
    t.ask(_list((name, [(0, EARLIEST)]), isolation=1))


def leader_epochs(t):
    name = filled(t, 2)
    for epoch in (-1, 0, 1, 50):
        t.ask(_list((name, [(0, LATEST, epoch)])))


def as_replica(t):
    name = filled(t, 2)
    t.ask(_list((name, [(0, LATEST)]), replica=1))
    t.ask(_list((name, [(0, LATEST)]), replica=-2))
    t.ask(_list((name, [(0, LATEST)]), replica=9))


def no_offsets_wanted(t):
    """Version 0 answers with a list, up to a number."""
    if t.version == 0:
        name = filled(t, 2)
        for count in (0, 1, 2, -1):
            t.ask({'ReplicaId': -1, 'Topics': [{'Name': name, 'Partitions': [
                {'PartitionIndex': 0, 'Timestamp': LATEST, 'MaxNumOffsets': count}]}]})


def after_more_records(t):
    name = filled(t, 2)
    t.ask(_list((name, [(0, LATEST)])))
    t.produce(name, 3)
    t.ask(_list((name, [(0, LATEST)])))


ListOffsets = [ends_of_an_empty_log, ends, ends_after_delete_records, special_timestamps, by_time,
               by_time_in_a_compressed_batch, by_time_over_several_segments, unknown_topics_and_partitions,
               the_same_partition_twice, several_topics, read_committed, leader_epochs, as_replica,
               no_offsets_wanted, after_more_records]


# --- OffsetForLeaderEpoch ------------------------------------------------------------------------------------
def _epochs(*topics, replica=-1):
    """A topic is (name, [(partition, epoch[, current epoch])])."""
    return {'ReplicaId': replica, 'Topics': [
        {'Topic': n, 'Partitions': [{'Partition': p[0], 'LeaderEpoch': p[1],
                                     'CurrentLeaderEpoch': p[2] if len(p) > 2 else -1} for p in ps]}
        for n, ps in topics]}


def epoch_zero(t):
    name = filled(t, 2, 1)
    t.ask(_epochs((name, [(0, 0)])))
    t.produce(name, 1)
    t.ask(_epochs((name, [(0, 0)])))


def epoch_of_an_empty_log(t):
    t.ask(_epochs((t.create_topic(), [(0, 0)])))


def epochs_that_were_not(t):
    name = filled(t, 2)
    for epoch in (1, 50, -1, -2):
        t.ask(_epochs((name, [(0, epoch)])))


def current_epochs(t):
    name = filled(t, 2)
    for current in (-1, 0, 1, 50):
        t.ask(_epochs((name, [(0, 0, current)])))


def epochs_of_unknown_partitions(t):
    t.ask(_epochs((t.name('none'), [(0, 0)]), (filled(t, 1), [(3, 0), (0, 0), (-1, 0)])))


def epochs_as_replica(t):
    name = filled(t, 1)
    t.ask(_epochs((name, [(0, 0)]), replica=1))
    t.ask(_epochs((name, [(0, 0)]), replica=-2))


OffsetForLeaderEpoch = [epoch_zero, epoch_of_an_empty_log, epochs_that_were_not, current_epochs,
                        epochs_of_unknown_partitions, epochs_as_replica]


# --- DeleteRecords -------------------------------------------------------------------------------------------
def _delete(*topics, timeout_ms=5000):
    return {'TimeoutMs': timeout_ms, 'Topics': [
        {'Name': n, 'Partitions': [{'PartitionIndex': p, 'Offset': o} for p, o in ps]} for n, ps in topics]}


def up_to_an_offset(t):
    name = filled(t, 2, 3)
    for offset in (0, 1, 3, 2, 5):
        t.ask(_delete((name, [(0, offset)])))
        t.call('ListOffsets', 7, _list((name, [(0, EARLIEST)])))


def up_to_the_end(t):
    name = filled(t, 2)
    t.ask(_delete((name, [(0, -1)])))
    t.ask(_delete((name, [(0, -1)])))


def beyond_the_end(t):
    name = filled(t, 2)
    t.ask(_delete((name, [(0, 3)])))
    t.ask(_delete((name, [(0, -2)])))


def of_unknown_partitions(t):
    t.ask(_delete((t.name('none'), [(0, 0)]), (filled(t, 1), [(0, 1), (4, 0), (-1, 0)])))


def of_a_compacted_topic(t):
    name = t.create_topic(configs={'cleanup.policy': 'compact'})
    t.produce(name, 2)
    t.ask(_delete((name, [(0, 1)])))


def of_an_internal_topic(t):
    t.keep_internal = True
    t.ask(_delete(('__consumer_offsets', [(0, 0)])))


def of_an_empty_log(t):
    name = t.create_topic()
    t.ask(_delete((name, [(0, 0)])))
    t.ask(_delete((name, [(0, -1)])))


def of_several(t):
    name = filled(t, 3, partitions=3)
    t.ask(_delete((name, [(0, 1), (2, 3), (1, 9)])))


DeleteRecords = [up_to_an_offset, up_to_the_end, beyond_the_end, of_unknown_partitions, of_a_compacted_topic,
                 of_an_internal_topic, of_an_empty_log, of_several]
