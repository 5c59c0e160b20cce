/*
 * test_server_peers.c - peers that lie, flood, stall or hang up, spoken to over raw sockets, while
 * honest clients must be served; and a daemon that lies to the client.
 */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stub_host.h"
#include "wire_bytes.h"

#include <nng/protocol/reqrep0/rep.h>

enum { TIMEOUT_MS = 20000 };

/* ---- the SP protocol by hand ---- */

static int raw_connect(const char *url) {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    bool ipc = strncmp(url, "ipc:", 4) == 0;
    if (ipc) {
        strcpy(path.sun_path, stub_path(url));
    } else {
        inet.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    }
    int fd = socket(ipc ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    int code = ipc ? connect(fd, (struct sockaddr *)&path, sizeof path)
                   : connect(fd, (struct sockaddr *)&inet, sizeof inet);
    cr_assert_eq(code, 0, "connect to %s", url);
    return fd;
}

static void raw_send(int fd, const void *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    (void)sent; /* the server may have hung up, as it should */
}

/* Reads exactly so many bytes; false: the server hung up. */
static bool raw_receive(int fd, void *bytes, size_t length) {
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    for (size_t got = 0; got < length;) {
        cr_assert_eq(poll(&readable, 1, TIMEOUT_MS), 1, "neither bytes nor an end came");
        ssize_t n = recv(fd, (char *)bytes + got, length - got, 0);
        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

static int raw_open(const char *url) {
    unsigned char theirs[8];
    int fd = raw_connect(url);
    raw_send(fd, "\0SP\0\0\x30\0\0", 8);
    cr_assert(raw_receive(fd, theirs, 8));
    cr_assert_eq(memcmp(theirs, "\0SP\0\0\x31\0\0", 8), 0);
    return fd;
}

static void raw_announce(int fd, const char *url, uint64_t length) {
    unsigned char head[9] = {1};
    for (int i = 0; i < 8; i++) {
        head[1 + i] = (unsigned char)(length >> (56 - 8 * i));
    }
    bool ipc = strncmp(url, "ipc:", 4) == 0;
    raw_send(fd, ipc ? head : head + 1, ipc ? 9 : 8);
}

/* A request whole: a REQ id with the end bit, and the body. */
static void raw_ask(int fd, const char *url, const void *body, size_t length) {
    raw_announce(fd, url, length + 4);
    raw_send(fd, "\x80\0\0\1", 4);
    raw_send(fd, body, length);
}

static bool raw_closed(int fd) {
    char byte;
    bool closed = !raw_receive(fd, &byte, 1);
    close(fd);
    return closed;
}

static void expect_served(const char *url) {
    adder_error error;
    adder_client *client = stub_client(url, TIMEOUT_MS);
    cr_assert_eq(stub_ask(client, 9, 9, &error), ADDER_OK, "%s", error.text);
    adder_close(client);
}

/* ---- peers that lie ---- */

Test(peers, one_that_announces_a_gigabyte_is_hung_up_on_and_others_are_served) {
    static const uint64_t lengths[] = {1ull << 30, STUB_MESSAGE_MAX + 5, UINT64_MAX, 1ull << 63};
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){0});
        adder_client *client = stub_client(url, TIMEOUT_MS);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            int fd = raw_open(url);
            raw_announce(fd, url, lengths[i]);
            cr_assert(raw_closed(fd), "%llu bytes", (unsigned long long)lengths[i]);
            adder_error error;
            cr_assert_eq(stub_ask(client, 5, 1, &error), ADDER_OK, "%s", error.text);
        }
        adder_close(client);
        stub_close(&host);
    }
}

Test(peers, a_message_of_the_very_limit_is_taken) {
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        static unsigned char body[STUB_MESSAGE_MAX];
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){0});
        int fd = raw_open(url);
        raw_ask(fd, url, body, sizeof body);
        unsigned char reply[64];
        cr_assert(raw_receive(fd, reply, sizeof reply)); /* bad_message */
        cr_assert_not_null(memmem(reply, sizeof reply, "error", 5));
        close(fd);
        stub_close(&host);
    }
}

