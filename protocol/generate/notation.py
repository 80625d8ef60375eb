"""The notation of protocol/schema/, parsed into plain objects.

A file describes one API, one kind of record, or one piece of data. Lines indented by tabs belong to the line above
that is indented less. `#` begins a comment.

    api KEY NAME                                   an API, followed by
    listeners broker|controller|none ...           where it is served (none: spoken once, never served by us)
    newest-version unstable                        its highest version is not advertised by default
    request|response MESSAGE VERSIONS [flexible V+]

    record TYPE NAME in LOG                        a record of a log (or TYPE:NAME,TYPE:NAME), followed by
    key|value MESSAGE VERSIONS [flexible V+]

    header|data MESSAGE VERSIONS [flexible V+]     everything else

A message's fields follow it, one a line, in wire order:

    NAME: TYPE VERSIONS [nullable VERSIONS] [tag N VERSIONS] [key] [ignorable] [inflexible] [= DEFAULT]

TYPE is bool, int8, int16, uint16, int32, uint32, int64, float64, uuid, string, bytes, records, the name of a struct, or
`[]` and one of these. A struct's fields follow the first field that uses it, indented; a struct that several fields use
stands at the message's end as `struct NAME VERSIONS`. VERSIONS is `3`, `3-5` or `3+`. `tag` says in which versions the
field travels as a tagged field. `key` marks the fields that identify an element among its siblings. `ignorable` fields
may be dropped silently in versions that lack them; any other field must then hold its default. `inflexible` keeps the
old form of a string in flexible versions. Without `= DEFAULT` it is zero, false, empty, or a struct of defaults.
"""

import pathlib
import re

PRIMITIVES = ("bool", "int8", "int16", "uint16", "int32", "uint32", "int64", "float64", "uuid", "string", "bytes", "records")
NULLABLE = ("string", "bytes", "records")
INTEGER_RANGES = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
}


class NotationError(Exception):
    pass


