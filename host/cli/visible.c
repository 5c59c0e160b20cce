/* visible.c - see visible.h. */
#include "visible.h"

#include <stdint.h>
#include <string.h>

enum { NOT_UTF8 = 0x110000 };

typedef struct {
    uint32_t first, last;
} range;

/* Controls, marks and turns of direction, what has no width, line ends, tags, private use. */
static const range unseen[] = {
    {0x0, 0x1f},         {0x7f, 0xa0},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},
    {0x115f, 0x1160},    {0x1680, 0x1680}, {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x2000, 0x200f},
    {0x2028, 0x202f},    {0x205f, 0x206f}, {0x3000, 0x3000}, {0x3164, 0x3164}, {0xe000, 0xf8ff},
    {0xfeff, 0xfeff},    {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0x1d173, 0x1d17a},
    {0xe0000, 0x10ffff},
};

static bool is_unseen(uint32_t code) {
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
        if (code >= unseen[i].first && code <= unseen[i].last) {
            return true;
        }
    }
    return false;
}

/* The character at the text and how many bytes it has; NOT_UTF8 of one byte. */
static uint32_t character_of(const unsigned char *text, size_t bytes, size_t *length) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t all = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t code = all < 2 ? first : first & (0x7fu >> all);
    *length = 1;
    if (all == 0 || first > 0xf4 || all > bytes) {
        return NOT_UTF8;
    }
    for (size_t i = 1; i < all; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return NOT_UTF8;
        }
        code = code << 6 | (text[i] & 0x3fu);
    }
    if (code < least[all] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return NOT_UTF8;
    }
    *length = all;
    return code;
}

static size_t count_characters(const char *text, size_t bytes) {
    size_t count = 0, length;
    for (size_t at = 0; at < bytes; at += length, count++) {
        character_of((const unsigned char *)text + at, bytes - at, &length);
    }
    return count;
}

void visible_write(FILE *out, const char *text, size_t bytes, size_t characters) {
    bool cut = count_characters(text, bytes) > characters;
    size_t length, written = 0, room = cut && characters > 0 ? characters - 1 : characters;
    for (size_t at = 0; at < bytes && written < room; at += length, written++) {
        uint32_t code = character_of((const unsigned char *)text + at, bytes - at, &length);
        if (code == NOT_UTF8) {
            fprintf(out, "\\x{%02x}", (unsigned char)text[at]);
        } else if (is_unseen(code)) {
            fprintf(out, "\\u{%x}", code);
        } else {
            fwrite(text + at, 1, length, out);
        }
    }
    if (cut) {
        fputs("...", out);
    }
}

bool visible_is_plain(const char *text) {
    size_t bytes = strlen(text), length;
    for (size_t at = 0; at < bytes; at += length) {
        uint32_t code = character_of((const unsigned char *)text + at, bytes - at, &length);
        if (code == NOT_UTF8 || is_unseen(code)) {
            return false;
        }
    }
    return true;
}
