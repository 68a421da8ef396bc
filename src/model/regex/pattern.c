/*
 * pattern.c - a recursive descent over the simple part of RE2's syntax.
 *
 *     pattern = [ "(?i)" | "(?s)" | "(?is)" ] alternation | "(?i:" alternation ")"
 *     alternation = concatenation { "|" concatenation }
 *     concatenation = { run | atom [ "?" | "*" | "+" ] [ "?" ] }
 *     run = literal characters, the last of them not repeated
 *     atom = character | "(" ["?:" | "?s:"] alternation ")" | "." | class | \d \D \s \S \w \W
 *
 * Each yields a `struct lang`: heads and a tail as in pattern.h. Anything outside the
 * grammar sets `lost`, and the whole pattern is not analysed: a flag within it or a \Q may change
 * the meaning of characters elsewhere. A language that only became too large keeps its heads so far
 * and TAIL_UNKNOWN.
 *
 * The pattern comes from a client: depth, heads, their bytes and the bytes copied on the way
 * (`work`) are bounded.
 */
#include "model/regex/pattern.h"

#include <stdlib.h>

#include "base/hash/hash.h"
#include "base/text/utf8.h"

enum {
    DEPTH_MAX = 32,
    WORK_BYTES_MAX = 16 * 1024 * 1024,
    CLASS_BYTES_MAX = 64,
    PRODUCT_MAX = 4096, /* a product of alternatives may not exceed it, a written alternation may */
};

struct lang {
    enum pattern_tail tail;
    struct bytes *heads;
    uint32_t count;
    uint32_t capacity;
    size_t bytes; /* bytes of all heads */
};

struct pattern_reader {
    const uint8_t *at;
    const uint8_t *end;
    struct arena *arena;
    size_t work_bytes;
    unsigned depth;
    uint32_t groups;            /* number of groups that capture */
    const uint8_t *group_begin; /* start of the last group that ended */
    const uint8_t *group_end;
    bool lost;  /* the pattern is not in the grammar, or has too many heads */
    bool nomem; /* the arena is full: reading stops */
};

static bool
stopped(const struct pattern_reader *r)
{
    return r->lost || r->nomem;
}

static int
peek(const struct pattern_reader *r)
{
    return r->at == r->end ? -1 : *r->at;
}

static bool
is_repetition(int c)
{
    return c == '*' || c == '+' || c == '?' || c == '{';
}

static void *
take(struct pattern_reader *r, size_t size_bytes)
{
    r->work_bytes += size_bytes;
    if (r->work_bytes > WORK_BYTES_MAX) {
        r->lost = true;
        return NULL;
    }
    void *memory = arena_alloc(r->arena, size_bytes == 0 ? 1 : size_bytes);
    if (memory == NULL) r->nomem = true;
    return memory;
}

/* --- languages -------------------------------------------------------------------------------- */

/* The language of the empty text alone. */
static struct lang
lang_empty(void)
{
    static struct bytes nothing[1] = {{(const uint8_t *)"", 0}};
    return (struct lang){TAIL_NONE, nothing, 1, 0, 0};
}

static struct lang
lang_any(enum pattern_tail tail)
{
    struct lang any = lang_empty();
    any.tail = tail;
    return any;
}

static bool
lang_is_empty_head(const struct lang *lang)
{
    return lang->count == 1 && lang->heads[0].size == 0;
}

static bool
lang_grow(struct pattern_reader *r, struct lang *lang, uint32_t more)
{
    if (lang->count + more <= lang->capacity) return true;
    uint32_t capacity = 2 * (lang->count + more);
    struct bytes *heads = take(r, capacity * sizeof *heads);
    if (heads == NULL) return false;
    memcpy(heads, lang->heads, lang->count * sizeof *heads);
    lang->heads = heads;
    lang->capacity = capacity;
    return true;
}

/* The union of two languages. */
static struct lang
lang_union(struct pattern_reader *r, struct lang a, struct lang b)
{
    if (a.count + b.count > PATTERN_HEADS_MAX || a.bytes + b.bytes > PATTERN_HEAD_BYTES_MAX)
        return lang_any(TAIL_UNKNOWN);
    if (a.tail != b.tail) a.tail = TAIL_UNKNOWN;
    if (!lang_grow(r, &a, b.count)) return lang_any(TAIL_UNKNOWN);
    memcpy(a.heads + a.count, b.heads, b.count * sizeof *b.heads);
    a.count += b.count;
    a.bytes += b.bytes;
    return a;
}

