"""What a client asks about the cluster: versions, brokers, topics, the quorum, coordinators."""
import struct

import wire


# --- ApiVersions ---------------------------------------------------------------------------------------------
def software_name(t):
    t.ask({'ClientSoftwareName': 'compat', 'ClientSoftwareVersion': '1.0'})


def software_name_empty(t):
    t.ask({'ClientSoftwareName': '', 'ClientSoftwareVersion': '1.0'})


def software_name_odd(t):
    t.ask({'ClientSoftwareName': 'a b', 'ClientSoftwareVersion': '1'})
    t.ask({'ClientSoftwareName': '-a', 'ClientSoftwareVersion': '1'})
    t.ask({'ClientSoftwareName': 'a', 'ClientSoftwareVersion': '1!'})


def between_other_requests(t):
    body = {'ClientSoftwareName': 'compat', 'ClientSoftwareVersion': '1.0'}
    t.pipeline([('Metadata', 9, {'Topics': []}), (t.api, t.version, body), ('Metadata', 12, {'Topics': []}),
                (t.api, t.version, body)])


def a_version_from_the_future(t):
    """The fallback answer is version 0 with UNSUPPORTED_VERSION and the broker's own range."""
    connection = t.connection('future')
    frame = bytearray(connection.frame('ApiVersions', t.version, {'ClientSoftwareName': 'compat',
                                                                  'ClientSoftwareVersion': '1.0'}))
    frame[6:8] = (100 + t.version).to_bytes(2, 'big')
    connection.send(bytes(frame))
    try:
        size = int.from_bytes(connection.read(4), 'big')
    except wire.Closed:  # a header from the future has tagged fields; that of an old version ends too early
        t.note('outcome', 'closed')
        return
    answer = t.registry.decode('ApiVersionsResponse', 0, connection.read(size)[4:])
    t.note('error', answer['ErrorCode'])
    t.note('keys', [k['ApiKey'] for k in answer['ApiKeys']])


def no_software_name(t):
    t.ask({'ClientSoftwareVersion': '1.0'})
    t.ask({'ClientSoftwareName': 'compat'})


# What is not served here: removed APIs, those of controllers, keys and versions that nobody has. Once is enough.
def _hung_up(t, key, version):
    """A request with the header that every version can read as far as its correlation id."""
    t.raw(struct.pack('>ihhih', 20, key, version, 1, -1) + bytes(10), f'key {key} version {version}')


def keys_that_nobody_has(t):
    for key in (93, 94, 127, 128, 1000, 32767, -1, -32768):
        _hung_up(t, key, 0)


def apis_that_were_removed(t):
    """LeaderAndIsr, StopReplica, UpdateMetadata, ControlledShutdown."""
    for key, versions in ((4, 8), (5, 5), (6, 9), (7, 4)):
        for version in range(versions):
            _hung_up(t, key, version)


def apis_of_controllers(t):
    for name, (key, low, high) in sorted(t.registry.apis.items()):
        message = t.registry.new.get(name + 'Request')
        if message and 'broker' not in message.listeners:
            for version in range(low, high + 1):
                _hung_up(t, key, version)


def versions_that_nobody_has(t):
    for name, (key, low, high) in sorted(t.registry.apis.items()):
        if name != 'ApiVersions':
            unstable = t.registry.new.get(name + 'Request') and t.registry.new[name + 'Request'].unstable
            for version in (high if unstable else high + 1, high + 2, 32767, -1):
                _hung_up(t, key, version)


def nothing_beyond_kafka_is_advertised(t):
    """Neither an API, nor a version, nor a feature or its level."""
    answer = t._helper('ApiVersions', 4, {'ClientSoftwareName': 'compat', 'ClientSoftwareVersion': '1'})
    known = {key: (low, high - (name + 'Request' in t.registry.new and t.registry.new[name + 'Request'].unstable))
             for name, (key, low, high) in t.registry.apis.items()}
    t.note('beyond', [row for row in answer['ApiKeys'] if row['ApiKey'] not in known
                      or row['MinVersion'] < known[row['ApiKey']][0] or row['MaxVersion'] > known[row['ApiKey']][1]])
    features = {'metadata.version': (7, 30), 'kraft.version': (0, 1), 'transaction.version': (0, 2),
                'group.version': (0, 1), 'eligible.leader.replicas.version': (0, 1), 'share.version': (0, 1),
                'streams.version': (0, 1)}
    t.note('features beyond', [f for f in answer['SupportedFeatures'] if f['Name'] not in features or not (
        features[f['Name']][0] <= f['MinVersion'] <= f['MaxVersion'] <= features[f['Name']][1])])
    supported = {f['Name']: f for f in answer['SupportedFeatures']}
    t.note('finalized without support', [f for f in answer['FinalizedFeatures'] if f['Name'] not in supported
                                         or f['MaxVersionLevel'] > supported[f['Name']]['MaxVersion']])


