/* letters_rig.c - see letters_rig.h. */
#include "lib/relay/letters_rig.h"

#include "lib/seeds.h"

const char *const letter_reasons[REASONS] = {"conflict", "http_400", "too_old"};

static int64_t seed_at_work = -1; /* seed of the machine in use; -1: none */

int
letters_rig_tell_seed(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

uint32_t
letters_rig_random(struct letters_rig *rig, uint32_t below)
{
    rig->random = hash_mix(rig->random, 0x6a09e667f3bcc909);
    return (uint32_t)(rig->random >> 8) % below;
}

void
letters_rig_init(struct letters_rig *rig, uint64_t seed)
{
    seed = shifted_seed(seed);
    *rig = (struct letters_rig){.random = seed};
    seed_at_work = (int64_t)seed;
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    rig->env = fault_env_env(rig->fe);
    budget_init(&rig->memory, "relay", 0, NULL);
    must(env_mkdir(rig->env, "/relay", NULL));
    must(env_syncdir(rig->env, "/", NULL));
    must(env_mkdir(rig->env, LETTERS_DIR, NULL));
    must(env_syncdir(rig->env, "/relay", NULL));
    rig->options = (struct dead_letters_options){
        .env = rig->env, .dir = LETTERS_DIR, .memory = &rig->memory, .max_bytes = 64 * 1024 * 1024};
}

enum err
letters_rig_open_at(struct letters_rig *rig, uint64_t cursor_pos, uint32_t cursor_index)
{
    assert_null(rig->letters);
    memset(&rig->moved, 0, sizeof rig->moved);
    rig->state.cursor = (struct relay_cursor){cursor_pos, cursor_index};
    rig->known = relay_state_letters(&rig->state);
    rig->options.known = &rig->known;
    return dead_letters_open(&rig->options, &rig->letters, &rig->why);
}

enum err
letters_rig_open(struct letters_rig *rig)
{
    return letters_rig_open_at(rig, 0, 0);
}

enum err
letters_rig_save(struct letters_rig *rig)
{
    enum err e = dead_letters_sync(rig->letters, &rig->why);
    if (e) return e;
    struct dead_letters_counts counts;
    dead_letters_counts(rig->letters, &counts);
    dead_letters_mark(rig->letters, &rig->state.letters);
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && rig->state.cursor.pos > 0; kind++) {
        rig->state.fates.count[kind][FATE_DEAD_LETTERED] = counts.letters[kind];
        rig->state.letters.replaying[kind] = counts.replaying[kind];
    }
    dead_letters_saved(rig->letters);
    return OK;
}

void
letters_rig_close(struct letters_rig *rig)
{
    dead_letters_free(rig->letters);
    rig->letters = NULL;
    assert_int_equal(budget_used(&rig->memory), 0);
}

void
letters_rig_restart(struct letters_rig *rig)
{
    letters_rig_close(rig);
    must(letters_rig_open(rig));
}

void
letters_rig_fini(struct letters_rig *rig)
{
    letters_rig_close(rig);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
    seed_at_work = -1;
}

/* --- letters ---------------------------------------------------------------------------------- */

uint64_t
made_letter_pos(uint32_t id)
{
    return 100 + id / 4 * 8;
}

uint32_t
made_letter_index(uint32_t id)
{
    return id % 4;
}

static enum item_kind
made_letter_kind(uint32_t id)
{
    static const enum item_kind kinds[8] = {ITEM_FLOAT,    ITEM_FLOAT, ITEM_HISTOGRAM, ITEM_FLOAT,
                                            ITEM_EXEMPLAR, ITEM_FLOAT, ITEM_METADATA,  ITEM_FLOAT};
    return kinds[id % 8];
}

int64_t
made_letter_failed_ms(uint32_t id)
{
    return 1000000 + (int64_t)id;
}

static void
put_label(struct buf *to, const char *name, const char *value)
{
    labels_put(to, (struct label){bytes_of_text(name), bytes_of_text(value)});
}

