/* write_items_test.c - the items of a write request, and what is refused of it. */
#include "lib/test.h"

#include "lib/tsdb/tsdb_machine.h"
#include "relay/queue/write_queue.h"

static struct write_items items;
static struct ingest_result result;
static struct budget memory;

static const struct write_rules rules = {
    .labels = {.count_max = 4, .name_bytes_max = 16, .value_bytes_max = 16},
    .require_name = NAME_AUTO,
    .max_future_ms = 1000,
};

/* Makes the items of a request at time 5000. The request is closed. */
static enum err
make(struct rq *rq, uint64_t bytes_max)
{
    struct buf message;
    struct rw_request request;
    rq_close(rq);
    buf_init(&message, NULL, 1 << 20);
    if (rq->version == RW_V2) buf_put_bytes(&message, buf_bytes(&rq->symbols));
    buf_put_bytes(&message, buf_bytes(&rq->out));
    budget_init(&memory, "items", 0, NULL);
    must(rw_request_init(&request, NULL));
    must(rw_decode(&request, rq->version, buf_bytes(&message), 0, NULL));
    enum err e = write_items_init(&items, &memory, bytes_max, &rules, 5000, bytes_of_text("t"),
                                  &request, &result);
    rw_request_fini(&request); /* the items are copies */
    buf_fini(&message);
    rq_fini(rq);
    return e;
}

static void
end(void)
{
    write_items_fini(&items);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_every_kind_of_item_is_copied)
{
    struct rq rq;
    struct item item;
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_FLOAT, .sum_bits = double_bits(3)};
    rq_init(&rq, RW_V1);
    rq_series(&rq, "z=1,__name__=m");
    rq_float(&rq, 1000, double_bits(7), 0);
    rq_histogram(&rq, 2000, &h, 0);
    rq_exemplar(&rq, 3000, double_bits(8), "trace=x");
    rq_metadata(&rq, METRIC_COUNTER, "m", "help", "s");
    must(make(&rq, 1 << 20));
    assert_int_equal(items.count, 4);
    write_items_item(&items, 0, &item);
    assert_int_equal(item.kind, ITEM_FLOAT);
    assert_int_equal(item.t_ms, 1000);
    assert_int_equal(item.arrival_ms, 5000);
    assert_true(bytes_equal_text(item.tenant, "t"));
    assert_true(labels_valid(item.labels)); /* sorted */
    assert_true(bytes_equal_text(labels_get(item.labels, bytes_of_text("z")), "1"));
    uint64_t hash = item.series_hash;
    write_items_item(&items, 1, &item);
    assert_int_equal(item.kind, ITEM_HISTOGRAM);
    assert_true(item.histogram->sum_bits == double_bits(3));
    assert_true(item.series_hash == hash);
    write_items_item(&items, 2, &item);
    assert_int_equal(item.kind, ITEM_EXEMPLAR);
    assert_true(bytes_equal_text(labels_get(item.exemplar_labels, bytes_of_text("trace")), "x"));
    write_items_item(&items, 3, &item);
    assert_int_equal(item.kind, ITEM_METADATA);
    assert_true(bytes_equal_text(item.help, "help"));
    assert_int_equal(result.written[LEDGER_FLOAT], 1);
    assert_true(ingest_result_is_success(&result));
    end();
}

UNIT_TEST(test_items_beyond_the_limits_are_counted_and_named)
{
    struct rq rq;
    struct ledger ledger = {0};
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    rq_float(&rq, 1000, double_bits(1), 0);
    rq_float(&rq, 6001, double_bits(2), 0);
    rq_series(&rq, "__name__=m,a=1,b=2,c=3,d=4");
    rq_float(&rq, 1000, double_bits(3), 0);
    rq_series(&rq, "__name__=m,a=12345678901234567");
    rq_float(&rq, 1000, double_bits(4), 0);
    must(make(&rq, 1 << 20));
    assert_int_equal(items.count, 1);
    assert_int_equal(result.written[LEDGER_FLOAT], 1);
    assert_int_equal(result.rejected[LEDGER_FLOAT], 3);
    assert_int_equal(result.rejected_for[REJECT_TOO_FAR_IN_FUTURE], 1);
    assert_int_equal(result.rejected_for[REJECT_LABEL_LIMIT], 1);
    assert_int_equal(result.rejected_for[REJECT_VALUE_TOO_LONG], 1);
    assert_ptr_equal(strstr(result.text, "refused: 1 "), result.text);
    assert_non_null(strstr(result.text, "; too_far_in_future at 6001: {__name__=\"m\"}"));
    write_items_count(&items, &ledger);
    assert_int_equal(ledger.count[LEDGER_FLOAT][LEDGER_RECEIVED], 4);
    assert_int_equal(ledger.count[LEDGER_FLOAT][LEDGER_PASSED_ON], 1);
    assert_true(ledger_balances(&ledger));
    end();
}

