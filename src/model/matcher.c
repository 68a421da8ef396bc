/*
 * matcher.c - see matcher.h. RE2 takes 100 ns and more for a value; most patterns of dashboards are
 * lists of names, a prefix, or "all". So each matcher becomes one of these, and what RE2 would say
 * of valid UTF-8 is always the same:
 *
 *     RUN_SET     one of some texts: a comparison, or a look-up in a table of hashes (pattern.c),
 *                 also where dots in them were not escaped, or case does not matter
 *     RUN_HEADS   begins with one of a few texts; ".*" and ".+" are that with the empty text
 *     RUN_INNER   contains a text, or ends in it
 *     RUN_RE2     all else, after a look at the prefix that is known
 *
 * RE2 is asked only in the last case: it takes milliseconds to compile a thousand names. So
 * pattern.c must not understand what RE2 would refuse; the tests compare the two.
 */
#include "model/matcher.h"

#include "base/text/utf8.h"
#include "model/labels.h"
#include "model/regex/pattern.h"
#include "model/regex/regex.h"

enum { HEADS_MAX = 16 /* more are left to RE2 */ };

enum matcher_run { RUN_SET, RUN_HEADS, RUN_INNER, RUN_RE2 };

struct matcher {
    enum matcher_type type;
    enum matcher_run run;
    bool negative; /* matches what the positive form does not */
    bool matches_empty;
    struct bytes name;
    struct bytes pattern;
    struct bytes prefix;

    struct literals set; /* RUN_SET */
    struct bytes *heads; /* RUN_HEADS */
    uint32_t head_count;
    enum pattern_tail tail; /* RUN_HEADS: TAIL_ANY or TAIL_SOME */
    struct bytes inner;     /* RUN_INNER */
    enum pattern_tail before, after;

    struct regex regex; /* RUN_RE2 */
    struct budget *budget;
    struct arena arena; /* all the memory above */
};

/* --- matching --------------------------------------------------------------------------------- */

static bool
begins_with(struct bytes value, struct bytes head)
{
    return value.size >= head.size && (head.size == 0 || memcmp(value.at, head.at, head.size) == 0);
}

static bool
positive_matches(const struct matcher *m, struct bytes value)
{
    size_t before = m->before == TAIL_SOME, after = m->after == TAIL_SOME, size = m->inner.size;
    switch (m->run) {
    case RUN_SET:
        return literals_have(&m->set, value);
    case RUN_HEADS:
        for (uint32_t i = 0; i < m->head_count; i++) {
            size_t least = m->heads[i].size + (m->tail == TAIL_SOME);
            if (value.size >= least && begins_with(value, m->heads[i])) return true;
        }
        return false;
    case RUN_INNER:
        if (value.size < before + size + after) return false;
        if (m->after == TAIL_NONE)
            return memcmp(value.at + value.size - size, m->inner.at, size) == 0;
        return memmem(value.at + before, value.size - before - after, m->inner.at, size) != NULL;
    case RUN_RE2:
        break;
    }
    if (!begins_with(value, m->prefix)) return false;
    return re2_program_matches(m->regex.program, value.at, value.size);
}

bool
matcher_matches(const struct matcher *matcher, struct bytes value)
{
    return positive_matches(matcher, value) != matcher->negative;
}

uint64_t
matcher_work(const struct matcher *matcher, struct bytes value)
{
    enum { COMPARE_NS = 64 };
    if (matcher->run == RUN_RE2) return regex_work(&matcher->regex, value.size);
    return matcher->run == RUN_SET ? literals_work(&matcher->set) : COMPARE_NS;
}

/* --- making ----------------------------------------------------------------------------------- */

/* Returns the common prefix of all (sorted) heads, in whole characters. */
static struct bytes
matcher_common_prefix(const struct bytes *heads, uint32_t count)
{
    if (count == 0) return (struct bytes){NULL, 0};
    struct bytes first = heads[0], last = heads[count - 1];
    size_t n = 0;
    while (n < first.size && n < last.size && first.at[n] == last.at[n] &&
           first.at[n] != PATTERN_WILD)
        n++;
    while (n > 0 && n < last.size && utf8_is_tail(last.at[n]))
        n--;
    return bytes_of(first.at, n);
}

/* Decides how a regex is run; RUN_RE2 if nothing better is known. */
static enum err
choose_run(struct matcher *m, const struct pattern *p)
{
    m->run = RUN_RE2;
    if (p->inner.size > 0) {
        m->run = RUN_INNER;
        m->before = p->before;
        m->after = p->after;
        m->inner = arena_copy(&m->arena, p->inner);
        return m->inner.at == NULL ? ERR_NOMEM : OK;
    }
    struct bytes prefix = {NULL, 0};
    if (!p->folds) prefix = matcher_common_prefix(p->heads, p->head_count);
    m->prefix = arena_copy(&m->arena, prefix);
    if (m->prefix.at == NULL) return ERR_NOMEM;
    enum err e = literals_init(&m->set, p, &m->arena);
    if (e == OK && m->set.count > 0) m->run = RUN_SET;
    bool begins = p->tail == TAIL_ANY || p->tail == TAIL_SOME;
    if (e || !begins || p->head_count > HEADS_MAX) return e;
    m->run = RUN_HEADS;
    m->tail = p->tail;
    m->heads = arena_alloc(&m->arena, p->head_count * sizeof *m->heads);
    if (m->heads == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < p->head_count; i++) {
        m->heads[i] = arena_copy(&m->arena, p->heads[i]);
        if (m->heads[i].at == NULL) return ERR_NOMEM;
    }
    m->head_count = p->head_count;
    return OK;
}

