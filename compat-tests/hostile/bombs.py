"""Small bytes that claim to be large: compressed payloads that unfold to SIZE, and some that lie about their size."""
import struct
import zlib

SIZE = 512 << 20


def gzip():
    """Half a gigabyte of zeros in half a megabyte."""
    out = bytearray(b'\x1f\x8b\x08\0\0\0\0\0\0\xff')
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    for _ in range(SIZE >> 20):
        out += deflate.compress(zeros)
    out += deflate.flush()
    # The checksum need not be right: nobody who bounds the output gets that far.
    return bytes(out + struct.pack('<II', 0, SIZE & 0xffffffff))


def zstd():
    """Blocks of one repeated byte: 128 KiB out of four bytes each."""
    block = 128 << 10
    out = bytearray(struct.pack('<I', 0xfd2fb528) + b'\x00' + b'\x38')  # no content size, a window of 128 KiB
    count = SIZE // block
    for i in range(count):
        header = (block << 3) | (1 << 1) | (1 if i == count - 1 else 0)
        out += struct.pack('<I', header)[:3] + b'\0'
    return bytes(out)


def zstd_lying():
    """A frame that says it holds 2^62 bytes."""
    return struct.pack('<I', 0xfd2fb528) + b'\xe0' + struct.pack('<Q', 1 << 62) + struct.pack('<I', (1 << 3) | 1)[:3] + b'x'


def zstd_window():
    """A frame that asks for a window of terabytes."""
    return struct.pack('<I', 0xfd2fb528) + b'\x00' + b'\xf8' + struct.pack('<I', (1 << 3) | 1)[:3] + b'x'


def _xxh32(data):
    p1, p2, p3, p4, p5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    mask = 0xffffffff
    h = (p5 + len(data)) & mask
    at = 0
    while at + 4 <= len(data):
        h = (h + struct.unpack_from('<I', data, at)[0] * p3) & mask
        h = (((h << 17) | (h >> 15)) & mask) * p4 & mask
        at += 4
    for byte in data[at:]:
        h = (h + byte * p5) & mask
        h = (((h << 11) | (h >> 21)) & mask) * p1 & mask
    h ^= h >> 15
    h = h * p2 & mask
    h ^= h >> 13
    h = h * p3 & mask
    return h ^ (h >> 16)


def lz4():
    """Blocks of 4 MiB, each one literal and one endless match."""
    descriptor = b'\x60\x70'
    out = bytearray(struct.pack('<I', 0x184d2204) + descriptor + bytes([(_xxh32(descriptor) >> 8) & 0xff]))
    size = 4 << 20
    left = size - 1 - 5 - 19  # the literal, the five last literals and the shortest of the extended match
    block = bytearray(b'\x1f\0\x01\0') + b'\xff' * (left // 255) + bytes([left % 255]) + b'\x50' + bytes(5)
    for _ in range(56):  # as many as fit under the default limit of a batch
        out += struct.pack('<I', len(block)) + block
    return bytes(out + struct.pack('<I', 0))


def snappy():
    """Copies of 64 bytes out of three each."""
    size = 20 << 20
    out = bytearray()
    value = size
    while value > 0x7f:
        out.append((value & 0x7f) | 0x80)
        value >>= 7
    out.append(value)
    out += b'\x00\x00' + b'\xfe\x01\x00' * ((size - 1) // 64)
    return bytes(out)


def snappy_lying():
    """Four gigabytes announced, one byte given."""
    return b'\xff\xff\xff\xff\x0f\x00x'


ALL = {'gzip': (1, gzip), 'snappy': (2, snappy), 'snappy lying': (2, snappy_lying), 'lz4': (3, lz4), 'zstd': (4, zstd),
       'zstd lying': (4, zstd_lying), 'zstd window': (4, zstd_window)}
