/*
 * test_cli_top.c - the command line over HTTP: `adder top`, `info` and `explain` at the admin port
 * of a real daemon, with names that would harm a terminal, and at what is no daemon.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon_ask.h"
#include "daemon_fixture.h"
#include "scrape.h"
#include "visible.h"

enum { DIM = 64, URL_BYTES = 64, PATH_BYTES = CHILD_PATH_BYTES * 2 };

/* The last argument is NULL. */
#define RUN(d, ...) child_run((d)->folder, (const char *const[]){ADDER_PATH, __VA_ARGS__, NULL})

static char *output_of(child_result result) {
    cr_assert_eq(result.status, 0, "status %d: %s", result.status, result.err);
    cr_assert_str_empty(result.err, "%s", result.err);
    free(result.err);
    return result.out;
}

static void fails(child_result result, int status, const char *word) {
    cr_assert_eq(result.status, status, "%s: status %d: %s", word, result.status, result.err);
    cr_assert(strstr(result.err, word), "%s is not in: %s", word, result.err);
    cr_assert(status != 1 || child_one_line(result.err), "%s", result.err);
    cr_assert_str_empty(result.out);
    child_result_free(&result);
}

static void has(const char *text, const char *word) {
    cr_assert(strstr(text, word), "%s is not in:\n%s", word, text);
}

static void url_of(const daemon_fixture *d, char url[URL_BYTES]) {
    snprintf(url, URL_BYTES, "http://127.0.0.1:%d", scrape_port(d));
}

/* Of two texts the lines whose first word is in `skip` are left out. */
static void same_but(const char *a, const char *b, const char *skip) {
    while (*a != '\0' || *b != '\0') {
        size_t of_a = strcspn(a, "\n"), of_b = strcspn(b, "\n");
        char word[32] = "";
        sscanf(a, "%31s", word);
        bool skipped = word[0] != '\0' && strstr(skip, word) != NULL;
        cr_assert(skipped || (of_a == of_b && memcmp(a, b, of_a) == 0), "%.*s\n%.*s", (int)of_a, a,
                  (int)of_b, b);
        a += of_a + (a[of_a] == '\n');
        b += of_b + (b[of_b] == '\n');
    }
}

Test(top, info_and_explain_say_the_same_over_http_as_over_the_wire, .timeout = 60) {
    daemon_fixture d;
    char url[URL_BYTES];
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--threshold", "20"));
    url_of(&d, url);
    static const char *const names[] = {"alice", "a b&c=d%00#?/+", "\xe2\x82\xac\xe2\x80\xae"};
    char *http = output_of(RUN(&d, "info", "--connect", url));
    char *wire = output_of(RUN(&d, "info", "--connect", d.url));
    same_but(http, wire, "up rows"); /* and requests answered, which the asking itself is */
    free(http);
    free(wire);
    for (size_t i = 0; i < 3; i++) {
        ask_last(d.client, names[i], &rows, 0, 16);
        http = output_of(RUN(&d, "explain", "--connect", url, names[i]));
        wire = output_of(RUN(&d, "explain", "--connect", d.url, names[i]));
        cr_assert_str_eq(http, wire);
        has(http, "verdict          flagged, by its windows");
        free(http);
        free(wire);
    }
    http = output_of(RUN(&d, "explain", "--connect", url, "--group", "alice"));
    cr_assert_str_eq(http, "not known\n");
    free(http);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

Test(top, one_frame_tells_of_the_daemon_and_of_its_riskiest, .timeout = 60) {
    daemon_fixture d;
    char url[URL_BYTES];
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--engine", "cpu", "--threshold", "20",
                                  "--max-accounts", "64"));
    url_of(&d, url);
    ask_last(d.client, "evil \x1b]0;owned\x07\x1b[2J name", &rows, 0, 16);
    ask_last(d.client, "\xe2\x80\xaegnp.exe", &rows, 0, 16);
    ask_last(d.client, "quiet", &rows, 0, 1);
    char *out = output_of(RUN(&d, "top", "--connect", url, "--once", "--every", "100"));
    has(out, "engine cpu");
    has(out, "ready");
    has(out, "accounts   3 of 64  evicted 0  flagged 2");
    has(out, "refusals   none since start");
    has(out, "rows/s by  allow ");
    has(out, "evil \\u{1b}]0;owned\\u{7}\\u{1b}[2J name");
    has(out, "\\u{202e}gnp.exe");
    cr_assert_null(strchr(out, '\x1b'), "an escape sequence in a pipe");
    cr_assert_null(strchr(out, '\x07'));
    free(out);
    out = output_of(RUN(&d, "top", "--connect", url, "--once", "--every", "100", "-n", "1"));
    int shown = (strstr(out, "quiet") != NULL) + (strstr(out, "gnp.exe") != NULL) +
                (strstr(out, "evil") != NULL);
    cr_assert_eq(shown, 1, "%s", out);
    free(out);
    fails(RUN(&d, "top", "--connect", url, "--once", "--model", "other"), 1, "model");
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

