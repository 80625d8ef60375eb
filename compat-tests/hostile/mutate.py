"""Requests that are nearly right: valid messages of every served API and version, filled at random from what the broker
knows (its topics, ids, groups, settings), then bent in one or a few places.

    maker = Maker(registry, [('Fetch', 4), …], random.Random(7), world)
    frame, api, version, whole = maker.frame(correlation, gentle=False)

The bending is structural (a field at an extreme, a null, an array doubled, emptied or lying about its count, a hostile
tag) or of bytes (bits, cuts, insertions, a piece of another request); some requests stay whole. All of it
follows from the generator's seed.
"""
import gzip
import struct

import bombs
import records
import schema
from records import Record

SMALL = 60  # elements of an array
WORDS = ['', 'a', 'range', 'consumer', 'cleanup.policy', 'compact', 'retention.ms', 'segment.bytes', 'message.max.bytes',
         'metadata.version', '.', '..', 'a/b', '__consumer_offsets', '__cluster_metadata', 'x' * 249, 'x' * 32000, '\0',
         'é€😀', 'a.b', 'a_b']
EXTREMES = {'int8': (0, 1, -1, 127, -128), 'int16': (0, 1, -1, 2, 32767, -32768),
            'int32': (0, 1, -1, 2, 3, 100, 65536, 2 ** 31 - 1, -2 ** 31),
            'int64': (0, 1, -1, -2, -3, 100, 1700000000000, 2 ** 63 - 1, -2 ** 63),
            'uint16': (0, 1, 9092, 65535), 'uint32': (0, 1, 2 ** 32 - 1)}
# Fields of these names get values that lead further than chance would.
LIKELY = {'Partition': (0, 1, 2, 3), 'PartitionIndex': (0, 1, 2, 3), 'Index': (0, 1, 2, 3), 'Acks': (-1, 1, 0),
          'ReplicaId': (-1, -1, 1, -2), 'SessionId': (0, 0, 1), 'SessionEpoch': (-1, 0, 1), 'MaxWaitMs': (0, 1, 50),
          'TimeoutMs': (0, 100, 5000), 'timeoutMs': (0, 100, 5000), 'MaxBytes': (0, 1 << 10, 1 << 20),
          'PartitionMaxBytes': (0, 1 << 10, 1 << 20), 'MinBytes': (0, 1), 'SessionTimeoutMs': (6000, 10000),
          'RebalanceTimeoutMs': (100, 1000), 'NumPartitions': (1, 2, -1), 'ReplicationFactor': (1, -1),
          'ResourceType': (2, 4, 32, 16, 8), 'ConfigOperation': (0, 1, 2, 3), 'KeyType': (0, 1, 2),
          'ProtocolType': ('consumer', 'connect'), 'MaxNumOffsets': (1, 100), 'Timestamp': (-1, -2, -3, 1700000000000),
          'timestamp': (-1, -2), 'FetchOffset': (0, 1, 5), 'CommittedOffset': (0, 5), 'Count': (1, 4, 8), 'count': (1, 4)}
TOPIC_FIELDS = {'Name', 'Topic', 'TopicName', 'ResourceName', 'TopicNames'}
GROUP_FIELDS = {'GroupId', 'Groups', 'GroupsNames', 'Key', 'CoordinatorKeys'}


class World:
    """What there is to be named. Members and ids that answers tell of are added as they come, but for those that are
    somebody else's."""

    def __init__(self, topics, groups, foreign=()):
        self.topics, self.groups, self.foreign = topics, groups, foreign
        self.ids, self.members, self.producers = [bytes(16)], [''], [-1]

    def learn(self, answer):
        if isinstance(answer, dict):
            for name, value in answer.items():
                pool = {'TopicId': self.ids, 'MemberId': self.members, 'ProducerId': self.producers}.get(name)
                if pool is not None and value not in pool and value is not None and value not in self.foreign:
                    pool.append(value)
                    if len(pool) > 64:
                        pool.pop(1)
                elif isinstance(value, (dict, list)):
                    self.learn(value)
        elif isinstance(answer, list):
            for one in answer[:20]:
                self.learn(one)


