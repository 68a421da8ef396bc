/* crash_test.c - after a crash at any moment the same object is sent again, or it is made again. */
#include "lib/test.h"

#include "base/log.h"
#include "lib/backend/s3_rig.h"

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

UNIT_TEST(test_after_a_crash_the_same_goes_out_again)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct s3_rig rig;
        struct buf kept;
        buf_init(&kept, NULL, 8 * MIB);
        s3_rig_init(&rig, seed);
        rig.settings.u.s3.compression = COMPRESSION_ZSTD;
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        for (uint32_t i = 0; i < 50; i++)
            s3_rig_must_add(&rig, 100 + i / 10, i % 10);
        s3_rig_seal_and_save(&rig);
        keep_body(&kept, &rig);
        if (seed % 2 == 0) s3_rig_answer(&rig, 200, ""); /* it arrived, or its fate is unknown */
        s3_rig_crash(&rig);
        s3_rig_prepare(&rig);
        assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1);
        /* Items are repeated from somewhere in the middle, as far as they were settled. */
        for (uint32_t i = (uint32_t)seed; i < 50; i++) {
            assert_int_equal(s3_writer.bytes(rig.writer, rig.call), 0);
            s3_rig_must_add(&rig, 100 + i / 10, i % 10);
        }
        assert_true(s3_writer.bytes(rig.writer, rig.call) > 0);
        assert_int_equal(s3_rig_add(&rig, 105, 0), WRITER_FULL);
        assert_int_equal(s3_writer.units(rig.writer, rig.call), 2);
        s3_rig_begin(&rig);
        expect_same(&kept, &rig);
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR "_" INSTANCE ".json");
        struct bytes index = rig.step.http.body;
        assert_non_null(memmem(index.at, index.size, "\"metrics\":[\"up\"]", 16));
        assert_non_null(memmem(index.at, index.size, "\"all_metrics\":true", 18));
        s3_rig_answer(&rig, 200, "");
        s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
        s3_writer.call_clear(rig.writer, rig.call);
        s3_rig_save(&rig);
        assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
        s3_rig_must_add(&rig, 105, 0); /* then new ones */
        s3_rig_seal_and_save(&rig);
        s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-105-105.0.ndjson.zst");
        s3_rig_fini(&rig);
        buf_fini(&kept);
    }
}

UNIT_TEST(test_items_of_an_adopted_object_may_come_in_several_calls)
{
    struct s3_rig rig;
    struct buf kept;
    buf_init(&kept, NULL, 8 * MIB);
    s3_rig_init(&rig, 3);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    for (uint32_t i = 0; i < 10; i++)
        s3_rig_must_add(&rig, 100 + i, 0);
    s3_rig_seal_and_save(&rig);
    keep_body(&kept, &rig);
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    for (uint32_t i = 0; i < 4; i++)
        s3_rig_must_add(&rig, 100 + i, 0);
    s3_rig_begin(&rig); /* because of its age, for example */
    expect_same(&kept, &rig);
    s3_rig_answer(&rig, 200, "");
    s3_rig_answer(&rig, 200, "");
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    s3_rig_save(&rig);
    s3_rig_crash(&rig); /* the remaining items still belong to that object */
    s3_rig_prepare(&rig);
    for (uint32_t i = 4; i < 7; i++)
        s3_rig_must_add(&rig, 100 + i, 0);
    s3_rig_begin(&rig);
    expect_same(&kept, &rig);
    s3_rig_answer(&rig, 200, "");
    s3_rig_answer(&rig, 200, "");
    s3_writer.call_clear(rig.writer, rig.call);
    for (uint32_t i = 7; i < 10; i++)
        s3_rig_must_add(&rig, 100 + i, 0);
    assert_int_equal(s3_writer.units(rig.writer, rig.call), 0);
    s3_rig_begin(&rig); /* it has arrived already */
    s3_rig_expect_done(&rig, VERDICT_DELIVERED, "");
    s3_writer.call_clear(rig.writer, rig.call);
    s3_rig_save(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    s3_rig_fini(&rig);
    buf_fini(&kept);
}

UNIT_TEST(test_an_unfit_item_is_unfit_in_an_adopted_object)
{
    struct s3_rig rig;
    struct s3_item bad;
    s3_rig_init(&rig, 3);
    rig.settings.u.s3.prefix = "${tenant}/";
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_make_item(&bad, 101, 0, "up", 1);
    bad.item.tenant = bytes_of_text("..");
    for (unsigned round = 0; round < 2; round++) {
        s3_rig_must_add(&rig, 100, 0);
        assert_int_equal(s3_rig_add_item(&rig, &bad.item), WRITER_UNFIT);
        s3_rig_must_add(&rig, 102, 0);
        s3_rig_begin(&rig);
        if (rig.step.next == WRITER_SAVE) s3_rig_save(&rig);
        if (round == 0) s3_rig_crash(&rig);
        if (round == 0) s3_rig_prepare(&rig);
    }
    expect_in(rig.step.http.url, "-100-102.0.ndjson");
    s3_rig_fini(&rig);
}

UNIT_TEST(test_an_adopted_object_whose_items_are_over_goes)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 4);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 200, 0); /* the log was cut, as with on_full: drop_oldest */
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-200-200.0.ndjson");
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1);
    s3_rig_fini(&rig);
}

