"""Kafka's five codecs for records.py, over the system's own zlib, snappy, lz4 and zstd.

    data = compress(4, payload)          payload = decompress(4, data)

Snappy is written raw, as librdkafka does, and read raw or with the framing of the Java clients. Lz4 is the standard
frame with independent blocks; in message sets of magic 0 its header checksum is the one that Kafka once got wrong.
"""
import ctypes
import ctypes.util
import functools
import gzip
import struct

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
XERIAL = b'\x82SNAPPY\x00'
DECOMPRESSED_MAX = 64 << 20


class Corrupt(Exception):
    """What claims to be compressed is not."""


@functools.lru_cache(maxsize=None)
def _library(name):
    library = ctypes.CDLL(ctypes.util.find_library(name))
    for function in ('ZSTD_compress', 'ZSTD_compressBound', 'ZSTD_decompress', 'snappy_max_compressed_length',
                     'LZ4F_compressFrame', 'LZ4F_compressFrameBound', 'LZ4F_decompress'):
        if hasattr(library, function):
            getattr(library, function).restype = ctypes.c_size_t
    return library


class _FrameInfo(ctypes.Structure):
    _fields_ = [('block_size_id', ctypes.c_int), ('block_independent', ctypes.c_int), ('content_checksum', ctypes.c_int),
                ('frame_type', ctypes.c_int), ('content_size', ctypes.c_ulonglong), ('dictionary', ctypes.c_uint),
                ('block_checksum', ctypes.c_int)]


class _Preferences(ctypes.Structure):
    _fields_ = [('frame', _FrameInfo), ('level', ctypes.c_int), ('auto_flush', ctypes.c_uint),
                ('favor_speed', ctypes.c_uint), ('reserved', ctypes.c_uint * 3)]


def _size(number):
    return ctypes.c_size_t(number)


def _snappy(data):
    library = _library('snappy')
    out = ctypes.create_string_buffer(library.snappy_max_compressed_length(_size(len(data))))
    length = ctypes.c_size_t(len(out))
    library.snappy_compress(data, _size(len(data)), out, ctypes.byref(length))
    return out.raw[:length.value]


def _unsnappy(data):
    if data.startswith(XERIAL):
        out, at = b'', 16
        while at < len(data):
            size = struct.unpack_from('>i', data, at)[0]
            out += _unsnappy(data[at + 4:at + 4 + size])
            at += 4 + size
        return out
    library, length = _library('snappy'), ctypes.c_size_t()
    if library.snappy_uncompressed_length(data, _size(len(data)), ctypes.byref(length)) or length.value > DECOMPRESSED_MAX:
        raise Corrupt('snappy')
    out = ctypes.create_string_buffer(length.value or 1)
    if library.snappy_uncompress(data, _size(len(data)), out, ctypes.byref(length)):
        raise Corrupt('snappy')
    return out.raw[:length.value]


def _xxh32(data):
    """XXH32 with seed 0 of less than 16 bytes, which a frame's header is."""
    p1, p2, p3, p4, p5, mask = 2654435761, 2246822519, 3266489917, 668265263, 374761393, 0xffffffff

    def rotate(value, bits):
        return (value << bits | value >> (32 - bits)) & mask

    assert len(data) < 16
    h, at = (p5 + len(data)) & mask, 0
    while at + 4 <= len(data):
        h = rotate((h + struct.unpack_from('<I', data, at)[0] * p3) & mask, 17) * p4 & mask
        at += 4
    for byte in data[at:]:
        h = rotate((h + byte * p5) & mask, 11) * p1 & mask
    h = (h ^ h >> 15) * p2 & mask
    h = (h ^ h >> 13) * p3 & mask
    return h ^ h >> 16


def _descriptor_end(data):
    """Where the checksum of an lz4 frame's header stands."""
    return 6 + (8 if data[4] & 8 else 0) + (4 if data[4] & 1 else 0)


def _checksum_set(data, begin):
    end = _descriptor_end(data)
    return data[:end] + bytes([_xxh32(data[begin:end]) >> 8 & 0xff]) + data[end + 1:]


def _lz4(data, magic):
    library, preferences = _library('lz4'), _Preferences()
    preferences.frame.block_independent = 1
    room = library.LZ4F_compressFrameBound(_size(len(data)), ctypes.byref(preferences))
    out = ctypes.create_string_buffer(room)
    size = library.LZ4F_compressFrame(out, _size(room), data, _size(len(data)), ctypes.byref(preferences))
    return _checksum_set(out.raw[:size], 0) if magic == 0 else out.raw[:size]


def _unlz4(data):
    if len(data) < 7:
        raise Corrupt('lz4')
    data = _checksum_set(data, 4)  # whichever of the two it was
    library, context, out, at = _library('lz4'), ctypes.c_void_p(), b'', 0
    library.LZ4F_createDecompressionContext(ctypes.byref(context), 100)
    piece = ctypes.create_string_buffer(1 << 20)
    try:
        while len(out) < DECOMPRESSED_MAX:
            room, taken = ctypes.c_size_t(len(piece)), ctypes.c_size_t(len(data) - at)
            left = library.LZ4F_decompress(context, piece, ctypes.byref(room), data[at:], ctypes.byref(taken), None)
            if left > 1 << 40:
                raise Corrupt('lz4')
            out += piece.raw[:room.value]
            at += taken.value
            if left == 0 or (taken.value == 0 and room.value == 0):
                break
    finally:
        library.LZ4F_freeDecompressionContext(context)
    return out


def _zstd(data):
    library = _library('zstd')
    out = ctypes.create_string_buffer(library.ZSTD_compressBound(_size(len(data))))
    size = library.ZSTD_compress(out, _size(len(out)), data, _size(len(data)), 3)
    return out.raw[:size]


def _unzstd(data):
    out = ctypes.create_string_buffer(4 << 20)
    size = _library('zstd').ZSTD_decompress(out, _size(len(out)), data, _size(len(data)))
    if size > len(out):
        raise Corrupt('zstd')
    return out.raw[:size]


def compress(codec, data, magic=2):
    if codec == GZIP:
        return gzip.compress(data, mtime=0)
    if codec == LZ4:
        return _lz4(data, magic)
    return {0: bytes, SNAPPY: _snappy, ZSTD: _zstd}[codec](data)


def decompress(codec, data):
    if codec == GZIP:
        return gzip.decompress(data)
    return {0: bytes, SNAPPY: _unsnappy, LZ4: _unlz4, ZSTD: _unzstd}[codec](data)
