/*
 * Libraries that most processes never use. Such a one is not linked but loaded when something first needs
 * it, so that starting does not pay for it; a program that needs it often, or soon, links it. The header
 * comes from the build, so the file is named with the version that the header is of ("libsnappy.so.1").
 */
#pragma once

#include <stddef.h>

struct library_function {
	const char *name;
	void *address; /* of the pointer that is set, which has the function's type */
};

struct library {
	const char *file;
	const struct library_function *functions;
	size_t function_count;
	int state; /* private; zero at first */
};

/* A member of a struct of pointers, with the name and the type of FUNCTION. */
#define LIBRARY_FUNCTION(function) __typeof__(function) *function
/* Its row among the functions of the library. */
#define LIBRARY_ROW(pointers, function) {#function, &(pointers).function}

/*
 * Afterwards all functions may be called, by any thread. Cheap once they may. The first call reads files:
 * a few milliseconds. -ENOENT: the library is not installed, or is another one; what lacks is said on
 * standard error, once.
 */
int library_need(struct library *library);