/* The concatenation: every head of `a` followed by every head of `b`. */
static struct lang
lang_cross(struct pattern_reader *r, struct lang a, struct lang b)
{
    uint64_t count = (uint64_t)a.count * b.count;
    uint64_t bytes = (uint64_t)a.bytes * b.count + (uint64_t)b.bytes * a.count;
    bool large = a.count > 1 && b.count > 1 && count > PRODUCT_MAX;
    if (large || count > PATTERN_HEADS_MAX || bytes > PATTERN_HEAD_BYTES_MAX) {
        a.tail = TAIL_UNKNOWN;
        return a;
    }
    struct lang product = {b.tail, NULL, (uint32_t)count, (uint32_t)count, (size_t)bytes};
    product.heads = take(r, count * sizeof *product.heads);
    uint8_t *to = take(r, bytes);
    if (product.heads == NULL || to == NULL) return a;
    struct bytes *head = product.heads;
    for (uint32_t i = 0; i < a.count; i++) {
        for (uint32_t j = 0; j < b.count; j++) {
            *head++ = bytes_of(to, a.heads[i].size + b.heads[j].size);
            memcpy(to, a.heads[i].at, a.heads[i].size);
            to += a.heads[i].size;
            memcpy(to, b.heads[j].at, b.heads[j].size);
            to += b.heads[j].size;
        }
    }
    return product;
}

/* Returns the tail of a text with tail `a` that is followed by one with tail `b`. */
static enum pattern_tail
tail_then_tail(enum pattern_tail a, enum pattern_tail b)
{
    if (a == TAIL_UNKNOWN || b == TAIL_UNKNOWN) return TAIL_UNKNOWN;
    if (a == TAIL_NONE || b == TAIL_NONE) return a == TAIL_NONE ? b : a;
    if (a == TAIL_SOME && b == TAIL_SOME) return TAIL_UNKNOWN; /* at least two characters */
    return a == TAIL_SOME || b == TAIL_SOME ? TAIL_SOME : TAIL_ANY;
}

static struct lang
lang_concat(struct pattern_reader *r, struct lang a, struct lang b)
{
    if (lang_is_empty_head(&b)) {
        a.tail = tail_then_tail(a.tail, b.tail);
        return a;
    }
    if (a.tail != TAIL_NONE) {
        a.tail = TAIL_UNKNOWN;
        return a;
    }
    if (lang_is_empty_head(&a)) return b;
    return lang_cross(r, a, b);
}

/* --- characters ------------------------------------------------------------------------------- */

static bool
is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool
is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

/* Returns the character of an escape `\c` that is one character: c itself for ASCII punctuation;
 * else 0. */
static uint8_t
escaped_char(uint8_t c)
{
    static const char letters[] = "ntrfva", controls[] = "\n\t\r\f\v\a";
    const char *letter = c == 0 ? NULL : strchr(letters, c);
    if (letter != NULL) return (uint8_t)controls[letter - letters];
    return c > ' ' && c < 0x7f && !ascii_is_word(c) ? c : 0;
}

/* Reads a literal character, plain or escaped: puts its text into `to` (room for 4 bytes) and
 * returns the size of its pattern. Returns 0 if `at` has something else. */
static size_t
literal_at(const uint8_t *at, const uint8_t *end, uint8_t *to, size_t *ret_size)
{
    if (at == end) return 0;
    if (*at == '\\') {
        if (end - at < 2 || escaped_char(at[1]) == 0) return 0;
        *to = escaped_char(at[1]);
        *ret_size = 1;
        return 2;
    }
    /* memchr, since strchr would take a NUL, which is a literal, for a special character. */
    static const char special[] = "^$.|?*+()[]{}";
    if (memchr(special, *at, sizeof special - 1) != NULL) return 0;
    size_t step = utf8_step(at, (size_t)(end - at));
    memcpy(to, at, step);
    *ret_size = step;
    return step;
}

/* Reads the literal characters from here on, without one that a repetition follows. False, and
 * nothing is read, if there is none. */