struct dead_letter
made_letter(uint32_t id, uint32_t reason, struct letter_memory *m)
{
    enum item_kind kind = made_letter_kind(id);
    char name[32];
    *m = (struct letter_memory){.span = {(int32_t)id, 3}, .deltas = {1 + id, 0, 2}};
    struct buf labels = {.at = m->label_bytes, .capacity = sizeof m->label_bytes};
    struct buf exemplar_labels = {.at = m->exemplar_label_bytes,
                                  .capacity = sizeof m->exemplar_label_bytes};
    snprintf(name, sizeof name, "metric_%u", id);
    snprintf(m->answer, sizeof m->answer, "it said %u", id);
    snprintf(m->tenant, sizeof m->tenant, "team%u", id % 5);
    if (kind != ITEM_METADATA) put_label(&labels, "__name__", name);
    if (kind != ITEM_METADATA) put_label(&labels, "job", "x");
    if (kind == ITEM_EXEMPLAR) put_label(&exemplar_labels, "trace_id", name);
    m->histogram = (struct histogram){.kind = SAMPLE_HISTOGRAM_INT,
                                      .reset_hint = RESET_NO,
                                      .schema = 3,
                                      .sum_bits = double_bits(18.4 + id),
                                      .count = 5 + 3 * (uint64_t)id,
                                      .zero_count = 0,
                                      .positive = {&m->span, 1, 3, m->deltas, NULL}};
    struct item item = {.kind = kind,
                        .tenant = bytes_of_text(m->tenant),
                        .labels = buf_bytes(&labels),
                        .series_hash = hash_mix(id, 5),
                        .t_ms = kind == ITEM_METADATA ? 0 : -5000 + (int64_t)id,
                        .start_ms = id % 3 == 0 ? 0 : 77};
    if (kind == ITEM_FLOAT) item.bits = id % 16 == 1 ? STALE_NAN_BITS : double_bits(id / 8.0);
    if (kind == ITEM_EXEMPLAR) item.bits = double_bits(-1.0 * id);
    if (kind == ITEM_EXEMPLAR) item.exemplar_labels = buf_bytes(&exemplar_labels);
    if (kind == ITEM_HISTOGRAM) item.histogram = &m->histogram;
    if (kind == ITEM_METADATA) {
        item.family = bytes_of_text("requests");
        item.family_type = METRIC_COUNTER;
        item.help = bytes_of_text("how many");
        item.unit = bytes_of_text("");
    }
    return (struct dead_letter){.pos = made_letter_pos(id),
                                .index = made_letter_index(id),
                                .item = item,
                                .reason = bytes_of_text(letter_reasons[reason]),
                                .answer = bytes_of_text(m->answer),
                                .failed_ms = made_letter_failed_ms(id)};
}

uint32_t
made_letter_check(const struct dead_letter *letter)
{
    assert_true(letter->pos >= 100);
    uint32_t id = (uint32_t)(letter->pos - 100) / 8 * 4 + letter->index;
    struct letter_memory m;
    struct dead_letter wanted = made_letter(id, 0, &m);
    const struct item *a = &letter->item, *b = &wanted.item;
    assert_int_equal(letter->pos, wanted.pos);
    assert_int_equal(letter->index, wanted.index);
    assert_int_equal(a->kind, b->kind);
    assert_true(bytes_equal(a->tenant, b->tenant));
    assert_true(bytes_equal(a->labels, b->labels));
    assert_int_equal(a->series_hash, b->series_hash);
    assert_int_equal(a->t_ms, b->t_ms);
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->bits, b->bits);
    assert_int_equal(a->histogram == NULL, b->histogram == NULL);
    if (a->histogram != NULL) assert_true(histogram_equal(a->histogram, b->histogram));
    if (a->histogram != NULL) assert_int_equal(a->histogram->reset_hint, RESET_NO);
    assert_true(bytes_equal(a->exemplar_labels, b->exemplar_labels));
    assert_true(bytes_equal(a->family, b->family));
    assert_int_equal(a->family_type, b->family_type);
    assert_true(bytes_equal(a->help, b->help));
    assert_true(bytes_equal(a->unit, b->unit));
    return id;
}

enum err
letters_rig_add(struct letters_rig *rig, uint32_t id, uint32_t reason)
{
    struct letter_memory m;
    struct dead_letter letter = made_letter(id, reason, &m);
    enum err e = dead_letters_add(rig->letters, &letter, &rig->why);
    return e;
}

void
letters_rig_add_many(struct letters_rig *rig, uint32_t first, uint32_t count)
{
    for (uint32_t id = first; id < first + count; id++) {
        must(letters_rig_add(rig, id, id % REASONS));
    }
    must(dead_letters_sync(rig->letters, &rig->why));
}

enum err
letters_rig_tend_at(struct letters_rig *rig, int64_t now_ms)
{
    enum err e = dead_letters_tend(rig->letters, now_ms, &rig->moved, &rig->why);
    if (e || !rig->moved.waits) return e;
    /* Files are removed after two later states. */
    e = letters_rig_save(rig);
    if (e == OK) e = letters_rig_save(rig);
    rig->moved.waits = false;
    if (e == OK) e = dead_letters_tend(rig->letters, now_ms, &rig->moved, &rig->why);
    if (e == OK) assert_false(rig->moved.waits);
    return e;
}

