/*
 * remote_write.c - the hottest loop of the write path.
 *
 * Nearly every byte that arrives was written by one of a few encoders, which all write the same
 * shapes. So each loop first tries the shape it expects, with as few comparisons as prove it, and
 * falls back to an ordinary field-by-field reader for everything else that the specification
 * allows:
 *
 *   label, 1.0      0a L 0a n name 12 v value      L < 128       skip_short_labels()
 *   sample          12 L [09 double] 10 time       six-byte time read_short_float()
 *   references, 2.0 packed varints of 1 or 2 bytes               append_refs()
 *
 * A fast reader never rejects: it takes what it recognizes and leaves the rest, including malformed
 * bytes, to the slow one. Both accept the same messages with the same meaning.
 *
 * 1.0: the `labels` fields of a series normally follow each other, so a view over them is enough;
 * otherwise they are gathered into the arena.
 *
 * 2.0: symbols precede the series that refer to them, so references are checked and the
 * fingerprints of their texts summed up series by series. The specification allows symbols after
 * series; such a message is walked twice: all symbols, then all series.
 */
#include "wire/remote/remote_write.h"

#include "base/hash/hash.h"
#include "wire/proto.h"
#include "wire/remote/remote_write_memory.h"

struct decoder {
    struct rw_memory *m;
    enum rw_version version;
    const struct fingerprint_keys *keys; /* NULL: series get no fingerprints */
    bool unchecked;                      /* labels are not checked */
    const uint8_t *field;                /* field of the message being read, for error sentences */
};

/* --- labels, 1.0 ------------------------------------------------------------------------------ */

/* Returns the end of the canonical short labels at `p`. */
static inline const uint8_t *
skip_short_labels(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 6) {
        uint32_t head = load_le32(p); /* 0a, L, 0a, n */
        uint32_t rest = head >> 8 & 0xff;
        uint32_t name = head >> 24;
        if ((head & 0x00ff80ff) != 0x000a000a) break;
        if (rest + 2 > (size_t)(end - p) || name + 4 > rest) break;
        /* 12, v: the value fills the rest after the name; so n and v are below 128 too. */
        if (load_le16(p + 4 + name) != ((rest - 4 - name) << 8 | 0x12)) break;
        p += rest + 2;
    }
    return p;
}

bool
rw_label_read(struct bytes message, struct label *ret_label)
{
    struct label label = {0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES):
            label.name = proto_bytes(&c);
            break;
        case PROTO_TAG(2, PROTO_BYTES):
            label.value = proto_bytes(&c);
            break;
        default:
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2));
        }
    }
    if (c.bad) return false;
    *ret_label = label;
    return true;
}

/* The `labels` fields of a series read so far. */
struct label_fields {
    const uint8_t *at;
    const uint8_t *end;
    bool scattered; /* they do not follow each other */
};

static inline void
label_fields_add(struct label_fields *fields, const uint8_t *from, const uint8_t *to)
{
    if (from == to) return;
    if (fields->at == NULL)
        fields->at = from;
    else if (fields->end != from)
        fields->scattered = true;
    fields->end = to;
}

