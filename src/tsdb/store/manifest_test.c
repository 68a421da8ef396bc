/*
 * manifest_test.c - manifests come back, are replaced as a whole or not at all, survive damage to
 * one copy, and are compatible with other versions.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "lib/random.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/store/manifest.h"

enum { PARTS = 40, TENANTS = 6 };

struct rig {
    struct sim_env *sim;
    struct fault_env *fault;
    struct env *env;
};

static void
rig_open(struct rig *g, uint64_t seed)
{
    assert_int_equal(sim_env_new(seed, &g->sim), OK);
    assert_int_equal(fault_env_new(sim_env_env(g->sim), &g->fault), OK);
    g->env = fault_env_env(g->fault);
    assert_int_equal(env_mkdir(g->env, "/db", NULL), OK);
    assert_int_equal(env_syncdir(g->env, "/", NULL), OK);
}

static void
rig_close(struct rig *g)
{
    fault_env_free(g->fault);
    sim_env_free(g->sim);
}

static void
make_tombstones(struct manifest *m, struct arena *arena, struct rng *r)
{
    m->last_tombstone = rng_next(r);
    m->tombstone_count = (uint32_t)rng_below(r, 4);
    m->tombstones = arena_new(arena, 4 * sizeof *m->tombstones);
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        struct manifest_tombstone *t = &m->tombstones[i];
        *t = (struct manifest_tombstone){.id = rng_next(r),
                                         .pos = rng_next(r),
                                         .made_ms = (int64_t)rng_next(r),
                                         .range = {(int64_t)rng_next(r), (int64_t)rng_next(r)},
                                         .tenant = bytes_of_text("tenant"),
                                         .matcher_count = (uint32_t)rng_below(r, 3)};
        t->matchers = arena_new(arena, 3 * sizeof *t->matchers);
        for (uint32_t k = 0; k < t->matcher_count; k++) {
            t->matchers[k] = (struct manifest_matcher){(uint8_t)rng_below(r, 4),
                                                       bytes_of_text("job"), bytes_of_text("a|b")};
        }
    }
}

/* Without receipts all tombstones are final. */
static void
make_receipts(struct manifest *m, struct arena *arena, struct rng *r, bool some)
{
    m->has_receipts = some;
    m->final_tombstone = some ? m->last_tombstone / 2 : m->last_tombstone;
    m->receipt_count = some ? 1 + (uint32_t)rng_below(r, 3) : 0;
    m->receipts = arena_new(arena, 4 * sizeof *m->receipts);
    for (uint32_t i = 0; i < m->receipt_count; i++) {
        m->receipts[i] = (struct tsdb_receipt){
            .id = rng_next(r),
            .pos = rng_next(r),
            .made_ms = (int64_t)rng_next(r),
            .undone_ms = rng_below(r, 2) == 0 ? INT64_MIN : (int64_t)rng_next(r),
            .range = {(int64_t)rng_next(r), (int64_t)rng_next(r)},
            .tenant = bytes_of_text("tenant"),
            .selector = bytes_of_text("{job=\"a\"}"),
            .series = rng_next(r),
            .samples = rng_next(r),
            .selected = rng_next(r)};
    }
}

