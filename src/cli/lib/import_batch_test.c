/* import_batch_test.c - batches sent to a target that records them, and refuses or fails
 * on request. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/lib/import_batch.h"
#include "cli/lib/target/target.h"
#include "lib/wire/remote_write_validate.h"
#include "wire/snappy.h"

struct fake {
    struct target target;
    struct rw_request request;
    uint32_t requests;
    uint32_t families;
    uint64_t floats;
    uint64_t histograms;
    int64_t start_ms; /* start of the last sample */
    uint64_t exemplars;
    uint64_t largest; /* samples in the largest request */
    uint64_t sum;     /* sum of the values' bits */
    uint64_t refuse;  /* floats to refuse in each request */
    enum err fail_with;
    uint32_t reported;
};

static enum err
fake_write(struct target *target, enum rw_version version, struct bytes message,
           struct bytes packed, const struct target_counts *counts, struct target_result *result,
           struct why *why)
{
    struct fake *f = (struct fake *)(void *)target;
    (void)packed;
    if (f->fail_with) return why_set(why, f->fail_with, "told to fail");
    assert_int_equal(rw_decode(&f->request, version, message, 1, why), OK);
    rw_request_validate(&f->request);
    assert_int_equal(counts->of[LEDGER_FLOAT], f->request.float_count);
    assert_int_equal(counts->of[LEDGER_HISTOGRAM], f->request.histogram_count);
    assert_int_equal(counts->of[LEDGER_EXEMPLAR], f->request.exemplar_count);
    for (uint32_t i = 0; i < f->request.series_count; i++) {
        const struct rw_series *s = &f->request.series[i];
        assert_true(s->floats.count + s->histograms.count + s->exemplars.count > 0);
    }
    for (uint32_t i = 0; i < f->request.float_count; i++) {
        f->sum += f->request.floats[i].bits;
        f->start_ms = f->request.floats[i].start_ms;
    }
    for (uint32_t i = 0; i < f->request.histogram_count; i++)
        f->start_ms = f->request.histograms[i].start_ms;
    f->histograms += f->request.histogram_count;
    f->requests++;
    f->floats += f->request.float_count;
    f->exemplars += f->request.exemplar_count;
    f->families += f->request.metadata_count;
    if (f->request.float_count > f->largest) f->largest = f->request.float_count;
    result->rejected.of[LEDGER_FLOAT] = f->refuse;
    if (f->refuse > 0) snprintf(result->text, sizeof result->text, "too old");
    return OK;
}

static const struct target_ops fake_ops = {.write = fake_write};

static void
rejected(void *context, const char *text)
{
    struct fake *f = context;
    assert_string_equal(text, "too old");
    f->reported++;
}

static struct import_batch *
batch_to(struct fake *f)
{
    struct import_batch *batch;
    struct why why = {""};
    memset(f, 0, sizeof *f);
    f->target.ops = &fake_ops;
    assert_int_equal(rw_request_init(&f->request, NULL), OK);
    assert_int_equal(batch_new(&f->target, RW_V2, rejected, f, &batch, &why), OK);
    return batch;
}

static void
batch_done(struct fake *f, struct import_batch *batch)
{
    batch_free(batch);
    rw_request_fini(&f->request);
}

static struct label
label_of(const char *name, const char *value)
{
    return (struct label){bytes_of_text(name), bytes_of_text(value)};
}

UNIT_TEST(test_a_line_of_many_samples_becomes_several_requests)
{
    enum { COUNT = 123456 };
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    int64_t *times = malloc(COUNT * sizeof *times);
    uint64_t *bits = malloc(COUNT * sizeof *bits);
    uint64_t sum = 0;
    assert_true(times != NULL && bits != NULL);
    for (int i = 0; i < COUNT; i++) {
        times[i] = i;
        bits[i] = double_bits(i);
        sum += bits[i];
    }
    struct label labels[] = {label_of("z", "1"), label_of("__name__", "m"), label_of("e", "")};
    struct text_item item = {
        .labels = labels, .label_count = 3, .sample_count = COUNT, .times_ms = times, .bits = bits};
    assert_int_equal(batch_item(batch, &item, &why), OK);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.floats, COUNT);
    assert_int_equal(f.sum, sum);
    assert_true(f.largest <= BATCH_SAMPLES_MAX + 64);
    assert_true(f.requests >= COUNT / (BATCH_SAMPLES_MAX + 64));
    assert_int_equal(batch_counts(batch).taken.of[LEDGER_FLOAT], COUNT);
    free(times);
    free(bits);
    batch_done(&f, batch);
}

/* Puts one sample of one series. */
static enum err
put_one(struct import_batch *batch, const char *name, struct why *why)
{
    static const int64_t t_ms = 5;
    static const uint64_t bits = 7;
    struct label labels[] = {label_of("__name__", name)};
    struct label id[] = {label_of("id", "x")};
    struct text_exemplar exemplar = {.labels = id, .label_count = 1, .t_ms = t_ms};
    struct text_item item = {.labels = labels,
                             .label_count = 1,
                             .sample_count = 1,
                             .times_ms = &t_ms,
                             .bits = &bits,
                             .exemplars = &exemplar,
                             .exemplar_count = 1};
    return batch_item(batch, &item, why);
}

UNIT_TEST(test_refused_samples_are_reported_and_counted)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    assert_int_equal(put_one(batch, "a", &why), OK);
    assert_int_equal(put_one(batch, "b", &why), OK);
    f.refuse = 1;
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.reported, 1);
    assert_int_equal(batch_counts(batch).taken.of[LEDGER_FLOAT], 1);
    assert_int_equal(batch_counts(batch).rejected.of[LEDGER_FLOAT], 1);
    assert_int_equal(batch_counts(batch).taken.of[LEDGER_EXEMPLAR], 2);
    assert_false(batch_failed(batch));
    batch_done(&f, batch);
}

