/*
 * request.c - see request.h.
 */
#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool request_init(request *r, size_t rows_max, size_t classes) {
    r->scratch = wire_scratch_open(rows_max);
    r->scores = calloc(rows_max, sizeof *r->scores);
    r->memory_scores = calloc(rows_max, sizeof *r->memory_scores);
    r->decisions = calloc(rows_max, sizeof *r->decisions);
    r->fill = calloc(rows_max, sizeof *r->fill);
    r->poison_rows = calloc(rows_max, sizeof *r->poison_rows);
    r->poison_labels = calloc(rows_max, sizeof *r->poison_labels);
    r->probabilities = calloc(classes, sizeof *r->probabilities);
    return r->scratch && r->scores && r->memory_scores && r->decisions && r->fill &&
           r->poison_rows && r->poison_labels && r->probabilities;
}

void request_fini(request *r) {
    free(r->probabilities);
    free(r->poison_labels);
    free(r->poison_rows);
    free(r->fill);
    free(r->decisions);
    free(r->memory_scores);
    free(r->scores);
    wire_scratch_close(r->scratch);
}

void request_refuse(request *r, wire_code code, const char *text) {
    r->code = code;
    snprintf(r->text, sizeof r->text, "%s", text);
}

uint64_t request_digest(const request *r, const unsigned char key[crypto_shorthash_KEYBYTES]) {
    const wire_request *wire = &r->wire;
    bool forgets = wire->op == WIRE_FORGET;
    size_t texts = forgets ? 1 : wire->rows;
    uint64_t digest = (uint64_t)wire->op << 32 | wire->rows;
    uint64_t classes = 0;
    unsigned char block[sizeof digest + WIRE_ACCOUNT_BYTES_MAX];
    for (size_t i = 0; i < texts; i++) {
        const wire_text *account = forgets ? &wire->account : &wire->accounts[i];
        memcpy(block, &digest, sizeof digest);
        memcpy(block + sizeof digest, account->bytes, account->length);
        crypto_shorthash((unsigned char *)&digest, block, sizeof digest + account->length, key);
    }
    if (!forgets) {
        crypto_shorthash((unsigned char *)&classes, wire->classes, wire->rows * sizeof(uint32_t),
                         key);
    }
    return digest ^ classes;
}
