/*
 * keeper.c - see keeper.h.
 */
#include "keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "file_lock.h"
#include "log.h"
#include "snapshot.h"

enum { ERROR_BYTES = PATH_MAX + 512, CHILD_LOOK_MS = 20 };

struct keeper {
    keeper_options options;
    snapshot_identity identity;
    char *path;
    char *older;     /* PATH.1 */
    bool good;       /* what is at PATH can be read, and is worth more than what is at PATH.1 */
    bool failed;     /* so the next failure is no news */
    bool told;       /* what a snapshot costs */
    bool whole_kept; /* PATH.1 is from before the device was lost, and PATH from after */
    int locked;      /* file_lock's; -1: none could be had */
    pthread_t thread;
    bool running;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool leaving;
};

static double now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* ---- a look at the state ---- */

typedef struct {
    const keeper *keeper;
    aside *file;
    bool may_fork;
    pid_t child; /* that writes; 0: it is written, or has failed */
    int error;   /* errno */
    size_t accounts;
    bool degraded;  /* the engine has lost its device */
    double held_ms; /* that requests waited */
} look;

/* In the child: nothing here may take a lock. */
_Noreturn static void write_and_leave(const look *l, const snapshot_state *state, pid_t parent) {
    unsigned kept = (unsigned)l->file->fd;
    close_range(STDERR_FILENO + 1, kept - 1, 0);
    close_range(kept + 1, UINT_MAX, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(EOWNERDEAD);
    }
    _exit(snapshot_write(state, &l->keeper->identity, l->file));
}

static void visit(void *context, const snapshot_state *state) {
    look *l = context;
    double since = now_ms();
    pid_t parent = getpid();
    engine_facts facts = engine_describe(state->engine);
    bool on_cpu = strcmp(facts.name, "cpu") == 0;
    l->degraded = facts.degraded;
    l->accounts = accounts_held(state->accounts);
    pid_t child = l->may_fork && on_cpu ? _Fork() : -1;
    if (child == 0) {
        write_and_leave(l, state, parent);
    }
    if (child > 0) {
        l->child = child;
    } else {
        l->error = snapshot_write(state, &l->keeper->identity, l->file);
    }
    l->held_ms = now_ms() - since;
}

/* ---- one snapshot ---- */

static bool is_leaving(keeper *k) {
    pthread_mutex_lock(&k->lock);
    bool leaving = k->leaving;
    pthread_mutex_unlock(&k->lock);
    return leaving;
}

/* The child's errno; ECANCELED: the daemon ends, and what it wrote would be old news. */
static int await_child(keeper *k, pid_t child) {
    static const struct timespec pause = {.tv_nsec = CHILD_LOOK_MS * 1000000};
    int status = 0;
    bool killed = false;
    pid_t ended;
    while ((ended = waitpid(child, &status, killed ? 0 : WNOHANG)) == 0 ||
           (ended < 0 && errno == EINTR)) {
        if (is_leaving(k)) {
            kill(child, SIGKILL);
            killed = true;
        } else {
            nanosleep(&pause, NULL);
        }
    }
    if (killed) {
        return ECANCELED;
    }
    return ended == child && WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

/* The old one is kept only if it is good: a torn one may not take the place of one that is not; nor
 * one whose windows began anew that of the last whole one. */
static int put_in_place(keeper *k, aside *file, bool degraded) {
    bool keep = k->good && !(degraded && k->whole_kept);
    if (!aside_sync(file) || (keep && !aside_keep_old(file)) || !aside_commit(file)) {
        return errno;
    }
    if (degraded && keep) {
        k->whole_kept = true;
        log_event(
            LOG_WARNING, "snapshot_degraded",
            "%s: windows and memories in it are what came since the device was lost; the last "
            "snapshot from before stays at %s",
            k->path, k->older);
    }
    k->good = true;
    return 0;
}

static void tell(keeper *k, const look *l, double took_ms, int error) {
    if (error == ECANCELED) {
        return;
    }
    if (error != 0 && !k->failed) {
        log_event(LOG_WARNING, "snapshot_failed",
                  "%s: no snapshot could be written: %s; what is learnt is lost should the daemon "
                  "end",
                  k->path, strerror(error));
    } else if (error == 0 && !l->may_fork) {
        log_event(LOG_INFO, "snapshot", "snapshot of %zu accounts written to %s", l->accounts,
                  k->path);
    } else if (error == 0) {
        log_event(k->told && !k->failed ? LOG_DEBUG : LOG_INFO, "snapshot",
                  "snapshot of %zu accounts written to %s in %.0f ms; requests waited %.1f ms",
                  l->accounts, k->path, took_ms, l->held_ms);
        k->told = true;
    }
    k->failed = error != 0;
}

static void save(keeper *k, bool may_fork) {
    double since = now_ms();
    aside file;
    look l = {.keeper = k, .file = &file, .may_fork = may_fork};
    if (!aside_open_own(&file, k->path)) {
        tell(k, &l, 0.0, errno);
        return;
    }
    service_visit(k->options.service, visit, &l);
    if (l.child > 0) {
        l.error = await_child(k, l.child);
    }
    if (l.error == 0) {
        l.error = put_in_place(k, &file, l.degraded);
    }
    aside_close(&file);
    tell(k, &l, now_ms() - since, l.error);
}

/* ---- every so many seconds ---- */

static void *run(void *argument) {
    keeper *k = argument;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&k->lock);
    while (!k->leaving) {
        next.tv_sec += (time_t)k->options.every_s;
        while (!k->leaving && pthread_cond_timedwait(&k->woken, &k->lock, &next) != ETIMEDOUT) {
        }
        if (!k->leaving) {
            pthread_mutex_unlock(&k->lock);
            save(k, true);
            pthread_mutex_lock(&k->lock);
        }
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > next.tv_sec + (time_t)k->options.every_s) {
            next = now; /* it takes longer than that: do not make up for what was missed */
        }
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static bool start(keeper *k) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&k->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&k->lock, NULL);
    if (k->options.every_s > 0) {
        k->running = pthread_create(&k->thread, NULL, run, k) == 0;
    }
    return k->running || k->options.every_s == 0;
}

