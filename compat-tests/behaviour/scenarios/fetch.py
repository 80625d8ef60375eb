"""Fetching: positions, limits, isolation, sessions, epochs, long polls."""
import time

import records
from records import Record


def part(partition=0, offset=0, max_bytes=1 << 20, epoch=-1, **more):
    return {'Partition': partition, 'FetchOffset': offset, 'PartitionMaxBytes': max_bytes,
            'CurrentLeaderEpoch': epoch, **more}


def topic_row(t, name, *parts, topic_id=None):
    """A topic of the request: by name until version 12, by id from 13 on."""
    if topic_id is None:
        topic_id = t.topic_id(name) if t.version >= 13 else bytes(16)
    return {'Topic': name, 'TopicId': topic_id, 'Partitions': list(parts)}


def body(*topics, wait_ms=0, min_bytes=0, max_bytes=1 << 20, isolation=0, session=0, epoch=-1, forget=(), **more):
    return {'ReplicaId': -1, 'MaxWaitMs': wait_ms, 'MinBytes': min_bytes, 'MaxBytes': max_bytes,
            'IsolationLevel': isolation, 'SessionId': session, 'SessionEpoch': epoch, 'Topics': list(topics),
            'ForgottenTopicsData': list(forget), **more}


def filled(t, *counts, suffix='t', partitions=1, configs=None):
    """A topic with one batch for each count in each partition."""
    name = t.create_topic(suffix, partitions, configs)
    for partition in range(partitions):
        for count in counts:
            t.produce(name, count, partition)
    return name


def from_the_beginning(t):
    t.ask(body(topic_row(t, filled(t, 3), part())))


def empty_topic(t):
    t.ask(body(topic_row(t, t.create_topic(), part())))


def every_offset(t):
    """Also in the middle of a batch: the whole batch comes."""
    name = filled(t, 2, 3)
    for offset in range(6):
        t.ask(body(topic_row(t, name, part(offset=offset))))


def out_of_range(t):
    name = filled(t, 2)
    for offset in (3, 1000, -1, -2, 2 ** 62):
        t.ask(body(topic_row(t, name, part(offset=offset))))


def below_log_start(t):
    name = filled(t, 2, 2, 2)
    t.delete_records(name, 3)
    for offset in (0, 2, 3, 6):
        t.ask(body(topic_row(t, name, part(offset=offset))))


def unknown_topic(t):
    t.ask(body(topic_row(t, t.name('none'), part(), topic_id=b'\x05' * 16)))


def known_and_unknown_topic(t):
    known = filled(t, 1)
    t.ask(body(topic_row(t, known, part()), topic_row(t, t.name('none'), part(), topic_id=b'\x05' * 16)))


def unknown_partition(t):
    name = filled(t, 1)
    t.ask(body(topic_row(t, name, part(1), part(0), part(-1))))


def no_topics(t):
    t.ask(body())


def zero_topic_id(t):
    t.ask(body(topic_row(t, t.name('none'), part(), topic_id=bytes(16))))


def several_partitions(t):
    name = filled(t, 2, partitions=3)
    t.ask(body(topic_row(t, name, part(2), part(0), part(1, 1))))


def several_topics(t):
    a, b = filled(t, 1, suffix='a'), filled(t, 2, suffix='b')
    t.ask(body(topic_row(t, b, part()), topic_row(t, a, part())))


def same_partition_twice(t):
    name = filled(t, 2)
    t.ask(body(topic_row(t, name, part(), part(offset=1))))


def _large(t, suffix='t', partitions=1):
    name = t.create_topic(suffix, partitions)
    for partition in range(partitions):
        for i in range(4):
            t.produce(name, data=records.batch([Record(b'k', b'x' * 500)]), partition=partition)
    return name


def partition_max_bytes(t):
    """The first batch always comes whole (from version 3 on); old versions are cut."""
    name = _large(t)
    for limit in (0, 1, 100, 600, 1200, 1300, 10000):
        t.ask(body(topic_row(t, name, part(max_bytes=limit))))


def max_bytes(t):
    """Spent in the order of the request; only the first non-empty partition may exceed it."""
    name = _large(t, partitions=3)
    for limit in (0, 1, 600, 1200, 2500, 3000, 1 << 20):
        t.ask(body(topic_row(t, name, part(0, 4), part(2), part(0, 0), part(1)), max_bytes=limit))


def max_bytes_over_topics(t):
    a, b = _large(t, 'a'), _large(t, 'b')
    for limit in (1, 600, 1700, 2400, 3000):
        t.ask(body(topic_row(t, b, part()), topic_row(t, a, part()), max_bytes=limit))


def read_committed_within_limits(t):
    """The first partition that has something gives at least a batch; of the others none that is too large."""
    name = filled(t, 2, 2, partitions=2)
    for limit in (0, 1, 50, 100, 200):
        t.ask(body(topic_row(t, name, part(0), part(1, max_bytes=limit)), isolation=1))
        t.ask(body(topic_row(t, name, part(0), part(1)), max_bytes=limit, isolation=1))


