/*
 * test_daemon_refusals.c - what the daemon refuses changes nothing and leaves it serving.
 *
 * `draining`, and `overloaded` without races, are test_service.c's. `internal` cannot be had from
 * the cpu engine but by running out of memory.
 */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "hostile.h"
#include "wire_bytes.h"

enum { DIM = 64, CLASSES = 10, ROWS_MAX = 8, ROWS = 3, RANDOM_MESSAGES = 300 };

/* Two accounts that are sent the same rows; the refused requests are about the first of them. */
typedef struct {
    daemon_fixture d;
    fixture_rows rows;
    nng_socket socket;
    size_t sent;
    float embeddings[(ROWS_MAX + 1) * (DIM + 1)];
    uint32_t classes[ROWS_MAX + 1];
} stage;

static const char *const accounts[ROWS_MAX + 1] = {"kept", "kept", "never", "kept", "kept",
                                                   "kept", "kept", "kept",  "kept"};

static void check_unchanged(stage *s, const char *after) {
    ask_row kept = ask_last(s->d.client, "kept", &s->rows, s->sent, 1);
    ask_row control = ask_last(s->d.client, "control", &s->rows, s->sent, 1);
    s->sent = (s->sent + 1) % s->rows.rows;
    cr_assert(ask_row_same(&kept, &control), "after %s: score %g, expected %g; fill %u, %u", after,
              kept.score, control.score, kept.fill, control.fill);
    cr_assert_eq(ask_info(s->d.client).accounts, 2, "after %s", after);
}

static void stage_open(stage *s) {
    *s = (stage){.rows = fixture_source(DIM, "atk_cifar100")};
    daemon_open(&s->d, DIM);
    daemon_start(&s->d, DAEMON_FLAGS("--max-rows", "8"));
    s->socket = ask_socket(s->d.url);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        check_unchanged(s, "nothing");
    }
}

static void stage_close(stage *s) {
    cr_assert_eq(ask_last(s->d.client, "never", &s->rows, 0, 1).fill, 1);
    nng_close(s->socket);
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->rows);
}

/* A request that would be carried out, in memory that a test may spoil. */
static wire_outgoing good_request(stage *s) {
    memcpy(s->embeddings, s->rows.embeddings, sizeof s->embeddings);
    memcpy(s->classes, s->rows.classes, sizeof s->classes);
    return (wire_outgoing){.op = WIRE_SCORE,
                           .rows = ROWS,
                           .accounts = accounts,
                           .classes = s->classes,
                           .dim = DIM,
                           .embeddings = s->embeddings};
}

static void refused_bytes(stage *s, nng_msg *message, wire_code expected, const char *what) {
    char text[WIRE_TEXT_MAX];
    wire_code code = ask_code(s->socket, message, text);
    cr_assert_eq(code, expected, "%s: came %s: %s", what, wire_code_name(code), text);
    check_unchanged(s, what);
}

static void refused(stage *s, const wire_outgoing *request, wire_code expected, const char *what) {
    refused_bytes(s, ask_encoded(request), expected, what);
}

Test(refusals, rows_that_do_not_fit_the_model_are_refused) {
    stage s;
    stage_open(&s);
    wire_outgoing request = good_request(&s);
    request.model = "another";
    refused(&s, &request, WIRE_UNKNOWN_MODEL, "another model");
    request = good_request(&s);
    request.dim = DIM + 1;
    refused(&s, &request, WIRE_BAD_DIMENSION, "a column too many");
    request.dim = DIM - 1;
    refused(&s, &request, WIRE_BAD_DIMENSION, "a column too few");
    request = good_request(&s);
    request.dtype = WIRE_F16;
    request.dim = 2 * DIM;
    refused(&s, &request, WIRE_BAD_DIMENSION, "float32 called float16");
    request = good_request(&s);
    s.classes[ROWS - 1] = CLASSES;
    refused(&s, &request, WIRE_BAD_CLASS, "a class too many");
    s.classes[ROWS - 1] = UINT32_MAX;
    refused(&s, &request, WIRE_BAD_CLASS, "the largest class");
    stage_close(&s);
}

