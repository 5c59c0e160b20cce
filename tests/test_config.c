/*
 * test_config.c - a setting's value from file, environment and flags; which is over which; where a
 * fault is said to be; and that what is printed is what is in force.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "child.h"
#include "config.h"

enum { PATH_BYTES = CHILD_PATH_BYTES * 2, ERROR_BYTES = 1024 };

typedef struct {
    char folder[CHILD_PATH_BYTES];
    char path[PATH_BYTES];
    config_flags flags;
    char error[ERROR_BYTES];
} stage;

static void stage_open(stage *s) {
    *s = (stage){.error = ""};
    child_folder_make(s->folder);
    snprintf(s->path, sizeof s->path, "%s/adder.yaml", s->folder);
    s->flags.file = s->path;
}

static void stage_close(stage *s) {
    child_folder_remove(s->folder);
}

static void flag(stage *s, const char *name, const char *text) {
    size_t i = setting_find(name, strlen(name));
    cr_assert_lt(i, SETTINGS, "%s", name);
    s->flags.text[i] = text;
}

static config *load(stage *s, const char *yaml) {
    config *c;
    child_write(s->path, yaml, strlen(yaml));
    cr_assert(config_load(&c, &s->flags, s->error, sizeof s->error), "%s", s->error);
    return c;
}

/* The error is one line that begins with where (after the folder) and holds what. */
static void refused(stage *s, const void *yaml, size_t bytes, const char *where, const char *what) {
    config *c;
    child_write(s->path, yaml, bytes);
    cr_assert_not(config_load(&c, &s->flags, s->error, sizeof s->error), "%s", (const char *)yaml);
    cr_assert_null(c);
    const char *at = strncmp(s->error, s->folder, strlen(s->folder)) == 0
                         ? s->error + strlen(s->folder) + 1
                         : s->error;
    cr_assert(strncmp(at, where, strlen(where)) == 0, "%s: not at %s", s->error, where);
    cr_assert(strstr(at, what) != NULL, "%s: not about %s", s->error, what);
    cr_assert_null(strchr(s->error, '\n'));
}

#define BASE "listen: ipc:///run/x\nreference: ref\n"

Test(config, every_setting_of_the_table_is_found_by_its_name_and_has_a_home) {
    for (size_t i = 0; i < SETTINGS; i++) {
        cr_assert_eq(setting_find(settings[i].name, strlen(settings[i].name)), i);
        cr_assert_not_null(settings[i].help);
        cr_assert(settings[i].at < (settings[i].of_model ? sizeof(config_model) : sizeof(config)));
        for (size_t before = 0; before < i; before++) {
            cr_assert(settings[before].of_model != settings[i].of_model ||
                          settings[before].at != settings[i].at,
                      "%s and %s share a member", settings[before].name, settings[i].name);
        }
    }
    cr_assert_eq(setting_find("mod", 3), SETTINGS);
    cr_assert_eq(setting_find("modes", 5), SETTINGS);
}

Test(config, flags_are_over_the_environment_over_the_file_over_defaults) {
    stage s;
    stage_open(&s);
    setenv("ADDER_MAX_ROWS", "200", 1);
    setenv("ADDER_MODE", "off", 1);
    flag(&s, "max-rows", "300");
    config *c = load(&s, BASE "max-rows: 100\nmax-queue-rows: 100\nmode: shadow\n");
    cr_assert_eq(c->rows_max, 300);
    cr_assert_eq(c->model[0].mode, WIRE_OFF);
    cr_assert_eq(c->queue_rows_max, 100);
    cr_assert_eq(c->connections_max, 4096);
    config_close(c);
    unsetenv("ADDER_MAX_ROWS");
    unsetenv("ADDER_MODE");
    s.flags.text[setting_find("max-rows", 8)] = NULL;
    c = load(&s, BASE "max-rows: 100\nmode: shadow\n");
    cr_assert_eq(c->rows_max, 100);
    cr_assert_eq(c->model[0].mode, WIRE_SHADOW);
    config_close(c);
    stage_close(&s);
}

Test(config, a_model_s_own_setting_is_over_the_one_beside_models_and_a_flag_over_both) {
    static const char yaml[] = "listen: ipc:///run/x\nwindow: 8\nmode: shadow\nmodels:\n"
                               "  - reference: a\n  - reference: b\n    window: 32\n"
                               "    mode: enforce\n";
    stage s;
    stage_open(&s);
    config *c = load(&s, yaml);
    cr_assert_eq(c->models, 2);
    cr_assert(c->model[0].window_rows == 8 && c->model[1].window_rows == 32);
    cr_assert(c->model[0].mode == WIRE_SHADOW && c->model[1].mode == WIRE_ENFORCE);
    cr_assert_str_eq(c->model[1].reference, "b");
    config_close(c);
    flag(&s, "mode", "off");
    c = load(&s, yaml);
    cr_assert(c->model[0].mode == WIRE_OFF && c->model[1].mode == WIRE_OFF);
    config_close(c);
    stage_close(&s);
}

