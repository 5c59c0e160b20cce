/* certificates.c - see certificates.h. */
#include "certificates.h"

#include <stdio.h>
#include <sys/stat.h>

static certificate paths(const char *folder, const char *name) {
    certificate c;
    snprintf(c.cert, sizeof c.cert, "%s/%s.pem", folder, name);
    snprintf(c.key, sizeof c.key, "%s/%s.key", folder, name);
    return c;
}

static void run(const char *folder, const char *const argv[]) {
    child_result result = child_run(folder, argv);
    if (result.status != 0) {
        child_fail("%s %s ended with status %d: %s", argv[0], argv[1], result.status, result.err);
    }
    child_result_free(&result);
}

#define NEW_KEY "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"
#define RUN(folder, ...) run(folder, (const char *const[]){OPENSSL_PATH, __VA_ARGS__, NULL})

certificate certificate_authority(const char *folder, const char *name) {
    char subject[64];
    certificate c = paths(folder, name);
    snprintf(subject, sizeof subject, "/CN=%s", name);
    RUN(folder, "req", "-x509", NEW_KEY, "-keyout", c.key, "-out", c.cert, "-days", "1", "-subj",
        subject);
    return c;
}

certificate certificate_make(const char *folder, const certificate *authority, const char *name,
                             const char *common_name) {
    char subject[64], request[CERTIFICATES_PATH_BYTES];
    certificate c = paths(folder, name);
    snprintf(subject, sizeof subject, "/CN=%s", common_name);
    snprintf(request, sizeof request, "%s/%s.csr", folder, name);
    RUN(folder, "req", "-new", NEW_KEY, "-keyout", c.key, "-out", request, "-subj", subject);
    RUN(folder, "x509", "-req", "-in", request, "-CA", authority->cert, "-CAkey", authority->key,
        "-CAcreateserial", "-out", c.cert, "-days", "1");
    chmod(c.key, 0600);
    return c;
}
