/*
 * top_frame.c - see top_frame.h.
 */
#include "top_frame.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "visible.h"

enum { BUCKETS_MAX = 64, TEXT_MAX = 64, NUMBERS_COLUMNS = 56 };

/* ---- what the documents hold ---- */

static double number_in(const json_t *document, const char *name) {
    const json_t *value = json_object_get(document, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* Not a key's, and nothing is taken for the empty text. */
static const char *text_in(const json_t *document, const char *name) {
    const char *text = json_string_value(json_object_get(document, name));
    return text != NULL && text[0] != '\0' ? text : "-";
}

static void write_text(FILE *out, const char *text) {
    visible_write(out, text, strlen(text), TEXT_MAX);
}

static double sum_of(const json_t *object) {
    double sum = 0.0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        sum += json_is_number(value) ? json_number_value(value) : 0.0;
    }
    return sum;
}

static double seconds_between(const top_frame *f) {
    return (number_in(f->now, "clock_ms") - number_in(f->before, "clock_ms")) / 1e3;
}

/* A second; NaN where no time has passed, or the daemon is another than before. */
static double rate(const top_frame *f, double before, double now) {
    double took = seconds_between(f);
    return took > 0.0 && now >= before ? (now - before) / took : (double)NAN;
}

static double rate_of(const top_frame *f, const char *object, const char *name) {
    return rate(f, number_in(json_object_get(f->before, object), name),
                number_in(json_object_get(f->now, object), name));
}

static double rate_of_all(const top_frame *f, const char *object) {
    return rate(f, sum_of(json_object_get(f->before, object)),
                sum_of(json_object_get(f->now, object)));
}

/* Of what came into a histogram between the looks; even within a bucket, and above all bounds the
 * last of them. NaN: nothing came. */
static double quantile(const top_frame *f, const char *name, double q) {
    const json_t *now = json_object_get(f->now, name), *before = json_object_get(f->before, name);
    const json_t *bounds = json_object_get(now, "bounds");
    size_t count = json_array_size(bounds);
    double in[BUCKETS_MAX + 1], all = 0.0, below = 0.0;
    if (count == 0 || count > BUCKETS_MAX) {
        return (double)NAN;
    }
    for (size_t i = 0; i <= count; i++) {
        in[i] = json_number_value(json_array_get(json_object_get(now, "counts"), i)) -
                json_number_value(json_array_get(json_object_get(before, "counts"), i));
        all += in[i];
    }
    for (size_t i = 0; all > 0.0 && i < count; i++) {
        if (below + in[i] >= q * all) {
            double low = i > 0 ? json_number_value(json_array_get(bounds, i - 1)) : 0.0;
            double high = json_number_value(json_array_get(bounds, i));
            return low + (high - low) * (q * all - below) / in[i];
        }
        below += in[i];
    }
    return all > 0.0 ? json_number_value(json_array_get(bounds, count - 1)) : (double)NAN;
}

/* ---- how numbers are written ---- */

static const char *number(double value, int decimals, char text[TEXT_MAX]) {
    if (!isfinite(value)) {
        return "-";
    }
    snprintf(text, TEXT_MAX, "%.*f", fabs(value) < 1e9 ? decimals : 0, value);
    return text;
}

static const char *whole(double value, char text[TEXT_MAX]) {
    return number(value, 0, text);
}

static const char *milliseconds(double seconds, char text[TEXT_MAX]) {
    return number(seconds * 1e3, seconds < 0.01 ? 3 : 1, text);
}

/* ---- the lines ---- */

static void write_head(const top_frame *f, FILE *out) {
    char text[TEXT_MAX];
    const json_t *ready = json_object_get(f->now, "ready"),
                 *gauges = json_object_get(f->now, "now");
    fputs("adder ", out);
    write_text(out, text_in(f->info, "version"));
    fputs("  ", out);
    write_text(out, f->where);
    fputs("  engine ", out);
    write_text(out, text_in(f->info, "engine"));
    fprintf(out, "  up %s s  ", whole(number_in(f->info, "uptime_s"), text));
    write_text(out, json_is_true(ready) ? "ready" : text_in(f->now, "reason"));
    fprintf(out, "%s\n", json_is_true(json_object_get(gauges, "degraded")) ? "  DEGRADED" : "");
}

static void write_traffic(const top_frame *f, FILE *out) {
    char text[4][TEXT_MAX];
    const json_t *now = json_object_get(f->now, "now");
    fprintf(out, "rows/s     %s",
            number(rate(f, number_in(f->before, "rows"), number_in(f->now, "rows")), 1, text[0]));
    fprintf(out, "  requests/s %s", number(rate_of_all(f, "requests"), 1, text[0]));
    fprintf(out, "  refused/s %s\n", number(rate_of_all(f, "refusals"), 1, text[0]));
    fprintf(out, "latency    p50 %s ms  p99 %s ms\n",
            milliseconds(quantile(f, "request_seconds", 0.50), text[0]),
            milliseconds(quantile(f, "request_seconds", 0.99), text[1]));
    fprintf(out, "queue      %s requests  %s rows  in flight %s\n",
            whole(number_in(now, "queue_requests"), text[0]),
            whole(number_in(now, "queue_rows"), text[1]),
            whole(number_in(now, "in_flight"), text[2]));
}

static void write_decisions(const top_frame *f, FILE *out) {
    static const char *const names[] = {"allow", "poison", "warming", "label_only"};
    fputs("rows/s by  ", out);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[TEXT_MAX];
        fprintf(out, "%s%s %s", i > 0 ? "  " : "", names[i],
                number(rate_of(f, "decisions", names[i]), 1, text));
    }
    fputc('\n', out);
}

