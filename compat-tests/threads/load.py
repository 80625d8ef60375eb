"""The mixed load of the threads suite: many clients that do different things at once, on topics that come and go.

No answer is judged here but for one thing: whether the broker goes on answering. What the load is for is to bring every
kind of object (connections, partitions, coordinators, sessions, images, buffers) into the hands of several shards at
the same time, and to take it away while others hold it.
"""
import random
import socket
import struct
import threading
import time

import records
import schema
import wire
from records import Record

TOPICS = ['steady-0', 'steady-1', 'steady-2', 'passing-0', 'passing-1', 'passing-2']
GROUPS = ['group-0', 'group-1', 'group-2']
CONSUMER = struct.pack('>hi', 0, 1) + struct.pack('>h', 8) + b'steady-0' + struct.pack('>i', -1)


class Client(threading.Thread):
    """One that does WORK again and again until the load ends, over a new connection whenever one breaks."""

    def __init__(self, load, work, seed):
        super().__init__(daemon=True)
        self.load, self.work, self.random = load, work, random.Random(seed)
        self.requests, self.broken = 0, 0
        self.error = None

    def run(self):
        while not self.load.ended.is_set():
            try:
                with self.load.node.connect(timeout_s=30, client_id=f'{self.work}-{self.random.randrange(9)}') as c:
                    self.connection = c
                    for _ in range(self.random.choice((1, 5, 50))):
                        if self.load.ended.is_set():
                            return
                        getattr(self, self.work)()
            except (OSError, wire.Closed):
                self.broken += 1
            except wire.Silent as error:
                if not self.load.ended.is_set():
                    self.error = f'{self.work}: no answer, {error}'
                    return

    def call(self, api, version, fields):
        self.requests += 1
        return self.connection.call(api, version, fields)

    def version(self, api, low=0):
        return self.random.randint(max(low, self.load.versions[api][0]), self.load.versions[api][1])

    def topic_named(self, version, first_with_id, name):
        """A topic by name, or by its id where the version wants that; nobody's id when it is not known."""
        if version < first_with_id:
            return {'Topic': name, 'Name': name}
        return {'TopicId': self.load.ids.get(name, bytes(15) + b'\x07')}

    # --- what they do -----------------------------------------------------------------------------------------
    def produce(self):
        version = self.random.choice((0, 2, 3, 7, 9, 12, 13))
        version = min(version, self.load.versions['Produce'][1])
        data = self.load.batches[0 if version < 2 else 1 if version < 3 else 2]
        topics = [dict(self.topic_named(version, 13, name), PartitionData=[
            {'Index': p, 'Records': data} for p in self.random.sample(range(4), 2)])
            for name in self.random.sample(TOPICS, 2)]
        for topic in topics:
            topic.pop('Topic', None)
        acks = self.random.choice((-1, 1, 1, 0))
        fields = {'Acks': acks, 'TimeoutMs': 5000, 'TopicData': topics}
        if acks == 0:
            self.requests += 1
            self.connection.send(self.connection.frame('Produce', version, fields))
        elif self.random.random() < 0.5:
            self.requests += 4
            self.connection.pipeline([('Produce', version, fields)] * 4)
        else:
            self.call('Produce', version, fields)

    def idempotent(self):
        """Sequences of one producer id from two connections: duplicates, gaps, fencing."""
        if self.random.random() < 0.05 or not self.load.producer_ids:
            answer = self.call('InitProducerId', 4, {'TransactionalId': None, 'TransactionTimeoutMs': 60000,
                                                     'ProducerId': -1, 'ProducerEpoch': -1})
            self.load.producer_ids.append(answer['ProducerId'])
        data = records.batch([Record(b'k', b'v')], producer_id=self.random.choice(self.load.producer_ids[-4:]),
                             producer_epoch=0, base_sequence=self.random.randrange(4))
        self.call('Produce', 9, {'Acks': -1, 'TimeoutMs': 5000, 'TopicData': [
            {'Name': self.random.choice(TOPICS), 'PartitionData': [{'Index': self.random.randrange(4), 'Records': data}]}]})

    def fetch(self):
        """A session, some rounds of it, now and then left in the middle of a long poll."""
        version = self.version('Fetch', 7)
        session, epoch = 0, 0
        for _ in range(self.random.choice((1, 4, 16))):
            topics = [dict(self.topic_named(version, 13, name), Partitions=[
                {'Partition': p, 'FetchOffset': self.random.choice((0, 0, 3, 50)), 'PartitionMaxBytes': 1 << 16}
                for p in range(4)]) for name in self.random.sample(TOPICS, self.random.randint(0 if epoch else 1, 3))]
            for topic in topics:
                topic.pop('Name', None)
            fields = {'ReplicaId': -1, 'MaxWaitMs': self.random.choice((0, 20, 200)), 'MaxBytes': 1 << 18,
                      'MinBytes': self.random.choice((1, 1, 1 << 20)), 'SessionId': session, 'SessionEpoch': epoch,
                      'IsolationLevel': self.random.randrange(2), 'Topics': topics}
            if self.random.random() < 0.05:
                self.requests += 1
                self.connection.send(self.connection.frame('Fetch', version, fields))
                raise wire.Closed('left in the middle')
            answer = self.call('Fetch', version, fields)
            session, epoch = answer['SessionId'], epoch + 1
            if answer['ErrorCode'] or not session:
                return

    def fetch_old(self):
        version = self.random.randint(self.load.versions['Fetch'][0], 6)
        self.call('Fetch', version, {'ReplicaId': -1, 'MaxWaitMs': 20, 'MinBytes': 1, 'MaxBytes': 1 << 18, 'Topics': [
            {'Topic': name, 'Partitions': [{'Partition': p, 'FetchOffset': 0, 'PartitionMaxBytes': 1 << 16}
                                           for p in range(4)]} for name in self.random.sample(TOPICS, 2)]})

    def group(self):
        """Joins, works and leaves; sometimes it just goes."""
        group, member = self.random.choice(GROUPS), ''
        self.call('FindCoordinator', 4, {'KeyType': 0, 'CoordinatorKeys': GROUPS})
        for _ in range(2):
            joined = self.call('JoinGroup', 5, {
                'GroupId': group, 'SessionTimeoutMs': 6000, 'RebalanceTimeoutMs': 1000, 'MemberId': member,
                'ProtocolType': 'consumer', 'Protocols': [{'Name': 'range', 'Metadata': CONSUMER}]})
            member = joined['MemberId'] or member
            if joined['ErrorCode'] != 79:
                break
        generation = joined['GenerationId']
        self.call('SyncGroup', 3, {'GroupId': group, 'GenerationId': generation, 'MemberId': member, 'Assignments': [
            {'MemberId': m['MemberId'], 'Assignment': b'x'} for m in joined['Members']]})
        for _ in range(self.random.choice((1, 3, 10))):
            self.call('OffsetCommit', 8, {
                'GroupId': group, 'GenerationIdOrMemberEpoch': generation, 'MemberId': member, 'Topics': [
                    {'Name': name, 'Partitions': [{'PartitionIndex': p, 'CommittedOffset': 7} for p in range(4)]}
                    for name in self.random.sample(TOPICS, 2)]})
            self.call('OffsetFetch', 8, {'Groups': [{'GroupId': g, 'Topics': None} for g in GROUPS]})
            if self.call('Heartbeat', 4, {'GroupId': group, 'GenerationId': generation, 'MemberId': member})['ErrorCode']:
                break
        if self.random.random() < 0.7:
            self.call('LeaveGroup', 4, {'GroupId': group, 'Members': [{'MemberId': member}]})
        self.call('DescribeGroups', 5, {'Groups': GROUPS})
        self.call('ListGroups', 4, {})
        if self.random.random() < 0.2:
            self.call('OffsetDelete', 0, {'GroupId': group, 'Topics': [
                {'Name': 'steady-0', 'Partitions': [{'PartitionIndex': 0}]}]})
            self.call('DeleteGroups', 2, {'GroupsNames': GROUPS})

    def topics(self):
        """Makes and deletes the passing topics, and changes the steady ones."""
        name = self.random.choice(TOPICS[3:])
        done = self.call('CreateTopics', 7, {'timeoutMs': 10000, 'Topics': [
            {'Name': name, 'NumPartitions': self.random.choice((1, 4, 8)), 'ReplicationFactor': 1}]})['Topics'][0]
        if not done['ErrorCode']:
            self.load.ids[name] = done['TopicId']
        self.call('CreatePartitions', 3, {'TimeoutMs': 10000, 'Topics': [{'Name': name, 'Count': 9}]})
        resource = {'ResourceType': 2, 'ResourceName': self.random.choice(TOPICS), 'Configs': [
            {'Name': 'segment.bytes', 'ConfigOperation': self.random.choice((0, 1)), 'Value': '1048576'}]}
        self.call('IncrementalAlterConfigs', 1, {'Resources': [resource]})
        self.call('IncrementalAlterConfigs', 1, {'Resources': [{'ResourceType': 4, 'ResourceName': '', 'Configs': [
            {'Name': 'message.max.bytes', 'ConfigOperation': 0, 'Value': str(self.random.choice((1000000, 2000000)))}]}]})
        self.call('DeleteRecords', 2, {'TimeoutMs': 5000, 'Topics': [
            {'Name': t, 'Partitions': [{'PartitionIndex': p, 'Offset': -1} for p in range(4)]}
            for t in self.random.sample(TOPICS, 2)]})
        if self.random.random() < 0.6:
            self.call('DeleteTopics', 5, {'TimeoutMs': 10000, 'TopicNames': [name]})

    def ask(self):
        """What tools ask."""
        self.call('ApiVersions', self.random.randrange(5), {})
        self.call('Metadata', self.random.randrange(1, 13), {'Topics': None})
        self.call('Metadata', 9, {'Topics': [{'Name': self.random.choice(TOPICS)}], 'AllowAutoTopicCreation': True})
        self.call('DescribeLogDirs', self.version('DescribeLogDirs'), {'Topics': None})
        self.call('DescribeProducers', 0, {'Topics': [{'Name': t, 'PartitionIndexes': [0, 1, 2, 3]} for t in TOPICS]})
        self.call('DescribeConfigs', 4, {'Resources': [{'ResourceType': 2, 'ResourceName': TOPICS[0]},
                                                       {'ResourceType': 4, 'ResourceName': '1'}]})
        self.call('DescribeCluster', 0, {})
        self.call('DescribeQuorum', 1, {'Topics': [{'TopicName': '__cluster_metadata', 'Partitions': [{}]}]})
        self.call('DescribeTopicPartitions', 0, {'Topics': [{'Name': t} for t in TOPICS]})
        for stamp in (-1, -2, -3, 1700000000001):
            self.call('ListOffsets', self.random.randrange(1, 8), {'ReplicaId': -1, 'Topics': [
                {'Name': t, 'Partitions': [{'PartitionIndex': p, 'Timestamp': stamp} for p in range(4)]} for t in TOPICS]})
        self.call('OffsetForLeaderEpoch', 3, {'ReplicaId': -1, 'Topics': [
            {'Topic': t, 'Partitions': [{'Partition': p, 'LeaderEpoch': 0} for p in range(4)]} for t in TOPICS]})

    def churn(self):
        """Connections that come, begin something and go."""
        port = self.load.node.port
        held = [socket.create_connection(('127.0.0.1', port), timeout=30) for _ in range(8)]
        whole = self.connection.frame('Metadata', 9, {'Topics': None})
        for one in held:
            one.sendall(whole[:self.random.randrange(len(whole) + 1)] * self.random.choice((1, 1, 20)))
            self.requests += 1
            if self.random.random() < 0.3:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            one.close()

    def greedy(self):
        """Asks for much, reads a little of it, and goes."""
        ask = self.connection.frame('Metadata', 9, {'Topics': None}) * 200
        self.connection.send(ask)
        self.requests += 200
        self.connection.socket.recv(self.random.choice((1, 100000)))
        raise wire.Closed('left')


