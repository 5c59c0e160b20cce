/*
 * adder.h - the client library of Adder: ask the daemon about rows your model has just answered.
 *
 *     adder_client *client;
 *     adder_error error;
 *     if (adder_open(&client, "ipc:///run/adder.sock", NULL, &error) != ADDER_OK) ...
 *     adder_reply *reply;
 *     if (adder_score(client, &rows, &reply, &error) == ADDER_OK) {
 *         ... reply->decisions[i], reply->poison ...
 *         adder_reply_free(reply);
 *     }
 *     adder_close(client);
 *
 * Threads: any number may use one client at once; it opens a connection for each call that runs at
 * the same time, ADDER_CONNECTIONS_MAX at most, and keeps them. Blocking: a call waits at most
 * timeout_ms. Ownership: what a function hands out belongs to the caller and has its own free
 * function. A request whose connection drops is sent again by itself; the daemon counts its rows
 * once.
 */
#ifndef ADDER_H
#define ADDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ADDER_TIMEOUT_MS_DEFAULT 5000
#define ADDER_ACCOUNT_BYTES_MAX 128
#define ADDER_MODELS_MAX 64
#define ADDER_CONNECTIONS_MAX 64

typedef enum {
    ADDER_OK,
    /* The daemon's refusals, by their names on the wire; nothing was changed there. */
    ADDER_BAD_MESSAGE,
    ADDER_BAD_REQUEST,
    ADDER_UNKNOWN_MODEL,
    ADDER_BAD_DIMENSION,
    ADDER_BAD_CLASS,
    ADDER_NOT_FINITE,
    ADDER_TOO_LARGE,
    ADDER_OVERLOADED,
    ADDER_DRAINING,
    ADDER_INTERNAL,
    /* The client's own. */
    ADDER_TIMED_OUT,
    ADDER_UNREACHABLE,
    ADDER_NO_MEMORY,
    ADDER_BAD_REPLY,
    ADDER_STATUSES,
} adder_status;

typedef enum { ADDER_F32, ADDER_F16, ADDER_BF16 } adder_dtype;
typedef enum { ADDER_ALLOW, ADDER_POISON, ADDER_WARMING } adder_decision;

typedef struct {
    char text[256]; /* one line: which field, what was expected, what came */
} adder_error;

/* Zeroed members mean the default. */
typedef struct {
    int timeout_ms;         /* for each call; default ADDER_TIMEOUT_MS_DEFAULT */
    size_t reply_bytes_max; /* longer replies are refused; default 256 MiB */
} adder_options;

/* One batch of queries, all arrays borrowed during the call. */
typedef struct {
    size_t count; /* N >= 1 */
    size_t dim;
    const char *const *accounts; /* [N], each 1..128 bytes */
    const uint32_t *classes;     /* [N] predicted class */
    adder_dtype dtype;           /* default f32 */
    const void *embeddings;      /* [N, dim], row-major, C-contiguous */
    const char *model;           /* NULL when the daemon serves one */
    bool want_poison;            /* ask for replacement outputs */
} adder_rows;

/* One answer; arrays of `count` rows. Score and fill are those of the row's observation. */
typedef struct {
    size_t count;
    const float *scores;
    const float *memory_scores; /* NULL when the daemon keeps no memory */
    const uint8_t *decisions;   /* adder_decision */
    const uint32_t *fill;
    size_t poison_count;           /* K */
    const uint32_t *poison_rows;   /* [K] */
    size_t classes;                /* columns of poison */
    const float *poison;           /* [K, classes] probabilities to return instead, or NULL */
    const uint32_t *poison_labels; /* [K] labels to return instead, or NULL */
    bool degraded;                 /* the daemon lost its accelerator */
} adder_reply;

typedef struct {
    char name[129];
    uint64_t dim, classes, rank, window, memory_rank, min_fill;
    double half_life_rows;
    bool has_threshold;
    double threshold;
    bool hard_label;
} adder_model;

typedef struct {
    char version[32];
    char engine[16];
    bool degraded;
    uint64_t rows_max, message_bytes_max, accounts_max;
    uint64_t accounts, rows, requests;
    double uptime_s;
    size_t models;
    adder_model model[ADDER_MODELS_MAX];
} adder_info;

typedef struct adder_client adder_client;

/* Connects in the background: opening succeeds while the daemon is still starting. options may be
 * NULL, error may be NULL everywhere. */
adder_status adder_open(adder_client **client, const char *url, const adder_options *options,
                        adder_error *error);
void adder_close(adder_client *client); /* NULL is allowed; not while a call is running */

adder_status adder_score(adder_client *client, const adder_rows *rows, adder_reply **reply,
                         adder_error *error);
void adder_reply_free(adder_reply *reply); /* NULL is allowed */
adder_status adder_hello(adder_client *client, adder_info *info, adder_error *error);
adder_status adder_ping(adder_client *client, adder_error *error);
/* Drops an account's window and memory. *known (may be NULL): whether there was one. */
adder_status adder_forget(adder_client *client, const char *account, bool *known,
                          adder_error *error);

/* A few words for a status; never NULL. */
const char *adder_status_text(adder_status status);

#ifdef __cplusplus
}
#endif

#endif
