/* clickhouse_test.c - requests byte by byte, verdicts on answers, learning of server and table, and
 * limits at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/backend/clickhouse_answers.h"
#include "lib/backend/writer_rig.h"
#include "lib/test.h"
#include "lib/wire/clickhouse_row_reader.h"

#define INSERT_COLUMNS "%20%28metric%2C%20labels%2C%20time%2C%20value%2C%20bits%2C%20histogram"
#define INSERT                                                                               \
    "query=INSERT%20INTO%20%60d%60.%60t%60" INSERT_COLUMNS "%2C%20start_time%29%20FORMAT%20" \
    "RowBinary"
#define OLD_SETTINGS  "&insert_distributed_sync=1&insert_deduplicate=0"
#define UNKNOWN_TABLE "Code: 60, e.displayText() = DB::Exception: Table d.t doesn't exist."

static struct writer_rig rig;

/* --- rig -------------------------------------------------------------------------------------- */

static int
setup(void **state)
{
    (void)state;
    rig_init(&rig, &clickhouse_writer);
    rig.settings.u.clickhouse = (struct clickhouse_settings){
        .url = "http://h:8123", .database = "d", .table = "t", .create = true};
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* Begins a preparation, or continues it with an answer. */
static struct writer_step
prepare(const struct http_call_answer *answer)
{
    struct writer_step step = {.next = WRITER_DONE};
    rig.class->prepare(rig.writer, answer, &step);
    return step;
}

static struct writer_step
prepare_answered(unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    return prepare(&answer);
}

static void
expect_body(const struct writer_step *step, const char *begin)
{
    struct bytes body = step->http.body;
    assert_int_equal(step->next, WRITER_SEND);
    if (body.size < strlen(begin) || memcmp(body.at, begin, strlen(begin)) != 0)
        fail_msg("'%.*s' does not begin with '%s'", (int)body.size, (const char *)body.at, begin);
}

/* Answers the query about the server with this body. */
static void
learn(const char *body)
{
    struct writer_step step = prepare(NULL);
    expect_body(&step, "SELECT 'version'");
    step = prepare_answered(200, body);
    if (step.next != WRITER_DONE || step.verdict != VERDICT_DELIVERED)
        fail_msg("not prepared: %s: %s", step.reason, step.answer);
}

static void
open_as(const char *body)
{
    rig_open(&rig);
    learn(body);
}

static void
add_up(void)
{
    struct item item = rig_item(&rig, "__name__", "up", "job", "x", NULL);
    assert_int_equal(rig_must_add(&rig, &item), 0);
}

/* Returns the decompressed body; the caller frees it. */
static struct bytes
unpacked(const struct writer_step *step)
{
    enum { ROOM = 40 * 1024 * 1024 };
    struct bytes body = step->http.body;
    uint8_t *to = malloc(ROOM);
    assert_non_null(to);
    if (strcmp(header_of(step, "Content-Encoding"), "zstd") == 0) {
        size_t size = ZSTD_decompress(to, ROOM, body.at, body.size);
        assert_false(ZSTD_isError(size));
        return bytes_of(to, size);
    }
    z_stream z = {.next_in = (Bytef *)(uintptr_t)body.at,
                  .avail_in = (uInt)body.size,
                  .next_out = to,
                  .avail_out = ROOM};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
    return bytes_of(to, z.total_out);
}

static uint32_t
count_rows(const struct writer_step *step, bool with_start)
{
    struct bytes rows = unpacked(step);
    struct cursor c = cursor_of(rows);
    struct clickhouse_row row;
    uint32_t count = 0;
    while (clickhouse_row_next(&c, with_start, &row))
        count++;
    assert_int_equal(cursor_left(&c), 0);
    assert_false(c.bad);
    free((void *)(uintptr_t)rows.at);
    return count;
}

/* --- requests --------------------------------------------------------------------------------- */

UNIT_TEST(test_a_call_is_its_rows_compressed)
{
    open_as(TESTING_OLD);
    struct histogram h = {.kind = SAMPLE_HISTOGRAM_INT, .count = 3, .sum_bits = STALE_NAN_BITS};
    struct item item = rig_item(&rig, "__name__", "up", "job", "a \"b\"", NULL);
    item.start_ms = RIG_T_MS - 1000;
    rig_must_add(&rig, &item);
    item.bits = STALE_NAN_BITS;
    item.t_ms++;
    item.start_ms = 0;
    rig_must_add(&rig, &item);
    item = rig_item(&rig, "__name__", "lag", NULL);
    item.kind = ITEM_HISTOGRAM;
    item.histogram = &h;
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, "http://h:8123/?" INSERT OLD_SETTINGS);
    assert_string_equal(header_of(&step, "Content-Encoding"), "gzip");
    assert_string_equal(header_of(&step, "Content-Type"), "application/octet-stream");
    assert_null(header_of(&step, "Authorization"));
    assert_true(step.http.answer_bytes_max > 0);
    assert_string_equal(step.http.wanted[0], "X-ClickHouse-Exception-Code");

    struct bytes rows = unpacked(&step);
    struct cursor c = cursor_of(rows);
    struct clickhouse_row row;
    assert_true(clickhouse_row_next(&c, true, &row));
    assert_true(bytes_equal_text(row.metric, "up"));
    assert_true(bytes_equal_text(row.labels, "{\"job\":\"a \\\"b\\\"\"}"));
    assert_int_equal(row.t_ms, RIG_T_MS);
    assert_int_equal(row.start_ms, RIG_T_MS - 1000);
    assert_int_equal(row.value_bits, double_bits(1));
    assert_int_equal(row.bits, 0);
    assert_true(clickhouse_row_next(&c, true, &row));
    assert_int_equal(row.bits, STALE_NAN_BITS);
    assert_int_equal(row.start_ms, 0);
    assert_true(clickhouse_row_next(&c, true, &row));
    assert_true(bytes_equal_text(row.metric, "lag"));
    assert_true(row.histogram.size > 0 && row.histogram.at[0] == '{');
    assert_false(clickhouse_row_next(&c, true, &row));
    assert_int_equal(cursor_left(&c), 0);
    free((void *)(uintptr_t)rows.at);
}

