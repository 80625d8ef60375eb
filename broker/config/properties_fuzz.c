/*
 * libFuzzer: any bytes as a server.properties. What can be read is built into a configuration, so
 * that values, listeners and the checks across settings are reached as well.
 */
#include "broker/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Names and values that hold together, so that one changed line at a time is tried. */
	static const char base[] =
		"process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
		"controller.quorum.voters=1@localhost:9093\n"
		"listeners=PLAINTEXT://:9092,CONTROLLER://:9093\n";
	struct arena arena;
	struct config_report report;
	struct config *config = NULL;
	struct config_entries layers[2];
	struct properties_problem problem;

	arena_init(&arena, 8 << 20);
	config_report_init(&report);
	ensure(properties_parse(STR(base), &arena, &layers[0], &problem) == 0);
	if (properties_parse((struct str){(const char *)data, (int32_t)size}, &arena, &layers[1],
		    &problem) == 0) {
		int error = config_new(layers, 2, &report, &config);
		ensure((error == 0) == (config != NULL));
		ensure((error == 0) == (report.errors == 0) || error == -12);
		config_unref(config);
	}
	config_report_done(&report);
	arena_done(&arena);
	return 0;
}
