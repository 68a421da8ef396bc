/*
 * write.c - messages with samples, in the forms of forms.h: POST, judged at once, answered when
 * durable.
 *
 *      body -> unpack -> decode -> tsdb_ingest_begin -> committing -> api_committed -> answer
 *                                           |                ^
 *                                           +- repeats thread: tsdb_ingest_end, if parts may hold
 *                                              samples that conflict with the head
 *
 *   SPARE --write_judge()--> JUDGED --write_look_later()--> UNDECIDED --undecided_take()--> JUDGED
 *                            JUDGED --write_judged()--> COMMITTING --api_committed()--> JUDGED
 *                            JUDGED --hand_over()--> HANDED_OVER --api_delivered()--> JUDGED
 *                            JUDGED --answered, pending_spare()--> SPARE
 *
 * With wal.ack=destination nothing is judged by the store: the message is handed over to the
 * destinations, and the write waits for them as others do for their commit.
 *
 * Invariants:
 *
 * 1. A pending write is in the list that its stage names; in JUDGED one thread has it.
 * 2. The list of COMMITTING writes has `committing_count` of them, and `committing_last` is its
 *    end.
 * 3. An UNDECIDED write has undecided samples and keeps its memory; a COMMITTING write has neither.
 * 4. `undecided_count`, at most UNDECIDED_MAX, is the number of UNDECIDED writes, each with a job.
 * 5. A write is answered once, when the fate of its epoch is known.
 * 6. `handed_count` is the number of HANDED_OVER writes. Each keeps nothing of its request's
 *    memory, and may be answered from the moment when hand_over() is called.
 */
#include "api/write/forms.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/gate.h"
#include "base/log.h"
#include "base/text/quote.h"
#include "wire/remote/remote_write.h"
#include "wire/snappy.h"

/* --- what the log says of refusals ------------------------------------------------------------ */

/* Refused samples are logged once per minute for each reason, with their number since the last
 * line, for all tenants, and the first of them. The response names the reason, but the operator of
 * the server often does not run the sender. A request whose exemplars only are refused is answered
 * with success, so its line differs. */

#define LOG_AGAIN_NS   (60 * NS_PER_S)
#define TYPES_AGAIN_NS (24 * 60 * 60 * NS_PER_S)

struct refusals {
    struct log_gate gate;
    _Atomic uint64_t count; /* since the last line; relaxed: a statistic */
};
static struct refusals refusals[2][REJECT_COUNT]; /* [1]: answered with success */

void
refusals_log(int64_t now_ns, struct bytes tenant, const struct ingest_result *result)
{
    const char *offenders = result->text + strcspn(result->text, ";");
    bool is_success = ingest_result_is_success(result);
    for (unsigned r = 1; r < REJECT_COUNT; r++) {
        struct refusals *x = &refusals[is_success][r];
        const char *word = reject_word((enum reject)r);
        uint64_t count = result->rejected_for[r], held_back;
        char begin[64];
        if (count == 0) continue;
        atomic_fetch_add_explicit(&x->count, count, memory_order_relaxed);
        if (!log_often(&x->gate, now_ns, LOG_AGAIN_NS, &held_back)) continue;
        /* Names the first sample of that reason, if it is known; else the first of all. */
        snprintf(begin, sizeof begin, "; %s", word);
        const char *own = strstr(offenders, begin), *first = own != NULL ? own : offenders;
        if (first[0] == ';') first += 2;
        count = atomic_exchange_explicit(&x->count, 0, memory_order_relaxed);
        if (is_success)
            log_warn("exemplars refused", KV("reason", word), KV("count", count),
                     KV("tenant", tenant), KV("first", first));
        else
            log_warn("samples refused with status 400", KV("reason", word), KV("count", count),
                     KV("tenant", tenant), KV("first", first));
    }
}

void
types_missing_log(int64_t now_ns, const char *agent, const char *peer,
                  const struct rw_request *request)
{
    static struct log_gate gate;
    static const char prometheus[] = "Prometheus/";
    uint64_t held_back;
    bool is_prometheus = agent != NULL && strncmp(agent, prometheus, sizeof prometheus - 1) == 0;
    if (request->version != RW_V2 || request->series_count == 0 || !is_prometheus) return;
    if (now_ns < atomic_load_explicit(&gate.next_ns, memory_order_relaxed)) return;
    for (uint32_t i = 0; i < request->series_count; i++)
        if (request->series[i].has_metadata) return;
    if (!log_often(&gate, now_ns, TYPES_AGAIN_NS, &held_back)) return;
    log_info("Prometheus sends no types of metrics; start it with "
             "--enable-feature=metadata-wal-records, or use remote write 1.0",
             KV("sender", agent), KV("address", peer));
}

