/*
 * engine_table.c - see engine_table.h.
 */
#include "engine_table.h"

#include <stdio.h>
#include <string.h>

bool table_on_device(const table_row *row) {
    return strcmp(row->result.engine, "cuda") == 0;
}

/* A figure of 0 is one that could not be had. */
static void print_rate(double per_s) {
    if (per_s > 0.0) {
        printf(" %12.0f", per_s);
    } else {
        printf(" %12s", "-");
    }
}

static void print_share(double part, double whole) {
    if (part > 0.0 && whole > 0.0) {
        printf(" %9.3f", part / whole);
    } else {
        printf(" %9s", "-");
    }
}

static void print_processor_head(void) {
    printf("         request: one observation in a batch by itself; of sgemm: 2 dim rank flops a "
           "row over\n         the rate of sgemm alone on the batch's matrices, by its fastest "
           "way\n\n");
    printf("%5s %5s %7s %5s %8s %12s %12s %9s %9s %9s %-8s %9s %9s\n", "", "", "", "", "", "", "",
           "request", "request", "sgemm", "sgemm", "of sgemm:", "of sgemm:");
    printf("%5s %5s %7s %5s %8s %12s %12s %9s %9s %9s %-8s %9s %9s\n", "dim", "W", "classes",
           "rank", "accounts", "rows/s", "windows/s", "p50 us", "p99 us", "GFLOP/s", "by",
           "project", "engine");
}

static void print_device_engine_head(void) {
    printf(
        "         no copy: rows over what the device spent computing; request: one observation "
        "in a batch\n         by itself; of upload: the embeddings' bytes/s over the rate of the "
        "same bytes from pinned\n         memory; of cuBLAS: 2 dim rank flops a row, over the "
        "time computing, by the rate of the same\n         products alone in float32; of copy: "
        "bytes that must be moved (embeddings in, centred and in\n         again, y out, in and "
        "into the window, the windows once), likewise, by the rate of a copy on\n         the "
        "device, which reads and writes; -: not enough device memory for that too\n\n");
    printf("%5s %5s %7s %5s %8s %12s %12s %12s %12s %9s %9s %9s %9s %9s\n", "", "", "", "", "", "",
           "rows/s", "", "rows/s", "request", "request", "of", "of", "of");
    printf("%5s %5s %7s %5s %8s %12s %12s %12s %12s %9s %9s %9s %9s %9s\n", "dim", "W", "classes",
           "rank", "accounts", "rows/s", "no copy", "windows/s", "memory", "p50 us", "p99 us",
           "upload", "cuBLAS", "copy");
}

static void print_device(void) {
    char text[MEASURE_ERROR_BYTES];
    device_describe(text, sizeof text); /* or why not */
    printf("device   %s\n", text);
}

void table_print_head(const table_row *first) {
    const measure_result *r = &first->result;
    if (table_on_device(first)) {
        print_device();
    }
    printf("run      engine %s, %zu threads; %zu rows an observation, %zu rows a batch", r->engine,
           r->threads, first->observation_rows, first->batch_accounts * first->observation_rows);
    if (r->memory_rank > 0) {
        printf("; memory of rank %zu", r->memory_rank);
    }
    printf(
        "\n         medians of %d rounds; windows/s: observations scored against full windows;\n",
        MEASURE_ROUNDS);
    if (table_on_device(first)) {
        print_device_engine_head();
    } else {
        print_processor_head();
    }
}

static void print_shape(const table_row *row) {
    printf("%5zu %5zu %7zu %5zu %8zu", row->dim, row->window_rows, row->classes, row->rank,
           row->accounts);
}

static void print_processor_row(const table_row *row) {
    const measure_result *r = &row->result;
    printf(" %12.0f %12.0f %9.1f %9.1f", r->rows_per_s,
           r->rows_per_s / (double)row->observation_rows, r->request_p50_us, r->request_p99_us);
    if (r->sgemm_flops_per_s > 0.0) {
        double engine_flops_per_s = r->rows_per_s * 2.0 * (double)row->dim * (double)row->rank;
        printf(" %9.1f %-8s %9.3f %9.3f\n", 1e-9 * r->sgemm_flops_per_s,
               sgemm_way_name(r->sgemm_way), r->project_flops_per_s / r->sgemm_flops_per_s,
               engine_flops_per_s / r->sgemm_flops_per_s);
    } else {
        printf(" %9s %-8s %9s %9s\n", "-", "-", "-", "-");
    }
}

