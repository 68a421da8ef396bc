/* s3_rig.c - see s3_rig.h. */
#include "lib/backend/s3_rig.h"

void
s3_rig_open(struct s3_rig *rig)
{
    rig->options.saved = buf_bytes(&rig->saved);
    enum err e = writer_new(&s3_writer, &rig->options, &rig->writer, &rig->why);
    if (e) fail_msg("create: %s: %s", err_word(e), rig->why.text);
    must(writer_call_new(&s3_writer, rig->writer, &rig->call));
    s3_writer.call_clear(rig->writer, rig->call);
}

void
s3_rig_close(struct s3_rig *rig)
{
    if (rig->writer == NULL) return;
    writer_call_free(&s3_writer, rig->writer, rig->call);
    writer_free(&s3_writer, rig->writer);
    rig->writer = NULL;
}

void
s3_rig_init(struct s3_rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_S3");
    must(sim_env_new(seed, &rig->sim));
    must(fault_env_new(sim_env_env(rig->sim), &rig->fe));
    budget_init(&rig->memory, "test", 0, NULL);
    buf_init(&rig->saved, NULL, SAVED_MAX);
    must(env_mkdir(fault_env_env(rig->fe), "d", NULL));
    must(env_syncdir(fault_env_env(rig->fe), "/", NULL));
    rig->settings = (struct destination_settings){
        .name = "archive",
        .type = DESTINATION_S3,
        .timeout_ms = 30000,
        .aws = {.region = "eu-west-1",
                .access_key = {.text = "AKID"},
                .secret_key = {.text = "SECRETkey"}},
        .u.s3 = {.bucket = "our-metrics",
                 .prefix = "m/",
                 .compression = COMPRESSION_NONE,
                 .roll_bytes = 64 << 20,
                 .roll_age_ms = 300000},
    };
    rig->options = (struct writer_options){
        .env = fault_env_env(rig->fe),
        .memory = &rig->memory,
        .settings = &rig->settings,
        .dir = "d",
        .instance = INSTANCE,
    };
}

void
s3_rig_fini(struct s3_rig *rig)
{
    s3_rig_close(rig);
    assert_int_equal(budget_used(&rig->memory), 0);
    buf_fini(&rig->saved);
    fault_env_free(rig->fe);
    sim_env_free(rig->sim);
}

void
s3_rig_save(struct s3_rig *rig)
{
    buf_clear(&rig->saved);
    s3_writer.save(rig->writer, &rig->saved);
    must(buf_error(&rig->saved));
    must(s3_writer.saved(rig->writer, &rig->why));
}

void
s3_rig_crash(struct s3_rig *rig)
{
    s3_rig_close(rig);
    sim_env_power_loss(rig->sim);
    s3_rig_open(rig);
}

/* --- items ------------------------------------------------------------------------------------ */

void
s3_rig_make_item(struct s3_item *m, uint64_t pos, uint32_t index, const char *name, double value)
{
    struct buf labels;
    buf_init(&labels, NULL, 4096);
    labels_put(&labels, (struct label){bytes_of_text("__name__"), bytes_of_text(name)});
    labels_put(&labels, (struct label){bytes_of_text("job"), bytes_of_text("x")});
    assert_true(labels.size <= sizeof m->labels);
    memcpy(m->labels, labels.at, labels.size);
    m->item = (struct item){
        .kind = ITEM_FLOAT,
        .pos = pos,
        .index = index,
        .arrival_ms = ARRIVAL_MS,
        .tenant = bytes_of_text("anonymous"),
        .labels = bytes_of(m->labels, labels.size),
        .series_hash = 0x9e3779b97f4a7c15u * (strlen(name) + 131 * (uint8_t)name[0]),
        .t_ms = 1700000000000 + (int64_t)pos + index,
        .bits = double_bits(value),
    };
    buf_fini(&labels);
}

enum writer_add
s3_rig_add_item(struct s3_rig *rig, const struct item *item)
{
    uint32_t entry = 99;
    enum writer_add added = s3_writer.add(rig->writer, rig->call, item, &entry, &rig->why);
    assert_int_equal(entry, 0);
    return added;
}

enum writer_add
s3_rig_add(struct s3_rig *rig, uint64_t pos, uint32_t index)
{
    struct s3_item m;
    s3_rig_make_item(&m, pos, index, "up", (double)pos);
    return s3_rig_add_item(rig, &m.item);
}

void
s3_rig_must_add(struct s3_rig *rig, uint64_t pos, uint32_t index)
{
    assert_int_equal(s3_rig_add(rig, pos, index), WRITER_ADDED);
}

/* --- steps ------------------------------------------------------------------------------------ */

