#include "runtime/base.h"

#include <stdio.h>
#include <stdlib.h>

void ensure_failed(const char *condition, const char *file, int line, const char *function)
{
	fprintf(stderr,
		"barnabas: broken invariant `%s` in %s (%s:%d); this is a bug in Barnabas, "
		"please report it with the lines above\n",
		condition, function, file, line);
	abort();
}