/* Copies the `labels` fields of a series, which are well-formed, into one piece. */
static enum err
gather_labels(struct decoder *d, struct bytes series, struct bytes *ret_labels)
{
    uint8_t *to = rw_arena_alloc(d->m, series.size);
    if (to == NULL) return d->m->refused;
    size_t size = 0;
    struct cursor c = cursor_of(series);
    for (;;) {
        const uint8_t *field = c.at;
        uint32_t tag = proto_tag(&c);
        if (tag == 0) break;
        proto_skip(&c, tag, 0);
        if (tag != PROTO_TAG(1, PROTO_BYTES)) continue;
        memcpy(to + size, field, (size_t)(c.at - field));
        size += (size_t)(c.at - field);
    }
    *ret_labels = bytes_of(to, size);
    return OK;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* `c` is after the tag of a Sample. Takes the sample if it consists of a value (absent for 0) and a
 * time of six bytes: 1971 to 2109. */
static inline bool
read_short_float(struct cursor *c, struct rw_float *f)
{
    const uint8_t *p = c->at;
    size_t left = cursor_left(c);
    if (left < 8) return false;
    unsigned size = *p;
    uint64_t bits = 0;
    if (size == 16) {
        if (left < 17 || p[1] != PROTO_TAG(1, PROTO_FIXED64)) return false;
        bits = load_le64(p + 2);
    } else if (size != 7) {
        return false;
    }
    /* The last eight bytes: one preceding byte, the tag of the time and its six bytes. */
    uint64_t tail = load_le64(p + size - 7);
    if ((tail & 0x808080808080ff00) != 0x0080808080801000) return false;
    uint64_t t = tail >> 16;
    t = (t & 0x7f007f007f) | (t & 0x7f007f007f00) >> 1; /* three times 14 bits */
    f->t_ms = (int64_t)((t & 0x3fff) | (t >> 2 & 0x3fff << 14) | (t >> 4 & 0x3fffull << 28));
    f->bits = bits;
    f->start_ms = 0;
    c->at = p + 1 + size;
    return true;
}

static enum err
parse_float(struct bytes message, enum rw_version version, struct rw_float *f)
{
    uint64_t known = PROTO_KNOWN(1) | PROTO_KNOWN(2);
    if (version == RW_V2) known |= PROTO_KNOWN(3);
    *f = (struct rw_float){0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;)
        if (tag == PROTO_TAG(1, PROTO_FIXED64))
            f->bits = cursor_le64(&c);
        else if (tag == PROTO_TAG(2, PROTO_VARINT))
            f->t_ms = proto_int64(&c);
        else if (tag == PROTO_TAG(3, PROTO_VARINT) && version == RW_V2)
            f->start_ms = proto_int64(&c);
        else
            proto_skip(&c, tag, known);
    return c.bad ? ERR_INPUT : OK;
}

/* `c` is after the tag. */
static inline enum err
read_float(struct decoder *d, struct cursor *c)
{
    struct rw_float *f = rw_push(d->m, RW_FLOATS, sizeof *f);
    if (f == NULL) return d->m->refused;
    if (read_short_float(c, f)) return OK;
    return parse_float(proto_bytes(c), d->version, f);
}

static enum err
read_histogram(struct decoder *d, struct cursor *c)
{
    struct rw_histogram *h = rw_push(d->m, RW_HISTOGRAMS, sizeof *h);
    if (h == NULL) return d->m->refused;
    return rw_decode_histogram(d->m, d->version, proto_bytes(c), h);
}

/* --- references, 2.0 -------------------------------------------------------------------------- */

static enum err
append_ref(struct rw_memory *m, enum rw_array_id id, uint32_t ref)
{
    uint32_t *to = rw_push(m, id, sizeof *to);
    if (to == NULL) return m->refused;
    *to = ref;
    return OK;
}

static enum err
append_refs(struct rw_memory *m, enum rw_array_id id, struct bytes packed)
{
    struct rw_array *array = &m->arrays[id];
    if (packed.size == 0) return OK;
    if (!rw_reserve(m, array, (uint32_t)packed.size)) return m->refused;
    uint32_t *const first = (uint32_t *)array->at + array->count;
    uint32_t *to = first;
    const uint8_t *p = packed.at;
    const uint8_t *end = p + packed.size;
    while (p != end) {
        uint32_t ref = *p++;
        if (ref >= 0x80) {
            if (p != end && *p < 0x80) {
                ref = (ref & 0x7f) | (uint32_t)*p++ << 7;
            } else {
                struct cursor c = {p - 1, end, false};
                ref = proto_uint32(&c);
                if (c.bad) return ERR_INPUT;
                p = c.at;
            }
        }
        *to++ = ref;
    }
    array->count += (uint32_t)(to - first);
    return OK;
}

/* Checks the references of a series, the last ones of their array. */
static void
resolve_series_refs(struct decoder *d, struct rw_series *series)
{
    struct rw_array *array = &d->m->arrays[RW_REFS];
    const uint32_t symbol_count = d->m->arrays[RW_SYMBOLS].count;
    uint32_t count = array->count - series->refs.first;
    const uint32_t *refs = count == 0 ? NULL : (const uint32_t *)array->at + series->refs.first;
    series->bad_reference = count % 2 != 0;
    for (uint32_t i = 0; i < count; i++)
        series->bad_reference |= refs[i] >= symbol_count;
    if (series->bad_reference) {
        array->count = series->refs.first;
        return;
    }
    series->refs.count = count;
    series->print = rw_print_refs(d->m, d->keys, refs, count);
}

static bool
symbol_of(const struct rw_memory *m, uint32_t ref, struct bytes *ret_text)
{
    const struct rw_array *symbols = &m->arrays[RW_SYMBOLS];
    if (ref == 0) {
        *ret_text = (struct bytes){0};
        return true;
    }
    if (ref >= symbols->count) return false;
    *ret_text = ((const struct bytes *)symbols->at)[ref];
    return true;
}

/* --- exemplars -------------------------------------------------------------------------------- */

static enum err
append_label(struct rw_memory *m, struct label label)
{
    struct label *to = rw_push(m, RW_LABELS, sizeof *to);
    if (to == NULL) return m->refused;
    *to = label;
    return OK;
}

static enum err
resolve_exemplar_refs(struct rw_memory *m, struct rw_exemplar *exemplar)
{
    const struct bytes *symbols = m->arrays[RW_SYMBOLS].at;
    const uint32_t symbol_count = m->arrays[RW_SYMBOLS].count;
    const uint32_t *refs = m->arrays[RW_EXEMPLAR_REFS].at;
    uint32_t count = m->arrays[RW_EXEMPLAR_REFS].count;
    exemplar->bad_reference = count % 2 != 0;
    for (uint32_t i = 0; i < count; i++)
        if (refs[i] >= symbol_count) exemplar->bad_reference = true;
    if (exemplar->bad_reference) return OK;
    for (uint32_t i = 0; i < count; i += 2) {
        enum err e = append_label(m, (struct label){symbols[refs[i]], symbols[refs[i + 1]]});
        if (e) return e;
    }
    return OK;
}

/* Reads field 1 of an Exemplar in the form of its version; another wire type is malformed. */
static enum err
read_exemplar_labels(struct decoder *d, uint32_t tag, struct cursor *c)
{
    if (tag == PROTO_TAG(1, PROTO_BYTES) && d->version == RW_V1) {
        struct label label;
        if (!rw_label_read(proto_bytes(c), &label)) return ERR_INPUT;
        return append_label(d->m, label);
    }
    if (tag == PROTO_TAG(1, PROTO_BYTES))
        return append_refs(d->m, RW_EXEMPLAR_REFS, proto_bytes(c));
    if (tag == PROTO_TAG(1, PROTO_VARINT) && d->version == RW_V2)
        return append_ref(d->m, RW_EXEMPLAR_REFS, proto_uint32(c));
    return ERR_INPUT;
}

static enum err
read_exemplar(struct decoder *d, struct bytes message)
{
    struct rw_memory *m = d->m;
    struct rw_exemplar *exemplar = rw_push(m, RW_EXEMPLARS, sizeof *exemplar);
    if (exemplar == NULL) return m->refused;
    *exemplar = (struct rw_exemplar){.label_first = m->arrays[RW_LABELS].count};
    m->arrays[RW_EXEMPLAR_REFS].count = 0;
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag >> 3 == 1) {
            enum err e = read_exemplar_labels(d, tag, &c);
            if (e) return e;
        } else if (tag == PROTO_TAG(2, PROTO_FIXED64)) {
            exemplar->bits = cursor_le64(&c);
        } else if (tag == PROTO_TAG(3, PROTO_VARINT)) {
            exemplar->t_ms = proto_int64(&c);
        } else {
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2) | PROTO_KNOWN(3));
        }
    }
    if (c.bad) return ERR_INPUT;
    if (d->version == RW_V2) {
        enum err e = resolve_exemplar_refs(m, exemplar);
        if (e) return e;
    }
    exemplar->label_count = m->arrays[RW_LABELS].count - exemplar->label_first;
    return OK;
}

