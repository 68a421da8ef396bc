/* tsdb_bucket_rig.c - see tsdb_bucket_rig.h. */
#include "lib/tsdb/tsdb_bucket_rig.h"

#include "base/hash/hash.h"
#include "model/selector.h"
#include "tsdb/store/bucket.h"

/* --- begin and end ---------------------------------------------------------------------------- */

void
bucket_rig_open(struct bucket_rig *rig)
{
    struct machine *m = rig->machine;
    m->options.objects = &rig->objects->objects; /* the store knows the bucket from its start */
    if (m->db == NULL) machine_must_open(m);
    const struct tsdb_bucket_options options = {.tsdb = m->db,
                                                .objects = &rig->objects->objects,
                                                .memory = &m->memory,
                                                .keep_ms = rig->keep_ms,
                                                .grace_ms = DAY_MS,
                                                .single_writer = rig->single_writer};
    must(tsdb_bucket_open(&options, &rig->bucket, &m->why));
}

void
bucket_rig_close(struct bucket_rig *rig)
{
    tsdb_bucket_free(rig->bucket);
    rig->bucket = NULL;
    machine_close(rig->machine);
}

void
bucket_rig_restart(struct bucket_rig *rig)
{
    tsdb_bucket_free(rig->bucket);
    rig->bucket = NULL;
    machine_verified_restart(rig->machine);
    bucket_rig_open(rig);
}

static void
replace_volume(struct machine *m, struct sim_env *by)
{
    fault_env_free(m->fe);
    sim_env_free(m->sim);
    m->sim = by;
    must(fault_env_new(sim_env_env(by), &m->fe));
    m->env = fault_env_env(m->fe);
    m->options.env = m->env;
}

void
bucket_rig_init(struct bucket_rig *rig, uint64_t seed)
{
    int64_t first = machine_seed; /* the test's own machine ends with the test */
    machine_init(rig->machine, seed);
    machine_seed = first;
}

void
bucket_rig_copy(const struct bucket_rig *from, struct bucket_rig *to, uint64_t seed)
{
    struct sim_env *volume;
    bucket_rig_init(to, seed);
    must(sim_env_copy(from->machine->sim, seed, &volume));
    replace_volume(to->machine, volume);
    to->machine->limits = from->machine->limits;
}

void
bucket_rig_fini(struct bucket_rig *rig)
{
    int64_t first = machine_seed;
    bucket_rig_close(rig);
    machine_fini(rig->machine);
    machine_seed = first;
}

void
bucket_rig_roll_back(struct bucket_rig *rig, struct sim_env *copy)
{
    struct env *env = rig->machine->env;
    bucket_rig_close(rig);
    sim_env_advance_ns(copy, env_monotonic_ns(env) - env_monotonic_ns(sim_env_env(copy)));
    sim_env_set_realtime_ms(copy, env_realtime_ms(env));
    replace_volume(rig->machine, copy);
    bucket_rig_open(rig);
}

/* --- the store -------------------------------------------------------------------------------- */

void
bucket_rig_log(struct bucket_rig *rig, const char *series, int64_t t_ms, double value)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, series);
    rq_float(&rq, t_ms, double_bits(value), 0);
    must(machine_send(rig->machine, "a", &rq));
    assert_int_equal(rig->machine->result.rejected_total, 0);
    rq_fini(&rq);
    machine_commit(rig->machine);
}

void
bucket_rig_send(struct bucket_rig *rig, const char *series, int64_t t_ms, double value)
{
    bucket_rig_log(rig, series, t_ms, value);
    machine_flush(rig->machine);
}

uint64_t
bucket_rig_delete(struct bucket_rig *rig, const char *selector_text)
{
    struct machine *m = rig->machine;
    struct selector selector;
    struct tsdb_deletion d;
    must(selector_parse(text(selector_text), &selector, &m->why));
    enum err e;
    do { /* it reads parts of which a request may fail once */
        e = tsdb_delete(m->db, text("a"), &selector, 1, INT64_MIN, INT64_MAX, &d, &m->why);
    } while (e == ERR_AGAIN);
    must(e);
    return d.id;
}

enum err
bucket_rig_merge(struct bucket_rig *rig, enum tsdb_merge_mode mode)
{
    struct tsdb_merge_options options = {.mode = mode};
    struct tsdb_merge_result r = {.input_count = 1};
    enum err e = OK;
    while (e == OK && r.input_count > 0)
        e = tsdb_merge(rig->machine->db, &options, &r, &rig->machine->why);
    return e;
}

/* --- the bucket ------------------------------------------------------------------------------- */

enum err
bucket_rig_run(struct bucket_rig *rig)
{
    enum tsdb_bucket_did did = TSDB_BUCKET_OPENED;
    enum err e = OK;
    rig->machine->why.text[0] = '\0';
    while (e == OK && did != TSDB_BUCKET_NOTHING)
        e = tsdb_bucket_step(rig->bucket, &did, &rig->machine->why);
    return e;
}