enum {
    MESSAGE_KEEP_BYTES = 4 * 1024 * 1024,
    /* Larger bodies are judged on the thread of QUEUE_WRITES: a worker has other connections. */
    WORKER_BODY_BYTES = 512 * 1024,
    /* Writes that keep their memory while parts are read for them, one after the other. */
    UNDECIDED_MAX = 16,
};

/* The stage of a pending write; the diagram above shows the changes. */
enum write_stage {
    WRITE_SPARE,       /* in writes->spare, or new */
    WRITE_JUDGED,      /* a thread judges or answers it */
    WRITE_UNDECIDED,   /* in writes->undecided */
    WRITE_COMMITTING,  /* in the list of writes that wait for their commit */
    WRITE_HANDED_OVER, /* destinations have it */
};

/* A write that is judged, waits for its commit, or, before that, for undecided samples to be
 * compared with parts. */
struct pending_write {
    struct pending_write *next;
    enum write_stage stage;
    struct http_request *request;
    uint64_t epoch;
    enum tsdb_epoch state;
    const struct write_form *form;
    enum err error;   /* why the rest of the request was not taken */
    bool overwritten; /* series got labels of write_labels that were not sent */
    struct why why;
    struct ingest_result result;
    struct input_outcome outcome;
    struct write_memory *memory;      /* kept while samples are undecided */
    struct tsdb_undecided *undecided; /* NULL: all samples are decided */
};

/* Working memory of one write; kept for the next. */
struct write_memory {
    struct write_memory *next;
    struct budget budget; /* budget of `message` and `request` */
    struct buf message;
    struct rw_request request;
    uint32_t overwritten; /* series that got labels of write_labels that were not sent */
};

/* Guarded by the lock of the api. */
struct writes {
    struct pending_write *committing_first;
    struct pending_write *committing_last;
    uint64_t committing_count;
    struct pending_write *undecided; /* each has a job in QUEUE_REPEATS */
    uint32_t undecided_count;
    uint64_t handed_count;
    struct pending_write *spare;
    struct write_memory *memories;
};

static struct metric_counter requests_v1 = {.name = "firekeep_write_requests_total",
                                            .help = "Remote write requests, by protocol version.",
                                            .labels = {{"version", "1.0"}}};
static struct metric_counter requests_v2 = {.name = "firekeep_write_requests_total",
                                            .help = "Remote write requests, by protocol version.",
                                            .labels = {{"version", "2.0"}}};
static struct metric_counter malformed = {
    .name = "firekeep_write_malformed_requests_total",
    .help = "Remote write requests that could not be decoded and were not stored."};
static struct metric_counter unavailable = {
    .name = "firekeep_write_unavailable_total",
    .help = "Remote write requests answered with 503, which senders retry."};
static struct metric_histogram latency = {
    .name = "firekeep_write_request_duration_seconds",
    .help = "Time from the first byte of a remote write request to its response, in seconds.",
    METRIC_LATENCY};

static void reply_remote(struct api *api, struct http_request *request,
                         const struct write_form *form, const struct write_end *end);
static const struct write_form form_v1 = {
    .version = RW_V1, .encodings = "snappy, zstd", .requests = &requests_v1, .reply = reply_remote};
static const struct write_form form_v2 = {
    .version = RW_V2, .encodings = "snappy", .requests = &requests_v2, .reply = reply_remote};

void
write_metrics_register(void)
{
    metric_register_counter(&requests_v1);
    metric_register_counter(&requests_v2);
    inputs_metrics_register();
    metric_register_counter(&malformed);
    metric_register_counter(&unavailable);
    metric_register_histogram(&latency);
}

/* --- the kind of message ---------------------------------------------------------------------- */

static const char *
skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* Returns the version of remote write that a Content-Type names. NULL: it names another type.
 *
 * RFC 9110: names are case-insensitive, blanks around ';' are allowed, values may be quoted. */
