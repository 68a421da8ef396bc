/* scan_test.c - scans an archive that is one object in memory: exactly the samples of a range are
 * returned, including those on its bounds. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/scan.h"
#include "lib/backend/fetch_rig.h"
#include "sys/sim.h"

/* One object, whose content does not change. */
struct one_object {
    struct archive_store store; /* first */
    const char *text;
    unsigned opened;
};
struct one_listing {
    struct archive_listing listing; /* first */
    bool given;
};
struct one_range {
    struct archive_range range; /* first */
    struct bytes left;
};

static struct one_object object;
static struct one_listing listing;
static struct source_counts counts; /* since object_init() */
static struct sim_env *sim;
static struct env *env;
static struct fetch_rig rig; /* its fetcher sends nothing */

static enum err
one_list(struct archive_store *store, const struct archive_scope *scope,
         struct archive_listing **ret_listing, struct why *why)
{
    (void)store, (void)why;
    listing = (struct one_listing){.listing = {*scope}};
    *ret_listing = &listing.listing;
    return OK;
}

static enum err
one_next(struct archive_listing *of, struct archive_object *ret_object, bool *ret_more,
         struct why *why)
{
    struct one_listing *l = (struct one_listing *)of;
    (void)why;
    *ret_more = !l->given;
    l->given = true;
    *ret_object =
        (struct archive_object){.key = "2023/11/14/22/a", .tag = "t", .size = strlen(object.text)};
    return OK;
}

static void
one_free_listing(struct archive_listing *of)
{
    (void)of;
}

static enum err
one_open(struct archive_store *store, const struct archive_scope *scope,
         const struct archive_object *listed, uint64_t offset, uint64_t size,
         struct archive_range **ret_range, struct why *why)
{
    static struct one_range range;
    (void)store, (void)listed, (void)why;
    object.opened++;
    range = (struct one_range){{scope->budget}, bytes_of(object.text + offset, size)};
    *ret_range = &range.range;
    return OK;
}

static enum err
one_read(struct archive_range *of, struct bytes *ret_piece, struct why *why)
{
    struct one_range *r = (struct one_range *)of;
    (void)why;
    *ret_piece = r->left;
    r->left.size = 0;
    return OK;
}

static void
one_close(struct archive_range *of)
{
    (void)of;
}

static const struct archive_store_ops one_ops = {
    .list = one_list,
    .next = one_next,
    .free_listing = one_free_listing,
    .open = one_open,
    .read = one_read,
    .close = one_close,
};

#define NOON 1700000000000

static struct budget memory; /* of scans */

static enum err
scan_begin(struct archive_cache *cache, const struct query_request *r,
           struct archive_scan **ret_scan, struct why *why)
{
    static const struct named_texts no_texts = {NULL, 0};
    struct archive_scan_options options = {.env = env,
                                           .budget = &memory,
                                           .store = &object.store,
                                           .fetcher = rig.fetcher,
                                           .cache = cache,
                                           .counts = &counts,
                                           .external = {.texts = &no_texts},
                                           .layout = ARCHIVE_HOURLY};
    return archive_scan_new(&options, r, ret_scan, why);
}

/* Reads all samples; adds their times to the text, relative to NOON. */
static enum err
scan_drain(struct archive_scan *s, char *text, size_t capacity, struct why *why)
{
    struct sample_batch b;
    size_t size = 0;
    text[0] = '\0';
    for (;;) {
        struct bytes labels = bytes_of_text("not set");
        enum err e = archive_scan_next(s, &labels, why);
        if (e || labels.at == NULL) return e;
        do {
            e = archive_scan_batch(s, &b, why);
            if (e) return e;
            for (uint32_t i = 0; i < b.count; i++) {
                size += (size_t)snprintf(text + size, capacity - size, "%lld ",
                                         (long long)(b.times_ms[i] - NOON));
            }
        } while (b.count > 0);
    }
}

