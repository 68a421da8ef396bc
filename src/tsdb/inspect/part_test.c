/*
 * part_test.c - descriptions of parts: figures add up to the file and to its content, rankings
 * agree with a direct count, damage costs only the damaged pages, refused memory is an error.
 */
#include "lib/test.h"

#include "lib/tsdb/random_part.h"
#include "sys/sim.h"
#include "tsdb/inspect/inspect_private.h"

enum { NUMBER = 0x77 };
#define PART_DIR  "/parts/0000000000000077"
#define PART_FILE PART_DIR "/part"

struct rig {
    struct sim_env *sim;
    struct env *env;
    struct budget budget;
    struct content content;
    struct part_info info;
    struct inspect_options options;
    struct inspect_target target;
    struct why why;
};

static void
rig_open(struct rig *g, uint64_t seed, struct content_size size, int level)
{
    memset(g, 0, sizeof *g);
    assert_int_equal(sim_env_new(seed, &g->sim), OK);
    g->env = sim_env_env(g->sim);
    assert_int_equal(env_mkdir(g->env, "/parts", NULL), OK);
    budget_init(&g->budget, "inspect", 0, NULL);
    content_make(&g->content, seed, size);
    assert_int_equal(
        content_write(&g->content, g->env, NULL, "/parts", NUMBER, level, &g->info, &g->why), OK);
    g->options = (struct inspect_options){.env = g->env, .memory = &g->budget, .top = 10};
    assert_int_equal(inspect_path(g->env, PART_DIR, &g->target, &g->why), OK);
    assert_int_equal(g->target.kind, INSPECT_PART);
}

static void
rig_close(struct rig *g)
{
    assert_int_equal(budget_used(&g->budget), 0);
    content_free(&g->content);
    sim_env_free(g->sim);
}

static void
look(struct rig *g, struct inspect_part *p)
{
    enum err e = inspect_part(&g->options, &g->target, p, &g->why);
    if (e) print_error("inspect: %s\n", g->why.text);
    assert_int_equal(e, OK);
}

/* Checks that pages, ends and the rest add up to the file, also with damage. */
static void
check_file(const struct inspect_part *p)
{
    uint64_t sum = p->end_bytes + p->unreadable_bytes;
    for (unsigned k = 0; k < INSPECT_PAGE_KINDS; k++) {
        sum += p->pages[k].header_bytes + p->pages[k].stored_bytes;
    }
    assert_int_equal(sum, p->file_bytes);
}

static uint64_t
ranked(const struct inspect_ranking *r, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        sum += *(const uint64_t *)(const void *)((const char *)&r->items[i] + offset);
    }
    return sum;
}
#define RANKED(ranking, field) ranked(&(ranking), __builtin_offsetof(struct inspect_item, field))

static const struct content_size sizes[] = {
    {.tenants = 0, .series = 0, .samples = 0, .values = 1},
    {.tenants = 1, .series = 30, .samples = 300, .values = 10},
    {.tenants = 4, .series = 120, .samples = 900, .values = 40},
    {.tenants = 2, .series = 700, .samples = 40, .values = 300},
};

/* --- sums ------------------------------------------------------------------------------------- */