UNIT_TEST(test_a_newer_server_gets_a_head_a_token_and_zstd)
{
    open_as(TESTING_NEW);
    struct item item = rig_item(&rig, "__name__", "up", "job", "x", NULL);
    item.pos = 0x1f;
    item.index = 3;
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    static const char url[] =
        "http://h:8123/?" INSERT "WithNamesAndTypes&insert_distributed_sync=1&async_insert=0"
        "&insert_deduplication_token=0123456789abcdef-1f.3-1-";
    if (strncmp(step.http.url, url, strlen(url)) != 0) fail_msg("%s", step.http.url);
    assert_int_equal(strlen(step.http.url), strlen(url) + 16);
    assert_string_equal(header_of(&step, "Content-Encoding"), "zstd");
    struct bytes rows = unpacked(&step);
    size_t head = sizeof TESTING_NEW_HEAD - 1;
    assert_true(rows.size > head);
    assert_memory_equal(rows.at, TESTING_NEW_HEAD, head);
    struct cursor c = cursor_of(bytes_of(rows.at + head, rows.size - head));
    struct clickhouse_row row;
    assert_true(clickhouse_row_next(&c, true, &row));
    assert_int_equal(cursor_left(&c), 0);
    free((void *)(uintptr_t)rows.at);
}

/* Returns its token; the caller frees it. */
static char *
token_of(const struct writer_step *step)
{
    const char *at = strstr(step->http.url, "insert_deduplication_token=");
    assert_non_null(at);
    return strdup(at);
}

