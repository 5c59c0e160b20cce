/* endpoint.c - see endpoint.h. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HOST_MAX = 256, PORT_TEXT_MAX = 8, BACKLOG = 1024 };

typedef struct {
    char host[HOST_MAX];
    char port[PORT_TEXT_MAX];
} written;

static bool is_port(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < PORT_TEXT_MAX - 2 && text[digits] == '\0' &&
           strtoul(text, NULL, 10) <= ENDPOINT_PORT_MAX;
}

/* The host is between brackets, or has no colon. */
static bool read_address(written *out, const char *address) {
    const char *host = address, *end, *port;
    if (address[0] == '[') {
        host = address + 1;
        end = strchr(host, ']');
        if (end == NULL || end[1] != ':') {
            return false;
        }
        port = end + 2;
    } else {
        end = strchr(address, ':');
        port = end != NULL ? end + 1 : address;
    }
    if (!is_port(port)) {
        return false;
    }
    snprintf(out->port, sizeof out->port, "%s", port);
    if (end == NULL) {
        snprintf(out->host, sizeof out->host, "127.0.0.1");
        return true;
    }
    size_t length = (size_t)(end - host);
    if (length == 0 || length >= HOST_MAX) {
        return false;
    }
    memcpy(out->host, host, length);
    out->host[length] = '\0';
    return true;
}

/* 0, or errno. */
static int listen_at(int fd, const struct addrinfo *at) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* after a restart */
    if (at->ai_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    return bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0 ? 0 : errno;
}

static void describe(endpoint *out) {
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    char host[INET6_ADDRSTRLEN] = "";
    getsockname(out->fd, (struct sockaddr *)&bound, &length);
    if (bound.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&bound;
        inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        out->loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        snprintf(out->text, sizeof out->text, "[%s]:%d", host, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)&bound;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        out->loopback = ntohl(four->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        snprintf(out->text, sizeof out->text, "%s:%d", host, ntohs(four->sin_port));
    }
}

bool endpoint_listen(endpoint *out, const char *address, char *error, size_t error_bytes) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    written at;
    *out = (endpoint){.fd = -1};
    if (!read_address(&at, address)) {
        snprintf(error, error_bytes, "listen at %s: expected [HOST:]PORT, an IPv6 host in brackets",
                 address);
        return false;
    }
    int code = getaddrinfo(at.host, at.port, &hints, &found);
    if (code != 0) {
        snprintf(error, error_bytes, "listen at %s: %s", address, gai_strerror(code));
        return false;
    }
    out->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    code = out->fd >= 0 ? listen_at(out->fd, found) : errno;
    freeaddrinfo(found);
    if (code != 0) {
        snprintf(error, error_bytes, "listen at %s: %s", address, strerror(code));
        if (out->fd >= 0) {
            close(out->fd);
        }
        out->fd = -1;
        return false;
    }
    describe(out);
    return true;
}
