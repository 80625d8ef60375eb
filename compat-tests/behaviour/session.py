"""What a scenario holds in its hand: a broker, an API at a version, and a transcript.

Calls by ask() and its relatives are written down and later compared with what the other broker answered. Calls by
the helpers (create_topic, produce, …) are preparation: they go through versions that every broker speaks, are not
compared, and a failure there ends the scenario as "preparation failed".

Names are made by name(): they begin with the scenario's own prefix, the same on every broker, so that scenarios
can run side by side on one broker and what others left there can be told apart.
"""
import select
import sys
import threading
import time

import records
import schema
import wire

NONE = 0
NOT_YET = 5
LOADING = 14
UNKNOWN_MEMBER_ID = 25
RETRIABLE = {3, 5, 6, 9, 14, 15, 16, 74, 100, 103}  # not there yet: leader, coordinator, topic, topic id


_markers = threading.local()  # by broker: the topic by which settled() sees how far it is


class PreparationFailed(Exception):
    pass


class Session:
    def __init__(self, node, registry, api, version, scenario, spoken=None):
        self.node = node
        self.registry = registry
        self.api = api
        self.version = version
        self.scenario = scenario
        self.prefix = f'bh-{api}-{version}-{scenario}'
        self.spoken = version if spoken is None else spoken  # what goes over the wire for `version`
        self.transcript = []
        self.keep_internal = False
        self.keep_foreign = False
        self._connections = {}
        self._topics = []

    # --- connections -----------------------------------------------------------------------------------------
    def connection(self, which='main', timeout_s=10):
        if which not in self._connections:
            self._connections[which] = wire.Connection(self.registry, self.node.port, timeout_s=timeout_s)
        return self._connections[which]

    def close(self, which=None):
        for name in [which] if which else list(self._connections):
            self._connections.pop(name).close()

    def finish(self):
        try:
            if self._topics:
                self._helper('DeleteTopics', 4, {'TopicNames': self._topics, 'TimeoutMs': 10000})
        except Exception as error:  # the scenario is over; what it left behind is told apart by its prefix
            print(f'{self.prefix}: {error}', file=sys.stderr)
        self.close()

    def real(self, api, version):
        return self.spoken if (api, version) == (self.api, self.version) else version

    def fitting(self, api, version, fields):
        """fields without those that `version` does not have, where another version speaks for it."""
        if self.real(api, version) == version or isinstance(fields, bytes):
            return fields
        known = {f.name for f in self.registry.message(api + 'Request', version).fields
                 if schema.within(version, f.versions)}
        return {k: v for k, v in fields.items() if k in known or k == '_tags'}

    def encode(self, fields):
        """The body of a request of the scenario's API, as bytes to be tampered with."""
        return self.registry.encode(self.api + 'Request', self.spoken, fields)

    # --- what is compared ------------------------------------------------------------------------------------
    def _write(self, api, version, request, outcome, label):
        self.transcript.append({'api': api, 'version': version, 'request': request, 'label': label, **outcome})

    def _outcome(self, connection):
        try:
            return {'response': connection.take()}
        except wire.Closed:
            return {'closed': True}
        except wire.Silent:
            return {'silent': True}
        except (schema.Truncated, AssertionError) as error:
            return {'undecodable': str(error)}

    def call(self, api, version, fields, on='main', label='', **options):
        """One recorded request; gives the response, or None when the broker hung up."""
        connection = self.connection(on)
        try:
            connection.post(api, self.real(api, version), self.fitting(api, version, fields), **options)
            outcome = self._outcome(connection)
        except wire.Closed:
            outcome = {'closed': True}
        if 'response' not in outcome:
            self.close(on)
        self._write(api, version, fields, outcome, label)
        return outcome.get('response')

    def post(self, api, version, fields, on):
        """Sends what take() records later: a request that is answered only when others have come."""
        self.connection(on).post(api, version, fields)

    def is_answered(self, on, timeout_s):
        return bool(select.select([self.connection(on).socket], [], [], timeout_s)[0])

    def take(self, api, version, fields, on, label=''):
        """Recorded: the answer to what was posted; None when the broker hung up."""
        outcome = self._outcome(self.connection(on))
        if 'response' not in outcome:
            self.close(on)
        self._write(api, version, fields, outcome, label)
        return outcome.get('response')

    def ask(self, fields=None, **options):
        """One recorded request of the scenario's own API and version."""
        return self.call(self.api, self.version, {} if fields is None else fields, **options)

    def quietly(self, fields):
        """The answer to a request of the scenario's own API and version, not recorded."""
        return self._helper(self.api, self.spoken, self.fitting(self.api, self.version, fields))

    def pipeline(self, requests, on='main'):
        """Recorded: all sent in one write, then all answers taken in order. A request is (api, version, fields)."""
        connection = self.connection(on)
        data = b''
        for api, version, fields in requests:
            data += connection.frame(api, self.real(api, version), self.fitting(api, version, fields))
            connection.waiting.append((api, self.real(api, version), connection.correlation))
        try:
            connection.send(data)
        except wire.Closed:
            pass
        answers = []
        for api, version, fields in requests:
            outcome = self._outcome(connection)
            self._write(api, version, fields, outcome, 'pipelined')
            answers.append(outcome.get('response'))
            if 'response' not in outcome:
                self.close(on)
                break
        return answers

    def raw(self, data, label, on='main'):
        """Recorded: bytes that are no request; the outcome is a hang-up or silence (asked by another request)."""
        connection = self.connection(on)
        connection.send(data)
        try:
            outcome = {'bytes': connection.read(4)}
        except wire.Closed:
            outcome = {'closed': True}
        self.close(on)
        self._write('raw', 0, label, outcome, label)

    def no_answer(self, fields, on='main'):
        """Recorded: a request that must not be answered; the next answer has to be that of an ApiVersions."""
        connection = self.connection(on)
        data = connection.frame(self.api, self.version, fields)
        data += connection.frame('ApiVersions', 0, {})
        connection.waiting.append(('ApiVersions', 0, connection.correlation))
        connection.send(data)
        outcome = self._outcome(connection)
        outcome = {'response': {'ErrorCode': outcome['response']['ErrorCode']}} if 'response' in outcome else outcome
        if 'response' not in outcome:
            self.close(on)
        self._write(self.api, self.version, fields, outcome, 'not answered')

    def until(self, good, fields=None, api=None, version=None, timeout_s=10, on='main'):
        """Recorded once: the first response that satisfies good(response), or the last one within the time."""
        api, version = api or self.api, self.version if version is None else version
        deadline = time.monotonic() + timeout_s
        while True:
            connection = self.connection(on)
            try:
                connection.post(api, self.real(api, version), self.fitting(api, version, fields or {}))
                outcome = self._outcome(connection)
            except wire.Closed:
                outcome = {'closed': True}
            if 'response' not in outcome:
                self.close(on)
                break
            if good(outcome['response']) or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        self._write(api, version, fields, outcome, 'until')
        return outcome.get('response')

    def note(self, label, value):
        """Recorded: something that the scenario worked out itself."""
        self.transcript.append({'api': 'note', 'version': 0, 'request': None, 'label': label,
                                'response': {'value': value}})

    # --- preparation -----------------------------------------------------------------------------------------
    def name(self, suffix='t'):
        return f'{self.prefix}-{suffix}'

    def _helper(self, api, version, fields):
        try:
            return self.connection('helper', timeout_s=20).call(api, version, fields)
        except (wire.Closed, wire.Silent, schema.Truncated) as error:
            self._connections.pop('helper').close()
            raise PreparationFailed(f'{api} v{version}: {type(error).__name__} {error}') from error

    def prepare(self, api, version, fields, error=None, timeout_s=15):
        """An unrecorded request, repeated while error(response) gives a retriable code, then required to be 0."""
        deadline = time.monotonic() + timeout_s
        while True:
            response = self._helper(api, version, fields)
            code = error(response) if error else response.get('ErrorCode', 0)
            if code == 0:
                return response
            if code not in RETRIABLE or time.monotonic() > deadline:
                raise PreparationFailed(f'{api} v{version}: error {code}: {response}')
            time.sleep(0.01)

    def create_topic(self, suffix='t', partitions=1, configs=None):
        name = self.name(suffix)
        self.prepare('CreateTopics', 5, {'timeoutMs': 10000, 'Topics': [
            {'Name': name, 'NumPartitions': partitions, 'ReplicationFactor': 1,
             'Configs': [{'Name': k, 'Value': str(v)} for k, v in (configs or {}).items()]}]},
            lambda r: 0 if r['Topics'][0]['ErrorCode'] == 36 else r['Topics'][0]['ErrorCode'])
        self._topics.append(name)
        self.await_topic(name, partitions)
        return name

    def await_topic(self, name, partitions=1):
        self.prepare('Metadata', 9, {'Topics': [{'Name': name}], 'AllowAutoTopicCreation': False},
                     lambda r: r['Topics'][0]['ErrorCode'] or (
                         0 if len(r['Topics'][0]['Partitions']) == partitions and all(
                             p['LeaderId'] >= 0 for p in r['Topics'][0]['Partitions']) else 5))
        self.prepare('ListOffsets', 7, {'ReplicaId': -1, 'Topics': [{'Name': name, 'Partitions': [
            {'PartitionIndex': p, 'Timestamp': -1} for p in range(partitions)]}]},
            lambda r: max(p['ErrorCode'] for p in r['Topics'][0]['Partitions']))

    def settled(self):
        """Waits until the broker has applied all that the controller decided before: a setting of this thread's own
        topic is changed and awaited, since changes are applied one after another. Gives that topic's name."""
        mine = _markers.__dict__.setdefault(self.node.port, {})
        if not mine:
            mine.update(name=f'bh-settled-{threading.get_ident()}', value=0)
            self.prepare('CreateTopics', 5, {'timeoutMs': 10000, 'Topics': [
                {'Name': mine['name'], 'NumPartitions': 1, 'ReplicationFactor': 1}]},
                lambda r: 0 if r['Topics'][0]['ErrorCode'] == 36 else r['Topics'][0]['ErrorCode'])
        mine['value'] += 1
        value = str(mine['value'])
        resource = {'ResourceType': 2, 'ResourceName': mine['name']}
        self.prepare('IncrementalAlterConfigs', 1, {'Resources': [
            {**resource, 'Configs': [{'Name': 'file.delete.delay.ms', 'ConfigOperation': 0, 'Value': value}]}]},
            lambda r: r['Responses'][0]['ErrorCode'])
        self.prepare('DescribeConfigs', 2, {'Resources': [{**resource, 'ConfigurationKeys': ['file.delete.delay.ms']}]},
                     lambda r: r['Results'][0]['ErrorCode'] or (
                         0 if [c['Value'] for c in r['Results'][0]['Configs']] == [value] else NOT_YET))
        return mine['name']

    def created(self, name):
        """The scenario made this topic itself; it goes at the end."""
        self._topics.append(name)
        return name

    def topic_id(self, name):
        return self.prepare('Metadata', 12, {'Topics': [{'Name': name, 'TopicId': bytes(16)}],
                                             'AllowAutoTopicCreation': False},
                            lambda r: r['Topics'][0]['ErrorCode'])['Topics'][0]['TopicId']

    def produce(self, topic, count=1, partition=0, data=None, **options):
        """Appends one batch of `count` small records (or the given bytes); gives its base offset."""
        if data is None:
            data = records.batch([records.Record(b'k%d' % i, b'v%d' % i) for i in range(count)], **options)
        response = self.prepare('Produce', 9, {'Acks': -1, 'TimeoutMs': 10000, 'TopicData': [
            {'Name': topic, 'PartitionData': [{'Index': partition, 'Records': data}]}]},
            lambda r: r['Responses'][0]['PartitionResponses'][0]['ErrorCode'])
        return response['Responses'][0]['PartitionResponses'][0]['BaseOffset']

    def delete_records(self, topic, offset, partition=0):
        self.prepare('DeleteRecords', 2, {'TimeoutMs': 10000, 'Topics': [
            {'Name': topic, 'Partitions': [{'PartitionIndex': partition, 'Offset': offset}]}]},
            lambda r: r['Topics'][0]['Partitions'][0]['ErrorCode'])

    def producer_id(self):
        r = self.prepare('InitProducerId', 4, {'TransactionalId': None, 'TransactionTimeoutMs': 60000,
                                               'ProducerId': -1, 'ProducerEpoch': -1})
        return r['ProducerId'], r['ProducerEpoch']

    def coordinator(self, group):
        """Waits until the group's coordinator is there and has loaded; while it loads, Heartbeat answers no error."""
        self.prepare('FindCoordinator', 3, {'Key': group, 'KeyType': 0})
        self.prepare('Heartbeat', 4, {'GroupId': group, 'GenerationId': 0, 'MemberId': 'nobody'},
                     lambda r: 0 if r['ErrorCode'] == UNKNOWN_MEMBER_ID else r['ErrorCode'] or LOADING)
        return group
