"""Producing: what is accepted, with which offsets, and what each kind of bad batch is answered with."""
import records
from records import Record


def body(t, topic, data, acks=-1, partition=0, timeout_ms=5000, transactional_id=None, topic_id=None):
    """A Produce of one partition, by name or (from version 13) by id."""
    return {'Acks': acks, 'TimeoutMs': timeout_ms, 'TransactionalId': transactional_id,
            'TopicData': [{'Name': topic, 'TopicId': topic_id or (t.topic_id(topic) if t.version >= 13 else bytes(16)),
                           'PartitionData': [{'Index': partition, 'Records': data}]}]}


def _rows(count, size=1):
    return [Record(b'k%d' % i, b'v' * size) for i in range(count)]


def _data(t, rows, **options):
    return records.for_version(rows, t.version, **options)


def _read_back(t, topic):
    """What a consumer of this age gets, including the format that the log holds."""
    t.call('Fetch', 4 if t.version >= 3 else 2, {
        'ReplicaId': -1, 'MaxWaitMs': 0, 'MinBytes': 0, 'MaxBytes': 1 << 20, 'Topics': [
            {'Topic': topic, 'Partitions': [{'Partition': 0, 'FetchOffset': 0, 'PartitionMaxBytes': 1 << 20}]}]})


def one_record(t):
    topic = t.create_topic()
    t.ask(body(t, topic, _data(t, _rows(1))))
    _read_back(t, topic)


def several_batches_in_turn(t):
    topic = t.create_topic()
    for count in (1, 3, 2):
        t.ask(body(t, topic, _data(t, _rows(count))))
    _read_back(t, topic)


def acks_one(t):
    t.ask(body(t, t.create_topic(), _data(t, _rows(2)), acks=1))


def acks_zero(t):
    topic = t.create_topic()
    t.no_answer(body(t, topic, _data(t, _rows(2)), acks=0))
    _read_back(t, topic)


def acks_bad(t):
    topic = t.create_topic()
    for acks in (2, -2, 100):
        t.ask(body(t, topic, _data(t, _rows(1)), acks=acks))


def unknown_topic(t):
    if t.version < 13:
        t.ask(body(t, t.name('none'), _data(t, _rows(1))))
        t.ask(body(t, t.name('none'), _data(t, _rows(1)), acks=1))
    else:
        t.ask(body(t, t.name('none'), _data(t, _rows(1)), topic_id=b'\x07' * 16))


def acks_zero_to_unknown_topic(t):
    """Kafka hangs up, since there is no answer to carry the error."""
    if t.version < 13:
        t.no_answer(body(t, t.name('none'), _data(t, _rows(1)), acks=0))


def unknown_partition(t):
    topic = t.create_topic()
    t.ask(body(t, topic, _data(t, _rows(1)), partition=3))
    t.ask(body(t, topic, _data(t, _rows(1)), partition=-1))


def topic_name_bad(t):
    if t.version < 13:
        for name in ('', '.', 'a/b', 'x' * 250):
            t.ask(body(t, name, _data(t, _rows(1))))


def no_partitions(t):
    t.ask({'Acks': -1, 'TimeoutMs': 1000, 'TopicData': []})
    topic = t.create_topic()
    t.ask({'Acks': -1, 'TimeoutMs': 1000, 'TopicData': [
        {'Name': topic, 'TopicId': t.topic_id(topic), 'PartitionData': []}]})


def two_partitions_and_a_bad_one(t):
    topic = t.create_topic('t', 2)
    t.ask({'Acks': -1, 'TimeoutMs': 5000, 'TopicData': [
        {'Name': topic, 'TopicId': t.topic_id(topic), 'PartitionData': [
            {'Index': p, 'Records': _data(t, _rows(p + 1))} for p in (1, 0, 2)]}]})


