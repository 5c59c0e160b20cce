/*
 * order.h - the numbers 0 to count - 1, each in one of a few lists, and every list in the order of
 * use. Who holds places and must let the least recently used go keeps them so.
 *
 * Nothing is allocated after order_init; every function takes a constant number of steps. Threads:
 * one at a time.
 */
#ifndef ADDER_ORDER_H
#define ADDER_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORDER_LISTS = 4 };
#define ORDER_NONE UINT32_MAX

typedef struct {
    uint32_t older, newer; /* ORDER_NONE at the ends */
    uint32_t list;
} order_link;

typedef struct {
    order_link *link; /* [count] */
    uint32_t oldest[ORDER_LISTS], newest[ORDER_LISTS];
    size_t held[ORDER_LISTS];
} order;

/* All of them are in list 0, the smallest the oldest. count is below ORDER_NONE. False: no memory.
 */
bool order_init(order *order, size_t count);
void order_fini(order *order); /* zeroed is allowed */

/* Out of the list where it is; it becomes the newest of this one. */
void order_move(order *order, uint32_t number, uint32_t list);
/* The next newer one of its list; from ORDER_NONE on, to ORDER_NONE, through all lists from `list`
 * to the last. */
uint32_t order_next(const order *order, uint32_t number, uint32_t list);
size_t order_bytes_each(void);

#endif
