/*
 * fleet.c - the series of a load, which look like those of a capture and continue them.
 *
 * Labels. Each series of the capture with enough samples is a model. Copies of the whole fleet
 * differ in `instance`, so as many series as wanted have real label sets, in the order in which a
 * Prometheus would send them: target by target.
 *
 * Values. A copy does not repeat the capture, it continues it: each step is drawn from the steps
 * that its own model made (seeded, independently for each series), added to the value before.
 * Integers stay integers, decimals keep their digits, counters rise and reset as often as the model
 * did, gauges are held within the range seen. So a server needs as many bytes as for real series,
 * and no compressor sees the same series twice. Steps are drawn independently: if real ones come in
 * bursts, this is a little harder to compress, never easier. bench/fleet_check.c shows that all
 * this still holds after a day of scrapes.
 *
 * Histograms. The series of a classic histogram that lib/cluster.c describes draw the same
 * observations, as many as the model's count rose: buckets and sum belong together.
 *
 * Churn. A target that is replaced comes back as another instance, its counters at zero; one in
 * eight is only restarted: its labels stay, its counters reset.
 */
#include "lib/fleet.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "lib/tool.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

enum { MODEL_SAMPLES_MIN = 20, EXPONENT_MAX = 11, RESTARTS_ONE_IN = 8, DRAWS_MAX = 24 };
/* Up to this, doubles hold every integer, and each decimal differs from its neighbours. */
static const double EXACT_MAX = 9e15;
/* The exponent of the tail of observations. */
static const double TAIL = 1.8;

const char *const behaviour_names[BEHAVIOURS] = {
    "constant", "counter_int", "gauge_int", "counter_decimal", "gauge_decimal", "real",
};

/* --- the capture ------------------------------------------------------------------------------ */

static struct model *
model_of(struct fleet *f, const struct rw_request *request, const struct rw_series *series)
{
    uint64_t at = rw_series_key(request, series) & (f->table_size - 1);
    for (; f->table[at] != 0; at = (at + 1) & (f->table_size - 1)) {
        struct model *t = &f->models[f->table[at] - 1];
        if (bytes_equal(t->labels, series->label_bytes)) return t;
    }
    if (f->count * 2 >= f->table_size) die("too many series in the capture");
    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 1024 : f->capacity * 2;
        f->models = must(reallocarray(f->models, f->capacity, sizeof *f->models));
    }
    struct model *t = &f->models[f->count++];
    uint8_t *labels = must(malloc(series->label_bytes.size));
    memcpy(labels, series->label_bytes.at, series->label_bytes.size);
    *t = (struct model){.labels = bytes_of(labels, series->label_bytes.size)};
    f->table[at] = f->count;
    return t;
}

static bool
is_stale(uint64_t bits)
{
    return bits == 0x7ff0000000000002u;
}

static void
take_request(struct fleet *f, const struct rw_request *request)
{
    for (uint32_t i = 0; i < request->series_count; i++) {
        const struct rw_series *series = &request->series[i];
        struct model *t = model_of(f, request, series);
        for (uint32_t j = 0; j < series->floats.count; j++) {
            uint64_t bits = request->floats[series->floats.first + j].bits;
            if (is_stale(bits)) continue;
            if (t->count == t->capacity) {
                t->capacity = t->capacity == 0 ? 32 : t->capacity * 2;
                t->bits = must(reallocarray(t->bits, t->capacity, sizeof *t->bits));
            }
            t->bits[t->count++] = bits;
        }
    }
}

static void
read_capture(const char *path, struct fleet *f)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) die("%s: %s", path, strerror(errno));
    f->table_size = 1 << 20;
    f->table = must(calloc(f->table_size, sizeof *f->table));
    struct rw_request request;
    struct buf packed, message;
    struct why why = {""};
    buf_init(&packed, NULL, 1 << 28);
    buf_init(&message, NULL, 1 << 28);
    if (rw_request_init(&request, NULL)) die("no memory");
    for (uint8_t head[4]; fread(head, 1, 4, file) == 4;) {
        uint32_t size = load_le32(head);
        buf_clear(&packed);
        if (!buf_reserve(&packed, size) || fread(packed.at, 1, size, file) != size)
            die("%s: cut short", path);
        packed.size = size;
        if (snappy_unpack(buf_bytes(&packed), &message, &why) ||
            rw_decode(&request, RW_V1, buf_bytes(&message), 1, &why))
            die("%s: not a capture of remote write 1.0: %s", path, why.text);
        take_request(f, &request);
    }
    rw_request_fini(&request);
    buf_fini(&packed);
    buf_fini(&message);
    fclose(file);
}

/* --- behaviour -------------------------------------------------------------------------------- */

/* Finds k with value == k / 10^exponent, bit for bit. */
static bool
decimal(uint64_t bits, unsigned exponent, double *ret_k)
{
    double v = bits_double(bits), scale = 1;
    for (unsigned i = 0; i < exponent; i++)
        scale *= 10;
    double k = round(v * scale);
    if (!(fabs(k) < EXACT_MAX) || double_bits(k / scale) != bits) return false;
    *ret_k = k;
    return true;
}

