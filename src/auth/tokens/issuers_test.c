/* issuers_test.c - issuers of tokens on a clock of the test: when keys are fetched, which are in
 * force, files that change. */
#include "auth/tokens/tokens.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/metric.h"
#include "lib/auth/token_signer.h"
#include "lib/failing_memory.h"
#include "lib/test.h"
#include "lib/test_dir.h"

static struct env clocked; /* the real one, with a clock that tests move on */
static struct env_ops clocked_ops;
static int64_t now_ns;
static struct budget memory;
static struct issuers *issuers;
static unsigned wake_count;
static struct buf one_key, two_keys; /* documents */

static int64_t
monotonic_ns(struct env *env)
{
    (void)env;
    return now_ns;
}

static void
count_wake(void *context)
{
    (void)context;
    wake_count++;
}

static int
make_documents(void **state)
{
    (void)state;
    struct token_signer *signer = token_signer_new(TOKEN_KEY_P256);
    buf_init(&one_key, NULL, 10000);
    buf_init(&two_keys, NULL, 10000);
    buf_put_text(&one_key, "{\"keys\":[");
    token_signer_jwk(signer, "\"kid\":\"a\",", &one_key);
    buf_put_bytes(&two_keys, buf_bytes(&one_key));
    buf_put_text(&two_keys, ",");
    token_signer_jwk(signer, "\"kid\":\"b\",", &two_keys);
    buf_put_text(&one_key, "]}");
    buf_put_text(&two_keys, "]}");
    token_signer_free(signer);
    clocked_ops = *env_real()->ops;
    clocked_ops.monotonic_ns = monotonic_ns;
    clocked.ops = &clocked_ops;
    log_to_fd(-1);
    return 0;
}

static int
free_documents(void **state)
{
    (void)state;
    buf_fini(&one_key);
    buf_fini(&two_keys);
    return 0;
}

static void
begin(void)
{
    now_ns = 1000 * NS_PER_S;
    wake_count = 0;
    budget_init(&memory, "test", 0, NULL);
    assert_int_equal(issuers_new(&clocked, &memory, &issuers, NULL), OK);
    issuers_on_due(issuers, count_wake, NULL);
}

static void
end(void)
{
    issuers_free(issuers);
    assert_int_equal(budget_used(&memory), 0);
}

static struct issuer *
get(const struct jwt_settings *settings)
{
    struct issuer *issuer = NULL;
    struct why why = {""};
    enum err e = issuers_get(issuers, settings, &issuer, &why);
    if (e) fail_msg("%s", why.text);
    return issuer;
}

/* Returns the number of keys in force; -1: none were ever read. */
static int
count_keys(struct issuer *issuer)
{
    struct issuer_keys *keys = issuer_keys_hold(issuer);
    int count = keys == NULL ? -1 : (int)jwks_counts(keys->set).used;
    issuer_keys_release(keys);
    return count;
}

/* Returns what issuer_miss() says about the keys in force. */
static bool
miss(struct issuer *issuer)
{
    struct issuer_keys *keys = issuer_keys_hold(issuer);
    bool is_coming = issuer_miss(issuer, keys);
    issuer_keys_release(keys);
    return is_coming;
}

/* Expects that this issuer is due, and begins its fetch. */
static void
expect_due(const struct issuer *issuer)
{
    int64_t wait_ns;
    assert_ptr_equal(issuers_due(issuers, &wait_ns), issuer);
}

static void
expect_wait(int64_t expected_ns)
{
    int64_t wait_ns;
    assert_null(issuers_due(issuers, &wait_ns));
    assert_int_equal(wait_ns, expected_ns);
}

static void
fail_fetch(struct issuer *issuer)
{
    struct why why;
    why_set(&why, ERR_AGAIN, "status 500");
    issuer_failed(issuer, &why);
}

static const struct jwt_settings discovered = {.given = true, .issuer = "https://i"};

/* --- URLs ------------------------------------------------------------------------------------- */

