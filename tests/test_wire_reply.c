/*
 * test_wire_reply.c - replies as the client reads them, and both decoders against seeded garbage.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_bytes.h"

enum { ROWS = 4, DIM = 4, CLASSES = 3, ROWS_MAX = 64, FUZZ_ROUNDS = 250000 };

static const float scores[ROWS] = {1.5f, -2, 0, 4};
static const uint8_t decisions[ROWS] = {WIRE_ALLOW, WIRE_POISON, WIRE_WARMING, WIRE_POISON};
static const uint32_t fill[ROWS] = {16, 2, 3, 0xffffffff};
static const uint32_t poison_rows[2] = {1, 3};
static float poison[2 * CLASSES] = {0.1f, 0.2f, 0.7f, 1, 0, 0};

static nng_msg *message_open(void) {
    nng_msg *message;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    return message;
}

static wire_code decode(wire_reply *reply, wire_hello *hello, wire_op op, size_t rows,
                        const nng_msg *message) {
    return wire_decode_reply(reply, hello, op, rows, nng_msg_body((nng_msg *)message),
                             nng_msg_len(message));
}

static const float *poison_row(void *context, size_t k) {
    return (const float *)context + k * CLASSES;
}

static nng_msg *score_reply(bool memory, bool hard, size_t count, bool degraded) {
    nng_msg *message = message_open();
    wire_scores answer = {
        .model = "resnet",
        .rows = ROWS,
        .scores = scores,
        .memory_scores = memory ? scores : NULL,
        .decisions = decisions,
        .fill = fill,
        .poison_rows_count = count,
        .poison_rows = poison_rows,
        .classes = CLASSES,
        .poison = hard ? NULL : poison_row,
        .poison_context = poison,
        .poison_labels = hard ? fill : NULL,
        .degraded = degraded,
    };
    cr_assert_eq(wire_encode_scores(message, &answer), 0);
    return message;
}

/* Every column there is. */
static nng_msg *detailed_reply(void) {
    nng_msg *message = message_open();
    wire_scores answer = {.model = "resnet",
                          .rows = ROWS,
                          .scores = scores,
                          .memory_scores = scores,
                          .excess = scores,
                          .decisions = decisions,
                          .verdicts = decisions,
                          .fill = fill,
                          .memory_excess = scores,
                          .evidence = scores,
                          .group_scores = scores,
                          .group_excess = scores,
                          .group_evidence = scores,
                          .group_verdicts = decisions,
                          .reasons = decisions,
                          .pad_bytes = 5};
    cr_assert_eq(wire_encode_scores(message, &answer), 0);
    return message;
}

static nng_msg *hello_reply(wire_hello *hello, size_t models) {
    *hello = (wire_hello){
        .version = "0.1.0",
        .engine = "cpu",
        .degraded = true,
        .rows_max = 1,
        .message_bytes_max = UINT64_MAX,
        .accounts_max = 3,
        .accounts = 4,
        .rows = 5,
        .requests = 6,
        .uptime_s = 7.25,
        .models = models,
    };
    for (size_t i = 0; i < models; i++) {
        hello->model[i] = (wire_model){
            .dim = i,
            .classes = 2,
            .rank = 3,
            .window = 4,
            .memory_rank = 5,
            .half_life = 6.5,
            .has_threshold = i % 2,
            .threshold = i % 2 ? -1.25 : 0,
            .min_fill = 8,
            .hard_label = i % 3 == 0,
            .mode = (wire_mode)(i % 3),
            .action = (wire_action)((i + 1) % 3),
            .has_tables = i % 2,
            .decisions_only = i % 3 == 1,
            .false_alarms = i % 2 ? 0.01 : 0,
            .evidence_threshold = i % 3 ? 40 : 0,
        };
        memset(hello->model[i].name, 'm', 1 + i * 2);
    }
    nng_msg *message = message_open();
    cr_assert_eq(wire_encode_hello(message, hello), 0);
    return message;
}