UNIT_TEST(test_an_unsealed_object_is_removed_after_a_crash)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 5);
    s3_rig_open(&rig);
    s3_rig_save(&rig);
    for (uint32_t i = 0; i < 30000; i++)
        s3_rig_must_add(&rig, 100 + i, 0);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 1);
    s3_rig_close(&rig);
    sim_env_kill(rig.sim);
    s3_rig_open(&rig);
    s3_rig_save(&rig); /* the same happens at the first step */
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    /* An object that was sealed but never saved is made again as well. */
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_begin(&rig);
    assert_int_equal(rig.step.next, WRITER_SAVE);
    s3_rig_crash(&rig);
    s3_rig_prepare(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_must_add(&rig, 101, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-100-101.0.ndjson");
    s3_rig_answer(&rig, 200, "");
    struct bytes index = rig.step.http.body;
    assert_null(memmem(index.at, index.size, "-100-100.0", 10));
    assert_non_null(memmem(index.at, index.size, "-100-101.0", 10));
    s3_rig_fini(&rig);
}

UNIT_TEST(test_with_other_settings_an_object_is_made_again)
{
    struct s3_rig rig;
    s3_rig_init(&rig, 6);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_must_add(&rig, 101, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_close(&rig);
    const char *select[] = {"{job=\"x\"}"};
    rig.settings.select = (struct text_list){select, 1};
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    assert_int_equal(s3_rig_files_in(&rig, "d/objects"), 0);
    s3_rig_must_add(&rig, 101, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_expect_call(&rig, "PUT", HOST "/" HOUR INSTANCE "-101-101.0.ndjson");
    s3_rig_expect_body(&rig, LINE("1700000000101", "101"));
    s3_rig_fini(&rig);
}

UNIT_TEST(test_an_object_whose_file_is_gone_is_made_again)
{
    for (unsigned cut = 0; cut < 2; cut++) {
        struct s3_rig rig;
        struct file file;
        s3_rig_init(&rig, 6);
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_seal_and_save(&rig);
        s3_rig_close(&rig);
        if (cut) {
            must(file_open(rig.options.env, "d/objects/0000000001", FILE_UPDATE, &file, NULL));
            must(file_truncate(&file, 10, NULL));
            file_close(&file);
        } else {
            must(env_unlink(rig.options.env, "d/objects/0000000001", NULL));
        }
        s3_rig_open(&rig);
        s3_rig_prepare(&rig);
        s3_rig_must_add(&rig, 100, 0);
        assert_int_equal(s3_writer.bytes(rig.writer, rig.call),
                         strlen(LINE("1700000000100", "100")));
        s3_rig_seal_and_save(&rig);
        s3_rig_expect_body(&rig, LINE("1700000000100", "100"));
        s3_rig_fini(&rig);
    }
}

UNIT_TEST(test_saved_nonsense_is_as_nothing)
{
    struct s3_rig rig;
    struct buf whole;
    s3_rig_init(&rig, 7);
    s3_rig_open(&rig);
    s3_rig_prepare(&rig);
    s3_rig_must_add(&rig, 100, 0);
    s3_rig_seal_and_save(&rig);
    s3_rig_close(&rig);
    buf_init(&whole, NULL, SAVED_MAX);
    buf_put_bytes(&whole, buf_bytes(&rig.saved));
    for (size_t size = 0; size < whole.size; size++) { /* cut anywhere */
        rig.saved.size = size;
        s3_rig_open(&rig);
        s3_rig_must_add(&rig, 100, 0);
        s3_rig_close(&rig);
    }
    for (size_t i = 0; i < whole.size; i++) { /* or changed */
        memcpy(rig.saved.at, whole.at, whole.size);
        rig.saved.size = whole.size;
        rig.saved.at[i] ^= 0xff;
        s3_rig_open(&rig);
        s3_rig_close(&rig);
    }
    buf_fini(&whole);
    s3_rig_fini(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_a_crash_the_same_goes_out_again),
        cmocka_unit_test(test_items_of_an_adopted_object_may_come_in_several_calls),
        cmocka_unit_test(test_an_unfit_item_is_unfit_in_an_adopted_object),
        cmocka_unit_test(test_an_adopted_object_whose_items_are_over_goes),
        cmocka_unit_test(test_an_unsealed_object_is_removed_after_a_crash),
        cmocka_unit_test(test_with_other_settings_an_object_is_made_again),
        cmocka_unit_test(test_an_object_whose_file_is_gone_is_made_again),
        cmocka_unit_test(test_saved_nonsense_is_as_nothing),
    };
    log_to_fd(-1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