static const struct write_form *
parse_content_type(const char *text)
{
    static const char media[] = "application/x-protobuf";
    const struct write_form *form = &form_v1;
    if (text == NULL) return form;
    text = skip_blanks(text);
    if (text[0] == '\0') return form;
    if (strncasecmp(text, media, sizeof media - 1) != 0) return NULL;
    for (const char *p = skip_blanks(text + sizeof media - 1); *p != '\0';) {
        if (*p != ';') return NULL;
        p = skip_blanks(p + 1);
        size_t name = strcspn(p, "=; \t");
        bool is_proto = name == 5 && strncasecmp(p, "proto", 5) == 0;
        p = skip_blanks(p + name);
        if (*p != '=') continue;
        p = skip_blanks(p + 1);
        bool quoted = *p == '"';
        if (quoted) p++;
        size_t size = strcspn(p, quoted ? "\"" : "; \t");
        if (is_proto && size == 23 && strncmp(p, "prometheus.WriteRequest", 23) == 0)
            form = &form_v1;
        else if (is_proto && size == 30 && strncmp(p, "io.prometheus.write.v2.Request", 30) == 0)
            form = &form_v2;
        else if (is_proto)
            return NULL;
        p += size;
        if (quoted && *p == '"') p++;
        p = skip_blanks(p);
    }
    return form;
}

/* The form of a message, by its path and Content-Type. NULL: it is of no known type. On /write,
 * which InfluxDB has too, remote write is known by its type or its compression, and without both by
 * the lack of a database. */
