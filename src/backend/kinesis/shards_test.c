/* shards_test.c - lists of shards in pages, the shards of keys, and invalid lists. */
#include "lib/test.h"

#include <stdio.h>

#include "backend/kinesis/kinesis.h"
#include "base/hash/hash.h"

#define MIDDLE "170141183460469231731687303715884105728" /* 2 to the power of 127 */
#define BELOW  "170141183460469231731687303715884105727"
#define LAST   "340282366920938463463374607431768211455"

static struct budget memory;
static struct kinesis_shards *shards;
static struct buf token;
static struct why why;

static int
setup(void **state)
{
    (void)state;
    budget_init(&memory, "test", 0, NULL);
    buf_init(&token, NULL, KINESIS_TOKEN_BYTES_MAX);
    why.text[0] = '\0';
    assert_int_equal(kinesis_shards_new(&memory, &shards), OK);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    kinesis_shards_free(shards);
    buf_fini(&token);
    assert_int_equal(budget_used(&memory), 0);
    return 0;
}

#define SHARD(id, first, last)                                               \
    "{\"ShardId\":\"" id "\",\"HashKeyRange\":{\"StartingHashKey\":\"" first \
    "\",\"EndingHashKey\":\"" last                                           \
    "\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"}}"

static enum err
read_text(const char *text)
{
    buf_clear(&token);
    return kinesis_shards_read(shards, bytes_of_text(text), &token, &why);
}

static void
list(const char *text)
{
    kinesis_shards_begin(shards);
    if (read_text(text) != OK) fail_msg("%s", why.text);
    if (kinesis_shards_end(shards, &why) != OK) fail_msg("%s", why.text);
}

static uint64_t
id_of(const char *id)
{
    return hash_bytes(bytes_of_text(id), 0);
}

static void
expect_shard(const char *key, const char *id)
{
    uint32_t shard = kinesis_shards_find(shards, bytes_of_text(key));
    assert_true(kinesis_shards_id(shards, shard) == id_of(id));
}

UNIT_TEST(test_a_key_belongs_to_the_shard_with_its_md5)
{
    /* The MD5 of "a" is 0cc175b9..., of "" d41d8cd9..., of "b" 92eb5ffe..., of "c" 4a8a08f0... */
    list("{\"Shards\":[" SHARD("high", MIDDLE, LAST) "," SHARD("low", "0", BELOW) "]}");
    assert_int_equal(kinesis_shards_count(shards), 2);
    expect_shard("a", "low");
    expect_shard("c", "low");
    expect_shard("b", "high");
    expect_shard("", "high");
    assert_true(kinesis_shards_knows(shards, id_of("low")));
    assert_false(kinesis_shards_knows(shards, id_of("lower")));
}

UNIT_TEST(test_a_key_at_the_edge_belongs_to_the_shard_that_begins_there)
{
    /* The MD5 of "a" is 0cc175b9c0f1b6a831c399e269772661. */
#define EXACT  "16955237001963240173058271559858726497"
#define BEFORE "16955237001963240173058271559858726496"
#define BEHIND "16955237001963240173058271559858726498"
    list("{\"Shards\":[" SHARD("one", "0", BEFORE) "," SHARD("two", EXACT, EXACT) "," SHARD(
        "three", BEHIND, LAST) "]}");
    expect_shard("a", "two");
    list("{\"Shards\":[" SHARD("one", "0", BEFORE) "," SHARD("two", EXACT, LAST) "]}");
    expect_shard("a", "two");
    list("{\"Shards\":[" SHARD("one", "0", EXACT) "," SHARD("two", BEHIND, LAST) "]}");
    expect_shard("a", "one");
}

UNIT_TEST(test_before_any_list_there_is_one_place)
{
    assert_int_equal(kinesis_shards_count(shards), 0);
    assert_int_equal(kinesis_shards_generation(shards), 0);
    assert_int_equal(kinesis_shards_find(shards, bytes_of_text("a")), 0);
    assert_true(kinesis_shards_id(shards, 0) == 0);
}

UNIT_TEST(test_pages_are_one_list_and_closed_shards_are_passed_over)
{
    kinesis_shards_begin(shards);
    assert_int_equal(
        read_text("{\"NextToken\":\"t\\/1\",\"Shards\":[" SHARD("low", "0", BELOW) "]}"), OK);
    assert_true(bytes_equal_text(buf_bytes(&token), "t/1"));
    assert_int_equal(kinesis_shards_count(shards), 0); /* only at its end */
    assert_int_equal(
        read_text("{\"NextToken\":null,\"Shards\":[{\"ShardId\":\"old\",\"ParentShardId\":null,"
                  "\"HashKeyRange\":{\"StartingHashKey\":\"0\",\"EndingHashKey\":\"" LAST "\"},"
                  "\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\","
                  "\"EndingSequenceNumber\":\"2\"}}," SHARD("high", MIDDLE, LAST) "]}"),
        OK);
    assert_int_equal(token.size, 0);
    assert_int_equal(kinesis_shards_end(shards, &why), OK);
    assert_int_equal(kinesis_shards_count(shards), 2);
    assert_false(kinesis_shards_knows(shards, id_of("old")));
}

