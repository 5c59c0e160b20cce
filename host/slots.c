/*
 * slots.c - see slots.h. Rows of an account mostly stand together: then it is looked up once.
 */
#include "slots.h"

#include <stdlib.h>

bool slots_init(slots *s, size_t rows_max) {
    s->account = calloc(rows_max, sizeof *s->account);
    s->group = calloc(rows_max, sizeof *s->group);
    return s->account && s->group;
}

void slots_fini(slots *s) {
    free(s->group);
    free(s->account);
}

static uint32_t resolve(const slots_givers *from, const wire_text *text, bool is_group) {
    bool fresh;
    accounts_name name = {text->bytes, text->length, is_group};
    uint32_t slot = accounts_touch(from->accounts, name, &fresh);
    if (fresh) {
        engine_forget(from->engine, slot);
        batch_arrive(from->batch, slot, accounts_key_at(from->accounts, slot));
    }
    return slot;
}

static uint32_t group_of(const slots *s, const slots_givers *from, const wire_request *request,
                         size_t row) {
    if (request->groups == NULL || request->groups[row].length == 0) {
        return ACCOUNTS_NONE;
    }
    return wire_name_repeats(request->groups, row) ? s->group[row - 1]
                                                   : resolve(from, &request->groups[row], true);
}

void slots_resolve(slots *s, const slots_givers *from, const wire_request *request) {
    for (size_t i = 0; i < request->rows; i++) {
        s->account[i] = wire_name_repeats(request->accounts, i)
                            ? s->account[i - 1]
                            : resolve(from, &request->accounts[i], false);
        s->group[i] = group_of(s, from, request, i);
    }
}
