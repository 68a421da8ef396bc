/* ruler_api_test.c - the ruler API: the meaning of paths, and answers to clients. */
#include "lib/api/api_asked.h"
#include "lib/test.h"

/* --- an owner of rules ------------------------------------------------------------------------ */

static struct {
    enum err error;
    const char *why, *reasons;
    char asked[512]; /* "VERB TENANT NAMESPACE GROUP BODY", "-" if not named */
} owner;

static void
note(const char *verb, struct bytes tenant, const char *namespace, const char *group,
     struct bytes text)
{
    snprintf(owner.asked, sizeof owner.asked, "%s|%.*s|%s|%s|%.*s", verb, (int)tenant.size,
             (const char *)tenant.at, namespace == NULL ? "-" : namespace,
             group == NULL ? "-" : group, (int)text.size,
             text.size == 0 ? "" : (const char *)text.at);
}

static enum err
owner_stored_rules(void *context, const struct rules_wanted *wanted, struct buf *to,
                   struct why *why)
{
    (void)context;
    note("get", wanted->tenant, wanted->namespace, wanted->group, bytes_of("", 0));
    if (owner.error == OK) buf_put_text(to, "name: a\n");
    return owner.error ? why_set(why, owner.error, "%s", owner.why) : OK;
}

static enum err
owner_edit_rules(void *context, const struct rules_edit *edit, struct buf *reasons, struct why *why)
{
    static const char *const verbs[] = {"set", "delete", "delete all"};
    (void)context;
    note(verbs[edit->verb], edit->tenant, edit->namespace, edit->group, edit->text);
    if (owner.reasons != NULL) buf_put_text(reasons, owner.reasons);
    return owner.error ? why_set(why, owner.error, "%s", owner.why) : OK;
}

static struct api_rig *
ruler_rig(bool tenancy)
{
    struct api_rig *rig = api_rig_new();
    memset(&owner, 0, sizeof owner);
    rig->options.tenancy = tenancy;
    rig->options.stored_rules = owner_stored_rules;
    rig->options.edit_rules = owner_edit_rules;
    return rig;
}

#define YAML "application/yaml"

/* --- paths ------------------------------------------------------------------------------------ */

UNIT_TEST(test_paths_name_what_clients_mean)
{
    static const struct {
        enum http_method method;
        const char *target, *asked;
        unsigned status;
    } cases[] = {
        {HTTP_GET, "/config/v1/rules", "get|anonymous|-|-|", 200},
        {HTTP_GET, "/prometheus/config/v1/rules", "get|anonymous|-|-|", 200},
        {HTTP_GET, "/api/prom/rules", "get|anonymous|-|-|", 200},
        {HTTP_GET, "/config/v1/rules/a b", "get|anonymous|a b|-|", 200},
        {HTTP_GET, "/prometheus/config/v1/rules/a/b", "get|anonymous|a|b|", 200},
        {HTTP_GET, "/prometheus/config/v1/rules/a%2Fb/c", "get|anonymous|a/b|c|", 200},
        {HTTP_GET, "/api/prom/rules/a%2fb%20%25/%2F", "get|anonymous|a/b %|/|", 200},
        {HTTP_GET, "/api/prom/rules/%252F", "get|anonymous|%252F|-|", 200}, /* the rig decodes it */
        {HTTP_GET, "/api/prom/rules/%252F%2F", "get|anonymous|%2F/|-|", 200},
        {HTTP_GET, "/config/v1/rules/..", "get|anonymous|..|-|", 200},
        {HTTP_POST, "/config/v1/rules/a", "set|anonymous|a|-|body", 202},
        {HTTP_POST, "/api/prom/rules/a%2Fb", "set|anonymous|a/b|-|body", 202},
        {HTTP_DELETE, "/config/v1/rules/a", "delete all|anonymous|a|-|", 202},
        {HTTP_DELETE, "/prometheus/config/v1/rules/a%2Fb/c%2Fd", "delete|anonymous|a/b|c/d|", 202},
    };
    struct api_rig *rig = api_rig_start(ruler_rig(false));
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r;
        api_rig_ask(rig, &r, cases[i].method, cases[i].target, NULL, bytes_of_text("body"));
        if (r.status != cases[i].status || strcmp(owner.asked, cases[i].asked) != 0)
            fail_msg("%s: %u, %s", cases[i].target, r.status, owner.asked);
        buf_fini(&r.text);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_other_paths_are_not_found)
{
    static const struct asked cases[] = {
        {"no namespace", HTTP_GET, "/config/v1/rules/", NULL, NULL, 0, 404, TEXT,
         "404 page not found\n"},
        {"no namespace", HTTP_POST, "/config/v1/rules/", NULL, "x", 0, 404, TEXT, "page not found"},
        {"an empty one", HTTP_GET, "/config/v1/rules//a", NULL, NULL, 0, 404, TEXT,
         "page not found"},
        {"no group", HTTP_GET, "/config/v1/rules/a/", NULL, NULL, 0, 404, TEXT, "page not found"},
        {"too many", HTTP_DELETE, "/config/v1/rules/a/b/c", NULL, NULL, 0, 404, TEXT,
         "page not found"},
        {"another place", HTTP_GET, "/config/v1/rules%2Fa", NULL, NULL, 0, 404, TEXT,
         "page not found"},
        {"another place", HTTP_GET, "/config%2Fv1/rules/a", NULL, NULL, 0, 404, TEXT,
         "page not found"},
        {"no method for it", HTTP_POST, "/config/v1/rules/a/b", NULL, "x", 0, 405, TEXT,
         "method not allowed", "Allow: GET, HEAD, DELETE\n"},
    };
    struct api_rig *rig = api_rig_start(ruler_rig(false));
    api_ask_all(rig, cases);
    assert_string_equal(owner.asked, "");
    api_rig_free(rig);
}

