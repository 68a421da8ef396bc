/*
 * s3_test.c - objects get their names and their bytes, and keep both whatever happens: answers of
 * all kinds, a crash at any moment, a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <zlib.h>
#include <zstd.h>

#include "backend/s3_testing.h"
#include "base/log.h"

#define HOST "https://our-metrics.s3.eu-west-1.amazonaws.com"
#define HOUR "m/2026/01/01/05/"
#define LINE(time, value)                                 \
    "{\"name\":\"up\",\"time\":" time ",\"value\":" value \
    ",\"labels\":{\"__name__\":\"up\",\"job\":\"x\"}}\n"

enum { MIB = 1 << 20 };

static void
expect_body(const struct s3_rig *rig, const char *want)
{
    if (!bytes_equal_text(rig->step.http.body, want)) {
        fail_msg("'%.*s' instead of '%s'", (int)rig->step.http.body.size,
                 (const char *)rig->step.http.body.at, want);
    }
}

/* --- names and bytes -------------------------------------------------------------------------- */

static void
test_an_object_and_its_index_are_put(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    must_add(&rig, 100, 1);
    must_add(&rig, 200, 0);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 0);
    seal_and_save(&rig);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
    expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-200.0.ndjson");
    expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "100")
                          LINE("1700000000200", "200"));
    assert_string_equal(header(&rig, "Content-Type"), "application/x-ndjson");
    assert_int_equal(strlen(header(&rig, "Content-MD5")), 24);
    assert_int_equal(strlen(header(&rig, "x-amz-content-sha256")), 64);
    assert_string_equal(header(&rig, "x-amz-server-side-encryption"), "");
    expect_in(header(&rig, "Authorization"), "/eu-west-1/s3/aws4_request");
    expect_in(header(&rig, "Authorization"), "content-md5");

    answer(&rig, 200, "");
    expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_string_equal(header(&rig, "Content-Type"), "application/json");
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

    answer(&rig, 200, "");
    expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(files_in(&rig, "d/objects"), 1); /* until that is durable */
    rig_save(&rig);
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    s3_rig_fini(&rig);
}

static void
expect_name(uint64_t first_pos, uint32_t first_index, uint64_t last_pos, uint32_t last_index,
            bool more, const char *want)
{
    struct s3_rig rig;
    char url[400];
    s3_rig_init(&rig, 1);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, first_pos, first_index);
    must_add(&rig, last_pos, last_index);
    if (more) { /* the next record was offered to the call that is filled next */
        struct writer_call *sending = rig.call;
        must(s3_writer.call_new(rig.writer, &rig.call));
        must_add(&rig, last_pos + 50, 0);
        s3_writer.call_clear(rig.writer, rig.call);
        s3_writer.call_free(rig.writer, rig.call);
        rig.call = sending;
    }
    seal_and_save(&rig);
    snprintf(url, sizeof url, HOST "/" HOUR INSTANCE "-%s.ndjson", want);
    expect_call(&rig, "PUT", url);
    s3_rig_fini(&rig);
}

static void
test_names_tell_first_and_last(void **state)
{
    (void)state;
    expect_name(100, 0, 200, 3, true, "100-200"); /* all of record 200 is in it */
    expect_name(100, 2, 200, 3, true, "100.2-200");
    expect_name(100, 0, 200, 3, false, "100-200.3"); /* more of 200 may come */
    expect_name(100, 5, 100, 6, false, "100.5-100.6");
}

static void
test_histograms_and_exemplars_are_lines_of_their_own(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct made_item m;
    s3_rig_init(&rig, 1);
    rig_open(&rig);
    prepare(&rig);
    make_item(&m, 1, 0, "up", 0.5);
    m.item.kind = ITEM_EXEMPLAR;
    assert_int_equal(add_item(&rig, &m.item), WRITER_ADDED);
    make_item(&m, 2, 0, "down", 1);
    m.item.bits = 0x7ff0000000000002;
    m.item.start_ms = 77;
    assert_int_equal(add_item(&rig, &m.item), WRITER_ADDED);
    seal_and_save(&rig);
    expect_body(&rig,
                "{\"name\":\"up\",\"time\":1700000000001,\"value\":null,\"exemplars\":[{\"labels\":"
                "{},\"value\":0.5,\"time\":1700000000001}],\"labels\":{\"__name__\":\"up\",\"job\":"
                "\"x\"}}\n"
                "{\"name\":\"down\",\"time\":1700000000002,\"value\":null,\"bits\":"
                "\"7ff0000000000002\",\"start_ms\":77,\"labels\":{\"__name__\":\"down\",\"job\":"
                "\"x\"}}\n");
    s3_rig_fini(&rig);
}

static void
test_where_the_prefix_names_the_tenant_objects_are_of_one(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct made_item m;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.prefix = "t/${tenant}/x ${tenant}/";
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 1, 0);
    make_item(&m, 1, 1, "up", 1);
    m.item.tenant = bytes_of_text("else");
    assert_int_equal(add_item(&rig, &m.item), WRITER_FULL);
    static const char *const bad[] = {"..", ".", "a/b", "", "a\nb"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        m.item.tenant = bytes_of_text(bad[i]);
        assert_int_equal(add_item(&rig, &m.item), WRITER_UNFIT);
        expect_in(rig.why.text, "tenant");
    }
    seal_and_save(&rig);
    expect_call(&rig, "PUT",
                HOST "/t/anonymous/x%20anonymous/2026/01/01/05/" INSTANCE "-1-1.0.ndjson");
    s3_rig_fini(&rig);
}

static void
test_where_it_does_not_an_object_is_of_many(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct made_item m;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.prefix = NULL;
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 1, 0);
    make_item(&m, 1, 1, "up", 1);
    m.item.tenant = bytes_of_text("else");
    assert_int_equal(add_item(&rig, &m.item), WRITER_ADDED);
    seal_and_save(&rig);
    expect_call(&rig, "PUT", HOST "/2026/01/01/05/" INSTANCE "-1-1.1.ndjson");
    s3_rig_fini(&rig);
}

