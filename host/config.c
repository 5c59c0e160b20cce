/*
 * config.c - from flags, environment and file to a config: every setting's text is chosen, then
 * checked, then put in its place.
 */
#include "config.h"

#include <argp.h>
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config_file.h"
#include "keeper.h"
#include "private_file.h"
#include "service.h"
#include "verdict.h"

enum {
    ACCOUNTS_DEFAULT = 16384,
    CONTEXTS_DEFAULT = 256,
    CONNECTIONS_DEFAULT = 4096,
    QUEUE_ROWS_DEFAULT = 8 * SERVICE_ROWS_DEFAULT,
    VARIABLE_BYTES = 64,
};

struct config_origin {
    char *path; /* of the file; NULL: none */
    config_document document;
};

/* ---- the command line ---- */

enum { KEY_CONFIG = 'c', KEY_CHECK = 900, KEY_PRINT, KEY_SETTING = 1000 };

static int key_of(size_t i) {
    return settings[i].letter != 0 ? settings[i].letter : KEY_SETTING + (int)i;
}

static size_t setting_of(int key) {
    size_t i = 0;
    while (i < SETTINGS && key_of(i) != key) {
        i++;
    }
    return i;
}

/* As config_load will find it. */
static const char *variable(const setting *s, char name[VARIABLE_BYTES]) {
    snprintf(name, VARIABLE_BYTES, "ADDER_%s", s->name);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
    return getenv(name);
}

static void parse_setting(config_flags *flags, size_t i, const char *text,
                          struct argp_state *state) {
    union {
        config house;
        config_model model;
    } *nowhere = calloc(1, sizeof *nowhere);
    char error[256];
    if (nowhere == NULL || !setting_put(&settings[i], text, nowhere, error, sizeof error)) {
        argp_error(state, "--%s: %s", settings[i].name, nowhere != NULL ? error : "out of memory");
    }
    free(nowhere);
    flags->text[i] = text;
}

/* Without a file nothing else can say these two. */
static void parse_end(const config_flags *flags, struct argp_state *state) {
    static const char *const needed[] = {"reference", "listen"};
    for (size_t n = 0; flags->file == NULL && n < 2; n++) {
        char name[VARIABLE_BYTES];
        size_t i = setting_find(needed[n], strlen(needed[n]));
        if (flags->text[i] == NULL && variable(&settings[i], name) == NULL) {
            argp_error(state, "--%s is needed, or a --config that says it", needed[n]);
        }
    }
}

