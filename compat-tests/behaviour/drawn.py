"""Scenarios drawn at random, from a seed: the same seed and number give the same scenario on every machine.

A scenario is a list of steps, each one request. Its body is filled from the message's definition, field by field, by
what a field means: names of topics that exist and that don't, partitions, offsets around the ends of logs, epochs,
times, producers and their sequences, fetch sessions, groups. What a broker draws or decides itself (ids, offsets,
sessions) stands in a body as a Ref, which is looked up when the step runs, in what this broker has answered so far.
So every sublist of the steps is a scenario too, which is what shrink.py lives on.

Groups have up to three members. A join that is answered only when all others have come again is followed by theirs, and
so is a leave that makes them; a follower's SyncGroup by the leader's.

`drawn(seed, number, old)` gives the steps, `play(t, steps)` runs them in a session.
"""
import itertools
import random
import sys

import records
import schema
import session
from records import Record

STEPS = (4, 14)
TOPICS = ('t0', 't1', 't2')
PRODUCE_ID_UNKNOWN = 987654321
BASE_TIME = 1700000000000
TOPIC, BROKER = 2, 4
MEMBERS = 3  # of a group, at most
MEMBER_ID_REQUIRED = 79
METADATA_TOO_LARGE = 12

# How often each API is asked. Those that would change what the whole cluster does are not here.
WEIGHTS = {
    'Produce': 30, 'Fetch': 30, 'ListOffsets': 12, 'DeleteRecords': 7, 'OffsetForLeaderEpoch': 5, 'InitProducerId': 4,
    'DescribeProducers': 4, 'CreateTopics': 5, 'CreatePartitions': 3, 'DeleteTopics': 3, 'Metadata': 5,
    'DescribeTopicPartitions': 4, 'DescribeConfigs': 5, 'IncrementalAlterConfigs': 6, 'AlterConfigs': 3,
    'DescribeLogDirs': 2, 'ElectLeaders': 2, 'ListPartitionReassignments': 1, 'OffsetCommit': 7, 'OffsetFetch': 7,
    'OffsetDelete': 3, 'DescribeGroups': 3, 'ListGroups': 2, 'DeleteGroups': 2, 'FindCoordinator': 2, 'JoinGroup': 5,
    'SyncGroup': 4, 'Heartbeat': 3, 'LeaveGroup': 3, 'DescribeCluster': 1,
}
GROUP_FOCUS = ('JoinGroup',) * 5 + ('SyncGroup',) * 4 + ('Heartbeat', 'LeaveGroup') * 2 + (
    'OffsetCommit', 'OffsetFetch', 'DescribeGroups', 'ListGroups', 'DeleteGroups', 'OffsetDelete')
# These know a group without a name, which all scenarios on a broker would share.
KEEPS_NAMELESS = ('OffsetCommit', 'OffsetFetch', 'OffsetDelete', 'DescribeGroups', 'DeleteGroups')
# Versions whose answer depends on more than the request: Metadata before 4 creates what it doesn't find (decision 3),
# InitProducerId 6 is unstable in Kafka, OffsetCommit and OffsetFetch 0 mean ZooKeeper to 3.9.1, which also has other
# settings than 4.3.1 (NOT_OLD).
LOWEST = {'Metadata': 4, 'OffsetCommit': 1, 'OffsetFetch': 1, 'DescribeConfigs': 1}
HIGHEST = {'InitProducerId': 5}
NOT_OLD = ('message.format.version',)

TOPIC_CONFIGS = {
    'retention.ms': ('-1', '604800000', '1000', 'x'), 'cleanup.policy': ('delete', 'compact', 'compact,delete'),
    'max.message.bytes': ('100', '300', '1048588', '0'), 'segment.bytes': ('1048576', '10'),
    'message.timestamp.type': ('CreateTime', 'LogAppendTime', 'Never'),
    'message.timestamp.before.max.ms': ('1000', '9223372036854775807', '-1'),
    'message.timestamp.after.max.ms': ('1000', '3600000', '9223372036854775807'),
    'min.insync.replicas': ('1', '2', '0'), 'compression.type': ('producer', 'uncompressed', 'gzip', 'lz4', 'brotli'),
    'preallocate': ('true', 'false', 'perhaps'), 'index.interval.bytes': ('0', '4096'), 'flush.messages': ('1', '1000'),
    'segment.ms': ('1', '604800000'), 'no.such.setting': ('1',), 'unclean.leader.election.enable': ('true',),
    'delete.retention.ms': ('0', '-1'), 'min.cleanable.dirty.ratio': ('0.1', '1.5'), 'message.format.version': ('3.0-IV1',),
    'local.retention.ms': ('-2', '5'), 'remote.storage.enable': ('false',),
}