static void
test_encryption_and_class_are_asked_for(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.sse = S3_SSE_KMS;
    rig.settings.u.s3.kms_key_id = "arn:aws:kms:eu-west-1:1:key/2";
    rig.settings.u.s3.storage_class = "STANDARD_IA";
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 1, 0);
    seal_and_save(&rig);
    assert_string_equal(header(&rig, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(header(&rig, "x-amz-server-side-encryption-aws-kms-key-id"),
                        "arn:aws:kms:eu-west-1:1:key/2");
    assert_string_equal(header(&rig, "x-amz-storage-class"), "STANDARD_IA");
    answer(&rig, 200, "");
    assert_string_equal(header(&rig, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(header(&rig, "x-amz-storage-class"), ""); /* the index is written often */
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

static void
test_packed_objects_hold_the_same_lines(void **state)
{
    (void)state;
    static const char *const ends[] = {".ndjson", ".ndjson.gz", ".ndjson.zst"};
    enum { COUNT = 30000, ROOM = 4 * MIB };
    char *plain = malloc(ROOM), *packed = malloc(ROOM);
    size_t plain_size = 0;
    for (enum compression how = COMPRESSION_NONE; how <= COMPRESSION_ZSTD; how++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        rig.settings.u.s3.compression = how;
        rig_open(&rig);
        prepare(&rig);
        for (uint32_t i = 0; i < COUNT; i++) {
            must_add(&rig, 1000 + i, 0);
        }
        uint64_t guessed = s3_writer.bytes(rig.writer, rig.call);
        seal_and_save(&rig);
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

static void
test_an_object_is_complete_at_its_size_or_age(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.roll_bytes = 5000;
    rig_open(&rig);
    struct writer_limits limits = s3_writer.limits(rig.writer);
    assert_true(limits.one_lane);
    assert_int_equal(limits.bytes, 5000);
    assert_int_equal(limits.bytes_max, 5000);
    assert_int_equal(limits.max_age_ms, 300000);
    assert_false(limits.takes_metadata);
    assert_string_equal(limits.unit, "put_requests");
    uint64_t line = strlen(LINE("1700000000001", "1"));
    must_add(&rig, 1, 0);
    assert_int_equal(s3_writer.bytes(rig.writer, rig.call), line);
    must_add(&rig, 2, 0);
    assert_int_equal(s3_writer.bytes(rig.writer, rig.call), 2 * line);
    s3_rig_fini(&rig);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void
test_refusals_have_their_verdicts(void **state)
{
    (void)state;
#define ERROR(code) \
    "<?xml version=\"1.0\"?>\n<Error><Code>" code "</Code><Message>m</Message></Error>"
    static const struct {
        unsigned status;
        const char *body;
        enum writer_verdict verdict;
        const char *reason;
    } cases[] = {
        {503, ERROR("SlowDown"), VERDICT_THROTTLED, "throttled"},
        {500, ERROR("InternalError"), VERDICT_RETRY, "unavailable"},
        {400, ERROR("RequestTimeout"), VERDICT_RETRY, "unavailable"},
        {400, ERROR("BadDigest"), VERDICT_RETRY, "damaged"},
        {403, ERROR("AccessDenied"), VERDICT_BLOCKED, "access_denied"},
        {404, ERROR("NoSuchBucket"), VERDICT_BLOCKED, "not_found"},
        {400, ERROR("InvalidStorageClass"), VERDICT_BLOCKED, "http_400"},
        {413, "", VERDICT_BLOCKED, "http_413"},
        {400, ERROR("EntityTooLarge"), VERDICT_BLOCKED, "too_large"},
        {400, ERROR("ExpiredToken"), VERDICT_UNPREPARED, "credentials"},
        {200, "\n \n" ERROR("InternalError"), VERDICT_RETRY, "unavailable"},
        {429, "", VERDICT_THROTTLED, "http_429"},
        {502, "<html>", VERDICT_RETRY, "http_502"},
    };
    for (unsigned at_index = 0; at_index < 2; at_index++) { /* to the object, and to its index */
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct s3_rig rig;
            s3_rig_init(&rig, 1);
            rig_open(&rig);
            prepare(&rig);
            must_add(&rig, 1, 0);
            seal_and_save(&rig);
            if (at_index) answer(&rig, 200, "");
            char url[400];
            snprintf(url, sizeof url, "%s", rig.step.http.url);
            answer(&rig, cases[i].status, cases[i].body);
            expect_done(&rig, cases[i].verdict, cases[i].reason);
            if (cases[i].verdict == VERDICT_UNPREPARED) {
                assert_true(s3_writer.need_prepare(rig.writer));
                s3_rig_fini(&rig);
                continue;
            }
            begin(&rig); /* the same again */
            expect_call(&rig, "PUT", url);
            answer(&rig, 200, "");
            if (!at_index) answer(&rig, 200, "");
            expect_done(&rig, VERDICT_DELIVERED, "");
            s3_rig_fini(&rig);
        }
    }
#undef ERROR
}

static void
test_silence_is_asked_again(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 1, 0);
    seal_and_save(&rig);
    struct http_call_answer a = silence_of(HTTP_CALL_TIMEOUT, "timed out");
    take(&rig, &a);
    expect_done(&rig, VERDICT_RETRY, "timeout");
    begin(&rig);
    a = silence_of(HTTP_CALL_TLS, "no trust");
    take(&rig, &a);
    expect_done(&rig, VERDICT_BLOCKED, "tls");
    s3_rig_fini(&rig);
}

static void
test_the_right_region_is_learnt_and_remembered(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body;
        const char *region;   /* header */
        const char *location; /* header */
    } cases[] = {
        {400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>",
         "", ""},
        {301, "<Error><Code>PermanentRedirect</Code></Error>", "us-west-2", ""},
        {307, "<Error><Code>TemporaryRedirect</Code></Error>", "",
         "https://our-metrics.s3.us-west-2.amazonaws.com/x"},
        {307, "", "", "https://our-metrics.s3-us-west-2.amazonaws.com/x"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        rig_open(&rig);
        prepare(&rig);
        must_add(&rig, 1, 0);
        seal_and_save(&rig);
        struct http_call_answer a = answer_of(cases[i].status, cases[i].body);
        snprintf(a.wanted[2], sizeof a.wanted[2], "%s", cases[i].region);
        snprintf(a.wanted[3], sizeof a.wanted[3], "%s", cases[i].location);
        take(&rig, &a);
        expect_done(&rig, VERDICT_AGAIN, "region");
        begin(&rig);
        assert_int_equal(
            strncmp(rig.step.http.url, "https://our-metrics.s3.us-west-2.amazonaws.com/", 47), 0);
        expect_in(header(&rig, "Authorization"), "/us-west-2/s3/");
        take(&rig, &a); /* the same once more teaches nothing */
        assert_int_equal(rig.step.verdict, VERDICT_BLOCKED);
        rig_save(&rig);
        rig_crash(&rig);
        prepare(&rig);
        must_add(&rig, 1, 0);
        begin(&rig);
        expect_in(rig.step.http.url, "us-west-2");
        /* Other settings, and it is forgotten. */
        rig_close(&rig);
        rig.settings.aws.region = "eu-north-1";
        rig_open(&rig);
        prepare(&rig);
        must_add(&rig, 1, 0);
        begin(&rig);
        expect_in(rig.step.http.url, "eu-north-1");
        s3_rig_fini(&rig);
    }
}

static void
test_a_wrong_region_name_is_no_lesson(void **state)
{
    (void)state;
    static const char *const names[] = {"x.example.org/", "UPPER", "eu-west-1", "-", "a b"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        rig_open(&rig);
        prepare(&rig);
        must_add(&rig, 1, 0);
        seal_and_save(&rig);
        struct http_call_answer a = answer_of(301, "");
        snprintf(a.wanted[2], sizeof a.wanted[2], "%s", names[i]);
        take(&rig, &a);
        expect_done(&rig, VERDICT_BLOCKED, "http_301");
        begin(&rig);
        expect_in(rig.step.http.url, HOST);
        s3_rig_fini(&rig);
    }
}

/* --- where ------------------------------------------------------------------------------------ */

static void
expect_url(const char *endpoint, const char *bucket, bool path_style, const char *want)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.endpoint = endpoint;
    rig.settings.u.s3.bucket = bucket;
    rig.settings.u.s3.path_style = path_style;
    rig.settings.u.s3.prefix = NULL;
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 1, 0);
    seal_and_save(&rig);
    expect_in(rig.step.http.url, "/2026/01/01/05/");
    char url[300];
    snprintf(url, sizeof url, "%s/2026/01/01/05/", want);
    assert_int_equal(strncmp(rig.step.http.url, url, strlen(url)), 0);
    s3_rig_fini(&rig);
}

static void
test_the_bucket_stands_in_the_host_or_in_the_path(void **state)
{
    (void)state;
    expect_url(NULL, "bucket", false, "https://bucket.s3.eu-west-1.amazonaws.com");
    expect_url(NULL, "bucket", true, "https://s3.eu-west-1.amazonaws.com/bucket");
    expect_url(NULL, "my.bucket", false, "https://s3.eu-west-1.amazonaws.com/my.bucket");
    expect_url("https://ceph.example.org/", "bucket", false, "https://bucket.ceph.example.org");
    expect_url("http://ceph:7480/s3", "my.bucket", false, "http://my.bucket.ceph:7480/s3");
    expect_url("http://127.0.0.1:9000", "bucket", false, "http://127.0.0.1:9000/bucket");
    expect_url("http://[::1]:9000", "bucket", false, "http://[::1]:9000/bucket");
}

static void
test_settings_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const buckets[] = {"ab", "a/b", "..x", "a b c", "arn:aws:s3:::x"};
    for (unsigned i = 0; i < sizeof buckets / sizeof *buckets; i++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 1);
        rig.settings.u.s3.bucket = buckets[i];
        assert_int_equal(s3_writer.create(&rig.options, &rig.writer, &rig.why), ERR_INPUT);
        expect_in(rig.why.text, "bucket");
        s3_rig_fini(&rig);
    }
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.endpoint = "ftp://x";
    assert_int_equal(s3_writer.create(&rig.options, &rig.writer, &rig.why), ERR_INPUT);
    s3_rig_fini(&rig);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
answer_created(struct s3_rig *rig, int number)
{
    char body[200];
    snprintf(body, sizeof body,
             "<InitiateMultipartUploadResult><UploadId>id/%d</UploadId>"
             "</InitiateMultipartUploadResult>",
             number);
    answer(rig, 200, body);
}

/* An object of two parts and a bit. */
static void
add_large(struct s3_rig *rig)
{
    for (uint32_t i = 0; s3_writer.bytes(rig->writer, rig->call) < 17 * MIB; i++) {
        must_add(rig, 1000 + i, 0);
    }
}

static void
expect_part(struct s3_rig *rig, unsigned number, int upload)
{
    char want[64];
    snprintf(want, sizeof want, "?partNumber=%u&uploadId=id%%2F%d", number, upload);
    assert_int_equal(rig->step.next, WRITER_SEND);
    assert_string_equal(rig->step.http.method, "PUT");
    expect_in(rig->step.http.url, want);
    assert_int_equal(strlen(header(rig, "Content-MD5")), 24);
    assert_string_equal(header(rig, "x-amz-storage-class"), "");
    if (number < 3) assert_int_equal(rig->step.http.body.size, 8 * MIB);
}

static void
test_a_large_object_goes_in_parts(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 1);
    rig.settings.u.s3.storage_class = "GLACIER_IR";
    rig_open(&rig);
    prepare(&rig);
    add_large(&rig);
    uint64_t size = s3_writer.bytes(rig.writer, rig.call);
    seal_and_save(&rig);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 6);
    assert_string_equal(rig.step.http.method, "POST");
    expect_in(rig.step.http.url, ".ndjson?uploads=");
    assert_string_equal(header(&rig, "x-amz-storage-class"), "GLACIER_IR");
    assert_string_equal(header(&rig, "Content-Type"), "application/x-ndjson");
    assert_true(budget_used(&rig.memory) < 12 * MIB);

    answer(&rig, 200, "<InitiateMultipartUploadResult/>"); /* says nothing of use */
    expect_done(&rig, VERDICT_RETRY, "odd_answer");
    begin(&rig);
    answer_created(&rig, 1);
    expect_part(&rig, 1, 1);
    assert_true(budget_used(&rig.memory) < 12 * MIB);
    answer_etag(&rig, "\"e1\"");
    expect_part(&rig, 2, 1);
    answer(&rig, 503, "<Error><Code>SlowDown</Code></Error>"); /* it goes on where it was */
    expect_done(&rig, VERDICT_THROTTLED, "throttled");
    begin(&rig);
    expect_part(&rig, 2, 1);
    answer_etag(&rig, "");
    expect_done(&rig, VERDICT_RETRY, "odd_answer");
    begin(&rig);
    answer_etag(&rig, "<e2>");
    expect_done(&rig, VERDICT_RETRY, "odd_answer");
    begin(&rig);
    expect_part(&rig, 2, 1);
    answer_etag(&rig, "\"e2\"");
    expect_part(&rig, 3, 1);
    assert_int_equal(rig.step.http.body.size, size - 16 * MIB);
    answer_etag(&rig, "\"e3\"");
    assert_string_equal(rig.step.http.method, "POST");
    expect_in(rig.step.http.url, ".ndjson?uploadId=id%2F1");
    expect_body(&rig, "<CompleteMultipartUpload>"
                      "<Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part>"
                      "<Part><PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part>"
                      "<Part><PartNumber>3</PartNumber><ETag>\"e3\"</ETag></Part>"
                      "</CompleteMultipartUpload>");
    answer(&rig, 200, "\n\n <?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>");
    expect_done(&rig, VERDICT_RETRY, "unavailable");
    begin(&rig);
    answer(&rig, 200, "");
    expect_done(&rig, VERDICT_RETRY, "odd_answer");
    begin(&rig);
    expect_in(rig.step.http.url, ".ndjson?uploadId=id%2F1");
    answer(&rig, 200,
           " <CompleteMultipartUploadResult><ETag>x</ETag>"
           "</CompleteMultipartUploadResult>");
    expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_true(budget_used(&rig.memory) < 4 * MIB);
    answer(&rig, 200, "");
    expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
}

