/* table_test.c - statements word by word, and tables that can be used. The answers are those of
 * ClickHouse 18.16 and 26.7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/clickhouse/clickhouse.h"
#include "lib/backend/clickhouse_answers.h"
#include "lib/test.h"

static struct clickhouse_settings settings;
static struct clickhouse_table table;
static struct buf text;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    settings = (struct clickhouse_settings){.url = "http://h:8123", .database = "d", .table = "t"};
    buf_init(&text, NULL, 1 << 16);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    buf_fini(&text);
    return 0;
}

static void
expect_text(const char *expected)
{
    buf_put_u8(&text, 0);
    assert_int_equal(buf_error(&text), OK);
    assert_string_equal((const char *)text.at, expected);
    buf_clear(&text);
}

static void
read(const char *body)
{
    assert_int_equal(clickhouse_table_read(bytes_of_text(body), clickhouse_column_names, &table),
                     OK);
}

/* --- queries ---------------------------------------------------------------------------------- */

UNIT_TEST(test_one_query_asks_for_all_and_quotes_names)
{
    settings.database = "a'b\\c";
    clickhouse_table_ask_put(&text, &settings);
    expect_text("SELECT 'version' AS what, version() AS a, '' AS b, '' AS c"
                " UNION ALL SELECT 'setting', name, value, '' FROM system.settings WHERE name IN "
                "('insert_distributed_sync', 'insert_deduplicate', 'insert_deduplication_token', "
                "'async_insert', 'input_format_with_types_use_header', "
                "'cancel_http_readonly_queries_on_client_close', 'readonly', "
                "'skip_unavailable_shards', 'read_overflow_mode', 'group_by_overflow_mode', "
                "'sort_overflow_mode', 'set_overflow_mode', 'timeout_overflow_mode')"
                " UNION ALL SELECT 'table', engine, sorting_key, '' FROM system.tables"
                " WHERE database = 'a\\'b\\\\c' AND name = 't'"
                " UNION ALL SELECT 'column', name, type, default_kind FROM system.columns"
                " WHERE database = 'a\\'b\\\\c' AND table = 't' FORMAT JSONCompact");
}

UNIT_TEST(test_old_and_new_servers_are_distinguished)
{
    read(TESTING_OLD);
    assert_string_equal(table.version, "18.16.1");
    assert_false(table.is_modern);
    assert_true(table.found);
    assert_string_equal(table.engine, "ReplacingMergeTree");
    assert_string_equal(table.key, "metric, labels, time");
    assert_true(table.knows[CLICKHOUSE_DISTRIBUTED_SYNC] && table.knows[CLICKHOUSE_DEDUPLICATE]);
    assert_false(table.knows[CLICKHOUSE_TOKEN] || table.knows[CLICKHOUSE_ASYNC] ||
                 table.knows[CLICKHOUSE_TYPED_HEADER]);
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    read(TESTING_NEW);
    assert_string_equal(table.version, "26.7.2.1");
    assert_true(table.is_modern);
    for (int i = 0; i < CLICKHOUSE_SETTINGS; i++)
        assert_true(table.knows[i] && !table.omits[i]);
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    read(TESTING_NO_TABLE);
    assert_false(table.found);
}

static bool
is_modern(const char *version)
{
    char body[256];
    snprintf(body, sizeof body, "{\"data\":[[\"version\",\"%s\",\"\",\"\"]],\"rows\":1}", version);
    read(body);
    return table.is_modern;
}

UNIT_TEST(test_servers_of_21_3_and_newer_are_modern)
{
    assert_false(is_modern("18.16.1"));
    assert_false(is_modern("20.12.8.5"));
    assert_false(is_modern("21.2.10.48"));
    assert_true(is_modern("21.3.20.1"));
    assert_true(is_modern("21.11.1.8636"));
    assert_true(is_modern("22.1.2.2"));
    assert_false(is_modern("unknown"));
    assert_false(is_modern("21"));
}

