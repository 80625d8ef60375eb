#include "broker/controller/decision.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/uuid.h"

struct decision_error decision_error(
	const struct decision *decision, enum kafka_error code, const char *format, ...)
{
	char message[1024];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	return (struct decision_error){
		.code = code,
		.message = arena_str(
			decision->arena, (struct str){.data = message,
						 .size = min_of(size, (int)sizeof(message) - 1)}),
	};
}

bool decision_may(const struct decision *decision, int operation, int resource, struct str name)
{
	const struct controller_op *op = decision->op;

	return !op || !op->may || op->may(op, operation, resource, name);
}

struct uuid decision_random_id(const struct decision *decision)
{
	uint8_t entropy[16];
	struct uuid id;

	do
		decision->entropy(decision->entropy_context, entropy, sizeof(entropy));
	while (!uuid_from_entropy(entropy, &id));
	return id;
}

uint32_t decision_random_below(const struct decision *decision, uint32_t below)
{
	uint32_t value, limit = UINT32_MAX - UINT32_MAX % below;

	ensure(below > 0);
	do
		decision->entropy(decision->entropy_context, &value, sizeof(value));
	while (value >= limit);
	return value % below;
}

/* The value that was set while running, for the topic, this node or the cluster; null when none
 * was. */
static struct str dynamic_value(const struct decision *decision, struct str topic, struct str name)
{
	char node[16];
	struct str value = image_config(decision->image, IMAGE_CONFIG_TOPIC, topic, name);

	if (!str_is_null(value))
		return value;
	snprintf(node, sizeof(node), "%d", decision->node_id);
	value = image_config(decision->image, IMAGE_CONFIG_BROKER, str_from(node), name);
	if (!str_is_null(value))
		return value;
	return image_config(decision->image, IMAGE_CONFIG_BROKER, STR(""), name);
}

int32_t decision_min_isr(const struct decision *decision, const struct image_topic *topic)
{
	struct str text = dynamic_value(decision, topic->name, STR("min.insync.replicas"));
	const struct partition_record *first = image_partition_at(topic, 0);
	long min_isr = config_int(decision->config, SETTING_MIN_INSYNC_REPLICAS);
	char digits[16];

	/* It was checked when it was set. */
	if (!str_is_null(text) && text.size < (int32_t)sizeof(digits)) {
		memcpy(digits, text.data, (size_t)text.size);
		digits[text.size] = '\0';
		min_isr = strtol(digits, NULL, 10);
	}
	return (int32_t)(first ? min_of(min_isr, (long)first->replicas_count) : min_isr);
}

bool decision_unclean_election(const struct decision *decision, const struct image_topic *topic)
{
	struct str text =
		dynamic_value(decision, topic->name, STR("unclean.leader.election.enable"));

	if (str_is_null(text))
		return config_bool(decision->config, SETTING_UNCLEAN_LEADER_ELECTION_ENABLE);
	return text.size == 4 && strncasecmp(text.data, "true", 4) == 0;
}

struct str topic_name_problem(struct arena *arena, struct str name)
{
	if (name.size == 0)
		return STR("Topic name is invalid: the empty string is not allowed");
	if (str_equal(name, STR(".")))
		return STR("Topic name is invalid: '.' is not allowed");
	if (str_equal(name, STR("..")))
		return STR("Topic name is invalid: '..' is not allowed");
	if (name.size > 249)
		return str_from(arena_printf(arena,
			"Topic name is invalid: the length of '%.*s' is longer than the max "
			"allowed length 249",
			STR_ARGS(name)));
	for (int32_t i = 0; i < name.size; i++) {
		char c = name.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-'))
			return str_from(arena_printf(arena,
				"Topic name is invalid: '%.*s' contains one or more characters "
				"other than ASCII "
				"alphanumerics, '.', '_' and '-'",
				STR_ARGS(name)));
	}
	return STR_NULL;
}
