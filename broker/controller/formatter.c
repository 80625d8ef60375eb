#include "broker/controller/formatter.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/controller/scram.h"
#include "broker/controller/snapshot.h"
#include "runtime/uuid.h"
#include "storage/meta_properties.h"

enum { DIRECTORIES_MAX = 1024 };

struct format_directory {
	const char *path;
	bool is_formatted, is_metadata;
	struct uuid id;
};

struct formatter {
	struct shard *shard;
	const struct format_options *options;
	struct arena *arena;
	const char **ret_why;
	struct format_directory *directories; /* in order of path */
	int32_t count;
	int16_t levels[FEATURE_COUNT];
	const struct metadata_version_row *version;
	struct voters_record *voters; /* of a dynamic quorum; NULL */
	struct metadata_records records;
};

#define REFUSE(formatter, ...) \
	(*(formatter)->ret_why = arena_printf((formatter)->arena, __VA_ARGS__), -EINVAL)

static void say(struct formatter *formatter, const char *line)
{
	if (formatter->options->print && line)
		formatter->options->print(formatter->options->argument, line);
}

/* ---- directories ---- */

static int compare_directories(const void *a, const void *b)
{
	return strcmp(((const struct format_directory *)a)->path,
		((const struct format_directory *)b)->path);
}

static int add_directory(struct formatter *formatter, struct str path, bool is_metadata)
{
	struct str copy = arena_str(formatter->arena, path);

	if (str_is_null(copy))
		return -ENOMEM;
	for (int32_t i = 0; i < formatter->count; i++)
		if (strcmp(formatter->directories[i].path, copy.data) == 0) {
			formatter->directories[i].is_metadata |= is_metadata;
			return 0;
		}
	if (formatter->count == DIRECTORIES_MAX)
		return REFUSE(
			formatter, "log.dirs names more than %d directories", DIRECTORIES_MAX);
	formatter->directories[formatter->count++] =
		(struct format_directory){.path = copy.data, .is_metadata = is_metadata};
	return 0;
}

static int read_directory(struct formatter *formatter, struct format_directory *directory)
{
	char *path = arena_printf(
		     formatter->arena, "%s/" META_PROPERTIES_FILE_NAME, directory->path),
	     *data;
	struct meta_properties properties;
	const char *why;
	size_t size;
	int error = path ? fiber_read_whole(
				   formatter->shard, path, META_PROPERTIES_FILE_LIMIT, &data, &size)
			 : -ENOMEM;

	if (error == -ENOENT || error == -ENOTDIR)
		return 0;
	if (error < 0)
		return error;
	error = meta_properties_parse(formatter->arena,
		(struct str){.data = data, .size = (int32_t)size}, &properties, &why);
	free(data);
	if (error == -ENOMEM)
		return error;
	if (error < 0)
		return REFUSE(formatter, "%s: %s", path, why);
	if (!str_is_null(properties.cluster_id) &&
		!str_equal(properties.cluster_id, formatter->options->cluster_id))
		return REFUSE(formatter, "Invalid cluster.id in: %s. Expected %.*s, but read %.*s",
			path, STR_ARGS(formatter->options->cluster_id),
			STR_ARGS(properties.cluster_id));
	if (properties.node_id >= 0 &&
		properties.node_id != config_node_id(formatter->options->config))
		return REFUSE(formatter,
			"Stored node id %d doesn't match previous node id %d in %s. If you moved "
			"your data, make "
			"sure your configured node id matches. If you intend to create a new node, "
			"you should "
			"remove all data in your data directories.",
			properties.node_id, config_node_id(formatter->options->config), path);
	directory->is_formatted = true;
	directory->id = properties.directory_id;
	return 0;
}

