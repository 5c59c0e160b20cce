/*
 * test_wire.c - the message codec against messages written here byte by byte, so that the encoder
 * is not its own judge, and against a few hundred thousand broken ones.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "wire.h"
#include "wire_bytes.h"

enum {
    ROWS = 3,
    DIM = 4,
    CLASSES = 10,
    ROWS_MAX = 600,

};

static const wire_limits limits = {
    .model = "resnet", .dim = DIM, .classes = CLASSES, .rows_max = ROWS_MAX};

static const float good_rows[ROWS * DIM] = {1, 2, 3, 4, -1e12f, 1e12f, 0, -0.0f, 1e-45f, 5, 6, 7};
static const uint32_t good_classes[ROWS] = {0, 9, 3};

/* A valid score request with one field replaced, added or left out. */
static void put_score(buffer *b, const field *change) {
    static buffer classes, rows;
    classes.length = rows.length = 0;
    put_bin(&classes, good_classes, sizeof good_classes);
    put_bin(&rows, good_rows, sizeof good_rows);
    const field fields[] = {
        {"v", RAW("\x01")},
        {"op", RAW("\xa5score")},
        {"client", RAW("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
        {"seq", RAW("\x07")},
        {"model", RAW("\xa6resnet")},
        {"accounts", RAW("\x93\xa1"
                         "a\xa2"
                         "bb\xa1"
                         "a")},
        {"classes", classes.bytes, classes.length},
        {"dtype", RAW("\xa3"
                      "f32")},
        {"embeddings", rows.bytes, rows.length},
        {"want", RAW("\x92\xa6"
                     "detail\xa6poison")},
    };
    size_t count = sizeof fields / sizeof fields[0];
    size_t written = 0;
    bool changed = change == NULL;
    b->length = 0;
    put_byte(b, 0x80);
    for (size_t i = 0; i < count; i++) {
        const field *f = &fields[i];
        if (change != NULL && strcmp(change->key, f->key) == 0) {
            f = change;
            changed = true;
        }
        if (f->bytes != NULL) {
            put_str(b, f->key);
            put(b, f->bytes, f->length);
            written++;
        }
    }
    if (!changed) {
        put_str(b, change->key);
        put(b, change->bytes, change->length);
        written++;
    }
    b->bytes[0] = (unsigned char)(0x80 | written);
}

static wire_scratch *scratch;

static void setup(void) {
    scratch = wire_scratch_open(ROWS_MAX);
    cr_assert_not_null(scratch);
}

static void teardown(void) {
    wire_scratch_close(scratch);
}

/* Decodes from memory of exactly the message's size, so that a sanitizer sees each byte too far. */
static wire_code decode(wire_request *request, const wire_limits *with, const void *bytes,
                        size_t length, char text[WIRE_TEXT_MAX]) {
    static unsigned char *copy;
    free(copy);
    copy = malloc(length > 0 ? length : 1);
    memcpy(copy, bytes, length);
    return wire_decode_request(request, scratch, (wire_served){with, 1}, copy, length, text);
}

static void expect(const char *what, const buffer *b, wire_code code, const char *part) {
    wire_request request;
    char text[WIRE_TEXT_MAX] = "";
    wire_code came = decode(&request, &limits, b->bytes, b->length, text);
    cr_assert(came == code && strstr(text, part) != NULL,
              "%s: expected %s with \"%s\", came %s: %s", what, wire_code_name(code), part,
              wire_code_name(came), text);
}

TestSuite(wire, .init = setup, .fini = teardown);

/* ---- requests that are understood ---- */

Test(wire, a_score_request_written_by_hand_decodes) {
    static buffer b;
    put_score(&b, NULL);
    wire_request request;
    char text[WIRE_TEXT_MAX];
    wire_code code = decode(&request, &limits, b.bytes, b.length, text);
    cr_assert_eq(code, WIRE_OK, "%s", text);
    cr_assert(request.op == WIRE_SCORE && request.rows == ROWS && request.dtype == WIRE_F32);
    cr_assert(request.identified && request.client == UINT64_MAX && request.seq == 7);
    cr_assert(request.want_poison && request.want_detail && request.model == 0);
    cr_assert(request.groups == NULL && !request.is_group);
    cr_assert(request.accounts[1].length == 2 && memcmp(request.accounts[1].bytes, "bb", 2) == 0);
    cr_assert_arr_eq(request.classes, good_classes, sizeof good_classes);
    cr_assert_arr_eq(request.embeddings, good_rows, sizeof good_rows);
}

static wire_code encode_decode(const wire_outgoing *outgoing, wire_request *request,
                               nng_msg **message) {
    char text[WIRE_TEXT_MAX];
    cr_assert_eq(nng_msg_alloc(message, 0), 0);
    cr_assert_eq(wire_encode_request(*message, outgoing), 0);
    wire_code code = wire_decode_request(request, scratch, (wire_served){&limits, 1},
                                         nng_msg_body(*message), nng_msg_len(*message), text);
    cr_assert_eq(code, WIRE_OK, "%s", text);
    return code;
}

Test(wire, every_op_and_dtype_survives_encoding_and_decoding) {
    static const char *const accounts[ROWS] = {"a", "bb", "\xc3\xa9"};
    for (int variant = 0; variant < 3 * 8; variant++) {
        wire_outgoing outgoing = {
            .op = WIRE_SCORE,
            .identified = variant & 1,
            .client = 1ull << 63,
            .seq = 1,
            .model = variant & 2 ? "resnet" : NULL,
            .rows = ROWS,
            .accounts = accounts,
            .classes = good_classes,
            .dtype = (wire_dtype)(variant / 8),
            .dim = DIM,
            .embeddings =
                variant / 8 == WIRE_F32 ? (const void *)good_rows : "012345670123456701234567",
            .want_poison = variant & 4,
        };
        wire_request request;
        nng_msg *message;
        encode_decode(&outgoing, &request, &message);
        cr_assert(request.op == WIRE_SCORE && request.rows == ROWS);
        cr_assert(request.identified == (bool)(variant & 1) && request.dtype == outgoing.dtype);
        cr_assert(request.want_poison == (bool)(variant & 4));
        cr_assert_eq(memcmp(request.embeddings, outgoing.embeddings,
                            ROWS * DIM * wire_dtype_bytes(outgoing.dtype)),
                     0);
        cr_assert(request.accounts[2].length == 2);
        nng_msg_free(message);
    }
    for (wire_op op = WIRE_HELLO; op <= WIRE_EXPLAIN; op++) {
        wire_request request;
        nng_msg *message;
        encode_decode(&(wire_outgoing){.op = op, .account = "some"}, &request, &message);
        cr_assert(request.op == op && !request.identified);
        cr_assert(op < WIRE_FORGET || request.account.length == 4);
        nng_msg_free(message);
    }
}

Test(wire, unknown_keys_and_a_nil_group_are_ignored) {
    static const field changes[] = {
        {"groups", RAW("\xc0")},
        {"later", RAW("\x81\xa1x\x93\xc0\xc3\xcb\x3f\xf0\0\0\0\0\0\0")},
        {"want", RAW("\x91\xa7unheard")},
        {"model", NULL, 0},
        {"dtype", NULL, 0},
    };
    static buffer b;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        put_score(&b, &changes[i]);
        expect(changes[i].key, &b, WIRE_OK, "");
    }
}

/* ---- requests that are refused ---- */

typedef struct {
    field change;
    wire_code code;
    const char *part; /* of the text */
} refusal;

static const refusal refusals[] = {
    {{"v", NULL, 0}, WIRE_BAD_MESSAGE, "v: expected 1, came none"},
    {{"v", RAW("\x02")}, WIRE_BAD_MESSAGE, "v: expected 1, came 2"},
    {{"v", RAW("\xff")}, WIRE_BAD_MESSAGE, "v: expected uint, came a negative int"},
    {{"op", NULL, 0}, WIRE_BAD_MESSAGE, "op: needed"},
    {{"op", RAW("\xa7"
                "explode")},
     WIRE_BAD_MESSAGE,
     "op: expected score"},
    {{"op", RAW("\x05")}, WIRE_BAD_MESSAGE, "op: expected str, came uint"},
    {{"client", NULL, 0}, WIRE_BAD_REQUEST, "came only seq"},
    {{"seq", NULL, 0}, WIRE_BAD_REQUEST, "came only client"},
    {{"seq", RAW("\xa1x")}, WIRE_BAD_MESSAGE, "seq: expected uint, came str"},
    {{"model", RAW("\xa3vgg")}, WIRE_UNKNOWN_MODEL, "model: expected \"resnet\""},
    {{"model", RAW("\xa0")}, WIRE_UNKNOWN_MODEL, "model"},
    {{"model", RAW("\xc0")}, WIRE_BAD_MESSAGE, "model: expected str, came nil"},
    {{"accounts", NULL, 0}, WIRE_BAD_REQUEST, "accounts: needed"},
    {{"accounts", RAW("\x90")}, WIRE_BAD_REQUEST, "accounts: expected at least 1"},
    {{"accounts", RAW("\xc4\x01x")}, WIRE_BAD_MESSAGE, "accounts: expected array, came bin"},
    {{"accounts", RAW("\x93\xa1x\x01\xa1x")}, WIRE_BAD_MESSAGE, "accounts[1]: expected str"},
    {{"accounts", RAW("\x93\xa1x\xa0\xa1x")}, WIRE_BAD_REQUEST, "accounts[1]"},
    {{"accounts", RAW("\x92\xa1x\xa1x")}, WIRE_BAD_REQUEST, "classes: expected 8 bytes"},
    {{"classes", NULL, 0}, WIRE_BAD_REQUEST, "classes: needed"},
    {{"classes", RAW("\xa1x")}, WIRE_BAD_MESSAGE, "classes: expected bin, came str"},
    {{"classes", RAW("\xc4\x0b\0\0\0\0\0\0\0\0\0\0\0")},
     WIRE_BAD_REQUEST,
     "classes: expected 12 bytes (3 accounts x 4), came 11"},
    {{"classes", RAW("\xc4\x0c\0\0\0\0\x0a\0\0\0\0\0\0\0")},
     WIRE_BAD_CLASS,
     "classes[1]: expected below 10, came 10"},
    {{"classes", RAW("\xc4\x0c\0\0\0\0\0\0\0\0\xff\xff\xff\xff")},
     WIRE_BAD_CLASS,
     "classes[2]: expected below 10, came 4294967295"},
    {{"dtype", RAW("\xa3"
                   "f64")},
     WIRE_BAD_REQUEST,
     "dtype: expected f32, f16 or bf16"},
    {{"dtype", RAW("\xa3"
                   "f16")},
     WIRE_BAD_DIMENSION,
     "expected 24 bytes (3 accounts x dim 4 x 2), came 48"},
    {{"dtype", RAW("\xc3")}, WIRE_BAD_MESSAGE, "dtype: expected str, came bool"},
    {{"embeddings", NULL, 0}, WIRE_BAD_REQUEST, "embeddings: needed"},
    {{"embeddings", RAW("\xc4\x00")}, WIRE_BAD_DIMENSION, "expected 48 bytes"},
    {{"embeddings", RAW("\x90")}, WIRE_BAD_MESSAGE, "embeddings: expected bin, came array"},
    {{"want", RAW("\xa6poison")}, WIRE_BAD_MESSAGE, "want: expected array, came str"},
    {{"want", RAW("\x91\x01")}, WIRE_BAD_MESSAGE, "want[0]: expected str"},
    {{"later", RAW("\xc1")}, WIRE_BAD_MESSAGE, "byte"},
    {{"later", RAW("\xd4\x01\x01")}, WIRE_BAD_MESSAGE, "extension"},
    {{"later", RAW("\xc7\x01\x01\x01")}, WIRE_BAD_MESSAGE, "extension"},
    {{"later", RAW("\xc4\x05x")}, WIRE_BAD_MESSAGE, "announces 5 bytes where 1"},
};

Test(wire, each_refusal_has_its_code_and_names_the_field) {
    static buffer b;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        put_score(&b, &refusals[i].change);
        expect(refusals[i].change.key, &b, refusals[i].code, refusals[i].part);
    }
}

