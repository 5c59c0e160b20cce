/*
 * config.h - adderd's settings: flags over what the reference says over defaults.
 */
#ifndef ADDER_CONFIG_H
#define ADDER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "lists.h"
#include "poison.h"
#include "reference.h"
#include "tls.h"
#include "wire.h"

/* NULL and CONFIG_UNSET: not given. */
#define CONFIG_UNSET ((size_t)-1)

typedef struct {
    const char *reference;
    const char *listen;
    tls_files tls;
    const char *ipc_mode; /* octal */
    bool tf32;
    const char *engine;
    const char *secret_file;
    const char *admin; /* [HOST:]PORT */
    const char *admin_token_file;
    size_t window_rows;
    size_t memory_rank;
    double half_life_rows; /* negative: not given */
    bool has_threshold;
    double threshold;
    bool decisions_only;
    size_t fill_min;
    size_t accounts_max;
    size_t rows_max;
    size_t queue_rows_max;
    size_t contexts;
    size_t connections_max;
    size_t connection_requests_max; /* 0: half of the contexts */
    size_t threads;
    wire_mode mode;
    wire_action action;
    size_t release_after;
    const char *snapshot; /* file; NULL: none */
    size_t snapshot_every_s;
    const char *allow; /* files of names; NULL: none */
    const char *deny;
    const char *allow_groups;
    const char *deny_groups;
    bool hard_label;
    poison_kind poison;
} config;

/* Reads the command line; prints what is wrong and exits 2, or --help and exits 0, as argp does. */
void config_parse(config *config, int argc, char **argv);
/* Fills in what was not given, from the reference. */
void config_complete(config *config, const reference *reference);
/* Reads the files of names; *lists is NULL where there are none. */
bool config_read_lists(const config *config, lists **lists, char *error, size_t error_bytes);
/* Reads --secret-file: exactly POISON_SECRET_BYTES bytes. */
bool config_read_secret(const char *path, unsigned char secret[POISON_SECRET_BYTES], char *error,
                        size_t error_bytes);

#endif