Test(wire_reply, scores_come_back_in_every_shape) {
    for (int shape = 0; shape < 16; shape++) {
        bool memory = shape & 1, hard = shape & 2, degraded = shape & 4;
        size_t count = shape & 8 ? 2 : 0;
        nng_msg *message = score_reply(memory, hard, count, degraded);
        wire_reply reply;
        cr_assert_eq(decode(&reply, NULL, WIRE_SCORE, ROWS, message), WIRE_OK, "%s", reply.text);
        cr_assert(reply.code == WIRE_OK && reply.rows == ROWS && reply.degraded == degraded);
        cr_assert_arr_eq(reply.scores, scores, sizeof scores);
        cr_assert_arr_eq(reply.decisions, decisions, sizeof decisions);
        cr_assert_arr_eq(reply.fill, fill, sizeof fill);
        cr_assert_eq(reply.memory_scores != NULL, memory);
        cr_assert_eq(reply.poison_rows_count, count);
        cr_assert_eq(reply.poison != NULL, count > 0 && !hard);
        cr_assert_eq(reply.poison_labels != NULL, count > 0 && hard);
        if (reply.poison != NULL) {
            cr_assert_eq(reply.classes, CLASSES);
            cr_assert_arr_eq(reply.poison, poison, sizeof poison);
        }
        nng_msg_free(message);
    }
}

Test(wire_reply, hello_comes_back_whole_with_as_many_models_as_there_may_be) {
    for (size_t models = 0; models <= WIRE_MODELS_MAX; models += 16) {
        static wire_hello sent, came;
        nng_msg *message = hello_reply(&sent, models);
        wire_reply reply;
        cr_assert_eq(decode(&reply, &came, WIRE_HELLO, 0, message), WIRE_OK, "%s", reply.text);
        cr_assert(strcmp(came.version, "0.1.0") == 0 && strcmp(came.engine, "cpu") == 0);
        cr_assert(came.degraded && came.rows_max == 1 && came.message_bytes_max == UINT64_MAX &&
                  came.accounts_max == 3 && came.accounts == 4 && came.rows == 5 &&
                  came.requests == 6 && came.uptime_s == 7.25 && came.models == models);
        for (size_t i = 0; i < models; i++) {
            const wire_model *a = &sent.model[i], *b = &came.model[i];
            cr_assert(strcmp(a->name, b->name) == 0 && a->dim == b->dim && b->classes == 2 &&
                      b->rank == 3 && b->window == 4 && b->memory_rank == 5 &&
                      b->half_life == 6.5 && a->has_threshold == b->has_threshold &&
                      a->threshold == b->threshold && b->min_fill == 8 &&
                      a->hard_label == b->hard_label);
            cr_assert(a->mode == b->mode && a->action == b->action &&
                      a->has_tables == b->has_tables && a->decisions_only == b->decisions_only &&
                      a->false_alarms == b->false_alarms &&
                      a->evidence_threshold == b->evidence_threshold);
        }
        nng_msg_free(message);
    }
}

/* The daemon of before modes and actions, which poisoned whom it flagged. */
Test(wire_reply, a_hello_without_mode_and_action_enforces_by_poison) {
    static wire_hello sent, came;
    static buffer b;
    wire_reply reply;
    nng_msg *message = hello_reply(&sent, 3);
    size_t length = nng_msg_len(message);
    put(&b, nng_msg_body(message), length);
    for (size_t i = 0; i < 3; i++) {
        char *mode = memmem(b.bytes, length, "\xa4mode", 5);
        char *action = memmem(b.bytes, length,
                              "\xa6"
                              "action",
                              7);
        mode[1] = action[1] = 'x'; /* keys that nobody knows */
    }
    cr_assert_eq(wire_decode_reply(&reply, &came, WIRE_HELLO, 0, b.bytes, length), WIRE_OK, "%s",
                 reply.text);
    for (size_t i = 0; i < 3; i++) {
        cr_assert(came.model[i].mode == WIRE_ENFORCE && came.model[i].action == WIRE_ACT_POISON);
    }
    *(char *)memmem(nng_msg_body(message), length, "enforce", 7) = 'x';
    cr_assert_eq(decode(&reply, &came, WIRE_HELLO, 0, message), WIRE_BAD_MESSAGE);
    cr_assert(strstr(reply.text, "mode: expected enforce, shadow or off"), "%s", reply.text);
    nng_msg_free(message);
}

