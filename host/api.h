/*
 * api.h - the JSON documents of the admin port: for the page at `/`, `adder top`, `info` and
 * `explain`, and whoever wants them.
 *
 *     /api/info      what hello says: models, limits, engine; and whether requests are served
 *     /api/live      counters, histograms and gauges; rates are differences of two of them
 *     /api/accounts  ?model=&limit=: the riskiest accounts and groups, and how what decides is
 *                    distributed over all of them (survey.h), at most once every API_SURVEY_MS
 *     /api/explain   ?model=&account= or &group=: as the wire's explain
 *
 * Every document is an object; an error's is {"error": "one line"}. What is not known is null.
 * Names are any UTF-8 that clients have sent: whoever shows them must show them as text.
 *
 * Threads: one at a time.
 */
#ifndef ADDER_API_H
#define ADDER_API_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics.h"
#include "query.h"
#include "service.h"

enum { API_SURVEY_MS = 1000, API_LIMIT_DEFAULT = 20 };

/* The host answers for what is behind; all may be asked at any time until api_close. */
typedef struct {
    const metrics *metrics; /* borrowed */
    void *host;
    /* Why requests are not served now, one or a few words; NULL: they are. */
    const char *(*unready)(void *host);
    void (*look)(void *host, metrics_now *now); /* into a zeroed one */
    /* False: nothing is known yet. */
    bool (*hello)(void *host, wire_hello *hello);
    /* As service_visit, of the model called so, which hello has named. False: it is gone. */
    bool (*visit)(void *host, const char *model, service_visitor visitor, void *context);
} api_options;

typedef struct api api;
api *api_open(const api_options *options); /* NULL: no memory */
void api_close(api *api);                  /* NULL is allowed */

typedef struct {
    unsigned status; /* of HTTP */
    char *text;      /* owned by the caller, for free(); NULL: no memory */
} api_answer;
/* The path begins with "/api/". */
api_answer api_get(api *api, const char *path, const query *query);
api_answer api_error(unsigned status, const char *line);

#endif
