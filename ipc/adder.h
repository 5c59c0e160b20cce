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
#define ADDER_EXPLAIN_CLASSES_MAX 32
#define ADDER_EXPLAIN_HISTORY_MAX 64
#define ADDER_CONNECTIONS_MAX 64
#define ADDER_FLAGGED_MAX_DEFAULT 65536

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
    ADDER_EXPIRED, /* the call's time had passed when the request's turn came */
    /* The client's own. */
    ADDER_TIMED_OUT,
    ADDER_UNREACHABLE,
    ADDER_NO_MEMORY,
    ADDER_BAD_REPLY,
    ADDER_STATUSES,
} adder_status;

typedef enum { ADDER_F32, ADDER_F16, ADDER_BF16 } adder_dtype;
/* What to return for a row: the model's answer (allow, warming), a replacement, the label alone. */
typedef enum { ADDER_ALLOW, ADDER_POISON, ADDER_WARMING, ADDER_LABEL_ONLY } adder_decision;
/* What Adder believes of a row's account, also where it only watches. */
typedef enum { ADDER_CLEAN, ADDER_FLAGGED, ADDER_UNDECIDED } adder_verdict;
/* What flagged it: its rows' evidence, its window, its memory, its group; or an operator's list. */
typedef enum {
    ADDER_NO_REASON,
    ADDER_BY_ROWS,
    ADDER_BY_WINDOW,
    ADDER_BY_MEMORY,
    ADDER_BY_GROUP,
    ADDER_DENIED,
    ADDER_ALLOWED,
} adder_reason;
/* Shadow: verdicts are reached and nothing is done about them. */
typedef enum { ADDER_ENFORCE, ADDER_SHADOW, ADDER_OFF } adder_mode;
/* What is done with the rows of a flagged account. */
typedef enum { ADDER_ACT_POISON, ADDER_ACT_LABEL_ONLY, ADDER_ACT_FLAG } adder_action;

typedef struct {
    char text[256]; /* one line: which field, what was expected, what came */
} adder_error;

/* What adder_guard answers where the daemon does not within timeout_ms, or says that it cannot now
 * (ADDER_TIMED_OUT, UNREACHABLE, OVERLOADED, DRAINING, INTERNAL, EXPIRED). */
typedef enum {
    ADDER_FAIL_KEEP,  /* accounts last known as flagged get the decision they last got, and groups,
                       * where a reply with detail told of them; all others are allowed */
    ADDER_FAIL_ALLOW, /* all are allowed */
    ADDER_FAIL_ERROR, /* the error, as adder_score */
} adder_on_failure;

/* Zeroed members mean the default. */
typedef struct {
    int timeout_ms;         /* for each call; default ADDER_TIMEOUT_MS_DEFAULT */
    size_t reply_bytes_max; /* longer replies are refused; default 256 MiB */
    const char *model;      /* of all calls, but of rows that name another; NULL when the daemon
                             * serves one. 1..128 bytes, copied */
    /* PEM files, read by adder_open: needed for tls+tcp://, all three, and refused else. */
    const char *tls_ca_file;     /* who must have signed the daemon's certificate */
    const char *tls_cert_file;   /* ours, which the daemon wants to see */
    const char *tls_key_file;    /* ours; not encrypted */
    const char *tls_server_name; /* what the daemon's certificate is for; default: the URL's host.
                                  * mbedTLS matches names only, an address as one too */
    adder_on_failure on_failure; /* default: keep */
    size_t flagged_max; /* names remembered as flagged; the one seen longest ago goes first; default
                         * ADDER_FLAGGED_MAX_DEFAULT */
} adder_options;

/* One batch of queries, all arrays borrowed during the call. */
typedef struct {
    size_t count; /* N >= 1 */
    size_t dim;
    const char *const *accounts; /* [N], each 1..128 bytes */
    const uint32_t *classes;     /* [N] predicted class */
    adder_dtype dtype;           /* default f32 */
    const void *embeddings;      /* [N, dim], row-major, C-contiguous */
    const char *model;           /* NULL: the client's */
    bool want_poison;            /* ask for replacement outputs */
    const char *const *groups;   /* NULL, or [N]: 1..128 bytes, or NULL where a row has none */
    bool want_detail;            /* ask for the reply's detail */
} adder_rows;

/* One answer; arrays of `count` rows, NULL when they did not come. Scores, excesses and fill are
 * those of the row's observation; excesses are standard deviations above honest rows. */
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
    const float *excess;           /* NULL without benign tables */
    const uint8_t *verdicts;       /* adder_verdict */
    /* With want_detail; the groups' where rows have groups. */
    const float *memory_excess;
    const float *evidence; /* the account's over what flags it: from 1 on it is flagged */
    const float *group_scores;
    const float *group_excess;
    const float *group_evidence;
    const uint8_t *group_verdicts; /* adder_verdict */
    const uint8_t *reasons;        /* adder_reason */
    bool assumed; /* by adder_guard, in the daemon's place: scores are NaN, verdicts flagged or
                   * undecided, and poison was drawn in the client */
    adder_status cause; /* ... and what it stands for */
} adder_reply;

