/*
 * child.h - the built programs as children of a test, and a folder of its own for what they write.
 *
 * A sanitizer's report in a child shows as exit status CHILD_SANITIZER, which no program of ours
 * has. A child dies with the process that started it. Nothing here knows Criterion, so that the
 * load test, which is a program of its own, can use it too: what fails prints a sentence and
 * aborts.
 */
#ifndef ADDER_TESTS_CHILD_H
#define ADDER_TESTS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CHILD_SANITIZER = 99, CHILD_SIGNAL = 128, CHILD_PATH_BYTES = 512, CHILD_ARGUMENTS_MAX = 48 };

/* Prints a sentence and aborts. */
_Noreturn __attribute__((format(printf, 1, 2))) void child_fail(const char *format, ...);

/* A new folder under the system's place for temporary files, which removing takes all of. */
void child_folder_make(char folder[CHILD_PATH_BYTES]);
void child_folder_remove(const char *folder);

/* A file's bytes and a NUL after them; the caller frees. */
char *child_read(const char *path, size_t *bytes); /* bytes may be NULL */
void child_write(const char *path, const void *bytes, size_t count);

/* argv[0] is the program's path. stdin is empty; out and err are files, made anew. */
pid_t child_start(const char *const argv[], const char *out, const char *err);
/* Waits for its end: the exit status, or CHILD_SIGNAL + the signal that ended it. */
int child_wait(pid_t child);
/* Whether it has ended; if so it is waited for. */
bool child_ended(pid_t child, int *status);

/* A program run to its end. */
typedef struct {
    int status;
    char *out; /* owned, as err */
    char *err;
} child_result;
child_result child_run(const char *folder, const char *const argv[]);
void child_result_free(child_result *result);
/* The text is exactly one line, with its newline. */
bool child_one_line(const char *text);

#endif
