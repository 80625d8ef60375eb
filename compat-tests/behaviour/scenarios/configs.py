"""Settings of topics and brokers, and what lies in the log directories."""

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32


# --- DescribeConfigs -----------------------------------------------------------------------------------------
def describe(*resources, synonyms=False, documentation=False):
    """A resource is (type, name, keys or None)."""
    return {'IncludeSynonyms': synonyms, 'IncludeDocumentation': documentation, 'Resources': [
        {'ResourceType': r[0], 'ResourceName': r[1], 'ConfigurationKeys': r[2]} for r in resources]}


def whole_topic(t):
    t.ask(describe((TOPIC, t.create_topic(), None)))


def whole_topic_with_synonyms(t):
    t.ask(describe((TOPIC, t.create_topic(configs={'retention.ms': 5000}), None), synonyms=True))


def some_keys_of_a_topic(t):
    name = t.create_topic(configs={'retention.ms': 5000, 'cleanup.policy': 'compact,delete'})
    t.ask(describe((TOPIC, name, ['retention.ms', 'cleanup.policy', 'segment.bytes', 'no.such.key']), synonyms=True))
    t.ask(describe((TOPIC, name, [])))


def types_of_values(t):
    name = t.create_topic()
    t.ask(describe((TOPIC, name, ['retention.ms', 'segment.bytes', 'preallocate', 'cleanup.policy',
                                  'compression.type', 'min.cleanable.dirty.ratio', 'leader.replication.throttled.replicas'])))


def documentation_is_there(t):
    t.ask(describe((TOPIC, t.create_topic(), ['retention.ms', 'preallocate']), documentation=True))


def unknown_topic(t):
    t.ask(describe((TOPIC, t.name('none'), None)))
    t.ask(describe((TOPIC, 'a/b', None), (TOPIC, '', None)))


def broker_keys(t):
    t.ask(describe((BROKER, '1', ['log.retention.ms', 'num.io.threads', 'log.segment.bytes', 'message.max.bytes',
                                  'log.cleaner.threads', 'compression.type', 'no.such.key']), synonyms=True))


def whole_broker_names(t):
    """Which settings a broker has, beside our own; compat-tests/config compares the values, key by key."""
    answer = t.quietly(describe((BROKER, '1', None)))
    t.note('settings', [(c['Name'], c['ReadOnly'], c['IsSensitive'], c.get('ConfigType'))
                        for c in sorted(answer['Results'][0]['Configs'], key=lambda c: c['Name'])
                        if not c['Name'].startswith('barnabas.')])


def cluster_default(t):
    t.ask(describe((BROKER, '', None)))
    t.ask(describe((BROKER, '', ['log.retention.ms']), synonyms=True))


def other_broker(t):
    t.ask(describe((BROKER, '7', None)))
    t.ask(describe((BROKER, 'one', None)))


def broker_loggers(t):
    t.ask(describe((LOGGER, '7', [])))


def unknown_types(t):
    for kind in (0, 1, 3, 99, -1):
        t.ask(describe((kind, 'x', None)))


def groups_and_clients(t):
    t.ask(describe((GROUP, t.name('g'), None)))
    t.ask(describe((CLIENT_METRICS, t.name('m'), None)))


def twice_and_together(t):
    name = t.create_topic()
    t.ask(describe((TOPIC, name, ['retention.ms']), (TOPIC, name, ['retention.ms']), (TOPIC, t.name('none'), None),
                   (BROKER, '1', ['log.retention.ms'])))


DescribeConfigs = [whole_topic, whole_topic_with_synonyms, some_keys_of_a_topic, types_of_values,
                   documentation_is_there, unknown_topic, broker_keys, whole_broker_names, cluster_default,
                   other_broker, broker_loggers, unknown_types, groups_and_clients, twice_and_together]


# --- changes -------------------------------------------------------------------------------------------------
def _await(t, name, key, value, source):
    """Recorded: the setting once it has the value and source that the change leads to."""
    t.until(lambda r: [(c['Value'], c['ConfigSource']) for c in r['Results'][0]['Configs']] == [(value, source)],
            describe((TOPIC, name, [key])), 'DescribeConfigs', 4, timeout_s=5)


