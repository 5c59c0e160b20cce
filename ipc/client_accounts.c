/*
 * client_accounts.c - what can be asked about one account or group: forget and explain.
 */
#include "client_parts.h"

#include <assert.h>
#include <stdlib.h>

static_assert(ADDER_EXPLAIN_CLASSES_MAX == (int)WIRE_EXPLAIN_CLASSES_MAX &&
                  ADDER_EXPLAIN_HISTORY_MAX == (int)WIRE_EXPLAIN_HISTORY_MAX,
              "one limit, two names");

static adder_status forget(adder_client *client, const char *name, bool is_group, bool *known,
                           adder_error *error) {
    if (client == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client: needed, came NULL");
    }
    adder_status status = client_check_name(name, is_group ? "groups" : "accounts", 0, error);
    if (status != ADDER_OK) {
        return status;
    }
    client_exchange x = {
        .request = {.op = WIRE_FORGET,
                    .identified = true,
                    .client = client->id,
                    .seq = atomic_fetch_add(&client->seq, 1),
                    .account = name,
                    .is_group = is_group},
        .deadline = client_deadline(client),
        .message_bytes_max = UINT64_MAX,
    };
    status = client_ask(client, &x, error);
    nng_msg_free(x.message);
    if (status == ADDER_OK) {
        client_guard_forget(client->guard, name, is_group);
    }
    if (status == ADDER_OK && known != NULL) {
        *known = x.reply.known;
    }
    return status;
}

adder_status adder_forget(adder_client *client, const char *account, bool *known,
                          adder_error *error) {
    return forget(client, account, false, known, error);
}

adder_status adder_forget_group(adder_client *client, const char *group, bool *known,
                                adder_error *error) {
    return forget(client, group, true, known, error);
}

static adder_explained_class class_of(const wire_explained_class *from) {
    return (adder_explained_class){
        .class_id = from->class_id,
        .n = from->n,
        .contribution = from->contribution,
        .d2 = from->d2,
        .mean_part = from->mean_part,
        .covariance_part = from->covariance_part,
        .benign_mean = from->benign_mean,
        .benign_sd = from->benign_sd,
        .excess = from->excess,
    };
}

static adder_explained_window window_of(const wire_explained_window *from) {
    return (adder_explained_window){
        .query = from->query,
        .score = from->score,
        .excess = from->excess,
        .evidence = from->evidence,
        .verdict = (adder_verdict)from->verdict,
    };
}

/* All but the two arrays. */
static void copy_facts(adder_explanation *to, const wire_explanation *from) {
    *to = (adder_explanation){
        .is_group = from->is_group,
        .verdict = (adder_verdict)from->verdict,
        .reason = (adder_reason)from->reason,
        .score = from->score,
        .excess = from->excess,
        .memory_score = from->memory_score,
        .memory_excess = from->memory_excess,
        .fill = from->fill,
        .window = from->window,
        .queries = from->queries,
        .first_flagged_at = from->first_flagged_at,
        .flagged_at = from->flagged_at,
        .clean_run = from->clean_run,
        .release_after = from->release_after,
        .evidence = from->evidence,
        .evidence_rows = from->evidence_rows,
        .evidence_window = from->evidence_window,
        .evidence_memory = from->evidence_memory,
        .threshold = from->threshold,
        .window_threshold = from->window_threshold,
        .classes = from->classes,
        .windows = from->windows,
    };
}

static adder_explanation *explanation_open(const wire_explanation *from) {
    adder_explanation *to = malloc(sizeof *to);
    if (to == NULL) {
        return NULL;
    }
    copy_facts(to, from);
    for (size_t i = 0; i < from->classes; i++) {
        to->by_class[i] = class_of(&from->by_class[i]);
    }
    for (size_t i = 0; i < from->windows; i++) {
        to->history[i] = window_of(&from->history[i]);
    }
    return to;
}

adder_status adder_explain(adder_client *client, const char *name, bool is_group,
                           adder_explanation **explanation, adder_error *error) {
    if (client == NULL || explanation == NULL) {
        return client_fail(error, ADDER_BAD_REQUEST, "client and explanation: needed, came NULL");
    }
    *explanation = NULL;
    adder_status status = client_check_name(name, is_group ? "groups" : "accounts", 0, error);
    if (status != ADDER_OK) {
        return status;
    }
    wire_explanation came;
    client_exchange x = {
        .request = {.op = WIRE_EXPLAIN, .account = name, .is_group = is_group},
        .deadline = client_deadline(client),
        .message_bytes_max = UINT64_MAX,
        .explanation = &came,
    };
    status = client_ask(client, &x, error);
    nng_msg_free(x.message);
    if (status == ADDER_OK && x.reply.known) {
        *explanation = explanation_open(&came);
        if (*explanation == NULL) {
            return client_fail(error, ADDER_NO_MEMORY, "no memory for an explanation");
        }
    }
    return status;
}

void adder_explanation_free(adder_explanation *explanation) {
    free(explanation);
}
