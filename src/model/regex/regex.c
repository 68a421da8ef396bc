/*
 * regex.c - see regex.h. RE2 limits its programs (max_mem), but not the memory and time that it
 * needs to parse and compile, and it cannot be stopped: a pattern of 64 KiB could take 1 GB, or 8
 * s. So the cost is bounded beforehand, from numbers that are counted in the text:
 *
 *     letters    characters that mostly are literals
 *     operators  other characters, classes such as \w, and letters if case may not matter
 *     unicode    \p{...}: hundreds of ranges each
 *     copies     instances of an item that {n,m} makes
 *
 * RE2's max_mem limits the program to about one byte of sixteen, and gives a third to the states
 * that matching keeps. Most programs are small: they begin with little of it, and get more only
 * where they need it, so that a query may have many of them. regex_test.c compares these bounds
 * with what RE2 takes of the allocator.
 */
#include "model/regex/regex.h"

#include <string.h>

#include "base/text/utf8.h"

enum {
    RE2_BYTES_MIN = 512 * 1024,
    RE2_BYTES_MAX = 8 * 1024 * 1024,
    RE2_BYTES_OF_INSTRUCTION = 1024, /* with less, matching would discard its states too often */
    INSTRUCTION_BYTES = 8,
    MATCH_BYTES_OF_INSTRUCTION = 64, /* per match, if states have no room */
    COMPILE_BYTES_OF_INSTRUCTION = 210,
    COMPILE_FACTOR = 10, /* memory while it is compiled, in sizes of max_mem, at most */
    /* Limit of the tree, so that RE2, which does not check a clock, takes at most a few 100 ms. */
    PARSE_BYTES_MAX = 24 * 1024 * 1024,
    /* Optional items one after the other: RE2 takes 10 ns for each two of them, in all. */
    PAIRS_MAX = 2048 * 2048,
};

struct regex_shape {
    uint64_t letters, operators, unicode, copies;
    uint64_t pairs;
    bool multiplies; /* the program may be much larger than the text */
};

static bool
is_letter(uint8_t c)
{
    return ascii_is_word(c) || c == ' ' || c >= 0x80;
}

/* The greater number of a {n,m} that begins at `at`; 0 if something else begins there. */
static uint64_t
copies_at(struct bytes text, size_t at)
{
    uint64_t number = 0, most = 0;
    for (at++; at < text.size && text.at[at] != '}'; at++) {
        uint8_t c = text.at[at];
        if (c != ',' && !ascii_is_digit(c)) return 0;
        number = c == ',' ? 0 : number * 10 + (uint64_t)(c - '0');
        if (number > 1000) return 0; /* RE2 refuses it */
        if (number > most) most = number;
    }
    return at == text.size ? 0 : most;
}

static struct regex_shape
regex_shape_of(struct bytes text)
{
    struct regex_shape s = {.letters = 0};
    uint64_t run = 0; /* optional items so far in this alternative */
    bool folds = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i], next = i + 1 < text.size ? text.at[i + 1] : 0;
        uint64_t copies = 0;
        if (c == '\\') {
            /* A letter after a backslash is not a literal, punctuation is one. */
            bool is_unicode = next == 'p' || next == 'P';
            *(is_unicode ? &s.unicode : is_letter(next) ? &s.operators : &s.letters) += 1;
            i++;
            continue;
        }
        if (c == '(' && next == '?') {
            folds |= i + 2 < text.size && text.at[i + 2] != ':';
            s.operators += 2;
            i++;
            continue;
        }
        if (c == '{') copies = copies_at(text, i);
        if (c == '?') copies = 1;
        s.copies += copies;
        s.pairs += copies * (2 * run + copies);
        run = c == '|' ? 0 : run + copies;
        s.multiplies |= c == '{';
        *(is_letter(c) ? &s.letters : &s.operators) += 1;
    }
    if (folds) {
        s.operators += s.letters;
        s.letters = 0;
    }
    s.multiplies |= s.unicode > 0;
    return s;
}

/* \p{...} takes 36 KiB, but more time for it than others. */
static uint64_t
parse_bytes(const struct regex_shape *s)
{
    return 4096 + 32 * s->letters + 320 * s->operators + 128 * 1024 * s->unicode + 160 * s->copies;
}