for _function in (keys_that_nobody_has, apis_that_were_removed, apis_of_controllers, versions_that_nobody_has,
                  nothing_beyond_kafka_is_advertised):
    _function.versions = (4, 4)

ApiVersions = [keys_that_nobody_has, apis_that_were_removed, apis_of_controllers, versions_that_nobody_has,
               nothing_beyond_kafka_is_advertised, software_name, software_name_empty, software_name_odd, between_other_requests,
               a_version_from_the_future, no_software_name]


# --- Metadata ------------------------------------------------------------------------------------------------
def _named(t, *names, create=False):
    return {'Topics': [{'Name': n, 'TopicId': bytes(16)} for n in names], 'AllowAutoTopicCreation': create}


def all_topics(t):
    t.create_topic('a', 2)
    t.ask({'Topics': [] if t.version == 0 else None, 'AllowAutoTopicCreation': False})


def no_topics(t):
    t.ask({'Topics': [], 'AllowAutoTopicCreation': False})


def one_topic(t):
    t.ask(_named(t, t.create_topic('a')))


def three_partitions(t):
    t.ask(_named(t, t.create_topic('a', 3)))


def known_and_unknown(t):
    t.ask(_named(t, t.create_topic('a'), t.name('none')))


def same_topic_twice(t):
    name = t.create_topic('a')
    t.ask(_named(t, name, name))


def auto_creation(t):
    """From version 4 on a flag decides; older versions always create."""
    name = t.created(t.name('new'))
    t.ask(_named(t, name, create=True))
    t.until(lambda r: r['Topics'][0]['ErrorCode'] == 0 and all(
        p['ErrorCode'] == 0 for p in r['Topics'][0]['Partitions']), _named(t, name))


def auto_creation_refused(t):
    name = t.name('none')
    if t.version >= 4:
        t.ask(_named(t, name, create=False))
        t.ask(_named(t, name, create=False))


def auto_creation_bad_names(t):
    for bad in ('', '.', '..', 'a/b', 'x' * 250, 'a b', 'ä'):
        t.ask(_named(t, bad, create=True))


def internal_topic(t):
    t.keep_internal = True
    t.ask(_named(t, '__consumer_offsets'))


def by_topic_id(t):
    name = t.create_topic('a')
    t.ask({'Topics': [{'Name': None, 'TopicId': t.topic_id(name)}], 'AllowAutoTopicCreation': False})


def by_unknown_topic_id(t):
    t.ask({'Topics': [{'Name': None, 'TopicId': b'\x01' * 16}], 'AllowAutoTopicCreation': False})


def by_id_and_name(t):
    name = t.create_topic('a')
    t.ask({'Topics': [{'Name': name, 'TopicId': t.topic_id(name)}], 'AllowAutoTopicCreation': False})
    t.ask({'Topics': [{'Name': None, 'TopicId': bytes(16)}], 'AllowAutoTopicCreation': False})


by_topic_id.versions = by_unknown_topic_id.versions = by_id_and_name.versions = (10, 99)


def authorized_operations(t):
    t.ask({**_named(t, t.create_topic('a')), 'IncludeClusterAuthorizedOperations': True,
           'IncludeTopicAuthorizedOperations': True})


def after_deletion(t):
    name = t.create_topic('a')
    t.prepare('DeleteTopics', 4, {'TopicNames': [name], 'TimeoutMs': 10000},
              lambda r: r['Responses'][0]['ErrorCode'])
    t.until(lambda r: r['Topics'][0]['ErrorCode'] == 3, _named(t, name)) if t.version >= 4 else None


Metadata = [all_topics, no_topics, one_topic, three_partitions, known_and_unknown, same_topic_twice, auto_creation,
            auto_creation_refused, auto_creation_bad_names, internal_topic, by_topic_id, by_unknown_topic_id,
            by_id_and_name, authorized_operations, after_deletion]


