/*
 * Is the state that a node finds on its disk the state that its records make? A copy of the disk is
 * opened twice, each time in a small world of its own: as it is (checkpoints, indexes, producer
 * snapshots, leader epochs), and with all of that taken away, so that everything is rebuilt from the
 * records. Log ends, every batch found by offset and by time, its leader epoch, and the producers
 * must be the same.
 */
#pragma once

#include "runtime/simulated/disk.h"

/*
 * False with RET_WHY filled when there is a difference. A disk that was not formatted yet has none.
 * IS_COMPACTED: logs may have gaps. STARTS_MOVE: records were deleted. Log starts may then be older again than what leader epochs and
 * producers remember, as in Kafka, whose checkpoint of log starts comes later than theirs.
 */
bool inspection_run(const struct disk *disk, bool starts_move, bool is_compacted, char *ret_why,
	size_t size);
