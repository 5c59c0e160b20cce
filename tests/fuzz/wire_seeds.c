/*
 * wire_seeds.c - one valid message of every kind, by the encoders themselves.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_wire.h"
#include "wire.h"

enum { ROWS = 3, DIM = 2, CLASSES = 4, SEED_BYTES_MAX = 8192 };

static const uint32_t classes[ROWS] = {0, 3, 1};

/* The message with its two bytes before it; frees it. */
static void seed(const char *name, unsigned kind, unsigned choice, nng_msg *message) {
    unsigned char bytes[SEED_BYTES_MAX] = {(unsigned char)kind, (unsigned char)choice};
    size_t length = nng_msg_len(message);
    FUZZ_EXPECT(length <= sizeof bytes - FUZZ_WIRE_HEAD_BYTES);
    memcpy(bytes + FUZZ_WIRE_HEAD_BYTES, nng_msg_body(message), length);
    fuzz_seed(name, bytes, length + FUZZ_WIRE_HEAD_BYTES);
    nng_msg_free(message);
}

static nng_msg *new_message(void) {
    nng_msg *message;
    FUZZ_EXPECT(nng_msg_alloc(&message, 0) == 0);
    return message;
}

/* To a daemon of one model, and of several where the request says which. */
static void seed_request(const char *name, const wire_outgoing *request) {
    for (unsigned choice = 0; choice <= FUZZ_WIRE_MODELS; choice += FUZZ_WIRE_MODELS) {
        char full[64];
        nng_msg *message = new_message();
        FUZZ_EXPECT(wire_encode_request(message, request) == 0);
        snprintf(full, sizeof full, "%s-%u", name, choice);
        if (choice == 0 || request->model != NULL) {
            seed(full, FUZZ_WIRE_REQUEST, choice, message);
        } else {
            nng_msg_free(message);
        }
    }
}

static void seed_requests(void) {
    static const char *const accounts[ROWS] = {"a", "b", "a"};
    static const char *const groups[ROWS] = {"g", NULL, "g"};
    static const float values[ROWS * DIM] = {1, -2, 0.5f, 1e12f, 0, -0.0f};
    static const uint16_t halves[ROWS * DIM] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0, 0x8000};
    wire_outgoing score = {.op = WIRE_SCORE,
                           .rows = ROWS,
                           .dim = DIM,
                           .accounts = accounts,
                           .classes = classes,
                           .embeddings = values};
    seed_request("score", &score);
    score.identified = true;
    score.client = UINT64_MAX;
    score.seq = 1;
    score.model = "m";
    score.groups = groups;
    score.want_poison = score.want_detail = true;
    seed_request("score-all", &score);
    score.embeddings = halves;
    score.dtype = WIRE_F16;
    seed_request("score-f16", &score);
    static const uint16_t brains[ROWS * DIM] = {0x3f80, 0xc000, 0x0001, 0x5368, 0, 0x8000};
    score.embeddings = brains;
    score.dtype = WIRE_BF16;
    seed_request("score-bf16", &score);
    seed_request("ping", &(wire_outgoing){.op = WIRE_PING});
    seed_request("hello", &(wire_outgoing){.op = WIRE_HELLO});
    seed_request("forget", &(wire_outgoing){.op = WIRE_FORGET, .model = "m", .account = "a"});
    seed_request("explain", &(wire_outgoing){.op = WIRE_EXPLAIN, .account = "g", .is_group = true});
}

static const float *uniform(void *context, size_t k) {
    static const float even[CLASSES] = {0.25f, 0.25f, 0.25f, 0.25f};
    (void)context;
    (void)k;
    return even;
}

static void seed_scores(const char *name, const wire_scores *scores) {
    nng_msg *message = new_message();
    FUZZ_EXPECT(wire_encode_scores(message, scores) == 0);
    seed(name, FUZZ_WIRE_REPLY, ROWS * FUZZ_WIRE_OPS + WIRE_SCORE, message);
}

