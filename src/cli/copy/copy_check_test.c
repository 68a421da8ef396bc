/*
 * copy_check_test.c - two stores with random series, the second of which lacks samples, has other
 * ones, and more: the counts must agree with the differences made.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/copy/copy.h"
#include "cli/lib/import_batch.h"
#include "lib/random.h"
#include "lib/seeds.h"
#include "relay/feed/selection.h"
#include "sys/env.h"

enum { SERIES = 60, SAMPLES = 200, STEP_MS = 1000, SLICE_MS = SAMPLES * STEP_MS };

static char dir[64];

static int
make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/firekeep-check-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

static void
no_refusal(void *context, const char *text)
{
    (void)context;
    fail_msg("%s", text);
}

/* A store to write to, and to read. */
struct store {
    struct target *target;
    struct import_batch *batch;
    struct reading *reading;
    char path[96];
};

static void
store_open(struct store *s, const char *name)
{
    struct why why = {""};
    snprintf(s->path, sizeof s->path, "%s/%s", dir, name);
    struct target_options options = {.storage = s->path, .writing = true};
    assert_int_equal(target_open(&options, &s->target, &why), OK);
    assert_int_equal(batch_new(s->target, RW_V2, no_refusal, NULL, &s->batch, &why), OK);
    struct reading_options reading = {.answerer = s->target->answerer, .name = name};
    assert_int_equal(reading_open(&reading, &s->reading, &why), OK);
}

static void
store_close(struct store *s)
{
    reading_free(s->reading);
    batch_free(s->batch);
    target_free(s->target);
}

static void
put(struct store *s, struct bytes labels, int64_t t_ms, uint64_t bits)
{
    struct why why = {""};
    struct sample_batch one = {
        .kind = SAMPLE_FLOAT, .count = 1, .times_ms = &t_ms, .value_bits = &bits};
    assert_int_equal(batch_samples(s->batch, labels, &one, &why), OK);
}

static void
put_histogram(struct store *s, struct bytes labels, int64_t t_ms, uint64_t count)
{
    struct why why = {""};
    int64_t delta = (int64_t)count;
    struct hist_span span = {0, 1};
    struct histogram h = {
        .kind = SAMPLE_HISTOGRAM_INT,
        .count = count,
        .positive = {.spans = &span, .span_count = 1, .deltas = &delta, .bucket_count = 1}};
    struct sample_batch one = {
        .kind = SAMPLE_HISTOGRAM_INT, .count = 1, .times_ms = &t_ms, .histograms = &h};
    assert_int_equal(batch_samples(s->batch, labels, &one, &why), OK);
}

static void
write_all(struct store *s)
{
    struct why why = {""};
    assert_int_equal(batch_send(s->batch, &why), OK);
}

static void
label_series(struct buf *to, const char *site, unsigned number)
{
    char text[32];
    buf_clear(to);
    snprintf(text, sizeof text, "series_%u", number);
    labels_put(to, (struct label){bytes_of_text("__name__"), bytes_of_text(text)});
    if (site != NULL) labels_put(to, (struct label){bytes_of_text("site"), bytes_of_text(site)});
    assert_int_equal(buf_error(to), OK);
}

struct reported {
    uint64_t series, missing, different;
};

static void
add_difference(void *context, struct bytes labels, int64_t min_ms, uint64_t missing,
               uint64_t different)
{
    struct reported *reported = context;
    (void)labels;
    (void)min_ms;
    reported->series++;
    reported->missing += missing;
    reported->different += different;
}

static struct check_counts
check(struct store *from, struct store *to, const struct selection *selection,
      struct reported *reported)
{
    struct why why = {""};
    struct check_counts counts = {0};
    struct budget memory;
    budget_init(&memory, "copy", 0, NULL);
    struct check_options options = {.from = from->reading,
                                    .to = to->reading,
                                    .memory = &memory,
                                    .selection = selection,
                                    .tenant = bytes_of_text("anonymous"),
                                    .differs = add_difference,
                                    .context = reported};
    *reported = (struct reported){0};
    assert_int_equal(check_slice(&options, 0, SLICE_MS - 1, &counts, &why), OK);
    assert_int_equal(budget_used(&memory), 0);
    assert_int_equal(counts.missing, reported->missing);
    assert_int_equal(counts.different, reported->different);
    assert_int_equal(counts.series_differing, reported->series);
    return counts;
}

