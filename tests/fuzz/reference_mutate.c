/*
 * reference_mutate.c - changes one file of a reference: the JSON's text or one of its values, the
 * numbers behind an .npy header, or that header; or the file goes, or is the base's again.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "npy_mutate.h"
#include "reference_input.h"

enum { NODES_MAX = 256, NPY_PREFIX_BYTES = 10 };

/* ---- JSON ---- */

/* A place in the tree: a member of an object or an element of an array. */
typedef struct {
    json_t *parent;
    const char *key; /* NULL: an element */
    size_t index;
} place;

typedef struct {
    place place[NODES_MAX];
    size_t places;
} places;

static void collect(places *all, json_t *parent) {
    const char *key;
    json_t *value;
    size_t index;
    json_object_foreach(parent, key, value) {
        if (all->places < NODES_MAX) {
            all->place[all->places++] = (place){.parent = parent, .key = key};
            collect(all, value);
        }
    }
    json_array_foreach(parent, index, value) {
        if (all->places < NODES_MAX) {
            all->place[all->places++] = (place){.parent = parent, .index = index};
            collect(all, value);
        }
    }
}

static json_t *value_at(const place *at) {
    return at->key != NULL ? json_object_get(at->parent, at->key)
                           : json_array_get(at->parent, at->index);
}

static json_t *new_value(const places *all, uint64_t *random) {
    static const json_int_t integers[] = {0, 1, 2, 3, 16, 64, -1, 65536, 1 << 20, INT64_MAX};
    static const double reals[] = {0, 0.5, 1, 3.5, -1, 1e-9, 1e12, 1e30, 1e300, 5e-324};
    switch (fuzz_random(random, 6)) {
    case 0:
        return json_integer(integers[fuzz_random(random, sizeof integers / sizeof *integers)]);
    case 1:
        return json_real(reals[fuzz_random(random, sizeof reals / sizeof *reals)]);
    case 2:
        return json_string(fuzz_random(random, 2) ? "" : "\xc3\xa9");
    case 3:
        return fuzz_random(random, 2) ? json_null() : json_true();
    case 4:
        return fuzz_random(random, 2) ? json_array() : json_object();
    default: /* a copy, so that nothing holds itself */
        return json_deep_copy(value_at(&all->place[fuzz_random(random, all->places)]));
    }
}

static void change_place(const places *all, uint64_t *random) {
    const place *at = &all->place[fuzz_random(random, all->places)];
    bool goes = fuzz_random(random, 6) == 0;
    json_t *value = goes ? NULL : new_value(all, random);
    if (at->key != NULL) {
        goes ? json_object_del(at->parent, at->key)
             : json_object_set_new(at->parent, at->key, value);
    } else if (goes) {
        json_array_remove(at->parent, at->index);
    } else if (fuzz_random(random, 3) == 0) {
        json_array_insert_new(at->parent, at->index, value);
    } else {
        json_array_set_new(at->parent, at->index, value);
    }
}

/* Text for free(); NULL: it is no JSON, or has nothing in it. */
static char *change_json(const char *text, size_t length, uint64_t *random) {
    json_error_t why;
    places all = {.places = 0};
    char *changed = NULL;
    json_t *root = json_loadb(text, length, 0, &why);
    collect(&all, root);
    if (all.places > 0) {
        change_place(&all, random);
        changed = json_dumps(root, JSON_COMPACT);
    }
    json_decref(root);
    return changed;
}

/* ---- one file ---- */

/* Another valid file where the present one may be anything. */
static input_file whole_file(const input *in, size_t which) {
    return in->file[which].length == 0 ? input_base(in->base)->file[which] : in->file[which];
}

/* The bytes of a file in `room`, changed; their number, at most room_bytes. */
static size_t change_file(size_t which, uint8_t *room, size_t length, size_t room_bytes,
                          uint64_t *random) {
    size_t choice = fuzz_random(random, 4);
    if (which == INPUT_JSON && choice > 0) {
        char *changed = change_json((const char *)room, length, random);
        size_t size = changed != NULL ? strlen(changed) : 0;
        if (size > 0 && size <= room_bytes) {
            memcpy(room, changed, size);
            length = size;
        }
        free(changed);
        return length;
    }
    if (which != INPUT_JSON && choice > 0 && length > NPY_PREFIX_BYTES) {
        if (choice == 3) {
            return npy_mutate_shape(room, length, room_bytes, random);
        }
        size_t header = NPY_PREFIX_BYTES + room[8] + 256u * room[9];
        size_t from = choice == 1 || header > length ? 0 : header;
        fuzz_mutate_within(room + from, length - from, random);
        return length;
    }
    return LLVMFuzzerMutate(room, length, room_bytes);
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
    uint64_t random = seed;
    uint8_t *joined = malloc(size_max + 1);
    uint8_t *room = calloc(1, size_max + 1);
    FUZZ_EXPECT(joined != NULL && room != NULL);
    input in = input_split(bytes, size);
    size_t which = fuzz_random(&random, INPUT_FILES);
    which = fuzz_random(&random, 3) == 0 ? (size_t)INPUT_JSON : which;
    input_file file = whole_file(&in, which);
    size_t length = input_stored(&file);
    if (fuzz_random(&random, 32) == 0) {
        static const size_t lengths[] = {0, INPUT_MISSING, INPUT_EMPTY};
        in.file[which].length = lengths[fuzz_random(&random, 3)];
        in.base = (unsigned)fuzz_random(&random, REFERENCE_BASES);
    } else if (length <= size_max) {
        if (length > 0) {
            memcpy(room, file.bytes, length);
        }
        length = change_file(which, room, length, size_max, &random);
        in.file[which] = (input_file){room, length < INPUT_LENGTH_MAX ? length : 0};
    }
    size_t changed = input_join(&in, joined, size_max);
    memcpy(bytes, joined, changed);
    free(room);
    free(joined);
    return changed > 0 ? changed : size;
}
