/*
 * pages_test.c - pages of files and the page cache: content, capacity, damage, failing devices,
 * threads.
 */
#include "lib/test.h"

#include <pthread.h>
#include <stdlib.h>

#include "lib/random.h"
#include "sys/fault.h"
#include "sys/sim.h"
#include "tsdb/part/pages.h"

enum { PAGES = 200, PART = 7 };

struct rig {
    struct sim_env *sim;
    struct fault_env *fault;
    struct budget budget;
    struct page_cache *cache;
    struct page_source source;
    uint64_t offsets[PAGES];
    uint32_t sizes[PAGES];
    uint64_t end;
};

/* Makes the content of a page, the same in every run; every other page cannot be compressed. */
static void
page_content(unsigned i, uint8_t *to, uint32_t size)
{
    struct rng r = {i};
    for (uint32_t j = 0; j < size; j++)
        to[j] = i % 2 == 0 ? (uint8_t)rng_next(&r) : (uint8_t)(i + j / 9);
}

static enum page_kind
page_kind_of(unsigned i)
{
    return (enum page_kind)(PAGE_TIMES + i % 10);
}

static enum err
write_pages(struct env *env, uint64_t *offsets, uint32_t *sizes)
{
    static uint8_t content[70000];
    struct rng r = {3};
    struct page_writer w;
    enum err e = page_writer_open(&w, env, NULL, "/part", PART, NULL);
    if (e == OK) e = page_write_raw(&w, bytes_of("0123456789", 10), NULL);
    for (unsigned i = 0; i < PAGES && e == OK; i++) {
        sizes[i] = (uint32_t)rng_below(&r, i % 20 == 0 ? 70000 : 3000);
        if (i == 3) sizes[i] = 0;
        page_content(i, content, sizes[i]);
        e = page_write(&w, page_kind_of(i), bytes_of(content, sizes[i]), &offsets[i], NULL);
    }
    if (e == OK) e = page_writer_close(&w, NULL);
    page_writer_fini(&w);
    return e;
}

static void
rig_open(struct rig *g, uint64_t capacity, uint64_t budget)
{
    *g = (struct rig){.source.file = FILE_CLOSED};
    assert_int_equal(sim_env_new(1, &g->sim), OK);
    assert_int_equal(fault_env_new(sim_env_env(g->sim), &g->fault), OK);
    struct env *env = fault_env_env(g->fault);
    assert_int_equal(write_pages(env, g->offsets, g->sizes), OK);
    budget_init(&g->budget, "cache", budget, NULL);
    assert_int_equal(page_cache_new(&g->budget, capacity, &g->cache), OK);
    g->source.cache = g->cache;
    g->source.cache_id = page_cache_new_id(g->cache);
    g->source.part_number = PART;
    assert_int_equal(file_open(env, "/part", FILE_READ, &g->source.file, NULL), OK);
    assert_int_equal(file_size(&g->source.file, &g->source.file_bytes, NULL), OK);
}

static void
rig_close(struct rig *g)
{
    page_cache_forget(g->cache, g->source.cache_id);
    page_cache_validate(g->cache);
    page_cache_free(g->cache);
    assert_int_equal(budget_used(&g->budget), 0);
    file_close(&g->source.file);
    fault_env_free(g->fault);
    sim_env_free(g->sim);
}

static bool
is_page(const struct page *page, unsigned i, uint32_t size)
{
    static _Thread_local uint8_t content[70000];
    page_content(i, content, size);
    for (unsigned j = 0; j < PAGE_SLACK_BYTES; j++)
        if (page->at[size + j] != 0) return false;
    return page->size == size && (size == 0 || memcmp(page->at, content, size) == 0);
}

static const struct page *
get(struct rig *g, unsigned i)
{
    const struct page *page;
    struct why why = {""};
    enum err e = page_get(&g->source, g->offsets[i], page_kind_of(i), &page, &why);
    if (e) fail_msg("page %u: %s", i, why.text);
    if (!is_page(page, i, g->sizes[i])) fail_msg("page %u is another", i);
    return page;
}

UNIT_TEST(test_pages_come_back_as_written)
{
    struct rig g;
    rig_open(&g, 1 << 20, 0);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < PAGES; i++)
            page_release(&g.source, get(&g, i));
    struct page_cache_stats stats;
    page_cache_stats(g.cache, &stats);
    assert_int_equal(stats.misses, PAGES);
    assert_int_equal(stats.hits, 2 * PAGES);
    assert_int_equal(stats.pages, PAGES);
    assert_int_equal(stats.bytes, budget_used(&g.budget));
    rig_close(&g);
}

