/*
 * snapshot.c - `adder snapshot verify FILE`.
 */
#include "snapshot.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

typedef struct {
    const char *what;
    const char *path;
} snapshot_options;

static error_t parse_option(int key, char *value, struct argp_state *state) {
    snapshot_options *o = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (o->path != NULL) {
            argp_error(state, "unexpected argument '%s'", value);
        }
        *(o->what == NULL ? &o->what : &o->path) = value;
        break;
    case ARGP_KEY_END:
        if (o->what == NULL || strcmp(o->what, "verify") != 0) {
            argp_error(state, "expected verify, came '%s'", o->what == NULL ? "" : o->what);
        }
        if (o->path == NULL) {
            argp_error(state, "a FILE is needed");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static void print_facts(const snapshot_facts *f) {
    char when[32] = "?";
    char hash[2 * SNAPSHOT_HASH_BYTES + 1];
    time_t saved = (time_t)f->saved_at_s;
    struct tm utc;
    if (gmtime_r(&saved, &utc) != NULL) {
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", &utc);
    }
    sodium_bin2hex(hash, sizeof hash, f->identity.reference, SNAPSHOT_HASH_BYTES);
    printf("written    %s, %" PRIu64 " bytes, checksum right\n", when, f->bytes);
    printf("model      %s (dim %" PRIu64 ", %" PRIu64 " classes, rank %" PRIu64 ")\n",
           f->identity.model, f->identity.dim, f->identity.classes, f->identity.rank);
    printf("reference  %s\n", hash);
    printf("window     %" PRIu64 "\n", f->identity.window_rows);
    printf("memory     rank %" PRIu64 ", half-life %g\n", f->identity.memory_rank,
           f->identity.half_life_rows);
    printf("accounts   %" PRIu64 ", %" PRIu64 " of them groups; %" PRIu64 " flagged\n", f->accounts,
           f->groups, f->flagged);
    printf("records    %" PRIu64 " of accounts that have lost their place; %" PRIu64 " flagged\n",
           f->records, f->records_flagged);
    printf("answers    %" PRIu64 " to requests of %" PRIu64 " rows\n", f->answers,
           f->answered_rows);
}

int cli_snapshot(int argc, char **argv) {
    static const struct argp argp = {
        .parser = parse_option,
        .args_doc = "verify FILE",
        .doc = "Check a file that adderd --snapshot wrote, and print what is in it.\v"
               "Windows and memories are checked by the daemon that restores them."};
    snapshot_options o = {0};
    snapshot *s;
    char error[CLI_ERROR_BYTES];
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!snapshot_open(&s, o.path, error, sizeof error)) {
        fprintf(stderr, "adder snapshot: %s\n", error);
        return CLI_EXIT_FAILURE;
    }
    snapshot_facts facts = snapshot_describe(s);
    print_facts(&facts);
    snapshot_close(s);
    return 0;
}
