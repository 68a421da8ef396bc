/* session_test.c - /api/v1/session: who is signed in, and the cookie; the gate is a double. */
#include "api/routes.h"

#include "auth/gate.h"
#include "lib/api/api_asked.h"
#include "lib/test.h"

/* Asks who sends the request; the answer's data is this text. */
static void
expect_data(struct api_rig *rig, const struct user *user, const char *data)
{
    struct http_request r;
    char text[500];
    union {
        const struct user *from;
        void *to;
    } sender = {.from = user};
    http_double_init(&r, HTTP_GET, "/api/v1/session", NULL, bytes_of("", 0));
    r.sender = sender.to;
    assert_true(api_rig_hand(rig, &r));
    api_rig_run(rig);
    assert_int_equal(r.status, 200);
    snprintf(text, sizeof text, "{\"status\":\"success\",\"data\":%s}", data);
    assert_string_equal(http_double_text(&r), text);
    assert_non_null(strstr(r.answer_headers, "Cache-Control: no-store\n"));
    buf_fini(&r.text);
}

UNIT_TEST(test_without_users_everything_is_permitted_and_no_user_is_named)
{
    struct api_rig *rig = api_rig_new();
    api_rig_start(rig);
    expect_data(rig, NULL,
                "{\"user\":null,\"session\":false,\"permissions\":[\"write\",\"read\",\"rules\","
                "\"admin\",\"metrics\"],\"tenancy\":false,\"tenants\":null,"
                "\"restricted\":false,\"adminApi\":true}");
    api_rig_free(rig);
}

UNIT_TEST(test_a_user_learns_its_permissions_and_tenants)
{
    const char *tenants[] = {"shop", "team-*"};
    struct user user = {.name = "ann", .permissions = PERMISSION_READ};
    struct api_rig *rig = api_rig_new();
    rig->options.tenancy = true;
    rig->options.admin = false;
    rig->rights = (struct gate_rights){PERMISSION_READ, true};
    api_rig_start(rig);
    expect_data(rig, &user,
                "{\"user\":\"ann\",\"session\":true,\"permissions\":[\"read\"],"
                "\"tenancy\":true,\"tenants\":null,\"restricted\":false,\"adminApi\":false}");
    user.tenants = (struct text_list){tenants, 2};
    user.read_set_count = 1;
    expect_data(rig, &user,
                "{\"user\":\"ann\",\"session\":true,\"permissions\":[\"read\"],"
                "\"tenancy\":true,\"tenants\":[\"shop\",\"team-*\"],"
                "\"restricted\":true,\"adminApi\":false}");
    api_rig_free(rig);
}

UNIT_TEST(test_a_session_begins_and_ends_with_a_cookie)
{
    static const struct asked cases[] = {
        {"begins", HTTP_POST, "/api/v1/session", NULL, NULL, 0, 204, NULL, NULL,
         "Set-Cookie: s=1\n"},
        {"is not kept", HTTP_POST, "/api/v1/session", NULL, NULL, 0, 204, NULL, NULL,
         "Cache-Control: no-store\n"},
        {"ends", HTTP_DELETE, "/prometheus/api/v1/session", NULL, NULL, 0, 204, NULL, NULL,
         "Set-Cookie: s=; Max-Age=0\n"},
        {"a foreign page", HTTP_POST, "/api/v1/session", "Origin: https://evil.example", NULL, 0,
         403, JSON_TYPE, "pages of other origins"},
        {"a form", HTTP_POST, "/api/v1/session", FORM, "a=b", 0, 415, JSON_TYPE, "forms"},
    };
    struct api_rig *rig = api_rig_new();
    struct http_request r;
    api_rig_start(rig);
    api_ask_all(rig, cases);
    rig->session_refused = 403;
    api_rig_ask(rig, &r, HTTP_POST, "/api/v1/session", NULL, bytes_of("", 0));
    assert_int_equal(r.status, 403);
    assert_non_null(strstr(http_double_text(&r), "the double refuses the session"));
    assert_null(strstr(r.answer_headers, "Set-Cookie"));
    buf_fini(&r.text);
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_users_everything_is_permitted_and_no_user_is_named),
        cmocka_unit_test(test_a_user_learns_its_permissions_and_tenants),
        cmocka_unit_test(test_a_session_begins_and_ends_with_a_cookie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