/* --- series ----------------------------------------------------------------------------------- */

static struct rw_series *
rw_begin_series(struct rw_memory *m)
{
    struct rw_series *series = rw_push(m, RW_SERIES, sizeof *series);
    if (series == NULL) return NULL;
    /* Member by member: for a whole struct the compiler uses a slow string instruction. */
    series->print = (struct fingerprint){0, 0};
    series->label_bytes = (struct bytes){0};
    series->refs = (struct rw_range){m->arrays[RW_REFS].count, 0};
    series->floats = (struct rw_range){m->arrays[RW_FLOATS].count, 0};
    series->histograms = (struct rw_range){m->arrays[RW_HISTOGRAMS].count, 0};
    series->exemplars = (struct rw_range){m->arrays[RW_EXEMPLARS].count, 0};
    series->help = (struct bytes){0};
    series->unit = (struct bytes){0};
    series->type = METRIC_UNKNOWN;
    series->has_metadata = false;
    series->bad_metadata = false;
    series->unchecked = false;
    series->bad_reference = false;
    return series;
}

static void
rw_end_series(const struct rw_memory *m, struct rw_series *series)
{
    series->floats.count = m->arrays[RW_FLOATS].count - series->floats.first;
    series->histograms.count = m->arrays[RW_HISTOGRAMS].count - series->histograms.first;
    series->exemplars.count = m->arrays[RW_EXEMPLARS].count - series->exemplars.first;
}