static void
make_rules(struct manifest *m, struct arena *arena, struct rng *r)
{
    static struct bytes tenants[2];
    static struct manifest_rule rules[2];
    tenants[0] = bytes_of_text("a");
    tenants[1] = bytes_of_text("b");
    for (uint32_t i = 0; i < 2; i++) {
        rules[i] = (struct manifest_rule){bytes_of_text("{job=\"a\"}"), tenants, 2 * i,
                                          1 + (int64_t)(rng_next(r) >> 1)};
    }
    m->rules_count = (uint32_t)rng_below(r, 4);
    m->rules = arena_new(arena, 3 * sizeof *m->rules);
    for (uint32_t i = 0; i < m->rules_count; i++) {
        m->rules[i] =
            (struct manifest_rules){(int64_t)(rng_next(r) >> 1), (int64_t)(rng_next(r) >> 1), rules,
                                    (uint32_t)rng_below(r, 3)};
    }
    m->done_count[RULES_RETAIN] = 1;
    m->done[RULES_RETAIN] = arena_new(arena, sizeof *m->done[0]);
    m->done[RULES_RETAIN][0] = (struct manifest_done){
        bytes_of_text("{}"), bytes_of_text("a,b"),
        .done = {.samples = {rng_next(r), 2, 3}, .series = rng_next(r), .bytes = rng_next(r)}};
    m->done_count[RULES_DOWNSAMPLE] = (uint32_t)rng_below(r, 3);
    m->done[RULES_DOWNSAMPLE] = arena_new(arena, 2 * sizeof *m->done[0]);
    for (uint32_t i = 0; i < m->done_count[RULES_DOWNSAMPLE]; i++) {
        m->done[RULES_DOWNSAMPLE][i] = (struct manifest_done){
            bytes_of_text("{a=\"b\"}"),
            bytes_of_text("a"),
            300000 + i,
            {.samples = {rng_next(r), 2, 3}, .windows = rng_next(r), .bytes = rng_next(r)}};
    }
}

static void
make(struct manifest *m, struct arena *arena, uint64_t edit)
{
    struct rng r = {edit};
    *m = (struct manifest){
        .edit = edit,
        .store_pos = rng_next(&r),
        .next_part = rng_next(&r) >> rng_below(&r, 60),
        .next_ref = rng_next(&r) >> rng_below(&r, 60),
        .ref_floor = rng_next(&r) >> rng_below(&r, 60),
        .segment_floor = rng_below(&r, 1000),
        .newest_ms = (int64_t)rng_next(&r),
        .retention_now_ms = (int64_t)rng_next(&r) >> 20,
        .part_count = (uint32_t)rng_below(&r, PARTS),
        .tenant_count = (uint32_t)rng_below(&r, TENANTS),
    };
    for (unsigned i = 0; i < sizeof m->log_id; i++)
        m->log_id[i] = (uint8_t)rng_next(&r);
    m->parts = arena_new(arena, PARTS * sizeof *m->parts);
    for (uint32_t i = 0; i < m->part_count; i++) {
        m->parts[i] = (struct part_entry){i + rng_below(&r, 3),
                                          rng_next(&r),
                                          rng_next(&r),
                                          rng_below(&r, 4),
                                          {(int64_t)rng_next(&r), (int64_t)rng_next(&r)}};
    }
    make_tombstones(m, arena, &r);
    make_receipts(m, arena, &r, edit % 4 == 2);
    if (edit % 8 == 6) make_rules(m, arena, &r);
    for (uint32_t i = 0; edit % 8 == 6 && i < m->receipt_count; i++) {
        m->receipts[i].windows = rng_next(&r);
        m->receipts[i].selected_windows = rng_next(&r);
    }
    m->removed_count = (uint32_t)rng_below(&r, 5);
    m->removed = arena_new(arena, 5 * sizeof *m->removed);
    for (uint32_t i = 0; i < m->removed_count; i++)
        m->removed[i] = rng_next(&r) >> rng_below(&r, 60);
    m->log_totals_known = edit % 2 == 1;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT && m->log_totals_known; k++)
        m->log_totals[k] = rng_next(&r) >> rng_below(&r, 60);
    m->tenants = arena_new(arena, TENANTS * sizeof *m->tenants);
    for (uint32_t i = 0; i < m->tenant_count; i++) {
        struct tenant_totals *t = &m->tenants[i];
        char name[20];
        snprintf(name, sizeof name, "tenant%u", i);
        t->name = arena_copy(arena, bytes_of_text(name));
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            t->totals.stored[k] = rng_below(&r, 3) * rng_next(&r);
            for (unsigned f = 0; f < LEDGER_FIELD_COUNT; f++)
                if (rng_below(&r, 3) == 0) t->totals.count[k][f] = rng_next(&r) >> 9;
            if (edit >= 100) continue;
            t->totals.count[k][LEDGER_DOWNSAMPLED] = 0; /* they need version 7 */
            t->totals.count[k][LEDGER_SUPERSEDED_BY_WINDOW] = 0;
            t->totals.count[k][LEDGER_MISSED_BY_WINDOW] = 0; /* version 8 */
        }
    }
}

