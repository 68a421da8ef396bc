/* xml.h - takes a few texts out of an XML answer of AWS. Pure: bytes in, texts out. */
#ifndef BACKEND_AWS_XML_H
#define BACKEND_AWS_XML_H

#include "base/bytes.h"
#include "base/err.h"

/* A text that is wanted: of the first element of that name, inside one of the other name. */
struct aws_xml_field {
    const char *parent; /* NULL: any */
    const char *name;
    char *to; /* ends in NUL; "": there is none; cut to fit */
    size_t to_bytes;
};

enum { AWS_XML_BYTES_MAX = 64 << 10, AWS_XML_DEPTH_MAX = 16 };

/* How a document is read: for what, and how strictly. */
struct aws_xml_form {
    const char *const *roots; /* names that the root may have; NULL after the last */
    struct aws_xml_field *fields;
    uint32_t count;
    size_t bytes_max;
    bool is_exact; /* a text that does not fit is ERR_INPUT, and not cut */
    /* An element that there are many of; NULL: none. At the end of each the fields inside it are
     * handed over, and are empty again; an error of `each` stops the reading. */
    const char *item;
    enum err (*each)(void *context);
    void *context;
};

/*
 * Fills the fields from a document. ERR_MISSING: its root has another name, nothing was looked at.
 * ERR_INPUT: no XML, or with a document type, which no service sends; ERR_LIMIT: longer than
 * `bytes_max`, or deeper than AWS_XML_DEPTH_MAX; ERR_NOMEM. After these three the fields hold what
 * came before.
 */
MUST_CHECK enum err aws_xml_walk(struct bytes body, const struct aws_xml_form *form);
/* The same of at most AWS_XML_BYTES_MAX, with texts that are cut. */
MUST_CHECK enum err aws_xml_read(struct bytes body, const char *const *roots,
                                 struct aws_xml_field *fields, uint32_t count);

#endif
