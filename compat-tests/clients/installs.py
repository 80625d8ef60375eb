"""Installs and builds the client programs, each once, into the cache folder ($BARNABAS_CACHE/clients).

What is pinned is pinned in files of this folder: go/go.sum, node/package-lock.json, rust/Cargo.lock,
python/requirements.txt, compat-tests/jars.tbl. A thing that was built carries a stamp, a digest of what it was built
from, and is built again when that changes. Missing means that this machine has no toolchain for a client, which is
then printed as skipped; a build that fails is a failure.
"""
import functools
import hashlib
import os
import re
import shutil
import subprocess
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.abspath(os.environ.get('BARNABAS_CACHE', os.path.join(ROOT, '.cache')))
CLIENTS = os.path.join(CACHE, 'clients')
GO_MIN, NODE_MIN, CARGO_MIN = (1, 26), (18,), (1, 85)


class Missing(Exception):
    """This machine can't run the client; the text says why."""


def once(function):
    """The first caller works, the others wait for what came of it, an exception too."""
    lock, outcome = threading.Lock(), {}

    @functools.wraps(function)
    def call(*arguments):
        with lock:
            mine = outcome.setdefault(arguments, {'lock': threading.Lock()})
        with mine['lock']:
            if 'value' not in mine and 'error' not in mine:
                try:
                    mine['value'] = function(*arguments)
                except Exception as error:
                    mine['error'] = error
            if 'error' in mine:
                raise mine['error']
            return mine['value']
    return call


def digest(*paths, words=()):
    out = hashlib.sha256(repr(words).encode())
    for path in paths:
        found = [path] if os.path.isfile(path) else sorted(
            os.path.join(folder, f) for folder, _, files in os.walk(path) for f in files)
        for name in found:
            with open(name, 'rb') as content:
                out.update(name[len(HERE):].encode() + b'\0' + content.read())
    return out.hexdigest()


def build(name, stamp, make, anew=True):
    """The folder that `make(folder)` filled, now or in an earlier run with the same stamp. Unless anew, `make` finds
    what it left there the last time."""
    folder = os.path.join(CLIENTS, name)
    mark = os.path.join(folder, '.complete')
    if os.path.exists(mark) and open(mark).read() == stamp:
        return folder
    if anew:
        shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, exist_ok=True)
    make(folder)
    with open(mark, 'w') as out:
        out.write(stamp)
    return folder


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)[:120]} ended with {done.returncode}:\n{done.stdout[-3000:]}')
    return done.stdout


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    except OSError:
        return ''


def tool(name, minimum, *version):
    """The path of a tool of at least this version."""
    for path in (os.path.join(CLIENTS, 'go-toolchain', 'bin', name), shutil.which(name)):
        if path and os.path.exists(path):
            found = re.search(r'(\d+)\.(\d+)', output_of(path, *version))
            if found and tuple(int(n) for n in found.groups()) >= minimum:
                return path
    raise Missing(f'no {name} of {".".join(map(str, minimum))} or newer here')


def locked(path, pattern):
    """The version that a lock file names."""
    with open(os.path.join(HERE, path)) as lock:
        return re.search(pattern, lock.read())[1]


@once
def python():
    requirements = os.path.join(HERE, 'python', 'requirements.txt')

    def make(folder):
        run(['python3', '-m', 'venv', folder], HERE)
        run([os.path.join(folder, 'bin', 'pip'), 'install', '-q', '--disable-pip-version-check', '-r', requirements], HERE)
    return os.path.join(build('python', digest(requirements), make), 'bin', 'python')


@once
def go():
    compiler, source = tool('go', GO_MIN, 'version'), os.path.join(HERE, 'go')

    def make(folder):
        run([compiler, 'build', '-o', folder + '/', './franz', './sarama', './kafkago'], source, GOFLAGS='-mod=readonly',
            GOTOOLCHAIN='local')
    return build('go', digest(source, words=output_of(compiler, 'version')), make)


@once
def node_packages():
    """node_modules without running any package's own install step."""
    tool('node', NODE_MIN, '--version')
    if not shutil.which('npm'):
        raise Missing('no npm here')
    lock = os.path.join(HERE, 'node', 'package-lock.json')

    def make(folder):
        for name in ('package.json', 'package-lock.json'):
            shutil.copy(os.path.join(HERE, 'node', name), folder)
        run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder)
    return build('node', digest(lock), make)


CONFLUENT_NODE = os.path.join('node_modules', '@confluentinc', 'kafka-javascript')


