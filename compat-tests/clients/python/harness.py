"""The commands of ../README.md in terms of a few calls that each Python library under test fills in.

A library is an object with these calls. Records are (topic, partition, offset, key, value, timestamp, headers), with
headers as pairs; a record to send is (topic, key, value, timestamp or None, headers).

    producer(codec, idempotent)     an object with send(records), which gives their offsets, and close()
    assigned({topic: offset})       a consumer of partition 0 of each topic, from its offset
    subscribed(topic, group)        a consumer in a group. A consumer has poll(), which gives records and comes back
                                    within about 200 ms, assigned(), a set of partitions, commit(topic, offset,
                                    metadata), and close(), which leaves the group
    offset_at(topic, timestamp)     by ListOffsets
    committed(topic, group)         (offset, metadata or None where the library hides it)
    too_large(error)                whether this is the broker's MESSAGE_TOO_LARGE
    admin()                         create, partitions, config, set_config, set_partitions, delete_records, earliest,
                                    groups, group_state, delete_group, delete, close; those that the library lacks
                                    are not there, and their step is left out
"""
import sys
import threading
import time

import rows

WAIT_S = 120
SETTLE_S = 60  # until a change of metadata shows


def equal(what, found, want):
    if found != want:
        raise ValueError(f'{what} is {found!r}, not {want!r}')


