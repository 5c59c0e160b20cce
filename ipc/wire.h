/*
 * wire.h - the messages: one MessagePack map each, keys short strings (design section 5).
 *
 * Decoding is strict about what it names and ignores unknown keys. A message is first walked
 * without allocating (nesting, every announced length against the bytes that are there), so nothing
 * a peer announces is ever allocated on its word. Decoded texts and arrays point into the message,
 * which must outlive them. Encoding appends to an nng_msg.
 *
 * Threads: a wire_scratch belongs to one message at a time; functions keep no other state.
 * Errors: decoders return a wire_code and write one line saying which field, what was expected and
 * what came.
 */
#ifndef ADDER_WIRE_H
#define ADDER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nng/nng.h>

enum {
    WIRE_VERSION = 1,
    WIRE_ACCOUNT_BYTES_MAX = 128,
    WIRE_MODEL_BYTES_MAX = 128,
    WIRE_TEXT_MAX = 256, /* an error's message, its NUL included */
    WIRE_DEPTH_MAX = 8,  /* nesting of a message */
    WIRE_MODELS_MAX = 64,
    WIRE_EXPLAIN_CLASSES_MAX = 32,
    WIRE_EXPLAIN_HISTORY_MAX = 64,
};
/* Embeddings are finite and at most this in magnitude, so that no square overflows a float. */
#define WIRE_VALUE_MAX 1e12f

typedef enum {
    WIRE_OK,
    WIRE_BAD_MESSAGE,
    WIRE_BAD_REQUEST,
    WIRE_UNKNOWN_MODEL,
    WIRE_BAD_DIMENSION,
    WIRE_BAD_CLASS,
    WIRE_NOT_FINITE,
    WIRE_TOO_LARGE,
    WIRE_OVERLOADED,
    WIRE_DRAINING,
    WIRE_INTERNAL,
    WIRE_EXPIRED,
    WIRE_CODES,
} wire_code;

typedef enum { WIRE_SCORE, WIRE_HELLO, WIRE_PING, WIRE_FORGET, WIRE_EXPLAIN } wire_op;
typedef enum { WIRE_F32, WIRE_F16, WIRE_BF16 } wire_dtype;
/* What to return for a row. LABEL_ONLY: the predicted label without probabilities. */
typedef enum { WIRE_ALLOW, WIRE_POISON, WIRE_WARMING, WIRE_LABEL_ONLY } wire_decision;
/* What Adder believes of a row's account, also where it does nothing about it. */
typedef enum { WIRE_CLEAN, WIRE_FLAGGED, WIRE_UNDECIDED } wire_verdict;
/* What flagged it: the rows' evidence, the window, the memory, its group, or an operator's list. */
typedef enum {
    WIRE_NO_REASON,
    WIRE_BY_ROWS,
    WIRE_BY_WINDOW,
    WIRE_BY_MEMORY,
    WIRE_BY_GROUP,
    WIRE_DENIED,
    WIRE_ALLOWED,
} wire_reason;

typedef struct {
    const char *bytes; /* not NUL-terminated */
    size_t length;
} wire_text;

/* What a decoder needs to know of the daemon. */
typedef struct {
    const char *model;
    size_t dim;
    size_t classes;
    size_t rows_max;
} wire_limits;
/* Of all models that are served. */
typedef struct {
    const wire_limits *model; /* [models], of different names */
    size_t models;            /* 1..WIRE_MODELS_MAX */
} wire_served;

typedef struct {
    wire_op op;
    bool identified; /* client and seq came */
    uint64_t client;
    uint64_t seq;
    uint64_t deadline_ms; /* so long from its receipt the caller waits; 0: no matter how long */
    size_t model;         /* score, forget, explain: its place among those served */
    wire_text account;    /* forget, explain: whom */
    bool is_group;        /* `account` names a group */
    size_t rows;          /* score: N, 1..rows_max */
    const wire_text *accounts;    /* [N], in the scratch */
    const wire_text *groups;      /* [N], in the scratch, length 0: none; NULL: none came */
    const unsigned char *classes; /* N x u32, unaligned; each below limits.classes */
    wire_dtype dtype;
    const unsigned char *embeddings; /* N x dim x dtype, unaligned, all checked */
    bool want_poison;
    bool want_detail;
} wire_request;

/* Memory for decoding one message at a time, allocated once for rows_max rows. */
typedef struct wire_scratch wire_scratch;
wire_scratch *wire_scratch_open(size_t rows_max); /* NULL: no memory */
void wire_scratch_close(wire_scratch *scratch);   /* NULL is allowed */

