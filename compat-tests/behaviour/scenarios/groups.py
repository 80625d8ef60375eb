"""Classic consumer groups: membership, generations, offsets, and their administration."""
import threading
import time


def join(group, member='', protocols=(('range', b'meta'),), kind='consumer', session_ms=10000, rebalance_ms=10000,
         instance=None):
    return {'GroupId': group, 'SessionTimeoutMs': session_ms, 'RebalanceTimeoutMs': rebalance_ms, 'MemberId': member,
            'GroupInstanceId': instance, 'ProtocolType': kind,
            'Protocols': [{'Name': n, 'Metadata': m} for n, m in protocols]}


def sync(group, member, generation=1, assignments=None, instance=None, kind='consumer', protocol='range'):
    return {'GroupId': group, 'GenerationId': generation, 'MemberId': member, 'GroupInstanceId': instance,
            'ProtocolType': kind, 'ProtocolName': protocol,
            'Assignments': [{'MemberId': m, 'Assignment': a} for m, a in (assignments or [])]}


def heartbeat(group, member, generation=1, instance=None):
    return {'GroupId': group, 'GenerationId': generation, 'MemberId': member, 'GroupInstanceId': instance}


def leave(group, *members):
    """A member is an id or (id, instance)."""
    rows = [m if isinstance(m, tuple) else (m, None) for m in members]
    return {'GroupId': group, 'MemberId': rows[0][0] if rows else '',
            'Members': [{'MemberId': m, 'GroupInstanceId': i} for m, i in rows]}


def commit(t, group, topic, offsets, member='', generation=-1, retention_ms=-1, metadata='', instance=None):
    return {'GroupId': group, 'GenerationIdOrMemberEpoch': generation, 'MemberId': member,
            'GroupInstanceId': instance, 'RetentionTimeMs': retention_ms,
            'Topics': [{'Name': topic, 'TopicId': t.topic_id(topic) if t.api == 'OffsetCommit' and t.version >= 10
                        else bytes(16),
                        'Partitions': [{'PartitionIndex': p, 'CommittedOffset': o, 'CommittedMetadata': metadata,
                                        'CommittedLeaderEpoch': -1, 'CommitTimestamp': -1} for p, o in offsets]}]}


def a_group(t, suffix='g'):
    return t.coordinator(t.name(suffix))


def prepared_join(t, group, member='', on=None, **options):
    """Joins by fixed versions; gives the response of the completed join."""
    first = t._helper('JoinGroup', 5, join(group, member, **options))
    if first['ErrorCode'] == 79:
        first = t._helper('JoinGroup', 5, join(group, first['MemberId'], **options))
    assert first['ErrorCode'] == 0, first
    return first


def stable(t, group, assignment=b'assigned', **options):
    """A group of one member, which is assigned; gives the member's id."""
    joined = prepared_join(t, group, **options)
    member = joined['MemberId']
    protocol = {'kind': options.get('kind', 'consumer'), 'protocol': joined['ProtocolName'] or 'range'}
    synced = t._helper('SyncGroup', 3, sync(group, member, joined['GenerationId'], [(member, assignment)],
                                            options.get('instance'), **protocol))
    assert synced['ErrorCode'] == 0, synced
    return member


def committed(t, group, topic, offsets, metadata=''):
    t.prepare('OffsetCommit', 7, commit_7(group, topic, offsets, metadata),
              lambda r: max(p['ErrorCode'] for p in r['Topics'][0]['Partitions']))


def commit_7(group, topic, offsets, metadata=''):
    return {'GroupId': group, 'GenerationIdOrMemberEpoch': -1, 'MemberId': '', 'GroupInstanceId': None,
            'Topics': [{'Name': topic, 'Partitions': [
                {'PartitionIndex': p, 'CommittedOffset': o, 'CommittedLeaderEpoch': -1,
                 'CommittedMetadata': metadata} for p, o in offsets]}]}


