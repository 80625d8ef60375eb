/*
 * A place of execution with a stack of its own: what fibers are made of. Switching saves what a
 * function must leave as it found it, and nothing else. swapcontext would ask the kernel for the
 * mask of signals each time, which is the same in all fibers.
 *
 * Instructions of our own for x86-64 and aarch64; ucontext elsewhere, and where the processor keeps a
 * second stack of return addresses, which only the C library knows how to switch.
 */
#pragma once

#include <stddef.h>

#if (defined(__x86_64__) && !(defined(__CET__) && (__CET__ & 2)) && !defined(__ILP32__)) || \
	(defined(__aarch64__) && !defined(__ARM_FEATURE_GCS_DEFAULT))
#define CONTEXT_IS_OURS 1
#else
#include <ucontext.h>
#endif

struct context {
#ifdef CONTEXT_IS_OURS
	void *stack_pointer;
#else
	ucontext_t place;
	void (*entry)(void *argument);
	void *argument;
#endif
};

/*
 * The first switch to CONTEXT calls ENTRY(ARGUMENT) at the upper end of STACK, which is SIZE bytes.
 * ENTRY never returns.
 */
void context_make(struct context *context, void *stack, size_t size, void (*entry)(void *argument),
	void *argument);
/* Goes on where TO was left, or begins it; returns when somebody switches back to FROM. On one
 * thread. */
void context_switch(struct context *from, struct context *to);