class Ref:
    """A value that is known only when the step runs: a function's name in World and its arguments."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __repr__(self):
        return f'<{self.what}{self.arguments}>'


class Step:
    def __init__(self, api, version, body, member=0):
        self.api, self.version, self.body = api, version, body
        self.member = member  # which of the group's members asks

    def __repr__(self):
        return f'{self.api} v{self.version} {self.body}'


# --- drawing -------------------------------------------------------------------------------------------------
class Draw:
    """Fills requests. `context` is the topic and partition that the fields being filled are about."""

    def __init__(self, rng, api, version, registry):
        self.rng, self.api, self.version = rng, api, version
        self.message = registry.message(api + 'Request', version)
        self.topic, self.partition, self.group = 't0', 0, 'g0'
        self.member = self.pick((55, 0), (30, 1), (15, 2))
        self.resource, self.whole_group = TOPIC, True
        old = registry.removed(api, version)
        self.configs = [name for name in TOPIC_CONFIGS if not (old and name in NOT_OLD)]

    def pick(self, *weighted):
        """One of (weight, value or function)."""
        at = self.rng.random() * sum(weight for weight, _ in weighted)
        for weight, value in weighted:
            at -= weight
            if at < 0:
                break
        return value() if callable(value) else value

    # What a field means, by its name; the message decides where one name has several meanings.
    def topic_name(self):
        self.topic = self.pick((75, lambda: self.rng.choice(TOPICS[:2])), (12, 't2'), (6, 'none'), (4, 'odd'),
                               (1, ''), (1, '.'), (1, 'x' * 250))
        return Ref('topic', self.topic)

    def topic_id(self):
        return self.pick((92, Ref('topic_id', self.topic)), (4, b'\x07' * 16), (4, bytes(16)))

    def partition_index(self):
        self.partition = self.pick((70, 0), (18, 1), (6, 2), (3, 7), (3, -1))
        return self.partition

    def offset(self):
        where = (self.topic, self.partition)
        return self.pick((25, 0), (30, Ref('end', *where, self.rng.choice((-3, -2, -1, 0, 0, 1)))),
                         (20, Ref('start', *where, self.rng.choice((-1, 0, 1)))),
                         (15, lambda: self.rng.randrange(12)), (3, -1), (3, -2), (4, 2 ** 62))

    def epoch(self):
        return self.pick((60, -1), (25, 0), (7, 1), (4, 50), (4, -2))

    def timestamp(self):
        return self.pick((20, -1), (20, -2), (12, -3), (4, -4), (4, -5), (4, -6), (2, -9), (5, 0),
                         (29, lambda: BASE_TIME + self.rng.randrange(-1, 12) * 1000))

    def group_id(self):
        self.group = self.pick((70, 'g0'), (22, 'g1'), (5, 'gx'), (3, ''))
        if self.group == '' and self.api in KEEPS_NAMELESS:
            self.group = 'gx'
        return Ref('group', self.group)

    def member_id(self):
        return self.pick((80, Ref('member', self.group, self.member)), (12, ''), (8, 'nobody'))

    def generation(self):
        return self.pick((60, Ref('generation', self.group, 0)), (25, -1), (8, Ref('generation', self.group, 1)), (7, 0))

    def config_name(self):
        return self.rng.choice(self.configs)

    def meanings(self):
        api, pick, rng = self.api, self.pick, self.rng
        out = {
            'Topic': self.topic_name, 'TopicName': self.topic_name, 'TopicNames': self.topic_name,
            'TopicId': self.topic_id, 'Partition': self.partition_index, 'PartitionIndex': self.partition_index,
            'Index': self.partition_index, 'Partitions': self.partition_index, 'PartitionIndexes': self.partition_index,
            'FetchOffset': self.offset, 'Offset': self.offset,
            'CommittedOffset': lambda: pick((80, lambda: rng.randrange(10)), (10, -1), (10, 2 ** 40)),
            'CurrentLeaderEpoch': self.epoch, 'LeaderEpoch': self.epoch, 'LastFetchedEpoch': self.epoch,
            'CommittedLeaderEpoch': self.epoch, 'Timestamp': self.timestamp, 'LogStartOffset': lambda: -1,
            'Acks': lambda: pick((60, -1), (36, 1), (2, 2), (2, -2)),
            'TimeoutMs': lambda: 10000, 'timeoutMs': lambda: 10000, 'MaxWaitMs': lambda: pick((80, 0), (20, 30)),
            'MinBytes': lambda: pick((50, 1), (30, 0), (15, 100000), (5, -1)),
            'MaxBytes': lambda: pick((60, 1 << 20), (10, 0), (10, 1), (18, lambda: rng.randrange(100, 3000)), (2, -1)),
            'PartitionMaxBytes': lambda: pick((60, 1 << 20), (10, 0), (10, 1), (18, lambda: rng.randrange(50, 2000)),
                                              (2, -1)),
            'IsolationLevel': lambda: pick((60, 0), (38, 1), (2, 5)), 'ReplicaId': lambda: pick((95, -1), (5, -2)),
            'ReplicaEpoch': lambda: -1, 'ClusterId': lambda: None, 'RackId': lambda: pick((80, ''), (20, 'r')),
            'MaxNumOffsets': lambda: pick((40, 1), (40, 10), (10, 0), (10, 2)),
            'GroupId': self.group_id, 'Groups': self.group_id, 'GroupsNames': self.group_id, 'Key': self.group_id,
            'CoordinatorKeys': self.group_id, 'MemberId': self.member_id, 'GenerationId': self.generation,
            'GenerationIdOrMemberEpoch': self.generation, 'MemberEpoch': lambda: -1,
            'GroupInstanceId': lambda: pick((90, None), (10, 'i0')),
            'RetentionTimeMs': lambda: pick((90, -1), (10, 3600000)), 'CommitTimestamp': lambda: -1,
            'CommittedMetadata': lambda: pick((50, ''), (20, 'm'), (20, None), (10, 'x' * 4097)),
            'KeyType': lambda: pick((90, 0), (10, 9)), 'EndpointType': lambda: pick((80, 1), (10, 2), (10, 3)),
            'SessionTimeoutMs': lambda: 60000, 'RebalanceTimeoutMs': lambda: 60000, 'Reason': lambda: None,
            'ProtocolType': lambda: pick((85, 'consumer'), (10, 'connect'), (5, '')),
            'ProtocolName': lambda: pick((70, 'range'), (20, None), (10, 'other')),
            'Metadata': lambda: pick((50, b'm'), (50, b'n')), 'Assignment': lambda: pick((50, b'a'), (50, b'')),
            'StatesFilter': lambda: pick((40, 'Empty'), (30, 'Stable'), (20, 'stable'), (10, 'Odd')),
            'TypesFilter': lambda: pick((50, 'classic'), (40, 'consumer'), (10, 'odd')),
            'TransactionalId': lambda: None, 'TransactionTimeoutMs': lambda: 60000,
            'ProducerId': lambda: pick((70, -1), (20, Ref('producer_id', 0)), (10, 5)),
            'ProducerEpoch': lambda: pick((70, -1), (20, Ref('producer_epoch', 0, 0)), (10, 5)),
            'NumPartitions': lambda: pick((60, lambda: rng.randrange(1, 4)), (25, -1), (10, 0), (5, -3)),
            'ReplicationFactor': lambda: pick((60, 1), (30, -1), (5, 2), (5, 0)), 'Count': lambda: rng.randrange(0, 6),
            'BrokerIds': lambda: pick((85, 1), (15, 9)), 'validateOnly': lambda: rng.random() < .3,
            'ValidateOnly': lambda: rng.random() < .3, 'ResponsePartitionLimit': lambda: rng.choice((1, 2, 3, 2000, 0)),
            'AllowAutoTopicCreation': lambda: False, 'ElectionType': lambda: pick((60, 0), (35, 1), (5, 3)),
            'ConfigurationKeys': self.config_name,
            'ConfigOperation': lambda: pick((60, 0), (20, 1), (10, 2), (10, 3)),
            'Value': lambda: None, 'Records': self.records_of,
        }
        if api in ('AlterConfigs', 'IncrementalAlterConfigs', 'DescribeConfigs'):
            out['ResourceType'] = lambda: pick((94, TOPIC), (2, 1), (2, 99), (2, 0))
            out['ResourceName'] = self.topic_name
        return out

    def records_of(self):
        """What Produce carries, as a Ref: producers and their sequences are known only when it runs."""
        rng = self.rng
        rows = [{'key': self.pick((85, b'k%d' % rng.randrange(4)), (15, None)),
                 'value': self.pick((80, b'v' * rng.choice((0, 1, 20, 150))), (10, None), (10, b'w' * 700)),
                 'headers': self.pick((85, ()), (15, ((b'h', b'1'), (b'h', None)))),
                 'timestamp': BASE_TIME + rng.randrange(10) * 1000} for _ in range(self.pick((50, 1), (30, 3), (20, 6)))]
        options = {'codec': self.pick((55, 'none'), (12, 'gzip'), (11, 'snappy'), (11, 'lz4'), (11, 'zstd'))}
        if self.version >= 3:
            if rng.random() < .4:
                options['producer'] = rng.randrange(3)  # the third is one that nobody was given
                options['sequence'] = self.pick((75, 0), (6, -1), (6, 1), (5, 'again'), (3, 5), (3, 'zero'), (2, 2 ** 31 - 1))
                options['epoch'] = self.pick((85, 0), (8, 1), (7, -1))
            # Not among them: a batch shorter than its header. What Kafka says of that depends on the bytes behind it.
            if rng.random() < .12:
                options.update(rng.choice((
                    {'count': 2}, {'count': 0}, {'count': -1}, {'last_offset_delta': 7}, {'crc': 1},
                    {'attributes': 0x10}, {'attributes': 0x20}, {'attributes': 0x30}, {'attributes': 0x08},
                    {'attributes': 0x40}, {'base_offset': 5}, {'max_timestamp': BASE_TIME - 1}, {'payload': b''},
                    {'payload': b'\x01\x02\x03'}, {'cut': 3}, {'extra': b'\x00' * 7}, {'twice': True}, {'empty': True},
                    {'magic': 3}, {'leader_epoch': 9})))
        return Ref('records', self.topic, self.partition, self.version, tuple(map(lambda r: tuple(r.items()), rows)),
                   tuple(options.items()))

    def one(self, field, meanings):
        meaning = meanings.get(field.name)
        if meaning:
            return meaning()
        if field.kind == 'bool':
            return self.rng.random() < .5
        if field.default is not None or field.kind not in ('string', 'bytes'):
            return field.default if not field.array else None
        return {'string': '', 'bytes': b''}[field.kind]

    def count(self, name):
        if name in ('Partitions', 'PartitionIndexes', 'PartitionData'):
            return self.pick((2, 0), (65, 1), (28, 2), (5, 3))
        if name in ('Assignments', 'ForgottenTopicsData'):
            return self.pick((85, 0), (10, 1), (5, 2))
        if name == 'Members':
            return self.pick((90, 1), (10, 0))
        return self.pick((4, 0), (70, 1), (20, 2), (6, 3))

    def fill(self, fields, owner=''):
        out, meanings = {}, self.meanings()
        names = [f.name for f in fields]
        if 'Name' in names and owner in ('Topics', 'TopicData'):
            meanings['Name'] = self.topic_name
        if owner == 'Configs':
            name = self.config_name()
            meanings['Name'] = lambda: name
            meanings['Value'] = lambda: self.pick((94, self.rng.choice(TOPIC_CONFIGS[name])), (3, None), (3, ''))
        if owner == 'Protocols':
            meanings['Name'] = lambda: self.pick((80, 'range'), (20, 'roundrobin'))
        if 'TopicId' in names and not {'Name', 'Topic'} & {f.name for f in fields if schema.within(self.version, f.versions)}:
            self.topic_name()  # by id alone: the topic that it is the id of
        for field in fields:
            if not schema.within(self.version, field.versions):
                continue
            nullable = schema.within(self.version, field.nullable)
            if field.array:
                # Topics of an OffsetFetch or a Fetch's Topics: how many; null means all where it may be null
                if nullable and self.rng.random() < (.3 if owner else .15) and field.name != 'Assignments':
                    out[field.name] = None
                elif nullable and field.name == 'Assignments' and self.rng.random() < .8:
                    out[field.name] = None
                elif field.fields is None:
                    out[field.name] = [self.one(field, meanings) for _ in range(self.count(field.name))]
                else:
                    out[field.name] = [self.fill(field.fields, field.name) for _ in range(self.count(field.name))]
            elif field.fields is not None:
                out[field.name] = None if nullable and self.rng.random() < .7 else self.fill(field.fields, field.name)
            else:
                out[field.name] = self.one(field, meanings)
        return out

    def request(self):
        body = self.fill(self.message.fields)
        adjust = globals().get('_adjust_' + self.api)
        return adjust(self, body) if adjust else body


def _adjust_Fetch(draw, body):
    """The session's id and epoch go together."""
    session_id, epoch = draw.pick(
        (50, (0, -1)), (14, (0, 0)), (26, (Ref('session', 0), Ref('session_epoch', 0))),
        (3, (Ref('session', 0), 77)), (3, (Ref('session', 0), -1)), (2, (424242, 1)), (2, (Ref('session', 0), 0)))
    body.update({'SessionId': session_id, 'SessionEpoch': epoch})
    if isinstance(session_id, Ref) and draw.rng.random() < .6:
        body['Topics'] = []
    for topic in body['Topics']:  # several partitions without a topic's id: Kafka's handler fails (without_a_topic_id)
        if topic.get('TopicId') == bytes(16):
            topic['TopicId'] = b'\x07' * 16
    if 'ReplicaState' in body:
        body['ReplicaState'] = {'ReplicaId': -1, 'ReplicaEpoch': -1}
    return body