def fetch_7(group, topic, partitions):
    return {'GroupId': group, 'Topics': [{'Name': topic, 'PartitionIndexes': list(partitions)}],
            'RequireStable': False}


# --- JoinGroup -----------------------------------------------------------------------------------------------
def first_member(t):
    """From version 4 on a new member is given its id first and comes again with it."""
    group = a_group(t)
    answer = t.ask(join(group))
    if answer['ErrorCode'] == 79:
        answer = t.ask(join(group, answer['MemberId']))
    t.call('SyncGroup', 3, sync(group, answer['MemberId'], 1, [(answer['MemberId'], b'a')]))
    t.call('Heartbeat', 3, heartbeat(group, answer['MemberId']))


def unknown_member(t):
    t.ask(join(a_group(t), 'somebody'))
    t.ask(join(a_group(t), 'somebody'))


def empty_group_id(t):
    t.ask(join(''))


def session_timeouts(t):
    group = a_group(t)
    for timeout in (0, 50, 10000000, -1):
        t.ask(join(group, session_ms=timeout))


def no_protocols(t):
    t.ask(join(a_group(t), protocols=()))
    t.ask(join(a_group(t, 'h'), kind=''))


def other_protocol_type(t):
    group = a_group(t)
    stable(t, group)
    t.ask(join(group, kind='connect'))
    t.ask(join(group, protocols=(('unheard-of', b''),)))


def joining_again(t):
    """A known member comes back with the same and with other metadata."""
    group = a_group(t)
    member = stable(t, group)
    t.ask(join(group, member))
    t.ask(join(group, member, protocols=(('range', b'other'),)))


def static_member(t):
    group = a_group(t)
    answer = t.ask(join(group, instance='i1'))
    t.ask(join(group, answer['MemberId'], instance='i1'))
    t.ask(join(group, instance='i1'))
    t.ask(join(group, answer['MemberId'], instance='i1'))


static_member.versions = (5, 99)


def same_protocol_twice(t):
    group = a_group(t)
    rows = (('range', b'a'), ('range', b'b'))
    answer = t.ask(join(group, protocols=rows))
    if answer and answer['ErrorCode'] == 79:
        t.ask(join(group, answer['MemberId'], protocols=rows))


same_protocol_twice.versions = (3, 4)


def several_protocols(t):
    group = a_group(t)
    rows = (('roundrobin', b'r'), ('range', b'm'))
    answer = t.ask(join(group, protocols=rows))
    if answer['ErrorCode'] == 79:
        t.ask(join(group, answer['MemberId'], protocols=rows))


def equal_votes(t):
    """Two members, each of which would rather have another protocol: whoever came first, it is the same one."""
    rows = [('range', b'm'), ('roundrobin', b'r'), ('sticky', b's'), ('cooperative-sticky', b'c')]
    for suffix, one, other in (('a', rows[:2], rows[1::-1]), ('b', rows[1::-1], rows[:2]), ('c', rows, rows[::-1]),
                               ('d', rows[2:], rows[:1:-1])):
        group = a_group(t, suffix)
        first = stable(t, group, protocols=one)
        body = join(group, protocols=other)
        t.connection('second').post(t.api, t.version, body)
        if t.version >= 4:
            body = join(group, t.connection('second').take()['MemberId'], protocols=other)
            t.connection('second').post(t.api, t.version, body)
        t.until(lambda r: r['ErrorCode'] == 27, heartbeat(group, first), 'Heartbeat', 3)
        t.connection().post(t.api, t.version, join(group, first, protocols=one))
        for connection in (t.connection(), t.connection('second')):
            t.note('the protocol of ' + suffix, connection.take()['ProtocolName'])


