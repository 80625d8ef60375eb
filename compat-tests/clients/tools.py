"""Kafka's console tools under test: producer, consumer and the administrative commands, all inside one JVM."""
import os
import re
import subprocess
import time

import processes
import rows

PACKAGE = 'org.apache.kafka.tools.'
WAIT_MS = 120000  # a tool's JVM shares the machine with all the other clients
# By itself the tool gives each request 1.5 s and three retries, drops the records after that and ends well all the same.
PATIENT = ('--request-timeout-ms', WAIT_MS // 2)


class Tools:
    def __init__(self, classpath, logging, scratch, log, bootstrap):
        self.bootstrap, self.scratch = bootstrap, scratch
        self.process = subprocess.Popen(
            ['java', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData',
             f'-Dlog4j2.configurationFile={logging}', '-cp', classpath, 'Tools'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, encoding='utf-8')

    def close(self):
        processes.end(self.process)

    def tool(self, main, *arguments, data='', status=0):
        """Runs a tool and gives its output; raises when it ends with another status."""
        words = [main if main.startswith('kafka.') else PACKAGE + main, *[str(a) for a in arguments], data]
        self.process.stdin.write('\1'.join(words).replace('\n', '\2') + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError(f'{main}: the tools ended')
        code, output = line.rstrip('\n').split('\1', 1)
        output = output.replace('\2', '\n')
        if int(code) != status:
            raise ValueError(f'{main} {" ".join(str(a) for a in arguments)[:200]} ended with {code}: {output[-1000:]}')
        return output

    # --- the commands of README.md ---------------------------------------------------------------------------
    def produce(self, topic, codec, count, base, headers, idempotent):
        lines = []
        for i in range(count):
            its_headers = ','.join(f'{k}:{v.decode()}' for k, v in rows.headers(i).items()) if headers else ''
            key, value = rows.key(i), rows.value(i)
            lines.append('\t'.join((its_headers or 'NULL', 'NULL' if key is None else key.decode(),
                                    'NULL' if value is None else value.decode())))
        self.tool('ConsoleProducer', '--bootstrap-server', self.bootstrap, '--topic', topic, '--compression-codec', codec, *PATIENT,
                  '--reader-property', 'parse.key=true', '--reader-property', 'parse.headers=true',
                  '--reader-property', 'null.marker=NULL',
                  '--command-property', f'enable.idempotence={str(idempotent).lower()}',
                  '--command-property', 'max.request.size=1048576', data='\n'.join(lines) + '\n')

    def consume(self, arguments, start, end, base, headers):
        output = self.tool('consumer.ConsoleConsumer', '--bootstrap-server', self.bootstrap, *arguments,
                           '--max-messages', end - start, '--timeout-ms', WAIT_MS,
                           *[w for p in ('print.timestamp', 'print.offset', 'print.partition', 'print.headers', 'print.key',
                                         'print.value') for w in ('--formatter-property', p + '=true')],
                           '--formatter-property', 'null.literal=NULL')
        found = [line for line in output.splitlines() if '\tOffset:' in line]
        if len(found) != end - start:
            raise ValueError(f'{len(found)} of {end - start} records: {output[-300:]}')
        for i, line in zip(range(start, end), found):
            columns = line.split('\t')
            stamp = columns[0].split(':')[1] if ':' in columns[0] else '0'
            partition, offset, its_headers, key, value = columns[1:]
            if partition.split(':')[1] != '0' and columns[1].startswith('Partition'):
                raise ValueError(f'partition {partition}')
            if columns[1].startswith('Offset'):
                offset = columns[1]
            pairs = {} if its_headers in ('NO_HEADERS', '') else dict(h.split(':', 1) for h in its_headers.split(','))
            rows.check(i, int(offset.split(':')[1]), None if key == 'NULL' else key.encode(),
                       None if value == 'NULL' else value.encode(), int(stamp), base,
                       {k: v.encode() for k, v in pairs.items()}, headers)

    def read(self, topic, start, end, base, headers):
        self.consume(['--topic', topic, '--partition', '0', '--offset', start or 'earliest'], start, end, base, headers)

    def cross(self, count, *sources):
        """One topic of each author, the codecs in turn: a run of the tool for each of all would take minutes."""
        authors = {}
        for source in sources:
            authors.setdefault(source.split(',')[0].rsplit('-', 1)[0], []).append(source)
        for n, (_, theirs) in enumerate(sorted(authors.items())):
            topic, base, headers = theirs[n % len(theirs)].split(',')
            try:
                self.read(topic, 0, count, int(base), headers == '1')
            except ValueError as error:
                raise ValueError(f'{topic}: {error}') from None

    def group(self, topic, name, start, end, base, headers):
        self.consume(['--topic', topic, '--group', name, '--from-beginning'], start, end, base, headers)

    # --- administration --------------------------------------------------------------------------------------
    def admin(self, *_):
        for name in ('topics', 'offsets', 'configs', 'performance', 'log_dirs', 'delete_records', 'quorum', 'groups', 'features',
                     'api_versions', 'cluster'):
            getattr(self, 'admin_' + name)()

    def expect(self, pattern, output):
        if not re.search(pattern, output):
            raise ValueError(f'{pattern!r} is not in: {output[-600:]}')

    def settle(self, fact, *command):
        """Runs the command again for a while: in Kafka a change shows on the broker after the controller has answered."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while not fact(output := self.tool(*command)):
            if time.monotonic() > deadline:
                raise ValueError(f'{" ".join(str(word) for word in command)} still says {output[-600:]}')

    def admin_topics(self):
        b = ['--bootstrap-server', self.bootstrap]
        self.expect('Created topic tools-a', self.tool('TopicCommand', *b, '--create', '--topic', 'tools-a', '--partitions', 3,
                                                       '--config', 'retention.ms=70000'))
        self.settle(lambda output: 'tools-a' in output.splitlines(), 'TopicCommand', *b, '--list')
        self.expect(r'tools-a.*PartitionCount: 3.*ReplicationFactor: 1.*retention.ms=70000',
                    self.tool('TopicCommand', *b, '--describe', '--topic', 'tools-a'))
        self.tool('TopicCommand', *b, '--alter', '--topic', 'tools-a', '--partitions', 5)
        self.settle(lambda output: 'PartitionCount: 5' in output, 'TopicCommand', *b, '--describe', '--topic', 'tools-a')
        self.tool('TopicCommand', *b, '--create', '--topic', 'tools-a', status=1)
        self.tool('TopicCommand', *b, '--delete', '--topic', 'tools-a')
        self.settle(lambda output: 'tools-a' not in output.splitlines(), 'TopicCommand', *b, '--list')

    def admin_offsets(self):
        b = ['--bootstrap-server', self.bootstrap]
        self.tool('TopicCommand', *b, '--create', '--topic', 'tools-o', '--partitions', 2)
        self.tool('ConsoleProducer', *b, '--topic', 'tools-o', '--reader-property', 'parse.key=true', *PATIENT,
                  data='a\t1\nb\t2\nc\t3\n')
        output = self.tool('GetOffsetShell', *b, '--topic', 'tools-o')
        total = sum(int(line.rsplit(':', 1)[1]) for line in output.splitlines() if line.startswith('tools-o:'))
        if total != 3:
            raise ValueError(output)
        self.expect('tools-o:0:0', self.tool('GetOffsetShell', *b, '--topic', 'tools-o', '--time', -2))
        self.tool('GetOffsetShell', *b, '--topic', 'tools-o', '--time', -3)

    def admin_configs(self):
        b = ['--bootstrap-server', self.bootstrap, '--entity-type', 'topics', '--entity-name', 'for-tools']
        config = 'kafka.admin.ConfigCommand'
        self.tool(config, *b, '--alter', '--add-config', 'retention.ms=5000,cleanup.policy=compact')
        self.settle(lambda output: 'retention.ms=5000' in output, config, *b, '--describe')
        self.tool(config, *b, '--alter', '--delete-config', 'retention.ms,cleanup.policy')
        self.settle(lambda output: 'retention.ms=5000' not in output, config, *b, '--describe')
        self.expect('log.retention.hours=168|log.retention.hours', self.tool(
            config, '--bootstrap-server', self.bootstrap, '--entity-type', 'brokers', '--entity-name', 1, '--describe', '--all'))

    def admin_performance(self):
        self.expect('2000 records sent', self.tool(
            'ProducerPerformance', '--bootstrap-server', self.bootstrap, '--topic', 'for-tools', '--num-records', 2000,
            '--record-size', 1000, '--throughput', -1))
        output = self.tool('ConsumerPerformance', '--bootstrap-server', self.bootstrap, '--topic', 'for-tools',
                           '--num-records', 2000, '--timeout', WAIT_MS)
        self.expect(r'1\.9\d+, .*2000|, 2000,', output)

    def admin_log_dirs(self):
        self.expect('"partition":"for-tools-0"', self.tool('LogDirsCommand', '--bootstrap-server', self.bootstrap,
                                                           '--describe', '--topic-list', 'for-tools'))

    def admin_delete_records(self):
        path = os.path.join(self.scratch, 'delete.json')
        with open(path, 'w') as out:
            out.write('{"partitions": [{"topic": "for-tools", "partition": 0, "offset": 100}], "version": 1}')
        self.expect('low_watermark: 100', self.tool('DeleteRecordsCommand', '--bootstrap-server', self.bootstrap,
                                                    '--offset-json-file', path))
        self.expect('for-tools:0:100', self.tool('GetOffsetShell', '--bootstrap-server', self.bootstrap, '--topic',
                                                 'for-tools', '--time', -2))

    def admin_quorum(self):
        b = ['--bootstrap-server', self.bootstrap, 'describe']
        self.expect(r'LeaderId:\s+1\b', self.tool('MetadataQuorumCommand', *b, '--status'))
        self.expect('Leader', self.tool('MetadataQuorumCommand', *b, '--replication'))

    def admin_groups(self):
        b = ['--bootstrap-server', self.bootstrap]
        command = 'consumer.group.ConsumerGroupCommand'
        self.tool('consumer.ConsoleConsumer', *b, '--topic', 'for-tools', '--group', 'tools-g', '--from-beginning',
                  '--max-messages', 10, '--timeout-ms', WAIT_MS)
        self.expect('(?m)^tools-g', self.tool(command, *b, '--list'))
        self.expect(r'tools-g\s+for-tools\s+0\s+\d+\s+2000', self.tool(command, *b, '--describe', '--group', 'tools-g'))
        self.tool(command, *b, '--group', 'tools-g', '--topic', 'for-tools', '--reset-offsets', '--to-latest', '--execute')
        self.expect(r'tools-g\s+for-tools\s+0\s+2000\s+2000\s+0', self.tool(command, *b, '--describe', '--group', 'tools-g'))
        self.tool(command, *b, '--delete', '--group', 'tools-g')

    def admin_features(self):
        self.expect('metadata.version', self.tool('FeatureCommand', '--bootstrap-server', self.bootstrap, 'describe'))

    def admin_api_versions(self):
        output = self.tool('BrokerApiVersionsCommand', '--bootstrap-server', self.bootstrap)
        self.expect(r'Produce\(0\): ', output)
        self.expect(r'Fetch\(1\): ', output)

    def admin_cluster(self):
        self.expect('Cluster ID: ', self.tool('ClusterTool', 'cluster-id', '--bootstrap-server', self.bootstrap))