Test(config, values_of_every_kind_arrive) {
    stage s;
    stage_open(&s);
    config *c = load(&s, "{listen: 'tcp://0.0.0.0:1', reference: \"a b\", tf32: true, "
                         "threshold: 1e3, max-accounts: 1, output: hard, poison: random,\n"
                         "action: label_only, release-after: 0, threads: 0, deny: d.txt}\n");
    const config_model *m = &c->model[0];
    cr_assert_str_eq(c->listen, "tcp://0.0.0.0:1");
    cr_assert_str_eq(m->reference, "a b");
    cr_assert(c->tf32);
    cr_assert(m->threshold >= 1000.0 && m->threshold <= 1000.0);
    cr_assert(m->accounts_max == 1 && m->output == 1 && m->poison == POISON_RANDOM);
    cr_assert(m->action == WIRE_ACT_LABEL_ONLY && m->release_after == 0 && c->threads == 0);
    cr_assert_str_eq(m->deny, "d.txt");
    cr_assert_null(m->allow);
    cr_assert_eq(m->window_rows, CONFIG_UNSET);
    config_close(c);
    stage_close(&s);
}

static const struct {
    const char *yaml;
    size_t bytes; /* 0: as many as the text has */
    const char *where, *what;
} faults[] = {
    {BASE "modee: x\n", 0, "adder.yaml:3: modee: ", "no such setting"},
    {BASE "mode: on\n", 0, "adder.yaml:3: mode: ", "expected enforce, shadow or off, came 'on'"},
    {BASE "\n# c\nmax-rows: 0\n", 0, "adder.yaml:5: max-rows: ", "whole number from 1"},
    {BASE "max-rows: 99999999999999999999\n", 0, "adder.yaml:3: max-rows: ", "whole number"},
    {BASE "max-rows: 1e3\n", 0, "adder.yaml:3: max-rows: ", "whole number"},
    {BASE "max-rows:\n", 0, "adder.yaml:3: max-rows: ", "came ''"},
    {BASE "threshold: nan\n", 0, "adder.yaml:3: threshold: ", "a number from 0"},
    {BASE "threshold: inf\n", 0, "adder.yaml:3: threshold: ", "a number from 0"},
    {BASE "tf32: yes\n", 0, "adder.yaml:3: tf32: ", "true or false"},
    {BASE "listen: tcp://y\n", 0, "adder.yaml:3: listen: ", "twice"},
    {BASE "mode: [shadow]\n", 0, "adder.yaml:3: mode: ", "one value"},
    {BASE "mode: &a shadow\naction: *a\n", 0, "adder.yaml:4: action: ", "one value"},
    {BASE "models: x\n", 0, "adder.yaml:3: models: ", "a list"},
    {"listen: x\nmodels:\n- x\n", 0, "adder.yaml:3: models: ", "list of mappings"},
    {"listen: x\nmodels:\n- reference: a\n  listen: y\n", 0, "adder.yaml:4: listen: ", "beside"},
    {"listen: x\nmodels: []\n", 0, "adder.yaml: ", "nsufficient"},
    {"listen: x\nmodels:\n- reference: a\n- mode: off\n", 0, "reference: ", "model 2 of 2"},
    {"listen: x\n", 0, "reference: ", "needed"},
    {"reference: x\n", 0, "listen: ", "needed"},
    {"", 0, "listen: ", "needed"},
    {"- a\n", 0, "adder.yaml:1: ", "expected settings"},
    {BASE "---\nlisten: y\n", 0, "adder.yaml:3: ", "one document"},
    {BASE "mode: {\n", 0, "adder.yaml:", ""},
    {BASE "\tmode: off\n", 0, "adder.yaml:3: ", ""},
    {BASE "\"mode\\0\": off\n", 0, "adder.yaml:3: mode", "no such setting"},
    {BASE "allow: \"a\\0b\"\n", 0, "adder.yaml:3: allow: ", "NUL"},
    {BASE "allow: \xff\n", 0, "adder.yaml:", ""},
    {BASE "\x1b[31m: x\n", 0, "adder.yaml:", ""},
    {"listen: x\0y", 11, "adder.yaml:", ""},
    {BASE "admin-token-file: t\n", 0, "adder.yaml:3: admin-token-file: ", "expected admin"},
    {"listen: x\nmodels:\n- {reference: a, snapshot: s}\n- {reference: b, snapshot: s}\n", 0,
     "adder.yaml:4: snapshot: ", "a file for each model"},
    {"listen: x\nmodels:\n- {reference: a, snapshot: s.1}\n- {reference: b, snapshot: s}\n", 0,
     "adder.yaml:4: snapshot: ", "a file for each model"},
    {"listen: x\nmodels:\n- {reference: a, snapshot: s}\n- {reference: b, snapshot: s.tmp}\n", 0,
     "adder.yaml:4: snapshot: ", "a file for each model"},
};