static error_t parse_option(int key, char *value, struct argp_state *state) {
    config_flags *flags = state->input;
    size_t i = setting_of(key);
    if (i < SETTINGS) {
        parse_setting(flags, i, settings[i].kind == SETTING_SWITCH ? "true" : value, state);
        return 0;
    }
    switch (key) {
    case KEY_CONFIG:
        flags->file = value;
        break;
    case KEY_CHECK:
        flags->task = CONFIG_CHECK;
        break;
    case KEY_PRINT:
        flags->task = CONFIG_PRINT;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", value);
        break;
    case ARGP_KEY_END:
        parse_end(flags, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void config_parse(config_flags *flags, int argc, char **argv) {
    static const struct argp_option first[] = {
        {"config", KEY_CONFIG, "FILE", 0, "YAML: any of these settings, and several models", 1},
        {"check-config", KEY_CHECK, NULL, 0,
         "read everything that the settings name, say what is wrong, and end", 7},
        {"print-config", KEY_PRINT, NULL, 0, "print the settings in force as YAML, and end", 7},
    };
    enum { FIRST = sizeof first / sizeof *first };
    struct argp_option options[FIRST + SETTINGS + 1] = {0};
    memcpy(options, first, sizeof first);
    for (size_t i = 0; i < SETTINGS; i++) {
        const setting *s = &settings[i];
        options[FIRST + i] =
            (struct argp_option){s->name, key_of(i), s->value, 0, s->help, s->chapter};
    }
    const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .doc = "Serve scores, decisions and poison over NNG request/reply.\v"
               "Flags override the environment (--max-rows: ADDER_MAX_ROWS), that overrides the "
               "file, and that what the reference says. SIGHUP reads file, references and lists "
               "anew. Without calibration, and without a threshold, every decision is allow.",
    };
    *flags = (config_flags){.file = getenv("ADDER_CONFIG")};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, flags);
}

/* ---- the choice of every setting's text ---- */

/* NULL text: nothing is done. False: no memory. */
static bool overrule(config_text *at, const char *text, config_by by, size_t line) {
    if (text == NULL) {
        return true;
    }
    free(at->text);
    *at = (config_text){.text = strdup(text), .by = by, .line = line};
    return at->text != NULL;
}

/* Of a setting of models, in all of them. */
static bool overrule_all(config_document *d, size_t i, const char *text, config_by by) {
    bool good = true;
    if (!settings[i].of_model) {
        return overrule(&d->house[i], text, by, 0);
    }
    for (size_t m = 0; good && m < d->models; m++) {
        good = overrule(&d->model[m][i], text, by, 0);
    }
    return good;
}

/* What stands beside the models becomes theirs, where they say nothing else. */
static bool hand_down(config_document *d) {
    bool good = true;
    d->models = d->models == 0 ? 1 : d->models;
    for (size_t i = 0; i < SETTINGS; i++) {
        config_text *from = &d->house[i];
        if (!settings[i].of_model) {
            continue;
        }
        for (size_t m = 0; good && m < d->models; m++) {
            if (d->model[m][i].text == NULL) {
                good = overrule(&d->model[m][i], from->text, from->by, from->line);
            }
        }
        free(from->text);
        *from = (config_text){0};
    }
    return good;
}

static bool choose_texts(config_document *d, const config_flags *flags) {
    char name[VARIABLE_BYTES];
    bool good = hand_down(d);
    for (size_t i = 0; good && i < SETTINGS; i++) {
        good = overrule_all(d, i, variable(&settings[i], name), CONFIG_BY_VARIABLE) &&
               overrule_all(d, i, flags->text[i], CONFIG_BY_FLAG);
    }
    return good;
}

/* ---- loading ---- */

static const config_text *text_of(const config *c, size_t model, size_t i) {
    const config_document *d = &c->origin->document;
    return settings[i].of_model ? &d->model[model][i] : &d->house[i];
}

void config_blame(const config *c, size_t model, const char *name, char *error,
                  size_t error_bytes) {
    size_t i = setting_find(name, strlen(name));
    assert(i < SETTINGS);
    const config_text *text = text_of(c, model, i);
    char variable_name[VARIABLE_BYTES], where[SETTING_TEXT_BYTES_MAX];
    switch (text->by) {
    case CONFIG_BY_FILE:
        snprintf(where, sizeof where, "%s:%zu: %s: ", c->origin->path, text->line, name);
        break;
    case CONFIG_BY_VARIABLE:
        variable(&settings[i], variable_name);
        snprintf(where, sizeof where, "%s: ", variable_name);
        break;
    default:
        snprintf(where, sizeof where, "--%s: ", name);
        break;
    }
    size_t before = strlen(where), after = strlen(error);
    if (before >= error_bytes) {
        return;
    }
    if (before + after >= error_bytes) {
        after = error_bytes - before - 1;
    }
    memmove(error + before, error, after);
    memcpy(error, where, before);
    error[before + after] = '\0';
}

static const config_model model_defaults = {
    .window_rows = CONFIG_UNSET,
    .memory_rank = CONFIG_UNSET,
    .fill_min = CONFIG_UNSET,
    .half_life_rows = CONFIG_UNSET_NUMBER,
    .threshold = CONFIG_UNSET_NUMBER,
    .release_after = VERDICT_RELEASE_DEFAULT,
    .accounts_max = CONFIG_UNSET,
};

static const config house_defaults = {
    .engine = "auto",
    .snapshot_every_s = KEEPER_EVERY_S_DEFAULT,
    .rows_max = SERVICE_ROWS_DEFAULT,
    .queue_rows_max = QUEUE_ROWS_DEFAULT,
    .contexts = CONTEXTS_DEFAULT,
    .connections_max = CONNECTIONS_DEFAULT,
    .log_level = LOG_INFO,
    .audit_per_s = LOG_AUDIT_RATE_DEFAULT,
};

static bool put_values(config *c, char *error, size_t error_bytes) {
    c->models = c->origin->document.models;
    for (size_t m = 0; m < c->models; m++) {
        c->model[m] = model_defaults;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        for (size_t m = 0; m < (settings[i].of_model ? c->models : 1); m++) {
            void *to = settings[i].of_model ? (void *)&c->model[m] : (void *)c;
            const char *text = text_of(c, m, i)->text;
            if (text != NULL && !setting_put(&settings[i], text, to, error, error_bytes)) {
                config_blame(c, m, settings[i].name, error, error_bytes);
                return false;
            }
        }
    }
    return true;
}

/* A keeper has more than one name beside its file (keeper.h). */
static bool is_name_of(const char *file, const char *snapshot) {
    static const char *const beside[] = {"", ".1", ".tmp", ".lock"};
    size_t length = strlen(snapshot), i = 0;
    if (strncmp(file, snapshot, length) != 0) {
        return false;
    }
    while (i < sizeof beside / sizeof *beside && strcmp(file + length, beside[i]) != 0) {
        i++;
    }
    return i < sizeof beside / sizeof *beside;
}

static bool clash(const char *one, const char *other) {
    return one != NULL && other != NULL && (is_name_of(one, other) || is_name_of(other, one));
}

/* What needs what. */
static bool check_together(const config *c, char *error, size_t error_bytes) {
    if (c->listen == NULL) {
        snprintf(error, error_bytes, "listen: needed, came none");
        return false;
    }
    if (c->admin_token_file != NULL && c->admin == NULL) {
        snprintf(error, error_bytes, "expected admin, whose token it is");
        config_blame(c, 0, "admin-token-file", error, error_bytes);
        return false;
    }
    if (c->log_key_file != NULL && c->log_names == 0) {
        snprintf(error, error_bytes, "expected log-account-names hashed");
        config_blame(c, 0, "log-key-file", error, error_bytes);
        return false;
    }
    for (size_t m = 0; m < c->models; m++) {
        if (c->model[m].reference == NULL) {
            snprintf(error, error_bytes, "reference: needed by model %zu of %zu, came none", m + 1,
                     c->models);
            return false;
        }
        for (size_t before = 0; before < m; before++) {
            if (clash(c->model[before].snapshot, c->model[m].snapshot)) {
                snprintf(error, error_bytes, "expected a file for each model");
                config_blame(c, m, "snapshot", error, error_bytes);
                return false;
            }
        }
    }
    return true;
}

static bool load(config *c, const config_flags *flags, char *error, size_t error_bytes) {
    config_document *d = &c->origin->document;
    if (flags->file != NULL && !config_file_read(d, flags->file, error, error_bytes)) {
        return false;
    }
    if (!choose_texts(d, flags)) {
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    return put_values(c, error, error_bytes) && check_together(c, error, error_bytes);
}

bool config_load(config **out, const config_flags *flags, char *error, size_t error_bytes) {
    *out = NULL;
    config *c = malloc(sizeof *c);
    config_origin *origin = calloc(1, sizeof *origin);
    if (c == NULL || origin == NULL) {
        snprintf(error, error_bytes, "out of memory");
        free(origin);
        free(c);
        return false;
    }
    *c = house_defaults;
    c->origin = origin;
    origin->path = flags->file == NULL ? NULL : strdup(flags->file);
    if (!load(c, flags, error, error_bytes)) {
        config_close(c);
        return false;
    }
    *out = c;
    return true;
}

void config_close(config *c) {
    if (c != NULL) {
        config_document_fini(&c->origin->document);
        free(c->origin->path);
        free(c->origin);
        free(c);
    }
}

bool config_print(const config *c, FILE *file) {
    return config_file_write(&c->origin->document, file);
}

/* ---- reloading ---- */

static bool same(const config *old, size_t old_model, const config *new, size_t new_model, size_t i,
                 char *error, size_t error_bytes) {
    const char *was = text_of(old, old_model, i)->text, *is = text_of(new, new_model, i)->text;
    if (was == is || (was != NULL && is != NULL && strcmp(was, is) == 0)) {
        return true;
    }
    snprintf(error, error_bytes, "cannot change while the daemon runs; restart it");
    config_blame(new, new_model, settings[i].name, error, error_bytes);
    return false;
}

bool config_same_house(const config *old, const config *new, char *error, size_t error_bytes) {
    for (size_t i = 0; i < SETTINGS; i++) {
        if (settings[i].restart && !settings[i].of_model &&
            !same(old, 0, new, 0, i, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

bool config_same_model(const config *old, size_t old_model, const config *new, size_t new_model,
                       char *error, size_t error_bytes) {
    for (size_t i = 0; i < SETTINGS; i++) {
        if (settings[i].restart && settings[i].of_model &&
            !same(old, old_model, new, new_model, i, error, error_bytes)) {
            return false;
        }
    }
    return true;
}

/* ---- what settings name ---- */

bool config_complete(config_model *c, const reference *reference) {
    if (c->window_rows == CONFIG_UNSET) {
        c->window_rows = reference->window_rows;
    }
    if (c->memory_rank == CONFIG_UNSET || c->decisions_only) {
        c->memory_rank = c->decisions_only ? 0 : reference->memory_rank;
    }
    if (c->half_life_rows < 0.0) {
        c->half_life_rows = reference->half_life_rows;
    }
    if (c->fill_min == CONFIG_UNSET || c->fill_min > c->window_rows) {
        c->fill_min = c->window_rows;
    }
    if (c->accounts_max == CONFIG_UNSET) {
        c->accounts_max = c->bytes_max > 0 ? ENGINE_SLOTS_MAX : ACCOUNTS_DEFAULT;
    }
    const reference_threshold *found = reference_find_threshold(reference, c->window_rows);
    bool evidence =
        reference->benign != NULL && reference->benign->evidence.window_rows == c->window_rows;
    if (c->threshold < 0.0 && !evidence && found != NULL) {
        c->threshold = found->threshold;
    }
    return !c->decisions_only || c->threshold >= 0.0;
}

bool config_read_lists(const config *c, size_t model, lists **out, char *error,
                       size_t error_bytes) {
    const config_model *m = &c->model[model];
    const struct {
        const char *setting;
        lists_file file;
    } named[] = {
        {"allow", {m->allow, false, POLICY_ALLOWED}},
        {"deny", {m->deny, false, POLICY_DENIED}},
        {"allow-groups", {m->allow_groups, true, POLICY_ALLOWED}},
        {"deny-groups", {m->deny_groups, true, POLICY_DENIED}},
    };
    *out = NULL;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (named[i].file.path == NULL) {
            continue;
        }
        if (*out == NULL && (*out = lists_open()) == NULL) {
            snprintf(error, error_bytes, "out of memory");
            return false;
        }
        if (!lists_load(*out, named[i].file, error, error_bytes)) {
            config_blame(c, model, named[i].setting, error, error_bytes);
            lists_close(*out);
            *out = NULL;
            return false;
        }
    }
    return true;
}

bool config_read_secret(const char *path, unsigned char secret[POISON_SECRET_BYTES], char *error,
                        size_t error_bytes) {
    private_file file;
    if (!private_file_read(&file, path, secret, POISON_SECRET_BYTES, error, error_bytes)) {
        return false;
    }
    if (file.count != POISON_SECRET_BYTES) {
        snprintf(error, error_bytes, "%s: expected a file of exactly %d bytes", path,
                 POISON_SECRET_BYTES);
        return false;
    }
    private_file_warn(&file, path, "secret");
    return true;
}
