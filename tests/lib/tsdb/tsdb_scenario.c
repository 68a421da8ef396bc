/* tsdb_scenario.c - see tsdb_scenario.h. */
#include "lib/tsdb/tsdb_scenario.h"

#include "base/hash/hash.h"

struct value
slot_value(uint32_t series, uint32_t slot, uint32_t variant, enum rw_version version)
{
    struct rng rng = {(uint64_t)series << 40 | slot << 8 | variant};
    struct value v = {.bits = rng_next(&rng)};
    if (series % 4 == 1) v.kind = 1 + rng_below(&rng, 2);
    if (series % 4 == 2 && slot % 16 == 0) v.kind = SAMPLE_HISTOGRAM_INT;
    if (v.kind == SAMPLE_FLOAT) v.bits = random_value(&rng, slot / 20 % 11, double_bits(slot));
    if (version == RW_V2 && series % 3 == 0) v.start_ms = slot_time(slot) - 500 - variant;
    return v;
}

void
items_add(struct items *to, uint32_t tenant, uint32_t series, uint32_t first, uint32_t count,
          uint32_t variant)
{
    for (uint32_t i = 0; i < count && to->count < ITEMS_MAX; i++) {
        to->at[to->count++] = (struct item){
            .tenant = (uint8_t)tenant,
            .series = (uint8_t)series,
            .slot = (uint16_t)(first + i),
            .v = slot_value(series, first + i, variant, to->version),
        };
    }
}

void
items_add_spark(struct items *to, uint32_t tenant, uint32_t series, uint32_t index)
{
    if (to->count == ITEMS_MAX) return;
    to->at[to->count++] = (struct item){.tenant = (uint8_t)tenant,
                                        .series = (uint8_t)series,
                                        .is_spark = true,
                                        .slot = (uint16_t)index};
}

/* Commits; after an error tries once to reopen the log. */
static void
scenario_commit(struct model *x)
{
    if (model_commit(x) == OK) return;
    enum err e = step(x->m, tsdb_reopen(x->m->db, &x->m->why));
    err_ignore(e, "the next commit, or the end, tries again");
}

static void
scenario_send(struct model *x, const struct items *items)
{
    enum err e = model_send(x, items->version, items->at, items->count);
    if (e != OK && e != ERR_AGAIN && e != ERR_NOMEM)
        fail_msg("ingest: %s: %s", err_word(e), x->m->why.text);
}

void
scenario_write(struct model *x, uint32_t round)
{
    uint32_t at = round * 30;
    struct items items = {.version = RW_V1};
    items_add(&items, 0, 0, at, 20, 0);
    items_add(&items, 0, 1, at, 4, 0);
    items_add_spark(&items, 0, 1, round);
    items_add(&items, 0, 2, at, 18, 0);
    items_add(&items, 0, 0, at + 10, 5, 0); /* the same once more, in the same request */
    scenario_send(x, &items);
    scenario_commit(x);
    items = (struct items){.version = RW_V2};
    items_add(&items, 1, 3, at, 12, 0);
    items_add(&items, 1, 6, at + 8, 8, 0);
    items_add(&items, 1, 6, at, 8, 0); /* out of order */
    items_add(&items, 1, 5, at, 3, 0);
    items_add_spark(&items, 1, 5, round + 1);
    scenario_send(x, &items);
    items = (struct items){.version = RW_V1};
    items_add(&items, 0, 0, at + 15, 10, 1); /* half of it in conflict */
    items_add(&items, 0, 9, at, 3, 1);
    scenario_send(x, &items);
    items = (struct items){.version = RW_V1};
    items_add(&items, 0, 0, at > 5 ? at - 5 : 0, 10, 0); /* some are already in a part */
    scenario_send(x, &items);
    scenario_commit(x);
}

static void
ignore_sample(void *context, struct bytes labels, const struct sample_batch *batch, uint32_t index)
{
    (void)context;
    (void)labels;
    (void)batch;
    (void)index;
}

static enum err
ignore_exemplar(void *context, const struct exemplar *x)
{
    (void)context;
    (void)x;
    return OK;
}

/* Reads; any failure must be an ordinary error. */
static void
scenario_read(struct model *x)
{
    struct matcher_text matchers[] = {{MATCH_REGEX, "__name__", "m[01]"},
                                      {MATCH_NOT_EQUAL, "job", "api"}};
    struct question q;
    question_init(&q, model_tenants[0], matchers, 2, slot_time(3), slot_time(90));
    enum err e = machine_select(x->m, &q, ignore_sample, NULL);
    err_ignore(e, "the reading at the end counts");
    e = step(x->m, machine_exemplars(x->m, &q.request, ignore_exemplar, NULL));
    err_ignore(e, "the reading at the end counts");
    question_fini(&q);
}

