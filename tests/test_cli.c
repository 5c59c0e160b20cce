/*
 * test_cli.c - the command line as a user meets it: the commands in their usual order on real data,
 * and what each says when it is used wrongly or cannot do its work.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "daemon_fixture.h"

enum { PATH_BYTES = CHILD_PATH_BYTES * 2 };

#define SOURCE(name) TEST_DATA "/d64/src/" name
#define BENIGN SOURCE("benign_test.emb.f16.npy"), "--classes", SOURCE("benign_test.pred.u8.npy")
#define THIEF SOURCE("atk_cifar100.emb.f16.npy"), "--classes", SOURCE("atk_cifar100.pred.u8.npy")

/* The last argument is NULL. */
#define RUN(d, ...) run(d, (const char *const[]){ADDER_PATH, __VA_ARGS__, NULL})

static child_result run(const daemon_fixture *d, const char *const argv[]) {
    return child_run(d->folder, argv);
}

/* It went well, wrote nothing to stderr, where bars would be, and ends its last line. */
static char *output_of(child_result result) {
    cr_assert_eq(result.status, 0, "status %d: %s", result.status, result.err);
    cr_assert_str_empty(result.err, "in a pipe: %s", result.err);
    size_t length = strlen(result.out);
    cr_assert(length > 0 && result.out[length - 1] == '\n');
    free(result.err);
    return result.out;
}

static void expect(child_result result, int status, const char *word) {
    cr_assert_eq(result.status, status, "%s: status %d: %s", word, result.status, result.err);
    cr_assert(strstr(result.err, word), "%s is not in: %s", word, result.err);
    cr_assert(status != 1 || child_one_line(result.err), "more than a line: %s", result.err);
    cr_assert_str_empty(result.out);
    child_result_free(&result);
}

/* The number after `word`. */
static double number_after(const char *text, const char *word) {
    double number = NAN;
    const char *at = strstr(text, word);
    cr_assert(at != NULL && sscanf(at + strlen(word), "%lf", &number) == 1, "no %s in: %s", word,
              text);
    return number;
}

static json_t *load_json(const char *folder, const char *name) {
    char path[PATH_BYTES];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    json_t *json = json_load_file(path, 0, &error);
    cr_assert(json, "%s: %s", path, error.text);
    return json;
}

static double calibrate(const daemon_fixture *d) {
    char *out = output_of(RUN(d, "calibrate", "--reference", d->reference, "--embeddings", BENIGN,
                              "--rows", "0::2", "--window", "16", "--windows", "20000",
                              "--accounts", "400", "--queries", "1000"));
    double threshold = number_after(out, "threshold ");
    cr_assert(threshold > 20.0 && threshold < 24.0, "%s", out);
    free(out);
    return threshold;
}

/* ---- offline ---- */

Test(cli, calibrate_writes_the_threshold_into_the_reference) {
    daemon_fixture d;
    daemon_open(&d, 64);
    double printed = calibrate(&d);
    json_t *json = load_json(d.reference, "reference.json");
    const json_t *thresholds = json_object_get(json, "thresholds");
    const json_t *first = json_array_get(thresholds, 0);
    cr_assert_eq(json_array_size(thresholds), 1);
    cr_assert_eq(json_integer_value(json_object_get(first, "window")), 16);
    cr_assert_eq(json_integer_value(json_object_get(first, "windows")), 20000);
    cr_assert_eq(json_integer_value(json_object_get(first, "rows")), 2500);
    cr_assert_eq(json_number_value(json_object_get(first, "fpr")), 0.001);
    double written = json_number_value(json_object_get(first, "threshold"));
    cr_assert_leq(fabs(written - printed), 1e-4, "printed with six digits");
    json_decref(json);
    cr_assert_eq(calibrate(&d), printed, "the same seed draws the same windows");
    json = load_json(d.reference, "reference.json");
    cr_assert_eq(json_array_size(json_object_get(json, "thresholds")), 1, "in place of the first");
    json_decref(json);
    daemon_close(&d);
}

/* The report's entry of one source. */
static const json_t *source_of(const json_t *report, const char *name) {
    const json_t *entry = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(report, "sources"), i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0) {
            return entry;
        }
    }
    cr_assert_fail("%s is not in the report", name);
    return NULL;
}

