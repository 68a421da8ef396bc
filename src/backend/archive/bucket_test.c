/* bucket_test.c - pages of a listing and ranges of objects, against a server that plays scripted
 * answers: what is asked of it, and what its answers mean. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/store.h"
#include "lib/backend/fetch_rig.h"

#define ANSWER(status, headers) "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n"
#define OBJECT(key, size)                                                       \
    "<Contents><Key>" key                                                       \
    "</Key><LastModified>T</LastModified><ETag>&quot;e&quot;</ETag><Size>" size \
    "</Size></Contents>"
#define PAGE(objects, token)                                                                    \
    ANSWER("200 OK", "")                                                                        \
    "<ListBucketResult><IsTruncated>true</IsTruncated>" objects "<NextContinuationToken>" token \
    "</NextContinuationToken></ListBucketResult>"
#define LAST_PAGE(objects) ANSWER("200 OK", "") "<ListBucketResult>" objects "</ListBucketResult>"

static struct fetch_rig rig;
static struct archive_store *store;
static struct archive_scope scope;
static char endpoint[64];

static void
begin(unsigned count, const char *const *answers)
{
    fetch_rig_init(&rig, count, answers);
    snprintf(endpoint, sizeof endpoint, "%.*s",
             (int)(strrchr(rig.player.url, '/') - rig.player.url), rig.player.url);
    rig.settings.u.archive = (struct archive_settings){
        .bucket = "stock", .prefix = "pre/", .endpoint = endpoint, .aws = {.region = "eu-west-1"}};
    fetch_rig_start(&rig);
    const struct reader_options options = {env_real(), &rig.memory, &rig.settings, rig.puller,
                                           &rig.counts};
    assert_int_equal(archive_bucket_new(&options, &store, &rig.why), OK);
    scope = (struct archive_scope){.budget = &rig.query, .session = rig.session};
    scope.hours = (struct hours){.first = "2023/11/14/22/", .last = "2023/11/14/23/"};
}

static void
end(void)
{
    store->ops->free(store);
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

/* --- listing ---------------------------------------------------------------------------------- */

/* Expects this object next; NULL: no more. */
static void
expect_object(struct archive_listing *listing, const char *key, uint64_t size)
{
    struct archive_object object;
    bool more;
    enum err e = store->ops->next(listing, &object, &more, &rig.why);
    if (e) fail_msg("%s: %s", err_word(e), rig.why.text);
    assert_int_equal(more, key != NULL);
    if (key == NULL) return;
    assert_string_equal(object.key, key);
    assert_string_equal(object.tag, "e|T");
    assert_int_equal(object.size, size);
    assert_false(object.is_young);
}

UNIT_TEST(test_pages_are_listed_from_the_first_hour_to_the_last)
{
    static const char *const answers[] = {
        PAGE(OBJECT("pre/2023/11/14/21/a", "1") OBJECT("pre/2023/11/14/22/b c", "2")
                 OBJECT("pre/2023/11/14/22/_d", "3") OBJECT("pre/2023/11/14/22/e", "0"),
             "to k/en"),
        PAGE(OBJECT("pre/2023/11/14/23/f", "4") OBJECT("pre/2023/11/15/00/g", "5"), "another")};
    struct archive_listing *listing;
    begin(2, answers);
    assert_int_equal(store->ops->list(store, &scope, &listing, &rig.why), OK);
    expect_object(listing, "pre/2023/11/14/22/b c", 2);
    expect_seen("GET /stock/?list-type=2&start-after=pre%2F2023%2F11%2F14%2F22%2F&prefix=pre%2F ");
    expect_object(listing, "pre/2023/11/14/23/f", 4);
    expect_seen("GET /stock/?list-type=2&continuation-token=to%20k%2Fen&prefix=pre%2F ");
    expect_object(listing, NULL, 0);
    assert_int_equal(rig.counts.listings, 2);
    store->ops->free_listing(listing);
    end();
}

UNIT_TEST(test_all_objects_are_listed_up_to_the_last_page)
{
    static const char *const answers[] = {PAGE(OBJECT("pre/a", "1"), "t"),
                                          LAST_PAGE(OBJECT("pre/b", "2"))};
    struct archive_listing *listing;
    begin(2, answers);
    scope.hours = (struct hours){.all = true};
    assert_int_equal(store->ops->list(store, &scope, &listing, &rig.why), OK);
    expect_object(listing, "pre/a", 1);
    expect_seen("GET /stock/?list-type=2&prefix=pre%2F ");
    expect_object(listing, "pre/b", 2);
    expect_object(listing, NULL, 0);
    store->ops->free_listing(listing);
    end();
}