UNIT_TEST(test_a_token_is_that_of_the_call_and_of_no_other)
{
    static const struct {
        uint64_t pos;
        uint32_t index;
        uint64_t bits;
    } others[] = {
        {8, 0, 1},
        {7, 1, 1},
        {7, 0, 2},
        {FILL_BIT | 1, 0, 1},
        {FILL_BIT | 1ULL << FILL_NUMBER_SHIFT | 1, 0, 1}, /* the same in the next fill */
    };
    open_as(TESTING_NEW);
    struct item item = rig_item(&rig, "__name__", "up", NULL);
    item.pos = 7;
    item.bits = 1;
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    char *token = token_of(&step);
    rig_answer(&rig, 503, "");
    step = rig_send(&rig);
    char *again = token_of(&step);
    assert_string_equal(again, token);
    free(again);
    rig.class->call_clear(rig.writer, rig.call);
    rig_must_add(&rig, &item); /* it is made again */
    step = rig_send(&rig);
    again = token_of(&step);
    assert_string_equal(again, token);
    free(again);
    for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
        rig.class->call_clear(rig.writer, rig.call);
        item.pos = others[i].pos;
        item.index = others[i].index;
        item.bits = others[i].bits;
        rig_must_add(&rig, &item);
        step = rig_send(&rig);
        char *other = token_of(&step);
        assert_string_not_equal(other, token);
        free(other);
    }
    free(token);
}

UNIT_TEST(test_a_call_can_be_sent_again_and_used_again)
{
    open_as(TESTING_OLD);
    add_up();
    uint64_t bytes = rig.class->bytes(rig.writer, rig.call);
    assert_true(bytes > 0);
    struct writer_step step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 1);
    assert_int_equal(rig_answer(&rig, 503, "").verdict, VERDICT_RETRY);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), bytes);
    step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 1);
    rig.class->call_clear(rig.writer, rig.call);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_up();
    add_up();
    step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 2);
}

UNIT_TEST(test_path_and_query_of_the_url_are_kept)
{
    rig.settings.u.clickhouse.url = "https://h/proxy//?insert_quorum=2";
    open_as(TESTING_OLD);
    add_up();
    struct writer_step step = rig_send(&rig);
    assert_string_equal(step.http.url, "https://h/proxy/?" INSERT OLD_SETTINGS "&insert_quorum=2");
    step = prepare(NULL);
    assert_string_equal(step.http.url, "https://h/proxy/?insert_quorum=2");
}

UNIT_TEST(test_a_url_beyond_all_bounds_is_refused)
{
    enum { LONG = 100 * 1000 };
    char *name = malloc(LONG);
    assert_non_null(name);
    memset(name, 'x', LONG);
    name[LONG - 1] = 0;
    rig.settings.u.clickhouse.table = name;
    struct writer_options options = {.env = sim_env_env(rig.sim), .settings = &rig.settings};
    assert_int_equal(writer_new(&clickhouse_writer, &options, &rig.writer, &rig.why), ERR_INPUT);
    expect_in(rig.why.text, "too long");
    free(name);
    rig.settings.u.clickhouse.table = "t";
    rig_open(&rig);
}

UNIT_TEST(test_requests_have_credentials)
{
    rig.settings.u.clickhouse.basic_auth =
        (struct basic_auth_settings){.username = "u", .password.text = "p"};
    rig_open(&rig);
    struct writer_step step = prepare(NULL);
    assert_string_equal(header_of(&step, "Authorization"), "Basic dTpw");
    add_up();
    step = rig_send(&rig);
    assert_string_equal(header_of(&step, "Authorization"), "Basic dTpw");
    rig_close(&rig);
    rig.settings.u.clickhouse.basic_auth = (struct basic_auth_settings){.username = NULL};
    rig.settings.u.clickhouse.authorization =
        (struct authorization_settings){.type = "Bearer", .credentials.text = "t"};
    rig_open(&rig);
    step = prepare(NULL);
    assert_string_equal(header_of(&step, "Authorization"), "Bearer t");
}

/* --- server and table ------------------------------------------------------------------------- */

UNIT_TEST(test_server_and_table_are_asked_for_once_a_day)
{
    const int64_t day_ns = 24 * 3600 * NS_PER_S;
    rig_open(&rig);
    assert_true(rig.class->need_prepare(rig.writer));
    learn(TESTING_OLD);
    assert_false(rig.class->need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, day_ns - NS_PER_S);
    assert_false(rig.class->need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 2 * NS_PER_S);
    assert_true(rig.class->need_prepare(rig.writer));
    learn(TESTING_OLD);
    assert_false(rig.class->need_prepare(rig.writer));
}