Test(wire_reply, pong_forgotten_and_every_error_come_back) {
    wire_reply reply;
    nng_msg *message = message_open();
    cr_assert_eq(wire_encode_pong(message), 0);
    cr_assert_eq(decode(&reply, NULL, WIRE_PING, 0, message), WIRE_OK);
    cr_assert_eq(decode(&reply, NULL, WIRE_FORGET, 0, message), WIRE_BAD_MESSAGE);
    nng_msg_free(message);
    for (int known = 0; known < 2; known++) {
        message = message_open();
        cr_assert_eq(wire_encode_forgotten(message, known), 0);
        cr_assert_eq(decode(&reply, NULL, WIRE_FORGET, 0, message), WIRE_OK);
        cr_assert_eq(reply.known, (bool)known);
        nng_msg_free(message);
    }
    for (wire_code code = WIRE_BAD_MESSAGE; code < WIRE_CODES; code++) {
        char longer[2 * WIRE_TEXT_MAX];
        memset(longer, 'e', sizeof longer - 1);
        longer[sizeof longer - 1] = '\0';
        longer[3] = '\x1b';
        message = message_open();
        cr_assert_eq(wire_encode_error(message, code, longer), 0);
        cr_assert_eq(decode(&reply, NULL, WIRE_SCORE, ROWS, message), WIRE_OK);
        cr_assert_eq(reply.code, code);
        cr_assert_eq(strlen(reply.text), WIRE_TEXT_MAX - 1);
        cr_assert_eq(reply.text[3], '?', "a terminal's escape came through");
        nng_msg_free(message);
    }
}

Test(wire_reply, an_error_code_of_a_later_version_is_internal) {
    static const unsigned char bytes[] = "\x84\xa1v\x01\xa6status\xa5"
                                         "error\xa4"
                                         "code\xa3new\xa7message\xa2hm";
    wire_reply reply;
    cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_PING, 0, bytes, sizeof bytes - 1), WIRE_OK);
    cr_assert(reply.code == WIRE_INTERNAL && strcmp(reply.text, "hm") == 0);
}

/* ---- a daemon that lies ---- */

/* A score reply of ROWS rows with one field changed or added; bytes NULL: left out. */
static void put_reply(buffer *b, const field *changes, size_t count) {
    static const field fields[] = {
        {"v", RAW("\x01")},
        {"status", RAW("\xa2ok")},
        {"scores", RAW("\xc4\x10 0123456789abcde")},
        {"decisions", RAW("\xc4\x04\0\1\2\1")},
        {"fill", RAW("\xc4\x10 0123456789abcde")},
    };
    size_t written = 0;
    b->length = 0;
    put_byte(b, 0x80);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] + count; i++) {
        const field *f = i < 5 ? &fields[i] : &changes[i - 5];
        for (size_t c = 0; i < 5 && c < count; c++) {
            f = strcmp(changes[c].key, fields[i].key) == 0 ? NULL : f;
        }
        if (f != NULL && f->bytes != NULL) {
            put_str(b, f->key);
            put(b, f->bytes, f->length);
            written++;
        }
    }
    b->bytes[0] = (unsigned char)(0x80 | written);
}