Test(refusals, rows_too_many_or_none_are_refused) {
    stage s;
    adder_error error;
    adder_reply *reply;
    stage_open(&s);
    wire_outgoing request = good_request(&s);
    request.rows = ROWS_MAX + 1;
    refused(&s, &request, WIRE_TOO_LARGE, "a row too many");
    request.rows = 0;
    refused(&s, &request, WIRE_BAD_REQUEST, "no rows");
    adder_rows rows = {.count = ROWS_MAX + 1,
                       .dim = DIM,
                       .accounts = accounts,
                       .classes = s.classes,
                       .embeddings = s.embeddings};
    cr_assert_eq(adder_score(s.d.client, &rows, &reply, &error), ADDER_TOO_LARGE);
    rows.count = 0;
    cr_assert_eq(adder_score(s.d.client, &rows, &reply, &error), ADDER_BAD_REQUEST);
    check_unchanged(&s, "the client library's own refusals");
    stage_close(&s);
}

Test(refusals, values_that_are_not_finite_or_too_large_are_refused) {
    const float singles[] = {NAN, INFINITY, -INFINITY, 1e13f, -1e13f};
    const uint16_t halves[] = {0x7e00, 0x7c00, 0xfc00}; /* NaN, inf, -inf */
    const uint16_t brains[] = {0x7fc0, 0xff80, 0x5512}; /* NaN, -inf, 1e13 */
    stage s;
    stage_open(&s);
    wire_outgoing request = good_request(&s);
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        good_request(&s);
        s.embeddings[ROWS * DIM - 1] = singles[i];
        refused(&s, &request, WIRE_NOT_FINITE, "a float32");
    }
    uint16_t *sixteen = ask_f16_of(s.rows.embeddings, ROWS * DIM);
    request.embeddings = sixteen;
    for (size_t i = 0; i < 3; i++) {
        request.dtype = WIRE_F16;
        sixteen[DIM] = halves[i];
        refused(&s, &request, WIRE_NOT_FINITE, "a float16");
        request.dtype = WIRE_BF16;
        sixteen[DIM] = brains[i];
        refused(&s, &request, WIRE_NOT_FINITE, "a bfloat16");
    }
    free(sixteen);
    stage_close(&s);
}

Test(refusals, accounts_and_versions_that_cannot_be_are_refused) {
    static char longest[WIRE_ACCOUNT_BYTES_MAX + 2];
    const char *const empty[] = {"kept", ""};
    const char *const too_long[] = {"kept", longest};
    const char *const not_utf8[] = {"kept", "\xff\xfe"};
    const char *const *const wrong[] = {empty, too_long, not_utf8};
    stage s;
    memset(longest, 'x', sizeof longest - 1);
    stage_open(&s);
    wire_outgoing request = good_request(&s);
    request.rows = 2;
    for (size_t i = 0; i < 3; i++) {
        request.accounts = wrong[i];
        refused(&s, &request, WIRE_BAD_REQUEST, "an account that cannot be");
    }
    refused(&s, &(wire_outgoing){.op = WIRE_FORGET, .account = ""}, WIRE_BAD_REQUEST,
            "forget nobody");
    stage_close(&s);
}

static nng_msg *message_of(const void *bytes, size_t count) {
    nng_msg *message;
    cr_assert_eq(nng_msg_alloc(&message, 0), 0);
    cr_assert_eq(nng_msg_append(message, bytes, count), 0);
    return message;
}

