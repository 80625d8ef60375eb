"""Brokers as test fixtures: Apache Kafka 4.3.1, Apache Kafka 3.9.1 and Barnabas behind one interface.

    with Barnabas(folder) as node: ...        node.port, node.kill(), node.stop(), node.start()

A node keeps its directory across stop and start, so that restarts and swaps are the same few lines. Readiness is
asked of the socket: a node is up when it answers Metadata with a broker, never after a sleep of a guessed length.
Ports come from BARNABAS_PORTS (low-high) or the system.
"""
import os
import shutil
import signal
import socket
import subprocess
import time

import schema
import wire

_jars = os.path.join(os.environ.get('BARNABAS_CACHE', os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))), '.cache')), 'jars')
JARS = os.environ.setdefault('BARNABAS_JARS', _jars)
os.environ.setdefault('BARNABAS_KAFKA_4', os.path.join(JARS, 'kafka-4.3.1'))
os.environ.setdefault('BARNABAS_KAFKA_3', os.path.join(JARS, 'kafka-3.9.1'))

CLUSTER_ID = 'QmFybmFiYXNUZXN0czAwMA'
_registry = None


def registry():
    global _registry
    if _registry is None:
        _registry = schema.Registry()
    return _registry


_handed_out = set()


def free_port():
    bounds = os.environ.get('BARNABAS_PORTS')
    candidates = range(*[int(p) for p in bounds.split('-')]) if bounds else iter(lambda: 0, 1)
    for port in candidates:
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
            port = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port
    raise RuntimeError('no free port')


def write_properties(path, settings):
    with open(path, 'w') as out:
        for name, value in settings.items():
            out.write(f'{name}={value}\n')


class Failed(Exception):
    pass


