/*
 * remote_write.c - destination type `remote_write`: any store that takes Prometheus' protocol, 1.0
 * or 2.0.
 *
 * With `auto` the first requests are 2.0. A store that responds with 415, or accepts a request but
 * reports that it wrote nothing (or reports nothing: a store older than 2.0 does not know what it
 * dropped), gets the same request again as 1.0, and 1.0 for a day. No other response changes the
 * version: an error is an error in both.
 */
#include "backend/remote/remote_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "backend/aws/credentials.h"
#include "base/array.h"
#include "base/hash/hash.h"
#include "base/table.h"
#include "model/labels.h"
#include "model/sample.h"
#include "wire/remote/remote_write_build.h"
#include "wire/snappy.h"

enum {
    SAMPLES = 2000,
    MESSAGE_BYTES = 4 * 1024 * 1024,
    MESSAGE_BYTES_MAX = 128 * 1024 * 1024,
    LANES = 4,
    ANSWER_BYTES = 64 * 1024,
};
/* A store that did not accept 2.0 may have been upgraded a day later. */
static const int64_t V1_FOR_NS = 24LL * 3600 * NS_PER_S;

struct remote_writer {
    struct writer_base base;
    const struct remote_write_settings *settings;
    struct http_calls_target target;
    struct http_headers headers;
    struct buf packed; /* output buffer, as large as a message might become; the result is copied
                          into its call */
    struct families *families;
    struct aws_identity *identity;
    struct identity_signature signature; /* signature of the last request */
    bool by_tenant;                      /* a request has one tenant */
    int64_t v1_until_ns;                 /* with `auto`: the store does not accept 2.0; monotonic */
    struct remote_call *check;           /* an empty call; NULL until it is needed */
};

struct remote_call {
    struct rw_build *builds[2]; /* for 1.0 and 2.0; made when first needed */
    enum rw_version version;    /* version of the items that were added */
    struct buf metadata;        /* 1.0: metadata of families, after the series */
    struct buf body;
    bool made;              /* the body has all items */
    uint64_t message_bytes; /* size of the body before compression */
    uint32_t samples;
    uint32_t exemplars;
    uint32_t families;
    uint32_t keys; /* the number of the token or keys of the last request */
    char tenant[256];
};

enum { WANTED_WRITTEN = AWS_WANTED_COUNT };
static const char *const WANTED[] = {"x-amzn-ErrorType", /* for all requests to AWS */
                                     "X-Prometheus-Remote-Write-Samples-Written",
                                     "X-Prometheus-Remote-Write-Histograms-Written",
                                     "X-Prometheus-Remote-Write-Exemplars-Written", NULL};

/* --- the writer ------------------------------------------------------------------------------- */

static enum rw_version
version_now(const struct remote_writer *w)
{
    switch (w->settings->protobuf_message) {
    case REMOTE_WRITE_V1:
        return RW_V1;
    case REMOTE_WRITE_V2:
        return RW_V2;
    default:
        return env_monotonic_ns(w->base.options.env) < w->v1_until_ns ? RW_V1 : RW_V2;
    }
}

static void
remote_write_fini(struct writer *writer)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    writer_call_free(&remote_write_writer, writer, (struct writer_call *)w->check);
    families_free(w->families);
    identity_free(w->identity);
    identity_signature_fini(&w->signature);
    http_headers_fini(&w->headers);
    buf_fini(&w->packed);
}

static bool
names_tenants(const struct destination_settings *settings)
{
    const struct text_list *tenants = &settings->tenants;
    return tenants->count > 0 && strcmp(tenants->items[0], "all") != 0;
}

