"""Does the table tell the truth about what a setting does? A row that says ACTS must be read somewhere outside of
broker/config, and one that says otherwise must not be. Prints what is not so. Argument: the repository's root.

Read means: its id is named; or a getter is called that derives a value from it (DERIVED); or it is what a topic's
setting falls back to and the topic's value is used (FIELDS: struct topic_config's members)."""
import pathlib
import re
import sys

DERIVED = {
    'config_node_id': 'NODE_ID BROKER_ID',
    'config_listeners': 'LISTENERS ADVERTISED_LISTENERS LISTENER_SECURITY_PROTOCOL_MAP CONTROLLER_LISTENER_NAMES',
    'config_voters': 'CONTROLLER_QUORUM_VOTERS',
    'config_log_dirs': 'LOG_DIR LOG_DIRS',
    'config_metadata_log_dir': 'METADATA_LOG_DIR',
    'config_connections_per_address': 'MAX_CONNECTIONS_PER_IP MAX_CONNECTIONS_PER_IP_OVERRIDES',
    'config_log_flush_ms': 'LOG_FLUSH_INTERVAL_MS LOG_FLUSH_SCHEDULER_INTERVAL_MS',
}
# Read while the configuration itself is built.
AT_BUILDING = {'BARNABAS_STRICT_CONFIG', 'PROCESS_ROLES', 'INTER_BROKER_LISTENER_NAME', 'SECURITY_INTER_BROKER_PROTOCOL',
               'CONTROLLER_QUORUM_BOOTSTRAP_SERVERS'}
# Where a topic's value is one of several of the broker's settings.
OTHER_UNITS = {
    'RETENTION_MS': 'LOG_RETENTION_MINUTES LOG_RETENTION_HOURS',
    'SEGMENT_MS': 'LOG_ROLL_HOURS',
    'SEGMENT_JITTER_MS': 'LOG_ROLL_JITTER_HOURS',
    'FLUSH_MS': 'LOG_FLUSH_SCHEDULER_INTERVAL_MS',
}
FIELDS = {
    'SEGMENT_BYTES': 'segment_bytes', 'INTERNAL_SEGMENT_BYTES': 'segment_bytes', 'SEGMENT_MS': 'segment_ms',
    'SEGMENT_JITTER_MS': 'segment_jitter_ms', 'SEGMENT_INDEX_BYTES': 'segment_index_bytes',
    'INDEX_INTERVAL_BYTES': 'index_interval_bytes', 'PREALLOCATE': 'preallocate', 'FLUSH_MESSAGES': 'flush_messages',
    'FLUSH_MS': 'flush_ms', 'CLEANUP_POLICY': 'cleanup_delete', 'RETENTION_MS': 'retention_ms',
    'RETENTION_BYTES': 'retention_bytes', 'FILE_DELETE_DELAY_MS': 'file_delete_delay_ms',
    'DELETE_RETENTION_MS': 'delete_retention_ms', 'MIN_COMPACTION_LAG_MS': 'min_compaction_lag_ms',
    'MAX_COMPACTION_LAG_MS': 'max_compaction_lag_ms', 'MIN_CLEANABLE_DIRTY_RATIO': 'min_cleanable_dirty_ratio',
    'MAX_MESSAGE_BYTES': 'max_message_bytes', 'COMPRESSION_TYPE': 'compression',
    'COMPRESSION_GZIP_LEVEL': 'compression_level', 'COMPRESSION_LZ4_LEVEL': 'compression_level',
    'COMPRESSION_ZSTD_LEVEL': 'compression_level', 'MESSAGE_TIMESTAMP_TYPE': 'log_append_time',
    'MESSAGE_TIMESTAMP_BEFORE_MAX_MS': 'timestamp_before_max_ms',
    'MESSAGE_TIMESTAMP_AFTER_MAX_MS': 'timestamp_after_max_ms', 'MIN_INSYNC_REPLICAS': 'min_insync_replicas',
    'UNCLEAN_LEADER_ELECTION_ENABLE': 'unclean_leader_election',
}


def rows(root):
    """(kind, id, effect, fallback) of every row."""
    for path in sorted((root / 'broker/config/tbl').glob('*.tbl')):
        text = re.sub(r'/\*.*?\*/', '', path.read_text(), flags=re.S)
        text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
        row = r'\b(SETTING|TOPIC_SETTING|GROUP_SETTING|METRICS_SETTING)\(((?:[^()]|\([^()]*\))*)\)'
        for kind, cells in re.findall(row, text):
            cells = [cell.strip() for cell in re.sub(r'\([^()]*\)', '', cells).split(',')]
            yield kind, cells[0], cells[7], cells[8] if kind != 'SETTING' else None


def main():
    root = pathlib.Path(sys.argv[1])
    sources = [path for folder in ('broker', 'storage') for path in (root / folder).rglob('*.[ch]')
               if 'config' not in path.relative_to(root).parts[:2] and not path.stem.endswith(('_test', '_fuzz'))]
    text = '\n'.join(path.read_text() for path in sources)
    named = set(re.findall(r'\b(?:TOPIC_|GROUP_|METRICS_)?SETTING_\w+', text))
    kinds = dict(re.findall(r'^EFFECT\((\w+), (\w+),', (root / 'broker/config/effects.tbl').read_text(), re.M))

    table = list(rows(root))
    read = {('SETTING', name) for name in AT_BUILDING}
    for kind, name, _, _ in table:
        if f'{kind}_{name}' in named:
            read.add((kind, name))
    for getter, names in DERIVED.items():
        if re.search(rf'\b{getter}\(', text):
            read.update(('SETTING', name) for name in names.split())
    for kind, name, _, fallback in table:
        if kind == 'TOPIC_SETTING' and name in FIELDS and (
                re.search(rf'(?:->|\.){FIELDS[name]}\b', text) or f'"{name.lower().replace("_", ".")}"' in text):
            read.add((kind, name))
            read.update(('SETTING', other) for other in [fallback] + OTHER_UNITS.get(name, '').split())

    wrong = 0
    for kind, name, effect, _ in table:
        acts = kinds[effect] == 'ACTS'
        if acts and (kind, name) not in read:
            print(f'{kind}_{name} says that it acts, but nothing reads it')
            wrong += 1
        if kinds[effect] == 'IGNORED' and (kind, name) in read:
            print(f'{kind}_{name} says that it has no effect, but it is read')
            wrong += 1
    print(f'{len(table)} settings, {sum(kinds[r[2]] == "ACTS" for r in table)} act')
    print(f'{len(table) - wrong} passed, {wrong} failed')
    sys.exit(1 if wrong else 0)


main()