/* Times of all samples in the range, as text, relative to NOON. */
static const char *
scan(struct archive_cache *cache, int64_t min_ms, int64_t max_ms)
{
    static char text[1000];
    struct query_request r = {.min_ms = NOON + min_ms, .max_ms = NOON + max_ms};
    struct archive_scan *s;
    struct why why;
    assert_int_equal(scan_begin(cache, &r, &s, &why), OK);
    assert_int_equal(scan_drain(s, text, sizeof text, &why), OK);
    assert_null(archive_scan_warning(s, 0));
    archive_scan_free(s);
    assert_int_equal(budget_used(&memory), 0);
    return text;
}

static void
object_init(const char *text)
{
    object = (struct one_object){.store = {&one_ops}, .text = text};
    counts = (struct source_counts){0};
    budget_init(&memory, "test", 0, NULL);
}

#define LINE(time) \
    "{\"name\":\"up\",\"time\":" time ",\"value\":1,\"labels\":{\"__name__\":\"up\"}}\n"
#define THREE LINE("1700000000000") LINE("1700000000001") LINE("1700000000005")

UNIT_TEST(test_samples_on_both_bounds_of_the_range_are_given)
{
    object_init(THREE);
    assert_string_equal(scan(NULL, 0, 5), "0 1 5 ");
    assert_string_equal(scan(NULL, 1, 5), "1 5 ");
    assert_string_equal(scan(NULL, 0, 4), "0 1 ");
    assert_string_equal(scan(NULL, 5, 5), "5 ");
    assert_string_equal(scan(NULL, 0, 0), "0 ");
    assert_string_equal(scan(NULL, 2, 4), "");
    assert_string_equal(scan(NULL, 6, 60000), "");
    assert_string_equal(scan(NULL, -60000, -1), "");
}

/* The error names the object. */
UNIT_TEST(test_a_damaged_object_is_an_error_or_a_warning)
{
    static const char words[] = "2023/11/14/22/a: the compressed data is cut short";
    for (unsigned partial = 0; partial < 2; partial++) {
        struct query_request r = {.min_ms = 0, .max_ms = NOON, .partial = partial};
        struct archive_scan *s;
        struct bytes labels;
        struct why why;
        object_init("\x1f\x8b\x08");
        assert_int_equal(scan_begin(NULL, &r, &s, &why), OK);
        assert_int_equal(archive_scan_next(s, &labels, &why), partial ? OK : ERR_CORRUPT);
        assert_string_equal(partial ? archive_scan_warning(s, 0) : why.text, words);
        archive_scan_free(s);
    }
}

#define HISTOGRAM(time, count)                                                              \
    "{\"name\":\"up\",\"time\":" time ",\"value\":null,\"histogram\":{\"count_int\":" count \
    ",\"sum\":1,\"schema\":0,\"zero_threshold\":0,\"zero_count_int\":3},\"labels\":"        \
    "{\"__name__\":\"up\"}}\n"

UNIT_TEST(test_lines_without_a_sample_are_counted_and_the_first_is_named)
{
    struct query_request r = {.min_ms = NOON, .max_ms = NOON + 9};
    struct archive_scan *s;
    struct why why;
    char text[100];
    object_init(THREE "not JSON\n" HISTOGRAM("1700000000007", "3") "{}\n" LINE("1700000000009"));
    assert_int_equal(scan_begin(NULL, &r, &s, &why), OK);
    assert_int_equal(scan_drain(s, text, sizeof text, &why), OK);
    assert_string_equal(text, "0 1 5 7 9 ");
    assert_int_equal(counts.junk_lines, 2);
    assert_int_equal(counts.objects_read, 1);
    assert_non_null(strstr(archive_scan_warning(s, 0),
                           "2 lines are not samples and were left out; the first: "
                           "2023/11/14/22/a: line 4: "));
    assert_null(archive_scan_warning(s, 1));
    archive_scan_free(s);
}

