"""The table and the plot."""
import rows


def line(case, result):
    """One result as it comes, for the terminal."""
    unit = rows.FIGURES[case.figure]
    out = f'{case.row:>3} {case.name:<48} {result[case.figure]:>9.3f} {unit}'
    if 'requests_per_s' in result:
        out += f'  {result["requests_per_s"]:>9.0f} req/s {result["mb_per_s"]:>7.1f} MB/s'
    if 'p99_ms' in result:
        out += f'  p99 {result["p99_ms"]:.2f} ms'
    if 'broker_cpu' in result:
        out += f'  broker {result["broker_cpu"]:.2f} load {result["load_cpu"]:.2f} of a core'
    return out


def write(cases, results, limits, options, seconds):
    kinds = list(results)
    print()
    for case in cases:
        values = [results[kind][case.name][case.figure][0] for kind in kinds]
        ratio = f'{values[0] / values[1]:8.3f}' if len(values) == 2 and values[1] else ''
        print(f'{case.row:>3} {case.name:<48} {rows.FIGURES[case.figure]:<15}' + ''.join(f'{v:>11.3f}' for v in values) +
              ratio)