UNIT_TEST(test_a_missing_table_is_created)
{
    rig_open(&rig);
    struct writer_step step = prepare(NULL);
    expect_body(&step, "SELECT 'version'");
    assert_string_equal(step.http.url, "http://h:8123/");
    step = prepare_answered(200, TESTING_NO_TABLE);
    expect_body(&step, "CREATE TABLE IF NOT EXISTS `d`.`t` (metric String,");
    step = prepare_answered(200, "");
    expect_body(&step, "SELECT 'version'");
    step = prepare_answered(200, TESTING_OLD);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    expect_in(step.answer, "ClickHouse 18.16.1, engine ReplacingMergeTree");
    assert_false(rig.class->need_prepare(rig.writer));
    /* It is asked once: a table that is still missing then is not made again and again. */
    prepare(NULL);
    prepare_answered(200, TESTING_NO_TABLE);
    prepare_answered(200, "");
    step = prepare_answered(200, TESTING_NO_TABLE);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "no_table");
}

UNIT_TEST(test_on_a_cluster_two_tables_are_created)
{
    rig.settings.u.clickhouse.cluster = "c";
    rig_open(&rig);
    prepare(NULL);
    struct writer_step step = prepare_answered(200, TESTING_NO_TABLE);
    expect_body(&step, "CREATE TABLE IF NOT EXISTS `d`.`t_local` ON CLUSTER `c`");
    step = prepare_answered(200, "a\t9000\t0\t\t1\t0\nb\t9000\t0\t\t0\t0\n");
    expect_body(&step, "CREATE TABLE IF NOT EXISTS `d`.`t` ON CLUSTER `c`");
    step = prepare_answered(200, "a\t9000\t0\t\t1\t0\nb\t9000\t0\t\t0\t0\n");
    expect_body(&step, "SELECT 'version'");
    assert_int_equal(prepare_answered(200, TESTING_OLD).verdict, VERDICT_DELIVERED);
}

UNIT_TEST(test_without_create_a_missing_table_blocks)
{
    rig.settings.u.clickhouse.create = false;
    rig_open(&rig);
    prepare(NULL);
    struct writer_step step = prepare_answered(200, TESTING_NO_TABLE);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "no_table");
    assert_string_equal(step.answer,
                        "table d.t does not exist, or the user may not see it: create it, "
                        "or set create: true");
    assert_true(rig.class->need_prepare(rig.writer));
}

UNIT_TEST(test_a_table_that_does_not_fit_blocks_and_the_column_is_named)
{
    static const char body[] =
        TESTING_ANSWER("18.16.1",
                       TESTING_ENGINE TESTING_COLUMNS("String") ",[\"column\",\"start_time\","
                                                                "\"DateTime\",\"\"]",
                       9);
    rig_open(&rig);
    prepare(NULL);
    struct writer_step step = prepare_answered(200, body);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "schema");
    assert_string_equal(step.answer,
                        "column start_time of table d.t has type DateTime, expected Int64");
    assert_true(rig.class->need_prepare(rig.writer));
}