static bool
same_tombstone(const struct manifest_tombstone *a, const struct manifest_tombstone *b)
{
    bool equal = a->id == b->id && a->pos == b->pos && a->made_ms == b->made_ms &&
                 a->range.min_ms == b->range.min_ms && a->range.max_ms == b->range.max_ms &&
                 bytes_equal(a->tenant, b->tenant) && a->matcher_count == b->matcher_count;
    for (uint32_t i = 0; equal && i < a->matcher_count; i++) {
        equal = a->matchers[i].type == b->matchers[i].type &&
                bytes_equal(a->matchers[i].name, b->matchers[i].name) &&
                bytes_equal(a->matchers[i].pattern, b->matchers[i].pattern);
    }
    return equal;
}

static bool
same_receipts(const struct manifest *a, const struct manifest *b)
{
    bool equal = a->final_tombstone == b->final_tombstone && a->receipt_count == b->receipt_count;
    for (uint32_t i = 0; equal && i < a->receipt_count; i++) {
        const struct tsdb_receipt *x = &a->receipts[i], *y = &b->receipts[i];
        equal = x->id == y->id && x->pos == y->pos && x->made_ms == y->made_ms &&
                x->undone_ms == y->undone_ms && x->range.min_ms == y->range.min_ms &&
                x->range.max_ms == y->range.max_ms && bytes_equal(x->tenant, y->tenant) &&
                bytes_equal(x->selector, y->selector) && x->series == y->series &&
                x->samples == y->samples && x->selected == y->selected &&
                x->windows == y->windows && x->selected_windows == y->selected_windows;
    }
    return equal;
}

static bool
same_rule(const struct manifest_rule *a, const struct manifest_rule *b)
{
    bool equal = bytes_equal(a->match, b->match) && a->age_ms == b->age_ms &&
                 a->tenant_count == b->tenant_count;
    for (uint32_t i = 0; equal && i < a->tenant_count; i++)
        equal = bytes_equal(a->tenants[i], b->tenants[i]);
    return equal;
}

static bool
same_done(const struct manifest_done *a, const struct manifest_done *b, uint32_t count)
{
    bool equal = true;
    for (uint32_t i = 0; equal && i < count; i++) {
        equal = bytes_equal(a[i].match, b[i].match) && bytes_equal(a[i].tenants, b[i].tenants) &&
                a[i].resolution_ms == b[i].resolution_ms &&
                memcmp(&a[i].done, &b[i].done, sizeof a[i].done) == 0;
    }
    return equal;
}

static bool
same_rules(const struct manifest *a, const struct manifest *b)
{
    bool equal = a->rules_count == b->rules_count &&
                 a->done_count[RULES_RETAIN] == b->done_count[RULES_RETAIN];
    for (uint32_t i = 0; equal && i < a->rules_count; i++) {
        const struct manifest_rules *x = &a->rules[i], *y = &b->rules[i];
        equal = x->left_ms == y->left_ms && x->kept_ms == y->kept_ms && x->count == y->count;
        for (uint32_t k = 0; equal && k < x->count; k++)
            equal = same_rule(&x->items[k], &y->items[k]);
    }
    return equal && a->done_count[RULES_DOWNSAMPLE] == b->done_count[RULES_DOWNSAMPLE] &&
           same_done(a->done[RULES_RETAIN], b->done[RULES_RETAIN], a->done_count[RULES_RETAIN]) &&
           same_done(a->done[RULES_DOWNSAMPLE], b->done[RULES_DOWNSAMPLE],
                     a->done_count[RULES_DOWNSAMPLE]);
}