# --- DescribeCluster -----------------------------------------------------------------------------------------
def with_operations(t):
    t.ask({'IncludeClusterAuthorizedOperations': True})


def endpoint_brokers(t):
    t.ask({'EndpointType': 1})


def endpoint_controllers(t):
    t.ask({'EndpointType': 2})


def endpoint_unknown(t):
    t.ask({'EndpointType': 0})
    t.ask({'EndpointType': 3})


def fenced_brokers(t):
    t.ask({'IncludeFencedBrokers': True})
    t.ask({'IncludeFencedBrokers': False})


DescribeCluster = [with_operations, endpoint_brokers, endpoint_controllers, endpoint_unknown, fenced_brokers]


# --- DescribeQuorum ------------------------------------------------------------------------------------------
def _quorum(*topics):
    return {'Topics': [{'TopicName': n, 'Partitions': [{'PartitionIndex': p} for p in ps]} for n, ps in topics]}


def the_metadata_partition(t):
    t.keep_internal = True
    t.ask(_quorum(('__cluster_metadata', [0])))


def another_partition(t):
    t.keep_internal = True
    t.ask(_quorum(('__cluster_metadata', [1])))
    t.ask(_quorum(('__cluster_metadata', [0, 1])))


def another_topic(t):
    t.ask(_quorum((t.create_topic('a'), [0])))


def metadata_and_another(t):
    t.keep_internal = True
    t.ask(_quorum(('__cluster_metadata', [0]), (t.name('none'), [0])))


def the_same_partition_twice(t):
    t.keep_internal = True
    t.ask(_quorum(('__cluster_metadata', [0, 0])))


DescribeQuorum = [the_metadata_partition, another_partition, another_topic, metadata_and_another,
                  the_same_partition_twice]


# --- ListPartitionReassignments ------------------------------------------------------------------------------
def _reassign(*topics):
    return {'TimeoutMs': 5000, 'Topics': [{'Name': n, 'PartitionIndexes': ps} for n, ps in topics]}


def none_ongoing(t):
    t.ask({'TimeoutMs': 5000, 'Topics': None})


def of_a_topic(t):
    t.ask(_reassign((t.create_topic('a', 2), [0, 1])))


def of_unknown_topic(t):
    t.ask(_reassign((t.name('none'), [0])))


def of_unknown_partition(t):
    t.ask(_reassign((t.create_topic('a'), [5, -1])))


def of_one_topic_twice(t):
    name = t.create_topic('a')
    t.ask(_reassign((name, [0]), (name, [0, 0])))


ListPartitionReassignments = [none_ongoing, of_a_topic, of_unknown_topic, of_unknown_partition, of_one_topic_twice]


# --- DescribeTopicPartitions ---------------------------------------------------------------------------------
def _topics(*names, limit=2000, cursor=None):
    return {'Topics': [{'Name': n} for n in names], 'ResponsePartitionLimit': limit, 'Cursor': cursor}


def two_topics(t):
    t.ask(_topics(t.create_topic('a', 2), t.create_topic('b')))


def limited_partitions(t):
    a, b = t.create_topic('a', 3), t.create_topic('zz', 3)
    t.ask(_topics(a, b, limit=2))
    t.ask(_topics(a, b, limit=3))
    t.ask(_topics(a, b, limit=4))
    t.ask(_topics(a, b, limit=0))
    t.ask(_topics(a, b, limit=-1))
    t.ask(_topics(a, t.name('none'), b, limit=3))


def from_a_cursor(t):
    a, b = t.create_topic('a', 3), t.create_topic('b', 3)
    t.ask(_topics(a, b, limit=2, cursor={'TopicName': a, 'PartitionIndex': 1}))
    t.ask(_topics(a, b, cursor={'TopicName': b, 'PartitionIndex': 2}))
    t.ask(_topics(a, b, cursor={'TopicName': b, 'PartitionIndex': 3}))
    t.ask(_topics(a, b, cursor={'TopicName': t.name('zz'), 'PartitionIndex': 0}))
    t.ask(_topics(a, b, cursor={'TopicName': b, 'PartitionIndex': -1}))


def unknown_topic(t):
    t.ask(_topics(t.create_topic('a'), t.name('none')))


def bad_names(t):
    t.ask(_topics('', '.', 'a/b', 'x' * 250))


