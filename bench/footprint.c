/*
 * footprint.c - see footprint.h. A service with evidence and memory is filled by requests over NNG,
 * as in service; each in a process of its own, which ends with it.
 */
#include "footprint.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <sodium.h>

#include "accounts.h"
#include "batch.h"
#include "house.h"
#include "judge.h"
#include "records.h"
#include "reference.h"
#include "service.h"
#include "synthetic.h"
#include "verdict.h"
#include "wire.h"

enum {
    SEED = 20250312,
    NAME_BYTES = 32,
    LINE_BYTES = 256,
    CONTEXTS = 4,
    CONNECTIONS = 4,
    ANSWER_MS = 60000,
    MAPPED_BYTES_MIN = 128 << 10,
};

#define URL "inproc://adder-bench-footprint"
#define HALF_LIFE_ROWS 1000.0
#define LIMIT 1e9 /* nobody is flagged */

typedef struct {
    const footprint_shape *shape;
    synthetic data; /* rows of one request, again and again */
    reference reference;
    size_t each; /* accounts of a request */
    char *error;
    size_t error_bytes;
} filling;

/* What a child has found out. */
typedef struct {
    double grown; /* bytes */
    bool done;
    char error[LINE_BYTES];
} finding;

/* ---- a reference with evidence ---- */

static void fill_limits(evidence_options *e) {
    for (size_t k = 0; k < EVIDENCE_SHARES; k++) {
        e->limit[EVIDENCE_ROWS][k] = e->limit[EVIDENCE_WINDOWS][k] = LIMIT;
    }
    e->window_limit = LIMIT;
    e->rows_per_class = 1000.0;
    e->tolerance_deviations = 5.0;
}

/* The least that can be called calibrated: a rung, and a value in each list. */
static bool add_benign(filling *f) {
    size_t classes = f->shape->classes;
    reference_benign *b = reference_benign_new(classes, 1, 1);
    if (b == NULL) {
        return false;
    }
    evidence_options *e = &b->evidence;
    size_t *alignment = (size_t *)e->alignment.first, *excess = (size_t *)e->excess.first;
    for (size_t i = 0; i <= e->alignment.lists; i++) {
        alignment[i] = i;
    }
    for (size_t i = 0; i <= e->excess.lists; i++) {
        excess[i] = i;
    }
    e->window_rows = f->shape->window_rows;
    fill_limits(e);
    *(double *)b->window.rung = 1.0;
    bool made = reference_benign_allocate(b);
    for (size_t i = 0; made && i < classes; i++) {
        b->variance[i] = 1.0;
    }
    if (!made || !reference_set_benign(&f->reference, b, f->error, f->error_bytes)) {
        reference_benign_close(b);
        return false;
    }
    return true;
}

static bool filling_open(filling *f) {
    const footprint_shape *s = f->shape;
    f->each = s->accounts / 2 / s->window_rows;
    bool made = synthetic_init(&f->data, &(synthetic_shape){.dim = s->dim,
                                                            .rank = s->dim,
                                                            .classes = s->classes,
                                                            .accounts = f->each,
                                                            .groups_max = 1,
                                                            .observation_rows = s->window_rows,
                                                            .batches = 1,
                                                            .seed = SEED});
    for (size_t i = 0; made && i < f->each * s->window_rows; i++) {
        f->data.classes[i] = (uint32_t)(i % s->window_rows % s->classes);
    }
    f->reference = (reference){.model = "adder-bench", .statistics = f->data.reference};
    return made && add_benign(f);
}

static void filling_close(filling *f) {
    reference_benign_close(f->reference.benign);
    synthetic_fini(&f->data);
}

/* ---- filling a service ---- */

static int send_request(const filling *f, nng_socket socket, size_t first) {
    const footprint_shape *s = f->shape;
    size_t rows = f->each * s->window_rows;
    char(*name)[NAME_BYTES] = calloc(f->each, sizeof *name);
    const char **accounts = calloc(rows, sizeof *accounts);
    nng_msg *message = NULL;
    int status = NNG_ENOMEM;
    if (name != NULL && accounts != NULL && nng_msg_alloc(&message, 0) == 0) {
        for (size_t i = 0; i < rows; i++) {
            size_t account = i / s->window_rows;
            snprintf(name[account], NAME_BYTES, "adder-bench %zu", first + account);
            accounts[i] = name[account];
        }
        /* Without client and seq, no answer is kept for the case that it is asked for again. */
        status = wire_encode_request(message, &(wire_outgoing){.op = WIRE_SCORE,
                                                               .rows = rows,
                                                               .accounts = accounts,
                                                               .classes = f->data.classes,
                                                               .dtype = WIRE_F32,
                                                               .dim = s->dim,
                                                               .embeddings = f->data.embeddings});
        status = status == 0 ? nng_sendmsg(socket, message, 0) : status;
    }
    if (status != 0) {
        nng_msg_free(message);
    }
    free(accounts);
    free(name);
    return status;
}

static bool ask(const filling *f, nng_socket socket, size_t first) {
    nng_msg *message = NULL;
    wire_reply reply;
    if (send_request(f, socket, first) != 0 || nng_recvmsg(socket, &message, 0) != 0) {
        snprintf(f->error, f->error_bytes, "no answer for account %zu", first);
        return false;
    }
    bool understood = wire_decode_reply(&reply, NULL, WIRE_SCORE, f->each * f->shape->window_rows,
                                        nng_msg_body(message), nng_msg_len(message)) == WIRE_OK;
    bool answered = understood && reply.code == WIRE_OK;
    if (!answered) {
        snprintf(f->error, f->error_bytes, "account %zu was refused: %s", first, reply.text);
    }
    nng_msg_free(message);
    return answered;
}