static enum err
remote_write_init(struct writer *writer, struct why *why)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    const struct writer_options *options = &w->base.options;
    w->base.limits = (struct writer_limits){
        .takes_metadata = true,
        .concurrency = LANES,
        .samples = SAMPLES,
        .bytes = MESSAGE_BYTES,
        .samples_max = UINT32_MAX,
        .bytes_max = MESSAGE_BYTES_MAX,
    };
    w->settings = &options->settings->u.remote_write;
    w->by_tenant = options->settings->tenant_header != NULL;
    /* A check without a tenant, or with a tenant without samples, says nothing about other tenants.
     */
    bool is_checked = !w->by_tenant || names_tenants(options->settings);
    w->base.limits.start_check = is_checked ? 1 : 0;
    http_headers_init(&w->headers, options->memory);
    buf_init(&w->packed, options->memory, RW_BUILD_BYTES_MAX);
    http_target_init(&w->target, &options->settings->http, options->settings->timeout_ms);
    identity_signature_init(&w->signature, options->memory);
    const struct sigv4_settings *sigv4 = &w->settings->sigv4;
    const struct identity_options who = {
        .env = options->env,
        .memory = options->memory,
        .name = options->settings->name,
        .http = &options->settings->http,
        .basic_auth = &w->settings->basic_auth,
        .authorization = &w->settings->authorization,
        .oauth2 = &w->settings->oauth2,
        .aws = sigv4->given ? &sigv4->aws : NULL,
        .service = sigv4->service,
        .target = &w->target,
        .timeout_ms = options->settings->timeout_ms,
    };
    enum err e = families_new(options->memory, &w->families);
    return e ? e : identity_new(&who, &w->identity, why);
}

/* --- calls ------------------------------------------------------------------------------------ */

static enum err
remote_write_call_init(struct writer *writer, struct writer_call *call)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct remote_call *c = (struct remote_call *)call;
    buf_init(&c->metadata, w->base.options.memory, RW_BUILD_BYTES_MAX);
    buf_init(&c->body, w->base.options.memory, RW_BUILD_BYTES_MAX);
    return OK;
}

static void
remote_write_call_fini(struct writer *writer, struct writer_call *call)
{
    (void)writer;
    struct remote_call *c = (struct remote_call *)call;
    rw_build_free(c->builds[0]);
    rw_build_free(c->builds[1]);
    buf_fini(&c->metadata);
    buf_fini(&c->body);
}

static void
remote_write_call_clear(struct writer *writer, struct writer_call *call)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct remote_call *c = (struct remote_call *)call;
    for (unsigned i = 0; i < 2; i++)
        if (c->builds[i] != NULL) rw_build_clear(c->builds[i]);
    buf_clear(&c->metadata);
    buf_clear(&c->body);
    c->made = false;
    c->samples = c->exemplars = c->families = 0;
    c->tenant[0] = 0;
    c->version = version_now(w);
}

static struct rw_build *
build_of(const struct remote_call *c)
{
    return c->builds[c->version == RW_V1 ? 0 : 1];
}

/* Sets tenant and version with the first item. Later items of another tenant do not fit. */
static enum writer_add
begin_call(struct remote_writer *w, struct remote_call *c, const struct item *item)
{
    bool empty = c->samples + c->exemplars + c->families == 0;
    if (empty) {
        c->version = version_now(w);
        struct rw_build **build = &c->builds[c->version == RW_V1 ? 0 : 1];
        if (*build == NULL && rw_build_new(c->version, w->base.options.memory, build) != OK)
            return WRITER_NO_MEMORY;
        snprintf(c->tenant, sizeof c->tenant, "%.*s", (int)item->tenant.size,
                 (const char *)item->tenant.at);
        return WRITER_ADDED;
    }
    bool other = w->by_tenant && !bytes_equal_text(item->tenant, c->tenant);
    return other ? WRITER_FULL : WRITER_ADDED;
}

/* 2.0 sends metadata with the series: it is kept for later series. */
static enum writer_add
add_family(struct remote_writer *w, struct remote_call *c, const struct item *item, struct why *why)
{
    if (c->version == RW_V1) {
        rw_build_metadata_v1(&c->metadata, item->family, item->family_type, item->help, item->unit);
    } else {
        struct sent_family family = {item->family_type, item->help, item->unit};
        enum err e = families_put(w->families, item->tenant, item->family, &family);
        if (e == ERR_LIMIT)
            return writer_unfit(why, "too many metric families to keep their metadata");
        if (e) return WRITER_NO_MEMORY;
    }
    c->families++;
    return WRITER_ADDED;
}

