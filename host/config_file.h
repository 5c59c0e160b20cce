/*
 * config_file.h - a YAML file's settings as texts, and where in it they stand; for config.c only.
 */
#ifndef ADDER_CONFIG_FILE_H
#define ADDER_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "config.h"

typedef enum { CONFIG_BY_DEFAULT, CONFIG_BY_FILE, CONFIG_BY_VARIABLE, CONFIG_BY_FLAG } config_by;

typedef struct {
    char *text; /* owned; NULL: not given */
    config_by by;
    size_t line; /* from 1; of a file */
} config_text;

/* Zeroed: of nothing. */
typedef struct {
    config_text house[SETTINGS];
    size_t models;
    config_text model[CONFIG_MODELS_MAX][SETTINGS];
} config_document;

void config_document_fini(config_document *document);

/* Into a zeroed document, which is to be freed also where it fails: no file, longer than
 * CONFIG_FILE_BYTES_MAX, not YAML, or not of the schema. */
bool config_file_read(config_document *document, const char *path, char *error, size_t error_bytes);
/* The same from bytes; `path` is for the error. */
bool config_file_parse(config_document *document, const char *path, const unsigned char *bytes,
                       size_t count, char *error, size_t error_bytes);
bool config_file_write(const config_document *document, FILE *file);

#endif
