/*
 * slots.c - see slots.h.
 */
#include "slots.h"

#include <stdlib.h>

bool slots_init(slots *s, size_t rows_max) {
    s->account = calloc(rows_max, sizeof *s->account);
    s->account_fresh = calloc(rows_max, sizeof *s->account_fresh);
    s->group = calloc(rows_max, sizeof *s->group);
    s->group_fresh = calloc(rows_max, sizeof *s->group_fresh);
    return s->account && s->account_fresh && s->group && s->group_fresh;
}

void slots_fini(slots *s) {
    free(s->group_fresh);
    free(s->group);
    free(s->account_fresh);
    free(s->account);
}

static accounts_name name_of(const wire_text *text, bool is_group) {
    return (accounts_name){text->bytes, text->length, is_group};
}

static bool resolve(accounts *accounts, engine *engine, accounts_name name, uint32_t *slot,
                    bool *fresh) {
    *slot = accounts_touch(accounts, name, fresh);
    if (*slot != ACCOUNTS_NONE && *fresh) {
        engine_forget(engine, *slot);
    }
    return *slot != ACCOUNTS_NONE;
}

static bool resolve_row(slots *s, accounts *accounts, engine *engine, const wire_request *request,
                        size_t row) {
    bool grouped = request->groups != NULL && request->groups[row].length > 0;
    s->account_fresh[row] = s->group_fresh[row] = false;
    s->group[row] = ACCOUNTS_NONE;
    return resolve(accounts, engine, name_of(&request->accounts[row], false), &s->account[row],
                   &s->account_fresh[row]) &&
           (!grouped || resolve(accounts, engine, name_of(&request->groups[row], true),
                                &s->group[row], &s->group_fresh[row]));
}

/* Nobody has told the judge of those who are fresh. */
static void take_back(const slots *s, accounts *accounts, const wire_request *request,
                      size_t rows) {
    for (size_t i = 0; i < rows; i++) {
        if (s->account_fresh[i]) {
            accounts_remove(accounts, name_of(&request->accounts[i], false));
        }
        if (s->group_fresh[i]) {
            accounts_remove(accounts, name_of(&request->groups[i], true));
        }
    }
}

bool slots_resolve(slots *s, accounts *accounts, engine *engine, const wire_request *request) {
    for (size_t i = 0; i < request->rows; i++) {
        if (!resolve_row(s, accounts, engine, request, i)) {
            take_back(s, accounts, request, i + 1);
            return false;
        }
    }
    return true;
}