/* Those that there have been, since the start. */
static void write_refusals(const top_frame *f, FILE *out) {
    const char *code;
    json_t *count;
    bool some = false;
    fputs("refusals  ", out);
    json_object_foreach(json_object_get(f->now, "refusals"), code, count) {
        if (json_integer_value(count) > 0) {
            fputc(' ', out);
            write_text(out, code);
            fprintf(out, " %" PRId64, (int64_t)json_integer_value(count));
            some = true;
        }
    }
    fputs(some ? " since start\n" : " none since start\n", out);
}

static void write_held(const top_frame *f, FILE *out) {
    char text[4][TEXT_MAX];
    const json_t *now = json_object_get(f->now, "now");
    fprintf(out, "accounts   %s of %s  evicted %s  flagged %s  memory %s MB\n",
            whole(number_in(now, "accounts"), text[0]),
            whole(number_in(now, "accounts_max"), text[1]),
            whole(number_in(now, "evictions"), text[2]),
            whole(number_in(f->accounts, "flagged"), text[3]),
            whole(number_in(f->now, "resident_bytes") / 1e6, (char[TEXT_MAX]){0}));
}

static void write_account(const top_frame *f, const json_t *account, FILE *out) {
    char text[4][TEXT_MAX];
    const json_t *name = json_object_get(account, "name");
    bool group = json_is_true(json_object_get(account, "is_group"));
    fprintf(out, "%8s ", number(number_in(account, "level"), 2, text[0]));
    fprintf(out, "%8s %8s ", number(number_in(account, "score"), 2, text[1]),
            number(number_in(account, "excess"), 2, text[2]));
    fprintf(out, "%10s  ", whole(number_in(account, "queries"), text[3]));
    const char *verdict = text_in(account, "verdict");
    visible_write(out, verdict, strlen(verdict), TEXT_MAX);
    fprintf(out, "%*s%s", (int)(strlen(verdict) < 11 ? 11 - strlen(verdict) : 1), "",
            group ? "group " : "");
    const char *bytes = json_string_value(name);
    visible_write(out, bytes != NULL ? bytes : "-", bytes != NULL ? json_string_length(name) : 1,
                  f->columns - NUMBERS_COLUMNS);
    fputc('\n', out);
}

static void write_accounts(const top_frame *f, FILE *out) {
    const json_t *riskiest = json_object_get(f->accounts, "riskiest");
    bool evidence = strcmp(text_in(f->accounts, "by"), "evidence") == 0;
    size_t count = json_array_size(riskiest);
    if (count == 0 || f->accounts_max == 0) {
        return;
    }
    fprintf(out, "\n%8s %8s %8s %10s  %-10s %s\n", evidence ? "evidence" : "of limit", "score",
            "excess", "queries", "verdict", "account");
    for (size_t i = 0; i < count && i < f->accounts_max; i++) {
        write_account(f, json_array_get(riskiest, i), out);
    }
}

void top_frame_write(const top_frame *f, FILE *out) {
    top_frame wide = *f;
    wide.columns = f->columns > TOP_COLUMNS_MIN ? f->columns : TOP_COLUMNS_MIN;
    write_head(f, out);
    write_traffic(f, out);
    write_decisions(f, out);
    write_refusals(f, out);
    write_held(f, out);
    write_accounts(&wide, out);
}
