/*
 * remote_write_oracle_test.c - compares our decoding with protobuf-c's: of messages it packed, of
 * messages in every odd form the encoding allows (made from its descriptors), of damaged ones, and
 * of captured traffic.
 *
 * The rule: it accepts all that we accept, with the same content. The two differ in this:
 * - We refuse more: field number 0, and tags, lengths and numbers with bits beyond their type,
 *   which it cuts off. (Wrong wire types both refuse; neither checks UTF-8.)
 * - We skip groups, which it refuses: it is given the message without them.
 * - A repeated Metadata merges; a zero sent in the later occurrence replaces the earlier value, as
 *   the specification says, while protobuf-c takes any zero for absent. Not compared then.
 */
#include "lib/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "remote_write_v1.pb-c.h"
#include "remote_write_v2.pb-c.h"

#include "lib/random.h"
#include "lib/wire/remote_write_validate.h"
#include "wire/proto.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

enum { SEED = 99, MESSAGES = 2000, MUTATIONS = 12, MESSAGE_BYTES_MAX = 8 << 20 };

static struct budget budget;
static struct rw_request request;
static struct fingerprint_keys keys;

/* --- comparing -------------------------------------------------------------------------------- */

static void
same_text(struct bytes ours, ProtobufCBinaryData theirs)
{
    assert_true(bytes_equal(ours, bytes_of(theirs.data, theirs.len)));
}

static void
same_spans(const struct hist_buckets *b, size_t count,
           Io__Prometheus__Write__V2__BucketSpan **spans)
{
    assert_int_equal(b->span_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(b->spans[i].offset, spans[i]->offset);
        assert_int_equal(b->spans[i].length, spans[i]->length);
    }
}

static void
same_words(const void *ours, uint32_t our_count, const void *theirs, size_t their_count)
{
    assert_int_equal(our_count, their_count);
    if (our_count > 0) assert_memory_equal(ours, theirs, our_count * sizeof(uint64_t));
}

static void
same_histogram(const struct rw_histogram *ours, const Io__Prometheus__Write__V2__Histogram *o,
               bool has_start)
{
    const struct histogram *h = &ours->h;
    bool count_int = o->count_case == IO__PROMETHEUS__WRITE__V2__HISTOGRAM__COUNT_COUNT_INT;
    bool count_float = o->count_case == IO__PROMETHEUS__WRITE__V2__HISTOGRAM__COUNT_COUNT_FLOAT;
    bool zero_int =
        o->zero_count_case == IO__PROMETHEUS__WRITE__V2__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_INT;
    bool zero_float =
        o->zero_count_case == IO__PROMETHEUS__WRITE__V2__HISTOGRAM__ZERO_COUNT_ZERO_COUNT_FLOAT;
    bool integer = count_int || zero_int || o->n_negative_deltas + o->n_positive_deltas > 0;
    bool floating = count_float || zero_float || o->n_negative_counts + o->n_positive_counts > 0;

    assert_int_equal(ours->malformed, (integer && floating) || (!count_int && !count_float));
    assert_int_equal(ours->t_ms, o->timestamp);
    assert_int_equal(ours->start_ms, has_start ? o->start_timestamp : 0);
    assert_int_equal(h->sum_bits, double_bits(o->sum));
    assert_int_equal(h->schema, o->schema);
    assert_int_equal(h->zero_threshold_bits, double_bits(o->zero_threshold));
    assert_int_equal((int)h->reset_hint, (int)o->reset_hint);
    same_spans(&h->negative, o->n_negative_spans, o->negative_spans);
    same_spans(&h->positive, o->n_positive_spans, o->positive_spans);
    same_words(h->custom_bits, h->custom_count, o->custom_values, o->n_custom_values);
    if (count_int) {
        assert_int_equal(h->kind, SAMPLE_HISTOGRAM_INT);
        assert_int_equal(h->count, o->count_int);
    }
    if (count_float) {
        assert_int_equal(h->kind, SAMPLE_HISTOGRAM_FLOAT);
        assert_int_equal(h->count, double_bits(o->count_float));
    }
    if (zero_int) assert_int_equal(h->zero_count, o->zero_count_int);
    if (zero_float) assert_int_equal(h->zero_count, double_bits(o->zero_count_float));
    const struct hist_buckets *n = &h->negative, *p = &h->positive;
    if (h->kind == SAMPLE_HISTOGRAM_INT) {
        same_words(n->deltas, n->bucket_count, o->negative_deltas, o->n_negative_deltas);
        same_words(p->deltas, p->bucket_count, o->positive_deltas, o->n_positive_deltas);
    } else {
        same_words(n->counts, n->bucket_count, o->negative_counts, o->n_negative_counts);
        same_words(p->counts, p->bucket_count, o->positive_counts, o->n_positive_counts);
    }
}

