/*
 * test_log.c - lines of the log: always whole, whatever is in them, and never in the way of who
 * logs.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <jansson.h>
#include <sodium.h>

#include "bucket.h"
#include "log.h"
#include "log_line.h"

#define SECOND ((uint64_t)1000000000)

static const unsigned char key[NAME_HASH_KEY_BYTES] = "a key of thirty-two bytes, as is";

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* ---- a line ---- */

/* The object in a line that must be one line; the caller's. */
static json_t *parse(const char *line, size_t bytes) {
    json_error_t error;
    cr_assert(bytes > 0 && line[bytes - 1] == '\n');
    for (size_t i = 0; i + 1 < bytes; i++) {
        cr_assert((unsigned char)line[i] >= ' ' && line[i] != 0x7f, "byte %zu is a control", i);
    }
    json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
    cr_assert(json_is_object(object), "%s at %d of: %.*s", error.text, error.position, (int)bytes,
              line);
    return object;
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    cr_assert_not_null(text, "no text %s", name);
    return text;
}

/* Half of them special in JSON or in UTF-8. */
static void fill_hostile(char *bytes, size_t count, unsigned *seed) {
    static const unsigned char bad[] = {1,    '"',  '\\', '\n', 0x7f, 0xc2, 0x85, 0xe2, 0x80,
                                        0xa8, 0xed, 0xa0, 0xf4, 0x90, 0xf0, 0x9f, 0xc0, 0xff};
    for (size_t i = 0; i < count; i++) {
        unsigned drawn = (unsigned)rand_r(seed);
        bytes[i] = (char)(drawn & 1 ? bad[(drawn >> 1) % sizeof bad] : (drawn >> 1) % 255 + 1);
    }
    bytes[count] = '\0';
}

Test(log_line, is_an_object_whatever_bytes_are_in_message_and_name) {
    static char line[LOG_LINE_BYTES_MAX];
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        char message[301], name[129];
        fill_hostile(message, (size_t)rand_r(&seed) % 300, &seed);
        fill_hostile(name, 128, &seed);
        log_field field[] = {
            {.key = "account", .kind = LOG_FIELD_NAME, .text = name, .length = 128},
            {.key = "query", .kind = LOG_FIELD_COUNT, .count = UINT64_MAX / 2}};
        size_t bytes = log_line_compose(line, &(log_entry){.level = LOG_WARNING,
                                                           .event = "verdict",
                                                           .message = message,
                                                           .field = field,
                                                           .fields = 2});
        json_t *object = parse(line, bytes);
        cr_assert_str_eq(text_of(object, "level"), "warning");
        cr_assert_str_eq(text_of(object, "event"), "verdict");
        cr_assert_eq(json_integer_value(json_object_get(object, "query")),
                     (json_int_t)(UINT64_MAX / 2));
        text_of(object, "account");
        json_decref(object);
    }
}

Test(log_line, keeps_every_valid_character_of_a_name_as_it_is) {
    static char line[LOG_LINE_BYTES_MAX];
    static const char name[] =
        "\"quoted\\\" \n\t\x01\x7f \xc2\x85 caf\xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x90\x8d";
    log_field field = {
        .key = "account", .kind = LOG_FIELD_NAME, .text = name, .length = sizeof name - 1};
    size_t bytes = log_line_compose(
        line, &(log_entry){.event = "e", .message = name, .field = &field, .fields = 1});
    json_t *object = parse(line, bytes);
    cr_assert_str_eq(text_of(object, "account"), name);
    cr_assert_str_eq(text_of(object, "message"), name);
    json_decref(object);
}

Test(log_line, says_when_in_utc_to_the_millisecond) {
    static char line[LOG_LINE_BYTES_MAX];
    size_t bytes = log_line_compose(
        line, &(log_entry){
                  .time = {.tv_sec = 951782400, .tv_nsec = 7999999}, .event = "e", .message = "m"});
    json_t *object = parse(line, bytes);
    cr_assert_str_eq(text_of(object, "time"), "2000-02-29T00:00:00.007Z");
    json_decref(object);
}

