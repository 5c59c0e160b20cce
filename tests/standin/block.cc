/*
 * block.cc - runs a kernel: blocks one after the other, a block's threads as fibres.
 *
 * A thread runs until it ends or waits for others. When all that can run have, either all live
 * threads are in one and the same barrier, and go on, or the block hangs as it would on a device.
 */
#include "fibre.h"
#include "parts.h"

#include <stdlib.h>

enum {
    WARP_LANES = 32,
    WARPS_MAX = 32,
    SHARED_BLOCKS_MAX = 64,
    SHARED_FILL = 0xff,
    KERNELS_MAX = 256
};
enum { SHARED_DEFAULT_BYTES = 48 << 10, SHARED_MOST_BYTES = 227 << 10 };

typedef enum { FRESH, READY, AT_BARRIER, AT_WARP, ENDED } thread_state;

typedef struct {
    thread_state state;
    unsigned fibre;   /* unless it is FRESH or has ENDED */
    const char *file; /* where it waits */
    int line;
    standin_collective what;
    unsigned mask;
    int source;
    uint64_t given, taken;
} block_thread;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

static const standin_grid *grid;
static block_thread threads[FIBRES_MAX];
static unsigned thread_count, current;
static bool backward;
static unsigned idle[FIBRES_MAX], idle_count; /* fibres that no thread is on */
/* Of each warp: lanes in an intrinsic, and lanes that have ended. */
static unsigned warp_waiting[WARPS_MAX], warp_ended[WARPS_MAX];
/* The block's shared memory: dynamic first, then each static array by where it is declared. */
static struct {
    const void *site;
    void *at;
} shared[SHARED_BLOCKS_MAX];
static unsigned shared_count;
static size_t shared_bytes;

/* ---- shared memory ---- */

static void *shared_add(const void *site, size_t bytes) {
    shared_bytes += bytes;
    if (shared_count == SHARED_BLOCKS_MAX || shared_bytes > SHARED_MOST_BYTES) {
        standin_die("a block has more than %d bytes or %d pieces of shared memory",
                    SHARED_MOST_BYTES, SHARED_BLOCKS_MAX);
    }
    void *at = malloc(bytes);
    if (at == NULL) {
        standin_die("out of memory for shared memory");
    }
    memset(at, SHARED_FILL, bytes);
    shared[shared_count].site = site;
    shared[shared_count++].at = at;
    return at;
}

void *standin_shared(void) {
    return shared[0].at;
}

void *standin_shared_array(const void *site, size_t bytes) {
    for (unsigned i = 1; i < shared_count; i++) {
        if (shared[i].site == site) {
            return shared[i].at;
        }
    }
    return shared_add(site, bytes);
}

static void shared_clear(void) {
    while (shared_count > 0) {
        free(shared[--shared_count].at);
    }
    shared_bytes = 0;
}

/* ---- waiting ---- */

static void wait_in(thread_state state, const char *file, int line) {
    threads[current].state = state;
    threads[current].file = file;
    threads[current].line = line;
    fibre_yield(threads[current].fibre);
}

int standin_barrier(int predicate, const char *file, int line) {
    threads[current].given = predicate != 0;
    wait_in(AT_BARRIER, file, line);
    return (int)threads[current].taken;
}

int standin_lane(void) {
    return (int)(current % WARP_LANES);
}

int standin_segment(int width) {
    if (width <= 0 || width > WARP_LANES || (width & (width - 1)) != 0) {
        standin_die("a shuffle's width of %d is no power of two up to 32", width);
    }
    return standin_lane() & ~(width - 1);
}

/* Whether every lane of the mask is in the same intrinsic. */
static bool warp_complete(const block_thread *warp, const block_thread *me) {
    unsigned base = (unsigned)(warp - threads);
    bool complete = true;
    if (warp_waiting[base / WARP_LANES] < (unsigned)__builtin_popcount(me->mask) &&
        warp_ended[base / WARP_LANES] == 0 && base + WARP_LANES <= thread_count) {
        return false; /* nothing to be found out by looking at each */
    }
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        const block_thread *other = &warp[lane];
        if (!(me->mask >> lane & 1)) {
            continue;
        }
        if (base + lane >= thread_count || other->state == ENDED) {
            standin_die("%s:%d: mask 0x%08x of a warp intrinsic names lane %u, which has ended or "
                        "never was (block %u, thread %u)",
                        me->file, me->line, me->mask, lane, blockIdx.x, base + lane);
        }
        complete = complete && other->state == AT_WARP && other->mask == me->mask &&
                   other->what == me->what;
    }
    return complete;
}

