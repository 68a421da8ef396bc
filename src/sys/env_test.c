/* env_test.c - the wrappers of env.h with the real kernel, in a directory of their own. */
#include "lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "sys/env.h"

#define must(call) assert_int_equal((call), OK)

static char dir[200]; /* made and removed around each test */

static int
make_dir(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] == '\0' || strlen(base) > 100) base = "/tmp";
    snprintf(dir, sizeof dir, "%s/firekeep-env-test-XXXXXX", base);
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    return env_remove_tree(env_real(), dir, NULL) == OK ? 0 : -1;
}

/* Returns a path in `dir`, in a buffer of this function, valid for two of them at a time. */
static const char *
in_dir(const char *name)
{
    static char paths[2][256];
    static unsigned turn;
    char *path = paths[turn++ % 2];
    must(path_join(path, sizeof paths[0], dir, name));
    return path;
}

static struct file
opened(const char *name, enum file_mode mode)
{
    struct file file;
    struct why why = {""};
    if (file_open(env_real(), in_dir(name), mode, &file, &why)) fail_msg("%s", why.text);
    return file;
}

UNIT_TEST(test_a_direct_write_is_visible_to_cached_reads)
{
    struct file file = opened("direct", FILE_CREATE);
    static _Alignas(FILE_DIRECT_BYTES) uint8_t sectors[4 * FILE_DIRECT_BYTES];
    uint8_t got[sizeof sectors];
    memset(sectors, 1, sizeof sectors);
    must(file_write_at(&file, bytes_of(sectors, sizeof sectors), 0, NULL));
    struct file reader = opened("direct", FILE_READ);
    must(file_read_at(&reader, got, sizeof got, 0, NULL)); /* now the kernel has a copy */
    bool made = file_make_direct(&file);                   /* some file systems cannot */
    assert_int_equal(made, file.direct);
    memset(sectors, 2, sizeof sectors);
    must(file_write_at(&file, bytes_of(sectors, FILE_DIRECT_BYTES), FILE_DIRECT_BYTES, NULL));
    must(file_datasync(&file, NULL));
    must(file_read_at(&reader, got, sizeof got, 0, NULL));
    for (size_t i = 0; i < sizeof got; i++)
        assert_int_equal(got[i], i / FILE_DIRECT_BYTES == 1 ? 2 : 1);
    must(file_close(&reader));
    must(file_close(&file));
}

UNIT_TEST(test_file_reads_back_what_was_written)
{
    struct file file = opened("f", FILE_CREATE);
    char text[16];
    uint64_t size;
    size_t got;
    must(file_write_at(&file, bytes_of_text("hello"), 3, NULL));
    must(file_datasync(&file, NULL));
    must(file_sync(&file, NULL));
    must(file_size(&file, &size, NULL));
    assert_int_equal(size, 8);
    must(file_read_at(&file, text, 8, 0, NULL));
    assert_memory_equal(text, "\0\0\0hello", 8);
    must(file_read_some(&file, text, sizeof text, 5, &got, NULL));
    assert_int_equal(got, 3);
    must(file_read_some(&file, text, sizeof text, 100, &got, NULL));
    assert_int_equal(got, 0);
    must(file_write_at(&file, bytes_of(NULL, 0), 50, NULL));
    must(file_truncate(&file, 4, NULL));
    must(file_size(&file, &size, NULL));
    assert_int_equal(size, 4);
    assert_int_not_equal(fcntl(file.handle, F_GETFD) & FD_CLOEXEC, 0);
    must(file_close(&file));
    must(file_close(&file));
    struct file never_opened = {0}, closed = FILE_CLOSED;
    must(file_close(&never_opened));
    must(file_close(&closed));
}

UNIT_TEST(test_modes_decide_what_must_be_there)
{
    struct file file;
    struct why why;
    uint64_t size;
    struct env *env = env_real();
    assert_int_equal(file_open(env, in_dir("f"), FILE_READ, &file, &why), ERR_MISSING);
    assert_int_equal(file_open(env, in_dir("f"), FILE_UPDATE, &file, &why), ERR_MISSING);
    char expected[300];
    snprintf(expected, sizeof expected, "cannot open %s: No such file or directory", in_dir("f"));
    assert_string_equal(why.text, expected);
    file = opened("f", FILE_CREATE);
    must(file_write_at(&file, bytes_of_text("x"), 0, NULL));
    must(file_close(&file));
    assert_int_equal(file_open(env, in_dir("f"), FILE_CREATE, &file, NULL), ERR_IO);
    file = opened("f", FILE_READ);
    assert_int_equal(file_write_at(&file, bytes_of_text("x"), 0, &why), ERR_IO);
    must(file_close(&file));
    file = opened("f", FILE_UPDATE);
    must(file_size(&file, &size, NULL));
    assert_int_equal(size, 1);
    must(file_close(&file));
    file = opened("f", FILE_REPLACE);
    must(file_size(&file, &size, NULL));
    assert_int_equal(size, 0);
    must(file_close(&file));
}