def snake(name):
    """Kafka's CamelCase in our snake_case: ThrottleTimeMs -> throttle_time_ms, IsKRaftController -> is_kraft_controller."""
    name = name.replace("KRaft", "Kraft")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Versions:
    """An inclusive range of versions; empty when low > high."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    def __contains__(self, version):
        return self.low <= version <= self.high

    def __iter__(self):
        return iter(range(self.low, self.high + 1))

    def __bool__(self):
        return self.low <= self.high

    def __eq__(self, other):
        return (self.low, self.high) == (other.low, other.high) or (not self and not other)

    def within(self, other):
        return not self or (other.low <= self.low and self.high <= other.high)

    def __repr__(self):
        return f"{self.low}-{self.high}" if self else "none"


NO_VERSIONS = Versions(0, -1)


class Field:
    """name, member (snake_case), type (without []), array, versions, nullable, tagged, tag (None), key, ignorable,
    inflexible, default (a Python value; for structs None or 'struct'), struct (for struct types)."""

    @property
    def is_struct(self):
        return self.type not in PRIMITIVES

    def __repr__(self):
        return f"{self.name}: {'[]' if self.array else ''}{self.type}"


class Struct:
    """name, versions, fields; message: where it belongs."""

    def field(self, member):
        return next(f for f in self.fields if f.member == member)


class Message(Struct):
    """kind (request, response, key, value, header, data), flexible (lowest flexible version or None), structs in order
    of definition (without itself), owner: its Api or Record, or None."""

    def is_flexible(self, version):
        return self.flexible is not None and version >= self.flexible


class Api:
    """key, name, listeners, unstable, request, response."""


class Record:
    """types: [(type, name)], name, log, key (a Message or None), value."""


class Schema:
    """Everything: apis by key, records in order of log and type, messages by name."""

    def __init__(self):
        self.apis = {}
        self.records = []
        self.messages = {}


def parse_versions(text, within, where):
    match = re.fullmatch(r"(\d+)(\+|-(\d+))?", text)
    if not match:
        raise NotationError(f"{where}: {text!r} is not a range of versions")
    low = int(match[1])
    high = within.high if match[2] == "+" else int(match[3]) if match[3] else low
    versions = Versions(low, high)
    if not versions or (within is not UNBOUNDED and not versions.within(within)):
        raise NotationError(f"{where}: versions {text} outside of {within}")
    return versions


UNBOUNDED = Versions(0, 0x7FFF)

FIELD = re.compile(
    r"(?P<name>\w+): (?P<array>\[\])?(?P<type>\w+) (?P<versions>\S+)"
    r"(?: nullable (?P<nullable>\S+))?(?: tag (?P<tag>\d+) (?P<tagged>\S+))?"
    r"(?P<key> key)?(?P<ignorable> ignorable)?(?P<inflexible> inflexible)?(?: = (?P<default>\S+))?"
)


def parse_default(field, text, where):
    if text == "null":
        if not field.nullable or field.nullable != field.versions:
            raise NotationError(f"{where}: default null wants a field that is nullable in all its versions")
        return None
    if field.array:
        if text is not None:
            raise NotationError(f"{where}: an array's default is null or empty")
        return []
    if field.is_struct:
        if text is not None:
            raise NotationError(f"{where}: a struct's default is null or its fields' defaults")
        return "struct"
    if field.type == "bool":
        if text not in (None, "true", "false"):
            raise NotationError(f"{where}: a bool is true or false")
        return text == "true"
    if field.type in INTEGER_RANGES:
        value = int(text or "0", 0)
        low, high = INTEGER_RANGES[field.type]
        if not low <= value <= high:
            raise NotationError(f"{where}: {value} does not fit {field.type}")
        return value
    if text is not None:
        raise NotationError(f"{where}: a default of type {field.type} is null or nothing")
    return {"float64": 0.0, "uuid": bytes(16), "string": "", "bytes": b"", "records": b""}[field.type]


class FileParser:
    def __init__(self, schema, path):
        self.schema = schema
        self.path = path
        self.lines = []  # (line number, depth, text)
        for number, line in enumerate(path.read_text().split("\n"), 1):
            text = line.split("#")[0].rstrip()
            if text:
                body = text.lstrip("\t")
                if body != body.strip():
                    raise NotationError(f"{path}:{number}: indent by tabs")
                self.lines.append((number, len(text) - len(body), body))
        self.at = 0
        self.owner = None

    def where(self):
        return f"{self.path}:{self.lines[min(self.at, len(self.lines) - 1)][0]}"

    def fail(self, message):
        raise NotationError(f"{self.where()}: {message}")

    def parse(self):
        while self.at < len(self.lines):
            _, depth, text = self.lines[self.at]
            if depth:
                self.fail("nothing to belong to")
            words = text.split()
            if words[0] == "api" and len(words) == 3:
                self.owner = api = Api()
                api.key, api.name, api.unstable, api.listeners = int(words[1]), words[2], False, []
                api.request = api.response = None
                if api.key in self.schema.apis:
                    self.fail(f"API key {api.key} is taken")
                self.schema.apis[api.key] = api
                self.at += 1
            elif words[0] == "listeners" and isinstance(self.owner, Api):
                self.owner.listeners = [word for word in words[1:] if word != "none"]
                if set(self.owner.listeners) - {"broker", "controller"}:
                    self.fail("listeners are broker, controller or none")
                self.at += 1
            elif text == "newest-version unstable" and isinstance(self.owner, Api):
                self.owner.unstable = True
                self.at += 1
            elif words[0] == "record" and len(words) == 5 and words[3] == "in":
                self.owner = record = Record()
                # [(type, its own name)]: types that share one definition are told apart by name.
                record.types = [
                    (int(kind), name or words[2]) for kind, _, name in (word.partition(":") for word in words[1].split(","))
                ]
                record.name, record.log, record.key, record.value = words[2], words[4], None, None
                self.schema.records.append(record)
                self.at += 1
            elif words[0] in ("request", "response", "key", "value", "header", "data"):
                self.parse_message(words)
            else:
                self.fail(f"can't read {text!r}")
        if isinstance(self.owner, Api) and not (self.owner.request and self.owner.response):
            self.fail("an API has a request and a response")
        if isinstance(self.owner, Record) and not self.owner.value:
            self.fail("a record has a value")

    def parse_message(self, words):
        kind = words[0]
        if len(words) not in (3, 5):
            self.fail("want: KIND MESSAGE VERSIONS [flexible V+]")
        message = Message()
        message.kind, message.name, message.owner = kind, words[1], self.owner
        message.message, message.structs, message.flexible = message, [], None
        message.versions = parse_versions(words[2], UNBOUNDED, self.where())
        if len(words) == 5:
            if words[3] != "flexible" or not words[4].endswith("+"):
                self.fail("want: flexible V+")
            message.flexible = int(words[4][:-1])
        if message.name in self.schema.messages:
            self.fail(f"message {message.name} is defined twice")
        self.schema.messages[message.name] = message
        if kind in ("request", "response", "key", "value"):
            if not isinstance(self.owner, Api if kind in ("request", "response") else Record) or getattr(self.owner, kind):
                self.fail(f"a {kind} has no place here")
            setattr(self.owner, kind, message)
        self.at += 1
        message.fields = self.parse_fields(message, 1, message.versions)
        self.resolve(message)

    def parse_fields(self, message, depth, versions):
        fields = []
        while self.at < len(self.lines) and self.lines[self.at][1] >= depth:
            _, line_depth, text = self.lines[self.at]
            if line_depth != depth:
                self.fail("indented too far")
            words = text.split()
            if words[0] == "struct" and len(words) == 3 and depth == 1:
                self.at += 1
                self.add_struct(message, words[1], parse_versions(words[2], versions, self.where()), 2)
                continue
            match = FIELD.fullmatch(text)
            if not match:
                self.fail(f"can't read the field {text!r}")
            field = Field()
            field.name, field.type, field.array = match["name"], match["type"], bool(match["array"])
            field.member = snake(field.name)
            field.struct = None
            field.versions = parse_versions(match["versions"], versions, self.where())
            field.nullable = NO_VERSIONS
            field.tagged, field.tag = NO_VERSIONS, None
            if match["nullable"]:
                if not (field.array or field.is_struct or field.type in NULLABLE):
                    self.fail(f"{field.type} can't be null")
                field.nullable = parse_versions(match["nullable"], field.versions, self.where())
            if match["tag"]:
                field.tag = int(match["tag"])
                field.tagged = parse_versions(match["tagged"], field.versions, self.where())
                if not all(message.is_flexible(version) for version in field.tagged):
                    self.fail("tagged fields exist in flexible versions only")
            field.key, field.ignorable = bool(match["key"]), bool(match["ignorable"])
            field.inflexible = bool(match["inflexible"])
            field.default = parse_default(field, match["default"], self.where())
            if field.is_struct and not field.array and field.nullable and field.nullable != field.versions:
                self.fail("a struct is nullable in all its versions or in none")
            if any(other.member == field.member for other in fields):
                self.fail(f"field {field.name} stands twice")
            fields.append(field)
            self.at += 1
            if self.at < len(self.lines) and self.lines[self.at][1] > depth:
                if not field.is_struct:
                    self.fail(f"{field.type} has no fields")
                self.add_struct(message, field.type, field.versions, depth + 1)
        for tag in {field.tag for field in fields if field.tag is not None}:
            if sum(field.tag == tag for field in fields) > 1:
                self.fail(f"tag {tag} stands twice above")
        return fields

    def add_struct(self, message, name, versions, depth):
        if any(struct.name == name for struct in message.structs):
            self.fail(f"struct {name} is defined twice")
        struct = Struct()
        struct.name, struct.versions, struct.message = name, versions, message
        # Its place is reserved now, so that structs are listed outermost first.
        message.structs.append(struct)
        struct.fields = self.parse_fields(message, depth, versions)

    def resolve(self, message):
        structs = {struct.name: struct for struct in message.structs}

        def visit(struct, above, tagged):
            if struct in above:
                raise NotationError(f"{self.path}: {struct.name} contains itself")
            for field in struct.fields:
                if field.type == "records" and (tagged or field.tag is not None):
                    # The codec moves tagged fields while it writes them; records may be gaps, which stay.
                    raise NotationError(f"{self.path}: records inside of a tagged field")
                if field.is_struct:
                    if field.type not in structs:
                        raise NotationError(f"{self.path}: {message.name} knows no struct {field.type}")
                    field.struct = structs[field.type]
                    if not field.versions.within(field.struct.versions):
                        raise NotationError(f"{self.path}: {field.name} is older or newer than {field.type}")
                    visit(field.struct, above + [struct], tagged or field.tag is not None)

        visit(message, [], False)


def load(folder):
    """All *.schema files under FOLDER as one Schema."""
    schema = Schema()
    for path in sorted(pathlib.Path(folder).rglob("*.schema")):
        FileParser(schema, path).parse()
    schema.apis = dict(sorted(schema.apis.items()))
    schema.records.sort(key=lambda record: (record.log, record.types))
    for api in schema.apis.values():
        if api.request.versions != api.response.versions:
            raise NotationError(f"{api.name}: request and response have different versions")
    seen = set()
    for record in schema.records:
        for kind, _ in record.types:
            if (record.log, kind) in seen:
                raise NotationError(f"{record.log}: type {kind} is taken")
            seen.add((record.log, kind))
    return schema
