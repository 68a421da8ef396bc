/*
 * tsdb_machine.c - see tsdb_machine.h.
 *
 * Allocations fail only within step(), so that the test itself never fails for lack of memory.
 * Write requests are encoded by hand, not by the program's encoder, and pass the same decoders as
 * in the server: unchecked first, checked if that finds a malformed series.
 */
#include "lib/tsdb/tsdb_machine.h"

#include "base/hash/hash.h"

int64_t machine_seed = -1; /* seed of the machine that is still in use */

int
tell_seed(void **state)
{
    (void)state;
    mem_fail_nth(0, false);
    if (machine_seed >= 0) print_error("failed with seed %lld\n", (long long)machine_seed);
    machine_seed = -1;
    return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

void
rq_init(struct rq *rq, enum rw_version version)
{
    memset(rq, 0, sizeof *rq);
    rq->version = version;
    struct buf *all[] = {&rq->out, &rq->symbols, &rq->item, &rq->inner, &rq->packed};
    for (unsigned i = 0; i < 5; i++)
        buf_init(all[i], NULL, 1 << 30);
    buf_put_u8(&rq->symbols, 0x22);
    buf_put_counted(&rq->symbols, text(""));
    rq->symbol_count = 1;
}

void
rq_fini(struct rq *rq)
{
    struct buf *all[] = {&rq->out, &rq->symbols, &rq->item, &rq->inner, &rq->packed};
    for (unsigned i = 0; i < 5; i++)
        buf_fini(all[i]);
}

void
rq_field(struct buf *to, unsigned number, struct bytes content)
{
    buf_put_varint(to, number << 3 | 2);
    buf_put_counted(to, content);
}

void
rq_number(struct buf *to, unsigned number, uint64_t value)
{
    buf_put_varint(to, number << 3);
    buf_put_varint(to, value);
}

static void
rq_double(struct buf *to, unsigned number, uint64_t bits)
{
    buf_put_varint(to, number << 3 | 1);
    buf_put_le64(to, bits);
}

static uint32_t
rq_symbol(struct rq *rq, struct bytes content)
{
    rq_field(&rq->symbols, 4, content);
    return rq->symbol_count++;
}

void
rq_close(struct rq *rq)
{
    if (!rq->in_series) return;
    rq->in_series = false;
    rq_field(&rq->out, rq->version == RW_V1 ? 1 : 5, buf_bytes(&rq->item));
}

void
rq_label_pair(struct rq *rq, struct bytes name, struct bytes value, struct buf *to)
{
    if (rq->version == RW_V1) {
        struct buf label;
        buf_init(&label, NULL, 1 << 30);
        rq_field(&label, 1, name);
        rq_field(&label, 2, value);
        rq_field(to, 1, buf_bytes(&label));
        buf_fini(&label);
    } else {
        buf_put_varint(&rq->packed, rq_symbol(rq, name));
        buf_put_varint(&rq->packed, rq_symbol(rq, value));
    }
}

/* Writes "name=value,name=value" in the order given. */
static void
rq_labels(struct rq *rq, const char *labels, struct buf *to)
{
    buf_clear(&rq->packed);
    while (*labels != '\0') {
        size_t name = strcspn(labels, "="), all = strcspn(labels, ",");
        rq_label_pair(rq, bytes_of(labels, name), bytes_of(labels + name + 1, all - name - 1), to);
        labels += all + (labels[all] == ',');
    }
    if (rq->version == RW_V2) rq_field(to, 1, buf_bytes(&rq->packed));
}

void
rq_series(struct rq *rq, const char *labels)
{
    rq_close(rq);
    rq->in_series = true;
    buf_clear(&rq->item);
    rq_labels(rq, labels, &rq->item);
}

void
rq_float(struct rq *rq, int64_t t_ms, uint64_t bits, int64_t start_ms)
{
    buf_clear(&rq->inner);
    rq_double(&rq->inner, 1, bits);
    rq_number(&rq->inner, 2, (uint64_t)t_ms);
    if (rq->version == RW_V2 && start_ms != 0) rq_number(&rq->inner, 3, (uint64_t)start_ms);
    rq_field(&rq->item, 2, buf_bytes(&rq->inner));
}

static void
rq_buckets(struct rq *rq, enum sample_kind kind, const struct hist_buckets *b, unsigned first)
{
    for (uint32_t i = 0; i < b->span_count; i++) {
        buf_clear(&rq->packed);
        buf_put_u8(&rq->packed, 1 << 3);
        buf_put_zigzag(&rq->packed, b->spans[i].offset);
        rq_number(&rq->packed, 2, b->spans[i].length);
        rq_field(&rq->inner, first, buf_bytes(&rq->packed));
    }
    if (b->bucket_count == 0) return;
    buf_clear(&rq->packed);
    for (uint32_t i = 0; i < b->bucket_count; i++)
        if (kind == SAMPLE_HISTOGRAM_INT)
            buf_put_zigzag(&rq->packed, b->deltas[i]);
        else
            buf_put_le64(&rq->packed, b->counts[i]);
    rq_field(&rq->inner, first + (kind == SAMPLE_HISTOGRAM_INT ? 1 : 2), buf_bytes(&rq->packed));
}

void
rq_histogram(struct rq *rq, int64_t t_ms, const struct histogram *h, int64_t start_ms)
{
    buf_clear(&rq->inner);
    if (h->kind == SAMPLE_HISTOGRAM_INT) {
        rq_number(&rq->inner, 1, h->count);
        rq_number(&rq->inner, 6, h->zero_count);
    } else {
        rq_double(&rq->inner, 2, h->count);
        rq_double(&rq->inner, 7, h->zero_count);
    }
    rq_double(&rq->inner, 3, h->sum_bits);
    buf_put_u8(&rq->inner, 4 << 3);
    buf_put_zigzag(&rq->inner, h->schema);
    rq_double(&rq->inner, 5, h->zero_threshold_bits);
    rq_buckets(rq, h->kind, &h->negative, 8);
    rq_buckets(rq, h->kind, &h->positive, 11);
    rq_number(&rq->inner, 14, h->reset_hint);
    rq_number(&rq->inner, 15, (uint64_t)t_ms);
    buf_clear(&rq->packed);
    for (uint32_t i = 0; i < h->custom_count; i++)
        buf_put_le64(&rq->packed, h->custom_bits[i]);
    if (h->custom_count > 0) rq_field(&rq->inner, 16, buf_bytes(&rq->packed));
    if (rq->version == RW_V2 && start_ms != 0) rq_number(&rq->inner, 17, (uint64_t)start_ms);
    rq_field(&rq->item, rq->version == RW_V1 ? 4 : 3, buf_bytes(&rq->inner));
}

void
rq_exemplar(struct rq *rq, int64_t t_ms, uint64_t bits, const char *labels)
{
    buf_clear(&rq->inner);
    rq_labels(rq, labels, &rq->inner);
    rq_double(&rq->inner, 2, bits);
    rq_number(&rq->inner, 3, (uint64_t)t_ms);
    rq_field(&rq->item, rq->version == RW_V1 ? 3 : 4, buf_bytes(&rq->inner));
}

void
rq_metadata(struct rq *rq, enum metric_type type, const char *family, const char *help,
            const char *unit)
{
    if (rq->version == RW_V1) rq_close(rq);
    buf_clear(&rq->inner);
    rq_number(&rq->inner, 1, type);
    if (rq->version == RW_V1) {
        rq_field(&rq->inner, 2, text(family));
        rq_field(&rq->inner, 4, text(help));
        rq_field(&rq->inner, 5, text(unit));
        rq_field(&rq->out, 3, buf_bytes(&rq->inner));
    } else {
        rq_number(&rq->inner, 3, rq_symbol(rq, text(help)));
        rq_number(&rq->inner, 4, rq_symbol(rq, text(unit)));
        rq_field(&rq->item, 5, buf_bytes(&rq->inner));
    }
}

/* --- the machine ------------------------------------------------------------------------------ */

void
memory_resume(struct machine *m)
{
    if (m->memory_fails) mem_fail_nth(m->memory_fails_in, m->memory_fails_forever);
}

void
memory_pause(struct machine *m)
{
    if (!m->memory_fails) return;
    m->memory_failed |= mem_fail_fired();
    m->memory_fails_in = mem_fail_left();
    mem_fail_nth(0, false);
}

void
memory_arm(struct machine *m, uint64_t nth, bool forever)
{
    m->memory_fails = nth != 0;
    m->memory_fails_forever = forever;
    m->memory_fails_in = nth;
    if (nth != 0) m->memory_failed = false;
}

void
machine_init(struct machine *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    machine_seed = (int64_t)seed;
    must(sim_env_new(seed, &m->sim));
    must(fault_env_new(sim_env_env(m->sim), &m->fe));
    m->env = fault_env_env(m->fe);
    budget_init(&m->memory, "test", 0, NULL);
    must(rw_request_init(&m->request, NULL));
    m->options = (struct tsdb_options){
        .env = m->env,
        .dir = STORE_DIR,
        .memory = &m->memory,
        .head_bytes_max = 256 << 20,
        .cache_bytes = 4 << 20,
        .head_samples_max = 1 << 20,
        .head_age_ms_max = 2 * 60 * MINUTE_MS,
        .wal_segment_bytes = WAL_SEGMENT_BYTES_MIN,
        .wal_batch_bytes = 16 << 20,
        .wal_budget_bytes = 64 << 20,
        .wal_sync = WAL_SYNC_FSYNC,
        .tenants_max = 4,
        .min_free_bytes = 1 << 20,
    };
    m->limits = (struct tsdb_limits){
        .labels = {.count_max = 16, .name_bytes_max = 100, .value_bytes_max = 200},
        .retention_ms = 365 * DAY_MS,
        .max_future_ms = 10 * MINUTE_MS,
        .wal_budget_bytes = 64 << 20,
    };
}

enum err
machine_open(struct machine *m)
{
    memset(&m->why, 0, sizeof m->why);
    memset(&m->result, 0, sizeof m->result); /* epochs start again */
    enum err e = step(m, tsdb_open(&m->options, &m->limits, &m->db, &m->opening, &m->why));
    if (e) {
        m->db = NULL;
        assert_int_equal(budget_used(&m->memory), 0);
    }
    return e;
}

void
machine_must_open(struct machine *m)
{
    enum err e = machine_open(m);
    if (e) print_error("open: %s: %s\n", err_word(e), m->why.text);
    must(e);
}

void
machine_close(struct machine *m)
{
    tsdb_free(m->db);
    m->db = NULL;
    assert_int_equal(budget_used(&m->memory), 0);
}

void
machine_fini(struct machine *m)
{
    machine_close(m);
    rw_request_fini(&m->request);
    fault_env_free(m->fe);
    sim_env_free(m->sim);
    machine_seed = -1;
}

void
machine_restart(struct machine *m)
{
    machine_close(m);
    machine_must_open(m);
}

static enum err
machine_ingest(struct machine *m, const char *tenant)
{
    m->why.text[0] = '\0';
    return m->writes_itself ? tsdb_ingest_own(m->db, text(tenant), &m->request, &m->result, &m->why)
                            : tsdb_ingest(m->db, text(tenant), &m->request, &m->result, &m->why);
}

enum err
machine_send(struct machine *m, const char *tenant, struct rq *rq)
{
    rq_close(rq);
    struct buf message;
    buf_init(&message, NULL, 1 << 30);
    if (rq->version == RW_V2) buf_put_bytes(&message, buf_bytes(&rq->symbols));
    buf_put_bytes(&message, buf_bytes(&rq->out));
    must(buf_error(&message));
    /* Does as the server: see api/write/write.c. */
    m->request.keys = tsdb_fingerprint_keys(m->db);
    must(rw_decode_unchecked(&m->request, rq->version, buf_bytes(&message), tsdb_hash_seed(m->db),
                             &m->why));
    enum err e = step(m, machine_ingest(m, tenant));
    if (e == ERR_INPUT) {
        must(rw_decode(&m->request, rq->version, buf_bytes(&message), tsdb_hash_seed(m->db),
                       &m->why));
        e = step(m, machine_ingest(m, tenant));
    }
    if (e == OK) rw_request_validate(&m->request);
    buf_fini(&message);
    return e;
}

void
machine_commit(struct machine *m)
{
    enum err e = tsdb_commit(m->db, &m->why);
    if (e) print_error("commit: %s: %s\n", err_word(e), m->why.text);
    must(e);
    assert_true(m->result.wait_epoch <= wal_durable_epoch(tsdb_wal(m->db)));
}

void
machine_flush(struct machine *m)
{
    tsdb_want_cut(m->db);
    machine_commit(m);
    enum err e = tsdb_flush(m->db, &m->why);
    if (e) print_error("flush: %s: %s\n", err_word(e), m->why.text);
    must(e);
    assert_false(tsdb_has_frozen(m->db));
}

void
say_line(void *context, const char *line)
{
    struct buf *to = context;
    if (strstr(line, "damaged: ") == NULL && strstr(line, "NOT BALANCE") == NULL &&
        strstr(line, "says ") == NULL && strstr(line, "without labels") == NULL)
        return;
    buf_put_text(to, line);
    buf_put_text(to, "\n");
}

enum err
machine_verify(struct machine *m, bool loud)
{
    struct tsdb_report report;
    struct buf said;
    buf_init(&said, NULL, 1 << 20);
    enum err e = tsdb_verify(m->env, STORE_DIR, say_line, &said, &report, &m->why);
    if (e && loud) {
        print_error("verify: %s: %s\n%.*s", err_word(e), m->why.text, (int)said.size,
                    said.at == NULL ? "" : (const char *)said.at);
    }
    buf_fini(&said);
    return e;
}

void
machine_verified_restart(struct machine *m)
{
    machine_close(m);
    must(machine_verify(m, true));
    machine_must_open(m);
}

/* --- ledgers ---------------------------------------------------------------------------------- */

struct ledger_of {
    const char *tenant;
    struct ledger found;
    bool unbalanced;
};

static void
note_ledger(void *context, struct bytes tenant, const struct ledger *ledger)
{
    struct ledger_of *of = context;
    for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++)
        of->unbalanced |= ledger_difference(ledger, (enum ledger_kind)k) != 0;
    of->unbalanced |= !ledger_balances(ledger); /* a lock is held: the test cannot fail here */
    if (of->tenant != NULL && bytes_equal(tenant, text(of->tenant))) of->found = *ledger;
}