static void
test_a_lost_upload_is_begun_anew(void **state)
{
    (void)state;
    static const char *const codes[] = {"NoSuchUpload", "InvalidPart", "InvalidPartOrder"};
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        for (unsigned parts = 0; parts <= 3; parts++) {
            struct s3_rig rig;
            char body[100];
            snprintf(body, sizeof body, "<Error><Code>%s</Code></Error>", codes[i]);
            s3_rig_init(&rig, 1);
            rig_open(&rig);
            prepare(&rig);
            add_large(&rig);
            seal_and_save(&rig);
            answer_created(&rig, 1);
            for (unsigned k = 0; k < parts; k++) {
                answer_etag(&rig, "\"e\"");
            }
            answer(&rig, 404, body);
            expect_done(&rig, VERDICT_AGAIN, "upload_lost");
            begin(&rig);
            expect_in(rig.step.http.url, "?uploads=");
            answer_created(&rig, 2);
            expect_part(&rig, 1, 2);
            s3_rig_fini(&rig);
        }
    }
}

/* --- crashes ---------------------------------------------------------------------------------- */

static void
keep_body(struct buf *to, const struct s3_rig *rig)
{
    buf_clear(to);
    buf_put_text(to, rig->step.http.url);
    buf_put_u8(to, 0);
    buf_put_bytes(to, rig->step.http.body);
    must(buf_error(to));
}

