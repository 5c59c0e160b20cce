/*
 * test_wire_explain.c - explain's reply: there and back, cut short, and from a daemon that lies.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_bytes.h"

static wire_explanation explanation(size_t classes, size_t windows) {
    wire_explanation e = {.is_group = classes % 2,
                          .score = 1.5,
                          .excess = NAN,
                          .memory_score = 2.5,
                          .memory_excess = -3.5,
                          .fill = 15,
                          .window = 16,
                          .queries = UINT64_MAX,
                          .verdict = WIRE_FLAGGED,
                          .reason = WIRE_ALLOWED,
                          .first_flagged_at = 1000,
                          .flagged_at = 2000,
                          .clean_run = 3,
                          .release_after = 4000,
                          .evidence = INFINITY,
                          .evidence_rows = 0.25,
                          .evidence_window = 0.5,
                          .evidence_memory = 0.75,
                          .threshold = 40,
                          .window_threshold = NAN,
                          .classes = classes,
                          .windows = windows};
    for (size_t i = 0; i < classes; i++) {
        e.by_class[i] = (wire_explained_class){.class_id = i,
                                               .n = i + 1,
                                               .contribution = (double)i,
                                               .d2 = 1,
                                               .mean_part = 2,
                                               .covariance_part = 3,
                                               .benign_mean = i % 3 ? 4 : NAN,
                                               .benign_sd = 5,
                                               .excess = 6};
    }
    for (size_t i = 0; i < windows; i++) {
        e.history[i] = (wire_explained_window){.query = 16 * i,
                                               .score = (double)i,
                                               .excess = i % 2 ? NAN : -1,
                                               .evidence = 0.125,
                                               .verdict = i % (WIRE_UNDECIDED + 1)};
    }
    return e;
}

static nng_msg *encode(bool known, const wire_explanation *e) {
    nng_msg *message;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(wire_encode_explanation(message, known, e), 0);
    return message;
}

/* Decodes from memory of exactly the message's size, so that a sanitizer sees each byte too far. */
static wire_code decode(wire_reply *reply, wire_explanation *e, const void *bytes, size_t length) {
    unsigned char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    wire_code code = wire_decode_explanation(reply, e, copy, length);
    free(copy);
    return code;
}

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static bool same_top(const wire_explanation *a, const wire_explanation *b) {
    return a->is_group == b->is_group && same(a->score, b->score) && same(a->excess, b->excess) &&
           same(a->memory_score, b->memory_score) && same(a->memory_excess, b->memory_excess) &&
           a->fill == b->fill && a->window == b->window && a->queries == b->queries &&
           a->verdict == b->verdict && a->reason == b->reason &&
           a->first_flagged_at == b->first_flagged_at && a->flagged_at == b->flagged_at &&
           a->clean_run == b->clean_run && a->release_after == b->release_after &&
           same(a->evidence, b->evidence) && same(a->evidence_rows, b->evidence_rows) &&
           same(a->evidence_window, b->evidence_window) &&
           same(a->evidence_memory, b->evidence_memory) && same(a->threshold, b->threshold) &&
           same(a->window_threshold, b->window_threshold) && a->classes == b->classes &&
           a->windows == b->windows;
}

static bool same_class(const wire_explained_class *a, const wire_explained_class *b) {
    return a->class_id == b->class_id && a->n == b->n && same(a->contribution, b->contribution) &&
           same(a->d2, b->d2) && same(a->mean_part, b->mean_part) &&
           same(a->covariance_part, b->covariance_part) && same(a->benign_mean, b->benign_mean) &&
           same(a->benign_sd, b->benign_sd) && same(a->excess, b->excess);
}

static bool same_window(const wire_explained_window *a, const wire_explained_window *b) {
    return a->query == b->query && same(a->score, b->score) && same(a->excess, b->excess) &&
           same(a->evidence, b->evidence) && a->verdict == b->verdict;
}

