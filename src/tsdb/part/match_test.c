/*
 * match_test.c - compares matchers over a part with a check of each series; the part is large
 * enough for each optimization: lists in segments and in runs, plain bits, windows, keys of pages,
 * rows instead of lists.
 */
#include "lib/test.h"

#include <roaring/roaring.h>
#include <stdio.h>

#include "sys/sim.h"
#include "tsdb/part/walk.h"

enum { NAMES = 20, IDS = 12000, INSTANCES = 97, JOBS = 3, NUMBER = 7 };
enum { PER_NAME = IDS / NAMES + INSTANCES * JOBS, SERIES = NAMES * PER_NAME };
enum { FIRST_ID = NAMES, FIRST_INSTANCE = NAMES + IDS, FIRST_JOB = FIRST_INSTANCE + INSTANCES };
enum { PAIRS = FIRST_JOB + JOBS };

struct one {
    uint32_t pairs[4];
    uint32_t count;
};

static struct label labels[PAIRS];
static char texts[PAIRS][24];
static struct one series[SERIES];

/* Tests use the second tenant, so that numbers in the part and within the tenant differ. */
static struct sim_env *sim;
static struct page_cache *cache;
static struct part *part;

static uint64_t
mixed(uint64_t v)
{
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

static void
make_labels(void)
{
    static const struct {
        const char *name;
        uint32_t first;
        uint32_t count;
    } groups[] = {{"__name__", 0, NAMES},
                  {"id", FIRST_ID, IDS},
                  {"instance", FIRST_INSTANCE, INSTANCES},
                  {"job", FIRST_JOB, JOBS}};
    for (unsigned g = 0; g < 4; g++) {
        for (uint32_t i = 0; i < groups[g].count; i++) {
            uint32_t pair = groups[g].first + i;
            snprintf(texts[pair], sizeof texts[pair], "%c%05u", groups[g].name[g == 0 ? 2 : 0], i);
            labels[pair] =
                (struct label){bytes_of_text(groups[g].name), bytes_of_text(texts[pair])};
        }
    }
}

/* In label order: of each name those with an id, then those without. Series of a job come in runs
 * if asked for, else at random. */
static void
make_series(bool in_runs)
{
    uint32_t n = 0;
    for (uint32_t name = 0; name < NAMES; name++) {
        for (uint32_t i = 0; i < IDS / NAMES; i++) {
            uint64_t dice = mixed(n);
            series[n++] =
                (struct one){{name, FIRST_ID + name * (IDS / NAMES) + i,
                              FIRST_INSTANCE + (uint32_t)(dice % INSTANCES),
                              FIRST_JOB + (in_runs ? i / 16 : (uint32_t)(dice >> 32)) % JOBS},
                             4};
        }
        for (uint32_t i = 0; i < INSTANCES * JOBS; i++)
            series[n++] = (struct one){{name, FIRST_INSTANCE + i / JOBS, FIRST_JOB + i % JOBS}, 3};
    }
    assert_int_equal(n, SERIES);
}

static void
write_tenant(struct part_writer *w, const char *name)
{
    assert_int_equal(part_write_tenant(w, bytes_of_text(name), NULL), OK);
    for (uint32_t i = 0; i < PAIRS; i++)
        assert_int_equal(part_write_pair(w, labels[i], NULL), OK);
    for (uint32_t i = 0; i < SERIES; i++) {
        int64_t t_ms = 1000;
        uint64_t bits = double_bits(i);
        struct sample_batch batch = {SAMPLE_FLOAT, 1, &t_ms, &bits, NULL, NULL};
        assert_int_equal(part_write_series(w, series[i].pairs, series[i].count, NULL), OK);
        assert_int_equal(part_write_samples(w, &batch, NULL), OK);
    }
}

static void
make_part(int level, bool in_runs)
{
    struct part_writer *w;
    struct part_info info;
    assert_int_equal(sim_env_new(1, &sim), OK);
    struct env *env = sim_env_env(sim);
    assert_int_equal(env_mkdir(env, "/parts", NULL), OK);
    assert_int_equal(page_cache_new(NULL, 1 << 20, &cache), OK);
    make_labels();
    make_series(in_runs);
    assert_int_equal(part_writer_new(env, NULL, "/parts", NUMBER, 1, 2, &w, NULL), OK);
    part_writer_set_level(w, level);
    write_tenant(w, "one");
    write_tenant(w, "two");
    assert_int_equal(part_writer_finish(w, &info, NULL), OK);
    part_writer_free(w);
    assert_int_equal(part_open(env, NULL, cache, "/parts", NUMBER, &part, NULL), OK);
}

static void
drop_part(void)
{
    part_unref(part);
    page_cache_free(cache);
    sim_env_free(sim);
}

/* --- matchers --------------------------------------------------------------------------------- */

static const struct {
    enum matcher_type type;
    const char *name;
    const char *pattern;
} wanted[] = {
    {MATCH_EQUAL, "__name__", "n00007"},
    {MATCH_REGEX, "__name__", "n0000[3-5]"},
    {MATCH_NOT_EQUAL, "__name__", "n00007"},
    {MATCH_REGEX, "__name__", ".+"},
    {MATCH_EQUAL, "id", "i04321"},
    {MATCH_EQUAL, "id", ""},
    {MATCH_NOT_EQUAL, "id", ""},
    {MATCH_REGEX, "id", "i043.*"},
    {MATCH_REGEX, "id", ".*7.?3"},
    {MATCH_NOT_REGEX, "id", ".*[0-8]"},
    {MATCH_EQUAL, "instance", "i00096"},
    {MATCH_REGEX, "instance", "i00001|i00050|i00077|nothing"},
    {MATCH_NOT_REGEX, "instance", ".*(1|3|5|7|9)"},
    {MATCH_EQUAL, "job", "j00001"},
    {MATCH_NOT_EQUAL, "job", "j00001"},
    {MATCH_REGEX, "job", "j0000[02]|"},
    {MATCH_EQUAL, "job", "j"},
    {MATCH_EQUAL, "job", "z"},
    {MATCH_EQUAL, "none", ""},
    {MATCH_NOT_EQUAL, "none", ""},
};
enum { WANTED = sizeof wanted / sizeof *wanted };
static struct matcher *matchers[WANTED];
static uint8_t passes[WANTED][SERIES];

/* Makes matchers, with the series that each matches by a check of its labels. */
static void
make_matchers(void)
{
    for (unsigned m = 0; m < WANTED; m++) {
        struct bytes name = bytes_of_text(wanted[m].name);
        assert_int_equal(matcher_new(wanted[m].type, name, bytes_of_text(wanted[m].pattern), NULL,
                                     &matchers[m], NULL),
                         OK);
        for (uint32_t i = 0; i < SERIES; i++) {
            struct bytes value = bytes_of_text("");
            for (uint32_t p = 0; p < series[i].count; p++) {
                const struct label *l = &labels[series[i].pairs[p]];
                if (bytes_equal(l->name, name)) value = l->value;
            }
            passes[m][i] = matcher_matches(matchers[m], value);
        }
    }
}

static void
check(const struct part_index *index, const unsigned *which, uint32_t count)
{
    struct matcher *chosen[3];
    roaring_bitmap_t *found;
    uint64_t want = 0;
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = matchers[which[i]];
    assert_int_equal(part_match(index, chosen, count, &found, NULL), OK);
    for (uint32_t i = 0; i < SERIES; i++) {
        bool all = true;
        for (uint32_t m = 0; m < count; m++)
            all &= passes[which[m]][i];
        want += all;
        if (roaring_bitmap_contains(found, index->tenant->first_series + i) != all)
            fail_msg("series %u, matchers %u %u of %u", i, which[0], which[count - 1], count);
    }
    assert_int_equal(roaring_bitmap_get_cardinality(found), want);
    roaring_bitmap_free(found);
}

static void
check_all(int level, bool in_runs)
{
    struct arena arena;
    make_part(level, in_runs);
    make_matchers();
    for (uint32_t t = 0; t < 2; t++) {
        struct part_index index;
        arena_init(&arena, NULL, 0, 0);
        assert_int_equal(part_index_load(part, part_tenant_at(part, t), &arena, &index, NULL), OK);
        for (unsigned i = 0; i < WANTED; i++) {
            for (unsigned j = 0; j < WANTED; j++) {
                unsigned which[] = {i, j, (unsigned)mixed(i * WANTED + j) % WANTED};
                check(&index, which, i == j ? 1 : 2 + (i + j + t) % 2);
            }
        }
        arena_fini(&arena);
    }
    for (unsigned m = 0; m < WANTED; m++)
        matcher_free(matchers[m]);
    drop_part();
}

UNIT_TEST(test_matchers_find_the_series_that_a_full_scan_finds)
{
    check_all(0, false);
    check_all(PART_LEVEL_LAST, false);
    check_all(0, true);
}

/* --- values ----------------------------------------------------------------------------------- */

struct expected {
    uint32_t next;
    uint32_t end;
};

static enum err
each_value(void *context, struct bytes value)
{
    struct expected *x = context;
    assert_true(x->next < x->end);
    assert_true(bytes_equal(value, labels[x->next].value));
    x->next++;
    return x->next == FIRST_ID + 500 && x->end == FIRST_ID + 500 ? ERR_CANCELED : OK;
}

UNIT_TEST(test_values_of_a_label_come_in_order_until_the_caller_stops)
{
    struct arena arena;
    struct part_index index;
    make_part(1, false);
    arena_init(&arena, NULL, 0, 0);
    assert_int_equal(part_index_load(part, part_tenant_at(part, 1), &arena, &index, NULL), OK);
    struct expected x = {FIRST_ID, FIRST_ID + IDS};
    assert_int_equal(part_values(&index, bytes_of_text("id"), each_value, &x, NULL), OK);
    assert_int_equal(x.next, FIRST_ID + IDS);
    x = (struct expected){FIRST_ID, FIRST_ID + 500};
    assert_int_equal(part_values(&index, bytes_of_text("id"), each_value, &x, NULL), OK);
    assert_int_equal(x.next, FIRST_ID + 500);
    x = (struct expected){0, 0};
    assert_int_equal(part_values(&index, bytes_of_text("none"), each_value, &x, NULL), OK);
    arena_fini(&arena);
    drop_part();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matchers_find_the_series_that_a_full_scan_finds),
        cmocka_unit_test(test_values_of_a_label_come_in_order_until_the_caller_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
