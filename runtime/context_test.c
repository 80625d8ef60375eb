#include "runtime/context.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

/* The sanitizers must be told of a change of stack, which fiber.c does; this test is of the switch
 * alone. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TOLD __attribute__((no_sanitize("address", "thread")))
#else
#define TOLD
#endif

enum { STACK_SIZE = 64 * 1024 };

static struct context outside, inside;
static void *begun_with;
static uintptr_t stack_place;
static double sum;

/* Keeps more values across a switch than there are registers to keep them. */
TOLD static double churn(double from, struct context *here, struct context *there)
{
	double a = from, b = from * 2, c = from * 3, d = from * 5, e = from * 7, f = from * 11;
	long i = (long)from, j = i * 13, k = i * 17, l = i * 19, m = i * 23, n = i * 29;

	for (int round = 0; round < 3; round++) {
		__asm__ volatile("" : "+r"(i), "+r"(j), "+r"(k), "+r"(l), "+r"(m), "+r"(n));
		context_switch(here, there);
		a += 1;
		b += 1;
		i += 1;
		n += 1;
	}
	return a + b + c + d + e + f + (double)(i + j + k + l + m + n);
}

TOLD static void body(void *argument)
{
	int local = 0;

	begun_with = argument;
	stack_place = (uintptr_t)&local;
	sum = churn(100, &inside, &outside);
	for (;;)
		context_switch(&inside, &outside);
}

/* Two contexts count side by side and switch in the middle of it. */
TOLD Test(context, keeps_what_a_function_holds_over_a_switch)
{
	char *stack = aligned_alloc(64, STACK_SIZE);
	double other;

	cr_assert(stack);
	context_make(&inside, stack, STACK_SIZE, body, &sum);
	other = churn(1000, &outside, &inside);
	cr_assert_eq(begun_with, &sum);
	cr_assert(stack_place >= (uintptr_t)stack && stack_place < (uintptr_t)stack + STACK_SIZE);
	/* a to f, i to n, and one for each of three rounds in a, b, i and n. */
	cr_assert_eq(other, 1000 * (1 + 2 + 3 + 5 + 7 + 11) + 1000 * (1 + 13 + 17 + 19 + 23 + 29) + 12);
	context_switch(&outside, &inside);
	cr_assert_eq(sum, 100 * (1 + 2 + 3 + 5 + 7 + 11) + 100 * (1 + 13 + 17 + 19 + 23 + 29) + 12);
	free(stack);
}
