/*
 * direct_sim_test.c - destinations that acknowledge writes (wal.ack=destination), while the process
 * is suspended for hours at any step: the monotonic clock stands, Unix time jumps, connections are
 * dead, credentials expire. A write that is answered as delivered is at every destination; nothing
 * of one that must be repeated arrives after its answer.
 *
 * Destinations are servers in the test's own thread, which read and answer between the steps of the
 * relays, over real sockets. A request arrives when its last byte was read. Clocks are simulated.
 */
#include "lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash/hash.h"
#include "lib/random.h"
#include "lib/seeds.h"
#include "lib/tsdb/tsdb_machine.h"
#include "relay/queue/write_queue.h"
#include "relay/relay.h"
#include "sys/sim.h"

enum {
    PLACES = 2,
    CONNECTIONS = 64,
    SAMPLES_MAX = 20000,
    WRITES_MAX = 1000,
    REQUEST_BYTES = 64 * 1024,
    TIMEOUT_MS = 30 * 1000,
    STEP_MS = 50,
    HOUR_MS = 3600 * 1000,
    KEYS_MS = HOUR_MS,
};

/* --- a server --------------------------------------------------------------------------------- */

enum mood { TAKES, REFUSES_ODD, FAILS, HANGS, CLOSES, MOODS };

struct connection {
    int fd; /* 0 if free */
    bool dead;
    bool rests; /* a request arrived that is not answered */
    size_t size;
    char bytes[REQUEST_BYTES];
};

struct place {
    struct destination_settings settings;
    struct relay_options options;
    struct relay *relay;
    struct budget memory;
    char url[64];
    int listener;
    enum mood mood;
    bool calm;      /* the mood stays */
    uint32_t hangs; /* so many of the next requests hang, whatever the mood is */
    struct connection connections[CONNECTIONS];
    uint32_t arrived[SAMPLES_MAX];  /* requests with the sample */
    bool acknowledged[SAMPLES_MAX]; /* one was answered with success */
    bool refused[SAMPLES_MAX];
    uint32_t requests;
};

struct posted {
    uint32_t from, to; /* samples */
    unsigned answers;
    enum err e;
    struct ingest_result result;
    char text[512];
};

static struct {
    struct sim_env *sim;
    struct env *env;
    struct rng rng;
    struct budget memory;
    struct write_queue *queue;
    struct place places[PLACES];
    uint32_t place_count;
    struct posted posts[WRITES_MAX];
    uint32_t post_count;
    uint32_t sample_count;
    struct posted *of[SAMPLES_MAX];
    bool freezes; /* the process is suspended now and then */
} s;

static bool
happens(unsigned percent)
{
    return rng_below(&s.rng, 100) < percent;
}

static void
connection_close(struct connection *c)
{
    if (c->fd > 0) close(c->fd);
    c->fd = 0;
    c->dead = c->rests = false;
    c->size = 0;
}

static void
respond(struct connection *c, const char *status, const char *body)
{
    char text[8192];
    int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
                     strlen(body), body);
    assert_true((size_t)n < sizeof text);
    (void)!send(c->fd, text, (size_t)n, MSG_NOSIGNAL); /* the other end may be gone */
}

/* A whole request arrived. */
static void
arrive(struct place *p, struct connection *c, const char *body)
{
    char refused[4096] = "";
    const char *at = body;
    char *end;
    p->requests++;
    if (!p->calm) p->mood = (enum mood)rng_below(&s.rng, MOODS);
    enum mood mood = p->mood;
    if (p->hangs > 0) {
        p->hangs--;
        mood = HANGS;
    }
    for (unsigned long n; n = strtoul(at, &end, 10), end != at; at = end) {
        assert_true(n < s.sample_count);
        if (s.of[n]->answers > 0 && s.of[n]->e != OK)
            fail_msg("sample %lu arrived after its write was answered with 503", n);
        p->arrived[n]++;
        bool odd = mood == REFUSES_ODD && n % 2 == 1;
        p->refused[n] |= odd;
        p->acknowledged[n] |= (mood == TAKES || mood == REFUSES_ODD) && !odd;
        if (odd) snprintf(refused + strlen(refused), sizeof refused - strlen(refused), "%lu ", n);
    }
    c->size = 0;
    if (mood == TAKES || mood == REFUSES_ODD) respond(c, "200 OK", refused);
    if (mood == FAILS) respond(c, "500 Oh", "no");
    if (mood == HANGS) c->rests = true;
    if (mood == CLOSES) connection_close(c);
}

