/* verbs_private.h - one value under one verb: what verbs.c and its helpers share. */
#ifndef TEMPLATE_VERBS_PRIVATE_H
#define TEMPLATE_VERBS_PRIVATE_H

#include "template/verbs.h"

struct tmpl_verb {
    struct buf *to;
    struct buf *scratch;
    bool plus, minus, sharp, space, zero;
    bool plus_v, sharp_v; /* of %+v and %#v, which the flags themselves are not */
    bool has_width, has_precision;
    uint32_t width, precision;
    bool wrong; /* within %!d(...): methods are not asked any more */
};

/* `text` may lie in the scratch buffer. */
void tmpl_put_padded(const struct tmpl_verb *v, struct bytes text);
void tmpl_put_padding(const struct tmpl_verb *v, size_t count);

/* Clears the scratch buffer; what did not fit into it makes `to` fail first. */
void tmpl_clear_scratch(const struct tmpl_verb *v);

/* Each is false if the verb is none for its kind of value. */
bool tmpl_put_integer(struct tmpl_verb *v, uint64_t bits, bool is_signed, int32_t verb);
bool tmpl_put_float(struct tmpl_verb *v, double number, int32_t verb);

/* 0x and digits, whatever the flags say. */
void tmpl_put_0x(struct tmpl_verb *v, uint64_t bits, bool with_0x);
/* In base 10, 2, ...; `verb` says whether digits are capitals, and of 'O' that 0o stands before. */
void tmpl_put_base(struct tmpl_verb *v, uint64_t bits, unsigned base, bool is_signed, int32_t verb);

#endif