static bool ask_all(const filling *f, size_t accounts) {
    nng_socket socket;
    bool asked = nng_req0_open(&socket) == 0;
    if (!asked) {
        snprintf(f->error, f->error_bytes, "no socket to be had");
        return false;
    }
    nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, ANSWER_MS);
    if (nng_dial(socket, URL, NULL, 0) != 0) {
        snprintf(f->error, f->error_bytes, "nobody answers");
        asked = false;
    }
    for (size_t first = 0; asked && first < accounts; first += f->each) {
        asked = ask(f, socket, first);
    }
    nng_close(socket);
    return asked;
}

/* 0 where the system does not say. */
static double resident_bytes(void) {
    char line[LINE_BYTES];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Rss: %zu kB", &kib) != 1) {
            kib = 0;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return 1024.0 * (double)kib;
}

static bool fill(const filling *f, size_t accounts, double *grown) {
    const footprint_shape *s = f->shape;
    service_options service = {.reference = &f->reference,
                               .engine = "cpu",
                               .window_rows = s->window_rows,
                               .memory_rank = s->memory_rank,
                               .half_life_rows = HALF_LIFE_ROWS,
                               .accounts_max = accounts,
                               .rows_max = f->each * s->window_rows,
                               .queue_rows_max = 4 * f->each * s->window_rows,
                               .contexts = CONTEXTS,
                               .policy = {.mode = WIRE_ENFORCE, .action = WIRE_ACT_FLAG}};
    house_options options = {
        .url = URL, .service = &service, .contexts = CONTEXTS, .connections_max = CONNECTIONS};
    house *house;
    double before = resident_bytes();
    if (!house_open(&house, &options, f->error, f->error_bytes)) {
        return false;
    }
    bool filled = ask_all(f, accounts);
    malloc_trim(0);
    double after = resident_bytes();
    *grown = before > 0.0 && after > before ? after - before : 0.0;
    house_close(house);
    return filled;
}

/* ---- in a process of its own ---- */

/* Huge pages are counted whole where a part of them is used; and what malloc keeps of messages that
 * are gone is nobody's. */
static void child_main(filling *f, size_t accounts, int said) {
    finding found = {.grown = 0.0};
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    f->error = found.error;
    f->error_bytes = sizeof found.error;
    found.done = fill(f, accounts, &found.grown);
    _exit(write(said, &found, sizeof found) == sizeof found ? EXIT_SUCCESS : EXIT_FAILURE);
}

static bool measure_child(filling *f, size_t accounts, double *grown) {
    int ends[2];
    finding found = {.error = "the process that was filled ended"};
    if (pipe(ends) != 0) {
        snprintf(f->error, f->error_bytes, "no pipe to be had");
        return false;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        child_main(f, accounts, ends[1]);
    }
    close(ends[1]);
    bool heard = child > 0 && read(ends[0], &found, sizeof found) == sizeof found;
    close(ends[0]);
    if (child > 0) {
        waitpid(child, NULL, 0);
    }
    *grown = found.grown;
    if (!heard || !found.done) {
        snprintf(f->error, f->error_bytes, "%s", found.error);
    }
    return heard && found.done;
}

/* ---- what the parts say ---- */

static bool fill_lines(footprint *out, const filling *f) {
    const footprint_shape *s = f->shape;
    engine *engine;
    engine_options o = {.name = "cpu",
                        .window_rows = s->window_rows,
                        .memory_rank = s->memory_rank,
                        .half_life_rows = HALF_LIFE_ROWS,
                        .memory_blocks = 1,
                        .slots_max = 1,
                        .batch_rows_max = 1,
                        .threads = 1};
    if (engine_open(&engine, &f->data.reference, &o, f->error, f->error_bytes) != ENGINE_OK) {
        return false;
    }
    engine_facts facts = engine_describe(engine);
    engine_close(engine);
    size_t per_batch = batch_bytes_per_slot();
    const footprint_line lines[FOOTPRINT_LINES] = {
        {"window", facts.bytes_per_slot, 1},
        {"memory, a class", facts.bytes_per_block, s->classes},
        {"name and its place", accounts_bytes_each(), 1},
        {"evidence, verdict, history", verdicts_bytes_each() + judge_bytes_per_slot(), 1},
        {"record, once evicted", records_bytes_each(), JUDGE_RECORDS_PER_SLOT},
        {"batches", per_batch, SERVICE_FLIGHTS},
    };
    memcpy(out->line, lines, sizeof lines);
    for (size_t i = 0; i < FOOTPRINT_LINES; i++) {
        out->sum += lines[i].bytes * lines[i].count;
    }
    return true;
}

bool footprint_measure(footprint *out, const footprint_shape *shape, char *error,
                       size_t error_bytes) {
    filling f = {.shape = shape, .error = error, .error_bytes = error_bytes};
    double once = 0.0, twice = 0.0;
    *out = (footprint){0};
    snprintf(error, error_bytes, "out of memory");
    bool measured = sodium_init() >= 0 && filling_open(&f) && fill_lines(out, &f) &&
                    measure_child(&f, shape->accounts, &once) &&
                    measure_child(&f, 2 * shape->accounts, &twice);
    out->resident = once > 0.0 && twice > once ? (twice - once) / (double)shape->accounts : 0.0;
    filling_close(&f);
    return measured;
}
