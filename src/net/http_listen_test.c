/* http_listen_test.c - files of Unix sockets are made, replaced and removed. */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/test_dir.h"
#include "net/http_private.h"
#include "sys/env.h"

static char dir[TEST_DIR_BYTES], path[TEST_DIR_BYTES + 20];

static int
begin(void **state)
{
    (void)state;
    if (!make_test_dir(dir)) return -1;
    snprintf(path, sizeof path, "%s/socket", dir);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

/* Opens the socket; the caller frees the server. */
static enum err
listen_there(struct http_server **ret, struct why *why)
{
    struct http_place place = {.name = path, .unix_path = path, .unix_mode = 0660};
    struct http_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->options = (struct http_options){.env = env_real(), .places = &place, .place_count = 1};
    server->listeners[0].fd = -1;
    *ret = server;
    return http_listeners_open(server, &server->options, why);
}

static void
leave(struct http_server *server)
{
    http_listeners_close(server);
    free(server);
}

UNIT_TEST(test_the_file_of_a_socket_is_removed_at_the_end)
{
    struct http_server *server;
    struct stat facts;
    struct why why;
    assert_int_equal(listen_there(&server, &why), OK);
    assert_int_equal(lstat(path, &facts), 0);
    assert_true(S_ISSOCK(facts.st_mode));
    assert_int_equal(facts.st_mode & 0777, 0660);
    leave(server);
    assert_int_not_equal(access(path, F_OK), 0);
}

UNIT_TEST(test_a_socket_on_which_no_process_listens_is_replaced)
{
    struct http_server *old, *server;
    struct why why;
    assert_int_equal(listen_there(&old, &why), OK);
    close(old->listeners[0].fd); /* as after a crash */
    free(old);
    assert_int_equal(listen_there(&server, &why), OK);
    leave(server);
    assert_int_not_equal(access(path, F_OK), 0);
}

UNIT_TEST(test_a_file_that_another_uses_is_left_alone)
{
    struct http_server *server, *other;
    struct why why;
    assert_int_equal(listen_there(&server, &why), OK);
    assert_int_equal(listen_there(&other, &why), ERR_AGAIN);
    assert_non_null(strstr(why.text, "another process listens there"));
    leave(other);
    assert_int_equal(access(path, F_OK), 0);
    leave(server);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(listen_there(&other, &why), ERR_INPUT);
    assert_non_null(strstr(why.text, "the file is not a socket"));
    leave(other);
    assert_int_equal(access(path, F_OK), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_file_of_a_socket_is_removed_at_the_end, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_socket_on_which_no_process_listens_is_replaced,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_file_that_another_uses_is_left_alone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