static const struct write_form *
form_of(const struct api *api, const struct http_request *request)
{
    static const char otlp[] = "/v1/metrics";
    const char *path = api_path(api, request), *type = http_header(request, "Content-Type");
    const char *encoding = http_header(request, "Content-Encoding");
    size_t size = strlen(path);
    if (size >= sizeof otlp - 1 && strcmp(path + size - (sizeof otlp - 1), otlp) == 0)
        return otlp_form(request);
    const struct write_form *form = parse_content_type(type), *lines = influx_form(path);
    const struct write_form *other = other_form(path);
    if (other != NULL) return other;
    bool has_type = type != NULL && skip_blanks(type)[0] != '\0';
    bool is_lines = has_type ? form == NULL : http_argument(request, "db") != NULL;
    bool is_remote = strcmp(path, "/write") == 0 &&
                     (!is_lines || (encoding != NULL && strcasecmp(encoding, "snappy") == 0));
    return lines == NULL || is_remote ? form : lines;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Each answer to a 2.0 request says how many samples of it were written. */
static void
reply_remote(struct api *api, struct http_request *request, const struct write_form *form,
             const struct write_end *end)
{
    const struct ingest_result *result = end->result;
    const struct why *why = end->why;
    const unsigned status = end->status;
    static const struct {
        const char *header;
        enum ledger_kind kind;
    } counts[] = {{"X-Prometheus-Remote-Write-Samples-Written", LEDGER_FLOAT},
                  {"X-Prometheus-Remote-Write-Histograms-Written", LEDGER_HISTOGRAM},
                  {"X-Prometheus-Remote-Write-Exemplars-Written", LEDGER_EXEMPLAR}};
    char text[sizeof result->text + sizeof why->text];
    char written[3][24];
    struct http_answer answer = {.status = status};
    unsigned headers = 0;
    int n = 0;
    if (status != 204) {
        n = snprintf(text, sizeof text, "%s\n", why->text);
    } else if (!ingest_result_is_success(result)) {
        answer.status = 400;
        n = snprintf(text, sizeof text, "%s\n", result->text);
    }
    if (n > 0) {
        answer.content_type = "text/plain; charset=utf-8";
        answer.body = bytes_of(text, (size_t)n);
    }
    (void)api;
    if (answer.status == 503)
        answer.headers[headers++] = (struct http_answer_header){"Retry-After", RETRY_AFTER_S};
    for (unsigned i = 0; form->version == RW_V2 && i < 3; i++) {
        snprintf(written[i], sizeof written[i], "%" PRIu64, result->written[counts[i].kind]);
        answer.headers[headers++] = (struct http_answer_header){counts[i].header, written[i]};
    }
    http_reply(request, &answer);
}

static void
write_reply(struct api *api, struct http_request *request, const struct write_form *form,
            const struct write_end *end)
{
    if (end->status == 503) metric_inc(&unavailable);
    metric_record(&latency,
                  (uint64_t)(env_monotonic_ns(api->options.env) - http_began_ns(request)));
    form->reply(api, request, form, end);
}

static void
reply_nothing_written(struct api *api, struct http_request *request, const struct write_form *form,
                      unsigned status, const struct why *why)
{
    static const struct ingest_result nothing;
    static const struct input_outcome none;
    write_reply(api, request, form, &(struct write_end){status, why, &nothing, &none});
}

/* --- waiting for the commit ------------------------------------------------------------------- */

static void
pending_answer(struct api *api, struct pending_write *w)
{
    struct why down;
    assert(w->stage == WRITE_JUDGED);
    assert(w->state != TSDB_EPOCH_PENDING); /* invariant 5 */
    assert(w->undecided == NULL);           /* invariant 3 */
    if (w->state == TSDB_EPOCH_VOID) {
        why_set(&down, ERR_AGAIN, "cannot write to the write-ahead log");
        reply_nothing_written(api, w->request, w->form, 503, &down);
        return;
    }
    unsigned status = status_of(FOR_WRITE, w->error);
    write_reply(api, w->request, w->form,
                &(struct write_end){status, &w->why, &w->result, &w->outcome});
}

/* Makes answered writes, from first to last, spare. */
static void
pending_spare(struct api *api, struct pending_write *first, struct pending_write *last)
{
    assert(last->next == NULL);
    for (struct pending_write *w = first; w != NULL; w = w->next) {
        assert(w->stage == WRITE_JUDGED); /* invariant 1 */
        w->stage = WRITE_SPARE;
    }
    lock_take(&api->lock);
    last->next = api->writes->spare;
    api->writes->spare = first;
    lock_drop(&api->lock);
}

static void
pending_end(struct api *api, struct pending_write *w)
{
    pending_answer(api, w);
    w->next = NULL;
    pending_spare(api, w, w);
}

/* Logs the refused samples of a write; without a tenant if its header is no longer valid. */
static void
log_refusals(struct api *api, const struct pending_write *w)
{
    struct bytes tenant = {NULL, 0};
    struct why unnamed;
    if (w->result.rejected_total == 0) return;
    (void)one_tenant_named(api, w->request, &tenant, &unnamed);
    refusals_log(env_monotonic_ns(api->options.env), tenant, &w->result);
}

void
api_committed(struct api *api)
{
    struct pending_write *taken = NULL, **tail = &taken, *last = NULL;
    lock_take(&api->lock);
    assert((api->writes->committing_first == NULL) ==
           (api->writes->committing_last == NULL)); /* invariant 2 */
    /* Takes writes whose fate is known off the list; they keep their order. */
    for (struct pending_write **link = &api->writes->committing_first, *w; (w = *link) != NULL;) {
        assert(w->stage == WRITE_COMMITTING); /* invariant 1 */
        w->state = tsdb_epoch(api->options.tsdb, w->epoch);
        if (w->state == TSDB_EPOCH_PENDING) {
            last = w;
            link = &w->next;
            continue;
        }
        *link = w->next;
        w->next = NULL;
        *tail = w;
        tail = &w->next;
        w->stage = WRITE_JUDGED;
        assert(api->writes->committing_count > 0); /* invariant 2 */
        api->writes->committing_count--;
    }
    api->writes->committing_last = last;
    assert((last == NULL) == (api->writes->committing_count == 0)); /* invariant 2 */
    lock_drop(&api->lock);
    last = NULL;
    for (struct pending_write *w = taken; w != NULL; w = w->next) {
        pending_answer(api, w);
        last = w;
    }
    if (last != NULL) pending_spare(api, taken, last);
}

/* --- the request ------------------------------------------------------------------------------ */

static struct write_memory *
write_memory_take(struct api *api)
{
    lock_take(&api->lock);
    struct write_memory *w = api->writes->memories;
    if (w != NULL) api->writes->memories = w->next;
    lock_drop(&api->lock);
    if (w != NULL) return w;
    w = mem_new(&api->write_budget, sizeof *w);
    if (w == NULL) return NULL;
    budget_init(&w->budget, "write", 0, &api->write_budget);
    buf_init(&w->message, &w->budget, api->options.decoded_bytes_max + 64);
    if (rw_request_init(&w->request, &w->budget) != OK) {
        mem_free(&api->write_budget, w, sizeof *w);
        return NULL;
    }
    w->request.keys = tsdb_fingerprint_keys(api->options.tsdb);
    return w;
}

static void
write_memory_put(struct api *api, struct write_memory *w)
{
    rw_request_clear(&w->request);
    if (w->message.capacity > MESSAGE_KEEP_BYTES) buf_fini(&w->message);
    lock_take(&api->lock);
    w->next = api->writes->memories;
    api->writes->memories = w;
    lock_drop(&api->lock);
}

enum err
writes_new(struct api *api)
{
    api->writes = mem_new(NULL, sizeof *api->writes);
    return api->writes == NULL ? ERR_NOMEM : OK;
}

void
writes_free(struct api *api)
{
    struct writes *all = api->writes;
    if (all == NULL) return;
    assert(all->committing_first == NULL); /* all requests are answered, as api.h requires */
    assert(all->committing_count == 0);
    assert(all->undecided == NULL);
    assert(all->undecided_count == 0);
    assert(all->handed_count == 0);
    for (struct write_memory *w = all->memories, *next; w != NULL; w = next) {
        next = w->next;
        rw_request_fini(&w->request);
        buf_fini(&w->message);
        mem_free(&api->write_budget, w, sizeof *w);
    }
    for (struct pending_write *w = all->spare, *next; w != NULL; w = next) {
        next = w->next;
        mem_free(&api->write_budget, w, sizeof *w);
    }
    mem_free(NULL, all, sizeof *all);
}

uint64_t
writes_committing(struct api *api)
{
    lock_take(&api->lock);
    uint64_t count = api->writes->committing_count;
    lock_drop(&api->lock);
    return count;
}

/* Distinguishes a request that may succeed later from one that never fits. A request that had half
 * of all memory when it wanted more does not fit into an empty server either: a message has less
 * than a third of all (decoded_bytes_max), and the rest are arrays, which are copied to twice their
 * size. Its sender would repeat it for ever. */
static enum err
write_unfit(const struct api *api, const struct write_memory *w, struct why *why)
{
    const struct budget *memory = api->options.memory;
    uint64_t all =
        memory == NULL ? 0 : atomic_load_explicit(&memory->limit_bytes, memory_order_relaxed);
    uint64_t most = atomic_load_explicit(&w->budget.peak_bytes, memory_order_relaxed);
    if (all == 0 || most < all / 2)
        return why_set(why, ERR_NOMEM, "not enough memory for the request");
    return why_set(why, ERR_LIMIT,
                   "a request of %zu bytes uncompressed needs more memory than memory.limit "
                   "allows; send smaller requests",
                   w->message.size);
}

/* Decodes the message, and sets the user's write_labels. Without them, and unless all is to be
 * checked, labels are taken without a look at them. */
static enum err
decode_message(struct api *api, const struct http_request *request, enum rw_version version,
               bool checked, struct write_memory *w, struct why *why)
{
    const struct user *user = gate_user(request);
    uint64_t seed = tsdb_hash_seed(api->options.tsdb);
    struct bytes message = buf_bytes(&w->message);
    bool overwrites = user != NULL && user->write_labels.size > 0;
    w->overwritten = 0;
    enum err e = !overwrites && !checked
                     ? rw_decode_unchecked(&w->request, version, message, seed, why)
                     : rw_decode(&w->request, version, message, seed, why);
    if (e == OK && version == RW_V2 && w->request.symbol_count > 0 &&
        w->request.symbols[0].size > 0)
        e = why_set(why, ERR_INPUT, "remote write 2.0: the first symbol must be the empty string");
    if (e || !overwrites) return e;
    return rw_overwrite_labels(&w->request, user->write_labels, &w->overwritten, why);
}

static enum err
decode_other(struct api *api, struct http_request *request, const struct write_form *form,
             struct write_memory *w, struct input_outcome *ret, struct why *why)
{
    const struct user *user = gate_user(request);
    w->overwritten = 0;
    enum err e = form->decode(api, request, form, &w->message, &w->request, ret, why);
    input_count_refused(api, request, form->input, ret);
    if (e || user == NULL || user->write_labels.size == 0) return e;
    return rw_overwrite_labels(&w->request, user->write_labels, &w->overwritten, why);
}

static enum err
decode_remote(struct api *api, struct http_request *request, enum rw_version version,
              struct write_memory *w, struct why *why)
{
    const char *encoding = http_header(request, "Content-Encoding");
    size_t size;
    if (encoding != NULL && strcasecmp(encoding, "zstd") == 0) { /* as VictoriaMetrics' agent */
        struct bytes body;
        enum err bad = unpack_body(api, request, &w->message, &body, why);
        return bad ? bad
                   : decode_message(api, request, version, api->options.hand_over != NULL, w, why);
    }
    enum err e = snappy_size(http_body(request), api->options.decoded_bytes_max, &size);
    if (e == ERR_INPUT) return why_set(why, e, "the body is not a snappy block");
    if (e == ERR_LIMIT) {
        return why_set(why, e, "the message is larger than %" PRIu64 " bytes uncompressed",
                       api->options.decoded_bytes_max);
    }
    e = snappy_unpack(http_body(request), &w->message, why);
    if (e) return e;
    http_body_release(request);
    e = decode_message(api, request, version, api->options.hand_over != NULL, w, why);
    if (e == OK)
        types_missing_log(env_monotonic_ns(api->options.env), http_header(request, "User-Agent"),
                          http_peer(request), &w->request);
    return e;
}

static enum err
write_decode(struct api *api, struct http_request *request, const struct write_form *form,
             struct write_memory *w, struct input_outcome *ret, struct why *why)
{
    atomic_store_explicit(&w->budget.peak_bytes, 0, memory_order_relaxed); /* for write_unfit() */
    enum err e = form->decode == NULL ? decode_remote(api, request, form->version, w, why)
                                      : decode_other(api, request, form, w, ret, why);
    return e == ERR_NOMEM ? write_unfit(api, w, why) : e;
}

/* Ingests a message that was decoded without checks, which suffices for known series; otherwise
 * decodes it again with all checks. */
static enum err
write_ingest(struct api *api, struct bytes tenant, struct write_memory *w,
             struct pending_write *wait, struct why *why)
{
    struct tsdb *tsdb = api->options.tsdb;
    struct ingest_result *result = &wait->result;
    enum err e = tsdb_ingest_begin(tsdb, tenant, &w->request, result, &wait->undecided, why);
    if (e != ERR_INPUT || wait->form->decode != NULL) return e;
    why->text[0] = '\0';
    e = decode_message(api, wait->request, wait->form->version, true, w, why);
    if (e == ERR_INPUT) metric_inc(&malformed);
    return e ? e : tsdb_ingest_begin(tsdb, tenant, &w->request, result, &wait->undecided, why);
}

/* Answers, or leaves the request waiting for its commit. */
static void
write_judged(struct api *api, struct pending_write *wait)
{
    assert(wait->stage == WRITE_JUDGED);
    assert(wait->undecided == NULL); /* invariant 3 */
    if (wait->overwritten && wait->result.rejected_for[REJECT_CONFLICT] > 0) {
        /* The text of refused samples says that write_labels may have made two series one. */
        const struct user *user = gate_user(wait->request);
        char note[256];
        size_t used = strlen(wait->result.text);
        int size = snprintf(note, sizeof note,
                            "; series that differ only in labels that write_labels of user %.100s "
                            "sets are one series",
                            shown_of(bytes_of_text(user->name)).text);
        size_t most = sizeof wait->result.text - 1 - (size_t)size;
        memcpy(wait->result.text + (used < most ? used : most), note, (size_t)size + 1);
    }
    log_refusals(api, wait);
    if (wait->error == ERR_NOMEM) api->options.flush_wanted(api->options.context);
    wait->epoch = wait->result.wait_epoch;
    wait->state = tsdb_epoch(api->options.tsdb, wait->epoch);
    if (wait->state == TSDB_EPOCH_PENDING) {
        wait->next = NULL;
        wait->stage = WRITE_COMMITTING;
        lock_take(&api->lock);
        assert((api->writes->committing_last == NULL) ==
               (api->writes->committing_count == 0)); /* invariant 2 */
        if (api->writes->committing_last != NULL)
            api->writes->committing_last->next = wait;
        else
            api->writes->committing_first = wait;
        api->writes->committing_last = wait;
        api->writes->committing_count++;
        lock_drop(&api->lock);
        api->options.commit_wanted(api->options.context);
        return;
    }
    /* A write that is acknowledged from memory does not wake the committer itself. */
    if (tsdb_commit_due(api->options.tsdb)) api->options.commit_wanted(api->options.context);
    pending_end(api, wait);
}

/* --- destinations ----------------------------------------------------------------------------- */

void
api_delivered(struct api *api, void *waiter, enum err e, const struct ingest_result *result,
              const struct why *why)
{
    struct pending_write *wait = waiter;
    assert(wait->stage == WRITE_HANDED_OVER); /* invariant 1 */
    lock_take(&api->lock);
    assert(api->writes->handed_count > 0); /* invariant 6 */
    api->writes->handed_count--;
    lock_drop(&api->lock);
    wait->stage = WRITE_JUDGED;
    wait->error = e;
    wait->why = *why;
    wait->result = *result;
    log_refusals(api, wait);
    pending_end(api, wait);
}

/* Reads the time after which the sender gives up. False if the header is invalid. */
static bool
read_timeout(const struct http_request *request, int64_t *ret_ms, struct why *why)
{
    const char *text = http_header(request, "X-Firekeep-Timeout-Ms");
    char *end;
    *ret_ms = 0;
    if (text == NULL) return true;
    long long ms = strtoll(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && ms > 0 && ms <= INT32_MAX) {
        *ret_ms = ms;
        return true;
    }
    why_set(why, ERR_INPUT, "X-Firekeep-Timeout-Ms: expected milliseconds, got '%s'",
            shown_of(bytes_of_text(text)).text);
    return false;
}

/* Hands a write over, or answers it. */
static void
write_hand_over(struct api *api, struct bytes tenant, struct write_memory *w,
                struct pending_write *wait)
{
    struct write_for_destinations write = {
        .tenant = tenant,
        .request = &w->request,
        .began_ns = http_began_ns(wait->request),
        .waiter = wait,
    };
    struct why why = {""};
    wait->state = TSDB_EPOCH_DURABLE; /* it waits for none */
    wait->stage = WRITE_HANDED_OVER;
    lock_take(&api->lock);
    api->writes->handed_count++;
    lock_drop(&api->lock);
    enum err e = ERR_INPUT;
    if (read_timeout(wait->request, &write.timeout_ms, &why))
        e = api->options.hand_over(api->options.context, &write, &why);
    write_memory_put(api, w);
    if (e == OK) return; /* it may be answered and spare by now */
    static const struct ingest_result none;
    api_delivered(api, wait, e, &none, &why);
}

/* --- undecided samples ------------------------------------------------------------------------ */

static struct pending_write *
undecided_take(struct api *api, const struct http_request *request)
{
    lock_take(&api->lock);
    struct pending_write **link = &api->writes->undecided;
    while (*link != NULL && (*link)->request != request)
        link = &(*link)->next;
    struct pending_write *wait = *link;
    assert(wait != NULL);                     /* invariant 4 */
    assert(wait->stage == WRITE_UNDECIDED);   /* invariant 1 */
    assert(wait->undecided != NULL);          /* invariant 3 */
    assert(api->writes->undecided_count > 0); /* invariant 4 */
    *link = wait->next;
    wait->stage = WRITE_JUDGED;
    api->writes->undecided_count--;
    lock_drop(&api->lock);
    return wait;
}

static void
undecided_end(struct api *api, struct pending_write *wait)
{
    write_memory_put(api, wait->memory);
    wait->undecided = NULL;
    write_judged(api, wait);
}

/* Refuses the undecided samples: the sender retries, and finds the rest already written. */
static void
undecided_refuse(struct api *api, struct pending_write *wait, const char *reason)
{
    tsdb_undecided_free(wait->undecided);
    wait->error = why_set(&wait->why, ERR_AGAIN, "%s", reason);
    undecided_end(api, wait);
}

static void
write_look_refused(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)e;
    undecided_refuse(api, undecided_take(api, request), why->text);
}