/* Checks the content of the blocks. */
static void
check_blocks(const struct rig *g, const struct inspect_part *p)
{
    uint64_t blocks = 0, samples = 0, bytes = 0, floats = 0;
    for (unsigned f = 0; f < INSPECT_FORM_COUNT; f++) {
        blocks += p->forms[f].blocks;
        samples += p->forms[f].samples;
        bytes += p->forms[f].bytes;
        if (f <= INSPECT_BITS) floats += p->forms[f].samples;
    }
    assert_int_equal(p->forms[INSPECT_UNREADABLE].blocks, 0);
    assert_int_equal(blocks, g->info.block_count);
    assert_int_equal(blocks, p->times.references);
    assert_int_equal(samples, g->info.sample_count[0] + g->info.sample_count[1]);
    assert_int_equal(floats, g->info.sample_count[LEDGER_FLOAT]);
    uint64_t by_exponent = 0, by_mode = p->no_stream_blocks, columns = 0;
    for (unsigned e = 0; e < INSPECT_EXPONENTS; e++) {
        by_exponent += p->exponents[e].samples;
    }
    for (unsigned m = 0; m < INSPECT_MODES; m++) {
        by_mode += p->modes[m].blocks;
        columns += p->times.modes[m];
    }
    assert_int_equal(by_exponent, floats);
    assert_int_equal(by_mode, p->forms[0].blocks + p->forms[1].blocks + p->forms[2].blocks +
                                  p->forms[3].blocks);
    assert_int_equal(columns, p->times.columns);
    /* Pages of times and values hold only columns and blocks. */
    assert_int_equal(p->times.bytes, p->pages[PAGE_TIMES].raw_bytes);
    assert_int_equal(bytes + p->starts.bytes, p->pages[PAGE_VALUES].raw_bytes);
    assert_int_equal(RANKED(p->by_series, bytes), bytes + p->starts.bytes + p->times.bytes);
}

UNIT_TEST(test_figures_add_up_to_the_file_and_to_what_was_written)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rig g;
        struct inspect_part p;
        rig_open(&g, seed, sizes[seed % 4], (int)(seed % 3));
        g.options.top = INSPECT_TOP_MAX;
        look(&g, &p);
        assert_int_equal(p.remarks.count, 0);
        assert_true(p.root_whole);
        check_file(&p);
        assert_int_equal(p.file_bytes, g.info.file_bytes);
        assert_int_equal(p.unreadable_bytes, 0);
        assert_int_equal(p.series, g.info.series_count);
        check_blocks(&g, &p);
        assert_int_equal(p.exemplars, g.info.sample_count[LEDGER_EXEMPLAR]);
        uint64_t samples = g.info.sample_count[0] + g.info.sample_count[1], families = 0;
        uint64_t bytes = RANKED(p.by_series, bytes);
        assert_int_equal(p.by_series.count, g.info.series_count);
        assert_int_equal(p.by_pair.count, g.info.pair_count);
        assert_int_equal(p.by_tenant.count, g.content.tenant_count);
        assert_int_equal(RANKED(p.by_name, values), g.info.pair_count);
        assert_int_equal(RANKED(p.by_series, samples), samples);
        assert_int_equal(RANKED(p.by_tenant, samples), samples);
        assert_int_equal(RANKED(p.by_tenant, bytes), bytes);
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            assert_int_equal(RANKED(p.by_tenant, kinds[k]), g.info.sample_count[k]);
        }
        assert_int_equal(RANKED(p.metrics_by_bytes, bytes), bytes);
        assert_int_equal(RANKED(p.metrics_by_samples, samples), samples);
        assert_int_equal(RANKED(p.metrics_by_series, series), g.info.series_count);
        assert_int_equal(RANKED(p.by_pair, series), RANKED(p.by_name, series));
        for (uint32_t i = 0; i < g.content.tenant_count; i++) {
            families += g.content.tenants[i].metadata_count;
        }
        assert_int_equal(p.families, families);
        inspect_part_fini(&p);
        rig_close(&g);
    }
}

/* --- rankings --------------------------------------------------------------------------------- */

static const struct content_tenant *
tenant_named(const struct content *c, struct bytes name)
{
    for (uint32_t i = 0; i < c->tenant_count; i++) {
        if (bytes_equal(c->tenants[i].name, name)) return &c->tenants[i];
    }
    fail_msg("no such tenant");
    return NULL;
}

static void
check_pairs(const struct content *c, const struct inspect_ranking *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct inspect_item *x = &r->items[i];
        const struct content_tenant *t = tenant_named(c, x->tenant);
        uint64_t series = 0;
        struct cursor at = cursor_of(x->text);
        struct label label;
        assert_true(labels_next(&at, &label));
        for (uint32_t k = 0; k < t->series_count; k++) {
            series += bytes_equal(labels_get(t->series[k].labels, label.name), label.value);
        }
        assert_int_equal(series, x->series);
        if (i > 0) assert_true(x->series <= x[-1].series);
    }
}