Test(peers, garbage_before_and_after_the_handshake_harms_nobody, .timeout = 60) {
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){.connections_max = 1000});
        uint64_t state = 0x853c49e6748fea9bull;
        for (unsigned round = 0; round < 200; round++) {
            unsigned char bytes[64];
            for (size_t i = 0; i < sizeof bytes; i++) {
                bytes[i] = (unsigned char)(random_next(&state) >> 32);
            }
            int fd = round % 2 ? raw_open(url) : raw_connect(url);
            if (round % 2 == 0) {
                char theirs[8]; /* to hang up before this kills an ipc listener of NNG 1.5.2 */
                raw_receive(fd, theirs, sizeof theirs);
            }
            switch (round / 2 % 4) {
            case 0:
                raw_send(fd, bytes, sizeof bytes);
                break;
            case 1: /* too short for a request id */
                raw_announce(fd, url, round % 4);
                raw_send(fd, bytes, round % 4);
                break;
            case 2: /* no end bit in any id */
                raw_announce(fd, url, 8);
                raw_send(fd, "\0\0\0\1\0\0\0\2", 8);
                break;
            default: /* half a message */
                raw_announce(fd, url, 1000);
                raw_send(fd, bytes, sizeof bytes);
            }
            close(fd);
        }
        expect_served(url);
        stub_close(&host);
    }
}

Test(peers, garbage_in_a_proper_request_gets_an_error_reply) {
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){0});
        int fd = raw_open(url);
        for (unsigned round = 0; round < 20; round++) {
            raw_ask(fd, url, "\xc1garbage", round % 9);
            unsigned char head[9], reply[512];
            size_t skip = transport == STUB_IPC;
            cr_assert(raw_receive(fd, head, 8 + skip));
            size_t length = (size_t)head[6 + skip] << 8 | head[7 + skip];
            cr_assert(length < sizeof reply && raw_receive(fd, reply, length));
            wire_reply decoded;
            cr_assert_eq(wire_decode_reply(&decoded, NULL, WIRE_PING, 0, reply + 4, length - 4),
                         WIRE_OK, "%s", decoded.text);
            cr_assert_eq(decoded.code, WIRE_BAD_MESSAGE);
        }
        close(fd);
        stub_close(&host);
    }
}

/* ---- peers that take room ---- */

Test(peers, no_more_connections_than_allowed_are_taken, .timeout = 60) {
    enum { ALLOWED = 3 };
    for (stub_transport transport = STUB_IPC; transport < STUB_TRANSPORTS; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){.connections_max = ALLOWED});
        adder_client *clients[ALLOWED + 1];
        for (size_t i = 0; i < ALLOWED; i++) {
            clients[i] = stub_client(url, TIMEOUT_MS);
            cr_assert_eq(adder_ping(clients[i], NULL), ADDER_OK);
        }
        cr_assert_eq(server_connections_refused(host.server), 0);
        clients[ALLOWED] = stub_client(url, 300);
        adder_error error;
        cr_assert_eq(adder_ping(clients[ALLOWED], &error), ADDER_TIMED_OUT);
        cr_assert(strstr(error.text, url), "%s", error.text);
        cr_assert_gt(server_connections_refused(host.server), 0);
        adder_close(clients[0]); /* room for the one that keeps trying */
        STUB_WAIT(adder_ping(clients[ALLOWED], NULL) == ADDER_OK);
        for (size_t i = 1; i <= ALLOWED; i++) {
            cr_assert_eq(adder_ping(clients[i], NULL), ADDER_OK, "client %zu was disturbed", i);
            adder_close(clients[i]);
        }
        stub_close(&host);
    }
}

/* A request of one row, as its bytes. */
static size_t encode_score(unsigned char *bytes, size_t room) {
    wire_outgoing score = {.op = WIRE_SCORE,
                           .rows = 1,
                           .accounts = (const char *const[]){"greedy"},
                           .classes = (const uint32_t[]){1},
                           .dim = STUB_DIM,
                           .embeddings = (const float[STUB_DIM]){0}};
    nng_msg *message;
    cr_assert(nng_msg_alloc(&message, 0) == 0 && wire_encode_request(message, &score) == 0);
    size_t length = nng_msg_len(message);
    cr_assert_leq(length, room);
    memcpy(bytes, nng_msg_body(message), length);
    nng_msg_free(message);
    return length;
}