def two_members(t):
    """The second join makes the first one join again; both complete together."""
    group = a_group(t)
    first = stable(t, group)
    second, other = t.connection('second'), t.connection('main')
    body = join(group)
    second.post(t.api, t.version, body)
    if t.version >= 4:
        body = join(group, second.take()['MemberId'])
        second.post(t.api, t.version, body)
    t.until(lambda r: r['ErrorCode'] == 27, heartbeat(group, first), 'Heartbeat', 3)
    other.post(t.api, t.version, join(group, first))
    for label, connection in (('first', other), ('second', second)):
        answer = connection.take()
        t.note(label + ' error', answer['ErrorCode'])
        t.note(label + ' generation', answer['GenerationId'])
        t.note(label + ' leads', answer['Leader'] == answer['MemberId'])
        t.note(label + ' sees', len(answer['Members']))


def many_at_once(t):
    """Eight members come side by side, each as a client does: they end in one generation, and on the way nobody is
    told more than to come again (79 MEMBER_ID_REQUIRED, 27 REBALANCE_IN_PROGRESS)."""
    group, size = a_group(t), 8
    connections = [t.connection(f'member {i}') for i in range(size)]
    synced, answers, lock, deadline = {}, {}, threading.Lock(), time.monotonic() + 30

    def call(connection, api, version, body):
        connection.post(api, t.real(api, version), t.fitting(api, version, body))
        answer = connection.take()
        with lock:
            answers.setdefault(answer['ErrorCode'], api)
        return answer

    def together():
        return any(len(members) == size for members in synced.values())

    def one(connection):
        member = ''
        while not together() and time.monotonic() < deadline:
            joined = call(connection, t.api, t.version, join(group, member))
            member = joined['MemberId']
            if joined['ErrorCode']:
                continue
            rows = [(m['MemberId'], b'assigned') for m in joined['Members']]
            generation = joined['GenerationId']
            if call(connection, 'SyncGroup', 3, sync(group, member, generation, rows))['ErrorCode']:
                continue
            with lock:
                synced.setdefault(generation, set()).add(member)
            while not together() and time.monotonic() < deadline:
                if call(connection, 'Heartbeat', 3, heartbeat(group, member, generation))['ErrorCode']:
                    break
                time.sleep(0.01)  # a client's pace; what is waited for is the error or the whole group

    threads = [threading.Thread(target=one, args=(c,)) for c in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    t.note('all in one generation', together())
    t.note('told otherwise', {e: api for e, api in answers.items() if e not in (0, 27, 79)})


def group_instance_without_support(t):
    t.ask(join(a_group(t), 'x' * 300, instance='i' if t.version >= 5 else None))


JoinGroup = [first_member, unknown_member, empty_group_id, session_timeouts, no_protocols, other_protocol_type,
             joining_again, static_member, several_protocols, equal_votes, same_protocol_twice, two_members, many_at_once,
             group_instance_without_support]


# --- SyncGroup -----------------------------------------------------------------------------------------------
def leader_assigns(t):
    group = a_group(t)
    joined = prepared_join(t, group)
    t.ask(sync(group, joined['MemberId'], 1, [(joined['MemberId'], b'mine')]))
    t.ask(sync(group, joined['MemberId'], 1))


def wrong_generation(t):
    group = a_group(t)
    joined = prepared_join(t, group)
    t.ask(sync(group, joined['MemberId'], 9, [(joined['MemberId'], b'mine')]))
    t.ask(sync(group, joined['MemberId'], -1))


def wrong_member(t):
    group = a_group(t)
    stable(t, group)
    t.ask(sync(group, 'somebody', 1))
    t.ask(sync(group, '', 1))


def unknown_group(t):
    t.ask(sync(a_group(t), 'somebody', 1))
    t.ask(sync('', 'somebody', 1))


def inconsistent_protocol(t):
    group = a_group(t)
    member = stable(t, group)
    t.ask(sync(group, member, 1, protocol='other'))
    t.ask(sync(group, member, 1, kind='connect'))


def assignment_for_others_too(t):
    group = a_group(t)
    joined = prepared_join(t, group)
    t.ask(sync(group, joined['MemberId'], 1, [('nobody', b'x'), (joined['MemberId'], b'mine')]))


def empty_assignment(t):
    group = a_group(t)
    joined = prepared_join(t, group)
    t.ask(sync(group, joined['MemberId'], 1, []))


SyncGroup = [leader_assigns, wrong_generation, wrong_member, unknown_group, inconsistent_protocol,
             assignment_for_others_too, empty_assignment]


# --- Heartbeat -----------------------------------------------------------------------------------------------
def of_a_member(t):
    group = a_group(t)
    t.ask(heartbeat(group, stable(t, group)))


def with_wrong_generation(t):
    group = a_group(t)
    member = stable(t, group)
    t.ask(heartbeat(group, member, 2))
    t.ask(heartbeat(group, member, 0))
    t.ask(heartbeat(group, member, -1))


def of_somebody_else(t):
    group = a_group(t)
    stable(t, group)
    t.ask(heartbeat(group, 'somebody'))
    t.ask(heartbeat(group, ''))


def to_an_unknown_group(t):
    t.ask(heartbeat(a_group(t), 'somebody'))
    t.ask(heartbeat('', 'somebody'))


def before_sync(t):
    group = a_group(t)
    t.ask(heartbeat(group, prepared_join(t, group)['MemberId']))


def of_a_static_member(t):
    group = a_group(t)
    member = stable(t, group, instance='i1')
    t.ask(heartbeat(group, member, 1, 'i1'))
    t.ask(heartbeat(group, 'other', 1, 'i1'))
    t.ask(heartbeat(group, member, 1, 'i2'))


of_a_static_member.versions = (3, 99)
Heartbeat = [of_a_member, with_wrong_generation, of_somebody_else, to_an_unknown_group, before_sync,
             of_a_static_member]


# --- LeaveGroup ----------------------------------------------------------------------------------------------
def the_only_member(t):
    group = a_group(t)
    member = stable(t, group)
    t.ask(leave(group, member))
    t.ask(leave(group, member))
    t.call('DescribeGroups', 4, {'Groups': [group]})


def somebody_unknown(t):
    group = a_group(t)
    stable(t, group)
    t.ask(leave(group, 'somebody'))
    t.ask(leave(group, ''))


def an_unknown_group(t):
    t.ask(leave(a_group(t), 'somebody'))
    t.ask(leave('', 'somebody'))


def a_static_member(t):
    group = a_group(t)
    stable(t, group, instance='i1')
    t.ask(leave(group, ('', 'i2')))
    t.ask(leave(group, ('wrong', 'i1')))
    t.ask(leave(group, ('', 'i1')))


a_static_member.versions = (3, 99)


def nobody(t):
    group = a_group(t)
    stable(t, group)
    if t.version >= 3:
        t.ask({'GroupId': group, 'Members': []})


LeaveGroup = [the_only_member, somebody_unknown, an_unknown_group, a_static_member, nobody]


# --- OffsetCommit --------------------------------------------------------------------------------------------
def standalone(t):
    """Without members anybody may commit."""
    group, topic = a_group(t), t.create_topic()
    t.ask(commit(t, group, topic, [(0, 5)]))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))
    t.ask(commit(t, group, topic, [(0, 3)], metadata='why'))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