/* Memory while it is compiled. `instructions` is 0 while it is not known. */
static uint64_t
compile_bytes(const struct regex_shape *s, uint64_t instructions, int64_t re2_bytes)
{
    uint64_t most = COMPILE_FACTOR * (uint64_t)re2_bytes;
    uint64_t guess = instructions > 0 ? instructions : 3 * s->letters + 24 * s->operators;
    bool known = instructions > 0 || !s->multiplies;
    uint64_t likely = guess * COMPILE_BYTES_OF_INSTRUCTION;
    return parse_bytes(s) + (known && likely < most ? likely : most);
}

/* Memory of the program and of matching. */
static uint64_t
kept_bytes(const struct regex *r, const struct regex_shape *s, enum re2_captures captures,
           int64_t re2_bytes)
{
    uint64_t instructions = re2_program_instructions(r->program);
    uint64_t tree = 2048 + 16 * s->letters + 96 * s->operators + 6 * 1024 * s->unicode;
    uint64_t bytes = tree + instructions * INSTRUCTION_BYTES + (uint64_t)re2_bytes / 3;
    bool has_states = instructions * MATCH_BYTES_OF_INSTRUCTION <= (uint64_t)re2_bytes;
    if (!has_states || captures != RE2_NO_CAPTURES)
        bytes += instructions * MATCH_BYTES_OF_INSTRUCTION;
    if (captures != RE2_NO_CAPTURES)
        bytes += instructions * (re2_program_groups(r->program) + 1) * 2 * sizeof(void *);
    return bytes;
}

static enum err
charge(struct regex *r, uint64_t bytes)
{
    if (r->budget != NULL && budget_take(r->budget, bytes) != OK) return ERR_NOMEM;
    r->charged_bytes = bytes;
    return OK;
}

static void
uncharge(struct regex *r)
{
    if (r->budget != NULL) budget_give(r->budget, r->charged_bytes);
    r->charged_bytes = 0;
}

static enum err
compile(struct regex *r, struct bytes pattern, enum re2_captures captures, int64_t re2_bytes,
        char *why)
{
    switch (re2_program_new(pattern.at, pattern.size, re2_bytes, captures, &r->program, why,
                            REGEX_WHY_BYTES)) {
    case RE2_OK:
        return OK;
    case RE2_INVALID:
        return ERR_INPUT;
    case RE2_TOO_LARGE:
        return ERR_LIMIT;
    case RE2_NO_MEMORY:
        break;
    }
    return ERR_NOMEM;
}

/* Returns the size of a POSIX class such as [:alpha:] that begins at a position in a character
 * class; the longest is [:^xdigit:]. 0 if none begins there. */
static size_t
class_name_size(struct bytes regex, size_t at)
{
    size_t size = regex.size - at < 11 ? regex.size - at : 11;
    const uint8_t *from = regex.at + at;
    if (size < 4 || from[0] != '[' || from[1] != ':') return 0;
    const uint8_t *end = memmem(from + 2, size - 2, ":]", 2);
    return end == NULL ? 0 : (size_t)(end + 2 - from);
}

/* Appends the regex with (?P<name>...) for (?<name>...), which Go accepts and RE2 does not. In a
 * class, and from \Q to \E, it has no meaning. */
static void
put_named_groups(struct bytes regex, struct buf *to)
{
    enum { PLAIN, CLASS, LITERAL } in = PLAIN;
    size_t class_end = 0; /* a ']' before it belongs to the class */
    for (size_t i = 0, step; i < regex.size; i += step) {
        struct bytes left = bytes_of(regex.at + i, regex.size - i);
        uint8_t c = left.at[0], next = left.size > 1 ? left.at[1] : 0;
        size_t named = in == CLASS ? class_name_size(regex, i) : 0;
        step = named > 0 ? named : c == '\\' && in != LITERAL && next != 0 ? 2 : 1;
        buf_put(to, left.at, step);
        if (in == LITERAL) {
            if (c == '\\' && next == 'E') in = PLAIN;
        } else if (in == CLASS) {
            if (c == ']' && i >= class_end) in = PLAIN;
        } else if (c == '\\' && next == 'Q') {
            in = LITERAL;
        } else if (c == '[') {
            in = CLASS;
            class_end = i + (next == '^' ? 3 : 2);
        } else if (left.size > 3 && memcmp(left.at, "(?<", 3) == 0 && left.at[3] != '=' &&
                   left.at[3] != '!') {
            buf_put_text(to, "?P");
            step = 2;
        }
    }
}

