/*
 * project.h - rows of a batch to (s, y): s = |x - m_c|^2 and y = F_c^T (x - m_c); and their
 * alignments, to the batch that wants them.
 *
 * Rows are put in the order of their class, so that all rows of a class are one matrix product with
 * its factor (product.h), cut into tiles that fit the cache. Costs 2 dim rank flops a row.
 */
#ifndef ADDER_PROJECT_H
#define ADDER_PROJECT_H

#include "engine.h"
#include "pool.h"

/* 120 centred rows of 512 floats are 240 KB: they stay in a core's second-level cache. Behind each
 * row are so many floats, which keep rows out of each other's cache sets (product.h). */
enum { PROJECT_TILE_ROWS = 120, PROJECT_PADDING = 16 };

typedef struct project project;

/* Copies the reference. NULL: no memory. */
project *project_open(const engine_reference *reference, size_t rows_max, size_t threads);
size_t project_bytes(const project *project); /* all that it has */
void project_close(project *project);         /* NULL is allowed */

/* Projects a batch and writes its alignments; dtype [rows] is that of each row's observation. */
void project_batch(project *project, pool *pool, const engine_batch *batch,
                   const unsigned char *dtype);

/* What became of a row of the last batch; y has `rank` floats. Valid until the next batch. */
float project_s(const project *project, size_t row);
const float *project_y(const project *project, size_t row);

#endif
