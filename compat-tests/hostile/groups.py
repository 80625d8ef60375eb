"""What clients can make a group coordinator keep, and a group that goes on beside it.

heavy's case `groups`: members that are given an id and never come back, many groups with large metadata, requests that
are larger than all that groups may take, and a commit whose records would be very many times its size. Then the broker
is started again with half the memory: what it acknowledged is more than groups may take now, and is served.
"""
import struct
import threading
import time

import wire
import witness as witnesses

COORDINATOR_NOT_AVAILABLE = 15
MEMBER_ID_REQUIRED = 79
MEMORY_LIMIT = 32 << 20
FLOOD = 50000
BURST = 1000  # requests that are under way


def join_fields(group, member='', metadata=b'm', session_ms=300000):
    return {'GroupId': group, 'SessionTimeoutMs': session_ms, 'RebalanceTimeoutMs': 300000, 'MemberId': member,
            'ProtocolType': 'consumer', 'Protocols': [{'Name': 'range', 'Metadata': metadata}]}


def commit(c, group, rows, member='', generation=-1):
    answer = c.call('OffsetCommit', 7, {'GroupId': group, 'GenerationIdOrMemberEpoch': generation, 'MemberId': member,
                                        'Topics': [{'Name': 'many', 'Partitions': rows}]})
    return {p['ErrorCode'] for t in answer['Topics'] for p in t['Partitions']}


def committed(c, group):
    answer = c.call('OffsetFetch', 7, {'GroupId': group, 'Topics': None, 'RequireStable': False})
    return {p['PartitionIndex']: p['CommittedOffset'] for t in answer['Topics'] for p in t['Partitions']}


def member_life(c, group, offset):
    """A consumer comes, reads, commits and goes; the error that it met, or None."""
    answer = c.call('JoinGroup', 5, join_fields(group))
    if answer['ErrorCode'] != MEMBER_ID_REQUIRED:
        return f'JoinGroup for an id: {answer["ErrorCode"]}'
    member = answer['MemberId']
    answer = c.call('JoinGroup', 5, join_fields(group, member))
    if answer['ErrorCode']:
        return f'JoinGroup: {answer["ErrorCode"]}'
    generation = answer['GenerationId']
    answer = c.call('SyncGroup', 3, {'GroupId': group, 'GenerationId': generation, 'MemberId': member, 'Assignments': [
        {'MemberId': member, 'Assignment': b'all'}]})
    if answer['ErrorCode']:
        return f'SyncGroup: {answer["ErrorCode"]}'
    answer = c.call('Heartbeat', 3, {'GroupId': group, 'GenerationId': generation, 'MemberId': member})
    if answer['ErrorCode']:
        return f'Heartbeat: {answer["ErrorCode"]}'
    codes = commit(c, group, [{'PartitionIndex': 0, 'CommittedOffset': offset}], member, generation)
    if codes != {0}:
        return f'OffsetCommit: {codes}'
    found = committed(c, group)
    if found.get(0) != offset:
        return f'OffsetFetch: {found} instead of {offset}'
    answer = c.call('LeaveGroup', 3, {'GroupId': group, 'Members': [{'MemberId': member}]})
    return f'LeaveGroup: {answer["ErrorCode"]}' if answer['ErrorCode'] else None


class Members(threading.Thread):
    """A group whose members come and go, one after the other, until end()."""

    def __init__(self, node, group):
        super().__init__(daemon=True)
        self.node, self.group = node, group
        self.ended, self.lives, self.error = threading.Event(), 0, None

    def run(self):
        try:
            with self.node.connect(timeout_s=60) as c:
                while not self.ended.is_set() and not self.error:
                    self.error = member_life(c, self.group, self.lives)
                    self.lives += 1
        except (OSError, wire.Closed, wire.Silent) as error:
            self.error = f'{type(error).__name__}: {error}'

    def end(self):
        self.ended.set()
        self.join(90)
        return self.error or (None if self.lives else 'no life was lived')


