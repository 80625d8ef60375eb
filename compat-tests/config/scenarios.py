"""The scenarios that both sides play: hand-written ones for what settings say together, and for every setting the
values around its range, as a start and as a change while running. Prints them in the notation of probe.c."""
import sys

NODE = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.listener.names': 'CONTROLLER',
    'controller.quorum.voters': '1@localhost:9093',
    'listeners': 'PLAINTEXT://:9092,CONTROLLER://:9093',
    'log.dirs': '/tmp/a,/tmp/b',
}

# What differs from NODE, None for what is left out.
STARTS = [
    {},
    {'node.id': None},
    {'node.id': None, 'broker.id': '1'},
    {'broker.id': '1'},
    {'broker.id': '2'},
    {'node.id': '2'},
    {'node.id': '-1'},
    {'process.roles': None},
    {'process.roles': ''},
    {'process.roles': 'broker'},
    {'process.roles': 'controller'},
    {'process.roles': 'controller', 'listeners': 'CONTROLLER://:9093'},
    {'process.roles': 'broker', 'listeners': 'PLAINTEXT://:9092'},
    {'process.roles': 'broker', 'listeners': 'PLAINTEXT://:9092', 'controller.quorum.voters': '2@localhost:9093'},
    {'process.roles': 'broker', 'listeners': 'PLAINTEXT://:9092', 'controller.quorum.voters': None,
     'controller.quorum.bootstrap.servers': 'localhost:9093'},
    {'process.roles': 'broker', 'controller.quorum.voters': '2@localhost:9093'},
    {'process.roles': 'broker', 'listeners': 'PLAINTEXT://:9092', 'controller.quorum.voters': '2@localhost:9093',
     'controller.quorum.auto.join.enable': 'true'},
    {'process.roles': 'broker', 'listeners': 'SSL://:9092', 'controller.quorum.voters': '2@localhost:9093',
     'security.inter.broker.protocol': 'SSL'},
    {'process.roles': 'broker', 'listeners': 'PLAINTEXT://:9092', 'controller.quorum.voters': '2@localhost:9093',
     'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT'},
    {'process.roles': 'broker,broker'},
    {'process.roles': 'broker,other'},
    {'controller.listener.names': None},
    {'controller.listener.names': ''},
    {'controller.listener.names': 'OTHER'},
    {'controller.listener.names': 'CONTROLLER,OTHER'},
    {'controller.listener.names': 'controller'},
    {'controller.listener.names': 'PLAINTEXT', 'listeners': 'PLAINTEXT://:9092'},
    {'controller.listener.names': 'PLAINTEXT', 'listeners': 'PLAINTEXT://:9092,OTHER://:9094',
     'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT', 'inter.broker.listener.name': 'OTHER'},
    {'controller.quorum.voters': None},
    {'controller.quorum.voters': ''},
    {'controller.quorum.voters': None, 'controller.quorum.bootstrap.servers': 'localhost:9093'},
    {'controller.quorum.voters': '1@localhost:9093,2@localhost:9094,3@localhost:9095'},
    {'controller.quorum.voters': '2@localhost:9094'},
    {'controller.quorum.voters': '1@localhost'},
    {'controller.quorum.voters': '1@localhost:x'},
    {'controller.quorum.voters': 'x@localhost:9093'},
    {'controller.quorum.voters': '1@[::1]:9093'},
    {'controller.quorum.voters': '1@0.0.0.0:9093'},
    {'controller.quorum.bootstrap.servers': 'localhost'},
    {'listeners': ''},
    {'listeners': 'PLAINTEXT://:9092'},
    {'listeners': 'CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://:9092,CONTROLLER://:9092'},
    {'listeners': 'PLAINTEXT://127.0.0.1:9092,CONTROLLER://[::1]:9092'},
    {'listeners': 'PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.2:9092'},
    {'listeners': 'PLAINTEXT://a:9092,CONTROLLER://[::1]:9092'},
    {'listeners': 'PLAINTEXT://:0,CONTROLLER://:0'},
    {'listeners': 'PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3'},
    {'listeners': 'plaintext://:9092,controller://:9093'},
    {'listeners': 'PLAINTEXT://:9092, CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://:9092,,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT:9092,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://h_x-1.example%eth0:9092,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://a b:9092,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://:,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://:x,CONTROLLER://:9093'},
    {'listeners': 'FOO://:9092,CONTROLLER://:9093'},
    {'listeners': 'FOO://:9092,CONTROLLER://:9093',
     'listener.security.protocol.map': 'FOO:PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'listeners': 'FOO://:9092,CONTROLLER://:9093', 'inter.broker.listener.name': 'FOO',
     'listener.security.protocol.map': 'FOO:PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'listeners': 'FOO://:9092,CONTROLLER://:9093', 'inter.broker.listener.name': 'foo',
     'listener.security.protocol.map': 'foo:plaintext , controller:PLAINTEXT'},
    {'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT'},
    {'listener.security.protocol.map': 'PLAINTEXT:PLAIN,CONTROLLER:PLAINTEXT'},
    {'listener.security.protocol.map': 'PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'listener.security.protocol.map': ''},
    {'listeners': 'SSL://:9092,CONTROLLER://:9093'},
    {'listeners': 'SSL://:9092,CONTROLLER://:9093', 'security.inter.broker.protocol': 'SSL'},
    {'listeners': 'SSL://:9092,CONTROLLER://:9093', 'security.inter.broker.protocol': 'SSL',
     'listener.security.protocol.map': 'SSL:SSL,CONTROLLER:SSL'},
    {'listeners': 'SASL_PLAINTEXT://:9092,CONTROLLER://:9093', 'security.inter.broker.protocol': 'SASL_PLAINTEXT',
     'listener.security.protocol.map': 'SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'listeners': 'SASL_PLAINTEXT://:9092,CONTROLLER://:9093', 'security.inter.broker.protocol': 'SASL_PLAINTEXT',
     'sasl.mechanism.inter.broker.protocol': 'PLAIN',
     'listener.security.protocol.map': 'SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'listeners': 'SASL_PLAINTEXT://:9092,CONTROLLER://:9093', 'security.inter.broker.protocol': 'SASL_PLAINTEXT',
     'sasl.mechanism.inter.broker.protocol': 'PLAIN',
     'listener.name.sasl_plaintext.sasl.enabled.mechanisms': 'PLAIN',
     'listener.security.protocol.map': 'SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT'},
    {'inter.broker.listener.name': 'PLAINTEXT'},
    {'inter.broker.listener.name': 'PLAINTEXT', 'security.inter.broker.protocol': 'PLAINTEXT'},
    {'inter.broker.listener.name': 'CONTROLLER'},
    {'inter.broker.listener.name': 'NONE'},
    {'inter.broker.listener.name': ''},
    {'security.inter.broker.protocol': 'SSL'},
    {'advertised.listeners': 'PLAINTEXT://h:1'},
    {'advertised.listeners': 'PLAINTEXT://:1'},
    {'advertised.listeners': 'PLAINTEXT://0.0.0.0:1'},
    {'advertised.listeners': 'PLAINTEXT://h:1,CONTROLLER://h:1'},
    {'advertised.listeners': 'PLAINTEXT://h:1,CONTROLLER://0.0.0.0:1'},
    {'advertised.listeners': 'CONTROLLER://h:1'},
    {'advertised.listeners': 'SSL://h:1'},
    {'advertised.listeners': 'PLAINTEXT://h:1,SSL://h:2'},
    {'advertised.listeners': ''},
    {'advertised.listeners': 'PLAINTEXT://h:1,PLAINTEXT://h:2'},
    {'listeners': 'PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093'},
    {'listeners': 'PLAINTEXT://:9092,CONTROLLER://0.0.0.0:9093'},
    {'early.start.listeners': 'PLAINTEXT'},
    {'early.start.listeners': 'NONE'},
    {'log.dirs': None},
    {'log.dirs': None, 'log.dir': ''},
    {'log.dirs': ''},
    {'log.dirs': 'a,a'},
    {'log.dirs': 'a,,b'},
    {'cordoned.log.dirs': '/tmp/a'},
    {'cordoned.log.dirs': '*'},
    {'cordoned.log.dirs': '*,/tmp/a'},
    {'cordoned.log.dirs': '/tmp/c'},
    {'log.retention.ms': '0'},
    {'log.retention.ms': '-1'},
    {'log.retention.ms': '-2'},
    {'log.retention.hours': '0'},
    {'log.retention.minutes': '0', 'log.retention.ms': '5'},
    {'log.retention.minutes': '-1'},
    {'log.roll.ms': '0'},
    {'log.roll.ms': '-1'},
    {'log.roll.jitter.ms': '-1'},
    {'log.cleaner.dedupe.buffer.size': '1048576'},
    {'log.cleaner.dedupe.buffer.size': '1048577'},
    {'log.cleaner.threads': '1000'},
    {'log.cleaner.min.compaction.lag.ms': '10', 'log.cleaner.max.compaction.lag.ms': '5'},
    {'log.local.retention.ms': '10', 'log.retention.ms': '5'},
    {'replica.fetch.wait.max.ms': '30001'},
    {'replica.fetch.wait.max.ms': '30000'},
    {'replica.lag.time.max.ms': '499'},
    {'queued.max.request.bytes': '100'},
    {'queued.max.request.bytes': '104857600'},
    {'queued.max.request.bytes': '0'},
    {'max.connections.per.ip': '0'},
    {'max.connections.per.ip': '0', 'max.connections.per.ip.overrides': '127.0.0.1:1'},
    {'max.connections.per.ip.overrides': '127.0.0.1'},
    {'max.connections.per.ip.overrides': '127.0.0.1:x'},
    {'max.connections.per.ip.overrides': 'a:1,b:2'},
    {'max.connections.per.ip.overrides': 'a@b:1'},
    {'connections.max.idle.ms': '100'},
    {'connections.max.idle.ms': '101'},
    {'connections.max.idle.ms': '-1'},
    {'broker.heartbeat.interval.ms': '4500'},
    {'broker.heartbeat.interval.ms': '4501'},
    {'group.coordinator.rebalance.protocols': 'consumer'},
    {'group.coordinator.rebalance.protocols': 'classic'},
    {'group.share.assignors': 'simple,other'},
    {'group.consumer.heartbeat.interval.ms': '15001'},
    {'group.consumer.heartbeat.interval.ms': '4999'},
    {'group.consumer.min.heartbeat.interval.ms': '15001'},
    {'group.consumer.session.timeout.ms': '44999'},
    {'group.consumer.session.timeout.ms': '60001'},
    {'group.consumer.max.heartbeat.interval.ms': '45000', 'group.consumer.heartbeat.interval.ms': '45000'},
    {'group.consumer.max.heartbeat.interval.ms': '45000', 'group.consumer.heartbeat.interval.ms': '44999'},
    {'group.share.max.heartbeat.interval.ms': '45000', 'group.share.heartbeat.interval.ms': '45000'},
    {'group.streams.max.heartbeat.interval.ms': '45000', 'group.streams.heartbeat.interval.ms': '45000'},
    {'group.share.delivery.count.limit': '10', 'group.share.max.delivery.count.limit': '9'},
    {'group.share.record.lock.duration.ms': '14999'},
    {'group.share.partition.max.record.locks': '4001'},
    {'group.streams.num.standby.replicas': '3'},
    {'group.consumer.assignment.interval.ms': '15001'},
    {'group.min.session.timeout.ms': '9999999'},
    {'compression.type': 'gzip', 'compression.gzip.level': '-1'},
    {'unknown.setting': '1'},
    {'zookeeper.connect': 'localhost:2181'},
    {'inter.broker.protocol.version': '3.0'},
    {'listener.name.plaintext.ssl.client.auth': 'sometimes'},
]

# Layers, then what is shown. Own settings are a topic's, group's or subscription's.
DESCRIBED = [
    ('broker topic group metrics cluster', {}),
    ('broker topic', {'static': {'log.retention.hours': '2', 'log.roll.ms': '1000', 'log.segment.bytes': ' 2000000 ',
                                 'compression.type': 'zstd', 'log.cleanup.policy': 'compact , delete'}}),
    ('broker topic', {'static': {'log.retention.minutes': '5', 'log.flush.scheduler.interval.ms': '100',
                                 'log.roll.jitter.hours': '1'}}),
    ('broker topic cluster', {'static': {'log.retention.hours': '2', 'message.max.bytes': '1000'},
                              'cluster': {'log.retention.ms': '5000', 'message.max.bytes': '2000'},
                              'broker': {'message.max.bytes': '3000'}}),
    ('broker topic cluster', {'cluster': {'log.flush.interval.ms': '7', 'min.insync.replicas': '2',
                                          'unclean.leader.election.enable': 'true', 'num.io.threads': '9'}}),
    ('broker cluster', {'static': {'something.unknown': 'x', 'listener.name.plaintext.max.connections': '7',
                                   'listener.name.plaintext.ssl.keystore.password': 'secret',
                                   'listener.name.plaintext.plain.sasl.jaas.config': 'secret',
                                   'sasl.jaas.config': 'secret', 'producer.id.expiration.check.interval.ms': '5',
                                   'log.cleaner.io.max.bytes.per.second': '1e3'},
                        'cluster': {'something.other': 'y', 'leader.replication.throttled.rate': '10'},
                        'broker': {'listener.name.plaintext.ssl.truststore.location': '/x',
                                   'follower.replication.throttled.rate': '20'}}),
    ('broker', {'static': {'log.dir': '/tmp/c', 'advertised.listeners': 'PLAINTEXT://h:1', 'broker.rack': 'r',
                           'max.connections.per.ip.overrides': 'a:1'}}),
    ('topic', {'own': {'retention.ms': '1', 'cleanup.policy': 'compact,delete', 'segment.bytes': ' 1048576 ',
                       'min.cleanable.dirty.ratio': '0.25', 'internal.segment.bytes': '100'}}),
    ('topic', {'own': {'leader.replication.throttled.replicas': '0:1,1:2', 'compression.type': 'gzip'},
               'static': {'compression.type': 'lz4', 'compression.gzip.level': '5'}}),
    ('group', {'own': {'consumer.session.timeout.ms': '50000', 'share.auto.offset.reset': 'earliest'},
               'static': {'group.consumer.session.timeout.ms': '46000', 'group.share.delivery.count.limit': '6'}}),
    ('group', {'cluster': {'group.consumer.assignment.interval.ms': '5'}}),
    ('metrics', {'own': {'interval.ms': '1000', 'metrics': 'a.,b.'}}),
    ('metrics', {'own': {'match': 'client_id=a.*'}}),
]

SET, DELETE, APPEND, SUBTRACT = range(4)


def alters():
    """(resource, name, elr, whole, layers, operations)"""
    def topic(*operations, whole=0, **layers):
        return 'topic', 'name', 1, whole, layers, operations

    def broker(*operations, name='1', elr=1, whole=0, **layers):
        return 'broker', name, elr, whole, layers, operations

    def group(*operations, whole=0, **layers):
        return 'group', 'name', 1, whole, layers, operations

    def metrics(*operations, whole=0, **layers):
        return 'metrics', 'name', 1, whole, layers, operations

    set_, delete, append, subtract = (lambda n, v, o=o: (o, n, v) for o in range(4))
    yield topic(set_('retention.ms', '5'))
    yield topic(set_('retention.ms', '5'), own={'retention.ms': '5'})
    yield topic(set_('retention.ms', '6'), own={'retention.ms': '5', 'segment.ms': '7'})
    yield topic(set_('retention.ms', '6'), own={'retention.ms': '5', 'segment.ms': '7'}, whole=1)
    yield topic(own={'retention.ms': '5', 'segment.ms': '7'}, whole=1)
    yield topic(delete('retention.ms', None), own={'retention.ms': '5'})
    yield topic(delete('retention.ms', 'x'), own={'retention.ms': '5'})
    yield topic(delete('retention.ms', None))
    yield topic(delete('nonsense', None))
    yield topic(set_('nonsense', '1'))
    yield topic(set_('message.format.version', '3.0'))
    yield topic(set_('retention.ms', None))
    yield topic(set_('retention.ms', None), set_('segment.ms', None))
    yield topic(set_('retention.ms', None), whole=1)
    yield topic(set_('retention.ms', '5'), set_('retention.ms', '6'))
    yield topic(append('cleanup.policy', 'compact'))
    yield topic(append('cleanup.policy', 'delete'))
    yield topic(append('cleanup.policy', 'compact'), own={'cleanup.policy': 'compact'})
    yield topic(append('cleanup.policy', 'compact,delete'), own={'cleanup.policy': ''})
    yield topic(append('cleanup.policy', 'compact,compact'), own={'cleanup.policy': ''})
    yield topic(append('cleanup.policy', 'other'))
    yield topic(append('cleanup.policy', ''))
    yield topic(append('retention.ms', '5'))
    yield topic(append('nonsense', '5'))
    yield topic(subtract('cleanup.policy', 'delete'))
    yield topic(subtract('cleanup.policy', 'delete'), own={'cleanup.policy': 'compact,delete'})
    yield topic(subtract('cleanup.policy', 'compact'))
    yield topic(subtract('cleanup.policy', 'delete,compact'), own={'cleanup.policy': 'compact,delete'})
    yield topic(subtract('retention.ms', '5'))
    yield topic(append('leader.replication.throttled.replicas', '0:1'), own={'leader.replication.throttled.replicas': '1:1'})
    yield topic(subtract('leader.replication.throttled.replicas', '1:1'),
                own={'leader.replication.throttled.replicas': '1:1,0:2,1:1'})
    yield topic(set_('leader.replication.throttled.replicas', '*'))
    yield topic(set_('leader.replication.throttled.replicas', '*,'))
    yield topic(set_('leader.replication.throttled.replicas', '0:1,x'))
    yield topic(set_('cleanup.policy', ' compact , delete '))
    yield topic(set_('min.compaction.lag.ms', '10'), set_('max.compaction.lag.ms', '5'))
    yield topic(set_('min.compaction.lag.ms', '10'), static={'log.cleaner.max.compaction.lag.ms': '5'})
    yield topic(set_('remote.storage.enable', 'true'))
    yield topic(set_('remote.storage.enable', 'TRUE'))
    yield topic(set_('remote.log.copy.disable', 'true'))
    yield topic(delete('remote.storage.enable', None), own={'remote.storage.enable': 'true'})
    yield topic(set_('remote.storage.enable', 'false'), own={'remote.storage.enable': 'true'})
    yield topic(set_('remote.storage.enable', 'false'), set_('remote.log.delete.on.disable', 'true'),
                own={'remote.storage.enable': 'true'})
    yield topic(set_('local.retention.ms', '10'), set_('retention.ms', '5'))
    yield topic(set_('retention.ms', 'x' * 2000))
    yield topic(set_('leader.replication.throttled.replicas', ','.join(['0:1'] * 8192)))
    yield topic(set_('min.insync.replicas', '2'))
    yield topic(set_('unclean.leader.election.enable', 'maybe'))
    yield 'topic', '', 1, 0, {}, [set_('retention.ms', '5')]

    yield broker(set_('log.retention.ms', '5'))
    yield broker(set_('log.retention.ms', '5'), broker={'log.retention.ms': '5'})
    yield broker(set_('log.retention.ms', '5'), name='')
    yield broker(set_('log.retention.ms', '5'), name='2')
    yield broker(set_('log.retention.ms', '5'), name='x')
    yield broker(set_('log.retention.ms', '0'))
    yield broker(set_('log.retention.ms', 'x'))
    yield broker(set_('num.partitions', '5'))
    yield broker(set_('num.partitions', '5'), set_('log.dirs', '/x'))
    yield broker(set_('log.retention.hours', '5'))
    yield broker(set_('nonsense', '5'))
    yield broker(delete('nonsense', None))
    yield broker(set_('ssl.keystore.location', '/x'))
    yield broker(set_('listener.name.plaintext.ssl.keystore.type', 'PEM'))
    yield broker(set_('listener.name.plaintext.ssl.keystore.type', 'PEM'), name='')
    yield broker(set_('listener.name.plaintext.max.connections', '5'), name='')
    yield broker(set_('listener.name.plaintext.max.connections', 'x'), name='')
    yield broker(set_('listener.name.plaintext.num.partitions', '5'))
    yield broker(set_('sasl.enabled.mechanisms', 'PLAIN'), name='')
    yield broker(set_('sasl.enabled.mechanisms', 'PLAIN'))
    yield broker(append('log.cleanup.policy', 'compact'))
    yield broker(append('log.cleanup.policy', 'compact'), static={'log.cleanup.policy': 'compact'})
    yield broker(subtract('log.cleanup.policy', 'delete'))
    yield broker(append('log.retention.ms', '5'))
    yield broker(set_('min.insync.replicas', '2'))
    yield broker(set_('min.insync.replicas', '2'), elr=0)
    yield broker(set_('min.insync.replicas', '2'), name='')
    yield broker(delete('min.insync.replicas', None), name='', cluster={'min.insync.replicas': '1'})
    yield broker(delete('min.insync.replicas', None), name='', cluster={'min.insync.replicas': '1'}, elr=0)
    yield broker(set_('log.retention.ms', '5'), whole=1, broker={'message.max.bytes': '1'})
    yield broker(set_('log.retention.ms', '5'), whole=1, name='', cluster={'message.max.bytes': '1'})
    yield broker(set_('leader.replication.throttled.rate', '5'))
    yield broker(set_('leader.replication.throttled.rate', '-1'))
    yield broker(set_('log.cleaner.dedupe.buffer.size', '1000'))
    yield broker(set_('max.connections.per.ip', '0'))
    yield broker(set_('cordoned.log.dirs', '/tmp/a'))
    yield broker(set_('cordoned.log.dirs', '/tmp/c'))
    yield broker(set_('cordoned.log.dirs', '/tmp/a'), name='')
    yield broker(set_('group.consumer.assignment.interval.ms', '15001'))
    yield broker(set_('group.consumer.assignment.interval.ms', '100'), name='')
    yield broker(set_('log.retention.ms', None))
    yield broker((9, 'log.retention.ms', '5'))

    yield group(set_('consumer.session.timeout.ms', '50000'))
    yield group(set_('consumer.session.timeout.ms', '44999'))
    yield group(set_('consumer.session.timeout.ms', '44999'),
                static={'group.consumer.min.session.timeout.ms': '10000'})
    yield group(set_('consumer.heartbeat.interval.ms', '45000'),
                static={'group.consumer.max.heartbeat.interval.ms': '60000'})
    yield group(set_('share.heartbeat.interval.ms', '45000'), static={'group.share.max.heartbeat.interval.ms': '60000'})
    yield group(set_('streams.heartbeat.interval.ms', '45000'),
                static={'group.streams.max.heartbeat.interval.ms': '60000'})
    yield group(set_('nonsense', '1'))
    yield group(delete('consumer.session.timeout.ms', None), own={'consumer.session.timeout.ms': '50000'})
    yield group(set_('share.auto.offset.reset', 'by_duration:P1D'))
    yield group(set_('share.auto.offset.reset', 'by_duration:P1W'))
    yield group(set_('share.auto.offset.reset', 'by_duration:pt1h'))
    yield group(set_('share.auto.offset.reset', 'by_duration:PT1.5S'))
    yield group(set_('share.auto.offset.reset', 'by_duration:PT1.5M'))
    yield group(set_('share.auto.offset.reset', 'by_duration:P1DT'))
    yield group(set_('share.auto.offset.reset', 'by_duration:P'))
    yield group(set_('share.auto.offset.reset', 'by_duration:'))
    yield group(append('consumer.session.timeout.ms', '1'))
    yield 'group', '', 1, 0, {}, [set_('consumer.session.timeout.ms', '50000')]

    yield metrics(set_('interval.ms', '100'))
    for interval in ('0', '99', '3600000', '3600001', 'x'):
        yield metrics(set_('interval.ms', interval))
    for match in ('', 'client_id=a.*', 'foo=a', 'client_id', 'client_id=[', 'client_id=a,client_source_port=1',
                  'client_id = a', 'client_id=a=b', 'client_id=', 'client_id=a,client_id=b', 'client_id=(?i)a',
                  'client_id=a)', 'client_id=*', 'client_id=\\', 'client_id=[]a]', 'client_id=a|b', 'a,,b'):
        yield metrics(set_('match', match))
    yield metrics(set_('metrics', 'a.,b.'))
    yield metrics(append('metrics', 'c'), own={'metrics': 'a'})
    yield metrics(set_('nonsense', '1'))
    yield 'metrics', '', 1, 0, {}, [set_('interval.ms', '100')]


def around(kind, valid):
    """Texts in and around a range, by a setting's type and validator."""
    yield from ('', ' ', 'x', '1', ' 1 ', '-1', '0', '1.5')
    if kind == 'BOOLEAN':
        yield from ('true', 'False', 'yes', '1')
    if kind in ('INT', 'SHORT', 'LONG'):
        for bits in (15, 31, 63):
            yield from (str(2 ** bits - 1), str(2 ** bits), str(-2 ** bits), str(-2 ** bits - 1))
    if kind == 'DOUBLE':
        yield from ('0.5', '1e3', '1E-5', '0.5f', '.5', '5.', 'NaN', 'Infinity', '1e400', '0x1p-2', '1.0E7', '123456789')
    if valid.startswith('Range'):
        for limit in valid[valid.index('[') + 1:-1].split(',...,' if ',...,' in valid else ',...'):
            if limit:
                step = 1 if '.' not in limit else 0.1
                number = float(limit) if '.' in limit else int(limit)
                yield from (str(number - step), str(number), str(number + step))
    if '[' in valid and not valid.startswith('Range'):
        words = valid[valid.index('[') + 1:valid.rindex(']')].split(', ')
        yield from words
        yield from (word.upper() for word in words)
        yield ','.join(words)
        yield words[0] + ',' + words[0]
    if kind == 'LIST':
        yield from (',', 'a,', 'a , b', 'a,a')


def emit(name, layers, *steps):
    print('scenario', name, sep='\t')
    fixed = dict(NODE, **layers.get('static', {}))
    for key, value in fixed.items():
        if value is not None:
            print('static', f'{key}={value}', sep='\t')
    for layer in ('cluster', 'broker', 'own'):
        for key, value in layers.get(layer, {}).items():
            print(layer, f'{key}={value}', sep='\t')
    for step in steps:
        print(*step, sep='\t')


def main(rows):
    print('rows')
    for difference in STARTS:
        emit(f'start {difference}', {'static': difference}, ('start',))
    for shown, layers in DESCRIBED:
        emit(f'describe {layers}', layers, *(('describe', what) for what in shown.split()))
    for resource, name, elr, whole, layers, operations in alters():
        emit(f'alter {resource} {operations} {layers}', layers,
             ('alter', resource, name, elr, whole,
              *(f'{o}:{n}' + ('' if v is None else f'={v}') for o, n, v in operations)))
    for row in rows:
        resource, name, kind, _, valid, _, scope, internal, _ = row.rstrip('\n').split('\t')
        for text in dict.fromkeys(around(kind, valid)):
            if resource == 'broker':
                emit(f'start {name}={text}', {'static': {name: text}}, ('start',))
            if resource != 'broker' or scope != 'read-only':
                emit(f'alter {name}={text}', {},
                     ('alter', resource, '1' if resource == 'broker' else 'name', 0, 0, f'0:{name}={text}'))


if __name__ == '__main__':
    with open(sys.argv[1]) as rows_file:
        main([line for line in rows_file if line.count('\t') == 8])
