/*
 * tls.c - see tls.h.
 */
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>

enum { FILE_BYTES_MAX = 1 << 20, HOST_MAX = 256, REASON_BYTES = 128 };

static const char scheme[] = "tls+tcp://";

bool tls_url(const char *url) {
    return url != NULL && strncmp(url, scheme, strlen(scheme)) == 0;
}

bool tls_given(const tls_files *files) {
    return files->ca_file != NULL || files->cert_file != NULL || files->key_file != NULL ||
           files->server_name != NULL;
}

bool tls_check(const tls_files *files, const char *url, const char *prefix,
               char error[TLS_ERROR_BYTES]) {
    if (!tls_url(url)) {
        if (tls_given(files)) {
            snprintf(
                error, TLS_ERROR_BYTES,
                "%sca, %scert, %skey: expected with tls+tcp://HOST:PORT alone, came with %.128s",
                prefix, prefix, prefix, url);
        }
        return !tls_given(files);
    }
    const char *missing = files->ca_file == NULL     ? "ca"
                          : files->cert_file == NULL ? "cert"
                          : files->key_file == NULL  ? "key"
                                                     : NULL;
    if (missing != NULL) {
        snprintf(error, TLS_ERROR_BYTES, "%s%s: needed for %.128s, came none", prefix, missing,
                 url);
    }
    return missing == NULL;
}

/* ---- files ---- */

/* A file's bytes and the NUL that mbedTLS wants after PEM text. */
typedef struct {
    char *text;
    size_t bytes; /* without the NUL */
} pem;

static void pem_close(pem *p) {
    if (p->text != NULL) {
        mbedtls_platform_zeroize(p->text, p->bytes); /* it may be a key */
    }
    free(p->text);
    *p = (pem){0};
}

static bool read_whole(int fd, pem *p) {
    size_t got = 0;
    while (got < p->bytes) {
        ssize_t n = read(fd, p->text + got, p->bytes - got);
        if (n <= 0) {
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

static bool pem_open(pem *p, const char *path, char error[TLS_ERROR_BYTES]) {
    struct stat facts;
    *p = (pem){0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a FIFO must not hold the start */
    if (fd < 0) {
        snprintf(error, TLS_ERROR_BYTES, "%s: %s", path, strerror(errno));
        return false;
    }
    bool fits = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0 &&
                facts.st_size <= FILE_BYTES_MAX;
    if (fits) {
        p->bytes = (size_t)facts.st_size;
        p->text = calloc(1, p->bytes + 1);
        fits = p->text != NULL && read_whole(fd, p);
    }
    close(fd);
    if (!fits) {
        pem_close(p);
        snprintf(error, TLS_ERROR_BYTES, "%s: expected a PEM file of at most %d bytes", path,
                 FILE_BYTES_MAX);
    }
    return fits;
}

static bool refuse(const char *path, const char *expected, int code, char error[TLS_ERROR_BYTES]) {
    char reason[REASON_BYTES] = "some of them cannot be read";
    if (code < 0) {
        mbedtls_strerror(code, reason, sizeof reason);
    }
    snprintf(error, TLS_ERROR_BYTES, "%s: expected %s in PEM form: %s", path, expected, reason);
    return false;
}

/* ---- what is in them ---- */

static bool check_authority(const pem *p, const char *path, char error[TLS_ERROR_BYTES]) {
    mbedtls_x509_crt certificates;
    mbedtls_x509_crt_init(&certificates);
    int code = mbedtls_x509_crt_parse(&certificates, (const unsigned char *)p->text, p->bytes + 1);
    mbedtls_x509_crt_free(&certificates);
    return code == 0 || refuse(path, "certificates", code, error);
}

/* NNG would serve with a key that is another certificate's, and every handshake would fail. */
static bool check_pair(const pem *cert, const pem *key, const tls_files *files,
                       char error[TLS_ERROR_BYTES]) {
    mbedtls_x509_crt certificates;
    mbedtls_pk_context secret;
    mbedtls_x509_crt_init(&certificates);
    mbedtls_pk_init(&secret);
    bool fine = true;
    int code =
        mbedtls_x509_crt_parse(&certificates, (const unsigned char *)cert->text, cert->bytes + 1);
    if (code != 0) {
        fine = refuse(files->cert_file, "certificates", code, error);
    }
    if (fine && (code = mbedtls_pk_parse_key(&secret, (const unsigned char *)key->text,
                                             key->bytes + 1, NULL, 0)) != 0) {
        fine = refuse(files->key_file, "an unencrypted private key", code, error);
    }
    if (fine && mbedtls_pk_check_pair(&certificates.pk, &secret) != 0) {
        snprintf(error, TLS_ERROR_BYTES,
                 "%s: expected the key of the certificate in %s, came another", files->key_file,
                 files->cert_file);
        fine = false;
    }
    mbedtls_pk_free(&secret);
    mbedtls_x509_crt_free(&certificates);
    return fine;
}

/* The host between "tls+tcp://" and the port, without an IPv6 address's brackets. */
static void host_of(const char *url, char host[HOST_MAX]) {
    const char *first = url + strlen(scheme);
    const char *end = strrchr(first, ':');
    if (first[0] == '[') {
        first++;
        end = strchr(first, ']');
    }
    size_t length = end != NULL ? (size_t)(end - first) : strlen(first);
    snprintf(host, HOST_MAX, "%.*s", (int)(length < HOST_MAX ? length : HOST_MAX - 1), first);
}

static int configure(nng_tls_config *config, nng_tls_mode mode, const pem text[3],
                     const tls_files *files, const char *url) {
    char host[HOST_MAX] = "";
    int error;
    if ((error = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED)) != 0 ||
        (error = nng_tls_config_ca_chain(config, text[0].text, NULL)) != 0 ||
        (error = nng_tls_config_own_cert(config, text[1].text, text[2].text, NULL)) != 0 ||
        mode == NNG_TLS_MODE_SERVER) {
        return error;
    }
    if (files->server_name == NULL) {
        host_of(url, host);
    }
    return nng_tls_config_server_name(config,
                                      files->server_name != NULL ? files->server_name : host);
}

bool tls_open(nng_tls_config **config, nng_tls_mode mode, const tls_files *files, const char *url,
              char error[TLS_ERROR_BYTES]) {
    pem text[3] = {{0}};
    nng_tls_config *made = NULL;
    *config = NULL;
    bool fine = pem_open(&text[0], files->ca_file, error) &&
                pem_open(&text[1], files->cert_file, error) &&
                pem_open(&text[2], files->key_file, error) &&
                check_authority(&text[0], files->ca_file, error) &&
                check_pair(&text[1], &text[2], files, error);
    if (fine) {
        int code = nng_tls_config_alloc(&made, mode);
        code = code == 0 ? configure(made, mode, text, files, url) : code;
        if (code != 0) {
            snprintf(error, TLS_ERROR_BYTES, "tls: %s", nng_strerror(code));
            fine = false;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        pem_close(&text[i]);
    }
    if (fine) {
        *config = made;
    } else if (made != NULL) {
        nng_tls_config_free(made);
    }
    return fine;
}
