/*
 * negotiate.c - a clause of Accept is a type, its parameters, and a quality. The first clause that
 * asks for a supported form decides; the last `escaping` up to there, of any type, says how names
 * are escaped. Other clients get text.
 *
 * Clauses are sorted like in Prometheus: its comparison puts a type without '*' before one with,
 * whatever their qualities, which is not an order, so the result depends on insertion sort.
 */
#include "api/read/negotiate.h"

#include <stdio.h>

#include "wire/number.h"

enum { CLAUSES_MAX = 32 }; /* further clauses are ignored */

struct clause {
    struct bytes type, subtype;
    struct bytes parameters; /* with the semicolons between them */
    double quality;
};

/* Cuts `rest` after the first separator; returns the text before it. */
static struct bytes
cut_before(struct bytes *rest, char separator)
{
    const uint8_t *at = rest->size == 0 ? NULL : memchr(rest->at, separator, rest->size);
    struct bytes found = *rest;
    if (at != NULL) found.size = (size_t)(at - rest->at);
    size_t taken = found.size + (at != NULL);
    *rest = bytes_of(rest->at + taken, rest->size - taken);
    return found;
}

static struct bytes
trim(struct bytes text)
{
    while (text.size > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text = bytes_of(text.at + 1, text.size - 1);
    }
    while (text.size > 0 && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Finds the last parameter of that name; its value is not trimmed. False: it is absent. */
static bool
find_parameter(const struct clause *c, const char *name, struct bytes *ret)
{
    bool found = false;
    for (struct bytes rest = c->parameters; rest.size > 0;) {
        struct bytes value = cut_before(&rest, ';');
        bool has_value = memchr(value.at, '=', value.size) != NULL;
        struct bytes key = cut_before(&value, '=');
        if (!has_value || !bytes_equal_text(trim(key), name)) continue;
        *ret = value;
        found = true;
    }
    return found;
}

static bool
parameter_is(const struct clause *c, const char *name, const char *wanted)
{
    struct bytes value;
    return find_parameter(c, name, &value) && bytes_equal_text(trim(value), wanted);
}

static bool
read_clause(struct bytes text, struct clause *ret)
{
    struct bytes rest = trim(text), type = cut_before(&rest, ';');
    *ret = (struct clause){.parameters = rest, .quality = 1};
    bool slash = type.size > 0 && memchr(type.at, '/', type.size) != NULL;
    ret->type = trim(cut_before(&type, '/'));
    ret->subtype = trim(type);
    if (!slash && !bytes_equal_text(ret->type, "*")) return false;
    if (!slash) ret->subtype = ret->type;
    if (ret->subtype.size > 0 && memchr(ret->subtype.at, '/', ret->subtype.size) != NULL) {
        return false;
    }
    struct bytes quality;
    uint64_t bits = 0;
    if (find_parameter(ret, "q", &quality)) { /* 0 if it is not a number */
        bool valid = number_parse((const char *)quality.at, quality.size, &bits);
        ret->quality = valid ? bits_double(bits) : 0;
    }
    return true;
}

static bool
goes_before(const struct clause *a, const struct clause *b)
{
    bool a_any = bytes_equal_text(a->type, "*"), b_any = bytes_equal_text(b->type, "*");
    bool a_all = bytes_equal_text(a->subtype, "*"), b_all = bytes_equal_text(b->subtype, "*");
    return a->quality > b->quality || (!a_any && b_any) || (!a_all && b_all);
}

static unsigned
read_clauses(const char *accept, struct clause clauses[CLAUSES_MAX])
{
    unsigned count = 0;
    for (struct bytes rest = bytes_of_text(accept); rest.size > 0 && count < CLAUSES_MAX;) {
        struct clause c;
        if (!read_clause(cut_before(&rest, ','), &c)) continue;
        unsigned at = count++;
        for (; at > 0 && goes_before(&c, &clauses[at - 1]); at--) {
            clauses[at] = clauses[at - 1];
        }
        clauses[at] = c;
    }
    return count;
}

static bool
asks_for_messages(const struct clause *c)
{
    return bytes_equal_text(c->type, "application") &&
           bytes_equal_text(c->subtype, "vnd.google.protobuf") &&
           parameter_is(c, "proto", "io.prometheus.client.MetricFamily") &&
           parameter_is(c, "encoding", "delimited");
}

static bool
asks_for_text(const struct clause *c)
{
    struct bytes version;
    return bytes_equal_text(c->type, "text") && bytes_equal_text(c->subtype, "plain") &&
           (!find_parameter(c, "version", &version) || trim(version).size == 0 ||
            bytes_equal_text(trim(version), "0.0.4"));
}

struct negotiated
negotiate(const char *accept)
{
    static const char *const types[] = {
        [FAMILY_FORM_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
        [FAMILY_FORM_MESSAGES] = "application/vnd.google.protobuf; "
                                 "proto=io.prometheus.client.MetricFamily; encoding=delimited"};
    struct negotiated n = {.form = FAMILY_FORM_TEXT, .escaping = ESCAPE_UNDERSCORES};
    struct clause clauses[CLAUSES_MAX];
    unsigned count = accept == NULL ? 0 : read_clauses(accept, clauses);
    for (unsigned i = 0; i < count; i++) {
        struct bytes escaping;
        if (find_parameter(&clauses[i], "escaping", &escaping)) {
            (void)name_escaping_parse(trim(escaping), &n.escaping);
        }
        if (asks_for_messages(&clauses[i])) n.form = FAMILY_FORM_MESSAGES;
        if (n.form == FAMILY_FORM_MESSAGES || asks_for_text(&clauses[i])) break;
    }
    snprintf(n.content_type, sizeof n.content_type, "%s; escaping=%s", types[n.form],
             name_escaping_word(n.escaping));
    return n;
}
