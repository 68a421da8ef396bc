/* status_log.c - the last lines of the log, for operators who cannot read standard error. */
#include <string.h>

#include "api/status/pages.h"
#include "base/log_kept.h"
#include "base/text/time_text.h"

enum { LINES_DEFAULT = 500, LINES_MAX = 10000 };

struct lines_wanted {
    int64_t since_ms;
    int64_t count; /* the newest ones */
    unsigned level;
};

static const char *const levels[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

static enum err
read_level(struct json_page *p, struct lines_wanted *w)
{
    const char *text = http_argument(p->request, "level");
    if (text == NULL || text[0] == '\0') return OK;
    while (w->level < LOG_LEVEL_COUNT && strcmp(text, levels[w->level]) != 0) {
        w->level++;
    }
    if (w->level < LOG_LEVEL_COUNT) return OK;
    return why_set(&p->why, ERR_INPUT, "level must be debug, info, warn or error");
}

static enum err
read_arguments_of_log(struct json_page *p, struct lines_wanted *w)
{
    const char *since = http_argument(p->request, "since");
    enum err e = read_level(p, w);
    if (e == OK) e = page_number(p, "limit", &w->count);
    if (e == OK && (w->count < 1 || w->count > LINES_MAX))
        e = why_set(&p->why, ERR_INPUT, "limit must be between 1 and %d", LINES_MAX);
    if (e || since == NULL || since[0] == '\0' ||
        time_parse_api(bytes_of_text(since), &w->since_ms))
        return e;
    return why_set(&p->why, ERR_INPUT, "since must be a time: RFC 3339 or Unix seconds");
}

static bool
next_wanted(const struct lines_wanted *w, struct bytes *from, struct log_kept_line *ret)
{
    while (log_kept_next(from, ret)) {
        if (ret->level >= w->level && ret->t_ms >= w->since_ms) return true;
    }
    return false;
}

static void
put_line(struct json *j, const struct log_kept_line *line)
{
    char time[TIME_TEXT_BYTES];
    json_object_open(j);
    json_member_uint(j, "number", line->number);
    json_member_text(j, "time", time_print(line->t_ms, time));
    json_member_text(j, "level", levels[line->level]);
    json_member_bytes(j, "line", line->text);
    json_object_close(j);
}

enum err
log_page(struct json_page *p)
{
    struct lines_wanted w = {.since_ms = INT64_MIN, .count = LINES_DEFAULT};
    struct log_kept_line line;
    struct buf copy;
    uint64_t found = 0, most;
    enum err e = read_arguments_of_log(p, &w);
    if (e) return e;
    buf_init(&copy, &p->api->page_budget, LOG_KEPT_BYTES_MAX);
    e = why_set(&p->why, log_kept_copy(&copy), "not enough memory for the log");
    for (struct bytes at = buf_bytes(&copy); next_wanted(&w, &at, &line);) {
        found++;
    }
    most = (uint64_t)w.count;
    json_object_open(p->j);
    json_member_uint(p->j, "leftOff", found > most ? found - most : 0);
    json_member_array(p->j, "lines");
    for (struct bytes at = buf_bytes(&copy); next_wanted(&w, &at, &line); found--) {
        if (found <= most) put_line(p->j, &line);
    }
    json_array_close(p->j);
    json_object_close(p->j);
    buf_fini(&copy);
    return e;
}