static void
expect_same(const struct buf *kept, const struct s3_rig *rig)
{
    assert_int_equal(rig->step.next, WRITER_SEND);
    assert_string_equal(rig->step.http.url, (const char *)kept->at);
    size_t from = strlen((const char *)kept->at) + 1;
    assert_true(bytes_equal(bytes_of(kept->at + from, kept->size - from), rig->step.http.body));
}

static void
test_after_a_crash_the_same_goes_out_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct s3_rig rig;
        struct buf kept;
        buf_init(&kept, NULL, 8 * MIB);
        s3_rig_init(&rig, seed);
        rig.settings.u.s3.compression = COMPRESSION_ZSTD;
        rig_open(&rig);
        prepare(&rig);
        for (uint32_t i = 0; i < 50; i++) {
            must_add(&rig, 100 + i / 10, i % 10);
        }
        seal_and_save(&rig);
        keep_body(&kept, &rig);
        if (seed % 2 == 0) answer(&rig, 200, ""); /* it arrived, or nobody knows */
        rig_crash(&rig);
        prepare(&rig);
        assert_int_equal(files_in(&rig, "d/objects"), 1);
        /* From somewhere in the middle, as far as it was settled. */
        for (uint32_t i = (uint32_t)seed; i < 50; i++) {
            assert_int_equal(s3_writer.bytes(rig.writer, rig.call), 0);
            must_add(&rig, 100 + i / 10, i % 10);
        }
        assert_true(s3_writer.bytes(rig.writer, rig.call) > 0);
        assert_int_equal(add(&rig, 105, 0), WRITER_FULL);
        assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
        begin(&rig);
        expect_same(&kept, &rig);
        answer(&rig, 200, "");
        expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
        struct bytes index = rig.step.http.body;
        assert_non_null(memmem(index.at, index.size, "\"metrics\":[\"up\"]", 16));
        assert_non_null(memmem(index.at, index.size, "\"all_metrics\":true", 18));
        answer(&rig, 200, "");
        expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        rig_save(&rig);
        assert_int_equal(files_in(&rig, "d/objects"), 0);
        must_add(&rig, 105, 0); /* and then new ones */
        seal_and_save(&rig);
        expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-105-105.0.ndjson.zst");
        s3_rig_fini(&rig);
        buf_fini(&kept);
    }
}