/* Compares a histogram of 1.0 like one of 2.0: they have the same numbers in the message. */
static void
same_histogram_v1(const struct rw_histogram *ours, const Prometheus__Histogram *o)
{
    Prometheus__Histogram known = *o;
    known.base.n_unknown_fields = 0;
    struct buf buf;
    buf_init(&buf, NULL, MESSAGE_BYTES_MAX);
    assert_true(buf_reserve(&buf, prometheus__histogram__get_packed_size(&known) + 1));
    buf.size = prometheus__histogram__pack(&known, buf.at);
    Io__Prometheus__Write__V2__Histogram *same =
        io__prometheus__write__v2__histogram__unpack(NULL, buf.size, buf.at);
    assert_non_null(same);
    same_histogram(ours, same, false);
    io__prometheus__write__v2__histogram__free_unpacked(same, NULL);
    buf_fini(&buf);
}

static void
same_exemplar_v1(const struct rw_exemplar *ours, const Prometheus__Exemplar *o)
{
    assert_int_equal(ours->t_ms, o->timestamp);
    assert_int_equal(ours->bits, double_bits(o->value));
    assert_int_equal(ours->label_count, o->n_labels);
    for (size_t i = 0; i < o->n_labels; i++) {
        same_text(request.labels[ours->label_first + i].name, o->labels[i]->name);
        same_text(request.labels[ours->label_first + i].value, o->labels[i]->value);
    }
}

static void
same_series_v1(const struct rw_series *s, const Prometheus__TimeSeries *o)
{
    struct rw_label_walk walk = rw_labels(&request, s);
    struct label label;
    for (size_t i = 0; i < o->n_labels; i++) {
        assert_true(rw_label_next(&walk, &label));
        same_text(label.name, o->labels[i]->name);
        same_text(label.value, o->labels[i]->value);
    }
    assert_false(rw_label_next(&walk, &label));
    assert_int_equal(s->floats.count, o->n_samples);
    for (size_t i = 0; i < o->n_samples; i++) {
        const struct rw_float *f = &request.floats[s->floats.first + i];
        assert_int_equal(f->t_ms, o->samples[i]->timestamp);
        assert_int_equal(f->bits, double_bits(o->samples[i]->value));
        assert_int_equal(f->start_ms, 0);
    }
    assert_int_equal(s->histograms.count, o->n_histograms);
    for (size_t i = 0; i < o->n_histograms; i++)
        same_histogram_v1(&request.histograms[s->histograms.first + i], o->histograms[i]);
    assert_int_equal(s->exemplars.count, o->n_exemplars);
    for (size_t i = 0; i < o->n_exemplars; i++)
        same_exemplar_v1(&request.exemplars[s->exemplars.first + i], o->exemplars[i]);
}

static unsigned
known_type(int number)
{
    return number >= 0 && number < METRIC_TYPE_COUNT ? (unsigned)number : METRIC_UNKNOWN;
}

static void
same_request_v1(struct bytes message)
{
    Prometheus__WriteRequest *o = prometheus__write_request__unpack(NULL, message.size, message.at);
    assert_non_null(o);
    assert_int_equal(request.series_count, o->n_timeseries);
    for (size_t i = 0; i < o->n_timeseries; i++)
        same_series_v1(&request.series[i], o->timeseries[i]);
    assert_int_equal(request.metadata_count, o->n_metadata);
    for (size_t i = 0; i < o->n_metadata; i++) {
        assert_int_equal(request.metadata[i].type, known_type((int)o->metadata[i]->type));
        same_text(request.metadata[i].family, o->metadata[i]->metric_family_name);
        same_text(request.metadata[i].help, o->metadata[i]->help);
        same_text(request.metadata[i].unit, o->metadata[i]->unit);
    }
    prometheus__write_request__free_unpacked(o, NULL);
}