UNIT_TEST(test_each_missing_and_each_other_sample_is_counted)
{
    struct store from, to;
    struct check_counts expected = {0};
    struct reported reported;
    struct buf labels;
    struct rng rng = {shifted_seed(1)};
    store_open(&from, "from");
    store_open(&to, "to");
    buf_init(&labels, NULL, 4096);
    for (unsigned i = 0; i < SERIES; i++) {
        bool whole = i % 3 == 0, histograms = i % 5 == 0, differs = false;
        bool beside = i % 7 == 6; /* only the second store has it */
        bool lost = i % 11 == 10; /* only the first, unless neither has it */
        label_series(&labels, NULL, i);
        for (unsigned k = 0; k < SAMPLES; k++) {
            uint64_t value = rng_below(&rng, 1000000), other = value;
            uint64_t mood = whole ? 100 : rng_below(&rng, 100);
            bool here = mood != 0 && !beside, there = mood != 1 && !lost;
            if (mood == 2) other++;
            expected.samples += here;
            expected.missing += here && !there;
            expected.different += here && there && other != value;
            expected.samples_beside += beside && there;
            differs |= here && (!there || other != value);
            int64_t t_ms = (int64_t)k * STEP_MS;
            if (here && histograms) put_histogram(&from, buf_bytes(&labels), t_ms, value);
            if (here && !histograms) put(&from, buf_bytes(&labels), t_ms, value);
            if (there && histograms) put_histogram(&to, buf_bytes(&labels), t_ms, other);
            if (there && !histograms) put(&to, buf_bytes(&labels), t_ms, other);
        }
        expected.series += !beside;
        expected.series_beside += beside && !lost;
        expected.series_differing += differs;
    }
    write_all(&from);
    write_all(&to);
    struct check_counts counts = check(&from, &to, NULL, &reported);
    assert_memory_equal(&counts, &expected, sizeof counts);
    counts = check(&from, &from, NULL, &reported);
    assert_int_equal(counts.series_differing, 0);
    assert_int_equal(counts.samples, expected.samples);
    assert_int_equal(counts.series_beside, 0);
    buf_fini(&labels);
    store_close(&from);
    store_close(&to);
}

UNIT_TEST(test_a_slice_that_cannot_be_read_is_not_one_that_differs)
{
    struct store from, to;
    struct buf labels;
    struct reported reported;
    unsigned failed = 0;
    store_open(&from, "from");
    store_open(&to, "to");
    buf_init(&labels, NULL, 4096);
    for (unsigned i = 0; i < 5; i++) {
        label_series(&labels, NULL, i);
        for (unsigned k = 0; k < SAMPLES; k++) {
            put_histogram(&from, buf_bytes(&labels), k * STEP_MS, k);
            put_histogram(&to, buf_bytes(&labels), k * STEP_MS, k);
        }
    }
    write_all(&from);
    write_all(&to);
    for (uint64_t nth = 1;; nth++) {
        struct why why = {""};
        struct check_counts counts = {0};
        struct budget memory;
        budget_init(&memory, "copy", 0, NULL);
        struct check_options options = {.from = from.reading,
                                        .to = to.reading,
                                        .memory = &memory,
                                        .tenant = bytes_of_text("anonymous"),
                                        .differs = add_difference,
                                        .context = &reported};
        mem_fail_nth(nth, false);
        enum err e = check_slice(&options, 0, SLICE_MS - 1, &counts, &why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(budget_used(&memory), 0);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        failed += e != OK;
        if (fired) continue;
        assert_int_equal(counts.samples, 5 * SAMPLES);
        assert_int_equal(counts.series_differing, 0);
        break;
    }
    assert_true(failed > 10);
    buf_fini(&labels);
    store_close(&from);
    store_close(&to);
}

/* Two series of the first place are one in the second, which has a label more, and some are not
 * wanted there. */
UNIT_TEST(test_series_are_looked_for_under_the_labels_that_they_got)
{
    struct store from, to;
    struct reported reported;
    struct buf labels;
    struct why why = {""};
    struct selection *selection;
    const char *wanted = "{__name__=~\"series_[0-8]\"}";
    struct named_text external = {"dc", "one"};
    struct relabel_spec relabel = {.action = RELABEL_LABELDROP, .regex = bytes_of_text("site")};
    struct destination_settings settings = {.name = "d",
                                            .select = {&wanted, 1},
                                            .relabel = &relabel,
                                            .relabel_count = 1,
                                            .external_labels = {&external, 1}};
    assert_int_equal(selection_new(&settings, &selection, &why), OK);
    store_open(&from, "from");
    store_open(&to, "to");
    buf_init(&labels, NULL, 4096);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned k = 0; k < SAMPLES; k++) {
            label_series(&labels, k % 2 == 0 ? "a" : "b", i);
            put(&from, buf_bytes(&labels), k * STEP_MS, k);
        }
    }
    for (unsigned i = 0; i < 9; i++) {
        char name[32];
        snprintf(name, sizeof name, "series_%u", i);
        buf_clear(&labels);
        labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
        labels_put(&labels, (struct label){bytes_of_text("dc"), bytes_of_text("one")});
        for (unsigned k = 0; k < SAMPLES - (i == 8); k++)
            put(&to, buf_bytes(&labels), k * STEP_MS, k);
    }
    write_all(&from);
    write_all(&to);
    struct check_counts counts = check(&from, &to, selection, &reported);
    assert_int_equal(counts.samples, 9 * SAMPLES);
    assert_int_equal(counts.missing, 1);
    assert_int_equal(counts.different, 0);
    assert_int_equal(counts.series_beside, 0);
    selection_free(selection);
    buf_fini(&labels);
    store_close(&from);
    store_close(&to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_slice_that_cannot_be_read_is_not_one_that_differs,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_each_missing_and_each_other_sample_is_counted,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_series_are_looked_for_under_the_labels_that_they_got,
                                        make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
