/*
 * xml.c - handles libexpat's events. Without a document type there are no entities to define, so no
 * text expands.
 */
#include "backend/aws/xml.h"

#include <expat.h>

enum { NAME_BYTES = 40 /* names that are searched for are shorter */ };

struct xml_reading {
    XML_Parser parser;
    const struct aws_xml_form *form;
    char names[AWS_XML_DEPTH_MAX][NAME_BYTES]; /* the open elements */
    unsigned depth;
    struct aws_xml_field *taking; /* NULL: the text here is not wanted */
    unsigned taking_depth;
    enum err stopped;
};

static void
xml_stop(struct xml_reading *r, enum err e)
{
    r->stopped = e;
    XML_StopParser(r->parser, XML_FALSE);
}

static void
on_start(void *context, const char *name, const char **attributes)
{
    struct xml_reading *r = context;
    const struct aws_xml_form *form = r->form;
    (void)attributes;
    if (r->stopped != OK) return;
    if (r->depth == AWS_XML_DEPTH_MAX) {
        xml_stop(r, ERR_LIMIT);
        return;
    }
    const char *const *root = form->roots;
    while (r->depth == 0 && *root != NULL && strcmp(*root, name) != 0) {
        root++;
    }
    if (*root == NULL) {
        xml_stop(r, ERR_MISSING);
        return;
    }
    size_t size = strlen(name);
    if (size >= NAME_BYTES) size = 0;
    memcpy(r->names[r->depth], name, size);
    r->names[r->depth][size] = '\0';
    const char *parent = r->depth == 0 ? "" : r->names[r->depth - 1];
    r->depth++;
    for (uint32_t i = 0; i < form->count && r->taking == NULL; i++) {
        struct aws_xml_field *f = &form->fields[i];
        if (f->to[0] != '\0' || strcmp(f->name, name) != 0) continue;
        if (f->parent != NULL && strcmp(f->parent, parent) != 0) continue;
        r->taking = f;
        r->taking_depth = r->depth;
    }
}

static void
on_end(void *context, const char *name)
{
    struct xml_reading *r = context;
    const struct aws_xml_form *form = r->form;
    if (r->stopped != OK) return;
    if (r->taking != NULL && r->depth == r->taking_depth) r->taking = NULL;
    r->depth--;
    if (form->item == NULL || strcmp(form->item, name) != 0) return;
    enum err e = form->each(form->context);
    if (e) xml_stop(r, e);
    for (uint32_t i = 0; i < form->count; i++) {
        const char *parent = form->fields[i].parent;
        if (parent != NULL && strcmp(parent, name) == 0) form->fields[i].to[0] = '\0';
    }
}

static void
on_text(void *context, const char *text, int size)
{
    struct xml_reading *r = context;
    struct aws_xml_field *f = r->taking;
    if (f == NULL || r->stopped != OK || r->depth != r->taking_depth) return;
    size_t used = strlen(f->to), more = (size_t)size;
    if (more > f->to_bytes - 1 - used) {
        more = f->to_bytes - 1 - used;
        if (r->form->is_exact) xml_stop(r, ERR_INPUT);
    }
    memcpy(f->to + used, text, more);
    f->to[used + more] = '\0';
}

static void
on_doctype(void *context, const char *name, const char *system, const char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    xml_stop(context, ERR_INPUT);
}

enum err
aws_xml_walk(struct bytes body, const struct aws_xml_form *form)
{
    struct xml_reading r = {.form = form};
    for (uint32_t i = 0; i < form->count; i++) {
        form->fields[i].to[0] = '\0';
    }
    bool whole = body.size <= form->bytes_max;
    /* S3 sends blanks before the document to keep a connection open while it works. */
    while (body.size > 0 && body.at[0] <= ' ') {
        body = bytes_of(body.at + 1, body.size - 1);
    }
    int size = (int)(body.size < form->bytes_max ? body.size : form->bytes_max);
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL) return ERR_NOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    const char *at = body.size == 0 ? "" : (const char *)body.at;
    bool read = XML_Parse(r.parser, at, size, whole) == XML_STATUS_OK;
    bool no_memory = !read && XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    if (r.stopped != OK) return r.stopped;
    if (no_memory) return ERR_NOMEM;
    if (!read) return ERR_INPUT;
    return whole ? OK : ERR_LIMIT;
}

enum err
aws_xml_read(struct bytes body, const char *const *roots, struct aws_xml_field *fields,
             uint32_t count)
{
    const struct aws_xml_form form = {
        .roots = roots, .fields = fields, .count = count, .bytes_max = AWS_XML_BYTES_MAX};
    return aws_xml_walk(body, &form);
}