static void
write_look(struct api *api, struct http_request *request)
{
    struct pending_write *wait = undecided_take(api, request);
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) {
        undecided_refuse(api, wait, "shutting down");
        return;
    }
    int64_t until_ns = env_monotonic_ns(api->options.env) + TSDB_LOOK_NS_MAX;
    wait->error = tsdb_ingest_end(wait->undecided, until_ns, &wait->result, &wait->why);
    undecided_end(api, wait);
}

static void
write_look_later(struct api *api, struct pending_write *wait)
{
    struct http_request *request = wait->request;
    assert(wait->undecided != NULL); /* invariant 3 */
    lock_take(&api->lock);
    assert(api->writes->undecided_count <= UNDECIDED_MAX); /* invariant 4 */
    bool room = api->writes->undecided_count < UNDECIDED_MAX;
    if (room) {
        wait->stage = WRITE_UNDECIDED;
        wait->next = api->writes->undecided;
        api->writes->undecided = wait;
        api->writes->undecided_count++;
    }
    lock_drop(&api->lock);
    if (room)
        run_later(api, QUEUE_REPEATS, request, write_look, write_look_refused);
    else
        undecided_refuse(api, wait, "too many requests are waiting for parts to be read");
}

/* --- judging ---------------------------------------------------------------------------------- */

