/*
 * log.c - puts a line together on the stack, and takes it to standard error without making the
 * caller wait for a reader.
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
 * A second ring keeps the last lines, whether they were written or not.
 *
 * Invariants, each under the lock of its ring:
 *   1. `used` is the sum of the sizes of whole entries, and at most the size of the ring.
 *   2. `lost` counts the lines that were lost after the last entry of the ring.
 *   3. The thread ends only when the ring is empty and no loss is unreported.
 *   4. Numbers of kept lines ascend by one, up to `kept.number`.
 *
 * The locks are plain mutexes and not ranked ones: a line may be logged under any lock, and an
 * assertion that fails inside a ranked lock must be able to say so. They are held for a memcpy of a
 * ring at most.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/metric.h"
#include "base/text/utf8.h"

static _Atomic int min_level = LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;
static _Atomic int out_fd = 2; /* -1: none */
static _Atomic uint64_t counts[LOG_LEVEL_COUNT];

static const char *const level_words[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

void
log_configure(enum log_level level, enum log_format format)
{
    atomic_store(&min_level, (int)level);
    atomic_store(&line_format, (int)format);
}

void
log_to_fd(int fd)
{
    atomic_store(&out_fd, fd);
}

uint64_t
log_count(enum log_level level)
{
    return atomic_load_explicit(&counts[level], memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* --- a line ----------------------------------------------------------------------------------- */

struct log_text {
    size_t used;
    bool full;    /* something did not fit and was left out */
    int64_t t_ms; /* Unix time of the line */
    char text[LOG_LINE_BYTES_MAX];
};

/* Keeps two bytes for the end of the line. A piece fits whole or not at all. */
static void
put(struct log_text *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - 2 - line->used;
    if (size > room) line->full = true;
    if (line->full) return;
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

static void
put_text(struct log_text *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool
needs_quotes(struct bytes b)
{
    if (b.size == 0) return true;
    for (size_t i = 0, size; i < b.size; i += size) {
        uint8_t c = b.at[i];
        size = utf8_plain(b.at + i, b.size - i);
        if (size == 0 || c == ' ' || c == '"' || c == '=' || c == '\\') return true;
    }
    return false;
}

/* Both formats have \u; each byte of invalid UTF-8 becomes U+FFFD. */
static void
log_put_escaped(struct log_text *line, struct bytes b)
{
    for (size_t i = 0, size; i < b.size; i += size) {
        char piece[8];
        const char *at = (const char *)b.at + i;
        struct bytes left = bytes_of(at, b.size - i);
        size = utf8_plain(left.at, left.size);
        if (*at == '"' || *at == '\\') put_text(line, "\\");
        if (size > 0) {
            put(line, at, size);
            continue;
        }
        size = utf8_step(left.at, left.size);
        uint32_t c = size == 0 ? 0xfffd : utf8_get(left.at, size);
        if (size == 0) size = 1;
        snprintf(piece, sizeof piece, c == '\n' ? "\\n" : "\\u%04x", (unsigned)c);
        put_text(line, piece);
    }
}

static void
put_string(struct log_text *line, struct bytes b, bool json)
{
    bool cut = b.size > LOG_VALUE_BYTES_MAX;
    if (cut) {
        /* in whole characters */
        size_t end = LOG_VALUE_BYTES_MAX;
        while (end > 0 && LOG_VALUE_BYTES_MAX - end < UTF8_BYTES_MAX && utf8_is_tail(b.at[end]))
            end--;
        b = bytes_of(b.at, utf8_step(b.at + end, b.size - end) > LOG_VALUE_BYTES_MAX - end
                               ? end
                               : LOG_VALUE_BYTES_MAX);
    }
    bool quotes = json || needs_quotes(b);
    if (quotes) put_text(line, "\"");
    log_put_escaped(line, b);
    if (cut) put_text(line, "...");
    if (quotes) put_text(line, "\"");
}

static void
put_value(struct log_text *line, const struct log_kv *kv, bool json)
{
    char number[40];
    switch (kv->kind) {
    case KV_TEXT:
        put_string(line, bytes_of_text(kv->value.text == NULL ? "" : kv->value.text), json);
        return;
    case KV_BYTES:
        put_string(line, kv->value.bytes, json);
        return;
    case KV_SIGNED:
        snprintf(number, sizeof number, "%" PRId64, kv->value.i);
        break;
    case KV_UNSIGNED:
    case KV_BOOL:
        snprintf(number, sizeof number, "%" PRIu64, kv->value.u);
        break;
    default:
        if (json && !isfinite(kv->value.d))
            snprintf(number, sizeof number, "null");
        else
            snprintf(number, sizeof number, "%.6g", kv->value.d);
        break;
    }
    put_text(line, number);
}

static void
put_key(struct log_text *line, const char *key, bool json)
{
    if (json) {
        put_text(line, line->used > 1 ? ",\"" : "\"");
        put_text(line, key);
        put_text(line, "\":");
    } else {
        if (line->used > 0) put_text(line, " ");
        put_text(line, key);
        put_text(line, "=");
    }
}

/* Makes a line in the configured format, with the current time and a line feed. */
static void
log_format_line(enum log_level level, const char *message, const struct log_kv *fields,
                struct log_text *line)
{
    bool json = atomic_load(&line_format) == LOG_JSON;
    line->used = 0;
    line->full = false;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    line->t_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[64];
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);

    if (json) put_text(line, "{");
    put_key(line, "ts", json);
    put_string(line, bytes_of_text(stamp), json);
    put_key(line, "level", json);
    put_string(line, bytes_of_text(level_words[level]), json);
    put_key(line, "msg", json);
    put_string(line, bytes_of_text(message), json);
    for (const struct log_kv *kv = fields; kv->kind != KV_END; kv++) {
        size_t used = line->used;
        put_key(line, kv->key, json);
        put_value(line, kv, json);
        if (!line->full) continue;
        line->used = used; /* half a field would spoil the line for every parser */
        line->full = false;
    }
    if (json) line->text[line->used++] = '}';
    line->text[line->used++] = '\n';
}

/* --- rings of bytes, under their locks -------------------------------------------------------- */

struct log_ring {
    uint8_t *bytes;
    size_t capacity, begin, used;
};

static void
ring_put(struct log_ring *ring, const void *from, size_t size)
{
    assert(size <= ring->capacity - ring->used); /* invariant 1 */
    size_t at = (ring->begin + ring->used) % ring->capacity;
    size_t first = size < ring->capacity - at ? size : ring->capacity - at;
    memcpy(ring->bytes + at, from, first);
    memcpy(ring->bytes, (const uint8_t *)from + first, size - first);
    ring->used += size;
}

/* Copies the first bytes. */
static void
ring_get(const struct log_ring *ring, void *to, size_t size)
{
    assert(size <= ring->used); /* invariant 1 */
    size_t left = ring->capacity - ring->begin, first = size < left ? size : left;
    memcpy(to, ring->bytes + ring->begin, first);
    memcpy((uint8_t *)to + first, ring->bytes, size - first);
}

static void
ring_drop(struct log_ring *ring, size_t size)
{
    assert(size <= ring->used); /* invariant 1 */
    ring->begin = (ring->begin + size) % ring->capacity;
    ring->used -= size;
}

/* --- the last lines --------------------------------------------------------------------------- */

struct kept_entry {
    uint64_t number;
    int64_t t_ms;
    uint32_t level;
    uint32_t size; /* size of the text after the entry */
};

static uint8_t kept_bytes[LOG_KEPT_BYTES_MAX];

static struct {
    pthread_mutex_t lock;
    struct log_ring ring;
    uint64_t number;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER, .ring = {kept_bytes, sizeof kept_bytes, 0, 0}};

void
log_kept_put(enum log_level level, int64_t t_ms, const char *line, size_t size)
{
    assert(size <= LOG_LINE_BYTES_MAX);
    if (size > 0 && line[size - 1] == '\n') size--;
    pthread_mutex_lock(&kept.lock);
    struct kept_entry entry = {++kept.number, t_ms, (uint32_t)level,
                               (uint32_t)size}; /* invariant 4 */
    while (kept.ring.capacity - kept.ring.used < sizeof entry + size) {
        struct kept_entry oldest;
        ring_get(&kept.ring, &oldest, sizeof oldest);
        ring_drop(&kept.ring, sizeof oldest + oldest.size);
    }
    ring_put(&kept.ring, &entry, sizeof entry);
    ring_put(&kept.ring, line, size);
    pthread_mutex_unlock(&kept.lock);
}

enum err
log_kept_copy(struct buf *to)
{
    if (!buf_reserve(to, LOG_KEPT_BYTES_MAX)) return buf_error(to);
    pthread_mutex_lock(&kept.lock);
    ring_get(&kept.ring, to->at + to->size, kept.ring.used);
    to->size += kept.ring.used;
    pthread_mutex_unlock(&kept.lock);
    return OK;
}

bool
log_kept_next(struct bytes *from, struct log_kept_line *ret)
{
    struct kept_entry entry;
    if (from->size == 0) return false;
    assert(from->size >= sizeof entry);
    memcpy(&entry, from->at, sizeof entry);
    size_t size = sizeof entry + entry.size;
    assert(from->size >= size);
    *ret = (struct log_kept_line){entry.number, entry.t_ms, (enum log_level)entry.level,
                                  bytes_of(from->at + sizeof entry, entry.size)};
    *from = bytes_of(from->at + size, from->size - size);
    return true;
}

/* --- the thread that writes ------------------------------------------------------------------- */

enum { RETRY_MS = 5 };

struct log_entry {
    uint64_t lost_before; /* lines that are missing between the entry before and this one */
    uint32_t size;        /* size of the text after the entry; 0: no text, only a loss to report */
    uint32_t unused;
};

static uint8_t waiting_bytes[LOG_WAITING_BYTES_MAX];

static struct {
    pthread_mutex_t lock;   /* guards to the next blank line; held for a memcpy at most */
    pthread_cond_t changed; /* something to write, or the end */
    struct log_ring ring;
    uint64_t lost;
    bool ends, has_ended;

    pthread_t thread;
    _Atomic bool runs;
    /* Lines in the ring or being written. Release when a line is written pairs with acquire in
     * on_crash(). */
    _Atomic uint64_t unwritten;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .changed = PTHREAD_COND_INITIALIZER,
            .ring = {waiting_bytes, sizeof waiting_bytes, 0, 0}};

static struct metric_counter lost_lines = {
    .name = "firekeep_log_lines_lost_total",
    .help = "Log lines lost because standard error was not read in time or could not be written."};

static void
put_locked(const char *line, size_t size)
{
    struct log_entry entry = {.lost_before = writer.lost, .size = (uint32_t)size};
    size_t room = writer.ring.capacity - writer.ring.used;
    if (sizeof entry + size > room || (writer.lost > 0 && room < writer.ring.capacity / 2)) {
        writer.lost++;
        metric_inc(&lost_lines);
        return;
    }
    ring_put(&writer.ring, &entry, sizeof entry);
    ring_put(&writer.ring, line, size);
    writer.lost = 0; /* invariant 2 */
    atomic_fetch_add_explicit(&writer.unwritten, 1, memory_order_relaxed);
    pthread_cond_broadcast(&writer.changed);
}

/* Waits for something to write. False: nothing is left, and nothing more comes. */
static bool
take(struct log_entry *ret_entry, char line[LOG_LINE_BYTES_MAX])
{
    pthread_mutex_lock(&writer.lock);
    while (writer.ring.used == 0 && writer.lost == 0 && !writer.ends)
        pthread_cond_wait(&writer.changed, &writer.lock);
    bool found = writer.ring.used > 0 || writer.lost > 0;
    if (writer.ring.used > 0) {
        ring_get(&writer.ring, ret_entry, sizeof *ret_entry);
        ring_drop(&writer.ring, sizeof *ret_entry);
        assert(ret_entry->size > 0);
        assert(ret_entry->size <= LOG_LINE_BYTES_MAX);
        ring_get(&writer.ring, line, ret_entry->size);
        ring_drop(&writer.ring, ret_entry->size);
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
    int fd = atomic_load(&out_fd);
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

/* --- a process that crashes ------------------------------------------------------------------- */

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

/* Replaces the function of the C library that assert() calls: that one writes to standard error
 * itself, which may never return, and a process with a broken invariant must end. The lock may be
 * held by this very thread, so it is not waited for without end. */
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

/* --- start and end ---------------------------------------------------------------------------- */

enum err
log_start(void)
{
    static const int crashes[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    assert(!atomic_load(&writer.runs));
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads that expect them */
    int failed = pthread_create(&writer.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) return err_from_errno(failed);
    pthread_setname_np(writer.thread, "log");
    metric_register_counter(&lost_lines);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) {
        struct sigaction action = {.sa_handler = on_crash}, before;
        bool is_free = sigaction(crashes[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL;
        /* A signal that a sanitizer handles is left to it. */
        if (is_free) sigaction(crashes[i], &action, NULL);
    }
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
    while (!writer.has_ended && waited == 0)
        waited = pthread_cond_clockwait(&writer.changed, &writer.lock, CLOCK_MONOTONIC, &until);
    bool has_ended = writer.has_ended;
    if (has_ended) writer.ends = writer.has_ended = false;
    pthread_mutex_unlock(&writer.lock);
    if (!has_ended) return;
    atomic_store(&writer.runs, false);
    pthread_join(writer.thread, NULL);
}

/* --- logging ---------------------------------------------------------------------------------- */

void
log_line(enum log_level level, const char *message, const struct log_kv *fields)
{
    struct log_text line;
    atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
    if (atomic_load(&out_fd) < 0) return;
    log_format_line(level, message, fields, &line);
    log_kept_put(level, line.t_ms, line.text, line.used);
    if (!atomic_load(&writer.runs)) {
        (void)write_all(line.text, line.used); /* there is no other place to report a failure */
        return;
    }
    pthread_mutex_lock(&writer.lock);
    put_locked(line.text, line.used);
    pthread_mutex_unlock(&writer.lock);
}

bool
log_often(struct log_gate *gate, int64_t now_ns, int64_t interval_ns, uint64_t *ret_held_back)
{
    int64_t next = atomic_load_explicit(&gate->next_ns, memory_order_relaxed);
    if (now_ns < next ||
        !atomic_compare_exchange_strong(&gate->next_ns, &next, now_ns + interval_ns)) {
        atomic_fetch_add_explicit(&gate->held_back, 1, memory_order_relaxed);
        return false;
    }
    *ret_held_back = atomic_exchange(&gate->held_back, 0);
    return true;
}