/* Takes a series as labels and one float if it ends with a float in the usual shape, of 18 bytes
 * or, for a value of 0, of 9. */
static bool
read_plain_series(struct decoder *d, struct bytes message)
{
    struct rw_memory *m = d->m;
    size_t size = message.size, tail = 18;
    const uint8_t *end = message.at + size;
    if (size <= tail || message.at[0] != PROTO_TAG(1, PROTO_BYTES)) return false;
    if (load_le16(end - tail) != (16 << 8 | PROTO_TAG(2, PROTO_BYTES))) tail = 9;
    if (tail == 9 && load_le16(end - tail) != (7 << 8 | PROTO_TAG(2, PROTO_BYTES))) return false;
    struct cursor c = {end - tail + 1, end, false};
    struct rw_float f;
    if (size - tail > FINGERPRINT_BYTES_MAX || !read_short_float(&c, &f)) return false;
    if (!rw_reserve(m, &m->arrays[RW_FLOATS], 1)) return false;
    struct rw_series *series = rw_begin_series(m);
    if (series == NULL) return false;
    struct rw_float *to = rw_push(m, RW_FLOATS, sizeof *to);
    *to = f;
    series->floats.count = 1;
    series->label_bytes = bytes_of(message.at, size - tail);
    series->print = fingerprint_of(&d->keys->texts, series->label_bytes);
    series->unchecked = true;
    return true;
}

bool
rw_series_check(const struct rw_series *series)
{
    if (!series->unchecked) return true;
    struct cursor c = cursor_of(series->label_bytes);
    for (;;) {
        c.at = skip_short_labels(c.at, c.end);
        uint32_t tag = proto_tag(&c);
        struct label label;
        if (tag == 0) return !c.bad;
        if (tag != PROTO_TAG(1, PROTO_BYTES) || !rw_label_read(proto_bytes(&c), &label))
            return false;
    }
}

