/* queries.c - see queries.h. */
#include "lib/queries.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/tool.h"

enum { LINE_BYTES = 4096, SCRAPE_S = 15, RATE_S_MIN = 4 * SCRAPE_S };

struct reading {
    const char *path;
    unsigned line;
};

static void
wrong(const struct reading *r, const char *what)
{
    die("%s:%u: %s", r->path, r->line, what);
}

static int64_t
read_duration(const struct reading *r, const char **text)
{
    static const struct {
        char unit;
        int64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    int64_t number = strtoll(*text, &end, 10);
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        if (*end != units[i].unit || number <= 0) continue;
        *text = end + 1;
        return number * units[i].s;
    }
    wrong(r, "a duration expected, as 15s");
    return 0;
}

/* Reads "24h/1m!" or "now". */
static void
read_times(const struct reading *r, const char *text, struct query *q)
{
    if (strncmp(text, "now", 3) == 0) {
        text += 3;
    } else {
        q->range_s = read_duration(r, &text);
        if (*text++ != '/') wrong(r, "RANGE/STEP expected");
        q->step_s = read_duration(r, &text);
    }
    q->heavy = *text == '!';
    if (text[q->heavy] != '\0') wrong(r, "RANGE/STEP or now expected");
}

/* Reads the line with a name and sets. Returns false if the set does not have it. */
static bool
read_head(const struct reading *r, char *line, const char *set, struct query *q)
{
    char *save, *word = strtok_r(line, " \t\n", &save);
    bool asked = false;
    *q = (struct query){.name = must(strdup(word))};
    while ((word = strtok_r(NULL, " \t\n", &save)) != NULL) {
        char *times = strchr(word, '=');
        if (times == NULL) wrong(r, "SET=TIMES expected");
        *times++ = '\0';
        if (strcmp(word, set) != 0) continue;
        read_times(r, times, q);
        asked = true;
    }
    return asked;
}

/* Replaces Grafana's variables with their values at this step. */
static const char *
read_text(const char *line, const struct query *q)
{
    int64_t rate_s = q->step_s + SCRAPE_S > RATE_S_MIN ? q->step_s + SCRAPE_S : RATE_S_MIN;
    struct buf to;
    buf_init(&to, NULL, 1 << 20);
    while (isspace((unsigned char)*line))
        line++;
    for (; *line != '\0' && *line != '\n'; line++)
        if (strncmp(line, "$r]", 3) == 0)
            buf_printf(&to, "%" PRId64 "s", rate_s), line++;
        else if (strncmp(line, "$i]", 3) == 0)
            buf_printf(&to, "%" PRId64 "s", q->step_s), line++;
        else
            buf_put_u8(&to, (uint8_t)*line);
    buf_put_u8(&to, '\0');
    if (buf_error(&to)) die("no memory");
    return (const char *)to.at;
}

struct queries
queries_read(const char *path, const char *set)
{
    struct reading r = {.path = path};
    struct queries all = {NULL, 0};
    struct query query = {0};
    bool asked = false;
    char line[LINE_BYTES];
    FILE *file = fopen(path, "re");
    if (file == NULL) die("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof line, file) != NULL) {
        r.line++;
        if (strlen(line) == sizeof line - 1) wrong(&r, "too long");
        if (line[0] == '#' || line[0] == '\n') continue;
        if (!isspace((unsigned char)line[0])) {
            asked = read_head(&r, line, set, &query);
        } else if (asked) {
            query.text = read_text(line, &query);
            all.at = must(reallocarray(all.at, all.count + 1, sizeof *all.at));
            all.at[all.count++] = query;
            asked = false;
        }
    }
    fclose(file);
    if (all.count == 0) die("%s: nothing is asked of \"%s\"", path, set);
    return all;
}

const char *
query_path(const struct query *q)
{
    return q->step_s > 0 ? "/api/v1/query_range" : "/api/v1/query";
}

static void
put_escaped(struct buf *to, const char *text)
{
    for (; *text != '\0'; text++)
        if (isalnum((unsigned char)*text))
            buf_put_u8(to, (uint8_t)*text);
        else
            buf_printf(to, "%%%02X", (unsigned char)*text);
}

void
query_put_form(const struct query *q, int64_t end_s, bool nocache, struct buf *to)
{
    buf_put_text(to, "query=");
    put_escaped(to, q->text);
    if (q->step_s > 0) {
        end_s -= end_s % q->step_s;
        buf_printf(to, "&start=%" PRId64 "&end=%" PRId64 "&step=%" PRId64, end_s - q->range_s,
                   end_s, q->step_s);
    } else {
        buf_printf(to, "&time=%" PRId64, end_s);
    }
    if (nocache) buf_put_text(to, "&nocache=1");
}
