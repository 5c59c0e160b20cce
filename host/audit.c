/*
 * audit.c - see audit.h.
 */
#include "audit.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

enum { FIELDS_MAX = 12 };

struct audit {
    const char *model;
    policy policy;
    bool by_evidence;
    uint8_t *told; /* [slots_max] the verdict that was seen last */
};

static const char *const verdict_word[] = {"clean", "flagged", "undecided"};

audit *audit_open(const char *model, size_t slots_max) {
    audit *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->model = model;
    a->told = calloc(slots_max, sizeof *a->told);
    if (a->told == NULL) {
        audit_close(a);
        return NULL;
    }
    return a;
}

void audit_revise(audit *a, const policy *policy, bool by_evidence) {
    a->policy = *policy;
    a->by_evidence = by_evidence;
}

void audit_close(audit *a) {
    if (a != NULL) {
        free(a->told);
        free(a);
    }
}

void audit_begin(audit *a, uint32_t slot) {
    a->told[slot] = WIRE_UNDECIDED;
}

void audit_restore(audit *a, uint32_t slot, wire_verdict verdict) {
    a->told[slot] = (uint8_t)verdict;
}

wire_verdict audit_told(const audit *a, uint32_t slot) {
    return (wire_verdict)a->told[slot];
}

size_t audit_bytes_each(void) {
    return sizeof(uint8_t);
}

/* ---- a line ---- */

typedef struct {
    log_field field[FIELDS_MAX];
    size_t count;
} fields;

static void add_text(fields *f, const char *key, const char *text) {
    f->field[f->count++] = (log_field){.key = key, .kind = LOG_FIELD_TEXT, .text = text};
}

static void add_number(fields *f, const char *key, double number) {
    f->field[f->count++] = (log_field){.key = key, .kind = LOG_FIELD_NUMBER, .number = number};
}

static void add_head(const audit *a, fields *f, accounts_name name) {
    add_text(f, "model", a->model);
    f->field[f->count++] = (log_field){.key = name.is_group ? "group" : "account",
                                       .kind = LOG_FIELD_NAME,
                                       .text = name.bytes,
                                       .length = name.length};
}

static void add_evidence(const audit *a, fields *f, double evidence, uint64_t query) {
    if (a->by_evidence) {
        add_number(f, "evidence", evidence);
        add_number(f, "limit", 1.0);
        f->field[f->count++] = (log_field){.key = "query", .kind = LOG_FIELD_COUNT, .count = query};
    } else if (a->policy.has_threshold) {
        add_number(f, "limit", a->policy.threshold);
    }
}

static void add_policy(const audit *a, fields *f) {
    static const char *const modes[] = {"enforce", "shadow", "off"};
    static const char *const actions[] = {"poison", "label_only", "flag"};
    add_text(f, "mode", modes[a->policy.mode]);
    add_text(f, "action", actions[a->policy.action]);
}

/* Why, as a word and as a sentence. */
typedef struct {
    const char *word;
    const char *sentence;
} why;

static why why_flagged(wire_reason reason) {
    switch (reason) {
    case WIRE_BY_ROWS:
        return (why){"queries", "flagged by what its queries add up to"};
    case WIRE_BY_MEMORY:
        return (why){"memory", "flagged by its memory"};
    case WIRE_DENIED:
        return (why){"denied", "flagged by the deny-list"};
    default:
        return (why){"windows", "flagged by its windows"};
    }
}

static why why_not(const audit *a, wire_reason reason) {
    if (reason == WIRE_ALLOWED) {
        return (why){"allowed", "no longer flagged: the allow-list has it"};
    }
    if (a->policy.mode == WIRE_OFF) {
        return (why){"off", "no longer flagged: no verdicts are reached any more"};
    }
    return a->by_evidence
               ? (why){"released", "no longer flagged: its queries were clean for long enough"}
               : (why){"windows", "no longer flagged: its window is not above the limit"};
}

void audit_see(audit *a, const audit_belief *b) {
    wire_verdict before = (wire_verdict)a->told[b->slot];
    a->told[b->slot] = (uint8_t)b->verdict;
    if ((before == WIRE_FLAGGED) == (b->verdict == WIRE_FLAGGED)) {
        return;
    }
    why reason = b->verdict == WIRE_FLAGGED ? why_flagged(b->reason) : why_not(a, b->reason);
    fields f = {.count = 0};
    add_head(a, &f, b->name);
    add_text(&f, "from", verdict_word[before]);
    add_text(&f, "to", verdict_word[b->verdict]);
    add_text(&f, "reason", reason.word);
    add_evidence(a, &f, b->evidence, b->query);
    add_number(&f, "score", b->score);
    add_number(&f, "excess", b->excess);
    add_policy(a, &f);
    log_audit("verdict", reason.sentence, f.field, f.count);
}

void audit_forgotten(audit *a, wire_verdict from, accounts_name name, double evidence,
                     uint64_t query) {
    fields f = {.count = 0};
    add_head(a, &f, name);
    add_text(&f, "from", verdict_word[from]);
    add_text(&f, "to", "forgotten");
    add_text(&f, "reason", "forget");
    add_evidence(a, &f, evidence, query);
    add_policy(a, &f);
    log_audit("verdict", "forgotten, as an operator asked", f.field, f.count);
}
