"""How many connections a broker lets in: max.connections.per.ip with its overrides, and max.connections, also when it
is changed while connections are open. Argument: barnabas (BARNABAS says which binary) or kafka, to see that it is so."""
import os
import select
import socket
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'lib'))

import node as nodes  # noqa: E402

DEADLINE_S = 60
API_VERSIONS = struct.pack('>ihhih', 10, 18, 0, 7, -1)


class Client:
    """A bare connection that asks for ApiVersions."""

    def __init__(self, port, source='127.0.0.1'):
        self.socket = socket.create_connection(('127.0.0.1', port), DEADLINE_S, (source, 0))
        self.ask()

    def ask(self):
        try:
            self.socket.sendall(API_VERSIONS)
        except OSError:
            pass  # closed: served() finds that

    def served(self):
        """Waits for an answer (True) or the end of the connection (False)."""
        data = b''
        try:
            while len(data) < 4 or len(data) < 4 + struct.unpack('>i', data[:4])[0]:
                got = self.socket.recv(65536)
                if not got:
                    return False
                data += got
        except ConnectionResetError:
            return False
        return True

    def waits(self):
        """Nothing has come yet."""
        return not select.select([self.socket], [], [], 0)[0]

    def close(self):
        self.socket.close()


passed = failed = 0


def check(name, right):
    global passed, failed
    passed, failed = passed + bool(right), failed + (not right)
    if not right:
        print(f'FAIL {name}')


def served_at_last(port, source='127.0.0.1'):
    """A place that was given back is free a moment later."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        client = Client(port, source)
        if client.served():
            return client
        client.close()
    return None


def change(node, name, value):
    with node.connect(timeout_s=30) as c:
        row = c.call('IncrementalAlterConfigs', 1, {'Resources': [{'ResourceType': 4, 'ResourceName': '', 'Configs': [
            {'Name': name, 'ConfigOperation': 0, 'Value': value}]}]})['Responses'][0]
        if row['ErrorCode']:
            raise nodes.Failed(f'{name}={value}: {row}')


def per_address(node):
    own = [Client(node.port, '127.0.0.3') for _ in range(2)]
    check('as many as the address may', all(c.served() for c in own))
    check('one more is closed', not Client(node.port, '127.0.0.3').served())
    check('another address has its own count', Client(node.port, '127.0.0.4').served())
    others = [Client(node.port, '127.0.0.5') for _ in range(3)]
    check('an override is larger', all(c.served() for c in others))
    check('and has its end', not Client(node.port, '127.0.0.5').served())
    own[0].close()
    check('a place that was given back is taken', served_at_last(node.port, '127.0.0.3'))


def altogether(node):
    change(node, 'max.connections', '3')
    clients = [Client(node.port, '127.0.0.5') for _ in range(3)]
    check('as many as the broker may', all(c.served() for c in clients))
    late = Client(node.port, '127.0.0.4')
    clients[0].ask()
    check('who is in goes on', clients[0].served())
    check('one more waits', late.waits())
    clients[1].close()
    check('until there is a place', late.served())
    # Lowered by one of them, as there is no place for another connection.
    with_admin = nodes.wire.Connection(nodes.registry(), node.port, timeout_s=30)
    clients[2].close()
    row = with_admin.call('IncrementalAlterConfigs', 1, {'Resources': [{'ResourceType': 4, 'ResourceName': '', 'Configs': [
        {'Name': 'max.connections', 'ConfigOperation': 0, 'Value': '2'}]}]})['Responses'][0]
    check('the limit is lowered', row['ErrorCode'] == 0)
    # The least active of the three is late, then clients[0], then the one that has just asked.
    readable = select.select([late.socket, clients[0].socket], [], [], DEADLINE_S)[0]
    check('one too many is closed', len(readable) == 1 and not (
        late if readable[0] is late.socket else clients[0]).served())
    with_admin.call('Metadata', 9, {'Topics': []})
    with_admin.close()


def main():
    kind = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix='limits-') as scratch:
        with nodes.KINDS[kind](os.path.join(scratch, 'ip'), settings={
                'max.connections.per.ip': 2, 'max.connections.per.ip.overrides': '127.0.0.5:3,127.0.0.1:100'}) as node:
            per_address(node)
        with nodes.KINDS[kind](os.path.join(scratch, 'all')) as node:
            altogether(node)
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


main()
