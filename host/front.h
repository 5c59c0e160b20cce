/*
 * front.h - where requests come in and replies go out: decodes a message, gives it to the service
 * of its model, encodes what came of it; answers what concerns all models itself.
 *
 *     server -> front_begin: decode -> service_put ... front_work: service_work
 *            -> front_encode: service_encode -> server
 *
 * Which services there are may change while requests come: a request stays with those that were
 * there when it came.
 *
 * Threads: front_begin, front_work and front_encode are the server's and run on its threads;
 * front_serve and front_close one at a time, the others anywhere.
 */
#ifndef ADDER_FRONT_H
#define ADDER_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include <nng/nng.h>

#include "metrics.h"
#include "server.h"
#include "service.h"

#define ADDER_VERSION "0.1.0"

typedef struct {
    size_t contexts;  /* requests at once */
    size_t rows_max;  /* of a request of any model */
    metrics *metrics; /* borrowed; NULL: nothing is counted */
} front_options;

typedef struct front front;
front *front_open(const front_options *options); /* NULL: no memory */
void front_close(front *front); /* NULL is allowed; no call may be running. Services stay. */

/* From now on requests go to these, of different models, whose array is copied; those that were
 * here before and are so no more are not used any longer when this returns, and their requests are
 * answered. False: no memory, and nothing has changed. */
bool front_serve(front *front, service *const *services, size_t count);

/* What is known of the models that are served; the rest of `now` is left as it is. */
void front_look(front *front, metrics_now *now);
/* What hello answers. */
void front_hello(front *front, wire_hello *hello);
/* service_visit of the model that is called so. False: there is none. */
bool front_visit(front *front, const char *model, service_visitor visit, void *context);
/* From now on new requests are refused with "draining". */
void front_end(front *front);

/* As server_options want them; host is the front. */
bool front_begin(void *host, server_call *call, const void *message, size_t bytes);
bool front_work(void *host, size_t rounds);
int front_encode(void *host, server_call *call, nng_msg *reply);

#endif