Test(log_line, that_is_too_long_is_cut_in_its_message_and_keeps_its_fields) {
    static char line[LOG_LINE_BYTES_MAX];
    static char message[LOG_LINE_BYTES_MAX * 2];
    char name[128];
    for (size_t length = 0; length < sizeof message; length += 97) {
        memset(message, length % 2 ? 0x01 : '"', length);
        message[length] = '\0';
        memset(name, 0x02, sizeof name);
        log_field field[] = {
            {.key = "account", .kind = LOG_FIELD_NAME, .text = name, .length = sizeof name},
            {.key = "to", .kind = LOG_FIELD_TEXT, .text = "flagged"}};
        size_t bytes = log_line_compose(
            line, &(log_entry){.event = "e", .message = message, .field = field, .fields = 2});
        json_t *object = parse(line, bytes);
        cr_assert_str_eq(text_of(object, "to"), "flagged");
        cr_assert_eq(strlen(text_of(object, "account")), sizeof name);
        json_decref(object);
    }
}

Test(log_line, leaves_out_fields_for_which_there_is_no_room) {
    static char line[LOG_LINE_BYTES_MAX];
    static char long_text[LOG_LINE_BYTES_MAX];
    memset(long_text, 'x', sizeof long_text - 1);
    log_field field[] = {{.key = "long", .kind = LOG_FIELD_TEXT, .text = long_text},
                         {.key = "none", .kind = LOG_FIELD_NUMBER, .number = 0.0 / 0.0},
                         {.key = "half", .kind = LOG_FIELD_NUMBER, .number = 0.5}};
    json_t *object = parse(
        line, log_line_compose(
                  line, &(log_entry){.event = "e", .message = "m", .field = field, .fields = 3}));
    cr_assert_null(json_object_get(object, "long"));
    cr_assert(json_is_null(json_object_get(object, "none")));
    cr_assert_eq(json_real_value(json_object_get(object, "half")), 0.5);
    json_decref(object);
}

Test(log_line, as_text_holds_nothing_that_writes_to_a_terminal) {
    static char line[LOG_LINE_BYTES_MAX];
    static const char message[] = "no \"such\" file\x1b[2J\r\nadderd: error: forged \xc2\x9b \xff";
    log_field field = {
        .key = "account", .kind = LOG_FIELD_NAME, .text = "a\" to=\"clean\n", .length = 13};
    size_t bytes = log_line_compose(line, &(log_entry){.format = LOG_TEXT,
                                                       .level = LOG_ERROR,
                                                       .message = message,
                                                       .field = &field,
                                                       .fields = 1});
    line[bytes - 1] = '\0';
    cr_assert_str_eq(line, "adderd: error: no \"such\" file\\u001b[2J\\u000d\\u000aadderd: error: "
                           "forged \\u009b \\ufffd account=\"a\\\" to=\\\"clean\\u000a\"");
}

Test(log_line, shows_what_turns_the_direction_of_writing_by_its_number) {
    static char line[LOG_LINE_BYTES_MAX];
    static const char name[] =
        "eve\xe2\x80\xae\xd8\x9c\xe2\x81\xa6\xe2\x80\xa8\xef\xbb\xbf\xe2\x82\xac";
    log_field field = {
        .key = "account", .kind = LOG_FIELD_NAME, .text = name, .length = sizeof name - 1};
    log_entry entry = {
        .format = LOG_TEXT, .level = LOG_INFO, .message = "m", .field = &field, .fields = 1};
    size_t bytes = log_line_compose(line, &entry);
    line[bytes - 1] = '\0';
    cr_assert_str_eq(line,
                     "adderd: m account=\"eve\\u202e\\u061c\\u2066\\u2028\\ufeff\xe2\x82\xac\"");
    entry.format = LOG_JSON;
    entry.event = "e";
    bytes = log_line_compose(line, &entry);
    cr_assert_null(memmem(line, bytes, "\xe2\x80\xae", 3));
    json_t *object = parse(line, bytes);
    cr_assert_str_eq(text_of(object, "account"), name);
    json_decref(object);
}