UNIT_TEST(test_a_preparation_that_fails_is_tried_again_or_blocks)
{
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict asked, created;
    } cases[] = {
        {500, "Code: 999, e.displayText() = Coordination::Exception: Session expired",
         VERDICT_RETRY, VERDICT_RETRY},
        {500, "Code: 159, e.displayText() = DB::Exception: Watching task is executing longer",
         VERDICT_RETRY, VERDICT_RETRY},
        {500, "Code: 202, e.displayText() = DB::Exception: Too much simultaneous queries",
         VERDICT_THROTTLED, VERDICT_THROTTLED},
        {401, "Code: 193, e.displayText() = DB::Exception: Wrong password", VERDICT_BLOCKED,
         VERDICT_BLOCKED},
        {500, "Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)", VERDICT_BLOCKED,
         VERDICT_BLOCKED},
        {404, "Code: 81, e.displayText() = DB::Exception: Database d doesn't exist",
         VERDICT_BLOCKED, VERDICT_BLOCKED},
        {400, "Code: 62, e.displayText() = DB::Exception: Syntax error", VERDICT_BLOCKED,
         VERDICT_BLOCKED},
        {400, "Code: 36. DB::Exception: no macro 'shard'. (BAD_ARGUMENTS)", VERDICT_BLOCKED,
         VERDICT_BLOCKED},
        {200,
         "{\"data\":[[\"version\",\"18.16.1\",\"\",\"\"]\nCode: 241, e.displayText() = "
         "DB::Exception: Memory limit",
         VERDICT_THROTTLED, VERDICT_THROTTLED},
        {502, "", VERDICT_RETRY, VERDICT_RETRY},
    };
    rig_open(&rig);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        prepare(NULL);
        struct writer_step step = prepare_answered(cases[i].status, cases[i].body);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, cases[i].asked);
        assert_true(step.reason[0] != 0);
        prepare(NULL);
        prepare_answered(200, TESTING_NO_TABLE);
        step = prepare_answered(cases[i].status, cases[i].body);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, cases[i].created);
        assert_true(rig.class->need_prepare(rig.writer));
    }
    /* Another process created the table first. */
    prepare(NULL);
    prepare_answered(200, TESTING_NO_TABLE);
    struct writer_step step = prepare_answered(
        500, "Code: 57, e.displayText() = DB::Exception: Table d.t already exists.");
    expect_body(&step, "SELECT 'version'");
    assert_int_equal(prepare_answered(200, TESTING_OLD).verdict, VERDICT_DELIVERED);
}

/* --- the form --------------------------------------------------------------------------------- */

UNIT_TEST(test_rows_for_a_table_that_changed_are_rebuilt)
{
    static const char *const forms[] = {TESTING_OLD_SHORT, TESTING_NEW, TESTING_OLD};
    open_as(TESTING_OLD);
    for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
        rig.class->call_clear(rig.writer, rig.call);
        add_up();
        rig_send(&rig); /* it is compressed, too */
        learn(forms[i]);
        struct item item = rig_item(&rig, "__name__", "up", NULL);
        assert_int_equal(rig_add(&rig, &item), WRITER_FULL); /* rows have one form */
        struct writer_step step = rig_begin(&rig);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, VERDICT_REBUILD);
        rig.class->call_clear(rig.writer, rig.call);
        add_up();
        rig_send(&rig);
    }
    learn(TESTING_OLD); /* the same as before */
    struct writer_step step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 1);
    learn(TESTING_OLD_SHORT);
    rig.class->call_clear(rig.writer, rig.call);
    add_up();
    step = rig_send(&rig);
    assert_int_equal(count_rows(&step, false), 1);
    assert_string_equal(step.http.url,
                        "http://h:8123/?query=INSERT%20INTO%20%60d%60.%60t%60" INSERT_COLUMNS
                        "%29%20FORMAT%20RowBinary" OLD_SETTINGS);
}

UNIT_TEST(test_a_call_filled_before_the_table_is_known_fits_an_old_server)
{
    rig_open(&rig);
    add_up();
    learn(TESTING_OLD);
    struct writer_step step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 1);
}

/* --- answers ---------------------------------------------------------------------------------- */

UNIT_TEST(test_only_an_empty_answer_is_delivered)
{
    open_as(TESTING_OLD);
    add_up();
    rig_send(&rig);
    assert_int_equal(rig_answer(&rig, 200, "").verdict, VERDICT_DELIVERED);
    assert_int_equal(rig_answer(&rig, 200, "Ok.").verdict, VERDICT_RETRY);
    struct writer_step step =
        rig_answer(&rig, 200, "Code: 252, e.displayText() = DB::Exception: Too many parts (300)");
    assert_int_equal(step.verdict, VERDICT_THROTTLED);
    assert_string_equal(step.reason, "too_many_parts");
    step = rig_answer(&rig, 500, "Code: 108. DB::Exception: No data to insert");
    assert_int_equal(step.verdict, VERDICT_RETRY);
    struct http_call_answer silence = {.failure = HTTP_CALL_BROKEN};
    assert_int_equal(rig_judge(&rig, &silence).verdict, VERDICT_RETRY);
    assert_false(rig.class->need_prepare(rig.writer));
}

