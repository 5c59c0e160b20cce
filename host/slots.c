/*
 * slots.c - see slots.h. Rows of an account mostly stand together: then it is looked up once.
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

static bool resolve_account(slots *s, accounts *accounts, engine *engine,
                            const wire_request *request, size_t row) {
    s->account_fresh[row] = false;
    if (wire_name_repeats(request->accounts, row)) {
        s->account[row] = s->account[row - 1];
        return true;
    }
    return resolve(accounts, engine, name_of(&request->accounts[row], false), &s->account[row],
                   &s->account_fresh[row]);
}

static bool resolve_group(slots *s, accounts *accounts, engine *engine, const wire_request *request,
                          size_t row) {
    s->group_fresh[row] = false;
    s->group[row] = ACCOUNTS_NONE;
    if (request->groups == NULL || request->groups[row].length == 0) {
        return true;
    }
    if (wire_name_repeats(request->groups, row)) {
        s->group[row] = s->group[row - 1];
        return true;
    }
    return resolve(accounts, engine, name_of(&request->groups[row], true), &s->group[row],
                   &s->group_fresh[row]);
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
        s->group_fresh[i] = false; /* should its account's not come about */
        if (!resolve_account(s, accounts, engine, request, i) ||
            !resolve_group(s, accounts, engine, request, i)) {
            take_back(s, accounts, request, i + 1);
            return false;
        }
    }
    return true;
}
