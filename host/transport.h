/*
 * transport.h - what the daemon's address asks of the machine and of the operator, before it is
 * listened at: certificates, the mode of a socket's file, room for connections.
 */
#ifndef ADDER_TRANSPORT_H
#define ADDER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "tls.h"

typedef struct {
    const char *listen;
    tls_files tls;
    const char *ipc_mode; /* octal digits, NULL: not given */
    size_t connections_max;
} transport_options;

/* Whether the settings go together with the address. *ipc_mode: 0 where none was given. False: one
 * line in error. */
bool transport_check(const transport_options *options, int *ipc_mode, char *error,
                     size_t error_bytes);
/* Makes room for as many files as connections need, and warns where there is too little; also where
 * accounts and embeddings leave the machine unencrypted, and where others may read the key. */
void transport_prepare(const transport_options *options);
/* Whether the address can be reached from other machines, and nothing is encrypted there. */
bool transport_is_open(const char *url);

#endif
