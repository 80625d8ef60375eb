// The records that every client writes alike, and what is compared when they are read.
'use strict'

const LARGE = 120000

function text(i, size) {
  // Never a buffer without memory: confluent-kafka-javascript takes that for null.
  const out = Buffer.alloc(size + 1).subarray(0, size)
  for (let j = 0; j < size; j++) out[j] = 97 + ((i * 31 + j * 7) % 26)
  return out
}

const key = (i) => (i % 6 === 5 && i % 10 !== 9 ? null : Buffer.from(`key-${i}`))
const value = (i) => (i % 10 === 9 ? null : text(i, i === 38 ? LARGE : [0, 1, 1024, 100][i % 4]))
const headers = (i) => (i % 3 === 0 ? { h1: `v-${i}`, h2: '' } : {})

const same = (a, b) => (a === null || b === null ? a === b : a.equals(b))

// Throws unless message is record i; base is the timestamp of record 0 in ms, or 0 for any.
function check(message, i, base, withHeaders) {
  const wanted = withHeaders ? headers(i) : {}
  const found = Object.entries(message.headers || {}).map(([name, content]) => `${name}=${content}`)
  if (message.offset !== String(i)) throw new Error(`offset ${message.offset} where ${i} was due`)
  if (!same(message.key ?? null, key(i))) throw new Error(`key of ${i} is ${message.key}`)
  if (!same(message.value ?? null, value(i))) throw new Error(`value of ${i} differs: ${message.value && message.value.length} bytes`)
  if (base && message.timestamp !== String(base + i * 1000)) throw new Error(`timestamp of ${i} is ${message.timestamp}`)
  if (found.join() !== Object.entries(wanted).map(([name, content]) => `${name}=${content}`).join()) {
    throw new Error(`headers of ${i} are ${found}`)
  }
}

module.exports = { text, key, value, headers, check, same }
