"""Creating, growing and deleting topics."""


def _await(t, *names):
    """Recorded: the topics as Metadata shows them once they have leaders."""
    t.until(lambda r: all(x['ErrorCode'] == 0 and all(p['ErrorCode'] == 0 for p in x['Partitions'])
                          for x in r['Topics']),
            {'Topics': [{'Name': n} for n in names], 'AllowAutoTopicCreation': False}, 'Metadata', 9)


def row(name, partitions=1, factor=1, assignments=(), configs=()):
    return {'Name': name, 'NumPartitions': partitions, 'ReplicationFactor': factor,
            'Assignments': [{'PartitionIndex': p, 'BrokerIds': list(b)} for p, b in assignments],
            'Configs': [{'Name': k, 'Value': v} for k, v in configs]}


def create(*rows, validate=False, timeout_ms=10000):
    return {'Topics': list(rows), 'timeoutMs': timeout_ms, 'validateOnly': validate}


# --- CreateTopics --------------------------------------------------------------------------------------------
def one(t):
    name = t.created(t.name())
    t.ask(create(row(name)))
    _await(t, name)


def several_with_partitions(t):
    a, b = t.created(t.name('a')), t.created(t.name('b'))
    t.ask(create(row(a, 3), row(b, 2)))
    _await(t, a, b)


def with_defaults(t):
    """-1 asks for the broker's defaults, from version 4 on."""
    name = t.created(t.name())
    t.ask(create(row(name, -1, -1)))


def that_exists(t):
    name = t.create_topic()
    t.ask(create(row(name)))
    t.ask(create(row(name), validate=True))


def twice_in_a_request(t):
    name = t.created(t.name())
    t.ask(create(row(name), row(name)))
    t.ask(create(row(name, 1), row(t.created(t.name('b'))), row(name, 2)))


def with_bad_names(t):
    longest = t.created(t.name('x' * (249 - len(t.name('')))))  # version 0 can't only validate: it is created
    t.ask(create(*[row(n) for n in ('', '.', '..', 'a/b', longest, 'x' * 250, 'ä', 'a b', 'a:b')], validate=True))


def with_colliding_name(t):
    """A dot and an underscore are one in the names of metrics."""
    t.create_topic('a.b')
    t.ask(create(row(t.name('a_b'))))


def with_bad_counts(t):
    for partitions, factor in ((0, 1), (-2, 1), (1, 0), (1, -2), (1, 2), (1, 32767)):
        t.ask(create(row(t.name(), partitions, factor)))


def only_validated(t):
    name = t.name()
    t.ask(create(row(name, 2), validate=True))
    if t.version >= 1:
        t.call('Metadata', 9, {'Topics': [{'Name': name}], 'AllowAutoTopicCreation': False})


def with_assignments(t):
    name = t.created(t.name())
    t.ask(create(row(name, -1, -1, [(0, [1]), (1, [1])])))
    _await(t, name)


def with_bad_assignments(t):
    for partitions, factor, assignments in ((-1, -1, [(0, [9])]), (-1, -1, [(1, [1])]), (-1, -1, [(0, [1, 1])]),
                                            (1, -1, [(0, [1])]), (-1, 1, [(0, [1])]), (-1, -1, [(0, [])]),
                                            (-1, -1, [(0, [1]), (0, [1])]), (-1, -1, [(0, [1]), (2, [1])])):
        t.ask(create(row(t.name(), partitions, factor, assignments)))


def with_configs(t):
    name = t.created(t.name())
    t.ask(create(row(name, configs=[('cleanup.policy', 'compact'), ('segment.bytes', '1048576')])))


def with_bad_configs(t):
    for key, value in (('no.such.config', '1'), ('retention.ms', 'soon'), ('cleanup.policy', 'sometimes'),
                       ('segment.bytes', '1'), ('retention.ms', '-2'), ('min.insync.replicas', '0'),
                       ('compression.type', 'brotli'), ('retention.ms', None), ('', 'x')):
        t.ask(create(row(t.name(), configs=[(key, value)])))


def same_config_twice(t):
    t.ask(create(row(t.created(t.name()), configs=[('retention.ms', '1000'), ('retention.ms', '2000')])))
    t.ask(create(row(t.name('u'), configs=[('no.such.setting', '1'), ('no.such.setting', '1')])))
    t.ask(create(row(t.name('v'), configs=[('no.such.setting', '1'), ('retention.ms', '5'), ('nor.this', '1')])))


def none_at_all(t):
    t.ask(create())


def without_time(t):
    t.ask(create(row(t.created(t.name())), timeout_ms=0))
    t.ask(create(row(t.created(t.name('u'))), timeout_ms=-1))


def good_and_bad_together(t):
    t.ask(create(row(t.created(t.name('a'))), row('a/b'), row(t.name('c'), 0)))


