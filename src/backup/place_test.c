/* place_test.c - objects of a bucket and the repository in it, against a server that plays
 * scripted answers. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/store.h"
#include "backup/repository.h"
#include "lib/backend/fetch_rig.h"

#define ANSWER(status, headers) "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n"
#define OBJECT(key, size, time)                                                    \
    "<Contents><Key>" key "</Key><LastModified>" time "</LastModified><Size>" size \
    "</Size></Contents>"
#define PAGE(objects, token)                                                                    \
    ANSWER("200 OK", "")                                                                        \
    "<ListBucketResult><IsTruncated>true</IsTruncated>" objects "<NextContinuationToken>" token \
    "</NextContinuationToken></ListBucketResult>"
#define LAST_PAGE(objects) ANSWER("200 OK", "") "<ListBucketResult>" objects "</ListBucketResult>"
#define DIGITS             "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd"

static struct fetch_rig rig;
static struct objects *bucket;
static struct backup_place place;
static char endpoint[64];
static atomic_bool stop;

static uint32_t most_at_once; /* max_concurrent; 0: the default */

static void
begin(unsigned count, const char *const *answers)
{
    fetch_rig_init(&rig, count, answers);
    snprintf(endpoint, sizeof endpoint, "%.*s",
             (int)(strrchr(rig.player.url, '/') - rig.player.url), rig.player.url);
    rig.settings.u.archive = (struct archive_settings){.bucket = "stock",
                                                       .prefix = "pre/",
                                                       .endpoint = endpoint,
                                                       .aws = {.region = "eu-west-1",
                                                               .access_key = {.text = "KEY"},
                                                               .secret_key = {.text = "SECRET"}}};
    if (most_at_once > 0) rig.settings.max_concurrent = most_at_once;
    fetch_rig_start(&rig);
    const struct reader_options options = {env_real(), &rig.memory, &rig.settings, rig.puller,
                                           &rig.counts};
    assert_int_equal(objects_bucket(&options, &stop, &bucket, &rig.why), OK);
    place = (struct backup_place){
        .env = env_real(), .objects = bucket, .shown = "s3://stock/pre", .lock_file = FILE_CLOSED};
}

static void
end(void)
{
    bucket->ops->free(bucket);
    fetch_rig_stop(&rig);
}

static void
expect_seen(const char *words)
{
    if (strstr(rig.player.seen, words) == NULL)
        fail_msg("'%s' is not in: %s", words, rig.player.seen);
}

static void
expect_error(enum err e, enum err expected, const char *words)
{
    if (e != expected) fail_msg("%s: %s", err_word(e), rig.why.text);
    if (strstr(rig.why.text, words) == NULL) fail_msg("'%s' is not in: %s", words, rig.why.text);
}

static enum err
append(void *context, struct bytes piece)
{
    struct buf *to = context;
    buf_put_bytes(to, piece);
    return buf_error(to);
}

/* --- objects ---------------------------------------------------------------------------------- */

UNIT_TEST(test_an_object_is_written_with_its_content)
{
    static const char *const answers[] = {ANSWER("200 OK", "Content-Length: 0\r\n")};
    begin(1, answers);
    assert_int_equal(bucket->ops->put(bucket, "a b", bytes_of_text("text"), false, NULL, &rig.why),
                     OK);
    expect_seen("PUT /stock/pre/a%20b ");
    expect_seen("Content-Length: 4\r\n");
    expect_seen("Content-Type: application/octet-stream\r\n");
    end();
}

UNIT_TEST(test_a_busy_store_is_asked_again)
{
    static const char *const answers[] = {
        ANSWER("503 Slow Down", "") "<Error><Code>SlowDown</Code></Error>",
        ANSWER("200 OK", "Content-Length: 0\r\n")};
    begin(2, answers);
    assert_int_equal(bucket->ops->put(bucket, "a", bytes_of_text("text"), false, NULL, &rig.why),
                     OK);
    end();
}

