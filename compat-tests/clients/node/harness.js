// The commands of ../README.md for clients with KafkaJS's interface. `library` holds what differs between them:
//   producer(codec, idempotent), send(producer, codec, topic, messages)     consumer(group), subscribe(consumer, topics)
//   admin(), tooLarge(error), follow(consumer, topic), which gives a function for what the consumer is assigned,
//   runOptions, offsetTopics(topic) and state(state) of a group.
'use strict'

const readline = require('readline')
const records = require('./records')

const WAIT_MS = 120000
const SETTLE_MS = 60000
let unique = 0

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function until(what, fact, waitMs = WAIT_MS) {
  const deadline = Date.now() + waitMs
  while (!fact()) {
    if (Date.now() > deadline) throw new Error(`${typeof what === 'function' ? what() : what} has not come in time`)
    await pause(20)
  }
}

// Asks again for a while: a change shows on a broker when its metadata has come, which may be after the answer.
async function settled(check) {
  const deadline = Date.now() + SETTLE_MS
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (Date.now() > deadline) throw error
    }
    await pause(50)
  }
}

const equal = (what, found, wanted) => {
  if (found !== wanted) throw new Error(`${what} is ${found}, not ${wanted}`)
}

module.exports = function main(library) {
  async function withAdmin(work) {
    const admin = library.admin()
    await admin.connect()
    try {
      return await work(admin)
    } finally {
      await admin.disconnect()
    }
  }

  async function withProducer(codec, idempotent, work) {
    const producer = library.producer(codec, idempotent)
    await producer.connect()
    try {
      return await work((topic, messages) => library.send(producer, codec, topic, messages))
    } finally {
      await producer.disconnect()
    }
  }

  const produce = (topic, codec, count, base, headers, idempotent) => withProducer(codec, idempotent === '1', async (send) => {
    const messages = []
    for (let i = 0; i < count; i++) {
      const message = { key: records.key(i), value: records.value(i), partition: 0 }
      if (headers === '1') message.headers = records.headers(i)
      if (base !== '0') message.timestamp = String(Number(base) + i * 1000)
      messages.push(message)
    }
    const placed = await send(topic, messages)
    const offsets = placed.map((p) => Number(p.baseOffset ?? p.offset))
    equal('the first offset', Math.min(...offsets), 0)
  })

  // Reads with a consumer in a group of its own: the interface knows no other way. `take` gets each message.
  async function consume(group, from, take, work) {
    const consumer = library.consumer(group)
    await consumer.connect()
    let failure = null
    try {
      await library.subscribe(consumer, [...from.keys()])
      await consumer.run({
        ...library.runOptions,
        eachMessage: async ({ topic, partition, message }) => {
          try {
            if (!failure) take(topic, message, partition)
          } catch (error) {
            failure = new Error(`${topic}: ${error.message}`)
          }
        }
      })
      for (const [topic, offset] of from) if (offset > 0) consumer.seek({ topic, partition: 0, offset: String(offset) })
      return await work(consumer, () => failure)
    } finally {
      await consumer.disconnect()
    }
  }

  async function checked(group, sources, end, work = async () => {}) {
    let missing = [...sources.values()].reduce((sum, s) => sum + end - s.next, 0)
    const from = new Map([...sources].map(([topic, s]) => [topic, s.seek ? s.next : 0]))
    await consume(group, from, (topic, message) => {
      const s = sources.get(topic)
      // Joined again, as one does that was not heard of for a session's length: nothing was committed.
      if (!s.seek && s.next > s.from && s.next < end && Number(message.offset) === s.from) {
        missing += s.next - s.from
        s.next = s.from
      }
      if (s.next >= end || (s.seek && s.next === s.from && Number(message.offset) < s.from)) return
      records.check(message, s.next, s.base, s.headers)
      s.next++
      missing--
    }, async (consumer, failure) => {
      await until(() => `the last of ${missing} records`, () => missing === 0 || failure())
      if (failure()) throw failure()
      await work(consumer)
    })
  }

  const source = (base, headers, from, seek) => ({ base: Number(base), headers: headers === '1', next: Number(from), from: Number(from), seek })
  const ownGroup = () => `node-${process.pid}-${++unique}`

  const read = (topic, from, to, base, headers) =>
    checked(ownGroup(), new Map([[topic, source(base, headers, from, true)]]), Number(to))

  const at = async (topic, timestamp) => Number((await withAdmin((a) => a.fetchTopicOffsetsByTimestamp(topic, timestamp)))[0].offset)

  const committed = async (topic, group) => {
    const rows = await withAdmin((a) => a.fetchOffsets({ groupId: group, topics: library.offsetTopics(topic) }))
    return rows[0].partitions[0]
  }

  async function member(topic, group) {
    const consumer = library.consumer(group)
    await consumer.connect()
    const partitions = library.follow(consumer, topic)
    await library.subscribe(consumer, [topic])
    await consumer.run({ ...library.runOptions, eachMessage: async () => {} })
    return { partitions, leave: () => consumer.disconnect() }
  }

  const commands = {
    produce,
    read,
    async cross(count, ...words) {
      const sources = new Map(words.map((w) => w.split(',')).map(([topic, base, headers]) => [topic, source(base, headers, 0, false)]))
      await checked(ownGroup(), sources, Number(count))
    },
    async time(topic, index, to, base, headers) {
      equal('the offset found by time', await at(topic, Number(base) + index * 1000 - 500), Number(index))
      await read(topic, index, to, base, headers)
    },
    group: (topic, group, from, to, base, headers) =>
      checked(group, new Map([[topic, source(base, headers, from, false)]]), Number(to), (consumer) =>
        consumer.commitOffsets([{ topic, partition: 0, offset: to, metadata: `at ${to}` }])),
    async committed(topic, group, offset) {
      const found = await committed(topic, group)
      equal('committed', String(found.offset), offset)
      if (found.metadata) equal('metadata', found.metadata, `at ${offset}`)
    },
    async members(topic, group) {
      const members = [await member(topic, group)]
      try {
        await until('all for the first member', () => members[0].partitions().length === 4)
        members.push(await member(topic, group))
        await until('a half for each', () => members.every((m) => m.partitions().length === 2) &&
          new Set(members.flatMap((m) => m.partitions())).size === 4)
        await members.pop().leave()
        await until('all for the one that stays', () => members[0].partitions().length === 4)
      } finally {
        for (const m of members) await m.leave()
      }
    },
    async large(topic, size) {
      await withProducer('none', false, async (send) => {
        await send(topic, [{ value: records.text(1, Number(size)), partition: 0 }])
        let refused = null
        try {
          await send(topic, [{ value: records.text(1, 2 * size), partition: 0 }])
        } catch (error) {
          refused = error
        }
        if (!refused || !library.tooLarge(refused)) throw new Error(`a record of twice the size gave ${refused}`)
      })
      let found = null
      await consume(ownGroup(), new Map([[topic, 0]]), (_, message) => { found = found || message }, async () => {
        await until('the record', () => found)
      })
      if (!records.same(found.value, records.text(1, Number(size)))) throw new Error(`${found.value.length} bytes came back, or others`)
    },
    async through(topic, group, count, idempotent) {
      let seen = 0, position = 0
      await withProducer('none', idempotent === '1', (send) =>
        consume(group, new Map([[topic, 0]]), (_, message) => {
          if (message.offset < position) return // read again after it had to join again
          position = Number(message.offset) + 1
          const n = Number(message.value)
          if (n === seen - 1 && idempotent !== '1') return // sent again after an answer was lost
          equal(`the record at ${message.offset}`, n, seen)
          seen++
        }, async (consumer, failure) => {
          const half = count / 2
          for (const [from, to] of [[0, half], [half, Number(count)]]) {
            if (from) {
              // Some libraries go back to what is committed when the broker was away.
              await consumer.commitOffsets([{ topic, partition: 0, offset: String(half) }])
              process.stdout.write('half\n')
              await line()
            }
            const deadline = Date.now() + 2 * WAIT_MS
            for (let i = from; i < to; i++) {
              for (;;) {
                try {
                  await send(topic, [{ value: String(i), partition: 0 }])
                  break
                } catch (error) {
                  if (Date.now() > deadline) throw error
                  await pause(50)
                }
              }
            }
            await until(() => `record ${to} after ${seen}`, () => seen === to || failure(), 2 * WAIT_MS)
            if (failure()) throw failure()
          }
          await consumer.commitOffsets([{ topic, partition: 0, offset: count }])
        }))
    },
    admin: (topic, group, empty) => withAdmin(async (a) => {
      const partitions = async () => {
        const found = await a.fetchTopicMetadata({ topics: [topic] })
        return (found.topics || found)[0].partitions.length
      }
      const listed = async (name) => (await a.listGroups()).groups.some((g) => g.groupId === name)
      await a.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '70000' }] }] })
      await settled(async () => equal('partitions', await partitions(), 3))
      if (a.describeConfigs) {
        const config = async () => (await a.describeConfigs({ includeSynonyms: false, resources: [{ type: 2, name: topic, configNames: ['retention.ms'] }] }))
          .resources[0].configEntries[0].configValue
        await settled(async () => equal('retention.ms', await config(), '70000'))
        await a.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: topic, configEntries: [{ name: 'retention.ms', value: '80000' }] }] })
        await settled(async () => equal('retention.ms', await config(), '80000'))
      }
      if (a.createPartitions) {
        await a.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
        await settled(async () => equal('partitions', await partitions(), 5))
      }
      await produce(topic, 'none', 5, '0', '0', '0')
      // Both ask about all partitions, those that were just added too.
      await settled(() => a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] }))
      const low = async () => (await a.fetchTopicOffsets(topic)).find((p) => p.partition === 0).low
      await settled(async () => equal('earliest', String(await low()), '3'))
      equal('listing', await listed(group), true)
      equal('state of the group', library.state((await a.describeGroups([group])).groups[0].state), 'Empty')
      await a.deleteGroups([empty])
      equal('listing', await listed(empty), false)
      await a.deleteTopics({ topics: [topic] })
      await settled(async () => equal('listing of the topic', (await a.listTopics()).includes(topic), false))
    })
  }

  const pending = []
  const waiting = []
  const line = () => (pending.length ? Promise.resolve(pending.shift()) : new Promise((resolve) => waiting.push(resolve)))
  const input = readline.createInterface({ input: process.stdin })
  input.on('line', (text) => (waiting.length ? waiting.shift()(text) : pending.push(text)))
  input.on('close', () => process.exit(0))
  ;(async () => {
    for (;;) {
      const [name, ...words] = (await line()).split(' ')
      try {
        await commands[name](...words)
        process.stdout.write('ok\n')
      } catch (error) {
        process.stdout.write(`FAIL ${String(error.message || error).replace(/\n/g, ' ')}\n`)
      }
    }
  })()
}