static int find_directories(struct formatter *formatter)
{
	struct str_list paths = config_log_dirs(formatter->options->config);
	struct str metadata = config_metadata_log_dir(formatter->options->config);
	int error = 0;

	formatter->directories =
		arena_new_array(formatter->arena, struct format_directory, DIRECTORIES_MAX);
	if (!formatter->directories)
		return -ENOMEM;
	for (int32_t i = 0; i < paths.count && error == 0; i++)
		error = add_directory(formatter, paths.items[i], false);
	if (error == 0)
		error = add_directory(formatter, metadata, true);
	qsort(formatter->directories, (size_t)formatter->count, sizeof(*formatter->directories),
		compare_directories);
	for (int32_t i = 0; i < formatter->count && error == 0; i++) {
		error = read_directory(formatter, &formatter->directories[i]);
		if (error == 0 && formatter->directories[i].is_formatted &&
			!formatter->options->ignore_formatted) {
			*formatter->ret_why = arena_printf(formatter->arena,
				"Log directory %s is already formatted. Use --ignore-formatted to "
				"ignore this directory and "
				"format the others.",
				formatter->directories[i].path);
			error = -EEXIST;
		}
	}
	return error;
}

/* ---- features ---- */

static bool has_dynamic_quorum(const struct formatter *formatter)
{
	int32_t count;

	config_voters(formatter->options->config, &count);
	return count == 0;
}

static int parse_level(struct str text, int16_t *ret_level)
{
	char digits[8] = "", *end;
	long level;

	if (text.size <= 0 || text.size >= (int32_t)sizeof(digits))
		return -EINVAL;
	memcpy(digits, text.data, (size_t)text.size);
	level = strtol(digits, &end, 10);
	if (*end != '\0' || level < INT16_MIN || level > INT16_MAX)
		return -EINVAL;
	*ret_level = (int16_t)level;
	return 0;
}

struct wanted_feature {
	struct str name;
	int16_t level;
};

static int parse_feature(struct formatter *formatter, struct str text, struct wanted_feature *ret)
{
	const char *equals = text.size > 0 ? memchr(text.data, '=', (size_t)text.size) : NULL;

	if (!equals)
		return REFUSE(formatter,
			"Can't parse feature=level string %.*s: equals sign not found.",
			STR_ARGS(text));
	ret->name =
		str_trim((struct str){.data = text.data, .size = (int32_t)(equals - text.data)});
	if (parse_level(str_trim((struct str){.data = equals + 1,
				.size = text.size - (int32_t)(equals + 1 - text.data)}),
		    &ret->level) < 0)
		return REFUSE(formatter,
			"Can't parse feature=level string %.*s: unable to parse level as a short.",
			STR_ARGS(text));
	return 0;
}

static int choose_version(
	struct formatter *formatter, const struct wanted_feature *wanted, int count)
{
	const struct format_options *options = formatter->options;

	formatter->version = metadata_version_find(METADATA_VERSION_LATEST);
	if (!str_is_null(options->release_version)) {
		formatter->version = metadata_version_parse(options->release_version);
		if (!formatter->version)
			return REFUSE(formatter, "Unknown metadata.version '%.*s'.",
				STR_ARGS(options->release_version));
	}
	for (int i = 0; i < count; i++) {
		if (!str_equal(wanted[i].name, STR(FEATURE_METADATA_VERSION)))
			continue;
		if (!str_is_null(options->release_version))
			return REFUSE(formatter, "Use --release-version instead of --feature "
						 "metadata.version=X to avoid ambiguity.");
		formatter->version = metadata_version_find(wanted[i].level);
		if (!formatter->version)
			return REFUSE(formatter,
				"No MetadataVersion with feature level %d. Valid feature levels "
				"are from %d to %d.",
				wanted[i].level, METADATA_VERSION_MIN,
				METADATA_VERSION_LATEST_TESTING);
	}
	if (formatter->version->level > METADATA_VERSION_LATEST)
		return REFUSE(formatter, "metadata.version %s is not yet stable.",
			formatter->version->name);
	return 0;
}

