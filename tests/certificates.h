/*
 * certificates.h - authorities, certificates and keys as PEM files, made by openssl(1) for a test
 * and valid for a day. As child.h, this knows nothing of Criterion.
 */
#ifndef ADDER_TESTS_CERTIFICATES_H
#define ADDER_TESTS_CERTIFICATES_H

#include "child.h"

enum { CERTIFICATES_PATH_BYTES = CHILD_PATH_BYTES + 32 };

typedef struct {
    char cert[CERTIFICATES_PATH_BYTES];
    char key[CERTIFICATES_PATH_BYTES];
} certificate;

/* An authority called so; `folder`/name.pem and .key. */
certificate certificate_authority(const char *folder, const char *name);
/* A certificate for common_name, signed by the authority. */
certificate certificate_make(const char *folder, const certificate *authority, const char *name,
                             const char *common_name);

#endif