static bool
refs_are_bad(const uint32_t *refs, size_t count, size_t symbol_count)
{
    for (size_t i = 0; i < count; i++)
        if (refs[i] >= symbol_count) return true;
    return count % 2 != 0;
}

static void
same_exemplar_v2(const struct rw_exemplar *ours, const Io__Prometheus__Write__V2__Exemplar *o,
                 const Io__Prometheus__Write__V2__Request *all)
{
    assert_int_equal(ours->t_ms, o->timestamp);
    assert_int_equal(ours->bits, double_bits(o->value));
    bool bad = refs_are_bad(o->labels_refs, o->n_labels_refs, all->n_symbols);
    assert_int_equal(ours->bad_reference, bad);
    assert_int_equal(ours->label_count, bad ? 0 : o->n_labels_refs / 2);
    for (size_t i = 0; i < ours->label_count; i++) {
        const struct label *label = &request.labels[ours->label_first + i];
        same_text(label->name, all->symbols[o->labels_refs[2 * i]]);
        same_text(label->value, all->symbols[o->labels_refs[2 * i + 1]]);
    }
}

static void
same_metadata_v2(const struct rw_series *s, const Io__Prometheus__Write__V2__Metadata *o,
                 const Io__Prometheus__Write__V2__Request *all)
{
    assert_int_equal(s->has_metadata, o->type != 0 || o->help_ref != 0 || o->unit_ref != 0);
    assert_int_equal(s->type, known_type((int)o->type));
    bool bad_help = o->help_ref != 0 && o->help_ref >= all->n_symbols;
    bool bad_unit = o->unit_ref != 0 && o->unit_ref >= all->n_symbols;
    assert_int_equal(s->bad_metadata, bad_help || bad_unit);
    const ProtobufCBinaryData none = {0, NULL};
    same_text(s->help, bad_help || o->help_ref == 0 ? none : all->symbols[o->help_ref]);
    same_text(s->unit, bad_unit || o->unit_ref == 0 ? none : all->symbols[o->unit_ref]);
}

static void
same_series_v2(const struct rw_series *s, const Io__Prometheus__Write__V2__TimeSeries *o,
               const Io__Prometheus__Write__V2__Request *all, bool compare_metadata)
{
    bool bad = refs_are_bad(o->labels_refs, o->n_labels_refs, all->n_symbols);
    assert_int_equal(s->bad_reference, bad);
    assert_int_equal(s->refs.count, bad ? 0 : o->n_labels_refs);
    for (size_t i = 0; i < s->refs.count; i++)
        assert_int_equal(request.refs[s->refs.first + i], o->labels_refs[i]);
    assert_int_equal(s->floats.count, o->n_samples);
    for (size_t i = 0; i < o->n_samples; i++) {
        const struct rw_float *f = &request.floats[s->floats.first + i];
        assert_int_equal(f->t_ms, o->samples[i]->timestamp);
        assert_int_equal(f->bits, double_bits(o->samples[i]->value));
        assert_int_equal(f->start_ms, o->samples[i]->start_timestamp);
    }
    assert_int_equal(s->histograms.count, o->n_histograms);
    for (size_t i = 0; i < o->n_histograms; i++)
        same_histogram(&request.histograms[s->histograms.first + i], o->histograms[i], true);
    assert_int_equal(s->exemplars.count, o->n_exemplars);
    for (size_t i = 0; i < o->n_exemplars; i++)
        same_exemplar_v2(&request.exemplars[s->exemplars.first + i], o->exemplars[i], all);
    if (o->metadata == NULL) assert_false(s->has_metadata);
    if (o->metadata != NULL && compare_metadata) same_metadata_v2(s, o->metadata, all);
}

/* Says whether any series has its metadata in several pieces. */
static bool
repeats_metadata(struct bytes message)
{
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        if (tag != PROTO_TAG(5, PROTO_BYTES)) {
            proto_skip(&c, tag, 0);
            continue;
        }
        struct cursor series = cursor_of(proto_bytes(&c));
        unsigned count = 0;
        for (uint32_t inner; (inner = proto_tag(&series)) != 0;) {
            if (inner == PROTO_TAG(5, PROTO_BYTES)) count++;
            proto_skip(&series, inner, 0);
        }
        if (count > 1) return true;
    }
    return false;
}