UNIT_TEST(test_the_cache_stays_within_its_capacity)
{
    struct rig g;
    rig_open(&g, 60000, 0);
    struct rng r = {5};
    struct page_cache_stats stats;
    for (unsigned i = 0; i < 5000; i++) {
        page_release(&g.source, get(&g, (unsigned)rng_below(&r, PAGES)));
        page_cache_stats(g.cache, &stats);
        assert_true(stats.bytes <= 60000);
        assert_int_equal(stats.bytes, budget_used(&g.budget));
    }
    assert_true(stats.hits > 0);
    /* The page that was used last is cached. */
    page_release(&g.source, get(&g, 1));
    for (unsigned i = 4; i < 9; i++)
        page_release(&g.source, get(&g, i));
    page_cache_stats(g.cache, &stats);
    uint64_t hits = stats.hits;
    page_release(&g.source, get(&g, 1));
    page_cache_stats(g.cache, &stats);
    assert_int_equal(stats.hits, hits + 1);
    rig_close(&g);
}

UNIT_TEST(test_many_small_pages_are_all_found)
{
    enum { SOURCES = 1000, SMALL = 300 };
    struct rig g;
    struct page_cache_stats stats;
    uint64_t pages = 0;
    rig_open(&g, 1 << 30, 0);
    uint64_t first = g.source.cache_id;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned n = 0; n < SOURCES; n++) {
            g.source.cache_id = first + n;
            for (unsigned i = 0; i < PAGES; i++) {
                if (g.sizes[i] >= SMALL) continue;
                page_release(&g.source, get(&g, i));
                pages += round == 0;
            }
        }
    }
    page_cache_stats(g.cache, &stats);
    assert_true(pages > 10000); /* more than the table begins with */
    assert_int_equal(stats.misses, pages);
    assert_int_equal(stats.hits, pages);
    for (unsigned n = 0; n < SOURCES; n++) {
        page_cache_forget(g.cache, first + n);
        page_cache_stats(g.cache, &stats);
        assert_int_equal(stats.pages, pages - pages / SOURCES * (n + 1));
    }
    rig_close(&g);
}

UNIT_TEST(test_held_pages_outlive_eviction_and_forgetting)
{
    struct rig g;
    rig_open(&g, 30000, 0);
    const struct page *held[PAGES];
    for (unsigned i = 0; i < PAGES; i++)
        held[i] = get(&g, i);
    struct page_cache_stats stats;
    page_cache_stats(g.cache, &stats);
    assert_true(stats.bytes <= 30000);
    page_cache_forget(g.cache, g.source.cache_id);
    page_cache_stats(g.cache, &stats);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.pages, 0);
    for (unsigned i = 0; i < PAGES; i++)
        assert_true(is_page(held[i], i, g.sizes[i]));
    const struct page *again = get(&g, 1);
    for (unsigned i = 0; i < PAGES; i++)
        page_release(&g.source, held[i]);
    assert_true(is_page(again, 1, g.sizes[1]));
    page_release(&g.source, again);
    page_release(&g.source, NULL);
    rig_close(&g);
}

/* Returns the content for a number, the same in every run. */
static struct bytes
made_content(uint64_t number)
{
    static uint8_t content[3000];
    struct rng r = {number};
    uint32_t size = (uint32_t)rng_below(&r, 3000);
    for (uint32_t i = 0; i < size; i++)
        content[i] = (uint8_t)rng_next(&r);
    return bytes_of(content, size);
}

/* Says whether the cache has the content of a number, unchanged. */
static bool
finds_made(struct rig *g, uint64_t number)
{
    const struct page *page = page_find_made(&g->source, number);
    if (page == NULL) return false;
    assert_true(bytes_equal(bytes_of(page->at, page->size), made_content(number)));
    page_release(&g->source, page);
    return true;
}

