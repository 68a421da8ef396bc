/* server_snapshot_test.c - snapshots of a server that plays scripted answers. */
#include "cli/backup/backup_ends.h"

#include "lib/net/http_player.h"
#include "lib/test.h"

#define NAME          "20260101T000000Z-0123456789abcdef"
#define ANSWER(size)  "HTTP/1.1 200 OK\r\nContent-Length: " size "\r\n\r\n"
#define TAKEN         ANSWER("72") "{\"status\":\"success\",\"data\":{\"name\":\"" NAME "\"}}"
#define REMOVED       "HTTP/1.1 204 No Content\r\n\r\n"
#define NOT_PERMITTED "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

/* Takes a snapshot that is not on this machine. */
static void
expect_given_back(const char *answer, bool remains)
{
    const char *const answers[] = {TAKEN, answer};
    struct player player;
    struct server_snapshot snapshot;
    struct budget memory;
    struct why why = {""};
    char url[100];
    budget_init(&memory, "test", 1 << 20, NULL);
    player_start(&player, 2, answers);
    snprintf(url, sizeof url, "%.*s", (int)(strrchr(player.url, '/') - player.url), player.url);
    const struct server_snapshot_options options = {
        .url = url, .storage = "/nowhere", .suffix = "0123456789abcdef", .memory = &memory};
    assert_int_equal(server_snapshot_take(&options, &snapshot, &why), ERR_UNSUPPORTED);
    assert_int_equal(server_snapshot_remove(&snapshot, &why), OK);
    player_stop(&player);
    assert_non_null(strstr(player.seen, "DELETE /api/v1/admin/tsdb/snapshots/" NAME " "));
    assert_non_null(strstr(why.text, "is not at /nowhere/snapshots/" NAME));
    assert_int_equal(strstr(why.text, "; the snapshot remains") != NULL, remains);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_a_server_removes_a_snapshot_that_is_not_on_this_machine)
{
    expect_given_back(REMOVED, false);
}

UNIT_TEST(test_a_snapshot_that_the_server_does_not_remove_is_reported)
{
    expect_given_back(NOT_PERMITTED, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_removes_a_snapshot_that_is_not_on_this_machine),
        cmocka_unit_test(test_a_snapshot_that_the_server_does_not_remove_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
