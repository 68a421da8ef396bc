/* resume.c - see resume.h for the files. That of an import counts lines, so that people can read
 * and repair it. */
#include "cli/lib/resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash/hash.h"
#include "sys/env.h"

enum { TEXT_BYTES_MAX = SLICES_MAX + 256 * 1024 };

static int64_t
floor_to(int64_t t_ms, int64_t step_ms)
{
    int64_t rest = t_ms % step_ms;
    return t_ms - (rest < 0 ? rest + step_ms : rest);
}

static int64_t
first_begin(const struct slice_state *s)
{
    return floor_to(s->min_ms, s->slice_ms);
}

void
slice_state_times(const struct slice_state *s, uint32_t slice, int64_t *ret_min_ms,
                  int64_t *ret_max_ms)
{
    *ret_min_ms = s->min_ms;
    *ret_max_ms = s->max_ms;
    if (s->slice_ms == 0) return;
    int64_t begin = first_begin(s) + slice * s->slice_ms, end = begin + s->slice_ms - 1;
    if (begin > s->min_ms) *ret_min_ms = begin;
    if (end < s->max_ms) *ret_max_ms = end;
}

uint32_t
slice_state_in(const struct slice_state *s, const char *states)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++)
        count += strchr(states, s->slices[i]) != NULL;
    return count;
}

/* --- slices: loading -------------------------------------------------------------------------- */

static enum err
make_slices(struct slice_state *s, struct why *why)
{
    int64_t count = s->count;
    if (s->slice_ms > 0)
        count = (floor_to(s->max_ms, s->slice_ms) - first_begin(s)) / s->slice_ms + 1;
    if (count > SLICES_MAX) {
        return why_set(why, ERR_INPUT,
                       "%" PRId64 " slices are too many (at most %d): use a longer --slice", count,
                       SLICES_MAX);
    }
    s->slices = mem_alloc(NULL, (size_t)count + 1);
    if (s->slices == NULL) return why_set(why, ERR_NOMEM, "not enough memory");
    s->count = (uint32_t)count;
    memset(s->slices, '.', s->count);
    s->slices[count] = '\0';
    return OK;
}

/* Parses the part after the question. */
static bool
state_parse(struct slice_state *s, char *text)
{
    int at = 0;
    if (sscanf(text,
               "range %" SCNd64 " %" SCNd64 "\ncounts %" SCNu64 " %" SCNu64 " %" SCNu64
               "\nslices %n",
               &s->min_ms, &s->max_ms, &s->counts[0], &s->counts[1], &s->counts[2], &at) < 5 ||
        at == 0 || s->min_ms > s->max_ms || s->min_ms < -SLICE_TIME_MS_MAX ||
        s->max_ms > SLICE_TIME_MS_MAX)
        return false;
    struct why unwanted;
    size_t size = strspn(text + at, ".cvdCx");
    if (make_slices(s, &unwanted) != OK || size != s->count) return false;
    memcpy(s->slices, text + at, size);
    return strcmp(text + at + size, "\n") == 0;
}

enum err
slice_state_load(struct slice_state *s, struct why *why)
{
    struct buf text;
    if (s->path == NULL) return make_slices(s, why);
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    enum err e = resume_text_read(s->path, &text, why);
    if (e == OK) {
        bool same =
            text.size > s->question.size && memcmp(text.at, s->question.at, s->question.size) == 0;
        if (!same || !state_parse(s, (char *)text.at + s->question.size)) {
            e = why_set(why, ERR_INPUT,
                        "%s belongs to a run with other arguments: repeat those, or choose another "
                        "file or work directory",
                        s->path);
        }
    }
    buf_fini(&text);
    return e == ERR_MISSING ? make_slices(s, why) : e;
}

void
slice_state_fini(struct slice_state *s)
{
    if (s->slices != NULL) mem_free(NULL, s->slices, (size_t)s->count + 1);
    s->slices = NULL;
}

