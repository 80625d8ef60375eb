#include "broker/format.h"

#include <errno.h>
#include <stdio.h>

int format_main(int argc, char **argv)
{
	fprintf(stderr, "barnabas: %s is not there\n", argv[0]);
	return 1;
}

int format_embedded(
	struct shard *shard, const struct config *config, struct arena *arena, const char **ret_why)
{
	*ret_why = "formatting is not there";
	return -ENOTSUP;
}
