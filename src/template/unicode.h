/* unicode.h - letters of Unicode and their cases, as in Go. Private to template/. */
#ifndef TEMPLATE_UNICODE_H
#define TEMPLATE_UNICODE_H

#include <locale.h>

#include "base/buf.h"

/* Zeroed at the start. The first character beyond ASCII opens the locale. */
struct tmpl_unicode {
    locale_t locale;
    bool failed; /* no memory: the results are wrong */
};

void tmpl_unicode_fini(struct tmpl_unicode *u);

/* True for letters, digits and _. */
bool tmpl_is_word(struct tmpl_unicode *u, int32_t c);

enum tmpl_case { TMPL_UPPER, TMPL_LOWER, TMPL_TITLE };

/* Appends the text with its letters in that case; with TMPL_TITLE, only the first letter of each
 * word. Bytes that are not UTF-8 become U+FFFD. */
void tmpl_change_case(struct tmpl_unicode *u, enum tmpl_case as, struct bytes text, struct buf *to);

#endif
