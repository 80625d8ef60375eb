"""confluent-kafka under test."""
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec, ResourceType)

import harness

# What a consumer is told of in passing while a broker is away: transport, all brokers down, resolve, end of partition.
PASSING = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._PARTITION_EOF)


class Sender:
    def __init__(self, producer):
        self.producer = producer

    def send(self, records):
        placed = []

        def delivered(error, message):
            placed.append(KafkaException(error) if error else message.offset())
        for topic, key, value, timestamp, headers in records:
            options = {'timestamp': timestamp} if timestamp else {}
            self.producer.produce(topic, value, key, 0, delivered, headers=headers or None, **options)
        self.producer.flush(harness.WAIT_S)
        for p in placed:
            if isinstance(p, Exception):
                raise p
        return placed

    def close(self):
        pass


class Reader:
    def __init__(self, consumer):
        self.consumer = consumer

    def poll(self):
        out = []
        for m in self.consumer.consume(100, 0.2):
            if not m.error():
                out.append((m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.timestamp()[1], m.headers() or []))
            elif not m.error().retriable() and m.error().code() not in PASSING:
                raise KafkaException(m.error())
        return out

    def assigned(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self, topic, offset, metadata):
        done = self.consumer.commit(offsets=[TopicPartition(topic, 0, offset, metadata)], asynchronous=False)
        if done[0].error:
            raise KafkaException(done[0].error)

    def close(self):
        self.consumer.close()


class Admin:
    def __init__(self, bootstrap):
        self.client = AdminClient({'bootstrap.servers': bootstrap, 'log_level': 2})

    def all(self, futures):
        return [f.result(harness.WAIT_S) for f in futures.values()]

    def create(self, topic, partitions, config):
        self.all(self.client.create_topics([NewTopic(topic, partitions, 1, config=config)]))

    def partitions(self, topic):
        """Asks until the cluster's metadata has come: list_topics answers from what librdkafka knows."""
        return len(self.client.list_topics(topic, harness.WAIT_S).topics[topic].partitions)

    def config(self, topic, name):
        return self.all(self.client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))[0][name].value

    def set_config(self, topic, name, value):
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        self.all(self.client.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic,
                                                                       incremental_configs=[entry])]))

    def set_partitions(self, topic, count):
        self.all(self.client.create_partitions([NewPartitions(topic, count)]))

    def delete_records(self, topic, before):
        self.all(self.client.delete_records([TopicPartition(topic, 0, before)]))

    def earliest(self, topic):
        return self.all(self.client.list_offsets({TopicPartition(topic, 0): OffsetSpec.earliest()}))[0].offset

    def groups(self):
        return [g.group_id for g in self.client.list_consumer_groups().result(harness.WAIT_S).valid]

    def group_state(self, group):
        return self.all(self.client.describe_consumer_groups([group]))[0].state.name.capitalize()

    def delete_group(self, group):
        self.all(self.client.delete_consumer_groups([group]))

    def delete(self, topic):
        self.all(self.client.delete_topics([topic]))

    def close(self):
        pass


class Library:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def producer(self, codec, idempotent):
        return Sender(Producer({'bootstrap.servers': self.bootstrap, 'acks': 'all', 'linger.ms': 20, 'log_level': 2,
                                'compression.codec': codec, 'enable.idempotence': idempotent,
                                'message.max.bytes': 20 << 20}))

    def consumer(self, group):
        return Consumer({'bootstrap.servers': self.bootstrap, 'group.id': group, 'auto.offset.reset': 'earliest',
                         'enable.auto.commit': False, 'fetch.wait.max.ms': 100, 'log_level': 2,
                         'session.timeout.ms': 6000, 'heartbeat.interval.ms': 500, 'max.partition.fetch.bytes': 30000})

    def assigned(self, offsets):
        consumer = self.consumer('unused')
        consumer.assign([TopicPartition(topic, 0, offset) for topic, offset in offsets.items()])
        return Reader(consumer)

    def subscribed(self, topic, group):
        consumer = self.consumer(group)
        consumer.subscribe([topic])
        return Reader(consumer)

    def offset_at(self, topic, timestamp):
        consumer = self.consumer('unused')
        try:
            return consumer.offsets_for_times([TopicPartition(topic, 0, timestamp)], timeout=harness.WAIT_S)[0].offset
        finally:
            consumer.close()

    def committed(self, topic, group):
        consumer = self.consumer(group)
        try:
            found = consumer.committed([TopicPartition(topic, 0)], timeout=harness.WAIT_S)[0]
            return found.offset, found.metadata
        finally:
            consumer.close()

    def too_large(self, error):
        return isinstance(error, KafkaException) and error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE

    def admin(self):
        return Admin(self.bootstrap)


if __name__ == '__main__':
    harness.main(Library)