Test(refusals, messages_that_are_no_request_are_refused, .timeout = 120) {
    static const unsigned char no_map[] = {0x93, 1, 2, 3};
    unsigned char deep[4096];
    stage s;
    stage_open(&s);
    wire_outgoing request = good_request(&s);
    nng_msg *whole = ask_encoded(&request);
    for (size_t length = 0; length < nng_msg_len(whole); length += 1 + length / 8) {
        refused_bytes(&s, message_of(nng_msg_body(whole), length), WIRE_BAD_MESSAGE, "a part");
    }
    nng_msg *longer = message_of(nng_msg_body(whole), nng_msg_len(whole));
    cr_assert_eq(nng_msg_append(longer, "x", 1), 0);
    refused_bytes(&s, longer, WIRE_BAD_MESSAGE, "a byte too many");
    nng_msg_free(whole);
    refused_bytes(&s, message_of(no_map, sizeof no_map), WIRE_BAD_MESSAGE, "no map");
    memset(deep, 0x91, sizeof deep);
    refused_bytes(&s, message_of(deep, sizeof deep), WIRE_BAD_MESSAGE, "arrays in arrays");
    memset(deep, 0x81, sizeof deep);
    refused_bytes(&s, message_of(deep, sizeof deep), WIRE_BAD_MESSAGE, "maps in maps");
    stage_close(&s);
}

Test(refusals, random_bytes_are_refused, .timeout = 120) {
    hostile_random random = {17};
    stage s;
    char text[WIRE_TEXT_MAX];
    unsigned char bytes[512];
    stage_open(&s);
    for (size_t i = 0; i < RANDOM_MESSAGES; i++) {
        size_t length = hostile_random_below(&random, sizeof bytes);
        for (size_t at = 0; at < length; at++) {
            bytes[at] = (unsigned char)hostile_random_below(&random, 256);
        }
        cr_assert_eq(ask_code(s.socket, message_of(bytes, length), text), WIRE_BAD_MESSAGE);
    }
    check_unchanged(&s, "random bytes");
    stage_close(&s);
}

/* {"v": version, "op": op, key: value}, packed here, not by the encoder under test. */
static nng_msg *packed(unsigned version, const char *op, const char *key, const char *value) {
    static buffer b;
    b.length = 0;
    put_byte(&b, 0x83);
    put_str(&b, "v");
    put_byte(&b, version);
    put_str(&b, "op");
    put_str(&b, op);
    put_str(&b, key);
    put_str(&b, value);
    return message_of(b.bytes, b.length);
}

Test(refusals, requests_packed_by_hand_are_understood_or_refused) {
    stage s;
    char text[WIRE_TEXT_MAX];
    stage_open(&s);
    refused_bytes(&s, packed(1, "forget", "accounts", "kept"), WIRE_BAD_MESSAGE, "accounts a str");
    refused_bytes(&s, packed(1, "forget", "who", "kept"), WIRE_BAD_REQUEST, "no account");
    refused_bytes(&s, packed(1, "score", "model", "default"), WIRE_BAD_REQUEST, "no arrays");
    refused_bytes(&s, packed(1, "drop", "account", "kept"), WIRE_BAD_MESSAGE, "an unknown op");
    cr_assert_neq(ask_code(s.socket, packed(2, "forget", "account", "kept"), text), WIRE_OK);
    check_unchanged(&s, "a version to come");
    cr_assert_eq(ask_code(s.socket, packed(1, "ping", "unknown key", "x"), text), WIRE_OK);
    cr_assert_eq(ask_code(s.socket, packed(1, "forget", "account", "kept"), text), WIRE_OK);
    cr_assert_eq(ask_last(s.d.client, "kept", &s.rows, 0, 1).fill, 1);
    stage_close(&s);
}

/* ---- a message that is only announced ---- */

/* The bytes came, or the peer closed the connection. */
static bool receive_all(int file, unsigned char *bytes, size_t count) {
    for (size_t got = 0; got < count;) {
        struct pollfd ready = {.fd = file, .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, DAEMON_TIMEOUT_MS), 1, "nothing came, no end either");
        ssize_t more = recv(file, bytes + got, count - got, 0);
        if (more <= 0) {
            return false;
        }
        got += (size_t)more;
    }
    return true;
}