def out_of_order_and_twice(t):
    a, b = t.create_topic('a'), t.create_topic('b')
    t.ask(_topics(b, a, b))


DescribeTopicPartitions = [two_topics, limited_partitions, from_a_cursor, unknown_topic, bad_names,
                           out_of_order_and_twice]


# --- FindCoordinator -----------------------------------------------------------------------------------------
def _find(t, *keys, kind=0):
    return {'Key': keys[0], 'KeyType': kind, 'CoordinatorKeys': list(keys)}


def of_a_group(t):
    t.ask(_find(t, t.name('g')))


def of_several_groups(t):
    t.ask(_find(t, t.name('g'), t.name('h'), t.name('g')))


def of_the_empty_group(t):
    t.ask(_find(t, ''))


def unknown_kind(t):
    t.ask(_find(t, t.name('g'), kind=7))
    t.ask(_find(t, t.name('g'), kind=-1))


def of_a_share_group(t):
    """A share coordinator's key is group:topic id:partition."""
    t.ask(_find(t, t.name('g'), kind=2))
    t.ask(_find(t, 'g:not-an-id:0', kind=2))


def no_keys(t):
    t.ask({'Key': t.name('g'), 'KeyType': 0, 'CoordinatorKeys': []})


def long_group(t):
    t.ask(_find(t, t.name('x' * 1000)))


FindCoordinator = [of_a_group, of_several_groups, of_the_empty_group, unknown_kind, of_a_share_group, no_keys,
                   long_group]


# --- ElectLeaders --------------------------------------------------------------------------------------------
def _elect(*topics, kind=0):
    return {'ElectionType': kind, 'TimeoutMs': 10000, 'TopicPartitions': [
        {'Topic': n, 'Partitions': list(ps)} for n, ps in topics]}


def preferred(t):
    t.ask(_elect((t.create_topic('a', 2), [0, 1])))


def unclean(t):
    t.ask(_elect((t.create_topic('a', 2), [0, 1]), kind=1))


def of_an_unknown_kind(t):
    t.ask(_elect((t.create_topic('a', 2), [0, 1]), kind=7))


def of_unknown_partitions(t):
    t.ask(_elect((t.create_topic('a'), [0, 5, -1]), (t.name('none'), [0]), ('a/b', [0])))


def of_one_partition_twice(t):
    name = t.create_topic('a')
    t.ask(_elect((name, [0, 0])))
    t.ask(_elect((name, [0]), (name, [0])))


def of_all(t):
    t.create_topic('a')
    t.ask({'ElectionType': 0, 'TimeoutMs': 10000, 'TopicPartitions': None})


ElectLeaders = [preferred, unclean, of_an_unknown_kind, of_unknown_partitions, of_one_partition_twice, of_all]


# --- UpdateFeatures ------------------------------------------------------------------------------------------
def _features(*rows, validate=True):
    """A row is (feature, level, upgrade type). Version 0 cannot only validate: there the level stays as it is."""
    return {'timeoutMs': 10000, 'ValidateOnly': validate, 'FeatureUpdates': [
        {'Feature': n, 'MaxVersionLevel': level, 'UpgradeType': kind, 'AllowDowngrade': kind > 1}
        for n, level, kind in rows]}


def to_the_same_level(t):
    t.ask(_features(('metadata.version', 30, 1)))


def to_a_lower_level(t):
    for kind in (1, 2, 3):
        t.ask(_features(('metadata.version', 20, kind)))


to_a_lower_level.versions = (1, 99)


def to_levels_that_are_not(t):
    for level in (31, 32767, 3, 0, -1):
        t.ask(_features(('metadata.version', level, 1)))


def of_an_unknown_feature(t):
    t.ask(_features(('no.such.version', 1, 1)))
    t.ask(_features(('metadata.version', 30, 1), ('no.such.version', 1, 1)))


def one_feature_twice(t):
    t.ask(_features(('metadata.version', 30, 1), ('metadata.version', 30, 1)))


def by_an_unknown_way(t):
    t.ask(_features(('metadata.version', 30, 9)))
    t.ask(_features(('metadata.version', 30, 0)))


UpdateFeatures = [to_the_same_level, to_a_lower_level, to_levels_that_are_not, of_an_unknown_feature,
                  one_feature_twice, by_an_unknown_way]
