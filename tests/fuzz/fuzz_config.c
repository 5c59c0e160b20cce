/*
 * fuzz_config.c - a configuration file. What is accepted is printed, and must load as the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fuzz.h"

enum { ERROR_BYTES = 512 };

/* The values that a file has come to, texts by what they say. */
static bool same_value(const setting *s, const void *a, const void *b) {
    const char *at = (const char *)a + s->at, *bt = (const char *)b + s->at;
    switch (s->kind) {
    case SETTING_TEXT: {
        const char *left = *(const char *const *)at, *right = *(const char *const *)bt;
        return left == right || (left != NULL && right != NULL && strcmp(left, right) == 0);
    }
    case SETTING_COUNT:
        return memcmp(at, bt, sizeof(size_t)) == 0;
    case SETTING_NUMBER:
        return memcmp(at, bt, sizeof(double)) == 0;
    case SETTING_CHOICE:
        return memcmp(at, bt, sizeof(int)) == 0;
    default:
        return *at == *bt;
    }
}

static void expect_same(const config *a, const config *b) {
    FUZZ_EXPECT(a->models == b->models);
    for (size_t i = 0; i < SETTINGS; i++) {
        for (size_t m = 0; m < (settings[i].of_model ? a->models : 1); m++) {
            FUZZ_EXPECT(settings[i].of_model ? same_value(&settings[i], &a->model[m], &b->model[m])
                                             : same_value(&settings[i], a, b));
        }
    }
}

static void expect_counts(const config *c) {
    FUZZ_EXPECT(c->listen != NULL && c->models >= 1 && c->models <= CONFIG_MODELS_MAX);
    for (size_t m = 0; m < c->models; m++) {
        FUZZ_EXPECT(c->model[m].reference != NULL && c->model[m].reference[0] != '\0');
        FUZZ_EXPECT(c->model[m].mode <= WIRE_OFF && c->model[m].action <= WIRE_ACT_FLAG);
    }
}

static void expect_printed(const config *c) {
    static fuzz_file printed;
    char *text = NULL, error[ERROR_BYTES];
    size_t length = 0;
    config *again;
    FILE *out = open_memstream(&text, &length);
    FUZZ_EXPECT(out != NULL && config_print(c, out) && fclose(out) == 0);
    if (printed.path[0] == '\0') {
        fuzz_file_open(&printed);
    }
    fuzz_file_put(&printed, text, length);
    free(text);
    config_flags flags = {.file = printed.path};
    FUZZ_EXPECT(config_load(&again, &flags, error, sizeof error));
    expect_same(c, again);
    config_close(again);
}

bool fuzz_take(const unsigned char *bytes, size_t size) {
    static fuzz_file file;
    char error[ERROR_BYTES] = "";
    config *c;
    if (file.path[0] == '\0') {
        fuzz_file_open(&file);
    }
    fuzz_file_put(&file, bytes, size);
    config_flags flags = {.file = file.path};
    if (!config_load(&c, &flags, error, sizeof error)) {
        FUZZ_EXPECT(c == NULL && error[0] != '\0' && strchr(error, '\n') == NULL);
        return false;
    }
    expect_counts(c);
    expect_printed(c);
    config_close(c);
    return true;
}

void fuzz_seeds(void) {
    static const char *const seeds[] = {
        "listen: ipc:///x\nreference: r\n",
        "listen: ipc:///x\nmode: shadow\nmodels:\n  - reference: a\n  - reference: b\n"
        "    window: 32\n    threshold: 12.5\n",
        "{listen: 'tcp://0.0.0.0:1', reference: \"a \\u00e4\", tf32: true, max-rows: 7,\n"
        " output: hard, poison: random, half-life: 1e3, deny: d, snapshot: s}\n",
        "# said\nlisten: >-\n  ipc:///x\nreference: |-\n  r\nadmin: '[::1]:1'\n"
        "admin-token-file: t\n",
    };
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i);
        fuzz_seed(name, seeds[i], strlen(seeds[i]));
    }
}