UNIT_TEST(test_a_listing_that_fails_says_why)
{
    static const struct {
        const char *answer;
        enum err error;
        const char *words;
    } cases[] = {
        {ANSWER("403 Forbidden", "") "<Error><Code>AccessDenied</Code></Error>", ERR_IO,
         "AccessDenied"},
        {ANSWER("200 OK", "") "hello", ERR_CORRUPT, "the response is not a listing of objects"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct archive_listing *listing;
        struct archive_object object;
        bool more;
        begin(1, &cases[i].answer);
        assert_int_equal(store->ops->list(store, &scope, &listing, &rig.why), OK);
        expect_error(store->ops->next(listing, &object, &more, &rig.why), cases[i].error,
                     cases[i].words);
        assert_false(more);
        store->ops->free_listing(listing);
        end();
    }
}

/* --- ranges ----------------------------------------------------------------------------------- */

/* Reads bytes 3 to 7 of an object; the error of the last call. */
static enum err
read_some(char text[16])
{
    static const struct archive_object object = {.key = "pre/b c", .tag = "e|T", .size = 10};
    struct archive_range *range;
    struct bytes piece = {NULL, 1};
    text[0] = '\0';
    enum err e = store->ops->open(store, &scope, &object, 3, 5, &range, &rig.why);
    if (e) return e;
    while (e == OK && piece.size > 0) {
        e = store->ops->read(range, &piece, &rig.why);
        if (e == OK) strncat(text, (const char *)piece.at, piece.size);
    }
    store->ops->close(range);
    return e;
}

UNIT_TEST(test_a_range_of_an_object_is_read)
{
    static const char *const answers[] = {
        ANSWER("206 Partial", "ETag: \"e\"\r\nContent-Length: 5\r\n") "hello"};
    char text[16];
    begin(1, answers);
    assert_int_equal(read_some(text), OK);
    assert_string_equal(text, "hello");
    expect_seen("GET /stock/pre/b%20c HTTP/1.1\r\n");
    expect_seen("\r\nRange: bytes=3-7\r\n");
    end();
}

UNIT_TEST(test_an_object_that_is_another_one_is_an_error)
{
    static const struct {
        const char *answer;
        enum err error;
        const char *words;
    } cases[] = {
        {ANSWER("404 Gone", ""), ERR_AGAIN, "pre/b c: the object was removed or replaced after"},
        {ANSWER("416 No", ""), ERR_AGAIN, "pre/b c: the object was removed or replaced after"},
        {ANSWER("206 Partial", "ETag: \"f\"\r\n") "hello", ERR_AGAIN,
         "pre/b c: the object was replaced while it was read"},
        {ANSWER("200 OK", "") "hello", ERR_UNSUPPORTED,
         "pre/b c: the store does not serve ranges (status 200)"},
        {ANSWER("206 Partial", "") "hell", ERR_AGAIN,
         "pre/b c: the store sent another range than was asked for"},
        {ANSWER("206 Partial", "") "hello!", ERR_AGAIN,
         "pre/b c: the store sent another range than was asked for"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[16];
        begin(1, &cases[i].answer);
        expect_error(read_some(text), cases[i].error, cases[i].words);
        end();
    }
}

/* --- settings --------------------------------------------------------------------------------- */

UNIT_TEST(test_the_bucket_is_in_the_host_or_in_the_path)
{
    static const char *const answers[] = {LAST_PAGE("")};
    static const struct {
        const char *host;
        bool path_style;
        const char *seen;
    } cases[] = {
        {"127.0.0.1", false, "GET /at/stock/?"},
        {"localhost", true, "GET /at/stock/?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct archive_listing *listing;
        begin(1, answers);
        char at[64];
        snprintf(at, sizeof at, "http://%s%s/at", cases[i].host, strrchr(endpoint, ':'));
        rig.settings.u.archive.endpoint = at;
        rig.settings.u.archive.path_style = cases[i].path_style;
        store->ops->free(store);
        const struct reader_options options = {env_real(), &rig.memory, &rig.settings, rig.puller,
                                               &rig.counts};
        assert_int_equal(archive_bucket_new(&options, &store, &rig.why), OK);
        assert_int_equal(store->ops->list(store, &scope, &listing, &rig.why), OK);
        expect_object(listing, NULL, 0);
        expect_seen(cases[i].seen);
        store->ops->free_listing(listing);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_are_listed_from_the_first_hour_to_the_last),
        cmocka_unit_test(test_all_objects_are_listed_up_to_the_last_page),
        cmocka_unit_test(test_a_listing_that_fails_says_why),
        cmocka_unit_test(test_a_range_of_an_object_is_read),
        cmocka_unit_test(test_an_object_that_is_another_one_is_an_error),
        cmocka_unit_test(test_the_bucket_is_in_the_host_or_in_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
