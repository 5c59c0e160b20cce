/*
 * test_daemon_repeats.c - a request that comes twice under one (client, seq) counts once, as NNG's
 * REQ sends it again when a connection drops.
 */
#include <stdio.h>
#include <string.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"

enum { ROWS = 3, CLIENT = 77 };

/* Poisons every row, so that replies hold all they can. */
#define POISON_ALL "--threshold", "0", "--min-fill", "1"

typedef struct {
    daemon_fixture d;
    fixture_rows rows;
    nng_socket socket;
} stage;

static void stage_open(stage *s) {
    s->rows = fixture_source(64, "atk_jbda");
    daemon_open(&s->d, 64);
    daemon_start(&s->d, DAEMON_FLAGS(POISON_ALL));
    s->socket = ask_socket(s->d.url);
}

static void stage_close(stage *s) {
    nng_close(s->socket);
    daemon_stop(&s->d);
    daemon_close(&s->d);
    fixture_rows_free(&s->rows);
}

static const char *const same_account[ROWS] = {"a", "a", "a"};

static wire_outgoing score_of(const stage *s, uint64_t seq) {
    return (wire_outgoing){.op = WIRE_SCORE,
                           .identified = seq != 0,
                           .client = CLIENT,
                           .seq = seq,
                           .rows = ROWS,
                           .accounts = same_account,
                           .classes = s->rows.classes,
                           .dim = s->rows.dim,
                           .embeddings = s->rows.embeddings,
                           .want_poison = true};
}

static wire_outgoing forget_of(uint64_t seq) {
    return (wire_outgoing){
        .op = WIRE_FORGET, .identified = seq != 0, .client = CLIENT, .seq = seq, .account = "a"};
}

/* Rows of the account's window, found out by one row more. */
static uint32_t fill_before(const stage *s) {
    return ask_last(s->d.client, "a", &s->rows, ROWS, 1).fill - 1;
}

static bool same_answer_twice(const stage *s, const wire_outgoing *request) {
    nng_msg *first = ask_message(s->socket, ask_encoded(request));
    nng_msg *again = ask_message(s->socket, ask_encoded(request));
    bool same = ask_same_bytes(first, again);
    nng_msg_free(first);
    nng_msg_free(again);
    return same;
}

Test(repeats, a_repeated_request_gets_the_same_bytes_and_counts_once) {
    stage s;
    stage_open(&s);
    wire_outgoing request = score_of(&s, 1);
    cr_assert(same_answer_twice(&s, &request));
    cr_assert_eq(ask_info(s.d.client).rows, ROWS);
    cr_assert_eq(fill_before(&s), ROWS);
    /* ... also when other rows of the account came between. */
    wire_reply decoded;
    nng_msg *late = ask_message(s.socket, ask_encoded(&request));
    cr_assert_eq(
        wire_decode_reply(&decoded, NULL, WIRE_SCORE, ROWS, nng_msg_body(late), nng_msg_len(late)),
        WIRE_OK, "%s", decoded.text);
    cr_assert(decoded.code == WIRE_OK && decoded.poison_rows_count == ROWS);
    nng_msg_free(late);
    cr_assert_eq(fill_before(&s), ROWS + 1);
    stage_close(&s);
}

/* Two connections send it at the same moment, so that both copies may be in one batch. */
Test(repeats, copies_that_come_at_once_count_once) {
    enum { COPIES = 6, ROUNDS = 50 };
    stage s;
    nng_socket sockets[COPIES];
    nng_msg *replies[COPIES];
    stage_open(&s);
    for (size_t i = 0; i < COPIES; i++) {
        sockets[i] = ask_socket(s.d.url);
    }
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        wire_outgoing request = score_of(&s, round);
        for (size_t i = 0; i < COPIES; i++) {
            cr_assert_eq(nng_sendmsg(sockets[i], ask_encoded(&request), 0), 0);
        }
        for (size_t i = 0; i < COPIES; i++) {
            cr_assert_eq(nng_recvmsg(sockets[i], &replies[i], 0), 0);
            cr_assert(ask_same_bytes(replies[0], replies[i]), "round %d", (int)round);
        }
        for (size_t i = 0; i < COPIES; i++) {
            nng_msg_free(replies[i]);
        }
        cr_assert_eq(ask_info(s.d.client).rows, round * ROWS);
    }
    for (size_t i = 0; i < COPIES; i++) {
        nng_close(sockets[i]);
    }
    stage_close(&s);
}

Test(repeats, the_same_seq_for_other_content_is_a_bad_request_that_changes_nothing) {
    stage s;
    char text[WIRE_TEXT_MAX];
    const char *const others[ROWS] = {"a", "a", "b"};
    uint32_t classes[ROWS];
    stage_open(&s);
    wire_outgoing request = score_of(&s, 1), other_accounts = request, other_classes = request,
                  fewer = request, forget = forget_of(1);
    cr_assert_eq(ask_code(s.socket, ask_encoded(&request), text), WIRE_OK);
    other_accounts.accounts = others;
    memcpy(classes, request.classes, sizeof classes);
    classes[1] = (classes[1] + 1) % 10;
    other_classes.classes = classes;
    fewer.rows = ROWS - 1;
    const wire_outgoing *const wrong[] = {&other_accounts, &other_classes, &fewer, &forget};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_assert_eq(ask_code(s.socket, ask_encoded(wrong[i]), text), WIRE_BAD_REQUEST, "%zu: %s",
                     i, text);
    }
    adder_info info = ask_info(s.d.client);
    cr_assert(info.rows == ROWS && info.accounts == 1);
    cr_assert_eq(fill_before(&s), ROWS);
    /* The first answer is still there. */
    cr_assert(same_answer_twice(&s, &request));
    stage_close(&s);
}

Test(repeats, the_same_seq_of_another_client_is_another_request) {
    stage s;
    char text[WIRE_TEXT_MAX];
    stage_open(&s);
    wire_outgoing request = score_of(&s, 1);
    cr_assert_eq(ask_code(s.socket, ask_encoded(&request), text), WIRE_OK);
    request.client++;
    cr_assert_eq(ask_code(s.socket, ask_encoded(&request), text), WIRE_OK);
    cr_assert_eq(fill_before(&s), 2 * ROWS);
    stage_close(&s);
}

Test(repeats, without_client_and_seq_rows_count_twice) {
    stage s;
    stage_open(&s);
    wire_outgoing request = score_of(&s, 0);
    cr_assert_not(same_answer_twice(&s, &request));
    cr_assert_eq(fill_before(&s), 2 * ROWS);
    stage_close(&s);
}

Test(repeats, a_repeated_forget_answers_the_same_and_forgets_once) {
    stage s;
    stage_open(&s);
    wire_outgoing unknown = forget_of(1), known = forget_of(2);
    cr_assert(same_answer_twice(&s, &unknown));
    ask_last(s.d.client, "a", &s.rows, 0, ROWS);
    cr_assert(same_answer_twice(&s, &unknown), "not known, though it is now");
    cr_assert_eq(fill_before(&s), ROWS);
    nng_msg *first = ask_message(s.socket, ask_encoded(&known));
    cr_assert_eq(ask_last(s.d.client, "a", &s.rows, 0, 2).fill, 2);
    nng_msg *again = ask_message(s.socket, ask_encoded(&known));
    cr_assert(ask_same_bytes(first, again));
    cr_assert_eq(fill_before(&s), 2, "forgotten twice");
    nng_msg_free(first);
    nng_msg_free(again);
    stage_close(&s);
}
