/* cluster.c - see cluster.h. */
#include "lib/cluster.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash/hash.h"
#include "lib/tool.h"

enum { AXES_MAX = 16, VALUES_MAX = 64, WITH_MAX = 16 };
static const char BLANKS[] = " \t\n";

/* A label and the values that it has in turn. */
struct axis {
    const char *name;
    const char *values[VALUES_MAX];
    unsigned count;
};

struct axes {
    struct axis at[AXES_MAX];
    unsigned count;
};

struct reading {
    struct fleet *to;
    const struct fleet *captured;
    const char *path;
    unsigned line;
    struct axes target;
    struct axes with[WITH_MAX];
    unsigned with_count;
    bool with_used; /* used by a series: the next line `with` starts again */

    /* The series of the current line. */
    const char *name, *like;
    double median_s;
    struct axes own;
    struct buf labels;
};

static void
wrong(const struct reading *r, const char *what)
{
    die("%s:%u: %s", r->path, r->line, what);
}

/* --- words ------------------------------------------------------------------------------------ */

static void
add_value(struct reading *r, struct axis *axis, const char *value)
{
    if (axis->count == VALUES_MAX) wrong(r, "too many values of a label");
    axis->values[axis->count++] = must(strdup(value));
}

/* Adds the values of "a,b,c" or "0-7". */
static void
add_values(struct reading *r, struct axis *axis, char *text)
{
    unsigned first, last;
    int end = 0;
    if (sscanf(text, "%u-%u%n", &first, &last, &end) == 2 && text[end] == '\0') {
        for (unsigned i = first; i <= last; i++) {
            char number[16];
            snprintf(number, sizeof number, "%u", i);
            add_value(r, axis, number);
        }
        return;
    }
    for (char *save, *value = strtok_r(text, ",", &save); value != NULL;
         value = strtok_r(NULL, ",", &save))
        add_value(r, axis, value);
}

/* Reads the words up to the end of the line, each LABEL=VALUES, except those that describe
 * the series. */
static void
read_axes(struct reading *r, struct axes *to, char **save)
{
    for (char *word; (word = strtok_r(NULL, BLANKS, save)) != NULL;) {
        char *values = strchr(word, '=');
        if (values == NULL) wrong(r, "LABEL=VALUE expected");
        *values++ = '\0';
        if (strcmp(word, "like") == 0) {
            r->like = must(strdup(values));
        } else if (strcmp(word, "median") == 0) {
            r->median_s = parse_number(word, values);
        } else {
            if (to->count == AXES_MAX) wrong(r, "too many labels");
            struct axis *axis = &to->at[to->count++];
            *axis = (struct axis){.name = must(strdup(word))};
            add_values(r, axis, values);
        }
    }
}

/* --- series ----------------------------------------------------------------------------------- */

static bool
has_label(const struct model *m, struct label wanted)
{
    struct cursor c = cursor_of(m->labels);
    for (struct label l; label_next(&c, &l);)
        if (bytes_equal(l.name, wanted.name)) return bytes_equal(l.value, wanted.value);
    return false;
}

/* Returns a captured series of that metric with most of these labels. */
static const struct model *
model_like(const struct reading *r, const char *metric, const struct label *labels, unsigned count)
{
    const struct label name = {bytes_of_text("__name__"), bytes_of_text(metric)};
    const struct model *best = NULL;
    uint64_t best_score = 0;
    for (uint32_t i = 0; i < r->captured->count; i++) {
        const struct model *m = &r->captured->models[i];
        if (!has_label(m, name)) continue;
        uint64_t score = 1, dice = hash_bytes(m->labels, 0);
        for (unsigned k = 0; k < count; k++) {
            score += has_label(m, labels[k]);
            dice = hash_mix(dice, hash_bytes(labels[k].value, 0));
        }
        score = score << 32 | dice >> 32;
        if (score > best_score) {
            best = m;
            best_score = score;
        }
    }
    if (best == NULL) die("%s:%u: the capture has no %s", r->path, r->line, metric);
    return best;
}

