/*
 * row_stats.c - reads the statistics of a block of floats from the columns of its group.
 *
 * Mostly all of them are decimals of one exponent, so they are stored as integers, each as its
 * difference to a prediction from those before it (docs/format/part.md). Statistics that are not
 * needed are skipped without being computed.
 */
#include "tsdb/part/walk.h"

static double
corrected(unsigned e, int64_t k, int64_t correction)
{
    return bits_double(codec_decimal_bits(e, k) + (uint64_t)correction);
}

static bool
get_scaled_stats(struct cursor *columns, unsigned scale, struct block_ref *b)
{
    struct codec_stats *s = &b->stats;
    unsigned e = scale & SCALE_EXPONENT_MASK;
    b->scale = (uint8_t)e;
    b->is_constant = scale & SCALE_CONSTANT;
    uint64_t missing = scale & SCALE_MISSING ? cursor_varint(&columns[ROW_MISSING]) : 0;
    /* In a constant only the last value can be missing: the staleness marker. */
    if (missing >= b->count || (b->is_constant && missing > 1)) return false;
    s->number_count = b->count - (uint32_t)missing;
    int64_t least_off = 0, most_off = 0;
    b->k = cursor_zigzag(&columns[ROW_LEASTS]);
    uint64_t spread = b->is_constant ? 0 : cursor_varint(&columns[ROW_SPREADS]);
    uint64_t sum = part_sum_guess(b->k, spread, s->number_count);
    if (!b->is_constant) sum += (uint64_t)cursor_zigzag(&columns[ROW_SUMS]);
    if (scale & SCALE_EXTREMES_OFF) {
        least_off = cursor_zigzag(&columns[ROW_CORRECTIONS]);
        most_off = cursor_zigzag(&columns[ROW_CORRECTIONS]);
    }
    int64_t sum_off = scale & SCALE_SUM_OFF ? cursor_zigzag(&columns[ROW_CORRECTIONS]) : 0;
    s->min = corrected(e, b->k, least_off);
    s->max = corrected(e, (int64_t)((uint64_t)b->k + spread), most_off);
    s->sum = corrected(e, (int64_t)sum, sum_off);
    return true;
}

static bool
get_stats(struct cursor *columns, struct block_ref *b)
{
    unsigned scale = cursor_u8(&columns[ROW_SCALES]);
    b->has_stats = true;
    b->scale = SCALE_NONE;
    if (scale == SCALE_RAW) {
        struct codec_stats *s = &b->stats;
        b->k = cursor_zigzag(&columns[ROW_LEASTS]);
        s->min = bits_double(cursor_le64(&columns[ROW_RAW]));
        s->max = bits_double(cursor_le64(&columns[ROW_RAW]));
        s->sum = bits_double(cursor_le64(&columns[ROW_RAW]));
        uint64_t missing = cursor_varint(&columns[ROW_MISSING]);
        if (missing > b->count) cursor_fail(&columns[ROW_MISSING]);
        s->number_count = b->count - (uint32_t)missing;
    } else if (scale == SCALE_NO_NUMBER) {
        b->stats = (struct codec_stats){.min = __builtin_inf(), .max = -__builtin_inf()};
    } else if ((scale & SCALE_RAW) == SCALE_RAW) {
        return false;
    } else {
        return get_scaled_stats(columns, scale, b);
    }
    return true;
}

static bool
get_ends(struct cursor *columns, unsigned shape, struct block_ref *b)
{
    struct codec_stats *s = &b->stats;
    struct cursor *c = &columns[ROW_ENDS];
    s->first = s->min;
    s->last = s->max;
    if ((shape & SHAPE_ENDS) == 0) return (shape & SHAPE_ENDS_RAW) == 0;
    uint64_t resets = cursor_varint(&columns[ROW_RESETS]);
    s->reset_count = (uint32_t)resets;
    if (shape & SHAPE_ENDS_RAW) {
        s->first = bits_double(cursor_le64(c));
        s->last = bits_double(cursor_le64(c));
    } else {
        if (b->scale == SCALE_NONE) return false;
        s->first = corrected(b->scale, (int64_t)((uint64_t)b->k + cursor_varint(c)), 0);
        s->last = corrected(b->scale, (int64_t)((uint64_t)b->k + cursor_varint(c)), 0);
    }
    return resets < b->count;
}

bool
row_stats_get(struct cursor *columns, unsigned shape, struct block_ref *b)
{
    return get_stats(columns, b) && get_ends(columns, shape, b);
}

/* True if the block is a constant. */
static bool
skip_stats(struct cursor *c)
{
    unsigned scale = cursor_u8(&c[ROW_SCALES]);
    if (scale == SCALE_NO_NUMBER) return false;
    (void)cursor_varint(&c[ROW_LEASTS]);
    if (scale == SCALE_RAW) {
        (void)cursor_bytes(&c[ROW_RAW], 24);
        (void)cursor_varint(&c[ROW_MISSING]);
        return false;
    }
    bool constant = scale & SCALE_CONSTANT;
    if (scale & SCALE_MISSING) (void)cursor_varint(&c[ROW_MISSING]);
    if (!constant) {
        (void)cursor_varint(&c[ROW_SPREADS]);
        (void)cursor_varint(&c[ROW_SUMS]);
    }
    unsigned corrections = (scale & SCALE_SUM_OFF ? 1 : 0) + (scale & SCALE_EXTREMES_OFF ? 2 : 0);
    while (corrections-- > 0) {
        (void)cursor_varint(&c[ROW_CORRECTIONS]);
    }
    return constant;
}

static void
skip_ends(struct cursor *c, unsigned shape)
{
    if ((shape & SHAPE_ENDS) == 0) return;
    (void)cursor_varint(&c[ROW_RESETS]);
    if (shape & SHAPE_ENDS_RAW) {
        (void)cursor_bytes(&c[ROW_ENDS], 16);
    } else {
        (void)cursor_varint(&c[ROW_ENDS]);
        (void)cursor_varint(&c[ROW_ENDS]);
    }
}

bool
row_stats_skip(struct cursor *columns, unsigned shape)
{
    bool constant = (shape & SHAPE_CODEC_MASK) == SHAPE_FLOATS && skip_stats(columns);
    skip_ends(columns, shape);
    return constant;
}