static void
same_request_v2(struct bytes message)
{
    Io__Prometheus__Write__V2__Request *o =
        io__prometheus__write__v2__request__unpack(NULL, message.size, message.at);
    assert_non_null(o);
    bool compare_metadata = !repeats_metadata(message);
    assert_int_equal(request.symbol_count, o->n_symbols);
    for (size_t i = 0; i < o->n_symbols; i++)
        same_text(request.symbols[i], o->symbols[i]);
    assert_int_equal(request.series_count, o->n_timeseries);
    for (size_t i = 0; i < o->n_timeseries; i++)
        same_series_v2(&request.series[i], o->timeseries[i], o, compare_metadata);
    io__prometheus__write__v2__request__free_unpacked(o, NULL);
}

static const ProtobufCMessageDescriptor *
descriptor_of(enum rw_version version)
{
    return version == RW_V1 ? &prometheus__write_request__descriptor
                            : &io__prometheus__write__v2__request__descriptor;
}

/* Appends the message as we accept it, without its groups, and without those of messages in it. */
static void
put_without_groups(struct buf *to, struct bytes message, const ProtobufCMessageDescriptor *type)
{
    struct cursor c = cursor_of(message);
    for (uint32_t tag; (tag = proto_tag(&c)) != 0;) {
        const uint8_t *value = c.at;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, tag >> 3);
        proto_skip(&c, tag, 0);
        if ((tag & 7) == PROTO_GROUP_BEGIN) continue;
        buf_put_varint(to, tag);
        if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE) {
            buf_put(to, value, (size_t)(c.at - value));
            continue;
        }
        struct cursor length = {value, c.at, false};
        struct buf inner;
        buf_init(&inner, NULL, MESSAGE_BYTES_MAX);
        put_without_groups(&inner, proto_bytes(&length), field->descriptor);
        buf_put_counted(to, buf_bytes(&inner));
        buf_fini(&inner);
    }
    assert_false(c.bad);
    assert_int_equal(buf_error(to), OK);
}

static void
same_request(enum rw_version version, struct bytes message)
{
    struct buf plain;
    buf_init(&plain, NULL, MESSAGE_BYTES_MAX);
    put_without_groups(&plain, message, descriptor_of(version));
    rw_request_validate(&request);
    if (version == RW_V1)
        same_request_v1(buf_bytes(&plain));
    else
        same_request_v2(buf_bytes(&plain));
    buf_fini(&plain);
}

/* Checks that series decoded without checks are what they seem, or reported as unknown. */
static void
check_unchecked(enum rw_version version, struct bytes message, bool accepted)
{
    enum err e = rw_decode_unchecked(&request, version, message, SEED, NULL);
    if (e) assert_false(accepted);
    bool right = e == OK;
    for (uint32_t i = 0; i < request.series_count; i++)
        right &= rw_series_check(&request.series[i]);
    if (right) assert_true(accepted);
    if (right) same_request(version, message);
}

/* Says whether we accept the message; then it is the same to the oracle. */
static bool
check(enum rw_version version, struct bytes message)
{
    enum err e = rw_decode(&request, version, message, SEED, NULL);
    if (e)
        assert_int_equal(e, ERR_INPUT);
    else
        same_request(version, message);
    check_unchecked(version, message, e == OK);
    return e == OK;
}

/* --- making messages -------------------------------------------------------------------------- */

static struct rng rng;

static unsigned
random_below(unsigned n)
{
    return (unsigned)rng_below(&rng, n);
}

/* TIDY: as encoders write. WILD: any valid encoding. */
enum style { TIDY, WILD };

/* Writes a number, in WILD style sometimes longer than needed. */
static void
put_number(struct buf *to, enum style style, uint64_t v)
{
    buf_put_varint(to, v);
    if (style == TIDY || random_below(16) != 0 || v >> 28 != 0) return;
    to->at[to->size - 1] |= 0x80;
    buf_put_u8(to, 0);
}

