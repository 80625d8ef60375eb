"""errors.py ERRORS_TBL KAFKAS: compares our table of error codes with what `Wire errors` printed of Kafka's."""

import re
import sys

ours = re.findall(r"^ERROR\((-?\d+), (\w+), (true|false), \"[^\"]+\"\)$", open(sys.argv[1]).read(), re.M)
kafkas = [tuple(line.split()) for line in open(sys.argv[2])]
for code, name, retriable in sorted(set(ours) ^ set(kafkas)):
    print(f"only in {'ours' if (code, name, retriable) in ours else 'Kafka'}: {code} {name} retriable={retriable}")
print(f"error codes: {len(kafkas)} compared")
sys.exit(1 if ours != kafkas or not kafkas else 0)
