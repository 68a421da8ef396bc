/* statement_test.c - statements over a store in memory: their rows in each form, that a condition
 * finds the same rows whether it is pushed down or not, and that each allocation may fail. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/random.h"
#include "lib/simulated_dir.h"
#include "sql/statement.h"
#include "views/memory_store.h"

static struct memory_store *store;
static struct buf text;
static struct why why;

static void
add_sample(const char *name, const char *job, const char *host, int64_t t_ms, double value)
{
    struct buf labels;
    enum memory_verdict verdict;
    const struct memory_sample sample = {.t_ms = t_ms, .bits = double_bits(value)};
    buf_init(&labels, NULL, 1 << 16);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    if (host != NULL)
        labels_put(&labels, (struct label){bytes_of_text("host"), bytes_of_text(host)});
    if (job != NULL) labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text(job)});
    must(memory_store_add(store, buf_bytes(&labels), &sample, &verdict, NULL));
    buf_fini(&labels);
}

static int
setup(void **state)
{
    static const char *const jobs[] = {"a", "b", "a.b", "A", NULL}, *const hosts[] = {"x", NULL};
    (void)state;
    buf_init(&text, NULL, 64 << 20);
    must(memory_store_new(NULL, &store));
    for (unsigned i = 0; i < 5; i++)
        for (unsigned k = 0; k < 2; k++)
            for (int t = 0; t < 20; t++) {
                add_sample("up", jobs[i], hosts[k], 1000 * t, t % 3);
                if (k == 0) add_sample("total", jobs[i], hosts[k], 1000 * t, t * 7 % 31);
            }
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    memory_store_free(store);
    buf_fini(&text);
    return 0;
}

static enum err
send_nothing(void *context)
{
    (void)context;
    return OK;
}

static void
end_nothing(void *context, struct json *json)
{
    (void)context, (void)json;
}

/* Runs a statement, whose rows are then in `text`. */
static enum err
run(const char *statement, enum sql_format format, struct budget *budget)
{
    struct sql *sql;
    struct view *view;
    const struct sql_target target = {&text, send_nothing, end_nothing, NULL};
    enum err e = memory_store_open(store, NULL, &view, &why);
    if (e) return e;
    const struct sql_options options = {
        .view = view,
        .request = {.min_ms = INT64_MIN, .max_ms = INT64_MAX, .budget = budget},
        .budget = budget,
        .now_ms = 20000,
    };
    buf_clear(&text);
    e = sql_new(&options, bytes_of_text(statement), &sql, &why);
    if (e == OK) {
        e = sql_write(sql, format, &target, &why);
        sql_free(sql);
    }
    view_free(view);
    return e;
}

static void
expect(const char *statement, const char *csv)
{
    enum err e = run(statement, SQL_CSV, NULL);
    if (e) fail_msg("%s: %s: %s", statement, err_word(e), why.text);
    buf_put_u8(&text, '\0');
    const char *rows = strstr((const char *)text.at, "\r\n");
    assert_non_null(rows);
    assert_string_equal(rows + 2, csv);
}

UNIT_TEST(test_samples_are_rows)
{
    expect("SELECT time, value, series FROM samples('total{job=\"b\"}') WHERE time BETWEEN 1000 "
           "AND 2999",
           "1000,7,\"total{host=\"\"x\"\", job=\"\"b\"\"}\"\r\n"
           "2000,14,\"total{host=\"\"x\"\", job=\"\"b\"\"}\"\r\n");
    expect("SELECT count(*), sum(value), min(time), max(time) FROM samples WHERE metric = 'up'",
           "200,190,0,19000\r\n");
    expect("SELECT labels ->> 'job' AS job, count(*) FROM samples GROUP BY 1 ORDER BY 1",
           ",60\r\nA,60\r\na,60\r\na.b,60\r\nb,60\r\n");
}

UNIT_TEST(test_functions_of_series_count_resets)
{
    expect("SELECT delta(series, time, value), increase(series, time, value), "
           "round(rate(series, time, value), 3) FROM samples('total{job=\"b\"}') WHERE time < 6000",
           "4,32,6.4\r\n");
    assert_int_equal(run("SELECT rate(series, time, value) FROM samples", SQL_CSV, NULL),
                     ERR_INPUT);
    expect("SELECT quantile(0.5, value), first(value, time), last(value, time) "
           "FROM samples('total{job=\"b\"}') WHERE time < 5000",
           "14,0,28\r\n");
}

UNIT_TEST(test_bins_are_groups_of_samples)
{
    static const char *const statements[] = {
        "SELECT series, time, count, min, max, sum, first, last, increase FROM samples_agg('7s')",
        ("SELECT series, bin(time, '7s') AS time, count(value), min(value), max(value), "
         "sum(value), "
         "first(value, time), last(value, time), coalesce(increase(series, time, value), 0.0) "
         "FROM samples GROUP BY series, bin(time, '7s')"),
    };
    char statement[2][1024];
    for (unsigned bound = 0; bound < 3; bound++) {
        for (unsigned i = 0; i < 2; i++)
            snprintf(statement[i], sizeof statement[i],
                     "SELECT * FROM (%s) WHERE time >= %u AND time < %u ORDER BY series, time",
                     statements[i], bound * 3000, 20000 - bound * 5500);
        must(run(statement[0], SQL_CSV, NULL));
        buf_put_u8(&text, '\0');
        const char *rows = strstr((const char *)text.at, "\r\n");
        size_t size = text.size - (size_t)((const uint8_t *)rows - text.at);
        char *bins = malloc(size + 1);
        assert_non_null(bins);
        snprintf(bins, size + 1, "%s", rows);
        must(run(statement[1], SQL_CSV, NULL));
        buf_put_u8(&text, '\0');
        assert_non_null(strstr((const char *)text.at, bins + 2));
        free(bins);
    }
    assert_int_equal(run("SELECT * FROM samples_agg('x')", SQL_CSV, NULL), ERR_INPUT);
    assert_int_equal(run("SELECT * FROM samples_agg", SQL_CSV, NULL), ERR_INPUT);
}

