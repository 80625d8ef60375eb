"""Are two logs' folders the same, byte by byte? Rows of producer snapshots may stand in any order (Kafka's is that of a
Java hash table); files on their way out (.deleted) and what only one side keeps are left aside, and what ends like a third
argument."""
import os
import struct
import sys


def snapshot(data):
    version, _crc, count = struct.unpack(">hIi", data[:10])
    rows = [data[10 + 46 * i:56 + 46 * i] for i in range(count)]
    return version, len(data), sorted(rows)


def content(path):
    with open(path, "rb") as file:
        data = file.read()
    return snapshot(data) if path.endswith(".snapshot") else data


def names(folder):
    return {name for name in os.listdir(folder)
            if not name.endswith((".deleted", *sys.argv[3:])) and name != "partition.metadata"
            # An empty index and none are the same: Kafka makes the files of a new segment's indexes when it first uses
            # them, and leaves an empty transaction index after a truncation.
            and not (name.endswith("index") and os.path.getsize(os.path.join(folder, name)) == 0)}


def main():
    one, two = sys.argv[1:3]
    passed = failed = 0
    for name in sorted(names(one) | names(two)):
        try:
            same = content(os.path.join(one, name)) == content(os.path.join(two, name))
        except FileNotFoundError as error:
            print(f"only one has {name}: {error.filename} is missing")
            same = False
        if same:
            passed += 1
        else:
            print(f"differs: {name}")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed != 0 or passed == 0


sys.exit(main())
