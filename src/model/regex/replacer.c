/* replacer.c - see replacer.h. */
#include "model/regex/replacer.h"

#include "base/text/utf8.h"
#include "model/regex/pattern.h"
#include "model/regex/regex.h"

/* Returns the group of a name; a group that does not exist matches nothing. */
static uint32_t
group_of(const struct re2_program *program, uint32_t groups, struct bytes name)
{
    uint64_t number = 0;
    bool is_number = name.at[0] != '0' || name.size == 1;
    for (size_t i = 0; i < name.size && is_number; i++) {
        is_number = ascii_is_digit(name.at[i]) && number < 100000000;
        if (is_number) number = number * 10 + (uint64_t)(name.at[i] - '0');
    }
    if (is_number) return number <= groups ? (uint32_t)number : RE2_CAPTURES_MAX;
    uint32_t group = program == NULL ? 0 : re2_program_group(program, name.at, name.size);
    return group == 0 || group > groups ? RE2_CAPTURES_MAX : group;
}

/* Reads "1", "{1}", "name", "{name}" after a dollar sign; false for anything else. */
static bool
read_reference(struct bytes text, struct bytes *ret_name, size_t *ret_used)
{
    size_t begin = text.size > 0 && text.at[0] == '{', end = begin;
    while (end < text.size && ascii_is_word(text.at[end]))
        end++;
    if (end == begin) return false;
    if (begin == 1 && (end == text.size || text.at[end] != '}')) return false;
    *ret_name = bytes_of(text.at + begin, end - begin);
    *ret_used = end + begin;
    return true;
}

enum err
expansion_new(struct arena *arena, struct bytes text, const struct re2_program *program,
              uint32_t groups, struct expansion *ret)
{
    struct expansion_piece *pieces = arena_new(arena, (text.size + 1) * sizeof *pieces);
    if (pieces == NULL) return ERR_NOMEM;
    uint32_t count = 0;
    for (size_t i = 0; i < text.size;) {
        struct bytes name;
        size_t used, begin = i;
        if (text.at[i] != '$') {
            while (i < text.size && text.at[i] != '$')
                i++;
            pieces[count++].text = bytes_of(text.at + begin, i - begin);
        } else if (i + 1 < text.size && text.at[i + 1] == '$') {
            pieces[count++].text = bytes_of(text.at + i, 1);
            i += 2;
        } else if (read_reference(bytes_of(text.at + i + 1, text.size - i - 1), &name, &used)) {
            pieces[count].is_group = true;
            pieces[count++].group = group_of(program, groups, name);
            i += 1 + used;
        } else {
            pieces[count++].text = bytes_of(text.at + i++, 1);
        }
    }
    *ret = (struct expansion){pieces, count};
    return OK;
}

struct bytes
expansion_fill(const struct expansion *t, const struct re2_capture *captures,
               uint32_t capture_count, struct arena *arena, enum err *ret)
{
    size_t size = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct expansion_piece *p = &t->pieces[i];
        if (!p->is_group) size += p->text.size;
        if (p->is_group && p->group < capture_count) size += captures[p->group].size;
    }
    uint8_t *at = arena_alloc(arena, size + 1);
    if (at == NULL) {
        *ret = ERR_NOMEM;
        return bytes_of(NULL, 0);
    }
    uint8_t *end = at;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct expansion_piece *p = &t->pieces[i];
        struct bytes text = p->text;
        if (p->is_group && p->group >= capture_count) continue;
        if (p->is_group) text = bytes_of(captures[p->group].at, captures[p->group].size);
        if (text.size > 0) memcpy(end, text.at, text.size);
        end += text.size;
    }
    return bytes_of(at, size);
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

struct replacer {
    struct budget *budget;
    struct arena arena;
    struct literals set; /* replaces the regex if it is a set of literals */
    struct regex regex;
    uint32_t groups;
    struct expansion replacement;
};

enum err
replacer_new(struct bytes regex, struct bytes replacement, struct budget *budget,
             struct replacer **ret_replacer)
{
    char sentence[REGEX_WHY_BYTES];
    struct replacer *r = mem_new(budget, sizeof *r);
    if (r == NULL) return ERR_NOMEM;
    r->budget = budget;
    arena_init(&r->arena, budget, 0, 0);
    enum err e = literals_read(&r->set, regex, &r->arena, budget);
    r->groups = r->set.groups;
    if (e == OK && r->set.count == 0) {
        e = regex_init(&r->regex, regex, RE2_CAPTURES, budget, sentence);
        if (e == OK) r->groups = re2_program_groups(r->regex.program);
    }
    struct bytes copy = arena_copy(&r->arena, replacement);
    if (e == ERR_LIMIT) e = ERR_INPUT;
    if (e == OK && copy.at == NULL && replacement.size > 0) e = ERR_NOMEM;
    if (e == OK) e = expansion_new(&r->arena, copy, r->regex.program, r->groups, &r->replacement);
    if (e) {
        replacer_free(r);
        return e;
    }
    *ret_replacer = r;
    return OK;
}

void
replacer_free(struct replacer *r)
{
    if (r == NULL) return;
    regex_fini(&r->regex);
    arena_fini(&r->arena);
    mem_free(r->budget, r, sizeof *r);
}

uint64_t
replacer_work(const struct replacer *r, size_t size_bytes)
{
    return r->set.count > 0 ? literals_work(&r->set) : regex_work(&r->regex, size_bytes);
}

bool
replacer_apply(const struct replacer *r, struct bytes text, struct buf *to)
{
    struct re2_capture captures[RE2_CAPTURES_MAX];
    bool matches = r->set.count > 0
                       ? literals_capture(&r->set, text, captures)
                       : re2_program_capture(r->regex.program, text.at, text.size, captures);
    if (!matches) return false;
    put_replacement(&r->replacement, captures, r->groups + 1, to);
    return buf_error(to) == OK;
}

/* --- searches --------------------------------------------------------------------------------- */

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
        for (size_t step; (step = utf8_step(regex.at + good, regex.size - good)) > 0;)
            good += step;
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
        uint64_t work = searcher_work(s, text.size - from);
        bool may = work <= *work_left;
        *work_left = may ? *work_left - work : 0;
        if (!may) return ERR_LIMIT;
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