static void
check_refused(const char *name, const char *reason)
{
    static const enum file_mode modes[] = {FILE_READ, FILE_UPDATE, FILE_REPLACE};
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct file file;
        struct why why;
        char expected[300];
        const char *verb = modes[i] == FILE_REPLACE ? "create" : "open";
        assert_int_equal(file_open(env_real(), in_dir(name), modes[i], &file, &why), ERR_IO);
        snprintf(expected, sizeof expected, "cannot %s %s: %s", verb, in_dir(name), reason);
        assert_string_equal(why.text, expected);
    }
}

UNIT_TEST(test_a_file_that_is_not_regular_is_refused_without_waiting)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_dir("socket"));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(symlink("/dev/null", in_dir("device")), 0);
    must(env_mkdir(env_real(), in_dir("directory"), NULL));
    check_refused("pipe", "it is not a regular file");
    check_refused("socket", "it is not a regular file");
    check_refused("device", "it is not a regular file");
    check_refused("directory", "Is a directory");
    close(listener);
}

static int leased;

static void
give_back_lease(int signal_number)
{
    (void)signal_number;
    fcntl(leased, F_SETLEASE, F_UNLCK);
}

UNIT_TEST(test_a_lease_of_another_program_is_waited_for)
{
    struct file file = opened("f", FILE_CREATE);
    must(file_close(&file));
    signal(SIGIO, give_back_lease);
    leased = open(in_dir("f"), O_RDWR | O_CLOEXEC);
    if (fcntl(leased, F_SETLEASE, F_WRLCK) == 0) {
        file = opened("f", FILE_READ);
        must(file_close(&file));
    } else {
        print_message("this file system has no leases\n");
    }
    close(leased);
    signal(SIGIO, SIG_DFL);
}

UNIT_TEST(test_numbers_out_of_range_are_errors_not_wraparounds)
{
    struct file file = opened("f", FILE_CREATE);
    char text[4];
    size_t got;
    struct why why;
    must(file_write_at(&file, bytes_of_text("abc"), 0, NULL));
    assert_int_equal(file_read_at(&file, text, 4, 0, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "got 3 of 4 bytes at offset 0"));
    assert_int_equal(file_read_at(&file, text, 4, UINT64_MAX - 1, NULL), ERR_CORRUPT);
    assert_int_equal(file_read_at(&file, text, 4, INT64_MAX - 1, NULL), ERR_CORRUPT);
    must(file_read_some(&file, text, 4, UINT64_MAX, &got, NULL));
    assert_int_equal(got, 0);
    assert_int_equal(file_write_at(&file, bytes_of_text("abc"), UINT64_MAX, NULL), ERR_LIMIT);
    assert_int_equal(file_truncate(&file, UINT64_MAX, NULL), ERR_LIMIT);
    must(file_close(&file));
    char path[300];
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = '\0';
    assert_int_equal(file_open(env_real(), path, FILE_READ, &file, &why), ERR_LIMIT);
}

UNIT_TEST(test_paths_join_with_one_slash_or_not_at_all)
{
    char to[6];
    must(path_join(to, sizeof to, "ab", "cd"));
    assert_string_equal(to, "ab/cd");
    must(path_join(to, sizeof to, "ab/", "cd"));
    assert_string_equal(to, "ab/cd");
    must(path_join(to, sizeof to, "", "cd"));
    assert_string_equal(to, "cd");
    must(path_join(to, sizeof to, "/", "cd"));
    assert_string_equal(to, "/cd");
    assert_int_equal(path_join(to, sizeof to, "ab", "cde"), ERR_LIMIT);
    assert_string_equal(to, "/cd");
}

static struct file_facts
facts_of(const char *name)
{
    struct file_facts facts;
    must(env_facts(env_real(), in_dir(name), &facts, NULL));
    return facts;
}