def two_topics(t):
    a, b = t.create_topic('a'), t.create_topic('b')
    t.ask({'Acks': -1, 'TimeoutMs': 5000, 'TopicData': [
        {'Name': n, 'TopicId': t.topic_id(n), 'PartitionData': [{'Index': 0, 'Records': _data(t, _rows(1))}]}
        for n in (b, a)]})


def empty_records(t):
    t.ask(body(t, t.create_topic(), b''))


def null_records(t):
    t.ask(body(t, t.create_topic(), None))


def null_keys_and_values(t):
    topic = t.create_topic()
    t.ask(body(t, topic, _data(t, [Record(None, b'x'), Record(b'x', None), Record(None, None), Record(b'', b'')])))
    _read_back(t, topic)


def headers(t):
    topic = t.create_topic()
    t.ask(body(t, topic, _data(t, [Record(b'k', b'v', [(b'h', b'1'), (b'h', None), (b'', b'')])])))
    _read_back(t, topic)


def gzip(t):
    topic = t.create_topic()
    t.ask(body(t, topic, _data(t, _rows(5, 20), codec='gzip')))
    if t.version >= 3:
        _read_back(t, topic)


def wrong_checksum(t):
    topic = t.create_topic()
    if t.version >= 3:
        t.ask(body(t, topic, records.batch(_rows(1), crc=1)))
    else:
        t.ask(body(t, topic, records.message(Record(b'k', b'v'), magic=0 if t.version < 2 else 1, crc=1)))
    _read_back(t, topic)


def lying_counts(t):
    topic = t.create_topic()
    if t.version >= 3:
        t.ask(body(t, topic, records.batch(_rows(2), count=3)))
        t.ask(body(t, topic, records.batch(_rows(2), count=1)))
        t.ask(body(t, topic, records.batch(_rows(2), last_offset_delta=5)))
        t.ask(body(t, topic, records.batch(_rows(2), count=-1)))
        t.ask(body(t, topic, records.batch([], last_offset_delta=-1)))
    _read_back(t, topic)


def lying_lengths(t):
    topic = t.create_topic()
    if t.version >= 3:
        whole = records.batch(_rows(2))
        t.ask(body(t, topic, records.batch(_rows(2), length=10)))
        t.ask(body(t, topic, records.batch(_rows(2), length=-1)))
        t.ask(body(t, topic, records.batch(_rows(2), length=100000)))
        t.ask(body(t, topic, whole[:-3]))
        t.ask(body(t, topic, whole + b'\x00' * 5))


def wrong_magic(t):
    topic = t.create_topic()
    if t.version >= 3:
        t.ask(body(t, topic, records.message_set(_rows(1), magic=0)))
        t.ask(body(t, topic, records.message_set(_rows(1), magic=1)))
        t.ask(body(t, topic, records.batch(_rows(1), magic=3)))
    else:
        t.ask(body(t, topic, records.batch(_rows(1))))
        t.ask(body(t, topic, records.message_set(_rows(1), magic=1 if t.version < 2 else 0)))


def two_batches_in_one(t):
    topic = t.create_topic()
    if t.version >= 3:
        t.ask(body(t, topic, records.batch(_rows(1)) + records.batch(_rows(2), base_offset=1)))
    else:
        t.ask(body(t, topic, _data(t, _rows(1)) + _data(t, _rows(2))))
    _read_back(t, topic)


def base_offset_not_zero(t):
    topic = t.create_topic()
    if t.version >= 3:
        t.ask(body(t, topic, records.batch(_rows(2), base_offset=77)))
    _read_back(t, topic)


def unknown_codec(t):
    if t.version >= 3:
        topic = t.create_topic()
        t.ask(body(t, topic, records.batch(_rows(1), attributes=5)))
        t.ask(body(t, topic, records.batch(_rows(1), attributes=7)))


def codec_with_garbage(t):
    if t.version >= 3:
        topic = t.create_topic()
        for codec in (1, 2, 3, 4):
            t.ask(body(t, topic, records.batch(_rows(1), attributes=codec)))