Test(cli, evaluate_tells_thieves_from_honest_queries) {
    daemon_fixture d;
    char report_path[PATH_BYTES];
    daemon_open(&d, 64);
    calibrate(&d);
    char *out = output_of(RUN(&d, "evaluate", "--reference", d.reference, "--benign",
                              SOURCE("benign_test"), "--attack", SOURCE("atk"), "--benign-rows",
                              "1::2", "--windows", "2000", "--accounts", "20", "--queries", "320",
                              "--out", daemon_path(&d, "report", report_path)));
    cr_assert(strstr(out, "atk_cifar100") && strstr(out, "benign_test") && strstr(out, "AUROC"));
    free(out);
    json_t *report = load_json(report_path, "evaluate.json");
    const json_t *honest = source_of(report, "benign_test");
    const json_t *thief = source_of(report, "atk_cifar100");
    cr_assert_eq(json_array_size(json_object_get(report, "sources")), 7);
    cr_assert_null(json_object_get(honest, "auroc"));
    cr_assert_gt(json_number_value(json_object_get(thief, "auroc")), 0.99);
    cr_assert_eq(json_number_value(json_object_get(source_of(report, "atk_noise_gauss"), "auroc")),
                 1.0);
    /* 0.1 % asked for; of 2000 windows of other rows a few more may lie above. */
    cr_assert_leq(json_number_value(json_object_get(honest, "above")), 0.005);
    cr_assert_geq(json_number_value(json_object_get(thief, "above")), 0.9);
    json_decref(report);
    char *histogram, path[PATH_BYTES * 2];
    snprintf(path, sizeof path, "%s/histogram.tsv", report_path);
    histogram = child_read(path, NULL);
    cr_assert_eq(strncmp(histogram, "score\tbenign_test\t", 18), 0);
    free(histogram);
    daemon_close(&d);
}

/* The share of a group's accounts that a detector has flagged at its first horizon, or its last. */
static double flagged(const json_t *report, const char *source, const char *kind,
                      const char *detector, bool last) {
    const json_t *entry = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(report, "accounts"), i, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "source")), source) == 0 &&
            strcmp(json_string_value(json_object_get(entry, "kind")), kind) == 0) {
            const json_t *horizons = json_object_get(entry, "horizons");
            size_t at = last ? json_array_size(horizons) - 1 : 0;
            const json_t *by = json_object_get(json_array_get(horizons, at), "detectors");
            const json_t *share = json_object_get(json_object_get(by, detector), "flagged");
            return json_number_value(json_object_get(share, "share"));
        }
    }
    cr_assert_fail("%s, %s is not in the report", source, kind);
    return NAN;
}

Test(cli, evaluate_simulates_accounts_and_the_same_command_says_the_same) {
    daemon_fixture d;
    char report_path[PATH_BYTES], path[PATH_BYTES * 2];
    daemon_open(&d, 64);
    calibrate(&d);
    daemon_path(&d, "report", report_path);
    char *out[2], *page[2];
    snprintf(path, sizeof path, "%s/report.html", report_path);
    for (size_t i = 0; i < 2; i++) {
        out[i] = output_of(RUN(&d, "evaluate", "--reference", d.reference, "--benign",
                               SOURCE("benign_test"), "--attack", SOURCE("atk_noise"), "--shifted",
                               SOURCE("benign_shift"), "--shifted-rows", "1::2", "--benign-rows",
                               "1::2", "--calibration-rows", "0::2", "--windows", "500",
                               "--accounts", "50", "--queries", "640", "--out", report_path));
        page[i] = child_read(path, NULL);
    }
    cr_assert_str_eq(out[0], out[1]);
    cr_assert_str_eq(page[0], page[1]);
    cr_assert(strstr(page[0], "<svg") && !strstr(page[0], "<script"));
    json_t *report = load_json(report_path, "evaluate.json");
    /* 0.1 % of accounts in 10,000 queries are asked for; none of 50 in 640 is all but certain. */
    cr_assert_eq(flagged(report, "benign_test", "honest, all classes", "evidence", true), 0.0);
    cr_assert_eq(flagged(report, "benign_test", "honest, one class", "evidence", true), 0.0);
    cr_assert_eq(flagged(report, "atk_noise_gauss", "unmixed", "evidence", false), 1.0);
    cr_assert_eq(flagged(report, "atk_noise_gauss", "unmixed", "raw_add", false), 1.0);
    cr_assert_eq(flagged(report, "atk_noise_gauss", "unmixed", "mahalanobis", false), 1.0);
    cr_assert_eq(json_array_size(json_object_get(report, "goals")), 11);
    json_decref(report);
    for (size_t i = 0; i < 2; i++) {
        free(out[i]);
        free(page[i]);
    }
    expect(RUN(&d, "evaluate", "--reference", d.reference, "--benign", SOURCE("benign_test"),
               "--attack", SOURCE("atk_noise"), "--benign-rows", "1::2", "--calibration-rows",
               "0::3", "--out", report_path),
           1, "no row of benign_test in both");
    daemon_close(&d);
}

