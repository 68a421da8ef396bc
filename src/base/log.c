#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <math.h>

static _Atomic int min_level = LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;
static _Atomic int out_fd = 2;
static _Atomic uint64_t counts[LOG_LEVEL_COUNT];

static const char *const level_words[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

struct line {
    size_t used;
    bool full; /* something did not fit and was left out */
    char text[LOG_LINE_BYTES_MAX];
};

void
log_configure(enum log_level level, enum log_format format)
{
    atomic_store(&min_level, (int)level);
    atomic_store(&line_format, (int)format);
}

bool
log_level_parse(const char *word, enum log_level *ret_level)
{
    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(word, level_words[i]) != 0) continue;
        *ret_level = (enum log_level)i;
        return true;
    }
    return false;
}

bool
log_format_parse(const char *word, enum log_format *ret_format)
{
    if (strcmp(word, "logfmt") == 0) {
        *ret_format = LOG_LOGFMT;
    } else if (strcmp(word, "json") == 0) {
        *ret_format = LOG_JSON;
    } else {
        return false;
    }
    return true;
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

/* Keeps two bytes for the end of the line. A piece fits whole or not at all. */
static void
put(struct line *line, const char *text, size_t size)
{
    size_t room = sizeof line->text - 2 - line->used;
    if (size > room) line->full = true;
    if (line->full) return;
    memcpy(line->text + line->used, text, size);
    line->used += size;
}

static void
put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static bool
needs_quotes(struct bytes b)
{
    if (b.size == 0) return true;
    for (size_t i = 0; i < b.size; i++) {
        uint8_t c = b.at[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return true;
    }
    return false;
}

/* Bytes beyond ASCII are escaped one by one: what comes from outside may not be UTF-8. */
static void
put_escaped(struct line *line, struct bytes b)
{
    for (size_t i = 0; i < b.size; i++) {
        char piece[8];
        uint8_t c = b.at[i];
        if (c == '"' || c == '\\') {
            snprintf(piece, sizeof piece, "\\%c", c);
        } else if (c == '\n') {
            snprintf(piece, sizeof piece, "\\n");
        } else if (c < ' ' || c >= 0x7f) {
            snprintf(piece, sizeof piece, "\\u%04x", c);
        } else {
            snprintf(piece, sizeof piece, "%c", c);
        }
        put_text(line, piece);
    }
}

static void
put_string(struct line *line, struct bytes b, bool json)
{
    bool cut = b.size > LOG_VALUE_BYTES_MAX;
    if (cut) b.size = LOG_VALUE_BYTES_MAX;
    bool quotes = json || needs_quotes(b);
    if (quotes) put_text(line, "\"");
    put_escaped(line, b);
    if (cut) put_text(line, "...");
    if (quotes) put_text(line, "\"");
}

static void
put_value(struct line *line, const struct log_kv *kv, bool json)
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
        snprintf(number, sizeof number, "%" PRIu64, kv->value.u);
        break;
    default:
        if (json && !isfinite(kv->value.d)) {
            snprintf(number, sizeof number, "null");
        } else {
            snprintf(number, sizeof number, "%.6g", kv->value.d);
        }
        break;
    }
    put_text(line, number);
}

static void
put_key(struct line *line, const char *key, bool json)
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

void
log_line(enum log_level level, const char *message, const struct log_kv *fields)
{
    atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
    int fd = atomic_load(&out_fd);
    if (fd < 0) return;
    bool json = atomic_load(&line_format) == LOG_JSON;
    struct line line;
    line.used = 0;
    line.full = false;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char stamp[64];
    size_t n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);

    if (json) put_text(&line, "{");
    put_key(&line, "ts", json);
    put_string(&line, bytes_of_text(stamp), json);
    put_key(&line, "level", json);
    put_string(&line, bytes_of_text(level_words[level]), json);
    put_key(&line, "msg", json);
    put_string(&line, bytes_of_text(message), json);
    for (const struct log_kv *kv = fields; kv->kind != KV_END; kv++) {
        size_t used = line.used;
        put_key(&line, kv->key, json);
        put_value(&line, kv, json);
        if (!line.full) continue;
        line.used = used; /* half a field would spoil the line for every parser */
        line.full = false;
    }
    if (json) line.text[line.used++] = '}';
    line.text[line.used++] = '\n';
    ssize_t written = write(fd, line.text, line.used);
    (void)written; /* nobody is left to tell */
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
