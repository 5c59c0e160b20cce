/*
 * pool.c - the threads sleep on a condition between calls and take tasks by an atomic counter.
 */
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

typedef struct {
    pool *pool;
    size_t number;
} pool_worker;

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t call; /* a new call is there, or the end */
    pthread_cond_t done; /* the last worker has left the call */
    size_t calls;        /* counts calls; a worker waits for it to change */
    size_t busy;         /* workers still in this call */
    bool closing;
    pool_task run;
    void *context;
    size_t tasks;
    atomic_size_t next;
    size_t threads; /* the caller included */
    size_t started;
    pthread_t *thread;
    pool_worker *worker;
};

static void work(pool *pool, size_t thread) {
    for (;;) {
        size_t task = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (task >= pool->tasks) {
            return;
        }
        pool->run(pool->context, task, thread);
    }
}

static void *worker_main(void *argument) {
    pool_worker *worker = argument;
    pool *pool = worker->pool;
    size_t seen = 0;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->calls == seen && !pool->closing) {
            pthread_cond_wait(&pool->call, &pool->lock);
        }
        if (pool->closing) {
            break;
        }
        seen = pool->calls;
        pthread_mutex_unlock(&pool->lock);
        work(pool, worker->number);
        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0) {
            pthread_cond_signal(&pool->done);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

pool *pool_open(size_t threads) {
    pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->call, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->threads = threads;
    pool->thread = calloc(threads, sizeof *pool->thread);
    pool->worker = calloc(threads, sizeof *pool->worker);
    if (pool->thread == NULL || pool->worker == NULL) {
        goto fail;
    }
    for (size_t i = 1; i < threads; i++) {
        pool->worker[i] = (pool_worker){.pool = pool, .number = i};
        if (pthread_create(&pool->thread[i], NULL, worker_main, &pool->worker[i]) != 0) {
            goto fail;
        }
        pool->started++;
    }
    return pool;
fail:
    pool_close(pool);
    return NULL;
}

void pool_close(pool *pool) {
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->call);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 1; i <= pool->started; i++) {
        pthread_join(pool->thread[i], NULL);
    }
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->call);
    pthread_mutex_destroy(&pool->lock);
    free(pool->worker);
    free(pool->thread);
    free(pool);
}

void pool_run(pool *pool, size_t tasks, pool_task run, void *context) {
    if (tasks <= 1 || pool->threads == 1) {
        for (size_t task = 0; task < tasks; task++) {
            run(context, task, 0);
        }
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->run = run;
    pool->context = context;
    pool->tasks = tasks;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    pool->busy = pool->threads - 1;
    pool->calls++;
    pthread_cond_broadcast(&pool->call);
    pthread_mutex_unlock(&pool->lock);
    work(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->busy != 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
}