static void warp_release(block_thread *warp, const block_thread *me) {
    unsigned mask = me->mask, ballot = 0;
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        ballot |= (mask >> lane & 1) && warp[lane].given != 0 ? 1u << lane : 0;
    }
    for (unsigned lane = 0; lane < WARP_LANES; lane++) {
        if (!(mask >> lane & 1)) {
            continue;
        }
        int source = warp[lane].source;
        if (me->what == STANDIN_SHUFFLE && !(mask >> source & 1)) {
            standin_die("%s:%d: lane %u shuffles from lane %d, which is not in mask 0x%08x",
                        warp[lane].file, warp[lane].line, lane, source, mask);
        }
        warp[lane].taken = me->what == STANDIN_SHUFFLE ? warp[source].given : ballot;
        warp[lane].state = READY;
        warp_waiting[(warp - threads) / WARP_LANES]--;
    }
}

uint64_t standin_warp(standin_collective what, unsigned mask, uint64_t given, int source,
                      const char *file, int line) {
    block_thread *me = &threads[current], *warp = me - standin_lane();
    if (!(mask >> standin_lane() & 1)) {
        standin_die("%s:%d: lane %d is not in its own mask 0x%08x", file, line, standin_lane(),
                    mask);
    }
    me->what = what;
    me->mask = mask;
    me->given = given;
    me->source = source;
    me->state = AT_WARP;
    me->file = file;
    me->line = line;
    warp_waiting[(warp - threads) / WARP_LANES]++;
    if (warp_complete(warp, me)) {
        warp_release(warp, me);
    } else {
        fibre_yield(me->fibre);
    }
    return me->taken;
}

/* ---- running ---- */

static void begin(unsigned number) {
    current = number;
    threadIdx.x = number % blockDim.x;
    threadIdx.y = number / blockDim.x % blockDim.y;
    threadIdx.z = number / blockDim.x / blockDim.y;
}

static void run_thread(unsigned number, unsigned fibre) {
    threads[number].state = READY;
    threads[number].fibre = fibre;
    grid->thread(grid->body);
    threads[number].state = ENDED;
    warp_ended[number / WARP_LANES]++;
    /* Lanes that already wait for this one wait for ever. */
    for (unsigned i = number / WARP_LANES * WARP_LANES;
         i < thread_count && i / WARP_LANES == number / WARP_LANES; i++) {
        if (threads[i].state == AT_WARP) {
            warp_complete(&threads[number / WARP_LANES * WARP_LANES], &threads[i]);
        }
    }
}

/* A thread that ends without having waited leaves its fibre to the next one, which is the next to
 * run anyway: most blocks of a grid that is larger than its work need no switch. */
static void turn(unsigned fibre) {
    for (unsigned number = current;; number += backward ? -1u : 1u) {
        begin(number);
        run_thread(number, fibre);
        if (number == (backward ? 0 : thread_count - 1) ||
            threads[number + (backward ? -1u : 1u)].state != FRESH) {
            return;
        }
    }
}

static void resume(unsigned number) {
    bool fresh = threads[number].state == FRESH;
    begin(number);
    fibre_resume(fresh ? idle[--idle_count] : threads[number].fibre, turn);
    /* By now another thread may be on that fibre: the one that waited or ended last. */
    if (threads[current].state == ENDED) {
        idle[idle_count++] = threads[current].fibre;
    }
}

static const char *state_text(const block_thread *thread) {
    return thread->state == AT_BARRIER ? "a barrier" : "a warp intrinsic";
}

/* Nobody can run: lets the barrier go if all live threads are in it; false when all have ended. */
static bool barrier_release(void) {
    const block_thread *first = NULL;
    uint64_t sum = 0;
    for (unsigned t = 0; t < thread_count; t++) {
        const block_thread *thread = &threads[t];
        if (thread->state == ENDED) {
            continue;
        }
        first = first == NULL ? thread : first;
        if (thread->state != AT_BARRIER || first->state != AT_BARRIER ||
            thread->line != first->line || strcmp(thread->file, first->file) != 0) {
            standin_die("block %u hangs: not all live threads reach the same barrier: thread %d "
                        "waits in %s at %s:%d, thread %u in %s at %s:%d",
                        blockIdx.x, (int)(first - threads), state_text(first), first->file,
                        first->line, t, state_text(thread), thread->file, thread->line);
        }
        sum += thread->given;
    }
    for (unsigned t = 0; t < thread_count; t++) {
        if (threads[t].state == AT_BARRIER) {
            threads[t].state = READY;
            threads[t].taken = sum;
        }
    }
    return first != NULL;
}