static enum err
read_series_v1(struct decoder *d, struct bytes message)
{
    if (d->unchecked && read_plain_series(d, message)) return OK;
    struct rw_series *series = rw_begin_series(d->m);
    if (series == NULL) return d->m->refused;
    struct label_fields labels = {0};
    struct cursor c = cursor_of(message);
    for (;;) {
        const uint8_t *field = c.at;
        c.at = skip_short_labels(c.at, c.end);
        label_fields_add(&labels, field, c.at);
        field = c.at;
        enum err e = OK;
        uint32_t tag = proto_tag(&c);
        if (tag == 0) break;
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES): {
            struct label label;
            if (!rw_label_read(proto_bytes(&c), &label)) return ERR_INPUT;
            label_fields_add(&labels, field, c.at);
            break;
        }
        case PROTO_TAG(2, PROTO_BYTES):
            e = read_float(d, &c);
            break;
        case PROTO_TAG(3, PROTO_BYTES):
            e = read_exemplar(d, proto_bytes(&c));
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            e = read_histogram(d, &c);
            break;
        default:
            proto_skip(&c, tag, 0x1e); /* 1 to 4 */
        }
        if (e) return e;
    }
    if (c.bad) return ERR_INPUT;
    rw_end_series(d->m, series);
    series->label_bytes = bytes_of(labels.at, (size_t)(labels.end - labels.at));
    if (labels.scattered) {
        enum err e = gather_labels(d, message, &series->label_bytes);
        if (e) return e;
    }
    if (d->keys != NULL) series->print = fingerprint_of(&d->keys->texts, series->label_bytes);
    return OK;
}

/* Occurrences of an embedded message merge: fields of a later one replace those of an earlier one.
 */
struct metadata_v2 {
    uint32_t type;
    uint32_t help_ref;
    uint32_t unit_ref;
};

static enum err
read_metadata_v2(struct bytes message, struct metadata_v2 *metadata)
{
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_VARINT):
            metadata->type = proto_uint32(&c);
            break;
        case PROTO_TAG(3, PROTO_VARINT):
            metadata->help_ref = proto_uint32(&c);
            break;
        case PROTO_TAG(4, PROTO_VARINT):
            metadata->unit_ref = proto_uint32(&c);
            break;
        default:
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(3) | PROTO_KNOWN(4));
        }
    }
    return c.bad ? ERR_INPUT : OK;
}

static enum metric_type
metric_type_of(uint32_t number)
{
    return number < METRIC_TYPE_COUNT ? (enum metric_type)number : METRIC_UNKNOWN;
}

static enum err
read_series_v2(struct decoder *d, struct bytes message)
{
    struct rw_series *series = rw_begin_series(d->m);
    if (series == NULL) return d->m->refused;
    struct metadata_v2 metadata = {0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        enum err e = OK;
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES):
            e = append_refs(d->m, RW_REFS, proto_bytes(&c));
            break;
        case PROTO_TAG(1, PROTO_VARINT):
            e = append_ref(d->m, RW_REFS, proto_uint32(&c));
            break;
        case PROTO_TAG(2, PROTO_BYTES):
            e = read_float(d, &c);
            break;
        case PROTO_TAG(3, PROTO_BYTES):
            e = read_histogram(d, &c);
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            e = read_exemplar(d, proto_bytes(&c));
            break;
        case PROTO_TAG(5, PROTO_BYTES):
            e = read_metadata_v2(proto_bytes(&c), &metadata);
            break;
        default:
            proto_skip(&c, tag, 0x3e); /* 1 to 5 */
        }
        if (e) return e;
    }
    if (c.bad) return ERR_INPUT;
    rw_end_series(d->m, series);
    resolve_series_refs(d, series);
    /* Prometheus sends an empty message unless metadata is in its log; it must not replace a type.
     */
    series->has_metadata = metadata.type != 0 || metadata.help_ref != 0 || metadata.unit_ref != 0;
    if (!series->has_metadata) return OK;
    series->type = metric_type_of(metadata.type);
    if (!symbol_of(d->m, metadata.help_ref, &series->help)) series->bad_metadata = true;
    if (!symbol_of(d->m, metadata.unit_ref, &series->unit)) series->bad_metadata = true;
    return OK;
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
read_metadata_v1(struct decoder *d, struct bytes message)
{
    struct rw_metadata *metadata = rw_push(d->m, RW_METADATA, sizeof *metadata);
    if (metadata == NULL) return d->m->refused;
    *metadata = (struct rw_metadata){0};
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        switch (tag) {
        case PROTO_TAG(1, PROTO_VARINT):
            metadata->type = metric_type_of(proto_uint32(&c));
            break;
        case PROTO_TAG(2, PROTO_BYTES):
            metadata->family = proto_bytes(&c);
            break;
        case PROTO_TAG(4, PROTO_BYTES):
            metadata->help = proto_bytes(&c);
            break;
        case PROTO_TAG(5, PROTO_BYTES):
            metadata->unit = proto_bytes(&c);
            break;
        default:
            proto_skip(&c, tag, PROTO_KNOWN(1) | PROTO_KNOWN(2) | PROTO_KNOWN(4) | PROTO_KNOWN(5));
        }
    }
    return c.bad ? ERR_INPUT : OK;
}

