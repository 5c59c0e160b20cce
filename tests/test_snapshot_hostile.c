/*
 * test_snapshot_hostile.c - files that no daemon has written: torn, changed, sealed by somebody
 * else, another's.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "snapshot_fixture.h"
#include "snapshot_parts.h"

/* ---- torn, changed ---- */

/* A small file's bytes; the state is empty afterwards. */
static unsigned char *small_file(stage *s, size_t *bytes) {
    stage_open(s);
    stage_live(s, 3, 6);
    stage_save(s);
    stage_close_parts(s);
    stage_open_parts(s, PLACES);
    return (unsigned char *)child_read(s->path, bytes);
}

Test(snapshot_hostile, a_file_torn_at_any_length_is_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t length = 0; length < bytes; length++) {
        child_write(s.path, whole, length);
        stage_refuses(&s, length < 8 ? "" : "torn");
    }
    child_write(s.path, whole, bytes + 1); /* and a NUL */
    stage_refuses(&s, "torn");
    printf("torn at %zu lengths\n", bytes);
    free(whole);
    stage_close(&s);
}

Test(snapshot_hostile, a_file_with_any_byte_changed_is_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        whole[i] ^= (unsigned char)(1 << i % 8);
        child_write(s.path, whole, bytes);
        stage_refuses(&s, "");
        whole[i] ^= (unsigned char)(1 << i % 8);
    }
    free(whole);
    stage_close(&s);
}

/* ---- with a checksum made for it ---- */

/* Any byte to any of a few values: it is refused, or is a state that can be restored; a sanitizer
 * sees the rest. */
Test(snapshot_hostile, a_sealed_file_with_any_byte_changed_does_no_harm, .timeout = 300) {
    static const unsigned char values[] = {0x00, 0xff, 0x80, 0x7f};
    stage s;
    size_t bytes, taken = 0, tried = 0;
    char error[ERROR_BYTES];
    unsigned char *whole = small_file(&s, &bytes);
    for (size_t i = 0; i < bytes - SNAPSHOT_HASH_BYTES; i++) {
        unsigned char was = whole[i];
        for (size_t v = 0; v < sizeof values; v++, tried++) {
            size_t restored;
            whole[i] = values[v];
            stage_write_sealed(&s, whole, bytes);
            if (stage_load(&s, PLACES, &restored, error)) {
                taken++;
                stage_close_parts(&s);
                stage_open_parts(&s, PLACES);
            } else {
                stage_refuses(&s, "");
            }
        }
        whole[i] = was;
    }
    printf("%zu sealed files, %zu of them possible states\n", tried, taken);
    free(whole);
    stage_close(&s);
}

Test(snapshot_hostile, sealed_cut_files_and_absurd_lengths_are_refused, .timeout = 120) {
    stage s;
    size_t bytes;
    unsigned char *whole = small_file(&s, &bytes);
    unsigned char *copy = malloc(bytes);
    cr_assert_not_null(copy);
    for (size_t length = SNAPSHOT_HASH_BYTES + 1; length < bytes; length++) {
        memcpy(copy, whole, length);
        stage_write_sealed(&s, copy, length);
        stage_refuses(&s, "");
    }
    /* The head ends with two counts, a secret and another count; the first account follows. */
    size_t counts =
        8 + 4 + 8 + 1 + strlen("toy") + 5 * 8 + 8 + SNAPSHOT_HASH_BYTES + crypto_shorthash_KEYBYTES;
    size_t head = counts + 16 + ACCOUNTS_SECRET_BYTES + 8;
    size_t exported_at = head + 2 + strlen("name-0") + 1 + VERDICT_BYTES;
    const size_t places[] = {counts, counts + 8, head - 8, exported_at};
    for (size_t i = 0; i < 4; i++) {
        memcpy(copy, whole, bytes);
        memset(copy + places[i], 0xff, 8);
        stage_write_sealed(&s, copy, bytes);
        stage_refuses(&s, i < 3 ? "head" : "account 1 of 3");
    }
    memcpy(copy, whole, bytes);
    copy[exported_at + 8] ^= 1; /* the engine's own */
    stage_write_sealed(&s, copy, bytes);
    stage_refuses(&s, "account 1 of 3 has no window and memory of this shape");
    memcpy(copy, whole, bytes);
    copy[head + 1] = 0; /* no name */
    stage_write_sealed(&s, copy, bytes);
    stage_refuses(&s, "account 1 of 3");
    memcpy(copy, whole, bytes);
    copy[head + 2] = 0xff; /* a name that no request can have, nor JSON say */
    stage_write_sealed(&s, copy, bytes);
    stage_refuses(&s, "account 1 of 3");
    memcpy(copy, whole, bytes);
    copy[21] = 0x1b; /* the model's first letter: what a terminal would obey */
    stage_write_sealed(&s, copy, bytes);
    stage_refuses(&s, "head");
    free(copy);
    free(whole);
    stage_close(&s);
}

/* ---- foreign ---- */

Test(snapshot_hostile, a_file_of_another_reference_window_or_memory_is_refused_by_name) {
    stage s;
    size_t bytes;
    free(small_file(&s, &bytes));
    snapshot_identity ours = s.identity;
    const struct {
        const char *word;
        snapshot_identity identity;
    } foreign[] = {
        {"window 8, came one of 4", snapshot_identity_of(&s.reference, 8, RANK, 8)},
        {"memory rank 1, came one of 2", snapshot_identity_of(&s.reference, WINDOW, 1, 8)},
        {"half-life 9, came one of 8", snapshot_identity_of(&s.reference, WINDOW, RANK, 9)},
    };
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        s.identity = foreign[i].identity;
        stage_refuses(&s, foreign[i].word);
    }
    s.identity = ours;
    snprintf(s.identity.model, sizeof s.identity.model, "other");
    stage_refuses(&s, "model other, came one of toy");
    s.identity = ours;
    s.identity.rank++;
    stage_refuses(&s, "rank 3, came one of 2");
    float *factor = (float *)(uintptr_t)s.reference.statistics.factor;
    factor[0] += 1e-3f;
    s.identity = snapshot_identity_of(&s.reference, WINDOW, RANK, 8);
    stage_refuses(&s, "of another");
    stage_close(&s);
}

Test(snapshot_hostile, what_is_no_snapshot_is_refused) {
    stage s;
    stage_open(&s);
    stage_refuses(&s, "No such file");
    cr_assert_eq(mkdir(s.path, 0700), 0);
    stage_refuses(&s, "plain file");
    cr_assert_eq(rmdir(s.path), 0);
    cr_assert_eq(mkfifo(s.path, 0600), 0);
    stage_refuses(&s, "plain file");
    cr_assert_eq(unlink(s.path), 0);
    child_write(s.path, "{\"format\": 1, \"model\": \"toy\"}", 29);
    stage_refuses(&s, "another kind of file");
    child_write(s.path, SNAPSHOT_MAGIC "\3\0\0\0", 12);
    stage_refuses(&s, "version 1 to 2, came 3");
    child_write(s.path, SNAPSHOT_MAGIC "\0\0\0\0", 12);
    stage_refuses(&s, "version 1 to 2, came 0");
    stage_close(&s);
}