/* Of a client since it was opened. */
typedef struct {
    uint64_t answered; /* scores by the daemon */
    uint64_t refused;  /* ended with an error */
    uint64_t assumed;  /* answered by adder_guard in the daemon's place */
    uint64_t assumed_rows, assumed_poison_rows;
    uint64_t by_cause[ADDER_STATUSES]; /* of the assumed */
    uint64_t flagged;                  /* names remembered now */
    uint64_t evicted;                  /* from that memory */
} adder_counters;

typedef struct {
    char name[129];
    uint64_t dim, classes, rank, window, memory_rank, min_fill;
    double half_life_rows;
    bool has_threshold;
    double threshold;
    bool decisions_only; /* scores are bounds, on the threshold's same side as they would be */
    bool hard_label;
    adder_mode mode;
    adder_action action;
    bool has_tables;           /* benign tables, thus excesses */
    double false_alarms;       /* per account and 10,000 queries; 0: not known */
    double evidence_threshold; /* what evidence flags at, in its own units; 0: not known */
} adder_model;

/* What one class of an account's window has to do with its score. NaN, here and in the two structs
 * below: not known. */
typedef struct {
    uint64_t class_id;
    uint64_t n;          /* rows of it in the window */
    double contribution; /* to the score: (n / fill) d2 */
    double d2;           /* squared Frechet distance = mean_part + covariance_part */
    double mean_part;
    double covariance_part;
    double benign_mean; /* of d2 over n honest rows */
    double benign_sd;
    double excess; /* (d2 - benign_mean) / benign_sd */
} adder_explained_class;

/* One scored window of an account's past. */
typedef struct {
    uint64_t query; /* the account's query that it ended with, from 1 */
    double score;
    double excess;
    double evidence;
    adder_verdict verdict;
} adder_explained_window;

/* Why an account or a group has its verdict. A query is a row. */
typedef struct {
    bool is_group;
    adder_verdict verdict;
    adder_reason reason;
    double score; /* of the last window, as the next */
    double excess;
    double memory_score;
    double memory_excess;
    uint64_t fill; /* rows in the window now */
    uint64_t window;
    uint64_t queries;          /* seen */
    uint64_t first_flagged_at; /* query; 0: never */
    uint64_t flagged_at;       /* query of the present flag; 0: not flagged */
    uint64_t clean_run;        /* queries since it last looked malicious */
    uint64_t release_after;    /* a clean_run of so many lifts the flag; 0: none does */
    double evidence;           /* over what flags it: from 1 on it is flagged */
    double evidence_rows;
    double evidence_window;
    double evidence_memory;
    double threshold;        /* what evidence flags at, in its own units */
    double window_threshold; /* what a window's score flags at */
    size_t classes;
    adder_explained_class by_class[ADDER_EXPLAIN_CLASSES_MAX]; /* largest contribution first */
    size_t windows;
    adder_explained_window history[ADDER_EXPLAIN_HISTORY_MAX]; /* oldest first */
} adder_explanation;

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
/* As adder_score; but where the daemon does not answer, or cannot, the answer is that of
 * options.on_failure, after timeout_ms and the time it takes to draw poison, and reply->assumed is
 * set. What is wrong with the request itself is an error here too. */
adder_status adder_guard(adder_client *client, const adder_rows *rows, adder_reply **reply,
                         adder_error *error);
void adder_client_counters(adder_client *client, adder_counters *counters);
void adder_reply_free(adder_reply *reply); /* NULL is allowed */
adder_status adder_hello(adder_client *client, adder_info *info, adder_error *error);
adder_status adder_ping(adder_client *client, adder_error *error);
/* Drops an account's window and memory. *known (may be NULL): whether there was one. */
adder_status adder_forget(adder_client *client, const char *account, bool *known,
                          adder_error *error);
/* The same for a group. */
adder_status adder_forget_group(adder_client *client, const char *group, bool *known,
                                adder_error *error);
/* Why the account, or the group, called `name` has its verdict. For operators, never for end users.
 * *explanation is the caller's to free; it is NULL on ADDER_OK too when nobody is called so. */
adder_status adder_explain(adder_client *client, const char *name, bool is_group,
                           adder_explanation **explanation, adder_error *error);
void adder_explanation_free(adder_explanation *explanation); /* NULL is allowed */

/* Milliseconds after which the daemon expects room for more, as it said last when it refused a call
 * of this client's as ADDER_OVERLOADED; 0: it has not. */
uint32_t adder_retry_after_ms(const adder_client *client);

/* A few words for a status; never NULL. */
const char *adder_status_text(adder_status status);

#ifdef __cplusplus
}
#endif

#endif