enum walk { WALK_BOTH, WALK_SYMBOLS, WALK_SERIES };

/* A request consists of series and of metadata (1.0) or symbols (2.0). *ret_late: a symbol follows
 * a series; reading stopped there. Only when walking BOTH. */
static inline __attribute__((always_inline)) enum err
read_request(struct decoder *d, struct bytes message, enum rw_version version, enum walk walk,
             bool *ret_late)
{
    const uint32_t series = version == RW_V1 ? 1 : 5, other = version == RW_V1 ? 3 : 4;
    struct cursor c = cursor_of(message);
    *ret_late = false;
    for (;;) {
        d->field = c.at;
        enum err e = OK;
        uint32_t tag = proto_tag(&c);
        if (tag == 0) break;
        struct bytes body;
        if (tag == PROTO_TAG(series, PROTO_BYTES)) {
            body = proto_bytes(&c);
            if (c.bad || walk == WALK_SYMBOLS) continue;
            e = version == RW_V1 ? read_series_v1(d, body) : read_series_v2(d, body);
        } else if (tag == PROTO_TAG(other, PROTO_BYTES)) {
            body = proto_bytes(&c);
            *ret_late = version == RW_V2 && walk == WALK_BOTH && d->m->arrays[RW_SERIES].count > 0;
            if (*ret_late) return OK;
            if (c.bad || walk == WALK_SERIES) continue;
            e = version == RW_V1 ? read_metadata_v1(d, body)
                                 : rw_append_symbol(d->m, d->keys, body);
        } else {
            proto_skip(&c, tag, PROTO_KNOWN(series) | PROTO_KNOWN(other));
        }
        if (e) return e;
    }
    return c.bad ? ERR_INPUT : OK;
}

/* A single call, so that read_series_v2() is inlined: 2.5 % of decoding. */
static __attribute__((noinline)) enum err
read_request_v2(struct decoder *d, struct bytes message, enum walk walk, bool *ret_late)
{
    return read_request(d, message, RW_V2, walk, ret_late);
}

static enum err
rw_decode_request(struct decoder *d, struct bytes message)
{
    bool late;
    if (d->version == RW_V1) return read_request(d, message, RW_V1, WALK_BOTH, &late);
    enum err e = read_request_v2(d, message, WALK_BOTH, &late);
    if (e || !late) return e;
    rw_memory_empty(d->m);
    e = read_request_v2(d, message, WALK_SYMBOLS, &late);
    if (e) return e;
    return read_request_v2(d, message, WALK_SERIES, &late);
}

void
rw_publish(struct rw_request *request)
{
    const struct rw_array *arrays = request->memory->arrays;
    request->series_count = arrays[RW_SERIES].count;
    request->series = arrays[RW_SERIES].at;
    request->float_count = arrays[RW_FLOATS].count;
    request->floats = arrays[RW_FLOATS].at;
    request->histogram_count = arrays[RW_HISTOGRAMS].count;
    request->histograms = arrays[RW_HISTOGRAMS].at;
    request->exemplar_count = arrays[RW_EXEMPLARS].count;
    request->exemplars = arrays[RW_EXEMPLARS].at;
    request->metadata_count = arrays[RW_METADATA].count;
    request->metadata = arrays[RW_METADATA].at;
    request->symbol_count = arrays[RW_SYMBOLS].count;
    request->symbols = arrays[RW_SYMBOLS].at;
    request->refs = arrays[RW_REFS].at;
    request->labels = arrays[RW_LABELS].at;
}