static bool
is_finite(uint64_t bits)
{
    return isfinite(bits_double(bits));
}

/* Finds the least exponent with which all values are decimals; returns false if no exponent does.
 */
static bool
find_exponent(struct model *t)
{
    double k;
    for (t->exponent = 0; t->exponent <= EXPONENT_MAX; t->exponent++) {
        uint32_t i = 0;
        while (i < t->count && (!is_finite(t->bits[i]) || decimal(t->bits[i], t->exponent, &k)))
            i++;
        if (i == t->count) return true;
    }
    return false;
}

/* Returns the number that steps are added to; NaN if the value has none. */
static double
place_of(const struct model *t, uint64_t bits)
{
    double k = bits_double(bits);
    if (!is_finite(bits)) return (double)NAN;
    if (t->behaviour != REAL && !decimal(bits, t->exponent, &k)) die("not a decimal after all");
    return k;
}

static void
classify(struct model *t)
{
    bool constant = true, any = false, exact = find_exponent(t);
    uint32_t falls = 0;
    double last = 0;
    t->behaviour = exact ? GAUGE_INT : REAL;
    t->scale = 1;
    for (unsigned i = 0; exact && i < t->exponent; i++)
        t->scale *= 10;
    t->places = must(calloc(t->count, sizeof *t->places));
    for (uint32_t i = 0; i < t->count; i++) {
        double k = t->places[i] = place_of(t, t->bits[i]);
        constant &= t->bits[i] == t->bits[0];
        if (isnan(k)) continue;
        falls += any && k < last;
        if (!any || k < t->low) t->low = k;
        if (!any || k > t->high) t->high = k;
        any = true;
        last = k;
    }
    t->counter = falls * 200 <= t->count;
    if (constant)
        t->behaviour = CONSTANT;
    else if (exact && t->exponent == 0)
        t->behaviour = t->counter ? COUNTER_INT : GAUGE_INT;
    else if (exact)
        t->behaviour = t->counter ? COUNTER_DECIMAL : GAUGE_DECIMAL;
}

static uint64_t
value_bits(const struct model *t, double k)
{
    return double_bits(t->behaviour == REAL ? k : k / t->scale);
}

/*
 * Returns an observation, distributed log-logistically, which has a long tail and a simple inverse.
 * All series of a histogram draw the same ones, as their states are the same, so buckets never
 * disagree.
 */
static double
observe(struct active *a, double count)
{
    const struct model *t = a->like;
    double draws = fmin(floor(count), DRAWS_MAX), added = 0;
    for (double i = 0; i < draws; i++) {
        double u = (double)(random_next(&a->random) >> 11) * 0x1p-53;
        double weight = floor((count - i) / draws + 0.5), odds = pow(u / (1 - u), 1 / TAIL);
        if (t->observing == OBSERVATIONS_SUM)
            added += weight * t->median_s * odds;
        else if (t->median_s * odds <= t->bound_s)
            added += weight;
    }
    return added;
}

static uint64_t
observing_next(struct active *a)
{
    const struct model *t = a->like;
    if (t->behaviour == CONSTANT) return double_bits(a->now);
    uint32_t j = 1 + (uint32_t)(random_next(&a->random) % (t->count - 1));
    double step = t->places[j] - t->places[j - 1];
    if (step > 0) a->now += observe(a, step);
    return double_bits(a->now);
}

/* Returns the next value: the model's step at some time is added. */
uint64_t
active_next(struct active *a)
{
    const struct model *t = a->like;
    if (t->observing != NO_OBSERVATIONS) return observing_next(a);
    if (t->behaviour == CONSTANT) return t->bits[0];
    uint32_t j = 1 + (uint32_t)(random_next(&a->random) % (t->count - 1));
    double to = t->places[j], step = to - t->places[j - 1], next = a->now + step;
    if (isnan(to)) return t->bits[j];
    if (isnan(step)) return value_bits(t, a->now); /* the model was not a number before */
    bool within = next >= t->low && next <= t->high;
    if (t->counter && step < 0) {
        next = to; /* it was reset */
    } else if (!t->counter && !within) {
        next = a->now - step;
        if (next < t->low || next > t->high) next = to;
    } else if (t->behaviour != REAL && fabs(next) >= EXACT_MAX) {
        next = t->low;
    }
    a->now = next;
    return value_bits(t, next);
}

/* Says whether it counts Unix seconds: such series of new instances do not begin at zero. */
static bool
is_clock(const struct model *t)
{
    return t->low >= 1e9 * t->scale && t->high <= 3e9 * t->scale;
}

static void
active_begin(struct active *a, uint64_t seed, uint64_t number)
{
    const struct model *t = a->like;
    a->random = hash_mix(hash_mix(seed, number), a->generation);
    for (unsigned tries = 0; t->behaviour != CONSTANT && tries < 64; tries++) {
        double k = t->places[random_next(&a->random) % t->count];
        if (isnan(k)) continue;
        a->now = k;
        break;
    }
    if (t->counter && a->generation > 0 && !is_clock(t)) a->now = 0;
    if (t->observing != NO_OBSERVATIONS) a->now = 0;
}