void
scenario_flush(struct model *x)
{
    tsdb_want_cut(x->m->db);
    scenario_commit(x);
    struct items items = {.version = RW_V2};
    items_add(&items, 0, 0, 300 + 4 * x->gen, 4, 0); /* while a generation is frozen */
    items_add(&items, 0, 0, 0, 4, 1);
    scenario_send(x, &items);
    enum err e = model_flush(x);
    err_ignore(e, "it is tried again");
    e = model_flush(x);
    err_ignore(e, "the next flush tries again");
}

void
scenario_delete(struct model *x)
{
    struct selector selector;
    struct tsdb_deletion deletion;
    enum err e = step(x->m, selector_parse(text("{job!=\"x\",__name__=~\"m.\"}"), &selector, NULL));
    if (e) return;
    e = step(x->m,
             tsdb_delete(x->m->db, text(model_tenants[0]), &selector, 1, slot_time(SLOTS / 2) + 1,
                         slot_time(SLOTS / 2) + 2, &deletion, &x->m->why));
    if (e == OK) assert_int_equal(deletion.samples, 0);
    err_ignore(model_merge(x, TSDB_MERGE_CLEAN), "the next merge tries again");
}

/* Returns false if the store does not open. */
static bool
scenario_restart(struct model *x)
{
    machine_close(x->m);
    model_crashed(x);
    if (machine_open(x->m) != OK) return false;
    model_opened(x);
    return true;
}

void
scenario_run(struct model *x)
{
    if (machine_open(x->m) != OK) return;
    model_opened(x);
    for (uint32_t round = 0; round < 4; round++) {
        scenario_write(x, round);
        enum err e = step(x->m, tsdb_maintain(x->m->db, &x->m->why));
        err_ignore(e, "called again and again");
        if (round != 1) scenario_flush(x);
        if (round >= 2) scenario_delete(x);
        if (round >= 2) err_ignore(model_merge(x, TSDB_MERGE_FULL), "the next merge tries again");
        scenario_read(x);
        if (round == 2 && !scenario_restart(x)) return;
    }
}

/* Returns a sum of all that decides what a closed store does next: files, model and clocks. */
static uint64_t
state_sum(struct model *x)
{
    struct env *env = x->m->env;
    uint64_t cells = hash_bytes(bytes_of(x->used, sizeof x->used), 1);
    struct tree_sum tree = tree_sum_of(env, STORE_DIR);
    assert_true(tree.bytes < 1 << 20); /* so tree_sum_of() read every file to its end */
    for_each_cell(x, c)
    {
        cells = hash_mix(cells, hash_bytes(bytes_of(c, sizeof *c), 1));
    }
    uint64_t rest[] = {x->gen,
                       x->reading,
                       x->samples_won,
                       cells,
                       hash_bytes(bytes_of(x->sparks, sizeof x->sparks), 2),
                       (uint64_t)env_realtime_ms(env),
                       (uint64_t)env_monotonic_ns(env)};
    return hash_mix(tree.hash, hash_bytes(bytes_of(rest, sizeof rest), 3));
}

/* Says whether scenario_end() has examined a state before, and remembers it. */
static bool
was_examined(uint64_t sum)
{
    static uint64_t sums[1 << 14];
    static uint32_t count;
    for (uint32_t i = 0; i < count; i++)
        if (sums[i] == sum) return true;
    if (count < sizeof sums / sizeof *sums) sums[count++] = sum;
    return false;
}

void
scenario_end(struct model *x)
{
    struct machine *m = x->m;
    if (m->db == NULL) {
        machine_must_open(m);
        model_opened(x);
    }
    if (tsdb_is_down(m->db)) must(tsdb_reopen(m->db, &m->why));
    must(tsdb_maintain(m->db, &m->why)); /* looks at the disk again */
    model_compare(x, false);
    scenario_write(x, 5);
    assert_false(tsdb_is_down(m->db));
    model_compare(x, false);
    machine_close(m);
    model_crashed(x);
    if (was_examined(state_sum(x))) return;
    machine_must_open(m);
    model_opened(x);
    model_compare(x, true);
    scenario_flush(x);
    assert_false(tsdb_has_frozen(m->db));
    scenario_commit(x);
    model_compare(x, false);
    must(model_merge(x, TSDB_MERGE_FULL));
    model_compare(x, false);
    machine_close(m);
    model_crashed(x);
    must(machine_verify(m, true));
    machine_must_open(m);
    model_opened(x);
    assert_int_equal(m->opening.damage.places, 0);
    assert_int_equal(m->opening.parts_set_aside, 0);
    model_compare(x, true);
}