UNIT_TEST(test_an_issuer_is_there_once_while_it_is_held)
{
    static const struct jwt_settings other_ca = {.issuer = "https://i", .ca_file = "/ca"};
    static const struct jwt_settings url = {.issuer = "https://i", .jwks_url = "https://i"};
    begin();
    struct issuer *a = get(&discovered), *b = get(&discovered);
    assert_ptr_equal(a, b);
    assert_int_equal(a->kind, ISSUER_DISCOVERED);
    struct issuer *c = get(&other_ca), *d = get(&url);
    assert_true(c != a && d != a && d != c);
    assert_int_equal(d->kind, ISSUER_URL);
    assert_string_equal(c->ca_file, "/ca");
    assert_int_equal(wake_count, 3);
    issuer_release(b);
    issuer_release(a);
    issuer_release(c);
    issuer_release(d);
    issuer_release(NULL);
    expect_wait(INT64_MAX);
    end();
}

UNIT_TEST(test_there_are_at_most_64_issuers)
{
    struct issuer *all[ISSUERS_MAX], *more = NULL;
    struct jwt_settings settings = {.given = true};
    char name[32];
    begin();
    settings.issuer = name;
    for (size_t i = 0; i < ISSUERS_MAX; i++) {
        snprintf(name, sizeof name, "https://i%zu", i);
        all[i] = get(&settings);
    }
    settings.issuer = "https://more";
    assert_int_equal(issuers_get(issuers, &settings, &more, NULL), ERR_LIMIT);
    for (size_t i = 0; i < ISSUERS_MAX; i++)
        issuer_release(all[i]);
    end();
}

UNIT_TEST(test_keys_are_fetched_at_once_and_each_ten_minutes)
{
    begin();
    struct issuer *issuer = get(&discovered);
    assert_int_equal(count_keys(issuer), -1);
    expect_due(issuer);
    expect_wait(INT64_MAX); /* not twice at once */
    now_ns += 2 * NS_PER_S;
    issuer_fetched(issuer, buf_bytes(&one_key));
    assert_int_equal(count_keys(issuer), 1);
    expect_wait(ISSUER_REFRESH_NS);
    now_ns += ISSUER_REFRESH_NS;
    expect_due(issuer);
    struct issuer_keys *keys = issuer_keys_hold(issuer);
    issuer_fetched(issuer, buf_bytes(&one_key)); /* the same again */
    assert_ptr_equal(issuer_keys_hold(issuer), keys);
    now_ns += ISSUER_REFRESH_NS;
    expect_due(issuer);
    issuer_fetched(issuer, buf_bytes(&two_keys));
    assert_int_equal(count_keys(issuer), 2);
    assert_int_equal(jwks_counts(keys->set).used, 1); /* for verifications that have begun */
    issuer_keys_release(keys);
    issuer_keys_release(keys);
    issuer_release(issuer);
    end();
}

UNIT_TEST(test_old_keys_stay_while_fetches_fail_with_growing_pauses)
{
    static const int pauses_s[] = {5, 10, 20, 40, 60, 60};
    begin();
    struct issuer *issuer = get(&discovered);
    expect_due(issuer);
    issuer_fetched(issuer, buf_bytes(&one_key));
    now_ns += ISSUER_REFRESH_NS;
    for (size_t i = 0; i < sizeof pauses_s / sizeof *pauses_s; i++) {
        expect_due(issuer);
        if (i % 2 == 0)
            fail_fetch(issuer);
        else
            issuer_fetched(issuer, bytes_of_text("<html>"));
        assert_int_equal(count_keys(issuer), 1);
        expect_wait(pauses_s[i] * NS_PER_S);
        now_ns += pauses_s[i] * NS_PER_S;
    }
    expect_due(issuer);
    issuer_fetched(issuer, bytes_of_text("{\"keys\":[]}")); /* all are withdrawn */
    assert_int_equal(count_keys(issuer), 0);
    expect_wait(ISSUER_REFRESH_NS);
    issuer_release(issuer);
    end();
}