Test(log_line, tells_a_hashed_name_by_its_key_and_never_the_name) {
    static char line[LOG_LINE_BYTES_MAX];
    char hash[NAME_HASH_TEXT_BYTES], other[NAME_HASH_TEXT_BYTES];
    unsigned char other_key[NAME_HASH_KEY_BYTES] = {1};
    log_field field = {.key = "account", .kind = LOG_FIELD_NAME, .text = "mallory", .length = 7};
    size_t bytes = log_line_compose(
        line,
        &(log_entry){.event = "e", .message = "m", .field = &field, .fields = 1, .name_key = key});
    json_t *object = parse(line, bytes);
    name_hash(hash, "mallory", 7, key);
    name_hash(other, "mallory", 7, other_key);
    cr_assert_str_eq(text_of(object, "account"), hash);
    cr_assert(strncmp(hash, "h:", 2) == 0 && strlen(hash) == 34);
    cr_assert_str_neq(hash, other);
    cr_assert_null(memmem(line, bytes, "mallory", 7));
    json_decref(object);
}

/* ---- the whole log, into a pipe ---- */

typedef struct {
    int end[2];
    pthread_t thread;
    char *text;
    size_t bytes;
} reader;

/* To the end of the file, so that the writer never waits for it. */
static void *read_all(void *argument) {
    reader *r = argument;
    ssize_t got;
    size_t room = 1 << 24;
    r->text = malloc(room);
    while (r->bytes + 1 < room &&
           (got = read(r->end[0], r->text + r->bytes, room - 1 - r->bytes)) > 0) {
        r->bytes += (size_t)got;
    }
    r->text[r->bytes] = '\0';
    return NULL;
}

static void reader_open(reader *r) {
    *r = (reader){0};
    cr_assert_eq(pipe(r->end), 0);
}

static void reader_start(reader *r) {
    cr_assert_eq(pthread_create(&r->thread, NULL, read_all, r), 0);
}

static void reader_finish(reader *r) {
    close(r->end[1]);
    pthread_join(r->thread, NULL);
    close(r->end[0]);
}

static bool next_line(const char **at, json_t **object) {
    const char *end = strchr(*at, '\n');
    if (end == NULL) {
        cr_assert_str_empty(*at, "half a line: %s", *at);
        return false;
    }
    *object = parse(*at, (size_t)(end + 1 - *at));
    *at = end + 1;
    return true;
}

typedef struct {
    size_t lines;
    size_t reports;
    uint64_t reported;
} tally;

/* Of lines with this event, and of what lines with the other one report under its name. */
static tally count_lines(const char *text, const char *event, const char *report) {
    tally t = {0};
    json_t *object;
    while (next_line(&text, &object)) {
        t.lines += strcmp(text_of(object, "event"), event) == 0;
        if (strcmp(text_of(object, "event"), report) == 0) {
            t.reports++;
            t.reported += (uint64_t)json_integer_value(json_object_get(object, report));
        }
        json_decref(object);
    }
    return t;
}

static void open_on(const reader *r, log_level level, size_t audit_per_s) {
    cr_assert(
        log_open(&(log_options){.level = level, .file = r->end[1], .audit_per_s = audit_per_s}));
}

Test(log, leaves_out_what_is_below_its_level, .timeout = 30) {
    reader r;
    reader_open(&r);
    reader_start(&r);
    open_on(&r, LOG_WARNING, 1);
    log_event(LOG_DEBUG, "a", "%d", 1);
    log_event(LOG_INFO, "b", "%d", 2);
    log_event(LOG_WARNING, "c", "%d", 3);
    log_event(LOG_ERROR, "d", "%d", 4);
    log_audit("verdict", "flagged", NULL, 0);
    log_close();
    reader_finish(&r);
    cr_assert(strstr(r.text, "\"c\",\"message\":\"3\"") &&
              strstr(r.text, "\"d\",\"message\":\"4\""));
    cr_assert(!strstr(r.text, "\"1\"") && !strstr(r.text, "\"2\"") && !strstr(r.text, "verdict"));
    free(r.text);
}

Test(log, tells_as_many_changes_as_its_rate_allows_and_counts_the_rest, .timeout = 60) {
    enum { CHANGES = 5000, RATE = 2 };
    reader r;
    reader_open(&r);
    reader_start(&r);
    open_on(&r, LOG_INFO, RATE);
    double since = now_s();
    for (int i = 0; i < CHANGES; i++) {
        log_audit("verdict", "flagged", NULL, 0);
    }
    log_close();
    double took = now_s() - since;
    reader_finish(&r);
    tally t = count_lines(r.text, "verdict", "suppressed");
    size_t burst = RATE * LOG_AUDIT_BURST_SECONDS;
    cr_assert_eq(t.lines + t.reported, CHANGES, "%zu told, %zu suppressed", t.lines,
                 (size_t)t.reported);
    cr_assert(t.lines >= burst && (double)t.lines <= (double)burst + RATE * took + 1.0, "%zu",
              t.lines);
    cr_assert((double)t.reports <= took + 2.0, "%zu reports", t.reports);
    free(r.text);
}