static void stop(keeper *k) {
    pthread_mutex_lock(&k->lock);
    k->leaving = true;
    pthread_cond_signal(&k->woken);
    pthread_mutex_unlock(&k->lock);
    if (k->running) {
        pthread_join(k->thread, NULL);
        k->running = false;
    }
}

/* ---- the start ---- */

/* A file, which stays open where it is whole and cannot be restored. */
typedef struct {
    const keeper *keeper;
    const char *path;
    snapshot *from;
    bool absent, restored, inherited;
    size_t accounts, believed;
    char error[ERROR_BYTES];
} restoring;

static void restore_visit(void *context, const snapshot_state *state) {
    restoring *r = context;
    r->restored =
        snapshot_restore(r->from, &r->keeper->identity, state, &r->accounts, r->error, ERROR_BYTES);
}

static void inherit_visit(void *context, const snapshot_state *state) {
    restoring *r = context;
    r->inherited = snapshot_inherit(r->from, &r->keeper->identity, state, &r->believed);
}

static void forget_file(restoring *r) {
    snapshot_close(r->from);
    r->from = NULL;
}

/* A file that is not there is worth a word only where there is no other. */
static bool restore_from(restoring *r) {
    struct stat status;
    r->absent = lstat(r->path, &status) != 0 && errno == ENOENT;
    if (r->absent) {
        return false;
    }
    if (snapshot_open(&r->from, r->path, r->error, sizeof r->error)) {
        service_visit(r->keeper->options.service, restore_visit, r);
    }
    if (!r->restored) {
        log_event(LOG_WARNING, "not_restored", "not restored from %s", r->error);
        return false;
    }
    snapshot_facts facts = snapshot_describe(r->from);
    log_event(LOG_INFO, "restored",
              "restored from %s, written %" PRId64 " s ago: %zu of %" PRIu64 " accounts, %" PRIu64
              " answers",
              r->path, (int64_t)time(NULL) - (int64_t)facts.saved_at_s, r->accounts, facts.accounts,
              facts.answers);
    forget_file(r);
    return true;
}

/* A retrained model launders nobody, whether it comes by SIGHUP or by a restart. */
static bool inherit_from(restoring *r) {
    if (r->from != NULL) {
        service_visit(r->keeper->options.service, inherit_visit, r);
    }
    if (r->inherited) {
        log_event(LOG_WARNING, "inherited",
                  "%s: windows in it are not ours, and begin anew; what was believed of %zu "
                  "accounts is taken over",
                  r->path, r->believed);
    }
    return r->inherited;
}

/* What was believed last is worth more than windows from before: who goes back to the reference
 * before goes on with the verdicts of the one between. */
static void restore(keeper *k) {
    restoring last = {.keeper = k, .path = k->path}, older = {.keeper = k, .path = k->older};
    k->good = restore_from(&last) || inherit_from(&last);
    if (!k->good && !restore_from(&older) && !inherit_from(&older)) {
        log_event(LOG_WARNING, "nothing_restored", "%s: %s; starting with nothing learnt", k->path,
                  last.absent && older.absent ? "no snapshot there, nor at its name with .1"
                                              : "no snapshot that could be restored");
    }
    forget_file(&last);
    forget_file(&older);
}

/* A folder where nothing can be made is no reason not to serve; saving will say so too. */
static bool lock(keeper *k, char *error, size_t error_bytes) {
    switch (file_lock_take(&k->locked, k->path)) {
    case FILE_LOCK_HELD:
        snprintf(error, error_bytes,
                 "%s: another daemon keeps its state there (it has locked %s.lock); no two may "
                 "share a file",
                 k->path, k->path);
        return false;
    case FILE_LOCK_NONE:
        log_event(LOG_WARNING, "lock",
                  "%s.lock: %s; nothing keeps another daemon from the same file", k->path,
                  strerror(errno));
        return true;
    default:
        return true;
    }
}

bool keeper_open(keeper **out, const keeper_options *options, char *error, size_t error_bytes) {
    keeper *k = calloc(1, sizeof *k);
    *out = NULL;
    if (k == NULL || (k->path = strdup(options->path)) == NULL ||
        asprintf(&k->older, "%s.1", options->path) < 0) {
        if (k != NULL) {
            free(k->path);
        }
        free(k);
        snprintf(error, error_bytes, "out of memory");
        return false;
    }
    k->options = *options;
    k->options.path = NULL; /* the caller's, not kept, as the next */
    k->options.reference = NULL;
    if (!lock(k, error, error_bytes)) {
        free(k->older);
        free(k->path);
        free(k);
        return false;
    }
    k->identity =
        snapshot_identity_of(options->reference, options->window_rows,
                             service_facts(options->service).memory_rank, options->half_life_rows);
    if (!options->fresh) {
        restore(k);
    }
    if (!start(k)) {
        snprintf(error, error_bytes, "no thread to be had for snapshots");
        keeper_close(k);
        return false;
    }
    *out = k;
    return true;
}

void keeper_finish(keeper *k) {
    if (k != NULL) {
        stop(k);
        save(k, false);
    }
}

void keeper_close(keeper *k) {
    if (k == NULL) {
        return;
    }
    stop(k);
    pthread_cond_destroy(&k->woken);
    pthread_mutex_destroy(&k->lock);
    file_lock_release(k->locked);
    free(k->older);
    free(k->path);
    free(k);
}