UNIT_TEST(test_a_table_that_is_gone_is_looked_for_again)
{
    open_as(TESTING_OLD);
    add_up();
    rig_send(&rig);
    struct writer_step step = rig_answer(&rig, 404, UNKNOWN_TABLE);
    assert_int_equal(step.verdict, VERDICT_UNPREPARED);
    assert_string_equal(step.reason, "unknown_table");
    assert_true(rig.class->need_prepare(rig.writer));
    learn(TESTING_OLD);
    assert_false(rig.class->need_prepare(rig.writer));
    step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 1);
}

UNIT_TEST(test_unreadable_rows_are_searched_for_after_the_table_is_checked)
{
    static const char body[] = "Code: 33, e.displayText() = DB::Exception: Cannot read all data";
    open_as(TESTING_OLD);
    add_up();
    rig_send(&rig);
    assert_int_equal(rig_answer(&rig, 500, body).verdict, VERDICT_SOME_DEAD);
    sim_env_advance_ns(rig.sim, 11 * NS_PER_S);
    assert_int_equal(rig_answer(&rig, 500, body).verdict, VERDICT_UNPREPARED);
    assert_true(rig.class->need_prepare(rig.writer));
    learn(TESTING_OLD);
    assert_int_equal(rig_answer(&rig, 500, body).verdict, VERDICT_SOME_DEAD);
    assert_false(rig.class->need_prepare(rig.writer));
}

/* --- limits ----------------------------------------------------------------------------------- */

UNIT_TEST(test_an_item_that_the_table_cannot_store_is_unfit)
{
    enum { LONG = 20 * 1024 * 1024 };
    open_as(TESTING_OLD);
    struct item item = rig_item(&rig, "__name__", "up", NULL);
    item.kind = ITEM_EXEMPLAR;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "exemplars");
    item.kind = ITEM_METADATA;
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    char *large = malloc(LONG);
    assert_non_null(large);
    memset(large, 'x', LONG - 1);
    item = rig_item(&rig, "__name__", "up", "p", large, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT); /* larger than any call */
    expect_in(rig.why.text, "too long");
    large[16 * 1024 * 1024] = 0;
    item = rig_item(&rig, "__name__", "up", "p", large, NULL);
    assert_int_equal(rig_add(&rig, &item), WRITER_UNFIT);
    expect_in(rig.why.text, "16777215");
    free(large);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), 0);
    add_up();
    item = rig_item(&rig, "__name__", "up", NULL);
    item.t_ms = INT64_MIN;
    rig_must_add(&rig, &item);
    item.t_ms = INT64_MAX;
    rig_must_add(&rig, &item);
    struct writer_step step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), 3);
}

UNIT_TEST(test_a_call_is_full_at_its_limit)
{
    enum { TEXT = 1000 * 1000 };
    char *value = malloc(TEXT + 1);
    assert_non_null(value);
    memset(value, 'x', TEXT);
    value[TEXT] = 0;
    open_as(TESTING_OLD);
    uint64_t max = writer_limits_of(rig.writer)->bytes_max, last = 0;
    struct item item = rig_item(&rig, "p", value, NULL);
    uint32_t count = 0;
    while (rig_add(&rig, &item) == WRITER_ADDED) {
        count++;
        assert_true(rig.class->bytes(rig.writer, rig.call) <= max);
        last = rig.class->bytes(rig.writer, rig.call);
    }
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    assert_int_equal(rig.class->bytes(rig.writer, rig.call), last);
    assert_true(max - last <= TEXT + 100);
    struct writer_step step = rig_send(&rig);
    assert_int_equal(count_rows(&step, true), count);
    free(value);
}

