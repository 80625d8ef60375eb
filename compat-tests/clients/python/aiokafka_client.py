"""aiokafka under test. Its loop runs in a thread of its own, so that the harness sees plain calls."""
import asyncio
import threading

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

import harness

LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def run(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(2 * harness.WAIT_S)


async def started(kind, *arguments, **options):
    made = kind(*arguments, **options)  # inside the loop, as the library wants it
    await made.start()
    return made


class Sender:
    def __init__(self, producer):
        self.producer = producer

    def send(self, records):
        async def all_of_them():
            sent = [await self.producer.send(topic, value, key, 0, timestamp, headers)
                    for topic, key, value, timestamp, headers in records]
            return [(await s).offset for s in sent]
        return run(all_of_them())

    def close(self):
        run(self.producer.stop())


class Reader:
    def __init__(self, consumer):
        self.consumer = consumer

    def poll(self):
        batches = run(self.consumer.getmany(timeout_ms=200))
        return [(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
                for records in batches.values() for r in records]

    def assigned(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self, topic, offset, metadata):
        run(self.consumer.commit({TopicPartition(topic, 0): (offset, metadata)}))

    def close(self):
        run(self.consumer.stop())


class Admin:
    def __init__(self, bootstrap):
        self.client = run(started(AIOKafkaAdminClient, bootstrap_servers=bootstrap))
        self.bootstrap = bootstrap

    def refused(self, answers):
        for answer in answers:
            if answer[1]:
                raise ValueError(f'refused: {answer}')

    def create(self, topic, partitions, config):
        self.refused(run(self.client.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])).topic_errors)

    def partitions(self, topic):
        return len(run(self.client.describe_topics([topic]))[0]['partitions'])

    def config(self, topic, name):
        answer = run(self.client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))[0]
        return next(entry[1] for entry in answer.resources[0][4] if entry[0] == name)

    def set_config(self, topic, name, value):
        run(self.client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})]))

    def set_partitions(self, topic, count):
        self.refused(run(self.client.create_partitions({topic: NewPartitions(count)})).topic_errors)

    def delete_records(self, topic, before):
        run(self.client.delete_records({TopicPartition(topic, 0): RecordsToDelete(before)}))

    def earliest(self, topic):
        async def ask():
            consumer = await started(AIOKafkaConsumer, bootstrap_servers=self.bootstrap)
            try:
                return (await consumer.beginning_offsets([TopicPartition(topic, 0)]))[TopicPartition(topic, 0)]
            finally:
                await consumer.stop()
        return run(ask())

    def groups(self):
        return [g[0] for g in run(self.client.list_consumer_groups())]

    def group_state(self, group):
        return run(self.client.describe_consumer_groups([group]))[0].groups[0][2]

    def delete(self, topic):
        self.refused(run(self.client.delete_topics([topic])).topic_error_codes)

    def close(self):
        run(self.client.close())


class Library:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def producer(self, codec, idempotent):
        return Sender(run(started(AIOKafkaProducer, bootstrap_servers=self.bootstrap, acks='all', linger_ms=20,
                                  enable_idempotence=idempotent, compression_type=None if codec == 'none' else codec,
                                  max_request_size=20 << 20)))

    def consumer(self, group, *topics):
        return run(started(AIOKafkaConsumer, *topics, bootstrap_servers=self.bootstrap, group_id=group,
                           auto_offset_reset='earliest', enable_auto_commit=False, fetch_max_wait_ms=100,
                           session_timeout_ms=20000, heartbeat_interval_ms=500, max_partition_fetch_bytes=30000))

    def assigned(self, offsets):
        async def placed():
            consumer.assign([TopicPartition(topic, 0) for topic in offsets])
            for topic, offset in offsets.items():
                consumer.seek(TopicPartition(topic, 0), offset)
        consumer = self.consumer(None)
        run(placed())
        return Reader(consumer)

    def subscribed(self, topic, group):
        return Reader(self.consumer(group, topic))

    def offset_at(self, topic, timestamp):
        consumer, partition = self.consumer(None), TopicPartition(topic, 0)
        try:
            return run(consumer.offsets_for_times({partition: timestamp}))[partition].offset
        finally:
            run(consumer.stop())

    def committed(self, topic, group):
        admin = run(started(AIOKafkaAdminClient, bootstrap_servers=self.bootstrap))
        try:
            found = run(admin.list_consumer_group_offsets(group))[TopicPartition(topic, 0)]
            return found.offset, found.metadata
        finally:
            run(admin.close())

    def too_large(self, error):
        return isinstance(error, MessageSizeTooLargeError)

    def admin(self):
        return Admin(self.bootstrap)


if __name__ == '__main__':
    harness.main(Library)
