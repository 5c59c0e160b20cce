/*
 * connect.h - the flags by which every subcommand that asks the daemon says which it is and how
 * long to wait, whose model it means, and shows its certificate.
 */
#ifndef ADDER_CONNECT_H
#define ADDER_CONNECT_H

#include <argp.h>
#include <stddef.h>

#include "adder.h"

/* Zeroed until the flags are parsed. */
typedef struct {
    const char *url;
    size_t timeout_ms;
    const char *model;
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *server_name;
} connect_flags;

/* A parser's children; at ARGP_KEY_INIT it sets child_inputs[0] to its connect_flags. */
extern const struct argp_child connect_children[];

adder_options connect_options(const connect_flags *flags);

#endif