static bool
same(const struct manifest *a, const struct manifest *b)
{
    bool equal =
        a->edit == b->edit && a->store_pos == b->store_pos && a->next_part == b->next_part &&
        a->next_ref == b->next_ref && a->ref_floor == b->ref_floor &&
        a->segment_floor == b->segment_floor && a->newest_ms == b->newest_ms &&
        a->retention_now_ms == b->retention_now_ms && a->part_count == b->part_count &&
        a->tenant_count == b->tenant_count && a->last_tombstone == b->last_tombstone &&
        a->tombstone_count == b->tombstone_count && a->removed_count == b->removed_count &&
        memcmp(a->log_id, b->log_id, sizeof a->log_id) == 0 &&
        a->log_totals_known == b->log_totals_known && same_receipts(a, b) && same_rules(a, b) &&
        memcmp(a->log_totals, b->log_totals, sizeof a->log_totals) == 0;
    for (uint32_t i = 0; equal && i < a->part_count; i++)
        equal = memcmp(&a->parts[i], &b->parts[i], sizeof a->parts[i]) == 0;
    for (uint32_t i = 0; equal && i < a->tenant_count; i++) {
        const struct tenant_totals *x = &a->tenants[i], *y = &b->tenants[i];
        equal =
            bytes_equal(x->name, y->name) && memcmp(&x->totals, &y->totals, sizeof x->totals) == 0;
    }
    for (uint32_t i = 0; equal && i < a->tombstone_count; i++)
        equal = same_tombstone(&a->tombstones[i], &b->tombstones[i]);
    for (uint32_t i = 0; equal && i < a->removed_count; i++)
        equal = a->removed[i] == b->removed[i];
    return equal;
}

UNIT_TEST(test_a_manifest_comes_back)
{
    struct rig g;
    rig_open(&g, 1);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct manifest m, got;
    assert_int_equal(manifest_read(g.env, "/db", &arena, &got, NULL), ERR_MISSING);
    for (uint64_t edit = 0; edit < 200; edit++) {
        arena_reset(&arena);
        make(&m, &arena, edit);
        assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
        struct arena fresh; /* its first allocation may have a size of 0 */
        arena_init(&fresh, NULL, 0, 0);
        assert_int_equal(manifest_read(g.env, "/db", &fresh, &got, NULL), OK);
        if (!same(&m, &got)) fail_msg("edit %u", (unsigned)edit);
        arena_fini(&fresh);
    }
    arena_fini(&arena);
    rig_close(&g);
}

/* Makes each call fail in turn, then cuts the power: the manifest is the old or new one, and the
 * new one if that was acknowledged. */
static void
replace_under(enum fault_kind kind, bool forever)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct manifest old, new, got;
    make(&old, &arena, 11);
    make(&new, &arena, 12);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct rig g;
            rig_open(&g, seed);
            assert_int_equal(manifest_write(g.env, "/db", &old, NULL, NULL), OK);
            fault_env_arm(g.fault, (struct fault){kind, nth, forever});
            enum err e = manifest_write(g.env, "/db", &new, NULL, NULL);
            fired = fault_env_fired(g.fault);
            fault_env_disarm(g.fault);
            sim_env_power_loss(g.sim);
            struct why why = {""};
            enum err read = manifest_read(g.env, "/db", &arena, &got, &why);
            if (read) fail_msg("call %u, seed %u: %s", (unsigned)nth, (unsigned)seed, why.text);
            if (!same(&got, &new) && (e == OK || !same(&got, &old)))
                fail_msg("call %u, seed %u: neither", (unsigned)nth, (unsigned)seed);
            rig_close(&g);
        }
    }
    arena_fini(&arena);
}

UNIT_TEST(test_a_replacement_is_whole_or_not_at_all)
{
    replace_under(FAULT_EIO, false);
    replace_under(FAULT_EIO, true);
    replace_under(FAULT_ENOSPC, false);
    replace_under(FAULT_TORN, false);
    replace_under(FAULT_SYNC, false);
}

UNIT_TEST(test_a_failed_allocation_is_reported)
{
    struct rig g;
    rig_open(&g, 1);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct manifest m, got;
    make(&m, &arena, 5);
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct why why = {""};
        mem_fail_nth(nth, false);
        enum err e = manifest_write(g.env, "/db", &m, NULL, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) assert_int_equal(e, OK);
        if (e) assert_int_equal(e, ERR_NOMEM);
        if (e) assert_string_not_equal(why.text, "");
    }
    fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        struct arena own;
        struct why why = {""};
        arena_init(&own, NULL, 0, 512);
        mem_fail_nth(nth, false);
        enum err e = manifest_read(g.env, "/db", &own, &got, &why);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) assert_int_equal(e, OK);
        if (e) assert_int_equal(e, ERR_NOMEM);
        if (e) assert_string_not_equal(why.text, "");
        arena_fini(&own);
    }
    arena_fini(&arena);
    rig_close(&g);
}

