/* about_test.c - the index of an object never hides samples, and damage to it is found. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/archive/scan.h"
#include "base/fields.h"

static const struct about_identity identity = {
    {(const uint8_t *)"key", 3}, {(const uint8_t *)"tag", 3}, 10 << 20};

static void
fill(struct about *a)
{
    char job[20];
    about_init(a, NULL);
    assert_int_equal(about_begin(a), OK);
    about_add_time(a, 10);
    about_add_time(a, -5);
    for (int i = 0; i < 100; i++) {
        snprintf(job, sizeof job, "job%d", i);
        uint64_t pair = about_pair(bytes_of_text("job"), bytes_of_text(job));
        assert_int_equal(about_add_pair(a, pair), OK);
    }
    assert_int_equal(about_add_pair(a, about_pair(bytes_of_text("__name__"), bytes_of_text("up"))),
                     OK);
    about_add_name(a, bytes_of_text("up"));
    assert_int_equal(about_cut(a, 1000), OK); /* too little for a part */
    assert_int_equal(about_cut(a, 1 << 20), OK);
    about_add_time(a, 20);
    assert_int_equal(about_end(a), OK);
}

static bool
may_have(const struct about *a, enum matcher_type type, const char *name, const char *pattern)
{
    struct matcher *m;
    assert_int_equal(matcher_new(type, bytes_of_text(name), bytes_of_text(pattern), NULL, &m, NULL),
                     OK);
    struct matcher *const all[] = {m};
    struct matcher_set set = {all, 1};
    bool may = about_may_have(a, &set);
    matcher_free(m);
    return may;
}

/* A file of a filled `known`, and an empty one to read it into. */
struct about_file {
    struct about known, read;
    struct buf text;
};

static void
about_file_begin(struct about_file *f)
{
    fill(&f->known);
    buf_init(&f->text, NULL, 1 << 20);
    about_put(&f->known, &identity, &f->text);
    about_init(&f->read, NULL);
}

static void
about_file_end(struct about_file *f)
{
    about_fini(&f->known);
    about_fini(&f->read);
    buf_fini(&f->text);
}

static void
check_filled(const struct about *a)
{
    char job[20];
    unsigned wrong = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(job, sizeof job, "job%d", i);
        assert_true(may_have(a, MATCH_EQUAL, "job", job));
        snprintf(job, sizeof job, "other%d", i);
        wrong += may_have(a, MATCH_EQUAL, "job", job);
    }
    assert_in_range(wrong, 0, 10);
    assert_true(may_have(a, MATCH_REGEX, "job", "nosuch|job7"));
    assert_false(may_have(a, MATCH_REGEX, "job", "nosuch|nosuch2"));
    assert_true(may_have(a, MATCH_REGEX, "job", "job.*"));
    assert_true(may_have(a, MATCH_EQUAL, "job", ""));
    assert_true(may_have(a, MATCH_NOT_EQUAL, "job", "job1"));
    assert_true(may_have(a, MATCH_NOT_REGEX, "job", "job1|job2"));
    assert_true(may_have(a, MATCH_REGEX, "__name__", "u.*"));
    assert_false(may_have(a, MATCH_REGEX, "__name__", "v.*"));
    assert_true(may_have(a, MATCH_REGEX, "nosuch", ".*"));
    assert_int_equal(a->part_count, 2);
    assert_true(a->parts[0].offset == 0 && a->parts[0].min_ms == -5 && a->parts[0].max_ms == 10);
    assert_true(a->parts[1].offset == 1 << 20 && a->parts[1].min_ms == 20);
}

UNIT_TEST(test_a_file_says_what_was_known)
{
    struct about_file f;
    about_file_begin(&f);
    check_filled(&f.known);
    assert_int_equal(about_get(&f.read, &identity, buf_bytes(&f.text)), OK);
    check_filled(&f.read);
    about_file_end(&f);
}

UNIT_TEST(test_damage_in_every_byte_is_found)
{
    struct about_file f;
    about_file_begin(&f);
    for (size_t i = 0; i < f.text.size; i++) {
        f.text.at[i] ^= 0x10;
        assert_int_not_equal(about_get(&f.read, &identity, buf_bytes(&f.text)), OK);
        f.text.at[i] ^= 0x10;
        assert_int_not_equal(about_get(&f.read, &identity, bytes_of(f.text.at, i)), OK);
    }
    assert_int_equal(about_get(&f.read, &identity, buf_bytes(&f.text)), OK);
    about_file_end(&f);
}

UNIT_TEST(test_a_file_of_an_older_version_is_not_known)
{
    struct about_file f;
    about_file_begin(&f);
    framed_end(&f.text, (const uint8_t *)"FKARCHIX", 1);
    assert_int_equal(about_get(&f.read, &identity, buf_bytes(&f.text)), ERR_CORRUPT);
    about_file_end(&f);
}

UNIT_TEST(test_another_content_is_not_known)
{
    struct about_file f;
    about_file_begin(&f);
    struct about_identity other = identity;
    other.tag = bytes_of_text("tab");
    assert_int_equal(about_get(&f.read, &other, buf_bytes(&f.text)), ERR_MISSING);
    other = identity;
    other.key = bytes_of_text("kez");
    assert_int_equal(about_get(&f.read, &other, buf_bytes(&f.text)), ERR_MISSING);
    other = identity;
    other.size++;
    assert_int_equal(about_get(&f.read, &other, buf_bytes(&f.text)), ERR_MISSING);
    about_file_end(&f);
}

UNIT_TEST(test_names_that_have_no_room_hide_nothing)
{
    struct about a;
    char name[1000];
    about_init(&a, NULL);
    assert_int_equal(about_begin(&a), OK);
    memset(name, 'n', sizeof name);
    for (int i = 0; i < 100; i++)
        about_add_name(&a, bytes_of(name, sizeof name));
    assert_int_equal(about_end(&a), OK);
    assert_true(a.names_cut);
    assert_true(may_have(&a, MATCH_REGEX, "__name__", "v.*"));
    about_fini(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_says_what_was_known),
        cmocka_unit_test(test_damage_in_every_byte_is_found),
        cmocka_unit_test(test_a_file_of_an_older_version_is_not_known),
        cmocka_unit_test(test_another_content_is_not_known),
        cmocka_unit_test(test_names_that_have_no_room_hide_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
