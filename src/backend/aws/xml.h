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

/*
 * Fills the fields from a document whose root has one of these names (NULL after the last).
 * ERR_MISSING: it has another name, nothing was looked at. ERR_INPUT: no XML, or with a document
 * type, which no service sends; ERR_LIMIT: longer or deeper than the limits above; ERR_NOMEM.
 * After these three the fields hold what came before.
 */
MUST_CHECK enum err aws_xml_read(struct bytes body, const char *const *roots,
                                 struct aws_xml_field *fields, uint32_t count);

#endif