static enum writer_add
remote_write_add(struct writer *writer, struct writer_call *call, const struct item *item,
                 uint32_t *ret_entry, struct why *why)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct remote_call *c = (struct remote_call *)call;
    *ret_entry = 0;
    enum writer_add begun = begin_call(w, c, item);
    if (begun != WRITER_ADDED) return begun;
    if (item->kind == ITEM_METADATA) return add_family(w, c, item, why);
    struct rw_build *build = build_of(c);
    uint64_t before = rw_build_counts(build).series;
    rw_build_series(build, item->labels);
    if (c->version == RW_V2 && rw_build_counts(build).series > before) {
        struct sent_family family;
        struct bytes metric = labels_get(item->labels, bytes_of_text("__name__"));
        if (families_find(w->families, item->tenant, metric, &family))
            rw_build_metadata(build, family.type, family.help, family.unit);
    }
    switch (item->kind) {
    case ITEM_FLOAT:
        rw_build_float(build, item->t_ms, item->bits, item->start_ms);
        break;
    case ITEM_HISTOGRAM:
        rw_build_histogram(build, item->t_ms, item->start_ms, item->histogram);
        break;
    default:
        rw_build_exemplar(build, item->exemplar_labels, item->t_ms, item->bits);
        break;
    }
    c->samples += item_is_sample(item);
    c->exemplars += !item_is_sample(item);
    return WRITER_ADDED;
}

/* True for a call of 2.0 with families alone: metadata is sent with later series. */
static bool
is_nothing(const struct remote_call *c)
{
    return c->version == RW_V2 && c->families > 0 && rw_build_counts(build_of(c)).series == 0;
}

/* Always the size before compression: the ceiling that the relay lowers after a refusal must have
 * one unit. */
static uint64_t
call_bytes(const struct remote_call *c)
{
    if (c->made) return c->message_bytes;
    if (build_of(c) == NULL || is_nothing(c)) return 0;
    return rw_build_counts(build_of(c)).bytes + c->metadata.size;
}

static uint64_t
remote_write_bytes(const struct writer *writer, const struct writer_call *call)
{
    (void)writer;
    return call_bytes((const struct remote_call *)call);
}

/* --- requests --------------------------------------------------------------------------------- */

static enum err
make_body(struct remote_writer *w, struct remote_call *c)
{
    struct bytes message;
    if (c->made) return OK;
    c->message_bytes = call_bytes(c);
    enum err e = rw_build_end(build_of(c), &message);
    if (e) return e;
    struct buf *whole = &c->metadata;
    if (whole->size > 0) { /* the fields of both may come in any order */
        buf_put_bytes(whole, message);
        message = buf_bytes(whole);
        e = buf_error(whole);
    }
    buf_clear(&w->packed);
    buf_clear(&c->body);
    if (e == OK) e = snappy_pack(message, &w->packed);
    if (e == OK) buf_put_bytes(&c->body, buf_bytes(&w->packed));
    if (e == OK) e = buf_error(&c->body);
    c->made = e == OK;
    return e;
}

static enum err
make_headers(struct remote_writer *w, const struct remote_call *c, struct writer_step *step,
             struct why *why)
{
    struct http_headers *h = &w->headers;
    bool v2 = c->version == RW_V2;
    http_headers_clear(h);
    http_headers_put(
        h, "Content-Type",
        bytes_of_text(v2 ? "application/x-protobuf;proto=io.prometheus.write.v2.Request"
                         : "application/x-protobuf"));
    http_headers_put(h, "Content-Encoding", bytes_of_text("snappy"));
    http_headers_put(h, "X-Prometheus-Remote-Write-Version", bytes_of_text(v2 ? "2.0.0" : "0.1.0"));
    if (w->by_tenant)
        http_headers_put(h, w->base.options.settings->tenant_header, bytes_of_text(c->tenant));
    bool is_known;
    enum err e = identity_put_secrets(w->identity, h, &is_known, why);
    if (e == OK) e = identity_put_token(w->identity, is_known, h);
    return e ? e : http_headers_lines(h, &step->http.headers);
}

