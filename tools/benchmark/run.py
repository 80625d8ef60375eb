"""Runs cases against brokers in turn: A B A B, each round with a fresh directory."""
import json
import os
import statistics
import subprocess
import tempfile
import time

import cluster
import report
import rows

ROOT = cluster.ROOT


def build(options):
    """Builds a release and says where its load generator is."""
    if not os.environ.get('BARNABAS_PYTHON'):
        subprocess.run([os.path.join(ROOT, 'tools', 'setup'), 'test'], check=True)
    release = os.environ.get('BARNABAS_BENCH_BUILD', os.path.join(ROOT, 'build', 'release'))
    if not os.path.exists(os.path.join(release, 'build.ninja')):
        subprocess.run(['meson', 'setup', release, ROOT, '-Dbuildtype=release'], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', release, 'broker/barnabas', 'tools/benchmark/load',],
                   check=True, stdout=subprocess.DEVNULL)
    os.environ['BARNABAS'] = options.binary or os.path.join(release, 'broker', 'barnabas')
    return os.path.join(release, 'tools', 'benchmark')


class Bench:
    """What a case needs to run: the tools, where files go, and the choices of the command line."""

    def __init__(self, tools, scratch, options):
        self.tools = tools
        self.scratch = scratch
        self.options = options

    def load(self, port, pid, groups, seconds, warmup_s, both_cores=False):
        """The load generator's results, as a dict."""
        cpu = ','.join(str(c) for c in cluster.cpus()) if both_cores else str(cluster.cpus()[1])
        command = ['taskset', '-c', cpu, os.path.join(self.tools, 'load'), '--port', str(port), '--warmup', str(warmup_s),
                   '--seconds', str(seconds)] + (['--pid', str(pid)] if pid else []) + list(groups)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise cluster.nodes.Failed(f'{" ".join(command)}\n{done.stderr}')
        return json.loads(done.stdout)

    def frames(self, node, calls):
        """Encodes the calls of a case, checks the broker's answers to them, gives the file of frames."""
        path = os.path.join(self.scratch, 'frames')
        with node.connect() as c, open(path, 'wb') as out:
            for api, version, values, _ in calls:
                values = values(node) if callable(values) else values
                answer = c.call(api, version, values)
                if answer.get('ErrorCode'):
                    raise cluster.nodes.Failed(f'{api}: error {answer["ErrorCode"]}')
                out.write(c.frame(api, version, values))
        return path


def figures(measured):
    """The figures of the report out of what the load generator says; its first group is the one that counts."""
    first, seconds = measured['groups'][0], measured['seconds']
    out = {
        'requests_per_s': first['requests'] / seconds,
        'mb_per_s': first['bytes'] / 1e6 / seconds,
        'cpu_s': measured['cpu_s'],
        'rss_mb': measured['rss_kb'] / 1000,
        'load_cpu': measured['load_cpu_s'] / seconds,
        'broker_cpu': measured['cpu_s'] / seconds,
    }
    if first['bytes']:
        out['cpu_s_per_gb'] = measured['cpu_s'] / (first['bytes'] / 1e9)
    if first['requests']:
        out['cpu_us_per_request'] = measured['cpu_s'] / first['requests'] * 1e6
    if first['latencies']:
        for name in ('p50', 'p99', 'p999', 'max'):
            out[f'{name}_ms'] = first[f'{name}_us'] / 1000
    return out


def measure(bench, node, case):
    """One case on one running broker: {figure: value}."""
    if case.measure:
        return case.measure(bench, node, case)
    seconds = bench.options.seconds or case.seconds
    pid = node.process.pid
    if case.topics:
        cluster.topics_create(node, case.topics)
    try:
        groups = list(case.groups)
        if case.calls:
            groups[0] += f',frames={bench.frames(node, case.calls)}'
        if case.fill:
            bench.load(node.port, pid, case.fill, 600, 0)
        if case.bulk_gb:
            cluster.page_cache_prepare(bench.scratch, case.bulk_gb)
        return figures(bench.load(node.port, pid, groups, seconds, case.warmup_s, case.cores == 'both'))
    finally:
        if case.topics and node.alive():
            cluster.topics_delete(node, case.topics)


def warm_up(bench, node, seconds):
    """Kafka's compilers need load of every kind before its figures are its own."""
    if seconds <= 0:
        return
    topics = (rows.Topic('warm-up', 16),)
    cluster.topics_create(node, topics)
    shape = dict(topic='warm-up', partitions=16, record_bytes=1000)
    frames = bench.frames(node, (('ApiVersions', 3, {}, 4), ('Metadata', 12, {'Topics': [{'Name': 'warm-up'}]}, -1)))
    bench.load(node.port, node.process.pid, [
        rows.group('produce', connections=4, inflight=5, batch_bytes=16384, rate=500, **shape),
        rows.group('produce', connections=20, inflight=5, batch_bytes=0, **{**shape, 'topic': 'warm-up'}),
        rows.group('call', connections=4, inflight=5, frames=frames)], seconds, 0)
    cluster.topics_delete(node, topics)


def summary(rounds):
    """{figure: (median, lowest, highest)} of the rounds of one case."""
    return {name: (statistics.median(values), min(values), max(values))
            for name in rounds[0] if (values := [r[name] for r in rounds if name in r])}


def run(cases, options):
    tools = build(options)
    kinds = [options.only] if options.only else ['barnabas', 'kafka']
    found = {kind: {} for kind in kinds}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='bench-', dir=options.scratch) as scratch:
        bench = Bench(tools, scratch, options)
        for number in range(options.rounds):
            for kind in kinds:
                node = cluster.start(kind, scratch)
                try:
                    if kind == 'kafka':
                        warm_up(bench, node, options.warmup)
                    for case in cases:
                        result = measure(bench, node, case)
                        found[kind].setdefault(case.name, []).append(result)
                        print(f'round {number + 1} {kind:<9} {report.line(case, result)}', flush=True)
                finally:
                    node.kill()
        # The limits last: they need no broker.
        limits = {}
    results = {kind: {name: summary(rounds) for name, rounds in found[kind].items()} for kind in kinds}
    report.write(cases, results, limits, options, time.monotonic() - began)