UNIT_TEST(test_a_histogram_that_is_not_valid_is_reported_with_its_line)
{
    struct query_request r = {.min_ms = NOON, .max_ms = NOON + 9};
    struct archive_scan *s;
    struct why why;
    char text[100];
    object_init(THREE HISTOGRAM("1700000000007", "2") LINE("1700000000009"));
    assert_int_equal(scan_begin(NULL, &r, &s, &why), OK);
    assert_int_equal(scan_drain(s, text, sizeof text, &why), OK);
    assert_string_equal(text, "0 1 5 9 ");
    assert_int_equal(counts.junk_lines, 1);
    assert_non_null(strstr(archive_scan_warning(s, 0), "2023/11/14/22/a: line 4: "));
    archive_scan_free(s);
}

/* An object of which only the times are known is read if one of them is on a bound. */
#define JOB_LINE(time)                \
    "{\"name\":\"up\",\"time\":" time \
    ",\"value\":1,\"labels\":{\"__name__\":\"up\",\"job\":\"a\"}}\n"

UNIT_TEST(test_a_known_object_is_read_for_samples_on_a_bound)
{
    static struct source_cache_settings settings = {"/cache", 1 << 20};
    struct archive_cache_options options = {env, NULL, &settings, "one"};
    struct archive_cache *cache;
    assert_int_equal(archive_cache_new(&options, &cache), OK);
    object_init(JOB_LINE("1700000000000") JOB_LINE("1700000000001") JOB_LINE("1700000000005"));
    assert_string_equal(scan(cache, 1, 1), "1 "); /* it is known now */
    assert_string_equal(scan(cache, 5, 60000), "5 ");
    assert_string_equal(scan(cache, -60000, 0), "0 ");
    assert_int_equal(object.opened, 3);
    assert_string_equal(scan(cache, 6, 60000), "");
    assert_string_equal(scan(cache, -60000, -1), "");
    assert_int_equal(object.opened, 3);
    assert_int_equal(counts.cache_misses, 1);
    assert_int_equal(counts.cache_hits, 4);
    assert_int_equal(counts.objects_read, 3);
    assert_int_equal(counts.objects_skipped, 2);
    archive_cache_free(cache);
}

/* A scan does without some allocations. */
UNIT_TEST(test_an_error_from_a_failing_allocation_says_so)
{
    for (uint64_t nth = 1;; nth++) {
        struct query_request r = {.min_ms = NOON, .max_ms = NOON + 9};
        struct archive_scan *s = NULL;
        struct why why = {"not set"};
        char text[100];
        object_init(THREE HISTOGRAM("1700000000007", "3"));
        mem_fail_nth(nth, false);
        enum err e = scan_begin(NULL, &r, &s, &why);
        bool begun = e == OK;
        if (begun) e = scan_drain(s, text, sizeof text, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (begun) archive_scan_free(s);
        assert_int_equal(budget_used(&memory), 0);
        if (e != OK) assert_int_equal(e, ERR_NOMEM);
        if (e != OK) assert_non_null(strstr(why.text, "not enough memory"));
        if (fired) continue;
        assert_int_equal(e, OK);
        break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_on_both_bounds_of_the_range_are_given),
        cmocka_unit_test(test_a_damaged_object_is_an_error_or_a_warning),
        cmocka_unit_test(test_lines_without_a_sample_are_counted_and_the_first_is_named),
        cmocka_unit_test(test_a_histogram_that_is_not_valid_is_reported_with_its_line),
        cmocka_unit_test(test_a_known_object_is_read_for_samples_on_a_bound),
        cmocka_unit_test(test_an_error_from_a_failing_allocation_says_so),
    };
    if (sim_env_new(1, &sim) != OK) return 1;
    env = sim_env_env(sim);
    fetch_rig_init(&rig, 0, NULL);
    fetch_rig_start(&rig);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fetch_rig_stop(&rig);
    sim_env_free(sim);
    return failed;
}
