/*
 * engine_ops.h - the table an engine fills in. Only engine.c and the engines include it.
 * Arguments have been checked by engine.c when they arrive here; see engine.h for what each does.
 */
#ifndef ADDER_ENGINE_OPS_H
#define ADDER_ENGINE_OPS_H

#include "engine.h"

typedef struct {
    const char *name;
    engine_status (*open)(void **state, const engine_reference *reference,
                          const engine_options *options, char *error, size_t error_bytes);
    engine_status (*submit)(void *state, const engine_batch *batch);
    engine_status (*collect)(void *state);
    engine_status (*forget)(void *state, uint32_t slot);
    engine_status (*export)(void *state, uint32_t slot, void *bytes, size_t capacity, size_t *used);
    engine_status (*import)(void *state, uint32_t slot, const void *bytes, size_t used);
    engine_facts (*describe)(const void *state);
    void (*close)(void *state);
} engine_ops;

extern const engine_ops engine_cpu_ops;

#endif
