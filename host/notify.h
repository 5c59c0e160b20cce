/*
 * notify.h - what a service manager is told: sd_notify(3)'s protocol, a datagram to the socket that
 * NOTIFY_SOCKET names.
 *
 * Each returns 1 where it was told, 0 where nobody asks to be (no NOTIFY_SOCKET), else a negative
 * errno. Blocks for as long as the manager's socket is full. Threads: any, while nobody changes the
 * environment.
 */
#ifndef ADDER_NOTIFY_H
#define ADDER_NOTIFY_H

#include <stdint.h>

int notify_ready(void);     /* requests are answered; also after notify_reloading */
int notify_reloading(void); /* the configuration is being read again */
int notify_stopping(void);  /* new requests are refused */
int notify_alive(void);     /* for the watchdog */

/* Within which it wants to hear that this process is alive; 0: it does not. */
uint64_t notify_watchdog_us(void);

#endif
