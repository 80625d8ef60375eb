"""The records that every client writes and every client checks: a formula, so that no two processes must agree.

A null key never meets an empty or null value here: kcat, or Python's libraries, cannot write that pair. compat-tests/behaviour covers it.
"""

COUNT = 40
LARGE = 120000
FIRST_LARGE = 38
BASE_MS = 1700000000000


def text(i, size):
    period = bytes(ord('a') + (i * 31 + j * 7) % 26 for j in range(26))
    return (period * (size // 26 + 1))[:size]


def key(i):
    return None if i % 6 == 5 and i % 10 != 9 else b'key-%d' % i


def value(i):
    if i % 10 == 9:
        return None
    return text(i, LARGE if i == FIRST_LARGE else (0, 1, 1024, 100)[i % 4])


def headers(i):
    return {'h1': b'v-%d' % i, 'h2': b''} if i % 3 == 0 else {}


def check(i, offset, its_key, its_value, timestamp, base, its_headers, with_headers):
    """Raises ValueError unless this is record i."""
    if offset != i:
        raise ValueError(f'offset {offset} where {i} was due')
    if its_key != key(i):
        raise ValueError(f'key of {i} is {its_key!r}')
    if its_value != value(i):
        raise ValueError(f'value of {i} differs: {-1 if its_value is None else len(its_value)} bytes')
    if base and timestamp is not None and timestamp != base + i * 1000:
        raise ValueError(f'timestamp of {i} is {timestamp}')
    if its_headers is not None and its_headers != (headers(i) if with_headers else {}):
        raise ValueError(f'headers of {i} are {its_headers}')
