/* histogram_rollups_test.c - blocks of rollups of histograms of all kinds are read as they were
 * written, once those of one window are joined, and copied without being decoded. */
#include "lib/test.h"

#include "lib/random.h"
#include "model/histogram.h"
#include "sys/sim.h"
#include "tsdb/part/part.h"

enum { NUMBER = 7, COPY = 8, MINUTE_MS = 60 * 1000, R_MS = 5 * MINUTE_MS, STEP_MS = 15 * 1000 };
enum { WINDOWS = 60, SEEDS = 150 };

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct page_cache *cache;
    struct arena arena;
    struct histogram_rollup rollups[WINDOWS];
    uint32_t count;
    uint32_t rows;
};

static struct histogram
valid_histogram(struct rng *rng, struct arena *arena, enum sample_kind kind)
{
    struct histogram h;
    do {
        h = random_histogram(rng, arena, kind);
    } while (histogram_check(&h, NULL));
    return h;
}

static struct histogram
next_histogram(struct rng *rng, struct arena *arena, const struct histogram *h, bool strange)
{
    struct histogram next;
    enum sample_kind other = rng_below(rng, 2) ? SAMPLE_HISTOGRAM_INT : SAMPLE_HISTOGRAM_FLOAT;
    if (h->sum_bits == STALE_NAN_BITS) return valid_histogram(rng, arena, other);
    do {
        next = strange ? random_next_histogram(rng, arena, h) : random_grown(rng, arena, h);
    } while (histogram_check(&next, NULL));
    return next;
}

/* A series with markers, resets, other layouts and kinds. */
static void
make_rollups(struct rig *g, uint64_t seed)
{
    struct rng rng = {seed};
    uint64_t strange_one_in = seed % 3 == 0 ? 5 : 40;
    struct histogram h = valid_histogram(&rng, &g->arena, SAMPLE_HISTOGRAM_INT);
    for (uint32_t w = 0; w < WINDOWS; w++) {
        struct histogram_rollup *r = &g->rollups[w], sample;
        *r = (struct histogram_rollup){.count = 0};
        for (uint32_t i = 1; i <= R_MS / STEP_MS; i++) {
            int64_t t_ms = (int64_t)w * R_MS + i * STEP_MS;
            assert_int_equal(histogram_rollup_of_sample(&g->arena, t_ms, &h, &sample), OK);
            assert_int_equal(histogram_rollup_join(&g->arena, r, &sample), OK);
            h = next_histogram(&rng, &g->arena, &h, rng_below(&rng, strange_one_in) == 0);
        }
        g->rows += (r->count > 0) + r->is_stale;
    }
    g->count = WINDOWS;
}

static void
rig_open(struct rig *g, uint64_t seed)
{
    *g = (struct rig){.rows = 0};
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    arena_init(&g->arena, NULL, 64 << 20, 1 << 20);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &g->cache), OK);
    make_rollups(g, seed);
}

static void
rig_close(struct rig *g)
{
    page_cache_free(g->cache);
    arena_fini(&g->arena);
    sim_env_free(g->sim);
}

static struct part_writer *
begin(struct rig *g, uint64_t number)
{
    struct part_writer *w;
    uint32_t pair = 0;
    struct label label = {bytes_of_text("a"), bytes_of_text("b")};
    assert_int_equal(part_writer_new(g->env, NULL, "/parts", number, 1, 2, &w, NULL), OK);
    assert_int_equal(part_write_tenant(w, bytes_of_text("t"), NULL), OK);
    assert_int_equal(part_write_pair(w, label, NULL), OK);
    assert_int_equal(part_write_series(w, &pair, 1, NULL), OK);
    return w;
}

static struct part *
finish(struct rig *g, struct part_writer *w, uint64_t number)
{
    struct part_info info;
    struct part *part;
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(g->env, NULL, g->cache, "/parts", number, &part, NULL), OK);
    assert_memory_equal(part_info(part), &info, sizeof info);
    return part;
}

/* Writes samples before and after the rollups, which have blocks of their own. */
static struct part *
write_all(struct rig *g)
{
    struct rng rng = {3};
    struct histogram h = valid_histogram(&rng, &g->arena, SAMPLE_HISTOGRAM_INT);
    int64_t early_ms = -100 * MINUTE_MS, late_ms = (int64_t)(WINDOWS + 5) * R_MS;
    struct sample_batch early = {
        .kind = h.kind, .count = 1, .times_ms = &early_ms, .histograms = &h};
    struct sample_batch late = {.kind = h.kind, .count = 1, .times_ms = &late_ms, .histograms = &h};
    struct part_writer *w = begin(g, NUMBER);
    assert_int_equal(part_write_samples(w, &early, NULL), OK);
    assert_int_equal(part_write_histogram_rollups(w, g->rollups, g->count, R_MS, NULL), OK);
    assert_int_equal(part_write_samples(w, &late, NULL), OK);
    return finish(g, w, NUMBER);
}