static int choose_kraft_version(struct formatter *formatter, bool is_set, int16_t *level)
{
	bool dynamic = has_dynamic_quorum(formatter);

	if (!is_set)
		*level = dynamic;
	else if (*level == 0 && dynamic)
		return REFUSE(formatter,
			"Cannot set kraft.version to 0 if controller.quorum.voters is empty and "
			"one of the flags --standalone, "
			"--initial-controllers, or --no-initial-controllers is used. For dynamic "
			"controllers support, try "
			"removing the --feature flag for kraft.version.");
	else if (*level > 0 && !dynamic)
		return REFUSE(formatter,
			"Cannot set kraft.version to %d unless controller.quorum.voters is empty "
			"and one of the flags "
			"--standalone, --initial-controllers, or --no-initial-controllers is used. "
			"For dynamic controllers "
			"support, try using one of --standalone, --initial-controllers, or "
			"--no-initial-controllers and "
			"removing controller.quorum.voters.",
			*level);
	return 0;
}

static int choose_levels(struct formatter *formatter)
{
	const struct format_options *options = formatter->options;
	struct wanted_feature wanted[FORMAT_LIST_MAX];
	bool is_set[FEATURE_COUNT] = {false};
	int error = 0;

	for (int i = 0; i < options->feature_count && error == 0; i++)
		error = parse_feature(formatter, options->features[i], &wanted[i]);
	if (error == 0)
		error = choose_version(formatter, wanted, options->feature_count);
	if (error < 0)
		return error;
	for (int i = 0; i < FEATURE_COUNT; i++)
		formatter->levels[i] =
			feature_default_level(&feature_table[i], formatter->version->level);
	for (int i = 0; i < options->feature_count; i++) {
		const struct feature_row *row = feature_find(wanted[i].name);

		if (str_equal(wanted[i].name, STR(FEATURE_METADATA_VERSION)))
			continue;
		if (!row)
			return REFUSE(formatter,
				"Unsupported feature: %.*s. Supported features are: "
				"eligible.leader.replicas.version, "
				"group.version, kraft.version, share.version, streams.version, "
				"transaction.version",
				STR_ARGS(wanted[i].name));
		formatter->levels[row - feature_table] = wanted[i].level;
		is_set[row - feature_table] = true;
	}
	for (int i = 0; i < FEATURE_COUNT; i++) {
		const struct feature_row *row = &feature_table[i];
		int16_t *level = &formatter->levels[i];

		if (strcmp(row->name, FEATURE_KRAFT_VERSION) == 0) {
			error = choose_kraft_version(formatter, is_set[i], level);
			if (error < 0)
				return error;
		}
		if (*level < 0 || *level > row->max_level)
			return REFUSE(formatter, "No feature:%s with feature level %d", row->name,
				*level);
		if (row->needs_metadata_version[*level] > formatter->version->level)
			return REFUSE(formatter,
				"%s could not be set to %d because it depends on metadata.version "
				"level %d",
				row->name, *level, row->needs_metadata_version[*level]);
	}
	return 0;
}

