/* s3_test.c - names and content of objects, their locations, and the index next to them. */
#include "lib/test.h"

#include <jansson.h>
#include <zlib.h>
#include <zstd.h>

#include "base/log.h"
#include "lib/backend/s3_rig.h"

/* --- names and bytes -------------------------------------------------------------------------- */

UNIT_TEST(test_an_object_and_its_index_are_put)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_must_add(&rig, 100, 1);
    s3_rig_must_add(&rig, 200, 0);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 0);
    s3_rig_seal_and_save(&rig);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-200.0.ndjson");
    s3_rig_expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "100")
                                 LINE("1700000000200", "200"));
    assert_string_equal(s3_rig_header(&rig, "Content-Type"), "application/x-ndjson");
    assert_int_equal(strlen(s3_rig_header(&rig, "Content-MD5")), 24);
    assert_int_equal(strlen(s3_rig_header(&rig, "x-amz-content-sha256")), 64);
    assert_string_equal(s3_rig_header(&rig, "x-amz-server-side-encryption"), "");
    expect_in(s3_rig_header(&rig, "Authorization"), "/eu-west-1/s3/aws4_request");
    expect_in(s3_rig_header(&rig, "Authorization"), "content-md5");

    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_string_equal(s3_rig_header(&rig, "Content-Type"), "application/json");
    json_t *index =
        json_loadb((const char *)rig.step.http.body.at, rig.step.http.body.size, 0, NULL);
    const char *prefix, *instance, *metric, *name, *first, *last, *hour;
    json_int_t version, bytes, samples, t_min, t_max;
    int all_objects, all_metrics;
    assert_int_equal(
        json_unpack(index,
                    "{s:I, s:s, s:s, s:s, s:b, s:b, s:[s], s:[{s:s,s:I,s:I,s:s,s:s,s:I,s:I}]}",
                    "version", &version, "instance", &instance, "prefix", &prefix, "hour", &hour,
                    "all_objects", &all_objects, "all_metrics", &all_metrics, "metrics", &metric,
                    "objects", "name", &name, "bytes", &bytes, "samples", &samples, "first", &first,
                    "last", &last, "min_time", &t_min, "max_time", &t_max),
        0);
    assert_int_equal(version, 1);
    assert_string_equal(instance, INSTANCE);
    assert_string_equal(prefix, HOUR);
    assert_string_equal(hour, "2026-01-01T05:00:00.000Z");
    assert_true(all_objects && all_metrics);
    assert_string_equal(metric, "up");
    assert_string_equal(name, INSTANCE "-100-200.0.ndjson");
    assert_int_equal(bytes, 3 * strlen(LINE("1700000000100", "100")));
    assert_int_equal(samples, 3);
    assert_string_equal(first, "100.0");
    assert_string_equal(last, "200.0");
    assert_int_equal(t_min, 1700000000100);
    assert_int_equal(t_max, 1700000000200);
    json_decref(index);

    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1); /* until that is durable */
    s3_rig_save(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    s3_rig_fini(&rig);
}

static void
expect_name(uint64_t first_pos, uint32_t first_index, uint64_t last_pos, uint32_t last_index,
            bool more, const char *want)
{
    struct s3_rig rig;
    char url[400];
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, first_pos, first_index);
    s3_rig_must_add(&rig, last_pos, last_index);
    if (more) { /* the next record was offered to the call that is filled next */
        struct writer_call *sending = rig.call;
        must(writer_call_new(&s3_writer, rig.writer, &rig.call));
        s3_rig_must_add(&rig, last_pos + 50, 0);
        s3_writer.call_clear(rig.writer, rig.call);
        writer_call_free(&s3_writer, rig.writer, rig.call);
        rig.call = sending;
    }
    s3_rig_seal_and_save(&rig);
    snprintf(url, sizeof url, HOST "/" HOUR INSTANCE "-%s.ndjson", want);
    s3_rig_expect_call(&rig, "PUT", url);
    s3_rig_fini(&rig);
}

UNIT_TEST(test_names_contain_the_first_and_last_position)
{
    expect_name(100, 0, 200, 3, true, "100-200"); /* all of record 200 is in it */
    expect_name(100, 2, 200, 3, true, "100.2-200");
    expect_name(100, 0, 200, 3, false, "100-200.3"); /* more of 200 may come */
    expect_name(100, 5, 100, 6, false, "100.5-100.6");
}

