/* log.c - a line is put together on the stack; log_writer.c takes it to standard error. */
#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <math.h>

#include "base/log_kept.h"
#include "base/log_writer.h"

#include "base/text/utf8.h"

static _Atomic int min_level = LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;
static _Atomic int out_fd = 2;
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

int
log_fd(void)
{
    return atomic_load(&out_fd);
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
put_escaped(struct log_text *line, struct bytes b)
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

/* Cuts a text to so many bytes, in whole characters. */
static struct bytes
cut_to(struct bytes b, size_t size)
{
    size_t end = size;
    while (end > 0 && size - end < UTF8_BYTES_MAX && utf8_is_tail(b.at[end])) {
        end--;
    }
    return bytes_of(b.at, utf8_step(b.at + end, b.size - end) > size - end ? end : size);
}

static void
put_string(struct log_text *line, struct bytes b, bool json)
{
    bool cut = b.size > LOG_VALUE_BYTES_MAX;
    if (cut) b = cut_to(b, LOG_VALUE_BYTES_MAX);
    bool quotes = json || needs_quotes(b);
    if (quotes) put_text(line, "\"");
    put_escaped(line, b);
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

void
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

void
log_line(enum log_level level, const char *message, const struct log_kv *fields)
{
    struct log_text line;
    atomic_fetch_add_explicit(&counts[level], 1, memory_order_relaxed);
    if (log_fd() < 0) return;
    log_format_line(level, message, fields, &line);
    log_kept_put(level, line.t_ms, line.text, line.used);
    log_writer_put(line.text, line.used);
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
