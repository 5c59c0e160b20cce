/*
 * wire_mutate.c - changes a message as a tree: a value becomes another, longer, twice, or goes, and
 * every length before it is right again. Half of the time libFuzzer changes bytes instead.
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "fuzz_wire.h"
#include "wire_parts.h"

enum { NODES_MAX = 512, VALUES_MAX = 4096, BODY_BYTES_MAX = 4096 };

typedef struct {
    msgpack_object *node[NODES_MAX];
    size_t nodes;
    msgpack_zone *zone;
    uint64_t random;
} tree;

static void collect(tree *t, msgpack_object *object) {
    if (t->nodes == NODES_MAX) {
        return;
    }
    t->node[t->nodes++] = object;
    if (object->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            collect(t, &object->via.array.ptr[i]);
        }
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            collect(t, &object->via.map.ptr[i].key);
            collect(t, &object->via.map.ptr[i].val);
        }
    }
}

/* ---- one value ---- */

static void change_number(tree *t, msgpack_object *object) {
    static const uint64_t integers[] = {
        0, 1, 2, 3, 127, 128, 255, UINT16_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX, 1ull << 32};
    static const double reals[] = {0, -1, NAN, INFINITY, -INFINITY, 1e308, 5e-324};
    if (fuzz_random(&t->random, 3) > 0) {
        object->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
        object->via.u64 = integers[fuzz_random(&t->random, sizeof integers / sizeof *integers)];
    } else {
        object->type = MSGPACK_OBJECT_FLOAT64;
        object->via.f64 = reals[fuzz_random(&t->random, sizeof reals / sizeof *reals)];
    }
}

/* Another length, a multiple of four or not, or other bytes. A str and a bin lie alike. */
static void change_bytes(tree *t, msgpack_object *object) {
    size_t size = object->via.bin.size;
    char *copy = msgpack_zone_malloc(t->zone, BODY_BYTES_MAX);
    if (copy == NULL || size > BODY_BYTES_MAX / 2) {
        return;
    }
    memset(copy, 0, BODY_BYTES_MAX);
    if (size > 0) {
        memcpy(copy, object->via.bin.ptr, size);
    }
    size_t choice = fuzz_random(&t->random, 3);
    if (choice == 0) {
        fuzz_mutate_within((uint8_t *)copy, size, &t->random);
    } else if (choice == 1) {
        size = LLVMFuzzerMutate((uint8_t *)copy, size, BODY_BYTES_MAX);
    } else {
        size = 4 * fuzz_random(&t->random, 20);
    }
    object->via.bin.ptr = copy;
    object->via.bin.size = (uint32_t)size;
}

/* An element goes, or comes twice. */
static void change_array(tree *t, msgpack_object_array *array) {
    msgpack_object *copy = msgpack_zone_malloc(t->zone, (array->size + 1) * sizeof *copy);
    if (copy == NULL || array->size == 0) {
        return;
    }
    uint32_t at = (uint32_t)fuzz_random(&t->random, array->size);
    bool grows = fuzz_random(&t->random, 2) == 0;
    memcpy(copy, array->ptr, array->size * sizeof *copy);
    if (grows) {
        copy[array->size] = copy[at];
    } else {
        copy[at] = copy[array->size - 1];
    }
    array->ptr = copy;
    array->size = grows ? array->size + 1 : array->size - 1;
}

static void change_map(tree *t, msgpack_object_map *map) {
    msgpack_object_kv *copy = msgpack_zone_malloc(t->zone, (map->size + 1) * sizeof *copy);
    if (copy == NULL || map->size == 0) {
        return;
    }
    uint32_t at = (uint32_t)fuzz_random(&t->random, map->size);
    bool grows = fuzz_random(&t->random, 4) == 0;
    memcpy(copy, map->ptr, map->size * sizeof *copy);
    if (grows) {
        copy[map->size] = copy[at];
    } else {
        copy[at] = copy[map->size - 1];
    }
    map->ptr = copy;
    map->size = grows ? map->size + 1 : map->size - 1;
}

static bool is_leaf(const msgpack_object *object) {
    return object->type != MSGPACK_OBJECT_ARRAY && object->type != MSGPACK_OBJECT_MAP;
}

static void change(tree *t) {
    msgpack_object *object = t->node[fuzz_random(&t->random, t->nodes)];
    const msgpack_object *other = t->node[fuzz_random(&t->random, t->nodes)];
    size_t choice = fuzz_random(&t->random, 8);
    if (choice == 0 && is_leaf(other)) { /* a container could come to hold itself */
        *object = *other;
    } else if (choice == 1) {
        object->type = fuzz_random(&t->random, 2) ? MSGPACK_OBJECT_NIL : MSGPACK_OBJECT_BOOLEAN;
        object->via.boolean = fuzz_random(&t->random, 2) == 0;
    } else if (object->type == MSGPACK_OBJECT_STR || object->type == MSGPACK_OBJECT_BIN) {
        change_bytes(t, object);
    } else if (object->type == MSGPACK_OBJECT_ARRAY) {
        change_array(t, &object->via.array);
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        change_map(t, &object->via.map);
    } else {
        change_number(t, object);
    }
}

/* ---- the message ---- */

/* 0: what came is no message, or the new one does not fit. */
static size_t change_message(uint8_t *bytes, size_t size, size_t size_max, uint64_t random) {
    tree t = {.random = random};
    char text[WIRE_TEXT_MAX];
    msgpack_zone zone;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_object root = {.type = MSGPACK_OBJECT_MAP};
    size_t written = 0;
    if (!msgpack_zone_init(&zone, VALUES_MAX * sizeof(msgpack_object))) {
        return 0;
    }
    t.zone = &zone;
    msgpack_sbuffer_init(&buffer);
    if (wire_map_unpack(&root.via.map, &zone, VALUES_MAX, bytes, size, text) == WIRE_OK) {
        collect(&t, &root);
        change(&t);
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        msgpack_pack_object(&packer, root);
        written = buffer.size <= size_max ? buffer.size : 0;
        memcpy(bytes, buffer.data, written);
    }
    msgpack_sbuffer_destroy(&buffer);
    msgpack_zone_destroy(&zone);
    return written;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
    enum { HEAD = FUZZ_WIRE_HEAD_BYTES };
    uint64_t random = seed;
    if (size > HEAD && fuzz_random(&random, 2) == 0) {
        size_t changed = change_message(bytes + HEAD, size - HEAD, size_max - HEAD, random);
        if (changed > 0) {
            return changed + HEAD;
        }
    }
    return LLVMFuzzerMutate(bytes, size, size_max);
}
