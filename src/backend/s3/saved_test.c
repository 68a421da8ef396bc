/* saved_test.c - the hash depends on everything that determines an object, and on nothing else. */
#include "lib/test.h"

#include "backend/s3/object.h"

static struct relabel_spec rules[2];
static const char *selectors[] = {"{a=\"b\"}", "up"};
static const char *tenants[] = {"a", "b"};
static struct named_text labels[] = {{"site", "x"}, {"rack", "y"}};
static const struct bytes sources[] = {{(const uint8_t *)"job", 3}, {(const uint8_t *)"env", 3}};

static struct destination_settings
whole(void)
{
    for (unsigned i = 0; i < 2; i++) {
        rules[i] = (struct relabel_spec){
            .source_labels = sources,
            .source_label_count = 2,
            .separator = bytes_of_text(";"),
            .regex = bytes_of_text("(.*)"),
            .target_label = bytes_of_text("t"),
            .replacement = bytes_of_text("$1"),
        };
    }
    return (struct destination_settings){
        .name = "n",
        .select = {selectors, 2},
        .relabel = rules,
        .relabel_count = 2,
        .external_labels = {labels, 2},
        .tenants = {tenants, 2},
        .tenant_label = "tenant",
        .u.s3 = {.bucket = "bucket", .prefix = "p/", .endpoint = "https://e", .roll_bytes = 1},
    };
}

UNIT_TEST(test_settings_that_shape_objects_change_the_hash)
{
    enum { COUNT = 17 };
    uint64_t hashes[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        struct destination_settings d = whole();
        struct s3_settings *s3 = &d.u.s3;
        if (i == 1) s3->bucket = "other";
        if (i == 2) s3->prefix = NULL;
        if (i == 3) s3->prefix = "";
        if (i == 4) s3->endpoint = NULL;
        if (i == 5) s3->compression = COMPRESSION_ZSTD;
        if (i == 6) d.select.count = 1;
        if (i == 7) d.select.count = 0;
        if (i == 8) d.tenants.count = 1;
        if (i == 9) d.tenant_label = NULL;
        if (i == 10) d.external_labels.count = 1;
        if (i == 11) d.relabel_count = 1;
        if (i == 12) rules[1].regex = bytes_of_text("x");
        if (i == 13) rules[1].source_label_count = 1;
        if (i == 14) rules[1].modulus = 7;
        if (i == 15) rules[1].action = (enum relabel_action)((int)rules[1].action + 1);
        if (i == 16) rules[0].replacement = bytes_of_text("");
        hashes[i] = s3_content_hash(&d);
        for (unsigned k = 0; k < i; k++)
            if (hashes[i] == hashes[k]) fail_msg("%u and %u are the same", i, k);
    }
}

UNIT_TEST(test_other_settings_do_not_change_the_hash)
{
    struct destination_settings d = whole();
    uint64_t hash = s3_content_hash(&d);
    d.name = "other";
    d.u.s3.roll_bytes = 2;
    d.u.s3.roll_age_ms = 3;
    d.u.s3.storage_class = "GLACIER_IR";
    d.u.s3.sse = S3_SSE_AES256;
    d.u.s3.path_style = true;
    d.retry.max_backoff_ms = 5;
    assert_int_equal(s3_content_hash(&d), hash);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_that_shape_objects_change_the_hash),
        cmocka_unit_test(test_other_settings_do_not_change_the_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
