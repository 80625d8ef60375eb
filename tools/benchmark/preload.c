/*
 * Loaded into the broker whose instructions are counted: its random bytes are the same in every run, and with them the
 * seeds of its hash tables and the ids of its topics, so that the same requests take the same paths.
 */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

ssize_t getrandom(void *buffer, size_t size, unsigned int flags)
{
	static uint64_t drawn;
	uint8_t *to = buffer;

	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t value = __atomic_add_fetch(&drawn, 1, __ATOMIC_RELAXED) * 0x9e3779b97f4a7c15u;
		size_t left = size - i;

		value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
		value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
		value ^= value >> 31;
		memcpy(to + i, &value, left < sizeof(value) ? left : sizeof(value));
	}
	return (ssize_t)size;
}