static void
remote_write_begin(struct writer *writer, struct writer_call *call, struct writer_step *step)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct remote_call *c = (struct remote_call *)call;
    struct why why = {""};
    if (is_nothing(c)) {
        step_done(step, VERDICT_DELIVERED, "", "");
        return;
    }
    enum err e = make_body(w, c);
    if (e == ERR_LIMIT) {
        step_done(step, VERDICT_TOO_LARGE, "too_large", "the request is too large");
        return;
    }
    if (e == ERR_NOMEM) { /* some metadata may be lost */
        step_done(step, VERDICT_REBUILD, "no_memory", "not enough memory for a request");
        return;
    }
    if (e == OK) e = make_headers(w, c, step, &why);
    step->http.target = &w->target;
    step->http.method = "POST";
    step->http.url = w->settings->url;
    step->http.body = buf_bytes(&c->body);
    if (e == OK) e = identity_sign(w->identity, &step->http, &w->signature, &why);
    c->keys = w->signature.generation;
    if (e) {
        http_judge_unmade(e, &why, step);
        return;
    }
    step->next = WRITER_SEND;
    step->http.wanted = WANTED;
    step->http.answer_bytes_max = ANSWER_BYTES;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The number of items that the store says it wrote. */
static uint64_t
written_of(const struct http_call_answer *answer)
{
    uint64_t written = 0;
    for (unsigned i = WANTED_WRITTEN; WANTED[i] != NULL; i++) {
        uint64_t more = strtoull(answer->wanted[i], NULL, 10);
        written = more > UINT64_MAX - written ? UINT64_MAX : written + more;
    }
    return written;
}

/* Falls back, since the store does not accept this version. */
static void
refuse_version(struct remote_writer *w, struct remote_call *c, struct writer_step *step,
               const char *reason, const char *what)
{
    char given[WRITER_ANSWER_BYTES];
    snprintf(given, sizeof given, "%s", step->answer);
    if (c->version == RW_V2 && w->settings->protobuf_message == REMOTE_WRITE_AUTO) {
        w->v1_until_ns = env_monotonic_ns(w->base.options.env) + V1_FOR_NS;
        step_done(step, VERDICT_REBUILD, reason, given);
        return;
    }
    step_done(step, VERDICT_BLOCKED, reason, what);
    if (given[0] != 0) snprintf(step->answer, sizeof step->answer, "%.300s: %.200s", what, given);
}

/* Removes the start of a text, up to a comma, a semicolon or the end of a line. Returns true if it
 * was the word of a reason (enum reject). */
static bool
take_reject_word(struct bytes *text)
{
    size_t size = 0;
    while (size < text->size && memchr(",;\n", text->at[size], 3) == NULL)
        size++;
    struct bytes word = bytes_of(text->at, size);
    *text = bytes_of(text->at + size, text->size - size);
    for (unsigned r = REJECT_NONE + 1; r < REJECT_COUNT; r++)
        if (bytes_equal_text(word, reject_word((enum reject)r))) return true;
    return false;
}

/* The number of items that a Firekeep server refused: "refused: 3 too_old, 1 conflict; ...". It
 * accepts all others of a request, and counts metadata, too. 0 if the text is not from Firekeep. */
