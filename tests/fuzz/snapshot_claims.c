/*
 * snapshot_claims.c - see snapshot_claims.h.
 */
#include "snapshot_claims.h"

#include <string.h>

#include "fuzz.h"
#include "snapshot_parts.h"

enum { GONE_MAX = 1024 };

/* Whom the file knows and the state has no place for, each once, as the file says last. */
typedef struct {
    snapshot_record record[GONE_MAX];
    size_t count;
    size_t flagged;
    bool twice;    /* some key came again */
    bool too_many; /* to say anything of them */
} gone;

void expect_facts(const snapshot *from, size_t bytes) {
    snapshot_facts facts = snapshot_describe(from);
    FUZZ_EXPECT(facts.version == 1 || facts.version == 2);
    FUZZ_EXPECT(facts.bytes == bytes && facts.groups <= facts.accounts);
    FUZZ_EXPECT(facts.flagged <= facts.accounts && facts.answered_rows >= facts.answers);
    FUZZ_EXPECT(facts.records_flagged <= facts.records);
    FUZZ_EXPECT(facts.version > 1 || facts.records == 0);
    FUZZ_EXPECT(strnlen(facts.identity.model, sizeof facts.identity.model) <=
                REFERENCE_MODEL_BYTES_MAX);
}

void expect_empty(const stage *s) {
    uint64_t place = 0;
    FUZZ_EXPECT(accounts_held(s->state.accounts) == 0);
    FUZZ_EXPECT(records_held(judge_records(s->state.judge)) == 0);
    FUZZ_EXPECT(answers_next(s->state.answers, &place) == NULL);
}

/* ---- records ---- */

static snapshot_record *find(gone *g, const accounts_key *key) {
    for (size_t i = 0; i < g->count; i++) {
        if (memcmp(&g->record[i].key, key, sizeof *key) == 0) {
            return &g->record[i];
        }
    }
    return NULL;
}

static void add(gone *g, const snapshot_record *record) {
    snapshot_record *at = find(g, &record->key);
    g->twice = g->twice || at != NULL;
    g->too_many = g->too_many || g->count == GONE_MAX;
    if (g->too_many) {
        return;
    }
    at = at == NULL ? &g->record[g->count++] : at;
    *at = *record;
}

/* The file's records, then its first accounts, which found no place. */
static void gather(gone *g, const snapshot *from, const stage *s, size_t restored) {
    bytes_reader r = from->records;
    snapshot_record record;
    snapshot_account account;
    *g = (gone){.count = 0};
    for (uint64_t i = 0; i < from->facts.records; i++) {
        FUZZ_EXPECT(snapshot_read_record(&r, &record));
        add(g, &record);
    }
    r = from->accounts;
    for (uint64_t i = restored; i < from->facts.accounts; i++) {
        FUZZ_EXPECT(snapshot_read_account(&r, &account));
        if (account.has_verdict && account.verdict.queries > 0) {
            record = (snapshot_record){accounts_key_of(s->state.accounts, account.name),
                                       verdict_believed(&account.verdict)};
            add(g, &record);
        }
    }
    for (size_t i = 0; i < g->count; i++) {
        g->flagged += g->record[i].belief.verdict == WIRE_FLAGGED;
    }
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Neither the flagged nor all others keep less than half of the places where they would fill it;
 * one place is that of who comes. Of a key that comes again another may have gone in vain. */
static void expect_shares(const records *r, const gone *g) {
    size_t places = records_places(r), held = records_held(r);
    size_t flagged = records_held_of(r, RECORDS_FLAGGED);
    FUZZ_EXPECT(held == least(g->count, places));
    FUZZ_EXPECT(
        flagged + records_held_of(r, RECORDS_SUSPECT) + records_held_of(r, RECORDS_SLIGHT) == held);
    FUZZ_EXPECT(g->twice || flagged >= least(g->flagged, places / 2));
    FUZZ_EXPECT(g->twice || held - flagged >= least(g->count - g->flagged, places / 2 - 1));
}

static void expect_records(const records *r, gone *g) {
    size_t held = 0, flagged = 0;
    for (uint32_t i = records_next(r, RECORDS_NONE); i != RECORDS_NONE; i = records_next(r, i)) {
        unsigned char came[VERDICT_BELIEF_BYTES], is[VERDICT_BELIEF_BYTES];
        const snapshot_record *of_file = find(g, records_key(r, i));
        FUZZ_EXPECT(of_file != NULL && records_find(r, &of_file->key) == records_belief(r, i));
        verdict_encode_belief(&of_file->belief, came);
        verdict_encode_belief(records_belief(r, i), is);
        FUZZ_EXPECT(memcmp(came, is, sizeof is) == 0);
        flagged += of_file->belief.verdict == WIRE_FLAGGED;
        held++;
    }
    FUZZ_EXPECT(held == records_held(r) && flagged == records_held_of(r, RECORDS_FLAGGED));
    expect_shares(r, g);
}

void expect_restored(const snapshot *from, const stage *s, size_t restored) {
    static const unsigned char own[ACCOUNTS_SECRET_BYTES];
    static gone g;
    const unsigned char *secret = from->facts.version > 1 ? from->facts.accounts_secret : own;
    FUZZ_EXPECT(restored == accounts_held(s->state.accounts));
    FUZZ_EXPECT(restored <= from->facts.accounts && restored <= STAGE_PLACES);
    FUZZ_EXPECT(memcmp(accounts_secret(s->state.accounts), secret, sizeof own) == 0);
    gather(&g, from, s, restored);
    if (!g.too_many) {
        expect_records(judge_records(s->state.judge), &g);
    }
}