static uint64_t
random_number(void)
{
    switch (random_below(8)) {
    case 0:
        return rng_next(&rng);
    case 1:
        return 1700000000000 + random_below(1000000);
    case 2:
        return (uint64_t) - (int64_t)random_below(100);
    case 3:
        return rng_next(&rng) >> random_below(64);
    default:
        return random_below(12);
    }
}

static void
put_scalar(struct buf *to, enum style style, ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_DOUBLE:
        buf_put_le64(to, random_below(4) == 0 ? rng_next(&rng) : double_bits(random_below(100)));
        return;
    case PROTOBUF_C_TYPE_UINT32: /* references and span lengths */
        put_number(to, style, random_below(100) == 0 ? random_number() : random_below(8));
        return;
    case PROTOBUF_C_TYPE_SINT32:
        put_number(to, style, zigzag((int32_t)random_number()));
        return;
    case PROTOBUF_C_TYPE_SINT64:
        put_number(to, style, zigzag((int64_t)random_number()));
        return;
    case PROTOBUF_C_TYPE_ENUM:
        put_number(to, style,
                   random_below(20) == 0 ? (uint64_t)(int32_t)rng_next(&rng) : random_below(9));
        return;
    default: /* uint64, int64 */
        put_number(to, style, random_number());
    }
}

static void
put_tag(struct buf *to, enum style style, uint32_t field, enum proto_wire wire)
{
    put_number(to, style, PROTO_TAG(field, wire));
}

static void
put_content(struct buf *to, enum style style, const struct buf *inner)
{
    put_number(to, style, inner->size);
    buf_put_bytes(to, buf_bytes(inner));
}

static void put_unknown_field(struct buf *to, enum style style);

static void
put_group(struct buf *to, enum style style)
{
    uint32_t field = 18 + random_below(3) * 1000;
    put_tag(to, style, field, PROTO_GROUP_BEGIN);
    for (unsigned i = random_below(3); i > 0; i--)
        put_unknown_field(to, style);
    put_tag(to, style, field, PROTO_GROUP_END);
}

static void
put_unknown_field(struct buf *to, enum style style)
{
    if (random_below(4) == 0) {
        put_group(to, style);
        return;
    }
    static const enum proto_wire wires[] = {PROTO_VARINT, PROTO_FIXED64, PROTO_BYTES,
                                            PROTO_FIXED32};
    enum proto_wire wire = wires[random_below(4)];
    put_tag(to, style, 18 + random_below(3) * 1000, wire);
    if (wire == PROTO_VARINT) put_number(to, style, random_number());
    if (wire == PROTO_FIXED64) buf_put_le64(to, rng_next(&rng));
    if (wire == PROTO_FIXED32) buf_put_le32(to, (uint32_t)rng_next(&rng));
    if (wire == PROTO_BYTES) buf_put_counted(to, bytes_of_text("whatever"));
}

static void put_message(struct buf *to, enum style style, const ProtobufCMessageDescriptor *type);

static void
put_text(struct buf *to, enum style style)
{
    static const char *const texts[] = {"", "__name__", "job", "up", "a", "instance", "b:9100"};
    struct buf inner;
    buf_init(&inner, NULL, 4096);
    buf_put_text(&inner, texts[random_below(7)]);
    unsigned more = random_below(40) == 0 ? random_below(400) : 0;
    for (unsigned i = 0; i < more; i++)
        buf_put_u8(&inner, (uint8_t)rng_next(&rng));
    put_content(to, style, &inner);
    buf_fini(&inner);
}

/* Writes one occurrence of a field: of a repeated number a packed piece, or (WILD) an
 * unpacked one. */
static void
put_field(struct buf *to, enum style style, const ProtobufCFieldDescriptor *field)
{
    struct buf inner;
    buf_init(&inner, NULL, MESSAGE_BYTES_MAX);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        put_tag(to, style, field->id, PROTO_BYTES);
        put_message(&inner, style, field->descriptor);
        put_content(to, style, &inner);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        put_tag(to, style, field->id, PROTO_BYTES);
        put_text(to, style);
    } else if (field->label == PROTOBUF_C_LABEL_REPEATED &&
               (style == TIDY || random_below(3) != 0)) {
        unsigned count = random_below(7);
        if (field->type == PROTOBUF_C_TYPE_UINT32 && random_below(20) != 0) count &= ~1u;
        for (unsigned i = 0; i < count; i++)
            put_scalar(&inner, style, field->type);
        put_tag(to, style, field->id, PROTO_BYTES);
        put_content(to, style, &inner);
    } else {
        bool fixed = field->type == PROTOBUF_C_TYPE_DOUBLE;
        put_tag(to, style, field->id, fixed ? PROTO_FIXED64 : PROTO_VARINT);
        put_scalar(to, style, field->type);
    }
    buf_fini(&inner);
}

