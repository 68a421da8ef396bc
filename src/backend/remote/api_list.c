/* api_list.c - see remote_read.h. A response may be large: each item is given as it is read. */
#include "backend/remote/remote_read.h"

#include "wire/json/json_scan.h"

enum { ARENA_BYTES_MAX = 1 << 30, LABEL_BYTES_MAX = 1 << 30 };

struct api_list_reading {
    const struct external_labels *external;
    const struct text_sink *to;
    struct arena arena; /* has the texts whose escapes were replaced */
    struct buf labels;
    struct scan scan;
};

void
api_sentence(struct bytes text, struct why *ret)
{
    size_t size = text.size < sizeof ret->text ? text.size : sizeof ret->text - 1;
    (void)why_set(ret, ERR_CORRUPT, "%.*s", (int)size, size == 0 ? "" : (const char *)text.at);
    for (char *p = ret->text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) *p = ' ';
    }
}

static enum err
take_text(struct api_list_reading *r)
{
    struct bytes text = scan_text(&r->scan);
    return r->scan.bad == NULL && text.size > 0 ? r->to->each(r->to->context, text) : OK;
}

/* Gives a warning of the server, for example that data is missing. */
static enum err
take_warning(struct api_list_reading *r)
{
    struct why sentence;
    struct bytes text = scan_text(&r->scan);
    if (r->scan.bad != NULL || text.size == 0 || r->to->warning == NULL) return OK;
    api_sentence(text, &sentence);
    return r->to->warning(r->to->context, sentence.text);
}

static enum err
take_series(struct api_list_reading *r, struct why *why)
{
    struct label labels[FINAL_LABELS_MAX];
    uint32_t count = 0;
    scan_expect(&r->scan, '{');
    for (struct bytes name; scan_key(&r->scan, &name);) {
        if (count == FINAL_LABELS_MAX) {
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        }
        labels[count++] = (struct label){name, scan_text(&r->scan)};
    }
    if (r->scan.bad != NULL) return OK;
    buf_clear(&r->labels);
    enum err e = final_labels_build(r->external, labels, count, &r->labels, why);
    if (e) return e;
    struct bytes made = r->labels.size > 0 ? buf_bytes(&r->labels) : bytes_of("", 0);
    return r->to->each(r->to->context, made);
}

/* Reads the items of the current array. */
static enum err
take_items(struct api_list_reading *r, bool is_data, enum api_list list, struct why *why)
{
    enum err e = OK;
    scan_expect(&r->scan, '[');
    while (e == OK && scan_item(&r->scan)) {
        if (!is_data)
            e = take_warning(r);
        else
            e = list == API_TEXTS ? take_text(r) : take_series(r, why);
        arena_reset(&r->arena); /* texts of this item are not used after this */
    }
    return e;
}

static enum err
read_answer(struct api_list_reading *r, enum api_list list, struct why *why)
{
    struct scan *s = &r->scan;
    bool any = false;
    enum err e = OK;
    scan_expect(s, '{');
    for (struct bytes key; e == OK && scan_key(s, &key);) {
        bool is_data = bytes_equal_text(key, "data"), is_warnings = false;
        if (!is_data) is_warnings = bytes_equal_text(key, "warnings");
        any |= is_data &&
               (scan_peek(s) == 'n' || scan_peek(s) == '['); /* null counts as an empty list */
        if ((is_data || is_warnings) && scan_peek(s) == '[')
            e = take_items(r, is_data, list, why);
        else
            scan_skip(s);
    }
    if (e) return e;
    scan_end(s);
    if (s->bad != NULL && s->error == ERR_NOMEM) {
        return why_set(why, ERR_NOMEM, "not enough memory for the response");
    }
    if (s->bad == NULL && any) return OK;
    return why_set(why, ERR_CORRUPT, "the response cannot be read: %s",
                   s->bad == NULL ? "it has no data" : s->bad);
}

enum err
api_list_read(struct bytes answer, enum api_list list, const struct external_labels *external,
              struct budget *budget, const struct text_sink *to, struct why *why)
{
    struct api_list_reading r = {.external = external, .to = to};
    arena_init(&r.arena, budget, ARENA_BYTES_MAX, 0);
    buf_init(&r.labels, budget, LABEL_BYTES_MAX);
    r.scan = scan_of(answer, &r.arena);
    enum err e = read_answer(&r, list, why);
    buf_fini(&r.labels);
    arena_fini(&r.arena);
    return e;
}