static enum err
init(struct regex *regex, struct bytes pattern, enum re2_captures captures, struct budget *budget,
     char why[REGEX_WHY_BYTES])
{
    struct regex r = {.budget = budget};
    const struct regex_shape s = regex_shape_of(pattern);
    uint64_t instructions = 0;
    enum err e = OK;
    if (s.pairs > PAIRS_MAX || parse_bytes(&s) > PARSE_BYTES_MAX) {
        bool repeats = s.pairs > PAIRS_MAX || s.unicode > 0 || s.copies > 0;
        strcpy(why, repeats
                        ? "too many repetitions or Unicode classes"
                        : "too many alternatives that are not literals (a dot that is one is \\.)");
        return ERR_LIMIT;
    }
    for (int64_t re2_bytes = RE2_BYTES_MIN;; re2_bytes *= 4) {
        e = charge(&r, compile_bytes(&s, instructions, re2_bytes));
        if (e) break;
        e = compile(&r, pattern, captures, re2_bytes, why);
        uncharge(&r);
        if (e == ERR_LIMIT && re2_bytes < RE2_BYTES_MAX) continue;
        if (e) break;
        instructions = re2_program_instructions(r.program);
        if (re2_bytes < RE2_BYTES_MAX &&
            instructions * RE2_BYTES_OF_INSTRUCTION > (uint64_t)re2_bytes) {
            re2_program_free(r.program);
            r.program = NULL;
            continue;
        }
        e = charge(&r, kept_bytes(&r, &s, captures, re2_bytes));
        break;
    }
    if (e) {
        re2_program_free(r.program);
        return e;
    }
    r.instructions = instructions;
    *regex = r;
    return OK;
}

enum err
regex_init(struct regex *regex, struct bytes pattern, enum re2_captures captures,
           struct budget *budget, char why[REGEX_WHY_BYTES])
{
    bool has_names = pattern.size > 0 && memmem(pattern.at, pattern.size, "(?<", 3) != NULL;
    if (!has_names) return init(regex, pattern, captures, budget, why);
    struct buf named;
    buf_init(&named, budget, 2 * pattern.size + 1);
    put_named_groups(pattern, &named);
    enum err e = buf_error(&named);
    if (e == OK) e = init(regex, buf_bytes(&named), captures, budget, why);
    char *p = e == ERR_INPUT && named.size > pattern.size ? strstr(why, "(?P<") : NULL;
    if (p != NULL) memmove(p + 2, p + 3, strlen(p + 3) + 1); /* as it was written */
    buf_fini(&named);
    return e;
}

/* A small program has soon met all its states. */
uint64_t
regex_work(const struct regex *regex, size_t size_bytes)
{
    enum { SMALL = 256, WORK_OF_SMALL = 256 };
    if (regex->instructions < SMALL) return WORK_OF_SMALL + size_bytes;
    return WORK_OF_SMALL + 4 * regex->instructions * size_bytes;
}

void
regex_fini(struct regex *regex)
{
    re2_program_free(regex->program);
    uncharge(regex);
    regex->program = NULL;
}

/* Puts RE2's sentence in the words of Go: "missing ): (a" becomes "missing closing ): `(a`". */
void
regex_put_go_words(const char *sentence, struct buf *to)
{
    static const char *const ours_and_theirs[][2] = {
        {"missing )", "missing closing )"},
        {"missing ]", "missing closing ]"},
        {"no argument for repetition operator", "missing argument to repetition operator"},
        {"bad repetition operator", "invalid nested repetition operator"},
        {"invalid repetition size", "invalid repeat count"},
        {"invalid perl operator", "invalid or unsupported Perl syntax"},
        {"invalid named capture group", "invalid named capture"},
        {"trailing \\", "trailing backslash at end of expression"},
    };
    const char *colon = strstr(sentence, ": ");
    struct bytes words = bytes_of_text(sentence);
    if (colon != NULL) words.size = (size_t)(colon - sentence);
    for (unsigned i = 0; i < sizeof ours_and_theirs / sizeof *ours_and_theirs; i++) {
        if (!bytes_equal_text(words, ours_and_theirs[i][0])) continue;
        words = bytes_of_text(ours_and_theirs[i][1]);
        break;
    }
    buf_put_text(to, "error parsing regexp: ");
    buf_put_bytes(to, words);
    buf_put_text(to, ": `");
    if (colon != NULL) buf_put_text(to, colon + 2);
    buf_put_text(to, "`");
}