UNIT_TEST(test_a_missing_key_fetches_at_most_once_a_minute)
{
    begin();
    struct issuer *issuer = get(&discovered);
    assert_true(miss(issuer)); /* due, and nothing was ever read */
    expect_due(issuer);
    assert_true(miss(issuer)); /* on its way */
    issuer_fetched(issuer, buf_bytes(&one_key));
    wake_count = 0;
    now_ns += ISSUER_MISS_NS - 1;
    assert_false(miss(issuer)); /* was fetched less than a minute ago */
    expect_wait(ISSUER_REFRESH_NS - ISSUER_MISS_NS + 1);
    assert_int_equal(wake_count, 0);
    now_ns += 1;
    assert_true(miss(issuer));
    assert_true(miss(issuer));
    assert_int_equal(wake_count, 1);
    expect_due(issuer);
    assert_true(miss(issuer));
    issuer_fetched(issuer, buf_bytes(&one_key));
    assert_false(miss(issuer)); /* the issuer does not have the key */
    issuer_release(issuer);
    end();
}

UNIT_TEST(test_a_missing_key_is_not_judged_while_the_issuer_is_away)
{
    begin();
    struct issuer *issuer = get(&discovered);
    expect_due(issuer);
    fail_fetch(issuer);
    assert_true(miss(issuer));
    expect_wait(5 * NS_PER_S); /* no earlier for that */
    now_ns += 5 * NS_PER_S;
    expect_due(issuer);
    issuer_fetched(issuer, buf_bytes(&one_key));
    now_ns += ISSUER_REFRESH_NS;
    expect_due(issuer);
    fail_fetch(issuer);
    assert_true(miss(issuer));
    now_ns += 5 * NS_PER_S;
    expect_due(issuer);
    issuer_fetched(issuer, buf_bytes(&one_key));
    assert_false(miss(issuer));
    /* Keys that were replaced since are not those of the issuer. */
    struct issuer_keys *old = issuer_keys_hold(issuer);
    now_ns += ISSUER_REFRESH_NS;
    expect_due(issuer);
    issuer_fetched(issuer, buf_bytes(&two_keys));
    assert_true(issuer_miss(issuer, old));
    issuer_keys_release(old);
    issuer_release(issuer);
    end();
}

UNIT_TEST(test_an_issuer_that_is_fetched_may_be_released)
{
    begin();
    struct issuer *issuer = get(&discovered);
    expect_due(issuer);
    issuer_release(issuer);
    issuer_fetched(issuer, buf_bytes(&one_key));
    expect_wait(INT64_MAX);
    issuer = get(&discovered);
    assert_int_equal(count_keys(issuer), -1);
    expect_due(issuer);
    issuer_release(issuer);
    issuer_given_up(issuer);
    end();
}

/* --- files ------------------------------------------------------------------------------------ */

static const struct jwt_settings from_file = {.given = true, .jwks_file = test_path};

static void
write_file(struct bytes content)
{
    FILE *file = fopen(test_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(content.at, 1, content.size, file), content.size);
    assert_int_equal(fclose(file), 0);
}

UNIT_TEST(test_a_file_is_read_at_once_and_when_it_changes)
{
    begin();
    write_file(buf_bytes(&one_key));
    struct issuer *issuer = get(&from_file);
    assert_int_equal(count_keys(issuer), 1);
    assert_false(miss(issuer));
    expect_wait(INT64_MAX);
    write_file(buf_bytes(&two_keys));
    assert_int_equal(count_keys(issuer), 1);
    issuers_reread_files(issuers);
    assert_int_equal(count_keys(issuer), 2);
    write_file(bytes_of(two_keys.at, two_keys.size / 2));
    issuers_reread_files(issuers);
    assert_int_equal(count_keys(issuer), 2);
    unlink(test_path);
    issuers_reread_files(issuers);
    assert_int_equal(count_keys(issuer), 2);
    assert_ptr_equal(get(&from_file), issuer); /* a reload does not need the file */
    issuer_release(issuer);
    write_file(buf_bytes(&one_key));
    issuers_reread_files(issuers);
    assert_int_equal(count_keys(issuer), 1);
    issuer_release(issuer);
    end();
}

