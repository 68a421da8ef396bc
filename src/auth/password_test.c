/*
 * password_test.c - hashes made by other programs, by Prometheus' rules for bcrypt; limits; memory.
 */
#include "lib/test.h"

#include <stdio.h>

#include "auth/password.h"

/* Vectors of crypt_blowfish (U*U), yescrypt (pleaseletmein), and of OpenSSL's scrypt (secret). */
static const struct {
    const char *password, *hash;
    enum password_kind kind;
} vectors[] = {
    {"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", PASSWORD_BCRYPT},
    {"U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", PASSWORD_BCRYPT},
    {"U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", PASSWORD_BCRYPT},
    {"pleaseletmein", "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
     PASSWORD_SCRYPT},
    {"secret", "$7$80....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", PASSWORD_SCRYPT},
    {"secret", "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
     PASSWORD_YESCRYPT},
};
static const char cheap[] =
    "$2b$04$CCCCCCCCCCCCCCCCCCCCC.ug0A3dTXhy5U.dFjx/qguZ8I4CB77BC"; /* x72 */
static const char cheap_yescrypt[] =
    "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14";

static bool
is_good(const char *hash, struct bytes password)
{
    bool good = false;
    assert_int_equal(password_check(NULL, hash, password, &good), OK);
    return good;
}

UNIT_TEST(test_hashes_of_other_programs_are_checked)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct password_hash hash;
        struct why why;
        assert_int_equal(password_hash_parse(vectors[i].hash, &hash, &why), OK);
        assert_int_equal(hash.kind, vectors[i].kind);
        assert_true(is_good(vectors[i].hash, bytes_of_text(vectors[i].password)));
        assert_false(is_good(vectors[i].hash, bytes_of_text("Secret")));
        assert_false(is_good(vectors[i].hash, bytes_of_text("")));
        assert_false(is_good(vectors[i].hash, bytes_of(NULL, 0)));
    }
}

UNIT_TEST(test_each_changed_digit_of_a_digest_is_found)
{
    char hash[PASSWORD_HASH_BYTES];
    size_t size = strlen(cheap_yescrypt);
    for (size_t i = size - 43; i < size; i++) {
        strcpy(hash, cheap_yescrypt);
        hash[i] = hash[i] == 'A' ? 'B' : 'A';
        assert_false(is_good(hash, bytes_of_text("secret")));
    }
}

UNIT_TEST(test_bcrypt_counts_the_first_72_bytes_as_prometheus_does)
{
    char password[600];
    memset(password, 'x', sizeof password);
    assert_false(is_good(cheap, bytes_of(password, 71)));
    assert_true(is_good(cheap, bytes_of(password, 72)));
    assert_true(is_good(cheap, bytes_of(password, sizeof password)));
    password[72] = 'y';
    assert_true(is_good(cheap, bytes_of(password, 80)));
    password[71] = 'y';
    assert_false(is_good(cheap, bytes_of(password, 80)));
}

UNIT_TEST(test_bcrypt_ignores_the_unused_bits_of_a_salt_as_prometheus_does)
{
    static const char hash[] = "$2a$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_true(is_good(hash, bytes_of_text("U*U")));
}

UNIT_TEST(test_bcrypt_has_one_meaning_for_its_three_letters)
{
    /* libcrypt's $2a$ would make another digest of it. */
    static const char password[] = "\xff\xff\xa3";
    char hash[PASSWORD_HASH_BYTES];
    const uint8_t salt[PASSWORD_SALT_BYTES] = {0};
    struct why why;
    assert_int_equal(
        password_hash_make(NULL, PASSWORD_BCRYPT, bytes_of_text(password), salt, hash, &why), OK);
    for (const char *letter = "aby"; *letter != '\0'; letter++) {
        hash[2] = *letter;
        assert_true(is_good(hash, bytes_of_text(password)));
    }
}

UNIT_TEST(test_a_password_with_a_nul_is_bad)
{
    char password[100];
    memset(password, 'x', sizeof password);
    password[80] = '\0'; /* after the bytes that count */
    assert_false(is_good(cheap, bytes_of(password, sizeof password)));
    assert_true(is_good(cheap, bytes_of(password, 80)));
    assert_true(is_good(cheap_yescrypt, bytes_of("secret", 6)));
    assert_false(is_good(cheap_yescrypt, bytes_of("secret", 7)));
}

UNIT_TEST(test_a_password_that_yescrypt_cannot_hash_is_bad)
{
    char password[PASSWORD_BYTES_MAX + 2], hash[PASSWORD_HASH_BYTES];
    const uint8_t salt[PASSWORD_SALT_BYTES] = {1};
    struct why why;
    memset(password, 'x', sizeof password);
    struct bytes longest = bytes_of(password, PASSWORD_BYTES_MAX);
    assert_int_equal(password_hash_make(NULL, PASSWORD_YESCRYPT, longest, salt, hash, &why), OK);
    assert_true(is_good(hash, longest));
    assert_false(is_good(hash, bytes_of(password, PASSWORD_BYTES_MAX + 1)));
    assert_false(is_good(hash, bytes_of(password, PASSWORD_BYTES_MAX + 2)));
}

