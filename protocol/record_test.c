#include "protocol/record.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Values around every change of size, written and read back; sizes agree with what was written. */
Test(record, numbers_come_back_as_written)
{
	uint8_t bytes[RECORD_VARLONG_SIZE_MAX];

	for (int shift = 0; shift < 64; shift++)
		for (int64_t delta = -2; delta <= 2; delta++)
			for (int sign = 0; sign < 2; sign++) {
				uint64_t raw = (UINT64_C(1) << shift) + (uint64_t)delta;
				int64_t value = (int64_t)(sign ? -raw : raw), back;
				int32_t back32;
				int size = record_varlong_write(bytes, value);

				cr_assert_eq(size, record_varlong_size(value));
				cr_assert_eq(
					record_varlong_read(bytes, sizeof(bytes), &back), size);
				cr_assert_eq(back, value);
				cr_assert_eq(
					record_varlong_read(bytes, (size_t)size - 1, &back), 0);
				if (value != (int32_t)value)
					continue;
				cr_assert_eq(
					record_varint_read(bytes, sizeof(bytes), &back32), size);
				cr_assert_eq(back32, value);
				cr_assert_eq(
					record_varint_read(bytes, (size_t)size - 1, &back32), 0);
			}
}

/* Eleven (six) continued bytes are no number, however many follow. */
Test(record, refuses_numbers_without_end)
{
	uint8_t bytes[20];
	int64_t value;
	int32_t value32;

	memset(bytes, 0x80, sizeof(bytes));
	cr_assert_eq(record_varlong_read(bytes, sizeof(bytes), &value), 0);
	cr_assert_eq(record_varint_read(bytes, sizeof(bytes), &value32), 0);
}

/* size 17: attributes 0, delta 300, offset delta 2, key "k", null value, headers "a"="xy" and
 * "b"=null, by hand. */
static const uint8_t sample[] = {
	34, 0, 0xd8, 0x04, 4, 2, 'k', 1, 4, 2, 'a', 4, 'x', 'y', 2, 'b', 1, 0xff};

/* Reads a record written by hand, and its headers one by one. */
Test(record, parses_fields_and_headers)
{
	struct record record;
	struct record_header header;
	int32_t position = 0;
	int64_t size;
	uint8_t bytes[sizeof(sample)];

	memcpy(bytes, sample, sizeof(bytes));
	bytes[0] = 32; /* 16 bytes follow; the last one of the sample is not part of it */
	size = record_parse(bytes, sizeof(bytes), &record);
	cr_assert_eq(size, 17);
	cr_assert_eq(record.timestamp, 300);
	cr_assert_eq(record.offset, 2);
	cr_assert_eq(record.key.size, 1);
	cr_assert_eq(record.value.size, -1);
	cr_assert_eq(record.header_count, 2);
	cr_assert_eq(record_header_next(&record, &position, &header), 0);
	cr_assert(str_equal(header.key, STR("a")));
	cr_assert_eq(header.value.size, 2);
	cr_assert_eq(record_header_next(&record, &position, &header), 0);
	cr_assert(str_equal(header.key, STR("b")));
	cr_assert_eq(header.value.size, -1);
	cr_assert_eq(record_header_next(&record, &position, &header), BATCH_ERROR_INVALID);
	cr_assert_eq(
		record_size(300, 2, record.key, record.value, record.header_bytes.size, 2), 17);
}

/* Every prefix, a body size that does not match, and hostile counts are refused. */
Test(record, refuses_what_does_not_fit)
{
	struct record record;
	uint8_t bytes[sizeof(sample)];

	memcpy(bytes, sample, sizeof(bytes));
	bytes[0] = 32;
	for (size_t size = 0; size < 17; size++)
		cr_assert_eq(record_parse(bytes, size, &record), BATCH_ERROR_INVALID);
	for (int body = 0; body < 64; body++) {
		bytes[0] = (uint8_t)body;
		if (body != 32)
			cr_assert_eq(record_parse(bytes, sizeof(bytes), &record),
				BATCH_ERROR_INVALID, "body %d", body);
	}
	bytes[0] = 32;
	bytes[8] = 5; /* -3 headers */
	cr_assert_eq(record_parse(bytes, sizeof(bytes), &record), BATCH_ERROR_INVALID);
	bytes[8] = 126; /* 63 headers */
	cr_assert_eq(record_parse(bytes, sizeof(bytes), &record), BATCH_ERROR_INVALID);
}

/* Grows to the limit and not beyond; lent memory is never left. */
Test(record_buffer, stops_at_its_limit)
{
	struct record_buffer buffer;
	uint8_t lent[10];

	record_buffer_init(&buffer, 10000);
	for (int i = 0; i < 10; i++)
		cr_assert_eq(record_buffer_append(&buffer, "0123456789", 10), 0);
	cr_assert_eq(record_buffer_reserve(&buffer, 9900), 0);
	cr_assert_eq(record_buffer_reserve(&buffer, 9901), -ENOBUFS);
	cr_assert_leq(buffer.capacity, 10000);
	record_buffer_done(&buffer);

	record_buffer_init_lent(&buffer, lent, sizeof(lent));
	cr_assert_eq(record_buffer_append(&buffer, "0123456789", 10), 0);
	cr_assert_eq(record_buffer_append(&buffer, "x", 1), -ENOBUFS);
	record_buffer_done(&buffer);
}
