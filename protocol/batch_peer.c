/*
 * Our side of the comparison with Kafka's record classes (compat-tests/batches, where the cases'
 * format is written down): `check FILE` does what each case says and compares with Kafka's answer,
 * `write FILE SEED COUNT` writes batches for Kafka to read. A tool of the tests: it trusts its
 * files and dies on the first malformed one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/batch_builder.h"
#include "protocol/batch_records.h"
#include "protocol/batch_validate.h"
#include "protocol/errors.h"
#include "protocol/message_set.h"

#define LIMIT ((size_t)256 << 20)

static struct compress_context *context;

/* The case file. */
struct input {
	const uint8_t *next, *end;
};

static const uint8_t *input_bytes(struct input *input, size_t size)
{
	const uint8_t *from = input->next;

	ensure((size_t)(input->end - input->next) >= size);
	input->next += size;
	return from;
}

static int64_t input_number(struct input *input, int size)
{
	const uint8_t *from = input_bytes(input, (size_t)size);
	int64_t number = (int8_t)from[0];

	for (int i = 1; i < size; i++)
		number = (int64_t)((uint64_t)number << 8 | from[i]);
	return number;
}

static struct bytes input_blob(struct input *input)
{
	int32_t size = (int32_t)input_number(input, 4);

	if (size < 0)
		return BYTES_NULL;
	return (struct bytes){.data = input_bytes(input, (size_t)size), .size = size};
}

static struct str input_text(struct input *input)
{
	struct bytes blob = input_blob(input);

	return (struct str){.data = (const char *)blob.data, .size = blob.size};
}

/* FNV-1a over every field of every record. */
struct digest {
	uint64_t hash;
	int32_t count;
};

static void digest_octets(struct digest *digest, const void *data, size_t size)
{
	const uint8_t *octets = data;

	for (size_t i = 0; i < size; i++)
		digest->hash = (digest->hash ^ octets[i]) * UINT64_C(0x100000001b3);
}

static void digest_number(struct digest *digest, int64_t number)
{
	uint8_t octets[8];

	store_be64(octets, (uint64_t)number);
	digest_octets(digest, octets, sizeof(octets));
}

static void digest_bytes(struct digest *digest, struct bytes bytes)
{
	digest_number(digest, bytes.size);
	if (bytes.size > 0)
		digest_octets(digest, bytes.data, (size_t)bytes.size);
}

static void digest_record(struct digest *digest, const struct record *record)
{
	int32_t position = 0;

	digest->count++;
	digest_number(digest, record->offset);
	digest_number(digest, record->timestamp);
	digest_bytes(digest, record->key);
	digest_bytes(digest, record->value);
	digest_number(digest, record->header_count);
	for (int32_t i = 0; i < record->header_count; i++) {
		struct record_header header;

		ensure(record_header_next(record, &position, &header) == 0);
		digest_bytes(digest, (struct bytes){.data = (const uint8_t *)header.key.data,
					     .size = header.key.size});
		digest_bytes(digest, header.value);
	}
}

/* All records of all batches; 0 or the first error. */
static int digest_all(const uint8_t *data, size_t size, struct digest *ret_digest)
{
	struct digest digest = {.hash = UINT64_C(0xcbf29ce484222325)};
	struct batch_header header;
	size_t position = 0;
	int64_t batch_size;

	while ((batch_size = batch_next(data + position, size - position, &header)) > 0) {
		struct batch_records records;
		struct record record;
		int result = batch_check(data + position, &header);

		if (!result)
			result = batch_records_begin(&records, context, data + position, &header,
				BATCH_RECORDS_WHOLE, LIMIT);
		if (result)
			return result;
		while ((result = batch_records_next(&records, &record)) > 0)
			digest_record(&digest, &record);
		batch_records_end(&records);
		if (result)
			return result;
		position += (size_t)batch_size;
	}
	*ret_digest = digest;
	return (int)batch_size;
}

/* ---- check */

static bool digest_matches(const uint8_t *data, size_t size, int32_t count, int64_t hash)
{
	struct digest digest;
	int error = digest_all(data, size, &digest);

	if (error)
		printf("  not readable (%d)\n", error);
	else if (digest.count != count)
		printf("  %d records, Kafka has %d\n", digest.count, count);
	else if (digest.hash != (uint64_t)hash)
		printf("  other records than Kafka's\n");
	else
		return true;
	return false;
}

static bool check_read(struct input *input)
{
	struct bytes blob = input_blob(input);
	int32_t count = (int32_t)input_number(input, 4);
	int64_t hash = input_number(input, 8);

	return digest_matches(blob.data, (size_t)blob.size, count, hash);
}

