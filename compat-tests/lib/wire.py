"""A raw connection to a broker: one socket, requests built from schema.py, responses decoded by it.

    with Connection(registry, 9092) as c:
        answer = c.call('Metadata', 12, {'Topics': None})
        first, second = c.pipeline([('Metadata', 12, {}), ('ApiVersions', 3, {})])

Closed is raised when the broker hangs up, Silent when nothing comes in time.
"""
import socket
import struct

from schema import Reader


class Closed(Exception):
    pass


class Silent(Exception):
    pass


class Connection:
    def __init__(self, registry, port, host='127.0.0.1', client_id='compat', timeout_s=15):
        self.registry = registry
        self.client_id = client_id
        self.correlation = 0
        self.waiting = []  # (api, version, correlation) in the order of sending
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def frame(self, api, version, values, client_id=..., tail=b''):
        """The bytes of a request with its length prefix; values may be raw bytes instead of a dict."""
        self.correlation += 1
        body = values if isinstance(values, bytes) else self.registry.encode(api + 'Request', version, values)
        data = self.registry.request_header(api, version, self.correlation,
                                            self.client_id if client_id is ... else client_id) + body + tail
        return struct.pack('>i', len(data)) + data

    def post(self, api, version, values, **options):
        """Sends without waiting; take() then gives the responses in order."""
        data = self.frame(api, version, values, **options)
        self.waiting.append((api, version, self.correlation))
        self.send(data)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionError, BrokenPipeError) as error:
            raise Closed(str(error)) from error

    def read(self, size):
        out = b''
        while len(out) < size:
            try:
                piece = self.socket.recv(size - len(out))
            except socket.timeout as error:
                raise Silent(f'{len(out)} of {size} bytes') from error
            except ConnectionError as error:
                raise Closed(str(error)) from error
            if not piece:
                raise Closed(f'after {len(out)} of {size} bytes')
            out += piece
        return out

    def take_raw(self):
        """The next response as (api, version, bytes after the response header)."""
        api, version, correlation = self.waiting.pop(0)
        size = struct.unpack('>i', self.read(4))[0]
        data = self.read(size)
        if struct.unpack('>i', data[:4])[0] != correlation:
            raise AssertionError(f'{api}: correlation id {data[:4].hex()}, wanted {correlation}')
        reader = Reader(data, 4)
        if self.registry.response_header_flexible(api, version):
            for _ in range(reader.uvarint()):
                reader.uvarint()
                reader.raw(reader.uvarint())
        return api, version, data[reader.at:]

    def take(self):
        api, version, data = self.take_raw()
        if api == 'ApiVersions' and version > 0 and data[:2] == b'\x00\x23':
            version = 0  # the broker does not know the version: the fallback answer is version 0
        return self.registry.decode(api + 'Response', version, data)

    def call(self, api, version, values, **options):
        self.post(api, version, values, **options)
        return self.take()

    def pipeline(self, requests):
        data = b''
        for api, version, values in requests:
            data += self.frame(api, version, values)
            self.waiting.append((api, version, self.correlation))
        self.send(data)
        return [self.take() for _ in requests]