UNIT_TEST(test_a_call_has_rows_of_64_days_at_most)
{
    const int64_t day_ms = 24LL * 3600 * 1000;
    open_as(TESTING_OLD);
    struct item item = rig_item(&rig, "__name__", "up", NULL);
    for (int64_t day = -32; day < 32; day++) {
        item.t_ms = day * day_ms;
        rig_must_add(&rig, &item);
        item.t_ms = day * day_ms + day_ms - 1;
        rig_must_add(&rig, &item);
    }
    item.t_ms = 32 * day_ms;
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    item.t_ms = -32 * day_ms - 1;
    assert_int_equal(rig_add(&rig, &item), WRITER_FULL);
    item.t_ms = 5;
    rig_must_add(&rig, &item);
    rig.class->call_clear(rig.writer, rig.call);
    item.t_ms = 32 * day_ms;
    rig_must_add(&rig, &item);
}

UNIT_TEST(test_nothing_is_lost_when_memory_is_short)
{
    open_as(TESTING_NEW);
    unsigned refused = 0, added = 0;
    while (added < 100) {
        struct item item = rig_item(&rig, "__name__", "up", "job", "x", NULL);
        mem_fail_nth(1, false); /* the first allocation fails */
        enum writer_add what = rig_add(&rig, &item);
        mem_fail_nth(0, false);
        if (what == WRITER_NO_MEMORY) {
            refused++;
            assert_int_equal(rig_add(&rig, &item), WRITER_ADDED);
        }
        added++;
    }
    assert_true(refused > 0);
    for (uint64_t nth = 1;; nth++) {
        mem_fail_nth(nth, false);
        struct writer_step step = rig_begin(&rig);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (step.next == WRITER_SEND) {
            assert_false(fired);
            struct bytes rows = unpacked(&step);
            assert_int_equal(rows.size, rig.class->bytes(rig.writer, rig.call));
            free((void *)(uintptr_t)rows.at);
            break;
        }
        assert_int_equal(step.verdict, VERDICT_RETRY);
        assert_string_equal(step.reason, "no_memory");
    }
}

/* Any allocation may fail: the next preparation succeeds, and the request is whole. */
UNIT_TEST(test_a_preparation_without_memory_is_tried_again)
{
    bool all_tried = false;
    for (uint64_t nth = 1; !all_tried; nth++) {
        rig_open(&rig);
        add_up();
        mem_fail_nth(nth, false);
        struct writer_step step = prepare(NULL);
        if (step.next == WRITER_SEND) step = prepare_answered(200, TESTING_NO_TABLE);
        if (step.next == WRITER_SEND) step = prepare_answered(200, "");
        if (step.next == WRITER_SEND) step = prepare_answered(200, TESTING_NEW);
        all_tried = !mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(step.next, WRITER_DONE);
        assert_int_equal(step.verdict, all_tried ? VERDICT_DELIVERED : VERDICT_RETRY);
        learn(TESTING_NEW);
        assert_int_equal(rig_begin(&rig).verdict, VERDICT_REBUILD);
        rig.class->call_clear(rig.writer, rig.call);
        add_up();
        step = rig_send(&rig);
        assert_non_null(strstr(step.http.url, "insert_deduplication_token="));
        rig_close(&rig);
    }
    rig_open(&rig);
}

UNIT_TEST(test_a_writer_without_memory_is_not_made)
{
    struct writer_options options = {
        .env = sim_env_env(rig.sim), .memory = &rig.memory, .settings = &rig.settings};
    for (uint64_t nth = 1;; nth++) {
        struct writer *writer = NULL;
        mem_fail_nth(nth, false);
        enum err e = writer_new(&clickhouse_writer, &options, &writer, &rig.why);
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        if (e == OK) {
            writer_free(&clickhouse_writer, writer);
            assert_false(fired);
            break;
        }
        assert_int_equal(e, ERR_NOMEM);
        assert_int_equal(budget_used(&rig.memory), 0);
    }
    rig_open(&rig);
}

/* --- checks ----------------------------------------------------------------------------------- */

static struct writer_step
check(uint32_t number, const struct http_call_answer *answer)
{
    char what[WRITER_ANSWER_BYTES] = "";
    struct writer_step step = {.next = WRITER_DONE};
    assert_true(rig.class->check(rig.writer, number, answer, &step, what));
    assert_true(what[0] != 0);
    return step;
}