/* Fields of the headers that must be equal even where compressed bytes may differ. */
static bool headers_match(const uint8_t *ours, size_t ours_size, struct bytes kafkas)
{
	struct batch_header a, b;

	ensure(batch_next(kafkas.data, (size_t)kafkas.size, &b) > 0);
	if (batch_next(ours, ours_size, &a) <= 0)
		return false;
	return a.base_offset == b.base_offset && a.last_offset == b.last_offset &&
	       a.base_timestamp == b.base_timestamp && a.max_timestamp == b.max_timestamp &&
	       a.producer_id == b.producer_id && a.producer_epoch == b.producer_epoch &&
	       a.base_sequence == b.base_sequence && a.record_count == b.record_count &&
	       a.partition_leader_epoch == b.partition_leader_epoch && a.magic == b.magic &&
	       a.attributes == b.attributes;
}

static bool output_matches(const uint8_t *ours, size_t ours_size, struct bytes kafkas, bool rebuilt,
	int32_t count, int64_t hash)
{
	struct batch_header header;
	size_t position = 0;
	bool compressed = false;

	while (batch_next(kafkas.data + position, (size_t)kafkas.size - position, &header) > 0) {
		compressed |= batch_is_compressed(&header);
		position += (size_t)header.size;
	}
	if (!rebuilt || !compressed) {
		if (ours_size == (size_t)kafkas.size &&
			(!ours_size || memcmp(ours, kafkas.data, ours_size) == 0))
			return true;
		printf("  other bytes than Kafka's (%zu, Kafka %d)\n", ours_size, kafkas.size);
		return false;
	}
	if (!headers_match(ours, ours_size, kafkas)) {
		printf("  another header than Kafka's\n");
		return false;
	}
	return digest_matches(ours, ours_size, count, hash);
}

static const struct str topic = {.data = "orders", .size = 6};

/* Kafka's list of records to blame, and its words. */
static bool errors_match(struct input *input, const struct batch_rules *rules,
	const struct batch_verdict *verdict, struct arena *arena)
{
	struct str text = input_text(input);
	struct str ours = batch_verdict_text(rules, verdict, topic, 3, arena);
	int32_t count = (int32_t)input_number(input, 4);
	/* Produce responses have the words from version 8; before, only the code counts. */
	bool worded = rules->produce_version >= 8;
	bool same = true;

	if (worded && !str_equal(text, ours)) {
		printf("  says (%d): %.*s\n  Kafka: %.*s\n", verdict->error, STR_ARGS(ours),
			STR_ARGS(text));
		same = false;
	}
	if (count != verdict->record_error_listed) {
		printf("  blames %d records, Kafka %d\n", verdict->record_error_listed, count);
		same = false;
	}
	for (int32_t i = 0; i < count; i++) {
		int32_t index = (int32_t)input_number(input, 4);
		struct str why = input_text(input);

		if (!same)
			continue;
		ours = batch_record_error_text(rules, &verdict->record_errors[i], topic, 3, arena);
		if (verdict->record_errors[i].index != index || (worded && !str_equal(ours, why))) {
			printf("  blames %d: %.*s\n  Kafka %d: %.*s\n",
				verdict->record_errors[i].index, STR_ARGS(ours), index,
				STR_ARGS(why));
			same = false;
		}
	}
	return same;
}

/* Counts of differences that are meant (protocol/README.md) or mean nothing. */
static int stricter, damaged;

/*
 * Whether the compressed bytes of the first batch are damaged. Kafka decompresses in chunks and
 * drops the chunk in which the damage lies, so whether it finds damaged records first or the
 * damaged stream depends on its chunk's size.
 */
static bool stream_is_broken(struct bytes blob)
{
	static uint8_t chunk[65536];
	struct batch_header header;
	int64_t size;

	struct record wrapper;
	struct bytes packed;

	if (batch_next(blob.data, (size_t)blob.size, &header) <= 0)
		return false;
	if (header.magic < 2 && message_parse(blob.data, (size_t)header.size, &wrapper))
		return false;
	packed = header.magic < 2 ? wrapper.value
				  : (struct bytes){.data = blob.data + BATCH_HEADER_SIZE,
					    .size = header.size - BATCH_HEADER_SIZE};
	if (packed.size < 0 || decompress_begin(context, batch_compression(&header), header.magic,
				       packed.data, (size_t)packed.size, LIMIT))
		return false;
	while ((size = decompress_read(context, chunk, sizeof(chunk))) > 0)
		;
	decompress_end(context);
	return size < 0;
}

