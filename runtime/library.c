#include "runtime/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LIBRARY_UNKNOWN, LIBRARY_LOADED, LIBRARY_MISSED };

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

/* True when all of it is there. */
static bool load(const struct library *library)
{
	void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; handle && i < library->function_count; i++) {
		void *function = dlsym(handle, library->functions[i].name);

		if (!function)
			return false;
		memcpy(library->functions[i].address, &function, sizeof(function));
	}
	return handle != NULL;
}

int library_need(struct library *library)
{
	if (__atomic_load_n(&library->state, __ATOMIC_ACQUIRE) == LIBRARY_LOADED)
		return 0;
	pthread_mutex_lock(&loading);
	if (library->state != LIBRARY_LOADED) {
		bool loaded = load(library);

		if (!loaded && library->state == LIBRARY_UNKNOWN)
			fprintf(stderr, "barnabas: %s cannot be used: %s\n", library->file, dlerror());
		/* It may get installed: the next one who needs it tries again. */
		__atomic_store_n(&library->state, loaded ? LIBRARY_LOADED : LIBRARY_MISSED,
			__ATOMIC_RELEASE);
	}
	int state = library->state;
	pthread_mutex_unlock(&loading);
	return state == LIBRARY_LOADED ? 0 : -ENOENT;
}