/* Readers of the archive skip an object whose times are outside of their range. */
UNIT_TEST(test_the_times_of_an_object_are_those_of_its_oldest_and_newest_sample)
{
    static const int64_t times_ms[] = {1700000000100, 1700000000050, 1700000000070};
    static const char want[] = "\"min_time\":1700000000050,\"max_time\":1700000000100,";
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        struct s3_item m;
        s3_rig_make_item(&m, 100, i, "up", 1);
        m.item.t_ms = times_ms[i];
        assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    }
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 200, "");
    struct bytes body = rig.step.http.body; /* the index */
    assert_non_null(memmem(body.at, body.size, want, sizeof want - 1));
    s3_rig_fini(&rig);
}

/* Adds a dead letter, as the relay does when it is replayed. */
static void
add_letter(struct s3_rig *rig, double value)
{
    struct s3_item m;
    s3_rig_make_item(&m, 0, 0, "up", value);
    m.item.arrival_ms = 0;
    assert_int_equal(s3_rig_add_item(rig, &m.item), WRITER_ADDED);
}

UNIT_TEST(test_letters_sent_again_have_names_that_never_come_again)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    char urls[3][200];
    for (unsigned i = 0; i < 3; i++) {
        add_letter(&rig, i);
        s3_rig_seal_and_save(&rig);
        assert_int_equal(rig.step.next, WRITER_SEND);
        snprintf(urls[i], sizeof urls[i], "%s", rig.step.http.url);
        assert_non_null(strstr(urls[i], "/" INSTANCE "-replay"));
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(urls[k], urls[i]);
        if (i == 1) { /* it may have arrived */
            s3_rig_crash(&rig);
            s3_rig_prepare(&rig);
            assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
            continue;
        }
        s3_rig_answer(&rig, 200, "");
        struct bytes index = rig.step.http.body;
        const char *lost = strrchr(urls[1], '/');
        if (i == 2) assert_null(memmem(index.at, index.size, lost + 1, strlen(lost + 1)));
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
    }
    s3_rig_fini(&rig);
}

