/* users_test.c - a set of users: each way to find one, tenants, lifetimes. */
#include "auth/users.h"

#include <string.h>

#include "lib/failing_memory.h"
#include "lib/test.h"
#include "lib/test_dir.h"
#include "lib/texts.h"

/* SHA-256 of "abc" and of "def". */
#define ABC          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define DEF          "CB8379AC2098AA165029E3938A51DA0BCECFC008FD6795F401178647F96C5B34"
#define BCRYPT(cost) "$2b$" cost "$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"
#define must(call)   assert_int_equal((call), OK)

#define added                                                  \
    {                                                          \
        (struct named_text[]){{"team", "a"}, {"cell", "b"}}, 2 \
    }
static struct user_settings settings[] = {
    {.name = "ann", .password = BCRYPT("04"), .permissions = PERMISSION_READ},
    {.name = "bob", .tokens = TEXTS(ABC, DEF), .permissions = PERMISSION_WRITE},
    {.name = "cam",
     .client_certificate = "CN=cam,O=x",
     .tenants = TEXTS("t"),
     .read_matchers = TEXTS("{team=\"a\",env=~\"x|y\"}", "{team!=\"b\"}")},
    {.name = "dot",
     .client_certificate = "d.test",
     .iam_callers = TEXTS("arn:aws:iam::1:user/dot", "arn:aws:sts::1:assumed-role/dot/*"),
     .tenants = TEXTS("team-*", "x")},
    {.name = "eve", .password = BCRYPT("12"), .tenants = TEXTS("*-b*-c"), .write_labels = added},
};
static const struct user_list list = {settings, sizeof settings / sizeof *settings};

static struct users *
users_of(const struct user_list *from)
{
    struct users *users = NULL;
    must(users_new(from, NULL, NULL, &users, NULL));
    return users;
}

static void
expect_user(const struct user *user, const char *name)
{
    if (name == NULL) return assert_null(user);
    assert_non_null(user);
    assert_string_equal(user->name, name);
}

UNIT_TEST(test_users_are_found_by_each_way_to_sign_in)
{
    struct users *u = users_of(&list);
    static const char *const names[] = {"a.test", "d.test"};
    assert_int_equal(users_count(u), 5);
    expect_user(users_by_name(u, bytes_of_text("ann")), "ann");
    expect_user(users_by_name(u, bytes_of_text("eve")), "eve");
    expect_user(users_by_name(u, bytes_of_text("Ann")), NULL);
    expect_user(users_by_name(u, bytes_of_text("ann\0")), "ann");
    expect_user(users_by_name(u, bytes_of("ann", 4)), NULL);
    expect_user(users_by_name(u, bytes_of_text("")), NULL);
    expect_user(users_by_token(u, bytes_of_text("abc")), "bob");
    expect_user(users_by_token(u, bytes_of_text("def")), "bob");
    expect_user(users_by_token(u, bytes_of_text("abd")), NULL);
    expect_user(users_by_token(u, bytes_of_text(ABC)), NULL);
    expect_user(users_by_token(u, bytes_of_text("")), NULL);
    expect_user(users_by_certificate(u, "CN=cam,O=x", NULL, 0), "cam");
    expect_user(users_by_certificate(u, "CN=other", names, 2), "dot");
    expect_user(users_by_certificate(u, "CN=other", names, 1), NULL);
    expect_user(users_by_caller(u, bytes_of_text("arn:aws:iam::1:user/dot")), "dot");
    expect_user(users_by_caller(u, bytes_of_text("arn:aws:sts::1:assumed-role/dot/s-1")), "dot");
    expect_user(users_by_caller(u, bytes_of_text("arn:aws:iam::1:user/dots")), NULL);
    expect_user(users_by_caller(u, bytes_of_text("")), NULL);
    users_release(u);
}

