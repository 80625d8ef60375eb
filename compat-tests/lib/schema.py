"""The message definitions of Apache Kafka, read from its published jars, and a codec over them.

This codec is deliberately not the broker's own: it knows nothing of protocol/, so that a mistake in our schema
table shows as a difference instead of cancelling out. Definitions come at run time from the kafka-clients jars of
the two oracle releases: the newest one, and 3.9.1 for the versions that 4.x removed.

    registry = Registry(kafka_4_dir, kafka_3_dir)
    body = registry.encode('MetadataRequest', 12, {'Topics': None})
    fields = registry.decode('MetadataResponse', 12, data)

Messages are dicts by Kafka's field names. Fields that are left out take their defaults; a name that the message
does not have is an error, so that a typo in a scenario cannot pass unseen. Fields that the version does not have
are dropped silently: scenarios are written once for all versions.
"""
import glob
import json
import os
import re
import struct
import zipfile


class Truncated(Exception):
    """The bytes end before the message does, or say something that cannot be."""


def _strip_comments(text):
    # Definitions carry whole-line and trailing // comments; no string in them holds "//" after a space or bracket.
    return re.sub(r'(^|[\s,{}\[\]"])//[^\n]*', r'\1', text)


def parse_range(text):
    """'3-7' -> (3, 7); '3+' -> (3, 32767); 'none' -> (1, 0), the empty range."""
    if text is None or text == 'none':
        return (1, 0)
    if text.endswith('+'):
        return (int(text[:-1]), 32767)
    if '-' in text:
        low, high = text.split('-')
        return (int(low), int(high))
    return (int(text), int(text))


def within(version, bounds):
    return bounds[0] <= version <= bounds[1]


class Field:
    def __init__(self, spec, structs):
        self.name = spec['name']
        self.versions = parse_range(spec.get('versions', '0+'))
        self.nullable = parse_range(spec.get('nullableVersions'))
        self.tagged = parse_range(spec.get('taggedVersions'))
        self.tag = spec.get('tag')
        self.flexible = parse_range(spec['flexibleVersions']) if 'flexibleVersions' in spec else None
        kind = spec['type']
        self.array = kind.startswith('[]')
        self.kind = kind[2:] if self.array else kind
        self.fields = None
        self.siblings = set()
        if self.kind[0].isupper():
            inner = spec.get('fields') or structs[self.kind]
            self.fields = [Field(f, structs) for f in inner]
        self.default = self._default(spec.get('default'))

    def _default(self, text):
        if text == 'null':
            return None
        if self.array:
            return []
        if self.fields is not None:
            return {}
        if self.kind in ('int8', 'int16', 'int32', 'int64', 'uint16', 'uint32'):
            return int(text, 0) if isinstance(text, str) and text else int(text or 0)
        if self.kind == 'float64':
            return float(text or 0)
        if self.kind == 'bool':
            return text in (True, 'true')
        if self.kind == 'uuid':
            return bytes(16)
        if self.kind in ('bytes', 'records'):
            return None if self.kind == 'records' else b''
        return text or ''


def _share_names(one, other):
    """Lets each list of fields know the names that the other generation has, so that one body fits both."""
    names = {f.name for f in one} | {f.name for f in other}
    for fields in (one, other):
        for field in fields:
            field.siblings = names
    by_name = {f.name: f for f in other}
    for field in one:
        if field.fields and field.name in by_name and by_name[field.name].fields:
            _share_names(field.fields, by_name[field.name].fields)


class Message:
    def __init__(self, spec):
        structs = {s['name']: s['fields'] for s in spec.get('commonStructs', [])}
        self.name = spec['name']
        self.key = spec.get('apiKey')
        self.type = spec.get('type')
        self.versions = parse_range(spec['validVersions'])
        self.flexible = parse_range(spec.get('flexibleVersions'))
        self.unstable = bool(spec.get('latestVersionUnstable'))
        self.listeners = spec.get('listeners', [])
        self.fields = [Field(f, structs) for f in spec.get('fields', [])]


def load_messages(folder):
    """Every message defined inside the jars of one folder, by name."""
    messages = {}
    for jar in sorted(glob.glob(os.path.join(folder, 'kafka*.jar'))):
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.namelist():
                if not re.match(r'(common/message|.*/)?[A-Za-z0-9]+\.json$', entry) or 'META-INF' in entry:
                    continue
                try:
                    spec = json.loads(_strip_comments(archive.read(entry).decode()))
                except ValueError:
                    continue
                if isinstance(spec, dict) and 'validVersions' in spec and 'fields' in spec:
                    messages[spec['name']] = Message(spec)
    return messages


