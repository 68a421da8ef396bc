/* random_labels.c - see random_labels.h. */
#include "lib/wire/random_labels.h"

struct bytes
random_text(struct rng *r, enum random_class class, struct random_text *memory)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCXYZ_0123456789";
    static const char special[] = "aZ0_-./:;,= \\\\\"'{}~%#\n\t\r$U__\x01\x7f";
    static const char *const wide[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x94\xa5", "x", ":"};
    size_t size = 0;
    size_t count = 1 + (size_t)rng_below(r, rng_below(r, 8) == 0 ? RANDOM_TEXT_CHARACTERS : 8);
    for (size_t i = 0; i < count; i++) {
        uint64_t dice = rng_next(r) >> 8;
        if (class == RANDOM_UTF8) {
            const char *c = wide[dice % 5];
            memcpy(memory->at + size, c, strlen(c));
            size += strlen(c);
        } else if (class == RANDOM_BYTES) {
            memory->at[size++] = (uint8_t)dice;
        } else if (class == RANDOM_SPECIAL) {
            memory->at[size++] = (uint8_t)special[dice % (sizeof special - 1)];
        } else { /* no digit first */
            memory->at[size++] = (uint8_t)plain[dice % (sizeof plain - (i == 0 ? 11 : 1))];
        }
    }
    return bytes_of(memory->at, size);
}

void
test_put_label(struct buf *to, struct bytes name, struct bytes value)
{
    size_t n = name.size, v = value.size;
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, 2 + varint_size(n) + n + varint_size(v) + v);
    buf_put_u8(to, 0x0a);
    buf_put_counted(to, name);
    buf_put_u8(to, 0x12);
    buf_put_counted(to, value);
}

void
test_put_texts(struct buf *to, const char *name, const char *value)
{
    test_put_label(to, bytes_of_text(name), bytes_of_text(value));
}

static int
test_label_order(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

void
test_put_labels(struct buf *to, struct label *labels, uint32_t count)
{
    if (count > 0) qsort(labels, count, sizeof *labels, test_label_order);
    for (uint32_t i = 0; i < count; i++)
        test_put_label(to, labels[i].name, labels[i].value);
}

void
random_labels(struct rng *r, enum random_class class, struct buf *to)
{
    static const char *const known[] = {"__name__",       "le",       "job",  "time",
                                        "_field",         "value",    "ts_x", "_x",
                                        "measure_value_", "U__a_3a_", "~%x",  "histogram"};
    struct random_text names[RANDOM_LABELS_MAX], values[RANDOM_LABELS_MAX];
    struct label labels[RANDOM_LABELS_MAX];
    uint32_t count = (uint32_t)rng_below(r, RANDOM_LABELS_MAX), unique = 0;
    for (uint32_t i = 0; i < count; i++) {
        labels[i].name = random_text(r, class, &names[i]);
        labels[i].value = random_text(r, class, &values[i]);
        if (rng_below(r, 4) == 0)
            labels[i].name = bytes_of_text(known[rng_below(r, sizeof known / sizeof *known)]);
        if (i == 0 && rng_below(r, 8) != 0) labels[i].name = bytes_of_text("__name__");
    }
    if (count > 0) qsort(labels, count, sizeof *labels, test_label_order);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0 && bytes_equal(labels[i - 1].name, labels[i].name)) continue;
        labels[unique++] = labels[i];
    }
    test_put_labels(to, labels, unique);
}
