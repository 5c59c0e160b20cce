/*
 * config_file.c - libcyaml with a schema made from the table of settings; libyaml for the lines,
 * which libcyaml tells of the value before (1.3.1: an unknown key is said to be where the last
 * known one was).
 */
#include "config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cyaml/cyaml.h>
#include <yaml.h>

/* ---- what libcyaml fills in ---- */

typedef struct {
    char *text[SETTINGS];
} yaml_model;

typedef struct {
    char *text[SETTINGS];
    yaml_model *model;
    uint32_t models;
} yaml_house;

typedef struct {
    cyaml_schema_field_t of_model[SETTINGS + 1];
    cyaml_schema_field_t of_house[SETTINGS + 2];
    cyaml_schema_value_t model, house;
} schema;

static cyaml_schema_field_t text_field(size_t i) {
    return (cyaml_schema_field_t){.key = settings[i].name,
                                  .data_offset = (uint32_t)(i * sizeof(char *)),
                                  .value = {.type = CYAML_STRING,
                                            .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                            .data_size = sizeof(char),
                                            .string = {0, SETTING_TEXT_BYTES_MAX}}};
}

static void schema_init(schema *s) {
    *s = (schema){.model = {.type = CYAML_MAPPING,
                            .data_size = sizeof(yaml_model),
                            .mapping.fields = s->of_model},
                  .house = {.type = CYAML_MAPPING,
                            .flags = CYAML_FLAG_POINTER,
                            .data_size = sizeof(yaml_house),
                            .mapping.fields = s->of_house}};
    size_t of_model = 0;
    for (size_t i = 0; i < SETTINGS; i++) {
        s->of_house[i] = text_field(i);
        if (settings[i].of_model) {
            s->of_model[of_model++] = text_field(i);
        }
    }
    s->of_house[SETTINGS] =
        (cyaml_schema_field_t){.key = "models",
                               .data_offset = offsetof(yaml_house, model),
                               .count_offset = offsetof(yaml_house, models),
                               .count_size = sizeof(uint32_t),
                               .value = {.type = CYAML_SEQUENCE,
                                         .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                         .data_size = sizeof(yaml_model),
                                         .sequence = {&s->model, 1, CONFIG_MODELS_MAX}}};
}

/* The first line of what libcyaml says is wrong; it also says where, less exactly. */
typedef struct {
    char text[128];
} complaint;

static void on_complaint(cyaml_log_t level, void *context, const char *format, va_list arguments) {
    complaint *c = context;
    char line[sizeof c->text];
    vsnprintf(line, sizeof line, format, arguments);
    if (level < CYAML_LOG_ERROR || c->text[0] != '\0' || strstr(line, "Backtrace") != NULL) {
        return;
    }
    static const char prefix[] = "Load: ";
    size_t skipped = strncmp(line, prefix, sizeof prefix - 1) == 0 ? sizeof prefix - 1 : 0;
    line[strcspn(line, "\n")] = '\0';
    snprintf(c->text, sizeof c->text, "%s", line + skipped);
    setting_shown(c->text);
}

static cyaml_config_t cyaml_of(complaint *c) {
    return (cyaml_config_t){.log_fn = on_complaint,
                            .log_ctx = c,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS | CYAML_CFG_STYLE_BLOCK};
}

/* ---- where things stand ---- */

/* A walk through the events of a file: in the mapping of the house, or in one of a model. */
typedef struct {
    yaml_parser_t parser;
    yaml_event_t event;
    config_document *document;
    size_t fault_line; /* of the first thing that the schema has no place for */
    const char *fault;
    size_t line;  /* of the last thing that was read */
    char key[48]; /* the name read last, fit to be shown */
} walk;

static bool walk_next(walk *w) {
    yaml_event_delete(&w->event);
    if (!yaml_parser_parse(&w->parser, &w->event)) {
        memset(&w->event, 0, sizeof w->event);
        w->fault_line = w->parser.problem_mark.line + 1;
        w->fault = w->parser.problem;
        return false;
    }
    w->line = w->event.start_mark.line + 1;
    return true;
}