static uint64_t
size_of(struct rig *g, const char *path)
{
    struct file file;
    uint64_t size;
    assert_int_equal(file_open(g->env, path, FILE_READ, &file, NULL), OK);
    assert_int_equal(file_size(&file, &size, NULL), OK);
    file_close(&file);
    return size;
}

/* Returns the position of the second copy, see docs/format/manifest.md. */
static uint64_t
second_copy(uint64_t size)
{
    return (size + 8191) / 8192 * 4096;
}

static void
change(struct rig *g, const char *path, uint64_t at, uint8_t flip, bool mend)
{
    struct file file;
    uint8_t all[16384];
    uint64_t size = size_of(g, path);
    assert_true(size <= sizeof all);
    assert_int_equal(file_open(g->env, path, FILE_UPDATE, &file, NULL), OK);
    assert_int_equal(file_read_at(&file, all, size, 0, NULL), OK);
    all[at] ^= flip;
    if (mend) {
        uint64_t second = second_copy(size), frame = size - second;
        store_le64(all + frame - 8, hash_bytes(bytes_of(all, frame - 8), 0));
        memcpy(all + second, all, frame);
    }
    assert_int_equal(file_write_at(&file, bytes_of(all, size), 0, NULL), OK);
    file_close(&file);
}

UNIT_TEST(test_one_copy_may_be_damaged_anywhere)
{
    struct rig g;
    rig_open(&g, 1);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct manifest m, got;
    struct why why;
    make(&m, &arena, 3);
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    uint64_t size = size_of(&g, "/db/MANIFEST");
    uint64_t second = second_copy(size), frame = size - second;
    assert_true(frame < second); /* a sector has at most one of them */
    for (uint64_t at = 0; at < size; at++) {
        if (at == frame) at = second;
        uint64_t other = at * 7 % frame + (at < frame ? second : 0);
        change(&g, "/db/MANIFEST", at, (uint8_t)(1u << at % 8), false);
        assert_int_equal(manifest_read(g.env, "/db", &arena, &got, NULL), OK);
        assert_true(same(&m, &got));
        assert_int_equal(got.copies_damaged, 1);
        change(&g, "/db/MANIFEST", other, 1, false);
        assert_int_equal(manifest_read(g.env, "/db", &arena, &got, &why), ERR_CORRUPT);
        assert_non_null(strstr(why.text, "/db/MANIFEST"));
        change(&g, "/db/MANIFEST", other, 1, false);
        change(&g, "/db/MANIFEST", at, (uint8_t)(1u << at % 8), false);
    }
    assert_int_equal(manifest_read(g.env, "/db", &arena, &got, NULL), OK);
    assert_int_equal(got.copies_damaged, 0);
    struct file file;
    assert_int_equal(file_open(g.env, "/db/MANIFEST", FILE_UPDATE, &file, NULL), OK);
    for (uint64_t whole = frame; size > 0;) {
        assert_int_equal(file_truncate(&file, --size, NULL), OK);
        enum err e = manifest_read(g.env, "/db", &arena, &got, NULL);
        assert_int_equal(e, size >= whole ? OK : ERR_CORRUPT);
        if (e == OK) assert_int_equal(got.copies_damaged, 1);
    }
    file_close(&file);
    arena_fini(&arena);
    rig_close(&g);
}