def _adjust_CreateTopics(draw, body):
    for topic in body['Topics']:
        if draw.rng.random() < .5:
            topic['Name'] = Ref('topic', draw.rng.choice(('t2', 't3')))
        if topic['Assignments']:
            topic.update({'NumPartitions': -1, 'ReplicationFactor': -1})
            for i, row in enumerate(topic['Assignments']):
                row['PartitionIndex'] = i
        if draw.rng.random() < .6:
            topic['Configs'] = []
    return body


def _adjust_Metadata(draw, body):
    """By name or by id, never both; a null name alone makes Kafka's handler fail."""
    for topic in body['Topics'] or []:
        if draw.version < 12 or draw.rng.random() < .6:
            topic['TopicId'] = bytes(16)
        else:
            topic['Name'] = None
            if topic['TopicId'] == bytes(16):
                topic['TopicId'] = b'\x07' * 16
    if body['Topics'] is None:
        body['Topics'] = [{'Name': Ref('topic', 't0'), 'TopicId': bytes(16)}]
    return body


def _adjust_DeleteTopics(draw, body):
    for topic in body.get('Topics') or []:
        if draw.rng.random() < .5:
            topic['TopicId'] = bytes(16)
        else:
            topic['Name'] = None
    return body


def _adjust_DescribeTopicPartitions(draw, body):
    """A name that can't be one makes Kafka's handler fail."""
    for topic in body['Topics']:
        topic['Name'] = Ref('topic', draw.rng.choice(('t0', 't1', 't2', 'none')))
    if body['Cursor']:
        body['Cursor'] = {'TopicName': Ref('topic', draw.rng.choice(('t0', 't1', 'none'))),
                          'PartitionIndex': draw.rng.choice((0, 1, 2, 5))}
    if not body['Topics']:  # all topics of the cluster, which other scenarios change meanwhile
        body['Topics'] = [{'Name': Ref('topic', 't0')}]
    return body