UNIT_TEST(test_facts_differ_for_a_copy_and_stay_when_the_directory_moves)
{
    must(env_mkdir(env_real(), in_dir("d"), NULL));
    struct file file = opened("d/one", FILE_CREATE), copy = opened("copy", FILE_CREATE);
    must(file_close(&file));
    must(file_close(&copy));
    struct file_facts before = facts_of("d/one"), other = facts_of("copy"),
                      dir_before = facts_of("d");
    assert_int_equal(env_facts(env_real(), in_dir("none"), &other, NULL), ERR_MISSING);
    assert_true(before.number != other.number);
    assert_true(before.changed_ns > 0);
    assert_true(before.modified_ns > 0);
    must(env_rename(env_real(), in_dir("d"), in_dir("e"), NULL));
    struct file_facts after = facts_of("e/one"), dir_after = facts_of("e");
    assert_memory_equal(&before, &after, sizeof after);
    assert_int_equal(dir_before.number, dir_after.number);
    assert_int_equal(dir_before.born_ns, dir_after.born_ns);
    must(env_link(env_real(), in_dir("e/one"), in_dir("e/two"), NULL));
    after = facts_of("e/one");
    assert_int_equal(after.number, before.number);
    assert_int_equal(after.born_ns, before.born_ns);
    assert_true(after.changed_ns >= before.changed_ns); /* its clock has a coarse resolution */
}

UNIT_TEST(test_lock_excludes_other_descriptors_until_closed)
{
    struct file one = opened("lock", FILE_CREATE), other = opened("lock", FILE_UPDATE);
    struct why why;
    must(file_lock(&one, NULL));
    must(file_lock(&one, NULL));
    assert_int_equal(file_lock(&other, &why), ERR_AGAIN);
    assert_non_null(strstr(why.text, "another process holds the lock"));
    /* Closing an unrelated descriptor of the same file does not drop it. */
    struct file third = opened("lock", FILE_READ);
    must(file_close(&third));
    assert_int_equal(file_lock(&other, NULL), ERR_AGAIN);
    must(file_close(&one));
    must(file_lock(&other, NULL));
    must(file_close(&other));
}

UNIT_TEST(test_lock_is_shared_by_those_who_only_read)
{
    struct file writer = opened("lock", FILE_CREATE), one = opened("lock", FILE_READ);
    struct file two = opened("lock", FILE_READ);
    must(file_lock(&writer, NULL));
    assert_int_equal(file_lock(&one, NULL), ERR_AGAIN);
    must(file_close(&writer));
    must(file_lock(&one, NULL));
    must(file_lock(&two, NULL));
    writer = opened("lock", FILE_UPDATE);
    assert_int_equal(file_lock(&writer, NULL), ERR_AGAIN);
    must(file_close(&one));
    assert_int_equal(file_lock(&writer, NULL), ERR_AGAIN);
    must(file_close(&two));
    must(file_lock(&writer, NULL));
    must(file_close(&writer));
}

struct names {
    unsigned files;
    unsigned dirs;
    unsigned stop_after; /* 0: never */
};

