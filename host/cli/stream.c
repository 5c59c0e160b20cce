/*
 * stream.c - see stream.h.
 */
#include "stream.h"

#include <stdlib.h>
#include <time.h>

#include "sampling.h"

bool stream_clock_open(stream_clock *clock, size_t capacity) {
    *clock = (stream_clock){.ms = calloc(capacity, sizeof *clock->ms), .capacity = capacity};
    return clock->ms != NULL;
}

void stream_clock_close(stream_clock *clock) {
    free(clock->ms);
    *clock = (stream_clock){0};
}

double stream_clock_quantile(stream_clock *clock, double share) {
    if (clock->count == 0) {
        return 0.0;
    }
    sampling_sort(clock->ms, clock->count);
    return sampling_upper(clock->ms, clock->count, 1.0 - share);
}

double stream_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void count_row(const stream *stream, const adder_reply *reply, size_t row,
                      stream_tally *tally) {
    double score = (double)reply->scores[row];
    tally->queries++;
    tally->score_last = score;
    if (reply->fill[row] >= stream->window_rows) {
        tally->score_sum += score;
        tally->scored++;
        tally->score_max = score > tally->score_max ? score : tally->score_max;
    }
    bool poisoned = reply->decisions[row] == ADDER_POISON;
    bool flagged = reply->verdicts != NULL ? reply->verdicts[row] == ADDER_FLAGGED : poisoned;
    tally->excess_sum += reply->excess != NULL ? (double)reply->excess[row] : 0.0;
    tally->poisoned += poisoned;
    if (flagged && tally->first_flagged == 0) {
        tally->first_flagged = tally->queries;
    }
}

adder_status stream_send(const stream *stream, size_t rows, const float *embeddings,
                         const uint32_t *classes, stream_tally *tally, adder_error *error) {
    const char *accounts[STREAM_ROWS_MAX];
    adder_reply *reply = NULL;
    for (size_t i = 0; i < rows; i++) {
        accounts[i] = stream->account;
    }
    double sent_ms = stream_now_ms();
    adder_status status = adder_score(stream->client,
                                      &(adder_rows){.count = rows,
                                                    .dim = stream->dim,
                                                    .accounts = accounts,
                                                    .classes = classes,
                                                    .embeddings = embeddings,
                                                    .want_poison = true},
                                      &reply, error);
    if (status != ADDER_OK) {
        return status;
    }
    if (stream->clock->count < stream->clock->capacity) {
        stream->clock->ms[stream->clock->count++] = stream_now_ms() - sent_ms;
    }
    for (size_t i = 0; i < rows; i++) {
        count_row(stream, reply, i, tally);
    }
    adder_reply_free(reply);
    return ADDER_OK;
}