UNIT_TEST(test_letters_do_not_make_an_object_of_before_forgotten)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    add_letter(&rig, 7);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_body(&rig, LINE("1700000000000", "7"));
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_begin(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_histograms_and_exemplars_are_lines_of_their_own)
{
    struct s3_rig rig;
    struct s3_item m;
    s3_rig_init(&rig, 1);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_make_item(&m, 1, 0, "up", 0.5);
    m.item.kind = ITEM_EXEMPLAR;
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    s3_rig_make_item(&m, 2, 0, "down", 1);
    m.item.bits = 0x7ff0000000000002;
    m.item.start_ms = 77;
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_body(
        &rig, "{\"name\":\"up\",\"time\":1700000000001,\"value\":null,\"exemplars\":[{\"labels\":"
              "{},\"value\":0.5,\"time\":1700000000001}],\"labels\":{\"__name__\":\"up\",\"job\":"
              "\"x\"}}\n"
              "{\"name\":\"down\",\"time\":1700000000002,\"value\":null,\"bits\":"
              "\"7ff0000000000002\",\"start_ms\":77,\"labels\":{\"__name__\":\"down\",\"job\":"
              "\"x\"}}\n");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_where_the_prefix_names_the_tenant_objects_are_of_one)
{
    struct s3_rig rig;
    struct s3_item m;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.prefix = "t/${tenant}/x ${tenant}/";
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_make_item(&m, 1, 1, "up", 1);
    m.item.tenant = bytes_of_text("else");
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_FULL);
    static const char *const bad[] = {"..", ".", "a/b", "", "a\nb"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        m.item.tenant = bytes_of_text(bad[i]);
        assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_UNFIT);
        expect_in(rig.why.text, "tenant");
    }
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(&rig, "PUT",
                       HOST "/t/anonymous/x%20anonymous/2026/01/01/05/" INSTANCE "-1-1.0.ndjson");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_where_it_does_not_an_object_is_of_many)
{
    struct s3_rig rig;
    struct s3_item m;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.prefix = NULL;
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_make_item(&m, 1, 1, "up", 1);
    m.item.tenant = bytes_of_text("else");
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/2026/01/01/05/" INSTANCE "-1-1.1.ndjson");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_encryption_and_class_are_asked_for)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.sse = S3_SSE_KMS;
    rig.settings.u.s3.kms_key_id = "arn:aws:kms:eu-west-1:1:key/2";
    rig.settings.u.s3.storage_class = "STANDARD_IA";
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    assert_string_equal(s3_rig_header(&rig, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(s3_rig_header(&rig, "x-amz-server-side-encryption-aws-kms-key-id"),
                        "arn:aws:kms:eu-west-1:1:key/2");
    assert_string_equal(s3_rig_header(&rig, "x-amz-storage-class"), "STANDARD_IA");
    s3_rig_answer(&rig, 200, "");
    assert_string_equal(s3_rig_header(&rig, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(s3_rig_header(&rig, "x-amz-storage-class"),
                        ""); /* the index is written often */
    s3_rig_fini(&rig);
}

static size_t
unpack_gzip(struct bytes from, char *to, size_t room)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)from.at, .avail_in = (uInt)from.size};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_out = (Bytef *)to;
    z.avail_out = (uInt)room;
    while (z.avail_in > 0) {
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(inflateReset(&z), Z_OK);
    }
    inflateEnd(&z);
    return room - z.avail_out;
}

UNIT_TEST(test_packed_objects_hold_the_same_lines)
{
    static const char *const ends[] = {".ndjson", ".ndjson.gz", ".ndjson.zst"};
    enum { COUNT = 30000, ROOM = 4 * MIB };
    char *plain = malloc(ROOM), *packed = malloc(ROOM);
    size_t plain_size = 0;
    for (enum compression how = COMPRESSION_NONE; how <= COMPRESSION_ZSTD; how++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        rig.settings.u.s3.compression = how;
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        for (uint32_t i = 0; i < COUNT; i++)
            s3_rig_must_add(&rig, 1000 + i, 0);
        uint64_t guessed = s3_writer.bytes(rig.writer, rig.call);
        s3_rig_seal_and_save(&rig);
        struct bytes body = rig.step.http.body;
        size_t url_size = strlen(rig.step.http.url), end_size = strlen(ends[how]);
        assert_string_equal(rig.step.http.url + url_size - end_size, ends[how]);
        assert_in_range(guessed, body.size - body.size / 4, body.size + body.size / 4);
        if (how == COMPRESSION_NONE) {
            plain_size = body.size;
            assert_in_range(plain_size, 2 * MIB, ROOM);
            memcpy(plain, body.at, body.size);
        } else {
            size_t size = how == COMPRESSION_GZIP
                              ? unpack_gzip(body, packed, ROOM)
                              : ZSTD_decompress(packed, ROOM, body.at, body.size);
            assert_int_equal(size, plain_size);
            assert_memory_equal(packed, plain, plain_size);
            assert_true(body.size < plain_size / 5);
        }
        s3_rig_fini(&rig);
    }
    free(plain);
    free(packed);
}

UNIT_TEST(test_an_object_is_complete_at_its_size_or_age)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.roll_bytes = 5000;
    s3_rig_open(&rig);
    struct writer_limits limits = *writer_limits_of(rig.writer);
    assert_true(limits.one_lane);
    assert_int_equal(limits.bytes, 5000);
    assert_int_equal(limits.bytes_max, 5000);
    assert_int_equal(limits.max_age_ms, 300000);
    assert_false(limits.takes_metadata);
    assert_string_equal(limits.unit, "put_requests");
    uint64_t line = strlen(LINE("1700000000001", "1"));
    s3_rig_must_add(&rig, 1, 0);
    assert_int_equal(s3_writer.bytes(rig.writer, rig.call), line);
    s3_rig_must_add(&rig, 2, 0);
    assert_int_equal(s3_writer.bytes(rig.writer, rig.call), 2 * line);
    s3_rig_fini(&rig);
}

/* --- locations -------------------------------------------------------------------------------- */

static void
expect_url(const char *endpoint, const char *bucket, bool path_style, const char *want)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.endpoint = endpoint;
    rig.settings.u.s3.bucket = bucket;
    rig.settings.u.s3.path_style = path_style;
    rig.settings.u.s3.prefix = NULL;
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 1, 0);
    s3_rig_seal_and_save(&rig);
    expect_in(rig.step.http.url, "/2026/01/01/05/");
    char url[300];
    snprintf(url, sizeof url, "%s/2026/01/01/05/", want);
    assert_int_equal(strncmp(rig.step.http.url, url, strlen(url)), 0);
    s3_rig_fini(&rig);
}

