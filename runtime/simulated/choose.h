/*
 * The one source of chance in a simulated world, and the record of all that happened. Whatever is
 * not laid down by the program is picked here, from a generator that starts from the seed, and
 * every pick and every event is folded into the trace hash. Two runs are the same run when their
 * hashes are equal; so nothing may be folded in that is not a function of the seed (no pointers, no
 * real time).
 */
#pragma once

#include <stdio.h>

#include "runtime/base.h"
#include "runtime/simulated/fault.h"

struct chooser {
	uint64_t state[4]; /* xoshiro256** */
	uint64_t hash;
	uint64_t note_count;
	uint64_t faults[FAULT_COUNT]; /* how often each happened */
	FILE *text; /* every note as a line, to find where two runs part; NULL: none */
};

#define CHANCE_CERTAIN_PPM 1000000u

void chooser_init(struct chooser *chooser, uint64_t seed);

/* 64 random bits. */
uint64_t choose_bits(struct chooser *chooser);
/* 0 <= result < BELOW; BELOW 0 and 1 answer 0 without a pick. */
uint64_t choose_below(struct chooser *chooser, uint64_t below);
/* FIRST <= result <= LAST. */
uint64_t choose_between(struct chooser *chooser, uint64_t first, uint64_t last);
/* True PPM times in a million; 0 and a million answer without a pick. */
bool choose_chance(struct chooser *chooser, uint32_t ppm);
/* A chance that is counted when it comes true. */
bool choose_fault(struct chooser *chooser, enum fault fault, uint32_t ppm);
void choose_bytes(struct chooser *chooser, void *buffer, size_t size);

/* Folds an event into the trace. WHAT is a literal that names it in the text. */
void chooser_note(struct chooser *chooser, const char *what, uint64_t a, uint64_t b, uint64_t c);
/* Folds bytes that moved into the trace. */
void chooser_note_bytes(struct chooser *chooser, const char *what, const void *data, size_t size);