def flood(heavy, node):
    """Asks for ids that are never used; how many were given."""
    burst = heavy.frame('JoinGroup', 4, join_fields('flooded')) * BURST
    given = 0
    with node.connect(timeout_s=60) as c:
        for _ in range(FLOOD // BURST):
            c.send(burst)
            for _ in range(BURST):
                answer = c.read(struct.unpack('>i', c.read(4))[0])
                # Behind the correlation id and the throttle time.
                given += struct.unpack_from('>h', answer, 8)[0] == MEMBER_ID_REQUIRED
    return given


def strangers(c):
    """Groups of one member with large metadata, as long as they are taken: codes and how often."""
    codes = {}
    for i in range(1000):
        code = c.call('JoinGroup', 3, join_fields(f'stranger-{i}', metadata=bytes(20000)))['ErrorCode']
        codes[code] = codes.get(code, 0) + 1
    return codes


def attack(heavy, node):
    rows = [{'PartitionIndex': 0, 'CommittedOffset': 1}] * 1000
    with node.connect(timeout_s=120) as c:
        codes = commit(c, 'g' * 30000, rows)  # 30 MB of records
        heavy.check('groups: a commit of very large records', None if codes == {-1} else f'{codes}')
        code = c.call('JoinGroup', 3, join_fields('giant', metadata=bytes(12 << 20)))['ErrorCode']
        heavy.check('groups: more metadata than all may take',
                    None if code == COORDINATOR_NOT_AVAILABLE else f'error {code}')
        began = time.monotonic()
        given = flood(heavy, node)
        print(f'groups: {FLOOD} ids in {time.monotonic() - began:.1f} s')
        heavy.check('groups: everybody is given an id', f'{given} of {FLOOD}' if given != FLOOD else None)
        codes = strangers(c)
        print(f'groups: joins of 1000 groups gave {codes}')
        heavy.check('groups: new groups have a limit', None if set(codes) == {0, COORDINATOR_NOT_AVAILABLE} else f'{codes}')


def run(heavy):
    kept = [f'kept-{i}' for i in range(12)]  # half a megabyte each
    notes = [{'PartitionIndex': p, 'CommittedOffset': 7, 'CommittedMetadata': 'm' * 4000} for p in range(100)]
    with heavy.node('groups', {'barnabas.memory.limit.bytes': MEMORY_LIMIT}) as node:
        with node.connect(timeout_s=60) as c:
            c.call('CreateTopics', 5, {'timeoutMs': 60000, 'Topics': [
                {'Name': 'many', 'NumPartitions': 100, 'ReplicationFactor': 1}]})
            c.call('FindCoordinator', 3, {'Key': 'known'})
            for group in ['known', *kept]:
                deadline = time.monotonic() + 60
                while commit(c, group, notes) != {0} and time.monotonic() < deadline:
                    time.sleep(0.02)  # until its coordinator has loaded
        members = Members(node, 'known')

        def load():
            members.start()
            try:
                attack(heavy, node)
            finally:
                heavy.check('groups: members come and go', members.end())
        heavy.beside('groups', node, load, settle_s=0.5)
        print(f'groups: {members.lives} members came and went')
        log = node.tail(5000)
        heavy.check('groups: the operator is told of the limit', None if 'take as much memory as they may' in log else log)
        heavy.check('groups: and of those who never join', None if 'did not join with it' in log else log)
        heavy.check('groups: a clean stop', witnesses.stop(node))

        node.extra['barnabas.memory.limit.bytes'] = MEMORY_LIMIT // 2
        node.start()
        with node.connect(timeout_s=60) as c:
            deadline = time.monotonic() + 60
            for group in ['known', *kept]:
                # Its coordinator may still be loading.
                row = {'PartitionIndex': 0, 'CommittedOffset': 7, 'CommittedMetadata': '' if group == 'known' else 'm' * 4000}
                while commit(c, group, [row]) != {0} and time.monotonic() < deadline:
                    time.sleep(0.02)
            lost = [group for group in kept if committed(c, group) != {p: 7 for p in range(100)}]
            heavy.check('groups: what was kept is served beyond the limit', f'not {lost}' if lost else None)
            heavy.check('groups: a member comes and goes there', member_life(c, 'known', 8))
            code = c.call('JoinGroup', 3, join_fields('another'))['ErrorCode']
            heavy.check('groups: no other group is taken', None if code == COORDINATOR_NOT_AVAILABLE else f'error {code}')
        log = node.tail(5000)
        heavy.check('groups: the operator is told what is loaded', None if 'on disk take more memory' in log else log)
        heavy.check('groups: a clean stop there', witnesses.stop(node))
