/*
 * Applies the records of the log to an image, transactions included: what stands between
 * BeginTransaction and EndTransaction takes effect together, or not at all after AbortTransaction
 * (KIP-868).
 */
#pragma once

#include "broker/metadata/image.h"

struct image_loader {
	struct image *image;	   /* with everything applied so far, also of an open transaction */
	struct image *before;	   /* without the open transaction; NULL when none is open */
	int64_t transaction_start; /* offset of its BeginTransaction; -1 */
};

/* From the empty image, or from *IMAGE, a reference of which is taken over. */
void image_loader_init(struct image_loader *loader, struct image *image);
void image_loader_done(struct image_loader *loader);
/* OFFSET is -1 for the records of a snapshot. Errors as image_apply. */
int image_loader_apply(struct image_loader *loader, const struct metadata_record *record,
	int64_t offset, const char **ret_why);
/* All records of a batch, or of a snapshot, are applied: the image stands here now. */
void image_loader_position_set(struct image_loader *loader, struct image_position position);
/* What may be seen: a new reference to the image without an open transaction. */
struct image *image_loader_visible(const struct image_loader *loader);