static void
check_metrics(const struct content *c, const struct inspect_ranking *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct inspect_item *x = &r->items[i];
        const struct content_tenant *t = tenant_named(c, x->tenant);
        uint64_t samples = 0, series = 0;
        for (uint32_t k = 0; k < t->series_count; k++) {
            const struct content_series *s = &t->series[k];
            if (!bytes_equal(labels_get(s->labels, bytes_of_text("__name__")), x->text)) continue;
            samples += s->sample_count;
            series++;
        }
        assert_int_equal(samples, x->samples);
        assert_int_equal(series, x->series);
        if (i > 0) assert_true(x->samples <= x[-1].samples);
    }
}

/* Checks a ranking against the start of a longer one. */
static void
check_begins(const struct inspect_ranking *whole, const struct inspect_ranking *top, uint32_t most)
{
    assert_int_equal(top->count, whole->count < most ? whole->count : most);
    assert_int_equal(top->count + top->left_out, whole->count);
    for (uint32_t i = 0; i < top->count; i++) {
        const struct inspect_item *a = &whole->items[i], *b = &top->items[i];
        assert_true(bytes_equal(a->text, b->text) && bytes_equal(a->tenant, b->tenant));
        assert_int_equal(a->series, b->series);
        assert_int_equal(a->samples, b->samples);
        assert_int_equal(a->bytes, b->bytes);
    }
}

UNIT_TEST(test_rankings_are_those_of_a_count_by_hand)
{
    for (uint64_t seed = 21; seed <= 26; seed++) {
        struct rig g;
        struct inspect_part all, top;
        rig_open(&g, seed, sizes[1 + seed % 3], 1);
        g.options.top = INSPECT_TOP_MAX;
        look(&g, &all);
        check_pairs(&g.content, &all.by_pair);
        check_metrics(&g.content, &all.metrics_by_samples);
        g.options.top = 3;
        look(&g, &top);
        check_begins(&all.by_tenant, &top.by_tenant, 3);
        check_begins(&all.by_name, &top.by_name, 3);
        check_begins(&all.by_pair, &top.by_pair, 3);
        check_begins(&all.by_series, &top.by_series, 3);
        check_begins(&all.metrics_by_series, &top.metrics_by_series, 3);
        check_begins(&all.metrics_by_samples, &top.metrics_by_samples, 3);
        check_begins(&all.metrics_by_bytes, &top.metrics_by_bytes, 3);
        inspect_part_fini(&top);
        inspect_part_fini(&all);
        rig_close(&g);
    }
}

