/*
 * libraries.h - what the stand-ins of cuBLAS and cuSOLVER share.
 *
 * OpenBLAS and LAPACK, which do the work, are not built with AddressSanitizer, so each operand is
 * checked to lie in device memory before they touch it.
 */
#ifndef STANDIN_LIBRARIES_H
#define STANDIN_LIBRARIES_H

#include "parts.h"

#include <stdlib.h>

#include <cblas.h>

/* Makes and frees the objects that hold a library's state; the failures are given by the caller. */
template <typename T, typename Status>
Status library_make(const char *call, T **made, Status lost, Status no_memory) {
    standin_lock held(standin_calls);
    int error = standin_begin(call, (int)lost);
    if (error != 0) {
        return (Status)error;
    }
    *made = static_cast<T *>(calloc(1, sizeof(T)));
    standin_counting()->handles += *made != NULL;
    openblas_set_num_threads(1);
    return *made != NULL ? (Status)0 : no_memory;
}

template <typename T, typename Status>
Status library_drop(const char *call, T *made, Status lost, Status no_handle) {
    standin_lock held(standin_calls);
    int error = standin_begin(call, (int)lost);
    if (made == NULL) {
        return no_handle;
    }
    free(made);
    standin_counting()->handles--;
    return (Status)error;
}

static inline void library_check(const char *call, const char *name, const void *at, int64_t rows,
                                 int64_t columns, int64_t ld, size_t size) {
    size_t bytes = (size_t)(ld * (columns - 1) + rows) * size;
    if (rows > 0 && columns > 0 && !standin_is_device(at, bytes)) {
        standin_die("%s: %s (%lld x %lld, ld %lld) is not inside device memory", call, name,
                    (long long)rows, (long long)columns, (long long)ld);
    }
}

#endif
