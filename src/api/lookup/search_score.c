/*
 * search_score.c - see search_score.h. Sums are made in the order of Prometheus, so that scores are
 * equal to the last bit.
 *
 * A name is compared character by character; each invalid byte of UTF-8 counts as U+FFFD. Only
 * letters of ASCII have another case.
 */
#include "api/lookup/search_score.h"

#include "base/text/quote.h"

enum { TEXT_BYTES_MAX = 1 << 20, RUNES_BYTES_MAX = 4 * TEXT_BYTES_MAX };

void
search_filter_init(struct search_filter *f, struct budget *budget)
{
    *f = (struct search_filter){.algorithm = SEARCH_SUBSEQUENCE};
    arena_init(&f->arena, budget, 0, 0);
    buf_init(&f->text, budget, TEXT_BYTES_MAX);
    buf_init(&f->runes, budget, RUNES_BYTES_MAX);
    buf_init(&f->marks, budget, TEXT_BYTES_MAX);
}

void
search_filter_fini(struct search_filter *f)
{
    arena_fini(&f->arena);
    buf_fini(&f->text);
    buf_fini(&f->runes);
    buf_fini(&f->marks);
}

static enum err
put_lower(struct buf *to, struct bytes text)
{
    buf_clear(to);
    if (!buf_reserve(to, text.size)) return buf_error(to);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        to->at[to->size++] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
    }
    return OK;
}

static enum err
put_runes(struct buf *to, struct bytes text)
{
    buf_clear(to);
    for (size_t i = 0; i < text.size;) {
        unsigned bytes;
        uint32_t rune = (uint32_t)rune_get(text.at + i, text.size - i, &bytes);
        buf_put(to, &rune, sizeof rune);
        i += bytes;
    }
    return buf_error(to);
}

enum err
search_filter_add(struct search_filter *f, struct bytes text)
{
    struct search_term *terms = arena_push(&f->arena, f->terms, f->term_count, sizeof *terms);
    if (terms == NULL) return ERR_NOMEM;
    f->terms = terms;
    enum err e = f->any_case ? put_lower(&f->text, text) : OK;
    if (e) return e;
    struct bytes lower = f->any_case ? buf_bytes(&f->text) : text;
    e = put_runes(&f->runes, lower);
    if (e) return e;
    struct search_term term = {arena_copy(&f->arena, lower),
                               arena_copy(&f->arena, buf_bytes(&f->runes))};
    if (term.text.at == NULL || term.runes.at == NULL) return ERR_NOMEM;
    terms[f->term_count++] = term;
    return OK;
}

/* --- measures --------------------------------------------------------------------------------- */

struct runes {
    const uint32_t *at;
    size_t count;
};

static struct runes
runes_of(struct bytes b)
{
    return (struct runes){(const uint32_t *)(const void *)b.at, b.size / sizeof(uint32_t)};
}

/* Counts comparisons, and checks the control now and then. ERR_CANCELED. */
static enum err
count_compared(struct search_filter *f, size_t count, struct why *why)
{
    enum { LOOK_EACH = 1 << 20 };
    f->compared += count;
    if (f->compared < LOOK_EACH) return OK;
    f->compared = 0;
    return query_control_check(f->control, why);
}

/* Finds the pattern's characters in the text, each as early as possible from `start` on, where the
 * first is. False: one is missing. */
static bool
subsequence_from(struct runes pattern, struct runes text, size_t start, double *ret_score)
{
    double score = 0, per_character = 1.0 / (double)text.count;
    size_t matched = 0, at = start, before = 0; /* the end of the last run */
    while (matched < pattern.count) {
        while (at < text.count && text.at[at] != pattern.at[matched]) {
            at++;
        }
        if (at == text.count) return false;
        size_t from = at;
        while (matched < pattern.count && at < text.count && text.at[at] == pattern.at[matched]) {
            at++;
            matched++;
        }
        if (from > before) score -= (double)(from - before) * per_character;
        score += (double)((at - from) * (at - from));
        before = at;
    }
    size_t trailing = text.count - before;
    if (trailing > 0) score -= (double)trailing * per_character * 0.5;
    *ret_score = score;
    return true;
}

static enum err
subsequence_score(struct search_filter *f, struct runes pattern, struct runes text,
                  double *ret_score, struct why *why)
{
    double best = -1, score;
    enum err e = count_compared(f, text.count, why);
    for (size_t i = 0; e == OK && i + pattern.count <= text.count; i++) {
        if (text.at[i] != pattern.at[0]) continue;
        e = count_compared(f, text.count - i, why);
        /* A later start cannot succeed where this one fails. */
        if (!subsequence_from(pattern, text, i, &score)) break;
        if (score > best) best = score;
    }
    *ret_score = best < 0 ? 0 : best / (double)(pattern.count * pattern.count);
    return e;
}