/* Buckets without those that are empty, as a sum may have them or not. */
static struct fhist
compact_copy(struct rig *g, const struct fhist *h)
{
    struct fhist copy;
    assert_int_equal(fhist_begin(&g->arena, h, true, &copy), OK);
    fhist_compact(&copy);
    return copy;
}

static void
expect_rollup(struct rig *g, const struct histogram_rollup *got,
              const struct histogram_rollup *want)
{
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->is_stale, want->is_stale);
    if (want->is_stale) assert_int_equal(got->stale_ms, want->stale_ms);
    if (want->count == 0) return;
    assert_int_equal(got->first_ms, want->first_ms);
    assert_int_equal(got->last_ms, want->last_ms);
    assert_true(same_histogram_all(&got->first, &want->first));
    assert_true(same_histogram_all(&got->last, &want->last));
    assert_int_equal(got->resets, want->resets);
    assert_int_equal(got->changes, want->changes);
    assert_int_equal(got->layout_changes, want->layout_changes);
    assert_int_equal(got->sum == NULL, want->sum == NULL);
    if (want->sum == NULL) return;
    struct fhist x = compact_copy(g, got->sum), y = compact_copy(g, want->sum);
    assert_true(fhist_equal(&x, &y));
}

/* Adds what one block has to the rollups that were read. */
static void
add_block(struct rig *g, struct part *part, const struct block_ref *b,
          struct histogram_rollup *rollups, uint32_t *count)
{
    static int64_t times[CODEC_SAMPLES_MAX];
    static struct histogram_rollup of_block[CODEC_SAMPLES_MAX];
    uint32_t n;
    assert_int_equal(block_read_histogram_rollups(part, b, times, &g->arena, of_block, &n, NULL),
                     OK);
    for (uint32_t i = 0; i < n; i++) {
        struct histogram_rollup *r = &of_block[i];
        int64_t t_ms = r->count > 0 ? r->last_ms : r->stale_ms;
        uint32_t at = (uint32_t)(rollup_window_end(t_ms, R_MS) / R_MS - 1);
        assert_true(at < WINDOWS);
        if (at < *count) {
            assert_int_equal(at, *count - 1);
            assert_int_equal(histogram_rollup_join(&g->arena, &rollups[at], r), OK);
            continue;
        }
        assert_int_equal(at, *count);
        rollups[(*count)++] = *r;
    }
}

/* Reads the blocks of the series; those of rollups are copied to another part, if there is one. */
static void
expect_all(struct rig *g, struct part *part, struct part_writer *copy)
{
    struct histogram_rollup got[WINDOWS];
    struct arena arena;
    struct part_index index;
    struct row_reader *rows;
    const struct block_ref *b;
    uint32_t blocks, count = 0, row_count = 0;
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(part_index_load(part, part_tenant_at(part, 0), &arena, &index, NULL), OK);
    assert_int_equal(row_reader_new(&index, NULL, &rows), OK);
    row_reader_want_stale(rows);
    assert_int_equal(row_read(rows, 0, NULL, &b, &blocks, NULL), OK);
    for (uint32_t i = 0; i < blocks; i++) {
        if (b[i].resolution_ms == 0) continue;
        struct block_bytes bytes;
        row_count += b[i].count;
        add_block(g, part, &b[i], got, &count);
        if (copy == NULL) continue;
        assert_int_equal(block_hold(part, &b[i], &bytes, NULL), OK);
        assert_int_equal(part_write_block(copy, &b[i], &bytes, NULL), OK);
        block_release(part, &bytes);
    }
    assert_int_equal(row_count, g->rows);
    assert_int_equal(count, g->count);
    for (uint32_t i = 0; i < count; i++)
        expect_rollup(g, &got[i], &g->rollups[i]);
    row_reader_free(rows);
    arena_fini(&arena);
}

UNIT_TEST(test_rollups_of_histograms_are_read_as_they_were_written)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig g;
        rig_open(&g, seed);
        struct part *part = write_all(&g);
        assert_int_equal(part_info(part)->rollup_rows, g.rows);
        assert_int_equal(part_info(part)->histogram_rollup_rows, g.rows);
        assert_int_equal(part_info(part)->sample_count[LEDGER_HISTOGRAM], 2);
        expect_all(&g, part, NULL);
        part_unref(part);
        rig_close(&g);
    }
}

UNIT_TEST(test_their_blocks_are_copied_as_they_are)
{
    struct rig g;
    rig_open(&g, 6);
    struct part *part = write_all(&g);
    struct part_writer *w = begin(&g, COPY);
    expect_all(&g, part, w);
    struct part *copy = finish(&g, w, COPY);
    expect_all(&g, copy, NULL);
    assert_int_equal(part_info(copy)->rollup_rows, g.rows);
    assert_int_equal(part_info(copy)->histogram_rollup_rows, g.rows);
    assert_int_equal(part_info(copy)->sample_count[LEDGER_HISTOGRAM], 0);
    part_unref(copy);
    part_unref(part);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rollups_of_histograms_are_read_as_they_were_written),
        cmocka_unit_test(test_their_blocks_are_copied_as_they_are),
    };
    return cmocka_run_group_tests_name("tsdb/part/histogram_rollups", tests, NULL, NULL);
}