enum err
letters_rig_tend(struct letters_rig *rig)
{
    return letters_rig_tend_at(rig, 2000000);
}

enum err
letters_rig_request(struct letters_rig *rig, enum dead_letters_wish wish, const char *reason,
                    uint64_t *ret_count)
{
    sim_env_advance_ns(rig->sim, NS_PER_S); /* requests are in the order of their time */
    return dead_letters_request(rig->env, LETTERS_DIR, NULL, wish, reason, ret_count, NULL,
                                &rig->why);
}

enum err
letters_rig_settle(struct letters_rig *rig, uint32_t id, bool delivered, uint32_t reason)
{
    return dead_letters_settle(rig->letters, made_letter_pos(id), made_letter_index(id), delivered,
                               bytes_of_text(letter_reasons[reason]), bytes_of_text("said again"),
                               made_letter_failed_ms(id) + 5000, &rig->why);
}

uint64_t
letters_sum(const uint64_t counts[ITEM_KIND_COUNT])
{
    uint64_t all = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++) {
        all += counts[kind];
    }
    return all;
}

struct dead_letters_counts
letters_rig_counts(const struct letters_rig *rig)
{
    struct dead_letters_counts counts;
    dead_letters_counts(rig->letters, &counts);
    return counts;
}

/* --- what is there ---------------------------------------------------------------------------- */

enum err
letters_rig_note(void *context, const struct dead_letter *letter, enum dead_letter_state state)
{
    struct letters_rig *rig = context;
    uint32_t id = made_letter_check(letter);
    assert_true(id < LETTERS_MAX);
    struct letters_finding *f = &rig->found[id];
    assert_int_equal(f->found, ABSENT); /* each letter occurs once */
    f->found = state == DEAD_LETTER_KEPT ? KEPT : REPLAYING;
    f->order = rig->found_count++;
    for (f->reason = 0; f->reason < REASONS; f->reason++) {
        if (bytes_equal_text(letter->reason, letter_reasons[f->reason])) return OK;
    }
    fail_msg("letter %u has a reason of its own", id);
    return OK;
}

void
letters_rig_show_state(struct letters_rig *rig)
{
    struct buf scratch;
    struct env *env = sim_env_env(rig->sim);
    if (!rig->state.letters.known) {
        must(env_unlink(env, "/relay/east/state", NULL));
        return;
    }
    buf_init(&scratch, NULL, RELAY_STATE_BYTES_MAX);
    must(relay_state_write(env, LETTERS_DIR, &scratch, &rig->state, NULL));
    buf_fini(&scratch);
}

void
letters_rig_look(struct letters_rig *rig)
{
    letters_rig_show_state(rig);
    memset(rig->found, 0, sizeof rig->found);
    rig->found_count = 0;
    rig->damaged = 0;
    struct budget memory;
    budget_init(&memory, "look", 0, NULL);
    enum err e = dead_letters_each(sim_env_env(rig->sim), LETTERS_DIR, &memory, letters_rig_note,
                                   rig, &rig->report, &rig->why);
    if (e && e != ERR_MISSING) fail_msg("%s", rig->why.text);
    rig->damaged = e == OK ? rig->report.damaged : 0;
    assert_int_equal(budget_used(&memory), 0);
}

void
letters_rig_check(const struct letters_rig *rig, uint32_t first, uint32_t count,
                  enum letters_found_state found)
{
    for (uint32_t id = first; id < first + count; id++) {
        if (rig->found[id].found != found) {
            fail_msg("letter %u is %d instead of %d", id, rig->found[id].found, found);
        }
    }
}

static enum err
count_file(void *context, const char *name, bool is_dir)
{
    struct letters_files *files = context;
    struct file file;
    char path[128];
    uint64_t size;
    assert_false(is_dir);
    files->requests += strstr(name, ".request") != NULL;
    if (strstr(name, ".letters") == NULL) return OK;
    snprintf(path, sizeof path, "%s/dead-letters/%s", LETTERS_DIR, name);
    must(file_open(files->env, path, FILE_READ, &file, NULL));
    must(file_size(&file, &size, NULL));
    must(file_close(&file));
    files->count++;
    files->bytes += size;
    if (strcmp(path, files->last) > 0) snprintf(files->last, sizeof files->last, "%s", path);
    return OK;
}

struct letters_files
letters_rig_files(const struct letters_rig *rig)
{
    char path[64];
    struct letters_files files = {.env = sim_env_env(rig->sim)};
    snprintf(path, sizeof path, "%s/dead-letters", LETTERS_DIR);
    enum err e = env_listdir(files.env, path, count_file, &files, NULL);
    assert_true(e == OK || e == ERR_MISSING);
    return files;
}
