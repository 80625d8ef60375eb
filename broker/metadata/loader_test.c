#include "broker/metadata/loader.h"

#include <errno.h>

#include <criterion/criterion.h>

static struct arena arena;

static void set_up(void)
{
	arena_init(&arena, 1 << 20);
}

static void tear_down(void)
{
	arena_done(&arena);
}

TestSuite(loader, .init = set_up, .fini = tear_down);

static int apply_type(struct image_loader *loader, int type, int64_t offset)
{
	struct metadata_records records;
	const char *why;

	metadata_records_init(&records, &arena);
	metadata_records_add(&records, type, 0);
	return image_loader_apply(loader, &records.items[0], offset, &why);
}

static void set_level(struct image_loader *loader, int level, int64_t offset)
{
	struct metadata_records records;
	struct feature_level_record *record;
	const char *why;

	metadata_records_init(&records, &arena);
	record = metadata_records_add(&records, CLUSTER_METADATA_FEATURE_LEVEL, 0);
	record->name = STR(FEATURE_METADATA_VERSION);
	record->feature_level = (int16_t)level;
	cr_assert_eq(image_loader_apply(loader, &records.items[0], offset, &why), 0);
}

static int visible_level(const struct image_loader *loader)
{
	struct image *image = image_loader_visible(loader);
	int level = image_metadata_version(image);

	image_unref(image);
	return level;
}

/* A transaction's records are not seen before its end, and never after an abort. */
Test(loader, transactions_take_effect_as_a_whole)
{
	struct image_loader loader;

	image_loader_init(&loader, NULL);
	set_level(&loader, 20, 0);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_BEGIN_TRANSACTION, 1), 0);
	cr_assert_eq(loader.transaction_start, 1);
	set_level(&loader, 21, 2);
	cr_assert_eq(visible_level(&loader), 20);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_END_TRANSACTION, 3), 0);
	cr_assert_eq(visible_level(&loader), 21);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_BEGIN_TRANSACTION, 4), 0);
	set_level(&loader, 22, 5);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_ABORT_TRANSACTION, 6), 0);
	cr_assert_eq(visible_level(&loader), 21);
	cr_assert_eq(loader.transaction_start, -1);
	image_loader_done(&loader);
}

/* Begin and end must come in turn. */
Test(loader, transactions_do_not_nest)
{
	struct image_loader loader;

	image_loader_init(&loader, NULL);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_END_TRANSACTION, 0), -EBADMSG);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_ABORT_TRANSACTION, 0), -EBADMSG);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_BEGIN_TRANSACTION, 0), 0);
	cr_assert_eq(apply_type(&loader, CLUSTER_METADATA_BEGIN_TRANSACTION, 1), -EBADMSG);
	image_loader_done(&loader);
}