UNIT_TEST(test_a_newer_manifest_is_refused_not_damaged)
{
    struct rig g;
    rig_open(&g, 1);
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    struct manifest m, got;
    struct why why;
    make(&m, &arena, 6);
    m.parts[0].remote = true;
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    change(&g, "/db/MANIFEST", 8, 3, true); /* 9 becomes 10 */
    assert_int_equal(manifest_read(g.env, "/db", &arena, &got, NULL), OK);
    change(&g, "/db/MANIFEST", 10, 3, true); /* 9 becomes 10 */
    assert_int_equal(manifest_read(g.env, "/db", &arena, &got, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "version 10"));
    assert_non_null(strstr(why.text, "minimum reader 10"));
    assert_non_null(strstr(why.text, "version 9"));
    change(&g, "/db/MANIFEST", 10, 3, true);
    change(&g, "/db/MANIFEST", 8, 0xb, true); /* 10 becomes 1 */
    assert_int_equal(manifest_read(g.env, "/db", &arena, &got, &why), ERR_UNSUPPORTED);
    assert_non_null(strstr(why.text, "version 1 was never released"));
    arena_fini(&arena);
    rig_close(&g);
}

/* Returns the version that a reader of the current file needs. */
static unsigned
version_needed(struct rig *g)
{
    uint8_t at[16];
    struct file file = FILE_CLOSED;
    assert_int_equal(file_open(g->env, "/db/MANIFEST", FILE_READ, &file, NULL), OK);
    assert_int_equal(file_read_at(&file, at, sizeof at, 0, NULL), OK);
    assert_int_equal(file_close(&file), OK);
    return load_le16(at + 10);
}

UNIT_TEST(test_only_what_is_new_needs_a_reader_that_knows_of_it)
{
    struct rig g;
    struct arena arena;
    struct manifest m;
    rig_open(&g, 1);
    arena_init(&arena, NULL, 0, 0);
    make(&m, &arena, 3);
    for (uint32_t i = 0; i < m.tenant_count; i++) {
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            m.tenants[i].totals.count[k][LEDGER_PASSED_ON] = 0;
            m.tenants[i].totals.count[k][LEDGER_REJECTED + REJECT_MISSING_NAME] = 0;
        }
    }
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 2);
    m.tenants[0].totals.count[LEDGER_EXEMPLAR][LEDGER_PASSED_ON] = 1;
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 3);
    m.tenants[1].totals.count[LEDGER_HISTOGRAM][LEDGER_REJECTED + REJECT_MISSING_NAME] = 1;
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 4);
    make(&m, &arena, 2);
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 6);
    for (unsigned f = LEDGER_DOWNSAMPLED; f <= LEDGER_SUPERSEDED_BY_WINDOW; f++) {
        m.tenants[0].totals.count[LEDGER_FLOAT][f] = 1;
        assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
        assert_int_equal(version_needed(&g), 7);
        m.tenants[0].totals.count[LEDGER_FLOAT][f] = 0;
    }
    m.parts[1].remote = true;
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 9);
    assert_int_equal(manifest_read(g.env, "/db", &arena, &m, NULL), OK);
    assert_true(!m.parts[0].remote && m.parts[1].remote);
    m.parts[1].remote = false;
    make(&m, &arena, 6);
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 7);
    m.tenants[0].totals.count[LEDGER_FLOAT][LEDGER_MISSED_BY_WINDOW] = 1;
    assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
    assert_int_equal(version_needed(&g), 8);
    arena_fini(&arena);
    rig_close(&g);
}

/* Writes the first copy again, with that version, and with bytes after its payload or without its
 * last bytes. */