static void
test_items_of_an_adopted_object_may_come_in_several_calls(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct buf kept;
    buf_init(&kept, NULL, 8 * MIB);
    s3_rig_init(&rig, 3);
    rig_open(&rig);
    prepare(&rig);
    for (uint32_t i = 0; i < 10; i++) {
        must_add(&rig, 100 + i, 0);
    }
    seal_and_save(&rig);
    keep_body(&kept, &rig);
    rig_crash(&rig);
    prepare(&rig);
    for (uint32_t i = 0; i < 4; i++) {
        must_add(&rig, 100 + i, 0);
    }
    begin(&rig); /* its age, say */
    expect_same(&kept, &rig);
    answer(&rig, 200, "");
    answer(&rig, 200, "");
    expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    rig_save(&rig);
    rig_crash(&rig); /* those that are left are still of that object */
    prepare(&rig);
    for (uint32_t i = 4; i < 7; i++) {
        must_add(&rig, 100 + i, 0);
    }
    begin(&rig);
    expect_same(&kept, &rig);
    answer(&rig, 200, "");
    answer(&rig, 200, "");
    s3_writer.call_clear(rig.writer, rig.call);
    for (uint32_t i = 7; i < 10; i++) {
        must_add(&rig, 100 + i, 0);
    }
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 0);
    begin(&rig); /* it has arrived already */
    expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    rig_save(&rig);
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    s3_rig_fini(&rig);
    buf_fini(&kept);
}

static void
test_what_was_unfit_is_unfit_within_an_adopted_object(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct made_item bad;
    s3_rig_init(&rig, 3);
    rig.settings.u.s3.prefix = "${tenant}/";
    rig_open(&rig);
    prepare(&rig);
    make_item(&bad, 101, 0, "up", 1);
    bad.item.tenant = bytes_of_text("..");
    for (unsigned round = 0; round < 2; round++) {
        must_add(&rig, 100, 0);
        assert_int_equal(add_item(&rig, &bad.item), WRITER_UNFIT);
        must_add(&rig, 102, 0);
        begin(&rig);
        if (rig.step.next == WRITER_SAVE) rig_save(&rig);
        if (round == 0) rig_crash(&rig);
        if (round == 0) prepare(&rig);
    }
    expect_in(rig.step.http.url, "-100-102.0.ndjson");
    s3_rig_fini(&rig);
}

static void
test_an_adopted_object_whose_items_are_over_goes(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 4);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    seal_and_save(&rig);
    rig_crash(&rig);
    prepare(&rig);
    must_add(&rig, 200, 0); /* the log was cut, as with on_full: drop_oldest */
    seal_and_save(&rig);
    expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-200-200.0.ndjson");
    assert_int_equal(files_in(&rig, "d/objects"), 1);
    s3_rig_fini(&rig);
}

static void
test_what_was_not_sealed_goes_with_a_crash(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 5);
    rig_open(&rig);
    rig_save(&rig);
    for (uint32_t i = 0; i < 30000; i++) {
        must_add(&rig, 100 + i, 0);
    }
    assert_int_equal(files_in(&rig, "d/objects"), 1);
    rig_close(&rig);
    sim_env_kill(rig.sim);
    rig_open(&rig);
    rig_save(&rig); /* as with the first step */
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    /* And so what was sealed, but never saved. */
    must_add(&rig, 100, 0);
    begin(&rig);
    assert_int_equal(rig.step.next, WRITER_SAVE);
    rig_crash(&rig);
    prepare(&rig);
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    must_add(&rig, 100, 0);
    must_add(&rig, 101, 0);
    seal_and_save(&rig);
    expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-101.0.ndjson");
    answer(&rig, 200, "");
    struct bytes index = rig.step.http.body;
    assert_null(memmem(index.at, index.size, "-100-100.0", 10));
    assert_non_null(memmem(index.at, index.size, "-100-101.0", 10));
    s3_rig_fini(&rig);
}

static void
test_with_other_settings_an_object_is_made_again(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 6);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    must_add(&rig, 101, 0);
    seal_and_save(&rig);
    rig_close(&rig);
    const char *select[] = {"{job=\"x\"}"};
    rig.settings.select = (struct text_list){select, 1};
    rig_open(&rig);
    prepare(&rig);
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    must_add(&rig, 101, 0);
    seal_and_save(&rig);
    expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-101-101.0.ndjson");
    expect_body(&rig, LINE("1700000000101", "101"));
    s3_rig_fini(&rig);
}

static void
test_an_object_whose_file_is_gone_is_made_again(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        struct s3_rig rig;
        struct file file;
        s3_rig_init(&rig, 6);
        rig_open(&rig);
        prepare(&rig);
        must_add(&rig, 100, 0);
        seal_and_save(&rig);
        rig_close(&rig);
        if (cut) {
            must(file_open(rig.options.env, "d/objects/0000000001", FILE_UPDATE, &file, NULL));
            must(file_truncate(&file, 10, NULL));
            file_close(&file);
        } else {
            must(env_unlink(rig.options.env, "d/objects/0000000001", NULL));
        }
        rig_open(&rig);
        prepare(&rig);
        must_add(&rig, 100, 0);
        assert_int_equal(s3_writer.bytes(rig.writer, rig.call),
                         strlen(LINE("1700000000100", "100")));
        seal_and_save(&rig);
        expect_body(&rig, LINE("1700000000100", "100"));
        s3_rig_fini(&rig);
    }
}