/* A server that is stopped does not wait for a store that does not answer. */
UNIT_TEST(test_requests_end_when_they_are_stopped)
{
    static const char *const answers[] = {"", "", ""};
    struct buf to;
    struct object_facts facts;
    begin(3, answers);
    buf_init(&to, &rig.memory, 1000);
    stop = true;
    expect_error(bucket->ops->put(bucket, "a", bytes_of_text("b"), false, NULL, &rig.why),
                 ERR_CANCELED, "stopped");
    expect_error(bucket->ops->get(bucket, "a", append, &to, &rig.why), ERR_CANCELED, "stopped");
    expect_error(bucket->ops->look(bucket, "a", &facts, &rig.why), ERR_CANCELED, "stopped");
    stop = false;
    buf_fini(&to);
    end();
}

UNIT_TEST(test_a_refused_object_says_why)
{
    static const char *const answers[] = {
        ANSWER("403 Forbidden", "") "<Error><Code>AccessDenied</Code></Error>"};
    begin(1, answers);
    expect_error(bucket->ops->put(bucket, "a", bytes_of_text("text"), false, NULL, &rig.why),
                 ERR_IO, "AccessDenied");
    end();
}

UNIT_TEST(test_an_object_is_read_whole)
{
    static const char *const answers[] = {ANSWER("200 OK", "Content-Length: 5\r\n") "hello"};
    struct buf got;
    begin(1, answers);
    buf_init(&got, &rig.memory, 100);
    assert_int_equal(bucket->ops->get(bucket, "a", append, &got, &rig.why), OK);
    assert_memory_equal(got.at, "hello", 5);
    buf_fini(&got);
    end();
}

/* Answers with the start of an object, more than a pull holds, and breaks off 4 bytes before its
 * end. */
enum { BEGIN_BYTES = 4 * HTTP_PULL_WINDOW_BYTES };

static const char *
broken_answer(void)
{
    static char text[BEGIN_BYTES + 200];
    int head =
        snprintf(text, sizeof text, ANSWER("200 OK", "Content-Length: %d\r\n"), BEGIN_BYTES + 4);
    memset(text + head, 'x', BEGIN_BYTES);
    text[head + BEGIN_BYTES] = '\0';
    return text;
}

UNIT_TEST(test_an_object_that_breaks_off_is_continued)
{
    const char *const answers[] = {broken_answer(),
                                   ANSWER("206 Partial Content", "Content-Length: 4\r\n") "rest"};
    struct buf got;
    begin(2, answers);
    buf_init(&got, &rig.memory, 2 * BEGIN_BYTES);
    assert_int_equal(bucket->ops->get(bucket, "a", append, &got, &rig.why), OK);
    expect_seen("Range: bytes=1048576-");
    assert_int_equal(got.size, BEGIN_BYTES + 4);
    assert_memory_equal(got.at + BEGIN_BYTES, "rest", 4);
    buf_fini(&got);
    end();
}

