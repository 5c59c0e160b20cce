/*
 * reference_parts.h - what the reference_*.c files share; nobody else includes it.
 */
#ifndef ADDER_REFERENCE_PARTS_H
#define ADDER_REFERENCE_PARTS_H

#include <jansson.h>

#include "members.h"
#include "reference.h"

/* Writes one line into error; returns false. */
bool reference_fail(char *error, size_t error_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Empty but for the defaults; NULL when there is no memory. */
reference *reference_new(void);
/* Arrays of zeros for the dim, classes and rank that it has. False: no memory. */
bool reference_allocate(reference *reference);

/* Which file each array of a class came from, for errors. */
typedef struct {
    const char *mean;
    const char *factor;
    const char *trace;
} reference_origin;
bool reference_check_class(const engine_reference *statistics, size_t class,
                           const reference_origin *origin, char *error, size_t error_bytes);

/* Checks the arrays, named by the files they came from, and fills in the deviations. */
enum { REFERENCE_BENIGN_ARRAYS = 4 };
bool reference_benign_check(reference_benign *benign, char *const paths[REFERENCE_BENIGN_ARRAYS],
                            char *error, size_t error_bytes);
/* Its member of reference.json, which may be absent. */
bool reference_benign_decode(const members *in, const json_t *root, reference *reference);
bool reference_benign_encode(const reference *reference, json_t *root);

/* reference.json, all but the arrays. Reading expects a new reference; on failure the caller still
 * closes it. */
bool reference_read_json(reference *reference, const char *path, char *error, size_t error_bytes);
/* Text for free(), or NULL with error set. */
char *reference_encode_json(const reference *reference, char *error, size_t error_bytes);

#endif