Test(log, does_not_hold_up_who_logs_while_nobody_reads_and_counts_what_is_lost, .timeout = 60) {
    enum { LINES = 20000 };
    reader r;
    reader_open(&r);
    open_on(&r, LOG_INFO, 1);
    double since = now_s();
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_INFO, "noise", "line %d of many, long enough to fill the ring and the pipe",
                  i);
    }
    printf("%d lines to nobody in %.3f s\n", LINES, now_s() - since);
    reader_start(&r);
    log_close();
    reader_finish(&r);
    tally t = count_lines(r.text, "noise", "dropped");
    cr_assert_eq(t.lines + t.reported, LINES, "%zu written, %zu dropped", t.lines,
                 (size_t)t.reported);
    cr_assert_gt(t.reported, 0);
    cr_assert_gt(t.lines, LOG_RING_BYTES / 200);
    free(r.text);
}

Test(log, that_nobody_reads_does_not_keep_the_daemon_from_ending, .timeout = 30) {
    reader r;
    reader_open(&r);
    open_on(&r, LOG_INFO, 1);
    for (int i = 0; i < 5000; i++) {
        log_event(LOG_INFO, "noise", "line %d of many, long enough to fill the pipe", i);
    }
    double since = now_s();
    log_close();
    double took = now_s() - since;
    cr_assert(took < LOG_CLOSE_MS * 1e-3 + 1.0, "%g s", took);
}

Test(log, counts_what_a_full_disk_has_lost, .timeout = 30) {
    enum { LINES = 3000 };
    reader r;
    reader_open(&r);
    reader_start(&r);
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cr_assert_geq(full, 0);
    cr_assert(log_open(&(log_options){.level = LOG_INFO, .file = full, .audit_per_s = 1}));
    for (int i = 0; i < LINES; i++) {
        log_event(LOG_INFO, "noise", "%d", i);
    }
    cr_assert_geq(dup2(r.end[1], full), 0);
    log_close();
    close(full);
    reader_finish(&r);
    tally t = count_lines(r.text, "noise", "dropped");
    cr_assert_eq(t.lines + t.reported, LINES, "%zu written, %zu dropped", t.lines,
                 (size_t)t.reported);
    free(r.text);
}

Test(log, whose_reader_is_gone_goes_on, .timeout = 30) {
    reader r;
    reader_open(&r);
    signal(SIGPIPE, SIG_IGN);
    close(r.end[0]);
    open_on(&r, LOG_INFO, 1);
    for (int i = 0; i < 100; i++) {
        log_event(LOG_INFO, "noise", "%d", i);
    }
    log_close();
}

Test(log, that_is_not_open_writes_at_once_as_text) {
    reader r;
    reader_open(&r);
    int kept = dup(STDERR_FILENO);
    dup2(r.end[1], STDERR_FILENO);
    log_event(LOG_ERROR, "failed", "no %s", "luck");
    dup2(kept, STDERR_FILENO);
    char text[64] = "";
    cr_assert_gt(read(r.end[0], text, sizeof text - 1), 0);
    cr_assert_str_eq(text, "adderd: error: no luck\n");
}

/* ---- the rate ---- */

Test(bucket, gives_its_burst_at_once_and_its_rate_in_the_long_run) {
    bucket b = bucket_full(100, 1000, 5 * SECOND);
    size_t taken = 0;
    for (int i = 0; i < 3000; i++) {
        taken += bucket_take(&b, 5 * SECOND);
    }
    cr_assert_eq(taken, 1000);
    for (uint64_t ms = 0; ms < 10000; ms++) {
        taken += bucket_take(&b, 5 * SECOND + ms * SECOND / 1000);
    }
    cr_assert(taken >= 1998 && taken <= 2000, "%zu", taken);
    cr_assert_not(bucket_take(&b, SECOND), "a clock that goes back");
    for (taken = 0; bucket_take(&b, 1000 * SECOND); taken++) {
    }
    cr_assert_eq(taken, 1000, "no more than its burst, however long it was left alone");
}