read_committed_within_limits.versions = (4, 99)


def negative_limits(t):
    name = filled(t, 1)
    t.ask(body(topic_row(t, name, part(max_bytes=-1))))
    t.ask(body(topic_row(t, name, part()), max_bytes=-1))
    t.ask(body(topic_row(t, name, part()), min_bytes=-5))


def waits_for_data(t):
    """A long poll that ends by its time, and one that has enough at once."""
    name = filled(t, 1)
    for offset, minimum, least, most in ((1, 1, 0.25, 5), (0, 1, 0, 5), (0, 100000, 0.25, 5)):
        began = time.monotonic()
        t.ask(body(topic_row(t, name, part(offset=offset)), wait_ms=300, min_bytes=minimum))
        took = time.monotonic() - began
        t.note('waited', least <= took < most)


def woken_by_a_produce(t):
    name = filled(t, 1)
    connection = t.connection('waiting')
    request = body(topic_row(t, name, part(offset=1)), wait_ms=8000, min_bytes=1)
    connection.post(t.api, t.version, request)
    began = time.monotonic()
    t.produce(name, 2)
    answer = connection.take()
    t.note('early', time.monotonic() - began < 6)
    t.note('error', answer['Responses'][0]['Partitions'][0]['ErrorCode'])
    t.note('records', records.parse(answer['Responses'][0]['Partitions'][0]['Records'])[0]['base_offset'])


def an_error_and_the_wait(t):
    """Whether a partition that does not exist ends the long poll."""
    name = filled(t, 1)
    began = time.monotonic()
    t.ask(body(topic_row(t, name, part(offset=1), part(7)), wait_ms=600, min_bytes=1))
    t.note('at once', time.monotonic() - began < 0.4)


def read_committed(t):
    name = filled(t, 2, 2)
    t.ask(body(topic_row(t, name, part()), isolation=1))
    t.ask(body(topic_row(t, name, part(offset=4)), isolation=1))


def unknown_isolation(t):
    t.ask(body(topic_row(t, filled(t, 1), part()), isolation=9))


unknown_isolation.versions = read_committed.versions = (4, 99)


def leader_epochs(t):
    name = filled(t, 1)
    for epoch in (0, 1, -1, -2, 100):
        t.ask(body(topic_row(t, name, part(epoch=epoch))))


leader_epochs.versions = (9, 99)


def last_fetched_epoch(t):
    """An epoch that ends before the offset makes the answer name where they diverge."""
    name = filled(t, 2)
    for fetched, offset in ((0, 1), (0, 2), (5, 1), (-1, 1), (0, 3)):
        t.ask(body(topic_row(t, name, part(offset=offset, epoch=0, LastFetchedEpoch=fetched))))


last_fetched_epoch.versions = (12, 99)


def null_key_values_headers(t):
    name = t.create_topic()
    t.produce(name, data=records.batch([Record(None, b'x'), Record(b'x', None), Record(b'', b'', [(b'h', None)])]))
    t.ask(body(topic_row(t, name, part())))


def gzip_batch(t):
    name = t.create_topic()
    t.produce(name, data=records.batch([Record(b'k', b'v' * 50) for _ in range(5)], codec='gzip'))
    for offset in (0, 3):
        t.ask(body(topic_row(t, name, part(offset=offset))))


def every_codec(t):
    """As it was compressed; versions 0 to 3 get it converted, and zstd not before version 10."""
    for codec in ('gzip', 'snappy', 'lz4', 'zstd'):
        name = t.create_topic(codec)
        t.produce(name, data=records.batch([Record(b'k', b'v' * 50, [(b'h', b'1')]) for _ in range(5)], codec=codec))
        for offset in (0, 3):
            t.ask(body(topic_row(t, name, part(offset=offset))))


def topics_with_a_codec(t):
    """The topic's own codec: records are compressed by the broker."""
    for codec in ('gzip', 'snappy', 'lz4', 'zstd', 'uncompressed'):
        name = t.create_topic(codec, configs={'compression.type': codec})
        t.produce(name, data=records.batch([Record(b'k', b'v' * 50) for _ in range(5)], codec='gzip'))
        t.ask(body(topic_row(t, name, part())))
        t.ask(body(topic_row(t, name, part(offset=5))))
        t.ask(body(topic_row(t, name, part(offset=9))))


def pipelined_fetches(t):
    name = filled(t, 3)
    request = body(topic_row(t, name, part()))
    waiting = body(topic_row(t, name, part(offset=3)), wait_ms=200, min_bytes=1)
    t.pipeline([(t.api, t.version, request), (t.api, t.version, waiting), ('Metadata', 9, {'Topics': []}),
                (t.api, t.version, request)])


# --- sessions ------------------------------------------------------------------------------------------------
def _start(t, *topics):
    return t.ask(body(*topics, epoch=0))['SessionId']


