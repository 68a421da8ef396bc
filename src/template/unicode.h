/*
 * unicode.h - which characters are letters, and their other case, as in Go. Private to
 * template/.
 */
#ifndef TEMPLATE_UNICODE_H
#define TEMPLATE_UNICODE_H

#include <locale.h>

#include "base/buf.h"

/* Zeroed at first. The locale is taken when a character beyond ASCII asks for it. */
struct tmpl_unicode {
    locale_t locale;
    bool failed; /* there was no memory for it: the answers are wrong */
};

void tmpl_unicode_fini(struct tmpl_unicode *u);

/* A letter, a digit or _. */
bool tmpl_is_word(struct tmpl_unicode *u, int32_t c);

enum tmpl_case { TMPL_UPPER, TMPL_LOWER, TMPL_TITLE };

/* All of them in that case; of TMPL_TITLE only the first of each word. What is not UTF-8 becomes
 * U+FFFD. */
void tmpl_change_case(struct tmpl_unicode *u, enum tmpl_case as, struct bytes text, struct buf *to);

#endif
