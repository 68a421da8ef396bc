/* escape.h - text within HTML, JavaScript and URLs, as Go escapes it. Private to template/.
 */
#ifndef TEMPLATE_ESCAPE_H
#define TEMPLATE_ESCAPE_H

#include "base/buf.h"

void tmpl_escape_html(struct bytes text, struct buf *to);
void tmpl_escape_js(struct bytes text, struct buf *to);
/* Of a query: a blank becomes +. */
void tmpl_escape_query(struct bytes text, struct buf *to);

#endif
