/* Batches of values, and the requests that carry them: what all who produce share. */
#pragma once

#include "model.h"
#include "protocol/batch_builder.h"

enum { BATCH_RECORDS_MAX = 8 };

/* A batch that was sent, or is to be. Its bytes never change: a retry is the same batch. */
struct sending {
	struct record_buffer bytes;
	unsigned log, producer;
	uint32_t first_number;
	unsigned record_count;
	bool is_acknowledged;
	bool is_out_of_order; /* answered so in this try */
	bool was_sent;
};

/* A few new values of PRODUCER for LOG. OPTIONS says as whose batch; the codec is picked here. */
void sending_make(struct sending *sending, struct model *model, struct shard *shard,
	struct compress_context *compress, const struct batch_options *options, unsigned log,
	unsigned producer);
void sending_done(struct sending *sending);
/* Sends it to TOPIC; the answer to ACKS other than 0 is to be read by wire_answer. */
int sending_ask(struct sending *sending, struct model_connection *connection,
	const struct model_topic *topic, int16_t acks, int version);
/* The code of the one partition that was produced to; a violation when the answer is about
 * something else. */
int sending_answer_code(const struct sending *sending, struct model *model,
	const struct model_topic *topic, const struct produce_response *response);
/* BASE_OFFSET -1: not known. */
void sending_acknowledge(struct sending *sending, struct model *model, int64_t base_offset);
