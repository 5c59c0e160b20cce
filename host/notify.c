/*
 * notify.c - see notify.h. libsystemd's sd_notify does no more, and is not everywhere.
 */
#include "notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int tell(const char *state) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || *path == '\0') {
        return 0;
    }
    size_t length = strlen(path);
    if (*path != '/' && *path != '@') {
        return -EAFNOSUPPORT;
    }
    if (length >= sizeof to.sun_path) {
        return -E2BIG;
    }
    memcpy(to.sun_path, path, length);
    if (*path == '@') {
        to.sun_path[0] = '\0'; /* an abstract name, which ends where the address does */
    }
    int file = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0) {
        return -errno;
    }
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    ssize_t sent = sendto(file, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, bytes);
    int error = errno;
    close(file);
    return sent < 0 ? -error : 1;
}

int notify_ready(void) {
    return tell("READY=1\nSTATUS=serving");
}

/* With the time, as Type=notify-reload wants it. */
int notify_reloading(void) {
    char state[96];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reloading",
             (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    return tell(state);
}

int notify_stopping(void) {
    return tell("STOPPING=1\nSTATUS=answering what was accepted");
}

int notify_alive(void) {
    return tell("WATCHDOG=1");
}

/* Digits alone; 0: it is no such number. */
static uint64_t number_in(const char *name) {
    const char *text = getenv(name);
    if (text == NULL || *text == '\0' || text[strspn(text, "0123456789")] != '\0') {
        return 0;
    }
    errno = 0;
    uint64_t number = strtoull(text, NULL, 10);
    return errno == 0 ? number : 0;
}

uint64_t notify_watchdog_us(void) {
    if (getenv("WATCHDOG_PID") != NULL && number_in("WATCHDOG_PID") != (uint64_t)getpid()) {
        return 0; /* another process is meant */
    }
    return number_in("WATCHDOG_USEC");
}