static int make_records(struct formatter *formatter)
{
	struct feature_level_record *feature;

	metadata_records_init(&formatter->records, formatter->arena);
	feature = metadata_records_add(&formatter->records, CLUSTER_METADATA_FEATURE_LEVEL, 0);
	if (!feature)
		return -ENOMEM;
	feature->name = STR(FEATURE_METADATA_VERSION);
	feature->feature_level = formatter->version->level;
	for (int i = 0; i < FEATURE_COUNT; i++) {
		/* kraft.version is no record of the image: the quorum's control records say it. */
		if (formatter->levels[i] == 0 ||
			strcmp(feature_table[i].name, FEATURE_KRAFT_VERSION) == 0)
			continue;
		feature = metadata_records_add(
			&formatter->records, CLUSTER_METADATA_FEATURE_LEVEL, 0);
		if (!feature)
			return -ENOMEM;
		feature->name = str_from(feature_table[i].name);
		feature->feature_level = formatter->levels[i];
	}
	if (formatter->options->scram_count > 0 &&
		formatter->version->level < METADATA_VERSION_3_5_IV2)
		return REFUSE(
			formatter, "SCRAM is only supported in metadata.version 3.5-IV2 or later.");
	for (int i = 0; i < formatter->options->scram_count; i++) {
		struct user_scram_credential_record *credential = metadata_records_add(
			&formatter->records, CLUSTER_METADATA_USER_SCRAM_CREDENTIAL, 0);
		uint8_t entropy[32];
		int error;

		if (!credential)
			return -ENOMEM;
		shard_entropy(formatter->shard, entropy, sizeof(entropy));
		error = scram_parse(formatter->options->scram[i], entropy, formatter->arena,
			credential, formatter->ret_why);
		if (error < 0)
			return error;
	}
	return 0;
}

/* ---- voters ---- */

static int add_voter(struct formatter *formatter, int32_t id, struct str host, uint16_t port,
	const struct uuid *directory_id)
{
	const struct config *config = formatter->options->config;
	struct str_list names = config_list(config, SETTING_CONTROLLER_LISTENER_NAMES);
	struct voters_record_voter *voter =
		&formatter->voters->voters[formatter->voters->voters_count++];

	schema_init(&voters_record_voter_schema, voter);
	voter->voter_id = id;
	voter->voter_directory_id = *directory_id;
	voter->kraft_version_feature.min_supported_version = 0;
	voter->kraft_version_feature.max_supported_version = 1;
	voter->endpoints = schema_new_array(&voters_record_endpoint_schema, formatter->arena, 1);
	if (!voter->endpoints || names.count == 0)
		return voter->endpoints ? REFUSE(formatter, "controller.listener.names is not set")
					: -ENOMEM;
	voter->endpoints_count = 1;
	voter->endpoints[0].name = names.items[0];
	voter->endpoints[0].host = host;
	voter->endpoints[0].port = port;
	return 0;
}

/* "id@host:port:directory"; the host may be an IPv6 address in brackets. */
static int parse_voter(struct formatter *formatter, struct str text)
{
	struct str whole = text = str_trim(text), host, directory;
	const char *at = text.size > 0 ? memchr(text.data, '@', (size_t)text.size) : NULL, *colon;
	char digits[12] = "", *end;
	struct uuid directory_id;
	long id, port;

	if (!at || at == text.data || at - text.data >= (long)sizeof(digits))
		return REFUSE(formatter, "No node id found in dynamic voter string %.*s.",
			STR_ARGS(whole));
	memcpy(digits, text.data, (size_t)(at - text.data));
	id = strtol(digits, &end, 10);
	if (*end != '\0' || id < 0 || id > INT32_MAX)
		return REFUSE(formatter, "Failed to parse node id in dynamic voter string %.*s.",
			STR_ARGS(whole));
	directory = (struct str){
		.data = text.data + text.size - UUID_TEXT_SIZE, .size = UUID_TEXT_SIZE};
	if (text.data + text.size - (at + 1) < UUID_TEXT_SIZE + 4 || directory.data[-1] != ':' ||
		uuid_parse(directory, &directory_id) < 0)
		return REFUSE(formatter,
			"Failed to parse directory ID in dynamic voter string %.*s.",
			STR_ARGS(whole));
	host = (struct str){.data = at + 1, .size = (int32_t)(directory.data - 1 - (at + 1))};
	colon = memrchr(host.data, ':', (size_t)host.size);
	if (!colon || colon == host.data ||
		host.data + host.size - (colon + 1) >= (long)sizeof(digits))
		return REFUSE(
			formatter, "No port found in dynamic voter string %.*s.", STR_ARGS(whole));
	memset(digits, 0, sizeof(digits));
	memcpy(digits, colon + 1, (size_t)(host.data + host.size - (colon + 1)));
	port = strtol(digits, &end, 10);
	if (*end != '\0' || end == digits || port < 0 || port > 65535)
		return REFUSE(
			formatter, "Invalid port in dynamic voter string %.*s.", STR_ARGS(whole));
	host.size = (int32_t)(colon - host.data);
	if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']')
		host = (struct str){.data = host.data + 1, .size = host.size - 2};
	return add_voter(formatter, (int32_t)id, host, (uint16_t)port, &directory_id);
}

