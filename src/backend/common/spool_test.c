/*
 * spool_test.c - after a power loss at any moment, files contain exactly the confirmed lines; a
 * file with its final name is complete.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/common/spool.h"
#include "lib/random.h"
#include "lib/test.h"
#include "sys/fault.h"
#include "sys/sim.h"

#define must(call) assert_int_equal((call), OK)

enum { TEXT_MAX = 1 << 20 };

/* Lines "N\n", counted up; the saved state has the number of confirmed lines. */
struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct spool *spool;
    struct spool_options options;
    struct buf saved;
    uint32_t lines; /* appended so far */
    uint32_t saved_lines;
    int64_t now_ms;
    struct why why;
};

static void
rig_open(struct rig *rig)
{
    enum err e = spool_new(&rig->options, buf_bytes(&rig->saved), &rig->spool, &rig->why);
    if (e) print_error("spool_new: %s\n", rig->why.text);
    must(e);
    rig->lines = rig->saved_lines;
}

static void
rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    buf_init(&rig->saved, NULL, TEXT_MAX);
    rig->options = (struct spool_options){
        .env = rig->env,
        .instance = "0123456789abcdef0123",
        .suffix = ".txt",
        .roll_bytes = 100,
        .roll_age_ms = 60000,
        .head = bytes_of("head\n", 5),
        .tail = bytes_of("tail\n", 5),
    };
    rig->now_ms = 1700000000000;
    rig_open(rig);
}

static void
rig_fini(struct rig *rig)
{
    spool_free(rig->spool);
    buf_fini(&rig->saved);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

static enum err
append(struct rig *rig)
{
    char line[16];
    int n = snprintf(line, sizeof line, "%u\n", rig->lines);
    enum err e =
        spool_append(rig->spool, "out/x", bytes_of(line, (size_t)n), rig->now_ms, &rig->why);
    if (e == OK) rig->lines++;
    return e;
}

/* Does what the relay does: makes the result of save() durable, then calls saved(). */
static enum err
save(struct rig *rig)
{
    buf_clear(&rig->saved);
    spool_save(rig->spool, &rig->saved);
    rig->saved_lines = rig->lines;
    return spool_saved(rig->spool, &rig->why);
}

struct listing {
    char names[2000][128];
    uint32_t count;
};

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    struct listing *l = context;
    assert_false(is_dir);
    if (strstr(name, ".confirmed.tmp") != NULL) return OK; /* a mark, not a file of lines */
    snprintf(l->names[l->count++], sizeof l->names[0], "%s", name);
    return OK;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct listing listing;

/* Reads all files in the order of their names, without heads and tails: lines 0, 1, 2, ... */
static uint32_t
read_lines(struct rig *rig, uint32_t *ret_open)
{
    uint32_t next = 0;
    listing.count = 0;
    *ret_open = 0;
    if (env_listdir(rig->env, "out/x", note_name, &listing, NULL) != OK) return 0;
    qsort(listing.names, listing.count, sizeof listing.names[0], compare_names);
    for (uint32_t i = 0; i < listing.count; i++) {
        char path[256], text[4096];
        struct file file;
        size_t size;
        bool open = strstr(listing.names[i], ".tmp") != NULL;
        *ret_open += open;
        snprintf(path, sizeof path, "out/x/%s", listing.names[i]);
        must(file_open(rig->env, path, FILE_READ, &file, NULL));
        must(file_read_some(&file, text, sizeof text - 1, 0, &size, NULL));
        file_close(&file);
        text[size] = 0;
        assert_true(strncmp(text, "head\n", 5) == 0);
        char *at = text + 5;
        while (*at >= '0' && *at <= '9') {
            assert_int_equal(strtoul(at, &at, 10), next);
            next++;
            assert_int_equal(*at++, '\n');
        }
        /* A finished file keeps its old name until that is saved. */
        if (!open || *at != 0) assert_string_equal(at, "tail\n");
    }
    return next;
}

UNIT_TEST(test_files_roll_by_size_and_age_and_get_their_names)
{
    struct rig rig;
    uint32_t open;
    rig_init(&rig, 1);
    for (unsigned i = 0; i < 100; i++)
        must(append(&rig));
    must(save(&rig));
    assert_int_equal(read_lines(&rig, &open), 100);
    assert_int_equal(open, 1);
    assert_in_range(listing.count, 3, 5);
    assert_non_null(strstr(listing.names[0], "0123456789abcdef-20231114T221320Z-00000000.txt"));
    rig.now_ms += 60000;
    must(spool_tend(rig.spool, rig.now_ms, false, &rig.why));
    must(save(&rig));
    assert_int_equal(read_lines(&rig, &open), 100);
    assert_int_equal(open, 0);
    uint32_t files = listing.count;
    rig.now_ms += 600000;
    /* without an open file none is finished */
    must(spool_tend(rig.spool, rig.now_ms, true, &rig.why));
    must(save(&rig));
    read_lines(&rig, &open);
    assert_int_equal(listing.count, files);
    rig_fini(&rig);
}

UNIT_TEST(test_after_a_crash_files_hold_what_was_confirmed)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig rig;
        struct rng rng = {seed};
        uint32_t open;
        rig_init(&rig, seed);
        for (unsigned i = 0; i < 300; i++) {
            must(append(&rig));
            rig.now_ms += (int64_t)rng_below(&rng, 2000);
            if (rng_below(&rng, 10) == 0) must(save(&rig));
            if (rng_below(&rng, 40) != 0) continue;
            spool_free(rig.spool);
            sim_env_power_loss(rig.sim);
            rig_open(&rig);
            /* Lines after the last save() belong to the next file. */
            must(append(&rig));
            assert_int_equal(read_lines(&rig, &open), rig.lines);
        }
        must(spool_tend(rig.spool, rig.now_ms, true, &rig.why));
        must(save(&rig));
        assert_int_equal(read_lines(&rig, &open), rig.lines);
        assert_int_equal(open, 0);
        rig_fini(&rig);
    }
}

