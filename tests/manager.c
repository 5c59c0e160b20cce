/* manager.c - see manager.h. */
#include "manager.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "child.h"

enum { PATIENCE_MS = 60000, TEXT_BYTES = 256 };

int manager_open(const char *path) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(at.sun_path, path, length < sizeof at.sun_path ? length : sizeof at.sun_path);
    if (*path == '@') {
        at.sun_path[0] = '\0';
    }
    if (bind(manager, (struct sockaddr *)&at,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
        child_fail("%s: %s", path, strerror(errno));
    }
    setenv("NOTIFY_SOCKET", path, 1);
    return manager;
}

void manager_close(int manager) {
    unsetenv("NOTIFY_SOCKET");
    close(manager);
}

bool manager_waits(int manager) {
    struct pollfd want = {.fd = manager, .events = POLLIN};
    return poll(&want, 1, 0) == 1;
}

void manager_read(int manager, char text[TEXT_BYTES]) {
    struct pollfd want = {.fd = manager, .events = POLLIN};
    if (poll(&want, 1, PATIENCE_MS) != 1) {
        child_fail("the service manager is told nothing");
    }
    ssize_t bytes = recv(manager, text, TEXT_BYTES - 1, 0);
    text[bytes < 0 ? 0 : bytes] = '\0';
}

void manager_await(int manager, const char *words) {
    char text[TEXT_BYTES];
    do {
        manager_read(manager, text);
    } while (strstr(text, words) == NULL);
}
