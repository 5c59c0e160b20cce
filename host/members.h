/*
 * members.h - members of a JSON object, each of the type and within the range that is expected.
 *
 * Each returns false with one line in error, which names the file and the member. An optional
 * member that is absent leaves *to as it is.
 */
#ifndef ADDER_MEMBERS_H
#define ADDER_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

typedef struct {
    const char *path;
    char *error;
    size_t error_bytes;
} members;

bool members_fail(const members *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct {
    const char *key;
    size_t min;
    size_t max;
    size_t *to;
    bool optional;
} members_of_size;
bool members_size(const members *in, const json_t *object, members_of_size member);

typedef struct {
    const char *key;
    double min;
    double max;
    double *to;
    bool optional;
} members_of_number;
bool members_number(const members *in, const json_t *object, members_of_number member);

typedef struct {
    const char *key;
    size_t bytes_min;
    size_t bytes_max; /* without the null; `to` has one more */
    char *to;
    bool optional;
} members_of_text;
bool members_text(const members *in, const json_t *object, members_of_text member);
bool members_text_is_utf8(const char *text, size_t length); /* without a NUL */
/* Null-terminated UTF-8 without control characters, C1 and DEL included: it will be printed. */
bool members_text_is_clean(const char *text);

/* Larger counts would not survive a JSON reader that knows only doubles. */
#define MEMBERS_COUNT_MAX ((size_t)1 << 53)
/* An array of just `count` whole numbers, each at most MEMBERS_COUNT_MAX. */
bool members_counts(const members *in, const json_t *object, const char *key, size_t *to,
                    size_t count);
/* An array of just `count` numbers, each within min..max. */
typedef struct {
    const char *key;
    double min;
    double max;
    double *to;
    size_t count;
} members_of_numbers;
bool members_numbers(const members *in, const json_t *object, members_of_numbers member);

/* Numbers written. NULL when there is no memory, or one is not finite. */
json_t *members_array(const double *numbers, size_t count);

#endif
