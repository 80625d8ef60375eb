/*
 * One CRC instruction has a latency of three cycles but can start every cycle, so the fast paths
 * run three streams side by side over three neighbouring blocks and join them: the CRC of A|B|C is
 * the CRC of A moved past B and C, xor that of B moved past C, xor that of C. "Moved past n bytes"
 * is a multiplication by x^8n modulo the polynomial: one carry-less multiplication where the
 * machine has it.
 */
#include "protocol/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected: bit 31 stands for x^0 */

enum { CRC32C_LONG_BLOCK = 4096, CRC32C_SHORT_BLOCK = 256 };

static uint32_t slicing_table[8][256];
/* x^(2^n) modulo the polynomial. */
static uint32_t power_table[64];

/* a * b modulo the polynomial, all reflected. */
static uint32_t polynomial_multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = b & 1 ? (b >> 1) ^ CRC32C_POLYNOMIAL : b >> 1;
	}
	return product;
}

/* x^EXPONENT modulo the polynomial. */
static uint32_t polynomial_power(uint64_t exponent)
{
	uint32_t power = 1u << 31;

	for (int n = 0; exponent; n++, exponent >>= 1)
		if (exponent & 1)
			power = polynomial_multiply(power_table[n], power);
	return power;
}

uint32_t crc32c_difference_shift(uint32_t difference, uint64_t zero_count)
{
	ensure(zero_count < UINT64_MAX / 8);
	return polynomial_multiply(polynomial_power(zero_count * 8), difference);
}

static uint32_t crc32c_table(uint32_t crc, const void *data, size_t size)
{
	const uint8_t *next = data;

	crc = ~crc;
	for (; size >= 8; size -= 8, next += 8) {
		uint64_t word;

		memcpy(&word, next, sizeof(word));
		word ^= crc;
		crc = slicing_table[7][word & 0xff] ^ slicing_table[6][word >> 8 & 0xff] ^
		      slicing_table[5][word >> 16 & 0xff] ^ slicing_table[4][word >> 24 & 0xff] ^
		      slicing_table[3][word >> 32 & 0xff] ^ slicing_table[2][word >> 40 & 0xff] ^
		      slicing_table[1][word >> 48 & 0xff] ^ slicing_table[0][word >> 56];
	}
	for (; size; size--)
		crc = slicing_table[0][(crc ^ *next++) & 0xff] ^ crc >> 8;
	return ~crc;
}

#if defined(__x86_64__)

/* x^(8n - 33) for a move past n bytes: the product of two reflected words is one bit short, the CRC
 * step adds x^32. */
static uint64_t long_once, long_twice, short_once, short_twice;

#define TARGET_SSE42 __attribute__((target("sse4.2,pclmul")))

TARGET_SSE42 static inline uint64_t load_word(const uint8_t *from)
{
	uint64_t word;

	memcpy(&word, from, sizeof(word));
	return word;
}

TARGET_SSE42 static inline uint64_t crc_moved(uint64_t crc, uint64_t factor)
{
	__m128i product = _mm_clmulepi64_si128(
		_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128((int64_t)factor), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

TARGET_SSE42 static inline uint64_t crc_three_blocks(
	uint64_t crc, const uint8_t *next, size_t block, uint64_t once, uint64_t twice)
{
	uint64_t second = 0, third = 0;

	for (size_t i = 0; i < block; i += 16) {
		crc = _mm_crc32_u64(crc, load_word(next + i));
		second = _mm_crc32_u64(second, load_word(next + block + i));
		third = _mm_crc32_u64(third, load_word(next + 2 * block + i));
		crc = _mm_crc32_u64(crc, load_word(next + i + 8));
		second = _mm_crc32_u64(second, load_word(next + block + i + 8));
		third = _mm_crc32_u64(third, load_word(next + 2 * block + i + 8));
	}
	return _mm_crc32_u64(0, crc_moved(crc, twice) ^ crc_moved(second, once)) ^ third;
}

TARGET_SSE42 static uint32_t crc32c_sse42(uint32_t start, const void *data, size_t size)
{
	const uint8_t *next = data;
	uint64_t crc = (uint32_t)~start;

	for (; size >= 3 * CRC32C_LONG_BLOCK;
		size -= 3 * CRC32C_LONG_BLOCK, next += 3 * CRC32C_LONG_BLOCK)
		crc = crc_three_blocks(crc, next, CRC32C_LONG_BLOCK, long_once, long_twice);
	for (; size >= 3 * CRC32C_SHORT_BLOCK;
		size -= 3 * CRC32C_SHORT_BLOCK, next += 3 * CRC32C_SHORT_BLOCK)
		crc = crc_three_blocks(crc, next, CRC32C_SHORT_BLOCK, short_once, short_twice);
	for (; size >= 8; size -= 8, next += 8)
		crc = _mm_crc32_u64(crc, load_word(next));
	for (; size; size--)
		crc = _mm_crc32_u8((uint32_t)crc, *next++);
	return ~(uint32_t)crc;
}

static bool sse42_prepare(void)
{
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul"))
		return false;
	long_once = polynomial_power(8 * CRC32C_LONG_BLOCK - 33);
	long_twice = polynomial_power(16 * CRC32C_LONG_BLOCK - 33);
	short_once = polynomial_power(8 * CRC32C_SHORT_BLOCK - 33);
	short_twice = polynomial_power(16 * CRC32C_SHORT_BLOCK - 33);
	return true;
}

#elif defined(__aarch64__)

static uint32_t long_once, long_twice;

/* Assembly, because the two compilers' intrinsics want different flags for the whole file. */
static inline uint32_t crc_word(uint32_t crc, uint64_t word)
{
	__asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
	return crc;
}

static inline uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
	__asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)byte));
	return crc;
}