static bool walk_fault(walk *w, const char *what) {
    w->fault_line = w->line;
    w->fault = what;
    return false;
}

static void keep_key(walk *w, const char *key) {
    snprintf(w->key, sizeof w->key, "%s: ", key);
    setting_shown(w->key);
}

static bool walk_mapping(walk *w, config_text *texts);

/* The list of models, after its key. */
static bool walk_models(walk *w) {
    config_document *d = w->document;
    if (!walk_next(w) || w->event.type != YAML_SEQUENCE_START_EVENT) {
        return w->fault != NULL ? false : walk_fault(w, "expected a list");
    }
    while (walk_next(w) && w->event.type != YAML_SEQUENCE_END_EVENT) {
        keep_key(w, "models");
        if (w->event.type != YAML_MAPPING_START_EVENT) {
            return walk_fault(w, "expected a list of mappings");
        }
        if (d->models == CONFIG_MODELS_MAX) {
            return walk_fault(w, "expected fewer of them");
        }
        if (!walk_mapping(w, d->model[d->models++])) {
            return false;
        }
    }
    return w->fault == NULL;
}

/* The value of a key, whose text libcyaml takes. */
static bool walk_value(walk *w, config_text *at, size_t line) {
    if (!walk_next(w)) {
        return false;
    }
    if (w->event.type != YAML_SCALAR_EVENT) {
        return walk_fault(w, "expected one value");
    }
    if (memchr(w->event.data.scalar.value, '\0', w->event.data.scalar.length) != NULL) {
        return walk_fault(w, "expected a text without NUL");
    }
    at->line = line;
    return true;
}

/* What follows the start of a mapping, to its end; of the house `texts` are the document's. */
static bool walk_mapping(walk *w, config_text *texts) {
    bool of_house = texts == w->document->house;
    while (walk_next(w) && w->event.type != YAML_MAPPING_END_EVENT) {
        if (w->event.type != YAML_SCALAR_EVENT) {
            return walk_fault(w, "expected the name of a setting");
        }
        const char *key = (const char *)w->event.data.scalar.value;
        keep_key(w, key);
        size_t length = w->event.data.scalar.length, line = w->line;
        if (of_house && length == strlen("models") && memcmp(key, "models", length) == 0) {
            if (w->document->models > 0) {
                return walk_fault(w, "came twice");
            }
            if (!walk_models(w)) {
                return false;
            }
            continue;
        }
        size_t i = setting_find(key, length);
        if (i == SETTINGS || (!of_house && !settings[i].of_model)) {
            return walk_fault(w, i == SETTINGS ? "there is no such setting"
                                               : "models share this setting: it belongs beside "
                                                 "models");
        }
        if (texts[i].line > 0) {
            return walk_fault(w, "came twice");
        }
        if (!walk_value(w, &texts[i], line)) {
            return false;
        }
    }
    return w->fault == NULL;
}

static bool walk_file(walk *w) {
    while (walk_next(w) && w->event.type != YAML_STREAM_END_EVENT) {
        switch (w->event.type) {
        case YAML_MAPPING_START_EVENT:
            if (!walk_mapping(w, w->document->house)) {
                return false;
            }
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (w->document->house[0].by == CONFIG_BY_FILE) {
                return walk_fault(w, "expected one document");
            }
            w->document->house[0].by = CONFIG_BY_FILE;
            break;
        default:
            return walk_fault(w, "expected settings, a name and a value a line");
        }
    }
    return w->fault == NULL;
}

static bool find_lines(config_document *document, const char *path, const unsigned char *bytes,
                       size_t count, char *error, size_t error_bytes) {
    walk w = {.document = document};
    if (!yaml_parser_initialize(&w.parser)) {
        snprintf(error, error_bytes, "%s: out of memory", path);
        return false;
    }
    yaml_parser_set_input_string(&w.parser, bytes, count);
    bool good = walk_file(&w);
    if (!good) {
        snprintf(error, error_bytes, "%s:%zu: %s%s", path, w.fault_line, w.key, w.fault);
    }
    yaml_event_delete(&w.event);
    yaml_parser_delete(&w.parser);
    document->house[0].by = CONFIG_BY_DEFAULT;
    return good;
}

