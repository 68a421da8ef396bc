/*
 * names_test.c - objects in the bucket are never overwritten: names that exist, a storage directory
 * that was copied or rolled back, stores that do not refuse to overwrite; and no damaged object is
 * uploaded.
 */
#include "lib/test.h"

#include "backend/s3/delivery.h"
#include "base/hash/md5.h"
#include "base/log.h"
#include "lib/backend/s3_rig.h"

#define OTHER   "fedcba9876543210fedcba9876543210"
#define MISSING "<Error><Code>NoSuchKey</Code></Error>"
#define DENIED  "<Error><Code>AccessDenied</Code></Error>"
#define TAKEN   "<Error><Code>PreconditionFailed</Code></Error>"

static void
names_rig_init(struct s3_rig *rig)
{
    s3_rig_init(rig, 1);
    rig->tells_looks = true;
    s3_rig_open(rig);
    s3_rig_prepare(rig);
}

static void
expect_look(struct s3_rig *rig, const char *url)
{
    s3_rig_expect_call(rig, "HEAD", url);
}

/* Answers a HEAD. */
static void
answer_found(struct s3_rig *rig, const char *length, const char *digest)
{
    struct http_call_answer a = answer_of(200, "");
    snprintf(a.wanted[S3_WANTED_LENGTH], sizeof a.wanted[0], "%s", length);
    snprintf(a.wanted[S3_WANTED_DIGEST], sizeof a.wanted[0], "%s", digest);
    snprintf(a.wanted[S3_WANTED_ETAG], sizeof a.wanted[0], "\"of something\"");
    s3_rig_take(rig, &a);
}

static void
digest_of(struct bytes body, char to[33])
{
    uint8_t digest[MD5_BYTES];
    md5(body, digest);
    for (unsigned i = 0; i < MD5_BYTES; i++)
        snprintf(to + 2 * i, 3, "%02x", digest[i]);
}

/* Copies the id at the start of the name in the current request's URL. */
static void
take_id(const struct s3_rig *rig, char to[33])
{
    const char *base = strrchr(rig->step.http.url, '/') + 1;
    base += base[0] == '_';
    assert_true(strlen(base) > 32);
    snprintf(to, 33, "%s", base);
}

static bool
index_has(const struct s3_rig *rig, const char *text)
{
    return memmem(rig->step.http.body.at, rig->step.http.body.size, text, strlen(text)) != NULL;
}

/* Delivers an object that waits for its upload, without obstacles. */
static void
deliver_new(struct s3_rig *rig)
{
    if (strcmp(rig->step.http.method, "HEAD") == 0) s3_rig_answer(rig, 404, "");
    s3_rig_answer(rig, 200, "");
    if (strcmp(rig->step.http.method, "GET") == 0) s3_rig_answer(rig, 404, MISSING);
    if (s3_rig_header(rig, "If-None-Match")[0] != 0) s3_rig_answer(rig, 412, TAKEN);
    s3_rig_answer(rig, 200, "");
    s3_rig_expect_done(rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig->writer, rig->call);
    s3_rig_save(rig);
}

/* --- the condition ---------------------------------------------------------------------------- */

UNIT_TEST(test_a_new_name_is_looked_for_and_put_only_if_it_is_new)
{
    struct s3_rig rig;
    char digest[33];
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    expect_look(&rig, HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_answer(&rig, 404, "");
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "*");
    digest_of(rig.step.http.body, digest);
    assert_string_equal(s3_rig_header(&rig, "x-amz-meta-firekeep-md5"), digest);
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_call(&rig, "GET", HOST "/" HOUR "_" INSTANCE ".json");
    s3_rig_answer(&rig, 404, MISSING);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "");
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
}

/* The upload of an existing index shows whether the store refuses. */
UNIT_TEST(test_where_the_store_refuses_names_are_not_looked_for)
{
    static const struct {
        unsigned status; /* answer to the existing index */
        bool looks;      /* looks for names afterwards */
        bool asks;
    } cases[] = {{412, false, true}, {200, true, true}, {501, true, false}};
    for (unsigned i = 0; i < 3; i++) {
        struct s3_rig rig;
        names_rig_init(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_seal_and_save(&rig);
        deliver_new(&rig);
        s3_rig_must_add(&rig, 200, 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_answer(&rig, 404, "");
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_call(&rig, "PUT",
                           HOST "/" HOUR "_" INSTANCE ".json"); /* it was looked for before */
        assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "*");
        s3_rig_answer(&rig, cases[i].status, "");
        if (cases[i].status != 200) {
            s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
            assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "");
            assert_true(index_has(&rig, "-100-100.0.ndjson"));
            assert_true(index_has(&rig, "-200-200.0.ndjson"));
            s3_rig_answer(&rig, 200, "");
        }
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_must_add(&rig, 300, 0);
        s3_rig_seal_and_save(&rig);
        if (cases[i].looks) s3_rig_answer(&rig, 404, "");
        s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-300-300.0.ndjson");
        assert_string_equal(s3_rig_header(&rig, "If-None-Match"), cases[i].asks ? "*" : "");
        s3_rig_fini(&rig);
    }
}