static enum err
explain(const struct decoder *d, struct bytes message, enum err e, struct why *why)
{
    const char *version = d->version == RW_V1 ? "1.0" : "2.0";
    uint32_t count = d->m->arrays[RW_SERIES].count;
    if (e == ERR_INPUT) {
        size_t offset = d->field == NULL ? 0 : (size_t)(d->field - message.at);
        return why_set(
            why, e,
            "remote write %s: malformed protobuf in the field at byte %zu of %zu (series %u)",
            version, offset, message.size, count);
    }
    return why_set(why, e, "remote write %s: %s after %u series of a message of %zu bytes", version,
                   e == ERR_LIMIT ? "too many empty elements" : "not enough memory", count,
                   message.size);
}

static enum err
decode_request(struct rw_request *request, enum rw_version version, bool unchecked,
               struct bytes message, uint64_t seed, struct why *why)
{
    struct rw_memory *m = request->memory;
    rw_request_clear(request);
    request->version = version;
    request->seed = seed;
    if (message.size > RW_MESSAGE_BYTES_MAX) {
        return why_set(why, ERR_LIMIT,
                       "remote write: message has %zu bytes: at most %d are allowed", message.size,
                       RW_MESSAGE_BYTES_MAX);
    }
    m->limit_bytes = RW_KEEP_BYTES + (uint64_t)RW_AMPLIFICATION_MAX * message.size;
    m->arena.limit_bytes = m->limit_bytes;
    struct decoder d = {.m = m, .version = version, .keys = request->keys};
    d.unchecked = unchecked && request->keys != NULL;
    enum err e = rw_decode_request(&d, message);
    if (e) {
        explain(&d, message, e, why);
        rw_request_clear(request);
        return e;
    }
    rw_publish(request);
    return OK;
}

enum err
rw_decode(struct rw_request *request, enum rw_version version, struct bytes message, uint64_t seed,
          struct why *why)
{
    return decode_request(request, version, false, message, seed, why);
}

enum err
rw_decode_unchecked(struct rw_request *request, enum rw_version version, struct bytes message,
                    uint64_t seed, struct why *why)
{
    return decode_request(request, version, true, message, seed, why);
}

/* --- reading the result ----------------------------------------------------------------------- */

uint64_t
rw_series_key(const struct rw_request *request, const struct rw_series *series)
{
    if (request->version == RW_V1) return hash_bytes(series->label_bytes, request->seed);
    if (!fingerprint_is_none(series->print)) return hash_mix(series->print.low, request->seed);
    uint64_t hash = request->seed; /* chained over all texts: too many for a fingerprint */
    for (uint32_t i = 0; i < series->refs.count; i++) {
        struct bytes text = request->symbols[request->refs[series->refs.first + i]];
        hash = hash_mix(hash, hash_bytes(text, request->seed));
    }
    return hash;
}

struct rw_label_walk
rw_labels(const struct rw_request *request, const struct rw_series *series)
{
    return (struct rw_label_walk){
        .request = request,
        .bytes = cursor_of(series->label_bytes),
        .at = series->refs.first,
        .end = series->refs.first + series->refs.count,
    };
}

bool
rw_label_next(struct rw_label_walk *walk, struct label *ret_label)
{
    if (walk->request->version == RW_V2) {
        if (walk->at == walk->end) return false;
        const struct rw_request *r = walk->request;
        ret_label->name = r->symbols[r->refs[walk->at]];
        ret_label->value = r->symbols[r->refs[walk->at + 1]];
        walk->at += 2;
        return true;
    }
    if (proto_tag(&walk->bytes) == 0) return false;
    return rw_label_read(proto_bytes(&walk->bytes), ret_label);
}

/* --- memory ----------------------------------------------------------------------------------- */

/*
 * Arrays grow by half, and count against the limit of the message.
 */

/* A reset arena keeps a block of this size; doubling adds larger ones. */
enum { ARENA_FIRST_BLOCK_BYTES = 64 << 10, ARRAY_FIRST_BYTES = 4096, ARENA_SLACK_BYTES = 1 << 20 };