UNIT_TEST(test_refused_exemplars_do_not_displace_samples_in_the_text)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    rq_series(&rq, "__name__=m");
    for (int64_t t_ms = 7000; t_ms < 7005; t_ms++)
        rq_exemplar(&rq, t_ms, double_bits(8), "trace=x");
    rq_series(&rq, "__name__=n");
    rq_float(&rq, 8000, double_bits(1), 0);
    must(make(&rq, 1 << 20));
    assert_int_equal(result.rejected[LEDGER_EXEMPLAR], 5);
    assert_non_null(strstr(result.text, " at 7000: {__name__=\"m\"}: exemplar; "));
    assert_non_null(strstr(result.text, " at 8000: {__name__=\"n\"}"));
    end();
}

UNIT_TEST(test_exemplars_fail_a_write_only_by_malformed_references)
{
    static const struct {
        const char *exemplar; /* in fields of protobuf: references, and the time */
        bool success;
    } rows[] = {
        {"\x0a\x02\x01\x02\x18\x07", true},
        {"\x0a\x02\x01\x02\x18\xf0\xff\xff\xff\x0f", true}, /* too far in the future */
        {"\x0a\x02\x01\x7f\x18\x07", false},
        {"\x0a\x01\x01\x18\x07", false},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rq rq;
        rq_init(&rq, RW_V2);
        rq_series(&rq, "__name__=m");
        rq_float(&rq, 1000, double_bits(7), 0);
        rq_field(&rq.item, 4, bytes_of_text(rows[i].exemplar));
        must(make(&rq, 1 << 20));
        assert_int_equal(ingest_result_is_success(&result), rows[i].success);
        assert_int_equal(result.rejected[LEDGER_EXEMPLAR], i > 0);
        assert_int_equal(result.written[LEDGER_FLOAT], 1);
        end();
    }
}

UNIT_TEST(test_remote_write_2_needs_a_name)
{
    struct rq rq;
    rq_init(&rq, RW_V2);
    rq_series(&rq, "a=1");
    rq_float(&rq, 1000, double_bits(1), 0);
    must(make(&rq, 1 << 20));
    assert_int_equal(items.count, 0);
    assert_int_equal(result.rejected_for[REJECT_MISSING_NAME], 1);
    end();
}

UNIT_TEST(test_a_request_beyond_the_limit_of_memory_gets_none)
{
    struct rq rq;
    rq_init(&rq, RW_V1);
    for (unsigned i = 0; i < 200; i++) {
        rq_series(&rq, "__name__=m,a=1");
        rq_float(&rq, 1000, double_bits(i), 0);
    }
    assert_int_equal(make(&rq, 4096), ERR_NOMEM);
    end();
}

/* Each series repeats the metadata of its family. */
UNIT_TEST(test_remote_write_2_has_one_item_of_metadata_for_each_family)
{
    static const char *const series[] = {"__name__=m,a=1", "__name__=m,a=2", "__name__=n,a=1"};
    struct rq rq;
    struct item item;
    rq_init(&rq, RW_V2);
    for (unsigned i = 0; i < 3; i++) {
        rq_series(&rq, series[i]);
        rq_float(&rq, 1000, double_bits(i), 0);
        rq_metadata(&rq, METRIC_COUNTER, "", i < 2 ? "help of m" : "help of n", "s");
    }
    must(make(&rq, 1 << 20));
    unsigned found = 0;
    for (uint32_t i = 0; i < items.count; i++) {
        write_items_item(&items, i, &item);
        if (item.kind != ITEM_METADATA) continue;
        assert_true(bytes_equal_text(item.family, found == 0 ? "m" : "n"));
        assert_true(bytes_equal_text(item.help, found == 0 ? "help of m" : "help of n"));
        assert_true(bytes_equal_text(item.unit, "s"));
        assert_int_equal(item.family_type, METRIC_COUNTER);
        found++;
    }
    assert_int_equal(found, 2);
    assert_int_equal(items.count, 5);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_item_is_copied),
        cmocka_unit_test(test_items_beyond_the_limits_are_counted_and_named),
        cmocka_unit_test(test_refused_exemplars_do_not_displace_samples_in_the_text),
        cmocka_unit_test(test_exemplars_fail_a_write_only_by_malformed_references),
        cmocka_unit_test(test_remote_write_2_needs_a_name),
        cmocka_unit_test(test_remote_write_2_has_one_item_of_metadata_for_each_family),
        cmocka_unit_test(test_a_request_beyond_the_limit_of_memory_gets_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
