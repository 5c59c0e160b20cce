/*
 * members.c - see members.h.
 */
#include "members.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool members_fail(const members *in, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(in->error, in->error_bytes, format, arguments);
    va_end(arguments);
    return false;
}

bool members_size(const members *in, const json_t *object, members_of_size member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    json_int_t number = json_integer_value(value); /* 0 for anything else, NULL included */
    if (!json_is_integer(value) || number < 0 || (size_t)number < member.min ||
        (size_t)number > member.max) {
        return members_fail(in, "%s: \"%s\" is %s; an integer %zu..%zu expected", in->path,
                            member.key,
                            value == NULL            ? "missing"
                            : json_is_integer(value) ? "out of range"
                                                     : "not an integer",
                            member.min, member.max);
    }
    *member.to = (size_t)number;
    return true;
}

bool members_number(const members *in, const json_t *object, members_of_number member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= member.min && number <= member.max)) {
        return members_fail(in, "%s: \"%s\" is %s; a number from %g to %g expected", in->path,
                            member.key,
                            value == NULL           ? "missing"
                            : json_is_number(value) ? "out of range"
                                                    : "not a number",
                            member.min, member.max);
    }
    *member.to = number;
    return true;
}

bool members_text_is_utf8(const char *text, size_t length) {
    json_t *utf8 = json_stringn(text, length); /* NULL for what is not */
    json_decref(utf8);
    return utf8 != NULL && memchr(text, '\0', length) == NULL;
}

bool members_text_is_clean(const char *text) {
    if (!members_text_is_utf8(text, strlen(text))) {
        return false;
    }
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (*at < ' ' || *at == 0x7f || c1) {
            return false;
        }
    }
    return true;
}

bool members_text(const members *in, const json_t *object, members_of_text member) {
    const json_t *value = json_object_get(object, member.key);
    if (value == NULL && member.optional) {
        return true;
    }
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length < member.bytes_min || length > member.bytes_max ||
        !members_text_is_clean(json_string_value(value))) {
        return members_fail(
            in, "%s: \"%s\": a text of %zu..%zu bytes without control characters expected",
            in->path, member.key, member.bytes_min, member.bytes_max);
    }
    memcpy(member.to, json_string_value(value), length + 1);
    return true;
}

static const json_t *array_of(const members *in, const json_t *object, const char *key,
                              size_t count) {
    const json_t *array = json_object_get(object, key);
    if (!json_is_array(array) || json_array_size(array) != count) {
        members_fail(in, "%s: \"%s\" is not an array of %zu numbers", in->path, key, count);
        return NULL;
    }
    return array;
}

bool members_counts(const members *in, const json_t *object, const char *key, size_t *to,
                    size_t count) {
    const json_t *array = array_of(in, object, key, count);
    for (size_t i = 0; array != NULL && i < count; i++) {
        const json_t *value = json_array_get(array, i);
        json_int_t number = json_integer_value(value);
        if (!json_is_integer(value) || number < 0 || (size_t)number > MEMBERS_COUNT_MAX) {
            return members_fail(in, "%s: \"%s\", entry %zu: an integer 0..%zu expected", in->path,
                                key, i, MEMBERS_COUNT_MAX);
        }
        to[i] = (size_t)number;
    }
    return array != NULL;
}

bool members_numbers(const members *in, const json_t *object, members_of_numbers member) {
    const json_t *array = array_of(in, object, member.key, member.count);
    for (size_t i = 0; array != NULL && i < member.count; i++) {
        const json_t *value = json_array_get(array, i);
        double number = json_number_value(value);
        if (!json_is_number(value) || !(number >= member.min && number <= member.max)) {
            return members_fail(in, "%s: \"%s\", entry %zu: a number from %g to %g expected",
                                in->path, member.key, i, member.min, member.max);
        }
        member.to[i] = number;
    }
    return array != NULL;
}

json_t *members_array(const double *numbers, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(array, json_real(numbers[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
