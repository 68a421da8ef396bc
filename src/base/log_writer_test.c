/* log_writer_test.c - the thread that writes log lines: full pipes, lost lines, stops. */
#include "lib/test.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"

enum { MANY = 30000, TEXT_BYTES = 8 * 1024 * 1024 };

/* Lines go to a pipe, which is read only when a test does so. */
static int ends[2];
static char text[TEXT_BYTES]; /* text read from the pipe, with a NUL */
static size_t text_size;

static int
open_pipe(void **state)
{
    (void)state;
    text_size = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    log_to_fd(ends[1]);
    log_configure(LOG_INFO, LOG_LOGFMT);
    return 0;
}

static int
close_pipe(void **state)
{
    (void)state;
    log_to_fd(2);
    metric_reset_all();
    return close(ends[0]) == 0 && close(ends[1]) == 0 ? 0 : -1;
}

static void
pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Waits for text in the pipe. */
static void
read_more(void)
{
    ssize_t got = read(ends[0], text + text_size, sizeof text - 1 - text_size);
    assert_true(got > 0);
    text_size += (size_t)got;
    text[text_size] = '\0';
}

static uint64_t
lost_in_metrics(void)
{
    struct buf all;
    buf_init(&all, NULL, 65536);
    metric_collect(&all);
    buf_put_u8(&all, 0);
    const char *at = strstr((const char *)all.at, "\nfirekeep_log_lines_lost_total ");
    uint64_t lost = at == NULL ? UINT64_MAX : strtoull(strchr(at + 1, ' '), NULL, 10);
    buf_fini(&all);
    return lost;
}

struct lines {
    uint64_t next;     /* number of the next line if none is missing */
    uint64_t reported; /* lines reported as lost */
    unsigned reports;
};

/* Takes whole lines off `at`: each has the number after that of the line before, or after as many
 * as a report counts as lost. */
static const char *
follow_lines(const char *at, struct lines *lines)
{
    for (const char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        uint64_t number;
        const char *n = strstr(at, " n="), *lost = strstr(at, " lines=");
        assert_memory_equal(at, "ts=", 3);
        if (lost != NULL && lost < end) {
            assert_int_equal(sscanf(lost, " lines=%" SCNu64, &number), 1);
            lines->next += number;
            lines->reported += number;
            lines->reports++;
            continue;
        }
        assert_true(n != NULL && n < end);
        assert_int_equal(sscanf(n, " n=%" SCNu64, &number), 1);
        assert_int_equal(number, lines->next);
        lines->next++;
    }
    return at;
}

static void
log_many(void)
{
    for (int n = 0; n < MANY; n++)
        log_info("a line of the length that lines of a server usually have", KV("n", n));
}

UNIT_TEST(test_a_full_pipe_blocks_no_caller_and_the_lost_lines_are_reported)
{
    assert_int_equal(log_start(), OK);
    log_many(); /* it returns, although the pipe has room for only 64 KiB */
    uint64_t lost = lost_in_metrics();
    assert_in_range(lost, 1, MANY - 5000);
    struct lines lines = {0};
    const char *at = text;
    while (lines.next < MANY) {
        read_more();
        at = follow_lines(at, &lines);
    }
    assert_int_equal(lines.reported, lost);
    assert_int_equal(lines.reports, 1);
    assert_non_null(strstr(text, " level=warn msg=\"log lines lost: standard error did not accept "
                                 "them\" lines="));
    assert_non_null(strstr(text, " error=\"it was not read in time\"\n"));
    log_info("later", KV("n", MANY));
    log_stop();
    read_more();
    follow_lines(at, &lines);
    assert_int_equal(lines.next, MANY + 1);
    log_info("after the stop", KV("n", MANY + 1)); /* written at once again */
    read_more();
    assert_non_null(strstr(text, "after the stop"));
}

static void *
log_some(void *first)
{
    for (int n = 0; n < 2000; n++)
        log_info("m", KV("from", *(int *)first), KV("number", n));
    return NULL;
}

UNIT_TEST(test_threads_lose_nothing_while_the_pipe_is_read)
{
    pthread_t threads[3];
    int names[3] = {0, 1, 2};
    assert_int_equal(log_start(), OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_some, &names[i]), 0);
    int next[3] = {0};
    const char *at = text;
    while (next[0] + next[1] + next[2] < 3 * 2000) {
        read_more();
        for (const char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
            int from, number;
            assert_int_equal(sscanf(strstr(at, " from="), " from=%d number=%d", &from, &number), 2);
            assert_int_equal(number, next[from]++);
        }
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(lost_in_metrics(), 0);
    log_stop();
}