struct ledger
machine_ledger(struct machine *m, const char *tenant)
{
    struct ledger_of of = {.tenant = tenant};
    tsdb_ledgers(m->db, note_ledger, &of);
    assert_false(of.unbalanced);
    return of.found;
}

/* --- reading ---------------------------------------------------------------------------------- */

const struct matcher_text every_series[] = {{MATCH_NOT_EQUAL, "nobody-has-this", "x"}};

void
question_init(struct question *q, const char *tenant, const struct matcher_text *matchers,
              uint32_t count, int64_t min_ms, int64_t max_ms)
{
    memset(q, 0, sizeof *q);
    assert_true(count <= 4);
    for (uint32_t i = 0; i < count; i++) {
        must(matcher_new(matchers[i].type, text(matchers[i].name), text(matchers[i].pattern), NULL,
                         &q->made[i], NULL));
    }
    q->set = (struct matcher_set){q->made, count};
    q->request = (struct query_request){.tenant = text(tenant),
                                        .sets = &q->set,
                                        .set_count = 1,
                                        .min_ms = min_ms,
                                        .max_ms = max_ms};
}

void
question_fini(struct question *q)
{
    for (uint32_t i = 0; i < q->set.count; i++)
        matcher_free(q->made[i]);
}

enum err
set_walk(struct series_set *set, const struct query_request *request, each_sample *each,
         void *context, struct why *why)
{
    struct buf last;
    buf_init(&last, NULL, 1 << 20);
    enum err e;
    for (bool first = true;; first = false) {
        struct bytes labels;
        e = series_set_next(set, &labels, why);
        if (e || labels.at == NULL) break;
        assert_true(labels_valid(labels));
        assert_true(first || labels_compare(buf_bytes(&last), labels) < 0);
        buf_clear(&last);
        buf_put_bytes(&last, labels);
        int64_t before = 0;
        for (bool any = false;;) {
            struct sample_batch b;
            e = series_set_batch(set, &b, why);
            if (e || b.count == 0) break;
            for (uint32_t i = 0; i < b.count; i++, any = true) {
                if (any && b.times_ms[i] <= before) {
                    fail_msg("sample at %lld after %lld", (long long)b.times_ms[i],
                             (long long)before);
                }
                before = b.times_ms[i];
                assert_in_range(before - request->min_ms, 0, request->max_ms - request->min_ms);
                each(context, buf_bytes(&last), &b, i);
            }
        }
        if (e) break;
    }
    buf_fini(&last);
    return e;
}