def session(t):
    """Full, then incremental with nothing new, then with new data."""
    name = filled(t, 2, partitions=2)
    sid = _start(t, topic_row(t, name, part(0), part(1)))
    t.ask(body(session=sid, epoch=1, wait_ms=50, min_bytes=1))
    t.ask(body(topic_row(t, name, part(0, 2), part(1, 2)), session=sid, epoch=2))
    t.ask(body(session=sid, epoch=3))
    t.produce(name, 1, 1)
    t.ask(body(session=sid, epoch=4))
    t.ask(body(session=sid, epoch=5))


def session_wrong_epoch(t):
    name = filled(t, 1)
    sid = _start(t, topic_row(t, name, part()))
    t.ask(body(session=sid, epoch=5))
    t.ask(body(session=sid, epoch=1))


def session_unknown(t):
    t.ask(body(session=424242, epoch=1))
    t.ask(body(session=424242, epoch=0))
    t.ask(body(session=424242, epoch=-1))


def session_closed(t):
    name = filled(t, 1)
    sid = _start(t, topic_row(t, name, part()))
    t.ask(body(session=sid, epoch=-1))
    t.ask(body(session=sid, epoch=1))


def session_forgets(t):
    a, b = filled(t, 1, suffix='a'), filled(t, 1, suffix='b')
    sid = _start(t, topic_row(t, a, part()), topic_row(t, b, part()))
    t.ask(body(session=sid, epoch=1, forget=[
        {'Topic': a, 'TopicId': t.topic_id(a) if t.version >= 13 else bytes(16), 'Partitions': [0]}]))
    t.produce(a, 1)
    t.produce(b, 1)
    t.ask(body(session=sid, epoch=2))


def session_adds(t):
    a, b = filled(t, 1, suffix='a'), filled(t, 1, suffix='b')
    sid = _start(t, topic_row(t, a, part()))
    t.ask(body(topic_row(t, b, part()), session=sid, epoch=1))
    t.ask(body(topic_row(t, a, part(offset=1)), session=sid, epoch=2))


def session_with_errors(t):
    name = filled(t, 1)
    sid = _start(t, topic_row(t, name, part(0), part(5)),
                 topic_row(t, t.name('none'), part(), topic_id=b'\x05' * 16))
    t.ask(body(session=sid, epoch=1))


def without_a_topic_id(t):
    """In a session and alone; then several partitions, which Kafka can't tell apart."""
    name = filled(t, 1)
    t.ask(body(topic_row(t, name, part()), topic_row(t, '', part(), topic_id=bytes(16)), epoch=0))
    t.ask(body(topic_row(t, '', part(), topic_id=bytes(16))))
    t.ask(body(topic_row(t, '', part(0), part(1), topic_id=bytes(16))))


def session_without_topics(t):
    t.ask(body(epoch=0))


def session_sees_a_new_high_watermark(t):
    """The same position, more data behind it: the partition is in the answer again."""
    name = filled(t, 1)
    sid = _start(t, topic_row(t, name, part(offset=1)))
    t.ask(body(session=sid, epoch=1))
    t.produce(name, 1)
    t.ask(body(session=sid, epoch=2, wait_ms=2000, min_bytes=1))


for _function in (session, session_wrong_epoch, session_unknown, session_closed, session_forgets, session_adds,
                  session_with_errors, session_without_topics, session_sees_a_new_high_watermark):
    _function.versions = (7, 99)


without_a_topic_id.versions = (13, 99)


def as_a_replica(t):
    """A broker id that is no replica of the partition."""
    name = filled(t, 1)
    request = body(topic_row(t, name, part()))
    request['ReplicaId'] = 7
    request['ReplicaState'] = {'ReplicaId': 7, 'ReplicaEpoch': 1}
    t.ask(request)


def as_a_debugging_consumer(t):
    name = filled(t, 1)
    request = body(topic_row(t, name, part()))
    request['ReplicaId'] = -2
    request['ReplicaState'] = {'ReplicaId': -2, 'ReplicaEpoch': -1}
    t.ask(request)


def several_segments(t):
    """Reading stops at the end of a segment."""
    name = t.create_topic(configs={'segment.bytes': 1048576})
    for _ in range(5):
        t.produce(name, data=records.batch([Record(b'k', b'x' * 400000)]))
    for offset in (0, 1, 2, 4):
        t.ask(body(topic_row(t, name, part(offset=offset, max_bytes=900000)), max_bytes=2000000))


Fetch = [from_the_beginning, empty_topic, every_offset, out_of_range, below_log_start, unknown_topic,
         known_and_unknown_topic, unknown_partition, no_topics, zero_topic_id, several_partitions, several_topics,
         same_partition_twice, partition_max_bytes, max_bytes, max_bytes_over_topics, read_committed_within_limits,
         negative_limits,
         waits_for_data, woken_by_a_produce, an_error_and_the_wait, read_committed, unknown_isolation, leader_epochs,
         last_fetched_epoch, null_key_values_headers, gzip_batch, every_codec,
         topics_with_a_codec, pipelined_fetches, session, session_wrong_epoch,
         session_unknown, session_closed, session_forgets, session_adds, session_with_errors, without_a_topic_id,
         session_without_topics, session_sees_a_new_high_watermark, as_a_replica, as_a_debugging_consumer,
         several_segments]