/* Bytes a row that no way of computing can do without, of embeddings that are on the device. */
static double bytes_moved(const table_row *row) {
    double windows = (double)row->window_rows / (double)row->observation_rows;
    return (double)sizeof(float) *
           (3.0 * (double)row->dim + 3.0 * (double)row->rank + windows * (double)row->rank);
}

static void print_device_engine_row(const table_row *row) {
    const measure_result *r = &row->result;
    print_rate(r->rows_per_s);
    print_rate(r->compute_rows_per_s);
    print_rate(r->rows_per_s / (double)row->observation_rows);
    print_rate(r->memory_rows_per_s);
    printf(" %9.1f %9.1f", r->request_p50_us, r->request_p99_us);
    print_share(r->rows_per_s * (double)row->dim * (double)sizeof(float), r->upload_bytes_per_s);
    print_share(r->compute_rows_per_s * 2.0 * (double)row->dim * (double)row->rank,
                r->product_flops_per_s);
    print_share(r->compute_rows_per_s * bytes_moved(row), 2.0 * r->copy_bytes_per_s);
    printf("\n");
}

void table_print_row(const table_row *row) {
    print_shape(row);
    if (row->skipped) {
        printf(" skipped: %s\n", row->result.error);
    } else if (table_on_device(row)) {
        print_device_engine_row(row);
    } else {
        print_processor_row(row);
    }
    fflush(stdout);
}

void table_print_memory(const table_row *rows, size_t count) {
    bool headed = false;
    for (size_t i = 0; i < count; i++) {
        const measure_result *r = &rows[i].result;
        if (rows[i].skipped || table_on_device(&rows[i]) || r->memory_rows_per_s <= 0.0) {
            continue;
        }
        if (!headed) {
            printf("\nmemory, microseconds a window\n");
            printf("%5s %5s %7s %5s %8s %5s %9s %9s %9s\n", "dim", "W", "classes", "rank",
                   "accounts", "q", "off", "on", "on/off");
            headed = true;
        }
        double observation = 1e6 * (double)rows[i].observation_rows;
        print_shape(&rows[i]);
        printf(" %5zu %9.2f %9.2f %9.2f\n", r->memory_rank, observation / r->rows_per_s,
               observation / r->memory_rows_per_s, r->rows_per_s / r->memory_rows_per_s);
    }
}

/* ---- the device alone ---- */

void table_print_device_head(void) {
    print_device();
    printf(
        "run      upload: a batch's embeddings from pinned memory; copy: on the device, bytes "
        "written;\n         cuBLAS: the batch's products in float32, all classes in one call\n\n");
    printf("%5s %7s %5s %9s %11s %9s %13s\n", "dim", "classes", "rank", "rows", "upload GB/s",
           "copy GB/s", "cuBLAS TF/s");
}

void table_print_device_row(const table_row *row) {
    printf("%5zu %7zu %5zu %9zu", row->dim, row->classes, row->rank,
           row->batch_accounts * row->observation_rows);
    if (row->skipped) {
        printf(" skipped: %s\n", row->result.error);
    } else {
        printf(" %11.2f %9.1f %13.3f\n", 1e-9 * row->result.upload_bytes_per_s,
               1e-9 * row->result.copy_bytes_per_s, 1e-12 * row->result.product_flops_per_s);
    }
    fflush(stdout);
}

void table_print_eigen_head(void) {
    printf("\neigenproblems a second, sums of roots in float64; own: over the better of "
           "cuSOLVER's two\n");
    printf("%5s %12s %12s %12s %9s\n", "order", "warp", "syevBatched", "syevjBatched", "own");
}

void table_print_eigen_row(const device_eigen *row) {
    double better = row->syev_per_s > row->syevj_per_s ? row->syev_per_s : row->syevj_per_s;
    printf("%5zu", row->order);
    print_rate(row->warp_per_s);
    print_rate(row->syev_per_s);
    print_rate(row->syevj_per_s);
    if (row->warp_per_s > 0.0 && better > 0.0) {
        printf(" %9.1f\n", row->warp_per_s / better);
    } else {
        printf(" %9s\n", "-");
    }
    fflush(stdout);
}
