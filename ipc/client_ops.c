/*
 * client_ops.c - what can be asked: score, hello, ping. What is asked about one account is
 * client_accounts.c's. Arguments are checked before anything is sent.
 *
 * A message longer than the daemon takes makes it drop the connection, whereupon REQ sends the
 * message again, for ever. So the first score asks hello for the limits and such messages are
 * refused here.
 */
#include "client_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)ADDER_BAD_MESSAGE == (int)WIRE_BAD_MESSAGE &&
                  (int)ADDER_EXPIRED == (int)WIRE_EXPIRED,
              "the daemon's refusals are statuses");
static_assert((int)ADDER_BF16 == (int)WIRE_BF16 && (int)ADDER_LABEL_ONLY == (int)WIRE_LABEL_ONLY,
              "dtypes and decisions are the wire's");
static_assert((int)ADDER_UNDECIDED == (int)WIRE_UNDECIDED &&
                  (int)ADDER_ALLOWED == (int)WIRE_ALLOWED,
              "verdicts and reasons are the wire's");
static_assert((int)ADDER_OFF == (int)WIRE_OFF && (int)ADDER_ACT_FLAG == (int)WIRE_ACT_FLAG,
              "modes and actions are the wire's");
static_assert(ADDER_ACCOUNT_BYTES_MAX == WIRE_ACCOUNT_BYTES_MAX, "one limit, two names");
static_assert(ADDER_MODELS_MAX == WIRE_MODELS_MAX, "one limit, two names");
static_assert(sizeof((adder_error){0}.text) >= WIRE_TEXT_MAX, "a wire text fits an error");

static adder_status ask_hello(adder_client *client, nng_time deadline, wire_hello *hello,
                              adder_error *error) {
    client_exchange x = {
        .request = {.op = WIRE_HELLO},
        .deadline = deadline,
        .message_bytes_max = UINT64_MAX,
        .hello = hello,
    };
    adder_status status = client_ask(client, &x, error);
    nng_msg_free(x.message);
    if (status == ADDER_OK) {
        pthread_mutex_lock(&client->serving);
        client->served = *hello;
        pthread_mutex_unlock(&client->serving);
        atomic_store(&client->rows_max, hello->rows_max);
        atomic_store(&client->message_bytes_max, hello->message_bytes_max);
    }
    return status;
}

adder_status client_check_name(const char *name, const char *what, size_t row, adder_error *error) {
    size_t length = name != NULL ? strnlen(name, ADDER_ACCOUNT_BYTES_MAX + 1) : 0;
    if (length == 0 || length > ADDER_ACCOUNT_BYTES_MAX) {
        return client_fail(error, ADDER_BAD_REQUEST, "%s[%zu]: expected 1 to %d bytes, came %s",
                           what, row, ADDER_ACCOUNT_BYTES_MAX,
                           name == NULL  ? "NULL"
                           : length == 0 ? "an empty one"
                                         : "more");
    }
    return ADDER_OK;
}

static adder_status check_names(const adder_rows *rows, adder_error *error) {
    adder_status status = ADDER_OK;
    for (size_t i = 0; status == ADDER_OK && i < rows->count; i++) {
        status = client_check_name(rows->accounts[i], "accounts", i, error);
        if (status == ADDER_OK && rows->groups != NULL && rows->groups[i] != NULL) {
            status = client_check_name(rows->groups[i], "groups", i, error);
        }
    }
    return status;
}

static adder_status check_rows(const adder_rows *rows, adder_error *error) {
    if (rows == NULL || rows->accounts == NULL || rows->classes == NULL ||
        rows->embeddings == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "%s: needed, came NULL",
                           rows == NULL             ? "rows"
                           : rows->accounts == NULL ? "accounts"
                           : rows->classes == NULL  ? "classes"
                                                    : "embeddings");
    }
    if (rows->count == 0 || rows->dim == 0) {
        return client_fail(error, ADDER_BAD_REQUEST, "%s: expected at least 1, came 0",
                           rows->count == 0 ? "count" : "dim");
    }
    if ((unsigned)rows->dtype > ADDER_BF16) {
        return client_fail(error, ADDER_BAD_REQUEST, "dtype: expected 0 to %d, came %u", ADDER_BF16,
                           (unsigned)rows->dtype);
    }
    size_t bytes;
    if (__builtin_mul_overflow(rows->count, rows->dim, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes) || rows->count > UINT32_MAX / 4) {
        return client_fail(error, ADDER_TOO_LARGE, "rows: count %zu x dim %zu is too large",
                           rows->count, rows->dim);
    }
    return check_names(rows, error);
}