static const struct {
    field changes[3];
    const char *part; /* NULL: a good reply */
} lies[] = {
    {{{"v", RAW("\x01")}}, NULL},
    {{{"v", RAW("\x02")}}, "v: expected 1"},
    {{{"status", NULL, 0}}, "status: needed"},
    {{{"status", RAW("\xa3yes")}}, "status"},
    {{{"status", RAW("\xa5"
                     "error")}},
     "code: needed"},
    {{{"scores", NULL, 0}}, "scores: needed"},
    {{{"scores", RAW("\xc4\x0c 0123456789a")}}, "scores: expected 16 bytes, came 12"},
    {{{"scores", RAW("\x90")}}, "scores: expected bin"},
    {{{"memory_scores", RAW("\xc4\x04 012")}}, "memory_scores: expected 16"},
    {{{"decisions", RAW("\xc4\x05\0\1\2\1\0")}}, "decisions: expected 4"},
    {{{"decisions", RAW("\xc4\x04\0\1\2\3")}}, NULL},
    {{{"decisions", RAW("\xc4\x04\0\1\2\4")}}, "decisions[3]: expected 0 to 3, came 4"},
    {{{"verdicts", RAW("\xc4\x04\0\1\2\3")}}, "verdicts[3]: expected 0 to 2, came 3"},
    {{{"verdicts", RAW("\xc4\x03\0\1\2")}}, "verdicts: expected 4 bytes, came 3"},
    {{{"group_verdicts", RAW("\xc4\x04\xff\1\2\0")}},
     "group_verdicts[0]: expected 0 to 2, came 255"},
    {{{"reasons", RAW("\xc4\x04\0\5\6\1")}}, NULL},
    {{{"reasons", RAW("\xc4\x04\0\5\7\1")}}, "reasons[2]: expected 0 to 6, came 7"},
    {{{"reasons", RAW("\xa4"
                      "abcd")}},
     "reasons: expected bin, came str"},
    {{{"excess", RAW("\xc4\x10\xff\xff\xff\xff 0123456789a")}}, NULL},
    {{{"excess", RAW("\xc4\x0f 0123456789abcd")}}, "excess: expected 16 bytes, came 15"},
    {{{"excess", RAW("\xc0")}}, "excess: expected bin, came nil"},
    {{{"memory_excess", RAW("\xc4\x00")}}, "memory_excess: expected 16 bytes, came 0"},
    {{{"evidence", RAW("\xc4\x04\0\0\0\0")}}, "evidence: expected 16 bytes, came 4"},
    {{{"group_scores", RAW("\x94\0\0\0\0")}}, "group_scores: expected bin, came array"},
    {{{"group_excess", RAW("\xc4\x01\0")}}, "group_excess: expected 16 bytes, came 1"},
    {{{"group_evidence", RAW("\xc4\x01\0")}}, "group_evidence: expected 16 bytes, came 1"},
    {{{"pad", RAW("\xc4\x01\0")}}, NULL},
    {{{"fill", NULL, 0}}, "fill: needed"},
    {{{"poison_rows", RAW("\xc4\x04\1\0\0\0")}}, "poison_rows: expected with one of"},
    {{{"poison", RAW("\xc4\x04\0\0\0\0")}}, "poison_rows: expected with one of"},
    {{{"poison_rows", RAW("\xc4\x04\1\0\0\0")},
      {"poison", RAW("\xc4\x04\0\0\0\0")},
      {"poison_labels", RAW("\xc4\x04\0\0\0\0")}},
     "came both"},
    {{{"poison_rows", RAW("\xc4\x04\3\0\0\0")}, {"poison_labels", RAW("\xc4\x04\0\0\0\0")}}, NULL},
    {{{"poison_rows", RAW("\xc4\x04\4\0\0\0")}, {"poison_labels", RAW("\xc4\x04\0\0\0\0")}},
     "poison_rows[0]: expected ascending rows below 4, came 4"},
    {{{"poison_rows", RAW("\xc4\x08\1\0\0\0\1\0\0\0")},
      {"poison_labels", RAW("\xc4\x08\0\0\0\0\0\0\0\0")}},
     "poison_rows[1]"},
    {{{"poison_rows", RAW("\xc4\x08\2\0\0\0\1\0\0\0")},
      {"poison", RAW("\xc4\x08\0\0\0\0\0\0\0\0")}},
     "poison_rows[1]"},
    {{{"poison_rows", RAW("\xc4\x05\1\0\0\0\0")}, {"poison_labels", RAW("\xc4\x05\0\0\0\0\0")}},
     "poison_rows: expected 4 bytes"},
    {{{"poison_rows", RAW("\xc4\x00")}, {"poison", RAW("\xc4\x00")}}, "poison_rows: expected 4"},
    {{{"poison_rows", RAW("\xc4\x08\1\0\0\0\2\0\0\0")}, {"poison", RAW("\xc4\x04\0\0\0\0")}},
     "poison: expected a multiple of 8"},
    {{{"poison_rows", RAW("\xc4\x04\1\0\0\0")}, {"poison", RAW("\xc4\x00")}}, "poison: expected"},
    {{{"poison_rows", RAW("\xc4\x04\1\0\0\0")}, {"poison_labels", RAW("\xc4\x08\0\0\0\0\0\0\0\0")}},
     "poison_labels: expected 4"},
};

