/*
 * names_test.c - objects in the bucket are never overwritten: names that exist, a storage directory
 * that was copied or rolled back, stores that do not refuse to overwrite; and no damaged object is
 * uploaded.
 */
#include "lib/test.h"

#include "backend/s3/bucket.h"
#include "base/hash/md5.h"
#include "base/log.h"
#include "lib/backend/s3_rig.h"

#define OTHER "fedcba9876543210fedcba9876543210"
#define TAKEN "<Error><Code>PreconditionFailed</Code></Error>"

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
    for (unsigned i = 0; i < MD5_BYTES; i++) {
        snprintf(to + 2 * i, 3, "%02x", digest[i]);
    }
}

/* Copies the id at the start of the name in the current request's URL. */
static void
take_id(const struct s3_rig *rig, char to[33])
{
    const char *base = strrchr(rig->step.http.url, '/') + 1;
    assert_true(strlen(base) > 32);
    snprintf(to, 33, "%s", base);
}

/* Delivers an object that waits for its upload, without obstacles. */
static void
deliver_new(struct s3_rig *rig)
{
    s3_rig_answer(rig, 404, "");
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
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
}

/* The name was looked for, so nothing is overwritten. */
UNIT_TEST(test_a_store_without_the_condition_gets_objects_without_it)
{
    struct s3_rig rig;
    names_rig_init(&rig);
    for (unsigned i = 0; i < 2; i++) {
        s3_rig_must_add(&rig, 100 * (i + 1), 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_answer(&rig, 404, "");
        if (i == 0) s3_rig_answer(&rig, 501, "<Error><Code>NotImplemented</Code></Error>");
        assert_string_equal(rig.step.http.method, "PUT");
        assert_string_equal(s3_rig_header(&rig, "If-None-Match"), "");
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
    }
    s3_rig_fini(&rig);
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
            for (unsigned k = 0; k < i; k++) {
                assert_string_not_equal(ids[i], ids[k]);
            }
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
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
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
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_rig_fini(&rig);
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_name_is_looked_for_and_put_only_if_it_is_new),
        cmocka_unit_test(test_a_store_without_the_condition_gets_objects_without_it),
        cmocka_unit_test(test_an_object_that_arrived_before_is_not_sent_again),
        cmocka_unit_test(test_an_object_whose_name_is_taken_gets_another_that_is_saved_first),
        cmocka_unit_test(test_a_writer_waits_for_each_name_that_is_taken_and_takes_a_free_one),
        cmocka_unit_test(test_an_answer_that_names_no_object_is_not_one_that_has_the_name),
        cmocka_unit_test(test_a_copy_of_the_directory_gives_other_names),
        cmocka_unit_test(test_an_object_sealed_before_the_copy_keeps_its_name),
        cmocka_unit_test(test_an_object_that_changed_on_the_disk_is_rebuilt),
        cmocka_unit_test(test_a_file_that_cannot_be_read_is_made_again),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