def settle(check):
    """Asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            return check()
        except Exception:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def await_fact(what, fact, state):
    deadline = time.monotonic() + WAIT_S
    while not fact():
        if time.monotonic() > deadline:
            raise ValueError(f'{what} has not come in time: {state()}')
        time.sleep(0.02)


class Member:
    """A consumer in a group that polls in its own thread until it leaves."""

    def __init__(self, library, topic, group):
        self.partitions, self.failure, self.leaving = set(), None, False
        self.thread = threading.Thread(target=self.run, args=(library, topic, group))
        self.thread.start()

    def run(self, library, topic, group):
        try:
            consumer = library.subscribed(topic, group)
            try:
                while not self.leaving:
                    consumer.poll()
                    self.partitions = set(consumer.assigned())
            finally:
                consumer.close()
        except Exception as error:
            self.failure = error

    def leave(self):
        self.leaving = True
        self.thread.join()
        if self.failure:
            raise self.failure


class Commands:
    def __init__(self, library):
        self.library = library

    def produce(self, topic, codec, count, base, headers, idempotent):
        base = int(base)
        producer = self.library.producer(codec, idempotent == '1')
        try:
            offsets = producer.send([(topic, rows.key(i), rows.value(i), base + i * 1000 if base else None,
                                      list(rows.headers(i).items()) if headers == '1' else [])
                                     for i in range(int(count))])
        finally:
            producer.close()
        equal('offsets', offsets, list(range(int(count))))

    def consume(self, consumer, sources, end):
        """sources: topic -> [base, headers, next offset]"""
        missing, deadline = sum(end - s[2] for s in sources.values()), time.monotonic() + WAIT_S
        while missing > 0:
            for topic, _, offset, key, value, timestamp, headers in consumer.poll():
                source = sources[topic]
                base, with_headers, i = source
                if i >= end:
                    continue
                try:
                    rows.check(i, offset, key, value, timestamp, base, dict(headers), with_headers)
                except ValueError as error:
                    raise ValueError(f'{topic}: {error}') from None
                source[2] += 1
                missing -= 1
            if time.monotonic() > deadline:
                raise ValueError(f'{missing} records have not come in time')

    def read(self, topic, start, end, base, headers):
        consumer = self.library.assigned({topic: int(start)})
        try:
            self.consume(consumer, {topic: [int(base), headers == '1', int(start)]}, int(end))
        finally:
            consumer.close()

    def cross(self, end, *sources):
        words = [s.split(',') for s in sources]
        consumer = self.library.assigned({w[0]: 0 for w in words})
        try:
            self.consume(consumer, {w[0]: [int(w[1]), w[2] == '1', 0] for w in words}, int(end))
        finally:
            consumer.close()

    def time(self, topic, index, end, base, headers):
        equal('the offset found by time', self.library.offset_at(topic, int(base) + int(index) * 1000 - 500), int(index))
        self.read(topic, index, end, base, headers)

    def group(self, topic, name, start, end, base, headers):
        consumer = self.library.subscribed(topic, name)
        try:
            self.consume(consumer, {topic: [int(base), headers == '1', int(start)]}, int(end))
            consumer.commit(topic, int(end), f'at {end}')
        finally:
            consumer.close()

    def committed(self, topic, group, offset):
        found, metadata = self.library.committed(topic, group)
        equal('committed', found, int(offset))
        if metadata is not None:
            equal('metadata', metadata, f'at {offset}')

    def members(self, topic, group):
        a = Member(self.library, topic, group)
        b = None
        try:
            await_fact('all for the first member', lambda: len(a.partitions) == 4, lambda: (a.partitions, a.failure))
            b = Member(self.library, topic, group)
            await_fact('a half for each', lambda: len(a.partitions) == len(b.partitions) == 2
                       and len(a.partitions | b.partitions) == 4,
                       lambda: (a.partitions, a.failure, b.partitions, b.failure))
            b.leave()
            b = None
            await_fact('all for the one that stays', lambda: len(a.partitions) == 4, lambda: (a.partitions, a.failure))
        finally:
            if b:
                b.leave()
            a.leave()

    def large(self, topic, size):
        size = int(size)
        producer = self.library.producer('none', False)
        try:
            producer.send([(topic, None, rows.text(1, size), None, [])])
            try:
                producer.send([(topic, None, rows.text(1, 2 * size), None, [])])
                raise ValueError('a record of twice the size was taken')
            except Exception as error:
                if not self.library.too_large(error):
                    raise
        finally:
            producer.close()
        consumer, deadline, found = self.library.assigned({topic: 0}), time.monotonic() + WAIT_S, []
        try:
            while not found and time.monotonic() < deadline:
                found = list(consumer.poll())
        finally:
            consumer.close()
        if not found or found[0][4] != rows.text(1, size):
            raise ValueError(f'{len(found)} records came back, or others')

    def through(self, topic, group, count, idempotent):
        count = int(count)
        producer = self.library.producer('none', idempotent == '1')
        consumer = self.library.subscribed(topic, group)
        seen = position = 0
        try:
            for start, end in ((0, count // 2), (count // 2, count)):
                if start:
                    consumer.commit(topic, start, '')  # some libraries go back there when the broker was away
                    print('half', flush=True)
                    sys.stdin.readline()
                deadline = time.monotonic() + 2 * WAIT_S
                for i in range(start, end):
                    while True:
                        try:
                            producer.send([(topic, None, b'%d' % i, None, [])])
                            break
                        except Exception:
                            if time.monotonic() > deadline:
                                raise
                            time.sleep(0.05)
                while seen < end:
                    for record in consumer.poll():
                        if record[2] < position:
                            continue  # read again after it had to join again
                        position = record[2] + 1
                        n = int(record[4])
                        if n == seen - 1 and idempotent != '1':
                            continue  # sent again after an answer was lost
                        equal(f'the record at {record[2]}', n, seen)
                        seen += 1
                    if time.monotonic() > deadline:
                        raise ValueError(f'only {seen} of {end} came in time')
            consumer.commit(topic, count, '')
        finally:
            consumer.close()
            producer.close()

    def admin(self, topic, group, empty):
        a = self.library.admin()

        def step(name, *arguments, want=None):
            if not hasattr(a, name):
                return
            if want is None:
                getattr(a, name)(*arguments)
            else:
                settle(lambda: equal(name, getattr(a, name)(*arguments), want))
        try:
            step('create', topic, 3, {'retention.ms': '70000'})
            step('partitions', topic, want=3)
            step('config', topic, 'retention.ms', want='70000')
            if hasattr(a, 'set_config'):
                step('set_config', topic, 'retention.ms', '80000')
                step('config', topic, 'retention.ms', want='80000')
            step('set_partitions', topic, 5)
            step('partitions', topic, want=5)
            self.produce(topic, 'none', 5, 0, '0', '0')
            if hasattr(a, 'delete_records'):
                step('delete_records', topic, 3)
                step('earliest', topic, want=3)
            if hasattr(a, 'groups'):
                equal('listing', group in a.groups(), True)
            step('group_state', group, want='Empty')
            if hasattr(a, 'delete_group'):
                step('delete_group', empty)
                equal('listing', empty in a.groups(), False)
            step('delete', topic)

            def gone():
                try:
                    left = a.partitions(topic)
                except Exception:
                    left = 0
                equal('partitions left', left, 0)
            settle(gone)
        finally:
            a.close()


def main(library):
    commands = Commands(library(sys.argv[1]))
    for line in iter(sys.stdin.readline, ''):  # not `for line in sys.stdin`, which reads ahead of `through`
        name, *arguments = line.split()
        try:
            getattr(commands, name)(*arguments)
            print('ok', flush=True)
        except Exception as error:
            print('FAIL', repr(error).replace('\n', ' '), flush=True)