UNIT_TEST(test_an_object_that_arrived_before_is_not_sent_again)
{
    for (unsigned refused = 0; refused < 2; refused++) {
        struct s3_rig rig;
        char digest[33], length[24];
        names_rig_init(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_answer(&rig, 404, "");
        digest_of(rig.step.http.body, digest);
        snprintf(length, sizeof length, "%zu", rig.step.http.body.size);
        s3_rig_crash(&rig); /* its fate is unknown */
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_begin(&rig);
        expect_look(&rig, HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
        if (refused) { /* another object got the name just now */
            s3_rig_answer(&rig, 404, "");
            s3_rig_answer(&rig, 412, TAKEN);
            expect_look(&rig, HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
        }
        answer_found(&rig, length, digest);
        s3_rig_expect_call(&rig, "GET", HOST "/" HOUR "_" INSTANCE ".json");
        s3_rig_answer(&rig, 404, MISSING);
        assert_true(index_has(&rig, "-100-100.0.ndjson"));
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_rig_fini(&rig);
    }
}

/* --- another object has the name -------------------------------------------------------------- */

UNIT_TEST(test_an_object_whose_name_is_taken_gets_another_that_is_saved_first)
{
    for (unsigned way = 0; way < 3; way++) {
        struct s3_rig rig;
        struct buf body;
        char id[33], again[33], url[256];
        buf_init(&body, NULL, MIB);
        names_rig_init(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_must_add(&rig, 200, 0);
        s3_rig_seal_and_save(&rig);
        if (way > 0) {
            s3_rig_answer(&rig, 404, "");
            s3_rig_answer(&rig, 412, TAKEN);
        }
        if (way < 2)
            answer_found(&rig, "7", "");
        else
            s3_rig_answer(&rig, 403, ""); /* the keys do not allow this request */
        assert_int_equal(rig.step.next, WRITER_SAVE);
        s3_rig_save(&rig);
        if (way == 1) { /* a crash before the upload begins */
            s3_rig_crash(&rig);
            s3_rig_prepare(&rig);
            s3_rig_must_add(&rig, 100, 0);
            s3_rig_must_add(&rig, 200, 0);
        }
        s3_rig_begin(&rig);
        if (strcmp(rig.step.http.method, "HEAD") == 0) s3_rig_answer(&rig, 404, "");
        take_id(&rig, id);
        assert_string_not_equal(id, INSTANCE);
        snprintf(url, sizeof url, HOST "/" HOUR "%s-100-200.0.ndjson", id);
        s3_rig_expect_call(&rig, "PUT", url);
        s3_rig_expect_body(&rig, LINE("1700000000100", "100") LINE("1700000000200", "200"));
        s3_rig_answer(&rig, 200, "");
        snprintf(url, sizeof url, HOST "/" HOUR "_%s.json", id);
        s3_rig_expect_call(&rig, "GET", url);
        s3_rig_answer(&rig, 404, MISSING);
        s3_rig_expect_call(&rig, "PUT", url);
        snprintf(url, sizeof url, "%s-100-200.0.ndjson", id);
        assert_true(index_has(&rig, url));
        assert_false(index_has(&rig, INSTANCE));
        assert_true(index_has(&rig, "\"all_objects\":true"));
        assert_true(index_has(&rig, "\"metrics\":[\"up\"]"));
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
        assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
        s3_rig_crash(&rig); /* later objects have such names */
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 300, 0);
        s3_rig_seal_and_save(&rig);
        take_id(&rig, again);
        assert_string_equal(again, id);
        buf_fini(&body);
        s3_rig_fini(&rig);
    }
}

/* A random name exists: it seems that the store claims this of every name. The writer takes another
 * name after a pause, and overwrites nothing. */
static void
test_a_writer_waits_for_each_name_that_is_taken_and_takes_a_free_one(void **state)
{
    (void)state;
    struct s3_rig rig;
    char ids[5][33];
    names_rig_init(&rig);
    for (unsigned object = 0; object < 2; object++) { /* the pauses begin again with each object */
        s3_rig_must_add(&rig, 100 + object, 0);
        s3_rig_seal_and_save(&rig);
        for (unsigned i = 0; i < 5; i++) {
            take_id(&rig, ids[i]);
            for (unsigned k = 0; k < i; k++)
                assert_string_not_equal(ids[i], ids[k]);
            answer_found(&rig, "7", "");
            if (i >= 1) {
                s3_rig_expect_done(&rig, VERDICT_RETRY, "name_taken");
                s3_rig_begin(&rig);
            }
            assert_int_equal(rig.step.next, WRITER_SAVE);
            s3_rig_save(&rig);
            s3_rig_begin(&rig);
        }
        deliver_new(&rig);
    }
    s3_rig_fini(&rig);
}

/* The answer is a welcome page for any request. */
UNIT_TEST(test_an_answer_that_names_no_object_is_not_one_that_has_the_name)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    for (unsigned i = 0; i < 2; i++) {
        struct http_call_answer a = answer_of(200, "");
        a.wanted[S3_WANTED_ETAG][0] = 0;
        expect_look(&rig, HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
        s3_rig_take(&rig, &a);
        s3_rig_expect_done(&rig, VERDICT_RETRY, "odd_answer");
        s3_rig_begin(&rig);
    }
    deliver_new(&rig);
    s3_rig_fini(&rig);
}

/* --- a directory that was copied -------------------------------------------------------------- */

UNIT_TEST(test_a_copy_of_the_directory_gives_other_names)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    deliver_new(&rig);
    s3_rig_close(&rig);
    rig.options.instance = OTHER;
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 200, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 404, "");
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR OTHER "-200-200.0.ndjson");
    s3_rig_answer(&rig, 200, "");
    s3_rig_answer(&rig, 404, MISSING);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" OTHER ".json");
    assert_true(index_has(&rig, OTHER "-200-200.0.ndjson"));
    assert_false(index_has(&rig, INSTANCE)); /* the other index has it */
    s3_rig_fini(&rig);
}

