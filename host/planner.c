/*
 * planner.c - see planner.h.
 */
#include "planner.h"

#include <stdint.h>

bool planner_init(planner *p, const planner_options *options) {
    p->options = *options;
    return slots_init(&p->slots, options->rows_max);
}

void planner_fini(planner *p) {
    slots_fini(&p->slots);
}

/* ---- answers from before ---- */

static void answer_from(request *r, const answer *answer) {
    for (size_t i = 0; i < r->wire.rows; i++) {
        request_answer_row(r, i, &answer->row[i]);
    }
    r->known = answer->row[0].verdict != 0;
    r->degraded = answer->degraded;
}

/* As many as it is remembered by. A snapshot's author can have made a digest to fit, not the rows.
 */
static bool is_answer_to(const answer *answer, const request *r) {
    size_t rows = r->wire.op == WIRE_SCORE ? r->wire.rows : 1;
    return answer->digest == r->digest && answer->rows == rows;
}

static answer *answer_before(const planner *p, const request *r) {
    answer_key key = {r->wire.client, r->wire.seq};
    return r->wire.identified ? answers_find(p->options.answers, key) : NULL;
}

bool planner_repeats(const planner *p, const request *r) {
    return r->wire.op != WIRE_EXPLAIN && answer_before(p, r) != NULL;
}

/* A repeated request gets its first answer. PLANNED_ROWS: it is not a repeated one. */
static planned plan_repeated(planner *p, request *r) {
    answer *answer = answer_before(p, r);
    if (answer == NULL) {
        return PLANNED_ROWS;
    }
    if (answer->pending) {
        return PLANNED_LATER;
    }
    if (!is_answer_to(answer, r)) {
        request_refuse(r, WIRE_BAD_REQUEST,
                       "seq: expected a new number, came one that this client has "
                       "used for another request");
    } else {
        answer_from(r, answer);
    }
    return PLANNED_DONE;
}

/* Where its answer of so many rows will be. */
static answer *remember(planner *p, const request *r, size_t rows) {
    answer_key key = {r->wire.client, r->wire.seq};
    return r->wire.identified ? answers_put(p->options.answers, key, r->digest, rows) : NULL;
}

/* ---- about one account ---- */

static void forget(planner *p, request *r) {
    const planner_options *o = &p->options;
    accounts_name name = {r->wire.account.bytes, r->wire.account.length, r->wire.is_group};
    accounts_key key = accounts_key_of(o->accounts, name);
    uint32_t slot = accounts_remove(o->accounts, name);
    judge_tell_forgotten(o->judge, slot, &key, name);
    r->known = judge_forget_absent(o->judge, &key);
    if (slot != ACCOUNTS_NONE) {
        r->known = true;
        engine_forget(o->engine, slot);
        judge_forget(o->judge, slot);
    }
    r->answer = remember(p, r, 1);
    if (r->answer != NULL) {
        r->answer->row[0] = (answer_row){.verdict = r->known};
        r->answer->pending = false;
    }
}

explain_source planner_explains(const planner *p) {
    const planner_options *o = &p->options;
    return (explain_source){.engine = o->engine,
                            .statistics = o->statistics,
                            .judge = o->judge,
                            .policy = &o->terms->policy,
                            .window_rows = o->window_rows,
                            .release_after = o->terms->release_after};
}

static void explain(planner *p, request *r) {
    const planner_options *o = &p->options;
    explain_source source = planner_explains(p);
    accounts_name name = {r->wire.account.bytes, r->wire.account.length, r->wire.is_group};
    accounts_key key = accounts_key_of(o->accounts, name);
    uint32_t slot = accounts_find(o->accounts, name);
    if (slot == ACCOUNTS_NONE) {
        r->known = explain_absent(&source, &key, r->explanation);
    } else {
        r->known = true;
        if (!explain_slot(&source, slot, r->explanation)) {
            request_refuse(r, WIRE_INTERNAL, "explain: no memory, or the engine failed");
        }
    }
    r->explanation->is_group = r->wire.is_group;
}

void planner_look_up(planner *p, request *r) {
    if (r->wire.op == WIRE_EXPLAIN) {
        explain(p, r);
    } else {
        forget(p, r);
    }
}

/* ---- planning ---- */

static void put_rows(planner *p, batch *batch, request *r) {
    const wire_request *wire = &r->wire;
    size_t dim = p->options.statistics->dim;
    if (batch_rows(batch) == 0) {
        accounts_begin(p->options.accounts);
    }
    slots_resolve(&p->slots, &(slots_givers){p->options.accounts, p->options.engine, batch}, wire);
    r->first = batch_put(batch, &(batch_key){wire, dim, p->slots.account});
    if (wire->groups != NULL) {
        r->groups_first = batch_put(batch, &(batch_key){wire, dim, p->slots.group});
    }
}

planned planner_plan(planner *p, batch *batch, request *r) {
    const wire_request *wire = &r->wire;
    planned repeated = wire->op == WIRE_EXPLAIN ? PLANNED_ROWS : plan_repeated(p, r);
    if (repeated != PLANNED_ROWS) {
        return repeated;
    }
    if (batch_rows(batch) > 0 && (wire->op != WIRE_SCORE ||
                                  r->engine_rows > p->options.batch_rows_max - batch_rows(batch))) {
        return PLANNED_LATER; /* an account's rows in the batch come before its end */
    }
    r->answer = NULL;
    if (wire->op != WIRE_SCORE) {
        return PLANNED_LOOKUP;
    }
    r->answer = remember(p, r, wire->rows);
    put_rows(p, batch, r);
    return PLANNED_ROWS;
}
