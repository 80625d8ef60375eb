#include "runtime/simulated/choose.h"

#include <inttypes.h>
#include <string.h>

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

/* A bijection of 64 bits in which every input bit reaches every output bit. */
static uint64_t mix(uint64_t value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9ull;
	value ^= value >> 27;
	value *= 0x94d049bb133111ebull;
	return value ^ value >> 31;
}

static void fold(struct chooser *chooser, uint64_t value)
{
	chooser->hash = rotate_left((chooser->hash ^ value) * 0x9e3779b97f4a7c15ull, 29);
}

void chooser_init(struct chooser *chooser, uint64_t seed)
{
	memset(chooser, 0, sizeof(*chooser));
	/* Neighbouring seeds must not give neighbouring states, and never the state of all zeros.
	 */
	for (unsigned i = 0; i < 4; i++)
		chooser->state[i] = mix(seed + (i + 1) * 0x9e3779b97f4a7c15ull);
	fold(chooser, seed);
}

uint64_t choose_bits(struct chooser *chooser)
{
	uint64_t *state = chooser->state;
	uint64_t result = rotate_left(state[1] * 5, 7) * 9;
	uint64_t carried = state[1] << 17;

	state[2] ^= state[0];
	state[3] ^= state[1];
	state[1] ^= state[2];
	state[0] ^= state[3];
	state[2] ^= carried;
	state[3] = rotate_left(state[3], 45);
	fold(chooser, result);
	return result;
}

uint64_t choose_below(struct chooser *chooser, uint64_t below)
{
	/* The bias of a multiplication without rejection is below 2^-32 for what is asked here. */
	return below <= 1 ? 0 : (uint64_t)((unsigned __int128)choose_bits(chooser) * below >> 64);
}

uint64_t choose_between(struct chooser *chooser, uint64_t first, uint64_t last)
{
	ensure(first <= last && last - first < UINT64_MAX);
	return first + choose_below(chooser, last - first + 1);
}

bool choose_chance(struct chooser *chooser, uint32_t ppm)
{
	if (ppm == 0 || ppm >= CHANCE_CERTAIN_PPM)
		return ppm != 0;
	return choose_below(chooser, CHANCE_CERTAIN_PPM) < ppm;
}

const char *const fault_names[FAULT_COUNT] = {
	[FAULT_WRITE_TORN] = "changes in part",
	[FAULT_SECTOR_LOST] = "lost sectors",
	[FAULT_SECTOR_TORN] = "torn sectors",
	[FAULT_NAME_LOST] = "lost names",
	[FAULT_IO_ERROR] = "I/O errors",
	[FAULT_NO_SPACE] = "writes without space",
	[FAULT_SYNC_FAILED] = "failed syncs",
	[FAULT_PAGE_FORGOTTEN] = "pages forgotten",
	[FAULT_ROT] = "rotten bits",
	[FAULT_COLD_READ] = "cold reads",
	[FAULT_RESET] = "resets",
	[FAULT_SHORT_MOVE] = "short moves",
	[FAULT_CLOCK_JUMP] = "clock jumps",
	[FAULT_STALL] = "stalls",
};

bool choose_fault(struct chooser *chooser, enum fault fault, uint32_t ppm)
{
	bool happens = choose_chance(chooser, ppm);

	chooser->faults[fault] += happens;
	return happens;
}

void choose_bytes(struct chooser *chooser, void *buffer, size_t size)
{
	uint8_t *to = buffer;

	while (size > 0) {
		uint64_t bits = choose_bits(chooser);
		size_t part = min_of(size, sizeof(bits));

		memcpy(to, &bits, part);
		to += part;
		size -= part;
	}
}

void chooser_note(struct chooser *chooser, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	chooser->note_count++;
	fold(chooser, a);
	fold(chooser, b);
	fold(chooser, c);
	if (unlikely(chooser->text != NULL))
		fprintf(chooser->text,
			"%" PRIu64 " %s %" PRId64 " %" PRId64 " %" PRId64 " %016" PRIx64 "\n",
			chooser->note_count, what, (int64_t)a, (int64_t)b, (int64_t)c,
			chooser->hash);
}

void chooser_note_bytes(struct chooser *chooser, const char *what, const void *data, size_t size)
{
	const uint8_t *from = data;
	uint64_t sum[4] = {size, 1, 2, 3};
	size_t i = 0;

	/* Four chains, so that the multiplications of a large write overlap. */
	for (; i + 32 <= size; i += 32)
		for (unsigned lane = 0; lane < 4; lane++) {
			uint64_t word;

			memcpy(&word, from + i + 8 * lane, 8);
			sum[lane] = rotate_left((sum[lane] ^ word) * 0x9e3779b97f4a7c15ull, 29);
		}
	for (; i < size; i++)
		sum[0] = rotate_left((sum[0] ^ from[i]) * 0x9e3779b97f4a7c15ull, 29);
	chooser_note(chooser, what, size, mix(sum[0] ^ mix(sum[1])), mix(sum[2] ^ mix(sum[3])));
}