/* The code of the next reply to a score of one row. */
static wire_code raw_reply(int fd, const char *url) {
    unsigned char head[9], reply[512];
    size_t skip = strncmp(url, "ipc:", 4) == 0;
    wire_reply decoded;
    cr_assert(raw_receive(fd, head, 8 + skip));
    size_t length = (size_t)head[6 + skip] << 8 | head[7 + skip];
    cr_assert(length < sizeof reply && raw_receive(fd, reply, length));
    cr_assert_eq(wire_decode_reply(&decoded, NULL, WIRE_SCORE, 1, reply + 4, length - 4), WIRE_OK);
    return decoded.code;
}

typedef struct {
    const char *url;
    adder_status status;
} lone_ask;

static void *ask_five(void *argument) {
    lone_ask *ask = argument;
    adder_error error;
    adder_client *client = stub_client(ask->url, TIMEOUT_MS);
    ask->status = stub_ask(client, 5, 5, &error);
    adder_close(client);
    return NULL;
}

Test(peers, a_connection_with_200_requests_gets_its_share_and_keeps_nobody_waiting, .timeout = 60) {
    enum { CONTEXTS = 16, SHARE = 8, ASKED = 200 };
    unsigned char request[256];
    size_t length = encode_score(request, sizeof request);
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        size_t answered = 0, refused = 0;
        stub_open(&host, url, STUB_OWNER, (server_options){.contexts = CONTEXTS});
        stub_hold(&host, true);
        int fd = raw_open(url);
        for (size_t i = 0; i < ASKED; i++) {
            raw_ask(fd, url, request, length);
            if (i >= SHARE) { /* or it is left unanswered for not reading */
                cr_assert_eq(raw_reply(fd, url), WIRE_OVERLOADED);
                refused++;
            }
        }
        STUB_WAIT(server_in_flight(host.server) == SHARE);
        /* Others are served meanwhile, the queue's owner excepted, who is held. */
        adder_client *other = stub_client(url, TIMEOUT_MS);
        cr_assert_eq(adder_ping(other, NULL), ADDER_OK);
        lone_ask ask = {.url = url};
        pthread_t thread;
        pthread_create(&thread, NULL, ask_five, &ask);
        STUB_WAIT(server_in_flight(host.server) == SHARE + 1);
        stub_hold(&host, false);
        pthread_join(thread, NULL);
        cr_assert_eq(ask.status, ADDER_OK);
        for (; answered < SHARE; answered++) {
            cr_assert_eq(raw_reply(fd, url), WIRE_OK);
        }
        cr_assert_eq(answered + refused, ASKED);
        close(fd);
        adder_close(other);
        stub_close(&host);
    }
}

Test(peers, one_that_asks_and_never_reads_is_cut_off, .timeout = 60) {
    static unsigned char request[1 << 18];
    wire_outgoing score = {.op = WIRE_SCORE, .rows = 2000, .dim = STUB_DIM, .want_poison = true};
    score.accounts = calloc(score.rows, sizeof *score.accounts);
    score.classes = calloc(score.rows, sizeof *score.classes);
    score.embeddings = calloc(score.rows * STUB_DIM, sizeof(float));
    for (size_t i = 0; i < score.rows; i++) {
        ((const char **)score.accounts)[i] = "a";
    }
    nng_msg *message;
    cr_assert(nng_msg_alloc(&message, 0) == 0 && wire_encode_request(message, &score) == 0);
    size_t length = nng_msg_len(message);
    cr_assert_lt(length, sizeof request);
    memcpy(request, nng_msg_body(message), length);
    nng_msg_free(message);
    for (stub_transport transport = STUB_IPC; transport <= STUB_TCP; transport++) {
        static stub_host host;
        const char *url = stub_url(transport);
        stub_open(&host, url, STUB_OWNER, (server_options){.contexts = 2, .send_ms = 200});
        int fd = raw_open(url);
        struct timeval second = {.tv_sec = 1};
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
        /* More replies than the sockets' buffers hold: soon both contexts wait for this peer. */
        for (unsigned i = 0; i < 1000; i++) {
            raw_ask(fd, url, request, length);
            struct pollfd ended = {.fd = fd, .events = POLLRDHUP};
            if (poll(&ended, 1, 0) == 1) {
                break;
            }
        }
        expect_served(url);
        struct pollfd ended = {.fd = fd, .events = POLLRDHUP};
        cr_assert_eq(poll(&ended, 1, TIMEOUT_MS), 1, "it was not cut off");
        close(fd);
        STUB_WAIT(server_in_flight(host.server) == 0);
        stub_close(&host);
    }
    free((void *)score.accounts);
    free((void *)score.classes);
    free((void *)score.embeddings);
}

