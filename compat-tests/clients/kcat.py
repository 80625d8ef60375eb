"""kcat under test, behind the commands of README.md. It cannot set timestamps, so what it writes has none to check."""
import subprocess

import rows

WAIT_S = 60
SEPARATOR = '\x1f'
FORMAT = SEPARATOR.join(('%o', '%K', '%k', '%S', '%s', '%T', '%h')) + '\x1e'


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

    def group(self, topic, name, start, end, base, headers):
        # kcat commits what it has handed out when it leaves the group.
        self.check(self.kcat('-G', name, '-c', str(end - start), '-f', FORMAT, '-X', 'auto.offset.reset=earliest',
                             '-X', 'session.timeout.ms=6000', topic), start, end, base, headers)