def control_batch(t):
    """Only coordinators write control records."""
    if t.version >= 3:
        topic = t.create_topic()
        t.ask(body(t, topic, records.batch([Record(b'\0\0\0\0', b'\0\0\0\0\0\0')], attributes=0x20)))


def transactional_batch_without_transaction(t):
    if t.version >= 3:
        topic = t.create_topic()
        t.ask(body(t, topic, records.batch(_rows(1), attributes=0x10)))


def too_large_for_the_topic(t):
    topic = t.create_topic(configs={'max.message.bytes': 200})
    t.ask(body(t, topic, _data(t, [Record(b'k', b'v' * 300)])))
    t.ask(body(t, topic, _data(t, [Record(b'k', b'v' * 20)])))


def compacted_topic_without_key(t):
    topic = t.create_topic(configs={'cleanup.policy': 'compact'})
    t.ask(body(t, topic, _data(t, [Record(b'k', b'v'), Record(None, b'v')])))
    t.ask(body(t, topic, _data(t, [Record(b'k', b'v')])))


def log_append_time(t):
    topic = t.create_topic(configs={'message.timestamp.type': 'LogAppendTime'})
    t.ask(body(t, topic, _data(t, _rows(1))))


def timestamps_out_of_bounds(t):
    topic = t.create_topic(configs={'message.timestamp.before.max.ms': 1000})
    t.ask(body(t, topic, _data(t, _rows(1))))
    topic = t.create_topic('u')
    if t.version >= 3:
        t.ask(body(t, topic, records.batch([Record(b'k', b'v', timestamp=9999999999999)])))
        t.ask(body(t, topic, records.batch([Record(b'k', b'v', timestamp=-1)])))


def min_insync_replicas(t):
    topic = t.create_topic(configs={'min.insync.replicas': 2})
    t.ask(body(t, topic, _data(t, _rows(1))))
    t.ask(body(t, topic, _data(t, _rows(1)), acks=1))


def pipelined_batches(t):
    topic = t.create_topic()
    request = body(t, topic, _data(t, _rows(2)))
    t.pipeline([(t.api, t.version, request)] * 5 + [('Metadata', 9, {'Topics': []}), (t.api, t.version, request)])


def idempotent_sequences(t):
    """In order, a duplicate, a gap, an older duplicate, and a bad epoch."""
    topic = t.create_topic()
    pid, epoch = t.producer_id()

    def send(sequence, count=2, producer_epoch=epoch):
        t.ask(body(t, topic, records.batch(_rows(count), producer_id=pid, producer_epoch=producer_epoch,
                                           base_sequence=sequence)))
    for sequence in (0, 2, 2, 0, 6, 4, 4, 6, 8, 10, 12, 14):
        send(sequence)
    send(0)
    send(16, producer_epoch=epoch + 1)
    send(0, producer_epoch=epoch + 1)
    send(2, producer_epoch=epoch)
    _read_back(t, topic)


def idempotent_first_sequence_not_zero(t):
    topic = t.create_topic()
    pid, epoch = t.producer_id()
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=pid, producer_epoch=epoch, base_sequence=5)))
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=pid, producer_epoch=epoch, base_sequence=6)))


def idempotent_with_unknown_producer(t):
    topic = t.create_topic()
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=987654321, producer_epoch=3, base_sequence=0)))
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=987654321, producer_epoch=2, base_sequence=1)))


def idempotent_odd_fields(t):
    topic = t.create_topic()
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=5, producer_epoch=-1, base_sequence=0)))
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=5, producer_epoch=0, base_sequence=-1)))
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=-1, producer_epoch=0, base_sequence=0)))


def idempotent_two_batches_in_one(t):
    topic = t.create_topic()
    pid, epoch = t.producer_id()
    t.ask(body(t, topic, records.batch(_rows(1), producer_id=pid, producer_epoch=epoch, base_sequence=0)
               + records.batch(_rows(1), producer_id=pid, producer_epoch=epoch, base_sequence=1)))


