/*
 * fibre.cc - the switching of stacks. A block switches tens of thousands of times, so on x86-64 it
 * is done by hand: swapcontext enters the kernel twice a switch, and clears AddressSanitizer's
 * marks from the stack it goes to.
 */
#include "fibre.h"
#include "parts.h"

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 128 << 10, GUARD_BYTES = 4 << 10 };

#if defined(__x86_64__) && !defined(STANDIN_UCONTEXT)
typedef void *stack_context;

/* Pushes what a call must preserve, exchanges the stack pointers and returns on the other stack. */
extern "C" void standin_swap(stack_context *from, stack_context *to);
asm(".text\n"
    ".globl standin_swap\n"
    ".type standin_swap, @function\n"
    "standin_swap:\n"
    "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    "movq %rsp, (%rdi)\n"
    "movq (%rsi), %rsp\n"
    "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n"
    "ret\n"
    ".size standin_swap, .-standin_swap\n");

/* Six registers, then where to return to. There the stack must look as it does right after a call:
 * a (zero) return address at eight below a multiple of 16. */
static void context_make(stack_context *made, char *stack, void (*entry)(void)) {
    void **top = reinterpret_cast<void **>(stack + STACK_BYTES) - 3;
    top[-1] = reinterpret_cast<void *>(entry);
    *made = top - 7;
}
#else
#include <ucontext.h>
typedef ucontext_t stack_context;

static void standin_swap(stack_context *from, stack_context *to) {
    swapcontext(from, to);
}

static void context_make(stack_context *made, char *stack, void (*entry)(void)) {
    getcontext(made);
    made->uc_stack.ss_sp = stack;
    made->uc_stack.ss_size = STACK_BYTES;
    makecontext(made, entry, 0);
}
#endif

typedef struct {
    stack_context context;
    char *stack;
    void *fake_stack; /* AddressSanitizer's */
} fibre;

static fibre fibres[FIBRES_MAX], host;
static unsigned running;
static void (*running_turn)(unsigned);
static const void *host_stack;
static size_t host_stack_bytes;

static void leave(fibre *from, const void *stack, size_t bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->fake_stack, stack, bytes);
#else
    (void)from, (void)stack, (void)bytes;
#endif
}

/* On arrival; a fibre learns where the host's stack is, to say so when it yields. */
static void arrive(fibre *to) {
#ifdef __SANITIZE_ADDRESS__
    bool is_host = to == &host;
    __sanitizer_finish_switch_fiber(to->fake_stack, is_host ? NULL : &host_stack,
                                    is_host ? NULL : &host_stack_bytes);
#else
    (void)to;
#endif
}

void fibre_yield(unsigned number) {
    leave(&fibres[number], host_stack, host_stack_bytes);
    standin_swap(&fibres[number].context, &host.context);
    arrive(&fibres[number]);
}

static void entry(void) {
    unsigned number = running;
    arrive(&fibres[number]);
    for (;;) {
        running_turn(number);
        fibre_yield(number);
    }
}

/* The page below the stack is closed, so that a kernel's too large local array is a fault. */
static void make(fibre *made) {
    void *pages = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages, GUARD_BYTES, PROT_NONE) != 0) {
        standin_die("no memory for the stack of a thread");
    }
    made->stack = static_cast<char *>(pages) + GUARD_BYTES;
    context_make(&made->context, made->stack, entry);
}

void fibre_resume(unsigned number, void (*turn)(unsigned number)) {
    fibre *to = &fibres[number];
    if (to->stack == NULL) {
        make(to);
    }
    running = number;
    running_turn = turn;
    leave(&host, to->stack, STACK_BYTES);
    standin_swap(&host.context, &to->context);
    arrive(&host);
}