static void
serve_connection(struct place *p, struct connection *c)
{
    ssize_t got = recv(c->fd, c->bytes + c->size, sizeof c->bytes - 1 - c->size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { /* a reset discards what came before it */
        connection_close(c);
        return;
    }
    c->size += (size_t)got;
    c->bytes[c->size] = '\0';
    const char *body = strstr(c->bytes, "\r\n\r\n"), *length = strstr(c->bytes, "Content-Length: ");
    if (body == NULL || length == NULL) return;
    if (strlen(body + 4) < strtoul(length + 16, NULL, 10)) return;
    arrive(p, c, body + 4);
}

static void
serve(struct place *p)
{
    for (int fd; (fd = accept4(p->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        uint32_t i = 0;
        while (i < CONNECTIONS && p->connections[i].fd > 0)
            i++;
        assert_true(i < CONNECTIONS);
        p->connections[i].fd = fd;
    }
    for (uint32_t i = 0; i < CONNECTIONS; i++) {
        struct connection *c = &p->connections[i];
        if (c->fd > 0 && !c->dead) serve_connection(p, c);
    }
}

/* --- a destination ---------------------------------------------------------------------------- */

struct writer {
    struct writer_base base;
    struct place *place;
    struct http_calls_target target;
    int64_t keys_until_ms; /* Unix time */
};

struct writer_call {
    uint32_t numbers[512];
    uint32_t count;
    char body[8192];
    enum writer_verdict verdicts[512];
};

static enum err
direct_init(struct writer *w, struct why *why)
{
    (void)why;
    for (uint32_t i = 0; i < PLACES; i++)
        if (w->base.options.settings == &s.places[i].settings) w->place = &s.places[i];
    w->base.limits = (struct writer_limits){.concurrency = 3,
                                            .samples = 100,
                                            .bytes = 1 << 20,
                                            .samples_max = 512,
                                            .bytes_max = 1 << 20};
    w->target.proxy_url = "";
    return OK;
}

static void
direct_fini(struct writer *w)
{
    (void)w;
}

static enum err
direct_call_init(struct writer *w, struct writer_call *c)
{
    (void)w;
    (void)c;
    return OK;
}

static void
direct_call_clear(struct writer *w, struct writer_call *c)
{
    (void)w;
    c->count = 0;
}

static void
direct_call_fini(struct writer *w, struct writer_call *c)
{
    direct_call_clear(w, c);
}

static enum writer_add
direct_add(struct writer *w, struct writer_call *c, const struct item *item, uint32_t *ret_entry,
           struct why *why)
{
    (void)w;
    uint32_t number = (uint32_t)bits_double(item->bits);
    if (number % 100 == 99) return writer_unfit(why, "no form for it");
    if (c->count == 512) return WRITER_FULL;
    *ret_entry = c->count;
    c->numbers[c->count++] = number;
    return WRITER_ADDED;
}

static uint64_t
direct_bytes(const struct writer *w, const struct writer_call *c)
{
    (void)w;
    return 8 * (uint64_t)c->count;
}

static void
direct_begin_call(struct writer *w, struct writer_call *c, struct writer_step *step)
{
    size_t size = 0;
    assert_true(c->count > 0);
    assert_true(env_realtime_ms(s.env) < w->keys_until_ms); /* they were valid a moment ago */
    for (uint32_t i = 0; i < c->count; i++)
        size += (size_t)snprintf(c->body + size, sizeof c->body - size, "%u ", c->numbers[i]);
    *step = (struct writer_step){
        .next = WRITER_SEND,
        .http = {.target = &w->target,
                 .method = "POST",
                 .url = w->place->url,
                 .body = bytes_of(c->body, size),
                 .answer_bytes_max = 8192},
    };
}

static void
direct_judge(struct writer *w, struct writer_call *c, const struct http_call_answer *answer,
             struct writer_step *step)
{
    (void)w;
    char text[8192];
    if (answer->failure != HTTP_CALL_ANSWERED || answer->status != 200) {
        step_done(step, VERDICT_RETRY, "failed", answer->error);
        return;
    }
    snprintf(text, sizeof text, " %.*s", (int)answer->body.size, (const char *)answer->body.at);
    for (uint32_t i = 0; i < c->count; i++) {
        char number[32];
        snprintf(number, sizeof number, " %u ", c->numbers[i]);
        c->verdicts[i] = strstr(text, number) != NULL ? VERDICT_DEAD : VERDICT_DELIVERED;
    }
    step_done(step, answer->body.size == 0 ? VERDICT_DELIVERED : VERDICT_MIXED, "", "");
}

static void
direct_entry(const struct writer *w, const struct writer_call *c, uint32_t entry,
             struct writer_entry *ret_entry)
{
    (void)w;
    *ret_entry = (struct writer_entry){.verdict = c->verdicts[entry]};
    snprintf(ret_entry->reason, sizeof ret_entry->reason, "odd");
    snprintf(ret_entry->answer, sizeof ret_entry->answer, "it takes even ones only");
}

static bool
direct_need_prepare(struct writer *w)
{
    return env_realtime_ms(s.env) >= w->keys_until_ms;
}

static void
direct_prepare(struct writer *w, const struct http_call_answer *answer, struct writer_step *step)
{
    assert_null(answer);
    w->keys_until_ms = env_realtime_ms(s.env) + KEYS_MS;
    step_done(step, VERDICT_DELIVERED, "", "");
}

static const struct writer_class direct_writer = {
    .type = DESTINATION_REMOTE_WRITE,
    .writer_bytes = sizeof(struct writer),
    .call_bytes = sizeof(struct writer_call),
    .init = direct_init,
    .fini = direct_fini,
    .call_init = direct_call_init,
    .call_fini = direct_call_fini,
    .call_clear = direct_call_clear,
    .add = direct_add,
    .bytes = direct_bytes,
    .begin = direct_begin_call,
    .judge = direct_judge,
    .entry = direct_entry,
    .need_prepare = direct_need_prepare,
    .prepare = direct_prepare,
};

/* --- the process ------------------------------------------------------------------------------ */

/* Each sample of a write was acknowledged by each destination, or refused by one. */
static void
check_delivered(const struct posted *post)
{
    uint64_t refused_most = 0;
    for (uint32_t i = 0; i < s.place_count; i++) {
        const struct place *p = &s.places[i];
        uint64_t refused = 0;
        for (uint32_t n = post->from; n < post->to; n++) {
            bool unfit = n % 100 == 99;
            assert_true(p->acknowledged[n] || p->refused[n] || unfit);
            refused += unfit || !p->acknowledged[n];
        }
        if (refused > refused_most) refused_most = refused;
    }
    /* A sample that a broken request had delivered may be refused when it is sent again. */
    assert_true(post->result.rejected[LEDGER_FLOAT] >= refused_most);
    assert_int_equal(post->result.rejected[LEDGER_FLOAT] + post->result.written[LEDGER_FLOAT],
                     post->to - post->from);
    assert_true((post->result.rejected_total == 0) == (post->result.text[0] == '\0'));
}

static void
note_done(void *context, void *waiter, enum err e, const struct write_items *items,
          const struct ingest_result *result, const struct why *why)
{
    struct posted *post = waiter;
    (void)context;
    assert_int_equal(post->answers, 0);
    assert_int_equal(items->count, post->to - post->from);
    post->answers++;
    post->e = e;
    post->result = *result;
    snprintf(post->text, sizeof post->text, "%s", why->text);
    if (e == OK)
        check_delivered(post);
    else
        assert_int_equal(e, ERR_AGAIN);
}

static void
open_place(struct place *p, uint32_t number)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct why why;
    static char names[PLACES][8];
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(p->listener, 128), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    snprintf(names[number], sizeof names[number], "d%u", number);
    p->settings = (struct destination_settings){
        .name = names[number],
        .type = DESTINATION_REMOTE_WRITE,
        .batch = {.max_age_ms = 5000},
        .retry = {.min_backoff_ms = 100, .max_backoff_ms = 5000},
        .log_budget_bytes = 1 << 30,
    };
    budget_init(&p->memory, "relay", 0, NULL);
    p->options = (struct relay_options){
        .env = s.env,
        .dir = "relay",
        .memory = &p->memory,
        .settings = &p->settings,
        .writer = &direct_writer,
        .instance = "00112233",
        .user_agent = "test",
        .queue = s.queue,
    };
    p->calm = true;
    must(relay_open(&p->options, &p->relay, &why));
}

static void
direct_sim_init(uint64_t seed, uint32_t place_count, uint64_t bytes_max)
{
    memset(&s, 0, sizeof s);
    must(sim_env_new(seed, &s.sim));
    s.env = sim_env_env(s.sim);
    s.rng = (struct rng){shifted_seed(seed)};
    budget_init(&s.memory, "test", 0, NULL);
    struct write_queue_options options = {
        .env = s.env,
        .memory = &s.memory,
        .bytes_max = bytes_max,
        .timeout_ms = TIMEOUT_MS,
        .done = note_done,
    };
    must(write_queue_new(&options, &s.queue));
    struct write_rules rules = {{64, 1024, 1024}, NAME_AUTO, 100ll * 365 * 24 * HOUR_MS};
    write_queue_set_rules(s.queue, &rules);
    s.place_count = place_count;
    for (uint32_t i = 0; i < place_count; i++)
        open_place(&s.places[i], i);
    write_queue_expect(s.queue, place_count);
}

static void
direct_sim_fini(void)
{
    for (uint32_t i = 0; i < s.place_count; i++) {
        struct place *p = &s.places[i];
        relay_free(p->relay);
        for (uint32_t k = 0; k < CONNECTIONS; k++)
            connection_close(&p->connections[k]);
        close(p->listener);
        assert_int_equal(budget_used(&p->memory), 0);
    }
    for (uint32_t i = 0; i < s.post_count; i++)
        assert_int_equal(s.posts[i].answers, 1);
    write_queue_free(s.queue);
    assert_int_equal(budget_used(&s.memory), 0);
    sim_env_free(s.sim);
}

/* Puts a write of so many samples. Errors of write_queue_put(). */
static enum err
post(uint32_t samples, int64_t timeout_ms)
{
    struct rq rq;
    struct buf message;
    struct rw_request request;
    struct why why;
    struct posted *p = &s.posts[s.post_count];
    assert_true(s.post_count < WRITES_MAX && s.sample_count + samples <= SAMPLES_MAX);
    *p = (struct posted){.from = s.sample_count, .to = s.sample_count + samples};
    rq_init(&rq, RW_V1);
    for (uint32_t n = p->from; n < p->to; n++) {
        char labels[64];
        s.of[n] = p;
        snprintf(labels, sizeof labels, "__name__=m%u,name=s%u", n % 7, n % 40);
        rq_series(&rq, labels);
        rq_float(&rq, env_realtime_ms(s.env), double_bits(n), 0);
    }
    rq_close(&rq);
    buf_init(&message, NULL, 1 << 24);
    buf_put_bytes(&message, buf_bytes(&rq.out));
    must(rw_request_init(&request, NULL));
    must(rw_decode(&request, RW_V1, buf_bytes(&message), 0, &why));
    struct offered_write offered = {
        .tenant = bytes_of_text("anonymous"),
        .request = &request,
        .began_ns = env_monotonic_ns(s.env),
        .timeout_ms = timeout_ms,
        .waiter = p,
    };
    s.sample_count += samples;
    s.post_count++;
    enum err e = write_queue_put(s.queue, &offered, &why);
    if (e) { /* never put, and never answered */
        s.post_count--;
        s.sample_count -= samples;
        snprintf(p->text, sizeof p->text, "%s", why.text);
    }
    rw_request_fini(&request);
    rq_fini(&rq);
    buf_fini(&message);
    return e;
}

/* Suspends the process: Unix time goes on, connections end, or lead nowhere. */
static void
freeze(int64_t ms)
{
    sim_env_set_realtime_ms(s.sim, env_realtime_ms(s.env) + ms);
    for (uint32_t i = 0; i < s.place_count; i++) {
        for (uint32_t k = 0; k < CONNECTIONS; k++) {
            struct connection *c = &s.places[i].connections[k];
            if (c->fd == 0) continue;
            c->dead = happens(50);
            if (!c->dead) connection_close(c);
        }
    }
}

static void
maybe_freeze(void)
{
    if (!s.freezes || !happens(1)) return;
    freeze(happens(50) ? (int64_t)rng_below(&s.rng, 20000)
                       : (int64_t)rng_below(&s.rng, 5 * HOUR_MS));
}

/* The kernel may take a moment to pass on what was sent, while simulated time does not wait. So a
 * request that is not with the server is waited for. */
static int
patience_ms(const struct place *p)
{
    uint32_t resting = 0;
    for (uint32_t i = 0; i < CONNECTIONS; i++)
        resting += p->connections[i].rests || p->connections[i].dead;
    return relay_is_idle(p->relay) || resting > 0 ? 0 : 1;
}

static void
turn(uint32_t steps)
{
    while (steps-- > 0) {
        for (uint32_t i = 0; i < s.place_count; i++) {
            struct place *p = &s.places[i];
            if (p->relay == NULL) continue;
            relay_step(p->relay);
            maybe_freeze();
            relay_wait(p->relay, patience_ms(p));
            maybe_freeze();
            serve(p);
            maybe_freeze();
            struct relay_status status;
            relay_status(p->relay, &status);
            assert_int_equal(status.difference[ITEM_FLOAT], 0);
        }
        sim_env_advance_ns(s.sim, STEP_MS * NS_PER_MS);
    }
}

/* Goes on until all writes are answered. */
static void
turn_until_answered(void)
{
    for (uint32_t steps = 0;; steps++) {
        bool open = false;
        for (uint32_t i = 0; i < s.post_count; i++)
            open |= s.posts[i].answers == 0;
        if (!open) return;
        if (steps > 2 * TIMEOUT_MS / STEP_MS) fail_msg("a write is not answered");
        turn(1);
    }
}

static int64_t
now_ms(void)
{
    return env_monotonic_ns(s.env) / NS_PER_MS;
}

/* --- tests ------------------------------------------------------------------------------------ */

UNIT_TEST(test_a_write_is_answered_when_all_destinations_have_it)
{
    direct_sim_init(1, 2, 1 << 20);
    int64_t began_ms = now_ms();
    must(post(50, 0));
    must(post(50, 0));
    turn_until_answered();
    assert_int_equal(s.posts[0].e, OK);
    assert_int_equal(s.posts[0].result.written[LEDGER_FLOAT], 50);
    assert_int_equal(s.posts[1].result.rejected[LEDGER_FLOAT], 1); /* 99 has no form */
    assert_non_null(strstr(s.posts[1].result.text, "destination d0 refused 1 of 50"));
    assert_non_null(strstr(s.posts[1].result.text, "unrepresentable"));
    assert_in_range(now_ms() - began_ms, 0, 2000); /* calls do not wait for their age */
    direct_sim_fini();
}

UNIT_TEST(test_writes_that_come_together_share_requests)
{
    direct_sim_init(2, 1, 1 << 20);
    for (unsigned i = 0; i < 40; i++)
        must(post(2, 0));
    turn_until_answered();
    assert_in_range(s.places[0].requests, 1, 10);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(s.posts[i].e, OK);
    direct_sim_fini();
}

UNIT_TEST(test_one_destination_that_is_down_fails_the_write_in_time)
{
    direct_sim_init(3, 2, 1 << 20);
    s.places[1].mood = FAILS;
    int64_t began_ms = now_ms();
    must(post(10, 0));
    turn_until_answered();
    assert_int_equal(s.posts[0].e, ERR_AGAIN);
    assert_in_range(now_ms() - began_ms, TIMEOUT_MS - 2000, TIMEOUT_MS - 1500);
    assert_non_null(strstr(s.posts[0].text, "destination d1 has not confirmed"));
    assert_true(s.places[0].acknowledged[0]);
    s.places[1].mood = TAKES;
    turn(2000); /* arrive() fails if anything comes */
    must(post(10, 0));
    turn_until_answered();
    assert_int_equal(s.posts[1].e, OK);
    direct_sim_fini();
}

UNIT_TEST(test_a_sender_may_give_up_earlier)
{
    direct_sim_init(4, 1, 1 << 20);
    s.places[0].hangs = 1;
    int64_t began_ms = now_ms();
    must(post(10, 5000));
    must(post(10, 0));
    assert_int_equal(post(10, 1500), ERR_AGAIN); /* less than the 2 s for the answer */
    turn(3000 / STEP_MS + 2);
    assert_int_equal(s.posts[0].e, ERR_AGAIN);
    assert_int_equal(s.posts[1].answers, 0);
    assert_in_range(now_ms() - began_ms, 3000, 3500);
    turn_until_answered(); /* the request that both shared was given up, and made again */
    assert_int_equal(s.posts[1].e, OK);
    direct_sim_fini();
}

UNIT_TEST(test_refused_samples_are_named_and_the_others_delivered)
{
    direct_sim_init(5, 2, 1 << 20);
    s.places[0].mood = REFUSES_ODD;
    must(post(20, 0));
    turn_until_answered();
    const struct ingest_result *r = &s.posts[0].result;
    assert_int_equal(s.posts[0].e, OK);
    assert_false(ingest_result_is_success(r));
    assert_int_equal(r->written[LEDGER_FLOAT], 10);
    assert_int_equal(r->rejected[LEDGER_FLOAT], 10);
    assert_non_null(strstr(r->text, "destination d0 refused 10 of 20: odd: it takes even ones"));
    direct_sim_fini();
}

UNIT_TEST(test_a_destination_that_refuses_everything_still_answers)
{
    direct_sim_init(6, 1, 1 << 22);
    s.places[0].mood = REFUSES_ODD;
    for (unsigned i = 0; i < 700; i++) {
        s.sample_count |= 1; /* one odd sample each */
        must(post(1, 0));
        turn(1);
    }
    turn_until_answered();
    for (unsigned i = 0; i < 700; i++)
        assert_int_equal(s.posts[i].result.rejected[LEDGER_FLOAT], 1);
    direct_sim_fini();
}

UNIT_TEST(test_a_request_pending_at_a_freeze_is_sent_again)
{
    direct_sim_init(7, 1, 1 << 20);
    struct place *p = &s.places[0];
    uint32_t twice = 0;
    p->hangs = 1;
    must(post(10, 0));
    for (uint32_t steps = 0; p->requests == 0 && steps < 100; steps++)
        turn(1);
    assert_int_equal(p->requests, 1);
    freeze(10 * 1000);
    turn_until_answered();
    assert_int_equal(s.posts[0].e, OK);
    for (uint32_t n = 0; n < 10; n++) {
        assert_in_range(p->arrived[n], 1, 2);
        twice += p->arrived[n] == 2;
    }
    assert_in_range(twice, 1, 10);
    direct_sim_fini();
}

/* The monotonic clock, which measures pauses, stands while the process is suspended. */
UNIT_TEST(test_a_pause_after_failures_ends_with_a_freeze)
{
    direct_sim_init(7, 1, 1 << 20);
    struct place *p = &s.places[0];
    p->mood = FAILS;
    must(post(1, 0)); /* for one lane, which pauses as all of them do */
    while (p->requests < 10)
        turn(1);
    turn(10); /* of a pause of at least 2.8 s, once the answer is read */
    p->mood = TAKES;
    freeze(10 * 1000);
    int64_t woken_ms = now_ms();
    turn_until_answered();
    assert_int_equal(s.posts[0].e, OK);
    assert_in_range(now_ms() - woken_ms, 0, 2000);
    direct_sim_fini();
}

UNIT_TEST(test_a_suspension_shows_on_one_clock_or_on_both)
{
    static const struct {
        int64_t unix_ms; /* Unix time alone goes on */
        int64_t both_ms; /* both clocks do; a turn adds STEP_MS */
        bool seen;
    } rows[] = {{1000, 0, true},
                {999, 0, false},
                {0, 5000 - STEP_MS, true},
                {0, 5000 - STEP_MS - 1, false}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        direct_sim_init(40 + i, 1, 1 << 20);
        struct place *p = &s.places[0];
        p->hangs = 1;
        must(post(1, 0));
        for (uint32_t steps = 0; p->requests == 0 && steps < 100; steps++)
            turn(1);
        assert_int_equal(p->requests, 1);
        sim_env_set_realtime_ms(s.sim, env_realtime_ms(s.env) + rows[i].unix_ms);
        sim_env_advance_ns(s.sim, rows[i].both_ms * NS_PER_MS);
        turn_until_answered();
        assert_int_equal(s.posts[0].e, rows[i].seen ? OK : ERR_AGAIN);
        assert_int_equal(p->requests, rows[i].seen ? 2 : 1); /* the request is sent again */
        direct_sim_fini();
    }
}

UNIT_TEST(test_a_request_does_not_go_on_after_a_suspension_in_the_wait)
{
    direct_sim_init(50, 1, 1 << 20);
    struct place *p = &s.places[0];
    must(post(10, 0));
    for (uint32_t steps = 0; relay_is_idle(p->relay) && steps < 100; steps++)
        relay_step(p->relay);
    assert_false(relay_is_idle(p->relay)); /* it has begun, and waits for the socket */
    sim_env_set_realtime_ms(s.sim, env_realtime_ms(s.env) + 3 * HOUR_MS);
    for (unsigned i = 0; i < 50; i++) {
        relay_wait(p->relay, 1);
        serve(p);
    }
    assert_int_equal(p->requests, 0);
    assert_int_equal(s.posts[0].answers, 1);
    assert_int_equal(s.posts[0].e, ERR_AGAIN);
    direct_sim_fini();
}

UNIT_TEST(test_after_a_freeze_of_hours_nothing_more_is_sent)
{
    for (unsigned steps = 0; steps < 30; steps++) {
        direct_sim_init(8 + steps, 2, 1 << 20);
        s.places[steps % 2].hangs = 1;
        must(post(10, 0));
        turn(steps);
        freeze(3 * HOUR_MS);
        turn(2);
        assert_int_equal(s.posts[0].e, ERR_AGAIN);
        s.places[steps % 2].hangs = 0;
        turn(200);
        must(post(10, 0)); /* over new connections, with new credentials */
        turn_until_answered();
        assert_int_equal(s.posts[1].e, OK);
        direct_sim_fini();
    }
}

UNIT_TEST(test_too_many_waiting_writes_are_refused_for_now)
{
    direct_sim_init(40, 1, 256 * 1024);
    s.places[0].mood = HANGS;
    enum err e = OK;
    while ((e = post(50, 0)) == OK) {
    }
    assert_int_equal(e, ERR_NOMEM);
    assert_true(s.post_count > 3);
    turn_until_answered();
    s.places[0].mood = TAKES;
    assert_int_equal(post(5000, 0), ERR_LIMIT); /* does not fit into an empty queue */
    must(post(50, 0));
    turn_until_answered();
    assert_int_equal(s.posts[s.post_count - 1].e, OK);
    direct_sim_fini();
}

UNIT_TEST(test_a_destination_that_is_closed_fails_its_writes)
{
    direct_sim_init(41, 2, 1 << 20);
    s.places[0].mood = s.places[1].mood = HANGS;
    must(post(10, 0));
    turn(10);
    relay_free(s.places[1].relay);
    s.places[1].relay = NULL;
    turn(3);
    assert_int_equal(s.posts[0].e, ERR_AGAIN);
    assert_int_equal(post(10, 0), ERR_AGAIN); /* a destination has no slot */
    write_queue_expect(s.queue, 1);
    s.places[0].mood = TAKES;
    s.place_count = 1;
    must(post(10, 0));
    turn_until_answered();
    assert_int_equal(s.posts[1].e, OK);
    s.place_count = 2;
    direct_sim_fini();
}

UNIT_TEST(test_a_destination_that_an_operator_pauses_takes_nothing)
{
    direct_sim_init(42, 1, 1 << 20);
    relay_wish(s.places[0].relay, true);
    turn(1);
    int64_t began_ms = now_ms();
    must(post(10, 0));
    turn_until_answered();
    assert_int_equal(s.posts[0].e, ERR_AGAIN);
    assert_in_range(now_ms() - began_ms, TIMEOUT_MS - 2000, TIMEOUT_MS - 1500);
    assert_non_null(strstr(s.posts[0].text, "the destination is paused"));
    assert_int_equal(s.places[0].requests, 0);
    relay_wish(s.places[0].relay, false);
    turn(1);
    must(post(10, 0));
    turn_until_answered();
    assert_int_equal(s.posts[1].e, OK);
    direct_sim_fini();
}

UNIT_TEST(test_freezes_at_any_step_break_no_promise)
{
    for (uint64_t seed = 100; seed < 112; seed++) {
        direct_sim_init(seed, 2, 1 << 20);
        s.freezes = seed % 3 != 0;
        for (uint32_t i = 0; i < PLACES; i++)
            s.places[i].calm = false;
        for (unsigned i = 0; i < 250; i++) {
            uint32_t samples = 1 + (uint32_t)rng_below(&s.rng, 30);
            int64_t timeout_ms = happens(30) ? 3000 + (int64_t)rng_below(&s.rng, 20000) : 0;
            enum err e = happens(40) ? post(samples, timeout_ms) : OK;
            assert_true(e == OK || e == ERR_NOMEM || e == ERR_AGAIN);
            turn((uint32_t)rng_below(&s.rng, 20));
        }
        turn_until_answered();
        turn(50);
        direct_sim_fini();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_write_is_answered_when_all_destinations_have_it),
        cmocka_unit_test(test_writes_that_come_together_share_requests),
        cmocka_unit_test(test_one_destination_that_is_down_fails_the_write_in_time),
        cmocka_unit_test(test_a_sender_may_give_up_earlier),
        cmocka_unit_test(test_refused_samples_are_named_and_the_others_delivered),
        cmocka_unit_test(test_a_destination_that_refuses_everything_still_answers),
        cmocka_unit_test(test_a_request_pending_at_a_freeze_is_sent_again),
        cmocka_unit_test(test_a_pause_after_failures_ends_with_a_freeze),
        cmocka_unit_test(test_a_suspension_shows_on_one_clock_or_on_both),
        cmocka_unit_test(test_a_request_does_not_go_on_after_a_suspension_in_the_wait),
        cmocka_unit_test(test_after_a_freeze_of_hours_nothing_more_is_sent),
        cmocka_unit_test(test_too_many_waiting_writes_are_refused_for_now),
        cmocka_unit_test(test_a_destination_that_is_closed_fails_its_writes),
        cmocka_unit_test(test_a_destination_that_an_operator_pauses_takes_nothing),
        cmocka_unit_test(test_freezes_at_any_step_break_no_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
