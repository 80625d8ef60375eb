"""Plants each bug of mutations.txt in the broker and lets the simulation look for it.

	mutations.py BUILD SEEDS STEPS [NAME...]
	mutations.py --fit

BUILD is a build folder that has the simulator. For each bug the mutated files are compiled as BUILD compiles them and
linked in front of the libraries that hold the originals. A bug is found when one of SEEDS seeds breaks a rule (or an
assertion). Prints a line for each, and "N passed, N failed". With --fit it only looks whether each still fits the
sources, which takes no time: a unit test.
"""
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SIMULATE = 'compat-tests/simulation/simulate'


class Mutation:
    def __init__(self, name, what):
        self.name, self.what = name, what
        self.changes = []  # (room, lines out, lines in)


def read_mutations(path):
    mutations = []
    with open(path) as text:
        for number, line in enumerate(text, 1):
            line = line.rstrip('\n')
            if line.startswith('= '):
                mutations.append(Mutation(*line[2:].split(': ', 1)))
            elif line.startswith('@ '):
                mutations[-1].changes.append((line[2:], [], []))
            elif line.startswith('-'):
                mutations[-1].changes[-1][1].append(line[1:])
            elif line.startswith('+'):
                mutations[-1].changes[-1][2].append(line[1:])
            elif line and not line.startswith('#'):
                sys.exit(f'{path}:{number}: what is this?')
    return mutations


def places_of(lines, taken):
    wanted = [line.strip() for line in taken]
    return [i for i in range(len(lines) - len(wanted) + 1)
            if [line.strip() for line in lines[i:i + len(wanted)]] == wanted]


def mutate(sources, room, taken, given):
    """Changes SOURCES (lines of files by name): the lines to take out must be there once in the room's files."""
    names = [os.path.join(room, name) for name in os.listdir(os.path.join(ROOT, room))
             if name.endswith('.c') and not name.endswith('_test.c')]
    found = []
    for name in names:
        if name in sources:
            lines = sources[name]
        else:
            with open(os.path.join(ROOT, name)) as source:
                lines = source.read().split('\n')
        found += [(name, lines, place) for place in places_of(lines, taken)]
    if len(found) != 1:
        raise LookupError(f'{room}: {len(found)} places read "{taken[0].strip()}": bring mutations.txt up to date')
    name, lines, place = found[0]
    sources[name] = lines[:place] + given + lines[place + len(taken):]


def mutated_sources(mutation):
    sources = {}
    for room, taken, given in mutation.changes:
        mutate(sources, room, taken, given)
    return sources


def build(mutation, folder, build_folder, compile_commands, link_command):
    sources = mutated_sources(mutation)
    objects = []
    for name, lines in sources.items():
        path = os.path.join(folder, name.replace('/', '_'))
        with open(path, 'w') as source:
            source.write('\n'.join(lines))
        objects.append(path + '.o')
        command = compile_commands[os.path.join(ROOT, name)]
        command = [word for word in command if word not in ('-MD', '-Werror')]
        for option in ('-MQ', '-MF', '-o', '-c'):
            at = command.index(option)
            del command[at:at + 2]
        command += ['-w', '-iquote', os.path.join(ROOT, os.path.dirname(name)), '-o', objects[-1], '-c', path]
        subprocess.run(command, cwd=build_folder, check=True)
    at = link_command.index('-o')
    binary = os.path.join(folder, 'simulate')
    command = link_command[:at] + ['-o', binary] + objects + link_command[at + 2:]
    subprocess.run(command, cwd=build_folder, check=True)
    return binary


def look(mutation, build_folder, compile_commands, link_command, seeds, steps):
    """(found, what to say)"""
    with tempfile.TemporaryDirectory(prefix='mutation-') as folder:
        try:
            binary = build(mutation, folder, build_folder, compile_commands, link_command)
        except (LookupError, subprocess.CalledProcessError) as error:
            return False, f'FAILED: {mutation.name}: {error}'
        run = subprocess.run([binary, '--once', '--until-violation', '--seed', '1', '--seeds', seeds, '--steps', steps],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace')
    found = re.search(r'^seed (\d+): (.*)$', run.stdout, re.M)
    if not found:
        return False, f'FAILED: {seeds} seeds did not find {mutation.name}: {mutation.what}'
    why = found[2]
    if why == 'the run died':
        broken = re.search(r'broken invariant.*', run.stderr)
        why = broken[0] if broken else why
    return True, f'found {mutation.name} with seed {found[1]}: {why}'


def fit(mutations):
    misfits = 0
    for mutation in mutations:
        try:
            mutated_sources(mutation)
        except LookupError as error:
            print(f'{mutation.name}: {error}')
            misfits += 1
    sys.exit(1 if misfits else 0)


def main():
    all_mutations = read_mutations(os.path.join(HERE, 'mutations.txt'))
    if sys.argv[1:] == ['--fit']:
        fit(all_mutations)
    build_folder, seeds, steps, *names = sys.argv[1:]
    build_folder = os.path.abspath(build_folder)
    with open(os.path.join(build_folder, 'compile_commands.json')) as commands:
        compile_commands = {os.path.normpath(os.path.join(build_folder, row['file'])): shlex.split(row['command'])
                            for row in json.load(commands)}
    lines = subprocess.run(['ninja', '-C', build_folder, '-t', 'commands', SIMULATE], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.splitlines()
    link_command = shlex.split(next(line for line in reversed(lines) if f'-o {SIMULATE} ' in line))
    mutations = [m for m in all_mutations if not names or m.name in names]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for found, text in pool.map(lambda m: look(m, build_folder, compile_commands, link_command, seeds, steps),
                                    mutations):
            print(text, flush=True)
            passed, failed = passed + found, failed + (not found)
    print(f'{passed} passed, {failed} failed')
    sys.exit(1 if failed else 0)


main()