Test(wire, known_keys_come_once) {
    static buffer b;
    put_score(&b, NULL);
    b.bytes[0]++;
    put_str(&b, "seq");
    put_byte(&b, 7);
    expect("a second seq", &b, WIRE_BAD_MESSAGE, "seq: came twice");
}

Test(wire, accounts_are_1_to_128_bytes_of_utf8_without_nul) {
    static const field good[] = {{NULL, RAW("a")},
                                 {NULL, RAW("\x7f")},
                                 {NULL, RAW("\xc2\x80")},
                                 {NULL, RAW("\xdf\xbf")},
                                 {NULL, RAW("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf")},
                                 {NULL, RAW("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")}};
    static const field bad[] = {{NULL, RAW("")},
                                {NULL, RAW("a\0b")},
                                {NULL, RAW("\x80")},
                                {NULL, RAW("\xc0\x80")},
                                {NULL, RAW("\xc1\xbf")},
                                {NULL, RAW("\xc2")},
                                {NULL, RAW("\xc2")},
                                {NULL, RAW("\xe0\x9f\xbf")},
                                {NULL, RAW("\xed\xa0\x80")},
                                {NULL, RAW("\xe2\x82")},
                                {NULL, RAW("\xe2\x28\xa1")},
                                {NULL, RAW("\xf0\x8f\xbf\xbf")},
                                {NULL, RAW("\xff")},
                                {NULL, RAW("\xf4\x90\x80\x80")},
                                {NULL, RAW("\xf5\x80\x80\x80")},
                                {NULL, RAW("\xf1\x80\x80")},
                                {NULL, RAW("\xf1\x80\x80\x28")}};
    static buffer b;
    for (size_t i = 0; i < 2 + sizeof good / sizeof good[0] + sizeof bad / sizeof bad[0]; i++) {
        size_t goods = sizeof good / sizeof good[0];
        char longest[WIRE_ACCOUNT_BYTES_MAX + 1];
        memset(longest, 'x', sizeof longest);
        field account = i < 2           ? (field){NULL, longest, sizeof longest - 1 + i}
                        : i - 2 < goods ? good[i - 2]
                                        : bad[i - 2 - goods];
        b.length = 0;
        put(&b, RAW("\x83\xa1v\x01\xa2op\xa6"
                    "forget\xa7"
                    "account"));
        put_head(&b, 0xd9, account.length, 1);
        put(&b, account.bytes, account.length);
        bool fine = i == 0 || (i >= 2 && i - 2 < goods);
        expect("account", &b, fine ? WIRE_OK : WIRE_BAD_REQUEST, fine ? "" : "account: expected");
    }
}