UNIT_TEST(test_an_answer_that_is_not_whole_is_refused)
{
    static const char *const bodies[] = {
        "",
        "Ok.\n",
        "[]",
        "{\"data\":[],\"rows\":0}", /* without a version */
        "{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"]]}",
        "{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"]],\"rows\":2}",
        "{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"]],\"rows\":1,"
        "\"exception\":\"Code: 241. DB::Exception: Memory limit\"}",
        "{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"]\nCode: 241, e.displayText() = "
        "DB::Exception: Memory limit",
    };
    for (unsigned i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        assert_int_equal(
            clickhouse_table_read(bytes_of_text(bodies[i]), clickhouse_column_names, &table),
            ERR_INPUT);
    }
    read("{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"],[\"more\"],7,[]],\"rows\":4}");
    assert_string_equal(table.version, "18.16.1");
}

/* --- usable tables ---------------------------------------------------------------------------- */

static void
expect_unfit(const char *sentence)
{
    why.text[0] = 0;
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), ERR_INPUT);
    assert_string_equal(why.text, sentence);
}

UNIT_TEST(test_a_column_that_is_missing_or_of_another_type_is_named)
{
    read(TESTING_OLD);
    snprintf(table.columns[2].type, sizeof table.columns[2].type, "DateTime64(3)");
    expect_unfit("column time of table d.t has type DateTime64(3), expected Int64");
    read(TESTING_OLD);
    table.columns[4].type[0] = 0;
    expect_unfit("table d.t has no column bits: add it with type UInt64, or name another table");
    read(TESTING_OLD);
    table.columns[1].takes = false;
    expect_unfit("column labels of table d.t is computed by ClickHouse: expected one that INSERT "
                 "can name");
    read(TESTING_OLD);
    snprintf(table.columns[5].type, sizeof table.columns[5].type, "Nullable(String)");
    expect_unfit("column histogram of table d.t has type Nullable(String), expected String");
    snprintf(table.columns[5].type, sizeof table.columns[5].type, "LowCardinality(String)");
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    table.columns[6].type[0] = 0; /* start_time */
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    assert_false(clickhouse_table_has_start(&table));
}

static void
set_engine(const char *engine, const char *key)
{
    read(TESTING_OLD);
    snprintf(table.engine, sizeof table.engine, "%s", engine);
    snprintf(table.key, sizeof table.key, "%s", key);
}

