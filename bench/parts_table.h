/*
 * parts_table.h - what `adder-bench engine` prints of the CPU engine beside its rates.
 */
#ifndef ADDER_BENCH_PARTS_TABLE_H
#define ADDER_BENCH_PARTS_TABLE_H

#include <stddef.h>

#include "engine_table.h"
#include "footprint.h"
#include "sides.h"
#include "small_eigen.h"
#include "sweep.h"

/* Of those rows that have it; nothing where none has. */
void parts_print_ssyevd(const table_row *rows, size_t count);
void parts_print_stages(const table_row *rows, size_t count);
/* Rows/s by the number of accounts, over those of the fewest. */
void parts_print_accounts(const table_row *rows, size_t count);
void parts_print_sweep(const table_row *shape, const sweep_row *rows, size_t count);

void parts_print_eigen_head(void);
void parts_print_eigen_row(const small_eigen *row);
void parts_print_bytes(const footprint *held, const footprint_shape *shape);
void parts_print_sides(const sides_row *rows, const sides_plan *plan);

#endif