def _unrepeated(draw, body):
    """A resource that is named twice makes Kafka's handler fail."""
    seen, kept = set(), []
    for resource in body['Resources']:
        key = (resource['ResourceType'], repr(resource['ResourceName']))
        if key not in seen:
            seen.add(key)
            kept.append(resource)
    body['Resources'] = kept
    return body


_adjust_AlterConfigs = _adjust_IncrementalAlterConfigs = _unrepeated


def _adjust_DescribeLogDirs(draw, body):
    if body['Topics'] is None:
        body['Topics'] = []
    return body


def _adjust_ElectLeaders(draw, body):
    if body['TopicPartitions'] is None:  # every partition of the cluster
        body['TopicPartitions'] = [{'Topic': Ref('topic', 't0'), 'Partitions': [0]}]
    return body


def _adjust_JoinGroup(draw, body):
    """The same protocol twice makes Kafka's handler fail (JoinGroup's same_protocol_twice). By its metadata a member is
    told from others, whose order is a hash map's."""
    body['Protocols'] = list({row['Name']: row for row in body['Protocols']}.values())
    for row in body['Protocols']:
        row['Metadata'] += b'%d' % draw.member
    return body


def _adjust_SyncGroup(draw, body):
    for i, row in enumerate(body['Assignments']):
        row['MemberId'] = Ref('member', draw.group, i % MEMBERS)
    return body


