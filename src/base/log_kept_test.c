/* log_kept_test.c - the last lines are kept whole, in order, within their memory. */
#include "lib/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"

/* Lines that are kept. */
struct found {
    struct buf text;
    struct bytes rest;
    struct log_kept_line first, last;
    uint32_t count;
};

static struct found
find(void)
{
    struct found f = {.count = 0};
    struct log_kept_line line;
    buf_init(&f.text, NULL, LOG_KEPT_BYTES_MAX);
    assert_int_equal(log_kept_copy(&f.text), OK);
    f.rest = buf_bytes(&f.text);
    while (log_kept_next(&f.rest, &line)) {
        if (f.count > 0) assert_int_equal(line.number, f.last.number + 1);
        if (f.count++ == 0) f.first = line;
        f.last = line;
    }
    return f;
}

UNIT_TEST(test_a_line_is_kept_with_its_level_and_time)
{
    struct timespec now;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_to_fd(fd);
    clock_gettime(CLOCK_REALTIME, &now);
    log_warn("disk is slow", KV("ms", 12));
    log_debug("not logged");
    log_to_fd(2);
    close(fd);
    struct found f = find();
    const char *end = "level=warn msg=\"disk is slow\" ms=12";
    assert_int_equal(f.last.level, LOG_WARN);
    assert_true(f.last.t_ms >= now.tv_sec * 1000 + now.tv_nsec / 1000000);
    assert_true(f.last.text.size > strlen(end));
    assert_memory_equal(f.last.text.at + f.last.text.size - strlen(end), end, strlen(end));
    buf_fini(&f.text);
}

UNIT_TEST(test_new_lines_replace_the_oldest_ones)
{
    char line[LOG_LINE_BYTES_MAX];
    memset(line, 'x', sizeof line);
    for (unsigned i = 0; i < 3000; i++) {
        struct found before = find();
        size_t size = i % 7 == 0 ? sizeof line : i * 37 % 900;
        log_kept_put(LOG_INFO, i, line, size);
        struct found f = find();
        assert_int_equal(f.last.number, before.last.number + 1);
        assert_int_equal(f.last.t_ms, i);
        assert_int_equal(f.last.text.size, size);
        assert_in_range(f.first.number, before.first.number, f.last.number);
        buf_fini(&before.text);
        buf_fini(&f.text);
    }
    struct found f = find();
    assert_in_range(f.text.size, LOG_KEPT_BYTES_MAX - LOG_LINE_BYTES_MAX * 2, LOG_KEPT_BYTES_MAX);
    assert_true(f.first.number > 1);
    buf_fini(&f.text);
}

UNIT_TEST(test_without_memory_nothing_is_copied)
{
    struct buf small;
    buf_init(&small, NULL, 100);
    assert_int_equal(log_kept_copy(&small), ERR_LIMIT);
    assert_int_equal(small.size, 0);
    buf_fini(&small);
}

static void *
put_lines(void *unused)
{
    for (unsigned i = 0; i < 2000; i++)
        log_kept_put(LOG_INFO, i, "a line\n", 7);
    return unused;
}

UNIT_TEST(test_lines_of_several_threads_stay_whole)
{
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_lines, NULL), 0);
    for (unsigned i = 0; i < 20; i++) {
        struct found f = find();
        buf_fini(&f.text);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct found f = find();
    assert_true(bytes_equal_text(f.last.text, "a line"));
    buf_fini(&f.text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_is_kept_with_its_level_and_time),
        cmocka_unit_test(test_new_lines_replace_the_oldest_ones),
        cmocka_unit_test(test_without_memory_nothing_is_copied),
        cmocka_unit_test(test_lines_of_several_threads_stay_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