def by_a_member(t):
    group, topic = a_group(t), t.create_topic()
    member = stable(t, group)
    t.ask(commit(t, group, topic, [(0, 5)], member, 1))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


def by_wrong_members(t):
    group, topic = a_group(t), t.create_topic()
    member = stable(t, group)
    t.ask(commit(t, group, topic, [(0, 5)], member, 2))
    t.ask(commit(t, group, topic, [(0, 5)], 'somebody', 1))
    t.ask(commit(t, group, topic, [(0, 5)], '', -1))
    t.ask(commit(t, group, topic, [(0, 5)], '', 1))


def to_a_group_without_members(t):
    group, topic = a_group(t), t.create_topic()
    t.ask(commit(t, group, topic, [(0, 5)], 'somebody', 1))
    t.ask(commit(t, group, topic, [(0, 5)], '', 3))
    t.ask(commit(t, '', topic, [(0, 5)]))


def unknown_topic_or_partition(t):
    group, topic = a_group(t), t.create_topic()
    t.ask(commit(t, group, topic, [(0, 1), (7, 1), (-1, 1)]))
    if t.version < 10:
        t.ask(commit(t, group, t.name('none'), [(0, 1)]))
    else:
        body = commit(t, group, topic, [(0, 1)])
        body['Topics'][0]['TopicId'] = b'\x05' * 16
        t.ask(body)