UNIT_TEST(test_the_dearest_password_is_known)
{
    struct users *u = users_of(&list);
    assert_string_equal(users_dearest_password(u), BCRYPT("12"));
    users_release(u);
    struct user_list nobody = {NULL, 0};
    u = users_of(&nobody);
    assert_null(users_dearest_password(u));
    expect_user(users_by_name(u, bytes_of_text("ann")), NULL);
    expect_user(users_by_token(u, bytes_of_text("abc")), NULL);
    expect_user(users_by_certificate(u, "", NULL, 0), NULL);
    users_release(u);
}

UNIT_TEST(test_patterns_of_tenants_match_whole_names)
{
    static const struct {
        const char *user, *tenant;
        bool may;
    } cases[] = {
        {"ann", "t", true},           {"cam", "t", true},      {"cam", "tt", false},
        {"cam", "", false},           {"dot", "team-", true},  {"dot", "team-a", true},
        {"dot", "team", false},       {"dot", "x", true},      {"dot", "ateam-a", false},
        {"eve", "a-b-c", true},       {"eve", "-b-c", true},   {"eve", "a-b-b-c-c", true},
        {"eve", "a-b-c-d", false},    {"eve", "a-c-b", false}, {"eve", "a-bbb-c-b-c", true},
        {"eve", "a-b-c-b-cc", false},
    };
    struct users *u = users_of(&list);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct user *user = users_by_name(u, bytes_of_text(cases[i].user));
        if (user_may_use(user, bytes_of_text(cases[i].tenant)) != cases[i].may)
            fail_msg("%s, %s", cases[i].user, cases[i].tenant);
    }
    assert_null(user_only_tenant(users_by_name(u, bytes_of_text("ann"))));
    assert_string_equal(user_only_tenant(users_by_name(u, bytes_of_text("cam"))), "t");
    assert_null(user_only_tenant(users_by_name(u, bytes_of_text("dot"))));
    assert_null(user_only_tenant(users_by_name(u, bytes_of_text("eve"))));
    users_release(u);
}

UNIT_TEST(test_a_user_lives_as_long_as_its_set_is_held)
{
    struct budget memory;
    struct users *u = NULL;
    budget_init(&memory, "test", 0, NULL);
    must(users_new(&list, NULL, &memory, &u, NULL));
    const struct user *user = users_by_name(u, bytes_of_text("bob"));
    users_hold(user->set);
    users_release(u);
    assert_string_equal(user->name, "bob");
    assert_true(budget_used(&memory) > 0);
    users_release(user->set);
    assert_int_equal(budget_used(&memory), 0);
}

UNIT_TEST(test_users_are_found_by_their_access_keys)
{
    struct access_key_settings keys[] = {{.id = "AKIA1", .secret_file = test_path},
                                         {.id = "AKIA2", .secret_file = test_path}};
    struct user_settings two[] = {{.name = "ann"},
                                  {.name = "bob", .access_keys = keys, .access_key_count = 2}};
    const struct signing_key *key;
    write_text_file(test_path, "secret\n");
    struct user_list with_keys = {
        .items = two,
        .count = 2,
        .signing = {
            .services = TEXTS("a", "b"), .region = "r", .host = "h:1", .unsigned_payload = true}};
    struct users *u = users_of(&with_keys), *none = users_of(&list);
    expect_user(users_by_access_key(u, bytes_of_text("AKIA2"), &key), "bob");
    assert_string_equal(key->id, "AKIA2");
    assert_true(bytes_equal_text(key->secrets[0], "secret"));
    expect_user(users_by_access_key(u, bytes_of_text("AKIA3"), &key), NULL);
    assert_null(key);
    expect_user(users_by_access_key(none, bytes_of_text("AKIA1"), &key), NULL);
    assert_int_equal(signing_keys_count(users_signing_keys(u)), 2);
    assert_int_equal(signing_keys_count(users_signing_keys(none)), 0);
    assert_string_equal(users_signing(u)->services.items[1], "b");
    assert_string_equal(users_signing(u)->region, "r");
    assert_string_equal(users_signing(u)->host, "h:1");
    assert_true(users_signing(u)->unsigned_payload);
    assert_null(users_signing(none)->region);
    users_release(u);
    users_release(none);
    unlink(test_path);
    u = NULL;
    assert_int_equal(users_new(&with_keys, NULL, NULL, &u, NULL), ERR_MISSING);
    assert_null(u);
}

