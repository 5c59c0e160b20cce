/*
 * standin.h - how a test steers the CUDA stand-in, which runs the engine's kernels on the CPU.
 *
 * What it catches, each proved by a test in test_standin.c:
 *  - a missing __syncthreads or __syncwarp: a block's threads run one after the other between
 *    barriers, and its shared memory starts as NaN. A missing barrier is hidden by the
 *    order of the threads in which the data flow, and shown by the other: run tests in both.
 *  - a barrier or warp intrinsic that not all threads concerned reach: aborts and says where.
 *  - an access outside device, pinned or shared memory, or by the host to device memory: ASan.
 *  - a missing stream synchronisation: work waits in its stream's queue. Forward, only what a
 *    synchronisation asks for is run; backward, all other streams run first.
 * What it does not catch: races between blocks, launch bounds, and anything that depends on speed.
 * Threads may call CUDA at once; their calls run one after the other. What steers it, below, is for
 * one thread while no other is in a call.
 *
 * The environment sets the start: STANDIN_ORDER=forward|backward, STANDIN_DEVICES=0|1,
 * STANDIN_MEMORY=bytes, STANDIN_FAIL=call:nth:code.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { STANDIN_FORWARD, STANDIN_BACKWARD } standin_order;

/* Back to what the environment says: settings, failures to come, a lost device. Objects stay. */
void standin_reset(void);
void standin_set_order(standin_order order);
void standin_set_devices(int devices);     /* 0 or 1 */
void standin_set_memory(size_t bytes_max); /* of the device; 1 GiB at first */

/* The nth (from 1) later call of that name, or of any if call is NULL, fails with this code of its
 * library. A runtime's code that loses the device (214, 226, 700, 702, 710, 714 to 719, 911) stays:
 * then every call fails, queued work is dropped, and cudaDeviceReset does not help. */
void standin_fail(const char *call, unsigned nth, int code);

/* What has been made and not been freed, and what was done since the program's start. */
typedef struct {
    size_t device_bytes, device_blocks, host_blocks;
    size_t streams, events, graphs, handles;
    size_t calls, launches;
} standin_counts;
standin_counts standin_count(void);

#ifdef __cplusplus
}
#endif
#endif