UNIT_TEST(test_pairs_counted_a_few_at_a_time_come_out_the_same)
{
    struct rig g;
    struct inspect_part all, few;
    rig_open(&g, 31, sizes[2], 1);
    g.options.top = INSPECT_TOP_MAX;
    look(&g, &all);
    for (uint32_t at_once = 1; at_once < 40; at_once += 6) {
        g.options.pairs_at_once = at_once;
        look(&g, &few);
        check_begins(&all.by_pair, &few.by_pair, INSPECT_TOP_MAX);
        check_begins(&all.by_name, &few.by_name, INSPECT_TOP_MAX);
        assert_int_equal(few.series, all.series);
        inspect_part_fini(&few);
    }
    inspect_part_fini(&all);
    rig_close(&g);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void
flip(struct rig *g, uint64_t offset, uint8_t bits)
{
    struct file file;
    uint8_t byte;
    assert_int_equal(file_open(g->env, PART_FILE, FILE_UPDATE, &file, NULL), OK);
    assert_int_equal(file_read_at(&file, &byte, 1, offset, NULL), OK);
    byte ^= bits;
    assert_int_equal(file_write_at(&file, bytes_of(&byte, 1), offset, NULL), OK);
    assert_int_equal(file_close(&file), OK);
}

UNIT_TEST(test_any_flipped_byte_is_reported_and_the_rest_is_explained)
{
    struct rig g;
    rig_open(&g, 41, sizes[1], 1);
    struct rng r = {1};
    for (uint64_t at = 0; at < g.info.file_bytes; at += 1 + rng_below(&r, 37)) {
        struct inspect_part p;
        uint64_t blocks = 0;
        flip(&g, at, (uint8_t)(1u << rng_below(&r, 8)) | 1);
        look(&g, &p);
        check_file(&p);
        assert_true(p.remarks.damage_count > 0);
        assert_non_null(strstr(p.remarks.items[0].text, PART_FILE));
        for (unsigned f = 0; f < INSPECT_FORM_COUNT; f++) {
            blocks += p.forms[f].blocks;
        }
        assert_int_equal(blocks, p.blocks_by_kind);
        inspect_part_fini(&p);
        assert_int_equal(budget_used(&g.budget), 0);
        /* Restores the content. */
        content_free(&g.content);
        assert_int_equal(env_remove_tree(g.env, PART_DIR, NULL), OK);
        content_make(&g.content, 41, sizes[1]);
        assert_int_equal(
            content_write(&g.content, g.env, NULL, "/parts", NUMBER, 1, &g.info, &g.why), OK);
    }
    rig_close(&g);
}

/* Returns the position of the first page of a kind in an undamaged part. */
static uint64_t
page_of(struct rig *g, enum page_kind kind)
{
    struct page_source s = {.part_number = NUMBER, .file = FILE_CLOSED};
    struct page_facts facts = {.kind = PAGE_ROOT};
    assert_int_equal(page_cache_new(NULL, 1 << 20, &s.cache), OK);
    assert_int_equal(file_open(g->env, PART_FILE, FILE_READ, &s.file, NULL), OK);
    assert_int_equal(file_size(&s.file, &s.file_bytes, NULL), OK);
    uint64_t at = PART_END_BYTES;
    for (;;) {
        assert_int_equal(page_describe(&s, at, &facts, NULL), OK);
        if (facts.kind == kind) break;
        at = facts.next;
    }
    file_close(&s.file);
    page_cache_free(s.cache);
    return at;
}

UNIT_TEST(test_a_damaged_page_of_values_costs_its_blocks_only)
{
    struct rig g;
    struct inspect_part whole, p;
    char place[40];
    rig_open(&g, 43, sizes[2], 1);
    look(&g, &whole);
    uint64_t at = page_of(&g, PAGE_VALUES);
    flip(&g, at + PAGE_HEADER_BYTES + 9, 0x40);
    look(&g, &p);
    snprintf(place, sizeof place, "page at %llu is damaged", (unsigned long long)at);
    assert_int_equal(p.remarks.damage_count, 1); /* once, although many blocks use the page */
    assert_non_null(strstr(p.remarks.items[0].text, place));
    assert_true(p.forms[INSPECT_UNREADABLE].blocks > 0);
    assert_true(p.forms[INSPECT_UNREADABLE].blocks < g.info.block_count);
    uint64_t samples = 0;
    for (unsigned f = 0; f < INSPECT_FORM_COUNT; f++) {
        samples += p.forms[f].samples;
    }
    assert_int_equal(samples, g.info.sample_count[0] + g.info.sample_count[1]);
    assert_int_equal(p.by_series.count, whole.by_series.count);
    assert_int_equal(RANKED(p.by_series, bytes), RANKED(whole.by_series, bytes));
    inspect_part_fini(&p);
    inspect_part_fini(&whole);
    rig_close(&g);
}

UNIT_TEST(test_a_part_without_its_root_still_has_its_pages_explained)
{
    struct rig g;
    struct inspect_part whole, p;
    rig_open(&g, 44, sizes[2], 1);
    look(&g, &whole);
    flip(&g, page_of(&g, PAGE_ROOT) + PAGE_HEADER_BYTES, 1);
    look(&g, &p);
    assert_false(p.root_whole);
    assert_true(p.remarks.damage_count > 0);
    check_file(&p);
    for (unsigned k = 0; k < INSPECT_PAGE_KINDS; k++) {
        assert_int_equal(p.pages[k].count, whole.pages[k].count);
        assert_int_equal(p.pages[k].raw_bytes, whole.pages[k].raw_bytes);
    }
    inspect_part_fini(&p);
    inspect_part_fini(&whole);
    rig_close(&g);
}

UNIT_TEST(test_a_part_that_was_set_aside_still_has_its_pages_explained)
{
    struct rig g;
    struct inspect_part whole, p;
    rig_open(&g, 46, sizes[1], 1);
    look(&g, &whole);
    assert_int_equal(env_rename(g.env, PART_DIR, PART_DIR ".damaged", NULL), OK);
    assert_int_equal(inspect_path(g.env, PART_DIR ".damaged", &g.target, NULL), OK);
    assert_int_equal(g.target.kind, INSPECT_PART);
    look(&g, &p);
    assert_false(p.root_whole);
    assert_int_equal(p.remarks.damage_count, 1);
    check_file(&p);
    assert_memory_equal(p.pages, whole.pages, sizeof p.pages);
    inspect_part_fini(&p);
    inspect_part_fini(&whole);
    rig_close(&g);
}

UNIT_TEST(test_a_part_cut_short_anywhere_is_explained_as_far_as_it_goes)
{
    struct rig g;
    rig_open(&g, 45, sizes[1], 1);
    for (uint64_t size = g.info.file_bytes; size > 0; size -= size < 300 ? 1 : size / 7) {
        struct file file;
        struct inspect_part p;
        assert_int_equal(file_open(g.env, PART_FILE, FILE_UPDATE, &file, NULL), OK);
        assert_int_equal(file_truncate(&file, size - 1, NULL), OK);
        assert_int_equal(file_close(&file), OK);
        look(&g, &p);
        assert_int_equal(p.file_bytes, size - 1);
        assert_false(p.root_whole);
        assert_true(p.remarks.damage_count > 0);
        check_file(&p);
        inspect_part_fini(&p);
    }
    rig_close(&g);
}

/* --- blocks ----------------------------------------------------------------------------------- */

static struct codec_facts
facts_of(struct codec_scratch *scratch, const double *values, uint32_t count)
{
    struct buf out;
    struct codec_facts facts;
    uint64_t bits[64];
    buf_init(&out, NULL, 1 << 16);
    for (uint32_t i = 0; i < count; i++) {
        bits[i] = double_bits(values[i]);
    }
    codec_float_encode(scratch, bits, count, &out);
    assert_int_equal(codec_float_describe(buf_bytes(&out), count, &facts), OK);
    assert_int_equal(codec_float_describe(bytes_of(out.at, 0), count, &facts), ERR_CORRUPT);
    buf_fini(&out);
    return facts;
}

UNIT_TEST(test_blocks_say_how_they_are_encoded)
{
    struct codec_scratch *scratch;
    struct codec_facts facts;
    double values[64];
    assert_int_equal(codec_scratch_new(NULL, &scratch), OK);
    for (unsigned i = 0; i < 64; i++) {
        values[i] = 2.25;
    }
    facts = facts_of(scratch, values, 64);
    assert_int_equal(facts.form, CODEC_FORM_CONSTANT);
    assert_int_equal(facts.exponent, 2);
    for (unsigned i = 0; i < 64; i++) {
        values[i] = (double)(i * i % 17) / 1000;
    }
    values[63] = bits_double(STALE_NAN_BITS);
    facts = facts_of(scratch, values, 64);
    assert_int_equal(facts.form, CODEC_FORM_DECIMAL);
    assert_int_equal(facts.exponent, 3);
    assert_true(facts.stale_at_end && facts.mode < CODEC_STREAM_MODES);
    for (unsigned i = 0; i < 64; i++) {
        values[i] = __builtin_sqrt((double)i + 2);
    }
    facts = facts_of(scratch, values, 64);
    assert_int_equal(facts.form, CODEC_FORM_BITS);
    assert_int_equal(facts.exponent, CODEC_EXPONENT_NONE);

    struct buf out;
    const int64_t times[] = {0, 15000, 30000, 45000};
    buf_init(&out, NULL, 1000);
    codec_times_encode(scratch, times, 4, &out);
    assert_int_equal(codec_times_describe(buf_bytes(&out), 4, &facts), OK);
    assert_true(facts.no_frames);
    buf_fini(&out);
    codec_scratch_free(scratch);
}

/* --- refusals --------------------------------------------------------------------------------- */

UNIT_TEST(test_refused_memory_is_an_error_that_says_so_and_leaks_nothing)
{
    struct rig g;
    rig_open(&g, 51, sizes[1], 1);
    for (uint64_t nth = 1;; nth++) {
        struct inspect_part p;
        mem_fail_nth(nth, nth % 2 == 0);
        enum err e = inspect_part(&g.options, &g.target, &p, &g.why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e == OK) inspect_part_fini(&p);
        assert_int_equal(budget_used(&g.budget), 0);
        if (!fired) break;
        assert_true(e == ERR_NOMEM || e == OK); /* evicting a page for another one succeeds */
        if (e) assert_true(strlen(g.why.text) > 0);
    }
    rig_close(&g);
}

UNIT_TEST(test_memory_stays_small_whatever_the_part)
{
    struct rig g;
    struct inspect_part p;
    rig_open(&g, 52, (struct content_size){1, 20000, 30, 5000}, 1);
    g.options.pairs_at_once = 1000;
    look(&g, &p);
    inspect_part_fini(&p);
    uint64_t peak = atomic_load(&g.budget.peak_bytes);
    assert_in_range(peak, 1, (uint64_t)INSPECT_CACHE_BYTES + (4 << 20));
    rig_close(&g);
}

UNIT_TEST(test_paths_say_what_they_mean)
{
    struct rig g;
    struct inspect_target t;
    rig_open(&g, 53, sizes[1], 1);
    assert_int_equal(inspect_path(g.env, PART_FILE, &t, NULL), OK);
    assert_int_equal(t.kind, INSPECT_PART);
    assert_string_equal(t.dir, "/parts");
    assert_int_equal(t.number, NUMBER);
    assert_int_equal(inspect_path(g.env, PART_DIR "//", &t, NULL), OK);
    assert_int_equal(inspect_path(g.env, "a/wal/00000000000000ff.wal", &t, NULL), OK);
    assert_int_equal(t.kind, INSPECT_SEGMENT);
    assert_int_equal(t.number, 255);
    assert_string_equal(t.dir, "a/wal");
    assert_int_equal(inspect_path(g.env, "/parts/0000000000000078", &t, &g.why), ERR_MISSING);
    assert_int_equal(inspect_path(g.env, "/parts", &t, &g.why), ERR_MISSING);
    assert_int_equal(inspect_path(g.env, "", &t, &g.why), ERR_MISSING);
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures_add_up_to_the_file_and_to_what_was_written),
        cmocka_unit_test(test_rankings_are_those_of_a_count_by_hand),
        cmocka_unit_test(test_pairs_counted_a_few_at_a_time_come_out_the_same),
        cmocka_unit_test(test_any_flipped_byte_is_reported_and_the_rest_is_explained),
        cmocka_unit_test(test_a_damaged_page_of_values_costs_its_blocks_only),
        cmocka_unit_test(test_a_part_without_its_root_still_has_its_pages_explained),
        cmocka_unit_test(test_a_part_that_was_set_aside_still_has_its_pages_explained),
        cmocka_unit_test(test_a_part_cut_short_anywhere_is_explained_as_far_as_it_goes),
        cmocka_unit_test(test_blocks_say_how_they_are_encoded),
        cmocka_unit_test(test_refused_memory_is_an_error_that_says_so_and_leaks_nothing),
        cmocka_unit_test(test_memory_stays_small_whatever_the_part),
        cmocka_unit_test(test_paths_say_what_they_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