enum err
machine_select(struct machine *m, const struct question *q, each_sample *each, void *context)
{
    struct series_set *set;
    enum err e = step(m, answerer_select(tsdb_answerer(m->db), &q->request, &set, &m->why));
    if (e) return e;
    e = set_walk(set, &q->request, each, context, &m->why);
    series_set_free(set);
    return e;
}

struct view *
machine_view(struct machine *m)
{
    struct view *view;
    must(view_open(tsdb_answerer(m->db), NULL, &view, &m->why));
    return view;
}

enum err
machine_exemplars(struct machine *m, const struct query_request *request,
                  enum err (*each)(void *context, const struct exemplar *x), void *context)
{
    struct view *view = NULL;
    enum err e = view_open(tsdb_answerer(m->db), request->control, &view, &m->why);
    struct exemplar_sink to = {each, context, NULL};
    if (e == OK) e = view_exemplars(view, request, &to, &m->why);
    view_free(view);
    return e;
}

enum err
machine_metadata(struct machine *m, const char *tenant, const char *family,
                 enum err (*each)(void *context, const struct metadata *x), void *context)
{
    struct query_request request = {.tenant = text(tenant)};
    struct view *view = NULL;
    enum err e = view_open(tsdb_answerer(m->db), NULL, &view, &m->why);
    if (e == OK) e = view_metadata(view, &request, text(family), each, context, &m->why);
    view_free(view);
    return e;
}