static void
put_message(struct buf *to, enum style style, const ProtobufCMessageDescriptor *type)
{
    if (style == WILD) {
        unsigned count = random_below(2 * type->n_fields + 4);
        for (unsigned i = 0; i < count; i++) {
            if (random_below(12) == 0) put_unknown_field(to, style);
            put_field(to, style, &type->fields[random_below(type->n_fields)]);
        }
        return;
    }
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool many =
            field->label == PROTOBUF_C_LABEL_REPEATED &&
            (field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_BYTES);
        unsigned count = random_below(many ? 6 : 4);
        if (!many && count > 1) count = 1;
        while (count-- > 0)
            put_field(to, style, field);
    }
}

/* --- tests ------------------------------------------------------------------------------------ */

static void
check_made_messages(enum rw_version version)
{
    struct buf made, packed;
    buf_init(&made, NULL, MESSAGE_BYTES_MAX);
    buf_init(&packed, NULL, MESSAGE_BYTES_MAX);
    unsigned groups = 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        rng.state = i;
        buf_clear(&made);
        put_message(&made, i % 2 ? WILD : TIDY, descriptor_of(version));
        if (!check(version, buf_bytes(&made))) fail_msg("refused: seed %u", i);

        /* The same, as protobuf-c writes it. */
        buf_clear(&packed);
        put_without_groups(&packed, buf_bytes(&made), descriptor_of(version));
        groups += packed.size < made.size;
        ProtobufCMessage *o =
            protobuf_c_message_unpack(descriptor_of(version), NULL, packed.size, packed.at);
        assert_non_null(o);
        buf_clear(&packed);
        assert_true(buf_reserve(&packed, protobuf_c_message_get_packed_size(o) + 1));
        packed.size = protobuf_c_message_pack(o, packed.at);
        protobuf_c_message_free_unpacked(o, NULL);
        if (!check(version, buf_bytes(&packed))) fail_msg("packed, refused: seed %u", i);
    }
    assert_true(groups > MESSAGES / 8);
    buf_fini(&made);
    buf_fini(&packed);
}

UNIT_TEST(test_v1_messages_mean_what_protobuf_says)
{
    check_made_messages(RW_V1);
}

UNIT_TEST(test_v2_messages_mean_what_protobuf_says)
{
    check_made_messages(RW_V2);
}

static void
damage(struct buf *m)
{
    size_t at = m->size == 0 ? 0 : random_below((unsigned)m->size);
    unsigned count = 1 + random_below(4);
    switch (random_below(m->size == 0 ? 1 : 6)) {
    case 0: /* insert */
        assert_true(buf_reserve(m, count));
        memmove(m->at + at + count, m->at + at, m->size - at);
        for (unsigned i = 0; i < count; i++)
            m->at[at + i] = (uint8_t)(random_below(2) ? rng_next(&rng) : random_below(0x90));
        m->size += count;
        break;
    case 1: /* truncate */
        m->size = at;
        break;
    case 2: /* remove */
        if (count > m->size - at) count = (unsigned)(m->size - at);
        memmove(m->at + at, m->at + at + count, m->size - at - count);
        m->size -= count;
        break;
    case 3: /* copy one part over another */
        if (count > m->size - at) count = (unsigned)(m->size - at);
        memmove(m->at + at, m->at + random_below((unsigned)(m->size - count + 1)), count);
        break;
    case 4:
        m->at[at] = (uint8_t)rng_next(&rng);
        break;
    default:
        m->at[at] ^= (uint8_t)(1u << random_below(8));
    }
}

