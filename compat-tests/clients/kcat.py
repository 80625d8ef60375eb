"""kcat under test, behind the commands of README.md. It cannot set timestamps, so what it writes has none to check."""
import re
import subprocess
import threading
import time

import rows

WAIT_S = 120
SEPARATOR = '\x1f'
FORMAT = SEPARATOR.join(('%o', '%K', '%k', '%S', '%s', '%T', '%h')) + '\x1e'


def version(output):
    found = re.search(r'Version (\S+)', output)
    return found[1] if found else '?'


class Member:
    """kcat in a group; what it is assigned it says on standard error."""

    def __init__(self, bootstrap, topic, group):
        self.partitions = set()
        self.process = subprocess.Popen(
            ['kcat', '-b', bootstrap, '-G', group, '-X', 'session.timeout.ms=6000', '-X', 'heartbeat.interval.ms=500', topic],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.follow)
        self.reader.start()

    def follow(self):
        for line in self.process.stderr:
            if 'rebalanced' in line and 'assigned:' in line:
                self.partitions = {int(p) for p in re.findall(r'\[(\d+)\]', line)}
            elif 'rebalanced' in line:
                self.partitions = set()

    def leave(self):
        self.process.terminate()
        self.process.wait(WAIT_S)
        self.reader.join()


class Kcat:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def kcat(self, *arguments, data=None):
        run = subprocess.run(['kcat', '-b', self.bootstrap, '-X', 'log_level=3', '-q', *arguments], input=data,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=WAIT_S)
        if run.returncode:
            raise ValueError(f'kcat ended with {run.returncode}: {run.stderr.decode(errors="replace")[-300:]}')
        return run.stdout

    def produce(self, topic, codec, count, base, headers, idempotent):
        """Runs of records with the same headers share one kcat; those with a null value or key need their own flags."""
        i = 0
        while i < count:
            end = i + 1
            shape = self.shape(i, headers)
            while end < count and self.shape(end, headers) == shape:
                end += 1
            with_key = rows.key(i) is not None or rows.value(i) is None
            data = b''.join((b'%b\x1f' % (rows.key(n) or b'') if with_key else b'') + (rows.value(n) or b'') + b'\x1e'
                            for n in range(i, end))
            options = ['-D', '\x1e', '-X', 'message.max.bytes=1048576', '-z', codec]
            options += ['-K', '\x1f'] if with_key else []
            options += ['-Z'] if rows.value(i) is None else []  # sends what is empty as null, keys too
            if idempotent:
                options += ['-X', 'enable.idempotence=true']
            for name, value in (rows.headers(i) if headers else {}).items():
                options += ['-H', f'{name}={value.decode()}']
            self.kcat('-P', '-t', topic, '-p', '0', *options, data=data)
            i = end

    @staticmethod
    def shape(i, headers):
        with_headers = rows.headers(i) if headers else {}
        return (rows.key(i) is None, rows.value(i) is None, i if with_headers else -1)

    def check(self, output, start, end, base, headers):
        found = output.split(b'\x1e')[:-1]
        for i, row in zip(range(start, end), found):
            offset, key_size, key, size, value, timestamp, its_headers = row.split(b'\x1f')
            pairs = dict(h.split(b'=', 1) for h in its_headers.split(b',') if h)
            rows.check(i, int(offset), None if key_size == b'-1' else key, None if size == b'-1' else value,
                       int(timestamp), base, {k.decode(): v for k, v in pairs.items()}, headers)
        if len(found) < end - start:
            raise ValueError(f'only {len(found)} of {end - start} records')

    def read(self, topic, start, end, base, headers):
        self.check(self.kcat('-C', '-t', topic, '-p', '0', '-o', str(start), '-c', str(end - start), '-e', '-f', FORMAT),
                   start, end, base, headers)

    def time(self, topic, index, end, base, headers):
        self.check(self.kcat('-C', '-t', topic, '-p', '0', '-o', f's@{base + index * 1000 - 500}', '-c',
                             str(end - index), '-e', '-f', FORMAT), index, end, base, headers)

    def cross(self, count, *sources):
        for source in sources:
            topic, base, headers = source.split(',')
            try:
                self.read(topic, 0, count, int(base), headers == '1')
            except ValueError as error:
                raise ValueError(f'{topic}: {error}') from None

    def group(self, topic, name, start, end, base, headers):
        # kcat commits what it has handed out when it leaves the group.
        self.check(self.kcat('-G', name, '-c', str(end - start), '-f', FORMAT, '-X', 'auto.offset.reset=earliest',
                             '-X', 'session.timeout.ms=6000', topic), start, end, base, headers)

    def members(self, topic, group):
        def until(what, fact):
            deadline = time.monotonic() + WAIT_S
            while not fact():
                if time.monotonic() > deadline:
                    raise ValueError(f'{what} has not come in time: {[m.partitions for m in members]}')
                time.sleep(0.02)
        members = [Member(self.bootstrap, topic, group)]
        try:
            until('all for the first member', lambda: len(members[0].partitions) == 4)
            members.append(Member(self.bootstrap, topic, group))
            until('a half for each', lambda: all(len(m.partitions) == 2 for m in members)
                  and not members[0].partitions & members[1].partitions)
            members.pop().leave()
            until('all for the one that stays', lambda: len(members[0].partitions) == 4)
        finally:
            for member in members:
                member.leave()

    # --- through: a consumer in a group that lives while the broker restarts, a producer before it and one after. One for
    # both is not possible: kcat reads its input in blocks, and gives up when no broker is there.
    def through_begin(self, topic, group, count, idempotent):
        self.topic, self.count, self.idempotent, self.seen = topic, count, idempotent, set()
        self.consumer = subprocess.Popen(
            ['kcat', '-b', self.bootstrap, '-G', group, '-u', '-q', '-E', '-f', '%s\n', '-X',
             'auto.offset.reset=earliest', '-X', 'auto.commit.interval.ms=100', '-X', 'session.timeout.ms=6000', '-X', 'log_level=2', topic],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.write(0, count // 2)
        self.follow(0, count // 2)

    def write(self, start, end):
        self.producer = subprocess.Popen(
            ['kcat', '-b', self.bootstrap, '-P', '-t', self.topic, '-p', '0', '-X', 'log_level=2', '-X',
             f'enable.idempotence={str(self.idempotent).lower()}'], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.producer.stdin.write(b''.join(b'%d\n' % i for i in range(start, end)))
        self.producer.stdin.close()

    def follow(self, start, end):
        patience = threading.Timer(WAIT_S, self.consumer.kill)
        patience.start()
        try:
            i = start
            while i < end:
                line = self.consumer.stdout.readline()
                if line == b'%d\n' % i:
                    i += 1
                # kcat can't be told to commit: when it has to join again, it may begin again.
                elif start == 0 or line not in self.seen:
                    raise ValueError(f'{line!r} where {i} was due')
                self.seen.add(line)
        finally:
            patience.cancel()
        if self.producer.wait(WAIT_S):
            raise ValueError(f'kcat ended with {self.producer.returncode}')

    def go_on(self):
        pass

    def through_end(self):
        self.write(self.count // 2, self.count)
        self.follow(self.count // 2, self.count)
        self.consumer.terminate()
        self.consumer.wait(WAIT_S)

    def close(self):
        for process in (getattr(self, 'producer', None), getattr(self, 'consumer', None)):
            if process and process.poll() is None:
                process.kill()
                process.wait()