static void run_block(void) {
    memset(threads, 0, thread_count * sizeof *threads);
    memset(warp_waiting, 0, sizeof warp_waiting);
    memset(warp_ended, 0, sizeof warp_ended);
    shared_add(NULL, grid->shared_bytes);
    do {
        for (bool ran = true; ran;) {
            ran = false;
            for (unsigned i = 0; i < thread_count; i++) {
                unsigned number = backward ? thread_count - 1 - i : i;
                if (threads[number].state <= READY) {
                    resume(number);
                    ran = true;
                }
            }
        }
    } while (barrier_release());
    shared_clear();
}

void standin_run_grid(const standin_grid *run) {
    backward = standin_order_now() == STANDIN_BACKWARD;
    for (idle_count = 0; idle_count < FIBRES_MAX; idle_count++) {
        idle[idle_count] = FIBRES_MAX - 1 - idle_count;
    }
    grid = run;
    gridDim = run->grid;
    blockDim = run->block;
    thread_count = blockDim.x * blockDim.y * blockDim.z;
    uint64_t blocks = (uint64_t)gridDim.x * gridDim.y * gridDim.z;
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t number = backward ? blocks - 1 - i : i;
        blockIdx.x = (unsigned)(number % gridDim.x);
        blockIdx.y = (unsigned)(number / gridDim.x % gridDim.y);
        blockIdx.z = (unsigned)(number / gridDim.x / gridDim.y);
        run_block();
    }
    standin_counting()->launches++;
}

/* ---- launching ---- */

/* Kernels that were allowed more shared memory than any may take. */
static struct {
    const void *kernel;
    size_t bytes;
} allowed[KERNELS_MAX];

cudaError_t cudaFuncSetAttribute(const void *func, enum cudaFuncAttribute attr, int value) {
    BEGIN();
    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > SHARED_MOST_BYTES) {
        return standin_error(cudaErrorInvalidValue);
    }
    unsigned i = 0;
    while (i < KERNELS_MAX - 1 && allowed[i].kernel != NULL && allowed[i].kernel != func) {
        i++;
    }
    allowed[i].kernel = func;
    allowed[i].bytes = (size_t)value;
    return cudaSuccess;
}

static bool grid_valid(const cudaLaunchConfig_t *config) {
    dim3 g = config->gridDim, b = config->blockDim;
    uint64_t block = (uint64_t)b.x * b.y * b.z;
    return g.x > 0 && g.x <= 0x7fffffffu && g.y > 0 && g.y <= 65535 && g.z > 0 && g.z <= 65535 &&
           b.z <= 64 && block > 0 && block <= FIBRES_MAX;
}

cudaError_t standin_launch(const cudaLaunchConfig_t *config, const void *kernel,
                           void (*thread)(const void *body), const void *body, size_t bytes) {
    standin_lock held(standin_calls);
    int begin_error = standin_begin("cudaLaunchKernelEx", 0);
    if (begin_error != 0) {
        return standin_error((cudaError_t)begin_error);
    }
    if (!grid_valid(config)) {
        return standin_error(cudaErrorInvalidConfiguration);
    }
    size_t limit = SHARED_DEFAULT_BYTES;
    for (unsigned i = 0; i < KERNELS_MAX && allowed[i].kernel != NULL; i++) {
        limit = allowed[i].kernel == kernel && allowed[i].bytes > limit ? allowed[i].bytes : limit;
    }
    if (config->dynamicSmemBytes > limit) {
        return standin_error(cudaErrorInvalidValue);
    }
    size_t grid_bytes = sizeof(standin_grid) + bytes;
    standin_grid *made = static_cast<standin_grid *>(malloc(grid_bytes));
    if (made == NULL) {
        return standin_error(cudaErrorMemoryAllocation);
    }
    made->grid = config->gridDim;
    made->block = config->blockDim;
    made->shared_bytes = config->dynamicSmemBytes;
    made->thread = thread;
    memcpy(made->body, body, bytes);
    cudaError_t error = standin_put(
        config->stream, [](void *queued) { standin_run_grid(static_cast<standin_grid *>(queued)); },
        made, grid_bytes);
    free(made);
    return error;
}
