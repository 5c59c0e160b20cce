/* stub_host.c - see stub_host.h. */
#include "stub_host.h"

#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Criterion 2.4.1 loses 48 bytes of its own when tests run in parallel. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libcriterion.so\n";
}

static const wire_limits limits = {
    .model = "stub", .dim = STUB_DIM, .classes = STUB_CLASSES, .rows_max = STUB_ROWS_MAX};

static void work(stub_call *call) {
    for (size_t i = 0; i < call->request.rows; i++) {
        uint32_t class;
        float first;
        memcpy(&class, call->request.classes + 4 * i, sizeof class);
        memcpy(&first, call->request.embeddings + 4 * STUB_DIM * i, sizeof first);
        call->scores[i] = (float)class + first;
        call->decisions[i] = (uint8_t)(class % 3);
        call->fill[i] = class;
        call->group_scores[i] =
            call->request.groups != NULL ? (float)call->request.groups[i].length : 0;
    }
}

static bool begin(void *argument, server_call *call, const void *message, size_t bytes) {
    stub_host *host = argument;
    stub_call *mine = &host->calls[server_call_index(call)];
    atomic_fetch_add(&host->begun, 1);
    mine->code = wire_decode_request(&mine->request, mine->scratch, (wire_served){&limits, 1},
                                     message, bytes, mine->text);
    if (mine->code == WIRE_OK && atomic_load(&host->draining)) {
        mine->code = WIRE_DRAINING;
        snprintf(mine->text, sizeof mine->text, "shutting down");
    }
    if (mine->code != WIRE_OK || mine->request.op != WIRE_SCORE) {
        return true;
    }
    if (server_call_excess(call)) {
        mine->code = WIRE_OVERLOADED;
        snprintf(mine->text, sizeof mine->text, "too much at once");
        return true;
    }
    if (host->finish == STUB_OWNER || host->finish == STUB_WORK) {
        pthread_mutex_lock(&host->lock);
        host->waiting[host->waiting_count++] = call;
        pthread_cond_signal(&host->changed);
        pthread_mutex_unlock(&host->lock);
        return false;
    }
    work(mine);
    if (host->finish == STUB_INSIDE_BEGIN) {
        server_finish(call);
    }
    return host->finish == STUB_AT_ONCE;
}

/* One call, whatever the rounds; calls go back in either way. */
static bool work_one(void *argument, size_t rounds) {
    stub_host *host = argument;
    cr_assert_gt(rounds, 0);
    pthread_mutex_lock(&host->lock);
    server_call *call = host->waiting_count > 0 ? host->waiting[--host->waiting_count] : NULL;
    bool more = host->waiting_count > 0;
    pthread_mutex_unlock(&host->lock);
    if (call != NULL) {
        size_t index = server_call_index(call);
        work(&host->calls[index]);
        if (index % 2 == 0) {
            server_answer(call);
        } else {
            server_finish(call);
        }
    }
    return more;
}

static int encode_hello(nng_msg *reply) {
    static const wire_hello hello = {.version = "stub",
                                     .engine = "none",
                                     .rows_max = STUB_ROWS_MAX,
                                     .message_bytes_max = STUB_MESSAGE_MAX,
                                     .models = 1,
                                     .model = {{.name = "stub", .dim = STUB_DIM}}};
    return wire_encode_hello(reply, &hello);
}

static int encode_explanation(nng_msg *reply, const wire_request *request) {
    wire_explanation explanation = {.is_group = request->is_group,
                                    .queries = request->account.length,
                                    .excess = NAN,
                                    .verdict = WIRE_FLAGGED,
                                    .reason = WIRE_BY_MEMORY,
                                    .classes = 2,
                                    .by_class = {{.class_id = 7, .n = 1, .d2 = 0.5}, {.n = 2}},
                                    .windows = 1,
                                    .history = {{.query = 16, .score = 2.5, .verdict = 2}}};
    return wire_encode_explanation(reply, request->account.length > 3, &explanation);
}

/* What it can make up: the decisions as verdicts and reasons too, the scores as the rest. */
static void add_detail(wire_scores *scores, const stub_call *call) {
    bool groups = call->request.groups != NULL;
    scores->excess = scores->memory_excess = scores->evidence = call->scores;
    scores->verdicts = scores->reasons = call->decisions;
    scores->group_scores = groups ? call->group_scores : NULL;
    scores->group_excess = groups ? call->scores : NULL;
    scores->group_evidence = groups ? call->scores : NULL;
    scores->group_verdicts = groups ? call->decisions : NULL;
    scores->pad_bytes = 100;
}

static const float *poison_row(void *context, size_t k) {
    (void)k;
    return context;
}

static int encode(void *argument, server_call *call, nng_msg *reply) {
    stub_host *host = argument;
    const stub_call *mine = &host->calls[server_call_index(call)];
    atomic_fetch_add(&host->answered, 1);
    if (mine->code != WIRE_OK) {
        return wire_encode_error(reply, mine->code, mine->text);
    }
    switch (mine->request.op) {
    case WIRE_HELLO:
        return encode_hello(reply);
    case WIRE_PING:
        return wire_encode_pong(reply);
    case WIRE_FORGET:
        return wire_encode_forgotten(reply, mine->request.account.length > 3);
    case WIRE_EXPLAIN:
        return encode_explanation(reply, &mine->request);
    case WIRE_SCORE:
        break;
    }
    static float outputs[STUB_CLASSES];
    static const uint32_t first = 0;
    bool poison = mine->request.want_poison;
    wire_scores scores = {.model = "stub",
                          .rows = mine->request.rows,
                          .scores = mine->scores,
                          .decisions = mine->decisions,
                          .fill = mine->fill,
                          .poison_rows_count = poison,
                          .poison_rows = &first,
                          .classes = STUB_CLASSES,
                          .poison = poison_row,
                          .poison_context = outputs,
                          .degraded = poison};
    if (mine->request.want_detail) {
        add_detail(&scores, mine);
    }
    return wire_encode_scores(reply, &scores);
}