Test(wire_reply, a_lying_daemon_is_not_believed) {
    static buffer b;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        size_t count = 0;
        while (count < 3 && lies[i].changes[count].key != NULL) {
            count++;
        }
        put_reply(&b, lies[i].changes, count);
        wire_reply reply;
        wire_code code = wire_decode_reply(&reply, NULL, WIRE_SCORE, ROWS, b.bytes, b.length);
        cr_assert(code == (lies[i].part == NULL ? WIRE_OK : WIRE_BAD_MESSAGE), "lie %zu: %s", i,
                  reply.text);
        cr_assert(lies[i].part == NULL || strstr(reply.text, lies[i].part), "lie %zu: %s", i,
                  reply.text);
    }
}

Test(wire_reply, a_hello_with_more_models_or_longer_names_than_there_may_be_is_refused) {
    static wire_hello hello;
    nng_msg *message = hello_reply(&hello, 1);
    char *body = nng_msg_body(message);
    size_t length = nng_msg_len(message);
    char *models = memmem(body, length, "models\x91", 7);
    cr_assert_not_null(models);
    static buffer b;
    wire_reply reply;
    size_t model_bytes = length - (size_t)(models + 7 - body);
    put(&b, body, (size_t)(models + 6 - body));
    put_head(&b, 0xdc, WIRE_MODELS_MAX + 1, 2);
    for (size_t i = 0; i <= WIRE_MODELS_MAX; i++) {
        put(&b, models + 7, model_bytes);
    }
    cr_assert_eq(wire_decode_reply(&reply, &hello, WIRE_HELLO, 0, b.bytes, b.length),
                 WIRE_BAD_MESSAGE);
    cr_assert(strstr(reply.text, "models: expected at most 64, came 65"), "%s", reply.text);
    *strchr(memmem(body, length, "0.1.0", 5), '.') = '\x1b';
    cr_assert_eq(decode(&reply, &hello, WIRE_HELLO, 0, message), WIRE_BAD_MESSAGE);
    cr_assert(strstr(reply.text, "version: expected"), "%s", reply.text);
    nng_msg_free(message);
}

/* ---- garbage ---- */

static unsigned sink; /* keeps the reads below from being dropped */

static void touch(const void *bytes, size_t length) {
    const unsigned char *at = bytes;
    for (size_t i = 0; at != NULL && i < length; i++) {
        sink += at[i];
    }
}

static void touch_request(const wire_request *r) {
    for (size_t i = 0; i < r->rows; i++) {
        touch(r->accounts[i].bytes, r->accounts[i].length);
        if (r->groups != NULL) {
            touch(r->groups[i].bytes, r->groups[i].length);
        }
    }
    touch(r->classes, 4 * r->rows);
    touch(r->embeddings, r->rows * DIM * wire_dtype_bytes(r->dtype));
    touch(r->account.bytes, r->account.length);
}

static void touch_reply(const wire_reply *r) {
    touch(r->scores, 4 * r->rows);
    touch(r->memory_scores, 4 * r->rows);
    touch(r->decisions, r->rows);
    touch(r->fill, 4 * r->rows);
    touch(r->excess, 4 * r->rows);
    touch(r->verdicts, r->rows);
    touch(r->memory_excess, 4 * r->rows);
    touch(r->evidence, 4 * r->rows);
    touch(r->group_scores, 4 * r->rows);
    touch(r->group_excess, 4 * r->rows);
    touch(r->group_evidence, 4 * r->rows);
    touch(r->group_verdicts, r->rows);
    touch(r->reasons, r->rows);
    touch(r->poison_rows, 4 * r->poison_rows_count);
    touch(r->poison, 4 * r->poison_rows_count * r->classes);
    touch(r->poison_labels, 4 * r->poison_rows_count);
}

