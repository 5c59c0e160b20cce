/*
 * hash_name.c - `adder hash-name`: what an account is called in a log with hashed names.
 */
#include "name_hash.h"

#include <argp.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "cli.h"

typedef struct {
    const char *key_file;
    const char *name;
} hash_name_options;

static const struct argp_option options[] = {
    {"key-file", 'k', "FILE", 0, "The daemon's --log-key-file", 1},
    {0},
};

static error_t parse_option(int key, char *value, struct argp_state *state) {
    hash_name_options *o = state->input;
    switch (key) {
    case 'k':
        o->key_file = value;
        break;
    case ARGP_KEY_ARG:
        if (o->name != NULL) {
            argp_error(state, "unexpected argument '%s'", value);
        }
        o->name = value;
        break;
    case ARGP_KEY_END:
        if (o->key_file == NULL || o->name == NULL) {
            argp_error(state, "%s is needed", o->key_file == NULL ? "--key-file" : "a NAME");
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int cli_hash_name(int argc, char **argv) {
    static const struct argp argp = {
        .options = options,
        .parser = parse_option,
        .args_doc = "NAME",
        .doc = "Print what an account or a group is called in the log of an adderd with "
               "--log-account-names hashed and this key."};
    hash_name_options o = {0};
    unsigned char key[NAME_HASH_KEY_BYTES];
    char text[NAME_HASH_TEXT_BYTES];
    char error[CLI_ERROR_BYTES];
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!name_hash_read_key(o.key_file, key, NULL, error, sizeof error)) {
        fprintf(stderr, "adder hash-name: %s\n", error);
        return CLI_EXIT_FAILURE;
    }
    name_hash(text, o.name, strlen(o.name), key);
    sodium_memzero(key, sizeof key);
    printf("%s\n", text);
    return 0;
}
