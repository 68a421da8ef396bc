/*
 * unicode.c - see unicode.h. The C library knows letters and cases; what it knows not are the few
 * characters whose form at the beginning of a word is neither, and where words begin: Prometheus
 * has that from Unicode's rules for word boundaries.
 */
#include "template/unicode.h"

#include <wctype.h>

#include "base/ascii.h"
#include "base/quote.h"
#include "base/utf8.h"

static bool
has_locale(struct tmpl_unicode *u)
{
    if (u->locale == (locale_t)0) u->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (u->locale == (locale_t)0) u->failed = true;
    return !u->failed;
}

void
tmpl_unicode_fini(struct tmpl_unicode *u)
{
    if (u->locale != (locale_t)0) freelocale(u->locale);
    u->locale = (locale_t)0;
}

bool
tmpl_is_word(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0) return false;
    if (c < 0x80) return ascii_is_word((uint8_t)c);
    return c != RUNE_BAD && has_locale(u) && iswalnum_l((wint_t)c, u->locale);
}

static int32_t
upper_of(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
    return has_locale(u) ? (int32_t)towupper_l((wint_t)c, u->locale) : c;
}

static int32_t
lower_of(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
    return has_locale(u) ? (int32_t)towlower_l((wint_t)c, u->locale) : c;
}

/* --- the beginnings of words ------------------------------------------------------------------ */

/* Letters that become two or three there. */
static const struct {
    int32_t from;
    const char *to;
} ligatures[] = {{0xdf, "Ss"},
                 {0x149, "\u02bcN"},
                 {0x1f0, "J\u030c"},
                 {0x390, "\u0399\u0308\u0301"},
                 {0x3b0, "\u03a5\u0308\u0301"},
                 {0x587, "\u0535\u0582"},
                 {0x1e96, "H\u0331"},
                 {0x1e97, "T\u0308"},
                 {0x1e98, "W\u030a"},
                 {0x1e99, "Y\u030a"},
                 {0x1e9a, "A\u02be"},
                 {0xfb00, "Ff"},
                 {0xfb01, "Fi"},
                 {0xfb02, "Fl"},
                 {0xfb03, "Ffi"},
                 {0xfb04, "Ffl"},
                 {0xfb05, "St"},
                 {0xfb06, "St"}};

/* Digraphs such as U+01C4, U+01C5, U+01C6 have a form of their own; Georgian has none. */
static int32_t
title_of(struct tmpl_unicode *u, int32_t c)
{
    if (c >= 0x1c4 && c <= 0x1cc) return c <= 0x1c6 ? 0x1c5 : c <= 0x1c9 ? 0x1c8 : 0x1cb;
    if (c >= 0x1f1 && c <= 0x1f3) return 0x1f2;
    if (c >= 0x10d0 && c <= 0x10ff) return c;
    return upper_of(u, c);
}

static void
put_rune(struct buf *to, int32_t c)
{
    uint8_t bytes[UTF8_BYTES_MAX];
    buf_put(to, bytes, utf8_put(bytes, (uint32_t)c));
}

static void
put_title(struct tmpl_unicode *u, int32_t c, struct buf *to)
{
    for (unsigned i = 0; i < sizeof ligatures / sizeof *ligatures; i++) {
        if (ligatures[i].from != c) continue;
        buf_put_text(to, ligatures[i].to);
        return;
    }
    put_rune(to, title_of(u, c));
}

struct range {
    int32_t first, last;
};

static bool
is_among(const struct range *ranges, size_t count, int32_t c)
{
    for (size_t i = 0; i < count && ranges[i].first <= c; i++) {
        if (c <= ranges[i].last) return true;
    }
    return false;
}

/* Marks and hidden characters belong to what is before them. */
static bool
extends_word(int32_t c)
{
    static const struct range ranges[] = {
        {0xad, 0xad},     {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},
        {0x64b, 0x65f},   {0x900, 0x903},   {0x93a, 0x94f},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},
        {0x200c, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f},
        {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}};
    return is_among(ranges, sizeof ranges / sizeof *ranges, c);
}

/* What joins two parts of a word: dots, colons, apostrophes. */
static bool
joins_words(int32_t c)
{
    static const struct range ranges[] = {
        {'\'', '\''},     {'.', '.'},       {':', ':'},       {0xb7, 0xb7},     {0x387, 0x387},
        {0x5f4, 0x5f4},   {0x2018, 0x2019}, {0x2024, 0x2024}, {0x2027, 0x2027}, {0xfe13, 0xfe13},
        {0xfe52, 0xfe52}, {0xfe55, 0xfe55}, {0xff07, 0xff07}, {0xff0e, 0xff0e}, {0xff1a, 0xff1a}};
    return is_among(ranges, sizeof ranges / sizeof *ranges, c);
}

static bool
has_case(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return ascii_is_letter((uint8_t)c);
    return has_locale(u) && (iswlower_l((wint_t)c, u->locale) || iswupper_l((wint_t)c, u->locale));
}

/*
 * Unicode's words: the first letter of each that has a case is changed, those after it stay. A dot
 * within a word is no end of it, one before a blank is.
 */
static void
put_titles(struct tmpl_unicode *u, struct bytes text, struct buf *to)
{
    bool changed = false;
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned step, next_step;
        int32_t c = rune_get(text.at + i, text.size - i, &step);
        i += step;
        int32_t next = i < text.size ? rune_get(text.at + i, text.size - i, &next_step) : ' ';
        if (!changed && has_case(u, c))
            put_title(u, c, to);
        else
            put_rune(to, c);
        if (has_case(u, c))
            changed = true;
        else if (joins_words(c))
            changed &= tmpl_is_word(u, next);
        else
            changed &= tmpl_is_word(u, c) || extends_word(c);
    }
}

void
tmpl_change_case(struct tmpl_unicode *u, enum tmpl_case as, struct bytes text, struct buf *to)
{
    if (as == TMPL_TITLE) {
        put_titles(u, text, to);
        return;
    }
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned step;
        int32_t c = rune_get(text.at + i, text.size - i, &step);
        put_rune(to, as == TMPL_UPPER ? upper_of(u, c) : lower_of(u, c));
        i += step;
    }
}
