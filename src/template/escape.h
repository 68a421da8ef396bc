/* escape.h - escapes text for HTML, JavaScript and URLs, as Go does. Private to template/. */
#ifndef TEMPLATE_ESCAPE_H
#define TEMPLATE_ESCAPE_H

#include "base/buf.h"

void tmpl_escape_html(struct bytes text, struct buf *to);
void tmpl_escape_js(struct bytes text, struct buf *to);
/* Escapes for the query of a URL, where a space becomes +. */
void tmpl_escape_query(struct bytes text, struct buf *to);

#endif
