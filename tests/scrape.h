/*
 * scrape.h - what a scraper does: HTTP over a plain socket, and values by the names of their
 * series. Like child.h this knows nothing of Criterion: what fails prints a sentence and aborts.
 */
#ifndef ADDER_TESTS_SCRAPE_H
#define ADDER_TESTS_SCRAPE_H

#include <stddef.h>

#include "daemon_fixture.h"

typedef struct {
    int status; /* 0: the peer closed without an answer */
    char *text; /* all of it, owned */
    char *body; /* within it */
} scrape_reply;

/* The admin port of a daemon that was started with --admin 0, as its log says; waits for it. */
int scrape_port(const daemon_fixture *d);
int scrape_free_port(void);
int scrape_listen(int *port); /* a socket that does, on 127.0.0.1 */

int scrape_connect(int port);                       /* to 127.0.0.1; -1: refused */
void scrape_send(int socket, const char *bytes);    /* as far as the peer takes them */
scrape_reply scrape_read(int socket);               /* to the end, and closes */
scrape_reply scrape_ask(int port, const char *raw); /* the three together */
/* GET; token: NULL for none. Refused is status 0. */
scrape_reply scrape_get(int port, const char *path, const char *token);
void scrape_reply_free(scrape_reply *reply);

/* The value of a series, written as `name{label="value"}`; NaN: it is not there, or twice. */
double scrape_value(const char *text, const char *series);

#endif