static uint64_t
reported_refused(struct bytes text)
{
    static const char begin[] = "refused: ";
    const size_t begin_size = sizeof begin - 1;
    uint64_t sum = 0;
    if (text.size < begin_size || memcmp(text.at, begin, begin_size) != 0) return 0;
    text = bytes_of(text.at + begin_size, text.size - begin_size);
    for (;;) {
        uint64_t count = 0;
        size_t digits = 0;
        for (;
             digits < text.size && digits < 10 && text.at[digits] >= '0' && text.at[digits] <= '9';
             digits++)
            count = 10 * count + (uint64_t)(text.at[digits] - '0');
        if (digits == 0 || digits == text.size || text.at[digits] != ' ') return 0;
        text = bytes_of(text.at + digits + 1, text.size - digits - 1);
        if (!take_reject_word(&text)) return 0;
        sum += count;
        if (text.size < 2 || text.at[0] != ',' || text.at[1] != ' ') break;
        text = bytes_of(text.at + 2, text.size - 2);
    }
    return text.size == 0 || text.at[0] != ',' ? sum : 0;
}

/* True if a Firekeep server refuses everything of a call: it counts as many items as there are.
 * In 2.0 it must also say that nothing was written, as it may count metadata that came with the
 * series; in 1.0 metadata is separate, and its number is known. Other stores may write nothing of a
 * request because of one sample. */
static bool
refuses_all(const struct remote_call *c, const struct http_call_answer *answer, uint64_t reported)
{
    for (unsigned i = WANTED_WRITTEN; WANTED[i] != NULL && c->version == RW_V2; i++)
        if (answer->wanted[i][0] == 0) return false;
    uint64_t written = c->version == RW_V2 ? written_of(answer) : 0;
    uint64_t items = (uint64_t)c->samples + c->exemplars;
    return c->families == 0 && written == 0 &&
           (c->version == RW_V2 ? reported >= items : reported == items);
}

/* Some samples are refused. If a store says how many it wrote, and that is neither none nor all,
 * the others were refused; none may mean that it writes nothing of such a request. */
static void
write_judge_refusal(struct remote_writer *w, const struct remote_call *c,
                    const struct http_call_answer *answer, struct writer_step *step)
{
    uint64_t written = 0, reported = reported_refused(answer->body);
    for (unsigned i = WANTED_WRITTEN; i < WANTED_WRITTEN + 2; i++)
        written += strtoull(answer->wanted[i], NULL, 10);
    if (written > 0 && written < c->samples)
        step->refused = c->samples - (uint32_t)written;
    else if (reported < c->samples)
        step->refused = (uint32_t)reported;
    if (!w->settings->isolate) {
        step->verdict = VERDICT_DEAD_CALL;
        return;
    }
    bool is_firekeep = answer->status == 400 && reported > 0;
    if (is_firekeep && refuses_all(c, answer, reported)) step->verdict = VERDICT_DEAD;
}

static void
remote_write_judge(struct writer *writer, struct writer_call *call,
                   const struct http_call_answer *answer, struct writer_step *step)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct remote_call *c = (struct remote_call *)call;
    http_judge(answer, step);
    if (answer->failure != HTTP_CALL_ANSWERED) return;
    if (step->verdict == VERDICT_SOME_DEAD && answer->status != 415) {
        write_judge_refusal(w, c, answer, step);
    } else if (answer->status == 415) {
        refuse_version(w, c, step, "http_415",
                       "the server does not support this version of remote write");
    } else if (step->verdict == VERDICT_DELIVERED && c->version == RW_V2 && c->samples > 0 &&
               written_of(answer) == 0) { /* according to the store */
        refuse_version(w, c, step, "nothing_written",
                       "the server answered 2xx, but reports that nothing was written");
    } else if (step->verdict == VERDICT_BLOCKED) {
        identity_judge(w->identity, c->keys, answer, step);
    }
}

/* --- before ----------------------------------------------------------------------------------- */

static bool
remote_write_need_prepare(struct writer *writer)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    return identity_is_due(w->identity);
}

static void
remote_write_prepare(struct writer *writer, const struct http_call_answer *answer,
                     struct writer_step *ret_step)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    identity_step(w->identity, answer, ret_step);
}

/* --- permission check ------------------------------------------------------------------------- */