Test(peers, a_message_too_long_over_inproc_is_not_decoded) {
    static stub_host host;
    const char *url = stub_url(STUB_INPROC);
    stub_open(&host, url, STUB_OWNER, (server_options){.message_bytes_max = 300});
    adder_client *client = stub_client(url, 500);
    adder_error error;
    cr_assert_eq(stub_ask(client, 2, 1, &error), ADDER_OK, "%s", error.text);
    size_t begun = host.begun;
    cr_assert_eq(stub_ask(client, 100, 1, &error), ADDER_TIMED_OUT);
    cr_assert_eq(host.begun, begun);
    adder_close(client);
    stub_close(&host);
}

/* ---- a daemon that lies ---- */

typedef struct {
    nng_socket socket;
    const void *bytes;
    size_t length;
} liar;

static void *lie(void *argument) {
    liar *l = argument;
    nng_msg *message;
    while (nng_recvmsg(l->socket, &message, 0) == 0) {
        nng_msg_clear(message);
        nng_msg_append(message, l->bytes, l->length);
        if (nng_sendmsg(l->socket, message, 0) != 0) {
            nng_msg_free(message);
        }
    }
    return NULL;
}

Test(peers, a_daemon_that_answers_garbage_is_a_bad_reply) {
    static const field replies[] = {
        {NULL, RAW("")},
        {NULL, RAW("\xc1")},
        {NULL, RAW("\x82\xa1v\x01\xa6status\xa2no")},
        {NULL, RAW("\x82\xa1v\x02\xa6status\xa2ok")},
        {NULL, RAW("\x82\xa1v\x01\xa6status\xa5"
                   "error")},
        {NULL, RAW("\x81\xa1x\xdd\xff\xff\xff\xff")},
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        const char *url = stub_url(STUB_IPC);
        liar l = {.bytes = replies[i].bytes, .length = replies[i].length};
        pthread_t thread;
        cr_assert(nng_rep0_open(&l.socket) == 0 && nng_listen(l.socket, url, NULL, 0) == 0);
        pthread_create(&thread, NULL, lie, &l);
        adder_client *client = stub_client(url, TIMEOUT_MS);
        adder_error error;
        static adder_info info;
        cr_assert_eq(adder_ping(client, &error), ADDER_BAD_REPLY, "%zu: %s", i, error.text);
        cr_assert_eq(adder_hello(client, &info, &error), ADDER_BAD_REPLY);
        cr_assert_eq(stub_ask(client, 2, 2, &error), ADDER_BAD_REPLY);
        cr_assert_eq(adder_forget(client, "a", NULL, &error), ADDER_BAD_REPLY);
        adder_close(client);
        nng_close(l.socket);
        pthread_join(thread, NULL);
    }
}

Test(peers, a_reply_longer_than_the_client_takes_is_not_read) {
    static stub_host host;
    const char *url = stub_url(STUB_TCP);
    stub_open(&host, url, STUB_OWNER, (server_options){0});
    adder_client *client;
    adder_options options = {.timeout_ms = 300, .reply_bytes_max = 100};
    cr_assert_eq(adder_open(&client, url, &options, NULL), ADDER_OK);
    static adder_info info;
    cr_assert_eq(adder_ping(client, NULL), ADDER_OK);
    cr_assert_eq(adder_hello(client, &info, NULL), ADDER_TIMED_OUT);
    adder_close(client);
    stub_close(&host);
}