def odd_offsets(t):
    group, topic = a_group(t), t.create_topic()
    for offset in (-1, -2, 2 ** 62):
        t.ask(commit(t, group, topic, [(0, offset)]))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


def metadata_sizes(t):
    group, topic = a_group(t), t.create_topic()
    t.ask(commit(t, group, topic, [(0, 1)], metadata='m' * 4096))
    t.ask(commit(t, group, topic, [(0, 2)], metadata='m' * 4097))
    t.ask(commit(t, group, topic, [(0, 3)], metadata=None))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


def of_which_nothing_is_kept(t):
    """The first commit of a group makes the group, also when every partition of it is refused."""
    group, topic = a_group(t), t.create_topic()
    t.ask(commit(t, group, topic, [(0, 1)], metadata='m' * 4097))
    t.ask(commit(t, group, topic, [(0, 1)], '', 0))
    t.ask(commit(t, group, topic, [(0, 1)], 'somebody', 0))
    t.call('DeleteGroups', 1, {'GroupsNames': [group]})
    t.ask(commit(t, group, topic, [(0, 1)], '', 0))


def before_the_sync(t):
    group, topic = a_group(t), t.create_topic()
    joined = prepared_join(t, group)
    t.ask(commit(t, group, topic, [(0, 5)], joined['MemberId'], 1))


def commit_of_a_static_member(t):
    group, topic = a_group(t), t.create_topic()
    member = stable(t, group, instance='i1')
    t.ask(commit(t, group, topic, [(0, 5)], member, 1, instance='i1'))
    t.ask(commit(t, group, topic, [(0, 5)], 'other', 1, instance='i1'))


commit_of_a_static_member.versions = (7, 99)


def several_partitions(t):
    group, topic = a_group(t), t.create_topic('t', 3)
    t.ask(commit(t, group, topic, [(2, 5), (0, 6), (1, 7)]))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0, 1, 2]))


def nothing(t):
    t.ask({'GroupId': a_group(t), 'GenerationIdOrMemberEpoch': -1, 'MemberId': '', 'Topics': []})


def more_than_a_batch(t):
    """The group's id stands in each record: together they are more than a batch may be, and none is kept."""
    group, topic = a_group(t, 'g' * 30000), t.create_topic()
    t.ask(commit(t, group, topic, [(0, o) for o in range(40)]))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))
    t.ask(commit(t, group, topic, [(0, o) for o in range(10)]))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


OffsetCommit = [standalone, by_a_member, by_wrong_members, to_a_group_without_members, unknown_topic_or_partition,
                odd_offsets, metadata_sizes, of_which_nothing_is_kept, before_the_sync, commit_of_a_static_member,
                several_partitions, more_than_a_batch, nothing]


# --- OffsetFetch ---------------------------------------------------------------------------------------------
def fetch(t, group, topics, stable_only=False, member=None, epoch=-1):
    """topics: [(name, [partitions])] or None for all; shaped for one group (to 7) and for many (from 8)."""
    ids = t.version >= 10
    rows = None if topics is None else [
        {'Name': n, 'PartitionIndexes': list(ps)} for n, ps in topics]
    many = None if topics is None else [
        {'Name': n, 'TopicId': (t.topic_id(n) if not n.endswith('-none') else b'\x05' * 16) if ids else bytes(16),
         'PartitionIndexes': list(ps)} for n, ps in topics]
    return {'GroupId': group, 'Topics': rows if t.version < 8 else [], 'RequireStable': stable_only,
            'Groups': [{'GroupId': group, 'MemberId': member, 'MemberEpoch': epoch, 'Topics': many}]}