/* Makes a request without series. */
static void
begin_check(struct writer *writer, struct writer_step *step)
{
    struct remote_writer *w = (struct remote_writer *)writer;
    struct writer_call *call = (struct writer_call *)w->check;
    static const struct item nothing = {.kind = ITEM_FLOAT};
    enum err e = call == NULL ? writer_call_new(&remote_write_writer, writer, &call) : OK;
    struct remote_call *c = w->check = (struct remote_call *)call;
    if (e == OK) {
        remote_write_call_clear(writer, call);
        if (begin_call(w, c, &nothing) != WRITER_ADDED) e = ERR_NOMEM;
    }
    if (e) {
        step_no_memory(step, "a request");
    } else if (remote_write_need_prepare(writer)) {
        step_done(step, VERDICT_UNPREPARED, "credentials", "credentials are not available yet");
    } else {
        const struct destination_settings *settings = w->base.options.settings;
        snprintf(c->tenant, sizeof c->tenant, "%s",
                 names_tenants(settings) ? settings->tenants.items[0] : "anonymous");
        remote_write_begin(writer, call, step);
    }
}

static bool
remote_write_check(struct writer *writer, uint32_t number, const struct http_call_answer *answer,
                   struct writer_step *ret_step, char what[WRITER_ANSWER_BYTES])
{
    struct remote_writer *w = (struct remote_writer *)writer;
    if (number > 0) return false;
    snprintf(what, WRITER_ANSWER_BYTES, "an empty write%s",
             identity_signs(w->identity) ? " (aps:RemoteWrite)" : "");
    if (answer == NULL) {
        begin_check(writer, ret_step);
        return true;
    }
    remote_write_judge(writer, (struct writer_call *)w->check, answer, ret_step);
    /* The store has checked credentials before the content. */
    bool lacks_series =
        answer->failure == HTTP_CALL_ANSWERED && answer->status == 400 &&
        (ret_step->verdict == VERDICT_SOME_DEAD || ret_step->verdict == VERDICT_DEAD_CALL);
    if (lacks_series) step_unproven(ret_step);
    return true;
}

const struct writer_class remote_write_writer = {
    .type = DESTINATION_REMOTE_WRITE,
    .writer_bytes = sizeof(struct remote_writer),
    .call_bytes = sizeof(struct remote_call),
    .init = remote_write_init,
    .fini = remote_write_fini,
    .call_init = remote_write_call_init,
    .call_fini = remote_write_call_fini,
    .call_clear = remote_write_call_clear,
    .add = remote_write_add,
    .bytes = remote_write_bytes,
    .begin = remote_write_begin,
    .judge = remote_write_judge,
    .need_prepare = remote_write_need_prepare,
    .prepare = remote_write_prepare,
    .check = remote_write_check,
};

/* --- metadata --------------------------------------------------------------------------------- */

/*
 * Metadata of metric families, by tenant and name: some thousands, which senders send
 * again each minute. Texts lie in one buffer, and those that were replaced are squeezed out when
 * they are half of it.
 */

enum { FAMILIES_MAX = 32 * 1024, TEXT_BYTES_MAX = 8 * 1024 * 1024 };

struct kept_family {
    uint32_t at; /* position in the texts: varint-counted tenant, name, help, unit */
    uint32_t size;
    enum metric_type type;
};

struct families {
    struct budget *memory;
    struct kept_family *items;
    uint32_t capacity;
    uint32_t count;
    struct table by_name; /* numbers of items by hash */
    struct buf texts;
    size_t stale; /* bytes of replaced texts */
};

enum err
families_new(struct budget *memory, struct families **ret_families)
{
    struct families *f = mem_new(memory, sizeof *f);
    if (f == NULL) return ERR_NOMEM;
    f->memory = memory;
    buf_init(&f->texts, memory, TEXT_BYTES_MAX);
    *ret_families = f;
    return OK;
}

void
families_free(struct families *f)
{
    if (f == NULL) return;
    array_free(f->memory, f->items, f->capacity);
    table_fini(&f->by_name, f->memory);
    buf_fini(&f->texts);
    mem_free(f->memory, f, sizeof *f);
}