UNIT_TEST(test_write_labels_become_canonical)
{
    struct named_text twice[] = {{"a", "b"}, {"a", "c"}};
    struct user_settings wrong = {.name = "fay", .write_labels = {twice, 2}};
    struct user_list wrong_list = {&wrong, 1};
    struct users *u = users_of(&list);
    struct why why;
    assert_true(bytes_equal_text(users_by_name(u, bytes_of_text("eve"))->write_labels,
                                 "\x0a\x09\x0a\x04"
                                 "cell\x12\x01"
                                 "b\x0a\x09\x0a\x04team\x12\x01"
                                 "a"));
    assert_int_equal(users_by_name(u, bytes_of_text("ann"))->write_labels.size, 0);
    users_release(u);
    assert_int_equal(users_new(&wrong_list, NULL, NULL, &u, &why), ERR_INPUT);
    assert_string_equal(why.text, "user fay: write_labels: duplicate_label");
}

UNIT_TEST(test_read_matchers_become_alternatives)
{
    struct users *u = users_of(&list);
    const struct user *cam = users_by_name(u, bytes_of_text("cam"));
    assert_int_equal(users_by_name(u, bytes_of_text("ann"))->read_set_count, 0);
    assert_int_equal(cam->read_set_count, 2);
    assert_int_equal(cam->read_sets[0].count, 2);
    assert_int_equal(cam->read_sets[1].count, 1);
    assert_true(bytes_equal_text(matcher_pattern(cam->read_sets[0].matchers[1]), "x|y"));
    assert_int_equal(matcher_type(cam->read_sets[1].matchers[0]), MATCH_NOT_EQUAL);
    users_release(u);
}

UNIT_TEST(test_a_read_matcher_that_is_not_a_selector_is_refused)
{
    struct user_settings wrong = {.name = "ann", .read_matchers = TEXTS("{a=\"b\"}", "{a=b}")};
    struct users *u;
    struct why why;
    assert_int_equal(users_new(&(struct user_list){&wrong, 1}, NULL, NULL, &u, &why), ERR_INPUT);
    const char begin[] = "user ann: read_matchers: {a=b}: ";
    assert_memory_equal(why.text, begin, sizeof begin - 1);
}

UNIT_TEST(test_each_allocation_may_fail)
{
    struct budget memory;
    bool fired = true;
    budget_init(&memory, "test", 0, NULL);
    for (uint64_t nth = 1; fired; nth++) {
        struct users *u = NULL;
        mem_fail_nth(nth, true);
        enum err e = users_new(&list, NULL, &memory, &u, NULL);
        fired = mem_fail_fired();
        mem_fail_nth(0, false);
        assert_int_equal(e, fired ? ERR_NOMEM : OK);
        if (e == OK) users_release(u);
        assert_int_equal(budget_used(&memory), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_are_found_by_each_way_to_sign_in),
        cmocka_unit_test(test_the_dearest_password_is_known),
        cmocka_unit_test(test_patterns_of_tenants_match_whole_names),
        cmocka_unit_test(test_a_user_lives_as_long_as_its_set_is_held),
        cmocka_unit_test_setup_teardown(test_users_are_found_by_their_access_keys, test_dir_make,
                                        test_dir_remove),
        cmocka_unit_test(test_write_labels_become_canonical),
        cmocka_unit_test(test_read_matchers_become_alternatives),
        cmocka_unit_test(test_a_read_matcher_that_is_not_a_selector_is_refused),
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