/*
 * Whether Kafka's code for damaged content tells only which of its layers stumbled first: besides
 * broken streams, versions of zstd differ in what they notice, and old messages whose key or value
 * doesn't fit fail where a text tries to print them.
 */
static bool damage_is_ambiguous(struct bytes blob)
{
	struct batch_header header;

	if (batch_next(blob.data, (size_t)blob.size, &header) <= 0)
		return false;
	return header.magic < 2 || batch_compression(&header) == COMPRESSION_ZSTD ||
	       stream_is_broken(blob);
}

/* The codes for damaged content. */
static bool damage_code(int16_t code)
{
	return code == KAFKA_UNKNOWN_SERVER_ERROR || code == KAFKA_INVALID_RECORD ||
	       code == KAFKA_CORRUPT_MESSAGE;
}

static bool check_validate(struct input *input)
{
	struct batch_rules rules = {.decompressed_limit = LIMIT};
	struct batch_verdict verdict;
	struct record_buffer out;
	struct arena arena;
	struct bytes blob;
	int64_t base_offset;
	int32_t leader_epoch;
	int16_t error, ours;
	bool same = true;

	rules.now_ms = input_number(input, 8);
	rules.timestamp_before_max_ms = input_number(input, 8);
	rules.timestamp_after_max_ms = input_number(input, 8);
	rules.timestamp_type = (enum timestamp_type)input_number(input, 1);
	rules.compacted = input_number(input, 1);
	rules.compression = (int)input_number(input, 1);
	rules.produce_version = (int16_t)input_number(input, 2);
	rules.batch_size_max = (int32_t)input_number(input, 4);
	base_offset = input_number(input, 8);
	leader_epoch = (int32_t)input_number(input, 4);
	rules.origin = input_number(input, 1) ? BATCH_ORIGIN_CLIENT : BATCH_ORIGIN_COORDINATOR;
	if (rules.compression >= 0)
		rules.compression_level = compression_levels(rules.compression).standard;
	blob = input_blob(input);
	error = (int16_t)input_number(input, 2);

	record_buffer_init(&out, LIMIT);
	arena_init(&arena, 16 << 20);
	batch_validate(context, &rules, blob.data, (size_t)blob.size, &arena, &verdict);
	if (!verdict.error && verdict.batch_count) {
		if (verdict.rebuild) {
			verdict.error = batch_rebuild(context, &rules, &verdict, blob.data,
				base_offset, leader_epoch, &out);
		} else {
			ensure(record_buffer_append(&out, blob.data, verdict.valid_size) == 0);
			batch_assign(&rules, &verdict, out.data, base_offset, leader_epoch);
		}
	}
	ours = batch_error_code(verdict.error);
	if (error == 0) {
		int rebuilt = (int)input_number(input, 1);
		int64_t max_timestamp = input_number(input, 8);
		struct bytes kafkas = input_blob(input);
		int32_t count = (int32_t)input_number(input, 4);
		int64_t hash = input_number(input, 8);

		if (rebuilt == 2 && verdict.error) {
			/* Kafka took what no consumer can read. */
			stricter++;
		} else if (ours != error) {
			printf("  refused with %d (%d), Kafka took it\n", ours, verdict.error);
			same = false;
		} else if (kafkas.size < 0) {
			same = verdict.batch_count == 0;
		} else if (verdict.rebuild != (rebuilt == 1) ||
			   verdict.max_timestamp != max_timestamp) {
			printf("  rebuild %d, Kafka %d; max timestamp %" PRId64 ", Kafka %" PRId64
			       "\n",
				verdict.rebuild, rebuilt, verdict.max_timestamp, max_timestamp);
			same = false;
		} else {
			same = output_matches(
				out.data, out.size, kafkas, verdict.rebuild, count, hash);
		}
	} else {
		bool readable = input_number(input, 1);
		bool words = errors_match(input, &rules, &verdict, &arena);

		if (!readable && verdict.error == BATCH_ERROR_INVALID &&
			error == KAFKA_INVALID_TIMESTAMP) {
			/* Kafka stepped over what is wrong and blames something else. */
			stricter++;
		} else if (ours != error && damage_code(ours) && damage_code(error) && !readable &&
			   damage_is_ambiguous(blob)) {
			damaged++;
		} else if (ours != error) {
			printf("  error %d (%d), Kafka %d\n", ours, verdict.error, error);
			same = false;
		} else {
			same = words;
		}
	}
	arena_done(&arena);
	record_buffer_done(&out);
	return same;
}