UNIT_TEST(test_paths_are_below_the_prefix_that_is_set)
{
    static const struct asked cases[] = {
        {"all", HTTP_GET, "/keep/it/config/v1/rules", NULL, NULL, 0, 200, YAML, "name: a\n"},
        {"one", HTTP_GET, "/keep/it/prometheus/config/v1/rules/a%2Fb/c", NULL, NULL, 0, 200, YAML,
         "name: a\n"},
        {"elsewhere", HTTP_GET, "/keep%2Fit/config/v1/rules/a", NULL, NULL, 0, 404, TEXT,
         "page not found"},
    };
    struct api_rig *rig = ruler_rig(false);
    rig->options.route_prefix = "/keep/it";
    api_rig_start(rig);
    api_ask_all(rig, cases);
    assert_string_equal(owner.asked, "get|anonymous|a/b|c|");
    api_rig_free(rig);
}

UNIT_TEST(test_without_the_setting_there_is_no_such_path)
{
    static const char *const paths[] = {"/config/v1/rules", "/prometheus/config/v1/rules/a",
                                        "/api/prom/rules/a/b"};
    struct api_rig *rig = api_rig_start(api_rig_new());
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct http_request r;
        http_double_init(&r, HTTP_GET, paths[i], NULL, bytes_of("", 0));
        assert_false(api_rig_hand(rig, &r));
        buf_fini(&r.text);
    }
    api_rig_free(rig);
}

/* --- answers ---------------------------------------------------------------------------------- */

#define ACCEPTED "{\"status\":\"success\",\"data\":null,\"errorType\":\"\",\"error\":\"\"}"

UNIT_TEST(test_answers_are_those_of_mimir)
{
    static const struct {
        enum err error;
        const char *why, *reasons;
        struct asked asked;
    } cases[] = {
        {OK,
         NULL,
         NULL,
         {"get", HTTP_GET, "/config/v1/rules", NULL, NULL, 0, 200, YAML, "name: a\n"}},
        {OK,
         NULL,
         NULL,
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 202, JSON_TYPE, ACCEPTED}},
        {OK,
         NULL,
         NULL,
         {"delete", HTTP_DELETE, "/config/v1/rules/a/b", NULL, NULL, 0, 202, JSON_TYPE, ACCEPTED}},
        {ERR_MISSING,
         "group does not exist",
         NULL,
         {"get", HTTP_GET, "/config/v1/rules/a/b", NULL, NULL, 0, 404, TEXT,
          "group does not exist\n"}},
        {ERR_MISSING,
         "group namespace does not exist",
         NULL,
         {"delete", HTTP_DELETE, "/config/v1/rules/a", NULL, NULL, 0, 404, TEXT,
          "group namespace does not exist\n"}},
        {ERR_INPUT,
         "the first",
         "the first\nthe second\n",
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 400, TEXT,
          "the first\nthe second\n"}},
        {ERR_INPUT,
         "too many",
         NULL,
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 400, TEXT, "too many\n"}},
        {ERR_LIMIT,
         "too large",
         NULL,
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 413, TEXT, "too large\n"}},
        {ERR_FULL,
         "no space",
         NULL,
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 503, TEXT, "no space\n",
          "Retry-After: 2\n"}},
        {ERR_IO,
         "no disk",
         NULL,
         {"post", HTTP_POST, "/config/v1/rules/a", NULL, "x", 0, 500, TEXT, "no disk\n"}},
        {ERR_CORRUPT,
         "damaged",
         NULL,
         {"get", HTTP_GET, "/config/v1/rules", NULL, NULL, 0, 500, TEXT, "damaged\n",
          "X-Firekeep-Error: damaged\n"}},
        {ERR_UNSUPPORTED,
         "newer",
         NULL,
         {"get", HTTP_GET, "/config/v1/rules", NULL, NULL, 0, 500, TEXT, "newer\n"}},
        {OK,
         NULL,
         NULL,
         {"packed", HTTP_POST, "/config/v1/rules/a", "Content-Encoding: gzip", "x", 0, 415, TEXT,
          "content encoding not supported\n"}},
        {OK,
         NULL,
         NULL,
         {"plain", HTTP_POST, "/config/v1/rules/a", "Content-Encoding: identity", "x", 0, 202,
          JSON_TYPE, ACCEPTED}},
    };
    struct api_rig *rig = api_rig_start(ruler_rig(false));
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        owner.error = cases[i].error;
        owner.why = cases[i].why;
        owner.reasons = cases[i].reasons;
        api_ask(rig, &cases[i].asked);
    }
    api_rig_free(rig);
}