UNIT_TEST(test_content_made_from_pages_is_cached_like_pages)
{
    struct rig g;
    struct page_cache_stats stats;
    rig_open(&g, 60000, 0);
    assert_false(finds_made(&g, 0));
    for (uint64_t i = 0; i < 3; i++) {
        page_keep_made(&g.source, i, made_content(i));
        page_keep_made(&g.source, i, made_content(i)); /* a second thread stores the same */
    }
    assert_true(finds_made(&g, 0) && finds_made(&g, 1) && finds_made(&g, 2));
    page_release(&g.source, get(&g, 1)); /* it does not need the page, */
    g.source.cache_id++;
    assert_false(finds_made(&g, 1)); /* and the content of another part is not found */
    g.source.cache_id--;
    const struct page *held = page_find_made(&g.source, 2);
    for (uint64_t i = 100; i < 300; i++) {
        page_keep_made(&g.source, i, made_content(i));
        assert_true(finds_made(&g, i));
        page_cache_stats(g.cache, &stats);
        assert_true(stats.bytes <= 60000);
        assert_int_equal(stats.bytes, budget_used(&g.budget));
    }
    assert_false(finds_made(&g, 0)); /* used least recently */
    assert_true(bytes_equal(bytes_of(held->at, held->size), made_content(2)));
    page_release(&g.source, held);
    static const uint8_t large[20000];
    page_keep_made(&g.source, 5, bytes_of(large, sizeof large)); /* a third of the cache */
    assert_null(page_find_made(&g.source, 5));
    page_cache_forget(g.cache, g.source.cache_id);
    assert_false(finds_made(&g, 299));
    assert_int_equal(budget_used(&g.budget), 0);
    mem_fail_nth(1, true);
    page_keep_made(&g.source, 1, made_content(1));
    mem_fail_nth(0, false);
    assert_false(finds_made(&g, 1));
    rig_close(&g);
}

UNIT_TEST(test_an_exhausted_budget_gives_up_other_pages_first)
{
    struct rig g;
    rig_open(&g, 1 << 20, 200000);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < PAGES; i++)
            page_release(&g.source, get(&g, i));
    assert_true(g.budget.refused_count > 0);
    /* While all pages are held, the next is refused; later it works again. */
    const struct page *held[PAGES];
    unsigned n = 0;
    enum err e = OK;
    while (e == OK && n < PAGES) {
        e = page_get(&g.source, g.offsets[n], page_kind_of(n), &held[n], NULL);
        n += e == OK;
    }
    assert_int_equal(e, ERR_NOMEM);
    while (n > 0)
        page_release(&g.source, held[--n]);
    page_release(&g.source, get(&g, 20));
    rig_close(&g);
}

UNIT_TEST(test_each_flipped_bit_is_noticed_and_named)
{
    struct rig g;
    rig_open(&g, 0, 0);
    struct rng r = {9};
    for (unsigned n = 0; n < 1500; n++) {
        unsigned i = (unsigned)rng_below(&r, 12);
        uint64_t end = g.offsets[i + 1], at = g.offsets[i] + rng_below(&r, end - g.offsets[i]);
        if (n < PAGE_HEADER_BYTES) at = g.offsets[i] + n;
        uint8_t byte, flipped;
        struct file file;
        assert_int_equal(file_open(sim_env_env(g.sim), "/part", FILE_UPDATE, &file, NULL), OK);
        assert_int_equal(file_read_at(&file, &byte, 1, at, NULL), OK);
        flipped = byte ^ (uint8_t)(1u << rng_below(&r, 8));
        assert_int_equal(file_write_at(&file, bytes_of(&flipped, 1), at, NULL), OK);
        const struct page *page;
        struct why why = {""};
        enum err e = page_get(&g.source, g.offsets[i], page_kind_of(i), &page, &why);
        assert_int_equal(e, ERR_CORRUPT);
        assert_non_null(strstr(why.text, "/part: page at "));
        struct page_facts facts;
        e = page_check(&g.source, g.offsets[i], &facts, NULL);
        assert_int_equal(e, ERR_CORRUPT);
        assert_int_equal(file_write_at(&file, bytes_of(&byte, 1), at, NULL), OK);
        file_close(&file);
    }
    page_release(&g.source, get(&g, 1));
    rig_close(&g);
}

UNIT_TEST(test_a_page_of_another_kind_or_offset_is_refused)
{
    struct rig g;
    rig_open(&g, 1 << 20, 0);
    const struct page *page;
    uint64_t wrong[] = {0, 9, 11, g.source.file_bytes - 1, g.source.file_bytes, UINT64_MAX};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(page_get(&g.source, wrong[i], PAGE_TIMES, &page, NULL), ERR_CORRUPT);
    /* The check also applies to a cached page. */
    page_release(&g.source, get(&g, 0));
    assert_int_equal(page_get(&g.source, g.offsets[0], PAGE_ROOT, &page, NULL), ERR_CORRUPT);
    g.source.part_number++; /* a page of another part */
    assert_int_equal(page_get(&g.source, g.offsets[1], page_kind_of(1), &page, NULL), ERR_CORRUPT);
    rig_close(&g);
}

UNIT_TEST(test_checking_walks_from_page_to_page)
{
    struct rig g;
    rig_open(&g, 1 << 20, 0);
    uint64_t at = 10;
    for (unsigned i = 0; i < PAGES; i++) {
        struct page_facts facts;
        assert_int_equal(at, g.offsets[i]);
        assert_int_equal(page_check(&g.source, at, &facts, NULL), OK);
        assert_int_equal(facts.kind, page_kind_of(i));
        at = facts.next;
    }
    assert_int_equal(at, g.source.file_bytes);
    rig_close(&g);
}

