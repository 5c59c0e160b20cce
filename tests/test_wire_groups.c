/*
 * test_wire_groups.c - requests that name groups: a score's second key, and whom a forget or an
 * explain is about.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "wire.h"
#include "wire_bytes.h"

enum { ROWS = 3, ROWS_MAX = 600 };

static const wire_limits limits = {.model = "resnet", .dim = 1, .classes = 1, .rows_max = ROWS_MAX};

static wire_scratch *scratch;

static void setup(void) {
    scratch = wire_scratch_open(ROWS_MAX);
    cr_assert_not_null(scratch);
}

static void teardown(void) {
    wire_scratch_close(scratch);
}

TestSuite(wire_groups, .init = setup, .fini = teardown);

/* Decodes from memory of exactly the message's size, so that a sanitizer sees each byte too far. */
static wire_code decode(wire_request *request, const void *bytes, size_t length,
                        char text[WIRE_TEXT_MAX]) {
    static unsigned char *copy;
    free(copy);
    copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    return wire_decode_request(request, scratch, (wire_served){&limits, 1}, copy, length, text);
}

static void expect(const buffer *b, wire_code code, const char *part) {
    wire_request request;
    char text[WIRE_TEXT_MAX];
    wire_code came = decode(&request, b->bytes, b->length, text);
    cr_assert(came == code && strstr(text, part) != NULL, "expected %s with \"%s\", came %s: %s",
              wire_code_name(code), part, wire_code_name(came), text);
}

/* A score request of `rows` rows, its groups as given. */
static void put_score(buffer *b, size_t rows, const void *groups, size_t groups_bytes) {
    static const unsigned char zeros[4 * ROWS_MAX];
    b->length = 0;
    put(b, RAW("\x86\xa1v\x01\xa2op\xa5score"));
    put_str(b, "accounts");
    put_head(b, 0xdc, rows, 2);
    for (size_t i = 0; i < rows; i++) {
        put_str(b, "a");
    }
    put_str(b, "classes");
    put_bin(b, zeros, 4 * rows);
    put_str(b, "embeddings");
    put_bin(b, zeros, 4 * rows);
    put_str(b, "groups");
    put(b, groups, groups_bytes);
}

static bool text_is(wire_text text, const char *word) {
    return text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

Test(wire_groups, a_row_has_a_group_or_none) {
    static buffer b;
    wire_request request;
    char text[WIRE_TEXT_MAX];
    put_score(&b, ROWS, RAW("\x93\xa3org\xc0\xa2\xc3\xa9"));
    cr_assert_eq(decode(&request, b.bytes, b.length, text), WIRE_OK, "%s", text);
    cr_assert(text_is(request.groups[0], "org") && request.groups[1].length == 0 &&
              text_is(request.groups[2], "\xc3\xa9"));
    cr_assert(text_is(request.accounts[0], "a") && text_is(request.accounts[2], "a"));
}

Test(wire_groups, groups_of_one_request_do_not_stay_for_the_next) {
    static buffer b;
    wire_request request;
    char text[WIRE_TEXT_MAX];
    put_score(&b, ROWS, RAW("\x93\xa3org\xa3org\xa3org"));
    cr_assert_eq(decode(&request, b.bytes, b.length, text), WIRE_OK, "%s", text);
    put_score(&b, ROWS, RAW("\x93\xc0\xc0\xc0"));
    cr_assert_eq(decode(&request, b.bytes, b.length, text), WIRE_OK, "%s", text);
    for (size_t i = 0; i < ROWS; i++) {
        cr_assert(request.groups[i].length == 0 && request.groups[i].bytes == NULL);
    }
    put_score(&b, ROWS, RAW("\xc0"));
    cr_assert_eq(decode(&request, b.bytes, b.length, text), WIRE_OK, "%s", text);
    cr_assert_null(request.groups);
}

Test(wire_groups, every_row_the_limit_allows_may_have_a_group) {
    static buffer b, groups;
    wire_request request;
    char text[WIRE_TEXT_MAX];
    put_head(&groups, 0xdc, ROWS_MAX, 2);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        put_str(&groups, i % 2 ? "odd" : "even");
    }
    put_score(&b, ROWS_MAX, groups.bytes, groups.length);
    cr_assert_eq(decode(&request, b.bytes, b.length, text), WIRE_OK, "%s", text);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        cr_assert(text_is(request.groups[i], i % 2 ? "odd" : "even"));
        cr_assert(text_is(request.accounts[i], "a"));
    }
}

