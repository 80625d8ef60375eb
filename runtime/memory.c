#include "runtime/memory.h"

#include <stdio.h>
#include <stdlib.h>

void *memory_new(size_t size)
{
	void *memory = calloc(1, size);

	if (unlikely(!memory)) {
		fprintf(stderr,
			"barnabas: out of memory: %zu bytes for state that has to be kept; give "
			"the process more\n",
			size);
		abort();
	}
	return memory;
}
