"""How many instructions Barnabas spends on a request or a megabyte: a figure that a busy machine does not change.

The broker runs under callgrind, which counts what it executes in user space; the kernel's part is not in it. One
connection asks one request at a time, so that every count is of the same work. Figures repeat to about a hundredth.
"""
import glob
import os
import re
import subprocess

import cluster
import loads
import special

BATCHES = dict(topic='bulk', record_bytes=1000, batch_bytes=65536)

# Name, megabytes of one request (None: the figure is of a request), load, calls, topics, requests.
ROWS = [
    ('produce 1 KB in 64 KB batches, each MB', 0.064637, loads.group('produce', **BATCHES), (), 400),
    ('produce 100 B, each request', None, loads.group('produce', topic='small', partitions=16, record_bytes=100), (), 2000),
    ('fetch 1 MB warm, each MB', 1.034192, loads.group('fetch', wrap=1, **BATCHES), (), 400),
    ('fetch 100 B, each request', None,
     loads.group('fetch', topic='small', partitions=16, record_bytes=100, max_bytes=170, wrap=1), (), 1500),
    ('ApiVersions', None, loads.group('call', error_at=4), (('ApiVersions', 3, loads.CLIENT, 4),), 2000),
    ('Metadata of 1 topic', None, loads.group('call'), (('Metadata', 12, {'Topics': [{'Name': 'one'}]}, -1),), 2000),
    ('OffsetCommit', None, loads.group('call', error_at=special.OFFSET_COMMIT_ERROR_AT),
     (('OffsetCommit', 8, special.offset_commit, -1),), 1000),
]
TOPICS = (loads.Topic('bulk'), loads.Topic('small', 16), loads.Topic('one'))


class Counted(cluster.Barnabas):
    """Barnabas under callgrind, which counts only when it is told to."""

    def command(self, path):
        return ['valgrind', '--quiet', '--tool=callgrind', '--instr-atstart=no',
                f'--callgrind-out-file={os.path.join(self.folder, "counts")}', self.binary, 'serve', '--config', path]

    def control(self, *arguments):
        subprocess.run(['callgrind_control', *arguments, str(self.process.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def counted(self):
        """Instructions since they were last asked for."""
        self.control('--dump')
        newest = max(glob.glob(os.path.join(self.folder, 'counts.*')), key=lambda name: int(name.rsplit('.', 1)[1]))
        with open(newest) as counts:
            return int(re.search(r'^(?:totals|summary): (\d+)', counts.read(), re.M)[1])


def measure(bench):
    """(name, instructions of one request or megabyte) for every row."""
    node = Counted(os.path.join(bench.scratch, 'counted'))
    node.start(timeout_s=cluster.DEADLINE_S)
    try:
        cluster.topics_create(node, TOPICS)
        for name, megabytes, group, calls, count in ROWS:
            if calls:
                group += f',frames={bench.frames(node, calls)}'
            # The first ones open files, grow buffers and make sessions.
            bench.load(node.port, node.process.pid, (f'{group},count={count // 4}',), 600, 0)
            node.control('--instr=on')
            node.control('--zero')
            bench.load(node.port, node.process.pid, (f'{group},count={count}',), 600, 0)
            total = node.counted()
            node.control('--instr=off')
            yield name, round(total / count / (megabytes or 1))
    finally:
        node.kill()