WORKERS = ('produce', 'produce', 'idempotent', 'idempotent', 'fetch', 'fetch', 'fetch_old', 'group', 'group', 'group',
           'topics', 'topics', 'ask', 'churn', 'greedy')


class Load:
    def __init__(self, node, seed):
        self.node, self.seed = node, seed
        self.ended = threading.Event()
        self.ids, self.producer_ids = {}, []
        rows = [Record(b'key', bytes(200))] * 20
        self.batches = [records.message_set(rows, 0), records.message_set(rows, 1, codec='gzip'), records.batch(rows)]
        with node.connect(timeout_s=30) as c:
            served = {row['ApiKey']: (row['MinVersion'], row['MaxVersion']) for row in c.call('ApiVersions', 0, {})['ApiKeys']}
            self.versions = {api: served[key] for api, (key, _, _) in c.registry.apis.items() if key in served}
            # Kafka 4 advertises no more Produce below 3 to all; the versions are served all the same.
            self.versions['Fetch'] = (0, self.versions['Fetch'][1])
            made = c.call('CreateTopics', 7, {'timeoutMs': 20000, 'Topics': [
                {'Name': n, 'NumPartitions': 4, 'ReplicationFactor': 1} for n in TOPICS[:3]]})
            self.ids.update({t['Name']: t['TopicId'] for t in made['Topics'] if not t['ErrorCode']})
        self.clients = [Client(self, work, seed * 1000 + i) for i, work in enumerate(WORKERS)]

    def run(self, seconds):
        """SECONDS of load; still running when it returns, so that the broker can be stopped beneath it."""
        for client in self.clients:
            client.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.node.alive() and not self.problem():
            time.sleep(0.1)  # the load's length, nobody waits for it

    def end(self):
        self.ended.set()
        for client in self.clients:
            client.join(60)

    def problem(self):
        return next((c.error for c in self.clients if c.error), None)

    def requests(self):
        return sum(c.requests for c in self.clients)

    def by_work(self):
        out = {}
        for client in self.clients:
            done = out.setdefault(client.work, [0, 0])
            done[0] += client.requests
            done[1] += client.broken
        return out
