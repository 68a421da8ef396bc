/*
 * unicode.c - see tree.h. The C library knows letters and cases; word boundaries follow the
 * simple cases of Unicode's rules, as in Prometheus.
 */
#include "template/tree.h"

#include <wctype.h>

#include "base/text/quote.h"
#include "base/text/utf8.h"

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

static void
put_rune(struct buf *to, int32_t c)
{
    uint8_t bytes[UTF8_BYTES_MAX];
    buf_put(to, bytes, utf8_put(bytes, (uint32_t)c));
}

/* --- the beginnings of words ------------------------------------------------------------------ */

static bool
has_case(struct tmpl_unicode *u, int32_t c)
{
    if (c < 0x80) return ascii_is_letter((uint8_t)c);
    return has_locale(u) && (iswlower_l((wint_t)c, u->locale) || iswupper_l((wint_t)c, u->locale));
}

/* Changes the first letter of each word that has a case; others stay. An apostrophe, a dot or a
 * colon before a letter does not end a word, nor does an accent. */
static void
put_titles(struct tmpl_unicode *u, struct bytes text, struct buf *to)
{
    bool changed = false;
    for (size_t i = 0; i < text.size && buf_error(to) == OK;) {
        unsigned step, next_step;
        int32_t c = rune_get(text.at + i, text.size - i, &step);
        i += step;
        int32_t next = i < text.size ? rune_get(text.at + i, text.size - i, &next_step) : ' ';
        bool joins = c == '\'' || c == '.' || c == ':' || c == 0xb7 || c == 0x2019;
        bool accent = c >= 0x300 && c <= 0x36f;
        put_rune(to, !changed && has_case(u, c) ? upper_of(u, c) : c);
        if (has_case(u, c))
            changed = true;
        else
            changed &= joins ? tmpl_is_word(u, next) : accent || tmpl_is_word(u, c);
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