/* --- slices: saving --------------------------------------------------------------------------- */

enum err
slice_state_save(struct slice_state *s, bool now, struct why *why)
{
    struct buf text;
    int64_t now_ns = env_monotonic_ns(env_real());
    if (s->path == NULL || (!now && now_ns - s->saved_ns < NS_PER_S)) return OK;
    buf_init(&text, NULL, TEXT_BYTES_MAX);
    buf_put_bytes(&text, s->question);
    buf_printf(&text,
               "range %" PRId64 " %" PRId64 "\ncounts %" PRIu64 " %" PRIu64 " %" PRIu64 "\nslices ",
               s->min_ms, s->max_ms, s->counts[0], s->counts[1], s->counts[2]);
    buf_put(&text, s->slices, s->count);
    buf_put_u8(&text, '\n');
    enum err e = buf_error(&text);
    if (e) why_set(why, e, "not enough memory");
    if (e == OK) e = resume_text_write(s->path, buf_bytes(&text), why);
    buf_fini(&text);
    s->saved_ns = now_ns;
    return e;
}

/* --- files of an import ----------------------------------------------------------------------- */

enum { BEGIN_BYTES = 64 * 1024 };

static const char head[] = "firekeep import 2";

enum err
resume_lock(const char *path, struct why *why)
{
    char beside[FILE_PATH_BYTES];
    struct file lock; /* never closed, because that would release it */
    if (path == NULL) return OK;
    int n = snprintf(beside, sizeof beside, "%s.lock", path);
    if ((size_t)n >= sizeof beside) return why_set(why, ERR_INPUT, "%s: path is too long", path);
    enum err e = file_open(env_real(), beside, FILE_REPLACE, &lock, why);
    if (e) return e;
    e = file_lock(&lock, why);
    return e == ERR_AGAIN ? why_set(why, e, "%s is in use by another run", path) : e;
}

enum err
resume_text_read(const char *path, struct buf *to, struct why *why)
{
    struct file file;
    uint64_t size;
    enum err e = file_open(env_real(), path, FILE_READ, &file, why);
    if (e) return e;
    e = file_size(&file, &size, why);
    if (e == OK && size >= to->limit)
        e = why_set(why, ERR_INPUT, "%s: the progress file is too large", path);
    if (e == OK && !buf_reserve(to, (size_t)size + 1))
        e = why_set(why, ERR_NOMEM, "not enough memory");
    if (e == OK) e = file_read_at(&file, to->at, (size_t)size, 0, why);
    if (e == OK) to->at[size] = '\0';
    if (e == OK) to->size = (size_t)size;
    err_ignore(file_close(&file), "only read");
    return e;
}

/* Returns the next line, with a NUL in place of its line feed; NULL: the end. */
static char *
resume_next_line(char **at)
{
    char *line = *at, *feed = strchr(line, '\n');
    if (feed == NULL) return NULL;
    *feed = '\0';
    *at = feed + 1;
    return line;
}

/* Returns a file's size and the hash of its first bytes, at most `limit`; zeros for pipes and
 * other non-files. */
static void
identify(const char *path, uint64_t limit, uint64_t *ret_bytes, uint64_t *ret_begin)
{
    uint8_t begin[BEGIN_BYTES];
    struct file file;
    size_t got = 0;
    *ret_bytes = *ret_begin = 0;
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) return; /* opening a pipe would disturb it */
    if (file_open(env_real(), path, FILE_READ, &file, NULL) != OK) return;
    enum err e = file_size(&file, ret_bytes, NULL);
    size_t wanted = limit < sizeof begin ? (size_t)limit : sizeof begin;
    if (e == OK) e = file_read_some(&file, begin, wanted, 0, &got, NULL);
    if (e == OK) *ret_begin = hash_bytes(bytes_of(begin, got), 0);
    file_close(&file);
}