UNIT_TEST(test_invalid_hashes_are_refused_without_repeating_them)
{
    static const char *const invalid[] = {
        "",
        "$",
        "$2",
        "$2b",
        "$2b$",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeWW",
        "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe ",
        "$2b$0x$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05xCCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "secret",
        "*",
        "$6$ab$cd",
        "$gy$j75$k2$Tg4",
        "$7$",
        "$7$80....1....",
        "$7$80....1....pepper",
        "$7$80....1....$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3",
        "$7$80....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh33",
        "$7$80....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh",
        "$7$80...-1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3",
        "$7$8.....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", /* r = 0 */
        "$7$80.........pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", /* p = 0 */
        "$7$70....1....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", /* N = 512 */
        "$y$",
        "$y$j",
        "$y$j7",
        "$y$j75",
        "$y$j75$",
        "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$",
        "$y$i75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j65$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j75/.$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j7z$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j75$k2XAnEHBqQ1Ct2aMXFKNaz$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ1",
    };
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        struct password_hash hash;
        struct why why = {""};
        if (password_hash_parse(invalid[i], &hash, &why) != ERR_INPUT) fail_msg("%s", invalid[i]);
        assert_true(why.text[0] != '\0');
        assert_null(strstr(why.text, "CCCC"));
        assert_null(strstr(why.text, "k2XA"));
        assert_null(strstr(why.text, "pepper"));
    }
}

