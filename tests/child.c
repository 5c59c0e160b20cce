/* child.c - see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void child_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

/* ---- files ---- */

void child_folder_make(char folder[CHILD_PATH_BYTES]) {
    const char *parent = getenv("TMPDIR");
    /* A socket's path has 107 bytes at most. */
    snprintf(folder, CHILD_PATH_BYTES, "%s/adder-XXXXXX",
             parent != NULL && strlen(parent) < 64 ? parent : "/tmp");
    if (mkdtemp(folder) == NULL) {
        child_fail("%s: %s", folder, strerror(errno));
    }
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place) {
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void child_folder_remove(const char *folder) {
    if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0) {
        child_fail("%s: cannot be removed", folder);
    }
}

char *child_read(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        child_fail("%s: %s", path, strerror(errno));
    }
    size_t size = (size_t)ftell(file);
    char *text = malloc(size + 1);
    rewind(file);
    if (text == NULL || fread(text, 1, size, file) != size) {
        child_fail("%s: cannot be read", path);
    }
    fclose(file);
    text[size] = '\0';
    if (bytes != NULL) {
        *bytes = size;
    }
    return text;
}

void child_write(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, count, file) != count || fclose(file) != 0) {
        child_fail("%s: cannot be written", path);
    }
}

/* ---- processes ---- */

/* The parent's sanitizers have read their own options long ago; these are for children. The thread
 * sanitizer keeps what it was given, for its suppressions. */
static void set_sanitizers(void) {
    setenv("ASAN_OPTIONS", "exitcode=99:detect_leaks=1", 1);
    setenv("LSAN_OPTIONS", "exitcode=99", 1);
    setenv("UBSAN_OPTIONS", "exitcode=99:halt_on_error=1:print_stacktrace=1", 1);
    const char *given = getenv("TSAN_OPTIONS");
    char options[CHILD_PATH_BYTES];
    if (given == NULL || strstr(given, "exitcode=99") == NULL) {
        snprintf(options, sizeof options, "%s%sexitcode=99", given != NULL ? given : "",
                 given != NULL && *given != '\0' ? ":" : "");
        setenv("TSAN_OPTIONS", options, 1);
    }
}

static int open_anew(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) {
        child_fail("%s: %s", path, strerror(errno));
    }
    return file;
}

/* Between fork and exec only what is safe beside threads that were not forked. */
static _Noreturn void become(const char *const argv[], int in, int out, int err, pid_t parent) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(err, STDERR_FILENO) >= 0) {
        execv(argv[0], (char *const *)argv);
    }
    _exit(127);
}

pid_t child_start(const char *const argv[], const char *out, const char *err) {
    set_sanitizers();
    int in_file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out_file = open_anew(out);
    int err_file = open_anew(err);
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        become(argv, in_file, out_file, err_file, parent);
    }
    close(in_file);
    close(out_file);
    close(err_file);
    if (child < 0) {
        child_fail("%s: cannot be started: %s", argv[0], strerror(errno));
    }
    return child;
}

static int status_of(int status) {
    return WIFSIGNALED(status) ? CHILD_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

int child_wait(pid_t child) {
    int status;
    while (waitpid(child, &status, 0) != child) {
        if (errno != EINTR) {
            child_fail("child %d cannot be waited for: %s", (int)child, strerror(errno));
        }
    }
    return status_of(status);
}

bool child_ended(pid_t child, int *status) {
    int raw;
    if (waitpid(child, &raw, WNOHANG) != child) {
        return false;
    }
    *status = status_of(raw);
    return true;
}

child_result child_run(const char *folder, const char *const argv[]) {
    char out[CHILD_PATH_BYTES + 16];
    char err[CHILD_PATH_BYTES + 16];
    snprintf(out, sizeof out, "%s/run.out", folder);
    snprintf(err, sizeof err, "%s/run.err", folder);
    child_result result = {.status = child_wait(child_start(argv, out, err)),
                           .out = child_read(out, NULL),
                           .err = child_read(err, NULL)};
    if (result.status >= CHILD_SANITIZER) {
        child_fail("%s %s ended with status %d: %s", argv[0], argv[1] != NULL ? argv[1] : "",
                   result.status, result.err);
    }
    return result;
}

void child_result_free(child_result *result) {
    free(result->out);
    free(result->err);
    *result = (child_result){0};
}

bool child_one_line(const char *text) {
    const char *end = strchr(text, '\n');
    return end != NULL && end > text && end[1] == '\0';
}