static void check_line(const char *text, bool refused) {
    size_t length = strnlen(text, WIRE_TEXT_MAX);
    bool fine = length < WIRE_TEXT_MAX && (length > 0 || !refused);
    for (size_t i = 0; fine && i < length; i++) {
        fine = text[i] >= ' ' && text[i] <= '~';
    }
    if (!fine) {
        cr_assert_fail("not one printable line: %.*s", (int)length, text);
    }
}

static void check_explanation(const wire_explanation *e) {
    cr_assert(e->classes <= WIRE_EXPLAIN_CLASSES_MAX && e->windows <= WIRE_EXPLAIN_HISTORY_MAX);
    cr_assert(e->verdict <= WIRE_UNDECIDED && e->reason <= WIRE_ALLOWED);
}

typedef struct {
    wire_scratch *scratch;
    size_t taken;
    size_t refused;
} tally;

/* Both decoders on bytes in memory of exactly their size, with all that they hand out read. */
static void try_bytes(tally *t, const unsigned char *bytes, size_t length) {
    static const wire_limits limits = {
        .model = "resnet", .dim = DIM, .classes = 10, .rows_max = ROWS_MAX};
    static wire_hello hello;
    unsigned char *copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    char text[WIRE_TEXT_MAX];
    wire_request request;
    wire_code code =
        wire_decode_request(&request, t->scratch, (wire_served){&limits, 1}, copy, length, text);
    check_line(text, code != WIRE_OK);
    if (code == WIRE_OK) {
        touch_request(&request);
    }
    bool taken = code == WIRE_OK;
    for (wire_op op = WIRE_SCORE; op <= WIRE_EXPLAIN; op++) {
        wire_reply reply;
        code = wire_decode_reply(&reply, &hello, op, ROWS, copy, length);
        check_line(reply.text, code != WIRE_OK);
        if (code == WIRE_OK) {
            touch_reply(&reply);
            taken = true;
        }
    }
    static wire_explanation explanation;
    wire_reply reply;
    code = wire_decode_explanation(&reply, &explanation, copy, length);
    check_line(reply.text, code != WIRE_OK);
    if (code == WIRE_OK) {
        check_explanation(&explanation);
    }
    t->taken += taken;
    t->refused += !taken;
    free(copy);
}

/* The messages that are broken: each op's request and each reply. */
enum { SEEDS = 10 };

static void make_seeds(nng_msg *seeds[SEEDS]) {
    static const char *const accounts[ROWS] = {"a", "bb", "\xc3\xa9", "a"};
    static const char *const groups[ROWS] = {"g", NULL, "g", NULL};
    static const float rows[ROWS * DIM] = {1, 2, 3};
    static const uint32_t classes[ROWS] = {1, 2, 3, 9};
    static wire_hello hello;
    wire_outgoing request = {.op = WIRE_SCORE,
                             .identified = true,
                             .model = "resnet",
                             .account = "x",
                             .rows = ROWS,
                             .accounts = accounts,
                             .groups = groups,
                             .classes = classes,
                             .dim = DIM,
                             .embeddings = rows,
                             .want_poison = true};
    for (size_t i = 0; i < 3; i++) {
        static const wire_op ops[] = {WIRE_SCORE, WIRE_FORGET, WIRE_PING};
        request.op = ops[i];
        seeds[i] = message_open();
        cr_assert_eq(wire_encode_request(seeds[i], &request), 0);
    }
    seeds[3] = score_reply(true, false, 2, true);
    seeds[4] = score_reply(false, true, 2, false);
    seeds[5] = hello_reply(&hello, 2);
    seeds[6] = message_open();
    cr_assert_eq(wire_encode_error(seeds[6], WIRE_BAD_CLASS, "some text"), 0);
    seeds[7] = message_open();
    cr_assert_eq(wire_encode_forgotten(seeds[7], true), 0);
    seeds[8] = message_open();
    static const wire_explanation explanation = {.classes = 2, .windows = 3};
    cr_assert_eq(wire_encode_explanation(seeds[8], true, &explanation), 0);
    seeds[9] = detailed_reply();
}

