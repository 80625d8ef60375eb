#include "runtime/library.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>

static struct {
	LIBRARY_FUNCTION(cbrt);
} found, lost;

Test(library, a_function_is_there_when_its_library_is_needed)
{
	static const struct library_function functions[] = {{"cbrt", &found.cbrt}};
	struct library library = {.file = "libm.so.6", .functions = functions, .function_count = 1};

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(library_need(&library), 0);
		cr_assert_float_eq(found.cbrt(27), 3, 1e-9);
	}
}

Test(library, what_is_not_there_is_told)
{
	static const struct library_function functions[] = {{"no_such_function", &lost.cbrt}};
	struct library absent = {.file = "libno-such-library.so.1", .functions = functions, .function_count = 1},
		       other = {.file = "libm.so.6", .functions = functions, .function_count = 1};

	for (int i = 0; i < 2; i++) {
		cr_assert_eq(library_need(&absent), -ENOENT);
		cr_assert_eq(library_need(&other), -ENOENT);
	}
	cr_assert_null(lost.cbrt);
}