static uint32_t crc32c_armv8(uint32_t start, const void *data, size_t size)
{
	const uint8_t *next = data;
	uint32_t crc = ~start;
	uint64_t word, second_word, third_word;

	for (; size >= 3 * CRC32C_LONG_BLOCK;
		size -= 3 * CRC32C_LONG_BLOCK, next += 3 * CRC32C_LONG_BLOCK) {
		uint32_t second = 0, third = 0;

		for (size_t i = 0; i < CRC32C_LONG_BLOCK; i += 8) {
			memcpy(&word, next + i, 8);
			memcpy(&second_word, next + CRC32C_LONG_BLOCK + i, 8);
			memcpy(&third_word, next + 2 * CRC32C_LONG_BLOCK + i, 8);
			crc = crc_word(crc, word);
			second = crc_word(second, second_word);
			third = crc_word(third, third_word);
		}
		crc = polynomial_multiply(long_twice, crc) ^
		      polynomial_multiply(long_once, second) ^ third;
	}
	for (; size >= 8; size -= 8, next += 8) {
		memcpy(&word, next, 8);
		crc = crc_word(crc, word);
	}
	for (; size; size--)
		crc = crc_byte(crc, *next++);
	return ~crc;
}

static bool armv8_prepare(void)
{
	const unsigned long hwcap_crc32 = 1 << 7;

	if (!(getauxval(AT_HWCAP) & hwcap_crc32))
		return false;
	long_once = polynomial_power(8 * CRC32C_LONG_BLOCK);
	long_twice = polynomial_power(16 * CRC32C_LONG_BLOCK);
	return true;
}

#endif

static struct crc32c_implementation implementations[3];

/* Runs before main, so that no caller meets an empty table and no call pays for a check. */
__attribute__((constructor)) static void crc32c_prepare(void)
{
	int count = 0;

	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ CRC32C_POLYNOMIAL : crc >> 1;
		slicing_table[0][byte] = crc;
	}
	for (int slice = 1; slice < 8; slice++)
		for (int byte = 0; byte < 256; byte++) {
			uint32_t before = slicing_table[slice - 1][byte];

			slicing_table[slice][byte] = slicing_table[0][before & 0xff] ^ before >> 8;
		}

	power_table[0] = 1u << 30;
	for (size_t n = 1; n < array_length(power_table); n++)
		power_table[n] = polynomial_multiply(power_table[n - 1], power_table[n - 1]);

#if defined(__x86_64__)
	if (sse42_prepare())
		implementations[count++] = (struct crc32c_implementation){"sse4.2", crc32c_sse42};
#elif defined(__aarch64__)
	if (armv8_prepare())
		implementations[count++] = (struct crc32c_implementation){"armv8", crc32c_armv8};
#endif
	implementations[count++] = (struct crc32c_implementation){"table", crc32c_table};
}

const struct crc32c_implementation *crc32c_implementations(void)
{
	return implementations;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
	return implementations[0].update(crc, data, size);
}
