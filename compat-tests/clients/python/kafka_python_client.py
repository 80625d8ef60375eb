"""kafka-python under test."""
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, MessageSizeTooLargeError
from kafka.structs import OffsetAndMetadata

import harness


class Sender:
    def __init__(self, producer):
        self.producer = producer

    def send(self, records):
        sent = [self.producer.send(topic, value, key, headers, 0, timestamp)
                for topic, key, value, timestamp, headers in records]
        return [s.get(harness.WAIT_S).offset for s in sent]

    def close(self):
        self.producer.close()


class Reader:
    def __init__(self, consumer):
        self.consumer = consumer

    def poll(self):
        # Longer than the harness asks for: a join that takes longer than one poll begins again with the next.
        return [(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
                for records in self.consumer.poll(1000).values() for r in records]

    def assigned(self):
        return {p.partition for p in self.consumer.assignment()}

    def commit(self, topic, offset, metadata):
        self.consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(offset, metadata, -1)})

    def close(self):
        self.consumer.close()


class Admin:
    def __init__(self, bootstrap):
        self.client = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create(self, topic, partitions, config):
        self.client.create_topics({topic: {'num_partitions': partitions, 'replication_factor': 1, 'configs': config}})

    def partitions(self, topic):
        found = self.client.describe_topics([topic])[0]
        return len(found['partitions'])

    def config(self, topic, name):
        found = self.client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter='all')
        return next(iter(found.values()))[topic][name]['value']

    def set_config(self, topic, name, value):
        self.client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])

    def set_partitions(self, topic, count):
        self.client.create_partitions({topic: count})

    def delete_records(self, topic, before):
        self.client.delete_records({TopicPartition(topic, 0): before})

    def earliest(self, topic):
        return self.client.list_partition_offsets({TopicPartition(topic, 0): OffsetSpec.EARLIEST})[
            TopicPartition(topic, 0)].offset

    def groups(self):
        return [g['group_id'] for g in self.client.list_groups()]

    def group_state(self, group):
        return self.client.describe_groups([group])[group]['group_state']

    def delete_group(self, group):
        self.client.delete_groups([group])

    def delete(self, topic):
        self.client.delete_topics([topic])

    def close(self):
        self.client.close()


class Library:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def producer(self, codec, idempotent):
        return Sender(KafkaProducer(
            bootstrap_servers=self.bootstrap, acks='all', linger_ms=20, enable_idempotence=idempotent,
            compression_type=None if codec == 'none' else codec, max_request_size=20 << 20,
            max_in_flight_requests_per_connection=5 if idempotent else 1))

    def consumer(self, group):
        return KafkaConsumer(bootstrap_servers=self.bootstrap, group_id=group, auto_offset_reset='earliest',
                             enable_auto_commit=False, fetch_max_wait_ms=100, session_timeout_ms=20000,
                             heartbeat_interval_ms=500, max_partition_fetch_bytes=30000)

    def assigned(self, offsets):
        consumer = self.consumer(None)
        consumer.assign([TopicPartition(topic, 0) for topic in offsets])
        for topic, offset in offsets.items():
            consumer.seek(TopicPartition(topic, 0), offset)
        return Reader(consumer)

    def subscribed(self, topic, group):
        consumer = self.consumer(group)
        consumer.subscribe([topic])
        return Reader(consumer)

    def offset_at(self, topic, timestamp):
        consumer = self.consumer(None)
        try:
            return consumer.offsets_for_times({TopicPartition(topic, 0): timestamp})[TopicPartition(topic, 0)].offset
        finally:
            consumer.close()

    def committed(self, topic, group):
        consumer = self.consumer(group)
        try:
            found = consumer.committed(TopicPartition(topic, 0), metadata=True)
            return found.offset, found.metadata
        finally:
            consumer.close()

    def too_large(self, error):
        return isinstance(error, MessageSizeTooLargeError)

    def admin(self):
        return Admin(self.bootstrap)


if __name__ == '__main__':
    harness.main(Library)
