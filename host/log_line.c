/*
 * log_line.c - see log_line.h.
 */
#include "log_line.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fields fit into this, a name of 128 bytes escaped wholly among them. */
enum { FIELDS_BYTES = 3072, END_BYTES = 4, NUMBER_BYTES = 32 };

/* Bytes that are written up to `end`; what does not fit leaves it full. */
typedef struct {
    char *at;
    char *end;
    bool full;
    bool quotes; /* are escaped, as JSON wants it */
} writer;

static void put_bytes(writer *w, const char *bytes, size_t count) {
    w->full = w->full || count > (size_t)(w->end - w->at);
    if (!w->full) {
        memcpy(w->at, bytes, count);
        w->at += count;
    }
}

static void put_plain(writer *w, const char *text) {
    put_bytes(w, text, strlen(text));
}

/* ---- texts of any bytes ---- */

static bool follows(const unsigned char *at, size_t left, size_t count) {
    for (size_t i = 1; i < count; i++) {
        if (i >= left || (at[i] & 0xc0) != 0x80) {
            return false;
        }
    }
    return true;
}

/* Bytes of the character here; 0: it is none. Overlong ones, surrogates and what is past U+10FFFF
 * are none (RFC 3629). */
static size_t utf8_length(const unsigned char *at, size_t left) {
    if (at[0] < 0x80) {
        return 1;
    }
    if (at[0] >= 0xc2 && at[0] <= 0xdf) {
        return follows(at, left, 2) ? 2 : 0;
    }
    if (at[0] >= 0xe0 && at[0] <= 0xef) {
        bool good = follows(at, left, 3) && !(at[0] == 0xe0 && at[1] < 0xa0) &&
                    !(at[0] == 0xed && at[1] > 0x9f);
        return good ? 3 : 0;
    }
    if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        bool good = follows(at, left, 4) && !(at[0] == 0xf0 && at[1] < 0x90) &&
                    !(at[0] == 0xf4 && at[1] > 0x8f);
        return good ? 4 : 0;
    }
    return 0;
}

/* Of one of up to three bytes; 0: it is longer. */
static unsigned code_of(const unsigned char *at, size_t length) {
    return length == 1   ? at[0]
           : length == 2 ? (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu)
           : length == 3 ? (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu)
                         : 0;
}

/* Controls; and what ends a line, has no width, or turns the direction in which a terminal shows
 * what follows, so that a name could seem to be another or to hold the fields behind it. */
static bool is_unseen(unsigned code) {
    return code < ' ' || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

static void put_character(writer *w, const unsigned char *at, size_t length) {
    char escaped[8];
    unsigned code = code_of(at, length);
    if (length == 0) {
        put_plain(w, "\\ufffd");
    } else if (length < 4 && is_unseen(code)) {
        snprintf(escaped, sizeof escaped, "\\u%04x", code & 0xffffu);
        put_plain(w, escaped);
    } else if (w->quotes && (at[0] == '"' || at[0] == '\\')) {
        escaped[0] = '\\';
        escaped[1] = (char)at[0];
        put_bytes(w, escaped, 2);
    } else {
        put_bytes(w, (const char *)at, length);
    }
}

/* As much as fits, in whole characters. */
static void put_text(writer *w, const char *text, size_t length) {
    const unsigned char *at = (const unsigned char *)text;
    while (length > 0 && !w->full) {
        size_t taken = utf8_length(at, length);
        put_character(w, at, taken);
        taken += taken == 0;
        at += taken;
        length -= taken;
    }
}

static void put_quoted(writer *w, const char *text, size_t length) {
    bool quotes = w->quotes;
    w->quotes = true;
    put_plain(w, "\"");
    put_text(w, text, length);
    put_plain(w, "\"");
    w->quotes = quotes;
}

/* ---- a line's parts ---- */

static void put_time(writer *w, const struct timespec *time) {
    struct tm utc = {0};
    char text[40];
    gmtime_r(&time->tv_sec, &utc);
    size_t length = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + length, sizeof text - length, ".%03dZ", (int)(time->tv_nsec / 1000000));
    put_plain(w, text);
}

static void put_name(writer *w, const log_entry *e, const log_field *f) {
    char hash[NAME_HASH_TEXT_BYTES];
    if (e->name_key == NULL) {
        put_quoted(w, f->text, f->length);
    } else {
        name_hash(hash, f->text, f->length, e->name_key);
        put_quoted(w, hash, strlen(hash));
    }
}

static void put_value(writer *w, const log_entry *e, const log_field *f) {
    char number[NUMBER_BYTES];
    switch (f->kind) {
    case LOG_FIELD_TEXT:
        put_quoted(w, f->text, strlen(f->text));
        return;
    case LOG_FIELD_NAME:
        put_name(w, e, f);
        return;
    case LOG_FIELD_COUNT:
        snprintf(number, sizeof number, "%" PRIu64, f->count);
        break;
    default:
        snprintf(number, sizeof number, isfinite(f->number) ? "%.9g" : "null", f->number);
    }
    put_plain(w, number);
}

/* Wholly, or not at all. */
static void put_field(writer *w, const log_entry *e, const log_field *f) {
    writer before = *w;
    if (e->format == LOG_JSON) {
        put_plain(w, ",");
        put_quoted(w, f->key, strlen(f->key));
        put_plain(w, ":");
    } else {
        put_plain(w, " ");
        put_plain(w, f->key);
        put_plain(w, "=");
    }
    put_value(w, e, f);
    if (w->full) {
        *w = before;
    }
}

static void put_head(writer *w, const log_entry *e) {
    static const char *const words[] = {"debug", "info", "warning", "error"};
    if (e->format == LOG_JSON) {
        put_plain(w, "{\"time\":\"");
        put_time(w, &e->time);
        put_plain(w, "\",\"level\":\"");
        put_plain(w, words[e->level]);
        put_plain(w, "\",\"event\":");
        put_quoted(w, e->event, strlen(e->event));
        put_plain(w, ",\"message\":\"");
        return;
    }
    put_plain(w, "adderd: ");
    if (e->level != LOG_INFO) {
        put_plain(w, words[e->level]);
        put_plain(w, ": ");
    }
}

size_t log_line_compose(char line[LOG_LINE_BYTES_MAX], const log_entry *e) {
    bool json = e->format == LOG_JSON;
    char *end = line + LOG_LINE_BYTES_MAX - END_BYTES;
    writer w = {.at = line, .end = end - FIELDS_BYTES, .quotes = json};
    put_head(&w, e);
    put_text(&w, e->message, strlen(e->message));
    w.end = end;
    w.full = false;
    put_plain(&w, json ? "\"" : "");
    for (size_t i = 0; i < e->fields; i++) {
        put_field(&w, e, &e->field[i]);
    }
    w.end += END_BYTES;
    put_plain(&w, json ? "}\n" : "\n");
    return (size_t)(w.at - line);
}