static bool
read_run(struct pattern_reader *r, struct bytes *ret_run)
{
    const uint8_t *stop = r->at;
    uint8_t text[4];
    size_t size = 0, run_bytes = 0;
    for (;;) {
        size_t step = literal_at(stop, r->end, text, &size);
        if (step == 0) break;
        if (stop + step < r->end && is_repetition(stop[step])) break;
        stop += step;
        run_bytes += size;
    }
    if (stop == r->at) return false;
    uint8_t *run = take(r, run_bytes);
    if (run == NULL) return false;
    *ret_run = bytes_of(run, run_bytes);
    while (r->at < stop) {
        r->at += literal_at(r->at, r->end, run, &size);
        run += size;
    }
    return true;
}

/* --- the grammar ------------------------------------------------------------------------------ */

static struct lang
lang_of_text(struct pattern_reader *r, struct bytes text)
{
    struct lang lang = {TAIL_NONE, take(r, sizeof *lang.heads), 1, 1, text.size};
    if (lang.heads == NULL) return lang_empty();
    lang.heads[0] = text;
    return lang;
}

/* Reads `[abc0-9]` from `at` to `end` as a set of characters; false if it is not that simple. */
static bool
class_chars(const uint8_t *at, const uint8_t *end, uint8_t *to, uint32_t *ret_count)
{
    uint32_t count = 0;
    while (at < end) {
        uint8_t low = *at++, high = low;
        if (!ascii_is_word(low)) return false;
        if (at < end && *at == '-') {
            if (end - at < 2) return false;
            high = at[1];
            bool same_kind = (ascii_is_digit(low) && ascii_is_digit(high)) ||
                             (is_lower(low) && is_lower(high)) || (is_upper(low) && is_upper(high));
            if (!same_kind || high < low) return false;
            at += 2;
        }
        for (unsigned c = low; c <= high; c++) {
            if (count == CLASS_BYTES_MAX) return false;
            to[count++] = (uint8_t)c;
        }
    }
    *ret_count = count;
    return true;
}

/* Reads a class without escapes and brackets: a set of characters, or one unknown character. */
static struct lang
read_class(struct pattern_reader *r)
{
    const uint8_t *start = ++r->at;
    bool negated = peek(r) == '^';
    if (negated) start = ++r->at;
    while (r->at < r->end && *r->at != ']' && *r->at != '[' && *r->at != '\\')
        r->at++;
    const uint8_t *end = r->at;
    if (peek(r) != ']' || end == start) {
        r->lost = true;
        return lang_empty();
    }
    r->at++;
    uint8_t chars[CLASS_BYTES_MAX];
    uint32_t count = 0;
    if (negated || !class_chars(start, end, chars, &count)) return lang_any(TAIL_UNKNOWN);
    uint8_t *kept = take(r, count);
    struct lang lang = {TAIL_NONE, take(r, count * sizeof *lang.heads), count, count, count};
    if (kept == NULL || lang.heads == NULL) return lang_empty();
    memcpy(kept, chars, count);
    for (uint32_t i = 0; i < count; i++)
        lang.heads[i] = bytes_of(kept + i, 1);
    return lang;
}

static struct lang read_alternation(struct pattern_reader *r);

static struct lang
read_group(struct pattern_reader *r)
{
    const uint8_t *begin = r->at++;
    bool captures = peek(r) != '?';
    if (!captures) {
        ptrdiff_t left = r->end - r->at;
        bool plain = left >= 2 && r->at[1] == ':';
        bool dots = left >= 3 && r->at[1] == 's' && r->at[2] == ':'; /* as they are anyway */
        if (!plain && !dots) {
            r->lost = true; /* other flags, or a name */
            return lang_empty();
        }
        r->at += plain ? 2 : 3;
    }
    if (r->depth == DEPTH_MAX) {
        r->lost = true;
        return lang_empty();
    }
    r->depth++;
    struct lang lang = read_alternation(r);
    r->depth--;
    if (peek(r) != ')') r->lost = true;
    if (stopped(r)) return lang_empty();
    r->at++;
    if (captures) {
        r->groups++;
        r->group_begin = begin;
        r->group_end = r->at;
    }
    return lang;
}

