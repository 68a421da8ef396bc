/* session_test.c - values of sessions: what is good, and for how long. */
#include "auth/gate_private.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "lib/test.h"

static struct env clocked; /* the real one, with a clock that tests set */
static struct env_ops clocked_ops;
static int64_t clock_ns;
static struct budget memory;
static const struct bytes secret = {(const uint8_t *)"0123456789abcdef", 16};
static const struct bytes none = {NULL, 0};

static int64_t
read_clock(struct env *env)
{
    (void)env;
    return clock_ns;
}

static struct sessions *
begin(void)
{
    struct sessions *s = NULL;
    clocked_ops = *env_real()->ops;
    clocked_ops.monotonic_ns = read_clock;
    clocked.ops = &clocked_ops;
    clock_ns = 5 * NS_PER_S;
    budget_init(&memory, "sessions", 0, NULL);
    assert_int_equal(sessions_new(&clocked, &memory, &s), OK);
    return s;
}

static void
end(struct sessions *s)
{
    sessions_free(s);
    assert_int_equal(budget_used(&memory), 0);
}

enum { COOKIES_BYTES = SESSION_VALUE_BYTES_MAX + 100 };

/* Makes a session of a user, and a header Cookie with it. */
static void
make_of(struct sessions *s, const char *user, char ret_cookies[static COOKIES_BYTES])
{
    struct buf value;
    buf_init(&value, NULL, SESSION_VALUE_BYTES_MAX);
    assert_int_equal(
        session_begin(s, SESSION_OF_USER, bytes_of_text(user), bytes_of_text(user), secret, &value),
        OK);
    snprintf(ret_cookies, COOKIES_BYTES, "c=%.*s", (int)value.size, (const char *)value.at);
    buf_fini(&value);
}

static void
make(struct sessions *s, char ret_cookies[static COOKIES_BYTES])
{
    make_of(s, "ops", ret_cookies);
}

/* Reads the cookie "c". False: it does not have the form of a session. */
static bool
find(const char *cookies, struct session *ret)
{
    static uint8_t at[SESSION_VALUE_BYTES_MAX];
    struct buf room = {.at = at, .capacity = sizeof at, .limit = sizeof at};
    return session_find(cookies, "c", &room, ret);
}

static bool
is_good(struct sessions *s, const char *cookies)
{
    struct session session;
    return find(cookies, &session) && session.kind == SESSION_OF_USER &&
           session_is_good(s, &session, secret);
}

/* Ends a session that is good. */
static void
sign_out(struct sessions *s, const char *cookies)
{
    struct session session;
    assert_true(find(cookies, &session));
    session_end(s, &session);
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_session_names_its_user_and_lasts_twelve_hours)
{
    struct sessions *s = begin();
    struct session session;
    char cookies[COOKIES_BYTES];
    make(s, cookies);
    assert_true(find(cookies, &session));
    assert_int_equal(session.kind, SESSION_OF_USER);
    assert_true(bytes_equal_text(session.subject, "ops"));
    assert_true(is_good(s, cookies));
    clock_ns += SESSION_NS - 1;
    assert_true(is_good(s, cookies));
    clock_ns += 1;
    assert_false(is_good(s, cookies));
    end(s);
}

UNIT_TEST(test_a_session_ends_when_the_secret_of_the_user_changes)
{
    struct sessions *s = begin();
    struct session session;
    char cookies[COOKIES_BYTES];
    make(s, cookies);
    assert_true(find(cookies, &session));
    assert_true(session_is_good(s, &session, secret));
    assert_false(session_is_good(s, &session, bytes_of_text("0123456789abcdeF")));
    assert_false(session_is_good(s, &session, bytes_of(secret.at, 15)));
    assert_false(session_is_good(s, &session, none));
    end(s);
}

UNIT_TEST(test_a_session_of_another_process_is_not_good)
{
    struct sessions *s = begin(), *other = NULL;
    char cookies[COOKIES_BYTES];
    assert_int_equal(sessions_new(&clocked, &memory, &other), OK);
    make(s, cookies);
    assert_true(is_good(s, cookies));
    assert_false(is_good(other, cookies));
    sessions_free(other);
    end(s);
}

UNIT_TEST(test_no_other_text_of_a_session_is_good)
{
    struct sessions *s = begin();
    char cookies[COOKIES_BYTES];
    make(s, cookies);
    for (size_t i = 2; cookies[i] != '\0'; i++) {
        char was = cookies[i];
        for (int c = 1; c < 256; c++) {
            cookies[i] = (char)c;
            if (cookies[i] != was && is_good(s, cookies)) fail_msg("byte %zu as %d", i, c);
        }
        cookies[i] = '\0';
        assert_false(is_good(s, cookies)); /* truncated */
        cookies[i] = was;
    }
    assert_true(is_good(s, cookies));
    snprintf(cookies + strlen(cookies), 2, "=");
    assert_false(is_good(s, cookies));
    end(s);
}

