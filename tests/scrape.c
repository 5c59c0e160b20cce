/* scrape.c - see scrape.h. */
#include "scrape.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>

enum { PATIENCE_S = 30, POLL_MS = 5, REPLY_MAX = 1 << 20 };

static bool is_ready(int port) {
    scrape_reply reply = scrape_get(port, "/readyz", NULL);
    bool ready = reply.status == 200;
    scrape_reply_free(&reply);
    return ready;
}

int scrape_port(const daemon_fixture *d) {
    static const char before[] = "admin port at http://127.0.0.1:";
    nng_time deadline = nng_clock() + DAEMON_START_MS;
    while (nng_clock() < deadline) {
        char *log = daemon_log(d);
        const char *at = strstr(log, before);
        int port = at != NULL && strchr(at, '\n') ? atoi(at + strlen(before)) : 0;
        free(log);
        if (port > 0 && is_ready(port)) { /* requests may be answered a moment before */
            return port;
        }
        nng_msleep(POLL_MS);
    }
    child_fail("adderd does not say where its admin port is, or is not ready");
}

int scrape_free_port(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(file, (struct sockaddr *)&at, length) != 0 ||
        getsockname(file, (struct sockaddr *)&at, &length) != 0) {
        child_fail("no port to be had");
    }
    close(file);
    return ntohs(at.sin_port);
}

int scrape_listen(int *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(file, (struct sockaddr *)&at, length) != 0 || listen(file, 1) != 0 ||
        getsockname(file, (struct sockaddr *)&at, &length) != 0) {
        child_fail("no port to be had");
    }
    *port = ntohs(at.sin_port);
    return file;
}

int scrape_connect(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(file, (struct sockaddr *)&at, sizeof at) != 0) {
        close(file);
        return -1;
    }
    return file;
}

void scrape_send(int file, const char *bytes) {
    size_t left = strlen(bytes);
    while (left > 0) {
        ssize_t sent = send(file, bytes, left, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        bytes += sent;
        left -= (size_t)sent;
    }
}

scrape_reply scrape_read(int file) {
    size_t used = 0;
    char *text = malloc(REPLY_MAX + 1);
    if (text == NULL) {
        child_fail("out of memory");
    }
    for (ssize_t count; used < REPLY_MAX; used += (size_t)count) {
        count = recv(file, text + used, REPLY_MAX - used, 0);
        if (count <= 0) {
            break;
        }
    }
    close(file);
    text[used] = '\0';
    scrape_reply reply = {.text = text};
    sscanf(text, "HTTP/1.%*d %d", &reply.status);
    char *end = strstr(text, "\r\n\r\n");
    reply.body = end != NULL ? end + 4 : text + used;
    return reply;
}

scrape_reply scrape_ask(int port, const char *raw) {
    int file = scrape_connect(port);
    if (file < 0) {
        char *nothing = calloc(1, 1);
        return (scrape_reply){.text = nothing, .body = nothing};
    }
    scrape_send(file, raw);
    return scrape_read(file);
}

scrape_reply scrape_get(int port, const char *path, const char *token) {
    char raw[1024];
    snprintf(raw, sizeof raw,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s%s\r\n", path,
             token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
             token != NULL ? "\r\n" : "");
    return scrape_ask(port, raw);
}

void scrape_reply_free(scrape_reply *reply) {
    free(reply->text);
    *reply = (scrape_reply){0};
}

double scrape_value(const char *text, const char *series) {
    size_t length = strlen(series), found = 0;
    double value = NAN;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, series, length) == 0 && line[length] == ' ') {
            value = strtod(line + length, NULL);
            found++;
        }
    }
    return found == 1 ? value : (double)NAN;
}