def drawn(registry, seed, number, old):
    """The steps of scenario `number` of `seed`; `old` ones are for the versions that 4.x removed."""
    rng = random.Random(f'{seed}/{number}/{old}')
    steps = [Step('setup', 0, {'topics': [
        (name, rng.choice((1, 1, 2, 3)), _setup_configs(rng)) for name in TOPICS[:rng.choice((1, 2, 2))]],
        'producers': rng.choice((0, 1, 2))})]
    choices = {}
    for api, weight in WEIGHTS.items():
        _, low, high = registry.apis[api]
        versions = [v for v in range(max(low, LOWEST.get(api, 0)), min(high, HIGHEST.get(api, 99)) + 1)
                    if registry.removed(api, v) == old]
        if versions:
            choices[api] = (weight, versions)
    apis = list(choices)
    # A scenario is about a few APIs, so that its requests meet the same things.
    if rng.random() < .2:
        focus = [api for api in GROUP_FOCUS if api in choices]
    else:
        focus = rng.choices(apis, [choices[a][0] for a in apis], k=rng.randrange(2, 6)) + ['Produce', 'Fetch']
    for _ in range(rng.randrange(*STEPS)):
        api = rng.choice(focus)
        version = rng.choice(choices[api][1])
        draw = Draw(rng, api, version, registry)
        steps.append(Step(api, version, draw.request(), draw.member))
    return steps