static uint64_t
hash_of(struct bytes tenant, struct bytes name)
{
    return hash_bytes(name, hash_bytes(tenant, 0));
}

/* Finds a family and its help and unit; NULL if there is none. */
static struct kept_family *
find(const struct families *f, struct bytes tenant, struct bytes name, struct cursor *ret_rest)
{
    uint64_t hash = hash_of(tenant, name);
    for (uint32_t at = TABLE_START, i; table_next(&f->by_name, hash, &at, &i);) {
        struct kept_family *item = &f->items[i];
        struct cursor c = cursor_of(bytes_of(f->texts.at + item->at, item->size));
        if (!bytes_equal(cursor_counted(&c), tenant)) continue;
        if (!bytes_equal(cursor_counted(&c), name)) continue;
        *ret_rest = c;
        return item;
    }
    return NULL;
}

static enum err
squeeze(struct families *f)
{
    if (f->stale < f->texts.size / 2 || f->stale < 4096) return OK;
    struct buf kept;
    buf_init(&kept, f->memory, TEXT_BYTES_MAX);
    if (!buf_reserve(&kept, f->texts.size - f->stale)) return buf_error(&kept);
    for (uint32_t i = 0; i < f->count; i++) {
        size_t at = kept.size;
        buf_put(&kept, f->texts.at + f->items[i].at, f->items[i].size);
        f->items[i].at = (uint32_t)at;
    }
    buf_fini(&f->texts);
    f->texts = kept;
    f->stale = 0;
    return OK;
}

enum err
families_put(struct families *f, struct bytes tenant, struct bytes name,
             const struct sent_family *family)
{
    struct cursor c;
    struct kept_family *item = find(f, tenant, name, &c);
    bool same = item != NULL && item->type == family->type &&
                bytes_equal(cursor_counted(&c), family->help) &&
                bytes_equal(cursor_counted(&c), family->unit);
    if (same) return OK;
    if (item == NULL) {
        if (f->count == FAMILIES_MAX) return ERR_LIMIT;
        if (!array_reserve(f->memory, &f->items, &f->capacity, f->count + 1)) return ERR_NOMEM;
        if (!table_reserve(&f->by_name, f->memory, 1)) return ERR_NOMEM;
    }
    size_t at = f->texts.size;
    buf_put_counted(&f->texts, tenant);
    buf_put_counted(&f->texts, name);
    buf_put_counted(&f->texts, family->help);
    buf_put_counted(&f->texts, family->unit);
    enum err e = buf_error(&f->texts);
    if (e) {
        f->texts.size = at;
        f->texts.failed = OK;
        return e;
    }
    if (item != NULL) {
        f->stale += item->size;
    } else {
        table_add(&f->by_name, hash_of(tenant, name), f->count);
        item = &f->items[f->count++];
    }
    *item = (struct kept_family){(uint32_t)at, (uint32_t)(f->texts.size - at), family->type};
    return squeeze(f);
}

static bool
find_exactly(const struct families *f, struct bytes tenant, struct bytes name,
             struct sent_family *ret_family)
{
    struct cursor c;
    const struct kept_family *item = find(f, tenant, name, &c);
    if (item == NULL) return false;
    ret_family->type = item->type;
    ret_family->help = cursor_counted(&c);
    ret_family->unit = cursor_counted(&c);
    return true;
}

bool
families_find(const struct families *f, struct bytes tenant, struct bytes metric,
              struct sent_family *ret_family)
{
    static const char *const suffixes[] = {"_total",   "_bucket", "_count",  "_sum",
                                           "_created", "_info",   "_gcount", "_gsum"};
    if (f->count == 0) return false;
    if (find_exactly(f, tenant, metric, ret_family)) return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t size = strlen(suffixes[i]);
        if (metric.size <= size) continue;
        struct bytes end = bytes_of(metric.at + metric.size - size, size);
        if (!bytes_equal_text(end, suffixes[i])) continue;
        return find_exactly(f, tenant, bytes_of(metric.at, metric.size - size), ret_family);
    }
    return false;
}
