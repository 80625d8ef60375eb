"""How each client of clients.tbl is started: a process that answers one line to each command of README.md."""
import os
import select
import subprocess

import installs
import kcat
import processes
import tools

LIMIT_S = 300  # for one command; the clients themselves give up much earlier
LOGGING = os.path.join(installs.ROOT, 'compat-tests', 'lib', 'log4j2.properties')


class Program:
    def __init__(self, command, log, environment=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
                                        env={**os.environ, **(environment or {})})
        self.pending = b''

    def say(self, *words):
        line = ' '.join(str(int(w) if isinstance(w, bool) else w) for w in words)
        self.process.stdin.write(line.encode() + b'\n')

    def hear(self):
        while b'\n' not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b''
            if not data:
                self.process.kill()
                raise ValueError('the client ended' if ready else f'no answer in {LIMIT_S} s')
            self.pending += data
        line, self.pending = self.pending.split(b'\n', 1)
        return line.decode(errors='replace').strip()

    def expect(self, wanted):
        answer = self.hear()
        if answer != wanted:
            raise ValueError(answer)

    def call(self, *words):
        self.say(*words)
        self.expect('ok')

    def through_begin(self, *words):
        """Up to the middle of `through`: half of its records are written and read."""
        self.say('through', *words)
        self.expect('half')

    def through_end(self):
        self.expect('ok')

    def go_on(self):
        self.say('go')

    def close(self):
        processes.end(self.process)


class InProcess:
    """A client that is a Python class around command-line programs."""

    def __init__(self, inner):
        self.inner = inner

    def call(self, name, *words):
        getattr(self.inner, name)(*words)

    def through_begin(self, *words):
        self.inner.through_begin(*words)

    def go_on(self):
        self.inner.go_on()

    def through_end(self):
        self.inner.through_end()

    def close(self):
        self.inner.close()


def java(classpath, main, log, *words):
    return Program(['java', '-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData',
                    f'-Dlog4j2.configurationFile={LOGGING}', '-cp', classpath, main, *words], log)


def prepare(program, scratch):
    """(version, start): the version of what is installed, None where the table says it, and start(log, bootstrap).
    Installs and builds what is missing; raises installs.Missing where this machine can't."""
    kind, _, which = program.partition(':')
    here = installs.HERE
    if kind == 'kcat':
        version = installs.output_of('kcat', '-V')
        if not version:
            raise installs.Missing('no kcat here')
        return kcat.version(version), lambda log, b: InProcess(kcat.Kcat(b))
    if kind == 'c':
        binary = installs.c(which)
        return installs.output_of(binary, '--version').strip(), lambda log, b: Program([binary, b], log)
    if kind == 'java':
        old = which.startswith('clients-0.8')
        main = 'Producer08' if old else 'Client'
        sources = (main, 'Records') if old else (main, 'Records', 'Calls') + (
            () if which in ('clients-0.9.0.1', 'clients-0.10.2.2') else ('Administration',))
        classpath = installs.java(which, *sources)
        return None, lambda log, b: java(classpath, main, log, b)
    if kind == 'tools':
        classpath = installs.java(which, 'Tools')
        return None, lambda log, b: InProcess(tools.Tools(classpath, LOGGING, scratch, log, b))
    if kind == 'python':
        python = installs.python()
        name = {'confluent_client': 'confluent-kafka', 'kafka_python_client': 'kafka-python', 'aiokafka_client': 'aiokafka'}[which]
        return (installs.locked('python/requirements.txt', rf'(?m)^{name}==(\S+)'),
                lambda log, b: Program([python, '-B', os.path.join(here, 'python', which + '.py'), b], log))
    if kind == 'go':
        binary = os.path.join(installs.go(), which)
        module = {'franz': 'github.com/twmb/franz-go', 'sarama': 'github.com/IBM/sarama',
                  'kafkago': 'github.com/segmentio/kafka-go'}[which]
        return installs.locked('go/go.mod', rf'{module} v(\S+)'), lambda log, b: Program([binary, b], log)
    if kind == 'node':
        node, environment = installs.node(which)
        package = {'kafkajs_client': 'kafkajs', 'confluent_client': '@confluentinc/kafka-javascript'}[which]
        return (installs.locked('node/package-lock.json', rf'"node_modules/{package}": {{\s+"version": "([^"]+)"'),
                lambda log, b: Program([node, os.path.join(here, 'node', which + '.js'), b], log, environment))
    if kind == 'rust':
        binary = installs.rust()
        return (installs.locked('rust/Cargo.lock', r'name = "rdkafka"\nversion = "([^"]+)"'),
                lambda log, b: Program([binary, b], log))
    raise ValueError(f'clients.tbl names {program}, which programs.py does not know')