static struct writer_step
check_answered(uint32_t number, unsigned status, const char *body)
{
    struct http_call_answer answer = answer_of(status, body);
    return check(number, &answer);
}

UNIT_TEST(test_checks_look_at_server_table_and_permission)
{
    char what[WRITER_ANSWER_BYTES];
    struct writer_step step;
    rig_open(&rig);
    step = check(0, NULL);
    assert_string_equal(step.http.method, "GET");
    assert_string_equal(step.http.url, "http://h:8123/ping");
    assert_int_equal(check_answered(0, 200, "Ok.\n").verdict, VERDICT_DELIVERED);
    step = check(1, NULL);
    expect_body(&step, "SELECT 'version'");
    step = check_answered(1, 200, TESTING_OLD);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_string_equal(step.answer, "ClickHouse 18.16.1, engine ReplacingMergeTree");
    step = check(2, NULL);
    assert_string_equal(step.http.method, "POST");
    assert_string_equal(step.http.url, "http://h:8123/?" INSERT OLD_SETTINGS);
    assert_int_equal(step.http.body.size, 0);
    assert_null(header_of(&step, "Content-Encoding"));
    assert_int_equal(check_answered(2, 200, "").verdict, VERDICT_DELIVERED);
    step = check_answered(2, 500, "Code: 108. DB::Exception: No data to insert");
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    assert_string_equal(step.answer, "");
    step = check_answered(2, 500, "Code: 497. DB::Exception: Not enough privileges");
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "access_denied");
    assert_false(rig.class->check(rig.writer, 3, NULL, &step, what));
}

UNIT_TEST(test_a_check_creates_nothing)
{
    char what[WRITER_ANSWER_BYTES];
    rig_open(&rig);
    check(1, NULL);
    struct writer_step step = check_answered(1, 200, TESTING_NO_TABLE);
    assert_int_equal(step.next, WRITER_DONE);
    assert_int_equal(step.verdict, VERDICT_DELIVERED);
    expect_in(step.answer, "will be created");
    assert_false(rig.class->check(rig.writer, 2, NULL, &step, what));
    rig_close(&rig);
    rig.settings.u.clickhouse.create = false;
    rig_open(&rig);
    check(1, NULL);
    step = check_answered(1, 200, TESTING_NO_TABLE);
    assert_int_equal(step.verdict, VERDICT_BLOCKED);
    assert_string_equal(step.reason, "no_table");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_is_its_rows_compressed),
        TEST(test_a_newer_server_gets_a_head_a_token_and_zstd),
        TEST(test_a_token_is_that_of_the_call_and_of_no_other),
        TEST(test_a_call_can_be_sent_again_and_used_again),
        TEST(test_path_and_query_of_the_url_are_kept),
        TEST(test_a_url_beyond_all_bounds_is_refused),
        TEST(test_requests_have_credentials),
        TEST(test_server_and_table_are_asked_for_once_a_day),
        TEST(test_a_missing_table_is_created),
        TEST(test_on_a_cluster_two_tables_are_created),
        TEST(test_without_create_a_missing_table_blocks),
        TEST(test_a_table_that_does_not_fit_blocks_and_the_column_is_named),
        TEST(test_a_preparation_that_fails_is_tried_again_or_blocks),
        TEST(test_rows_for_a_table_that_changed_are_rebuilt),
        TEST(test_a_call_filled_before_the_table_is_known_fits_an_old_server),
        TEST(test_only_an_empty_answer_is_delivered),
        TEST(test_a_table_that_is_gone_is_looked_for_again),
        TEST(test_unreadable_rows_are_searched_for_after_the_table_is_checked),
        TEST(test_an_item_that_the_table_cannot_store_is_unfit),
        TEST(test_a_call_is_full_at_its_limit),
        TEST(test_a_call_has_rows_of_64_days_at_most),
        TEST(test_nothing_is_lost_when_memory_is_short),
        TEST(test_a_preparation_without_memory_is_tried_again),
        TEST(test_a_writer_without_memory_is_not_made),
        TEST(test_checks_look_at_server_table_and_permission),
        TEST(test_a_check_creates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