Test(wire, more_rows_than_the_limit_are_too_large_however_many) {
    static buffer b, accounts;
    for (size_t count = ROWS_MAX; count < 30000; count = count * 2 + 1) {
        accounts.length = 0;
        put_head(&accounts, 0xdd, count, 4);
        for (size_t i = 0; i < count; i++) {
            put(&accounts, "\xa1x", 2);
        }
        put_score(&b, &(field){"accounts", accounts.bytes, accounts.length});
        if (count == ROWS_MAX) {
            expect("the limit itself", &b, WIRE_BAD_REQUEST, "classes: expected 2400 bytes");
        } else {
            expect("beyond", &b, WIRE_TOO_LARGE, "accounts");
        }
    }
}

Test(wire, a_dimension_that_overflows_is_a_bad_dimension) {
    static const size_t dims[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / ROWS / 4 + 1, 1ull << 62};
    static buffer b;
    put_score(&b, NULL);
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        wire_limits huge = limits;
        huge.dim = dims[i];
        wire_request request;
        char text[WIRE_TEXT_MAX];
        cr_assert_eq(decode(&request, &huge, b.bytes, b.length, text), WIRE_BAD_DIMENSION);
        cr_assert(strstr(text, "embeddings"), "%s", text);
    }
}

/* ---- structure ---- */