static bool check_down_convert(struct input *input)
{
	uint8_t magic = (uint8_t)input_number(input, 1);
	int64_t first_offset = input_number(input, 8);
	struct bytes blob = input_blob(input), kafkas;
	int16_t error = (int16_t)input_number(input, 2);
	struct record_buffer out;
	size_t converted;
	int32_t count;
	int64_t hash;
	int result;
	bool same;

	kafkas = input_blob(input);
	count = (int32_t)input_number(input, 4);
	hash = input_number(input, 8);
	record_buffer_init(&out, LIMIT);
	result = message_set_down_convert(context, blob.data, (size_t)blob.size, magic,
		first_offset, LIMIT, &out, &converted);
	same = batch_error_code(result) == error;
	if (!same) {
		printf("  error %d, Kafka %d\n", result, error);
	} else if (!error) {
		struct batch_header header;
		size_t position = 0;
		bool compressed = false;

		while (position < out.size &&
			batch_next(out.data + position, out.size - position, &header) > 0) {
			compressed |= batch_is_compressed(&header);
			position += (size_t)header.size;
		}
		same = compressed ? digest_matches(out.data, out.size, count, hash)
				  : output_matches(out.data, out.size, kafkas, false, count, hash);
	}
	record_buffer_done(&out);
	return same;
}

static int check(const char *path)
{
	static const struct {
		char kind;
		const char *what;
		bool (*check)(struct input *input);
	} kinds[] = {
		{'R', "written by Kafka, read by Barnabas", check_read},
		{'V', "validated, assigned and converted up as Kafka does", check_validate},
		{'D', "converted down as Kafka does", check_down_convert},
	};
	int passed[array_length(kinds)] = {0}, all_passed = 0, failed = 0, number = 0;
	FILE *file = fopen(path, "rb");
	struct input input;
	uint8_t *data;
	long size;

	ensure(file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0);
	rewind(file);
	data = malloc((size_t)size + 1);
	ensure(data && fread(data, 1, (size_t)size, file) == (size_t)size);
	fclose(file);
	input = (struct input){.next = data, .end = data + size};
	for (; input.next < input.end; number++) {
		char kind = (char)input_number(&input, 1);
		size_t k = 0;

		while (k < array_length(kinds) && kinds[k].kind != kind)
			k++;
		ensure(k < array_length(kinds));
		if (kinds[k].check(&input)) {
			passed[k]++;
			all_passed++;
		} else {
			printf("case %d (%c) differs\n", number, kind);
			failed++;
		}
	}
	free(data);
	for (size_t k = 0; k < array_length(kinds); k++)
		if (passed[k])
			printf("%s: %d\n", kinds[k].what, passed[k]);
	printf("refused by Barnabas though Kafka takes what no consumer can read: %d\n", stricter);
	printf("damaged records refused by both with another code: %d\n", damaged);
	printf("%d passed, %d failed\n", all_passed, failed);
	return failed || !all_passed;
}

/* ---- write */

static uint32_t seed;

static uint32_t random_below(uint32_t bound)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)(((uint64_t)seed * bound) >> 32);
}

static struct bytes random_bytes(uint8_t *room, uint32_t size_max)
{
	int32_t size = random_below(8) ? (int32_t)random_below(size_max + 1) : -1;
	bool plain = random_below(2);

	for (int32_t i = 0; i < size; i++)
		room[i] = plain ? (uint8_t)('a' + random_below(3)) : (uint8_t)random_below(256);
	return (struct bytes){.data = size < 0 ? NULL : room, .size = size};
}

static void random_batch(struct record_buffer *out, int64_t *offset)
{
	static uint8_t key_room[100], value_room[200000], header_room[4][32];
	static const uint32_t sizes[] = {40, 40, 40, 3000, 200000};
	struct batch_options options = BATCH_OPTIONS_DEFAULT;
	struct batch_builder builder;
	uint32_t size = sizes[random_below(5)], count = 1 + random_below(size > 3000 ? 4 : 50);

	options.base_offset = *offset;
	options.compression = random_below(COMPRESSION_COUNT);
	options.level = compression_levels(options.compression).standard;
	options.timestamp_type = random_below(4) ? TIMESTAMP_CREATE : TIMESTAMP_LOG_APPEND;
	options.log_append_time_ms = 1700000000000;
	if (random_below(2)) {
		options.producer_id = random_below(100000);
		options.producer_epoch = (int16_t)random_below(100);
		options.base_sequence = (int32_t)random_below(1 << 30);
		options.transactional = random_below(2);
	}
	ensure(batch_builder_begin(&builder, &options, context, out) == 0);
	for (uint32_t i = 0; i < count; i++) {
		struct record_header headers[4];
		int32_t header_count = random_below(3) ? 0 : (int32_t)random_below(5);
		struct bytes key = random_bytes(key_room, 60);
		struct bytes value = random_bytes(value_room, size);

		for (int32_t h = 0; h < header_count; h++)
			headers[h] = (struct record_header){
				.key = STR("h\xc3\xa4"), .value = random_bytes(header_room[h], 30)};
		ensure(batch_builder_append(&builder, *offset, 1699999990000 + random_below(20000),
			       key, value, headers, header_count) == 0);
		*offset += random_below(5) ? 1 : 1 + random_below(100);
	}
	ensure(batch_builder_end(&builder) == 0);
}

