/*
 * engine_ops.h - the table an engine fills in. Only engine.c and the engines include it.
 * Arguments have been checked by engine.c when they arrive here; see engine.h for what each does.
 * (export alone is a keyword of C++, which the CUDA engine is written in.)
 */
#ifndef ADDER_ENGINE_OPS_H
#define ADDER_ENGINE_OPS_H

#include "engine.h"

typedef struct {
    const char *name;
    /* Whether it can work on this machine, else why not, in a few words. NULL: it always can. */
    bool (*answers)(char *why, size_t why_bytes);
    engine_status (*open)(void **state, const engine_reference *reference,
                          const engine_options *options, char *error, size_t error_bytes);
    engine_status (*submit)(void *state, const engine_batch *batch);
    engine_status (*collect)(void *state);
    engine_status (*forget)(void *state, uint32_t slot);
    engine_status (*export_slot)(void *state, uint32_t slot, void *bytes, size_t capacity,
                                 size_t *used);
    engine_status (*import_slot)(void *state, uint32_t slot, const void *bytes, size_t used);
    engine_status (*calibrate)(void *state, const engine_benign *benign);
    engine_facts (*describe)(const void *state);
    void (*close)(void *state);
    /* After a call that returned an error: whether the engine is of no use any more, and why.
     * NULL: it never is. */
    const char *(*lost)(const void *state);
} engine_ops;

/* The tables by value; none have no rungs. */
static inline engine_benign engine_benign_of(const engine_benign *benign) {
    engine_benign none = {0, NULL, NULL, NULL};
    return benign != NULL ? *benign : none;
}

extern const engine_ops engine_cpu_ops;
extern const engine_ops engine_cuda_ops;

#endif