UNIT_TEST(test_a_device_that_hiccups_once_is_asked_again)
{
    struct rig g;
    rig_open(&g, 0, 0);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        fault_env_arm(g.fault, (struct fault){FAULT_EIO, nth, false});
        page_release(&g.source, get(&g, 5));
        assert_true(fault_env_fired(g.fault));
        fault_env_arm(g.fault, (struct fault){FAULT_EIO, nth, true});
        const struct page *page;
        enum err e = page_get(&g.source, g.offsets[5], page_kind_of(5), &page, NULL);
        assert_int_equal(e, ERR_IO); /* and not as damage */
        fault_env_disarm(g.fault);
    }
    rig_close(&g);
}

UNIT_TEST(test_writing_returns_each_failure)
{
    static uint64_t offsets[PAGES];
    static uint32_t sizes[PAGES];
    for (unsigned kind = 0; kind < 2; kind++) {
        bool fired = true;
        for (uint64_t nth = 1; fired; nth++) {
            struct sim_env *sim;
            struct fault_env *fault;
            assert_int_equal(sim_env_new(1, &sim), OK);
            assert_int_equal(fault_env_new(sim_env_env(sim), &fault), OK);
            fault_env_arm(fault, (struct fault){kind == 0 ? FAULT_EIO : FAULT_ENOSPC, nth, false});
            enum err e = write_pages(fault_env_env(fault), offsets, sizes);
            fired = fault_env_fired(fault);
            assert_int_equal(e, !fired ? OK : kind == 0 ? ERR_IO : ERR_FULL);
            fault_env_free(fault);
            sim_env_free(sim);
        }
    }
    for (uint64_t nth = 1;; nth++) {
        struct sim_env *sim;
        assert_int_equal(sim_env_new(1, &sim), OK);
        mem_fail_nth(nth, false);
        enum err e = write_pages(sim_env_env(sim), offsets, sizes);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (!fired) assert_int_equal(e, OK);
        if (fired) assert_true(e == ERR_NOMEM || e == OK || e == ERR_IO);
        sim_env_free(sim);
        if (!fired) break;
        if (nth > 30) nth += 20; /* allocations of the device's own pages */
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

struct worker {
    struct rig *rig;
    uint64_t seed;
    bool failed;
    pthread_t thread;
};

static void *
work(void *argument)
{
    struct worker *w = argument;
    struct rng r = {w->seed};
    for (unsigned i = 0; i < 1500; i++) {
        unsigned a = (unsigned)rng_below(&r, PAGES), b = (unsigned)rng_below(&r, PAGES);
        const struct page *x, *y;
        struct page_source *s = &w->rig->source;
        if (page_get(s, w->rig->offsets[a], page_kind_of(a), &x, NULL) != OK) {
            w->failed = true;
            return NULL;
        }
        if (page_get(s, w->rig->offsets[b], page_kind_of(b), &y, NULL) == OK) {
            w->failed |= !is_page(y, b, w->rig->sizes[b]);
            page_release(s, y);
        }
        w->failed |= !is_page(x, a, w->rig->sizes[a]);
        page_release(s, x);
        if (rng_below(&r, 300) == 0) page_cache_forget(w->rig->cache, s->cache_id);
    }
    return NULL;
}

UNIT_TEST(test_threads_share_the_cache)
{
    struct rig g;
    rig_open(&g, 150000, 0);
    struct worker workers[4];
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){&g, i, false, 0};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_false(workers[i].failed);
    }
    rig_close(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_come_back_as_written),
        cmocka_unit_test(test_the_cache_stays_within_its_capacity),
        cmocka_unit_test(test_many_small_pages_are_all_found),
        cmocka_unit_test(test_held_pages_outlive_eviction_and_forgetting),
        cmocka_unit_test(test_content_made_from_pages_is_cached_like_pages),
        cmocka_unit_test(test_an_exhausted_budget_gives_up_other_pages_first),
        cmocka_unit_test(test_each_flipped_bit_is_noticed_and_named),
        cmocka_unit_test(test_a_page_of_another_kind_or_offset_is_refused),
        cmocka_unit_test(test_checking_walks_from_page_to_page),
        cmocka_unit_test(test_a_device_that_hiccups_once_is_asked_again),
        cmocka_unit_test(test_writing_returns_each_failure),
        cmocka_unit_test(test_threads_share_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
