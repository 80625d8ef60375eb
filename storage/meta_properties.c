#include "storage/meta_properties.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/property_file.h"

static bool parse_int32(struct str text, int32_t *ret)
{
	char buffer[16], *end;
	long value;

	if (text.size <= 0 || (size_t)text.size >= sizeof(buffer) || text.data[0] == ' ')
		return false;
	memcpy(buffer, text.data, (size_t)text.size);
	buffer[text.size] = '\0';
	errno = 0;
	value = strtol(buffer, &end, 10);
	if (errno != 0 || *end != '\0' || value < INT32_MIN || value > INT32_MAX)
		return false;
	*ret = (int32_t)value;
	return true;
}

static struct str trimmed(struct str text)
{
	while (text.size > 0 && (unsigned char)text.data[text.size - 1] <= ' ')
		text.size--;
	while (text.size > 0 && (unsigned char)text.data[0] <= ' ') {
		text.data++;
		text.size--;
	}
	return text;
}

int meta_properties_parse(
	struct arena *arena, struct str text, struct meta_properties *ret, const char **ret_why)
{
	struct meta_properties properties = {.cluster_id = STR_NULL, .node_id = -1};
	struct property_file entries;
	struct str version, node_id, directory_id;
	int32_t line;
	int error = property_file_parse(arena, text, &entries, &line);

	if (error == -ENOMEM)
		return error;
	*ret_why = "it is no properties file";
	if (error < 0)
		return -EBADMSG;
	version = property_file_get(&entries, STR("version"));
	*ret_why = "version is not a number";
	if (!str_is_null(version) && !parse_int32(trimmed(version), &properties.version))
		return -EBADMSG;
	*ret_why = "version is neither 0 nor 1";
	if (properties.version != 0 && properties.version != 1)
		return -EPROTONOSUPPORT;
	node_id = property_file_get(
		&entries, properties.version == 0 ? STR("broker.id") : STR("node.id"));
	*ret_why = "node.id is missing";
	if (str_is_null(node_id) && properties.version > 0)
		return -EBADMSG;
	*ret_why =
		properties.version == 0 ? "broker.id is not a number" : "node.id is not a number";
	if (!str_is_null(node_id) && !parse_int32(node_id, &properties.node_id))
		return -EBADMSG;
	properties.cluster_id = property_file_get(&entries, STR("cluster.id"));
	*ret_why = "cluster.id is missing";
	if (str_is_null(properties.cluster_id) && properties.version > 0)
		return -EBADMSG;
	directory_id = property_file_get(&entries, STR("directory.id"));
	if (!str_is_null(directory_id)) {
		*ret_why = "directory.id is not 22 characters of base64";
		if (uuid_parse(directory_id, &properties.directory_id) < 0)
			return -EBADMSG;
		*ret_why = "directory.id is reserved";
		if (uuid_is_reserved(&properties.directory_id))
			return -EBADMSG;
	}
	*ret_why = NULL;
	*ret = properties;
	return 0;
}

/* Java's Date.toString(), in UTC whatever the locale. */
static char *format_date(struct arena *arena, int64_t wall_ms)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm date;

	if (!gmtime_r(&seconds, &date))
		date = (struct tm){.tm_year = 70, .tm_mday = 1, .tm_wday = 4};
	return arena_printf(arena, "%s %s %02d %02d:%02d:%02d UTC %d", days[date.tm_wday],
		months[date.tm_mon], date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec,
		date.tm_year + 1900);
}

/* "NAME=VALUE\n", or nothing for a null value; NULL when the arena is exhausted. */
static const char *format_entry(struct arena *arena, const char *name, struct str value)
{
	if (str_is_null(value))
		return "";
	value = property_file_escape(arena, value, false);
	return str_is_null(value) ? NULL : arena_printf(arena, "%s=%.*s\n", name, STR_ARGS(value));
}

struct str meta_properties_format(
	struct arena *arena, const struct meta_properties *properties, int64_t wall_ms)
{
	char directory_id[UUID_TEXT_SIZE + 1];
	char *date = format_date(arena, wall_ms);
	const char *cluster = format_entry(arena, "cluster.id", properties->cluster_id),
		   *directory = "", *node = "";

	if (!uuid_is_zero(&properties->directory_id)) {
		uuid_format(&properties->directory_id, directory_id);
		directory = format_entry(arena, "directory.id", str_from(directory_id));
	}
	if (properties->node_id >= 0)
		node = arena_printf(arena, "%s=%d\n",
			properties->version == 0 ? "broker.id" : "node.id", properties->node_id);
	if (!date || !cluster || !directory || !node)
		return STR_NULL;
	/* The order in which a Java hash table gives these names: files of both programs compare
	 * equal but for the date. */
	return str_from(properties->version == 0 ? arena_printf(arena, "#\n#%s\n%s%sversion=0\n%s",
							   date, node, directory, cluster)
						 : arena_printf(arena, "#\n#%s\n%s%sversion=1\n%s",
							   date, node, directory, cluster));
}