def internal_name(t):
    t.ask(create(row('__cluster_metadata'), row('__consumer_offsets')))


CreateTopics = [one, several_with_partitions, with_defaults, that_exists, twice_in_a_request, with_bad_names,
                with_colliding_name, with_bad_counts, only_validated, with_assignments, with_bad_assignments,
                with_configs, with_bad_configs, same_config_twice, none_at_all, without_time, good_and_bad_together,
                internal_name]


# --- DeleteTopics --------------------------------------------------------------------------------------------
def delete(t, *names, ids=(), timeout_ms=10000):
    return {'TopicNames': list(names), 'TimeoutMs': timeout_ms,
            'Topics': [{'Name': n, 'TopicId': bytes(16)} for n in names]
            + [{'Name': None, 'TopicId': i} for i in ids]}


def one_by_name(t):
    name = t.create_topic()
    t.ask(delete(t, name))
    t.ask(delete(t, name))


def two_by_name(t):
    t.ask(delete(t, t.create_topic('a'), t.create_topic('b')))


def unknown(t):
    t.ask(delete(t, t.name('none')))
    t.ask(delete(t, t.name('none'), t.create_topic()))


def by_id(t):
    name = t.create_topic()
    ident = t.topic_id(name)
    t.ask(delete(t, ids=[ident]))
    t.ask(delete(t, ids=[ident]))


def by_name_and_id(t):
    name = t.create_topic()
    ident = t.topic_id(name)
    t.ask(delete(t, name, ids=[ident]))
    t.ask({'Topics': [{'Name': name, 'TopicId': ident}], 'TimeoutMs': 1000})
    t.ask(delete(t, ids=[bytes(16)]))


by_id.versions = by_name_and_id.versions = (6, 99)


def one_twice(t):
    name = t.create_topic()
    t.ask(delete(t, name, name))


def bad_names(t):
    t.ask(delete(t, '', 'a/b', 'x' * 250))


def nothing(t):
    t.ask(delete(t))


def and_create_again(t):
    name = t.create_topic()
    t.ask(delete(t, name))
    t.until(lambda r: r['Topics'][0]['ErrorCode'] == 0, create(row(name, 2)), 'CreateTopics', 5)
    t.settled()  # until then the broker may still show the first one
    _await(t, name)


def without_waiting(t):
    t.ask(delete(t, t.create_topic(), timeout_ms=0))


DeleteTopics = [one_by_name, two_by_name, unknown, by_id, by_name_and_id, one_twice, bad_names, nothing,
                and_create_again, without_waiting]


# --- CreatePartitions ----------------------------------------------------------------------------------------
def grow(*rows, validate=False):
    """A row is (name, count, assignments or None)."""
    return {'TimeoutMs': 10000, 'ValidateOnly': validate, 'Topics': [
        {'Name': r[0], 'Count': r[1],
         'Assignments': None if len(r) < 3 else [{'BrokerIds': b} for b in r[2]]} for r in rows]}


def to_three(t):
    name = t.create_topic()
    t.ask(grow((name, 3)))
    t.until(lambda r: len(r['Topics'][0]['Partitions']) == 3 and all(
        p['ErrorCode'] == 0 for p in r['Topics'][0]['Partitions']),
        {'Topics': [{'Name': name}], 'AllowAutoTopicCreation': False}, 'Metadata', 9)


def to_the_same_or_fewer(t):
    name = t.create_topic('t', 2)
    for count in (2, 1, 0, -1):
        t.ask(grow((name, count)))


def of_an_unknown_topic(t):
    t.ask(grow((t.name('none'), 2)))
    t.ask(grow(('a/b', 2), ('', 2)))


def given_brokers(t):
    t.ask(grow((t.create_topic(), 3, [[1], [1]])))


def given_bad_brokers(t):
    name = t.create_topic()
    for brokers in ([[9]], [[1], [1]], [[1, 1]], [[]], []):
        t.ask(grow((name, 2, brokers)))


def validated_only(t):
    name = t.create_topic()
    t.ask(grow((name, 3), validate=True))
    t.call('Metadata', 9, {'Topics': [{'Name': name}], 'AllowAutoTopicCreation': False})
    t.ask(grow((name, 1), validate=True))


def named_twice(t):
    name = t.create_topic()
    t.ask(grow((name, 2), (name, 3)))
    t.ask(grow((name, 2), (t.create_topic('b'), 2), (name, 3)))


def several(t):
    t.ask(grow((t.create_topic('a'), 2), (t.create_topic('b'), 3), (t.name('none'), 2)))


CreatePartitions = [to_three, to_the_same_or_fewer, of_an_unknown_topic, given_brokers, given_bad_brokers,
                    validated_only, named_twice, several]