/* Room for an array behind the reply. */
static void *place(unsigned char **at, const unsigned char *bytes, size_t length) {
    if (bytes == NULL) {
        return NULL;
    }
    void *array = *at;
    memcpy(array, bytes, length);
    *at += length;
    return array;
}

/* Arrays of 4 bytes a value: these come first behind the reply, where all are aligned. */
static void place_words(unsigned char **at, adder_reply *reply, const wire_reply *from) {
    size_t column = from->rows * sizeof(float);
    size_t poison_column = from->poison_rows_count * sizeof(uint32_t);
    reply->scores = place(at, from->scores, column);
    reply->memory_scores = place(at, from->memory_scores, column);
    reply->fill = place(at, from->fill, column);
    reply->excess = place(at, from->excess, column);
    reply->memory_excess = place(at, from->memory_excess, column);
    reply->evidence = place(at, from->evidence, column);
    reply->group_scores = place(at, from->group_scores, column);
    reply->group_excess = place(at, from->group_excess, column);
    reply->group_evidence = place(at, from->group_evidence, column);
    reply->poison_rows = place(at, from->poison_rows, poison_column);
    reply->poison_labels = place(at, from->poison_labels, poison_column);
    reply->poison = place(at, from->poison, poison_column * from->classes);
}

static void place_bytes(unsigned char **at, adder_reply *reply, const wire_reply *from) {
    reply->decisions = place(at, from->decisions, from->rows);
    reply->verdicts = place(at, from->verdicts, from->rows);
    reply->group_verdicts = place(at, from->group_verdicts, from->rows);
    reply->reasons = place(at, from->reasons, from->rows);
}

/* Copies out of the message, where the arrays are unaligned. Its length, which bounds all of
 * theirs together, is room enough. */
static adder_reply *reply_open(const wire_reply *from, size_t message_bytes) {
    adder_reply *reply = malloc(sizeof *reply + message_bytes);
    if (reply == NULL) {
        return NULL;
    }
    unsigned char *at = (unsigned char *)(reply + 1);
    *reply = (adder_reply){
        .count = from->rows,
        .poison_count = from->poison_rows_count,
        .classes = from->classes,
        .degraded = from->degraded,
    };
    place_words(&at, reply, from);
    place_bytes(&at, reply, from);
    return reply;
}

/* The daemon's limits, asked for once, against this request. *message_bytes_max is a copy because
 * another thread's time-out may forget them meanwhile. */
static adder_status check_limits(adder_client *client, const adder_rows *rows, nng_time deadline,
                                 uint64_t *message_bytes_max, adder_error *error) {
    *message_bytes_max = atomic_load(&client->message_bytes_max);
    uint64_t rows_max = atomic_load(&client->rows_max);
    if (*message_bytes_max == 0) {
        wire_hello hello;
        adder_status status = ask_hello(client, deadline, &hello, error);
        if (status != ADDER_OK) {
            return status;
        }
        *message_bytes_max = hello.message_bytes_max;
        rows_max = hello.rows_max;
    }
    if (rows->count > rows_max) {
        return client_fail(error, ADDER_TOO_LARGE, "rows: expected at most %llu, came %zu",
                           (unsigned long long)rows_max, rows->count);
    }
    return ADDER_OK;
}

static wire_outgoing request_of(adder_client *client, const adder_rows *rows) {
    return (wire_outgoing){
        .op = WIRE_SCORE,
        .identified = true,
        .client = client->id,
        .seq = atomic_fetch_add(&client->seq, 1),
        .model = rows->model,
        .rows = rows->count,
        .accounts = rows->accounts,
        .groups = rows->groups,
        .classes = rows->classes,
        .dtype = (wire_dtype)rows->dtype,
        .dim = rows->dim,
        .embeddings = rows->embeddings,
        .want_poison = rows->want_poison,
        .want_detail = rows->want_detail,
    };
}

static adder_status score(adder_client *client, const adder_rows *rows, adder_reply **reply,
                          adder_error *error) {
    client_exchange x = {.deadline = client_deadline(client)};
    adder_status status = check_rows(rows, error);
    if (status != ADDER_OK || (status = check_limits(client, rows, x.deadline, &x.message_bytes_max,
                                                     error)) != ADDER_OK) {
        return status;
    }
    x.request = request_of(client, rows);
    status = client_ask(client, &x, error);
    if (status == ADDER_TIMED_OUT) {
        /* Perhaps a daemon with other limits has taken the place: ask it next time. */
        atomic_store(&client->message_bytes_max, 0);
    }
    if (status == ADDER_OK) {
        *reply = reply_open(&x.reply, nng_msg_len(x.message));
        nng_msg_free(x.message);
        if (*reply == NULL) {
            return client_fail(error, ADDER_NO_MEMORY, "no memory for a reply of %zu rows",
                               rows->count);
        }
        client_guard_learn(client->guard, rows, *reply);
    }
    return status;
}

