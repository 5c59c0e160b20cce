/*
 * config.h - adderd's settings: flags over the environment over a YAML file over what the
 * reference says over defaults.
 *
 *     listen: ipc:///run/adder.sock
 *     admin: 9464
 *     mode: shadow                      of every model, unless it says otherwise
 *     models:
 *       - reference: /var/lib/adder/animals
 *       - reference: /var/lib/adder/faces
 *         mode: enforce
 *
 * Without `models` there is one, whose settings stand beside the others. A model's own setting is
 * over those beside `models`, and a flag or a variable over both.
 *
 * Errors: one line that begins with where the fault is: "FILE:LINE: NAME: ", "ADDER_NAME: " or
 * "--name: ". Threads: one at a time; a config is not changed once it is loaded.
 */
#ifndef ADDER_CONFIG_H
#define ADDER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "lists.h"
#include "log.h"
#include "poison.h"
#include "reference.h"
#include "settings.h"
#include "tls.h"
#include "wire.h"

/* A count or a number that was not given. */
#define CONFIG_UNSET ((size_t)-1)
#define CONFIG_UNSET_NUMBER (-1.0)

enum { CONFIG_MODELS_MAX = WIRE_MODELS_MAX, CONFIG_FILE_BYTES_MAX = 1 << 20 };

/* Where its values came from. */
typedef struct config_origin config_origin;

/* Texts are NULL where they were not given, and live as long as the config. */
typedef struct {
    const char *reference; /* directory */
    size_t window_rows;
    size_t memory_rank;
    double half_life_rows;
    double threshold;
    bool decisions_only;
    size_t fill_min;
    size_t accounts_max; /* once complete: without max-bytes a default */
    size_t bytes_max;    /* 0: no limit */
    wire_mode mode;
    wire_action action;
    size_t release_after;
    const char *allow; /* files of names */
    const char *deny;
    const char *allow_groups;
    const char *deny_groups;
    int output; /* 1: poison with labels */
    poison_kind poison;
    const char *snapshot; /* file */
} config_model;

typedef struct {
    const char *listen;
    tls_files tls;
    const char *ipc_mode; /* octal */
    const char *engine;
    bool tf32;
    size_t threads;
    const char *secret_file;
    const char *admin; /* [HOST:]PORT */
    const char *admin_token_file;
    log_format log_format;
    log_level log_level;
    size_t audit_per_s;
    int log_names;            /* 1: hashed */
    const char *log_key_file; /* NULL: a random key */
    size_t rows_max;
    size_t queue_rows_max;
    size_t contexts;
    size_t connections_max;
    size_t connection_requests_max; /* 0: half of the contexts */
    size_t snapshot_every_s;
    size_t models;
    config_model model[CONFIG_MODELS_MAX];
    config_origin *origin;
} config;

/* What the command line asks for. */
typedef enum { CONFIG_SERVE, CONFIG_CHECK, CONFIG_PRINT } config_task;
typedef struct {
    config_task task;
    const char *file;           /* --config, else ADDER_CONFIG; NULL: none */
    const char *text[SETTINGS]; /* of flags; NULL: not given */
} config_flags;
/* Reads the command line; prints what is wrong and exits 2, or --help and exits 0, as argp does. */
void config_parse(config_flags *flags, int argc, char **argv);

/* Reads the file and the environment anew, so that it serves a reload too. */
bool config_load(config **out, const config_flags *flags, char *error, size_t error_bytes);
void config_close(config *config); /* NULL is allowed */
/* What is in force, as YAML that config_load takes. False: it could not be written. */
bool config_print(const config *config, FILE *file);

/* Puts before an error that is about a setting where its value came from. `model` is a place among
 * the models, and without meaning for the others. */
void config_blame(const config *config, size_t model, const char *name, char *error,
                  size_t error_bytes);
/* Whether everything that only a restart can change is the same; else error names the first that
 * is not, and where. Models are compared by models.c, which knows their names. */
bool config_same_house(const config *old, const config *new, char *error, size_t error_bytes);
bool config_same_model(const config *old, size_t old_model, const config *new, size_t new_model,
                       char *error, size_t error_bytes);

/* Fills in what was not given of a model, from its reference. False: it is to decide without
 * scores, and there is no threshold. */
bool config_complete(config_model *model, const reference *reference);
/* Reads a model's files of names; *lists is NULL where there are none. */
bool config_read_lists(const config *config, size_t model, lists **lists, char *error,
                       size_t error_bytes);
/* Reads --secret-file: exactly POISON_SECRET_BYTES bytes. */
bool config_read_secret(const char *path, unsigned char secret[POISON_SECRET_BYTES], char *error,
                        size_t error_bytes);

#endif
