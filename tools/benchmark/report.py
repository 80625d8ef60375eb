"""What was found: lines as they come, the tables (Markdown, which reads well on a terminal too) and the plot (SVG)."""
import datetime
import html
import json
import math
import os
import platform
import statistics
import subprocess

import cluster
import rows

OTHERS = (('requests_per_s', 'requests/s'), ('mb_per_s', 'MB/s'), ('p50_ms', 'p50 ms'), ('p99_ms', 'p99 ms'),
          ('p999_ms', 'p99.9 ms'), ('max_ms', 'max ms'), ('rss_mb', 'RSS MB'), ('broker_cores', 'cores'))


def number(value):
    """Three digits that mean something."""
    if value is None:
        return ''
    if value == 0:
        return '0'
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f'{value:,.{min(digits, 3)}f}'


def progress(case, result):
    out = f'{case.row:>3} {case.name:<66} {number(result[case.figure]):>8} {rows.FIGURES[case.figure]:<15}'
    for name, unit in OTHERS:
        if name in result and name != case.figure and name not in ('p50_ms', 'p999_ms', 'max_ms', 'rss_mb'):
            out += f' {number(result[name])} {unit}'
    return out + (f' (load {result["load_cores"]:.2f})' if 'load_cores' in result else '')


def values(results, kind, case, figure=None):
    """{round: value} of a figure, by default of the one that the case is about. CASE may be a name."""
    figure, name = figure or case.figure, getattr(case, 'name', case)
    return {number: found[figure] for number, found in results.get(kind, {}).get(name, {}).items() if figure in found}


def median(results, kind, case, figure=None):
    found = values(results, kind, case, figure)
    return statistics.median(found.values()) if found else None


def quotients(ours, theirs):
    """Of what was measured in the same round, so within seconds: the machine's moods hit both. Sorted."""
    return sorted(ours[number] / theirs[number] for number in ours.keys() & theirs.keys() if theirs[number])


def ratio(results, case, kind='kafka', figure=None):
    """The median of the rounds' quotients of our figure and theirs, or None."""
    found = quotients(values(results, 'barnabas', case, figure), values(results, kind, case, figure))
    return statistics.median(found) if found else None


def verdicts(case, results):
    """What was to be reached, each as (text, reached, what it is)."""
    ours = median(results, 'barnabas', case)
    of_kafkas, of_limit = ratio(results, case), ratio(results, case, 'limit')
    out = []
    if ours is None:
        return out

    def times(value, wanted, of, more=False):
        out.append((f'{"at least" if more else "at most"} {number(wanted)} of {of}', value >= wanted if more else value <= wanted,
                    number(value)))

    if case.target is not None and of_kafkas is not None:
        times(of_kafkas, case.target, "Kafka's", case.figure in rows.MORE_IS_BETTER)
    if case.bound is not None:
        out.append((f'at most {number(case.bound)}', ours <= case.bound, number(ours)))
    if case.of_limit is not None and of_limit is not None:
        times(of_limit, case.of_limit, "the bare server's")
    if case.beside is not None:
        name, wanted = case.beside
        other = quotients(values(results, 'barnabas', case), values(results, 'barnabas', name, case.figure))
        if other:
            times(statistics.median(other), wanted, f'"{name}"')
    for want in case.also:
        label = rows.FIGURES[want.figure]
        mine, part = median(results, 'barnabas', case, want.figure), ratio(results, case, figure=want.figure)
        if want.bound is not None and mine is not None:
            out.append((f'{label} at most {number(want.bound)}', mine <= want.bound, number(mine)))
        if want.target is not None and part is not None:
            out.append((f"{label} at most {number(want.target)} of Kafka's", part <= want.target, number(part)))
    return out


def table(header, lines):
    cells = [[str(cell) for cell in line] for line in [header] + lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    numeric = [i > 1 for i in range(len(header))]

    def row(line):
        return '| ' + ' | '.join(c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, numeric)) + ' |'

    rule = '|' + '|'.join('-' * (w + 1) + (':' if right else '-') for w, right in zip(widths, numeric)) + '|'
    return '\n'.join([row(cells[0]), rule] + [row(line) for line in cells[1:]])


def comparison(cases, results):
    lines = []
    for case in cases:
        ours, theirs, limit = (median(results, kind, case) for kind in ('barnabas', 'kafka', 'limit'))
        if ours is None and theirs is None and limit is None:
            continue
        of_limit = ratio(results, case, 'limit')
        share = f'{(of_limit if case.figure in rows.MORE_IS_BETTER else 1 / of_limit) * 100:.0f}%' if of_limit else ''
        spread = quotients(values(results, 'barnabas', case), values(results, 'kafka', case))
        said = verdicts(case, results)
        lines.append([case.row, case.name, rows.FIGURES[case.figure], number(ours), number(theirs),
                      number(ratio(results, case)), f'{number(spread[0])} to {number(spread[-1])}' if len(spread) > 1 else '',
                      number(limit), share,
                      '; '.join(wanted for wanted, _, _ in said), '; '.join('yes' if ok else f'**no** ({is_})'
                                                                           for _, ok, is_ in said)])
    return table(['row', 'workload', 'figure', 'Barnabas', 'Kafka', 'ratio', 'of rounds', 'bare server', 'share of it', 'wanted',
                  'reached'], lines)


