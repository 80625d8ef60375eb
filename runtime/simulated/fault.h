/* What a simulated world breaks, counted: so that a test can say that it met each of them. */
#pragma once

enum fault {
	FAULT_WRITE_TORN,     /* the process died in the middle of a change */
	FAULT_SECTOR_LOST,    /* in a power cut: written, not synced, gone */
	FAULT_SECTOR_TORN,    /* in a power cut: a part of a sector survived */
	FAULT_NAME_LOST,      /* in a power cut: a change of names that no folder's sync made durable */
	FAULT_IO_ERROR,	      /* EIO */
	FAULT_NO_SPACE,	      /* ENOSPC */
	FAULT_SYNC_FAILED,    /* EIO of a sync */
	FAULT_PAGE_FORGOTTEN, /* by a failed sync: shown, and never written */
	FAULT_ROT,	      /* a bit of a synced byte */
	FAULT_COLD_READ,      /* bytes that must come from the disk */
	FAULT_RESET,	      /* of a connection */
	FAULT_SHORT_MOVE,     /* a send or receive moved a part */
	FAULT_CLOCK_JUMP,
	FAULT_STALL, /* a shard did not run for a while */
	FAULT_COUNT,
};

extern const char *const fault_names[FAULT_COUNT];