Test(cli, fit_makes_a_reference_from_rows_and_labels) {
    daemon_fixture d;
    char out_path[PATH_BYTES];
    daemon_open(&d, 64);
    char *out = output_of(RUN(&d, "fit", "--embeddings", SOURCE("benign_test.emb.f16.npy"),
                              "--labels", SOURCE("benign_test.pred.u8.npy"), "--model", "mine",
                              "--window", "8", "--out", daemon_path(&d, "rows", out_path)));
    cr_assert_eq(number_after(out, ": "), 10.0, "%s", out);
    cr_assert_eq(number_after(out, "dim "), 64.0);
    free(out);
    json_t *json = load_json(out_path, "reference.json");
    cr_assert_str_eq(json_string_value(json_object_get(json, "model")), "mine");
    cr_assert_eq(json_integer_value(json_object_get(json, "window")), 8);
    json_decref(json);
    daemon_close(&d);
}

/* ---- with the daemon ---- */

static void replay_as(const daemon_fixture *d, const char *account, bool hostile) {
    char *out = hostile ? output_of(RUN(d, "replay", "--connect", d->url, "--account", account,
                                        "--rows", "0:200", "--embeddings", THIEF))
                        : output_of(RUN(d, "replay", "--connect", d->url, "--account", account,
                                        "--rows", "1:400:2", "--embeddings", BENIGN));
    double queries = number_after(out, "queries"), poisoned = number_after(out, "poisoned");
    cr_assert_eq(queries, 200.0, "%s", out);
    if (hostile) {
        double first = number_after(out, "first flagged at");
        cr_assert(first >= 1.0 && first <= 64.0, "%s", out);
        cr_assert_geq(poisoned, 100.0, "%s", out);
        cr_assert_gt(number_after(out, "highest of full windows"), 21.0);
    } else {
        cr_assert(strstr(out, "never") && poisoned == 0.0, "%s", out);
        cr_assert_lt(number_after(out, "highest of full windows"), 22.5);
    }
    cr_assert_gt(number_after(out, "queries/s"), 0.0);
    cr_assert_leq(number_after(out, "p50"), number_after(out, "p99"));
    free(out);
}

