/*
 * What Java makes of a string: its hash, by which every broker and client finds a group's partition, and its place in a
 * HashMap, by which Kafka chooses where a vote gives no choice.
 */
#pragma once

#include "runtime/bytes.h"

/* String.hashCode of TEXT, which is UTF-8. */
uint32_t java_hash(struct str text);

/* Where a HashMap of COUNT strings, made by adding them, keeps TEXT: it goes through its entries from place 0 on. */
uint32_t java_hash_place(struct str text, uint32_t count);
