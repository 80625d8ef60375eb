"""Record batches (version 2) and message sets (versions 0 and 1), built and read in Python.

    data = batch([Record(b'key', b'value')], producer_id=5, producer_epoch=0, base_sequence=0)
    for b in parse(data): ...

As schema.py, this shares nothing with the broker's code. Everything that a batch says can be overridden, so that
lies (counts, lengths, checksums) are as easy to build as truths.
"""
import struct
import zlib

import codecs_native

from schema import Reader, Truncated, Writer

_CRC32C = []
for _n in range(256):
    _c = _n
    for _ in range(8):
        _c = (_c >> 1) ^ 0x82f63b78 if _c & 1 else _c >> 1
    _CRC32C.append(_c)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xff] ^ (crc >> 8)
    return crc ^ 0xffffffff


class Record:
    def __init__(self, key=None, value=b'', headers=(), timestamp=None):
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp


def _varint(value):
    w = Writer()
    w.uvarint((value << 1) ^ (value >> 63) if value >= 0 else ((-value) << 1) - 1)
    return w.bytes()


def _blob(data):
    return _varint(-1) if data is None else _varint(len(data)) + data


def _record(record, offset_delta, timestamp_delta):
    body = b'\x00' + _varint(timestamp_delta) + _varint(offset_delta) + _blob(record.key) + _blob(record.value)
    body += _varint(len(record.headers))
    for name, value in record.headers:
        body += _blob(name) + _blob(value)
    return _varint(len(body)) + body


CODECS = {'none': 0, 'gzip': 1, 'snappy': 2, 'lz4': 3, 'zstd': 4}


def batch(records, base_offset=0, leader_epoch=-1, attributes=0, timestamp=1700000000000, producer_id=-1,
          producer_epoch=-1, base_sequence=-1, magic=2, codec='none', **lies):
    """One batch of version 2. Lies: count, last_offset_delta, crc, length, payload, max_timestamp."""
    stamps = [timestamp + i if r.timestamp is None else r.timestamp for i, r in enumerate(records)]
    base = stamps[0] if stamps else timestamp
    payload = b''.join(_record(r, i, stamps[i] - base) for i, r in enumerate(records))
    payload = codecs_native.compress(CODECS[codec], payload)
    payload = lies.get('payload', payload)
    attributes |= CODECS[codec]
    tail = struct.pack('>hiqqqhii', attributes, lies.get('last_offset_delta', len(records) - 1), base,
                       lies.get('max_timestamp', max(stamps) if stamps else timestamp), producer_id, producer_epoch,
                       base_sequence, lies.get('count', len(records))) + payload
    crc = lies.get('crc', crc32c(tail))
    rest = struct.pack('>ibI', leader_epoch, magic, crc) + tail
    return struct.pack('>qi', base_offset, lies.get('length', len(rest))) + rest


def message(record, offset=0, magic=1, attributes=0, timestamp=1700000000000, crc=None):
    """One entry of a message set of version 0 or 1."""
    body = struct.pack('>bb', magic, attributes)
    if magic >= 1:
        body += struct.pack('>q', timestamp if record.timestamp is None else record.timestamp)
    for part in (record.key, record.value):
        body += struct.pack('>i', -1) if part is None else struct.pack('>i', len(part)) + part
    crc = zlib.crc32(body) if crc is None else crc
    data = struct.pack('>I', crc) + body
    return struct.pack('>qi', offset, len(data)) + data


def message_set(records, magic=1, codec='none', base_offset=0, timestamp=1700000000000):
    """A message set; with a codec, the wrapper message that holds the inner set (relative offsets from magic 1)."""
    inner = b''.join(message(r, (i if codec != 'none' and magic == 1 else base_offset + i), magic, 0, timestamp + i)
                     for i, r in enumerate(records))
    if codec == 'none':
        return inner
    wrapper = Record(None, codecs_native.compress(CODECS[codec], inner, magic))
    return message(wrapper, base_offset + len(records) - 1, magic, CODECS[codec], timestamp + len(records) - 1)


def for_version(records, produce_version, **options):
    """The bytes that a client of this Produce version would send."""
    if produce_version >= 3:
        return batch(records, **options)
    return message_set(records, magic=0 if produce_version < 2 else 1, codec=options.get('codec', 'none'))


def _read_blob(reader):
    size = reader.varint()
    return None if size < 0 else reader.raw(size)


def _parse_batch(data, at):
    base_offset, length = struct.unpack_from('>qi', data, at)
    (epoch, magic, crc, attributes, last_delta, base_ts, max_ts, pid, pepoch, sequence,
     count) = struct.unpack_from('>ibIhiqqqhii', data, at + 12)
    tail = bytes(data[at + 21:at + 12 + length])
    out = {'base_offset': base_offset, 'magic': magic, 'leader_epoch': epoch, 'crc_ok': crc == crc32c(tail),
           'attributes': attributes, 'last_offset_delta': last_delta, 'base_timestamp': base_ts,
           'max_timestamp': max_ts, 'producer_id': pid, 'producer_epoch': pepoch, 'base_sequence': sequence,
           'count': count, 'size': length + 12}
    payload = bytes(data[at + 61:at + 12 + length])
    payload = codecs_native.decompress(attributes & 7, payload)
    reader, records = Reader(payload), []
    try:
        for _ in range(count):
            reader.varint()
            reader.raw(1)
            stamp, delta = reader.varint(), reader.varint()
            key, value, headers = _read_blob(reader), _read_blob(reader), []
            for _ in range(reader.varint()):
                headers.append((_read_blob(reader), _read_blob(reader)))
            records.append({'offset': base_offset + delta, 'timestamp': base_ts + stamp, 'key': key, 'value': value,
                            'headers': headers})
    except Truncated:
        out['malformed'] = True
    out['records'] = records
    return out


def _parse_message(data, at):
    offset, length = struct.unpack_from('>qi', data, at)
    crc, magic, attributes = struct.unpack_from('>Ibb', data, at + 12)
    out = {'base_offset': offset, 'magic': magic, 'attributes': attributes, 'size': length + 12,
           'crc_ok': crc == zlib.crc32(bytes(data[at + 16:at + 12 + length]))}
    reader = Reader(data, at + 18)
    if magic == 1:
        out['timestamp'] = reader.pack('>q')
    for part in ('key', 'value'):
        n = reader.pack('>i')
        out[part] = None if n < 0 else reader.raw(n)
    if attributes & 7:
        out['value'] = parse(codecs_native.decompress(attributes & 7, out['value']))
    return out


def parse(data):
    """Every complete batch or message of the bytes; a last piece that is cut short is reported as its size."""
    out, at = [], 0
    while at < len(data):
        left = len(data) - at
        if left < 17 or left < struct.unpack_from('>i', data, at + 8)[0] + 12:
            out.append({'partial': left})
            break
        out.append(_parse_batch(data, at) if data[at + 16] == 2 else _parse_message(data, at))
        at += out[-1]['size']
    return out


def flat(data):
    """(offset, key, value, headers) of every record, whatever the format."""
    out = []
    for entry in parse(data):
        if 'records' in entry:
            out += [(r['offset'], r['key'], r['value'], r['headers']) for r in entry['records']]
        elif 'partial' not in entry:
            out.append((entry['base_offset'], entry['key'], entry['value'], []))
    return out
