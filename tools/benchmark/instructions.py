"""How many instructions Barnabas spends on a request or a megabyte: a figure that a busy machine does not change.

The broker runs under callgrind, which counts what it executes in user space; the kernel's part is not in it. It has one
shard, and one connection asks one request at a time, so that every count is of the same work. What would make it vary is
held still: random bytes (preload.c), and the sizes from which the C library copies in another way. Lines about slow steps,
which are many under callgrind, are not counted. What else happens from time to time only adds to a count: of several
counts the smallest is the figure, and a figure that looks worse than the recorded one is counted more often. Between
runs figures differed by up to 1.4%, but for the bulk fetch, where a run was once 3% below the others.

The figures of a commit stand in instructions.tbl, with the compiler and the libraries that they hold for.
"""
import glob
import os
import re
import subprocess

import cluster
import loads
import special

BATCHES = dict(topic='bulk', record_bytes=1000, batch_bytes=65536)
ROUNDS = 3  # at least
ROUNDS_MAX = 8  # when it is not sure enough

# Name, megabytes of one request (None: the figure is of a request), load, calls, requests.
ROWS = [
    ('produce 1 KB in 64 KB batches, each MB', 0.064637, loads.group('produce', **BATCHES), (), 100),
    ('produce 100 B, each request', None, loads.group('produce', topic='small', record_bytes=100), (), 400),
    ('fetch 64 KB warm, each MB', 0.064637, loads.group('fetch', wrap=1, max_bytes=65536, **{**BATCHES, 'topic': 'read-bulk'}), (), 300),
    ('fetch 100 B, each request', None,
     loads.group('fetch', topic='read-small', record_bytes=100, max_bytes=170, wrap=1), (), 300),
    ('ApiVersions', None, loads.group('call', error_at=4), (('ApiVersions', 3, loads.CLIENT, 4),), 500),
    ('Metadata of 1 topic', None, loads.group('call'), (('Metadata', 12, {'Topics': [{'Name': 'one'}]}, -1),), 500),
    ('Metadata of all topics', None, loads.group('call'), (('Metadata', 12, {'Topics': None}, -1),), 500),
    ('OffsetCommit', None, loads.group('call', error_at=special.OFFSET_COMMIT_ERROR_AT),
     (('OffsetCommit', 8, special.offset_commit, -1),), 400),
    ('Heartbeat', None, loads.group('call', error_at=9), (('Heartbeat', 4, special.heartbeat, 9),), 500),
]
TOPICS = tuple(loads.Topic(name) for name in ('bulk', 'small', 'read-bulk', 'read-small', 'one'))
# What is fetched is of the same size in every run; what is produced to depends on how often was counted.
FILL = (loads.group('produce', count=400, **{**BATCHES, 'topic': 'read-bulk'}),
        loads.group('produce', count=2000, topic='read-small', record_bytes=100))
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'instructions.tbl')
TOLERANCE = 0.03

# So that no copy's way depends on the size of this machine's caches.
TUNABLES = ':'.join(f'glibc.cpu.x86_{name}=0x10000000'
                    for name in ('non_temporal_threshold', 'rep_movsb_threshold', 'rep_stosb_threshold'))
# What the C library and our own checksums choose their code by.
CPU_FLAGS = ('avx', 'avx2', 'bmi1', 'bmi2', 'erms', 'fsrm', 'lzcnt', 'movbe', 'pclmulqdq', 'rtm', 'sse4_2')


CONTROL_S = 120


class CannotCount(Exception):
    """This machine does not let callgrind be controlled."""