Test(refusals, a_peer_that_announces_a_gigabyte_is_cut_off_and_others_are_served) {
    /* The SP handshake of a REQ peer, and the head of an ipc message: its kind and its length. */
    static const unsigned char hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};
    static const unsigned char head[9] = {1, 0, 0, 0, 0, 0x40, 0, 0, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char bytes[8];
    stage s;
    stage_open(&s);
    int file = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", s.d.url + strlen("ipc://"));
    cr_assert_eq(connect(file, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(send(file, hello, sizeof hello, MSG_NOSIGNAL), (ssize_t)sizeof hello);
    cr_assert(receive_all(file, bytes, sizeof bytes), "no handshake");
    cr_assert_eq(send(file, head, sizeof head, MSG_NOSIGNAL), (ssize_t)sizeof head);
    cr_assert_not(receive_all(file, bytes, 1), "a byte came in answer");
    close(file);
    check_unchanged(&s, "a gigabyte");
    stage_close(&s);
}

/* ---- overloaded ---- */

enum { BIG_ROWS = 2048, SENDERS = 8, ROUNDS_MAX = 200 };

/* All at once; returns how many were refused for the load, the only refusal there may be. */
static size_t send_at_once(const nng_socket sockets[SENDERS], const stage *s, const char *prefix) {
    static char name[SENDERS][64];
    static const char *names[BIG_ROWS];
    static uint32_t classes[BIG_ROWS];
    size_t overloaded = 0;
    for (size_t i = 0; i < BIG_ROWS; i++) {
        classes[i] = s->rows.classes[i];
    }
    for (size_t i = 0; i < SENDERS; i++) {
        snprintf(name[i], sizeof name[i], "%s, sender %zu", prefix, i);
        for (size_t row = 0; row < BIG_ROWS; row++) {
            names[row] = name[i];
        }
        wire_outgoing request = {.op = WIRE_SCORE,
                                 .rows = BIG_ROWS,
                                 .accounts = names,
                                 .classes = classes,
                                 .dim = DIM,
                                 .embeddings = s->rows.embeddings};
        cr_assert_eq(nng_sendmsg(sockets[i], ask_encoded(&request), 0), 0);
    }
    for (size_t i = 0; i < SENDERS; i++) {
        nng_msg *reply;
        wire_reply decoded;
        cr_assert_eq(nng_recvmsg(sockets[i], &reply, 0), 0);
        cr_assert_eq(wire_decode_reply(&decoded, NULL, WIRE_SCORE, BIG_ROWS, nng_msg_body(reply),
                                       nng_msg_len(reply)),
                     WIRE_OK);
        cr_assert(decoded.code == WIRE_OK || decoded.code == WIRE_OVERLOADED, "%s", decoded.text);
        overloaded += decoded.code == WIRE_OVERLOADED;
        nng_msg_free(reply);
    }
    return overloaded;
}

Test(refusals, more_rows_than_may_wait_are_refused_as_overload, .timeout = 120) {
    stage s = {.rows = fixture_source(DIM, "atk_cifar100")};
    nng_socket sockets[SENDERS];
    size_t overloaded = 0, rounds = 0;
    cr_assert_geq(s.rows.rows, BIG_ROWS);
    daemon_open(&s.d, DIM);
    daemon_start(&s.d, DAEMON_FLAGS("--max-queue-rows", "1", "--max-rows", "2048"));
    for (size_t i = 0; i < SENDERS; i++) {
        sockets[i] = ask_socket(s.d.url);
    }
    for (; rounds < ROUNDS_MAX && overloaded == 0; rounds++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "round %zu", rounds);
        overloaded += send_at_once(sockets, &s, prefix);
    }
    cr_assert_gt(overloaded, 0, "nothing was refused in %zu rounds", rounds);
    /* A refused sender's account was not made and its rows were not counted. */
    adder_info info = ask_info(s.d.client);
    cr_assert_eq(info.accounts, rounds * SENDERS - overloaded);
    cr_assert_eq(info.rows, (rounds * SENDERS - overloaded) * BIG_ROWS);
    cr_assert_eq(ask_last(s.d.client, "another", &s.rows, 0, 1).fill, 1);
    for (size_t i = 0; i < SENDERS; i++) {
        nng_close(sockets[i]);
    }
    daemon_stop(&s.d);
    daemon_close(&s.d);
    fixture_rows_free(&s.rows);
}