static const struct {
    field groups;
    wire_code code;
    const char *part;
} refusals[] = {
    {{NULL, RAW("\xa3org")}, WIRE_BAD_MESSAGE, "groups: expected array or nil, came str"},
    {{NULL, RAW("\xc4\x03org")}, WIRE_BAD_MESSAGE, "groups: expected array or nil, came bin"},
    {{NULL, RAW("\x90")}, WIRE_BAD_REQUEST, "groups: expected 3, one for each account, came 0"},
    {{NULL, RAW("\x92\xa1x\xc0")}, WIRE_BAD_REQUEST, "groups: expected 3"},
    {{NULL, RAW("\x94\xa1x\xc0\xc0\xc0")}, WIRE_BAD_REQUEST, "came 4"},
    {{NULL, RAW("\x93\xc0\xa1x\x07")},
     WIRE_BAD_MESSAGE,
     "groups[2]: expected str or nil, came uint"},
    {{NULL, RAW("\x93\xc0\xc4\x01x\xc0")}, WIRE_BAD_MESSAGE, "groups[1]: expected str or nil"},
    {{NULL, RAW("\x93\xc2\xc0\xc0")},
     WIRE_BAD_MESSAGE,
     "groups[0]: expected str or nil, came bool"},
    {{NULL, RAW("\x93\xc0\xa0\xc0")}, WIRE_BAD_REQUEST, "came 0 bytes: it is empty"},
    {{NULL, RAW("\x93\xc0\xc0\xa2\xc0\x80")}, WIRE_BAD_REQUEST, "groups[2]: expected 1 to 128"},
    {{NULL, RAW("\x93\xa2x\0\xc0\xc0")}, WIRE_BAD_REQUEST, "groups[0]: expected 1 to 128"},
};

Test(wire_groups, each_refusal_has_its_code_and_names_the_group) {
    static buffer b, longer;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        put_score(&b, ROWS, refusals[i].groups.bytes, refusals[i].groups.length);
        expect(&b, refusals[i].code, refusals[i].part);
    }
    char name[WIRE_ACCOUNT_BYTES_MAX + 2] = {0};
    memset(name, 'x', sizeof name - 1);
    put(&longer, RAW("\x93\xc0\xc0"));
    put_str(&longer, name);
    put_score(&b, ROWS, longer.bytes, longer.length);
    expect(&b, WIRE_BAD_REQUEST, "groups[2]: expected 1 to 128 bytes of UTF-8, came 129");
}

Test(wire_groups, more_groups_than_a_message_may_hold_are_too_large) {
    static buffer b, groups;
    put_head(&groups, 0xdd, 10000, 4);
    for (size_t i = 0; i < 10000; i++) {
        put_byte(&groups, 0xc0);
    }
    put_score(&b, ROWS, groups.bytes, groups.length);
    expect(&b, WIRE_TOO_LARGE, "other arrays");
}

Test(wire_groups, a_request_cut_short_anywhere_is_a_bad_message) {
    static buffer b;
    put_score(&b, ROWS, RAW("\x93\xa3org\xc0\xa2\xc3\xa9"));
    for (size_t length = 0; length < b.length; length++) {
        wire_request request;
        char text[WIRE_TEXT_MAX];
        if (decode(&request, b.bytes, length, text) != WIRE_BAD_MESSAGE) {
            cr_assert_fail("%zu of %zu bytes were taken: %s", length, b.length, text);
        }
    }
}

/* ---- whom a forget or an explain is about ---- */

