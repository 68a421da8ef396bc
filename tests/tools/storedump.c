/*
 * storedump.c - prints the content of a storage directory as text that can be compared. The
 * directory is only read, and no server may use it.
 *
 * Lines come in a fixed order: tenants, series, labels and families by name, samples by time.
 * Samples hidden by tombstones are left out; those that are only in the log are included. Each line
 * begins with a word:
 *
 *     tenant    "name"
 *     series    {"name"="value",...}
 *     f         T_MS START_MS BITS: a float of that series
 *     h         T_MS START_MS KIND hint schema threshold zero count sum +SIDE -SIDE bounds
 *     exemplar  {labels of the series} T_MS BITS {labels}
 *     metadata  "family" TYPE "unit" "help"
 *     part      NUMBER FROM TO, as the MANIFEST names it
 *     tombstone ID POS MIN_MS MAX_MS "tenant" matchers
 *     ledger    saved|now "tenant" KIND FIELD COUNT: in the MANIFEST; with what the log adds
 *     record    TYPE COUNT: of the log, from where parts end
 *
 * `storedump --newer FILE` changes a MANIFEST, part or log segment into one that only a newer
 * version can read: version and min_reader are NEWER, checksums are right.
 *
 * Values, sums, thresholds, bounds and counts of float histograms are bits in hex. In quotes,
 * everything but printable ASCII without " and \ is written as \xHH.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash/hash.h"
#include "config/config.h"
#include "tsdb/store/store.h"

enum { TENANTS_MAX = 1000, NEWER = 99 };

#define MEMORY_BYTES ((uint64_t)1 << 30)
#define AGE_MS_MAX   (INT64_C(100) * 365 * 86400 * 1000)

struct dumped_tenant {
    struct bytes name;
    struct ledger totals;
};

struct dump {
    struct arena arena;
    struct tsdb *tsdb;
    struct manifest manifest;
    struct query_control control;
    struct dumped_tenant tenants[TENANTS_MAX];
    uint32_t tenant_count;
    uint64_t records[256];
};

/* There is one, which is too large for the stack. */
static struct dump dump;