/* Decodes and checks a request wholly: on WIRE_OK it can be carried out. Whatever came, text is
 * then fit for a log: it never repeats a peer's bytes. */
wire_code wire_decode_request(wire_request *request, wire_scratch *scratch, wire_served served,
                              const void *message, size_t bytes, char text[WIRE_TEXT_MAX]);

/* What a client sends. Arrays are host order (little-endian machines only), aligned as their type.
 */
typedef struct {
    wire_op op;
    bool identified;
    uint64_t client;
    uint64_t seq;
    uint64_t deadline_ms; /* score; 0: none */
    const char *model;    /* NULL: none */
    const char *account;  /* forget, explain */
    bool is_group;        /* `account` names a group */
    size_t rows;
    const char *const *accounts; /* [rows] NUL-terminated */
    const char *const *groups;   /* NULL, or [rows], NULL where a row has none */
    const uint32_t *classes;     /* [rows] */
    wire_dtype dtype;
    size_t dim;
    const void *embeddings; /* [rows, dim] */
    bool want_poison;
    bool want_detail;
} wire_outgoing;
int wire_encode_request(nng_msg *message, const wire_outgoing *request); /* 0 or an NNG error */

/* Score replies. Arrays of N rows, NULL where optional: left out; poison_rows ascending. */
typedef struct {
    const char *model;
    size_t rows;
    const float *scores;
    const float *memory_scores; /* NULL: memory off */
    const float *excess;        /* NULL: no benign tables */
    const uint8_t *decisions;   /* wire_decision */
    const uint8_t *verdicts;    /* wire_verdict; optional */
    const uint32_t *fill;
    /* Detail, all optional. */
    const float *memory_excess;
    const float *evidence; /* the account's over what flags it: from 1 on it is flagged */
    const float *group_scores;
    const float *group_excess;
    const float *group_evidence;
    const uint8_t *group_verdicts; /* wire_verdict */
    const uint8_t *reasons;        /* wire_reason */
    size_t pad_bytes;              /* zero bytes to append under an ignored key; 0: none */
    size_t poison_rows_count;      /* K */
    const uint32_t *poison_rows;   /* [K] */
    size_t classes;
    /* Probabilities [classes] for the k-th of poison_rows, asked for in order, each used before the
     * next is asked for; NULL when labels are given, or nothing. */
    const float *(*poison)(void *context, size_t k);
    void *poison_context;
    const uint32_t *poison_labels; /* [K] or NULL */
    bool degraded;
} wire_scores;

/* What is done with verdicts: something (enforce), nothing (shadow); or none are reached. */
typedef enum { WIRE_ENFORCE, WIRE_SHADOW, WIRE_OFF } wire_mode;
/* What is done with a flagged account's rows. FLAG: only said. */
typedef enum { WIRE_ACT_POISON, WIRE_ACT_LABEL_ONLY, WIRE_ACT_FLAG } wire_action;

/* What hello tells, one model each. */
typedef struct {
    char name[WIRE_MODEL_BYTES_MAX + 1];
    uint64_t dim;
    uint64_t classes;
    uint64_t rank;
    uint64_t window;
    uint64_t memory_rank;
    double half_life;
    bool has_threshold;
    double threshold;
    bool decisions_only; /* scores are bounds, on the threshold's same side as they would be */
    uint64_t min_fill;   /* a window of fewer rows is warming */
    bool hard_label;
    wire_mode mode;
    wire_action action;
    bool has_tables;           /* benign tables, thus excesses */
    double false_alarms;       /* per account and 10,000 queries; 0: not known */
    double evidence_threshold; /* what evidence flags at, in its own units; 0: not known */
} wire_model;

typedef struct {
    char version[32];
    char engine[16];
    bool degraded;
    uint64_t rows_max;
    uint64_t message_bytes_max;
    uint64_t accounts_max;
    uint64_t accounts; /* held now */
    uint64_t rows;     /* scored since start */
    uint64_t requests; /* answered since start */
    double uptime_s;
    size_t models;
    wire_model model[WIRE_MODELS_MAX];
} wire_hello;

/* What one class of an account's window has to do with its score. A real that is NaN is not known
 * and not sent; so in the two structs below. */
typedef struct {
    uint64_t class_id;
    uint64_t n;          /* rows of it in the window */
    double contribution; /* to the score: (n / fill) d2 */
    double d2;           /* = mean_part + covariance_part */
    double mean_part;
    double covariance_part;
    double benign_mean; /* of d2 over n honest rows */
    double benign_sd;
    double excess; /* (d2 - benign_mean) / benign_sd */
} wire_explained_class;

