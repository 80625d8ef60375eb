/*
 * Every limit on what the wire may ask of us, in one place. They bound work and memory per byte
 * received: a declared count or length is compared with the bytes that are really there before
 * anything is allocated for it, so a request costs memory in proportion to its own size, within the
 * limit of the arena it is decoded into.
 */
#pragma once

/* A string's length, on the wire and when we encode one: Kafka's generated classes refuse more
 * (Short.MAX_VALUE). */
#define LIMIT_STRING_SIZE 0x7fff

/* Structs inside structs. The schema is checked against it when it is compiled; no message
 * recurses. */
#define LIMIT_NESTING 8

/* Tagged fields of one struct. Kafka has no limit; the largest set that it defines has fewer than
 * ten. */
#define LIMIT_TAGGED_FIELDS 1024

/* An unsigned varint of 32 bits, in bytes. */
#define LIMIT_VARINT_SIZE 5

/* A client id, as it is a string, and the fixed fields before it: no request header is larger, but
 * for its tagged fields. */
#define LIMIT_REQUEST_HEADER_SIZE (2 + 2 + 4 + 2 + LIMIT_STRING_SIZE)

/*
 * The arena that a frame of FRAME_SIZE bytes is decoded into. Structs are larger than their
 * encodings (an empty element of 2 bytes may become a struct of 200); ordinary requests need less
 * than 8 times their size. A frame that needs more than this is hostile, and fails with -ENOMEM.
 */
#define LIMIT_DECODE_ARENA_BYTES(frame_size) ((size_t)16 * (size_t)(frame_size) + 65536)
