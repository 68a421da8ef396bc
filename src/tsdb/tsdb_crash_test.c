/*
 * tsdb_crash_test.c - after a power loss or a kill at any time, everything acknowledged is stored,
 * and nothing that was not sent.
 *
 * SEED=n runs the random steps from another seed; STEPS=n runs that many; LONG=1 runs very many,
 * from several seeds.
 */
#include "lib/test.h"
#include "lib/tsdb/tsdb_scenario.h"

static struct model model;
static uint64_t steps_run, crashes;

static uint64_t
setting(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

/* --- a crash at every call -------------------------------------------------------------------- */

enum crash { CRASH_POWER_LOSS, CRASH_KILL };

static void
crash_now(struct machine *m, enum crash crash)
{
    if (crash == CRASH_POWER_LOSS)
        sim_env_power_loss(m->sim);
    else
        sim_env_kill(m->sim);
    machine_close(m);
    model_crashed(&model);
    crashes++;
    machine_must_open(m);
    assert_int_equal(m->opening.parts_unnamed, 0); /* nobody has put parts there */
    model_opened(&model);
    model_compare(&model, true);
}

/*
 * Stops all calls from the n-th on from reaching the machine, then crashes it. Returns false if
 * there are fewer calls.
 */
static bool
crash_at_call(enum crash crash, enum fault_kind kind, uint64_t nth)
{
    struct machine m;
    machine_init(&m, crash == CRASH_KILL ? 1 : nth * 2); /* chance is in a power loss only */
    model_init(&model, &m);
    model.compared = (uint32_t)nth;
    if (crash == CRASH_KILL) {
        /* The directory exists: its parent, whose sync failed, does not change again. */
        machine_must_open(&m);
        machine_close(&m);
    }
    fault_env_arm(m.fe, (struct fault){kind, nth, true});
    scenario_run(&model);
    bool fired = fault_env_fired(m.fe);
    fault_env_disarm(m.fe);
    crash_now(&m, crash);
    /* Data that a kill leaves need not be durable, but it must be before anything is
     * built upon it. */
    scenario_write(&model, 6);
    scenario_write(&model, 2);
    crash_now(&m, CRASH_POWER_LOSS);
    scenario_end(&model);
    model_fini(&model);
    machine_fini(&m);
    return fired;
}

static void
crash_everywhere(enum crash crash)
{
    uint64_t stride = setting("STEP", 1);
    for (uint64_t nth = 1; crash_at_call(crash, FAULT_EIO, nth); nth += stride) {
    }
    for (uint64_t nth = 1; crash_at_call(crash, FAULT_TORN, nth); nth += stride) {
    }
}

UNIT_TEST(test_nothing_is_lost_when_power_fails_at_any_call)
{
    crash_everywhere(CRASH_POWER_LOSS);
}

UNIT_TEST(test_nothing_is_lost_when_killed_at_any_call)
{
    crash_everywhere(CRASH_KILL);
}

/* --- random steps ----------------------------------------------------------------------------- */

struct walk {
    struct machine m;
    struct rng rng;
    uint32_t steps;
    bool clock_lies;
    bool only_kills; /* a power loss may lose acknowledged samples */
    bool small_head; /* memory may run out */
};

static uint32_t
below(struct walk *w, uint32_t limit)
{
    return (uint32_t)rng_below(&w->rng, limit);
}

static void
walk_reopen(struct walk *w)
{
    if (tsdb_is_down(w->m.db)) must(tsdb_reopen(w->m.db, &w->m.why));
}

static void
walk_arm(struct walk *w)
{
    static const enum fault_kind kinds[] = {FAULT_EIO,   FAULT_ENOSPC, FAULT_SHORT,
                                            FAULT_EINTR, FAULT_TORN,   FAULT_SYNC};
    fault_env_arm(w->m.fe, (struct fault){kinds[below(w, 6)], 1 + below(w, 8), below(w, 3) == 0});
    if (below(w, 4) == 0) memory_arm(&w->m, 1 + below(w, 60), below(w, 2) == 0);
}

static void
walk_disarm(struct walk *w)
{
    fault_env_disarm(w->m.fe);
    memory_arm(&w->m, 0, false);
}

/* Adds mostly new samples, and some repeats, with the same value or another. */
static void
walk_items(struct walk *w, struct items *items)
{
    items->version = below(w, 2) == 0 ? RW_V1 : RW_V2;
    uint32_t tenant = below(w, TENANTS), pieces = 1 + below(w, 5);
    for (uint32_t i = 0; i < pieces; i++) {
        uint32_t series = below(w, SERIES), count = 1 + below(w, below(w, 8) == 0 ? 40 : 6);
        uint32_t now = w->steps / 2 % SLOTS;
        uint32_t first = below(w, 4) == 0 ? below(w, SLOTS) : (now + below(w, 8)) % SLOTS;
        if (first + count > SLOTS) count = SLOTS - first;
        items_add(items, tenant, series, first, count,
                  below(w, 6) == 0 ? 1 + below(w, VARIANTS - 1) : 0);
        if (below(w, 5) == 0) items_add_spark(items, tenant, series, below(w, EXEMPLARS));
    }
}

static void
walk_send(struct walk *w)
{
    struct items items = {0};
    walk_items(w, &items);
    enum err e = model_send(&model, items.version, items.at, items.count);
    if (e == OK || w->clock_lies || w->m.memory_fails) return;
    if (e == ERR_AGAIN && (tsdb_is_down(w->m.db) || strstr(w->m.why.text, "suspect") != NULL))
        return;
    if (e == ERR_NOMEM && w->small_head) return;
    fail_msg("ingest: %s: %s", err_word(e), w->m.why.text);
}

static void
walk_commit(struct walk *w)
{
    enum err e = model_commit(&model);
    if (e) print_error("commit: %s\n", w->m.why.text);
    must(e);
}

/* Syncs for modes in which `written` is enough: the samples it fails to sync are still known. */
static void
walk_sync(struct walk *w)
{
    if (!w->only_kills || tsdb_is_down(w->m.db)) return;
    enum err e = step(&w->m, tsdb_sync(w->m.db, &w->m.why));
    if (e) model_commit_failed(&model);
}

static void
walk_delete(struct walk *w)
{
    uint32_t first = below(w, SLOTS), last = first + below(w, SLOTS - first);
    if (w->m.memory_fails || tsdb_is_down(w->m.db)) return;
    tsdb_want_cut(w->m.db);
    walk_commit(w);
    must(model_flush(&model));
    model_delete(&model, below(w, TENANTS), below(w, SERIES), first, last);
}

static void
walk_failing(struct walk *w)
{
    walk_arm(w);
    if (below(w, 2) == 0) walk_send(w);
    if (below(w, 3) == 0) tsdb_want_cut(w->m.db);
    enum err e = model_commit(&model);
    if (below(w, 2) == 0) e = model_flush(&model);
    if (below(w, 3) == 0) e = model_merge(&model, (enum tsdb_merge_mode)below(w, 3));
    if (below(w, 3) == 0) e = step(&w->m, tsdb_maintain(w->m.db, NULL));
    if (below(w, 3) == 0) walk_sync(w);
    if (below(w, 2) == 0 && tsdb_is_down(w->m.db)) e = step(&w->m, tsdb_reopen(w->m.db, NULL));
    if (below(w, 4) == 0) e = model_commit(&model);
    err_ignore(e, "the crash comes, or the walk goes on");
}

static void
walk_crash(struct walk *w)
{
    struct machine *m = &w->m;
    uint32_t how = below(w, 3);
    if (below(w, 2) == 0) walk_failing(w);
    if (how == 0 && !w->only_kills) sim_env_power_loss(m->sim);
    if (how == 1) sim_env_kill(m->sim);
    walk_disarm(w);
    machine_close(m);
    model_crashed(&model);
    crashes++;
    if (below(w, 4) == 0) must(machine_verify(m, true));
    if (below(w, 4) == 0) {
        walk_arm(w);
        if (machine_open(m) == OK) machine_close(m);
        if (below(w, 2) == 0 && !w->only_kills) sim_env_power_loss(m->sim);
        walk_disarm(w);
    }
    machine_must_open(m);
    model_opened(&model);
    assert_int_equal(m->opening.damage.places, 0);
    assert_int_equal(m->opening.parts_set_aside, 0);
    model_compare(&model, true);
}

static void
walk_clock(struct walk *w)
{
    if (w->clock_lies || below(w, 3) != 0) {
        sim_env_set_realtime_ms(w->m.sim, SIM_BEGIN + (int64_t)w->steps * 100);
        w->clock_lies = false;
    } else {
        int64_t by = (int64_t)below(w, 3000) * MINUTE_MS;
        sim_env_set_realtime_ms(w->m.sim, SIM_BEGIN + (below(w, 2) == 0 ? by : -by));
        w->clock_lies = true;
    }
    sim_env_advance_ns(w->m.sim, (int64_t)below(w, 1000) * NS_PER_S);
}

static void
walk_step(struct walk *w)
{
    struct machine *m = &w->m;
    uint32_t dice = below(w, 1000);
    if (dice < 500) {
        walk_send(w);
    } else if (dice < 780) {
        walk_commit(w);
    } else if (dice < 810) {
        tsdb_want_cut(m->db);
    } else if (dice < 850) {
        must(model_flush(&model));
        if (below(w, 12) == 0) walk_delete(w);
        if (below(w, 6) == 0) must(model_merge(&model, (enum tsdb_merge_mode)below(w, 3)));
    } else if (dice < 890) {
        must(tsdb_maintain(m->db, &m->why));
        walk_sync(w);
    } else if (dice < 930) {
        walk_failing(w);
        walk_disarm(w);
        walk_reopen(w);
    } else if (dice < 960) {
        walk_crash(w);
    } else if (dice < 970) {
        walk_clock(w);
    } else if (dice < 995) {
        model_compare(&model, false);
    } else {
        machine_close(m);
        model_crashed(&model);
        must(machine_verify(m, true));
        machine_must_open(m);
        model_opened(&model);
        model_compare(&model, true);
    }
}

/* Ends a walk: one place in the parts is damaged. */
struct damage_reading {
    struct reading reading;
    uint64_t count;
    bool partial;
};

static void
saw_beside_damage(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct damage_reading *r = context;
    r->count++;
    if (!r->partial) {
        model_saw(&r->reading, labels, b, i);
        return;
    }
    /* If the first arrival is damaged, a later one is read: still one that was sent. */
    uint32_t series = model_series(&model, labels);
    uint32_t slot = (uint32_t)((b->times_ms[i] - slot_time(0)) / SLOT_MS);
    for (uint32_t variant = 0; variant < VARIANTS; variant++) {
        struct value v = slot_value(series, slot, variant, RW_V1);
        struct value v2 = slot_value(series, slot, variant, RW_V2);
        if (reads_as(&model, &v, b, i) || reads_as(&model, &v2, b, i)) return;
    }
    fail_msg("a value that nobody sent");
}

static void
walk_read_damaged(struct walk *w, bool partial, const char *part)
{
    struct machine *m = &w->m;
    struct answerer *a = tsdb_answerer(m->db);
    model.reading++;
    for (uint32_t t = 0; t < TENANTS; t++) {
        struct question q;
        struct series_set *set = NULL;
        struct damage_reading r = {{&model, t, false}, 0, partial};
        uint64_t won = 0;
        question_init(&q, model_tenants[t], every_series, 1, slot_time(0), slot_time(SLOTS));
        q.request.partial = partial;
        enum err e = answerer_select(a, &q.request, &set, &m->why);
        if (e == OK) e = set_walk(set, &q.request, saw_beside_damage, &r, &m->why);
        for (uint32_t i = 0; i < SERIES * SLOTS; i++) {
            const struct cell *c = &model.cells[t * SERIES * SLOTS + i];
            won += c->has_won;
            if (e == OK && !partial && c->has_won) assert_int_equal(c->seen, model.reading);
        }
        if (e != OK) {
            assert_int_equal(e, ERR_CORRUPT);
            assert_non_null(strstr(m->why.text, part));
            assert_false(partial);
        } else if (partial && r.count < won) {
            assert_non_null(series_set_warning(set, 0));
        }
        series_set_free(set);
        question_fini(&q);
    }
}

struct listing {
    char names[64][32];
    uint32_t count;
};

/* Parts that were set aside have a name with a dot, and are not verified. */
static enum err
list_part(void *context, const char *name, bool is_dir)
{
    struct listing *l = context;
    is_dir = is_dir && strchr(name, '.') == NULL;
    if (is_dir && l->count < 64) snprintf(l->names[l->count++], 32, "%.31s", name);
    return OK;
}

static void
walk_end_with_damage(struct walk *w)
{
    struct machine *m = &w->m;
    struct listing l = {.count = 0};
    char path[100];
    struct file file;
    uint64_t size;
    tsdb_want_cut(m->db);
    walk_commit(w);
    must(model_flush(&model));
    machine_restart(m); /* files of failed flushes are removed */
    machine_close(m);
    model_crashed(&model);
    must(env_listdir(m->env, STORE_DIR "/parts", list_part, &l, NULL));
    if (l.count == 0) return;
    const char *part = l.names[below(w, l.count)];
    snprintf(path, sizeof path, STORE_DIR "/parts/%s/part", part);
    must(file_open(m->env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    must(sim_env_damage(m->sim, path, rng_below(&w->rng, size)));
    assert_int_equal(machine_verify(m, false), ERR_CORRUPT);
    machine_must_open(m);
    if (m->opening.parts_set_aside == 0) {
        walk_read_damaged(w, false, part);
        walk_read_damaged(w, true, part);
    } else {
        assert_non_null(strstr(m->opening.first_damage, part));
    }
    machine_close(m);
}

static void
walk_from(uint64_t seed, uint64_t steps)
{
    struct walk w = {.rng = {seed}};
    machine_init(&w.m, seed);
    w.only_kills = seed % 5 == 2;
    w.small_head = seed % 7 == 3;
    if (w.only_kills) w.m.options.wal_sync = WAL_SYNC_WRITTEN;
    if (w.small_head) w.m.options.head_bytes_max = 1400 * 1024;
    model_init(&model, &w.m);
    machine_must_open(&w.m);
    model_opened(&model);
    for (; w.steps < steps; w.steps++, steps_run++)
        walk_step(&w);
    walk_reopen(&w);
    walk_commit(&w);
    model_compare(&model, false);
    walk_end_with_damage(&w);
    model_fini(&model);
    machine_fini(&w.m);
}

UNIT_TEST(test_random_steps_agree_with_the_model)
{
    bool is_long = setting("LONG", 0) != 0;
    uint64_t seed = setting("SEED", 1), steps = setting("STEPS", is_long ? 400000 : 12000);
    uint64_t walks = steps < 1000 ? 1 : steps / 600;
    print_message("seed %llu, %llu steps\n", (unsigned long long)seed, (unsigned long long)steps);
    for (uint64_t i = 0; i < walks; i++)
        walk_from(seed + i, (seed + i) % 16 == 0 ? 10 * steps / walks : steps / walks);
}

static int
report(void **state)
{
    (void)state;
    print_message("%llu steps run, %llu crashes\n", (unsigned long long)steps_run,
                  (unsigned long long)crashes);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nothing_is_lost_when_power_fails_at_any_call, tell_seed),
        cmocka_unit_test_teardown(test_nothing_is_lost_when_killed_at_any_call, tell_seed),
        cmocka_unit_test_teardown(test_random_steps_agree_with_the_model, tell_seed),
    };
    return cmocka_run_group_tests(tests, NULL, report);
}