/* Reads one atom that is not a run of characters. `*ret_dot` is true for a dot. */
static struct lang
read_atom(struct pattern_reader *r, bool *ret_dot)
{
    *ret_dot = false;
    switch (*r->at) {
    case '(':
        return read_group(r);
    case '[':
        return read_class(r);
    case '.': {
        static const uint8_t wild[1] = {PATTERN_WILD};
        r->at++;
        *ret_dot = true;
        return lang_of_text(r, bytes_of(wild, 1));
    }
    case '\\':
        if (r->end - r->at >= 2 && memchr("dDsSwW", r->at[1], 6) != NULL) {
            r->at += 2;
            return lang_any(TAIL_UNKNOWN);
        }
        break;
    default:
        break;
    }
    /* A character that a repetition follows, or something unknown. */
    uint8_t *text = take(r, 4);
    size_t size = 0;
    size_t step = text == NULL ? 0 : literal_at(r->at, r->end, text, &size);
    if (step == 0) {
        r->lost = true;
        return lang_empty();
    }
    r->at += step;
    return lang_of_text(r, bytes_of(text, size));
}

static struct lang
read_repetition(struct pattern_reader *r, struct lang atom, bool dot)
{
    int c = peek(r);
    if (!is_repetition(c)) return atom;
    r->at++;
    if (peek(r) == '?') r->at++; /* lazy: accepts the same */
    if (c == '{') {
        r->lost = true;
        return atom;
    }
    if (c == '?') return lang_union(r, atom, lang_empty());
    if (c == '*') return lang_any(dot ? TAIL_ANY : TAIL_UNKNOWN);
    if (dot) return lang_any(TAIL_SOME);
    atom.tail = TAIL_UNKNOWN;
    return atom;
}

/* At the ends of a top-level alternative, anchors only repeat what is so anyway. */
static bool
skip_anchor(struct pattern_reader *r, bool first)
{
    if (r->depth > 0) return false;
    int after = r->end - r->at < 2 ? -1 : r->at[1];
    bool here = (*r->at == '^' && first && !is_repetition(after)) ||
                (*r->at == '$' && (after == -1 || after == '|'));
    if (here) r->at++;
    return here;
}

static struct lang
read_concatenation(struct pattern_reader *r)
{
    struct lang whole = lang_empty();
    bool first = true;
    while (!stopped(r) && r->at < r->end && *r->at != '|' && *r->at != ')') {
        bool anchor = skip_anchor(r, first);
        first = false;
        if (anchor) continue;
        struct bytes run;
        struct lang part;
        if (read_run(r, &run)) {
            part = lang_of_text(r, run);
        } else if (!stopped(r)) {
            bool dot;
            part = read_atom(r, &dot);
            if (!stopped(r)) part = read_repetition(r, part, dot);
        } else {
            break;
        }
        if (!stopped(r)) whole = lang_concat(r, whole, part);
    }
    return whole;
}

static struct lang
read_alternation(struct pattern_reader *r)
{
    struct lang whole = read_concatenation(r);
    while (!stopped(r) && peek(r) == '|') {
        r->at++;
        struct lang other = read_concatenation(r);
        if (!stopped(r)) whole = lang_union(r, whole, other);
    }
    return whole;
}

/* --- results ---------------------------------------------------------------------------------- */

/* Reads ".*", ".+" before and after a literal, as in ".*x" and ".+x.*", which say where in the text
 * it is. */
static bool
read_any(struct pattern_reader *r, enum pattern_tail *ret_tail)
{
    if (r->end - r->at < 2 || r->at[0] != '.') return false;
    if (r->at[1] != '*' && r->at[1] != '+') return false;
    *ret_tail = r->at[1] == '*' ? TAIL_ANY : TAIL_SOME;
    r->at += 2;
    return true;
}

static bool
read_inner(struct pattern_reader *r, struct pattern *pattern)
{
    struct bytes inner;
    enum pattern_tail before, after = TAIL_NONE;
    if (peek(r) == '^') r->at++;
    if (!read_any(r, &before) || !read_run(r, &inner)) return false;
    if (peek(r) == '.' && !read_any(r, &after)) return false;
    if (peek(r) == '$') r->at++;
    if (r->at < r->end) return false;
    pattern->inner = inner;
    pattern->before = before;
    pattern->after = after;
    return true;
}

static int
compare_heads(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

static uint32_t
sort_unique(struct bytes *heads, uint32_t count)
{
    qsort(heads, count, sizeof *heads, compare_heads);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && bytes_equal(heads[kept - 1], heads[i])) continue;
        heads[kept++] = heads[i];
    }
    return kept;
}

