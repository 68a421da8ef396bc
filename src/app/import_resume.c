#include "app/import_resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sys/env.h"

static const char head[] = "firekeep import 1";

/* --- loading ---------------------------------------------------------------------------------- */

static enum err
read_whole(const char *path, struct buf *to, struct why *why)
{
    struct file file;
    uint64_t size;
    enum err e = file_open(env_real(), path, FILE_READ, &file, why);
    if (e) return e;
    e = file_size(&file, &size, why);
    if (e == OK && size > RESUME_BYTES_MAX) e = why_set(why, ERR_INPUT, "%s is too large", path);
    if (e == OK && !buf_reserve(to, (size_t)size + 1)) e = why_set(why, ERR_NOMEM, "no memory");
    if (e == OK) e = file_read_at(&file, to->at, (size_t)size, 0, why);
    if (e == OK) to->size = (size_t)size;
    err_ignore(file_close(&file), "only read");
    return e;
}

/* The next line, ended by NUL in place of its line feed; NULL: no more. */
static char *
next_line(char **at)
{
    char *line = *at, *feed = strchr(line, '\n');
    if (feed == NULL) return NULL;
    *feed = '\0';
    *at = feed + 1;
    return line;
}

static bool
take_file(struct resume *r, char *line)
{
    struct resume_file found;
    char word[8];
    int n = 0;
    if (sscanf(line, "file %" SCNu64 " %" SCNu64 " %7s %n", &found.lines, &found.bad, word, &n) !=
            3 ||
        n == 0) {
        return false;
    }
    for (uint32_t i = 0; i < r->file_count; i++) {
        struct resume_file *f = &r->files[i];
        if (strcmp(f->path, line + n) != 0) continue;
        f->lines = found.lines;
        f->bad = found.bad;
        f->done = strcmp(word, "done") == 0;
    }
    return true;
}

static enum err
parse(struct resume *r, char *text, struct why *why)
{
    char *at = text;
    char *first = next_line(&at), *to = next_line(&at), *tenant = next_line(&at);
    if (first == NULL || to == NULL || tenant == NULL || strcmp(first, head) != 0 ||
        strncmp(to, "to ", 3) != 0 || strncmp(tenant, "tenant ", 7) != 0) {
        return why_set(why, ERR_INPUT, "%s does not say how far an import came", r->path);
    }
    if (strcmp(to + 3, r->target) != 0 || strcmp(tenant + 7, r->tenant) != 0) {
        return why_set(why, ERR_INPUT, "%s is of an import to %s%s%s", r->path, to + 3,
                       tenant[7] == '\0' ? "" : " for tenant ", tenant + 7);
    }
    for (char *line; (line = next_line(&at)) != NULL;) {
        if (!take_file(r, line)) {
            return why_set(why, ERR_INPUT, "%s has a line that says nothing: %.60s", r->path, line);
        }
    }
    return OK;
}

enum err
resume_load(struct resume *r, struct why *why)
{
    struct buf text;
    if (r->path == NULL) return OK;
    for (uint32_t i = 0; i < r->file_count; i++) {
        if (strchr(r->files[i].path, '\n') != NULL) {
            return why_set(why, ERR_INPUT, "a file name with a line feed cannot be resumed");
        }
    }
    buf_init(&text, NULL, RESUME_BYTES_MAX + 1);
    enum err e = read_whole(r->path, &text, why);
    if (e == OK) {
        text.at[text.size] = '\0';
        e = parse(r, (char *)text.at, why);
    }
    buf_fini(&text);
    return e == ERR_MISSING ? OK : e;
}

/* --- saving ----------------------------------------------------------------------------------- */

static enum err
write_whole(const char *path, struct bytes text, struct why *why)
{
    char dir[256];
    const char *slash = strrchr(path, '/');
    int size = slash == NULL ? 0 : (int)(slash - path);
    if (slash == NULL)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", size == 0 ? 1 : size, path);
    if (strlen(path) >= sizeof dir) return why_set(why, ERR_INPUT, "%s: too long a name", path);
    return env_write_whole(env_real(), dir, slash == NULL ? path : slash + 1, text, why);
}

enum err
resume_save(struct resume *r, bool now, struct why *why)
{
    struct buf text;
    int64_t at = env_monotonic_ns(env_real());
    if (r->path == NULL || (!now && at - r->saved_ns < NS_PER_S)) return OK;
    buf_init(&text, NULL, RESUME_BYTES_MAX);
    buf_printf(&text, "%s\nto %s\ntenant %s\n", head, r->target, r->tenant);
    for (uint32_t i = 0; i < r->file_count; i++) {
        const struct resume_file *f = &r->files[i];
        buf_printf(&text, "file %" PRIu64 " %" PRIu64 " %s %s\n", f->lines, f->bad,
                   f->done ? "done" : "part", f->path);
    }
    enum err e = buf_error(&text);
    if (e) why_set(why, e, "no memory");
    if (e == OK) e = write_whole(r->path, buf_bytes(&text), why);
    buf_fini(&text);
    r->saved_ns = at;
    return e;
}