/* --- labels ----------------------------------------------------------------------------------- */

bool
label_next(struct cursor *c, struct label *ret)
{
    if (c->at == c->end) return false;
    cursor_u8(c);
    struct cursor body = cursor_of(cursor_counted(c));
    cursor_u8(&body);
    ret->name = cursor_counted(&body);
    ret->value = (struct bytes){NULL, 0};
    if (body.at != body.end) {
        cursor_u8(&body);
        ret->value = cursor_counted(&body);
    }
    return !c->bad && !body.bad;
}

void
label_put(struct buf *to, struct label l)
{
    size_t size =
        2 + varint_size(l.name.size) + varint_size(l.value.size) + l.name.size + l.value.size;
    buf_put_u8(to, 0x0a);
    buf_put_varint(to, size);
    buf_put_u8(to, 0x0a);
    buf_put_counted(to, l.name);
    buf_put_u8(to, 0x12);
    buf_put_counted(to, l.value);
}

/* Writes the model's labels with the number of the copy. */
static void
number_labels(const struct active *a, struct buf *scratch)
{
    struct cursor c = cursor_of(a->like->labels);
    struct label l;
    while (label_next(&c, &l)) {
        char text[256] = "";
        size_t size = 0;
        for (size_t i = 0; i < l.value.size && size < sizeof text - 16; i++)
            if (l.value.at[i] == '#')
                size += (size_t)sprintf(text + size, "%u", a->copy);
            else
                text[size++] = (char)l.value.at[i];
        l.value = bytes_of(text, size);
        label_put(scratch, l);
    }
}

/* Writes the model's labels with another instance. */
static void
name_instance(const struct active *a, struct buf *scratch)
{
    char text[256], generation[16] = "";
    if (a->generation > 0) snprintf(generation, sizeof generation, "-%u", a->generation);
    int size = snprintf(text, sizeof text, "c%04u%s.%.*s", a->copy, generation,
                        (int)a->like->instance.size, (const char *)a->like->instance.at);
    if (size < 0 || (size_t)size >= sizeof text) die("an instance label is too long");
    struct cursor c = cursor_of(a->like->labels);
    struct label l;
    while (label_next(&c, &l)) {
        if (bytes_equal_text(l.name, "instance")) l.value = bytes_of(text, (size_t)size);
        label_put(scratch, l);
    }
}

static void
make_labels(struct active *a, struct buf *scratch)
{
    buf_clear(scratch);
    if (a->like->numbered)
        number_labels(a, scratch);
    else
        name_instance(a, scratch);
    uint8_t *own = must(malloc(scratch->size));
    memcpy(own, scratch->at, scratch->size);
    a->labels = bytes_of(own, scratch->size);
}

static int
by_target(const void *a, const void *b)
{
    const struct model *x = a, *y = b;
    int order = bytes_compare(x->job, y->job);
    if (order == 0) order = bytes_compare(x->instance, y->instance);
    return order != 0 ? order : bytes_compare(x->labels, y->labels);
}

/* Keeps series that are long enough and belong to a target. */
static void
choose_models(struct fleet *f)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct model *t = &f->models[i];
        struct cursor c = cursor_of(t->labels);
        struct label l;
        while (label_next(&c, &l)) {
            if (bytes_equal_text(l.name, "instance")) t->instance = l.value;
            if (bytes_equal_text(l.name, "job")) t->job = l.value;
        }
        if (t->count < MODEL_SAMPLES_MIN || t->instance.size == 0) continue;
        classify(t);
        f->models[kept++] = *t;
    }
    f->count = kept;
    if (kept == 0) die("no series of %d samples or more", MODEL_SAMPLES_MIN);
    qsort(f->models, f->count, sizeof *f->models, by_target);
    for (uint32_t i = 0; i < f->count; i++)
        f->models[i].alike = i;
}

void
fleet_read(struct fleet *f, const char *path)
{
    read_capture(path, f);
    choose_models(f);
}

void
active_replace(struct active *a, uint64_t seed, uint64_t number, struct buf *scratch)
{
    a->generation++;
    active_begin(a, seed, number);
    if (hash_mix(a->target, a->generation) % RESTARTS_ONE_IN != 0) make_labels(a, scratch);
}

struct active *
fleet_multiply(const struct fleet *f, uint64_t series, uint64_t seed, uint64_t interval_ms)
{
    struct active *active = must(calloc(series, sizeof *active));
    struct buf scratch;
    buf_init(&scratch, NULL, 1 << 20);
    for (uint64_t i = 0; i < series; i++) {
        struct active *a = &active[i];
        a->like = &f->models[i % f->count];
        a->copy = (uint32_t)(i / f->count);
        uint64_t target =
            hash_mix(hash_bytes(a->like->instance, seed), hash_bytes(a->like->job, a->copy));
        a->target = target;
        a->offset_ms = target % interval_ms;
        active_begin(a, seed, i - i % f->count + a->like->alike);
        make_labels(a, &scratch);
    }
    buf_fini(&scratch);
    return active;
}