/* Skips the flags at the beginning that are understood: case, and whether dots match newlines,
 * which they do anyway. */
static struct cursor
skip_flags(const struct cursor whole, bool *ret_folds)
{
    struct cursor c = whole;
    if (cursor_left(&c) < 4 || memcmp(c.at, "(?", 2) != 0) return whole;
    bool folds = false;
    for (c.at += 2; c.at != c.end && (*c.at == 'i' || *c.at == 's'); c.at++)
        folds = folds || *c.at == 'i';
    /* "(?i:...)": if the last ')' belongs to another '(', what is within does not end. */
    bool around = c.at != c.end && *c.at == ':' && folds && c.end[-1] == ')' && c.end - c.at > 1;
    bool before = c.at != c.end && *c.at == ')' && c.at > whole.at + 2;
    if (!around && !before) return whole;
    *ret_folds = folds;
    c.at++;
    c.end -= around;
    return c;
}

/* True if simplified values can be compared with the head: see simplify(). */
static bool
is_simple(struct bytes head)
{
    if (head.size > PATTERN_SIMPLE_BYTES_MAX) return false;
    for (size_t i = 0; i < head.size; i++)
        if (head.at[i] == PATTERN_WILD ? i >= 64 : head.at[i] >= 0x80) return false;
    return true;
}

static size_t
wild_at(struct bytes head)
{
    const uint8_t *wild = head.size == 0 ? NULL : memchr(head.at, PATTERN_WILD, head.size);
    return wild == NULL ? head.size : (size_t)(wild - head.at);
}

/* Heads with dots, or that ignore case, are kept only if they are the whole language: else, the
 * text before the first dot, or nothing. */
static void
settle(struct pattern_reader *r, struct pattern *p, struct lang *lang, bool folds)
{
    bool simple = lang->tail == TAIL_NONE;
    for (uint32_t i = 0; i < lang->count; i++) {
        p->has_wild = p->has_wild || wild_at(lang->heads[i]) < lang->heads[i].size;
        simple = simple && is_simple(lang->heads[i]);
    }
    p->folds = folds && simple;
    if (folds && !simple) {
        p->has_wild = false;
        *lang = lang_any(TAIL_UNKNOWN);
    } else if (p->has_wild && !simple) {
        p->has_wild = false;
        lang->tail = TAIL_UNKNOWN;
        for (uint32_t i = 0; i < lang->count; i++)
            lang->heads[i].size = wild_at(lang->heads[i]);
    }
    for (uint32_t i = 0; p->folds && i < lang->count; i++) {
        struct bytes head = lang->heads[i];
        uint8_t *lower = take(r, head.size);
        if (lower == NULL) return;
        for (size_t j = 0; j < head.size; j++)
            lower[j] = is_upper(head.at[j]) ? head.at[j] | 0x20 : head.at[j];
        lang->heads[i].at = lower;
    }
}

static bool
is_all(const struct pattern_reader *r, const uint8_t *begin)
{
    if (r->groups != 1) return false;
    if (r->group_begin > begin && *begin == '^') begin++;
    const uint8_t *end = r->end;
    if (r->group_end < end && end[-1] == '$') end--;
    return r->group_begin == begin && r->group_end == end;
}

enum err
pattern_read(struct bytes text, struct arena *arena, struct pattern *ret_pattern)
{
    bool folds = false;
    const struct cursor whole = skip_flags(cursor_of(text), &folds);
    struct pattern_reader r = {.at = whole.at, .end = whole.end, .arena = arena};
    struct pattern pattern = {.tail = TAIL_UNKNOWN};
    struct lang lang = read_alternation(&r);
    if (r.at != r.end) r.lost = true; /* a ')' too many */
    if (r.lost) lang = lang_any(TAIL_UNKNOWN);
    if (!r.nomem) settle(&r, &pattern, &lang, folds);
    if (r.nomem) return ERR_NOMEM;
    if (r.lost) { /* there are too many heads */
        lang = lang_any(TAIL_UNKNOWN);
        pattern = (struct pattern){.tail = TAIL_UNKNOWN};
    }
    pattern.tail = lang.tail;
    pattern.heads = lang.heads;
    pattern.groups = r.groups;
    pattern.group_is_all = is_all(&r, whole.at);
    pattern.head_count = lang.count > 1 ? sort_unique(lang.heads, lang.count) : lang.count;

    struct pattern_reader again = {.at = whole.at, .end = whole.end, .arena = arena};
    if (pattern.tail == TAIL_UNKNOWN && !folds && read_inner(&again, &pattern))
        pattern.head_count = 0;
    if (again.nomem) return ERR_NOMEM;
    *ret_pattern = pattern;
    return OK;
}

