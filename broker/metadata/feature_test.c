#include "broker/metadata/feature.h"

#include <criterion/criterion.h>

/* Levels that Kafka's storage tool prints for each release (kafka-storage version-mapping
 * --release-version). */
Test(feature, defaults_of_each_release_are_kafkas)
{
	static const struct {
		const char *release;
		int level;
		int elr, group, kraft, share, streams, transaction;
	} cases[] = {
		{"3.3-IV3", 7, 0, 0, 0, 0, 0, 0},
		{"3.8", 20, 0, 0, 0, 0, 0, 0},
		{"3.9.1", 21, 0, 0, 1, 0, 0, 0},
		{"4.0-IV0", 22, 0, 1, 1, 0, 0, 0},
		{"4.0", 25, 0, 1, 1, 0, 0, 2},
		{"4.1", 27, 1, 1, 1, 0, 0, 2},
		{"4.2-IV0", 28, 1, 1, 1, 1, 0, 2},
		{"4.2", 29, 1, 1, 1, 1, 1, 2},
		{"4.3.1", 30, 1, 1, 1, 1, 1, 2},
	};

	for (size_t i = 0; i < array_length(cases); i++) {
		const struct metadata_version_row *row =
			metadata_version_parse(str_from(cases[i].release));

		cr_assert_not_null(row, "%s", cases[i].release);
		cr_assert_eq(row->level, cases[i].level, "%s", cases[i].release);
#define LEVEL(name) feature_default_level(feature_find(STR(name)), row->level)
		cr_assert_eq(LEVEL(FEATURE_ELR_VERSION), cases[i].elr);
		cr_assert_eq(LEVEL(FEATURE_GROUP_VERSION), cases[i].group);
		cr_assert_eq(LEVEL(FEATURE_KRAFT_VERSION), cases[i].kraft);
		cr_assert_eq(LEVEL(FEATURE_SHARE_VERSION), cases[i].share);
		cr_assert_eq(LEVEL(FEATURE_STREAMS_VERSION), cases[i].streams);
		cr_assert_eq(LEVEL(FEATURE_TRANSACTION_VERSION), cases[i].transaction, "%s",
			cases[i].release);
#undef LEVEL
	}
	cr_assert_null(metadata_version_parse(STR("3.2")));
	cr_assert_null(metadata_version_parse(STR("4")));
	cr_assert_null(metadata_version_parse(STR("")));
	cr_assert_null(metadata_version_find(6));
	cr_assert_null(metadata_version_find(32));
}

/* A downgrade is harmless only where no level in between changed the records. */
Test(feature, knows_where_records_changed)
{
	cr_assert_not(metadata_version_changed_between(30, 30));
	cr_assert(metadata_version_changed_between(30, 29));
	cr_assert_not(metadata_version_changed_between(29, 23));
	cr_assert(metadata_version_changed_between(29, 22));
	cr_assert(metadata_version_changed_between(22, 29));
	cr_assert_not(metadata_version_changed_between(21, 17));
}

/* The record versions at the borders of the levels. */
Test(feature, record_versions_follow_the_level)
{
	cr_assert_eq(register_broker_record_version(7), 1);
	cr_assert_eq(register_broker_record_version(8), 2);
	cr_assert_eq(register_broker_record_version(17), 3);
	cr_assert_eq(register_broker_record_version(29), 3);
	cr_assert_eq(register_broker_record_version(30), 4);
	cr_assert_eq(partition_record_version(16), 0);
	cr_assert_eq(partition_record_version(21), 1);
	cr_assert_eq(partition_record_version(23), 2);
}