UNIT_TEST(test_an_object_whose_rest_does_not_come_is_not_whole)
{
    static const char busy[] = ANSWER("503 Slow Down", "Content-Length: 0\r\n");
    static const struct {
        const char *rest[3];
        enum err error;
        const char *words;
    } cases[] = {
        {{busy, busy, busy}, ERR_AGAIN, "status 503"},
        {{ANSWER("200 OK", "Content-Length: 4\r\n") "rest"}, ERR_UNSUPPORTED, "serve ranges"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *rest = cases[i].rest;
        const char *const answers[] = {broken_answer(), rest[0], rest[1], rest[2]};
        struct buf got;
        begin(rest[1] == NULL ? 2 : 4, answers);
        buf_init(&got, &rig.memory, 2 * BEGIN_BYTES);
        expect_error(bucket->ops->get(bucket, "a", append, &got, &rig.why), cases[i].error,
                     cases[i].words);
        buf_fini(&got);
        end();
    }
}

UNIT_TEST(test_a_missing_object_is_missing_and_counts_as_removed)
{
    static const char *const answers[] = {ANSWER("404 Not Found", ""),
                                          ANSWER("404 Not Found", "Content-Length: 0\r\n"),
                                          ANSWER("404 Not Found", "")};
    struct buf got;
    struct object_facts facts;
    begin(3, answers);
    buf_init(&got, &rig.memory, 100);
    assert_int_equal(bucket->ops->get(bucket, "a", append, &got, &rig.why), ERR_MISSING);
    assert_int_equal(bucket->ops->look(bucket, "a", &facts, &rig.why), ERR_MISSING);
    assert_int_equal(bucket->ops->remove(bucket, "a", &rig.why), OK);
    buf_fini(&got);
    end();
}

UNIT_TEST(test_the_size_of_an_object_is_asked_without_its_content)
{
    static const char *const answers[] = {ANSWER("200 OK", "Content-Length: 12345678901\r\n")};
    struct object_facts facts;
    begin(1, answers);
    assert_int_equal(bucket->ops->look(bucket, "a", &facts, &rig.why), OK);
    expect_seen("HEAD /stock/pre/a ");
    assert_int_equal(facts.size, 12345678901);
    end();
}

UNIT_TEST(test_a_conditional_write_says_whether_it_wrote)
{
    static const char *const answers[] = {
        ANSWER("200 OK", "Content-Length: 0\r\n"),
        ANSWER("412 Precondition Failed", "") "<Error><Code>PreconditionFailed</Code></Error>"};
    bool written = false;
    begin(2, answers);
    assert_int_equal(bucket->ops->put(bucket, "a", bytes_of_text("text"), true, &written, &rig.why),
                     OK);
    assert_true(written);
    expect_seen("If-None-Match: *\r\n");
    expect_seen("x-amz-checksum-sha256: mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=\r\n");
    assert_int_equal(bucket->ops->put(bucket, "a", bytes_of_text("text"), true, &written, &rig.why),
                     OK);
    assert_false(written);
    end();
}

UNIT_TEST(test_the_facts_of_an_object_are_those_of_its_headers)
{
    static const char *const answers[] = {
        ANSWER("200 OK",
               "Content-Length: 4\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
               "Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n"
               "x-amz-checksum-sha256: mC2ePrmW9VnmM/TRlN7zdh2Qn1o7ZH0ahR/q1nwyydE=-2\r\n"),
        ANSWER("200 OK", "Content-Length: 4\r\nx-amz-storage-class: GLACIER\r\n"
                         "x-amz-version-id: 3sL4kqtJlcpXroDTDmJ\r\n"),
        ANSWER("200 OK", "Content-Length: 4\r\nx-amz-storage-class: GLACIER\r\n"
                         "x-amz-restore: ongoing-request=\"false\"\r\n")};
    struct object_facts facts;
    struct object_digest digest;
    begin(3, answers);
    assert_int_equal(object_digest_of(bytes_of_text("text"), &digest), OK);
    assert_int_equal(bucket->ops->look(bucket, "a", &facts, &rig.why), OK);
    expect_seen("x-amz-checksum-mode: ENABLED\r\n");
    assert_int_equal(facts.written_ms, 1767225600000);
    assert_int_equal(facts.now_ms, 1767225601000);
    assert_true(facts.has_digest && !facts.is_archived && !facts.has_versions);
    assert_memory_equal(&facts.digest, &digest, sizeof digest);
    assert_int_equal(bucket->ops->look(bucket, "a", &facts, &rig.why), OK);
    assert_true(!facts.has_digest && facts.is_archived && facts.has_versions);
    assert_int_equal(bucket->ops->look(bucket, "a", &facts, &rig.why), OK);
    assert_false(facts.is_archived);
    end();
}

UNIT_TEST(test_a_range_is_read_or_its_object_is_too_short)
{
    static const char *const answers[] = {
        ANSWER("206 Partial Content", "Content-Length: 4\r\n") "text",
        ANSWER("416 Range Not Satisfiable", "") "<Error><Code>InvalidRange</Code></Error>",
        ANSWER("206 Partial Content", "Content-Length: 3\r\n") "tex",
        ANSWER("200 OK", "Content-Length: 4\r\n") "text"};
    static const enum err errors[] = {OK, ERR_CORRUPT, ERR_CORRUPT, ERR_UNSUPPORTED};
    begin(4, answers);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        uint8_t got[4] = {0};
        const struct object_range range = {"a", 10, 4, got};
        assert_int_equal(bucket->ops->read(bucket, &range, 1, NULL, &rig.why), errors[i]);
        if (i == 0) assert_memory_equal(got, "text", 4);
    }
    expect_seen("Range: bytes=10-13\r\n");
    end();
}