UNIT_TEST(test_hashes_that_cost_seconds_are_refused)
{
    static const struct {
        const char *hash;
        enum err expected;
    } cases[] = {
        {"$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", OK},
        {"$2b$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ERR_LIMIT},
        {"$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ERR_LIMIT},
        {"$2b$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", ERR_LIMIT},
        /* scrypt: 128 MiB; 256 MiB and the rest; the greatest numbers; p = 1, 16 and 20 of 128 MiB
         */
        {"$7$DU..../....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", OK},
        {"$7$EU..../....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", OK},
        {"$7$FU..../....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", ERR_LIMIT},
        {"$7$zzzzzzzzzzzpepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", ERR_LIMIT},
        {"$7$80....zzzzzpepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", ERR_LIMIT},
        {"$7$8zzzzz/....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", ERR_LIMIT},
        {"$7$DU....E....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", OK},
        {"$7$DU....I....pepper$CS4dMKkFIV9zMg3WFDNPGCzxPjC9t7mAGSEMEqHKJh3", ERR_LIMIT},
        /* yescrypt of libcrypt's costs 1, 5, 8, 9, 11, and more than there are */
        {"$y$j75$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", OK},
        {"$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", OK},
        {"$y$jCT$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", OK},
        {"$y$jDT$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", OK},
        {"$y$jFT$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", ERR_LIMIT},
        {"$y$jjT$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14", ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct password_hash hash;
        struct why why;
        enum err e = password_hash_parse(cases[i].hash, &hash, &why);
        if (e != cases[i].expected) fail_msg("%s: %s", cases[i].hash, err_word(e));
        if (e == OK) assert_true(hash.time_us <= PASSWORD_TIME_US_MAX);
    }
}

UNIT_TEST(test_the_dearest_hash_is_found_across_kinds)
{
    static const char *const rising[] = {
        cheap,
        cheap_yescrypt,
        "$2b$08$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$y$j9T$k2XAnEHBqQ1Ct2aMXFKNa/$Tg4ZRR7tz/WRlmYbADZh9OJYakPewgSPQqW55EXAJ14",
        "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
        "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    };
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++) {
        assert_ptr_equal(password_dearer(NULL, rising[i]), rising[i]);
        for (size_t j = 0; j <= i; j++) {
            assert_ptr_equal(password_dearer(rising[i], rising[j]), rising[i]);
            if (j < i) assert_ptr_equal(password_dearer(rising[j], rising[i]), rising[i]);
        }
    }
}

UNIT_TEST(test_a_made_hash_is_good_for_its_password_only)
{
    static const enum password_kind kinds[] = {PASSWORD_BCRYPT, PASSWORD_YESCRYPT};
    static const char *const begin[] = {"$2b$10$", "$y$j9T$"};
    for (size_t i = 0; i < 2; i++) {
        uint8_t salt[PASSWORD_SALT_BYTES];
        char hash[PASSWORD_HASH_BYTES], other[PASSWORD_HASH_BYTES];
        struct why why;
        memset(salt, 0xa5, sizeof salt);
        struct bytes password = bytes_of_text("caf\xc3\xa9 \xf0\x9f\x94\x91");
        assert_int_equal(password_hash_make(NULL, kinds[i], password, salt, hash, &why), OK);
        assert_memory_equal(hash, begin[i], strlen(begin[i]));
        assert_true(is_good(hash, password));
        assert_false(is_good(hash, bytes_of_text("cafe")));
        salt[PASSWORD_SALT_BYTES - 1] ^= 0x80;
        assert_int_equal(password_hash_make(NULL, kinds[i], password, salt, other, &why), OK);
        assert_string_not_equal(hash, other);
    }
}

UNIT_TEST(test_a_hash_is_not_made_of_a_password_that_would_not_match)
{
    const uint8_t salt[PASSWORD_SALT_BYTES] = {0};
    char hash[PASSWORD_HASH_BYTES] = "unchanged", password[PASSWORD_BYTES_MAX + 1];
    struct why why;
    memset(password, 'x', sizeof password);
    const struct {
        enum password_kind kind;
        struct bytes password;
        enum err expected;
    } cases[] = {
        {PASSWORD_BCRYPT, bytes_of_text(""), ERR_INPUT},
        {PASSWORD_BCRYPT, bytes_of("a\0b", 3), ERR_INPUT},
        {PASSWORD_BCRYPT, bytes_of(password, 73), ERR_LIMIT},
        {PASSWORD_YESCRYPT, bytes_of(password, sizeof password), ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(
            password_hash_make(NULL, cases[i].kind, cases[i].password, salt, hash, &why),
            cases[i].expected);
        assert_string_equal(hash, "unchanged");
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool secret_seen;

static void
look_for_secret(const void *memory, size_t size_bytes)
{
    if (memmem(memory, size_bytes, "swordfish", 9) != NULL) secret_seen = true;
}

UNIT_TEST(test_no_password_stays_in_freed_memory)
{
    const uint8_t salt[PASSWORD_SALT_BYTES] = {0};
    char hash[PASSWORD_HASH_BYTES];
    struct why why;
    bool good = false;
    secret_seen = false;
    mem_watch_frees(look_for_secret);
    enum err e =
        password_hash_make(NULL, PASSWORD_YESCRYPT, bytes_of_text("swordfish"), salt, hash, &why);
    if (e == OK) e = password_check(NULL, hash, bytes_of_text("swordfish"), &good);
    mem_watch_frees(NULL);
    assert_int_equal(e, OK);
    assert_true(good);
    assert_false(secret_seen);
}

UNIT_TEST(test_without_memory_nothing_is_checked)
{
    const uint8_t salt[PASSWORD_SALT_BYTES] = {0};
    char hash[PASSWORD_HASH_BYTES];
    struct why why;
    bool good = true;
    mem_fail_nth(1, false);
    assert_int_equal(password_check(NULL, cheap, bytes_of_text("x"), &good), ERR_NOMEM);
    mem_fail_nth(1, false);
    assert_int_equal(
        password_hash_make(NULL, PASSWORD_BCRYPT, bytes_of_text("x"), salt, hash, &why), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_true(good);
}

UNIT_TEST(test_memory_that_libcrypt_takes_is_charged_to_the_budget)
{
    struct password_hash hash;
    struct budget budget;
    struct why why;
    bool good = false;
    assert_int_equal(password_hash_parse(cheap_yescrypt, &hash, &why), OK);
    assert_true(hash.memory_bytes >= 1 << 20);
    budget_init(&budget, "test", 1 << 20, NULL);
    assert_int_equal(password_check(&budget, cheap_yescrypt, bytes_of_text("secret"), &good),
                     ERR_NOMEM);
    assert_int_equal(budget_used(&budget), 0);
    budget_init(&budget, "test", 2 << 20, NULL);
    assert_int_equal(password_check(&budget, cheap_yescrypt, bytes_of_text("secret"), &good), OK);
    assert_true(good);
    assert_int_equal(budget_used(&budget), 0);
    assert_true(atomic_load(&budget.peak_bytes) > hash.memory_bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes_of_other_programs_are_checked),
        cmocka_unit_test(test_each_changed_digit_of_a_digest_is_found),
        cmocka_unit_test(test_bcrypt_counts_the_first_72_bytes_as_prometheus_does),
        cmocka_unit_test(test_bcrypt_ignores_the_unused_bits_of_a_salt_as_prometheus_does),
        cmocka_unit_test(test_bcrypt_has_one_meaning_for_its_three_letters),
        cmocka_unit_test(test_a_password_with_a_nul_is_bad),
        cmocka_unit_test(test_a_password_that_yescrypt_cannot_hash_is_bad),
        cmocka_unit_test(test_invalid_hashes_are_refused_without_repeating_them),
        cmocka_unit_test(test_hashes_that_cost_seconds_are_refused),
        cmocka_unit_test(test_the_dearest_hash_is_found_across_kinds),
        cmocka_unit_test(test_a_made_hash_is_good_for_its_password_only),
        cmocka_unit_test(test_a_hash_is_not_made_of_a_password_that_would_not_match),
        cmocka_unit_test(test_no_password_stays_in_freed_memory),
        cmocka_unit_test(test_without_memory_nothing_is_checked),
        cmocka_unit_test(test_memory_that_libcrypt_takes_is_charged_to_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
