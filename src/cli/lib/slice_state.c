/* slice_state.c - see slice_state.h. */
#include "cli/lib/slice_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lib/import_resume.h"
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
    for (uint32_t i = 0; i < s->count; i++) {
        count += strchr(states, s->slices[i]) != NULL;
    }
    return count;
}

/* --- loading ---------------------------------------------------------------------------------- */

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
        s->max_ms > SLICE_TIME_MS_MAX) {
        return false;
    }
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

/* --- saving ----------------------------------------------------------------------------------- */

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