static int
by_name(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

static struct model *
add_model(struct reading *r, const struct model *like, const char *name, const struct label *labels,
          unsigned count)
{
    struct fleet *f = r->to;
    struct label all[AXES_MAX + 2];
    all[0] = (struct label){bytes_of_text("__name__"), bytes_of_text(name)};
    for (unsigned i = 0; i < count; i++)
        all[i + 1] = labels[i];
    qsort(all, count + 1, sizeof *all, by_name);
    buf_clear(&r->labels);
    for (unsigned i = 0; i <= count; i++)
        label_put(&r->labels, all[i]);
    uint8_t *own = must(malloc(r->labels.size));
    memcpy(own, r->labels.at, r->labels.size);
    if (f->count == f->capacity) {
        f->capacity = f->capacity == 0 ? 1024 : f->capacity * 2;
        f->models = must(reallocarray(f->models, f->capacity, sizeof *f->models));
    }
    struct model *m = &f->models[f->count];
    *m = *like;
    m->labels = bytes_of(own, r->labels.size);
    m->alike = f->count++;
    m->numbered = true;
    for (unsigned i = 0; i <= count; i++) {
        if (bytes_equal_text(all[i].name, "instance")) m->instance = all[i].value;
        if (bytes_equal_text(all[i].name, "job")) m->job = all[i].value;
    }
    if (m->instance.size == 0) wrong(r, "a series needs an instance");
    return m;
}

static void
add_observing(struct reading *r, const struct model *like, const char *suffix,
              const struct label *labels, unsigned count, double bound_s)
{
    char name[256];
    snprintf(name, sizeof name, "%s_%s", r->name, suffix);
    struct model *m = add_model(r, like, name, labels, count);
    m->observing = strcmp(suffix, "sum") == 0 ? OBSERVATIONS_SUM : OBSERVATIONS_BELOW;
    m->bound_s = bound_s;
    m->median_s = r->median_s;
}

/* Adds buckets, sum and count; the last axis of its own has the bounds. */
static void
add_histogram(struct reading *r, struct label *labels, unsigned count)
{
    char counter[256];
    const struct axis *bounds = &r->own.at[r->own.count - 1];
    snprintf(counter, sizeof counter, "%s_count", r->name);
    const struct model *like = model_like(r, r->like != NULL ? r->like : counter, labels, count);
    uint32_t first = r->to->count;
    for (unsigned i = 0; i <= bounds->count; i++) {
        const char *bound = i < bounds->count ? bounds->values[i] : "+Inf";
        labels[count] = (struct label){bytes_of_text("le"), bytes_of_text(bound)};
        add_observing(r, like, "bucket", labels, count + 1, strtod(bound, NULL));
    }
    add_observing(r, like, "sum", labels, count, (double)INFINITY);
    add_observing(r, like, "count", labels, count, (double)INFINITY);
    for (uint32_t i = first; i < r->to->count; i++)
        r->to->models[i].alike = first;
}

/* Adds every combination of the axes' values; `with` may be NULL. */
static void
add_products(struct reading *r, const struct axes *with, bool is_histogram)
{
    const struct axis *axes[3 * AXES_MAX];
    struct label labels[3 * AXES_MAX];
    unsigned count = 0, digits[3 * AXES_MAX] = {0};
    for (unsigned i = 0; i < r->target.count; i++)
        axes[count++] = &r->target.at[i];
    for (unsigned i = 0; with != NULL && i < with->count; i++)
        axes[count++] = &with->at[i];
    for (unsigned i = 0; i + is_histogram < r->own.count; i++)
        axes[count++] = &r->own.at[i];
    if (count >= AXES_MAX) wrong(r, "too many labels");
    for (unsigned k = 0; k < count;) {
        for (unsigned i = 0; i < count; i++)
            labels[i] = (struct label){bytes_of_text(axes[i]->name),
                                       bytes_of_text(axes[i]->values[digits[i]])};
        if (is_histogram) {
            add_histogram(r, labels, count);
        } else {
            const char *metric = r->like != NULL ? r->like : r->name;
            add_model(r, model_like(r, metric, labels, count), r->name, labels, count);
        }
        for (k = 0; k < count && ++digits[k] == axes[k]->count; k++)
            digits[k] = 0;
    }
}

/* --- the file --------------------------------------------------------------------------------- */

static void
read_series(struct reading *r, char *name, char **save)
{
    bool is_histogram = strcmp(name, "histogram") == 0;
    if (is_histogram) name = strtok_r(NULL, BLANKS, save);
    if (name == NULL) wrong(r, "a name expected");
    r->name = must(strdup(name));
    r->like = NULL;
    r->own.count = 0;
    r->with_used = true;
    read_axes(r, &r->own, save);
    if (is_histogram && (r->own.count == 0 || strcmp(r->own.at[r->own.count - 1].name, "le") != 0))
        wrong(r, "a histogram needs le=, the last of its labels");
    for (unsigned i = 0; i < r->with_count; i++)
        add_products(r, &r->with[i], is_histogram);
    if (r->with_count == 0) add_products(r, NULL, is_histogram);
}

static void
read_line(struct reading *r, char *line)
{
    char *save, *first = strtok_r(line, BLANKS, &save);
    if (first == NULL || first[0] == '#') return;
    if (strcmp(first, "target") == 0) {
        r->target.count = r->with_count = 0;
        read_axes(r, &r->target, &save);
    } else if (strcmp(first, "with") == 0) {
        if (r->with_used) r->with_count = 0;
        if (r->with_count == WITH_MAX) wrong(r, "too many lines of `with`");
        r->with_used = false;
        struct axes *with = &r->with[r->with_count];
        with->count = 0;
        read_axes(r, with, &save);
        r->with_count += with->count > 0;
    } else {
        read_series(r, first, &save);
    }
}

void
cluster_read(struct fleet *f, const char *path, const struct fleet *captured)
{
    struct reading *r = must(calloc(1, sizeof *r));
    FILE *file = fopen(path, "re");
    char line[1024];
    if (file == NULL) die("%s: %s", path, strerror(errno));
    *r = (struct reading){.to = f, .captured = captured, .path = path};
    buf_init(&r->labels, NULL, 1 << 20);
    while (fgets(line, sizeof line, file) != NULL) {
        r->line++;
        read_line(r, line);
    }
    if (f->count == 0) die("%s: no series", path);
    buf_fini(&r->labels);
    fclose(file);
    free(r);
}