bool
pattern_has_byte_escape(struct bytes text)
{
    bool quoted = false;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.at[i] != '\\') continue;
        uint8_t escaped = text.at[i + 1];
        if (quoted) {
            if (escaped != 'E') continue; /* within \Q the backslash is a literal */
            quoted = false;
        } else if (escaped == 'C') {
            return true;
        } else if (escaped == 'Q') {
            quoted = true;
        }
        i++;
    }
    return false;
}

/* --- sets of literals ------------------------------------------------------------------------- */

/*
 * Values are looked up in a table of hashes.
 *
 * Where case does not matter, or items have dots for any character, items are ASCII (pattern.c says
 * nothing else of such regexes), and the value is made simple first: one byte for each character,
 * in lower case if case does not matter. Then, for each place that the dots of items of its size
 * have ("10.0.0.1:9100" has bytes 2, 4 and 6), it is looked up with PATTERN_WILD at these bytes.
 * Lists of addresses with unescaped dots have a few such places for each size.
 */

enum {
    LINEAR_MAX = 4, /* a set of so many is compared one by one */
    SIZE_BITS_MAX = 63,
    SHAPES_MAX = 64,
    OTHER = 0x80, /* a character that no item has: items are ASCII */
};

struct literal_shape {
    size_t size;
    uint64_t wild; /* bit n: byte n */
};

static uint64_t
size_bit(size_t size)
{
    return (uint64_t)1 << (size < SIZE_BITS_MAX ? size : SIZE_BITS_MAX);
}

/* --- look-ups --------------------------------------------------------------------------------- */

static bool
look_up(const struct literals *set, struct bytes value)
{
    if (set->slots == NULL) {
        for (uint32_t i = 0; i < set->count; i++)
            if (bytes_equal(set->items[i], value)) return true;
        return false;
    }
    for (uint64_t at = hash_bytes(value, 0);; at++) {
        uint32_t slot = set->slots[at & set->slot_mask];
        if (slot == 0) return false;
        if (bytes_equal(set->items[slot - 1], value)) return true;
    }
}

/* Makes a value simple. False: no item can equal it. Unicode folds two more characters to letters
 * of ASCII. */
static bool
simplify(struct bytes value, bool folds, uint8_t to[PATTERN_SIMPLE_BYTES_MAX], size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0, step; i < value.size; i += step) {
        step = utf8_step(value.at + i, value.size - i);
        if (step == 0 || size == PATTERN_SIMPLE_BYTES_MAX) return false;
        uint32_t c = utf8_get(value.at + i, step);
        if (folds && c >= 'A' && c <= 'Z') c |= 0x20;
        if (folds && c == 0x212a) c = 'k'; /* the sign for Kelvin */
        if (folds && c == 0x17f) c = 's';  /* the long s */
        to[size++] = c < 0x80 ? (uint8_t)c : OTHER;
    }
    *ret_size = size;
    return true;
}

bool
literals_have(const struct literals *set, struct bytes value)
{
    uint8_t simple[PATTERN_SIMPLE_BYTES_MAX], masked[PATTERN_SIMPLE_BYTES_MAX];
    size_t size;
    if (!set->folds && set->shape_count == 0)
        return (set->sizes & size_bit(value.size)) != 0 && look_up(set, value);
    if (!simplify(value, set->folds, simple, &size)) return false;
    if ((set->sizes & size_bit(size)) == 0) return false;
    if (set->shape_count == 0) return look_up(set, bytes_of(simple, size));
    for (uint32_t i = 0; i < set->shape_count; i++) {
        if (set->shapes[i].size != size) continue;
        memcpy(masked, simple, size);
        for (uint64_t wild = set->shapes[i].wild; wild != 0; wild &= wild - 1)
            masked[__builtin_ctzll(wild)] = PATTERN_WILD;
        if (look_up(set, bytes_of(masked, size))) return true;
    }
    return false;
}

