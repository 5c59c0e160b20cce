/*
 * query.c - see query.h.
 */
#include "query.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "members.h"

enum { LIMIT_DIGITS_MAX = 3 };
static_assert(WIRE_MODEL_BYTES_MAX <= WIRE_ACCOUNT_BYTES_MAX, "a model's name fits");

/* -1: no hexadecimal digit. */
static int digit_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* False: more than fits, a % without two digits, or a NUL. */
static bool decode(query_text *out, const char *value) {
    size_t length = 0;
    for (; *value != '\0'; length++) {
        char byte = *value++;
        if (byte == '%') {
            int high = digit_of(value[0]), low = high < 0 ? -1 : digit_of(value[1]);
            if (low < 0) {
                return false;
            }
            byte = (char)(high * 16 + low);
            value += 2;
        }
        if (byte == '\0' || length == sizeof out->bytes - 1) {
            return false;
        }
        out->bytes[length] = byte;
    }
    out->bytes[length] = '\0';
    out->length = length;
    return length > 0;
}

static bool take_text(query *q, query_text *out, const char *name, const char *value) {
    if (out->length > 0) {
        snprintf(q->error, sizeof q->error, "%s: expected once", name);
        q->failed = true;
    } else if (!decode(out, value) || !members_text_is_utf8(out->bytes, out->length)) {
        snprintf(q->error, sizeof q->error,
                 "%s: expected 1 to %d bytes of UTF-8 without a NUL, percent-encoded", name,
                 WIRE_ACCOUNT_BYTES_MAX);
        q->failed = true;
    }
    return !q->failed;
}

static bool take_limit(query *q, const char *value) {
    size_t digits = strspn(value, "0123456789");
    size_t limit = digits > 0 && digits <= LIMIT_DIGITS_MAX && value[digits] == '\0'
                       ? strtoul(value, NULL, 10)
                       : 0;
    if (q->limit > 0 || limit == 0 || limit > QUERY_LIMIT_MAX) {
        snprintf(q->error, sizeof q->error, "limit: expected once, a whole number from 1 to %d",
                 QUERY_LIMIT_MAX);
        q->failed = true;
        return false;
    }
    q->limit = limit;
    return true;
}

bool query_take(query *q, const char *name, const char *value) {
    if (q->failed) {
        return false;
    }
    value = value != NULL ? value : "";
    if (strcmp(name, "model") == 0) {
        return take_text(q, &q->model, "model", value);
    }
    if (strcmp(name, "account") == 0) {
        return take_text(q, &q->account, "account", value);
    }
    if (strcmp(name, "group") == 0) {
        return take_text(q, &q->group, "group", value);
    }
    if (strcmp(name, "limit") == 0) {
        return take_limit(q, value);
    }
    snprintf(q->error, sizeof q->error,
             "unknown parameter; expected model, account, group or limit");
    q->failed = true;
    return false;
}
