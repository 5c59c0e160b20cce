/*
 * order.c - see order.h.
 */
#include "order.h"

#include <stdlib.h>

static void append(order *o, uint32_t number, uint32_t list) {
    uint32_t last = o->newest[list];
    o->link[number] = (order_link){.older = last, .newer = ORDER_NONE, .list = list};
    *(last == ORDER_NONE ? &o->oldest[list] : &o->link[last].newer) = number;
    o->newest[list] = number;
    o->held[list]++;
}

bool order_init(order *o, size_t count) {
    *o = (order){.link = calloc(count, sizeof *o->link)};
    if (o->link == NULL) {
        return false;
    }
    for (size_t i = 0; i < ORDER_LISTS; i++) {
        o->oldest[i] = o->newest[i] = ORDER_NONE;
    }
    for (size_t i = 0; i < count; i++) {
        append(o, (uint32_t)i, 0);
    }
    return true;
}

void order_fini(order *o) {
    free(o->link);
}

void order_move(order *o, uint32_t number, uint32_t list) {
    const order_link *at = &o->link[number];
    *(at->older == ORDER_NONE ? &o->oldest[at->list] : &o->link[at->older].newer) = at->newer;
    *(at->newer == ORDER_NONE ? &o->newest[at->list] : &o->link[at->newer].older) = at->older;
    o->held[at->list]--;
    append(o, number, list);
}

uint32_t order_next(const order *o, uint32_t number, uint32_t list) {
    uint32_t next = ORDER_NONE;
    if (number != ORDER_NONE) {
        next = o->link[number].newer;
        list = o->link[number].list + 1;
    }
    for (; next == ORDER_NONE && list < ORDER_LISTS; list++) {
        next = o->oldest[list];
    }
    return next;
}

size_t order_bytes_each(void) {
    return sizeof(order_link);
}
