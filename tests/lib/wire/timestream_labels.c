/* timestream_labels.c - see timestream_labels.h. */
#include "lib/wire/timestream_labels.h"

/* Returns the digits of H__...__digits, or of a keeper; empty for other names. */
static struct bytes
timestream_digits_of(struct bytes name, const char *prefix, size_t size_min)
{
    struct bytes none = {NULL, 0};
    uint64_t word;
    if (name.size < size_min || memcmp(name.at, prefix, 3) != 0) return none;
    struct bytes digits = {name.at + name.size - HEX_WORD_BYTES, HEX_WORD_BYTES};
    return hex_parse_word(digits, &word) ? digits : none;
}

static struct bytes
timestream_digits_of_shortened(struct bytes name)
{
    return timestream_digits_of(name, "H__", 3 + 2 + HEX_WORD_BYTES);
}

static struct bytes
timestream_digits_of_keeper(struct bytes name, const char *prefix)
{
    if (name.size != 3 + HEX_WORD_BYTES) return (struct bytes){NULL, 0};
    return timestream_digits_of(name, prefix, 3 + HEX_WORD_BYTES);
}

/* Returns the full name that was shortened to `name`; `name` itself if no keeper has it. */
static struct bytes
timestream_kept_name(const struct label *dimensions, uint32_t count, struct bytes name,
                     const char *prefix)
{
    struct bytes digits = timestream_digits_of_shortened(name);
    for (uint32_t i = 0; i < count && digits.size > 0; i++)
        if (bytes_equal(timestream_digits_of_keeper(dimensions[i].name, prefix), digits))
            return dimensions[i].value;
    return name;
}

static bool
timestream_is_used_keeper(const struct label *dimensions, uint32_t count, struct bytes name,
                          struct bytes measure_name)
{
    struct bytes digits = timestream_digits_of_keeper(name, "M__");
    if (digits.size > 0) return bytes_equal(timestream_digits_of_shortened(measure_name), digits);
    digits = timestream_digits_of_keeper(name, "N__");
    for (uint32_t i = 0; i < count && digits.size > 0; i++)
        if (bytes_equal(timestream_digits_of_shortened(dimensions[i].name), digits)) return true;
    return false;
}

/* Removes the escapes from a name. */
static enum err
timestream_unescape(struct bytes *name, struct arena *arena)
{
    if (!name_looks_escaped(*name)) return OK;
    uint8_t *at = arena_alloc(arena, name->size);
    if (at == NULL) return ERR_LIMIT;
    struct buf plain = {.at = at, .capacity = name->size, .limit = name->size}; /* never longer */
    if (escaped_name_get(&plain, *name)) *name = buf_bytes(&plain);
    return OK;
}

enum err
timestream_labels_get(const struct label *dimensions, uint32_t count, struct bytes measure_name,
                      struct arena *arena, struct label *ret_labels, uint32_t *ret_count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct label *d = &dimensions[i];
        if (timestream_is_used_keeper(dimensions, count, d->name, measure_name)) continue;
        ret_labels[n].name = timestream_kept_name(dimensions, count, d->name, "N__");
        ret_labels[n].value = d->value;
        enum err e = timestream_unescape(&ret_labels[n++].name, arena);
        if (e) return e;
    }
    struct bytes metric = timestream_kept_name(dimensions, count, measure_name, "M__");
    enum err e = timestream_unescape(&metric, arena);
    if (e) return e;
    if (metric.size > 0) ret_labels[n++] = (struct label){bytes_of_text("__name__"), metric};
    *ret_count = n;
    return OK;
}