class Writer:
    def __init__(self):
        self.parts = []

    def raw(self, data):
        self.parts.append(data)

    def pack(self, form, value):
        self.parts.append(struct.pack(form, value))

    def uvarint(self, value):
        out = bytearray()
        while value > 0x7f:
            out.append((value & 0x7f) | 0x80)
            value >>= 7
        out.append(value)
        self.parts.append(bytes(out))

    def bytes(self):
        return b''.join(self.parts)


class Reader:
    def __init__(self, data, position=0):
        self.data = data
        self.at = position

    def raw(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise Truncated(f'{size} bytes wanted at {self.at} of {len(self.data)}')
        self.at += size
        return bytes(self.data[self.at - size:self.at])

    def pack(self, form):
        return struct.unpack(form, self.raw(struct.calcsize(form)))[0]

    def uvarint(self):
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7f) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Truncated('varint too long')

    def varint(self):
        value = self.uvarint()
        return (value >> 1) ^ -(value & 1)


PACK = {'int8': '>b', 'int16': '>h', 'int32': '>i', 'int64': '>q', 'uint16': '>H', 'uint32': '>I',
        'float64': '>d', 'bool': '>?'}


def _write_length(w, length, flexible, short):
    if flexible:
        w.uvarint(0 if length is None else length + 1)
    else:
        w.pack('>h' if short else '>i', -1 if length is None else length)


def _write_value(w, field, version, flexible, value, array):
    if field.flexible is not None:
        flexible = within(version, field.flexible)
    if array:
        if value is None:
            _write_length(w, None, flexible, False)
            return
        if isinstance(value, RawArray):
            value.write(w, flexible)
            return
        _write_length(w, len(value), flexible, False)
        for element in value:
            _write_value(w, field, version, flexible, element, False)
    elif field.fields is not None:
        if within(version, field.nullable) and not field.array:
            w.pack('>b', -1 if value is None else 1)
            if value is None:
                return
        _write_fields(w, field.name, field.fields, version, flexible, value)
    elif field.kind == 'string':
        data = None if value is None else value.encode() if isinstance(value, str) else value
        _write_length(w, None if data is None else len(data), flexible, True)
        w.raw(data or b'')
    elif field.kind in ('bytes', 'records'):
        _write_length(w, None if value is None else len(value), flexible, False)
        w.raw(value or b'')
    elif field.kind == 'uuid':
        w.raw(value)
    else:
        w.pack(PACK[field.kind], value)


class RawArray:
    """Stands where an array is expected and writes a declared count that need not be true: for hostile input."""

    def __init__(self, count, payload=b''):
        self.count = count
        self.payload = payload

    def write(self, w, flexible):
        if flexible:
            w.uvarint((self.count + 1) & 0xffffffff)
        else:
            w.pack('>i', self.count)
        w.raw(self.payload)


def _write_fields(w, owner, fields, version, flexible, values):
    known = {f.name for f in fields} | {'_tags'} | (fields[0].siblings if fields else set())
    for name in values:
        if name not in known:
            raise KeyError(f'{owner} has no field {name}')
    tagged = []
    for field in fields:
        if not within(version, field.versions):
            continue
        value = values.get(field.name, field.default)
        if within(version, field.tagged):
            if field.name in values and value != field.default:
                tagged.append((field.tag, field, value))
            continue
        _write_value(w, field, version, flexible, value, field.array)
    if not flexible:
        return
    extra = values.get('_tags', {})
    if isinstance(extra, bytes):  # a tag section that need not be well formed
        w.raw(extra)
        return
    w.uvarint(len(tagged) + len(extra))
    entries = []
    for tag, field, value in tagged:
        inner = Writer()
        _write_value(inner, field, version, True, value, field.array)
        entries.append((tag, inner.bytes()))
    entries += list(extra.items())
    for tag, data in sorted(entries):
        w.uvarint(tag)
        w.uvarint(len(data))
        w.raw(data)


def _read_length(r, flexible, short):
    if flexible:
        length = r.uvarint() - 1
        return None if length < 0 else length
    length = r.pack('>h' if short else '>i')
    return None if length < 0 else length