Test(cli, the_daemon_picks_the_calibration_up_flags_the_thief_and_explains_it) {
    daemon_fixture d;
    daemon_open(&d, 64);
    calibrate(&d);
    daemon_start(&d, DAEMON_NO_FLAGS);
    char *info = output_of(RUN(&d, "info", "--connect", d.url));
    cr_assert(strstr(info, "mode           enforce, action poison"), "%s", info);
    cr_assert(strstr(info, "evidence       flags at most 0.001 of honest accounts"), "%s", info);
    cr_assert_eq(number_after(info, "window"), 16.0);
    free(info);
    replay_as(&d, "alice", false);
    replay_as(&d, "mallory", true);
    char *why = output_of(RUN(&d, "explain", "mallory", "--connect", d.url));
    cr_assert(strstr(why, "verdict          flagged, by what its queries add up to"), "%s", why);
    cr_assert_eq(number_after(why, "\nqueries"), 200.0, "%s", why);
    cr_assert_gt(number_after(why, "\nevidence"), 1.0, "%s", why);
    cr_assert_gt(number_after(why, "\nexcess"), 3.0, "%s", why);
    free(why);
    why = output_of(RUN(&d, "explain", "alice", "--connect", d.url));
    cr_assert(strstr(why, "verdict          clean\n"), "%s", why);
    free(why);
    why = output_of(RUN(&d, "explain", "alice", "--group", "--connect", d.url));
    cr_assert_str_eq(why, "not known\n");
    free(why);
    info = output_of(RUN(&d, "info", "--connect", d.url));
    cr_assert_eq(number_after(info, "accounts"), 2.0, "%s", info);
    cr_assert_eq(number_after(info, "rows scored"), 400.0, "%s", info);
    cr_assert_eq(number_after(info, "dim"), 64.0);
    cr_assert_eq(number_after(info, "classes"), 10.0);
    free(info);
    daemon_stop(&d);
    /* A flag is above the reference. */
    daemon_start(&d, DAEMON_FLAGS("--threshold", "33"));
    info = output_of(RUN(&d, "info", "--connect", d.url));
    cr_assert_eq(number_after(info, "threshold"), 33.0);
    free(info);
    daemon_stop(&d);
    daemon_close(&d);
}

Test(cli, ping_and_forget_say_what_they_found) {
    daemon_fixture d;
    daemon_open(&d, 64);
    daemon_start(&d, DAEMON_NO_FLAGS);
    char *out = output_of(RUN(&d, "ping", "--connect", d.url));
    cr_assert(number_after(out, "answered in") > 0.0);
    free(out);
    replay_as(&d, "alice", false);
    out = output_of(RUN(&d, "forget", "alice", "--connect", d.url));
    cr_assert_str_eq(out, "forgotten\n");
    free(out);
    out = output_of(RUN(&d, "forget", "alice", "--connect", d.url));
    cr_assert_str_eq(out, "not known\n");
    free(out);
    out = output_of(RUN(&d, "info", "--connect", d.url));
    cr_assert(strstr(out, "every decision is allow"), "%s", out);
    free(out);
    daemon_stop(&d);
    daemon_close(&d);
}

Test(cli, demo_prints_a_line_for_every_account) {
    daemon_fixture d;
    daemon_open(&d, 64);
    calibrate(&d);
    daemon_start(&d, DAEMON_NO_FLAGS);
    char *out = output_of(RUN(&d, "demo", "--connect", d.url, "--data", TEST_DATA "/d64/src",
                              "--benign-rows", "1::2", "--queries", "64"));
    cr_assert(strstr(out, "alice") && strstr(out, "mallory-6") && strstr(out, "oscar"), "%s", out);
    free(out);
    daemon_stop(&d);
    daemon_close(&d);
}

/* ---- wrongly used, or in vain ---- */

static const char *const commands[] = {"fit",  "calibrate", "evaluate", "replay", "demo",
                                       "ping", "info",      "explain",  "forget"};
enum { COMMANDS = sizeof commands / sizeof *commands };

Test(cli, every_command_has_help) {
    daemon_fixture d;
    daemon_open(&d, 64);
    char *all = output_of(RUN(&d, "--help"));
    for (size_t i = 0; i < COMMANDS; i++) {
        cr_assert(strstr(all, commands[i]), "%s", commands[i]);
        char *out = output_of(RUN(&d, commands[i], "--help"));
        cr_assert(strstr(out, "Usage:") && strstr(out, commands[i]), "%s", out);
        free(out);
    }
    free(all);
    daemon_close(&d);
}

Test(cli, wrong_usage_ends_with_status_2) {
    daemon_fixture d;
    daemon_open(&d, 64);
    for (size_t i = 0; i < COMMANDS; i++) {
        expect(RUN(&d, commands[i]), 2, commands[i]);
        expect(RUN(&d, commands[i], "--no-such-flag"), 2, "no-such-flag");
    }
    expect(RUN(&d, "steal"), 2, "no such command");
    expect(run(&d, (const char *const[]){ADDER_PATH, NULL}), 2, "command");
    expect(RUN(&d, "forget", "a", "b", "--connect", d.url), 2, "'b'");
    expect(RUN(&d, "ping", "--connect", d.url, "--timeout", "soon"), 2, "soon");
    expect(
        RUN(&d, "calibrate", "--reference", d.reference, "--embeddings", BENIGN, "--rows", "5:2"),
        2, "5:2");
    expect(RUN(&d, "calibrate", "--reference", d.reference, "--embeddings", BENIGN, "--fpr", "2"),
           2, "--fpr");
    expect(RUN(&d, "fit", "--mean", "m", "--labels", "l", "--out", "o"), 2, "expected");
    daemon_close(&d);
}