static enum err
take_file(struct resume *r, char *line, struct why *why)
{
    struct resume_file found;
    char word[8];
    int n = 0;
    int fields = sscanf(line, "file %" SCNu64 " %" SCNu64 " %7s %" SCNu64 " %" SCNx64 " %n",
                        &found.lines, &found.bad, word, &found.bytes, &found.begin, &n);
    if (fields != 5 || n == 0)
        return why_set(why, ERR_INPUT, "%s: invalid line: %.60s", r->path, line);
    for (uint32_t i = 0; i < r->file_count; i++) {
        struct resume_file *f = &r->files[i];
        if (strcmp(f->path, line + n) != 0) continue;
        uint64_t bytes = 0, begin = 0;
        if (found.bytes > 0)
            identify(f->path, found.bytes, &bytes, &begin); /* 0: not a regular file */
        if (bytes < found.bytes ||
            (found.bytes > 0 && begin != found.begin)) { /* longer is valid: it may have grown */
            return why_set(why, ERR_INPUT, "%s is no longer the file recorded in %s", f->path,
                           r->path);
        }
        f->lines = found.lines;
        f->bad = found.bad;
        f->done = strcmp(word, "done") == 0 && f->bytes == found.bytes;
    }
    return OK;
}

static enum err
resume_parse(struct resume *r, char *text, struct why *why)
{
    char *at = text;
    char *first = resume_next_line(&at), *to = resume_next_line(&at),
         *tenant = resume_next_line(&at);
    if (first == NULL || to == NULL || tenant == NULL || strcmp(first, head) != 0 ||
        strncmp(to, "to ", 3) != 0 || strncmp(tenant, "tenant ", 7) != 0)
        return why_set(why, ERR_INPUT, "%s is not a progress file of an import", r->path);
    if (strcmp(to + 3, r->target) != 0 || strcmp(tenant + 7, r->tenant) != 0) {
        return why_set(why, ERR_INPUT, "%s belongs to an import to %s%s%s", r->path, to + 3,
                       tenant[7] == '\0' ? "" : " for tenant ", tenant + 7);
    }
    for (char *line; (line = resume_next_line(&at)) != NULL;) {
        enum err e = take_file(r, line, why);
        if (e) return e;
    }
    return OK;
}

enum err
resume_load(struct resume *r, struct why *why)
{
    struct buf text;
    if (r->path == NULL) return OK;
    for (uint32_t i = 0; i < r->file_count; i++) {
        if (strchr(r->files[i].path, '\n') != NULL)
            return why_set(why, ERR_INPUT, "--resume does not support file names with a line feed");
        identify(r->files[i].path, BEGIN_BYTES, &r->files[i].bytes, &r->files[i].begin);
    }
    buf_init(&text, NULL, RESUME_BYTES_MAX + 1);
    enum err e = resume_text_read(r->path, &text, why);
    if (e == OK) e = resume_parse(r, (char *)text.at, why);
    buf_fini(&text);
    return e == ERR_MISSING ? OK : e;
}

/* --- files: saving ---------------------------------------------------------------------------- */

enum err
resume_text_write(const char *path, struct bytes text, struct why *why)
{
    char dir[256];
    const char *slash = strrchr(path, '/');
    int size = slash == NULL ? 0 : (int)(slash - path);
    if (slash == NULL)
        snprintf(dir, sizeof dir, ".");
    else
        snprintf(dir, sizeof dir, "%.*s", size == 0 ? 1 : size, path);
    if (strlen(path) >= sizeof dir) return why_set(why, ERR_INPUT, "%s: path is too long", path);
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
        buf_printf(&text, "file %" PRIu64 " %" PRIu64 " %s %" PRIu64 " %016" PRIx64 " %s\n",
                   f->lines, f->bad, f->done ? "done" : "part", f->bytes, f->begin, f->path);
    }
    enum err e = buf_error(&text);
    if (e) why_set(why, e, "not enough memory");
    if (e == OK) e = resume_text_write(r->path, buf_bytes(&text), why);
    buf_fini(&text);
    r->saved_ns = at;
    return e;
}