def alter(*resources, validate=False):
    """A resource is (type, name, [(key, value)])."""
    return {'ValidateOnly': validate, 'Resources': [
        {'ResourceType': r[0], 'ResourceName': r[1], 'Configs': [{'Name': k, 'Value': v} for k, v in r[2]]}
        for r in resources]}


def replaces_all(t):
    name = t.create_topic(configs={'retention.ms': 5000, 'max.message.bytes': 1000})
    t.ask(alter((TOPIC, name, [('retention.ms', '6000')])))
    _await(t, name, 'retention.ms', '6000', 1)
    _await(t, name, 'max.message.bytes', '1048588', 5)


def clears_all(t):
    name = t.create_topic(configs={'retention.ms': 5000})
    t.ask(alter((TOPIC, name, [])))
    _await(t, name, 'retention.ms', '604800000', 5)


def validated_only(t):
    name = t.create_topic(configs={'retention.ms': 5000})
    t.ask(alter((TOPIC, name, [('retention.ms', '6000')]), validate=True))
    _await(t, name, 'retention.ms', '5000', 1)


def bad_values(t):
    name = t.create_topic()
    for key, value in (('retention.ms', 'x'), ('retention.ms', '-2'), ('no.such', '1'), ('cleanup.policy', 'x'),
                       ('segment.bytes', '10'), ('retention.ms', None), ('retention.ms', ''), ('preallocate', 'maybe'),
                       ('min.cleanable.dirty.ratio', '2')):
        t.ask(alter((TOPIC, name, [(key, value)])))


def of_unknown_resources(t):
    t.ask(alter((TOPIC, t.name('none'), [('retention.ms', '1')])))
    t.ask(alter((BROKER, '7', [('log.retention.ms', '1')])))
    t.ask(alter((99, 'x', [('a', 'b')])))
    t.ask(alter((TOPIC, '', [('retention.ms', '1')])))
    t.ask(alter((TOPIC, 'a/b', [('retention.ms', '1')])))


def same_resource_twice(t):
    name = t.create_topic()
    t.ask(alter((TOPIC, name, [('retention.ms', '1')]), (TOPIC, name, [('retention.ms', '2')])))


def same_key_twice(t):
    name = t.create_topic()
    t.ask(alter((TOPIC, name, [('retention.ms', '1000'), ('retention.ms', '2000')])))


def read_only_broker_key(t):
    t.ask(alter((BROKER, '1', [('num.partitions', '3'), ('node.id', '4')]), validate=True))
    t.ask(alter((BROKER, '1', [('log.retention.ms', 'x')]), validate=True))


def two_topics(t):
    a, b = t.create_topic('a'), t.create_topic('b')
    t.ask(alter((TOPIC, a, [('retention.ms', '1000')]), (TOPIC, b, [('retention.ms', 'x')])))
    _await(t, a, 'retention.ms', '1000', 1)


AlterConfigs = [replaces_all, clears_all, validated_only, bad_values, of_unknown_resources, same_resource_twice,
                same_key_twice, read_only_broker_key, two_topics]

SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def change(*resources, validate=False):
    """A resource is (type, name, [(key, operation, value)])."""
    return {'ValidateOnly': validate, 'Resources': [
        {'ResourceType': r[0], 'ResourceName': r[1],
         'Configs': [{'Name': k, 'ConfigOperation': o, 'Value': v} for k, o, v in r[2]]} for r in resources]}


def set_and_delete(t):
    name = t.create_topic(configs={'max.message.bytes': 1000})
    t.ask(change((TOPIC, name, [('retention.ms', SET, '6000')])))
    _await(t, name, 'retention.ms', '6000', 1)
    _await(t, name, 'max.message.bytes', '1000', 1)
    t.ask(change((TOPIC, name, [('retention.ms', DELETE, None), ('max.message.bytes', DELETE, None)])))
    _await(t, name, 'retention.ms', '604800000', 5)


