/* reading_test.c - a source is asked for the tenant that is given, or for its own. */
#include "cli/copy/copy.h"

#include "lib/net/http_player.h"

#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

static struct player player;

/* Reads from a source with `tenants`; the request that it gets is in player.seen. */
static void
read_source(const char *tenants, const char *tenant, bool stored)
{
    static const char *const answers[] = {NOT_FOUND};
    static const struct matcher_set all = {.count = 0};
    const char *items[] = {tenants};
    struct source_settings settings = {.name = "old",
                                       .type = SOURCE_REMOTE_READ,
                                       .timeout_ms = 5000,
                                       .max_concurrent = 4,
                                       .tenants = {items, 1},
                                       .http.proxy_url = ""};
    struct reading_options options = {
        .source = &settings, .name = "old", .tenant = tenant, .stored = stored};
    struct reading *reading;
    struct series_set *set;
    struct bytes labels;
    struct why why = {""};
    player_start(&player, 1, answers);
    settings.u.remote_read.url = player.url;
    settings.u.remote_read.tenant_header = "X-Scope-OrgID";
    if (reading_open(&options, &reading, &why)) fail_msg("%s", why.text);
    enum err e = reading_select(reading, &all, 1, 0, 1000, &set, &why);
    if (e == OK) {
        e = series_set_next(set, &labels, &why);
        series_set_free(set);
    }
    assert_int_not_equal(e, OK);
    player_stop(&player);
    reading_free(reading);
}

static void
expect_tenant(const char *tenants, const char *tenant, const char *expected)
{
    char header[64];
    snprintf(header, sizeof header, "\r\nX-Scope-OrgID: %s\r\n", expected);
    read_source(tenants, tenant, false);
    if (strstr(player.seen, header) == NULL) fail_msg("no %s in %s", expected, player.seen);
    assert_null(strstr(player.seen, "X-Firekeep-Sources"));
}

UNIT_TEST(test_a_source_is_asked_for_its_tenant_unless_another_is_given)
{
    expect_tenant("team-1", NULL, "team-1");
    expect_tenant("all", NULL, "anonymous");
    expect_tenant("all", "all", "anonymous");
    expect_tenant("all", "team-2", "team-2");
}

UNIT_TEST(test_a_source_may_be_asked_for_its_own_samples_alone)
{
    read_source("all", NULL, true);
    assert_non_null(strstr(player.seen, "\r\nX-Firekeep-Sources: none\r\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_source_is_asked_for_its_tenant_unless_another_is_given),
        cmocka_unit_test(test_a_source_may_be_asked_for_its_own_samples_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