for _function in (idempotent_sequences, idempotent_first_sequence_not_zero, idempotent_with_unknown_producer,
                  idempotent_odd_fields, idempotent_two_batches_in_one):
    _function.versions = (3, 99)

Produce = [one_record, several_batches_in_turn, acks_one, acks_zero, acks_bad, unknown_topic,
           acks_zero_to_unknown_topic, unknown_partition, topic_name_bad, no_partitions,
           two_partitions_and_a_bad_one, two_topics, empty_records, null_records, null_keys_and_values, headers, gzip,
           wrong_checksum, lying_counts, lying_lengths, wrong_magic, two_batches_in_one, base_offset_not_zero,
           unknown_codec, codec_with_garbage, control_batch, transactional_batch_without_transaction,
           too_large_for_the_topic, compacted_topic_without_key, log_append_time, timestamps_out_of_bounds,
           min_insync_replicas, pipelined_batches, idempotent_sequences, idempotent_first_sequence_not_zero,
           idempotent_with_unknown_producer, idempotent_odd_fields, idempotent_two_batches_in_one]


# --- InitProducerId ------------------------------------------------------------------------------------------
def _init(pid=-1, epoch=-1, timeout_ms=60000, transactional_id=None):
    return {'TransactionalId': transactional_id, 'TransactionTimeoutMs': timeout_ms, 'ProducerId': pid,
            'ProducerEpoch': epoch}


def idempotent(t):
    t.ask(_init())


def two_are_different(t):
    first, second = t.ask(_init()), t.ask(_init())
    t.note('different', first['ProducerId'] != second['ProducerId'])


def known_producer_without_transactional_id(t):
    pid, epoch = t.producer_id()
    t.ask(_init(pid, epoch))


def only_one_of_id_and_epoch(t):
    t.ask(_init(5, -1))
    t.ask(_init(-1, 5))


def odd_timeouts(t):
    t.ask(_init(timeout_ms=0))
    t.ask(_init(timeout_ms=-1))
    t.ask(_init(timeout_ms=2 ** 31 - 1))


def empty_transactional_id(t):
    t.ask(_init(transactional_id=''))


def then_produce(t):
    answer = t.ask(_init())
    topic = t.create_topic()
    t.call('Produce', 9, {'Acks': -1, 'TimeoutMs': 5000, 'TopicData': [{'Name': topic, 'PartitionData': [
        {'Index': 0, 'Records': records.batch(_rows(1), producer_id=answer['ProducerId'],
                                              producer_epoch=answer['ProducerEpoch'], base_sequence=0)}]}]})


def pipelined_ids(t):
    t.pipeline([(t.api, t.version, _init())] * 4)


InitProducerId = [idempotent, two_are_different, known_producer_without_transactional_id, only_one_of_id_and_epoch,
                  odd_timeouts, empty_transactional_id, then_produce, pipelined_ids]


# --- DescribeProducers ---------------------------------------------------------------------------------------
def _producers(*topics):
    return {'Topics': [{'Name': n, 'PartitionIndexes': ps} for n, ps in topics]}


def without_producers(t):
    topic = t.create_topic()
    t.produce(topic, 2)
    t.ask(_producers((topic, [0])))


def with_a_producer(t):
    topic = t.create_topic()
    pid, epoch = t.producer_id()
    t.produce(topic, 2, producer_id=pid, producer_epoch=epoch, base_sequence=0)
    t.ask(_producers((topic, [0])))
    t.produce(topic, 3, producer_id=pid, producer_epoch=epoch, base_sequence=2)
    t.ask(_producers((topic, [0])))


def of_unknown_partitions(t):
    t.ask(_producers((t.create_topic(), [0, 4, -1]), (t.name('none'), [0])))


def of_nothing(t):
    t.ask(_producers((t.create_topic(), [])))


def of_a_bad_name(t):
    t.ask(_producers(('a/b', [0]), ('', [0])))


DescribeProducers = [without_producers, with_a_producer, of_unknown_partitions, of_nothing, of_a_bad_name]