UNIT_TEST(test_the_bucket_is_in_the_host_or_in_the_path)
{
    expect_url(NULL, "bucket", false, "https://bucket.s3.eu-west-1.amazonaws.com");
    expect_url(NULL, "bucket", true, "https://s3.eu-west-1.amazonaws.com/bucket");
    expect_url(NULL, "my.bucket", false, "https://s3.eu-west-1.amazonaws.com/my.bucket");
    expect_url("https://ceph.example.org/", "bucket", false, "https://bucket.ceph.example.org");
    expect_url("http://ceph:7480/s3", "my.bucket", false, "http://my.bucket.ceph:7480/s3");
    expect_url("http://127.0.0.1:9000", "bucket", false, "http://127.0.0.1:9000/bucket");
    expect_url("http://[::1]:9000", "bucket", false, "http://[::1]:9000/bucket");
}

UNIT_TEST(test_an_endpoint_that_is_not_a_url_is_refused)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.endpoint = "ftp://x";
    assert_int_equal(writer_new(&s3_writer, &rig.options, &rig.writer, &rig.why), ERR_INPUT);
    s3_rig_fini(&rig);
}

/* --- the index -------------------------------------------------------------------------------- */

static size_t
objects_in_index(const struct s3_rig *rig)
{
    json_t *index =
        json_loadb((const char *)rig->step.http.body.at, rig->step.http.body.size, 0, NULL);
    assert_non_null(index);
    size_t count = json_array_size(json_object_get(index, "objects"));
    json_decref(index);
    return count;
}

UNIT_TEST(test_the_index_gathers_the_objects_of_an_hour)
{
    struct s3_rig rig;
    struct s3_item m;
    s3_rig_init(&rig, 8);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    for (uint32_t i = 0; i < 6; i++) {
        if (i == 3) { /* it continues after a restart */
            s3_rig_crash(&rig);
            s3_rig_prepare(&rig);
        }
        s3_rig_must_add(&rig, 100 + i, 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
        assert_int_equal(objects_in_index(&rig), i + 1);
        s3_rig_answer(&rig, 200, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
    }
    s3_rig_make_item(&m, 200, 0, "up", 1); /* the next hour starts again */
    m.item.arrival_ms += 3600000;
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_call(&rig, "PUT", HOST "/m/2026/01/01/06/_" INSTANCE ".json");
    assert_int_equal(objects_in_index(&rig), 1);
    s3_rig_answer(&rig, 200, "");
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(s3_rig_files_in(&rig, "d/index"), 2);
    s3_rig_make_item(&m, 300, 0, "up", 1); /* hours long past are forgotten here */
    m.item.arrival_ms += 4 * 3600000;
    assert_int_equal(s3_rig_add_item(&rig, &m.item), WRITER_ADDED);
    s3_rig_seal_and_save(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/index"), 1);
    s3_rig_fini(&rig);
}

/* --- a dry run -------------------------------------------------------------------------------- */

UNIT_TEST(test_a_dry_run_touches_nothing)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 10);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_close(&rig);
    rig.settings.dry_run = true;
    s3_rig_open(&rig);
    for (uint32_t i = 0; i < 30000; i++)
        s3_rig_must_add(&rig, 500 + i, 0);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
    assert_true(s3_writer.bytes(rig.writer, rig.call) > 2 * MIB);
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1);
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_and_its_index_are_put),
        cmocka_unit_test(test_names_contain_the_first_and_last_position),
        cmocka_unit_test(test_the_times_of_an_object_are_those_of_its_oldest_and_newest_sample),
        cmocka_unit_test(test_letters_sent_again_have_names_that_never_come_again),
        cmocka_unit_test(test_letters_do_not_make_an_object_of_before_forgotten),
        cmocka_unit_test(test_histograms_and_exemplars_are_lines_of_their_own),
        cmocka_unit_test(test_where_the_prefix_names_the_tenant_objects_are_of_one),
        cmocka_unit_test(test_where_it_does_not_an_object_is_of_many),
        cmocka_unit_test(test_encryption_and_class_are_asked_for),
        cmocka_unit_test(test_packed_objects_hold_the_same_lines),
        cmocka_unit_test(test_an_object_is_complete_at_its_size_or_age),
        cmocka_unit_test(test_the_bucket_is_in_the_host_or_in_the_path),
        cmocka_unit_test(test_an_endpoint_that_is_not_a_url_is_refused),
        cmocka_unit_test(test_the_index_gathers_the_objects_of_an_hour),
        cmocka_unit_test(test_a_dry_run_touches_nothing),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