class Counted(cluster.Barnabas):
    """Barnabas under callgrind, which counts only when it is told to."""

    preload = None

    def command(self, path):
        return ['taskset', '-c', str(cluster.cpus()[0]), 'valgrind', '--quiet', '--tool=callgrind', '--instr-atstart=no',
                '--toggle-collect=report_stall*', '--collect-atstart=yes',
                f'--callgrind-out-file={os.path.join(self.folder, "counts")}', self.binary, 'serve', '--config', path]

    def environment(self):
        return {**super().environment(), 'LD_PRELOAD': self.preload, 'GLIBC_TUNABLES': TUNABLES}

    def control(self, *arguments):
        subprocess.run(['callgrind_control', *arguments, str(self.process.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, text=True, timeout=CONTROL_S)

    def counted(self):
        """Instructions since they were last asked for."""
        self.control('--dump')
        newest = max(glob.glob(os.path.join(self.folder, 'counts.*')), key=lambda name: int(name.rsplit('.', 1)[1]))
        with open(newest) as counts:
            return int(re.search(r'^(?:totals|summary): (\d+)', counts.read(), re.M)[1])


def measure(bench, sure):
    """(name, instructions of one request or megabyte in each round) for every row; until SURE(name, the smallest)."""
    node = Counted(os.path.join(bench.scratch, 'counted'))
    node.preload = os.path.join(bench.tools, 'libpreload.so')
    node.start(timeout_s=cluster.DEADLINE_S)
    try:
        try:
            node.control('--instr=off')
        except subprocess.SubprocessError as error:  # as in a container without ptrace
            raise CannotCount(f'{error}: {getattr(error, "stderr", "") or ""}') from None
        cluster.topics_create(node, TOPICS)
        for group in FILL:
            bench.load(node.port, node.process.pid, (group,), 600, 0)
        for name, megabytes, group, calls, count in ROWS:
            if calls:
                group += f',frames={bench.frames(node, calls)}'
            # The first ones open files, grow buffers and make sessions.
            bench.load(node.port, node.process.pid, (f'{group},count={count}',), 600, 0)
            rounds = []
            while len(rounds) < ROUNDS or len(rounds) < ROUNDS_MAX and not sure(name, min(rounds)):
                node.control('--instr=on')
                node.control('--zero')
                bench.load(node.port, node.process.pid, (f'{group},count={count}',), 600, 0)
                rounds.append(node.counted() / count / (megabytes or 1))
                node.control('--instr=off')
            yield name, rounds
    finally:
        node.kill()


def circumstances(binary):
    """What figures depend on beside the source, as text: they are compared only where it is the same."""
    def first_line(*command):
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[0]

    comments = subprocess.run(['readelf', '-p', '.comment', binary], stdout=subprocess.PIPE, text=True, check=True).stdout
    compilers = sorted(set(re.findall(r'(?:GCC: \(.*?\)|clang version) [\d.]+', comments)))
    with open('/proc/cpuinfo') as info:
        flags = re.search(r'^flags\s*:(.*)$', info.read(), re.M)[1].split()
    return '; '.join(compilers + ['glibc ' + first_line('ldd', '--version').split()[-1],
                                  first_line('valgrind', '--version'),
                                  'cpu ' + ' '.join(f for f in CPU_FLAGS if f in flags)])


def read_table():
    """(circumstances, {name: instructions})"""
    holds_for, figures = None, {}
    with open(TABLE) as table:
        for line in table:
            if line.startswith('#') or not line.strip():
                continue
            value, name = line.rstrip('\n').split(None, 1)
            if value == 'with':
                holds_for = name
            else:
                figures[name] = int(value)
    return holds_for, figures


def write_table(binary, figures):
    with open(TABLE, 'w') as table:
        table.write(f'''# What Barnabas spends: instructions in user space, counted by callgrind. Written by `tools/bench instructions --record`,
# compared by `tools/test instructions`, which fails when a figure is worse by more than {TOLERANCE:.0%}. A commit that changes one
# by more than that records it, and says in its message why.
with {circumstances(binary)}
''')
        for name, figure in figures.items():
            table.write(f'{figure:<9} {name}\n')


def sure_of_record(binary):
    """Is a figure so near to the recorded one, or below it, that counting again tells nothing?"""
    holds_for, recorded = read_table()
    if holds_for != circumstances(binary):
        return lambda name, figure: True
    return lambda name, figure: figure <= recorded.get(name, figure) * (1 + TOLERANCE / 3)


def compare(figures, binary):
    """Prints each figure beside the recorded one; gives (passed, failed)."""
    holds_for, recorded = read_table()
    here = circumstances(binary)
    failed = 0
    if holds_for != here:
        print(f'not compared, only counted: instructions.tbl holds for\n    {holds_for}\nand this is\n    {here}')
    for name, figure in figures.items():
        if name not in recorded:
            failed += 1
            print(f'FAIL {name}: {figure:,}, and instructions.tbl has no figure: run tools/bench instructions --record')
            continue
        change = figure / recorded[name] - 1
        verdict = 'ok  '
        if holds_for == here and change > TOLERANCE:
            failed += 1
            verdict = 'FAIL'
        print(f'{verdict} {name:<42} {figure:>9,} instructions, recorded {recorded[name]:>9,}: {change:+.1%}')
        if verdict == 'FAIL':
            print('     More than before: find out why (callgrind_annotate). If it is worth it, run tools/bench instructions '
                  '--record\n     and say in the commit that changes the figure what it buys.')
        elif holds_for == here and change < -TOLERANCE:
            print('     Less than before: run tools/bench instructions --record, so that it stays so.')
    return len(figures) - failed, failed