enum err
machine_texts(struct machine *m, const struct query_request *request, const char *what,
              enum err (*each)(void *context, struct bytes text), void *context)
{
    struct text_sink to = {each, context};
    struct view *view = NULL;
    enum err e = view_open(tsdb_answerer(m->db), request->control, &view, &m->why);
    if (e == OK && strcmp(what, "*") == 0)
        e = view_label_names(view, request, &to, &m->why);
    else if (e == OK && what[0] == '\0')
        e = view_series(view, request, &to, &m->why);
    else if (e == OK)
        e = view_label_values(view, request, text(what), &to, &m->why);
    view_free(view);
    return e;
}

/* Prints the samples of an answer as lines `{labels} time value[ start]`, for small tests. */
static void
print_sample(void *context, struct bytes labels, const struct sample_batch *b, uint32_t i)
{
    struct buf *to = context;
    labels_print(to, labels);
    buf_printf(to, " %lld ", (long long)b->times_ms[i]);
    if (b->kind == SAMPLE_FLOAT)
        buf_printf(to, "%.17g", bits_double(b->value_bits[i]));
    else
        buf_printf(to, "h%.17g", bits_double(b->histograms[i].sum_bits));
    if (b->starts_ms != NULL && b->starts_ms[i] != 0)
        buf_printf(to, " since %lld", (long long)b->starts_ms[i]);
    buf_put_text(to, "\n");
}