UNIT_TEST(test_each_tenant_has_rules_of_its_own)
{
    static const struct asked cases[] = {
        {"nobody", HTTP_GET, "/config/v1/rules", NULL, NULL, 0, 401, TEXT,
         "missing header X-Scope-OrgID\n"},
        {"several", HTTP_POST, "/config/v1/rules/a", "X-Scope-OrgID: a|b", "x", 0, 400, TEXT,
         "invalid X-Scope-OrgID: "},
    };
    struct api_rig *rig = api_rig_start(ruler_rig(true));
    api_ask_all(rig, cases);
    assert_string_equal(owner.asked, "");
    struct asked one = {
        "one",     HTTP_DELETE, "/config/v1/rules/a", "X-Scope-OrgID: t-1", NULL, NO_MESSAGE, 202,
        JSON_TYPE, ACCEPTED};
    api_ask(rig, &one);
    assert_string_equal(owner.asked, "delete all|t-1|a|-|");
    api_rig_free(rig);
}

UNIT_TEST(test_refused_allocations_are_answered)
{
    struct api_rig *rig = api_rig_start(ruler_rig(false));
    bool fired = true;
    for (unsigned nth = 1; fired; nth++) {
        struct http_request r;
        http_double_init(&r, HTTP_GET, "/config/v1/rules/a%2Fb/c", NULL, bytes_of("", 0));
        mem_fail_nth(nth, false);
        assert_true(api_rig_hand(rig, &r));
        api_rig_run(rig);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_true(r.status == 200 || (fired && r.status == 503));
        buf_fini(&r.text);
        assert_true(nth < 100);
    }
    api_rig_free(rig);
}

/* --- discovery of the API --------------------------------------------------------------------- */

static bool
has_features(struct api_rig *rig, const char *path)
{
    struct http_request r;
    api_rig_ask(rig, &r, HTTP_GET, path, NULL, bytes_of("", 0));
    assert_int_equal(r.status, 200);
    const char *features = strstr(http_double_text(&r), "\"features\"");
    bool is = features != NULL;
    if (is) assert_non_null(strstr(features, "{\"ruler_config_api\":\"true\"}"));
    buf_fini(&r.text);
    return is;
}

UNIT_TEST(test_only_the_build_information_of_mimir_lists_the_ruler)
{
    struct api_rig *rig = api_rig_start(ruler_rig(false));
    assert_true(has_features(rig, "/prometheus/api/v1/status/buildinfo"));
    assert_false(has_features(rig, "/api/v1/status/buildinfo"));
    api_rig_free(rig);
    rig = api_rig_start(api_rig_new());
    assert_false(has_features(rig, "/prometheus/api/v1/status/buildinfo"));
    api_rig_free(rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_name_what_clients_mean),
        cmocka_unit_test(test_other_paths_are_not_found),
        cmocka_unit_test(test_paths_are_below_the_prefix_that_is_set),
        cmocka_unit_test(test_without_the_setting_there_is_no_such_path),
        cmocka_unit_test(test_answers_are_those_of_mimir),
        cmocka_unit_test(test_each_tenant_has_rules_of_its_own),
        cmocka_unit_test(test_refused_allocations_are_answered),
        cmocka_unit_test(test_only_the_build_information_of_mimir_lists_the_ruler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