def what_was_committed(t):
    group, topic = a_group(t), t.create_topic('t', 2)
    committed(t, group, topic, [(0, 7)], 'm')
    t.ask(fetch(t, group, [(topic, [0, 1])]))


def everything(t):
    group, topic = a_group(t), t.create_topic('t', 2)
    committed(t, group, topic, [(0, 7), (1, 8)])
    if t.version >= 2:
        t.ask(fetch(t, group, None))


def of_a_group_unknown(t):
    t.ask(fetch(t, a_group(t), [(t.create_topic(), [0])]))
    t.ask(fetch(t, '', [(t.create_topic(), [0])]))


def of_topics_unknown(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask(fetch(t, group, [(t.name('none'), [0]), (topic, [5, 0, -1])]))


def of_nothing(t):
    group = a_group(t)
    t.ask(fetch(t, group, []))


def only_stable(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask(fetch(t, group, [(topic, [0])], stable_only=True))


def of_two_groups(t):
    a, b, topic = a_group(t, 'a'), a_group(t, 'b'), t.create_topic()
    committed(t, a, topic, [(0, 1)])
    committed(t, b, topic, [(0, 2)])
    body = fetch(t, a, [(topic, [0])])
    body['Groups'] += fetch(t, b, [(topic, [0])])['Groups']
    t.ask(body)
    body['Groups'] = body['Groups'][:1] * 2
    t.ask(body)


def as_a_member(t):
    group, topic = a_group(t), t.create_topic()
    stable(t, group)
    t.ask(fetch(t, group, [(topic, [0])], member='somebody', epoch=3))


of_two_groups.versions = (8, 99)
as_a_member.versions = (9, 99)


def after_the_topic_is_gone(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    if t.version < 10:
        t.prepare('DeleteTopics', 4, {'TopicNames': [topic], 'TimeoutMs': 10000},
                  lambda r: r['Responses'][0]['ErrorCode'])
        t.until(lambda r: _first_offset(r) == -1, fetch(t, group, [(topic, [0])]))


def _first_offset(answer):
    rows = answer.get('Topics') or answer['Groups'][0]['Topics']
    return rows[0]['Partitions'][0]['CommittedOffset']


OffsetFetch = [what_was_committed, everything, of_a_group_unknown, of_topics_unknown, of_nothing, only_stable,
               of_two_groups, as_a_member, after_the_topic_is_gone]


# --- DescribeGroups ------------------------------------------------------------------------------------------
def a_stable_group(t):
    group = a_group(t)
    stable(t, group)
    t.ask({'Groups': [group]})


def groups_that_are_not(t):
    t.ask({'Groups': [a_group(t), '']})


def an_empty_group(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask({'Groups': [group]})


def a_group_before_its_sync(t):
    group = a_group(t)
    prepared_join(t, group)
    t.ask({'Groups': [group]})


def a_group_that_was_left(t):
    group = a_group(t)
    member = stable(t, group)
    t._helper('LeaveGroup', 1, leave(group, member))
    t.ask({'Groups': [group]})


def with_operations(t):
    group = a_group(t)
    stable(t, group)
    t.ask({'Groups': [group], 'IncludeAuthorizedOperations': True})


def static_members(t):
    group = a_group(t)
    stable(t, group, instance='i1')
    t.ask({'Groups': [group]})


def the_same_group_twice(t):
    group = a_group(t)
    stable(t, group)
    t.ask({'Groups': [group, group]})


DescribeGroups = [a_stable_group, groups_that_are_not, an_empty_group, a_group_before_its_sync,
                  a_group_that_was_left, with_operations, static_members, the_same_group_twice]


# --- ListGroups ----------------------------------------------------------------------------------------------
def all_groups(t):
    a, b, topic = a_group(t, 'a'), a_group(t, 'b'), t.create_topic()
    stable(t, a)
    committed(t, b, topic, [(0, 1)])
    t.ask({})


def by_state(t):
    a, b, topic = a_group(t, 'a'), a_group(t, 'b'), t.create_topic()
    stable(t, a)
    committed(t, b, topic, [(0, 1)])
    for states in (['Stable'], ['Empty'], ['stable'], ['Dead'], ['Nonsense'], ['Stable', 'Empty']):
        t.ask({'StatesFilter': states})


def by_type(t):
    stable(t, a_group(t))
    for types in (['classic'], ['Classic'], ['consumer'], ['share'], ['nonsense']):
        t.ask({'TypesFilter': types})


def other_kinds(t):
    stable(t, a_group(t), kind='connect')
    t.ask({})


def by_state_and_type(t):
    stable(t, a_group(t))
    t.ask({'StatesFilter': ['Stable'], 'TypesFilter': ['classic']})
    t.ask({'StatesFilter': ['Empty'], 'TypesFilter': ['classic']})


ListGroups = [all_groups, by_state, by_type, other_kinds, by_state_and_type]


# --- DeleteGroups --------------------------------------------------------------------------------------------
def an_empty_one(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask({'GroupsNames': [group]})
    t.ask({'GroupsNames': [group]})
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0]))


def one_with_members(t):
    group = a_group(t)
    stable(t, group)
    t.ask({'GroupsNames': [group]})


def unknown_ones(t):
    t.ask({'GroupsNames': [a_group(t), t.name('h')]})


def one_twice(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask({'GroupsNames': [group, group]})


def several(t):
    a, b, topic = a_group(t, 'a'), a_group(t, 'b'), t.create_topic()
    stable(t, a)
    committed(t, b, topic, [(0, 1)])
    t.ask({'GroupsNames': [a, b, a_group(t, 'c')]})


DeleteGroups = [an_empty_one, one_with_members, unknown_ones, one_twice, several]


# --- OffsetDelete --------------------------------------------------------------------------------------------
def erase(group, *topics):
    return {'GroupId': group, 'Topics': [
        {'Name': n, 'Partitions': [{'PartitionIndex': p} for p in ps]} for n, ps in topics]}


def an_offset(t):
    group, topic = a_group(t), t.create_topic('t', 2)
    committed(t, group, topic, [(0, 7), (1, 8)])
    t.ask(erase(group, (topic, [0])))
    t.call('OffsetFetch', 7, fetch_7(group, topic, [0, 1]))


def one_that_is_not(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask(erase(group, (topic, [5]), (t.name('none'), [0])))


def of_unknown_groups(t):
    t.ask(erase(a_group(t), (t.create_topic(), [0])))
    t.ask(erase('', (t.create_topic(), [0])))


def of_a_group_with_members(t):
    """Members of a consumer group may be subscribed to the topic."""
    group, topic = a_group(t), t.create_topic()
    subscription = b'\0\0' + b'\0\0\0\1' + len(topic).to_bytes(2, 'big') + topic.encode() + b'\xff\xff\xff\xff'
    stable(t, group, protocols=(('range', subscription),))
    t.ask(erase(group, (topic, [0])))
    t.ask(erase(group, (t.create_topic('u'), [0])))


def of_another_kind_of_group(t):
    group, topic = a_group(t), t.create_topic()
    stable(t, group, kind='connect')
    t.ask(erase(group, (topic, [0])))


def no_offsets(t):
    group, topic = a_group(t), t.create_topic()
    committed(t, group, topic, [(0, 7)])
    t.ask(erase(group))


OffsetDelete = [an_offset, one_that_is_not, of_unknown_groups, of_a_group_with_members, of_another_kind_of_group,
                no_offsets]