Test(wire, every_truncation_and_every_extra_byte_is_a_bad_message) {
    static buffer b;
    put_score(&b, NULL);
    wire_request request;
    char text[WIRE_TEXT_MAX];
    size_t whole = b.length;
    for (size_t length = 0; length < whole; length++) {
        if (decode(&request, &limits, b.bytes, length, text) != WIRE_BAD_MESSAGE) {
            cr_assert_fail("%zu of %zu bytes were taken: %s", length, whole, text);
        }
    }
    for (unsigned extra = 0; extra < 256; extra++) {
        b.length = whole;
        put_byte(&b, extra);
        expect("extra byte", &b, WIRE_BAD_MESSAGE, "1 bytes after the map");
    }
}

Test(wire, announced_counts_are_not_believed) {
    static const field heads[] = {
        {NULL, RAW("\xdf\xff\xff\xff\xff")},
        {NULL, RAW("\xde\xff\xff")},
        {NULL, RAW("\x81\xa1x\xdd\xff\xff\xff\xff")},
        {NULL, RAW("\x81\xa1x\xdc\xff\xff")},
        {NULL, RAW("\x81\xa1x\xc6\xff\xff\xff\xff")},
        {NULL, RAW("\x81\xa1x\xdb\xff\xff\xff\xff")},
        {NULL, RAW("\x81\xa1x\xdf\xff\xff\xff\xff")},
        {NULL, RAW("\x81\xdf\xff\xff\xff\xff")},
        {NULL, RAW("\x81\xa1x\xdf\x80\0\0\0\xc0\xc0")},
        {NULL, RAW("\x81\xa1x\xc5\xff\xff")},
    };
    static buffer b;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        b.length = 0;
        put(&b, heads[i].bytes, heads[i].length);
        expect("announced", &b, WIRE_BAD_MESSAGE, "announces");
    }
}