static void
test_saved_nonsense_is_as_nothing(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct buf whole;
    s3_rig_init(&rig, 7);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    seal_and_save(&rig);
    rig_close(&rig);
    buf_init(&whole, NULL, SAVED_MAX);
    buf_put_bytes(&whole, buf_bytes(&rig.saved));
    for (size_t size = 0; size < whole.size; size++) { /* cut anywhere */
        rig.saved.size = size;
        rig_open(&rig);
        must_add(&rig, 100, 0);
        rig_close(&rig);
    }
    for (size_t i = 0; i < whole.size; i++) { /* or changed */
        memcpy(rig.saved.at, whole.at, whole.size);
        rig.saved.size = whole.size;
        rig.saved.at[i] ^= 0xff;
        rig_open(&rig);
        rig_close(&rig);
    }
    buf_fini(&whole);
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

static void
test_the_index_gathers_the_objects_of_an_hour(void **state)
{
    (void)state;
    struct s3_rig rig;
    struct made_item m;
    s3_rig_init(&rig, 8);
    rig_open(&rig);
    prepare(&rig);
    for (uint32_t i = 0; i < 6; i++) {
        if (i == 3) { /* it goes on after a restart */
            rig_crash(&rig);
            prepare(&rig);
        }
        must_add(&rig, 100 + i, 0);
        seal_and_save(&rig);
        answer(&rig, 200, "");
        expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
        assert_int_equal(objects_in_index(&rig), i + 1);
        answer(&rig, 200, "");
        s3_writer.call_clear(rig.writer, rig.call);
        rig_save(&rig);
    }
    make_item(&m, 200, 0, "up", 1); /* the next hour begins anew */
    m.item.arrival_ms += 3600000;
    assert_int_equal(add_item(&rig, &m.item), WRITER_ADDED);
    seal_and_save(&rig);
    answer(&rig, 200, "");
    expect_call(&rig, "PUT", HOST "/m/2026/01/01/06/_" INSTANCE ".json");
    assert_int_equal(objects_in_index(&rig), 1);
    answer(&rig, 200, "");
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(files_in(&rig, "d/index"), 2);
    make_item(&m, 300, 0, "up", 1); /* what is long past is forgotten here */
    m.item.arrival_ms += 4 * 3600000;
    assert_int_equal(add_item(&rig, &m.item), WRITER_ADDED);
    seal_and_save(&rig);
    assert_int_equal(files_in(&rig, "d/index"), 1);
    s3_rig_fini(&rig);
}

/* --- the disk --------------------------------------------------------------------------------- */

static void
test_a_full_disk_is_waited_for(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 9);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    fault_env_arm(rig.fe, (struct fault){FAULT_ENOSPC, 1, true});
    begin(&rig);
    expect_done(&rig, VERDICT_RETRY, "disk_full");
    begin(&rig);
    expect_done(&rig, VERDICT_RETRY, "disk_full");
    fault_env_disarm(rig.fe);
    seal_and_save(&rig);
    expect_body(&rig, LINE("1700000000100", "100"));
    s3_rig_fini(&rig);
}

static void
test_a_call_that_the_disk_cannot_take_is_full(void **state)
{
    (void)state;
    struct s3_rig rig;
    uint32_t i = 0;
    s3_rig_init(&rig, 9);
    rig_open(&rig);
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, true});
    while (add(&rig, 100 + i, 0) == WRITER_ADDED) {
        assert_true(++i < 100000);
    }
    assert_int_equal(add(&rig, 100 + i, 0), WRITER_FULL);
    fault_env_disarm(rig.fe);
    must_add(&rig, 100 + i, 0);
    s3_rig_fini(&rig);
}

/* Every call that can fail, once: the object arrives whole in the end. */
static void
test_any_failure_of_the_disk_costs_another_attempt_only(void **state)
{
    (void)state;
    static const enum fault_kind kinds[] = {FAULT_EIO, FAULT_TORN, FAULT_SYNC, FAULT_SHORT};
    for (unsigned kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
        for (unsigned nth = 1;; nth++) {
            struct s3_rig rig;
            s3_rig_init(&rig, nth);
            rig_open(&rig);
            prepare(&rig);
            fault_env_arm(rig.fe, (struct fault){kinds[kind], nth, false});
            unsigned tries = 0;
            must_add(&rig, 100, 0);
            must_add(&rig, 101, 0);
            begin(&rig);
            while (rig.step.next != WRITER_SEND) {
                assert_true(++tries < 20);
                if (rig.step.next == WRITER_DONE && rig.step.verdict == VERDICT_REBUILD) {
                    s3_writer.call_clear(rig.writer, rig.call);
                    must_add(&rig, 100, 0);
                    must_add(&rig, 101, 0);
                } else if (rig.step.next == WRITER_DONE) {
                    assert_int_equal(rig.step.verdict, VERDICT_RETRY);
                } else {
                    buf_clear(&rig.saved);
                    s3_writer.save(rig.writer, &rig.saved);
                    if (s3_writer.saved(rig.writer, &rig.why) != OK) {
                        must(s3_writer.saved(rig.writer, &rig.why));
                    }
                }
                begin(&rig);
            }
            bool fired = fault_env_fired(rig.fe);
            fault_env_disarm(rig.fe);
            expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-101.0.ndjson");
            expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "101"));
            /* And it is durable: a crash now, and the same goes out. */
            rig_crash(&rig);
            prepare(&rig);
            must_add(&rig, 100, 0);
            begin(&rig);
            expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000101", "101"));
            s3_rig_fini(&rig);
            if (!fired) break;
        }
    }
}

static void
test_a_dry_run_touches_nothing(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 10);
    rig_open(&rig);
    prepare(&rig);
    must_add(&rig, 100, 0);
    seal_and_save(&rig);
    rig_close(&rig);
    rig.settings.dry_run = true;
    rig_open(&rig);
    for (uint32_t i = 0; i < 30000; i++) {
        must_add(&rig, 500 + i, 0);
    }
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
    assert_true(s3_writer.bytes(rig.writer, rig.call) > 2 * MIB);
    s3_writer.call_clear(rig.writer, rig.call);
    assert_int_equal(files_in(&rig, "d/objects"), 1);
    s3_rig_fini(&rig);
}