static enum err
compile_program(struct matcher *m, struct why *why)
{
    if (pattern_has_byte_escape(m->pattern))
        return why_set(why, ERR_INPUT, "invalid regex: \\C is not supported");
    char text[REGEX_WHY_BYTES] = "";
    enum err e = regex_init(&m->regex, m->pattern, RE2_NO_CAPTURES, m->budget, text);
    if (e == ERR_INPUT) return why_set(why, e, "invalid regex: %s", text);
    if (e == ERR_LIMIT) return why_set(why, e, "regex is too large: %s", text);
    return e;
}

static enum err
make_regex(struct matcher *m, struct why *why)
{
    struct arena arena;
    arena_init(&arena, m->budget, 0, 1024);
    struct pattern pattern;
    enum err e = pattern_read(m->pattern, &arena, &pattern);
    if (e) goto out;
    e = choose_run(m, &pattern);
    if (e) goto out;
    if (m->run == RUN_RE2) e = compile_program(m, why);
out:
    arena_fini(&arena);
    return e;
}

enum err
matcher_new(enum matcher_type type, struct bytes name, struct bytes pattern, struct budget *budget,
            struct matcher **ret_matcher, struct why *why)
{
    if ((unsigned)type > MATCH_NOT_REGEX)
        return why_set(why, ERR_INPUT, "unknown matcher type %d", (int)type);
    if (pattern.size > MATCHER_PATTERN_BYTES_MAX) {
        return why_set(why, ERR_LIMIT, "matcher value has %zu bytes: at most %d are allowed",
                       pattern.size, MATCHER_PATTERN_BYTES_MAX);
    }
    if (!utf8_valid(name))
        return why_set(why, ERR_INPUT, "label name of a matcher is not valid UTF-8");
    if (!utf8_valid(pattern)) return why_set(why, ERR_INPUT, "matcher value is not valid UTF-8");
    struct matcher *m = mem_new(budget, sizeof *m);
    if (m == NULL) return why_set(why, ERR_NOMEM, "not enough memory for a matcher");
    m->budget = budget;
    arena_init(&m->arena, budget, 0, 256);
    m->type = type;
    m->negative = type == MATCH_NOT_EQUAL || type == MATCH_NOT_REGEX;
    m->name = arena_copy(&m->arena, name);
    m->pattern = arena_copy(&m->arena, pattern);
    enum err e = m->name.at == NULL || m->pattern.at == NULL ? ERR_NOMEM : OK;
    if (e == OK && (type == MATCH_REGEX || type == MATCH_NOT_REGEX)) {
        e = make_regex(m, why);
    } else if (e == OK) {
        m->run = RUN_SET;
        m->prefix = m->pattern;
        struct pattern p = {.tail = TAIL_NONE, .heads = &m->pattern, .head_count = 1};
        e = literals_init(&m->set, &p, &m->arena);
    }
    if (e == ERR_NOMEM) why_set(why, e, "not enough memory for a matcher");
    if (e) goto out;
    m->matches_empty = matcher_matches(m, (struct bytes){(const uint8_t *)"", 0});

    *ret_matcher = m;
    m = NULL;
out:
    matcher_free(m);
    return e;
}

void
matcher_free(struct matcher *matcher)
{
    if (matcher == NULL) return;
    regex_fini(&matcher->regex);
    arena_fini(&matcher->arena);
    mem_free(matcher->budget, matcher, sizeof *matcher);
}

/* --- properties of a matcher ------------------------------------------------------------------ */

enum matcher_type
matcher_type(const struct matcher *matcher)
{
    return matcher->type;
}

struct bytes
matcher_name(const struct matcher *matcher)
{
    return matcher->name;
}

struct bytes
matcher_pattern(const struct matcher *matcher)
{
    return matcher->pattern;
}

bool
matcher_matches_empty(const struct matcher *matcher)
{
    return matcher->matches_empty;
}

uint32_t
matcher_literals(const struct matcher *matcher, const struct bytes **ret_values)
{
    bool known = matcher->run == RUN_SET && !matcher->set.folds && matcher->set.shape_count == 0;
    *ret_values = known ? matcher->set.items : NULL;
    return known ? matcher->set.count : 0;
}

struct bytes
matcher_prefix(const struct matcher *matcher)
{
    return matcher->prefix;
}