/* True if `words`, with ", " between them, has the word, in any case. */
static bool
has_word(const char *words, const char *word)
{
    size_t size = strlen(word);
    for (;; words += 2) {
        size_t this_size = strcspn(words, ",");
        if (this_size == size && strncasecmp(words, word, size) == 0) return true;
        words += this_size;
        if (*words == '\0') return false;
    }
}

/* Returns 0, or the status to refuse the request with before its body is read. */
static unsigned
write_refusal(struct api *api, struct http_request *request, const struct write_form *form,
              struct bytes *ret_tenant, struct why *why)
{
    const char *encoding = http_header(request, "Content-Encoding");
    if (encoding != NULL && encoding[0] != '\0' && !has_word(form->encodings, encoding)) {
        why_set(why, ERR_INPUT, "unsupported content encoding: expected %s", form->encodings);
        return 415;
    }
    metric_inc(form->requests != NULL ? form->requests : &input_requests[form->input]);
    unsigned refused = one_tenant_named(api, request, ret_tenant, why);
    if (refused != 0) return refused;
    if (!api->options.takes_writes(api->options.context)) {
        why_set(why, ERR_UNSUPPORTED,
                "cannot store or forward samples: storage.mode is not local, and no destination is "
                "configured");
        return 501;
    }
    const char *held = api->options.holds_writes(api->options.context);
    if (atomic_load_explicit(&api->stopping, memory_order_relaxed)) held = "shutting down";
    if (held == NULL) return 0;
    why_set(why, ERR_AGAIN, "%s", held);
    return 503;
}

