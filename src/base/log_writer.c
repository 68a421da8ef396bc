/*
 * log_writer.c - takes lines to standard error without making the caller wait for a reader.
 *
 * Standard error is inherited and may be a pipe that is full, a terminal that is stopped, or a file
 * on a disk that hangs. O_NONBLOCK would be set for all processes that share it, and does not help
 * with files; poll() promises nothing about files and terminals either. So a thread of its own
 * does the writing and may wait as long as it likes. Lines wait for it in a ring of bytes.
 *
 * Lines are lost when the ring is full or when write(2) fails. Each entry of the ring carries the
 * number of lines that were lost just before it, so that the thread reports a loss where it is in
 * the order of lines. After a loss the ring accepts lines again once it is half empty: a reader
 * that is only a little too slow gets a few long gaps, not a report between any two lines.
 *
 * Invariants, under the lock:
 *   1. `used` is the sum of the sizes of whole entries, and at most LOG_WAITING_BYTES_MAX.
 *   2. `lost` counts the lines that were lost after the last entry of the ring.
 *   3. The thread ends only when the ring is empty and no loss is unreported.
 *
 * The lock is a plain mutex and not a ranked one: a line may be logged under any lock, and an
 * assertion that fails inside a ranked lock must be able to say so.
 */
#include "base/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log_kept.h"
#include "base/metric.h"

enum { RETRY_MS = 5 };

struct log_entry {
    uint64_t lost_before; /* lines that are missing between the entry before and this one */
    uint32_t size;        /* size of the text after the entry; 0: no text, only a loss to report */
    uint32_t unused;
};

static struct {
    pthread_mutex_t lock;   /* guards to the next blank line; held for a memcpy at most */
    pthread_cond_t changed; /* something to write, or the end */
    size_t begin, used;
    uint64_t lost;
    bool ends, has_ended;