static enum err
count_name(void *context, const char *name, bool is_dir)
{
    struct names *names = context;
    assert_true(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    *(is_dir ? &names->dirs : &names->files) += 1;
    return names->stop_after == names->files + names->dirs ? ERR_CANCELED : OK;
}

UNIT_TEST(test_names_are_made_moved_listed_and_removed)
{
    struct env *env = env_real();
    struct why why;
    struct file file = opened("f", FILE_CREATE);
    must(file_close(&file));
    must(env_mkdir(env, in_dir("d"), NULL));
    must(env_mkdir(env, in_dir("d"), NULL));
    /* it exists, and is not a directory */
    assert_int_equal(env_mkdir(env, in_dir("f"), &why), ERR_IO);
    assert_non_null(strstr(why.text, "Not a directory"));
    assert_int_equal(symlink("nowhere", in_dir("dangling")), 0);
    assert_int_equal(env_mkdir(env, in_dir("dangling"), &why), ERR_IO);
    assert_non_null(strstr(why.text, "its target is missing"));
    must(env_unlink(env, in_dir("dangling"), NULL));
    must(env_link(env, in_dir("f"), in_dir("d/g"), NULL));
    assert_int_equal(env_link(env, in_dir("f"), in_dir("d/g"), &why), ERR_IO);
    must(env_rename(env, in_dir("f"), in_dir("h"), NULL));
    assert_int_equal(env_rename(env, in_dir("f"), in_dir("h"), &why), ERR_MISSING);
    assert_true(strncmp(why.text, "cannot rename /", 15) == 0);
    assert_non_null(strstr(why.text, "/f to /"));
    must(env_syncdir(env, dir, NULL));
    assert_int_equal(env_syncdir(env, in_dir("none"), NULL), ERR_MISSING);
    assert_int_equal(symlink("d", in_dir("link")), 0);

    struct names names = {0};
    must(env_listdir(env, dir, count_name, &names, NULL));
    assert_int_equal(names.files, 2); /* h, and the link, which is not followed */
    assert_int_equal(names.dirs, 1);
    names = (struct names){.stop_after = 2};
    assert_int_equal(env_listdir(env, dir, count_name, &names, NULL), ERR_CANCELED);
    assert_int_equal(names.files + names.dirs, 2);
    assert_int_equal(env_listdir(env, in_dir("none"), count_name, &names, NULL), ERR_MISSING);

    assert_int_equal(env_rmdir(env, in_dir("d"), NULL), ERR_IO);
    must(env_unlink(env, in_dir("d/g"), NULL));
    must(env_unlink(env, in_dir("d/g"), NULL));
    must(env_rmdir(env, in_dir("d"), NULL));
    assert_int_equal(env_rmdir(env, in_dir("d"), NULL), ERR_MISSING);
}

UNIT_TEST(test_removing_a_tree_reaches_its_full_depth_and_follows_no_links)
{
    struct env *env = env_real();
    struct file file;
    must(env_mkdir(env, in_dir("t"), NULL));
    must(env_mkdir(env, in_dir("t/s"), NULL));
    must(env_mkdir(env, in_dir("t/empty"), NULL));
    must(env_mkdir(env, in_dir("kept"), NULL));
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, i % 2 == 0 ? "t/file-%d" : "t/s/file-%d", i);
        file = opened(name, FILE_CREATE);
        must(file_close(&file));
    }
    file = opened("kept/f", FILE_CREATE);
    must(file_close(&file));
    assert_int_equal(symlink("../kept", in_dir("t/link")), 0);
    must(env_remove_tree(env, in_dir("t"), NULL));
    assert_int_equal(env_rmdir(env, in_dir("t"), NULL), ERR_MISSING);
    file = opened("kept/f", FILE_READ);
    must(file_close(&file));
    must(env_remove_tree(env, in_dir("t"), NULL));
    assert_int_equal(env_remove_tree(env, in_dir("kept/f"), NULL), ERR_IO);

    static const char *const deep[] = {"t",         "t/1",         "t/1/2",        "t/1/2/3",
                                       "t/1/2/3/4", "t/1/2/3/4/5", "t/1/2/3/4/5/6"};
    for (unsigned i = 0; i < 7; i++)
        must(env_mkdir(env, in_dir(deep[i]), NULL));
    file = opened("t/1/2/3/4/5/6/f", FILE_CREATE);
    must(file_close(&file));
    assert_int_equal(env_remove_tree(env, in_dir("t"), NULL), ERR_IO); /* deeper than the limit */
    must(env_remove_tree(env, in_dir("t/1"), NULL));
}

UNIT_TEST(test_whole_file_is_replaced_and_nothing_stays_beside_it)
{
    struct env *env = env_real();
    char text[8];
    size_t size;
    must(env_write_whole(env, dir, "whole", bytes_of_text("longer"), NULL));
    must(env_write_whole(env, dir, "whole", bytes_of_text("new"), NULL));
    must(env_write_whole(env, dir, "empty", bytes_of_text(""), NULL));
    struct file file = opened("whole", FILE_READ);
    must(file_read_some(&file, text, sizeof text, 0, &size, NULL));
    must(file_close(&file));
    assert_int_equal(size, 3);
    assert_memory_equal(text, "new", 3);
    struct names names = {0};
    must(env_listdir(env, dir, count_name, &names, NULL));
    assert_int_equal(names.files, 2);
    struct why why;
    assert_int_equal(env_write_whole(env, in_dir("no"), "f", bytes_of_text("x"), &why),
                     ERR_MISSING);
    char name[250];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(env_write_whole(env, dir, name, bytes_of_text("x"), &why), ERR_LIMIT);
}

UNIT_TEST(test_space_is_returned_for_a_directory_that_exists)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    must(env_space(env_real(), dir, &free_bytes, &total_bytes, NULL));
    assert_true(total_bytes > 0);
    assert_true(free_bytes <= total_bytes);
    assert_int_equal(env_space(env_real(), in_dir("none"), &free_bytes, &total_bytes, NULL),
                     ERR_MISSING);
}

