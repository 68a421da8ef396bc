/* xml.h - extracts a few texts from an XML answer of AWS. Pure: bytes in, texts out. */
#ifndef BACKEND_AWS_XML_H
#define BACKEND_AWS_XML_H

#include "base/bytes.h"
#include "base/err.h"

/* A text to extract: that of the first element with this name inside one with the parent's name. */
struct aws_xml_field {
    const char *parent; /* NULL: any */
    const char *name;
    char *to; /* ends in NUL; "": not found; cut to fit */
    size_t to_bytes;
};

enum { AWS_XML_BYTES_MAX = 64 << 10, AWS_XML_DEPTH_MAX = 16 };

/* The texts to extract, and how strictly. */
struct aws_xml_form {
    const char *const *roots; /* allowed names of the root; ends at a NULL */
    struct aws_xml_field *fields;
    uint32_t count;
    size_t bytes_max;
    bool is_exact; /* a text that does not fit is ERR_INPUT instead of cut */
    /* A repeated element; NULL: none. At the end of each, `each` is called with the fields
     * inside it, which are then emptied; its error stops the reading. */
    const char *item;
    enum err (*each)(void *context);
    void *context;
};

/*
 * Fills the fields from a document. ERR_MISSING: its root has another name, nothing was read.
 * ERR_INPUT: not XML, or with a document type, which no service sends; ERR_LIMIT: longer than
 * `bytes_max`, or deeper than AWS_XML_DEPTH_MAX; ERR_NOMEM. After these three the fields hold the
 * texts read before.
 */
MUST_CHECK enum err aws_xml_walk(struct bytes body, const struct aws_xml_form *form);
/* Does the same for at most AWS_XML_BYTES_MAX, with texts that are cut. */
MUST_CHECK enum err aws_xml_read(struct bytes body, const char *const *roots,
                                 struct aws_xml_field *fields, uint32_t count);

#endif
