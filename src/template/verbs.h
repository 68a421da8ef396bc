/*
 * verbs.h - values as text: Go's package fmt. Private to template/.
 *
 * What does not fit into a buffer shows in buf_error().
 */
#ifndef TEMPLATE_VERBS_H
#define TEMPLATE_VERBS_H

#include "template/value.h"

/* %d and all that. `scratch` is for pieces on the way. */
void tmpl_printf(struct bytes format, const struct tmpl_value *args, uint32_t count, struct buf *to,
                 struct buf *scratch);
/* A blank between two of which neither is a string. */
void tmpl_print(const struct tmpl_value *args, uint32_t count, struct buf *to, struct buf *scratch);
/* A blank between all of them, and a line feed. */
void tmpl_println(const struct tmpl_value *args, uint32_t count, struct buf *to,
                  struct buf *scratch);
/* One with a verb, for sentences: 'v', 's'. Go says so where it has a value, and no interface. */
void tmpl_print_reflected(const struct tmpl_value *v, char verb, struct buf *to,
                          struct buf *scratch);

/* What an action prints: what a pointer points to, and <no value>. */
struct tmpl_value tmpl_printable(struct tmpl_value v);

#endif