static const uint32_t item_bytes[RW_ARRAY_COUNT] = {
    [RW_SERIES] = sizeof(struct rw_series),
    [RW_FLOATS] = sizeof(struct rw_float),
    [RW_HISTOGRAMS] = sizeof(struct rw_histogram),
    [RW_EXEMPLARS] = sizeof(struct rw_exemplar),
    [RW_METADATA] = sizeof(struct rw_metadata),
    [RW_SYMBOLS] = sizeof(struct bytes),
    [RW_SYMBOL_PRINTS] = sizeof(struct fingerprint),
    [RW_REFS] = sizeof(uint32_t),
    [RW_LABELS] = sizeof(struct label),
    [RW_EXEMPLAR_REFS] = sizeof(uint32_t),
};

_Static_assert(sizeof(struct rw_series) == 104, "remote_write.h states the amplification");
_Static_assert(sizeof(struct rw_histogram) == 152, "remote_write.h states the amplification");

enum err
rw_request_init(struct rw_request *request, struct budget *budget)
{
    *request = (struct rw_request){.version = RW_V1};
    struct rw_memory *m = mem_new(budget, sizeof *m);
    if (m == NULL) return ERR_NOMEM;
    m->budget = budget;
    arena_init(&m->arena, budget, 0, ARENA_FIRST_BLOCK_BYTES);
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++)
        m->arrays[i].item_bytes = item_bytes[i];
    request->memory = m;
    return OK;
}

void
rw_memory_empty(struct rw_memory *m)
{
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++)
        m->arrays[i].count = 0;
    arena_reset(&m->arena);
}

static void
free_arrays(struct rw_memory *m)
{
    for (unsigned i = 0; i < RW_ARRAY_COUNT; i++) {
        struct rw_array *array = &m->arrays[i];
        mem_free(m->budget, array->at, (size_t)array->capacity * array->item_bytes);
        array->at = NULL;
        array->count = array->capacity = 0;
    }
    m->held_bytes = 0;
}

void
rw_request_clear(struct rw_request *request)
{
    struct rw_memory *m = request->memory;
    *request = (struct rw_request){.version = request->version, .memory = m, .keys = request->keys};
    rw_memory_empty(m);
    if (m->held_bytes > RW_KEEP_BYTES) free_arrays(m);
    if (m->arena.used_bytes > RW_KEEP_BYTES) arena_fini(&m->arena);
}

void
rw_request_fini(struct rw_request *request)
{
    struct rw_memory *m = request->memory;
    if (m == NULL) return;
    free_arrays(m);
    arena_fini(&m->arena);
    mem_free(m->budget, m, sizeof *m);
    *request = (struct rw_request){0};
}

bool
rw_array_grow(struct rw_memory *m, struct rw_array *array, uint32_t more)
{
    uint64_t need = (uint64_t)array->count + more;
    uint64_t capacity = array->capacity + array->capacity / 2;
    if (capacity < need) capacity = need;
    if (capacity < ARRAY_FIRST_BYTES / array->item_bytes)
        capacity = ARRAY_FIRST_BYTES / array->item_bytes;
    uint64_t old_bytes = (uint64_t)array->capacity * array->item_bytes;
    uint64_t new_bytes = capacity * array->item_bytes;
    if (capacity > UINT32_MAX || m->held_bytes - old_bytes + new_bytes > m->limit_bytes) {
        m->refused = ERR_LIMIT;
        return false;
    }
    void *at = mem_resize(m->budget, array->at, old_bytes, new_bytes);
    if (at == NULL) {
        m->refused = ERR_NOMEM;
        return false;
    }
    array->at = at;
    array->capacity = (uint32_t)capacity;
    m->held_bytes += new_bytes - old_bytes;
    return true;
}

void *
rw_arena_alloc(struct rw_memory *m, size_t size_bytes)
{
    void *at = arena_alloc(&m->arena, size_bytes);
    if (at != NULL) return at;
    /* The arena does not report which of its two limits was reached. */
    uint64_t left = m->arena.limit_bytes - m->arena.used_bytes;
    m->refused = left < size_bytes + ARENA_SLACK_BYTES ? ERR_LIMIT : ERR_NOMEM;
    return NULL;
}
