/* credentials_test.c - `firekeep hash` and `firekeep token`: what they read and print. */
#include "lib/cli_run.h"

#include "auth/password.h"
#include "cli/cli.h"
#include "lib/terminal.h"

static const struct command *const commands[] = {&command_hash, &command_token, NULL};

/* Runs a command with that standard input, and returns its status. */
static int
run_with(const char *input, size_t size, const char *const *words)
{
    int saved = dup(STDIN_FILENO), fd = cli_memory_file();
    assert_int_equal(write(fd, input, size), (ssize_t)size);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_true(dup2(fd, STDIN_FILENO) >= 0);
    int code = cli_run_into(cli_memory_file(), commands, words);
    assert_true(dup2(saved, STDIN_FILENO) >= 0);
    close(saved);
    close(fd);
    return code;
}

static int
run(const char *input, const char *word, const char *flag)
{
    const char *const words[] = {word, flag, NULL};
    return run_with(input, strlen(input), words);
}

static void
check_hash_fits(const char *password)
{
    struct password_hash hash;
    struct why why = {""};
    bool good = false;
    size_t size = strlen(cli_out);
    assert_true(size > 1 && cli_out[size - 1] == '\n');
    cli_out[size - 1] = '\0';
    assert_int_equal(password_hash_parse(cli_out, &hash, &why), OK);
    assert_int_equal(password_check(NULL, cli_out, bytes_of_text(password), &good), OK);
    assert_true(good);
}

UNIT_TEST(test_hash_makes_a_hash_of_the_line_of_standard_input)
{
    assert_int_equal(run("correct horse\n", "hash", NULL), EXIT_DONE);
    assert_int_equal(strncmp(cli_out, "$y$", 3), 0);
    check_hash_fits("correct horse");
    assert_int_equal(run("without end", "hash", "--kind=bcrypt"), EXIT_DONE);
    assert_int_equal(strncmp(cli_out, "$2b$10$", 7), 0);
    check_hash_fits("without end");
    assert_string_equal(cli_err, "");
}

static int
run_hash(void *context)
{
    char name[] = "firekeep", word[] = "hash";
    char *argv[] = {name, word, NULL};
    (void)context;
    return cli_run(commands, 2, argv);
}

UNIT_TEST(test_hash_asks_twice_on_a_terminal_and_refuses_different_answers)
{
    static const char *const seconds[] = {"hush\n", "hash\n"};
    for (int i = 0; i < 2; i++) {
        struct terminal t;
        int saved = dup(STDOUT_FILENO), saved_err = dup(STDERR_FILENO), fd = cli_memory_file();
        fflush(stdout);
        assert_true(dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0);
        terminal_begin(&t, run_hash, NULL);
        assert_true(dup2(saved, STDOUT_FILENO) >= 0 && dup2(saved_err, STDERR_FILENO) >= 0);
        close(saved);
        close(saved_err);
        terminal_await(&t, "Password: ");
        terminal_type(&t, "hush\n");
        terminal_await(&t, "Password again: ");
        terminal_type(&t, seconds[i]);
        assert_int_equal(terminal_end(&t), i == 0 ? EXIT_DONE : EXIT_FAILED);
        assert_string_equal(t.screen, "Password: \r\nPassword again: \r\n");
        ssize_t got = pread(fd, cli_out, sizeof cli_out - 1, 0);
        close(fd);
        cli_out[got > 0 ? got : 0] = '\0';
        if (i == 0)
            check_hash_fits("hush");
        else
            assert_string_equal(cli_out, "firekeep hash: the passwords differ\n");
    }
}