@once
def librdkafka():
    """The newest librdkafka, out of the npm package that carries its source. It serves Node's, Rust's and C's client."""
    packages = node_packages()

    def make(folder):
        source = os.path.join(folder, 'source')
        shutil.copytree(os.path.join(packages, CONFLUENT_NODE, 'deps', 'librdkafka'), source)
        run(['./configure', f'--prefix={folder}', '--disable-gssapi', '--disable-ssl', '--disable-curl', '--CFLAGS=-O1',
             '--CXXFLAGS=-O1'], source)
        run(['make', '-j2', 'libs'], source)
        for part in ('src', 'src-cpp'):
            run(['make', '-C', part, 'install'], source)
        shutil.rmtree(source)
    version = locked('node/package-lock.json', r'"node_modules/@confluentinc/kafka-javascript": {\s+"version": "([^"]+)"')
    return build('librdkafka', version, make)


@once
def node_addon():
    """Builds the native half of @confluentinc/kafka-javascript on that librdkafka, inside its package."""
    packages, library = node_packages(), librdkafka()
    headers = next((f for f in (os.environ.get('npm_config_nodedir'), '/usr', '/usr/local',
                                os.path.dirname(os.path.dirname(os.path.realpath(shutil.which('node')))))
                    if f and os.path.exists(os.path.join(f, 'include', 'node', 'node.h'))), None)
    if not headers:
        raise Missing("Node's headers are not here")

    def make(folder):
        run(['npm', 'rebuild', '@confluentinc/kafka-javascript', '--foreground-scripts'], packages, BUILD_LIBRDKAFKA='0',
            CXX=f'g++ -O1 -I{library}/include/librdkafka', LDFLAGS=f'-L{library}/lib -Wl,-rpath,{library}/lib', JOBS='2',
            npm_config_build_from_source='true', npm_config_nodedir=headers)
    build('node-addon', digest(os.path.join(HERE, 'node', 'package-lock.json'), words=output_of('node', '--version')), make)


def node(program):
    """(node, environment) for a program."""
    if program.startswith('confluent'):
        node_addon()
    return shutil.which('node'), {'NODE_PATH': os.path.join(node_packages(), 'node_modules')}


@once
def rust():
    cargo, source, library = tool('cargo', CARGO_MIN, '--version'), os.path.join(HERE, 'rust'), librdkafka()

    def make(folder):
        run([cargo, 'build', '--locked', '--target-dir', folder], source, PKG_CONFIG_PATH=os.path.join(library, 'lib', 'pkgconfig'),
            RUSTFLAGS=f'-C link-arg=-Wl,-rpath,{library}/lib')
    return os.path.join(build('rust', digest(os.path.join(source, 'src'), os.path.join(source, 'Cargo.lock')), make, False),
                        'debug', 'rust_client')


@once
def c(which):
    folder_of_source = os.path.join(HERE, 'c')
    sources = [os.path.join(folder_of_source, f) for f in ('rdkafka_client.c', 'administration.c')]
    search = os.path.join(librdkafka(), 'lib', 'pkgconfig') if which == 'newest' else ''
    found = subprocess.run(['pkg-config', '--cflags', '--libs', 'rdkafka'], stdout=subprocess.PIPE, text=True,
                           env={**os.environ, 'PKG_CONFIG_PATH': search})
    if found.returncode:
        raise Missing('no librdkafka-dev here')
    flags = found.stdout.replace('-I', '-isystem').split() + ([f'-Wl,-rpath,{librdkafka()}/lib'] if which == 'newest' else [])

    def make(folder):
        run(['cc', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-Wno-deprecated-declarations', '-O1', '-o',
             os.path.join(folder, 'rdkafka_client'), *sources, '-pthread', *flags], HERE)
    return os.path.join(build('c-' + which, digest(folder_of_source, words=flags), make), 'rdkafka_client')


def jars(name):
    return os.environ.get({'kafka-4.3.1': 'BARNABAS_KAFKA_4', 'kafka-3.9.1': 'BARNABAS_KAFKA_3'}.get(name, ''),
                          os.path.join(os.environ['BARNABAS_JARS'], name))


@once
def java(name, *sources):
    """The class path of sources compiled against a folder of jars."""
    paths = [os.path.join(HERE, 'java', s + '.java') for s in sources]
    classpath = os.path.join(jars(name), '*')
    if not os.path.isdir(jars(name)):
        raise Missing(f'no jars in {jars(name)}')

    def make(folder):
        run(['javac', '-J-XX:TieredStopAtLevel=1', '-nowarn', '-proc:none', '-d', folder, '-cp', classpath, *paths], HERE)
    return build(f'java-{name}-{sources[0]}', digest(*paths, words=name), make) + ':' + classpath