class Node:
    """A single combined node. `folder` holds server.properties, data/ and log; what exists there is kept. `data` may
    be a list of log directories, of which the first has the metadata."""
    kind = 'node'

    def __init__(self, folder, settings=None, data=None, port=None, controller_port=None, cluster_id=CLUSTER_ID,
                 node_id=1):
        self.folder = os.path.abspath(folder)
        os.makedirs(self.folder, exist_ok=True)
        folders = data if isinstance(data, list) else [data or os.path.join(self.folder, 'data')]
        self.log_dirs = [os.path.abspath(folder) for folder in folders]
        self.data = self.log_dirs[0]
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self.cluster_id = cluster_id
        self.node_id = node_id
        self.extra = dict(settings or {})
        self.process = None
        self.log_path = os.path.join(self.folder, 'log')

    def settings(self):
        out = {
            'process.roles': 'broker,controller',
            'node.id': self.node_id,
            'controller.quorum.voters': f'{self.node_id}@127.0.0.1:{self.controller_port}',
            'listeners': f'PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}',
            'advertised.listeners': f'PLAINTEXT://127.0.0.1:{self.port}',
            'controller.listener.names': 'CONTROLLER',
            'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
            'log.dirs': ','.join(self.log_dirs),
            'offsets.topic.replication.factor': 1,
            'offsets.topic.num.partitions': 4,
            'transaction.state.log.replication.factor': 1,
            'transaction.state.log.num.partitions': 4,
            'transaction.state.log.min.isr': 1,
            'share.coordinator.state.topic.replication.factor': 1,
            'share.coordinator.state.topic.num.partitions': 4,
            'share.coordinator.state.topic.min.isr': 1,
            'group.initial.rebalance.delay.ms': 0,
            'log.initial.task.delay.ms': 1000,
        }
        out.update(self.extra)
        return out

    @property
    def bootstrap(self):
        return f'127.0.0.1:{self.port}'

    def formatted(self):
        return os.path.exists(os.path.join(self.data, 'meta.properties'))

    def properties(self):
        path = os.path.join(self.folder, 'server.properties')
        write_properties(path, self.settings())
        return path

    def start(self, timeout_s=180):
        assert self.process is None, 'already running'
        if not self.formatted():
            self.format()
        path = self.properties()
        began = time.monotonic()
        self.log = open(self.log_path, 'ab')
        self.process = subprocess.Popen(self.command(path), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, env=self.environment(), cwd=self.folder)
        self.wait(timeout_s)
        self.started_s = time.monotonic() - began
        return self

    def wait(self, timeout_s=60):
        """Until Metadata names this node with its listener."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f'{self.kind} ended with {self.process.returncode} at start\n{self.tail()}')
            try:
                with wire.Connection(registry(), self.port, timeout_s=5) as c:
                    if c.call('Metadata', 9, {'Topics': []})['Brokers']:
                        return
            except (OSError, wire.Closed, wire.Silent, schema.Truncated):
                pass
            time.sleep(0.02)  # the poll's pace, not a guess at readiness
        raise Failed(f'{self.kind} does not answer after {timeout_s} s\n{self.tail()}')

    def stop(self, timeout_s=60):
        """SIGTERM; gives the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise Failed(f'{self.kind} does not stop within {timeout_s} s\n{self.tail()}') from error
        self.process = None
        self.log.close()
        return status

    def kill(self):
        """SIGKILL, as a crash."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.log.close()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def rss_kb(self):
        with open(f'/proc/{self.process.pid}/status') as status:
            for line in status:
                if line.startswith('VmRSS:'):
                    return int(line.split()[1])
        return 0

    def cpu_s(self):
        with open(f'/proc/{self.process.pid}/stat') as stat:
            fields = stat.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def tail(self, lines=30):
        try:
            with open(self.log_path, errors='replace') as log:
                return ''.join(log.readlines()[-lines:])
        except OSError:
            return ''

    def environment(self):
        return dict(os.environ)

    def connect(self, **options):
        return wire.Connection(registry(), self.port, **options)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is not None:
            self.kill()
        else:
            self.stop()


class Kafka(Node):
    kind = 'kafka-4.3.1'
    jars_variable = 'BARNABAS_KAFKA_4'

    def __init__(self, *args, heap_mb=512, **options):
        super().__init__(*args, **options)
        self.jars = os.environ[self.jars_variable]
        self.heap_mb = heap_mb

    def java(self, main, *arguments, heap_mb=None):
        logging = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'log4j2.properties')
        # The bundled log4j of 3.9.1 is another than 4.x's; each reads the file that it knows.
        old_logging = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'log4j.properties')
        return ['java', f'-Xmx{heap_mb or self.heap_mb}m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto',
                f'-Dlog4j2.configurationFile={logging}', f'-Dlog4j.configuration=file:{old_logging}',
                '-cp', os.path.join(self.jars, '*'), main, *arguments]

    def format(self):
        for folder in self.log_dirs:
            os.makedirs(folder, exist_ok=True)
        path = self.properties()
        run = subprocess.run(self.java('kafka.tools.StorageTool', 'format', '-t', self.cluster_id, '-c', path),
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if run.returncode:
            raise Failed(f'format: {run.stdout}')

    def command(self, path):
        return self.java('kafka.Kafka', path)

    def tool(self, main, *arguments, timeout_s=120, check=True, stdin=None):
        """Runs one of Kafka's command-line tools; gives its output."""
        run = subprocess.run(self.java(main, *arguments, heap_mb=256), stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=timeout_s, input=stdin)
        if check and run.returncode:
            raise Failed(f'{main} {" ".join(arguments)} gave {run.returncode}:\n{run.stdout}')
        return run.stdout


class Kafka3(Kafka):
    kind = 'kafka-3.9.1'
    jars_variable = 'BARNABAS_KAFKA_3'

    def settings(self):
        out = {k: v for k, v in super().settings().items() if not k.startswith('share.')}
        # 3.9.1 serves the consumer protocol only when it is asked to; the classic one is what it is the oracle for.
        out['group.coordinator.rebalance.protocols'] = 'classic,consumer'
        out.update(self.extra)
        return out


class Barnabas(Node):
    kind = 'barnabas'

    def __init__(self, *args, binary=None, **options):
        super().__init__(*args, **options)
        self.binary = os.path.abspath(binary or os.environ['BARNABAS'])

    def format(self):
        for folder in self.log_dirs:
            os.makedirs(folder, exist_ok=True)
        run = subprocess.run([self.binary, 'format', '--config', self.properties(), '--cluster-id', self.cluster_id],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if run.returncode:
            raise Failed(f'format: {run.stdout}')

    def command(self, path):
        return [self.binary, 'serve', '--config', path]

    def environment(self):
        out = dict(os.environ)
        out.setdefault('ASAN_OPTIONS', 'abort_on_error=1:detect_leaks=1')
        out.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:print_stacktrace=1')
        return out

    def ready_lines(self):
        """The lines that announce listeners and start-up time."""
        with open(self.log_path, errors='replace') as log:
            return [line for line in log if 'listener' in line.lower() and 'ms' in line]


KINDS = {'barnabas': Barnabas, 'kafka': Kafka, 'kafka3': Kafka3}


def empty_folder(path):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path