static void ask_model(const daemon_fixture *d, const char *model, const char *account,
                      const fixture_rows *rows, size_t count) {
    adder_reply *reply;
    adder_error error;
    const char *accounts[] = {account, account, account, account};
    adder_rows asked = {.count = count,
                        .dim = DIM,
                        .accounts = accounts,
                        .classes = rows->classes,
                        .embeddings = rows->embeddings,
                        .model = model};
    cr_assert_eq(adder_score(d->client, &asked, &reply, &error), ADDER_OK, "%s", error.text);
    adder_reply_free(reply);
}

Test(top, of_several_models_one_is_asked_about, .timeout = 60) {
    daemon_fixture d;
    char url[URL_BYTES], file[PATH_BYTES], second[PATH_BYTES], yaml[4 * PATH_BYTES];
    fixture_rows rows = fixture_source(DIM, "atk_cifar100");
    daemon_open(&d, DIM);
    free(output_of(RUN(&d, "fit", "--mean", TEST_DATA "/d64/ref_mean.f32.npy", "--covariance",
                       TEST_DATA "/d64/ref_cov.f32.npy", "--out", daemon_path(&d, "second", second),
                       "--model", "two")));
    int length = snprintf(yaml, sizeof yaml,
                          "listen: %s\nengine: cpu\nthreads: 1\nadmin: \"0\"\nmodels:\n"
                          "  - reference: %s\n  - reference: %s\n",
                          d.url, d.reference, second);
    child_write(daemon_path(&d, "adder.yaml", file), yaml, (size_t)length);
    daemon_start_as(&d, (const char *const[]){ADDERD_PATH, "--config", file, NULL});
    url_of(&d, url);
    ask_model(&d, "default", "alice", &rows, 2);
    ask_model(&d, "two", "alice", &rows, 4);
    ask_model(&d, "two", "bob", &rows, 1);
    fails(RUN(&d, "explain", "--connect", url, "alice"), 1, "model: expected");
    fails(RUN(&d, "explain", "--connect", url, "alice", "--model", "three"), 1,
          "one that is served");
    char *out = output_of(RUN(&d, "explain", "--connect", url, "alice", "--model", "two"));
    has(out, "window           4 of 16 rows");
    free(out);
    out = output_of(RUN(&d, "explain", "--connect", url, "bob", "--model", "default"));
    cr_assert_str_eq(out, "not known\n");
    free(out);
    out = output_of(RUN(&d, "top", "--connect", url, "--once", "--every", "100"));
    has(out, "accounts   3 of "); /* of all models; whose are the riskiest must be said */
    cr_assert_null(strstr(out, "alice"));
    free(out);
    out = output_of(
        RUN(&d, "top", "--connect", url, "--once", "--every", "100", "--model", "default"));
    has(out, "alice");
    cr_assert_null(strstr(out, "bob"));
    free(out);
    daemon_stop(&d);
    daemon_close(&d);
    fixture_rows_free(&rows);
}

Test(top, the_token_is_needed_and_not_printed, .timeout = 60) {
    daemon_fixture d;
    char url[URL_BYTES], token[PATH_BYTES], other[PATH_BYTES];
    daemon_open(&d, DIM);
    child_write(daemon_path(&d, "token", token), "open-sesame\n", 12);
    child_write(daemon_path(&d, "other", other), "sesame\n", 7);
    cr_assert(chmod(token, 0600) == 0 && chmod(other, 0600) == 0);
    daemon_start(&d, DAEMON_FLAGS("--admin", "0", "--admin-token-file", token));
    url_of(&d, url);
    fails(RUN(&d, "top", "--connect", url, "--once"), 1, "--token-file");
    fails(RUN(&d, "info", "--connect", url, "--token-file", other), 1, "token");
    fails(RUN(&d, "explain", "--connect", url, "alice", "--token-file", d.folder), 1, "one line");
    free(output_of(RUN(&d, "info", "--connect", url, "--token-file", token)));
    free(output_of(
        RUN(&d, "top", "--connect", url, "--token-file", token, "--once", "--every", "100")));
    daemon_stop(&d);
    daemon_close(&d);
}

