"""Runs cases against brokers in turn, case by case: what is compared was measured within seconds, as machines have moods."""
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import cluster
import instructions as counts
import loads
import report
import rows

ROOT = cluster.ROOT


def build(options):
    """Builds a release, unless told to use what there is, and says where its load generator is."""
    if options.build:
        os.environ['BARNABAS'] = options.binary or os.path.join(options.build, 'broker', 'barnabas')
        return os.path.join(options.build, 'tools', 'benchmark')
    subprocess.run([os.path.join(ROOT, 'tools', 'setup'), 'test'], check=True)
    release = os.path.join(ROOT, 'build', 'release')
    if not os.path.exists(os.path.join(release, 'build.ninja')):
        subprocess.run(['meson', 'setup', release, ROOT, '-Dbuildtype=release'], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', release, 'broker/barnabas', 'tools/benchmark/load', 'tools/benchmark/limits',
                    'tools/benchmark/libpreload.so'],
                   check=True, stdout=subprocess.DEVNULL)
    os.environ['BARNABAS'] = options.binary or os.path.join(release, 'broker', 'barnabas')
    return os.path.join(release, 'tools', 'benchmark')


class Bench:
    """What a case needs to run: the tools, where files go, and the choices of the command line."""

    def __init__(self, tools, scratch, options):
        self.tools = tools
        self.scratch = scratch
        self.options = options
        self.end_to_end_maximum = 0  # records a second; see special.EndToEnd

    def scaled(self, count):
        """So many of something, or in a smoke run a few."""
        return max(1, int(count / self.options.shrink))

    def load(self, port, pid, groups, seconds, warmup_s, both_cores=False):
        """The load generator's results, as a dict."""
        cpu = ','.join(str(c) for c in cluster.cpus()) if both_cores else str(cluster.cpus()[1])
        command = ['taskset', '-c', cpu, os.path.join(self.tools, 'load'), '--port', str(port), '--pid', str(pid),
                   '--warmup', str(warmup_s), '--seconds', str(seconds), *groups]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise cluster.nodes.Failed(f'{" ".join(command)}\n{done.stderr[-2000:]}')
        return json.loads(done.stdout)

    def load_figures(self, node, groups, seconds, warmup_s, both_cores=False):
        if self.options.shrink > 1:
            warmup_s = 0  # little is sent, and it must fall into the window
        return figures(self.load(node.port, node.process.pid, groups, self.options.seconds or seconds, warmup_s, both_cores))

    def load_on_topics(self, node, case, groups):
        """Figures of a load on the case's topics, made for it."""
        with self.topics(node, case.topics):
            if case.fill:
                self.load(node.port, node.process.pid, case.fill, 600, 0)
            if case.bulk_gb:
                cluster.page_cache_prepare(self.scratch, case.bulk_gb)
            return self.load_figures(node, groups, case.seconds, case.warmup_s)

    @contextlib.contextmanager
    def topics(self, node, topics):
        cluster.topics_create(node, topics)
        yield
        cluster.topics_delete(node, topics)

    def frames(self, node, calls):
        """Encodes calls, checks the broker's answers to them, gives the file of frames."""
        path = os.path.join(self.scratch, 'frames')
        with node.connect() as c, open(path, 'wb') as out:
            for api, version, values, _ in calls:
                values = values(node) if callable(values) else values
                # A coordinator may still be reading its log.
                cluster.until(f'{api} is answered without an error', lambda: not has_error(c.call(api, version, values)))
                out.write(c.frame(api, version, values))
        return path

    def warm_up(self, node):
        """
        Kafka's compilers need load of every kind before its figures are its own: so many seconds of its CPU, which are
        seconds of the clock on a machine that does nothing else, and at most five times that.
        """
        deadline = time.monotonic() + 5 * self.options.warmup
        cpu_s = node.cpu_s() + self.options.warmup
        while node.cpu_s() < cpu_s and time.monotonic() < deadline:
            self.warm_up_slice(node, min(WARM_UP_SLICE_S, self.options.warmup))

    def warm_up_slice(self, node, seconds):
        with self.topics(node, (loads.Topic('small', 16), loads.Topic('bulk', 4))):
            frames = self.frames(node, (('ApiVersions', 3, loads.CLIENT, 4),
                                        ('Metadata', 12, {'Topics': [{'Name': 'small'}]}, -1)))
            single = dict(topic='small', partitions=16, record_bytes=1000)
            batches = dict(topic='bulk', partitions=4, record_bytes=1000, batch_bytes=65536)
            self.load(node.port, node.process.pid, (
                loads.group('produce', connections=10, inflight=5, **single),
                loads.group('produce', connections=10, inflight=5, producers=10, **single),
                loads.group('fetch', connections=16, session=1, **single),
                loads.group('produce', connections=1, **batches),
                loads.group('fetch', connections=4, wrap=1, **batches),
                loads.group('call', connections=4, inflight=5, frames=frames)), seconds, 0)