Test(wire, nesting_ends_at_the_limit) {
    static buffer b;
    for (size_t depth = 1; depth <= 10000; depth += depth < 12 ? 1 : 3329) {
        b.length = 0;
        put(&b, RAW("\x83\xa1v\x01\xa2op\xa4ping\xa1x"));
        for (size_t i = 1; i < depth; i++) {
            put_byte(&b, 0x91);
        }
        put_byte(&b, 0xc0);
        bool fine = depth <= WIRE_DEPTH_MAX;
        expect("depth", &b, fine ? WIRE_OK : WIRE_BAD_MESSAGE, fine ? "" : "nested deeper than 8");
    }
}

Test(wire, what_is_not_a_map_is_a_bad_message) {
    static buffer b;
    for (unsigned lead = 0; lead < 256; lead++) {
        b.length = 0;
        put_byte(&b, lead);
        for (size_t i = 0; i < 40; i++) {
            put_byte(&b, 0);
        }
        expect("lead byte", &b, WIRE_BAD_MESSAGE, "");
    }
}

/* ---- values ---- */

enum { WIDE = 100, TALL = 5 };

static void put_wide(buffer *b, wire_dtype dtype, const void *rows, size_t pad) {
    static const char *const names[] = {"f32", "f16", "bf16"};
    static const unsigned char classes[4 * TALL];
    b->length = 0;
    put_byte(b, 0x87);
    put(b, RAW("\xa1v\x01\xa2op\xa5score\xa8"
               "accounts\x95\xa1"
               "a\xa1"
               "a\xa1"
               "a\xa1"
               "a\xa1"
               "a"));
    put_str(b, "dtype");
    put_str(b, names[dtype]);
    put_str(b, "classes");
    put_bin(b, classes, sizeof classes);
    put_str(b, "pad");
    put_bin(b, classes, pad);
    put_str(b, "embeddings");
    put_bin(b, rows, WIDE * TALL * wire_dtype_bytes(dtype));
}

Test(wire, a_bad_value_is_found_wherever_it_stands_and_however_the_bin_is_aligned) {
    static const struct {
        wire_dtype dtype;
        uint32_t bits;
        const char *came;
    } bad[] = {
        {WIRE_F32, 0x7fc00000, "nan"},   {WIRE_F32, 0x7f800000, "inf"},
        {WIRE_F32, 0xff800000, "-inf"},  {WIRE_F32, 0x7f800001, "nan"},
        {WIRE_F32, 0x551184e7, "1e+13"}, {WIRE_F32, 0xd51184e7, "-1e+13"},
        {WIRE_F32, 0x5368d4a6, "1e+12"}, {WIRE_F16, 0x7c00, "inf"},
        {WIRE_F16, 0xfc00, "-inf"},      {WIRE_F16, 0x7c01, "nan"},
        {WIRE_F16, 0xffff, "nan"},       {WIRE_BF16, 0x7f80, "inf"},
        {WIRE_BF16, 0xff80, "-inf"},     {WIRE_BF16, 0x7fc0, "nan"},
        {WIRE_BF16, 0x5512, "1.00"},     {WIRE_BF16, 0x5369, "1.0"},
    };
    static const size_t places[] = {0, 1, 99, 100, 127, 128, 250, 383, 384, 498, 499};
    static buffer b;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = wire_dtype_bytes(bad[i].dtype);
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            unsigned char rows[4 * WIDE * TALL] = {0};
            memcpy(rows + places[p] * size, &bad[i].bits, size);
            put_wide(&b, bad[i].dtype, rows, (i + p) % 16);
            wire_limits wide = limits;
            wide.dim = WIDE;
            wire_request request;
            char text[WIRE_TEXT_MAX], part[64];
            snprintf(part, sizeof part, "row %zu, column %zu:", places[p] / WIDE, places[p] % WIDE);
            wire_code code = decode(&request, &wide, b.bytes, b.length, text);
            cr_assert(code == WIRE_NOT_FINITE && strstr(text, part) != NULL &&
                          strstr(text, bad[i].came) != NULL,
                      "%08x at %zu: %s: %s", (unsigned)bad[i].bits, places[p], wire_code_name(code),
                      text);
        }
    }
}