def append_and_subtract(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('cleanup.policy', APPEND, 'compact')])))
    _await(t, name, 'cleanup.policy', 'delete,compact', 1)
    t.ask(change((TOPIC, name, [('cleanup.policy', APPEND, 'compact')])))
    t.ask(change((TOPIC, name, [('cleanup.policy', SUBTRACT, 'delete')])))
    _await(t, name, 'cleanup.policy', 'compact', 1)
    t.ask(change((TOPIC, name, [('cleanup.policy', SUBTRACT, 'delete')])))


def append_to_no_list(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('retention.ms', APPEND, '1')])))
    t.ask(change((TOPIC, name, [('retention.ms', SUBTRACT, '1')])))


def unknown_operation(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('retention.ms', 9, '1')])))
    t.ask(change((TOPIC, name, [('retention.ms', -1, '1')])))


def operations_on_no_name(t):
    """What an operation can't do to a setting is said before what the name of the topic, group or subscription can't be."""
    for kind, key in ((TOPIC, 'retention.ms'), (TOPIC, 'cleanup.policy'), (TOPIC, 'no.such.key'),
                      (GROUP, 'consumer.session.timeout.ms'), (CLIENT_METRICS, 'interval.ms'),
                      (CLIENT_METRICS, 'metrics')):
        for operation in (SET, APPEND, SUBTRACT):
            t.ask(change((kind, '', [(key, operation, '1')])))


def delete_what_is_not_set(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('retention.ms', DELETE, None)])))
    t.ask(change((TOPIC, name, [('no.such.key', DELETE, None)])))


def set_bad_values(t):
    name = t.create_topic()
    for key, value in (('retention.ms', 'x'), ('retention.ms', '-2'), ('no.such', '1'), ('cleanup.policy', 'x'),
                       ('segment.bytes', '10'), ('retention.ms', None), ('retention.ms', ''), ('', '1')):
        t.ask(change((TOPIC, name, [(key, SET, value)])))


def changes_of_unknown_resources(t):
    t.ask(change((TOPIC, t.name('none'), [('retention.ms', SET, '1')])))
    t.ask(change((BROKER, '7', [('log.retention.ms', SET, '1')])))
    t.ask(change((BROKER, 'one', [('log.retention.ms', SET, '1')])))
    t.ask(change((99, 'x', [('a', SET, 'b')])))


def one_resource_twice(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('retention.ms', SET, '1')]), (TOPIC, name, [('retention.ms', SET, '2')])))


def one_key_twice(t):
    name = t.create_topic()
    t.ask(change((TOPIC, name, [('retention.ms', SET, '1000'), ('retention.ms', DELETE, None)])))


def changes_validated_only(t):
    name = t.create_topic(configs={'retention.ms': 5000})
    t.ask(change((TOPIC, name, [('retention.ms', SET, '6000')]), validate=True))
    _await(t, name, 'retention.ms', '5000', 1)


def no_changes(t):
    t.ask(change((TOPIC, t.create_topic(), [])))
    t.ask(change())


IncrementalAlterConfigs = [set_and_delete, append_and_subtract, append_to_no_list, unknown_operation,
                           operations_on_no_name, delete_what_is_not_set, set_bad_values, changes_of_unknown_resources, one_resource_twice,
                           one_key_twice, changes_validated_only, no_changes]


# --- DescribeLogDirs -----------------------------------------------------------------------------------------
def directories(*topics):
    return {'Topics': [{'Topic': n, 'Partitions': list(ps)} for n, ps in topics]}


def all_of_them(t):
    t.create_topic()
    t.ask({'Topics': None})


def a_topic_with_data(t):
    name = t.create_topic('t', 2)
    t.produce(name, 3)
    t.ask(directories((name, [0, 1])))


def one_partition(t):
    t.ask(directories((t.create_topic('t', 2), [1])))


def an_unknown_topic(t):
    t.ask(directories((t.name('none'), [0]), (t.create_topic(), [0, 9])))


def no_topics(t):
    t.ask(directories())


def no_partitions(t):
    t.ask(directories((t.create_topic(), [])))


DescribeLogDirs = [all_of_them, a_topic_with_data, one_partition, an_unknown_topic, no_topics, no_partitions]
