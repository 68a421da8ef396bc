/* searcher.c - see searcher.h. */
#include "model/regex/searcher.h"

#include "base/text/utf8.h"
#include "model/regex/expansion.h"
#include "model/regex/pattern.h"
#include "model/regex/regex.h"

struct searcher {
    struct budget *budget;
    struct regex regex;
};

enum err
searcher_new(struct bytes regex, struct budget *budget, struct searcher **ret_searcher,
             struct why *why)
{
    char sentence[REGEX_WHY_BYTES] = "";
    struct searcher *s = mem_new(budget, sizeof *s);
    if (s == NULL) return ERR_NOMEM;
    s->budget = budget;
    enum err e = ERR_INPUT;
    if (!utf8_valid(regex)) {
        size_t good = 0;
        for (size_t step; (step = utf8_step(regex.at + good, regex.size - good)) > 0;) {
            good += step;
        }
        why_set(why, e, "error parsing regexp: invalid UTF-8: `%.*s`", (int)(regex.size - good),
                (const char *)regex.at + good);
    } else if (pattern_has_byte_escape(regex)) {
        why_set(why, e, "error parsing regexp: invalid escape sequence: `\\C`");
    } else {
        e = regex_init(&s->regex, regex, RE2_SEARCH, budget, sentence);
    }
    if (e == ERR_LIMIT) {
        e = why_set(why, ERR_INPUT, "error parsing regexp: expression too large");
    } else if (e == ERR_INPUT && sentence[0] != '\0') {
        struct buf words;
        buf_init(&words, budget, sizeof why->text);
        regex_put_go_words(sentence, &words);
        if (buf_error(&words) == ERR_NOMEM) e = ERR_NOMEM;
        why_set(why, e, "%.*s", (int)words.size, words.at == NULL ? "" : (const char *)words.at);
        buf_fini(&words);
    }
    if (e) {
        searcher_free(s);
        return e;
    }
    *ret_searcher = s;
    return OK;
}

void
searcher_free(struct searcher *s)
{
    if (s == NULL) return;
    regex_fini(&s->regex);
    mem_free(s->budget, s, sizeof *s);
}

uint64_t
searcher_work(const struct searcher *s, size_t size_bytes)
{
    return regex_work(&s->regex, size_bytes);
}

bool
searcher_finds(const struct searcher *s, struct bytes text)
{
    struct re2_capture captures[RE2_CAPTURES_MAX];
    return re2_program_find(s->regex.program, text.at, text.size, 0, captures);
}

static void
put_replacement(const struct expansion *e, const struct re2_capture *captures, uint32_t count,
                struct buf *to)
{
    for (uint32_t i = 0; i < e->count; i++) {
        const struct expansion_piece *p = &e->pieces[i];
        if (!p->is_group)
            buf_put_bytes(to, p->text);
        else if (p->group < count && captures[p->group].size > 0)
            buf_put(to, captures[p->group].at, captures[p->group].size);
    }
}

static bool
may_search(const struct searcher *s, size_t size_bytes, uint64_t *work_left)
{
    uint64_t work = searcher_work(s, size_bytes);
    bool may = work <= *work_left;
    *work_left = may ? *work_left - work : 0;
    return may;
}

/* An empty match right after another does not count; after an empty one the next character is
 * skipped. */
static enum err
replace_all(const struct searcher *s, struct bytes text, const struct expansion *e,
            uint64_t *work_left, struct buf *to)
{
    struct re2_capture captures[RE2_CAPTURES_MAX];
    uint32_t groups = re2_program_groups(s->regex.program) + 1;
    size_t copied = 0, from = 0;
    while (from <= text.size && buf_error(to) == OK) {
        if (!may_search(s, text.size - from, work_left)) return ERR_LIMIT;
        if (!re2_program_find(s->regex.program, text.at, text.size, from, captures)) break;
        size_t begin = text.size == 0 ? 0 : (size_t)(captures[0].at - text.at);
        size_t end = begin + captures[0].size;
        buf_put(to, text.at + copied, begin - copied);
        if (end > copied || begin == 0) put_replacement(e, captures, groups, to);
        copied = end;
        size_t step = from < text.size ? utf8_step(text.at + from, text.size - from) : 1;
        if (step == 0) step = 1;
        from = from + step > end ? from + step : end;
    }
    if (copied < text.size) buf_put(to, text.at + copied, text.size - copied);
    return buf_error(to);
}

enum err
searcher_replace(const struct searcher *s, struct bytes text, struct bytes replacement,
                 uint64_t *work_left, struct buf *to)
{
    struct arena arena;
    struct expansion e;
    arena_init(&arena, s->budget, 0, 0);
    enum err failed = expansion_new(&arena, replacement, s->regex.program,
                                    re2_program_groups(s->regex.program), &e);
    if (failed == OK) failed = replace_all(s, text, &e, work_left, to);
    arena_fini(&arena);
    return failed;
}
