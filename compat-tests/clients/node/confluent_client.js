// @confluentinc/kafka-javascript under test, through its interface after KafkaJS.
'use strict'

const { KafkaJS } = require('@confluentinc/kafka-javascript')

const { Kafka, logLevel } = KafkaJS
const kafka = new Kafka({ log_level: 2, kafkaJS: { brokers: [process.argv[2]], logLevel: logLevel.NOTHING } })

const library = {
  producer: (codec, idempotent) => kafka.producer({
    'linger.ms': 5, 'message.max.bytes': 20 << 20, 'compression.codec': codec, kafkaJS: { acks: -1, idempotent }
  }),
  send: (producer, _, topic, messages) => producer.send({ topic, messages }),
  consumer: (groupId) => kafka.consumer({
    'session.timeout.ms': 6000, 'heartbeat.interval.ms': 500, 'fetch.wait.max.ms': 100, 'max.partition.fetch.bytes': 30000,
    kafkaJS: { groupId, fromBeginning: true, autoCommit: false }
  }),
  subscribe: (consumer, topics) => consumer.subscribe({ topics }),
  follow: (consumer, topic) => () => {
    try {
      return consumer.assignment().filter((p) => p.topic === topic).map((p) => p.partition)
    } catch (error) {
      return [] // while it is rebalancing
    }
  },
  offsetTopics: (topic) => [{ topic, partitions: [0] }],
  admin: () => kafka.admin(),
  tooLarge: (error) => error.code === KafkaJS.ErrorCodes.ERR_MSG_SIZE_TOO_LARGE,
  state: (state) => (state === KafkaJS.ConsumerGroupStates.EMPTY ? 'Empty' : `state ${state}`)
}

require('./harness')(library)