/* The object that was sealed when the copy was made has the same name and bytes. */
UNIT_TEST(test_an_object_sealed_before_the_copy_keeps_its_name)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_close(&rig);
    rig.options.instance = OTHER;
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_begin(&rig);
    s3_rig_answer(&rig, 404, "");
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_expect_body(&rig, LINE("1700000000100", "100"));
    s3_rig_answer(&rig, 200, "");
    s3_rig_answer(&rig, 404, MISSING);
    s3_rig_expect_call(&rig, "PUT",
                       HOST "/" HOUR "_" OTHER ".json"); /* never the name with the other id */
    assert_true(index_has(&rig, INSTANCE "-100-100.0.ndjson"));
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    /* It is still listed when the next object comes, after a crash. */
    s3_writer.call_clear(rig.writer, rig.call);
    s3_rig_save(&rig);
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 200, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 404, "");
    s3_rig_answer(&rig, 200, "");
    s3_rig_answer(&rig, 404, MISSING);
    assert_true(index_has(&rig, INSTANCE "-100-100.0.ndjson"));
    assert_true(index_has(&rig, OTHER "-200-200.0.ndjson"));
    s3_rig_fini(&rig);
}

/* --- the index -------------------------------------------------------------------------------- */

#define LISTED                                                                            \
    "{\"version\":1,\"instance\":\"" INSTANCE "\",\"prefix\":\"" HOUR                     \
    "\",\"hour\":\"2026-01-01T05:00:00.000Z\",\"all_objects\":true,\"all_metrics\":true," \
    "\"metrics\":[\"later\"],\"objects\":[{\"name\":\"" INSTANCE                          \
    "-150-170.ndjson\",\"bytes\":5,\"samples\":1,\"first\":\"150.0\",\"last\":\"170.0\"," \
    "\"min_time\":1,\"max_time\":2,\"number\":9}]}"

/* Objects do not collide, but their index does: a volume that was rolled back makes
 * other objects. */
UNIT_TEST(test_entries_of_the_index_in_the_bucket_are_kept)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_answer(&rig, 404, "");
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_call(&rig, "GET", HOST "/" HOUR "_" INSTANCE ".json");
    s3_rig_answer(&rig, 503, "");
    s3_rig_expect_done(&rig, VERDICT_RETRY, "http_503");
    s3_rig_begin(&rig);
    s3_rig_answer(&rig, 200, LISTED);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
    assert_true(index_has(&rig, "-150-170.ndjson"));
    assert_true(index_has(&rig, "-100-100.0.ndjson"));
    assert_true(index_has(&rig, "\"metrics\":[\"up\",\"later\"]"));
    assert_true(index_has(&rig, "\"all_objects\":true"));
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_an_index_after_a_denied_read_is_marked_incomplete)
{
    for (unsigned there = 0; there < 2; there++) {
        struct s3_rig rig;
        names_rig_init(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_answer(&rig, 404, "");
        s3_rig_answer(&rig, 200, "");
        s3_rig_answer(&rig, 403, DENIED);
        s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
        assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "*");
        assert_true(index_has(&rig, "\"all_objects\":true"));
        if (there) {
            s3_rig_answer(&rig, 412, TAKEN);
            s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
            assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "");
            assert_true(index_has(&rig, "\"all_objects\":false"));
        }
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_rig_fini(&rig);
    }
}