UNIT_TEST(test_a_table_that_would_lose_samples_is_refused)
{
    static const char replacing[] = "SharedReplacingMergeTree";
    static const struct {
        const char *engine, *key, *unfit;
    } cases[] = {
        {replacing, "metric, labels, time", NULL},
        {replacing, "`metric`, labels, `time`", NULL},
        {replacing, "intDiv(time, 86400000), metric, time, labels", NULL},
        {replacing, "time,labels,metric", NULL},
        {replacing, "metric, time",
         "table d.t would lose samples: its ORDER BY (metric, time) lacks labels, expected ORDER "
         "BY (metric, labels, time)"},
        {replacing, "",
         "table d.t would lose samples: its ORDER BY () lacks metric, expected ORDER BY (metric, "
         "labels, time)"},
        {replacing, "metric, labels, intDiv(time, 1000)",
         "table d.t would lose samples: its ORDER BY (metric, labels, intDiv(time, 1000)) lacks "
         "time, expected ORDER BY (metric, labels, time)"},
        {replacing, "metric, cityHash64(metric, labels), time_s, time",
         "table d.t would lose samples: its ORDER BY (metric, cityHash64(metric, labels), time_s, "
         "time) lacks labels, expected ORDER BY (metric, labels, time)"},
        {"MergeTree", "metric", NULL},
        {"Distributed", "", NULL},
        {"ReplicatedSummingMergeTree", "metric, labels, time",
         "table d.t has the engine ReplicatedSummingMergeTree, which changes rows: expected "
         "ReplacingMergeTree"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_engine(cases[i].engine, cases[i].key);
        if (cases[i].unfit != NULL)
            expect_unfit(cases[i].unfit);
        else
            assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    }
}

/* --- creating and inserting ------------------------------------------------------------------- */

#define PARTS                                                       \
    " PARTITION BY toYYYYMM(toDateTime(intDiv(time, 1000), 'UTC'))" \
    " ORDER BY (metric, labels, time)"
#define OLD_COLUMNS                                                                              \
    " (metric String, labels String, time Int64, value Float64, bits UInt64, histogram String, " \
    "start_time Int64)"

UNIT_TEST(test_a_table_is_created_as_its_server_can)
{
    read(TESTING_NO_TABLE);
    settings.database = "a`b";
    clickhouse_table_create_put(&text, &table, &settings, CLICKHOUSE_CREATE_ROWS);
    expect_text("CREATE TABLE IF NOT EXISTS `a\\`b`.`t`" OLD_COLUMNS
                " ENGINE = ReplacingMergeTree()" PARTS);
    settings.database = "d";
    read(TESTING_NEW);
    clickhouse_table_create_put(&text, &table, &settings, CLICKHOUSE_CREATE_ROWS);
    expect_text("CREATE TABLE IF NOT EXISTS `d`.`t` (metric LowCardinality(String), labels String "
                "CODEC(ZSTD(1)), time Int64 CODEC(DoubleDelta, ZSTD(1)), value Float64 "
                "CODEC(ZSTD(1)), bits UInt64 CODEC(ZSTD(1)), histogram String "
                "CODEC(ZSTD(1)), start_time Int64 CODEC(ZSTD(1))) ENGINE = "
                "ReplacingMergeTree()" PARTS
                " SETTINGS fsync_after_insert = 1, fsync_part_directory = 1");
}

UNIT_TEST(test_on_a_cluster_the_table_is_replicated_and_distributed)
{
    read(TESTING_NO_TABLE);
    settings.cluster = "c";
    settings.table = "t{x}/'";
    clickhouse_table_create_put(&text, &table, &settings, CLICKHOUSE_CREATE_ROWS);
    expect_text("CREATE TABLE IF NOT EXISTS `d`.`t{x}/'_local` ON CLUSTER `c`" OLD_COLUMNS
                " ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/d/"
                "t%7Bx%7D%2F%27_local', '{replica}')" PARTS);
    settings.table = "t";
    clickhouse_table_create_put(&text, &table, &settings, CLICKHOUSE_CREATE_DISTRIBUTED);
    expect_text("CREATE TABLE IF NOT EXISTS `d`.`t` ON CLUSTER `c`" OLD_COLUMNS
                " ENGINE = Distributed(`c`, `d`, `t_local`, sipHash64(metric, labels))");
}

UNIT_TEST(test_rows_have_a_head_where_it_is_checked)
{
    read(TESTING_OLD);
    clickhouse_table_insert_put(&text, &table, &settings);
    expect_text("INSERT INTO `d`.`t` (metric, labels, time, value, bits, histogram, start_time) "
                "FORMAT RowBinary");
    clickhouse_table_head_put(&text, &table);
    expect_text("");
    table.columns[6].type[0] = 0;
    clickhouse_table_insert_put(&text, &table, &settings);
    expect_text("INSERT INTO `d`.`t` (metric, labels, time, value, bits, histogram) FORMAT "
                "RowBinary");
    read(TESTING_NEW);
    clickhouse_table_insert_put(&text, &table, &settings);
    expect_text("INSERT INTO `d`.`t` (metric, labels, time, value, bits, histogram, start_time) "
                "FORMAT RowBinaryWithNamesAndTypes");
    clickhouse_table_head_put(&text, &table);
    expect_text(TESTING_NEW_HEAD);
}

UNIT_TEST(test_the_assumed_table_is_that_of_an_old_server)
{
    clickhouse_table_assume(&table);
    assert_false(table.found);
    assert_int_equal(clickhouse_table_check(&table, &settings, &why), OK);
    assert_true(clickhouse_table_has_start(&table));
    clickhouse_table_head_put(&text, &table);
    expect_text("");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_query_asks_for_all_and_quotes_names),
        TEST(test_old_and_new_servers_are_distinguished),
        TEST(test_servers_of_21_3_and_newer_are_modern),
        TEST(test_an_answer_that_is_not_whole_is_refused),
        TEST(test_a_column_that_is_missing_or_of_another_type_is_named),
        TEST(test_a_table_that_would_lose_samples_is_refused),
        TEST(test_a_table_is_created_as_its_server_can),
        TEST(test_on_a_cluster_the_table_is_replicated_and_distributed),
        TEST(test_rows_have_a_head_where_it_is_checked),
        TEST(test_the_assumed_table_is_that_of_an_old_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