static int add_own_voter(struct formatter *formatter)
{
	const struct config *config = formatter->options->config;
	struct uuid directory_id = uuid_random(formatter->shard);
	const struct listener_config *listeners;
	int32_t count;

	if (!(config_roles(config) & CONFIG_ROLE_CONTROLLER))
		return REFUSE(formatter, "You can only use --standalone on a controller.");
	listeners = config_advertised(config, &count);
	for (int32_t i = 0; i < count; i++)
		if (listeners[i].is_controller)
			return add_voter(formatter, config_node_id(config),
				listeners[i].advertised_host.size > 0 ? listeners[i].advertised_host
								      : STR("localhost"),
				listeners[i].advertised_port, &directory_id);
	return REFUSE(formatter, "No controller listeners found.");
}

static int choose_voters(struct formatter *formatter)
{
	const struct format_options *options = formatter->options;
	struct str rest = options->initial_controllers, item;
	bool dynamic = has_dynamic_quorum(formatter);
	int error = 0;

	if (!dynamic && (options->standalone || !str_is_null(rest)))
		return REFUSE(formatter, "You cannot specify controller.quorum.voters and format "
					 "the node with --initial-controllers or "
					 "--standalone. If you want to use dynamic quorum, please "
					 "remove controller.quorum.voters and specify "
					 "controller.quorum.bootstrap.servers instead.");
	if (dynamic && !options->standalone && str_is_null(rest) &&
		!options->no_initial_controllers &&
		(config_roles(options->config) & CONFIG_ROLE_CONTROLLER))
		return REFUSE(formatter, "Because controller.quorum.voters is not set on this "
					 "controller, you must specify one of the "
					 "following: --standalone, --initial-controllers, or "
					 "--no-initial-controllers.");
	if (!options->standalone && str_is_null(rest))
		return 0;
	formatter->voters = schema_new(&voters_record_schema, formatter->arena);
	if (!formatter->voters)
		return -ENOMEM;
	formatter->voters->voters =
		schema_new_array(&voters_record_voter_schema, formatter->arena, FORMAT_LIST_MAX);
	if (!formatter->voters->voters)
		return -ENOMEM;
	formatter->voters->voters_count = 0;
	if (options->standalone)
		return add_own_voter(formatter);
	while (error == 0 && str_split_next(&rest, ',', &item)) {
		if (formatter->voters->voters_count == FORMAT_LIST_MAX)
			return REFUSE(formatter, "--initial-controllers names more than %d voters.",
				FORMAT_LIST_MAX);
		error = parse_voter(formatter, item);
	}
	return error;
}

/* ---- writing ---- */

static const struct voters_record_voter *own_voter(const struct formatter *formatter)
{
	for (int32_t i = 0; formatter->voters && i < formatter->voters->voters_count; i++)
		if (formatter->voters->voters[i].voter_id ==
			config_node_id(formatter->options->config))
			return &formatter->voters->voters[i];
	return NULL;
}

enum { SYNCS_MAX = 64 }; /* of one directory: folders above it, and a few */

/*
 * A directory that is being formatted. Nothing in it counts before it has its meta.properties: that gets
 * its name when all else is on the disk, bytes and names in any order. A crash before leaves what the next
 * format writes over.
 */
struct writing {
	struct formatter *formatter;
	const struct format_directory *directory;
	struct sync_ask syncs[SYNCS_MAX]; /* of all but the name of meta.properties */
	size_t sync_count;
	char *properties_path, *properties_temporary;
};