/* True if the current request looks for an existing object. */
static bool
s3_rig_is_look(const struct s3_rig *rig)
{
    const char *method = rig->step.http.method;
    return rig->step.next == WRITER_SEND &&
           (strcmp(method, "HEAD") == 0 || strcmp(method, "GET") == 0);
}

static void
s3_rig_step_with(struct s3_rig *rig, const struct http_call_answer *answer)
{
    struct http_call_answer nothing = answer_of(404, "");
    rig->step = (struct writer_step){.next = WRITER_DONE};
    if (answer == NULL)
        s3_writer.begin(rig->writer, rig->call, &rig->step);
    else
        s3_writer.judge(rig->writer, rig->call, answer, &rig->step);
    while (s3_rig_is_look(rig) && !rig->tells_looks) {
        rig->step = (struct writer_step){.next = WRITER_DONE};
        s3_writer.judge(rig->writer, rig->call, &nothing, &rig->step);
    }
}

void
s3_rig_begin(struct s3_rig *rig)
{
    s3_rig_step_with(rig, NULL);
}

void
s3_rig_take(struct s3_rig *rig, const struct http_call_answer *answer)
{
    assert_int_equal(rig->step.next, WRITER_SEND);
    s3_rig_step_with(rig, answer);
    if (rig->step.next == WRITER_DONE) expect_no_secret(rig->step.answer);
}

void
s3_rig_answer(struct s3_rig *rig, unsigned status, const char *body)
{
    struct http_call_answer a = answer_of(status, body);
    if (status == 200 && body[0] == '\0') snprintf(a.wanted[1], sizeof a.wanted[1], "\"e\"");
    s3_rig_take(rig, &a);
}

void
s3_rig_answer_etag(struct s3_rig *rig, const char *etag)
{
    struct http_call_answer a = answer_of(200, "");
    snprintf(a.wanted[1], sizeof a.wanted[1], "%s", etag);
    s3_rig_take(rig, &a);
}

void
s3_rig_expect_call(struct s3_rig *rig, const char *method, const char *url)
{
    if (rig->step.next != WRITER_SEND) {
        fail_msg("next %d, verdict %d: %s: %s", rig->step.next, rig->step.verdict, rig->step.reason,
                 rig->step.answer);
    }
    assert_string_equal(rig->step.http.method, method);
    assert_string_equal(rig->step.http.url, url);
}

const char *
s3_rig_header(const struct s3_rig *rig, const char *name)
{
    size_t size = strlen(name);
    for (const char *const *h = rig->step.http.headers; *h != NULL; h++)
        if (strncasecmp(*h, name, size) == 0 && (*h)[size] == ':') return *h + size + 2;
    return "";
}

void
s3_rig_expect_done(struct s3_rig *rig, enum writer_verdict verdict, const char *reason)
{
    if (rig->step.next != WRITER_DONE || rig->step.verdict != verdict) {
        fail_msg("next %d, verdict %d: %s: %s", rig->step.next, rig->step.verdict, rig->step.reason,
                 rig->step.answer);
    }
    assert_string_equal(rig->step.reason, reason);
}

void
s3_rig_prepare(struct s3_rig *rig)
{
    assert_true(s3_writer.need_prepare(rig->writer));
    rig->step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig->writer, NULL, &rig->step);
    assert_int_equal(rig->step.next, WRITER_SEND);
    struct http_call_answer a = answer_of(200, NO_UPLOADS);
    rig->step = (struct writer_step){.next = WRITER_DONE};
    s3_writer.prepare(rig->writer, &a, &rig->step);
    s3_rig_expect_done(rig, VERDICT_DELIVERED, "");
    assert_false(s3_writer.need_prepare(rig->writer));
}

void
s3_rig_seal_and_save(struct s3_rig *rig)
{
    s3_rig_begin(rig);
    if (rig->step.next != WRITER_SAVE) fail_msg("%s: %s", rig->step.reason, rig->step.answer);
    s3_rig_save(rig);
    s3_rig_begin(rig);
}

struct counted_files {
    unsigned count;
};

static enum err
count_file(void *context, const char *name, bool is_dir)
{
    struct counted_files *x = context;
    (void)name;
    (void)is_dir;
    x->count++;
    return OK;
}

unsigned
s3_rig_files_in(struct s3_rig *rig, const char *dir)
{
    struct counted_files x = {0};
    must(env_listdir(rig->options.env, dir, count_file, &x, NULL));
    return x.count;
}

void
s3_rig_expect_body(const struct s3_rig *rig, const char *want)
{
    if (!bytes_equal_text(rig->step.http.body, want)) {
        fail_msg("'%.*s' instead of '%s'", (int)rig->step.http.body.size,
                 (const char *)rig->step.http.body.at, want);
    }
}