UNIT_TEST(test_wrong_labels_are_the_items_fault)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    static const int64_t t_ms = 5;
    static const uint64_t bits = 7;
    struct label twice[] = {label_of("a", "1"), label_of("a", "2")};
    struct label broken[] = {label_of("a", "\xff")};
    struct text_item item = {
        .labels = twice, .label_count = 2, .sample_count = 1, .times_ms = &t_ms, .bits = &bits};
    assert_int_equal(batch_item(batch, &item, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "duplicate_label"));
    item.labels = broken;
    item.label_count = 1;
    assert_int_equal(batch_item(batch, &item, &why), ERR_INPUT);
    item.label_count = 0;
    assert_int_equal(batch_item(batch, &item, &why), ERR_INPUT);
    assert_false(batch_failed(batch));
    assert_int_equal(put_one(batch, "good", &why), OK);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.floats, 1);
    batch_done(&f, batch);
}

UNIT_TEST(test_histograms_exemplars_and_start_times_travel)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    struct label labels[] = {label_of("__name__", "h")};
    struct label id[] = {label_of("id", "x")}, broken[] = {label_of("id", "\xff")};
    struct text_exemplar exemplars[] = {{.labels = id, .label_count = 1, .t_ms = 4},
                                        {.bits = 1, .t_ms = 5}};
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3, .zero_count = 3};
    struct text_item item = {.labels = labels,
                             .label_count = 1,
                             .histogram = &h,
                             .histogram_ms = 5,
                             .start_ms = 2,
                             .exemplars = exemplars,
                             .exemplar_count = 2};
    assert_int_equal(batch_item(batch, &item, &why), OK);
    h.count = 4; /* more than in the buckets */
    assert_int_equal(batch_item(batch, &item, &why), ERR_INPUT);
    h.count = 3;
    exemplars[1].labels = broken;
    exemplars[1].label_count = 1;
    assert_int_equal(batch_item(batch, &item, &why), ERR_INPUT);
    item.histogram = NULL; /* only exemplars */
    item.exemplar_count = 1;
    assert_int_equal(batch_item(batch, &item, &why), OK);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.histograms, 1);
    assert_int_equal(f.start_ms, 2);
    assert_int_equal(f.exemplars, 3);
    assert_int_equal(batch_counts(batch).taken.of[LEDGER_HISTOGRAM], 1);
    batch_done(&f, batch);
}

UNIT_TEST(test_an_error_of_the_target_is_not_of_the_line)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    assert_int_equal(put_one(batch, "a", &why), OK);
    f.fail_with = ERR_INPUT; /* the worst error, as a bad line has the same */
    assert_int_equal(batch_send(batch, &why), ERR_INPUT);
    assert_true(batch_failed(batch));
    batch_done(&f, batch);
}

UNIT_TEST(test_metadata_travels_with_the_samples)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    struct text_item item = {.has_metadata = true,
                             .family = bytes_of_text("a"),
                             .type = METRIC_COUNTER,
                             .help = bytes_of_text("help")};
    assert_int_equal(batch_item(batch, &item, &why), OK);
    assert_int_equal(batch_item(batch, &item, &why), OK);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.families, 2);
    assert_int_equal(batch_counts(batch).families, 2);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(f.requests, 1); /* nothing is sent twice */
    batch_done(&f, batch);
}

UNIT_TEST(test_captures_pass_and_garbage_does_not)
{
    struct fake f;
    struct why why = {""};
    struct import_batch *batch = batch_to(&f);
    static const uint8_t message[] = {0x0a, 21, 0x0a, 6, 0x0a, 1, 'a', 0x12, 1,    'b',  0x12, 11,
                                      0x09, 0,  0,    0, 0,    0, 0,   0xf0, 0x3f, 0x10, 5};
    struct buf packed;
    buf_init(&packed, NULL, 4096);
    assert_int_equal(snappy_pack(bytes_of(message, sizeof message), &packed), OK);
    assert_int_equal(batch_request(batch, buf_bytes(&packed), &why), OK);
    assert_int_equal(f.floats, 1);
    assert_int_equal(f.sum, double_bits(1));
    assert_int_equal(batch_request(batch, bytes_of("garbage", 7), &why), ERR_INPUT);
    buf_clear(&packed);
    assert_int_equal(snappy_pack(bytes_of("\x0a\x05garbage", 9), &packed), OK);
    assert_int_equal(batch_request(batch, buf_bytes(&packed), &why), ERR_INPUT);
    assert_false(batch_failed(batch));
    buf_fini(&packed);
    batch_done(&f, batch);
}

UNIT_TEST(test_without_a_target_all_is_counted)
{
    struct import_batch *batch;
    struct why why = {""};
    assert_int_equal(batch_new(NULL, RW_V1, rejected, NULL, &batch, &why), OK);
    assert_int_equal(put_one(batch, "a", &why), OK);
    assert_int_equal(batch_send(batch, &why), OK);
    assert_int_equal(batch_counts(batch).taken.of[LEDGER_FLOAT], 1);
    batch_free(batch);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_of_many_samples_becomes_several_requests),
        cmocka_unit_test(test_refused_samples_are_reported_and_counted),
        cmocka_unit_test(test_wrong_labels_are_the_items_fault),
        cmocka_unit_test(test_histograms_exemplars_and_start_times_travel),
        cmocka_unit_test(test_an_error_of_the_target_is_not_of_the_line),
        cmocka_unit_test(test_metadata_travels_with_the_samples),
        cmocka_unit_test(test_captures_pass_and_garbage_does_not),
        cmocka_unit_test(test_without_a_target_all_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