bool
literals_capture(const struct literals *set, struct bytes text, struct re2_capture *captures)
{
    if (!literals_have(set, text)) return false;
    for (uint32_t i = 0; i <= set->groups; i++)
        captures[i] = (struct re2_capture){.at = text.at, .size = text.size};
    return true;
}

uint64_t
literals_work(const struct literals *set)
{
    enum { LOOK_UP_NS = 64 };
    return LOOK_UP_NS * (1 + (uint64_t)set->folds + set->shape_count);
}

/* --- making ----------------------------------------------------------------------------------- */

/* Copies the items and their text from the arena of the pattern's reader. */
static enum err
keep_items(struct literals *set, const struct pattern *p, struct arena *arena)
{
    struct bytes *kept = arena_alloc(arena, p->head_count * sizeof *kept);
    if (kept == NULL) return ERR_NOMEM;
    size_t size_bytes = 0;
    for (uint32_t i = 0; i < p->head_count; i++)
        size_bytes += p->heads[i].size;
    uint8_t *text = arena_alloc(arena, size_bytes + 1);
    if (text == NULL) return ERR_NOMEM;
    for (uint32_t i = 0; i < p->head_count; i++) {
        kept[i] = bytes_of(text, p->heads[i].size);
        if (p->heads[i].size > 0) memcpy(text, p->heads[i].at, p->heads[i].size);
        text += p->heads[i].size;
        set->sizes |= size_bit(p->heads[i].size);
    }
    set->items = kept;
    return OK;
}

/* Fills the table, which is at most half full. */
static enum err
fill_slots(struct literals *set, uint32_t count, struct arena *arena)
{
    if (count <= LINEAR_MAX) return OK;
    uint32_t slot_count = 16;
    while (slot_count < 2 * count)
        slot_count *= 2;
    set->slots = arena_new(arena, slot_count * sizeof *set->slots);
    if (set->slots == NULL) return ERR_NOMEM;
    set->slot_mask = slot_count - 1;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t at = hash_bytes(set->items[i], 0);
        while (set->slots[at & set->slot_mask] != 0)
            at++;
        set->slots[at & set->slot_mask] = i + 1;
    }
    return OK;
}

static struct literal_shape
shape_of(struct bytes item)
{
    struct literal_shape shape = {.size = item.size};
    for (size_t i = 0; i < item.size; i++)
        if (item.at[i] == PATTERN_WILD) shape.wild |= (uint64_t)1 << i; /* i < 64: see pattern.c */
    return shape;
}

/* False: too many shapes, or no memory. */
static bool
find_shapes(struct literals *set, const struct pattern *p, struct arena *arena, enum err *ret)
{
    *ret = OK;
    if (!p->has_wild) return true;
    set->shapes = arena_alloc(arena, SHAPES_MAX * sizeof *set->shapes);
    if (set->shapes == NULL) *ret = ERR_NOMEM;
    for (uint32_t i = 0; i < p->head_count && *ret == OK; i++) {
        struct literal_shape shape = shape_of(p->heads[i]);
        uint32_t at = 0;
        while (at < set->shape_count &&
               (set->shapes[at].size != shape.size || set->shapes[at].wild != shape.wild))
            at++;
        if (at == SHAPES_MAX) return false;
        if (at == set->shape_count) set->shapes[set->shape_count++] = shape;
    }
    return *ret == OK;
}

enum err
literals_init(struct literals *set, const struct pattern *p, struct arena *arena)
{
    enum err e;
    *set = (struct literals){.folds = p->folds, .groups = p->groups};
    if (p->tail != TAIL_NONE || p->inner.size > 0) return OK;
    if (!find_shapes(set, p, arena, &e)) return e;
    e = keep_items(set, p, arena);
    if (e == OK) e = fill_slots(set, p->head_count, arena);
    if (e == OK) set->count = p->head_count;
    return e;
}

enum err
literals_read(struct literals *set, struct bytes regex, struct arena *arena, struct budget *budget)
{
    struct arena scratch;
    struct pattern p = {.tail = TAIL_UNKNOWN};
    *set = (struct literals){.count = 0};
    if (!utf8_valid(regex)) return OK;
    arena_init(&scratch, budget, 0, 1024);
    enum err e = pattern_read(regex, &scratch, &p);
    if (e == OK && (p.groups == 0 || p.group_is_all)) e = literals_init(set, &p, arena);
    arena_fini(&scratch);
    return e;
}