/* --- before, and checks ----------------------------------------------------------------------- */

static void
prepare_answer(struct s3_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    assert_int_equal(rig->step.next, WRITER_SEND);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig->writer, &a, &rig->step);
}

static void
test_uploads_that_a_crash_left_are_aborted(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 11);
    rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    expect_call(&rig, "GET", HOST "/?uploads=&max-uploads=200&prefix=m%2F");
    prepare_answer(
        &rig, 200,
        "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>"
        "<NextKeyMarker>k&amp;1</NextKeyMarker><NextUploadIdMarker>i/1</NextUploadIdMarker>"
        "<Upload><Key>m/2026/01/01/05/" INSTANCE "-1-2.ndjson</Key>"
        "<UploadId>a/1</UploadId></Upload>"
        "<Upload><Key>m/2026/01/01/05/fedcba-1-2.ndjson</Key><UploadId>b</UploadId></Upload>"
        "<Upload><Key>" INSTANCE "-3-4.ndjson</Key><UploadId>c</UploadId></Upload>"
        "</ListMultipartUploadsResult>");
    expect_call(&rig, "DELETE", HOST "/m/2026/01/01/05/" INSTANCE "-1-2.ndjson?uploadId=a%2F1");
    prepare_answer(&rig, 204, "");
    expect_call(&rig, "DELETE", HOST "/" INSTANCE "-3-4.ndjson?uploadId=c");
    prepare_answer(&rig, 404, "<Error><Code>NoSuchUpload</Code></Error>");
    expect_call(&rig, "GET",
                HOST "/?uploads=&max-uploads=200&prefix=m%2F&key-marker=k%261&upload-id-marker="
                     "i%2F1");
    prepare_answer(&rig, 200, NO_UPLOADS);
    expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

static void
test_without_leave_to_look_for_uploads_all_goes_on(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 11);
    rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    prepare_answer(&rig, 403, "<Error><Code>AccessDenied</Code></Error>");
    expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 7200 * NS_PER_S);
    assert_false(s3_writer.need_prepare(rig.writer));
    rig_close(&rig);
    rig_open(&rig); /* what passes is tried again */
    rig.step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig.writer, NULL, &rig.step);
    prepare_answer(&rig, 501, "<Error><Code>NotImplemented</Code></Error>");
    expect_done(&rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig.writer));
    sim_env_advance_ns(rig.sim, 3700 * NS_PER_S);
    assert_true(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

static void
test_an_upload_that_is_given_up_is_aborted_later(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 12);
    rig_open(&rig);
    prepare(&rig);
    add_large(&rig);
    seal_and_save(&rig);
    answer_created(&rig, 1);
    answer(&rig, 503, "");
    s3_writer.call_clear(rig.writer, rig.call); /* give_up_after */
    assert_int_equal(files_in(&rig, "d/objects"), 1);
    rig_save(&rig);
    assert_int_equal(files_in(&rig, "d/objects"), 0);
    sim_env_advance_ns(rig.sim, 3700 * NS_PER_S);
    assert_true(s3_writer.need_prepare(rig.writer));
    s3_rig_fini(&rig);
}

static void
test_without_keys_nothing_is_sent(void **state)
{
    (void)state;
    struct s3_rig rig;
    s3_rig_init(&rig, 13);
    rig_open(&rig);
    must_add(&rig, 100, 0);
    seal_and_save(&rig);
    expect_done(&rig, VERDICT_UNPREPARED, "credentials");
    prepare(&rig);
    begin(&rig);
    expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_fini(&rig);
}

static void
test_checks_say_what_is_there_and_what_is_needed(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        enum writer_verdict verdict;
        const char *says;
    } cases[] = {
        {200, VERDICT_DELIVERED, "bucket our-metrics is there, in region eu-west-1"},
        {403, VERDICT_BLOCKED, "s3:ListBucket"},
        {404, VERDICT_BLOCKED, "there is no bucket our-metrics"},
    };
    struct s3_rig rig;
    char what[WRITER_ANSWER_BYTES];
    s3_rig_init(&rig, 14);
    rig.settings.u.s3.sse = S3_SSE_KMS;
    rig_open(&rig);
    prepare(&rig);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer a = answer_of(cases[i].status, "");
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, 1, NULL, &rig.step, what));
        expect_call(&rig, "HEAD", HOST "/");
        expect_in(what, "our-metrics");
        assert_true(s3_writer.check(rig.writer, 1, &a, &rig.step, what));
        assert_int_equal(rig.step.next, WRITER_DONE);
        assert_int_equal(rig.step.verdict, cases[i].verdict);
        expect_in(rig.step.answer, cases[i].says);
    }
    struct http_call_answer moved = answer_of(301, ""); /* to another region: asked there at once */
    snprintf(moved.wanted[2], sizeof moved.wanted[2], "us-west-2");
    assert_true(s3_writer.check(rig.writer, 1, NULL, &rig.step, what));
    assert_true(s3_writer.check(rig.writer, 1, &moved, &rig.step, what));
    expect_call(&rig, "HEAD", "https://our-metrics.s3.us-west-2.amazonaws.com/");
    assert_true(s3_writer.check(rig.writer, 4, NULL, &rig.step, what));
    expect_done(&rig, VERDICT_DELIVERED, "");
    expect_in(rig.step.answer, "s3:PutObject");
    expect_in(rig.step.answer, "arn:aws:s3:::our-metrics/m/*");
    expect_in(rig.step.answer, "kms:GenerateDataKey");
    assert_false(s3_writer.check(rig.writer, 5, NULL, &rig.step, what));
    s3_rig_fini(&rig);
}

/* An upload that is not there is asked for: nothing is stored, and a permission that is missing is
 * named. */