Test(cli, failures_end_with_status_1_and_one_line, .timeout = 60) {
    daemon_fixture d;
    char nowhere[PATH_BYTES], report[PATH_BYTES];
    daemon_open(&d, 64);
    daemon_path(&d, "nowhere", nowhere);
    daemon_path(&d, "report", report);
    expect(RUN(&d, "ping", "--connect", d.url, "--timeout", "100"), 1, d.url);
    expect(RUN(&d, "info", "--connect", "udp://here"), 1, "udp://here");
    expect(RUN(&d, "forget", "a", "--connect", d.url, "--timeout", "100"), 1, d.url);
    expect(RUN(&d, "replay", "--connect", d.url, "--timeout", "100", "--account", "a",
               "--embeddings", THIEF),
           1, d.url);
    expect(RUN(&d, "replay", "--connect", d.url, "--account", "a", "--embeddings", nowhere,
               "--classes", nowhere),
           1, "nowhere");
    expect(RUN(&d, "calibrate", "--reference", nowhere, "--embeddings", BENIGN), 1, "nowhere");
    expect(
        RUN(&d, "calibrate", "--reference", d.reference, "--embeddings", BENIGN, "--rows", "0:10"),
        1, "16 rows");
    expect(RUN(&d, "evaluate", "--reference", d.reference, "--benign", SOURCE("benign"), "--attack",
               SOURCE("atk"), "--out", report),
           1, "calibrate first");
    expect(RUN(&d, "fit", "--mean", nowhere, "--covariance", nowhere, "--out", report), 1,
           "nowhere");
    /* Labels of another length, and data where labels should be. */
    expect(RUN(&d, "fit", "--embeddings", SOURCE("benign_test.emb.f16.npy"), "--labels",
               SOURCE("atk_jbda.pred.u8.npy"), "--out", report),
           1, "atk_jbda");
    expect(RUN(&d, "fit", "--embeddings", SOURCE("benign_test.emb.f16.npy"), "--labels",
               SOURCE("benign_test.emb.f16.npy"), "--out", report),
           1, "benign_test");
    daemon_close(&d);
}

Test(cli, values_that_are_not_finite_are_a_failure) {
    daemon_fixture d;
    char spoilt[PATH_BYTES], out[PATH_BYTES];
    const uint16_t not_a_number = 0x7e00; /* float16 */
    const float infinite = INFINITY;
    size_t bytes;
    daemon_open(&d, 64);
    daemon_path(&d, "spoilt.npy", spoilt);
    daemon_path(&d, "out", out);
    char *file = child_read(SOURCE("benign_test.emb.f16.npy"), &bytes);
    memcpy(file + bytes - sizeof not_a_number, &not_a_number, sizeof not_a_number);
    child_write(spoilt, file, bytes);
    free(file);
    expect(RUN(&d, "calibrate", "--reference", d.reference, "--embeddings", spoilt, "--classes",
               SOURCE("benign_test.pred.u8.npy")),
           1, "spoilt.npy");
    expect(RUN(&d, "fit", "--embeddings", spoilt, "--labels", SOURCE("benign_test.pred.u8.npy"),
               "--out", out),
           1, "spoilt.npy");
    file = child_read(TEST_DATA "/d64/ref_cov.f32.npy", &bytes);
    memcpy(file + bytes - sizeof infinite, &infinite, sizeof infinite);
    child_write(spoilt, file, bytes);
    free(file);
    expect(RUN(&d, "fit", "--mean", TEST_DATA "/d64/ref_mean.f32.npy", "--covariance", spoilt,
               "--out", out),
           1, "spoilt.npy");
    daemon_close(&d);
}