/* It is valid base64, but of fewer bytes. */
UNIT_TEST(test_a_session_with_padding_is_refused)
{
    struct session session;
    char cookies[100];
    snprintf(cookies, sizeof cookies, "c=%.*s=.b3Bz", 75,
             "dAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_false(find(cookies, &session));
    cookies[2 + 74] = '=';
    assert_false(find(cookies, &session));
}

/* A name and a token with the same bytes are different subjects. */
UNIT_TEST(test_a_session_of_a_token_does_not_name_a_user)
{
    struct sessions *s = begin();
    struct session session, of_user;
    struct buf value;
    char cookies[COOKIES_BYTES];
    buf_init(&value, NULL, SESSION_VALUE_BYTES_MAX);
    assert_int_equal(session_begin(s, SESSION_OF_TOKEN, bytes_of_text("a.b-c"),
                                   bytes_of_text("ops"), none, &value),
                     OK);
    snprintf(cookies, sizeof cookies, "c=%.*s", (int)value.size, (const char *)value.at);
    assert_true(find(cookies, &session));
    assert_int_equal(session.kind, SESSION_OF_TOKEN);
    assert_true(bytes_equal_text(session.subject, "a.b-c"));
    assert_true(session_is_good(s, &session, none));
    of_user = session;
    of_user.kind = SESSION_OF_USER;
    assert_false(session_is_good(s, &of_user, none));
    buf_fini(&value);
    end(s);
}

UNIT_TEST(test_a_subject_that_fits_no_cookie_makes_no_session)
{
    static char token[SESSION_VALUE_BYTES_MAX];
    struct sessions *s = begin();
    struct buf value;
    buf_init(&value, NULL, SESSION_VALUE_BYTES_MAX);
    memset(token, 'a', sizeof token);
    struct bytes subject = bytes_of(token, SESSION_VALUE_BYTES_MAX - 77);
    assert_int_equal(
        session_begin(s, SESSION_OF_TOKEN, subject, bytes_of_text("ops"), none, &value), OK);
    assert_int_equal(value.size, SESSION_VALUE_BYTES_MAX);
    buf_clear(&value);
    subject.size++;
    assert_int_equal(
        session_begin(s, SESSION_OF_TOKEN, subject, bytes_of_text("ops"), none, &value), ERR_LIMIT);
    assert_int_equal(
        session_begin(s, SESSION_OF_USER, subject, bytes_of_text("ops"), secret, &value),
        ERR_LIMIT);
    assert_int_equal(value.size, 0);
    buf_fini(&value);
    end(s);
}

UNIT_TEST(test_a_cookie_is_found_by_its_whole_name)
{
    struct sessions *s = begin();
    struct session session;
    char cookies[COOKIES_BYTES], more[2 * COOKIES_BYTES];
    make(s, cookies);
    snprintf(more, sizeof more, "cc=1; a=%s; %s; c=1", cookies + 2, cookies);
    assert_true(is_good(s, more));
    snprintf(more, sizeof more, "c=1; %s", cookies); /* the first one counts */
    assert_false(is_good(s, more));
    snprintf(more, sizeof more, "x%s; C=%s;c;=%s", cookies, cookies + 2, cookies + 2);
    assert_false(find(more, &session));
    assert_false(find("", &session));
    assert_false(find(" ; ;; ", &session));
    assert_false(find("c", &session));
    assert_false(find("c=", &session));
    end(s);
}

UNIT_TEST(test_names_of_cookies_differ_between_servers_and_with_tls)
{
    char name[SESSION_COOKIE_NAME_BYTES], other[SESSION_COOKIE_NAME_BYTES];
    session_print_name("http://h:9201", false, name);
    session_print_name("http://h:9202", false, other);
    assert_int_equal(strncmp(name, "firekeep-", 9), 0);
    assert_string_not_equal(name, other);
    session_print_name("http://h:9201", true, other);
    assert_int_equal(strncmp(other, "__Host-", 7), 0);
    assert_string_equal(other + 7, name);
}

UNIT_TEST(test_a_session_that_was_ended_is_never_good_again)
{
    enum { COUNT = SESSION_ENDED_MAX + 300, SPACED = 200 };
    static char cookies[COUNT][200];
    char text[COOKIES_BYTES], young[COOKIES_BYTES];
    struct sessions *s = begin();
    for (size_t i = 0; i < COUNT; i++) {
        clock_ns += i % 3 == 0 ? NS_PER_S : 0; /* some begin at the same time */
        make(s, text);
        assert_true(strlen(text) < sizeof cookies[i]);
        memcpy(cookies[i], text, strlen(text) + 1);
    }
    clock_ns += NS_PER_S;
    make(s, young);
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = i * 7 % COUNT;
        sign_out(s, cookies[at]);
        sign_out(s, cookies[at]); /* twice is once */
        assert_false(is_good(s, cookies[at]));
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_false(is_good(s, cookies[i]));
    assert_true(is_good(s, young));
    end(s);
}

UNIT_TEST(test_a_user_who_ends_many_sessions_ends_none_of_others)
{
    enum { COUNT = 3 * SESSION_ENDED_MAX };
    static char cookies[COUNT][200];
    static const char *const names[] = {"ann", "bob", "eve"};
    char text[COOKIES_BYTES], kept[3][COOKIES_BYTES], ended[3][COOKIES_BYTES];
    struct sessions *s = begin();
    for (size_t i = 0; i < 3; i++) {
        clock_ns += 1;
        make_of(s, names[i], kept[i]);
        make_of(s, names[i], ended[i]);
    }
    for (size_t i = 0; i < 3; i++)
        sign_out(s, ended[i]);
    for (size_t i = 0; i < COUNT; i++) {
        clock_ns += i % 3 == 0;
        make_of(s, "eve", text);
        memcpy(cookies[i], text, strlen(text) + 1);
        if (i % 2 == 1) sign_out(s, cookies[i - 1]);
        if (i % 2 == 1) sign_out(s, cookies[i]);
    }
    assert_true(is_good(s, kept[0]));
    assert_true(is_good(s, kept[1]));
    assert_false(is_good(s, kept[2])); /* older than sessions that are not remembered one by one */
    for (size_t i = 0; i < 3; i++)
        assert_false(is_good(s, ended[i]));
    for (size_t i = 0; i < COUNT; i++)
        assert_false(is_good(s, cookies[i]));
    clock_ns += 1;
    make_of(s, "eve", text);
    assert_true(is_good(s, text));
    end(s);
}

UNIT_TEST(test_sessions_of_many_users_that_ended_are_not_good_again)
{
    enum { COUNT = SESSION_ENDED_MAX + 100 };
    static char cookies[COUNT][200];
    char text[COOKIES_BYTES], name[20];
    struct sessions *s = begin();
    for (size_t i = 0; i < COUNT; i++) {
        clock_ns += i % 5 == 0;
        snprintf(name, sizeof name, "u%zu", i * 7919 % COUNT);
        make_of(s, name, text);
        memcpy(cookies[i], text, strlen(text) + 1);
        sign_out(s, cookies[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_false(is_good(s, cookies[i]));
    clock_ns += 1;
    make(s, text);
    assert_true(is_good(s, text));
    end(s);
}

UNIT_TEST(test_expired_sessions_leave_room_for_others_that_end)
{
    char text[COOKIES_BYTES], kept[COOKIES_BYTES];
    struct sessions *s = begin();
    for (size_t i = 0; i < SESSION_ENDED_MAX; i++) {
        clock_ns += 1;
        make(s, text);
        sign_out(s, text);
    }
    clock_ns += SESSION_NS - NS_PER_S;
    make(s, kept); /* older than those that end now */
    clock_ns += NS_PER_S;
    for (size_t i = 0; i < SESSION_ENDED_MAX; i++) {
        clock_ns += 1;
        make(s, text);
        sign_out(s, text);
    }
    assert_true(is_good(s, kept));
    assert_false(is_good(s, text));
    end(s);
}

UNIT_TEST(test_without_memory_there_is_no_session)
{
    struct sessions *s = NULL;
    budget_init(&memory, "sessions", 0, NULL);
    mem_fail_nth(1, false);
    assert_int_equal(sessions_new(env_real(), &memory, &s), ERR_NOMEM);
    mem_fail_nth(0, false);
    assert_null(s);
    sessions_free(NULL);
    assert_int_equal(budget_used(&memory), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_names_its_user_and_lasts_twelve_hours),
        cmocka_unit_test(test_a_session_ends_when_the_secret_of_the_user_changes),
        cmocka_unit_test(test_a_session_of_another_process_is_not_good),
        cmocka_unit_test(test_no_other_text_of_a_session_is_good),
        cmocka_unit_test(test_a_session_with_padding_is_refused),
        cmocka_unit_test(test_a_session_of_a_token_does_not_name_a_user),
        cmocka_unit_test(test_a_subject_that_fits_no_cookie_makes_no_session),
        cmocka_unit_test(test_a_cookie_is_found_by_its_whole_name),
        cmocka_unit_test(test_names_of_cookies_differ_between_servers_and_with_tls),
        cmocka_unit_test(test_a_session_that_was_ended_is_never_good_again),
        cmocka_unit_test(test_a_user_who_ends_many_sessions_ends_none_of_others),
        cmocka_unit_test(test_sessions_of_many_users_that_ended_are_not_good_again),
        cmocka_unit_test(test_expired_sessions_leave_room_for_others_that_end),
        cmocka_unit_test(test_without_memory_there_is_no_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
