"""The Python client under test (confluent-kafka): commands on standard input, one answer a line, as in README.md."""
import sys
import time

import confluent_kafka
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

import rows

WAIT_S = 40
BOOTSTRAP = sys.argv[1]


def consumer(group):
    return Consumer({'bootstrap.servers': BOOTSTRAP, 'group.id': group, 'auto.offset.reset': 'earliest',
                     'enable.auto.commit': False, 'fetch.wait.max.ms': 100, 'log_level': 2})


def produce(topic, codec, count, base, headers, idempotent):
    producer = Producer({'bootstrap.servers': BOOTSTRAP, 'acks': 'all', 'linger.ms': 20, 'log_level': 2,
                         'compression.codec': codec, 'enable.idempotence': idempotent == '1',
                         'message.max.bytes': 1048576})
    placed = []

    def delivered(error, message):
        placed.append(str(error) if error else message.offset())
    for i in range(int(count)):
        options = {'timestamp': int(base) + i * 1000} if int(base) else {}
        producer.produce(topic, rows.value(i), rows.key(i), 0, delivered,
                         headers=list(rows.headers(i).items()) if headers == '1' else None, **options)
    producer.flush(WAIT_S)
    if placed != list(range(int(count))):
        raise ValueError(f'delivered to {placed}')


def consume(c, start, end, base, headers):
    deadline, following = time.monotonic() + WAIT_S, int(start)
    while following < int(end):
        m = c.poll(0.2)
        if time.monotonic() > deadline:
            raise ValueError(f'only up to {following} of {end} in time')
        if m is None:
            continue
        if m.error():
            if m.error().retriable() or m.error().code() in (-195, -187, -191):
                continue
            raise KafkaException(m.error())
        found = {k: v for k, v in m.headers() or []}
        rows.check(following, m.offset(), m.key(), m.value(), m.timestamp()[1] if int(base) else None, int(base),
                   found, headers == '1')
        following += 1


def read(topic, start, end, base, headers):
    c = consumer('unused')
    try:
        c.assign([TopicPartition(topic, 0, int(start))])
        consume(c, start, end, base, headers)
    finally:
        c.close()


def from_time(topic, index, end, base, headers):
    c = consumer('unused')
    try:
        found = c.offsets_for_times([TopicPartition(topic, 0, int(base) + int(index) * 1000 - 500)], timeout=WAIT_S)[0]
        if found.offset != int(index):
            raise ValueError(f'found {found}')
    finally:
        c.close()
    read(topic, index, end, base, headers)


def group(topic, name, start, end, base, headers):
    c = consumer(name)
    try:
        c.subscribe([topic])
        consume(c, start, end, base, headers)
        done = c.commit(offsets=[TopicPartition(topic, 0, int(end))], asynchronous=False)
        if done[0].error:
            raise KafkaException(done[0].error)
    finally:
        c.close()


COMMANDS = {'produce': produce, 'read': read, 'time': from_time, 'group': group}

if __name__ == '__main__':
    if sys.argv[1] == '--version':
        print(confluent_kafka.version(), confluent_kafka.libversion()[0])
        sys.exit()
    for line in sys.stdin:
        name, *arguments = line.split()
        try:
            COMMANDS[name](*arguments)
            print('ok', flush=True)
        except Exception as error:
            print('FAIL', repr(error).replace('\n', ' '), flush=True)
