#include "runtime/context.h"

#include <stdint.h>

#include "runtime/base.h"

#ifdef CONTEXT_IS_OURS

/*
 * A context that is not running is its stack pointer; the registers lie there, the return address
 * above them:
 *
 *	x86-64   r15 r14 r13 r12 rbx rbp | return address | ...
 *	aarch64  x19..x28 x29 x30 d8..d15 | ...                        (x30 is the return address)
 *
 * The control words of floating point are left alone: nothing here changes them. A new context
 * returns into context_begin, which finds entry and argument in two saved registers and has nobody
 * to return to: debuggers and unwinders end there.
 */
void context_exchange(void **from, void *to) __attribute__((visibility("hidden")));
void context_begin(void) __attribute__((visibility("hidden")));

#if defined(__x86_64__)

__asm__(".pushsection .text\n"
	".p2align 4\n"
	".globl context_exchange\n"
	".hidden context_exchange\n"
	".type context_exchange, @function\n"
	"context_exchange:\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size context_exchange, .-context_exchange\n"
	".p2align 4\n"
	".globl context_begin\n"
	".hidden context_begin\n"
	".type context_begin, @function\n"
	"context_begin:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined rip\n"
	"	movq %r12, %rdi\n"
	"	callq *%r13\n"
	"	ud2\n"
	"	.cfi_endproc\n"
	".size context_begin, .-context_begin\n"
	".popsection\n");

enum { SAVED_R13 = 2, SAVED_R12 = 3, SAVED_RETURN = 6, SAVED_WORDS = 8 };

void context_make(struct context *context, void *stack, size_t size, void (*entry)(void *argument),
	void *argument)
{
	/* A function begins with its return address below a multiple of 16; context_begin, which is
	 * returned into, has it at one. */
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	uintptr_t *saved = (uintptr_t *)top - SAVED_WORDS - 1;

	ensure(size >= 4096);
	for (int i = 0; i < SAVED_WORDS; i++)
		saved[i] = 0;
	saved[SAVED_R12] = (uintptr_t)argument;
	saved[SAVED_R13] = (uintptr_t)entry;
	saved[SAVED_RETURN] = (uintptr_t)context_begin;
	context->stack_pointer = saved;
}

#else

__asm__(".pushsection .text\n"
	".p2align 4\n"
	".globl context_exchange\n"
	".hidden context_exchange\n"
	".type context_exchange, %function\n"
	"context_exchange:\n"
	"	hint #34\n" /* bti c, where the processor knows it */
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size context_exchange, .-context_exchange\n"
	".p2align 4\n"
	".globl context_begin\n"
	".hidden context_begin\n"
	".type context_begin, %function\n"
	"context_begin:\n"
	"	.cfi_startproc\n"
	"	.cfi_undefined x30\n"
	"	mov x0, x19\n"
	"	blr x20\n"
	"	brk #1\n"
	"	.cfi_endproc\n"
	".size context_begin, .-context_begin\n"
	".popsection\n");

enum { SAVED_X19 = 0, SAVED_X20 = 1, SAVED_X30 = 11, SAVED_WORDS = 20 };

void context_make(struct context *context, void *stack, size_t size, void (*entry)(void *argument),
	void *argument)
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	uintptr_t *saved = (uintptr_t *)top - SAVED_WORDS;

	ensure(size >= 4096);
	for (int i = 0; i < SAVED_WORDS; i++)
		saved[i] = 0;
	saved[SAVED_X19] = (uintptr_t)argument;
	saved[SAVED_X20] = (uintptr_t)entry;
	saved[SAVED_X30] = (uintptr_t)context_begin;
	context->stack_pointer = saved;
}

#endif

void context_switch(struct context *from, struct context *to)
{
	context_exchange(&from->stack_pointer, to->stack_pointer);
}

#else

/* makecontext passes ints; a pointer travels as two of them. */
static void context_enter(unsigned high, unsigned low)
{
	struct context *context = (struct context *)(((uintptr_t)high << 16 << 16) | (uintptr_t)low);

	context->entry(context->argument);
	ensure(!"a context's entry returned");
}

/* On its own because getcontext returns twice in the compiler's eyes, which costs its caller's
 * locals. */
__attribute__((noinline)) void context_make(struct context *context, void *stack, size_t size,
	void (*entry)(void *argument), void *argument)
{
	ensure(getcontext(&context->place) == 0);
	context->entry = entry;
	context->argument = argument;
	context->place.uc_stack.ss_sp = stack;
	context->place.uc_stack.ss_size = size;
	context->place.uc_link = NULL;
	makecontext(&context->place, (void (*)(void))context_enter, 2,
		(unsigned)((uintptr_t)context >> 16 >> 16), (unsigned)(uintptr_t)context);
}

void context_switch(struct context *from, struct context *to)
{
	ensure(swapcontext(&from->place, &to->place) == 0);
}

#endif