Test(wire_explain, an_explanation_comes_back_whole_and_what_is_not_known_stays_so) {
    static const size_t sizes[][2] = {
        {0, 0}, {1, 1}, {16, 15}, {WIRE_EXPLAIN_CLASSES_MAX, WIRE_EXPLAIN_HISTORY_MAX}};
    for (size_t s = 0; s < 4; s++) {
        wire_explanation sent = explanation(sizes[s][0], sizes[s][1]), came;
        nng_msg *message = encode(true, &sent);
        wire_reply reply;
        cr_assert_eq(decode(&reply, &came, nng_msg_body(message), nng_msg_len(message)), WIRE_OK,
                     "%s", reply.text);
        cr_assert(reply.code == WIRE_OK && reply.known && same_top(&sent, &came));
        for (size_t i = 0; i < sent.classes; i++) {
            cr_assert(same_class(&sent.by_class[i], &came.by_class[i]), "class %zu", i);
        }
        for (size_t i = 0; i < sent.windows; i++) {
            cr_assert(same_window(&sent.history[i], &came.history[i]), "window %zu", i);
        }
        nng_msg_free(message);
    }
}

Test(wire_explain, nobody_is_explained_who_is_not_known) {
    wire_explanation came = explanation(2, 2);
    wire_reply reply;
    nng_msg *message = encode(false, NULL);
    cr_assert_eq(decode(&reply, &came, nng_msg_body(message), nng_msg_len(message)), WIRE_OK);
    cr_assert(!reply.known && came.classes == 0 && came.windows == 0);
    nng_msg_free(message);
}

Test(wire_explain, more_than_there_may_be_is_not_encoded) {
    wire_explanation e = explanation(0, 0);
    nng_msg *message;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    e.classes = WIRE_EXPLAIN_CLASSES_MAX + 1;
    cr_assert_eq(wire_encode_explanation(message, true, &e), NNG_EMSGSIZE);
    e.classes = 0;
    e.windows = WIRE_EXPLAIN_HISTORY_MAX + 1;
    cr_assert_eq(wire_encode_explanation(message, true, &e), NNG_EMSGSIZE);
    nng_msg_free(message);
}

Test(wire_explain, a_reply_cut_short_anywhere_is_a_bad_message) {
    wire_explanation e = explanation(3, 4), came;
    nng_msg *message = encode(true, &e);
    size_t whole = nng_msg_len(message);
    for (size_t length = 0; length < whole; length++) {
        wire_reply reply;
        if (decode(&reply, &came, nng_msg_body(message), length) != WIRE_BAD_MESSAGE) {
            cr_assert_fail("%zu of %zu bytes were taken", length, whole);
        }
    }
    nng_msg_free(message);
}

/* ---- a daemon that lies ---- */

static const field members[] = {
    {"v", RAW("\x01")},
    {"status", RAW("\xa2ok")},
    {"known", RAW("\xc3")},
    {"kind", RAW("\xa5group")},
    {"fill", RAW("\x01")},
    {"window", RAW("\x10")},
    {"queries", RAW("\x01")},
    {"verdict", RAW("\x00")},
    {"reason", RAW("\x00")},
    {"first_flagged_at", RAW("\x00")},
    {"flagged_at", RAW("\x00")},
    {"clean_run", RAW("\x01")},
    {"release_after", RAW("\x00")},
    {"classes", RAW("\x91\x82\xa5"
                    "class\x07\xa1n\x01")},
    {"history", RAW("\x91\x82\xa5query\x01\xa7verdict\x00")},
};

/* An explanation of no reals with one field changed or added; bytes NULL: left out. */
static void put_explanation(buffer *b, const field *change) {
    size_t count = sizeof members / sizeof members[0];
    size_t written = 0;
    bool changed = false;
    b->length = 0;
    put_head(b, 0xde, 0, 2);
    for (size_t i = 0; i <= count; i++) {
        bool meant = i < count && strcmp(members[i].key, change->key) == 0;
        const field *f = meant || (i == count && !changed) ? change : &members[i % count];
        changed = changed || meant;
        if (f->bytes != NULL && (i < count || f == change)) {
            put_str(b, f->key);
            put(b, f->bytes, f->length);
            written++;
        }
    }
    b->bytes[2] = (unsigned char)written;
}

