// KafkaJS under test, with codecs that are written in JavaScript or WebAssembly.
'use strict'

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4js')
const xxh32 = require('lz4js/xxh32.js')
const zstd = require('@bokuweb/zstd-wasm')

CompressionCodecs[CompressionTypes.Snappy] = snappy

// lz4js leaves out the flag for independent blocks, without which no broker takes a frame: set it where it is true, in a
// frame of one block, and put the header's checksum right.
function lz4Frame(data) {
  if (data.length > 4 << 20) throw new Error('more than one block')
  const out = Buffer.from(lz4.compress(data))
  out[4] |= 0x20
  out[6] = xxh32.hash(0, out, 4, 2) >> 8
  return out
}

CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4Frame(encoder.buffer),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer))
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer))
})

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 30, initialRetryTime: 50, maxRetryTime: 500 } })

const library = {
  producer: (_, idempotent) => kafka.producer({ idempotent, maxInFlightRequests: 1 }),
  send: (producer, codec, topic, messages) => producer.send({ topic, messages, acks: -1, compression: CODECS[codec] }),
  consumer: (groupId) => kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, maxWaitTimeInMs: 100, maxBytesPerPartition: 150000 }),
  runOptions: { autoCommit: false },
  subscribe: (consumer, topics) => consumer.subscribe({ topics, fromBeginning: true }),
  // What the consumer is assigned: its event says it for each generation.
  follow(consumer, topic) {
    let partitions = []
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { partitions = payload.memberAssignment[topic] || [] })
    return () => partitions
  },
  offsetTopics: (topic) => [topic],
  admin: () => kafka.admin(),
  tooLarge: (error) => [error, error.cause].some((e) => e && e.type === 'MESSAGE_TOO_LARGE'),
  state: (name) => name
}

zstd.init().then(() => require('./harness')(library))