/* ---- */

static void take_texts(config_text *to, char **from) {
    for (size_t i = 0; i < SETTINGS; i++) {
        if (from[i] != NULL) {
            to[i].text = from[i];
            to[i].by = CONFIG_BY_FILE;
            from[i] = NULL;
        }
    }
}

bool config_file_parse(config_document *document, const char *path, const unsigned char *bytes,
                       size_t count, char *error, size_t error_bytes) {
    if (!find_lines(document, path, bytes, count, error, error_bytes)) {
        return false;
    }
    schema schema;
    schema_init(&schema);
    complaint complaint = {""};
    cyaml_config_t cyaml = cyaml_of(&complaint);
    yaml_house *house = NULL;
    cyaml_err_t code =
        cyaml_load_data(bytes, count, &cyaml, &schema.house, (cyaml_data_t **)&house, NULL);
    if (code != CYAML_OK) {
        snprintf(error, error_bytes, "%s: %s", path,
                 complaint.text[0] != '\0' ? complaint.text : cyaml_strerror(code));
        return false;
    }
    if (house != NULL) { /* else the file says nothing */
        take_texts(document->house, house->text);
        for (size_t i = 0; i < house->models; i++) {
            take_texts(document->model[i], house->model[i].text);
        }
        document->models = house->models;
        cyaml_free(&cyaml, &schema.house, house, 0);
    }
    return true;
}

static FILE *open_plain(const char *path, char *error, size_t error_bytes) {
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold a reload */
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    if (file == NULL || fstat(fd, &facts) != 0) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(facts.st_mode)) {
        snprintf(error, error_bytes, "%s: expected a regular file", path);
    } else {
        return file;
    }
    if (file != NULL) {
        fclose(file);
    } else if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

bool config_file_read(config_document *document, const char *path, char *error,
                      size_t error_bytes) {
    FILE *file = open_plain(path, error, error_bytes);
    if (file == NULL) {
        return false;
    }
    unsigned char *bytes = malloc(CONFIG_FILE_BYTES_MAX + 1);
    size_t count = bytes != NULL ? fread(bytes, 1, CONFIG_FILE_BYTES_MAX + 1, file) : 0;
    bool good = false;
    if (bytes == NULL || ferror(file)) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(errno));
    } else if (count > CONFIG_FILE_BYTES_MAX) {
        snprintf(error, error_bytes, "%s: expected at most %d bytes", path, CONFIG_FILE_BYTES_MAX);
    } else {
        good = config_file_parse(document, path, bytes, count, error, error_bytes);
    }
    fclose(file);
    free(bytes);
    return good;
}

bool config_file_write(const config_document *document, FILE *file) {
    yaml_model *model = calloc(document->models, sizeof *model);
    yaml_house house = {.model = model, .models = (uint32_t)document->models};
    if (model == NULL) {
        return false;
    }
    for (size_t i = 0; i < SETTINGS; i++) {
        house.text[i] = document->house[i].text;
        for (size_t m = 0; m < document->models; m++) {
            model[m].text[i] = document->model[m][i].text;
        }
    }
    schema schema;
    schema_init(&schema);
    complaint complaint = {""};
    cyaml_config_t cyaml = cyaml_of(&complaint);
    char *text = NULL;
    size_t length = 0;
    bool good = cyaml_save_data(&text, &length, &cyaml, &schema.house, &house, 0) == CYAML_OK &&
                fwrite(text, 1, length, file) == length && fflush(file) == 0;
    free(text);
    free(model);
    return good;
}

void config_document_fini(config_document *document) {
    for (size_t i = 0; i < SETTINGS; i++) {
        free(document->house[i].text);
        for (size_t m = 0; m < CONFIG_MODELS_MAX; m++) {
            free(document->model[m][i].text);
        }
    }
}
