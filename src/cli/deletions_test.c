/* deletions_test.c - receipts of deletions are printed as a server's responses have them. */
#include "lib/test.h"

#include "cli/cli.h"
#include "lib/cli_dir.h"
#include "lib/cli_run.h"
#include "lib/net/http_player.h"

static const struct command *const commands[] = {&command_deletions, &command_undelete, NULL};
static struct player player;
static const char *status_line = "200 OK";

/* Runs a command with --url; the server sends this body. */
static int
run_with(const char *body, const char *command, const char *word)
{
    char answer[2048];
    const char *const answers[] = {answer};
    snprintf(answer, sizeof answer,
             "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             status_line, strlen(body), body);
    player_start(&player, 1, answers);
    int status =
        cli_run_into(cli_memory_file(), commands,
                     (const char *const[]){command, "--url", player.url, "--tenant=t", word, NULL});
    player_stop(&player);
    assert_non_null(strstr(player.seen, "\r\nX-Scope-OrgID: t\r\n"));
    return status;
}

static void
expect_sent(const char *request)
{
    if (strncmp(player.seen, request, strlen(request)) != 0) fail_msg("sent: %s", player.seen);
}

#define RECEIPT                                                                                   \
    "{\"id\":\"7\",\"state\":\"held\",\"time\":\"2026-01-02T03:04:05Z\",\"heldUntil\":"           \
    "\"2026-01-03T03:04:05Z\",\"selector\":\"{a=\\\"b\\\"}\",\"start\":\"2025-12-31T00:00:00Z\"," \
    "\"series\":3,\"samples\":21,\"hidden\":20,\"gone\":1,\"parts\":2,\"partBytes\":2048,"        \
    "\"snapshots\":4}"

static void
expect_printed(const char *expected)
{
    assert_string_equal(cli_out, expected);
}

UNIT_TEST(test_deletions_are_a_table)
{
    cli_expect(run_with("{\"data\":[" RECEIPT "]}", "deletions", "--format=text"), EXIT_DONE, "");
    expect_sent("GET /path/api/v1/admin/tsdb/deletions HTTP/1.1\r\n");
    expect_printed("id  state  made                      held until                series  samples "
                   " windows  parts  in parts of  snapshots  bucket  selector\n"
                   "7   held   2026-01-02T03:04:05.000Z  2026-01-03T03:04:05.000Z       3       21 "
                   " -            2      2.0 KiB          4  -       {a=\"b\"}\n");
}

UNIT_TEST(test_one_deletion_has_a_line_for_each_figure)
{
    cli_expect(run_with("{\"data\":" RECEIPT "}", "deletions", "7"), EXIT_DONE, "");
    expect_sent("GET /path/api/v1/admin/tsdb/deletions/7 HTTP/1.1\r\n");
    expect_printed("  deletion                   7\n"
                   "  state                      held\n"
                   "  made                       2026-01-02T03:04:05.000Z (1767323045000)\n"
                   "  held until                 2026-01-03T03:04:05.000Z (1767409445000)\n"
                   "  undone                     -\n"
                   "  selector                   {a=\"b\"}\n"
                   "  from                       2025-12-31T00:00:00.000Z (1767139200000)\n"
                   "  to                         -\n"
                   "  series                     3\n"
                   "  samples                    21\n"
                   "  still hidden               20\n"
                   "  gone from the disk         1\n"
                   "  windows                    -\n"
                   "  windows still hidden       -\n"
                   "  windows gone               -\n"
                   "  parts with some            2\n"
                   "  size of these parts        2.0 KiB (2048)\n"
                   "  snapshots with some        4\n"
                   "  in the bucket              -\n");
}

UNIT_TEST(test_a_deletion_is_undone_by_a_request_that_says_so)
{
    cli_expect(run_with("{\"data\":" RECEIPT "}", "undelete", "7"), EXIT_DONE, "held");
    expect_sent("POST /path/api/v1/admin/tsdb/deletions/7/undo HTTP/1.1\r\n");
}

UNIT_TEST(test_an_error_is_the_sentence_of_the_server)
{
    status_line = "503 Service Unavailable";
    cli_expect(run_with("{\"status\":\"error\",\"error\":\"later\"}", "undelete", "7"), EXIT_FAILED,
               ": status 503: later\n");
    status_line = "404 Not Found";
    cli_expect(run_with("{\"status\":\"error\",\"errorType\":\"not_found\","
                        "\"error\":\"no deletion has the number 7\"}",
                        "undelete", "7"),
               EXIT_FAILED, ": status 404: no deletion has the number 7\n");
    cli_expect(run_with("no page", "undelete", "7"), EXIT_FAILED, ": status 404: no page\n");
    status_line = "200 OK";
}

UNIT_TEST(test_a_response_of_another_server_is_refused)
{
    static const char *const bodies[] = {"", "[]", "{\"data\":{}}", "{\"data\":[", "{\"data\":7}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        cli_expect(run_with(bodies[i], "deletions", "--format=json"), EXIT_FAILED,
                   "the response is not from Firekeep");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deletions_are_a_table),
        cmocka_unit_test(test_one_deletion_has_a_line_for_each_figure),
        cmocka_unit_test(test_a_deletion_is_undone_by_a_request_that_says_so),
        cmocka_unit_test(test_an_error_is_the_sentence_of_the_server),
        cmocka_unit_test(test_a_response_of_another_server_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
