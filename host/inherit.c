/*
 * inherit.c - see inherit.h. Keys of records are by the table's secret, which goes along.
 */
#include "inherit.h"

#include "accounts.h"
#include "judge.h"
#include "records.h"
#include "verdict.h"

typedef struct {
    service *to;
    const snapshot_state *from;
} inheritance;

/* Those with a place after those without, the last to go last: where there is room for fewer the
 * first are dropped. */
static void receive(void *context, const snapshot_state *to) {
    const snapshot_state *from = ((inheritance *)context)->from;
    const records *records = judge_records(from->judge);
    accounts_set_secret(to->accounts, accounts_secret(from->accounts));
    for (uint32_t i = records_next(records, RECORDS_NONE); i != RECORDS_NONE;
         i = records_next(records, i)) {
        judge_restore_absent(to->judge, records_key(records, i), records_belief(records, i));
    }
    for (uint32_t slot = accounts_next(from->accounts, ACCOUNTS_NONE); slot != ACCOUNTS_NONE;
         slot = accounts_next(from->accounts, slot)) {
        const verdict_record *record = judge_kept(from->judge, slot);
        if (record != NULL && record->queries > 0) {
            accounts_key key = accounts_key_at(from->accounts, slot);
            verdict_belief belief = verdict_believed(record);
            judge_restore_absent(to->judge, &key, &belief);
        }
    }
}

static void hand_down(void *context, const snapshot_state *from) {
    inheritance *i = context;
    i->from = from;
    service_visit(i->to, receive, i);
}

void inherit_beliefs(service *to, service *from) {
    service_visit(from, hand_down, &(inheritance){.to = to});
}