static void seed_replies(void) {
    static const float numbers[ROWS] = {1, 2, NAN};
    static const uint8_t codes[ROWS] = {0, 1, 2};
    static const uint32_t poisoned[2] = {0, 2};
    wire_scores scores = {
        .model = "m", .rows = ROWS, .scores = numbers, .decisions = codes, .fill = classes};
    seed_scores("scores", &scores);
    scores.poison_rows_count = 2;
    scores.poison_rows = poisoned;
    scores.poison_labels = classes;
    scores.degraded = true;
    seed_scores("scores-labels", &scores);
    scores.poison_labels = NULL;
    scores.poison = uniform;
    scores.classes = CLASSES;
    scores.memory_scores = scores.excess = scores.memory_excess = scores.evidence = numbers;
    scores.group_scores = scores.group_excess = scores.group_evidence = numbers;
    scores.verdicts = scores.group_verdicts = scores.reasons = codes;
    scores.pad_bytes = 20;
    seed_scores("scores-all", &scores);
}

static void seed_short_replies(void) {
    nng_msg *message = new_message();
    FUZZ_EXPECT(wire_encode_pong(message) == 0);
    seed("pong", FUZZ_WIRE_REPLY, WIRE_PING, message);
    message = new_message();
    FUZZ_EXPECT(wire_encode_forgotten(message, true) == 0);
    seed("forgotten", FUZZ_WIRE_REPLY, WIRE_FORGET, message);
    message = new_message();
    FUZZ_EXPECT(wire_encode_error(message, WIRE_OVERLOADED, "too many rows wait") == 0);
    seed("refusal", FUZZ_WIRE_REPLY, WIRE_SCORE, message);
}

static void seed_hello(void) {
    static wire_hello hello = {.version = "0.1.0", .engine = "cpu", .rows_max = 8, .models = 2};
    for (size_t i = 0; i < hello.models; i++) {
        hello.model[i] = (wire_model){.name = "m",
                                      .dim = DIM,
                                      .classes = CLASSES,
                                      .rank = 1,
                                      .window = 16,
                                      .half_life = 512,
                                      .has_threshold = i == 1,
                                      .threshold = 7,
                                      .decisions_only = i == 1,
                                      .hard_label = i == 1,
                                      .has_tables = true,
                                      .mode = WIRE_SHADOW,
                                      .action = WIRE_ACT_FLAG,
                                      .false_alarms = 0.01,
                                      .evidence_threshold = 3};
    }
    nng_msg *message = new_message();
    FUZZ_EXPECT(wire_encode_hello(message, &hello) == 0);
    seed("hello-reply", FUZZ_WIRE_REPLY, WIRE_HELLO, message);
}

static void seed_explanations(void) {
    static wire_explanation e = {.score = 1,
                                 .excess = NAN,
                                 .fill = 2,
                                 .window = 16,
                                 .queries = 2,
                                 .verdict = WIRE_FLAGGED,
                                 .reason = WIRE_BY_ROWS,
                                 .classes = 2,
                                 .windows = 2};
    e.by_class[0] = (wire_explained_class){.class_id = 3, .n = 1, .benign_sd = NAN};
    e.history[1] = (wire_explained_window){.query = 2, .verdict = WIRE_FLAGGED};
    nng_msg *message = new_message();
    FUZZ_EXPECT(wire_encode_explanation(message, true, &e) == 0);
    seed("explanation", FUZZ_WIRE_EXPLANATION, 0, message);
    message = new_message();
    FUZZ_EXPECT(wire_encode_explanation(message, false, NULL) == 0);
    seed("explanation-unknown", FUZZ_WIRE_EXPLANATION, 0, message);
}

void fuzz_seeds(void) {
    seed_requests();
    seed_replies();
    seed_short_replies();
    seed_hello();
    seed_explanations();
}