static const struct {
    field change;
    const char *part; /* NULL: a good reply */
} lies[] = {
    {{"later", RAW("\x81\xa1x\xc0")}, NULL},
    {{"score", RAW("\x01")}, NULL},
    {{"score", RAW("\xca\x7f\x80\0\0")}, NULL},
    {{"score", RAW("\xcb\x7f\xf8\0\0\0\0\0\0")}, "score: expected a number, came nan"},
    {{"score", RAW("\xa1x")}, "score: expected number, came str"},
    {{"known", NULL, 0}, "known: needed"},
    {{"known", RAW("\x01")}, "known: expected bool"},
    {{"known", RAW("\xc2")}, NULL},
    {{"kind", NULL, 0}, "kind: needed"},
    {{"kind", RAW("\xa4kind")}, "kind: expected account or group"},
    {{"kind", RAW("\x01")}, "kind: expected str"},
    {{"fill", NULL, 0}, "fill: needed"},
    {{"fill", RAW("\xff")}, "fill: expected uint, came a negative int"},
    {{"verdict", RAW("\x03")}, "verdict: expected 0 to 2, came 3"},
    {{"verdict", RAW("\xcf\0\0\0\1\0\0\0\0")}, "verdict: expected 0 to 2, came 4294967296"},
    {{"reason", RAW("\x07")}, "reason: expected 0 to 6, came 7"},
    {{"release_after", RAW("\xcb\x3f\xf0\0\0\0\0\0\0")}, "release_after: expected uint"},
    {{"classes", NULL, 0}, "classes: needed"},
    {{"classes", RAW("\xc4\x01x")}, "classes: expected array, came bin"},
    {{"classes", RAW("\x91\x01")}, "classes[0]: expected map, came uint"},
    {{"classes", RAW("\x91\x81\xa1n\x01")}, "class: needed"},
    {{"classes", RAW("\x91\x81\xa5"
                     "class\x01")},
     "n: needed"},
    {{"classes", RAW("\x91\x83\xa5"
                     "class\x01\xa1n\x01\xa1n\x01")},
     "n: came twice"},
    {{"classes", RAW("\x91\x83\xa5"
                     "class\x01\xa1n\x01\xa2"
                     "d2\xc0")},
     "d2: expected number, came nil"},
    {{"history", NULL, 0}, "history: needed"},
    {{"history", RAW("\x92\x82\xa5query\x01\xa7verdict\x02\x90")}, "history[1]: expected map"},
    {{"history", RAW("\x91\x82\xa5query\x01\xa7verdict\x03")}, "history: verdict: expected 0 to 2"},
    {{"history", RAW("\x91\x81\xa7verdict\x02")}, "query: needed"},
};

static void expect(const field *change, const char *part) {
    static buffer b;
    static wire_explanation came;
    wire_reply reply;
    put_explanation(&b, change);
    wire_code code = decode(&reply, &came, b.bytes, b.length);
    cr_assert(code == (part == NULL ? WIRE_OK : WIRE_BAD_MESSAGE), "%s: expected \"%s\", came: %s",
              change->key, part != NULL ? part : "", reply.text);
    cr_assert(part == NULL || strstr(reply.text, part), "%s: expected \"%s\", came: %s",
              change->key, part, reply.text);
}

Test(wire_explain, a_lying_daemon_is_not_believed) {
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        expect(&lies[i].change, lies[i].part);
    }
}

Test(wire_explain, more_classes_or_windows_than_there_may_be_are_refused) {
    static buffer classes, history;
    put_head(&classes, 0xdc, WIRE_EXPLAIN_CLASSES_MAX + 1, 2);
    for (size_t i = 0; i <= WIRE_EXPLAIN_CLASSES_MAX; i++) {
        put(&classes, RAW("\x82\xa5"
                          "class\x07\xa1n\x01"));
    }
    put_head(&history, 0xdc, WIRE_EXPLAIN_HISTORY_MAX + 1, 2);
    for (size_t i = 0; i <= WIRE_EXPLAIN_HISTORY_MAX; i++) {
        put(&history, RAW("\x82\xa5query\x01\xa7verdict\x00"));
    }
    expect(&(field){"classes", classes.bytes, classes.length}, "classes: expected at most 32");
    expect(&(field){"history", history.bytes, history.length}, "history: expected at most 64");
}