static const struct {
    field name; /* what follows op in a map of `pairs` */
    unsigned pairs;
    wire_code code;
    const char *part;
    bool is_group;
} names[] = {
    {{NULL, RAW("\xa7"
                "account\xa1x")},
     3,
     WIRE_OK,
     "",
     false},
    {{NULL, RAW("\xa5group\xa1x")}, 3, WIRE_OK, "", true},
    {{NULL, RAW("")},
     2,
     WIRE_BAD_REQUEST,
     "account and group: expected exactly one of them, came none",
     false},
    {{NULL, RAW("\xa5group\xa1x\xa7"
                "account\xa1x")},
     4,
     WIRE_BAD_REQUEST,
     "came both",
     false},
    {{NULL, RAW("\xa5group\xa0")}, 3, WIRE_BAD_REQUEST, "group: expected 1 to 128", false},
    {{NULL, RAW("\xa5group\xa1\xff")}, 3, WIRE_BAD_REQUEST, "group: expected 1 to 128", false},
    {{NULL, RAW("\xa5group\xc0")}, 3, WIRE_BAD_MESSAGE, "group: expected str, came nil", false},
    {{NULL, RAW("\xa5group\xa1x\xa5group\xa1x")}, 4, WIRE_BAD_MESSAGE, "group: came twice", false},
    {{NULL, RAW("\xa5group\xa1x\xa5model\xa3vgg")}, 4, WIRE_UNKNOWN_MODEL, "model", false},
};

Test(wire_groups, a_forget_and_an_explain_name_one_account_or_one_group) {
    static const char *const ops[] = {"forget", "explain"};
    static buffer b;
    for (size_t i = 0; i < 2 * (sizeof names / sizeof names[0]); i++) {
        size_t n = i / 2;
        b.length = 0;
        put_byte(&b, 0x80 | names[n].pairs);
        put(&b, RAW("\xa1v\x01\xa2op"));
        put_str(&b, ops[i % 2]);
        put(&b, names[n].name.bytes, names[n].name.length);
        expect(&b, names[n].code, names[n].part);
        wire_request request;
        char text[WIRE_TEXT_MAX];
        if (decode(&request, b.bytes, b.length, text) == WIRE_OK) {
            cr_assert(request.is_group == names[n].is_group && text_is(request.account, "x"));
            cr_assert_eq(request.op, i % 2 ? WIRE_EXPLAIN : WIRE_FORGET);
        }
    }
}

/* ---- the encoder ---- */

static nng_msg *encode(const wire_outgoing *outgoing, wire_request *request) {
    nng_msg *message;
    char text[WIRE_TEXT_MAX];
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(wire_encode_request(message, outgoing), 0);
    cr_assert_eq(wire_decode_request(request, scratch, (wire_served){&limits, 1},
                                     nng_msg_body(message), nng_msg_len(message), text),
                 WIRE_OK, "%s", text);
    return message;
}

Test(wire_groups, what_the_client_sends_comes_over) {
    static const char *const accounts[ROWS] = {"a", "bb", "c"};
    static const char *const groups[ROWS] = {NULL, "org", NULL};
    static const uint32_t classes[ROWS];
    static const float rows[ROWS];
    for (int variant = 0; variant < 8; variant++) {
        wire_outgoing outgoing = {.op = WIRE_SCORE,
                                  .rows = ROWS,
                                  .accounts = accounts,
                                  .groups = variant & 1 ? groups : NULL,
                                  .classes = classes,
                                  .dim = 1,
                                  .embeddings = rows,
                                  .want_poison = variant & 2,
                                  .want_detail = variant & 4};
        wire_request request;
        nng_msg *message = encode(&outgoing, &request);
        cr_assert_eq(request.groups != NULL, variant & 1);
        cr_assert(request.groups == NULL ||
                  (request.groups[0].length == 0 && text_is(request.groups[1], "org")));
        cr_assert_eq(request.want_poison, outgoing.want_poison);
        cr_assert_eq(request.want_detail, outgoing.want_detail);
        nng_msg_free(message);
    }
    for (int variant = 0; variant < 4; variant++) {
        wire_outgoing outgoing = {.op = variant & 1 ? WIRE_FORGET : WIRE_EXPLAIN,
                                  .account = "some",
                                  .is_group = variant & 2};
        wire_request request;
        nng_msg *message = encode(&outgoing, &request);
        cr_assert(request.op == outgoing.op && request.is_group == outgoing.is_group &&
                  text_is(request.account, "some"));
        nng_msg_free(message);
    }
}
