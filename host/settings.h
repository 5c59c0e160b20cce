/*
 * settings.h - one table of all that can be set in adderd: the names are the same in the YAML file,
 * in the environment (max-accounts: ADDER_MAX_ACCOUNTS) and as flags (--max-accounts).
 *
 * A setting's value comes as text, whatever its source, and is checked in one place.
 */
#ifndef ADDER_SETTINGS_H
#define ADDER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    SETTING_TEXT,   /* const char *: a path or an address */
    SETTING_COUNT,  /* size_t */
    SETTING_BYTES,  /* size_t: digits, and K, M or G for so many times 1024 */
    SETTING_NUMBER, /* double, finite */
    SETTING_CHOICE, /* int, or an enum of its size: the place among the choices */
    SETTING_SWITCH, /* bool: true or false; as a flag it has no value */
} setting_kind;

enum { SETTING_CHOICES_MAX = 4, SETTING_TEXT_BYTES_MAX = 4096 };

typedef struct {
    const char *name;
    const char *value; /* what --help calls it */
    const char *help;
    int letter;  /* as a flag; 0: none */
    int chapter; /* of --help */
    setting_kind kind;
    bool
        of_model; /* each model may have its own: at is an offset in config_model, else in config */
    bool restart; /* a reload that would change it is refused */
    size_t at;
    double least, most;
    const char *choice[SETTING_CHOICES_MAX];
} setting;

/* The table, SETTINGS of them. */
enum { SETTINGS = 41 };
extern const setting settings[SETTINGS];

/* Makes what came from outside fit to be shown: control characters become '?'. */
void setting_shown(char *text);
/* The place in the table of a setting of this name, or SETTINGS. */
size_t setting_find(const char *name, size_t length);
/* Checks the text and puts its value where it belongs in `to`, a config or a config_model; a text
 * is borrowed. False: error says what was expected and what came, and nothing was written. */
bool setting_put(const setting *setting, const char *text, void *to, char *error,
                 size_t error_bytes);

#endif