UNIT_TEST(test_the_generation_changes_only_with_the_shards)
{
    list("{\"Shards\":[" SHARD("low", "0", BELOW) "," SHARD("high", MIDDLE, LAST) "]}");
    assert_int_equal(kinesis_shards_generation(shards), 1);
    list("{\"Shards\":[" SHARD("high", MIDDLE, LAST) "," SHARD("low", "0", BELOW) "]}");
    assert_int_equal(kinesis_shards_generation(shards), 1);
    list("{\"Shards\":[" SHARD("all", "0", LAST) "]}");
    assert_int_equal(kinesis_shards_generation(shards), 2);
    list("{\"Shards\":[" SHARD("other", "0", LAST) "]}");
    assert_int_equal(kinesis_shards_generation(shards), 3);
}

UNIT_TEST(test_shards_that_do_not_share_all_keys_change_nothing)
{
    static const char *const bad[] = {
        "{\"Shards\":[]}",
        "{\"Shards\":[" SHARD("a", "1", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "0", BELOW) "]}",
        "{\"Shards\":[" SHARD("a", "0", BELOW) "," SHARD("b", BELOW, LAST) "]}",
        "{\"Shards\":[" SHARD("a", "0", LAST) "," SHARD("b", "0", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "0", "5") "," SHARD("b", "7", LAST) "]}",
    };
    list("{\"Shards\":[" SHARD("all", "0", LAST) "]}");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kinesis_shards_begin(shards);
        assert_int_equal(read_text(bad[i]), OK);
        assert_int_equal(kinesis_shards_end(shards, &why), ERR_AGAIN);
        assert_non_null(strstr(why.text, "do not cover all hash keys"));
        assert_int_equal(kinesis_shards_count(shards), 1);
        assert_int_equal(kinesis_shards_generation(shards), 1);
    }
}

UNIT_TEST(test_a_malformed_list_is_refused_with_a_reason)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"Shards\":{}}",
        "{\"Shards\":[1]}",
        "{\"Shards\":[{}]}",
        "{\"Shards\":[" SHARD("", "0", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "-1", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "0x1", LAST) "]}",
        "{\"Shards\":[" SHARD("a", "0", "340282366920938463463374607431768211456") "]}",
        "{\"Shards\":[" SHARD("a", "0", "3402823669209384634633746074317682114550") "]}",
        "{\"Shards\":[" SHARD("a", "2", "1") "]}",
        "{\"Shards\":[{\"ShardId\":\"a\",\"HashKeyRange\":{\"StartingHashKey\":\"0\"}}]}",
        "{\"Shards\":[{\"ShardId\":\"a\",\"HashKeyRange\":{\"StartingHashKey\":0}}]}",
        "{\"Shards\":[" SHARD("a", "0", LAST) "]",
        "{\"Shards\":[" SHARD("a", "0", LAST) "]} x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kinesis_shards_begin(shards);
        why.text[0] = '\0';
        if (read_text(bad[i]) != ERR_INPUT) fail_msg("%s", bad[i]);
        assert_non_null(strstr(why.text, "cannot read the list of shards: "));
    }
}

UNIT_TEST(test_a_list_without_end_is_refused)
{
    enum err e = OK;
    kinesis_shards_begin(shards);
    for (uint32_t i = 0; i < KINESIS_SHARDS_MAX; i++)
        assert_int_equal(read_text("{\"Shards\":[" SHARD("a", "0", LAST) "]}"), OK);
    e = read_text("{\"Shards\":[" SHARD("a", "0", LAST) "]}");
    assert_int_equal(e, ERR_LIMIT);
    assert_non_null(strstr(why.text, "too long"));
}

UNIT_TEST(test_memory_that_is_refused_loses_nothing_known)
{
    list("{\"Shards\":[" SHARD("all", "0", LAST) "]}");
    mem_fail_nth(1, true);
    kinesis_shards_begin(shards);
    enum err e = read_text("{\"Shards\":[" SHARD("low", "0", BELOW) "]}");
    mem_fail_nth(0, false);
    assert_int_equal(e, ERR_NOMEM);
    assert_int_equal(kinesis_shards_count(shards), 1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_key_belongs_to_the_shard_with_its_md5),
        TEST(test_a_key_at_the_edge_belongs_to_the_shard_that_begins_there),
        TEST(test_before_any_list_there_is_one_place),
        TEST(test_pages_are_one_list_and_closed_shards_are_passed_over),
        TEST(test_the_generation_changes_only_with_the_shards),
        TEST(test_shards_that_do_not_share_all_keys_change_nothing),
        TEST(test_a_malformed_list_is_refused_with_a_reason),
        TEST(test_a_list_without_end_is_refused),
        TEST(test_memory_that_is_refused_loses_nothing_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
