"""Compares what Kafka and Barnabas answered to the same scenarios. Arguments: scenarios, Kafka's answers, ours.

Rows must be equal but for our own settings. Starts must agree on whether the configuration is good (the words are ours;
what we do not serve yet is refused as such). What clients see must be equal to the letter: descriptions, records,
error codes and messages. What differs on purpose stands in differences.tbl with its reason."""
import collections
import os
import re
import sys

ANSWERS = ('start', 'describe', 'alter')


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read().splitlines()


def read_differences():
    rows = []
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'differences.tbl'), encoding='utf-8') as file:
        for line in file:
            if line.strip() and not line.startswith('#'):
                kind, pattern, reason = line.rstrip('\n').split(' :: ', 2)
                rows.append([kind, re.compile(pattern), reason, 0])
    return rows


def compare_rows(kafka, ours):
    known = {line for line in kafka}
    own = {line for line in ours if not line.startswith('broker\tbarnabas.')}
    for line in sorted(known - own):
        print(f'only Kafka has the row     {line!r}')
    for line in sorted(own - known):
        print(f'only Barnabas has the row  {line!r}')
    return len(known & own), len(known ^ own)


def agree(kind, kafka, ours):
    if kind == 'describe':
        ours = '\t'.join(part for part in ours.split('\t') if not part.startswith('barnabas.'))
    if kind == 'start':
        return ours.startswith('unserved') or kafka.split('\t')[0] == ours.split('\t')[0]
    return kafka == ours


def main():
    scenarios, kafka, ours = (read(path) for path in sys.argv[1:4])
    differences = read_differences()
    passed = collections.Counter()
    failed = 0
    rows_kafka = [line for line in kafka if line.count('\t') == 8 and not line.startswith(('described', 'altered'))]
    rows_ours = [line for line in ours if line.count('\t') == 8 and not line.startswith(('described', 'altered'))]
    passed['rows'], bad = compare_rows(rows_kafka, rows_ours)
    failed += bad
    kafka, ours = kafka[len(rows_kafka):], ours[len(rows_ours):]
    steps, title = [], ''
    for line in scenarios:
        if line.startswith('scenario\t'):
            title = line.split('\t')[1]
        elif line.split('\t')[0] in ANSWERS:
            steps.append((line.split('\t')[0], title, line))
    if len(steps) != len(kafka) or len(steps) != len(ours):
        print(f'{len(steps)} steps, {len(kafka)} answers of Kafka, {len(ours)} of Barnabas')
        failed += 1
    for (kind, title, step), theirs, mine in zip(steps, kafka, ours):
        if agree(kind, theirs, mine):
            passed[kind] += 1
            continue
        row = next((r for r in differences if r[0] == kind and r[1].search(f'{title}\t{theirs}\t{mine}')), None)
        if row:
            row[3] += 1
            passed[kind + ' (declared different)'] += 1
            continue
        failed += 1
        if failed <= 40:
            print(f'{title[:300]}\n  {step[:200]}')
            theirs_parts, my_parts = theirs.split('\t'), mine.split('\t')
            print('  Kafka:   ', *[p for p in theirs_parts if p not in my_parts or len(theirs_parts) < 4][:6], sep='\n      ')
            print('  Barnabas:', *[p for p in my_parts if p not in theirs_parts or len(my_parts) < 4][:6], sep='\n      ')
    for kind, pattern, reason, count in differences:
        if count == 0:
            print(f'a declared difference that is none any more: {kind} {pattern.pattern}')
            failed += 1
    print(', '.join(f'{count} {kind}' for kind, count in sorted(passed.items())))
    print(f'{sum(passed.values())} passed, {failed} failed')
    sys.exit(1 if failed else 0)


main()