static int write_cases(const char *path, int count)
{
	FILE *file = fopen(path, "wb");
	struct record_buffer out, down;

	ensure(file);
	record_buffer_init(&out, LIMIT);
	record_buffer_init(&down, LIMIT);
	for (int i = 0; i < count; i++) {
		struct record_buffer *run = &out;
		struct digest digest;
		int64_t offset = random_below(1000000);
		uint32_t old = random_below(4), batches = 1 + random_below(3);
		uint8_t number[8];
		size_t converted;

		out.size = down.size = 0;
		for (uint32_t b = 0; b < batches; b++)
			random_batch(&out, &offset);
		/* Half of the runs go through the old formats; zstd has no place there. */
		if (old < 2 && message_set_down_convert(context, out.data, out.size, (uint8_t)old,
				       0, LIMIT, &down, &converted) == 0)
			run = &down;
		ensure(digest_all(run->data, run->size, &digest) == 0);
		fputc('R', file);
		store_be32(number, (uint32_t)run->size);
		fwrite(number, 1, 4, file);
		fwrite(run->data, 1, run->size, file);
		store_be32(number, (uint32_t)digest.count);
		fwrite(number, 1, 4, file);
		store_be64(number, digest.hash);
		fwrite(number, 1, 8, file);
	}
	record_buffer_done(&out);
	record_buffer_done(&down);
	return fclose(file) ? 1 : 0;
}

/* Small batches of every codec and magic behind the choices that batch_fuzz and compress_fuzz read
 * first. */
static int write_seeds(const char *folder, bool compressed_only)
{
	struct record_buffer out, down;
	int number = 0;

	record_buffer_init(&out, LIMIT);
	record_buffer_init(&down, LIMIT);
	while (number < 200) {
		struct record_buffer *run = &out;
		struct batch_header header;
		int64_t offset = 0;
		uint32_t old = random_below(4);
		uint8_t choices[6];
		size_t converted, skipped = 0, choice_count = sizeof(choices);
		char path[4096];
		FILE *file;

		out.size = down.size = 0;
		random_batch(&out, &offset);
		if (old < 2 && message_set_down_convert(context, out.data, out.size, (uint8_t)old,
				       0, LIMIT, &down, &converted) == 0)
			run = &down;
		if (run->size > 3000)
			continue;
		for (size_t i = 0; i < sizeof(choices); i++)
			choices[i] = (uint8_t)random_below(256);
		ensure(batch_next(run->data, run->size, &header) > 0);
		if (compressed_only) {
			skipped = header.magic == 2   ? BATCH_HEADER_SIZE
				  : header.magic == 1 ? MESSAGE_OVERHEAD_V1
						      : MESSAGE_OVERHEAD_V0;
			choices[0] = (uint8_t)(batch_compression(&header) | header.magic << 3);
			choice_count = 2;
		}
		snprintf(path, sizeof(path), "%s/%d", folder, number++);
		file = fopen(path, "wb");
		ensure(file);
		fwrite(choices, 1, choice_count, file);
		fwrite(run->data + skipped, 1, run->size - skipped, file);
		fclose(file);
	}
	record_buffer_done(&out);
	record_buffer_done(&down);
	return 0;
}

int main(int argc, char **argv)
{
	int status = 2;

	context = compress_context_new();
	ensure(context);
	if (argc == 3 && strcmp(argv[1], "check") == 0) {
		status = check(argv[2]);
	} else if (argc == 5 && strcmp(argv[1], "write") == 0) {
		seed = (uint32_t)strtoul(argv[3], NULL, 10);
		status = write_cases(argv[2], atoi(argv[4]));
	} else if (argc == 4 && strcmp(argv[1], "seeds") == 0) {
		status = write_seeds(argv[2], strcmp(argv[3], "compress") == 0);
	} else {
		fprintf(stderr, "usage: batch_peer check FILE | write FILE SEED COUNT | seeds "
				"FOLDER FUZZER\n");
	}
	compress_context_free(context);
	return status;
}