Test(config, a_fault_is_told_with_its_line_and_nothing_is_loaded) {
    stage s;
    stage_open(&s);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        size_t bytes = faults[i].bytes > 0 ? faults[i].bytes : strlen(faults[i].yaml);
        refused(&s, faults[i].yaml, bytes, faults[i].where, faults[i].what);
    }
    setenv("ADDER_SNAPSHOT_EVERY", "soon", 1);
    refused(&s, BASE, strlen(BASE), "ADDER_SNAPSHOT_EVERY: ", "came 'soon'");
    unsetenv("ADDER_SNAPSHOT_EVERY");
    flag(&s, "window", "0");
    refused(&s, BASE, strlen(BASE), "--window: ", "from 1");
    stage_close(&s);
}

Test(config, a_file_that_is_too_long_or_not_there_or_deeply_nested_is_refused) {
    static char big[CONFIG_FILE_BYTES_MAX + 2];
    stage s;
    stage_open(&s);
    memset(big, '#', sizeof big - 1);
    refused(&s, big, sizeof big - 1, "adder.yaml: ", "at most");
    memset(big, '[', 100000);
    refused(&s, big, 100000, "adder.yaml:", "");
    for (size_t i = 0; i < 100000; i += 4) {
        memcpy(big + i, "? - ", 4);
    }
    refused(&s, big, 100000, "adder.yaml:", "");
    s.flags.file = "/nonexistent/adder.yaml";
    config *c;
    cr_assert_not(config_load(&c, &s.flags, s.error, sizeof s.error));
    cr_assert(strstr(s.error, "No such file"), "%s", s.error);
    stage_close(&s);
}

/* Nobody writes into it: to wait for that would hold a reload. */
Test(config, what_is_no_regular_file_is_refused_at_once) {
    stage s;
    config *c;
    stage_open(&s);
    cr_assert_eq(mkfifo(s.path, 0600), 0);
    cr_assert_not(config_load(&c, &s.flags, s.error, sizeof s.error));
    cr_assert(strstr(s.error, "adder.yaml: expected a regular file"), "%s", s.error);
    s.flags.file = s.folder;
    cr_assert_not(config_load(&c, &s.flags, s.error, sizeof s.error));
    cr_assert(strstr(s.error, "expected a regular file"), "%s", s.error);
    stage_close(&s);
}

Test(config, a_file_of_too_many_models_is_refused) {
    stage s;
    stage_open(&s);
    char yaml[64 + 20 * (CONFIG_MODELS_MAX + 1)];
    size_t at = (size_t)snprintf(yaml, sizeof yaml, "listen: x\nmodels:\n");
    for (size_t i = 0; i <= CONFIG_MODELS_MAX; i++) {
        at += (size_t)snprintf(yaml + at, sizeof yaml - at, "- reference: r%zu\n", i);
    }
    refused(&s, yaml, at, "adder.yaml:67: models: ", "expected fewer");
    stage_close(&s);
}

Test(config, what_is_printed_loads_as_the_same) {
    stage s;
    stage_open(&s);
    flag(&s, "max-rows", "77");
    config *c = load(&s, "listen: \"ipc:///a: b # c\"\nmode: shadow\nmodels:\n"
                         "- reference: \"it's \\\"\\u00e4\\\"\"\n- reference: b\n  mode: off\n");
    char printed[PATH_BYTES];
    snprintf(printed, sizeof printed, "%s/printed.yaml", s.folder);
    FILE *file = fopen(printed, "w");
    cr_assert(config_print(c, file));
    fclose(file);
    config_flags flags = {.file = printed};
    config *again;
    cr_assert(config_load(&again, &flags, s.error, sizeof s.error), "%s", s.error);
    cr_assert_str_eq(again->listen, "ipc:///a: b # c");
    cr_assert_str_eq(again->model[0].reference, "it's \"\xc3\xa4\"");
    cr_assert(again->rows_max == 77 && again->models == 2);
    cr_assert(again->model[0].mode == WIRE_SHADOW && again->model[1].mode == WIRE_OFF);
    config_close(again);
    config_close(c);
    stage_close(&s);
}

Test(config, what_a_restart_needs_is_told_apart_from_what_it_does_not) {
    stage s;
    stage_open(&s);
    config *old = load(&s, BASE "max-rows: 5\nmode: off\n");
    config *new = load(&s, BASE "max-rows: 5\nmode: shadow\n");
    cr_assert(config_same_house(old, new, s.error, sizeof s.error));
    cr_assert(config_same_model(old, 0, new, 0, s.error, sizeof s.error));
    config_close(new);
    new = load(&s, BASE "\nmax-rows: 6\n");
    cr_assert_not(config_same_house(old, new, s.error, sizeof s.error));
    cr_assert(strstr(s.error, "adder.yaml:4: max-rows: cannot change"), "%s", s.error);
    config_close(new);
    new = load(&s, BASE "max-rows: 5\nmax-accounts: 9\n");
    cr_assert(config_same_house(old, new, s.error, sizeof s.error));
    cr_assert_not(config_same_model(old, 0, new, 0, s.error, sizeof s.error));
    cr_assert(strstr(s.error, "adder.yaml:4: max-accounts: cannot change"), "%s", s.error);
    config_close(new);
    config_close(old);
    stage_close(&s);
}