    pthread_t thread;
    _Atomic bool runs;
    /* Lines in the ring or being written. Release when a line is written pairs with acquire in
     * on_crash(). */
    _Atomic uint64_t unwritten;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static uint8_t ring[LOG_WAITING_BYTES_MAX];

static struct metric_counter lost_lines = {
    .name = "firekeep_log_lines_lost_total",
    .help = "Log lines lost because standard error was not read in time or could not be written.",
};

/* --- the ring, under the lock ----------------------------------------------------------------- */

static void
ring_put(const void *from, size_t size)
{
    assert(size <= sizeof ring - writer.used); /* invariant 1 */
    size_t at = (writer.begin + writer.used) % sizeof ring;
    size_t first = size < sizeof ring - at ? size : sizeof ring - at;
    memcpy(ring + at, from, first);
    memcpy(ring, (const uint8_t *)from + first, size - first);
    writer.used += size;
}

static void
ring_take(void *to, size_t size)
{
    assert(size <= writer.used); /* invariant 1 */
    size_t first = size < sizeof ring - writer.begin ? size : sizeof ring - writer.begin;
    memcpy(to, ring + writer.begin, first);
    memcpy((uint8_t *)to + first, ring, size - first);
    writer.begin = (writer.begin + size) % sizeof ring;
    writer.used -= size;
}

static void
put_locked(const char *line, size_t size)
{
    struct log_entry entry = {.lost_before = writer.lost, .size = (uint32_t)size};
    size_t room = sizeof ring - writer.used;
    if (sizeof entry + size > room || (writer.lost > 0 && room < sizeof ring / 2)) {
        writer.lost++;
        metric_inc(&lost_lines);
        return;
    }
    ring_put(&entry, sizeof entry);
    ring_put(line, size);
    writer.lost = 0; /* invariant 2 */
    atomic_fetch_add_explicit(&writer.unwritten, 1, memory_order_relaxed);
    pthread_cond_broadcast(&writer.changed);
}

/* Waits for something to write. False: nothing is left, and nothing more comes. */
static bool
take(struct log_entry *ret_entry, char line[LOG_LINE_BYTES_MAX])
{
    pthread_mutex_lock(&writer.lock);
    while (writer.used == 0 && writer.lost == 0 && !writer.ends) {
        pthread_cond_wait(&writer.changed, &writer.lock);
    }
    bool found = writer.used > 0 || writer.lost > 0;
    if (writer.used > 0) {
        ring_take(ret_entry, sizeof *ret_entry);
        assert(ret_entry->size > 0);
        assert(ret_entry->size <= LOG_LINE_BYTES_MAX);
        ring_take(line, ret_entry->size);
    } else if (found) {
        *ret_entry = (struct log_entry){.lost_before = writer.lost};
        writer.lost = 0;
    } else {
        writer.has_ended = true; /* invariant 3 */
        pthread_cond_broadcast(&writer.changed);
    }
    pthread_mutex_unlock(&writer.lock);
    return found;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Returns how many bytes were written: fewer than `size` only after an error, which is in errno. */
static size_t
write_all(const char *at, size_t size)
{
    int fd = log_fd();
    size_t done = 0;
    while (done < size && fd >= 0) {
        ssize_t put = write(fd, at + done, size - done);
        if (put > 0) {
            done += (size_t)put;
        } else if (put == 0) { /* a write without progress counts as failed, so that this ends */
            errno = EIO;
            break;
        } else if (errno == EAGAIN) { /* another process made it non-blocking */
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (errno != EINTR) {
            break;
        }
    }
    return fd < 0 ? size : done;
}

/* Keeps lines whole: after a line that was written in part, the next text begins a new line. */
static bool
write_line(const char *line, size_t size, bool *is_torn)
{
    if (*is_torn && write_all("\n", 1) != 1) return false;
    *is_torn = false;
    size_t done = write_all(line, size);
    if (done == size) return true;
    *is_torn = done > 0;
    return false;
}

static void *
run(void *unused)
{
    struct log_entry entry;
    struct log_text line;
    uint64_t lost = 0; /* not reported */
    int error = 0;     /* errno of the last write(2) that failed since the last report */
    bool is_torn = false;
    while (take(&entry, line.text)) {
        lost += entry.lost_before;
        if (lost > 0) {
            struct log_text report;
            const char *reason = error == 0 ? "it was not read in time" : strerrordesc_np(error);
            log_format_line(LOG_WARN, "log lines lost: standard error did not accept them",
                            LOG_FIELDS(KV("lines", lost), KV("error", reason)), &report);
            log_kept_put(LOG_WARN, report.t_ms, report.text, report.used);
            if (write_line(report.text, report.used, &is_torn)) {
                lost = 0;
                error = 0;
            }
        }
        if (entry.size == 0) continue;
        if (!write_line(line.text, entry.size, &is_torn)) {
            error = errno;
            lost++;
            metric_inc(&lost_lines);
        }
        atomic_fetch_sub_explicit(&writer.unwritten, 1, memory_order_release);
    }
    return unused;
}

void
log_writer_put(const char *line, size_t size)
{
    if (!atomic_load(&writer.runs)) {
        (void)write_all(line, size); /* if it fails, there is no other place to report it */
        return;
    }
    pthread_mutex_lock(&writer.lock);
    put_locked(line, size);
    pthread_mutex_unlock(&writer.lock);
}

/* --- the last lines of a process that crashes --------------------------------------------------
 */

static void
pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Calls only what a signal handler may. The signal is blocked until this returns, and then has its
 * default effect. */
static void
on_crash(int signal_number)
{
    for (int ms = 0; ms < LOG_LAST_MS; ms += RETRY_MS) {
        if (atomic_load_explicit(&writer.unwritten, memory_order_acquire) == 0) break;
        pause_ms(RETRY_MS);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void
handle_crashes(void)
{
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {.sa_handler = on_crash}, old;
        bool is_free = sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL;
        if (is_free)
            sigaction(signals[i], &action,
                      NULL); /* a signal that a sanitizer handles is left to it */
    }
}

/*
 * Replaces the function of the C library that assert() calls: that one writes to standard error
 * itself, which may never return, and a process with a broken invariant must end. The lock may be
 * held by this very thread, so it is not waited for without end.
 */
void __assert_fail(const char *condition, const char *file, unsigned line, const char *function)
    __attribute__((noreturn));

void
__assert_fail(const char *condition, const char *file, unsigned line, const char *function)
{
    char text[LOG_LINE_BYTES_MAX];
    snprintf(text, sizeof text - 1, "%s: %s:%u: %s: Assertion `%s' failed.",
             program_invocation_short_name, file, line, function, condition);
    size_t size = strlen(text);
    text[size++] = '\n';
    if (!atomic_load(&writer.runs)) {
        ssize_t put = write(STDERR_FILENO, text, size);
        (void)put;
        abort();
    }
    for (int ms = 0; ms < LOG_LAST_MS; ms += RETRY_MS) {
        if (pthread_mutex_trylock(&writer.lock) == 0) {
            put_locked(text, size);
            pthread_mutex_unlock(&writer.lock);
            break;
        }
        pause_ms(RETRY_MS);
    }
    abort();
}

/* --- start and end -----------------------------------------------------------------------------
 */

enum err
log_start(void)
{
    assert(!atomic_load(&writer.runs));
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads that expect them */
    int failed = pthread_create(&writer.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) return err_from_errno(failed);
    pthread_setname_np(writer.thread, "log");
    metric_register_counter(&lost_lines);
    handle_crashes();
    atomic_store(&writer.runs, true);
    return OK;
}

void
log_stop(void)
{
    if (!atomic_load(&writer.runs)) return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOG_LAST_MS / 1000;
    pthread_mutex_lock(&writer.lock);
    writer.ends = true;
    pthread_cond_broadcast(&writer.changed);
    int waited = 0;
    while (!writer.has_ended && waited == 0) {
        waited = pthread_cond_clockwait(&writer.changed, &writer.lock, CLOCK_MONOTONIC, &until);
    }
    bool has_ended = writer.has_ended;
    if (has_ended) writer.ends = writer.has_ended = false;
    pthread_mutex_unlock(&writer.lock);
    if (!has_ended) return;
    atomic_store(&writer.runs, false);
    pthread_join(writer.thread, NULL);
}