/* One of the two; a reference of the file's is kept until the writing's end. */
static int sync_later(struct writing *writing, struct file *file, const char *folder)
{
	if (!file && !folder)
		return -ENOMEM;
	if (writing->sync_count == SYNCS_MAX)
		return -ENAMETOOLONG;
	writing->syncs[writing->sync_count++] =
		(struct sync_ask){.file = file ? file_ref(file) : NULL, .folder = folder};
	return 0;
}

/* The folder that PATH, a folder just made, has its name in. */
static int sync_parent_later(struct writing *writing, const char *path)
{
	struct arena *arena = writing->formatter->arena;
	const char *slash = strrchr(path, '/');

	return sync_later(writing, NULL,
		!slash		? "."
		: slash == path ? "/"
				: arena_printf(arena, "%.*s", (int)(slash - path), path));
}

/* The folder and its parents. */
static int make_folders(struct writing *writing, const char *path)
{
	char *prefix = arena_printf(writing->formatter->arena, "%s", path);

	if (!prefix)
		return -ENOMEM;
	for (char *slash = strchr(prefix + 1, '/');; slash = strchr(slash + 1, '/')) {
		int error;

		if (slash)
			*slash = '\0';
		error = fiber_make_folder(writing->formatter->shard, prefix);
		if (error == 0)
			error = sync_parent_later(writing, prefix);
		if (error < 0 && error != -EEXIST)
			return error;
		if (!slash)
			return sync_later(writing, NULL, path);
		*slash = '/';
	}
}

/* The end of what WRITER wrote; frees it in any case. */
static int end_snapshot(struct writing *writing, struct snapshot_writer *writer)
{
	struct file *file = snapshot_writer_end(writer);

	return snapshot_writer_name(writer, file ? sync_later(writing, file, NULL) : 0);
}

static int write_bootstrap(struct writing *writing)
{
	struct formatter *formatter = writing->formatter;
	char *path = arena_printf(
		formatter->arena, "%s/" BOOTSTRAP_CHECKPOINT_FILE_NAME, writing->directory->path);
	struct snapshot_writer writer;

	if (!path)
		return -ENOMEM;
	snapshot_writer_begin(&writer, formatter->shard, path, 0, 0, NULL);
	for (int32_t i = 0; i < formatter->records.count; i++)
		snapshot_writer_add(&formatter->records.items[i], &writer);
	return end_snapshot(writing, &writer);
}

static int write_voters(struct writing *writing)
{
	struct formatter *formatter = writing->formatter;
	struct quorum_voters voters = {.kraft_version = 1, .voters = formatter->voters};
	char *folder =
		arena_printf(formatter->arena, "%s/__cluster_metadata-0", writing->directory->path);
	char name[SNAPSHOT_NAME_SIZE];
	struct snapshot_writer writer;
	char *path;
	int error;

	snapshot_name_format((struct snapshot_id){0, 0}, name);
	path = folder ? arena_printf(formatter->arena, "%s/%s", folder, name) : NULL;
	if (!path)
		return -ENOMEM;
	error = make_folders(writing, folder);
	if (error < 0)
		return error;
	snapshot_writer_begin(&writer, formatter->shard, path, 0, shard_wall_ms(formatter->shard),
		&voters);
	return end_snapshot(writing, &writer);
}

