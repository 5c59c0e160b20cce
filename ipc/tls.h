/*
 * tls.h - the certificates of one side of a tls+tcp connection, read from PEM files and checked
 * before NNG is given them: NNG's own error says only that "cryptographic" went wrong. Internal to
 * the server and the client library.
 *
 * Both sides show a certificate and verify the other's: it must be signed by the authority in
 * ca_file, and the server's must bear the name that the client expects. TLS 1.2, by mbedTLS, as
 * Debian builds NNG 1.5.2.
 */
#ifndef ADDER_TLS_H
#define ADDER_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

/* Paths of PEM files; NULL: not given. */
typedef struct {
    const char *ca_file;     /* who signs the other side's certificates */
    const char *cert_file;   /* ours, and the chain above it */
    const char *key_file;    /* ours; not encrypted */
    const char *server_name; /* of a client: what the server's certificate must be for; NULL: the
                              * host in the URL */
} tls_files;

enum { TLS_ERROR_BYTES = 512 };

bool tls_url(const char *url); /* tls+tcp:// */
bool tls_given(const tls_files *files);
/* Whether these files and this url go together: all three with tls+tcp://, none else. prefix is how
 * the user knows the settings: "--tls-" for "--tls-ca". False: one line in error. */
bool tls_check(const tls_files *files, const char *url, const char *prefix,
               char error[TLS_ERROR_BYTES]);
/* Reads the files. The configuration is the caller's, to be freed with nng_tls_config_free; whoever
 * NNG gives it to holds it too. The url is a client's. False: one line in error. */
bool tls_open(nng_tls_config **config, nng_tls_mode mode, const tls_files *files, const char *url,
              char error[TLS_ERROR_BYTES]);

#endif
