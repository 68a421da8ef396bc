/*
 * part_test.c - descriptions of parts: figures add up to the file and to its content, damage costs
 * only the damaged pages, refused memory is an error.
 */
#include "lib/test.h"

#include "lib/tsdb/random_part.h"
#include "sys/sim.h"
#include "tsdb/inspect/inspect.h"
#include "tsdb/part/format.h"
#include "tsdb/store/store.h"

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
    g->options = (struct inspect_options){.env = g->env, .memory = &g->budget};
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
    for (unsigned k = 0; k < INSPECT_PAGE_KINDS; k++)
        sum += p->pages[k].header_bytes + p->pages[k].stored_bytes;
    assert_int_equal(sum, p->file_bytes);
}

static const struct content_size sizes[] = {
    {.tenants = 0, .series = 0, .samples = 0, .values = 1},
    {.tenants = 1, .series = 30, .samples = 300, .values = 10},
    {.tenants = 4, .series = 120, .samples = 900, .values = 40},
    {.tenants = 2, .series = 700, .samples = 40, .values = 300},
};

/* --- sums ------------------------------------------------------------------------------------- */

UNIT_TEST(test_figures_add_up_to_the_file_and_to_what_was_written)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rig g;
        struct inspect_part p;
        rig_open(&g, seed, sizes[seed % 4], (int)(seed % 3));
        look(&g, &p);
        assert_int_equal(p.remarks.count, 0);
        assert_true(p.root_whole);
        check_file(&p);
        assert_int_equal(p.file_bytes, g.info.file_bytes);
        assert_int_equal(p.unreadable_bytes, 0);
        assert_int_equal(p.facts.series_count, g.info.series_count);
        assert_int_equal(p.facts.block_count, g.info.block_count);
        assert_memory_equal(p.facts.sample_count, g.info.sample_count, sizeof p.facts.sample_count);
        assert_int_equal(p.tenants, g.content.tenant_count);
        inspect_part_fini(&p);
        rig_close(&g);
    }
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
        flip(&g, at, (uint8_t)(1u << rng_below(&r, 8)) | 1);
        look(&g, &p);
        check_file(&p);
        assert_true(p.remarks.damage_count > 0);
        assert_non_null(strstr(p.remarks.items[0].text, PART_FILE));
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
        assert_int_equal(page_check(&s, at, &facts, NULL), OK);
        if (facts.kind == kind) break;
        at = facts.next;
    }
    file_close(&s.file);
    page_cache_free(s.cache);
    return at;
}

UNIT_TEST(test_a_damaged_page_is_remarked_once_and_the_rest_is_described)
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
    assert_int_equal(p.remarks.damage_count, 1);
    assert_non_null(strstr(p.remarks.items[0].text, place));
    assert_int_equal(p.facts.series_count, whole.facts.series_count);
    for (unsigned k = 0; k < INSPECT_PAGE_KINDS; k++)
        assert_int_equal(p.pages[k].count, whole.pages[k].count);
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
    look(&g, &p);
    inspect_part_fini(&p);
    uint64_t peak = atomic_load(&g.budget.peak_bytes);
    assert_in_range(peak, 1, 20 << 20);
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
        cmocka_unit_test(test_any_flipped_byte_is_reported_and_the_rest_is_explained),
        cmocka_unit_test(test_a_damaged_page_is_remarked_once_and_the_rest_is_described),
        cmocka_unit_test(test_a_part_without_its_root_still_has_its_pages_explained),
        cmocka_unit_test(test_a_part_that_was_set_aside_still_has_its_pages_explained),
        cmocka_unit_test(test_a_part_cut_short_anywhere_is_explained_as_far_as_it_goes),
        cmocka_unit_test(test_refused_memory_is_an_error_that_says_so_and_leaks_nothing),
        cmocka_unit_test(test_memory_stays_small_whatever_the_part),
        cmocka_unit_test(test_paths_say_what_they_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
