/*
 * request.c - see request.h.
 */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool request_init(request *r, size_t rows_max, size_t classes) {
    r->scratch = wire_scratch_open(rows_max);
    r->explanation = calloc(1, sizeof *r->explanation);
    r->scores = calloc(rows_max, sizeof *r->scores);
    r->memory_scores = calloc(rows_max, sizeof *r->memory_scores);
    r->excess = calloc(rows_max, sizeof *r->excess);
    r->evidence = calloc(rows_max, sizeof *r->evidence);
    r->group_scores = calloc(rows_max, sizeof *r->group_scores);
    r->group_excess = calloc(rows_max, sizeof *r->group_excess);
    r->group_evidence = calloc(rows_max, sizeof *r->group_evidence);
    r->decisions = calloc(rows_max, sizeof *r->decisions);
    r->verdicts = calloc(rows_max, sizeof *r->verdicts);
    r->group_verdicts = calloc(rows_max, sizeof *r->group_verdicts);
    r->reasons = calloc(rows_max, sizeof *r->reasons);
    r->fill = calloc(rows_max, sizeof *r->fill);
    r->poison_rows = calloc(rows_max, sizeof *r->poison_rows);
    r->poison_labels = calloc(rows_max, sizeof *r->poison_labels);
    r->probabilities = calloc(classes, sizeof *r->probabilities);
    return r->scratch && r->explanation && r->scores && r->memory_scores && r->excess &&
           r->evidence && r->group_scores && r->group_excess && r->group_evidence && r->decisions &&
           r->verdicts && r->group_verdicts && r->reasons && r->fill && r->poison_rows &&
           r->poison_labels && r->probabilities;
}

size_t request_bytes(size_t rows_max, size_t classes) {
    const request *r = NULL;
    size_t row = sizeof *r->scores + sizeof *r->memory_scores + sizeof *r->excess +
                 sizeof *r->evidence + sizeof *r->group_scores + sizeof *r->group_excess +
                 sizeof *r->group_evidence + sizeof *r->decisions + sizeof *r->verdicts +
                 sizeof *r->group_verdicts + sizeof *r->reasons + sizeof *r->fill +
                 sizeof *r->poison_rows + sizeof *r->poison_labels;
    return rows_max * row + classes * sizeof *r->probabilities + sizeof *r->explanation;
}

void request_fini(request *r) {
    free(r->probabilities);
    free(r->poison_labels);
    free(r->poison_rows);
    free(r->fill);
    free(r->reasons);
    free(r->group_verdicts);
    free(r->verdicts);
    free(r->decisions);
    free(r->group_evidence);
    free(r->group_excess);
    free(r->group_scores);
    free(r->evidence);
    free(r->excess);
    free(r->memory_scores);
    free(r->scores);
    free(r->explanation);
    wire_scratch_close(r->scratch);
}

size_t request_engine_rows(const request *r) {
    size_t count = r->wire.rows;
    for (size_t i = 0; r->wire.groups != NULL && i < r->wire.rows; i++) {
        count += r->wire.groups[i].length > 0;
    }
    return count;
}

void request_refuse(request *r, wire_code code, const char *text) {
    r->code = code;
    snprintf(r->text, sizeof r->text, "%s", text);
}

void request_answer_row(request *r, size_t row, const answer_row *answer) {
    r->scores[row] = answer->account.score;
    r->excess[row] = answer->account.excess;
    r->evidence[row] = answer->account.evidence;
    r->group_scores[row] = answer->group.score;
    r->group_excess[row] = answer->group.excess;
    r->group_evidence[row] = answer->group.evidence;
    r->group_verdicts[row] = answer->group.verdict;
    r->memory_scores[row] = answer->memory_score;
    r->fill[row] = answer->fill;
    r->decisions[row] = answer->decision;
    r->verdicts[row] = answer->verdict;
    r->reasons[row] = answer->reason;
}

/* Of each name and how many rows in a row have it. */
static uint64_t digest_texts(uint64_t digest, const wire_text *texts, size_t count,
                             const unsigned char key[crypto_shorthash_KEYBYTES]) {
    uint64_t head[2] = {digest};
    unsigned char block[sizeof head + WIRE_ACCOUNT_BYTES_MAX];
    for (size_t i = 0; i < count;) {
        const wire_text *text = &texts[i];
        size_t first = i++;
        while (i < count && wire_name_repeats(texts, i)) {
            i++;
        }
        head[1] = i - first;
        memcpy(block, head, sizeof head);
        if (text->length > 0) { /* or they are rows without a group, of no bytes at all */
            memcpy(block + sizeof head, text->bytes, text->length);
        }
        crypto_shorthash((unsigned char *)&head[0], block, sizeof head + text->length, key);
    }
    return head[0];
}

uint64_t request_digest(const request *r, const unsigned char key[crypto_shorthash_KEYBYTES]) {
    const wire_request *wire = &r->wire;
    uint64_t begin = (uint64_t)wire->op << 34 | (uint64_t)wire->is_group << 33 |
                     (uint64_t)(wire->groups != NULL) << 32 | wire->rows;
    if (wire->op != WIRE_SCORE) {
        return digest_texts(begin, &wire->account, 1, key);
    }
    uint64_t classes = 0;
    uint64_t digest = digest_texts(begin, wire->accounts, wire->rows, key);
    digest = digest_texts(digest, wire->groups, wire->groups == NULL ? 0 : wire->rows, key);
    crypto_shorthash((unsigned char *)&classes, wire->classes, wire->rows * sizeof(uint32_t), key);
    return digest ^ classes;
}