/* One scored window of an account's past. */
typedef struct {
    uint64_t query; /* the account's query that it ended with, from 1 */
    double score;
    double excess;
    double evidence;
    uint64_t verdict; /* wire_verdict */
} wire_explained_window;

/* Why an account or a group has its verdict. Counts are of its queries, that is rows. */
typedef struct {
    bool is_group;
    double score;
    double excess;
    double memory_score;
    double memory_excess;
    uint64_t fill;
    uint64_t window;
    uint64_t queries;          /* seen */
    uint64_t verdict;          /* wire_verdict */
    uint64_t reason;           /* wire_reason */
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
    wire_explained_class by_class[WIRE_EXPLAIN_CLASSES_MAX]; /* by contribution, largest first */
    size_t windows;
    wire_explained_window history[WIRE_EXPLAIN_HISTORY_MAX]; /* oldest first */
} wire_explanation;

/* Each appends one whole reply and returns 0 or an NNG error. */
int wire_encode_scores(nng_msg *message, const wire_scores *scores);
/* The pad_bytes, at least 1, with which this reply is as long as one with rows_max rows poisoned
 * instead of its poison_rows_count: a reply's length then does not tell an eavesdropper who is
 * poisoned. Saturates at SIZE_MAX, which the encoder refuses. */
size_t wire_scores_pad(const wire_scores *scores, size_t rows_max);
int wire_encode_hello(nng_msg *message, const wire_hello *hello);
int wire_encode_pong(nng_msg *message);
int wire_encode_forgotten(nng_msg *message, bool known);
/* explanation is not looked at, and may be NULL, where there is no such account or group. */
int wire_encode_explanation(nng_msg *message, bool known, const wire_explanation *explanation);
int wire_encode_error(nng_msg *message, wire_code code, const char *text);
/* With a hint when to come again; 0: none. */
int wire_encode_refusal(nng_msg *message, wire_code code, const char *text,
                        uint32_t retry_after_ms);

/* A reply as the client sees it. Arrays point into the message, unaligned, lengths checked; those
 * that may be NULL did not come. */
typedef struct {
    wire_code code; /* WIRE_OK, or the daemon's refusal */
    char text[WIRE_TEXT_MAX];
    uint32_t retry_after_ms; /* of a refusal; 0: none came */
    size_t rows;
    const unsigned char *scores;        /* N x f32 */
    const unsigned char *memory_scores; /* N x f32 or NULL */
    const unsigned char *excess;        /* N x f32 or NULL */
    const unsigned char *decisions;     /* N x u8, each a wire_decision */
    const unsigned char *verdicts;      /* N x u8, each a wire_verdict, or NULL */
    const unsigned char *fill;          /* N x u32 */
    const unsigned char *memory_excess; /* N x f32 or NULL, as the next four */
    const unsigned char *evidence;
    const unsigned char *group_scores;
    const unsigned char *group_excess;
    const unsigned char *group_evidence;
    const unsigned char *group_verdicts; /* N x u8, each a wire_verdict, or NULL */
    const unsigned char *reasons;        /* N x u8, each a wire_reason, or NULL */
    size_t poison_rows_count;
    const unsigned char *poison_rows; /* K x u32, each below N */
    size_t classes;
    const unsigned char *poison;        /* K x classes x f32 or NULL */
    const unsigned char *poison_labels; /* K x u32 or NULL */
    bool degraded;
    bool known; /* forget, explain */
} wire_reply;
/* rows: how many were asked about (0 for other ops). hello may be NULL. Returns WIRE_OK when the
 * reply was understood (also a refusal), WIRE_BAD_MESSAGE with reply->text when not, WIRE_INTERNAL
 * when memory ran out. A refusal's text is made printable ASCII. */
wire_code wire_decode_reply(wire_reply *reply, wire_hello *hello, wire_op op, size_t rows,
                            const void *message, size_t bytes);

/* The same for a reply to explain; where reply->known is false *explanation is zeroed. */
wire_code wire_decode_explanation(wire_reply *reply, wire_explanation *explanation,
                                  const void *message, size_t bytes);

const char *wire_code_name(wire_code code); /* "bad_message", ... */
size_t wire_dtype_bytes(wire_dtype dtype);
/* names[i] is the same as the one before it. */
bool wire_name_repeats(const wire_text *names, size_t i);

#endif