/* One to four changes: a byte set, a bit turned, a piece cut out, doubled or moved, the end lost.
 */
static size_t mutate(unsigned char *bytes, size_t length, size_t capacity, uint64_t *state) {
    static const unsigned char telling[] = {0x00, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc1, 0xc6, 0xc7,
                                            0xd4, 0xdb, 0xdd, 0xdf, 0xff, 0x81, 0x91, 0xa1, 0xc4};
    for (uint64_t changes = random_next(state) % 4 + 1; changes > 0 && length > 1; changes--) {
        size_t at = random_next(state) % length;
        size_t span = random_next(state) % (length - at < 16 ? length - at : 16);
        switch (random_next(state) % 6) {
        case 0:
            bytes[at] = telling[random_next(state) % sizeof telling];
            break;
        case 1:
            bytes[at] ^= (unsigned char)(1u << random_next(state) % 8);
            break;
        case 2:
            bytes[at] = (unsigned char)random_next(state);
            break;
        case 3:
            memmove(bytes + at, bytes + at + span, length - at - span);
            length -= span;
            break;
        case 4:
            if (length + span <= capacity) {
                memmove(bytes + at + span, bytes + at, length - at);
                length += span;
            }
            break;
        default:
            length = random_next(state) % 4 == 0 ? at : length;
        }
    }
    return length;
}

Test(wire_reply, a_quarter_of_a_million_broken_messages_do_no_harm, .timeout = 240) {
    nng_msg *seeds[SEEDS];
    make_seeds(seeds);
    tally t = {.scratch = wire_scratch_open(ROWS_MAX)};
    uint64_t state = 0x9e3779b97f4a7c15ull;
    for (size_t round = 0; round < FUZZ_ROUNDS; round++) {
        unsigned char bytes[4096];
        const nng_msg *seed = seeds[round % SEEDS];
        size_t length = nng_msg_len(seed);
        cr_assert(round > SEEDS || length < sizeof bytes - 64);
        memcpy(bytes, nng_msg_body((nng_msg *)seed), length);
        try_bytes(&t, bytes, mutate(bytes, length, sizeof bytes, &state));
    }
    printf("broken messages: %zu taken by some decoder, %zu refused\n", t.taken, t.refused);
    cr_assert(t.taken > 1000 && t.refused > 100000, "the mutations test nothing");
    for (size_t i = 0; i < SEEDS; i++) {
        nng_msg_free(seeds[i]);
    }
    wire_scratch_close(t.scratch);
}

Test(wire_reply, a_quarter_of_a_million_random_strings_do_no_harm, .timeout = 240) {
    tally t = {.scratch = wire_scratch_open(ROWS_MAX)};
    uint64_t state = 0x2545f4914f6cdd1dull;
    for (size_t round = 0; round < FUZZ_ROUNDS; round++) {
        unsigned char bytes[256];
        size_t length = random_next(&state) % sizeof bytes;
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (unsigned char)(random_next(&state) >> 32);
        }
        if (length > 0 && round % 2) {
            bytes[0] = (unsigned char)(0x80 | (bytes[0] & 0x0f)); /* at least a map */
        }
        try_bytes(&t, bytes, length);
    }
    printf("random strings: %zu taken, %zu refused\n", t.taken, t.refused);
    cr_assert_eq(t.taken, 0);
    wire_scratch_close(t.scratch);
}

Test(wire_reply, a_refusal_may_say_when_to_come_again) {
    static const uint32_t hints[] = {0, 1, 10000, UINT32_MAX};
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        nng_msg *message;
        wire_reply reply;
        cr_assert_eq(nng_msg_alloc(&message, 0), 0);
        cr_assert_eq(wire_encode_refusal(message, WIRE_OVERLOADED, "later", hints[i]), 0);
        cr_assert_eq(wire_decode_reply(&reply, NULL, WIRE_SCORE, 1, nng_msg_body(message),
                                       nng_msg_len(message)),
                     WIRE_OK);
        cr_assert(reply.code == WIRE_OVERLOADED && reply.retry_after_ms == hints[i]);
        nng_msg_free(message);
    }
}