WARM_UP_SLICE_S = 20


def has_error(answer):
    """Is there an error code anywhere in it?"""
    if isinstance(answer, dict):
        return bool(answer.get('ErrorCode')) or any(has_error(part) for part in answer.values())
    return isinstance(answer, list) and any(has_error(part) for part in answer)


def figures(measured):
    """The figures of the report out of what the load generator says; its first group is the one that counts."""
    first, seconds = measured['groups'][0], measured['seconds']
    if not first['requests']:
        raise cluster.nodes.Failed('nothing was answered while it was measured')
    out = {
        'requests_per_s': first['requests'] / seconds,
        'mb_per_s': first['bytes'] / 1e6 / seconds,
        'rss_mb': measured['rss_kb'] / 1000,
        'broker_cores': measured['cpu_s'] / seconds,
        'load_cores': measured['load_cpu_s'] / seconds,
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
    groups = list(case.groups)
    with contextlib.ExitStack() as stack:
        if case.calls:
            # The calls name topics, so these come first.
            stack.enter_context(bench.topics(node, case.topics))
            groups[0] += f',frames={bench.frames(node, case.calls)}'
            return bench.load_figures(node, groups, case.seconds, case.warmup_s)
        return bench.load_on_topics(node, case, groups)


def measure_limit(bench, case):
    """The same load on a bare server; for a single durable writer what the disk does."""
    path = os.path.join(bench.scratch, 'limit')
    try:
        if case.limit == 'sync':
            done = subprocess.run([os.path.join(bench.tools, 'limits'), 'sync', path, str(bench.options.seconds or 2)],
                                  stdout=subprocess.PIPE, check=True, text=True)
            rates = json.loads(done.stdout)
            return {'requests_per_s': rates['append_per_s'], 'overwrite_per_s': rates['overwrite_per_s']}
        groups = case.groups or case.measure.groups(bench)
        # Only what relay's consumers get is a whole answer.
        groups = [group if case.limit == 'relay' and group.startswith('fetch') else group + ',unchecked=1'
                  for group in groups]
        if case.calls:
            # Any frame will do: the server looks only at its size and correlation id.
            frames = os.path.join(bench.scratch, 'limit-frames')
            with open(frames, 'wb') as out:
                out.write(LIMIT_FRAME)
            groups[0] += f',frames={frames}'
        if case.bulk_gb:
            cluster.page_cache_prepare(bench.scratch, case.bulk_gb)
        # As a broker, it writes each partition's batches to a file of its own.
        files = case.topics[0].partitions if case.limit in ('store', 'relay', 'durable') else 0
        with cluster.LimitServer(bench.tools, case.limit, path, files) as server:
            return bench.load_figures(server, groups, case.seconds, case.warmup_s)
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)


# ApiVersions version 0 without a client id.
LIMIT_FRAME = bytes.fromhex('0000000a 0012 0000 00000001 ffff')


def shrunk(case, by):
    """The case with so little of everything that it only shows whether it runs."""

    def fewer(match):
        name, value = match[1], int(match[2])
        return f'{name}={max(1, value // by) if name == "count" else min(value, FEW)}'

    groups = {name: tuple(re.sub(r'\b(count|partitions|connections|producers)=(\d+)', fewer, group)
                          for group in getattr(case, name)) for name in ('fill', 'groups')}
    topics = tuple(dataclasses.replace(t, partitions=min(t.partitions, FEW)) for t in case.topics[:FEW])
    return dataclasses.replace(case, topics=topics, bulk_gb=case.bulk_gb / by, **groups)


FEW = 64