def _setup_configs(rng):
    if rng.random() < .6:
        return ()
    good = {'cleanup.policy': ('compact', 'compact,delete'), 'max.message.bytes': ('300', '800'),
            'message.timestamp.type': ('LogAppendTime',), 'message.timestamp.before.max.ms': ('1000',),
            'compression.type': ('gzip', 'lz4', 'uncompressed', 'snappy', 'zstd'), 'min.insync.replicas': ('2',),
            'index.interval.bytes': ('0',), 'flush.messages': ('1',), 'segment.ms': ('1',)}
    return tuple((k, rng.choice(good[k])) for k in rng.sample(list(good), rng.choice((1, 1, 2))))


# --- playing -------------------------------------------------------------------------------------------------
class World:
    """What this broker has told, and the Refs that are looked up in it. What isn't there has a plain value."""

    def __init__(self, t):
        self.t = t
        self.ids, self.ends, self.starts = {}, {}, {}
        self.producers, self.sequences = [], {}
        self.sessions, self.generations = [], {}
        self.members = {}  # (group, number) -> Member
        self.leaders, self.synced = {}, set()  # by group: the leader's id; whose leader has assigned

    def resolve(self, value):
        if isinstance(value, Ref):
            return getattr(self, value.what)(*value.arguments)
        if isinstance(value, dict):
            return {k: self.resolve(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.resolve(v) for v in value]
        return value

    def topic(self, label):
        return label if label in ('', '.') or len(label) > 100 else self.t.name('a/b' if label == 'odd' else label)

    def topic_id(self, label):
        if label not in self.ids:
            try:
                self.ids[label] = self.t.topic_id(self.topic(label))
            except session.PreparationFailed as error:
                if ': error ' not in str(error):  # no answer at all
                    print(f'{self.t.prefix}: {error}', file=sys.stderr)
                return b'\x05' * 16
        return self.ids[label]

    def end(self, label, partition, delta):
        return self.ends.get((label, partition), 0) + delta

    def start(self, label, partition, delta):
        return self.starts.get((label, partition), 0) + delta

    def group(self, label):
        return label and self.t.name(label)

    def member(self, label, number):
        found = self.members.get((self.group(label), number))
        return found.id if found else ''

    def others(self, group, number=None):
        """The numbers of the group's members but one."""
        return sorted(n for g, n in self.members if g == group and n != number)

    def number_of(self, group, member_id):
        return next((n for (g, n), m in self.members.items() if g == group and m.id == member_id), None)

    def generation(self, label, delta):
        return self.generations.get(self.group(label), -1) + delta

    def producer_id(self, index):
        return self.producers[index][0] if index < len(self.producers) else -1

    def producer_epoch(self, index, delta):
        return self.producers[index][1] + delta if index < len(self.producers) else -1

    def session(self, index):
        return self.sessions[-1][0] if self.sessions else 0

    def session_epoch(self, index):
        return self.sessions[-1][1] if self.sessions else -1

    def records(self, topic, partition, version, rows, options):
        options = dict(options)
        rows = [Record(**dict(row)) for row in rows]
        if version < 3:
            return records.for_version(rows, version, codec=options['codec'])
        if 'producer' in options:
            index = options.pop('producer')
            pid, epoch = self.producers[index] if index < len(self.producers) else (PRODUCE_ID_UNKNOWN, 0)
            key = (topic, partition, pid)
            following, before = self.sequences.get(key, (0, 0))
            how = options.pop('sequence')
            sequence = before if how == 'again' else 0 if how == 'zero' else following + how
            options.update(producer_id=pid, producer_epoch=epoch + options.pop('epoch'),
                           base_sequence=max(min(sequence, 2 ** 31 - 1), -1))
            self.sequences[key] = (min(max(sequence, 0) + len(rows), 2 ** 31 - 1), max(sequence, 0))
        cut, extra, twice = options.pop('cut', 0), options.pop('extra', b''), options.pop('twice', False)
        if options.pop('empty', False):
            rows = []
        data = records.batch(rows, **options)
        return (data + data if twice else data[:len(data) - cut]) + extra

    # What an answer teaches.
    def learn(self, api, request, response):
        learn = getattr(self, 'learn_' + api, None)
        if learn and response:
            learn(request, response)

    def _label(self, row, name='Name'):
        if row.get(name):
            return row[name][len(self.t.name('')):]
        return next((label for label, ident in self.ids.items() if ident == row.get('TopicId')), '')

    def learn_Produce(self, request, response):
        sent = {}
        for topic in request['TopicData']:
            for p in topic['PartitionData']:
                sent[(self._label(topic), p['Index'])] = p['Records']
        for topic in response['Responses']:
            for p in topic['PartitionResponses']:
                key = (self._label(topic), p['Index'])
                if p['ErrorCode'] == 0 and sent.get(key):
                    entries = [e for e in records.parse(sent[key]) if 'partial' not in e]
                    self.ends[key] = p['BaseOffset'] + sum(e.get('count', 1) for e in entries)

    def learn_DeleteRecords(self, request, response):
        for topic in response['Topics']:
            for p in topic['Partitions']:
                if p['ErrorCode'] == 0:
                    self.starts[(self._label(topic), p['PartitionIndex'])] = p['LowWatermark']

    def learn_InitProducerId(self, request, response):
        if response['ErrorCode'] == 0:
            self.producers.insert(0, (response['ProducerId'], response['ProducerEpoch']))

    def learn_Fetch(self, request, response):
        ident = response.get('SessionId', 0)
        if ident and not response['ErrorCode']:
            known = [s for s in self.sessions if s[0] == ident]
            epoch = request['SessionEpoch'] + 1 if known else 1
            self.sessions = [s for s in self.sessions if s[0] != ident] + [(ident, epoch)]

    def learn_Heartbeat(self, request, response):
        if response['ErrorCode'] == session.UNKNOWN_MEMBER_ID:
            self.forget(request['GroupId'], request['MemberId'])

    def forget(self, group, member_id):
        number = self.number_of(group, member_id)
        if number is not None:
            del self.members[(group, number)]

    def learn_CreateTopics(self, request, response):
        for topic in response['Topics']:
            if topic['ErrorCode'] == 0 and not request.get('validateOnly'):
                self.t.created(topic['Name'])
                self.ids.pop(self._label(topic), None)


# Who must come before others are answered.
class Member:
    def __init__(self, ident, version, body):
        self.id, self.version, self.body = ident, version, body


def joined(world, number, version, body, response):
    """Learns from the answer to a member's join."""
    group = body['GroupId']
    if response and response['ErrorCode'] == 0:
        world.members[(group, number)] = Member(response['MemberId'], version, {**body, 'MemberId': response['MemberId']})
        world.generations[group] = response['GenerationId']
        world.leaders[group] = response['Leader']
    elif response and response['ErrorCode'] == session.UNKNOWN_MEMBER_ID:
        world.forget(group, body['MemberId'])


def join(t, world, step, body):
    group, number = body['GroupId'], step.member
    known = world.number_of(group, body['MemberId'])
    if known is not None:
        number = known
    elif (group, number) in world.members:  # a new one
        free = [n for n in range(MEMBERS) if (group, n) not in world.members]
        if body['MemberId'] == '' and not free:
            return
        number = free[0] if free else number
    others = world.others(group, number)
    if others and body.get('GroupInstanceId'):
        return  # it may take the place of one that would never be heard of again
    on = f'member-{number}'
    for _ in range(2):
        t.post('JoinGroup', step.version, body, on)
        waits = bool(others) and rebalancing(t, group, on)
        if waits:
            come_again(t, world, group, others)
        response = t.take('JoinGroup', step.version, body, on, 'join')
        if waits:
            come_back(t, world, group, others)
        joined(world, number, step.version, body, response)
        if not response or response['ErrorCode'] != MEMBER_ID_REQUIRED:
            if response and response['ErrorCode'] == 0 and (waits or not others):
                world.synced.discard(group)
            return
        body = {**body, 'MemberId': response['MemberId']}


def rebalancing(t, group, on):
    """Whether the join that was sent waits for others; else it is answered."""
    while not t.is_answered(on, 0.01):
        found = t._helper('DescribeGroups', 1, {'Groups': [group]})['Groups'][0]
        if found['GroupState'] == 'PreparingRebalance':
            return True
    return False


def come_again(t, world, group, numbers):
    """All of them are told, and join again."""
    for number in numbers:
        member = world.members[(group, number)]
        t.call('Heartbeat', 2, {'GroupId': group, 'GenerationId': world.generations[group], 'MemberId': member.id})
    for number in numbers:
        member = world.members[(group, number)]
        t.post('JoinGroup', member.version, member.body, f'member-{number}')


def come_back(t, world, group, numbers):
    for number in numbers:
        member = world.members[(group, number)]
        response = t.take('JoinGroup', member.version, member.body, f'member-{number}', 'again')
        joined(world, number, member.version, member.body, response)
    world.synced.discard(group)


def leave(t, world, step, body):
    """Those that stay begin anew. Which of several then leads is a hash map's choice: the leader stays among them."""
    group = body['GroupId']
    asked = [body['MemberId']] if 'MemberId' in body else [row['MemberId'] for row in body['Members']]
    going = {world.number_of(group, ident) for ident in asked} - {None}
    staying = [n for n in world.others(group) if n not in going]
    if len(staying) > 1 and world.number_of(group, world.leaders.get(group)) in going:
        return
    response = t.call(step.api, step.version, body)
    if not response or response['ErrorCode']:
        return
    gone = asked if 'MemberId' in body else [row['MemberId'] for row in response['Members'] if not row['ErrorCode']]
    before = len(world.members)
    for ident in gone:
        world.forget(group, ident)
    if staying and len(world.members) < before:
        come_again(t, world, group, staying)
        come_back(t, world, group, staying)


def sync(t, world, step, body):
    """A follower waits for what the leader assigns."""
    group, leader = body['GroupId'], world.leaders.get(body['GroupId'])
    number, leading = world.number_of(group, body['MemberId']), world.number_of(group, leader)
    if number is None or leading is None or number == leading or group in world.synced:
        response = t.call(step.api, step.version, body)
        if response and response['ErrorCode'] == 0 and number is not None and number == leading:
            world.synced.add(group)
        return
    t.post('SyncGroup', step.version, body, f'member-{number}')
    answer = t.call('SyncGroup', 2, {
        'GroupId': group, 'GenerationId': world.generations[group], 'MemberId': leader,
        'Assignments': [{'MemberId': world.members[(group, n)].id, 'Assignment': b'to-%d' % n} for n in world.others(group)]})
    if answer and answer['ErrorCode'] == 0:
        world.synced.add(group)
    t.take('SyncGroup', step.version, body, f'member-{number}', 'after the leader')


TOGETHER = {'JoinGroup': join, 'LeaveGroup': leave, 'SyncGroup': sync}
CHANGES = ('CreateTopics', 'DeleteTopics', 'CreatePartitions', 'AlterConfigs', 'IncrementalAlterConfigs')


def write_beside(t, group):
    """Kafka shows tools a group that came into being without a record when the next record of its partition of
    __consumer_offsets is there, whoever's it is: one of a group with the same hash."""
    def partition(name):
        number = 0
        for character in name:
            number = (number * 31 + ord(character)) & 0xffffffff
        return (number if number < 2 ** 31 else 2 ** 32 - number) % t.node.settings()['offsets.topic.num.partitions']

    beside = next(name for name in (f'bh-beside-{i}' for i in itertools.count()) if partition(name) == partition(group))
    t.prepare('OffsetCommit', 7, {'GroupId': beside, 'GenerationIdOrMemberEpoch': -1, 'MemberId': '', 'Topics': [
        {'Name': t.settled(), 'Partitions': [{'PartitionIndex': 0, 'CommittedOffset': 0, 'CommittedLeaderEpoch': -1,
                                              'CommittedMetadata': ''}]}]},
        lambda r: r['Topics'][0]['Partitions'][0]['ErrorCode'])


def play(t, steps):
    """Runs the steps. Kafka applies what its controller decided a moment later: each change is waited for."""
    world = World(t)
    t.coordinator(t.name('g0'))
    for step in steps:
        if step.api == 'setup':
            for name, partitions, configs in step.body['topics']:
                t.create_topic(name, partitions, dict(configs))
            for _ in range(step.body['producers']):
                world.producers.append(t.producer_id())
            continue
        body = world.resolve(step.body)
        if step.api in TOGETHER:
            TOGETHER[step.api](t, world, step, body)
            continue
        response = t.call(step.api, step.version, body)
        world.learn(step.api, body, response)
        if step.api == 'OffsetCommit' and response and t.node.kind != 'barnabas' and all(
                p['ErrorCode'] == METADATA_TOO_LARGE for topic in response['Topics'] for p in topic['Partitions']):
            write_beside(t, body['GroupId'])
        if step.api in CHANGES and t.node.kind != 'barnabas':
            t.settled()