Test(top, what_is_not_usable_is_said_in_one_line, .timeout = 60) {
    daemon_fixture d;
    char refused[URL_BYTES];
    daemon_open(&d, DIM);
    snprintf(refused, sizeof refused, "http://127.0.0.1:%d", scrape_free_port());
    fails(RUN(&d, "top", "--connect", refused, "--once"), 1, "connect");
    fails(RUN(&d, "info", "--connect", refused), 1, "connect");
    fails(RUN(&d, "top", "--once"), 2, "--connect");
    fails(RUN(&d, "top", "--connect", refused, "x"), 2, "unexpected");
    static const char *const urls[] = {"ipc:///x",     "https://127.0.0.1:1", "file:///etc/passwd",
                                       "http://",      "http://a/b",          "http://u:p@a:1",
                                       "http://a?x=1", "127.0.0.1:80"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        fails(RUN(&d, "top", "--connect", urls[i], "--once"), 1, "http://HOST:PORT");
    }
    daemon_close(&d);
}

/* ---- what answers and is no adderd ---- */

/* Answers one connection with this and ends. */
static pid_t serve_once(int *port, const char *answer, size_t bytes) {
    int listening = scrape_listen(port);
    pid_t child = fork();
    if (child == 0) {
        char request[4096];
        int file = accept(listening, NULL, NULL);
        if (read(file, request, sizeof request) > 0) {
            for (size_t at = 0; at < bytes;) {
                ssize_t sent = send(file, answer + at, bytes - at, MSG_NOSIGNAL);
                if (sent <= 0) {
                    break;
                }
                at += (size_t)sent;
            }
        }
        _exit(0);
    }
    close(listening);
    return child;
}

static void fails_at(daemon_fixture *d, const char *answer, size_t bytes, const char *word) {
    char url[URL_BYTES];
    int port;
    pid_t child = serve_once(&port, answer, bytes);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    fails(RUN(d, "explain", "--connect", url, "alice"), 1, word);
    child_wait(child);
}

Test(top, who_answers_something_else_is_not_believed, .timeout = 60) {
    static const char *const answers[][2] = {
        {"HTTP/1.1 200 OK\r\n\r\nhello", "JSON"},
        {"HTTP/1.1 200 OK\r\n\r\n[1]", "JSON"},
        {"HTTP/1.1 404 No\r\n\r\nnot found", "404"},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", "302"},
        {"HTTP/1.1 500 No\r\n\r\n{\"error\":\"\\u001b[2J\"}", "500"},
        {"HTTP/1.1 200 OK\r\n\r\n{}", "not as expected"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"is_group\":false,\"verdict\":\"mad\"}", "verdict"},
        {"SSH-2.0-x\r\n", "http://"},
    };
    daemon_fixture d;
    daemon_open(&d, DIM);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        fails_at(&d, answers[i][0], strlen(answers[i][0]), answers[i][1]);
    }
    static const char head[] = "HTTP/1.1 200 OK\r\n\r\n";
    size_t bytes = 5 << 20; /* more than FETCH_REPLY_BYTES_MAX */
    char *long_one = malloc(bytes);
    memset(long_one, ' ', bytes);
    memcpy(long_one, head, sizeof head - 1);
    fails_at(&d, long_one, bytes, "too long");
    free(long_one);
    daemon_close(&d);
}

/* ---- text ---- */

static void expect_visible(const char *text, size_t characters, const char *expected) {
    char *out = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&out, &bytes);
    visible_write(file, text, strlen(text), characters);
    fclose(file);
    cr_assert_str_eq(out, expected);
    cr_assert_eq(visible_is_plain(text), strchr(expected, '\\') == NULL);
    free(out);
}

Test(visible, only_what_can_be_read_is_printed_as_it_is) {
    expect_visible("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", 99,
                   "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_visible("\x1b[31m\r\n\x7f\xc2\x9b", 99, "\\u{1b}[31m\\u{d}\\u{a}\\u{7f}\\u{9b}");
    expect_visible("\xe2\x80\x8b\xef\xbb\xbf\xf3\xa0\x81\x81", 99, "\\u{200b}\\u{feff}\\u{e0041}");
    expect_visible("\xff\xc3(\xed\xa0\x80\xc0\x80\xf4", 99,
                   "\\x{ff}\\x{c3}(\\x{ed}\\x{a0}\\x{80}\\x{c0}\\x{80}\\x{f4}");
    expect_visible("abcdef", 6, "abcdef");
    expect_visible("abcdef", 5, "abcd...");
}