static void *own(void *argument) {
    stub_host *host = argument;
    pthread_mutex_lock(&host->lock);
    for (;;) {
        bool idle;
        while ((idle = host->waiting_count == 0 || host->held || host->finish == STUB_WORK) &&
               !host->ending) {
            pthread_cond_wait(&host->changed, &host->lock);
        }
        if (idle) {
            break;
        }
        server_call *call = host->waiting[--host->waiting_count];
        pthread_mutex_unlock(&host->lock);
        work(&host->calls[server_call_index(call)]);
        server_finish(call);
        pthread_mutex_lock(&host->lock);
    }
    pthread_mutex_unlock(&host->lock);
    return NULL;
}

void stub_open(stub_host *host, const char *url, stub_finish finish, server_options options) {
    memset(host, 0, sizeof *host);
    options.url = url;
    options.host = host;
    options.begin = begin;
    options.work = finish == STUB_WORK ? work_one : NULL;
    options.encode = encode;
    options.contexts = options.contexts > 0 ? options.contexts : 8;
    options.message_bytes_max =
        options.message_bytes_max > 0 ? options.message_bytes_max : STUB_MESSAGE_MAX;
    options.connections_max = options.connections_max > 0 ? options.connections_max : 100;
    host->finish = finish;
    host->contexts = options.contexts;
    host->calls = calloc(options.contexts, sizeof *host->calls);
    for (size_t i = 0; i < options.contexts; i++) {
        host->calls[i].scratch = wire_scratch_open(STUB_ROWS_MAX);
    }
    pthread_mutex_init(&host->lock, NULL);
    pthread_cond_init(&host->changed, NULL);
    pthread_create(&host->owner, NULL, own, host);
    char error[256] = "";
    cr_assert(server_open(&host->server, &options, error, sizeof error), "%s", error);
}

void stub_hold(stub_host *host, bool held) {
    pthread_mutex_lock(&host->lock);
    host->held = held;
    pthread_cond_signal(&host->changed);
    pthread_mutex_unlock(&host->lock);
}

void stub_close(stub_host *host) {
    pthread_mutex_lock(&host->lock);
    host->ending = true;
    pthread_cond_signal(&host->changed);
    pthread_mutex_unlock(&host->lock);
    pthread_join(host->owner, NULL);
    server_close(host->server);
    for (size_t i = 0; i < host->contexts; i++) {
        wire_scratch_close(host->calls[i].scratch);
    }
    free(host->calls);
    pthread_cond_destroy(&host->changed);
    pthread_mutex_destroy(&host->lock);
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(fd, (struct sockaddr *)&address, length) == 0 &&
              getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

const char *stub_url(stub_transport transport) {
    static char urls[STUB_TRANSPORTS][64];
    static int count;
    char *url = urls[transport];
    if (transport == STUB_IPC) {
        snprintf(url, sizeof urls[0], "ipc:///tmp/adder-test-%d-%d.sock", (int)getpid(), count++);
        unlink(stub_path(url)); /* a killed test's, whose number has come again */
    } else if (transport == STUB_TCP) {
        snprintf(url, sizeof urls[0], "tcp://127.0.0.1:%d", free_port());
    } else {
        snprintf(url, sizeof urls[0], "inproc://adder-test-%d", count++);
    }
    return url;
}

const char *stub_path(const char *ipc_url) {
    return ipc_url + strlen("ipc://");
}

adder_client *stub_client(const char *url, int timeout_ms) {
    adder_client *client;
    adder_error error = {""};
    adder_options options = {.timeout_ms = timeout_ms};
    cr_assert_eq(adder_open(&client, url, &options, &error), ADDER_OK, "%s", error.text);
    return client;
}

adder_status stub_ask(adder_client *client, size_t rows, unsigned salt, adder_error *error) {
    const char **accounts = malloc(rows * sizeof *accounts);
    uint32_t *classes = malloc(rows * sizeof *classes);
    float *embeddings = calloc(rows * STUB_DIM, sizeof *embeddings);
    for (size_t i = 0; i < rows; i++) {
        accounts[i] = i % 2 ? "some account" : "another one";
        classes[i] = (uint32_t)((salt + i) % STUB_CLASSES);
        embeddings[i * STUB_DIM] = (float)(salt % 4096);
    }
    adder_reply *reply;
    adder_status status = adder_score(client,
                                      &(adder_rows){.count = rows,
                                                    .dim = STUB_DIM,
                                                    .accounts = accounts,
                                                    .classes = classes,
                                                    .embeddings = embeddings},
                                      &reply, error);
    bool right = status != ADDER_OK || reply->count == rows;
    for (size_t i = 0; status == ADDER_OK && right && i < rows; i++) {
        right = reply->scores[i] == (float)classes[i] + embeddings[i * STUB_DIM] &&
                reply->decisions[i] == classes[i] % 3 && reply->fill[i] == classes[i];
    }
    if (status == ADDER_OK) {
        adder_reply_free(reply);
    }
    free(accounts);
    free(classes);
    free(embeddings);
    if (!right) {
        cr_assert_fail("the answer to another question came");
    }
    return status;
}