UNIT_TEST(test_hash_refuses_a_password_that_no_user_could_send)
{
    static const struct {
        const char *input;
        size_t size;
        const char *error;
    } cases[] = {
        {"", 0, "firekeep hash: the password is empty\n"},
        {"\n", 1, "firekeep hash: the password is empty\n"},
        {"a\nhush\n", 7, "firekeep hash: standard input has more than one line\n"},
        {"a\0b\n", 4, "firekeep hash: the password contains a NUL byte\n"},
    };
    static const char *const words[] = {"hash", NULL};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(run_with(cases[i].input, cases[i].size, words), EXIT_FAILED);
        assert_string_equal(cli_err, cases[i].error);
        assert_string_equal(cli_out, "");
    }
    char text[5000];
    memset(text, 'x', sizeof text);
    assert_int_equal(run_with(text, 73, (const char *const[]){"hash", "--kind=bcrypt", NULL}),
                     EXIT_FAILED);
    assert_string_equal(cli_err, "firekeep hash: the password has 73 bytes, expected at most 72\n");
    assert_int_equal(run_with(text, sizeof text, words), EXIT_FAILED);
    assert_string_equal(cli_err, "firekeep hash: the line is longer than 4096 bytes\n");
}

UNIT_TEST(test_a_secret_as_an_argument_is_not_repeated)
{
    static const char *const names[] = {"hash", "token"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run("", names[i], "hush"), EXIT_USAGE);
        assert_null(strstr(cli_err, "hush"));
        assert_string_equal(cli_out, "");
    }
}

UNIT_TEST(test_token_prints_256_random_bits_and_a_digest_that_hash_repeats)
{
    char first[100], token[64], digest[65], again[64];
    assert_int_equal(run("", "token", NULL), EXIT_DONE);
    snprintf(first, sizeof first, "%.99s", cli_out);
    assert_int_equal(
        sscanf(cli_out, "token: %63[A-Za-z0-9_-]\nsha256: %64[0-9a-f]\n", token, digest), 2);
    assert_int_equal(strlen(token), 43);
    assert_int_equal(strlen(digest), 64);
    snprintf(again, sizeof again, "%s\n", token);
    assert_int_equal(run(again, "token", "--hash"), EXIT_DONE);
    assert_int_equal(strncmp(cli_out, digest, 64), 0);
    assert_string_equal(cli_out + 64, "\n");
    assert_int_equal(run("", "token", NULL), EXIT_DONE);
    assert_int_not_equal(strncmp(cli_out, first, 50), 0);
}

UNIT_TEST(test_token_computes_the_sha256_of_an_existing_token)
{
    static const char token[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_int_equal(run(token, "token", "--hash"), EXIT_DONE);
    /* FIPS 180-2, appendix B.2 */
    assert_string_equal(cli_out,
                        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1\n");
}

UNIT_TEST(test_token_refuses_a_token_that_is_short_enough_to_guess)
{
    assert_int_equal(run("\n", "token", "--hash"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "the token has 0 bytes, expected at least 16"));
    assert_int_equal(run("123456789012345\n", "token", "--hash"), EXIT_FAILED);
    assert_non_null(strstr(cli_err, "the token has 15 bytes, expected at least 16"));
    assert_null(strstr(cli_err, "123456789012345"));
    assert_string_equal(cli_out, "");
    assert_int_equal(run("1234567890123456\n", "token", "--hash"), EXIT_DONE);
}

UNIT_TEST(test_help_names_flags_and_the_place_of_the_result)
{
    assert_int_equal(run("", "hash", "--help"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "--kind=KIND"));
    assert_non_null(strstr(cli_out, "basic_auth_users"));
    assert_int_equal(run("", "token", "--help"), EXIT_DONE);
    assert_non_null(strstr(cli_out, "Authorization: Bearer TOKEN"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash_makes_a_hash_of_the_line_of_standard_input),
        cmocka_unit_test(test_hash_asks_twice_on_a_terminal_and_refuses_different_answers),
        cmocka_unit_test(test_hash_refuses_a_password_that_no_user_could_send),
        cmocka_unit_test(test_a_secret_as_an_argument_is_not_repeated),
        cmocka_unit_test(test_token_prints_256_random_bits_and_a_digest_that_hash_repeats),
        cmocka_unit_test(test_token_computes_the_sha256_of_an_existing_token),
        cmocka_unit_test(test_token_refuses_a_token_that_is_short_enough_to_guess),
        cmocka_unit_test(test_help_names_flags_and_the_place_of_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