/* Counts characters of `a` that `b` has at about the same place, and marks them in both. */
static enum err
mark_matches(struct search_filter *f, struct runes a, struct runes b, uint8_t *marks_a,
             uint8_t *marks_b, size_t *ret_matches, struct why *why)
{
    size_t reach = b.count / 2 > 1 ? b.count / 2 - 1 : 0, matches = 0;
    enum err e = OK;
    for (size_t i = 0; e == OK && i < a.count; i++) {
        size_t from = i > reach ? i - reach : 0;
        size_t to = i + reach + 1 < b.count ? i + reach + 1 : b.count;
        e = count_compared(f, to > from ? to - from : 0, why);
        for (size_t j = from; j < to; j++) {
            if (marks_b[j] || a.at[i] != b.at[j]) continue;
            marks_a[i] = marks_b[j] = 1;
            matches++;
            break;
        }
    }
    *ret_matches = matches;
    return e;
}

/* Counts marked characters that are not in the same order. */
static size_t
count_out_of_order(struct runes a, struct runes b, const uint8_t *marks_a, const uint8_t *marks_b)
{
    size_t count = 0, k = 0;
    for (size_t i = 0; i < a.count; i++) {
        if (!marks_a[i]) continue;
        while (!marks_b[k]) {
            k++;
        }
        count += a.at[i] != b.at[k++];
    }
    return count;
}

static enum err
jaro_winkler_score(struct search_filter *f, struct runes a, struct runes b, double *ret_score,
                   struct why *why)
{
    enum { PREFIX_MAX = 4 };
    if (a.count > b.count) {
        struct runes longer = a;
        a = b;
        b = longer;
    }
    struct buf *marks = &f->marks;
    size_t matched;
    buf_clear(marks);
    if (!buf_reserve(marks, a.count + b.count)) return buf_error(marks);
    memset(marks->at, 0, a.count + b.count);
    uint8_t *marks_a = marks->at, *marks_b = marks->at + a.count;
    enum err e = mark_matches(f, a, b, marks_a, marks_b, &matched, why);
    double matches = (double)matched;
    *ret_score = 0;
    if (e || matched == 0) return e;
    double moved = (double)count_out_of_order(a, b, marks_a, marks_b);
    double jaro = (matches * (1.0 / (double)a.count) + matches * (1.0 / (double)b.count) +
                   (matches - moved * 0.5) / matches) /
                  3.0;
    size_t prefix = 0;
    while (prefix < PREFIX_MAX && prefix < a.count && a.at[prefix] == b.at[prefix]) {
        prefix++;
    }
    *ret_score = jaro + (double)prefix * 0.1 * (1.0 - jaro);
    return OK;
}

/* --- terms ------------------------------------------------------------------------------------ */

static bool
begins_with(struct bytes text, struct bytes begin)
{
    return text.size >= begin.size && memcmp(text.at, begin.at, begin.size) == 0;
}

static enum err
score_of_term(struct search_filter *f, const struct search_term *term, struct bytes name,
              double *ret_score, bool *ret_accepted, struct why *why)
{
    struct runes wanted = runes_of(term->runes), runes = runes_of(buf_bytes(&f->runes));
    *ret_accepted = true;
    *ret_score = 1;
    enum err e = count_compared(f, name.size, why);
    if (e || begins_with(name, term->text)) return e;
    if (f->algorithm == SEARCH_SUBSEQUENCE) {
        *ret_score = 0;
        bool fits = term->text.size <= name.size;
        if (fits) e = subsequence_score(f, wanted, runes, ret_score, why);
        *ret_accepted = *ret_score > 0 && *ret_score >= f->threshold;
        return e;
    }
    *ret_score = 0.9;
    if (memmem(name.at, name.size, term->text.at, term->text.size) != NULL) return OK;
    *ret_score = 0;
    *ret_accepted = false;
    if (f->threshold <= 0 || name.size == 0) return OK;
    e = jaro_winkler_score(f, wanted, runes, ret_score, why);
    *ret_accepted = *ret_score >= f->threshold;
    return e;
}

enum err
search_score(struct search_filter *f, struct bytes name, double *ret_score, bool *ret_accepted,
             struct why *why)
{
    *ret_score = 1;
    *ret_accepted = true;
    if (f->term_count == 0) return OK;
    enum err e = f->any_case ? put_lower(&f->text, name) : OK;
    if (e) return e;
    struct bytes compared = f->any_case ? buf_bytes(&f->text) : name;
    e = put_runes(&f->runes, compared);
    double best = 0;
    bool accepted = false;
    for (uint32_t i = 0; e == OK && i < f->term_count; i++) {
        double score;
        bool accepts;
        e = score_of_term(f, &f->terms[i], compared, &score, &accepts, why);
        accepted |= accepts;
        if (accepts && score > best) best = score;
    }
    *ret_score = best;
    *ret_accepted = accepted;
    return e;
}