static void
check_damaged_messages(enum rw_version version)
{
    struct buf made, damaged;
    buf_init(&made, NULL, MESSAGE_BYTES_MAX);
    buf_init(&damaged, NULL, MESSAGE_BYTES_MAX + 64);
    unsigned accepted = 0, refused = 0;
    for (unsigned i = 0; i < MESSAGES; i++) {
        rng.state = 1000000 + i;
        buf_clear(&made);
        put_message(&made, i % 4 ? TIDY : WILD, descriptor_of(version));
        for (unsigned k = 0; k < MUTATIONS; k++) {
            buf_clear(&damaged);
            buf_put_bytes(&damaged, buf_bytes(&made));
            rng.state = (uint64_t)i << 32 | k;
            for (unsigned times = 1 + random_below(2); times > 0; times--)
                damage(&damaged);
            /* The memory has the exact size, so that a sanitizer sees reads after it. */
            uint8_t *exact = malloc(damaged.size + (damaged.size == 0));
            assert_non_null(exact);
            if (damaged.size > 0) memcpy(exact, damaged.at, damaged.size);
            if (check(version, bytes_of(exact, damaged.size)))
                accepted++;
            else
                refused++;
            free(exact);
        }
    }
    assert_true(accepted > MESSAGES);
    assert_true(refused > MESSAGES);
    buf_fini(&made);
    buf_fini(&damaged);
}

UNIT_TEST(test_v1_damaged_messages_are_accepted_only_with_the_oracle)
{
    check_damaged_messages(RW_V1);
}

UNIT_TEST(test_v2_damaged_messages_are_accepted_only_with_the_oracle)
{
    check_damaged_messages(RW_V2);
}

/* Checks a capture: records of uint32 length and a snappy block. Skips if the capture
 * is missing. */
static void
check_capture(enum rw_version version, const char *name, uint64_t floats, uint64_t histograms)
{
    const char *samples = getenv("SAMPLES"); /* set by tests/run.sh */
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", samples == NULL ? "../shared/data" : samples, name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        print_message("no capture at %s\n", path);
        skip();
    }
    struct buf block, raw;
    buf_init(&block, NULL, MESSAGE_BYTES_MAX);
    buf_init(&raw, NULL, MESSAGE_BYTES_MAX);
    uint64_t float_count = 0, histogram_count = 0;
    for (uint32_t size; fread(&size, sizeof size, 1, f) == 1;) {
        buf_clear(&block);
        assert_true(buf_reserve(&block, size));
        assert_int_equal(fread(block.at, 1, size, f), size);
        block.size = size;
        assert_int_equal(snappy_unpack(buf_bytes(&block), &raw, NULL), OK);
        assert_true(check(version, buf_bytes(&raw)));
        float_count += request.float_count;
        histogram_count += request.histogram_count;
    }
    fclose(f);
    buf_fini(&block);
    buf_fini(&raw);
    assert_int_equal(float_count, floats);
    assert_int_equal(histogram_count, histograms);
}

UNIT_TEST(test_capture_node15s)
{
    check_capture(RW_V1, "node15s.rw", 378784, 0);
}

UNIT_TEST(test_capture_node1s)
{
    check_capture(RW_V1, "node1s.rw", 179637, 0);
}

UNIT_TEST(test_capture_v2hist)
{
    check_capture(RW_V2, "v2hist.rw", 81491, 37303);
}

static int
teardown(void **state)
{
    (void)state;
    rw_request_fini(&request);
    return budget_used(&budget) == 0 ? 0 : -1;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1_messages_mean_what_protobuf_says),
        cmocka_unit_test(test_v2_messages_mean_what_protobuf_says),
        cmocka_unit_test(test_v1_damaged_messages_are_accepted_only_with_the_oracle),
        cmocka_unit_test(test_v2_damaged_messages_are_accepted_only_with_the_oracle),
        cmocka_unit_test(test_capture_node15s),
        cmocka_unit_test(test_capture_node1s),
        cmocka_unit_test(test_capture_v2hist),
    };
    budget_init(&budget, "test", 0, NULL);
    if (rw_request_init(&request, &budget) != OK) return 1;
    for (unsigned i = 0; i < sizeof keys.texts.words / sizeof *keys.texts.words; i++) {
        keys.texts.words[i] = rng_next(&rng);
        keys.lists.words[i] = rng_next(&rng);
    }
    request.keys = &keys;
    return cmocka_run_group_tests(tests, NULL, teardown);
}
