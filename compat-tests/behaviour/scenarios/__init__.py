"""Which APIs are compared, where their scenarios stand, and which of the generic ones do not fit an API.

A module holds, for each of its APIs, a list named as the API. A scenario is a function of a session; its name is
the scenario's name. To add an API: a row here, a list there; the generic scenarios come by themselves.
"""

MODULES = {
    'ApiVersions': 'cluster',
    'Metadata': 'cluster',
    'DescribeCluster': 'cluster',
    'DescribeQuorum': 'cluster',
    'ListPartitionReassignments': 'cluster',
    'DescribeTopicPartitions': 'cluster',
    'FindCoordinator': 'cluster',
    'ElectLeaders': 'cluster',
    'UpdateFeatures': 'cluster',
    'Produce': 'produce',
    'InitProducerId': 'produce',
    'DescribeProducers': 'produce',
    'Fetch': 'fetch',
    'ListOffsets': 'offsets',
    'OffsetForLeaderEpoch': 'offsets',
    'DeleteRecords': 'offsets',
    'CreateTopics': 'topics',
    'DeleteTopics': 'topics',
    'CreatePartitions': 'topics',
    'DescribeConfigs': 'configs',
    'AlterConfigs': 'configs',
    'IncrementalAlterConfigs': 'configs',
    'DescribeLogDirs': 'configs',
    'JoinGroup': 'groups',
    'SyncGroup': 'groups',
    'Heartbeat': 'groups',
    'LeaveGroup': 'groups',
    'OffsetCommit': 'groups',
    'OffsetFetch': 'groups',
    'DescribeGroups': 'groups',
    'ListGroups': 'groups',
    'DeleteGroups': 'groups',
    'OffsetDelete': 'groups',
}
APIS = list(MODULES)

# Produce with acks 0 is answered by nothing, so a generic body would only wait for the time-out.
NOT_GENERIC = {
    'Produce': ('as_it_is', 'nulls', 'one_of_each', 'unknown_names', 'long_names', 'odd_names', 'twice_the_same'),
}

# Versions for which no release is an oracle as they stand, and the version that speaks for them: the same requests go
# to Kafka in that version, and what both answers have in common is compared.
SPOKEN_FOR = {
    ('OffsetCommit', 0): 2,      # version 0 meant ZooKeeper, which 3.9.1 refuses; ours keeps offsets like every version
    ('OffsetFetch', 0): 1,       # as OffsetCommit
    ('DescribeConfigs', 0): 1,   # 3.9.1 has other settings and defaults than 4.3.1
}