/* A condition, which "+" before its column keeps from being pushed down. */
static void
put_condition(struct rng *random, char *to, size_t size, const char *plus)
{
    static const char *const operators[] = {"=", "<>", "<", ">="};
    static const char *const texts[] = {"'up'", "'total'",    "'UP'",  "''", "NULL",
                                        "5",    "'u' || 'p'", "'a.b'", "'%'"};
    static const char *const matches[] = {
        "LIKE 'U%'",       "LIKE '%p'", "GLOB 'u*'",           "GLOB '*'",      "REGEXP '^u|tot'",
        "REGEXP 'o.a'",    "IS NULL",   "IS NOT NULL",         "NOT LIKE 'u%'", "IN ('up', 'x')",
        "IN ('up', NULL)", "IN (5)",    "IN (SELECT 'total')", "NOT IN ('up')"};
    switch (rng_below(random, 4)) {
    case 0:
        snprintf(to, size, "%stime %s %d", plus, operators[rng_below(random, 4)],
                 (int)rng_below(random, 22) * 1000 - 1000);
        break;
    case 1:
        snprintf(to, size, "%stime %s %d.5", plus, operators[rng_below(random, 4)],
                 (int)rng_below(random, 22) * 1000 - 1000);
        break;
    case 2:
        snprintf(to, size, "%smetric %s %s", plus, operators[rng_below(random, 4)],
                 texts[rng_below(random, 9)]);
        break;
    default:
        snprintf(to, size, "%smetric %s", plus, matches[rng_below(random, 14)]);
    }
}

UNIT_TEST(test_conditions_find_the_same_rows_if_they_are_not_pushed_down)
{
    struct rng random = {1};
    for (unsigned i = 0; i < 300; i++) {
        char part[4][2][128], statement[2][1024];
        unsigned parts = 1 + (unsigned)rng_below(&random, 3);
        bool is_or = rng_below(&random, 4) == 0;
        struct rng before = random;
        for (unsigned plain = 0; plain < 2; plain++) {
            random = before;
            int n = snprintf(statement[plain], sizeof statement[plain],
                             "SELECT series, time, value FROM samples WHERE ");
            for (unsigned k = 0; k < parts; k++) {
                put_condition(&random, part[k][plain], sizeof part[k][plain], plain ? "+" : "");
                n += snprintf(statement[plain] + n, sizeof statement[plain] - (size_t)n, "%s%s",
                              k == 0  ? ""
                              : is_or ? " OR "
                                      : " AND ",
                              part[k][plain]);
            }
            snprintf(statement[plain] + n, sizeof statement[plain] - (size_t)n, " ORDER BY 1, 2");
        }
        must(run(statement[0], SQL_CSV, NULL));
        struct buf pushed = text;
        buf_init(&text, NULL, 64 << 20);
        must(run(statement[1], SQL_CSV, NULL));
        if (!bytes_equal(buf_bytes(&pushed), buf_bytes(&text)))
            fail_msg("%s\n%.*s\n%.*s", statement[0], (int)pushed.size, (char *)pushed.at,
                     (int)text.size, (char *)text.at);
        buf_fini(&pushed);
    }
}

UNIT_TEST(test_each_allocation_may_fail)
{
    static const char *const statements[] = {
        ("SELECT series, time, value, labels, nan FROM samples('up') WHERE metric REGEXP 'u' AND "
         "time > 0"),
        "SELECT labels ->> 'job', quantile(0.5, value), last(value, time) FROM samples GROUP BY 1",
        "SELECT * FROM series ORDER BY 1 DESC",
    };
    must(run("SELECT 1", SQL_CSV, NULL)); /* SQLite is initialised once */
    for (unsigned i = 0; i < sizeof statements / sizeof *statements; i++)
        for (enum sql_format format = 0; format < SQL_FORMATS; format++) {
            bool fired = true;
            for (uint64_t nth = 1; fired; nth += nth < 400 ? 1 : nth / 20) {
                struct budget budget;
                budget_init(&budget, "test", 0, NULL);
                mem_fail_nth(nth, false);
                enum err e = run(statements[i], format, &budget);
                fired = mem_fail_fired();
                mem_fail_nth(0, false);
                assert_int_equal(budget_used(&budget), 0);
                if (!fired && e) fail_msg("%s: %s", statements[i], why.text);
                if (fired && e != OK && e != ERR_NOMEM) fail_msg("%s: %s", err_word(e), why.text);
            }
        }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_samples_are_rows),
        TEST(test_functions_of_series_count_resets),
        TEST(test_bins_are_groups_of_samples),
        TEST(test_conditions_find_the_same_rows_if_they_are_not_pushed_down),
        TEST(test_each_allocation_may_fail),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
