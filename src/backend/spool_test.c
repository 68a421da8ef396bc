/*
 * spool_test.c - files hold what was confirmed and nothing else, whenever the power goes; a file
 * with its final name is whole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/spool.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "wire/random_test.h"

#define must(call) assert_int_equal((call), OK)

enum { TEXT_MAX = 1 << 20 };

/* Lines "N\n", counted up; what is saved says how many are confirmed. */
struct rig {
    struct sim_env *sim;
    struct fault_env *fe;
    struct env *env;
    struct spool *spool;
    struct spool_options options;
    struct buf saved;
    uint32_t lines; /* appended */
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

/* What the relay does: what save() gives becomes durable, then saved(). */
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
    snprintf(l->names[l->count++], sizeof l->names[0], "%s", name);
    return OK;
}

static int
compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static struct listing listing;

/* Reads all files in order of their names, without heads and tails: lines 0, 1, 2, ... */
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
        /* A finished one keeps its old name until that is saved. */
        if (!open || *at != 0) assert_string_equal(at, "tail\n");
    }
    return next;
}

static void
test_files_roll_by_size_and_age_and_get_their_names(void **state)
{
    (void)state;
    struct rig rig;
    uint32_t open;
    rig_init(&rig, 1);
    for (unsigned i = 0; i < 100; i++) {
        must(append(&rig));
    }
    must(save(&rig));
    assert_int_equal(read_lines(&rig, &open), 100);
    assert_int_equal(open, 1);
    assert_int_equal(spool_files_total(rig.spool), listing.count - 1);
    assert_in_range(listing.count, 3, 5);
    assert_non_null(strstr(listing.names[0], "0123456789abcdef-20231114T221320Z-00000000.txt"));
    rig.now_ms += 60000;
    must(spool_tend(rig.spool, rig.now_ms, false, &rig.why));
    must(save(&rig));
    assert_int_equal(read_lines(&rig, &open), 100);
    assert_int_equal(open, 0);
    uint32_t files = listing.count;
    rig.now_ms += 600000;
    must(spool_tend(rig.spool, rig.now_ms, true, &rig.why)); /* nothing is open: none is made */
    must(save(&rig));
    read_lines(&rig, &open);
    assert_int_equal(listing.count, files);
    rig_fini(&rig);
}

static void
test_after_a_crash_files_hold_what_was_confirmed(void **state)
{
    (void)state;
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
            /* What was begun after the last save() goes with the next file. */
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

static void
test_what_cannot_be_written_is_taken_back(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_ENOSPC, FAULT_TORN, FAULT_SYNC};
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned nth = 1; nth <= 6; nth++) {
            struct rig rig;
            uint32_t open;
            rig_init(&rig, nth);
            fault_env_arm(rig.fe, (struct fault){kinds[kind], nth, false});
            for (unsigned i = 0; i < 60; i++) {
                if (append(&rig) == OK) continue;
                must(append(&rig)); /* the same once more */
            }
            must(save(&rig));
            assert_int_equal(read_lines(&rig, &open), rig.lines);
            rig_fini(&rig);
        }
    }
}

static void
test_files_of_others_are_left_alone(void **state)
{
    (void)state;
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_roll_by_size_and_age_and_get_their_names),
        cmocka_unit_test(test_after_a_crash_files_hold_what_was_confirmed),
        cmocka_unit_test(test_what_cannot_be_written_is_taken_back),
        cmocka_unit_test(test_files_of_others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
