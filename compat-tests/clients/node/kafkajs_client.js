// KafkaJS under test. It brings gzip; the other codecs are plugged in.
'use strict'

const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const zstd = require('@bokuweb/zstd-wasm')

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: (buffer) => lz4.decompressFrame(buffer)
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer))
})

const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }

const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR, retry: { retries: 30, initialRetryTime: 50, maxRetryTime: 500 } })

const library = {
  producer: (_, idempotent) => kafka.producer({ idempotent, maxInFlightRequests: 1 }),
  send: (producer, codec, topic, messages) => producer.send({ topic, messages, acks: -1, compression: CODECS[codec] }),
  consumer: (groupId) => kafka.consumer({ groupId, sessionTimeout: 20000, heartbeatInterval: 500, maxWaitTimeInMs: 100, maxBytesPerPartition: 150000 }),
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
