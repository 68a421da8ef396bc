/* fetch_reader_test.c - the base of readers, with a type that has its series in memory. */
#include "lib/test.h"

#include "backend/fetch/fetch_reader.h"
#include "lib/backend/played_source.h"

/* Results of the type's functions, and the number of their calls. */
static enum err found;
static unsigned finds, blocks;

static enum err
find(struct fetch_question *q, struct why *why)
{
    static const char *const jobs[] = {"z", "a", "m"};
    finds++;
    for (uint8_t i = 0; i < 3; i++) {
        struct label labels[FINAL_LABELS_MAX] = {{bytes_of_text("job"), bytes_of_text(jobs[i])},
                                                 {bytes_of_text("dc"), bytes_of_text("theirs")},
                                                 {bytes_of_text("__name__"), bytes_of_text("up")}};
        const struct fetch_series series = {.labels = labels,
                                            .count = 3,
                                            .key = bytes_of(&i, 1),
                                            .samples = 1,
                                            .first_ms = 1000,
                                            .last_ms = 1002};
        enum err e = fetch_question_take(q, &series, why);
        if (e) return e;
    }
    return found;
}

static enum err
samples(struct fetch_question *q, const struct series_block *block, struct why *why)
{
    blocks++;
    assert_int_equal(block->min_ms, 1000); /* narrowed to the times of the series */
    assert_int_equal(block->max_ms, 1002);
    for (uint32_t i = block->first; i < block->first + block->count; i++) {
        int64_t t_ms = 1000 + series_blocks_key(q->blocks, i).at[0];
        enum err e = series_blocks_put_float(q->blocks, i, t_ms, 1, 0, why);
        if (e) return e;
    }
    return OK;
}

static struct fetch_type type;

static enum err
make(const struct reader_options *options, struct answerer **ret_answerer, struct why *why)
{
    return fetch_reader_new(&type, options, NULL, ret_answerer, why);
}

static void
start(struct played_source *rig)
{
    static struct named_text external = {"dc", "ours"};
    type = (struct fetch_type){.reader_bytes = sizeof(struct fetch_reader),
                               .question_bytes = sizeof(struct fetch_question),
                               .max_ms = 5000,
                               .find = find,
                               .samples = samples};
    found = OK;
    finds = blocks = 0;
    played_init(rig, SOURCE_OPENTSDB);
    rig->make = make;
    rig->settings.external_labels = (struct named_texts){&external, 1};
    played_start(rig);
}

UNIT_TEST(test_selected_series_come_in_label_order_with_samples_in_one_block)
{
    struct played_source rig;
    start(&rig);
    played_expect_read(&rig, "up{job!=\"m\"}",
                       "up{dc=\"ours\", job=\"a\"} 1001:1\nup{dc=\"ours\", job=\"z\"} 1000:1\n");
    assert_int_equal(finds, 1);
    assert_int_equal(blocks, 1);
    played_expect_read(&rig, "down", "");
    assert_int_equal(blocks, 1);
    played_stop(&rig);
}

UNIT_TEST(test_look_ups_get_selected_series_and_names_once)
{
    struct played_source rig;
    struct buf text;
    start(&rig);
    type.names = type.values = find;
    played_expect_looked_up(&rig, NULL, NULL, "job;__name__;");
    played_expect_looked_up(&rig, "{job=~\"[ab]\"}", "job", "a;");
    played_expect_looked_up(&rig, "{job=\"z\"}", "", "{__name__=\"up\", dc=\"ours\", job=\"z\"};");
    type.names = type.values = NULL;
    buf_init(&text, NULL, 100);
    assert_int_equal(played_look_up(&rig, NULL, NULL, &text), ERR_UNSUPPORTED);
    assert_int_equal(played_look_up(&rig, NULL, "job", &text), ERR_UNSUPPORTED);
    assert_string_equal(rig.why.text, "");
    buf_fini(&text);
    played_stop(&rig);
}

UNIT_TEST(test_nothing_is_called_for_times_that_the_system_cannot_store)
{
    struct played_source rig;
    start(&rig);
    rig.request.min_ms = 5001;
    played_expect_read(&rig, "up", "");
    played_expect_looked_up(&rig, "up", "", "");
    rig.request.min_ms = INT64_MIN;
    rig.request.max_ms = -1;
    played_expect_read(&rig, "up", "");
    assert_int_equal(finds, 0);
    played_stop(&rig);
}

UNIT_TEST(test_series_that_are_too_much_at_once_are_a_limit)
{
    struct played_source rig;
    start(&rig);
    found = ERR_FULL;
    played_expect_failure(&rig, "up", ERR_LIMIT, "");
    played_stop(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selected_series_come_in_label_order_with_samples_in_one_block),
        cmocka_unit_test(test_look_ups_get_selected_series_and_names_once),
        cmocka_unit_test(test_nothing_is_called_for_times_that_the_system_cannot_store),
        cmocka_unit_test(test_series_that_are_too_much_at_once_are_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