class Maker:
    def __init__(self, registry, served, random, world):
        self.registry, self.random, self.world = registry, random, world
        self.served = served  # [(api, version)]
        self.last = b''

    # --- a whole message --------------------------------------------------------------------------------------
    def text(self, name):
        pick = self.random.random()
        if name in GROUP_FIELDS and pick < 0.8:
            return self.random.choice(self.world.groups)
        if name in TOPIC_FIELDS and pick < 0.8:
            return self.random.choice(self.world.topics)
        if name == 'MemberId' and pick < 0.8:
            return self.random.choice(self.world.members)
        if pick < 0.9:
            return self.random.choice(WORDS)
        return str(self.random.choice(EXTREMES['int64']))

    def batch(self):
        """Records of any format, right or lying."""
        rows = [Record(self.random.choice((None, b'', b'k')), self.random.choice((None, b'', b'v' * 100)))
                for _ in range(self.random.choice((1, 1, 2, 20)))]
        pick = self.random.random()
        if pick < 0.1:
            return None
        if pick < 0.25:
            return records.message_set(rows, self.random.choice((0, 1)), self.random.choice(('none', 'gzip')))
        if pick < 0.3:  # compressed in compressed
            inner = records.message_set(rows, 1, 'gzip')
            for _ in range(self.random.randint(1, 8)):
                inner = records.message(Record(None, gzip.compress(inner, mtime=0)), 0, self.random.choice((0, 1)), 1)
            return inner
        lies = {}
        if self.random.random() < 0.5:
            lies[self.random.choice(('count', 'last_offset_delta', 'length', 'crc'))] = self.random.choice(EXTREMES['int32'])
            if 'crc' in lies:
                lies['crc'] &= 0xffffffff
        if self.random.random() < 0.2:
            lies['payload'] = self.random.choice((b'', bytes(30), bombs.snappy_lying(), bombs.zstd_lying(),
                                                  bombs.zstd_window(), self.random.randbytes(50)))
        data = records.batch(rows, attributes=self.random.choice((0, 0, 1, 2, 3, 4, 7, 8, 16, 32, 0x7fff)),
                             producer_id=self.random.choice(self.world.producers), producer_epoch=self.random.choice((-1, 0, 1)),
                             base_sequence=self.random.choice((-1, 0, 1, 2 ** 31 - 1)), **lies)
        if self.random.random() < 0.3 and len(data) > 61:  # any header field, with a checksum that fits
            at = self.random.randrange(21, 61)
            data = data[:at] + self.random.randbytes(1) + data[at + 1:]
            data = data[:17] + struct.pack('>I', records.crc32c(data[21:])) + data[21:]
        return data * self.random.choice((1, 1, 1, 2))

    def value(self, field, version):
        if field.fields is not None:
            if schema.within(version, field.nullable) and not field.array and self.random.random() < 0.5:
                return None
            return self.fields(field.fields, version)
        if field.kind == 'string':
            if schema.within(version, field.nullable) and not field.array and self.random.random() < 0.3:
                return None
            return self.text(field.name)
        if field.name in LIKELY and self.random.random() < 0.8:
            return self.random.choice(LIKELY[field.name])
        if field.kind == 'bool':
            return self.random.random() < 0.5
        if field.kind == 'uuid':
            return self.random.choice(self.world.ids)
        if field.kind == 'records':
            return self.batch()
        if field.kind == 'bytes':
            return self.random.choice((b'', b'\0\0', struct.pack('>hi', 0, 1) + b'\0\1a', self.random.randbytes(20)))
        if field.kind == 'float64':
            return self.random.choice((0.0, -1.0, float('inf')))
        return self.random.choice(EXTREMES[field.kind])

    def fields(self, fields, version):
        out = {}
        for field in fields:
            if not schema.within(version, field.versions):
                continue
            if schema.within(version, field.tagged) and self.random.random() < 0.5:
                continue
            if not field.array:
                out[field.name] = self.value(field, version)
            elif schema.within(version, field.nullable) and self.random.random() < 0.1:
                out[field.name] = None
            else:
                out[field.name] = [self.value(field, version) for _ in range(self.random.choice((0, 1, 1, 1, 2, 3)))]
        return out

    # --- bent -------------------------------------------------------------------------------------------------
    def places(self, fields, version, values):
        """Every (field, the dict that holds it) of a message."""
        for field in fields:
            if field.name not in values or not schema.within(version, field.versions):
                continue
            yield field, values
            inner = values[field.name]
            if field.fields:
                for one in (inner if isinstance(inner, list) else [inner] if inner else []):
                    yield from self.places(field.fields, version, one)

    def bend(self, fields, version, values, gentle):
        places = list(self.places(fields, version, values))
        if not places:
            values['_tags'] = {9999: b'x' * 100} if gentle else b'\xff\xff\xff\xff\x07'
            return
        field, holder = self.random.choice(places)
        value = holder[field.name]
        if isinstance(value, list):
            choice = self.random.randrange(1 if gentle else 0, 6)
            if choice == 0:
                holder[field.name] = schema.RawArray(self.random.choice((2 ** 31 - 1, 1000000, -2, -2 ** 31, 7)),
                                                     self.random.randbytes(self.random.randrange(40)))
            elif choice == 1:
                holder[field.name] = []
            elif choice == 2 and value:  # the same again and again
                holder[field.name] = value * self.random.choice((2, 3, SMALL))
            elif choice == 3:
                holder[field.name] = [self.value(field, version) for _ in range(self.random.randrange(SMALL))]
            elif choice == 4 and gentle:
                holder['_tags'] = {5000: b'', 6000: bytes(1000)}
            elif choice == 4:
                holder['_tags'] = self.random.choice(({0: b''}, {1: b'xx'}, {5: bytes(1000), 6: b''},
                                                      b'\x02\x05\x00\x05\x00', b'\x01\x00\xff\xff\xff\xff\x07'))
            else:
                holder[field.name] = None
        elif field.fields is not None:
            holder['_tags'] = {2 ** 31 - 1: b'y'}
        elif field.kind == 'string':
            holder[field.name] = self.random.choice(WORDS)
        elif field.kind in ('bytes', 'records'):
            holder[field.name] = self.random.choice((None, b'', self.random.randbytes(200)))
        elif field.kind in EXTREMES:
            holder[field.name] = self.random.choice(EXTREMES[field.kind])

    def break_bytes(self, data):
        data = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(data)) if data else 0
            choice = self.random.randrange(5)
            if choice == 0 and data:
                data[at] ^= 1 << self.random.randrange(8)
            elif choice == 1:
                del data[at:at + self.random.choice((1, 2, 4, 1000))]
            elif choice == 2:
                data[at:at] = self.random.choice((b'\xff' * 5, b'\0' * 4, b'\x7f\xff\xff\xff', self.random.randbytes(9)))
            elif choice == 3 and self.last:
                cut = self.random.randrange(len(self.last))
                data[at:at + 20] = self.last[cut:cut + self.random.randrange(60)]
            elif data:
                data[at:at + 4] = struct.pack('>i', self.random.choice(EXTREMES['int32']))
        return bytes(data)

    def frame(self, correlation, gentle):
        """The bytes of one request with its size in front, what it was made as, and whether it is whole: a message that
        is well formed, however odd. GENTLE ones all are."""
        api, version = self.random.choice(self.served)
        message = self.registry.message(api + 'Request', version)
        values = self.fields(message.fields, version)
        whole = True
        for _ in range(self.random.choice((0, 0, 1, 1, 1, 3))):
            try:
                self.bend(message.fields, version, values, gentle)
            except (TypeError, AttributeError):
                break  # bent before into what can't be bent
        try:
            body = self.registry.encode(api + 'Request', version, values)
        except (TypeError, struct.error, AttributeError, UnicodeEncodeError):
            body = self.registry.encode(api + 'Request', version, self.fields(message.fields, version)) if gentle else b''
            whole = gentle
        if not gentle and self.random.random() < 0.4:
            body, whole = self.break_bytes(body), False
        header = self.registry.request_header(api, version, correlation, self.random.choice(('fuzz', '', None, 'c' * 300)))
        if not gentle and self.random.random() < 0.03:
            header, whole = self.break_bytes(header), False
        self.last = body
        data = header + body
        size = len(data)
        if not gentle and self.random.random() < 0.01:
            size, whole = self.random.choice((0, -1, 3, size - 1, size + 1, 2 ** 31 - 1, 100 << 20)), False
        return struct.pack('>i', size) + data, api, version, whole
