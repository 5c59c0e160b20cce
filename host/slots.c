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

static uint32_t resolve(accounts *accounts, engine *engine, accounts_name name, bool *fresh) {
    uint32_t slot = accounts_touch(accounts, name, fresh);
    if (*fresh) {
        engine_forget(engine, slot);
    }
    return slot;
}

static void resolve_account(slots *s, accounts *accounts, engine *engine,
                            const wire_request *request, size_t row) {
    s->account_fresh[row] = false;
    s->account[row] = wire_name_repeats(request->accounts, row)
                          ? s->account[row - 1]
                          : resolve(accounts, engine, name_of(&request->accounts[row], false),
                                    &s->account_fresh[row]);
}

static void resolve_group(slots *s, accounts *accounts, engine *engine, const wire_request *request,
                          size_t row) {
    s->group_fresh[row] = false;
    if (request->groups == NULL || request->groups[row].length == 0) {
        s->group[row] = ACCOUNTS_NONE;
    } else if (wire_name_repeats(request->groups, row)) {
        s->group[row] = s->group[row - 1];
    } else {
        s->group[row] =
            resolve(accounts, engine, name_of(&request->groups[row], true), &s->group_fresh[row]);
    }
}

void slots_resolve(slots *s, accounts *accounts, engine *engine, const wire_request *request) {
    for (size_t i = 0; i < request->rows; i++) {
        resolve_account(s, accounts, engine, request, i);
        resolve_group(s, accounts, engine, request, i);
    }
}