UNIT_TEST(test_ranges_above_max_concurrent_wait_for_those_before)
{
    static const char *const answers[] = {
        ANSWER("206 Partial Content", "Content-Length: 4\r\n") "text",
        ANSWER("206 Partial Content", "Content-Length: 2\r\n") "ok"};
    uint8_t first[4], second[2];
    const struct object_range ranges[] = {{"a", 10, 4, first}, {"b", 0, 2, second}};
    most_at_once = 1;
    begin(2, answers);
    most_at_once = 0;
    assert_int_equal(bucket->ops->read(bucket, ranges, 2, NULL, &rig.why), OK);
    assert_memory_equal(first, "text", 4);
    assert_memory_equal(second, "ok", 2);
    end();
}

static enum err
note_key(void *context, const struct object_listed *object)
{
    struct buf *to = context;
    buf_printf(to, "%s %llu;", object->key, (unsigned long long)object->size);
    return buf_error(to);
}

UNIT_TEST(test_all_pages_of_a_list_are_read)
{
    static const char *const answers[] = {
        PAGE(OBJECT("pre/x/1", "1", "T") OBJECT("other/x", "2", "T"), "to ken"),
        LAST_PAGE(OBJECT("pre/x/2", "3", "T"))};
    struct buf keys;
    begin(2, answers);
    buf_init(&keys, &rig.memory, 1000);
    assert_int_equal(bucket->ops->list(bucket, "x/", note_key, &keys, &rig.why), OK);
    buf_put_u8(&keys, '\0');
    assert_string_equal((const char *)keys.at, "x/1 1;x/2 3;");
    expect_seen("GET /stock/?list-type=2&continuation-token=to%20ken&prefix=pre%2Fx%2F ");
    buf_fini(&keys);
    end();
}

UNIT_TEST(test_an_answer_without_a_list_is_refused)
{
    static const char *const answers[] = {ANSWER("200 OK", "") "hello"};
    begin(1, answers);
    expect_error(bucket->ops->list(bucket, "x/", note_key, NULL, &rig.why), ERR_CORRUPT,
                 "not a listing");
    end();
}

/* --- the repository --------------------------------------------------------------------------- */

UNIT_TEST(test_a_bucket_with_other_objects_becomes_no_repository)
{
    static const char *const answers[] = {LAST_PAGE(OBJECT("pre/x", "1", "T"))};
    begin(1, answers);
    expect_error(place_prepare(&place, &rig.why), ERR_MISSING, "is not empty");
    end();
}

static enum err
note_object(void *context, const char *name, uint64_t size_bytes)
{
    struct buf *to = context;
    buf_printf(to, "%.14s %llu;", name, (unsigned long long)size_bytes);
    return buf_error(to);
}