UNIT_TEST(test_a_failed_append_is_undone)
{
    static const enum fault_kind kinds[] = {FAULT_ENOSPC, FAULT_TORN, FAULT_SYNC};
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned nth = 1; nth <= 6; nth++) {
            struct rig rig;
            uint32_t open;
            rig_init(&rig, nth);
            fault_env_arm(rig.fe, (struct fault){kinds[kind], nth, false});
            for (unsigned i = 0; i < 60; i++) {
                if (append(&rig) == OK) continue;
                must(append(&rig)); /* the failed append is repeated */
            }
            must(save(&rig));
            assert_int_equal(read_lines(&rig, &open), rig.lines);
            rig_fini(&rig);
        }
    }
}

UNIT_TEST(test_files_of_others_are_left_alone)
{
    struct rig rig;
    struct file file;
    rig_init(&rig, 1);
    must(env_mkdir(rig.env, "out", NULL));
    must(env_mkdir(rig.env, "out/x", NULL));
    must(file_open(rig.env, "out/x/mine.tmp", FILE_CREATE, &file, NULL));
    file_close(&file);
    must(append(&rig));
    must(file_open(rig.env, "out/x/mine.tmp", FILE_READ, &file, NULL));
    file_close(&file);
    rig_fini(&rig);
}

/* --- a state that is older than the files ----------------------------------------------------- */

/* The content of each file in the directory, to be compared later. */
struct contents {
    char names[64][128];
    char texts[64][2048];
    uint32_t count;
};

static enum err
note_content(void *context, const char *name, bool is_dir)
{
    struct {
        struct rig *rig;
        struct contents *contents;
    } *x = context;
    struct contents *c = x->contents;
    char path[256];
    struct file file;
    size_t size;
    if (is_dir || strstr(name, ".confirmed.tmp") != NULL) return OK;
    snprintf(path, sizeof path, "out/x/%s", name);
    must(file_open(x->rig->env, path, FILE_READ, &file, NULL));
    must(file_read_some(&file, c->texts[c->count], sizeof c->texts[0] - 1, 0, &size, NULL));
    file_close(&file);
    c->texts[c->count][size] = 0;
    snprintf(c->names[c->count++], sizeof c->names[0], "%s", name);
    return OK;
}

static void
take_contents(struct rig *rig, struct contents *ret)
{
    struct {
        struct rig *rig;
        struct contents *contents;
    } x = {rig, ret};
    ret->count = 0;
    must(env_listdir(rig->env, "out/x", note_content, &x, NULL));
}

/* Checks that every file still exists, under its name or, if that ended in ".tmp", under the final
 * one, with all its bytes. */
static void
expect_kept(const struct contents *before, const struct contents *after)
{
    for (uint32_t i = 0; i < before->count; i++) {
        size_t size = strlen(before->names[i]);
        bool was_open = strcmp(before->names[i] + size - 4, ".tmp") == 0, kept = false;
        for (uint32_t k = 0; k < after->count && !kept; k++) {
            bool same = strcmp(before->names[i], after->names[k]) == 0;
            bool final = was_open && strlen(after->names[k]) == size - 4 &&
                         strncmp(before->names[i], after->names[k], size - 4) == 0;
            kept = (same || final) &&
                   strncmp(before->texts[i], after->texts[k], strlen(before->texts[i])) == 0;
        }
        if (!kept) fail_msg("%s does not hold any more '%s'", before->names[i], before->texts[i]);
    }
}