void
expect_lines(struct machine *m, const char *tenant, const struct matcher_text *matchers,
             uint32_t count, int64_t min_ms, int64_t max_ms, const char *expected)
{
    struct question q;
    struct buf lines;
    buf_init(&lines, NULL, 1 << 24);
    question_init(&q, tenant, matchers, count, min_ms, max_ms);
    enum err e = machine_select(m, &q, print_sample, &lines);
    if (e) print_error("select: %s: %s\n", err_word(e), m->why.text);
    must(e);
    buf_put_u8(&lines, 0);
    assert_string_equal((const char *)lines.at, expected);
    question_fini(&q);
    buf_fini(&lines);
}

void
expect_all(struct machine *m, const char *tenant, const char *expected)
{
    expect_lines(m, tenant, every_series, 1, INT64_MIN / 2, INT64_MAX / 2, expected);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
tree_add(void *context, const char *name, bool is_dir)
{
    struct tree_sum *t = context, inner = {.env = t->env};
    snprintf(inner.path, sizeof inner.path, "%.120s/%.60s", t->path, name);
    inner.hash = hash_bytes(bytes_of_text(inner.path), 3);
    if (is_dir) {
        must(env_listdir(t->env, inner.path, tree_add, &inner, NULL));
    } else {
        struct file file;
        static uint8_t at[1 << 20];
        size_t size;
        must(file_open(t->env, inner.path, FILE_READ, &file, NULL));
        must(file_read_some(&file, at, sizeof at, 0, &size, NULL));
        must(file_close(&file));
        inner.bytes = size;
        inner.hash = hash_mix(inner.hash, hash_bytes(bytes_of(at, size), 4));
    }
    t->bytes += inner.bytes;
    t->hash += inner.hash; /* in any order */
    return OK;
}

struct tree_sum
tree_sum_of(struct env *env, const char *path)
{
    struct tree_sum t = {.env = env};
    snprintf(t.path, sizeof t.path, "%s", path);
    must(env_listdir(env, path, tree_add, &t, NULL));
    return t;
}
