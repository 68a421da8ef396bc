/* escape.h - escapes text for HTML, JavaScript and URLs, as Go does. Private to template/. */
#ifndef TEMPLATE_ESCAPE_H
#define TEMPLATE_ESCAPE_H

#include "base/buf.h"

void tmpl_escape_html(struct bytes text, struct buf *to);
void tmpl_escape_js(struct bytes text, struct buf *to);
/* For the query of a URL: a blank becomes +. */
void tmpl_escape_query(struct bytes text, struct buf *to);

#endif
