/* AllocateProducerIds: blocks of a thousand, none given twice (Kafka: ProducerIdControlManager). */
#include <errno.h>

#include "broker/controller/decision.h"

enum { PRODUCER_ID_BLOCK_SIZE = 1000 };

int decide_allocate_producer_ids(const struct decision *decision,
	const struct allocate_producer_ids_request *request,
	struct allocate_producer_ids_response *response)
{
	const struct register_broker_record *broker =
		image_broker(decision->image, request->broker_id);
	int64_t first = image_next_producer_id(decision->image);
	struct producer_ids_record *record;

	if (!broker || broker->broker_epoch != request->broker_epoch) {
		response->error_code = KAFKA_STALE_BROKER_EPOCH;
		return 0;
	}
	if (first > INT64_MAX - PRODUCER_ID_BLOCK_SIZE) {
		response->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
		return 0;
	}
	record = metadata_records_add(decision->records, CLUSTER_METADATA_PRODUCER_IDS, 0);
	if (!record)
		return -ENOMEM;
	record->broker_id = request->broker_id;
	record->broker_epoch = request->broker_epoch;
	record->next_producer_id = first + PRODUCER_ID_BLOCK_SIZE;
	response->producer_id_start = first;
	response->producer_id_len = PRODUCER_ID_BLOCK_SIZE;
	return 0;
}
