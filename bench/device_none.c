/*
 * device_none.c - device.h where CUDA is not built.
 */
#include "device.h"

#include <stdio.h>

engine_status device_describe(char *text, size_t text_bytes) {
    snprintf(text, text_bytes, "built without CUDA");
    return ENGINE_BAD_ARGUMENT;
}

engine_status device_open(device **out, const engine_reference *reference,
                          const engine_batch *batch, size_t copy_bytes, char *error,
                          size_t error_bytes) {
    (void)reference;
    (void)batch;
    (void)copy_bytes;
    *out = NULL;
    snprintf(error, error_bytes, "built without CUDA");
    return ENGINE_BAD_ARGUMENT;
}

void device_close(device *d) {
    (void)d;
}

double device_work(const device *d, device_yardstick what) {
    (void)d;
    (void)what;
    return 0.0;
}

engine_status device_time(device *d, device_yardstick what, double seconds, double *pass_s,
                          char *error, size_t error_bytes) {
    (void)d;
    (void)what;
    (void)seconds;
    *pass_s = 0.0;
    snprintf(error, error_bytes, "built without CUDA");
    return ENGINE_BAD_ARGUMENT;
}

engine_status device_eigen_time(device_eigen *out, size_t order, size_t matrix_bytes,
                                double seconds, char *error, size_t error_bytes) {
    (void)matrix_bytes;
    (void)seconds;
    *out = (device_eigen){.order = order};
    snprintf(error, error_bytes, "built without CUDA");
    return ENGINE_BAD_ARGUMENT;
}
