"""definitions.py TABLE KAFKA_4 KAFKA_3: compares our compiled schema table with the message definitions in Kafka's jars.

TABLE is what `wire_check table` printed, so the notation, its parser and the generator are all inside of what is compared.
Each version of each message is compared with the definition that Kafka 4.3.1 has for it, or 3.9.1 where 4.x dropped that
version: which fields it has, in which order; each one's name, type, nullability, tag, default; whether it may be
dropped silently where it is absent; whether it is a key. Every message in the jars must be in the table and the other way.
"""

import glob
import json
import re
import sys
import zipfile

# What 4.x calls by another name than 3.9; bytes and meaning stayed.
RENAMED_MESSAGES = {
    "ListClientMetricsResourcesRequest": "ListConfigResourcesRequest",
    "ListClientMetricsResourcesResponse": "ListConfigResourcesResponse",
}
RENAMED_FIELDS = {
    "VoteRequest": {"CandidateEpoch": "ReplicaEpoch", "CandidateId": "ReplicaId", "CandidateDirectoryId": "ReplicaDirectoryId"},
}
# Until 3.9 these keys had their record type for a version; the one that 4.x dropped is version 0 of type 9 with us.
KEY_TYPES_OF_3_9 = {"ShareGroupPartitionMetadataKey": 9}
# Control records have no type in their definitions; Kafka's ControlRecordType names them.
CONTROL_TYPES = {"EndTxnMarker": {0, 1}, "LeaderChangeMessage": {2}, "SnapshotHeaderRecord": {3}, "SnapshotFooterRecord": {4},
                 "KRaftVersionRecord": {5}, "VotersRecord": {6}}


def versions(text, high):
    """The set of versions that TEXT names, up to HIGH."""
    if text is None or text == "none":
        return frozenset()
    match = re.fullmatch(r"(\d+)(\+|-(\d+))?", str(text))
    top = high if match[2] == "+" else int(match[3] or match[1])
    return frozenset(range(int(match[1]), top + 1))


def load_jars(folder):
    found = {}
    for jar in sorted(glob.glob(folder + "/kafka*.jar")):
        with zipfile.ZipFile(jar) as archive:
            for entry in archive.namelist():
                if not entry.endswith(".json"):
                    continue
                text = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda m: m[1] or "", archive.read(entry).decode())
                definition = json.loads(text)
                # Definitions of APIs that were removed are left as shells, with their key only.
                if "fields" in definition and "validVersions" in definition:
                    definition["name"] = RENAMED_MESSAGES.get(definition["name"], definition["name"])
                    found[definition["name"]] = definition
    return found


def default_of(field):
    """As wire_check prints it: a number, or null; 0 for what is zero, empty, false or a struct of defaults."""
    text = field.get("default")
    if text is None or text == "":
        return "0"
    text = str(text).lower()
    if text in ("true", "false"):
        return str(int(text == "true"))
    return "null" if text == "null" else str(int(text, 0))


class Definition:
    """One of Kafka's; rows(version) as Table's."""

    def __init__(self, definition):
        self.json = definition
        self.name = definition["name"]
        self.versions = versions(definition["validVersions"], None)
        self.high = max(self.versions)
        self.structs = {struct["name"]: struct for struct in definition.get("commonStructs", [])}
        self.collect(definition["fields"])
        for struct in definition.get("commonStructs", []):
            self.collect(struct["fields"])

    def collect(self, fields):
        for field in fields:
            if "fields" in field:
                self.structs[field["type"].removeprefix("[]")] = field
                self.collect(field["fields"])

    def flexible(self):
        text = self.json["flexibleVersions"]
        return None if text == "none" else int(text.rstrip("+"))

    def rows(self, version, fields=None, path=None):
        """(present, absent): [(path, type, nullable, tag, default, key)], {path: ignorable}"""
        present, absent = [], {}
        for field in self.json["fields"] if fields is None else fields:
            name = RENAMED_FIELDS.get(self.name, {}).get(field["name"], field["name"])
            if self.name == "ListConfigResourcesResponse":
                name = name.replace("ClientMetricsResource", "ConfigResource")
            inner = f"{path or self.name}/{name}"
            tagged = versions(field.get("taggedVersions"), self.high)
            exists = versions(field["versions"], self.high) if "versions" in field else tagged
            if version not in exists:
                absent[inner] = str(field.get("ignorable", False)).lower() == "true"
                continue
            kind = field["type"]
            present.append((inner, kind, version in versions(field.get("nullableVersions"), self.high),
                            int(field["tag"]) if version in tagged else None, default_of(field), bool(field.get("mapKey"))))
            bare = kind.removeprefix("[]")
            if bare in self.structs:
                below, missing = self.rows(version, self.structs[bare]["fields"], inner)
                present += below
                absent.update(missing)
        return present, absent