def details(cases, results):
    lines = []
    for case in cases:
        for kind in ('barnabas', 'kafka', 'limit'):
            if median(results, kind, case, 'requests_per_s') is not None and (kind != 'limit' or case.limit != 'sync'):
                lines.append([case.row, case.name, kind] + [number(median(results, kind, case, name)) for name, _ in OTHERS])
    return table(['row', 'workload', 'broker'] + [unit for _, unit in OTHERS], lines)


def machine():
    model = 'unknown CPU'
    with open('/proc/cpuinfo') as info:
        for line in info:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    commit = subprocess.run(['git', '-C', cluster.ROOT, 'describe', '--always', '--dirty'], stdout=subprocess.PIPE, text=True)
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'cpu': model,
        'cores': len(os.sched_getaffinity(0)),
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9),
        'kernel': platform.release().split('-')[0],
        'commit': commit.stdout.strip(),
        'load_average': round(os.getloadavg()[1], 1),
    }


BAR, GAP, LEFT, WIDTH, TOP = 13, 7, 420, 460, 46


def plot(cases, results, where):
    """A bar for each case: our figure as a part of Kafka's, on a logarithmic scale; marks for target and bare server."""
    bars = []
    for case in cases:
        theirs, limit = (median(results, kind, case) for kind in ('kafka', 'limit'))
        of_kafkas = ratio(results, case)
        if of_kafkas:
            more = case.figure in rows.MORE_IS_BETTER
            # As "times better than Kafka", whichever way the figure goes.
            better = of_kafkas if more else 1 / of_kafkas
            at_limit = (limit / theirs if more else theirs / limit) if limit else None
            target = (case.target if more else 1 / case.target) if case.target else None
            bars.append((case, better, target, at_limit))
    low = min([0.5] + [b[1] for b in bars])
    high = max([10] + [v for b in bars for v in b[1:] if v])
    low, high = min(low, 0.5) * 0.9, high * 1.1

    def x(value):
        return LEFT + WIDTH * (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))

    height = TOP + len(bars) * (BAR + GAP) + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/>',
           f'<text x="10" y="18" font-size="14">Barnabas: times better than Apache Kafka 4.3.1</text>',
           f'<text x="10" y="34" fill="#666">{html.escape(where)}. Bars left of 1 are losses; '
           'black: what was wanted; red: a bare server without a broker.</text>']
    for value in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if low <= value <= high:
            out.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{TOP}" y2="{height - 26}" '
                       f'stroke="{"#444" if value == 1 else "#ddd"}"/>'
                       f'<text x="{x(value):.1f}" y="{height - 12}" text-anchor="middle" fill="#666">{value:g}</text>')
    for i, (case, better, target, at_limit) in enumerate(bars):
        y = TOP + 4 + i * (BAR + GAP)
        start, end = sorted((x(1), x(better)))
        out.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{case.row} {html.escape(case.name)}</text>'
                   f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}" '
                   f'fill="{"#2a78b5" if better >= 1 else "#c0504d"}"/>'
                   f'<text x="{max(end, x(1)) + 4:.1f}" y="{y + 10}" fill="#333">{number(better)}</text>')
        for value, colour in ((target, 'black'), (at_limit, 'red')):
            if value:
                out.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y - 2}" y2="{y + BAR + 2}" stroke="{colour}" '
                           'stroke-width="2"/>')
    return '\n'.join(out + ['</svg>', ''])


def write(cases, results, options, rounds, seconds, here):
    """Rounds so far; the terminal sees the table when all are there."""
    where = (f'{here["cpu"]}, {here["cores"]} cores, {here["memory_gb"]} GB, Linux {here["kernel"]}; {here["date"]}; commit '
             f'{here["commit"]}; {rounds} round{"s" * (rounds > 1)}')
    long = [case for case in cases if case.rounds_max and case.rounds_max < rounds]
    fewer = [f'Measured in the first {long[0].rounds_max} rounds only, as they take minutes: ' + ', '.join(c.name for c in long) + '.',
             ''] if long else []
    text = '\n'.join([f'{where}; load average {here["load_average"]}', '', *fewer, comparison(cases, results), '',
                      details(cases, results), ''])
    if rounds == options.rounds:
        print('\n' + text + f'\nin {seconds / 60:.1f} minutes')
    if options.output:
        os.makedirs(options.output, exist_ok=True)
        for name, content in (('table.md', text), ('plot.svg', plot(cases, results, where)),
                              ('results.json', json.dumps({'machine': here, 'rounds': rounds, 'results': results},
                                                          indent=1) + '\n')):
            with open(os.path.join(options.output, name), 'w') as out:
                out.write(content)
