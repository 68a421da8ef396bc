/* label_text.c - see clickhouse_reader.h. */
#include "backend/clickhouse/clickhouse_reader.h"

#include "base/text/quote.h"
#include "wire/json/json_scan.h"

/* A value as text; empty for null. */
static struct bytes
take_value(struct scan *s)
{
    uint8_t first = scan_peek(s);
    if (first == '"') return scan_text(s);
    if (first == '{' || first == '[') {
        scan_fail(s, "a label's value is an object or an array");
        return bytes_of("", 0);
    }
    const uint8_t *from = s->at; /* blanks were skipped */
    scan_skip(s);
    if (s->bad != NULL || first == 'n') return bytes_of("", 0);
    return bytes_of(from, (size_t)(s->at - from));
}

enum err
label_text_read(struct bytes metric, struct bytes text, struct arena *arena, struct label *labels,
                uint32_t *ret_count, struct why *why)
{
    uint32_t n = 0;
    struct scan s = scan_of(text, arena);
    if (metric.size > 0) labels[n++] = (struct label){bytes_of_text("__name__"), metric};
    *ret_count = n;
    if (text.size == 0) return OK;
    scan_expect(&s, '{');
    for (struct bytes key; scan_key(&s, &key);) {
        struct bytes value = take_value(&s);
        if (s.bad != NULL || value.size == 0 || bytes_equal_text(key, "__name__")) continue;
        if (n == FINAL_LABELS_MAX) {
            return why_set(why, ERR_LIMIT, "a series has more than %d labels", FINAL_LABELS_MAX);
        }
        labels[n++] = (struct label){key, value};
    }
    scan_end(&s);
    *ret_count = n;
    if (s.bad == NULL) return OK;
    if (s.error == ERR_NOMEM) return why_set(why, ERR_NOMEM, "not enough memory for labels");
    return why_set(why, ERR_CORRUPT, "the labels of a row cannot be read: %s: %s", s.bad,
                   shown_of(text).text);
}