def _read_value(r, field, version, flexible, array):
    if field.flexible is not None:
        flexible = within(version, field.flexible)
    if array:
        count = _read_length(r, flexible, False)
        if count is None:
            return None
        if count > len(r.data):
            raise Truncated(f'{field.name}: {count} elements')
        return [_read_value(r, field, version, flexible, False) for _ in range(count)]
    if field.fields is not None:
        if within(version, field.nullable) and not field.array and r.pack('>b') < 0:
            return None
        return _read_fields(r, field.fields, version, flexible)
    if field.kind == 'string':
        length = _read_length(r, flexible, True)
        return None if length is None else r.raw(length).decode('utf-8', 'surrogateescape')
    if field.kind in ('bytes', 'records'):
        length = _read_length(r, flexible, False)
        return None if length is None else r.raw(length)
    if field.kind == 'uuid':
        return r.raw(16)
    return r.pack(PACK[field.kind])


def _read_fields(r, fields, version, flexible):
    values = {}
    tagged = {}
    for field in fields:
        if not within(version, field.versions):
            continue
        if within(version, field.tagged):
            tagged[field.tag] = field
            values[field.name] = field.default
            continue
        values[field.name] = _read_value(r, field, version, flexible, field.array)
    if flexible:
        last = -1
        for _ in range(r.uvarint()):
            tag = r.uvarint()
            if tag <= last:
                raise Truncated(f'tag {tag} after {last}')
            last = tag
            data = r.raw(r.uvarint())
            if tag in tagged:
                inner = Reader(data)
                values[tagged[tag].name] = _read_value(inner, tagged[tag], version, True, tagged[tag].array)
                if inner.at != len(data):
                    raise Truncated(f'tag {tag}: {len(data) - inner.at} bytes left over')
            else:
                values.setdefault('_tags', {})[tag] = data
    return values


class Registry:
    """Both generations of definitions, and which of them speaks for a version."""

    def __init__(self, kafka_4=None, kafka_3=None):
        kafka_4 = kafka_4 or os.environ['BARNABAS_KAFKA_4']
        kafka_3 = kafka_3 or os.environ['BARNABAS_KAFKA_3']
        self.new = load_messages(kafka_4)
        self.old = load_messages(kafka_3)
        self.apis = {}  # name without 'Request' -> (key, lowest, highest)
        for name in self.new.keys() & self.old.keys():
            _share_names(self.new[name].fields, self.old[name].fields)
        named = {m.key: m.name for m in self.new.values() if m.type == 'request'}
        for generation in (self.old, self.new):
            for message in generation.values():
                if message.type != 'request' or message.key is None or message.versions[1] < message.versions[0]:
                    continue
                if named.get(message.key, message.name) != message.name:
                    continue  # ListClientMetricsResources became ListConfigResources
                name = message.name[:-len('Request')]
                key, low, high = self.apis.get(name, (message.key, 32767, -1))
                self.apis[name] = (key, min(low, message.versions[0]), max(high, message.versions[1]))

    def message(self, name, version):
        for generation in (self.new, self.old):
            if name in generation and within(version, generation[name].versions):
                return generation[name]
        raise KeyError(f'no definition holds {name} version {version}')

    def removed(self, api, version):
        """Whether 4.x no longer knows this version, so that 3.9.1 is the oracle."""
        message = self.new.get(api + 'Request')
        return message is None or not within(version, message.versions)

    def encode(self, name, version, values):
        message = self.message(name, version)
        w = Writer()
        _write_fields(w, name, message.fields, version, within(version, message.flexible), values)
        return w.bytes()

    def decode(self, name, version, data, exact=True):
        message = self.message(name, version)
        r = Reader(data)
        values = _read_fields(r, message.fields, version, within(version, message.flexible))
        if exact and r.at != len(data):
            raise Truncated(f'{name} v{version}: {len(data) - r.at} bytes left over')
        return values

    def flexible(self, api, version):
        return within(version, self.message(api + 'Request', version).flexible)

    def request_header(self, api, version, correlation, client_id='compat'):
        key = self.apis[api][0]
        w = Writer()
        w.pack('>h', key)
        w.pack('>h', version)
        w.pack('>i', correlation)
        if api == 'ControlledShutdown' and version == 0:
            return w.bytes()
        data = None if client_id is None else client_id.encode()
        w.pack('>h', -1 if data is None else len(data))
        w.raw(data or b'')
        if self.flexible(api, version):
            w.uvarint(0)
        return w.bytes()

    def response_header_flexible(self, api, version):
        # ApiVersions answers with the oldest header always, so that a client of any age can read it.
        return api != 'ApiVersions' and within(version, self.message(api + 'Response', version).flexible)