UNIT_TEST(test_a_file_that_is_not_good_is_refused_at_first)
{
    static uint8_t large[JWKS_BYTES_MAX + 1];
    struct issuer *issuer = NULL;
    struct why why = {""};
    char expected[200];
    begin();
    unlink(test_path);
    assert_int_equal(issuers_get(issuers, &from_file, &issuer, &why), ERR_MISSING);
    assert_non_null(strstr(why.text, test_path));
    write_file(bytes_of_text("{}"));
    assert_int_equal(issuers_get(issuers, &from_file, &issuer, &why), ERR_INPUT);
    snprintf(expected, sizeof expected, "%s: the key set has no array \"keys\"", test_path);
    assert_string_equal(why.text, expected);
    write_file(bytes_of(large, sizeof large));
    assert_int_equal(issuers_get(issuers, &from_file, &issuer, &why), ERR_LIMIT);
    snprintf(expected, sizeof expected, "%s is longer than 262144 bytes", test_path);
    assert_string_equal(why.text, expected);
    assert_null(issuer);
    end();
}

/* --- metrics and memory ----------------------------------------------------------------------- */

UNIT_TEST(test_metrics_show_each_issuer_once)
{
    static const struct jwt_settings other_ca = {.issuer = "https://i", .ca_file = "/ca"};
    struct buf text;
    buf_init(&text, NULL, 1 << 20);
    begin();
    struct issuer *a = get(&discovered), *b = get(&other_ca);
    expect_due(b);
    issuer_fetched(b, buf_bytes(&one_key));
    metric_collect(&text);
    buf_put_u8(&text, 0);
    const char *first =
        strstr((const char *)text.at, "\nfirekeep_jwt_keys{from=\"https://i\"} 1\n");
    assert_non_null(first);
    assert_null(strstr(first + 1, "\nfirekeep_jwt_keys{"));
    assert_non_null(strstr((const char *)text.at, "\nfirekeep_jwt_key_reads_total{from=\"https://"
                                                  "i\",result=\"failed\"} 0\n"));
    issuer_release(a);
    issuer_release(b);
    end();
    buf_fini(&text);
}

static enum err
use_file(void)
{
    struct issuer *issuer = NULL;
    struct issuers *all = NULL;
    budget_init(&memory, "test", 0, NULL);
    enum err e = issuers_new(&clocked, &memory, &all, NULL);
    if (e == OK) e = issuers_get(all, &from_file, &issuer, NULL);
    issuer_release(issuer);
    issuers_free(all);
    assert_int_equal(budget_used(&memory), 0);
    return e;
}

UNIT_TEST(test_an_issuer_survives_each_failing_allocation)
{
    write_file(buf_bytes(&one_key));
    fail_each_allocation(use_file);
}

UNIT_TEST(test_keys_stay_when_there_is_no_memory_for_new_ones)
{
    bool has_fired = true;
    for (uint64_t nth = 1; has_fired; nth++) {
        begin();
        struct issuer *issuer = get(&discovered);
        expect_due(issuer);
        issuer_fetched(issuer, buf_bytes(&one_key));
        now_ns += ISSUER_REFRESH_NS;
        expect_due(issuer);
        mem_fail_nth(nth, false);
        issuer_fetched(issuer, buf_bytes(&two_keys));
        has_fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(count_keys(issuer), has_fired ? 1 : 2);
        expect_wait(has_fired ? ISSUER_PAUSE_FIRST_NS : ISSUER_REFRESH_NS);
        issuer_release(issuer);
        end();
    }
}

int
main(void)
{
#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, test_dir_make, test_dir_remove)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_issuer_is_there_once_while_it_is_held),
        cmocka_unit_test(test_there_are_at_most_64_issuers),
        cmocka_unit_test(test_keys_are_fetched_at_once_and_each_ten_minutes),
        cmocka_unit_test(test_old_keys_stay_while_fetches_fail_with_growing_pauses),
        cmocka_unit_test(test_a_missing_key_fetches_at_most_once_a_minute),
        cmocka_unit_test(test_a_missing_key_is_not_judged_while_the_issuer_is_away),
        cmocka_unit_test(test_an_issuer_that_is_fetched_may_be_released),
        WITH_FILE(test_a_file_is_read_at_once_and_when_it_changes),
        WITH_FILE(test_a_file_that_is_not_good_is_refused_at_first),
        cmocka_unit_test(test_metrics_show_each_issuer_once),
        WITH_FILE(test_an_issuer_survives_each_failing_allocation),
        cmocka_unit_test(test_keys_stay_when_there_is_no_memory_for_new_ones),
    };
    return cmocka_run_group_tests(tests, make_documents, free_documents);
}