static void
test_checks_of_permissions_store_nothing(void **state)
{
    (void)state;
    static const char none[] = "<Error><Code>NoSuchUpload</Code><Message>m</Message></Error>";
    static const char denied[] = "<Error><Code>AccessDenied</Code><Message>m</Message></Error>";
    static const struct {
        uint32_t number;
        const char *method, *action, *query;
    } cases[] = {
        {2, "PUT", "(s3:PutObject)", "?partNumber=1&uploadId=firekeep-destinations-test"},
        {3, "DELETE", "(s3:AbortMultipartUpload)", "?uploadId=firekeep-destinations-test"},
    };
    struct s3_rig rig;
    char what[WRITER_ANSWER_BYTES];
    s3_rig_init(&rig, 15);
    rig_open(&rig);
    rig.step = (struct writer_step){.next = WRITER_DONE};
    assert_true(s3_writer.check(rig.writer, 0, NULL, &rig.step, what));
    expect_done(&rig, VERDICT_DELIVERED, "");
    expect_in(what, "credentials");
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_call_answer a = answer_of(404, none);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, cases[i].number, NULL, &rig.step, what));
        assert_int_equal(rig.step.next, WRITER_SEND);
        assert_string_equal(rig.step.http.method, cases[i].method);
        expect_in(rig.step.http.url, HOST "/m/firekeep-destinations-test?");
        expect_in(rig.step.http.url, cases[i].query);
        expect_in(what, cases[i].action);
        assert_true(s3_writer.check(rig.writer, cases[i].number, &a, &rig.step, what));
        expect_done(&rig, VERDICT_DELIVERED, "");
        a = answer_of(403, denied);
        rig.step = (struct writer_step){.next = WRITER_DONE};
        assert_true(s3_writer.check(rig.writer, cases[i].number, &a, &rig.step, what));
        expect_done(&rig, VERDICT_BLOCKED, "access_denied");
    }
    s3_rig_fini(&rig);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void
test_any_refused_allocation_is_survived(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct s3_rig rig;
        s3_rig_init(&rig, 15);
        rig.settings.u.s3.compression = COMPRESSION_ZSTD;
        rig_open(&rig);
        prepare(&rig);
        mem_fail_nth(nth, false);
        unsigned tries = 0;
        for (uint32_t i = 0; i < 3;) {
            enum writer_add added = add(&rig, 100 + i, 0);
            i += added == WRITER_ADDED;
            assert_true(added == WRITER_ADDED || added == WRITER_NO_MEMORY);
            assert_true(++tries < 20);
        }
        begin(&rig);
        while (rig.step.next != WRITER_SEND) {
            assert_true(++tries < 20);
            if (rig.step.next == WRITER_DONE) assert_int_equal(rig.step.verdict, VERDICT_RETRY);
            begin(&rig);
        }
        answer(&rig, 200, "");
        while (rig.step.next != WRITER_SEND) {
            assert_true(++tries < 20);
            begin(&rig);
        }
        bool fired = mem_fail_fired();
        mem_fail_nth(0, false);
        answer(&rig, 200, "");
        expect_done(&rig, VERDICT_DELIVERED, "");
        s3_rig_fini(&rig);
        if (!fired) break;
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_object_and_its_index_are_put),
        cmocka_unit_test(test_names_tell_first_and_last),
        cmocka_unit_test(test_histograms_and_exemplars_are_lines_of_their_own),
        cmocka_unit_test(test_where_the_prefix_names_the_tenant_objects_are_of_one),
        cmocka_unit_test(test_where_it_does_not_an_object_is_of_many),
        cmocka_unit_test(test_encryption_and_class_are_asked_for),
        cmocka_unit_test(test_packed_objects_hold_the_same_lines),
        cmocka_unit_test(test_an_object_is_complete_at_its_size_or_age),
        cmocka_unit_test(test_refusals_have_their_verdicts),
        cmocka_unit_test(test_silence_is_asked_again),
        cmocka_unit_test(test_the_right_region_is_learnt_and_remembered),
        cmocka_unit_test(test_a_wrong_region_name_is_no_lesson),
        cmocka_unit_test(test_the_bucket_stands_in_the_host_or_in_the_path),
        cmocka_unit_test(test_settings_that_cannot_be_are_refused),
        cmocka_unit_test(test_a_large_object_goes_in_parts),
        cmocka_unit_test(test_a_lost_upload_is_begun_anew),
        cmocka_unit_test(test_after_a_crash_the_same_goes_out_again),
        cmocka_unit_test(test_items_of_an_adopted_object_may_come_in_several_calls),
        cmocka_unit_test(test_what_was_unfit_is_unfit_within_an_adopted_object),
        cmocka_unit_test(test_an_adopted_object_whose_items_are_over_goes),
        cmocka_unit_test(test_what_was_not_sealed_goes_with_a_crash),
        cmocka_unit_test(test_with_other_settings_an_object_is_made_again),
        cmocka_unit_test(test_an_object_whose_file_is_gone_is_made_again),
        cmocka_unit_test(test_saved_nonsense_is_as_nothing),
        cmocka_unit_test(test_the_index_gathers_the_objects_of_an_hour),
        cmocka_unit_test(test_a_full_disk_is_waited_for),
        cmocka_unit_test(test_a_call_that_the_disk_cannot_take_is_full),
        cmocka_unit_test(test_any_failure_of_the_disk_costs_another_attempt_only),
        cmocka_unit_test(test_a_dry_run_touches_nothing),
        cmocka_unit_test(test_uploads_that_a_crash_left_are_aborted),
        cmocka_unit_test(test_without_leave_to_look_for_uploads_all_goes_on),
        cmocka_unit_test(test_an_upload_that_is_given_up_is_aborted_later),
        cmocka_unit_test(test_without_keys_nothing_is_sent),
        cmocka_unit_test(test_checks_say_what_is_there_and_what_is_needed),
        cmocka_unit_test(test_checks_of_permissions_store_nothing),
        cmocka_unit_test(test_any_refused_allocation_is_survived),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