static int write_properties(struct writing *writing)
{
	struct formatter *formatter = writing->formatter;
	const struct format_directory *directory = writing->directory;
	const struct voters_record_voter *voter =
		directory->is_metadata ? own_voter(formatter) : NULL;
	struct meta_properties properties = {
		.version = 1,
		.cluster_id = formatter->options->cluster_id,
		.node_id = config_node_id(formatter->options->config),
		.directory_id = voter ? voter->voter_directory_id : uuid_random(formatter->shard),
	};
	struct str text = meta_properties_format(
		formatter->arena, &properties, shard_wall_ms(formatter->shard));
	struct file *file;
	int error;

	writing->properties_path =
		arena_printf(formatter->arena, "%s/" META_PROPERTIES_FILE_NAME, directory->path);
	writing->properties_temporary = arena_printf(
		formatter->arena, "%s/" META_PROPERTIES_FILE_NAME ".tmp", directory->path);
	if (!writing->properties_path || !writing->properties_temporary || str_is_null(text))
		return -ENOMEM;
	error = fiber_write_new(formatter->shard, writing->properties_temporary, text.data,
		(size_t)text.size, &file);
	if (error < 0)
		return error;
	error = sync_later(writing, file, NULL);
	file_unref(file);
	return error;
}

/* The log of a dynamic quorum names the directory's id: it must not be there without meta.properties. */
static bool name_is_synced_later(const struct writing *writing)
{
	return writing->formatter->options->opens_at_once && writing->directory->is_metadata &&
	       !has_dynamic_quorum(writing->formatter);
}

/* Waits for all that was written, then for the name that makes it count. ERROR: not all was written, for that
 * reason. */
static int make_it_count(struct writing *writing, int error)
{
	struct shard *shard = writing->formatter->shard;

	if (error == 0)
		error = fiber_sync_all(shard, writing->syncs, writing->sync_count);
	for (size_t i = 0; i < writing->sync_count; i++)
		file_unref(writing->syncs[i].file);
	if (error == 0)
		error = fiber_rename(
			shard, writing->properties_temporary, writing->properties_path);
	if (error < 0 || name_is_synced_later(writing))
		return error;
	return fiber_sync_folder(shard, writing->directory->path);
}

static int format_directory(struct formatter *formatter, const struct format_directory *directory)
{
	const char *kind = !directory->is_metadata ? "data directory"
			   : !formatter->voters	   ? "metadata directory"
			   : own_voter(formatter)  ? "dynamic metadata voter directory"
						   : "dynamic metadata directory";
	struct writing writing = {.formatter = formatter, .directory = directory};
	int error;

	say(formatter, arena_printf(formatter->arena, "Formatting %s %s with metadata.version %s.",
			       kind, directory->path, formatter->version->name));
	error = make_folders(&writing, directory->path);
	if (error == 0)
		error = write_bootstrap(&writing);
	if (error == 0 && directory->is_metadata && formatter->voters)
		error = write_voters(&writing);
	if (error == 0)
		error = write_properties(&writing);
	error = make_it_count(&writing, error);
	if (error < 0 && error != -EINVAL)
		*formatter->ret_why = arena_printf(
			formatter->arena, "Error while writing into %s", directory->path);
	return error;
}

int formatter_run(struct shard *shard, const struct format_options *options, struct arena *arena,
	const char **ret_why)
{
	struct formatter formatter = {
		.shard = shard, .options = options, .arena = arena, .ret_why = ret_why};
	bool all_formatted = true;
	int error;

	*ret_why = "the directories cannot be read";
	if (config_roles(options->config) == 0)
		return REFUSE(&formatter, "The kafka configuration file appears to be for a legacy "
					  "cluster. Formatting is only "
					  "supported for clusters in KRaft mode.");
	if (options->cluster_id.size <= 0)
		return REFUSE(&formatter, "You must specify the cluster id.");
	error = choose_voters(&formatter);
	if (error == 0)
		error = choose_levels(&formatter);
	if (error == 0)
		error = make_records(&formatter);
	if (error == 0)
		error = find_directories(&formatter);
	for (int32_t i = 0; i < formatter.count && error == 0; i++) {
		if (formatter.directories[i].is_formatted)
			continue;
		all_formatted = false;
		error = format_directory(&formatter, &formatter.directories[i]);
	}
	if (error == 0 && all_formatted)
		say(&formatter, "All of the log directories are already formatted.");
	return error;
}