UNIT_TEST(test_lines_that_cannot_be_written_are_counted_and_reported_later)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    assert_int_equal(log_start(), OK);
    log_to_fd(full);
    for (uint64_t n = 0; n < 3; n++) {
        log_info("m", KV("n", n));
        while (lost_in_metrics() == n)
            pause_ms(1);
    }
    log_to_fd(ends[1]);
    log_info("m", KV("n", 3));
    log_stop();
    read_more();
    struct lines lines = {0};
    follow_lines(text, &lines);
    assert_int_equal(lines.next, 4);
    assert_int_equal(lines.reports, 1);
    assert_non_null(strstr(text, " lines=3 error=\"No space left on device\"\n"));
    close(full);
}

/* --- processes that end ----------------------------------------------------------------------- */

/* Returns the exit status of a process that runs this. */
static int
status_of(void (*does)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* replaces cmocka's handler */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        if (log_start() != OK) _exit(1);
        does();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void
log_many_and_stop(void)
{
    log_many();
    log_stop();
    log_many();
}

UNIT_TEST(test_a_stop_ends_although_the_pipe_is_not_read)
{
    assert_int_equal(status_of(log_many_and_stop), 0);
}

static void
fail_an_assertion(void)
{
    for (int n = 0; n < 100; n++)
        log_info("m", KV("n", n));
    assert(ends[0] == -7);
}

UNIT_TEST(test_an_assertion_that_fails_is_the_last_line_after_all_others)
{
    int status = status_of(fail_an_assertion);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    read_more();
    char *last = strstr(text, "log_writer_test: ");
    assert_non_null(last);
    assert_non_null(strstr(last, ": fail_an_assertion: Assertion `ends[0] == -7' failed.\n"));
    *last = '\0';
    struct lines lines = {0};
    assert_ptr_equal(follow_lines(text, &lines), last);
    assert_int_equal(lines.next, 100);
}

static void
log_many_and_fail_an_assertion(void)
{
    log_many();
    assert(ends[0] == -7);
}

static void
log_many_and_kill(void)
{
    log_many();
    kill(getpid(), SIGABRT);
    for (;;)
        pause();
}

UNIT_TEST(test_a_crash_ends_the_process_although_the_pipe_is_not_read)
{
    int status = status_of(log_many_and_fail_an_assertion);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = status_of(log_many_and_kill);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static char path[] = "/tmp/log_writer_test.XXXXXX";

/* The second line fits only in part; the third is written when there is room again. */
static void
fill_a_file(void)
{
    struct rlimit small = {150, RLIM_INFINITY}, large = {RLIM_INFINITY, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    log_to_fd(open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
    setrlimit(RLIMIT_FSIZE, &small);
    for (int n = 0; n < 2; n++)
        log_info("a line of some length, more than half of what there is room for", KV("n", n));
    while (lost_in_metrics() == 0)
        pause_ms(1);
    setrlimit(RLIMIT_FSIZE, &large);
    log_info("m", KV("n", 2));
    log_stop();
}

UNIT_TEST(test_a_line_of_which_a_part_was_written_does_not_run_into_the_next)
{
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(status_of(fill_a_file), 0);
    ssize_t size = read(file, text, sizeof text - 1);
    assert_true(size > 0);
    text[size] = '\0';
    const char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
    assert_int_equal(third - text, 151);
    struct lines lines = {.next = 1};
    follow_lines(third, &lines);
    assert_int_equal(lines.reported, 1);
    assert_int_equal(lines.next, 3);
    close(file);
    unlink(path);
}

#define piped(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        piped(test_a_full_pipe_blocks_no_caller_and_the_lost_lines_are_reported),
        piped(test_threads_lose_nothing_while_the_pipe_is_read),
        piped(test_lines_that_cannot_be_written_are_counted_and_reported_later),
        piped(test_a_stop_ends_although_the_pipe_is_not_read),
        piped(test_an_assertion_that_fails_is_the_last_line_after_all_others),
        piped(test_a_crash_ends_the_process_although_the_pipe_is_not_read),
        piped(test_a_line_of_which_a_part_was_written_does_not_run_into_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
