/*
 * resident.h - how much memory this process has and had, as /proc tells it. Not getrusage, whose
 * ru_maxrss also counts what the parent had when it started this one.
 */
#ifndef ADDER_BENCH_RESIDENT_H
#define ADDER_BENCH_RESIDENT_H

#include <stddef.h>

/* Bytes resident at most since the start or the last resident_restart; 0 where that is unknown. */
size_t resident_peak_bytes(void);
/* Counts the peak anew, from what is resident now, which is returned. */
size_t resident_restart(void);

#endif