adder_status adder_score(adder_client *client, const adder_rows *rows, adder_reply **reply,
                         adder_error *error) {
    if (client == NULL || reply == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client and reply: needed, came NULL");
    }
    *reply = NULL;
    adder_status status = score(client, rows, reply, error);
    if (status != ADDER_OK) {
        client_guard_refused(client->guard);
    }
    return status;
}

/* What hello said last of the model that is asked about; of none its classes stay 0. */
static void look_up_model(adder_client *client, client_guard_case *c) {
    const char *named = client_model(client, c->rows->model);
    pthread_mutex_lock(&client->serving);
    for (size_t i = 0; i < client->served.models; i++) {
        const wire_model *model = &client->served.model[i];
        if (named == NULL || strcmp(named, model->name) == 0) {
            c->classes = model->classes;
            c->hard_label = model->hard_label;
            break;
        }
    }
    pthread_mutex_unlock(&client->serving);
}

adder_status adder_guard(adder_client *client, const adder_rows *rows, adder_reply **reply,
                         adder_error *error) {
    if (client == NULL || reply == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client and reply: needed, came NULL");
    }
    *reply = NULL;
    adder_status status = score(client, rows, reply, error);
    if (status == ADDER_OK) {
        return status;
    }
    if (client->on_failure == ADDER_FAIL_ERROR || !client_guard_answers(status)) {
        client_guard_refused(client->guard);
        return status;
    }
    client_guard_case assumed = {
        .rows = rows, .cause = status, .keep = client->on_failure == ADDER_FAIL_KEEP};
    look_up_model(client, &assumed);
    *reply = client_guard_answer(client->guard, &assumed);
    if (*reply == NULL) {
        client_guard_refused(client->guard);
        return client_fail(error, ADDER_NO_MEMORY, "no memory for an answer of %zu rows",
                           rows->count);
    }
    return ADDER_OK;
}

void adder_client_counters(adder_client *client, adder_counters *counters) {
    client_guard_count(client->guard, counters);
}

void adder_reply_free(adder_reply *reply) {
    free(reply);
}

static void copy_model(adder_model *to, const wire_model *from) {
    *to = (adder_model){
        .dim = from->dim,
        .classes = from->classes,
        .rank = from->rank,
        .window = from->window,
        .memory_rank = from->memory_rank,
        .min_fill = from->min_fill,
        .half_life_rows = from->half_life,
        .has_threshold = from->has_threshold,
        .threshold = from->threshold,
        .decisions_only = from->decisions_only,
        .hard_label = from->hard_label,
        .mode = (adder_mode)from->mode,
        .action = (adder_action)from->action,
        .has_tables = from->has_tables,
        .false_alarms = from->false_alarms,
        .evidence_threshold = from->evidence_threshold,
    };
    memcpy(to->name, from->name, sizeof to->name);
}

adder_status adder_hello(adder_client *client, adder_info *info, adder_error *error) {
    if (client == NULL || info == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client and info: needed, came NULL");
    }
    wire_hello hello;
    adder_status status = ask_hello(client, client_deadline(client), &hello, error);
    if (status != ADDER_OK) {
        return status;
    }
    *info = (adder_info){
        .degraded = hello.degraded,
        .rows_max = hello.rows_max,
        .message_bytes_max = hello.message_bytes_max,
        .accounts_max = hello.accounts_max,
        .accounts = hello.accounts,
        .rows = hello.rows,
        .requests = hello.requests,
        .uptime_s = hello.uptime_s,
        .models = hello.models,
    };
    memcpy(info->version, hello.version, sizeof info->version);
    memcpy(info->engine, hello.engine, sizeof info->engine);
    for (size_t i = 0; i < hello.models; i++) {
        copy_model(&info->model[i], &hello.model[i]);
    }
    return ADDER_OK;
}

adder_status adder_ping(adder_client *client, adder_error *error) {
    if (client == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client: needed, came NULL");
    }
    client_exchange x = {
        .request = {.op = WIRE_PING},
        .deadline = client_deadline(client),
        .message_bytes_max = UINT64_MAX,
    };
    adder_status status = client_ask(client, &x, error);
    nng_msg_free(x.message);
    return status;
}
