/* listing_test.c - pages of a bucket's listing are read exactly, or refused. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/store.h"

static char found[4096];

static enum err
note(void *context, const struct listed_object *o)
{
    size_t used = strlen(found);
    (void)context;
    snprintf(found + used, sizeof found - used, "%s %s %s %llu\n", o->key, o->etag, o->modified,
             (unsigned long long)o->size);
    return OK;
}

static enum err
read_page(const char *xml, char token[LISTING_TOKEN_BYTES])
{
    found[0] = '\0';
    return listing_read(bytes_of_text(xml), note, NULL, token);
}

#define ROOT "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"

UNIT_TEST(test_objects_are_listed_with_size_and_tag)
{
    char token[LISTING_TOKEN_BYTES];
    assert_int_equal(
        read_page("<?xml version=\"1.0\"?>" ROOT "<Name>b</Name><IsTruncated>true</IsTruncated>"
                  "<Contents><Key>a/b&amp;c</Key><LastModified>T</LastModified>"
                  "<ETag>&quot;12-3&quot;</ETag><Size>7</Size><Owner><ID>x</ID></Owner></Contents>"
                  "<Contents><Key>d</Key><Size>0</Size></Contents>"
                  "<NextContinuationToken>to/k=</NextContinuationToken></ListBucketResult>",
                  token),
        OK);
    assert_string_equal(found, "a/b&c 12-3 T 7\nd   0\n");
    assert_string_equal(token, "to/k=");
}

UNIT_TEST(test_the_last_page_has_no_token)
{
    char token[LISTING_TOKEN_BYTES];
    assert_int_equal(read_page(ROOT "<IsTruncated>false</IsTruncated></ListBucketResult>", token),
                     OK);
    assert_string_equal(token, "");
    assert_string_equal(found, "");
}

UNIT_TEST(test_a_malformed_listing_is_refused)
{
    static const char *const texts[] = {
        "",
        "no xml",
        "<Error><Code>NoSuchBucket</Code></Error>",
        ROOT "<Contents><Key>a</Key></Contents></ListBucketResult>",
        ROOT "<Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        ROOT "<Contents><Key>a</Key><Size>99999999999999999999</Size></Contents>"
             "</ListBucketResult>",
        ROOT "<Contents><Size>1</Size></Contents></ListBucketResult>",
        ROOT "<IsTruncated>true</IsTruncated></ListBucketResult>",
        ROOT "<Contents><Key>a</Key><Size>1</Size></Contents>",
    };
    char token[LISTING_TOKEN_BYTES];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(read_page(texts[i], token), ERR_INPUT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects_are_listed_with_size_and_tag),
        cmocka_unit_test(test_the_last_page_has_no_token),
        cmocka_unit_test(test_a_malformed_listing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