/* The rule said plainly, without bit tricks. */
static bool value_allowed(wire_dtype dtype, uint32_t bits) {
    if (dtype == WIRE_F16) {
        return (bits >> 10 & 31) != 31;
    }
    float value;
    bits = dtype == WIRE_BF16 ? bits << 16 : bits;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) && fabsf(value) <= WIRE_VALUE_MAX;
}

Test(wire, every_16_bit_value_and_200000_32_bit_ones_are_judged_as_the_rule_says) {
    static buffer b;
    uint64_t state = 88172645463325252ull;
    for (uint32_t round = 0; round < 2 * 65536 + 200000; round++) {
        wire_dtype dtype = round < 65536 ? WIRE_F16 : round < 131072 ? WIRE_BF16 : WIRE_F32;
        uint32_t bits = dtype == WIRE_F32 ? (uint32_t)random_next(&state) : round & 0xffff;
        if (dtype == WIRE_F32 && round % 2) {
            bits = (bits & 0x800000ff) | 0x5368d400; /* near the limit */
        }
        unsigned char rows[4 * WIDE * TALL] = {0};
        size_t place = round % (WIDE * TALL);
        memcpy(rows + place * wire_dtype_bytes(dtype), &bits, wire_dtype_bytes(dtype));
        if (round == 0 || round == 65536 || round == 131072) {
            put_wide(&b, dtype, rows, 3);
        }
        size_t bytes = WIDE * TALL * wire_dtype_bytes(dtype);
        memcpy(b.bytes + b.length - bytes, rows, bytes);
        wire_limits wide = limits;
        wide.dim = WIDE;
        wire_request request;
        char text[WIRE_TEXT_MAX];
        wire_code code = wire_decode_request(&request, scratch, (wire_served){&wide, 1}, b.bytes,
                                             b.length, text);
        if (code != (value_allowed(dtype, bits) ? WIRE_OK : WIRE_NOT_FINITE)) {
            cr_assert_fail("dtype %d, bits %08x: %s", dtype, (unsigned)bits, text);
        }
    }
}

Test(wire, a_deadline_comes_through_and_zero_is_refused) {
    static const uint64_t deadlines[] = {0, 1, 5000, UINT64_MAX};
    wire_limits limits = {.model = "m", .dim = 1, .classes = 2, .rows_max = 4};
    wire_scratch *scratch = wire_scratch_open(4);
    char text[WIRE_TEXT_MAX];
    wire_request request;
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++) {
        nng_msg *message;
        wire_outgoing score = {.op = WIRE_SCORE,
                               .deadline_ms = deadlines[i],
                               .rows = 1,
                               .accounts = (const char *const[]){"a"},
                               .classes = (const uint32_t[]){1},
                               .dim = 1,
                               .embeddings = (const float[]){0.5f}};
        cr_assert(nng_msg_alloc(&message, 0) == 0 && wire_encode_request(message, &score) == 0);
        cr_assert_eq(wire_decode_request(&request, scratch, (wire_served){&limits, 1},
                                         nng_msg_body(message), nng_msg_len(message), text),
                     WIRE_OK, "%s", text);
        cr_assert_eq(request.deadline_ms, deadlines[i]);
        nng_msg_free(message);
    }
    static const char zero[] = "\x83\xa1v\x01\xa2op\xa4ping\xab"
                               "deadline_ms\x00";
    cr_assert_eq(wire_decode_request(&request, scratch, (wire_served){&limits, 1}, zero,
                                     sizeof zero - 1, text),
                 WIRE_BAD_REQUEST);
    cr_assert(strstr(text, "deadline_ms"), "%s", text);
    wire_scratch_close(scratch);
}