/* Judges; either answers or leaves the request waiting. */
static void
write_judge(struct api *api, struct http_request *request)
{
    const struct write_form *form = form_of(api, request);
    struct input_outcome outcome = {0};
    struct bytes tenant;
    struct why why = {""};
    if (form == NULL) {
        http_reply_text(request, 415,
                        "unsupported content type: expected application/x-protobuf, for remote "
                        "write with proto=prometheus.WriteRequest or "
                        "proto=io.prometheus.write.v2.Request, or for OTLP also "
                        "application/json\n");
        return;
    }
    unsigned refused = write_refusal(api, request, form, &tenant, &why);
    if (refused != 0) {
        reply_nothing_written(api, request, form, refused, &why);
        return;
    }
    struct write_memory *w = write_memory_take(api);
    struct pending_write *wait = NULL;
    enum err e = OK;
    if (w != NULL) e = write_decode(api, request, form, w, &outcome, &why);
    if (e == ERR_INPUT || e == ERR_LIMIT) metric_inc(&malformed);
    if (w != NULL && e == OK) {
        lock_take(&api->lock);
        wait = api->writes->spare;
        assert(wait == NULL || wait->stage == WRITE_SPARE); /* invariant 1 */
        if (wait != NULL) api->writes->spare = wait->next;
        lock_drop(&api->lock);
        if (wait == NULL) wait = mem_alloc(&api->write_budget, sizeof *wait);
    }
    if (e == OK && wait == NULL) e = why_set(&why, ERR_NOMEM, "not enough memory for the request");
    if (e) {
        if (w != NULL) write_memory_put(api, w);
        reply_nothing_written(api, request, form, status_of(FOR_WRITE, e), &why);
        return;
    }
    *wait = (struct pending_write){
        .stage = WRITE_JUDGED, .request = request, .form = form, .memory = w, .outcome = outcome};
    if (api->options.hand_over != NULL) {
        write_hand_over(api, tenant, w, wait);
        return;
    }
    wait->error = write_ingest(api, tenant, w, wait, &wait->why);
    wait->overwritten = w->overwritten > 0;
    if (wait->undecided != NULL) {
        write_look_later(api, wait);
        return;
    }
    write_memory_put(api, w);
    write_judged(api, wait);
}

static void
write_refuse(struct api *api, struct http_request *request, enum err e, const struct why *why)
{
    (void)e;
    const struct write_form *form = form_of(api, request);
    reply_nothing_written(api, request, form == NULL ? &form_v1 : form, 503, why);
}

void
write_run(struct api *api, struct http_request *request)
{
    if (http_body(request).size > WORKER_BODY_BYTES)
        run_later(api, QUEUE_WRITES, request, write_judge, write_refuse);
    else
        write_judge(api, request);
}
