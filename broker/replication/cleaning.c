#include "broker/replication/cleaning.h"

#include <float.h>

#include "protocol/batch.h"
#include "storage/log.h"

/* What record batches are found to be, in the operator's words. */
static struct log_field reason(int error)
{
	switch (error) {
	case BATCH_ERROR_CORRUPT:
	case BATCH_ERROR_INVALID:
	case BATCH_ERROR_UNEXPECTED:
		return log_text("error", "a batch is damaged");
	case BATCH_ERROR_DECOMPRESS:
		return log_text("error", "a batch cannot be decompressed");
	case BATCH_ERROR_BOMB:
	case BATCH_ERROR_TOO_LARGE:
		return log_text("error", "a batch is too large");
	default:
		return log_errno("error", error);
	}
}

static void cleaned(void *argument, struct log *log, const struct log_cleaning *cleaning)
{
	struct broker_shard *shard = argument;

	if (cleaning->error) {
		log_event(&shard->logger,
			log_is_uncleanable(log) ? LOG_LOG_UNCLEANABLE : LOG_COMPACTION_FAILED,
			log_text("log", log_path(log)), reason(cleaning->error));
		return;
	}
	log_event(&shard->logger, LOG_LOG_COMPACTED, log_text("log", log_path(log)),
		log_int("from_offset", cleaning->from_offset),
		log_int("to_offset", cleaning->to_offset),
		log_int("records_read", (int64_t)cleaning->records_read),
		log_int("records_kept", (int64_t)cleaning->records_kept),
		log_int("segments_before", cleaning->segments_before),
		log_int("segments_after", cleaning->segments_after),
		log_int("duration_ms", (int64_t)(cleaning->duration_ns / NS_PER_MS)));
}

void cleaning_set(struct broker_shard *shard)
{
	const struct config *config = shard->config;
	double load = config_double(config, SETTING_LOG_CLEANER_IO_BUFFER_LOAD_FACTOR);
	double rate = config_double(config, SETTING_LOG_CLEANER_IO_MAX_BYTES_PER_SECOND);
	int64_t memory = config_long(config, SETTING_LOG_CLEANER_DEDUPE_BUFFER_SIZE);
	struct log_cleaner_options options = {
		.enabled = config_bool(config, SETTING_LOG_CLEANER_ENABLE),
		.threads = (uint32_t)max_of(config_int(config, SETTING_LOG_CLEANER_THREADS), 1),
		.dedupe_buffer_bytes = (uint64_t)max_of(memory, (int64_t)0),
		.io_buffer_bytes =
			(uint32_t)config_int(config, SETTING_LOG_CLEANER_IO_BUFFER_SIZE),
		/* The table of settings has no bounds for these two, as Kafka's has none. */
		.io_buffer_load_factor = load >= 0.01 && load <= 1 ? load : load > 1 ? 1 : 0.01,
		.io_bytes_per_second = rate >= 1 ? rate : rate < 1 ? 1 : DBL_MAX,
		.backoff_ms = config_long(config, SETTING_LOG_CLEANER_BACKOFF_MS),
		.running = &shard->broker->cleaners_running,
		.cleaned = cleaned,
		.argument = shard,
	};

	log_store_cleaner_set(shard->log_store, &options);
}