static void
fail(const char *what, const char *why)
{
    fprintf(stderr, "storedump: %s: %s\n", what, why);
    exit(2);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void
print_quoted(struct bytes text)
{
    putchar('"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void
print_labels(struct bytes labels)
{
    struct cursor c = cursor_of(labels);
    struct label label;
    const char *comma = "";
    putchar('{');
    while (labels_next(&c, &label)) {
        fputs(comma, stdout);
        print_quoted(label.name);
        putchar('=');
        print_quoted(label.value);
        comma = ",";
    }
    putchar('}');
    if (c.bad) fail("labels", "they are not canonical");
}

/* --- samples ---------------------------------------------------------------------------------- */

static void
print_side(char sign, const struct hist_buckets *side)
{
    printf(" %c", sign);
    for (uint32_t i = 0; i < side->span_count; i++)
        printf("[%" PRId32 " %" PRIu32 "]", side->spans[i].offset, side->spans[i].length);
    for (uint32_t i = 0; i < side->bucket_count; i++)
        if (side->deltas != NULL)
            printf(",%" PRId64, side->deltas[i]);
        else
            printf(",%016" PRIx64, side->counts[i]);
}

static void
print_histogram(int64_t t_ms, int64_t start_ms, const struct histogram *h)
{
    const char *kind = h->kind == SAMPLE_HISTOGRAM_INT ? "int" : "float";
    printf("h %" PRId64 " %" PRId64 " %s hint=%d schema=%" PRId32 " threshold=%016" PRIx64, t_ms,
           start_ms, kind, (int)h->reset_hint, h->schema, h->zero_threshold_bits);
    if (h->kind == SAMPLE_HISTOGRAM_INT)
        printf(" zero=%" PRIu64 " count=%" PRIu64, h->zero_count, h->count);
    else
        printf(" zero=%016" PRIx64 " count=%016" PRIx64, h->zero_count, h->count);
    printf(" sum=%016" PRIx64, h->sum_bits);
    print_side('+', &h->positive);
    print_side('-', &h->negative);
    fputs(" bounds", stdout);
    for (uint32_t i = 0; i < h->custom_count; i++)
        printf(",%016" PRIx64, h->custom_bits[i]);
    putchar('\n');
}

static void
print_batch(const struct sample_batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        int64_t start_ms = b->starts_ms == NULL ? 0 : b->starts_ms[i];
        if (b->kind == SAMPLE_FLOAT) {
            printf("f %" PRId64 " %" PRId64 " %016" PRIx64 "\n", b->times_ms[i], start_ms,
                   b->value_bits[i]);
        } else {
            print_histogram(b->times_ms[i], start_ms, &b->histograms[i]);
        }
    }
}

/* Prints a series, unless it has no sample left. */
static enum err
print_series(struct series_set *set, struct bytes labels, struct why *why)
{
    for (bool named = false;; named = true) {
        struct sample_batch b;
        enum err e = series_set_batch(set, &b, why);
        if (e || b.count == 0) return e;
        if (!named) {
            fputs("series ", stdout);
            print_labels(labels);
            putchar('\n');
        }
        print_batch(&b);
    }
}

static enum err
print_exemplar(void *context, const struct exemplar *x)
{
    (void)context;
    fputs("exemplar ", stdout);
    print_labels(x->series_labels);
    printf(" %" PRId64 " %016" PRIx64 " ", x->t_ms, x->value_bits);
    print_labels(x->labels);
    putchar('\n');
    return OK;
}

static enum err
print_metadata(void *context, const struct metadata *m)
{
    (void)context;
    fputs("metadata ", stdout);
    print_quoted(m->family);
    printf(" %s ", metric_type_word(m->type));
    print_quoted(m->unit);
    putchar(' ');
    print_quoted(m->help);
    putchar('\n');
    return OK;
}

static enum err
print_tenant(struct bytes tenant, struct why *why)
{
    struct view *view = NULL;
    struct series_set *set = NULL;
    struct query_request request = {
        .tenant = tenant, .min_ms = INT64_MIN, .max_ms = INT64_MAX, .control = &dump.control};
    fputs("tenant ", stdout);
    print_quoted(tenant);
    putchar('\n');
    enum err e = view_open(tsdb_answerer(dump.tsdb), &dump.control, &view, why);
    if (e == OK) e = view_select(view, &request, &set, why);
    while (e == OK) {
        struct bytes labels;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        e = print_series(set, labels, why);
    }
    series_set_free(set);
    struct exemplar_sink to = {.each = print_exemplar};
    if (e == OK) e = view_exemplars(view, &request, &to, why);
    if (e == OK) e = view_metadata(view, &request, bytes_of("", 0), print_metadata, NULL, why);
    view_free(view);
    return e;
}

/* --- ledger, parts, tombstones ---------------------------------------------------------------- */

static const char *
field_word(unsigned field)
{
    static const char *const words[] = {"received", "accepted", "duplicate", "superseded",
                                        "expired",  "deleted",  "damaged"};
    if (field < sizeof words / sizeof *words) return words[field];
    return field > LEDGER_REJECTED ? reject_word((enum reject)(field - LEDGER_REJECTED)) : "?";
}

static void
print_ledger(const char *when, struct bytes tenant, const struct ledger *l)
{
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
        for (unsigned f = 0; f <= LEDGER_FIELD_COUNT; f++) {
            bool stored = f == LEDGER_FIELD_COUNT;
            uint64_t count = stored ? l->stored[k] : l->count[k][f];
            if (count == 0) continue;
            printf("ledger %s ", when);
            print_quoted(tenant);
            printf(" %s %s %" PRIu64 "\n", ledger_kind_word((enum ledger_kind)k),
                   stored ? "stored" : field_word(f), count);
        }
    }
}

static void
print_manifest(const struct manifest *m)
{
    static const char *const operators[] = {"=", "!=", "=~", "!~"};
    for (uint32_t i = 0; i < m->part_count; i++) {
        printf("part %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", m->parts[i].number,
               m->parts[i].from_pos, m->parts[i].to_pos);
    }
    for (uint32_t i = 0; i < m->tombstone_count; i++) {
        const struct manifest_tombstone *t = &m->tombstones[i];
        printf("tombstone %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " ", t->id, t->pos,
               t->range.min_ms, t->range.max_ms);
        print_quoted(t->tenant);
        for (uint32_t k = 0; k < t->matcher_count; k++) {
            putchar(' ');
            print_quoted(t->matchers[k].name);
            fputs(operators[t->matchers[k].type & 3], stdout);
            print_quoted(t->matchers[k].pattern);
        }
        putchar('\n');
    }
    for (uint32_t i = 0; i < m->tenant_count; i++)
        print_ledger("saved", m->tenants[i].name, &m->tenants[i].totals);
}

static enum err
count_record(void *context, const struct wal_record *r, struct why *why)
{
    (void)context;
    (void)why;
    if (r->pos >= dump.manifest.store_pos) dump.records[r->type]++;
    return OK;
}

static enum err
print_log(const char *dir, struct why *why)
{
    static const char *const words[] = {
        [WAL_SERIES] = "series",       [WAL_FLOATS] = "floats",     [WAL_HISTOGRAMS] = "histograms",
        [WAL_EXEMPLARS] = "exemplars", [WAL_METADATA] = "metadata", [WAL_LEDGER] = "ledger",
    };
    char path[256];
    struct wal_damage damage;
    enum err e = path_join(path, sizeof path, dir, "wal");
    if (e == OK) {
        e = wal_verify(env_real(), path, dump.manifest.store_pos, !manifest_has_log(&dump.manifest),
                       count_record, NULL, &damage, why);
    }
    for (unsigned type = 0; e == OK && type < sizeof words / sizeof *words; type++) {
        if (dump.records[type] == 0 || words[type] == NULL) continue;
        printf("record %s %" PRIu64 "\n", words[type], dump.records[type]);
    }
    return e;
}

/* --- all of it -------------------------------------------------------------------------------- */

static void
note_tenant(void *context, struct bytes name, const struct ledger *totals)
{
    (void)context;
    if (dump.tenant_count == TENANTS_MAX) fail("tenants", "there are too many");
    dump.tenants[dump.tenant_count++] =
        (struct dumped_tenant){arena_copy(&dump.arena, name), *totals};
}

static int
by_name(const void *a, const void *b)
{
    const struct dumped_tenant *x = a, *y = b;
    return bytes_compare(x->name, y->name);
}

static enum err
open_store(const char *dir, struct why *why)
{
    static struct memory memory;
    static struct settings settings;
    struct tsdb_opening opening;
    settings_default(&settings);
    if (strlen(dir) >= sizeof settings.storage_path) fail(dir, "the path is too long");
    strcpy(settings.storage_path, dir);
    settings.retention_time_ms = AGE_MS_MAX;
    memory_init(&memory, MEMORY_BYTES);
    struct tsdb_options options = store_options_of(&settings, env_real(), &memory);
    struct tsdb_limits limits = store_limits_of(&settings);
    options.read_only = true;
    dump.control.env = env_real();
    dump.control.budget = &memory.foreground;
    enum err e = tsdb_open(&options, &limits, &dump.tsdb, &opening, why);
    if (e == OK && opening.damage.places > 0) fail(dir, opening.damage.first);
    if (e == OK && opening.parts_set_aside > 0) fail(dir, opening.first_damage);
    return e;
}

static enum err
print_all(const char *dir, struct why *why)
{
    enum err e = manifest_read(env_real(), dir, &dump.arena, &dump.manifest, why);
    if (e == OK) e = open_store(dir, why);
    if (e == OK) {
        tsdb_ledgers(dump.tsdb, note_tenant, NULL);
        qsort(dump.tenants, dump.tenant_count, sizeof *dump.tenants, by_name);
        printf("# everything in a storage directory; see storedump.c\n");
        print_manifest(&dump.manifest);
        e = print_log(dir, why);
    }
    for (uint32_t i = 0; e == OK && i < dump.tenant_count; i++)
        print_ledger("now", dump.tenants[i].name, &dump.tenants[i].totals);
    for (uint32_t i = 0; e == OK && i < dump.tenant_count; i++)
        e = print_tenant(dump.tenants[i].name, why);
    tsdb_free(dump.tsdb);
    return e;
}

/* --- files of a later version ----------------------------------------------------------------- */

/* Writes a header of `size` bytes, its checksum included. */
static void
make_newer(uint8_t *at, size_t size, uint64_t seed)
{
    store_le16(at + 8, NEWER);
    store_le16(at + 10, NEWER);
    store_le64(at + size - 8, hash_bytes(bytes_of(at, size - 8), seed));
}

static bool
make_file_newer(uint8_t *at, size_t size)
{
    if (size >= 128 && memcmp(at, "FKPARTHD", 8) == 0) {
        make_newer(at, 64, load_le64(at + 16));
        make_newer(at + size - 64, 64, load_le64(at + 16));
    } else if (size >= 8192 && memcmp(at, "FKWALSEG", 8) == 0) {
        make_newer(at, 512, load_le64(at + 16));
        memcpy(at + 4096, at, 512);
    } else if (size >= 4096 && memcmp(at, "FKMANIFS", 8) == 0) {
        size_t second = (size + 8191) / 8192 * 4096;
        make_newer(at, size - second, 0);
        memcpy(at + second, at, size - second);
    } else {
        return false;
    }
    return true;
}

static int
newer(const char *path)
{
    FILE *file = fopen(path, "r+b");
    struct buf whole;
    buf_init(&whole, NULL, (size_t)1 << 30);
    if (file == NULL) fail(path, "cannot be opened");
    for (size_t got = 1; got > 0; whole.size += got) {
        if (!buf_reserve(&whole, 65536)) fail(path, "is too large");
        got = fread(whole.at + whole.size, 1, 65536, file);
    }
    if (!make_file_newer(whole.at, whole.size)) fail(path, "is none of the files that are known");
    rewind(file);
    if (fwrite(whole.at, 1, whole.size, file) != whole.size) fail(path, "cannot be written");
    if (fclose(file) != 0) fail(path, "cannot be written");
    buf_fini(&whole);
    return 0;
}

int
main(int argc, char **argv)
{
    struct why why = {""};
    if (argc == 3 && strcmp(argv[1], "--newer") == 0) return newer(argv[2]);
    if (argc != 2 || argv[1][0] == '-') {
        fputs("usage: storedump DIRECTORY\n       storedump --newer FILE\n", stderr);
        return 2;
    }
    char marker[256];
    snprintf(marker, sizeof marker, "%s/FORMAT", argv[1]);
    if (access(marker, F_OK) != 0) fail(argv[1], "no storage directory");
    arena_init(&dump.arena, NULL, 0, 0);
    enum err e = print_all(argv[1], &why);
    arena_fini(&dump.arena);
    if (e) fail(argv[1], why.text[0] == '\0' ? err_word(e) : why.text);
    if (fflush(stdout) != 0) fail("standard output", "it cannot be written");
    return 0;
}
