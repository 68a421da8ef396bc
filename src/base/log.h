/*
 * log.h - one line per event on stderr, logfmt or JSON. Only edges log (thread loops, request
 * handlers, start and stop); code that has a caller returns an error instead.
 *
 *     log_warn("relay: batch refused, retrying", KV("destination", name), KV("attempt", n));
 *
 * Values are quoted and bounded (LOG_VALUE_BYTES_MAX); text from outside goes into KV, never into
 * the message, which is a literal. A line has at most LOG_LINE_BYTES_MAX bytes; a field that does
 * not fit is left out whole.   Threads: any; a line is one write().
 *
 * Without log_start() the caller writes the line and waits for its reader: right for commands
 * that run once. After log_start() no caller waits: a thread writes.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };
enum log_format { LOG_LOGFMT, LOG_JSON };
enum { LOG_VALUE_BYTES_MAX = 512, LOG_LINE_BYTES_MAX = 4096 };

/* Sets the least level that is logged, and the form of lines. Any thread, at any time. */
void log_configure(enum log_level level, enum log_format format);
/* Sets the file descriptor of the log, 2 by default; -1 discards lines (tests). */
void log_to_fd(int fd);
/* Returns how many lines were logged at a level. */
uint64_t log_count(enum log_level level);

/*
 * Starts the thread that writes. Lines wait for it in LOG_WAITING_BYTES_MAX bytes of memory; one
 * that finds no room is lost, as is one that cannot be written. Lost lines are counted
 * (firekeep_log_lines_lost_total), and a warning replaces them in the log. A signal
 * that ends the process by default because of an error of its own (SIGABRT, SIGSEGV, ...) ends it
 * after at most LOG_LAST_MS, in which the waiting lines are written. The process has one such
 * thread; ERR_AGAIN: it cannot be started.
 */
enum { LOG_WAITING_BYTES_MAX = 1024 * 1024, LOG_LAST_MS = 1000 };
MUST_CHECK enum err log_start(void);
/*
 * Waits at most LOG_LAST_MS until all lines are written, and ends the thread. If it still waits for
 * a reader then, it is left alone until the process ends, and logging still does not wait.
 */
void log_stop(void);

enum kv_kind { KV_END, KV_TEXT, KV_SIGNED, KV_UNSIGNED, KV_BOOL, KV_DOUBLE, KV_BYTES };
struct log_kv {
    const char *key;
    enum kv_kind kind;
    union {
        const char *text;
        int64_t i;
        uint64_t u;
        double d;
        struct bytes bytes;
    } value;
};

static inline struct log_kv
kv_text(const char *k, const char *v)
{
    return (struct log_kv){k, KV_TEXT, {.text = v}};
}
static inline struct log_kv
kv_signed(const char *k, int64_t v)
{
    return (struct log_kv){k, KV_SIGNED, {.i = v}};
}
static inline struct log_kv
kv_unsigned(const char *k, uint64_t v)
{
    return (struct log_kv){k, KV_UNSIGNED, {.u = v}};
}
static inline struct log_kv
kv_bool(const char *k, bool v)
{
    return (struct log_kv){k, KV_BOOL, {.u = v}};
}
static inline struct log_kv
kv_double(const char *k, double v)
{
    return (struct log_kv){k, KV_DOUBLE, {.d = v}};
}
static inline struct log_kv
kv_bytes(const char *k, struct bytes v)
{
    return (struct log_kv){k, KV_BYTES, {.bytes = v}};
}
static inline struct log_kv
kv_why(const char *k, const struct why *v)
{
    return (struct log_kv){k, KV_TEXT, {.text = v->text}};
}

/* clang-format off */
#define KV(key, v) _Generic((v), \
    char *: kv_text, const char *: kv_text, struct bytes: kv_bytes, \
    struct why *: kv_why, const struct why *: kv_why, \
    float: kv_double, double: kv_double, bool: kv_bool, \
    int: kv_signed, long: kv_signed, long long: kv_signed, short: kv_signed, signed char: kv_signed, \
    unsigned: kv_unsigned, unsigned long: kv_unsigned, unsigned long long: kv_unsigned, \
    unsigned short: kv_unsigned, unsigned char: kv_unsigned)((key), (v))
/* clang-format on */

/* Formats a line, and writes it or hands it to the thread of log_start(). Any thread, also under
 * locks. Callers use the macros below. */
void log_line(enum log_level level, const char *message, const struct log_kv *fields);
bool log_enabled(enum log_level level);

#define LOG_FIELDS(...) ((const struct log_kv[]){__VA_ARGS__ __VA_OPT__(, ){NULL, KV_END, {0}}})
#define log_at(level, message, ...)                                                   \
    do {                                                                              \
        if (log_enabled(level)) log_line(level, "" message, LOG_FIELDS(__VA_ARGS__)); \
    } while (0)
#define log_debug(message, ...) log_at(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...)  log_at(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...)  log_at(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) log_at(LOG_ERROR, message, __VA_ARGS__)

/* A gate for lines that may repeat: log_often() is true at most once per `interval_ns`, and returns
 * how many lines were held back since the last one. */
struct log_gate {
    _Atomic int64_t next_ns;
    _Atomic uint64_t held_back;
};
bool log_often(struct log_gate *gate, int64_t now_ns, int64_t interval_ns, uint64_t *ret_held_back);

/* --- the last lines, for operators who cannot read standard error ----------------------------- */

enum { LOG_KEPT_BYTES_MAX = 512 * 1024 };

/* Keeps a line, which has at most LOG_LINE_BYTES_MAX bytes, in place of the oldest ones. */
void log_kept_put(enum log_level level, int64_t t_ms, const char *line, size_t size);

struct log_kept_line {
    uint64_t number; /* counts the lines of the process from 1 */
    int64_t t_ms;    /* Unix time */
    enum log_level level;
    struct bytes text; /* without the line feed */
};
/* Appends all lines that are kept, at most LOG_KEPT_BYTES_MAX bytes, for log_kept_next(). */
MUST_CHECK enum err log_kept_copy(struct buf *to);
/* Gives the next line, the oldest first, and moves *from past it; a view of it. False after the
 * last. */
bool log_kept_next(struct bytes *from, struct log_kept_line *ret_line);

#endif
