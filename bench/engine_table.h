/*
 * engine_table.h - what `adder-bench engine` prints: a line for each configuration.
 */
#ifndef ADDER_BENCH_ENGINE_TABLE_H
#define ADDER_BENCH_ENGINE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "device.h"
#include "engine_measure.h"
#include "stages.h"

typedef struct {
    size_t dim, window_rows, classes, rank, accounts;
    size_t batch_accounts, observation_rows;
    bool skipped; /* there was no memory for it, and result.error says of what */
    measure_result result;
    stages_result stages;
} table_row;

/* Whether it was measured with an engine on a device. */
bool table_on_device(const table_row *row);

/* What the columns are, and their names, for the engine that `first` was measured with. */
void table_print_head(const table_row *first);
void table_print_row(const table_row *row);
/* What the memory costs, of an engine whose rows do not say it. */
void table_print_memory(const table_row *rows, size_t count);

/* The device's yardsticks by themselves: rows by batch shape, then eigenproblems by order. */
void table_print_device_head(void);
void table_print_device_row(const table_row *row);
void table_print_eigen_head(void);
void table_print_eigen_row(const device_eigen *row);

#endif
