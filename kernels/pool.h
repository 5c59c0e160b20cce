/*
 * pool.h - a few threads that share out the tasks of one call at a time.
 *
 * pool_run belongs to one thread; it works too and returns when all tasks are done. Tasks are
 * handed out one by one, so uneven ones balance. A pool of one thread runs everything in the
 * caller.
 */
#ifndef ADDER_POOL_H
#define ADDER_POOL_H

#include <stddef.h>

typedef struct pool pool;
typedef void (*pool_task)(void *context, size_t task, size_t thread); /* thread: 0..threads-1 */

pool *pool_open(size_t threads); /* NULL: no memory or no thread to be had */
void pool_close(pool *pool);     /* NULL is allowed */
void pool_run(pool *pool, size_t tasks, pool_task run, void *context);

#endif