def attempt(function, *arguments):
    """Figures, or the reason why there are none: one case that can't run does not take the others with it."""
    case = arguments[-1]
    try:
        out = function(*arguments)
        return out if case.figure in out else f'no {rows.FIGURES[case.figure]} was measured'
    except (cluster.nodes.Failed, cluster.nodes.wire.Closed, cluster.nodes.wire.Silent, OSError, subprocess.CalledProcessError) as error:
        return str(error) or type(error).__name__


class Brokers:
    """
    Each is started when it is first asked for, and stays: what Apache Kafka's compilers have learned is not lost between
    rounds.
    """

    def __init__(self, bench):
        self.bench = bench
        self.nodes = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            node.kill()

    def node(self, kind):
        if kind not in self.nodes:
            self.nodes[kind] = cluster.start(kind, self.bench.scratch)
            if kind == 'kafka':
                self.bench.warm_up(self.nodes[kind])
        return self.nodes[kind]

    def measure(self, kind, case):
        """Figures, or why there are none."""
        if kind == 'limit':
            self.others_idle(kind)
            return attempt(measure_limit, self.bench, case)
        node = self.node(kind)
        self.others_idle(kind)
        result = attempt(measure, self.bench, node, case)
        if isinstance(result, str):
            # Whatever state it is in: the next case gets a new one.
            self.nodes.pop(kind).kill()
        return result

    def others_idle(self, kind):
        for other, node in self.nodes.items():
            if other != kind:
                cluster.idle_await(node)


def asked(case, kind):
    """Is the case measured on this kind of server?"""
    return kind == 'barnabas' or not case.ours_only and (kind != 'limit' or case.limit)


def run(cases, options):
    tools = build(options)
    if options.shrink > 1:
        cases = [shrunk(case, options.shrink) for case in cases]
    kinds = [options.only] if options.only else ['kafka', 'barnabas', 'limit']
    found = {kind: {} for kind in kinds}
    passed = failed = 0
    began, here = time.monotonic(), report.machine()
    with contextlib.ExitStack() as stack:
        bench = Bench(tools, stack.enter_context(tempfile.TemporaryDirectory(prefix='bench-', dir=options.scratch)), options)
        brokers = stack.enter_context(Brokers(bench))
        for number in range(options.rounds):
            for case in cases:
                if case.rounds_max and number >= case.rounds_max:
                    continue
                # Each goes first as often as the other, but for the first time: end-to-end rates come from Kafka's maximum.
                for kind in kinds if number % 2 == 0 else kinds[::-1]:
                    if not asked(case, kind):
                        continue
                    result = brokers.measure(kind, case)
                    at = f'{time.monotonic() - began:5.0f} s round {number + 1} {kind:<9}'
                    if isinstance(result, str):
                        failed += 1
                        print(f'{at}{case.row:>3} {case.name} FAILED: {result}', flush=True)
                        continue
                    found[kind].setdefault(case.name, {})[number] = result
                    passed += 1
                    print(f'{at}{report.progress(case, result)}', flush=True)
            # After each round, so that a run which is stopped leaves what it has found.
            report.write(cases, found, options, number + 1, time.monotonic() - began, here)
    print(f'{passed} measured, {failed} failed')
    return failed == 0


def instructions(options):
    """Counts, and compares with what is recorded or records."""
    if not shutil.which('valgrind'):
        sys.exit('tools/bench instructions needs valgrind: tools/setup installs it')
    tools = build(options)
    binary = os.environ['BARNABAS']
    sure = (lambda name, figure: False) if options.record else counts.sure_of_record(binary)
    figures = {}
    with tempfile.TemporaryDirectory(prefix='bench-', dir=options.scratch) as scratch:
        try:
            for name, rounds in counts.measure(Bench(tools, scratch, options), sure):
                figures[name] = round(min(rounds))
                print(f'{name:<42} {figures[name]:>9,} instructions, the smallest of {len(rounds)}: up to '
                      f'{max(rounds) / min(rounds) - 1:+.1%}', flush=True)
        except counts.CannotCount as why:
            print(f'skipped, as callgrind cannot be controlled here: {why}\n1 passed, 0 failed')
            return not options.record
    if options.record:
        counts.write_table(binary, figures)
        return True
    passed, failed = counts.compare(figures, binary)
    print(f'{passed} passed, {failed} failed')
    return failed == 0