void
bucket_rig_run_all(struct bucket_rig *rig)
{
    must(bucket_rig_run(rig));
    sim_objects_pass(rig->objects, rig->objects->now_ms + 61 * 1000);
    sim_env_advance_ns(rig->machine->sim, 61 * NS_PER_S);
    must(bucket_rig_run(rig));
}

void
bucket_rig_pass(struct bucket_rig *rig, int64_t ms)
{
    sim_objects_pass(rig->objects, rig->objects->now_ms + ms);
    sim_env_advance_ns(rig->machine->sim, ms * NS_PER_MS);
    bucket_rig_run_all(rig);
}

struct tsdb_bucket_stats
bucket_rig_stats(struct bucket_rig *rig)
{
    struct tsdb_bucket_stats stats;
    assert_true(tsdb_bucket_stats(rig->machine->db, &stats));
    return stats;
}

void
bucket_rig_expect_catalog(struct bucket_rig *rig)
{
    struct machine *m = rig->machine;
    struct arena arena;
    struct catalog c;
    struct tsdb_bucket_stats stats;
    uint64_t checksum;
    arena_init(&arena, NULL, 0, 0);
    must(catalog_load(&rig->objects->objects, 0, &arena, &c, &checksum, &m->why));
    const struct version *v = m->db->live.version;
    assert_int_equal(c.part_count, v->part_count);
    for (uint32_t i = 0; i < c.part_count; i++) {
        char key[OBJECT_KEY_BYTES];
        const struct part_info *info = NULL;
        for (uint32_t k = 0; k < v->part_count; k++)
            if (part_info(v->parts[k])->number == c.parts[i].entry.number)
                info = part_info(v->parts[k]);
        assert_non_null(info);
        assert_int_equal(info->from_pos, c.parts[i].entry.from_pos);
        assert_int_equal(info->file_bytes, c.parts[i].size);
        catalog_part_key(&c.parts[i], key);
        const struct sim_object *o = sim_objects_find(rig->objects, key);
        assert_non_null(o);
        assert_int_equal(o->size, info->file_bytes);
    }
    assert_int_equal(c.complete_pos, tsdb_store_pos(m->db));
    assert_int_equal(c.state.tombstone_count, v->tombstones->count);
    struct ledger ledger = machine_ledger(m, "a");
    for (uint32_t i = 0; i < c.state.tenant_count; i++)
        if (bytes_equal_text(c.state.tenants[i].name, "a")) {
            assert_int_equal(c.state.tenants[i].totals.stored[LEDGER_FLOAT],
                             ledger.stored[LEDGER_FLOAT]);
            assert_memory_equal(c.state.tenants[i].totals.count, ledger.count, sizeof ledger.count);
        }
    stats = bucket_rig_stats(rig);
    assert_int_equal(stats.number, c.number);
    assert_int_equal(stats.complete_pos, c.complete_pos);
    assert_int_equal(stats.parts, c.part_count);
    assert_true(!stats.is_stopped);
    arena_fini(&arena);
}

size_t
bucket_rig_count(const struct sim_objects *objects, const char *begin)
{
    size_t count = 0;
    for (size_t i = 0; i < objects->count; i++)
        count += strncmp(objects->items[i].key, begin, strlen(begin)) == 0;
    return count;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
note_sample(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t i)
{
    struct reading *r = context;
    assert_true(r->count < sizeof r->items / sizeof *r->items);
    struct reading_sample *to = &r->items[r->count++];
    *to = (struct reading_sample){hash_bytes(labels, 1), batch->times_ms[i], batch->value_bits[i]};
}

enum err
reading_add(struct reading *to, struct view *view, const struct bucket_mark *beyond,
            struct why *why)
{
    struct question q;
    struct series_set *set;
    question_init(&q, "a", every_series, 1, INT64_MIN / 2, INT64_MAX / 2);
    q.request.beyond = beyond;
    enum err e = view_select(view, &q.request, &set, why);
    if (e == OK) {
        e = set_walk(set, &q.request, note_sample, to, why);
        series_set_free(set);
    }
    question_fini(&q);
    return e;
}

static int
by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct reading_sample));
}

void
reading_sort(struct reading *r)
{
    size_t kept = 0;
    qsort(r->items, r->count, sizeof *r->items, by_bytes);
    for (size_t i = 0; i < r->count; i++)
        if (i == 0 || by_bytes(&r->items[i], &r->items[i - 1]) != 0) r->items[kept++] = r->items[i];
    r->count = kept;
}

void
reading_expect_same(struct reading *a, struct reading *b)
{
    reading_sort(a);
    reading_sort(b);
    assert_int_equal(a->count, b->count);
    if (a->count > 0) assert_memory_equal(a->items, b->items, a->count * sizeof *a->items);
}
