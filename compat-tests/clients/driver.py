"""How a suite holds a client: a process that answers one line to each command of README.md."""
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class Program:
    """A client in its own process that answers one line to each command."""

    def __init__(self, command, log):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def call(self, *words):
        self.process.stdin.write(' '.join(str(int(w) if isinstance(w, bool) else w) for w in words) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer != 'ok':
            raise ValueError(answer or 'the client ended')

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def rdkafka(scratch, log, bootstrap):
    target = os.path.join(scratch, 'rdkafka_client')
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'rdkafka'], check=True, stdout=subprocess.PIPE,
                           text=True).stdout.split()
    subprocess.run(['cc', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-O1', '-o', target,
                    os.path.join(HERE, 'rdkafka_client.c'), *flags], check=True)
    return Program([target, bootstrap], log)
