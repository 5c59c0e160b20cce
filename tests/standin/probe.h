/*
 * probe.h - small programs on the stand-in, some of them wrong on purpose, for test_standin.c.
 *
 * probe.cu and probe_libraries.cu are also compiled and linked by nvcc, so that the stand-in is
 * tested with code that the real thing takes.
 */
#ifndef STANDIN_PROBE_H
#define STANDIN_PROBE_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PROBE_FLOATS = 4096 };

typedef struct probe probe; /* two streams, an event, two device and two pinned buffers */

/* On failure *out is what could be made, for probe_close, as an engine's would be. */
engine_status probe_open(probe **out);
void probe_close(probe *p); /* NULL is allowed */

/* What TRY kept of the last failure. */
const char *probe_failure_text(void);
bool probe_failure_lost(void);
int probe_last_error(void); /* CUDA's own */

/* A call of a library, which answers a lost device with a code of its own. */
engine_status probe_library(probe *p);

/* Sum by one block of so many threads, with shuffles and static shared memory. */
engine_status probe_sum(probe *p, const float *in, size_t n, unsigned threads, float *sum);

typedef enum { PROBE_NO_BARRIER, PROBE_SYNCTHREADS, PROBE_SYNCWARP } probe_barrier;
/* out[i] = in[i] + in[i - 1] by way of dynamic shared memory, one thread a value. */
engine_status probe_neighbours(probe *p, const float *in, unsigned n, probe_barrier barrier,
                               float *out);

typedef enum {
    PROBE_GLOBAL_OVERRUN,
    PROBE_STATIC_OVERRUN,
    PROBE_DYNAMIC_OVERRUN,
    PROBE_LOCAL_OVERRUN,
    PROBE_PINNED_OVERRUN,
    PROBE_HOST_READS_DEVICE,
    PROBE_HALF_A_BARRIER,
    PROBE_TWO_BARRIERS,
    PROBE_ENDED_LANE,
    PROBE_EMPTY_GROUP,
} probe_fault;
engine_status probe_commit(probe *p, probe_fault fault);

/* What the host sees of a result before it has waited for the copy. */
engine_status probe_read_early(probe *p, float *early, float *late);
/* Stream 1 reads what stream 0 writes (1 over 0), with an event between them or without. */
engine_status probe_read_after_write(probe *p, bool event, float *seen);
/* Stream 1 writes (2 over 1) what stream 0 reads first. */
engine_status probe_write_after_read(probe *p, bool event, float *seen);
/* Asks the event until it has happened; how often. */
engine_status probe_poll(probe *p, unsigned *asked);
/* A graph that adds 1, launched so often on 0; another thread allocates while it is captured. */
engine_status probe_graph(probe *p, unsigned launches, float *seen);
/* The same in a capture that forbids it to all threads. */
engine_status probe_graph_broken(probe *p);

typedef struct {
    int m, n, k, count;
} probe_group;
/* C = 2 op(A) B for the groups' matrices, packed one after the other; op is the transpose, so that
 * A is k x m. All column-major. */
engine_status probe_grouped(probe *p, const probe_group *group, int groups, const float *a,
                            const float *b, float *c);
/* The same of one group, by the strided call and one by one. */
engine_status probe_strided(probe *p, probe_group group, const float *a, const float *b, float *c);
engine_status probe_single(probe *p, probe_group group, const float *a, const float *b, float *c);

typedef enum { PROBE_SYEV_F64, PROBE_SYEV_F32, PROBE_SYEVJ_F64 } probe_solver;
/* Eigenvalues of `batch` symmetric n x n matrices, of their lower triangles. */
engine_status probe_eigenvalues(probe *p, probe_solver solver, int n, int batch, const double *a,
                                double *w);

#ifdef __cplusplus
}
#endif
#endif