class Table:
    """One message of ours."""

    def __init__(self, name, span, flexible):
        self.name = name
        self.versions = versions(span, None)
        self.flexible = int(flexible) if int(flexible) in self.versions else None
        self.fields = []

    def rows(self, version):
        present, absent, gone = [], {}, []
        for path, kind, exists, nullable, tagged, tag, default, ignorable, key in self.fields:
            if any(path.startswith(outer + "/") for outer in gone):
                continue
            if version not in versions(exists, None):
                absent[path] = ignorable == "1"
                gone.append(path)
                continue
            present.append((path, kind, version in versions(nullable, None),
                            int(tag) if version in versions(tagged, None) else None, default, key == "1"))
        return present, absent


def load_table(path):
    messages, apis, records = {}, [], []
    for line in open(path):
        words = line.rstrip("\n").split("\t")
        if words[0] == "message":
            messages[words[1]] = last = Table(*words[1:])
        elif words[0] == "field":
            last.fields.append(words[1:])
        elif words[0] == "api":
            apis.append(words[1:])
        else:
            records.append(words[1:])
    return messages, apis, records


def main():
    ours, apis, records = load_table(sys.argv[1])
    kafka4 = {name: Definition(definition) for name, definition in load_jars(sys.argv[2]).items()}
    kafka3 = {name: Definition(definition) for name, definition in load_jars(sys.argv[3]).items()}
    problems, compared, distinct = [], 0, set()

    def differ(where, mine, theirs):
        if mine != theirs:
            problems.append(f"{where}: ours {mine}, Kafka's {theirs}")

    for name in sorted((set(kafka4) | set(kafka3)) ^ set(ours)):
        problems.append(f"{name}: only in {'ours' if name in ours else 'the jars'}")
    for name, table in ours.items():
        new, old = kafka4.get(name), kafka3.get(name)
        covered = set()
        for version in sorted(table.versions):
            at = version
            definition = new if new and version in new.versions else old
            if definition is old and name in KEY_TYPES_OF_3_9:
                at = KEY_TYPES_OF_3_9[name]
            if not definition or at not in definition.versions:
                problems.append(f"{name} version {version}: Kafka never had it")
                continue
            covered.add(version)
            (mine, mine_absent), (theirs, theirs_absent) = table.rows(version), definition.rows(at)
            if definition is old and new:
                # A key has no effect on bytes; where both define it, the newer word counts.
                mine, theirs = [row[:5] for row in mine], [row[:5] for row in theirs]
            for left, right in zip(mine, theirs):
                differ(f"{name} version {version}", left, right)
            differ(f"{name} version {version}: number of fields", len(mine), len(theirs))
            for path in theirs_absent.keys() & mine_absent.keys():
                differ(f"{name} version {version}: {path} ignorable", mine_absent[path], theirs_absent[path])
            compared += len(mine)
            distinct.update(row[0] for row in mine)
            differ(f"{name} version {version}: flexible", table.flexible is not None and version >= table.flexible,
                   definition.flexible() is not None and at >= definition.flexible())
        for definition in (new, old):
            if definition and name not in KEY_TYPES_OF_3_9 and not (definition is old and name.endswith("Key")):
                differ(f"{name}: versions left out", sorted(definition.versions - table.versions), [])

    for key, name, request, response, listeners, unstable in apis:
        new, old = kafka4.get(request), kafka3.get(request)
        definition = (new or old).json
        differ(f"API {name}: key", int(key), definition["apiKey"])
        differ(f"API {name}: key of the response", int(key), (kafka4.get(response) or kafka3[response]).json["apiKey"])
        differ(f"API {name}: listeners", set(listeners.split()), set(definition["listeners"]) if new else set())
        differ(f"API {name}: newest version unstable", unstable == "1", bool(new and definition.get("latestVersionUnstable")))
    for kind, key, value in records:
        if value in CONTROL_TYPES:
            if int(kind) not in CONTROL_TYPES[value]:
                problems.append(f"{value}: no control record has type {kind}")
            continue
        for name in filter(None, (key, value)):
            if name.startswith("ShareGroupPartitionMetadata"):
                differ(f"{name}: type", int(kind), KEY_TYPES_OF_3_9["ShareGroupPartitionMetadataKey"])
            else:
                differ(f"{name}: type", int(kind), kafka4[name].json["apiKey"])

    for problem in problems[:40]:
        print(problem)
    print(f"definitions: {len(ours)} messages, {sum(len(table.versions) for table in ours.values())} versions, "
          f"{len(apis)} APIs, {len(records)} kinds of records; {len(distinct)} fields compared in {compared} places; "
          f"{len(problems)} differences")
    sys.exit(1 if problems or not compared else 0)


main()
