#include "broker/metadata/feature.h"

/* Kafka: MetadataVersion. Levels ascend by one. */
const struct metadata_version_row metadata_versions[] = {
	{7, "3.3", "3.3-IV3", true},
	{8, "3.4", "3.4-IV0", true},
	{9, "3.5", "3.5-IV0", false},
	{10, "3.5", "3.5-IV1", false},
	{11, "3.5", "3.5-IV2", true},
	{12, "3.6", "3.6-IV0", false},
	{13, "3.6", "3.6-IV1", true},
	{14, "3.6", "3.6-IV2", true},
	{15, "3.7", "3.7-IV0", true},
	{16, "3.7", "3.7-IV1", false},
	{17, "3.7", "3.7-IV2", true},
	{18, "3.7", "3.7-IV3", false},
	{19, "3.7", "3.7-IV4", false},
	{20, "3.8", "3.8-IV0", false},
	{21, "3.9", "3.9-IV0", false},
	{22, "4.0", "4.0-IV0", false},
	{23, "4.0", "4.0-IV1", true},
	{24, "4.0", "4.0-IV2", false},
	{25, "4.0", "4.0-IV3", false},
	{26, "4.1", "4.1-IV0", false},
	{27, "4.1", "4.1-IV1", false},
	{28, "4.2", "4.2-IV0", false},
	{29, "4.2", "4.2-IV1", false},
	{30, "4.3", "4.3-IV0", true},
	{31, "4.4", "4.4-IV0", false},
};
const int metadata_version_count = (int)array_length(metadata_versions);

_Static_assert(array_length(metadata_versions) ==
		       METADATA_VERSION_LATEST_TESTING - METADATA_VERSION_MIN + 1,
	"the levels of metadata.version stand in a row");

const struct metadata_version_row *metadata_version_find(int level)
{
	if (level < METADATA_VERSION_MIN || level > METADATA_VERSION_LATEST_TESTING)
		return NULL;
	return &metadata_versions[level - METADATA_VERSION_MIN];
}

/* The first two numbers of "4.3.1"; a name with "-IV" is taken whole, as Kafka does when it has at
 * most two parts. */
static struct str first_two_parts(struct str text)
{
	int dots = 0;

	for (int32_t i = 0; i < text.size; i++)
		if (text.data[i] == '.' && ++dots == 2)
			return (struct str){.data = text.data, .size = i};
	return text;
}

const struct metadata_version_row *metadata_version_parse(struct str text)
{
	const struct metadata_version_row *newest = NULL;

	if (str_is_null(text))
		return NULL;
	text = first_two_parts(text);
	for (int i = 0; i < metadata_version_count; i++) {
		const struct metadata_version_row *row = &metadata_versions[i];

		if (str_equal(str_from(row->name), text))
			return row;
		if (str_equal(str_from(row->release), text) &&
			row->level <= METADATA_VERSION_LATEST)
			newest = row;
	}
	return newest;
}

bool metadata_version_changed_between(int a, int b)
{
	int low = min_of(a, b), high = max_of(a, b);

	for (int level = high; level > low; level--)
		if (metadata_version_find(level)->changes_records)
			return true;
	return false;
}

/* Kafka: Feature and the enums that it names. */
const struct feature_row feature_table[FEATURE_COUNT] = {
	{FEATURE_ELR_VERSION, 1, {7, 26}, {0, METADATA_VERSION_4_0_IV1}},
	{FEATURE_GROUP_VERSION, 1, {7, 22}, {0}},
	{FEATURE_KRAFT_VERSION, 1, {7, METADATA_VERSION_3_9_IV0}, {0}},
	{FEATURE_SHARE_VERSION, 1, {7, 28}, {0}},
	{FEATURE_STREAMS_VERSION, 1, {7, 29}, {0}},
	{FEATURE_TRANSACTION_VERSION, 2, {7, 24, 24}, {0}},
};

const struct feature_row *feature_find(struct str name)
{
	for (int i = 0; i < FEATURE_COUNT; i++)
		if (str_equal(str_from(feature_table[i].name), name))
			return &feature_table[i];
	return NULL;
}

int16_t feature_default_level(const struct feature_row *feature, int metadata_version)
{
	int16_t level = 0;

	while (level < feature->max_level && feature->default_from[level + 1] <= metadata_version)
		level++;
	return level;
}
