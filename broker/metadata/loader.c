#include "broker/metadata/loader.h"

#include <errno.h>

void image_loader_init(struct image_loader *loader, struct image *image)
{
	*loader = (struct image_loader){
		.image = image ? image : image_new(), .transaction_start = -1};
}

void image_loader_done(struct image_loader *loader)
{
	image_unref(loader->image);
	image_unref(loader->before);
	*loader = (struct image_loader){0};
}

int image_loader_apply(struct image_loader *loader, const struct metadata_record *record,
	int64_t offset, const char **ret_why)
{
	switch (record->type) {
	case CLUSTER_METADATA_BEGIN_TRANSACTION:
		if (loader->before) {
			*ret_why = "a transaction begins inside another";
			return -EBADMSG;
		}
		loader->before = image_ref(loader->image);
		loader->transaction_start = offset;
		return 0;
	case CLUSTER_METADATA_END_TRANSACTION:
	case CLUSTER_METADATA_ABORT_TRANSACTION:
		if (!loader->before) {
			*ret_why = "a transaction ends that did not begin";
			return -EBADMSG;
		}
		if (record->type == CLUSTER_METADATA_ABORT_TRANSACTION) {
			image_unref(loader->image);
			loader->image = loader->before;
		} else {
			image_unref(loader->before);
		}
		loader->before = NULL;
		loader->transaction_start = -1;
		return 0;
	default:
		return image_apply(&loader->image, record, offset, ret_why);
	}
}

void image_loader_position_set(struct image_loader *loader, struct image_position position)
{
	image_position_set(&loader->image, position);
}

struct image *image_loader_visible(const struct image_loader *loader)
{
	return image_ref(loader->before ? loader->before : loader->image);
}