static void
keep_state(const struct rig *rig, struct buf *to)
{
    buf_clear(to);
    buf_put_bytes(to, buf_bytes(&rig->saved));
    must(buf_error(to));
}

static bool
some_file_ends(const struct contents *c, const char *text)
{
    for (uint32_t i = 0; i < c->count; i++) {
        size_t size = strlen(c->texts[i]), tail = strlen(text);
        if (size >= tail && strcmp(c->texts[i] + size - tail, text) == 0) return true;
    }
    return false;
}

/* The storage directory is reset to its state some lines and some files ago. */
UNIT_TEST(test_lines_after_an_older_state_are_kept)
{
    static struct contents before, after;
    for (unsigned known = 0; known < 30; known++) {
        for (unsigned new_id = 0; new_id < 2; new_id++) {
            struct rig rig;
            struct buf older;
            rig_init(&rig, known + 1);
            buf_init(&older, NULL, TEXT_MAX);
            for (unsigned i = 0; i < 30; i++) {
                if (i == known) keep_state(&rig, &older);
                must(append(&rig));
                must(save(&rig));
                rig.now_ms += 1000;
            }
            take_contents(&rig, &before);
            spool_free(rig.spool);
            sim_env_kill(rig.sim);
            buf_clear(&rig.saved);
            buf_put_bytes(&rig.saved, buf_bytes(&older));
            if (new_id) rig.options.instance = "fedcba98765432100123";
            rig.saved_lines = known;
            rig_open(&rig);
            /* Other lines follow in place of those that the old state does not have. */
            rig.lines = 5000;
            for (unsigned i = 0; i < 30; i++) {
                must(append(&rig));
                must(save(&rig));
                rig.now_ms += 1000;
            }
            must(spool_tend(rig.spool, rig.now_ms, true, &rig.why));
            must(save(&rig));
            take_contents(&rig, &after);
            expect_kept(&before, &after);
            assert_true(some_file_ends(&after, "5029\ntail\n"));
            buf_fini(&older);
            rig_fini(&rig);
        }
    }
}

/* The confirmed lines of a file that stays unchanged are continued in a new file,
 * from its start. */
UNIT_TEST(test_a_copy_of_the_directory_goes_on_in_a_file_of_its_own)
{
    static struct contents c;
    struct rig rig;
    rig_init(&rig, 1);
    rig.options.roll_bytes = 1000;
    spool_free(rig.spool);
    rig_open(&rig);
    must(append(&rig));
    must(save(&rig));
    spool_free(rig.spool);
    rig.options.instance = "fedcba98765432100123";
    rig_open(&rig);
    must(append(&rig));
    must(spool_tend(rig.spool, rig.now_ms, true, &rig.why));
    must(save(&rig));
    take_contents(&rig, &c);
    assert_int_equal(c.count, 2);
    for (uint32_t i = 0; i < c.count; i++) {
        bool old = strncmp(c.names[i], "0123456789abcdef-", 17) == 0;
        assert_string_equal(c.texts[i], old ? "head\n0\n" : "head\n0\n1\ntail\n");
        assert_int_equal(strstr(c.names[i], ".tmp") != NULL, old);
    }
    rig_fini(&rig);
}

UNIT_TEST(test_a_finished_file_never_takes_the_name_of_another)
{
    static struct contents c;
    struct rig rig;
    struct file file;
    rig_init(&rig, 1);
    must(append(&rig));
    must(save(&rig));
    take_contents(&rig, &c);
    char path[256];
    snprintf(path, sizeof path, "out/x/%.*s", (int)strlen(c.names[0]) - 4, c.names[0]);
    must(file_open(rig.env, path, FILE_CREATE, &file, NULL));
    must(file_write_at(&file, bytes_of_text("other"), 0, NULL));
    file_close(&file);
    must(spool_tend(rig.spool, rig.now_ms, true, &rig.why));
    must(save(&rig));
    take_contents(&rig, &c);
    assert_int_equal(c.count, 2);
    assert_true(some_file_ends(&c, "other"));
    assert_true(some_file_ends(&c, "head\n0\ntail\n"));
    assert_null(strstr(c.names[0], ".tmp"));
    assert_null(strstr(c.names[1], ".tmp"));
    rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_roll_by_size_and_age_and_get_their_names),
        cmocka_unit_test(test_after_a_crash_files_hold_what_was_confirmed),
        cmocka_unit_test(test_a_failed_append_is_undone),
        cmocka_unit_test(test_files_of_others_are_left_alone),
        cmocka_unit_test(test_lines_after_an_older_state_are_kept),
        cmocka_unit_test(test_a_copy_of_the_directory_goes_on_in_a_file_of_its_own),
        cmocka_unit_test(test_a_finished_file_never_takes_the_name_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
