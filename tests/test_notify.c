/*
 * test_notify.c - what a service manager is told, and that the watchdog tells it only while the
 * service works.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "child.h"
#include "daemon_fixture.h"
#include "manager.h"
#include "notify.h"
#include "watchdog.h"

enum { TEXT_BYTES = 256, PATH_BYTES = CHILD_PATH_BYTES * 2 };

static void expect_all(int manager) {
    char text[TEXT_BYTES];
    cr_assert_eq(notify_ready(), 1);
    manager_read(manager, text);
    cr_assert_str_eq(text, "READY=1\nSTATUS=serving");
    cr_assert_eq(notify_reloading(), 1);
    manager_read(manager, text);
    cr_assert(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 && atol(text + 27) > 0, "%s",
              text);
    cr_assert_eq(notify_alive(), 1);
    manager_read(manager, text);
    cr_assert_str_eq(text, "WATCHDOG=1");
    cr_assert_eq(notify_stopping(), 1);
    manager_read(manager, text);
    cr_assert(strncmp(text, "STOPPING=1\n", 11) == 0, "%s", text);
}

Test(notify, reaches_a_manager_at_a_path_and_at_an_abstract_name, .timeout = 60) {
    char folder[CHILD_PATH_BYTES], path[CHILD_PATH_BYTES + 16];
    child_folder_make(folder);
    snprintf(path, sizeof path, "%s/notify", folder);
    int manager = manager_open(path);
    expect_all(manager);
    manager_close(manager);
    snprintf(path, sizeof path, "@adder-test-%d", (int)getpid());
    manager = manager_open(path);
    expect_all(manager);
    manager_close(manager);
    child_folder_remove(folder);
}

Test(notify, tells_nobody_who_does_not_ask_and_says_why_it_cannot) {
    char path[200];
    unsetenv("NOTIFY_SOCKET");
    cr_assert_eq(notify_ready(), 0);
    setenv("NOTIFY_SOCKET", "", 1);
    cr_assert_eq(notify_ready(), 0);
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    cr_assert_eq(notify_ready(), -EAFNOSUPPORT);
    setenv("NOTIFY_SOCKET", "/no/such/socket", 1);
    cr_assert_eq(notify_ready(), -ENOENT);
    memset(path, '/', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    setenv("NOTIFY_SOCKET", path, 1);
    cr_assert_eq(notify_ready(), -E2BIG);
}

Test(notify, takes_an_interval_only_that_is_a_number_and_meant_for_this_process) {
    static const char *const none[] = {"", "0", "-5", "1e6", " 5", "99999999999999999999999", "x"};
    char pid[32];
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    cr_assert_eq(notify_watchdog_us(), 0);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        setenv("WATCHDOG_USEC", none[i], 1);
        cr_assert_eq(notify_watchdog_us(), 0, "%s", none[i]);
    }
    setenv("WATCHDOG_USEC", "3000000", 1);
    cr_assert_eq(notify_watchdog_us(), 3000000);
    setenv("WATCHDOG_PID", "1", 1);
    cr_assert_eq(notify_watchdog_us(), 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    cr_assert_eq(notify_watchdog_us(), 3000000);
}

/* ---- the watchdog ---- */

/* Plays pulses, one a look, and stays at the last. told[i]: after look i. */
enum { PULSES = 8 };
typedef struct {
    const watchdog_pulse *pulse;
    atomic_size_t looks;
} player;

static bool told[PULSES + 1];
static atomic_size_t looked;

static size_t play(void *host, watchdog_pulse pulse[WATCHDOG_PARTS_MAX]) {
    player *p = host;
    size_t n = atomic_fetch_add(&p->looks, 1);
    atomic_store(&looked, n);
    pulse[0] = (watchdog_pulse){.steps = n, .busy = true}; /* whose work hides no other part's */
    pulse[1] = p->pulse[n < PULSES ? n : PULSES - 1];
    return 2;
}

static int note(void) {
    size_t n = atomic_load(&looked);
    if (n < PULSES) {
        told[n] = true;
    }
    return 1;
}

Test(watchdog, tells_while_nothing_waits_or_something_moves_and_not_while_it_is_stuck,
     .timeout = 60) {
    static const watchdog_pulse pulse[PULSES] = {{0, false}, {0, false}, {1, true}, {2, true},
                                                 {2, true},  {2, true},  {3, true}, {3, false}};
    static const bool expected[PULSES] = {true, true, true, true, false, false, true, true};
    player p = {.pulse = pulse};
    watchdog *w = watchdog_open(
        &(watchdog_options){.interval_us = 2000, .host = &p, .look = play, .tell = note});
    cr_assert_not_null(w);
    while (atomic_load(&p.looks) <= PULSES) {
        usleep(100);
    }
    watchdog_close(w);
    for (size_t i = 0; i < PULSES; i++) {
        cr_assert_eq(told[i], expected[i], "look %zu", i);
    }
}

Test(watchdog, of_a_long_interval_is_closed_at_once, .timeout = 10) {
    static const watchdog_pulse idle[PULSES] = {{0, false}};
    player p = {.pulse = idle};
    watchdog *w = watchdog_open(
        &(watchdog_options){.interval_us = UINT64_MAX / 4, .host = &p, .look = play, .tell = note});
    cr_assert_not_null(w);
    watchdog_close(w);
    watchdog_close(NULL);
}

/* ---- the daemon ---- */

Test(notify, the_daemon_says_when_it_serves_that_it_is_alive_and_when_it_ends, .timeout = 120) {
    daemon_fixture d;
    char path[PATH_BYTES], text[TEXT_BYTES];
    daemon_open(&d, 64);
    int manager = manager_open(daemon_path(&d, "notify", path));
    setenv("WATCHDOG_USEC", "20000", 1);
    daemon_start(&d, DAEMON_NO_FLAGS);
    manager_read(manager, text);
    cr_assert_str_eq(text, "READY=1\nSTATUS=serving");
    for (int i = 0; i < 5; i++) {
        manager_read(manager, text);
        cr_assert_str_eq(text, "WATCHDOG=1");
    }
    kill(d.child, SIGTERM);
    manager_await(manager, "STOPPING=1");
    daemon_await_end(&d);
    cr_assert_not(manager_waits(manager), "it is told something after the end");
    manager_close(manager);
    daemon_close(&d);
}