static void
change_length(struct rig *g, uint16_t version, int by)
{
    static uint8_t at[1 << 20];
    struct file file = FILE_CLOSED;
    assert_int_equal(file_open(g->env, "/db/MANIFEST", FILE_UPDATE, &file, NULL), OK);
    assert_int_equal(file_read_at(&file, at, 16, 0, NULL), OK);
    uint32_t before = load_le32(at + 12), size = (uint32_t)((int64_t)before + by);
    assert_int_equal(file_read_at(&file, at, 16 + before, 0, NULL), OK);
    if (by > 0) memset(at + 16 + before, 'm', (size_t)by);
    store_le16(at + 8, version);
    store_le32(at + 12, size);
    store_le64(at + 16 + size, hash_bytes(bytes_of(at, 16 + size), 0));
    assert_int_equal(file_write_at(&file, bytes_of(at, 24 + size), 0, NULL), OK);
    assert_int_equal(file_truncate(&file, 24 + size, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

UNIT_TEST(test_bytes_that_a_newer_version_appends_are_ignored)
{
    for (uint16_t version = 9; version < 11; version++) {
        struct rig g;
        struct arena arena;
        struct manifest m, got;
        rig_open(&g, 1);
        arena_init(&arena, NULL, 0, 0);
        make(&m, &arena, 6);
        m.parts[0].remote = true;
        assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
        change_length(&g, version, 4);
        enum err e = manifest_read(g.env, "/db", &arena, &got, NULL);
        assert_int_equal(e, version == 9 ? ERR_CORRUPT : OK);
        assert_true(e != OK || same(&m, &got));
        arena_fini(&arena);
        rig_close(&g);
    }
}

/* Versions 2 to 4 lack the times of parts and the totals of the log. */
UNIT_TEST(test_parts_of_an_older_manifest_may_have_samples_of_all_times)
{
    for (uint16_t version = 2; version < 6; version++) {
        struct rig g;
        struct arena arena;
        struct manifest m, got;
        rig_open(&g, 1);
        arena_init(&arena, NULL, 0, 0);
        make(&m, &arena, 3);
        assert_true(m.part_count > 0);
        m.log_totals_known = false;
        memset(m.log_totals, 0, sizeof m.log_totals);
        for (uint32_t i = 0; i < m.part_count; i++)
            m.parts[i].time = (struct time_range){0, 0}; /* one byte each */
        assert_int_equal(manifest_write(g.env, "/db", &m, NULL, NULL), OK);
        change_length(&g, version, version == 5 ? 0 : -2 * (int)m.part_count);
        assert_int_equal(manifest_read(g.env, "/db", &arena, &got, NULL), OK);
        for (uint32_t i = 0; i < m.part_count && version < 5; i++)
            m.parts[i].time = (struct time_range){INT64_MIN, INT64_MAX};
        assert_true(same(&m, &got));
        arena_fini(&arena);
        rig_close(&g);
    }
}

UNIT_TEST(test_format_names_both_versions)
{
    struct rig g;
    rig_open(&g, 1);
    struct why why;
    assert_int_equal(format_check(g.env, "/db", NULL), ERR_MISSING);
    assert_int_equal(format_write(g.env, "/db", NULL), OK);
    assert_int_equal(format_check(g.env, "/db", NULL), OK);
    static const struct {
        const char *text;
        enum err want;
    } cases[] = {
        {"firekeep storage\nversion 7\nmin_reader 1\n", OK},
        {"firekeep storage\nversion 7\nmin_reader 3\n", ERR_UNSUPPORTED},
        {"firekeep storage\nversion 1\nmin_reader 1\n", ERR_UNSUPPORTED},
        {"firekeep storage\nversion 1\n", ERR_CORRUPT},
        {"firekeep storage\nversion x\nmin_reader 1\n", ERR_CORRUPT},
        {"firekeep storage\nversion 7\nmin_reader 4000000000\n", ERR_UNSUPPORTED},
        {"somebody else's\n", ERR_CORRUPT},
        {"", ERR_CORRUPT},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes text = bytes_of_text(cases[i].text);
        assert_int_equal(env_write_whole(g.env, "/db", "FORMAT", text, NULL), OK);
        enum err e = format_check(g.env, "/db", &why);
        if (e != cases[i].want) fail_msg("%s: %s", cases[i].text, err_word(e));
        if (e == ERR_UNSUPPORTED) assert_non_null(strstr(why.text, "version "));
    }
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_manifest_comes_back),
        cmocka_unit_test(test_a_replacement_is_whole_or_not_at_all),
        cmocka_unit_test(test_a_failed_allocation_is_reported),
        cmocka_unit_test(test_one_copy_may_be_damaged_anywhere),
        cmocka_unit_test(test_a_newer_manifest_is_refused_not_damaged),
        cmocka_unit_test(test_only_what_is_new_needs_a_reader_that_knows_of_it),
        cmocka_unit_test(test_bytes_that_a_newer_version_appends_are_ignored),
        cmocka_unit_test(test_parts_of_an_older_manifest_may_have_samples_of_all_times),
        cmocka_unit_test(test_format_names_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
