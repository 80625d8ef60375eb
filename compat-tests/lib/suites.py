"""Builds what the suites of compat-tests/suites.tbl test, runs them, and adds up what they say.

Called by tools/test, which has installed everything and set the environment. A suite fails when its command does,
when it counts a failure or counts nothing, and when it takes longer than its budget: the budgets are what keeps
`.ci/run` under 40 minutes, so going over is a failure to look at and not a reason to raise the number unasked.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEVELS = ('quick', 'default', 'full')
TAIL_LINES = 200


def read_table():
    rows = []
    with open(os.path.join(ROOT, 'compat-tests', 'suites.tbl')) as table:
        for line in table:
            if line.strip() and not line.startswith('#'):
                name, minutes, when, command = line.split(None, 3)
                assert when in LEVELS, f'{name}: {when} is not one of {LEVELS}'
                rows.append((name, float(minutes), when, command.strip()))
    return rows


def choose(rows, wanted):
    if not wanted:
        return [r for r in rows if r[2] in ('quick', 'default')]
    if wanted == ['quick']:
        return [r for r in rows if r[2] == 'quick']
    if wanted == ['full']:
        return rows
    unknown = set(wanted) - {r[0] for r in rows}
    if unknown:
        sys.exit(f'no such suite: {", ".join(sorted(unknown))}; there are {", ".join(r[0] for r in rows)}')
    return [r for r in rows if r[0] in wanted]


def build(folder, *options):
    path = os.path.join(ROOT, folder)
    began = time.monotonic()
    if not os.path.exists(os.path.join(path, 'build.ninja')):
        subprocess.run(['meson', 'setup', path, ROOT, *options], check=True, stdout=subprocess.DEVNULL)
    run = subprocess.run(['ninja', '-C', path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode:
        print('\n'.join(run.stdout.splitlines()[-TAIL_LINES:]))
        print(f'{folder} does not build')
        print('0 passed, 1 failed')
        sys.exit(1)
    print(f'{"build":<12} {(time.monotonic() - began) / 60:5.1f} min          {folder}', flush=True)
    return path


def run_suite(name, minutes, command, logs):
    """(passed, failed, minutes taken, remark)"""
    log_path = os.path.join(logs, name + '.log')
    began = time.monotonic()
    with open(log_path, 'wb') as log:
        process = subprocess.Popen(['bash', '-c', command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait(timeout=minutes * 60)
            remark = ''
        except subprocess.TimeoutExpired:
            status, remark = -1, f'over its budget of {minutes:g} minutes'
        finally:
            # Whatever a suite left behind belongs to its session and goes with it.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    taken = (time.monotonic() - began) / 60
    with open(log_path, errors='replace') as log:
        lines = log.read().splitlines()
    counts = re.findall(r'^(\d+) passed, (\d+) failed$', '\n'.join(lines[-5:]), re.M)
    passed, failed = (int(n) for n in counts[-1]) if counts else ((1, 0) if status == 0 else (0, 1))
    if status != 0 and failed == 0:
        failed, remark = 1, remark or f'ended with status {status}'
    if status == 0 and passed == 0 and failed == 0:
        failed, remark = 1, 'tested nothing'
    if failed:
        print(f'--- the end of {os.path.relpath(log_path, ROOT)}')
        print('\n'.join(lines[-TAIL_LINES:]))
        print('---')
    return passed, failed, taken, remark


def main():
    chosen = choose(read_table(), sys.argv[1:])
    test = build('build/test', '-Dbuildtype=debugoptimized', '-Db_sanitize=address,undefined', '-Db_lundef=false')
    os.environ['BARNABAS_BUILD'] = test
    os.environ['BARNABAS'] = os.path.join(test, 'broker', 'barnabas')
    os.environ['BARNABAS_ROOT'] = ROOT
    os.environ.setdefault('ASAN_OPTIONS', 'abort_on_error=1:detect_leaks=1')
    os.environ.setdefault('UBSAN_OPTIONS', 'halt_on_error=1:print_stacktrace=1')
    logs = os.path.join(test, 'suites')
    os.makedirs(logs, exist_ok=True)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix='barnabas-test-') as scratch:
        os.environ['TMPDIR'] = scratch
        for name, minutes, _, command in chosen:
            good, bad, taken, remark = run_suite(name, minutes, command, logs)
            passed, failed = passed + good, failed + bad
            print(f'{name:<12} {taken:5.1f} min of {minutes:g}  {good} passed, {bad} failed'
                  + (f'  ({remark})' if remark else ''), flush=True)
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


main()
