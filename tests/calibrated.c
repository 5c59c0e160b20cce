/* calibrated.c - see calibrated.h. */
#include "calibrated.h"

#include <stdint.h>
#include <stdio.h>

#include "benign.h"
#include "child.h"
#include "dataset.h"

enum { QUERIES = 2000, ACCOUNTS = 400, CLASSES = 10 };

void calibrated_make(const char *directory, size_t dim, size_t window_rows) {
    static char error[512];
    char embeddings[CHILD_PATH_BYTES], classes[CHILD_PATH_BYTES];
    reference *made;
    dataset data = {0};
    snprintf(embeddings, sizeof embeddings, TEST_DATA "/d%zu/src/benign_test.emb.f16.npy", dim);
    snprintf(classes, sizeof classes, TEST_DATA "/d%zu/src/benign_test.pred.u8.npy", dim);
    dataset_files files = {.embeddings = embeddings,
                           .classes = classes,
                           .range = {0, SIZE_MAX, 2},
                           .dim = dim,
                           .class_count = CLASSES};
    if (!dataset_load(&data, &files, error, sizeof error) ||
        !reference_load(&made, directory, error, sizeof error)) {
        child_fail("%s", error);
    }
    benign_plan plan = {.data = &data,
                        .kinds = 1,
                        .window_rows = window_rows,
                        .fpr = 0.001,
                        .false_alarms = 0.001,
                        .queries = QUERIES,
                        .tolerance = 4.0,
                        .accounts = ACCOUNTS,
                        .seed = 1};
    if (!benign_measure(&plan, made, error, sizeof error) ||
        !reference_save_calibration(made, directory, error, sizeof error)) {
        child_fail("%s", error);
    }
    reference_close(made);
    dataset_close(&data);
}