UNIT_TEST(test_objects_of_the_last_day_may_not_be_removed)
{
    static const char *const answers[] = {
        LAST_PAGE(OBJECT("pre/backups/1", "1", "2999-01-02T00:00:00.000Z")),
        LAST_PAGE(OBJECT("pre/objects/ab/ab" DIGITS, "1", "2001-01-01T00:00:00.000Z")
                      OBJECT("pre/objects/cd/cd" DIGITS, "2", "2999-01-01T00:00:00.000Z")
                          OBJECT("pre/objects/cd/cd" DIGITS ".1", "4", "2001-01-01T00:00:00.000Z")
                              OBJECT("pre/objects/ef/ef" DIGITS, "3", "no time")
                                  OBJECT("pre/objects/ff/ff" DIGITS ".1", "5",
                                         "2001-01-01T00:00:00.000Z"))};
    struct buf names;
    begin(2, answers);
    buf_init(&names, &rig.memory, 1000);
    assert_int_equal(place_objects(&place, note_object, &names, &rig.why), OK);
    buf_put_u8(&names, '\0');
    assert_string_equal((const char *)names.at, "objects/ab/ab0 1;objects/ff/ff0 5;");
    buf_fini(&names);
    end();
}

/* The machine's clock is years ahead of these times. */
UNIT_TEST(test_a_clock_that_is_ahead_makes_no_object_of_a_bucket_old)
{
    static const char *const answers[] = {
        LAST_PAGE(OBJECT("pre/backups/1", "1", "2001-01-01T00:00:00.000Z")
                      OBJECT("pre/backups/2", "1", "2001-01-03T00:00:00.000Z")),
        LAST_PAGE(OBJECT("pre/objects/ab/ab" DIGITS, "1", "2001-01-02T00:00:00.000Z")
                      OBJECT("pre/objects/cd/cd" DIGITS, "2", "2001-01-02T00:00:01.000Z"))};
    struct buf names;
    begin(2, answers);
    buf_init(&names, &rig.memory, 1000);
    assert_int_equal(place_objects(&place, note_object, &names, &rig.why), OK);
    buf_put_u8(&names, '\0');
    assert_string_equal((const char *)names.at, "objects/ab/ab0 1;");
    buf_fini(&names);
    end();
}

UNIT_TEST(test_an_object_of_another_size_is_not_there)
{
    static const char *const answers[] = {ANSWER("200 OK", "Content-Length: 5\r\n"),
                                          ANSWER("200 OK", "Content-Length: 6\r\n"),
                                          ANSWER("200 OK", "Content-Length: 16777216\r\n")};
    struct backup_file file = {.size_bytes = 6}, large = {.size_bytes = 40 << 20};
    begin(3, answers);
    assert_false(place_has(&place, &file));
    assert_true(place_has(&place, &file));
    assert_true(place_has(&place, &large)); /* by its first piece */
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_is_written_with_its_content),
        cmocka_unit_test(test_a_busy_store_is_asked_again),
        cmocka_unit_test(test_requests_end_when_they_are_stopped),
        cmocka_unit_test(test_a_refused_object_says_why),
        cmocka_unit_test(test_an_object_is_read_whole),
        cmocka_unit_test(test_an_object_that_breaks_off_is_continued),
        cmocka_unit_test(test_an_object_whose_rest_does_not_come_is_not_whole),
        cmocka_unit_test(test_a_missing_object_is_missing_and_counts_as_removed),
        cmocka_unit_test(test_the_size_of_an_object_is_asked_without_its_content),
        cmocka_unit_test(test_a_conditional_write_says_whether_it_wrote),
        cmocka_unit_test(test_the_facts_of_an_object_are_those_of_its_headers),
        cmocka_unit_test(test_a_range_is_read_or_its_object_is_too_short),
        cmocka_unit_test(test_ranges_above_max_concurrent_wait_for_those_before),
        cmocka_unit_test(test_all_pages_of_a_list_are_read),
        cmocka_unit_test(test_an_answer_without_a_list_is_refused),
        cmocka_unit_test(test_a_bucket_with_other_objects_becomes_no_repository),
        cmocka_unit_test(test_objects_of_the_last_day_may_not_be_removed),
        cmocka_unit_test(test_a_clock_that_is_ahead_makes_no_object_of_a_bucket_old),
        cmocka_unit_test(test_an_object_of_another_size_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