UNIT_TEST(test_clocks_and_randomness_are_the_kernels)
{
    struct env *env = env_real();
    int64_t off_ms = env_realtime_ms(env) - (int64_t)time(NULL) * 1000;
    assert_true(off_ms > -2000 && off_ms < 5000);
    int64_t first_ns = env_monotonic_ns(env);
    assert_true(env_monotonic_ns(env) >= first_ns);
    uint8_t one[1000] = {0}, other[1000] = {0};
    must(env_random(env, one, sizeof one));
    must(env_random(env, other, sizeof other));
    assert_memory_not_equal(one, other, sizeof one);
    must(env_random(env, one, 0));
}

static void
note_own_name(void *argument)
{
    pthread_getname_np(pthread_self(), argument, 16);
}

UNIT_TEST(test_thread_runs_under_its_name_and_is_joined)
{
    struct env *env = env_real();
    struct env_thread *threads[3];
    char names[3][16] = {"", "", ""};
    for (int i = 0; i < 3; i++) {
        must(env_thread_start(env, "fifteen-letters and more", note_own_name, names[i],
                              &threads[i]));
    }
    for (int i = 0; i < 3; i++) {
        env_thread_join(env, threads[i]);
        assert_string_equal(names[i], "fifteen-letters");
    }
    mem_fail_nth(1, false);
    assert_int_equal(env_thread_start(env, "none", note_own_name, names[0], &threads[0]),
                     ERR_NOMEM);
    mem_fail_nth(0, false);
}

static uint16_t
port_of(int listener)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof at;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    return ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                          : ((struct sockaddr_in *)&at)->sin_port);
}

static bool
connects_over_ipv4(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    bool connected = connect(client, (struct sockaddr *)&to, sizeof to) == 0;
    close(client);
    return connected;
}

UNIT_TEST(test_listening_socket_takes_connections_until_shut_down)
{
    struct env *env = env_real();
    static const char *const hosts[] = {"", "127.0.0.1"};
    for (unsigned i = 0; i < 2; i++) {
        int listener;
        struct why why = {""};
        if (env_listen(env, hosts[i], 0, 16, &listener, &why)) fail_msg("%s", why.text);
        assert_int_not_equal(fcntl(listener, F_GETFL) & O_NONBLOCK, 0);
        assert_int_not_equal(fcntl(listener, F_GETFD) & FD_CLOEXEC, 0);
        uint16_t port = port_of(listener);
        assert_true(connects_over_ipv4(port));
        int second;
        assert_int_equal(env_listen(env, hosts[i], port, 16, &second, &why), ERR_AGAIN);
        assert_non_null(strstr(why.text, "Address already in use"));
        env_shutdown(env, listener);
        assert_false(connects_over_ipv4(port));
        close(listener);
        /* The connection from before does not keep the address. */
        must(env_listen(env, hosts[i], port, 16, &listener, NULL));
        close(listener);
    }
}

UNIT_TEST(test_listening_where_we_do_not_live_is_refused)
{
    int listener;
    struct why why;
    assert_int_equal(env_listen(env_real(), "192.0.2.1", 0, 16, &listener, &why), ERR_INPUT);
    assert_true(strncmp(why.text, "cannot listen on 192.0.2.1 port 0: ", 35) == 0);
    assert_int_equal(env_listen(env_real(), "not an address", 0, 16, &listener, &why), ERR_INPUT);
}

#define in_own_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        in_own_dir(test_file_reads_back_what_was_written),
        in_own_dir(test_a_direct_write_is_visible_to_cached_reads),
        in_own_dir(test_modes_decide_what_must_be_there),
        in_own_dir(test_a_file_that_is_not_regular_is_refused_without_waiting),
        in_own_dir(test_a_lease_of_another_program_is_waited_for),
        in_own_dir(test_numbers_out_of_range_are_errors_not_wraparounds),
        cmocka_unit_test(test_paths_join_with_one_slash_or_not_at_all),
        in_own_dir(test_facts_differ_for_a_copy_and_stay_when_the_directory_moves),
        in_own_dir(test_lock_excludes_other_descriptors_until_closed),
        in_own_dir(test_lock_is_shared_by_those_who_only_read),
        in_own_dir(test_names_are_made_moved_listed_and_removed),
        in_own_dir(test_removing_a_tree_reaches_its_full_depth_and_follows_no_links),
        in_own_dir(test_whole_file_is_replaced_and_nothing_stays_beside_it),
        in_own_dir(test_space_is_returned_for_a_directory_that_exists),
        cmocka_unit_test(test_clocks_and_randomness_are_the_kernels),
        cmocka_unit_test(test_thread_runs_under_its_name_and_is_joined),
        cmocka_unit_test(test_listening_socket_takes_connections_until_shut_down),
        cmocka_unit_test(test_listening_where_we_do_not_live_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