/* --- damage ----------------------------------------------------------------------------------- */

static void
flip(struct s3_rig *rig, uint64_t at)
{
    must(sim_env_damage(rig->sim, "d/objects/0000000001", at));
}

UNIT_TEST(test_an_object_that_changed_on_the_disk_is_rebuilt)
{
    static const char whole[] = LINE("1700000000100", "100") LINE("1700000000200", "200");
    for (unsigned crashes = 0; crashes < 2; crashes++) {
        struct s3_rig rig;
        names_rig_init(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_must_add(&rig, 200, 0);
        s3_rig_seal_and_save(&rig);
        flip(&rig, sizeof whole / 2);
        if (crashes) {
            s3_rig_crash(&rig);
            s3_rig_prepare(&rig);
            s3_rig_must_add(&rig, 100, 0);
            s3_rig_must_add(&rig, 200, 0);
            s3_rig_begin(&rig);
        }
        s3_rig_answer(&rig, 404, "");
        s3_rig_expect_done(&rig, VERDICT_REBUILD, "io");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_must_add(&rig, 200, 0);
        s3_rig_seal_and_save(&rig);
        expect_look(&rig, HOST "/" HOUR INSTANCE "-100-200.0.ndjson");
        s3_rig_answer(&rig, 404, "");
        s3_rig_expect_body(&rig, whole);
        s3_rig_answer(&rig, 200, "");
        s3_rig_answer(&rig, 404, MISSING);
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
        assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
        s3_rig_fini(&rig);
    }
}

UNIT_TEST(test_a_file_that_cannot_be_read_is_made_again)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    fault_env_arm(rig.fe, (struct fault){FAULT_EIO, 1, true});
    s3_rig_answer(&rig, 404, "");
    s3_rig_expect_done(&rig, VERDICT_REBUILD, "io");
    fault_env_disarm(rig.fe);
    s3_rig_fini(&rig);
}

/* The first version saved neither ids nor checksums. */
UNIT_TEST(test_an_object_that_an_earlier_version_sealed_is_sent)
{
    struct s3_rig rig;
    struct saved {
        struct buf v2, v1;
    } s;
    names_rig_init(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    buf_init(&s.v1, NULL, SAVED_MAX);
    struct cursor c = cursor_of(buf_bytes(&rig.saved));
    assert_int_equal(cursor_u8(&c), 2);
    buf_put_u8(&s.v1, 1);
    buf_put_counted(&s.v1, cursor_counted(&c));
    buf_put_varint(&s.v1, cursor_varint(&c));
    cursor_counted(&c);
    cursor_counted(&c);
    size_t left = cursor_left(&c);
    buf_put_bytes(&s.v1, bytes_of(cursor_bytes(&c, left - MD5_BYTES).at, left - MD5_BYTES));
    assert_false(c.bad);
    buf_clear(&rig.saved);
    buf_put_bytes(&rig.saved, buf_bytes(&s.v1));
    s3_rig_close(&rig);
    struct file file;
    must(file_open(rig.options.env, "d/objects/0000000001", FILE_UPDATE, &file, NULL));
    must(file_truncate(&file, strlen(LINE("1700000000100", "100")), NULL));
    must(file_close(&file));
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_begin(&rig);
    expect_look(&rig, HOST "/" HOUR INSTANCE "-100-100.0.ndjson");
    s3_rig_answer(&rig, 404, "");
    s3_rig_expect_body(&rig, LINE("1700000000100", "100"));
    buf_fini(&s.v1);
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_name_is_looked_for_and_put_only_if_it_is_new),
        cmocka_unit_test(test_where_the_store_refuses_names_are_not_looked_for),
        cmocka_unit_test(test_an_object_that_arrived_before_is_not_sent_again),
        cmocka_unit_test(test_an_object_whose_name_is_taken_gets_another_that_is_saved_first),
        cmocka_unit_test(test_a_writer_waits_for_each_name_that_is_taken_and_takes_a_free_one),
        cmocka_unit_test(test_an_answer_that_names_no_object_is_not_one_that_has_the_name),
        cmocka_unit_test(test_a_copy_of_the_directory_gives_other_names),
        cmocka_unit_test(test_an_object_sealed_before_the_copy_keeps_its_name),
        cmocka_unit_test(test_entries_of_the_index_in_the_bucket_are_kept),
        cmocka_unit_test(test_an_index_after_a_denied_read_is_marked_incomplete),
        cmocka_unit_test(test_an_object_that_changed_on_the_disk_is_rebuilt),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_made_again),
        cmocka_unit_test(test_an_object_that_an_earlier_version_sealed_is_sent),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
