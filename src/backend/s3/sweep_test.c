/* sweep_test.c - pages of uploads are read exactly, or refused. s3_test.c tests what follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/s3/delivery.h"
#include "lib/test.h"

#define must(call) assert_int_equal((call), OK)

struct seen {
    unsigned count;
    char last_key[S3_KEY_BYTES_MAX + 1];
    char last_id[S3_SWEEP_ID_BYTES];
    unsigned stop_at;
};

static enum err
note(void *context, const char *key, const char *id)
{
    struct seen *seen = context;
    snprintf(seen->last_key, sizeof seen->last_key, "%s", key);
    snprintf(seen->last_id, sizeof seen->last_id, "%s", id);
    return ++seen->count == seen->stop_at ? ERR_LIMIT : OK;
}

static enum err
read_page(const char *text, struct seen *seen, struct s3_uploads_page *page)
{
    *seen = (struct seen){.stop_at = 0};
    return s3_uploads_read(bytes_of_text(text), note, seen, page);
}

UNIT_TEST(test_uploads_and_markers_are_read)
{
    struct seen seen;
    struct s3_uploads_page page;
    must(read_page("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                   "<ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                   "<Bucket>b</Bucket><KeyMarker></KeyMarker><Prefix>p/</Prefix>"
                   "<NextKeyMarker>p/a &amp; b</NextKeyMarker>"
                   "<NextUploadIdMarker>i&lt;2</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
                   "<Upload><Key>p/one</Key><UploadId>1</UploadId>"
                   "<Initiator><ID>x</ID><Key>no</Key></Initiator></Upload>"
                   "<Upload><UploadId>2</UploadId><Key>p/two</Key></Upload>"
                   "<Upload><Key>p/three</Key></Upload>"
                   "<CommonPrefixes><Key>p/four</Key><UploadId>4</UploadId></CommonPrefixes>"
                   "</ListMultipartUploadsResult>",
                   &seen, &page));
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.last_key, "p/two");
    assert_string_equal(seen.last_id, "2");
    assert_true(page.is_truncated);
    assert_string_equal(page.next_key, "p/a & b");
    assert_string_equal(page.next_id, "i<2");
}

UNIT_TEST(test_a_malformed_page_is_refused)
{
    struct seen seen;
    struct s3_uploads_page page;
    static const char *const bad[] = {
        "",
        "x",
        "<Error><Code>a</Code></Error>",
        "<ListMultipartUploadsResult>",
        "<!DOCTYPE a><ListMultipartUploadsResult/>",
        "<ListMultipartUploadsResult><a></b></ListMultipartUploadsResult>",
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_page(bad[i], &seen, &page), ERR_INPUT);
    assert_int_equal(
        read_page("<ListMultipartUploadsResult><a><a><a><a><a><a><a><a><a><a><a><a><a>"
                  "<a><a><a/></a></a></a></a></a></a></a></a></a></a></a></a></a></a></a>"
                  "</ListMultipartUploadsResult>",
                  &seen, &page),
        ERR_LIMIT);
    /* A name that is too long would be a different one if it were cut. */
    static char text[4096], long_id[S3_SWEEP_ID_BYTES + 1];
    memset(long_id, 'i', S3_SWEEP_ID_BYTES);
    snprintf(text, sizeof text,
             "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>%s</UploadId></Upload>"
             "</ListMultipartUploadsResult>",
             long_id);
    assert_int_equal(read_page(text, &seen, &page), ERR_INPUT);
    assert_int_equal(seen.count, 0);
    static uint8_t large[S3_SWEEP_LIST_BYTES_MAX + 1];
    assert_int_equal(s3_uploads_read(bytes_of(large, sizeof large), note, &seen, &page), ERR_LIMIT);
}

UNIT_TEST(test_the_caller_may_stop)
{
    struct seen seen = {.stop_at = 1};
    struct s3_uploads_page page;
    assert_int_equal(
        s3_uploads_read(bytes_of_text("<ListMultipartUploadsResult>"
                                      "<Upload><Key>a</Key><UploadId>1</UploadId></Upload>"
                                      "<Upload><Key>b</Key><UploadId>2</UploadId></Upload>"
                                      "</ListMultipartUploadsResult>"),
                        note, &seen, &page),
        ERR_LIMIT);
    assert_int_equal(seen.count, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uploads_and_markers_are_read),
        cmocka_unit_test(test_a_malformed_page_is_refused),
        cmocka_unit_test(test_the_caller_may_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
