/* sender.c - see sender.h. */
#include "lib/sender.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_S = 60 };

/* Slot k holds times up to 10 us * 1.07^k: 256 reach from there to five minutes. */
static const double SLOT_FIRST_S = 1e-5, SLOT_FACTOR = 1.07;

void
sender_init(struct sender *s, const struct address *to, uint64_t version)
{
    *s = (struct sender){.to = to, .version = version, .channel.fd = -1};
}

void
sender_close(struct sender *s)
{
    channel_close(&s->channel);
}

struct answer {
    char text[8192];
    size_t size;
    unsigned status;
    const char *body; /* NULL: the headers are not complete */
    size_t body_size;
    bool chunked;
};

/* Reads the headers. Returns false if it is not an answer. */
static bool
read_head(struct answer *a)
{
    const char *end = strstr(a->text, "\r\n\r\n");
    if (end == NULL) return true;
    a->body = end + 4;
    if (sscanf(a->text, "HTTP/1.%*d %u", &a->status) != 1 || a->status >= SENDER_STATUSES)
        return false;
    const char *length = strcasestr(a->text, "\r\nContent-Length:");
    if (length != NULL && length < a->body) a->body_size = strtoul(length + 17, NULL, 10);
    const char *coding = strcasestr(a->text, "\r\nTransfer-Encoding: chunked");
    a->chunked = coding != NULL && coding < a->body;
    return true;
}

static bool
is_whole(const struct answer *a)
{
    if (a->body == NULL) return false;
    if (a->chunked) return strstr(a->body, "0\r\n\r\n") != NULL;
    return a->size >= a->body_size + (size_t)(a->body - a->text);
}

/* Reads one answer to its end; returns its status, 0 if there was none. */
static unsigned
read_answer(struct sender *s)
{
    struct answer a;
    a.size = 0;
    a.status = 0;
    a.body = NULL;
    a.body_size = 0;
    a.chunked = false;
    while (!is_whole(&a)) {
        size_t room = sizeof a.text - 1 - a.size;
        ssize_t n = room > 0 ? channel_receive(&s->channel, a.text + a.size, room) : 0;
        if (n <= 0) return 0;
        a.size += (size_t)n;
        a.text[a.size] = '\0';
        if (a.body == NULL && !read_head(&a)) return 0;
    }
    if (a.status >= 300 && s->trouble[0] == '\0')
        snprintf(s->trouble, sizeof s->trouble, "%u: %.200s", a.status, a.body);
    return a.status;
}

static unsigned
send_once(struct sender *s, struct bytes body)
{
    char head[2048], tenant[48] = "";
    bool second = s->version == 2;
    if (s->channel.fd < 0 && !channel_open(&s->channel, s->to, NULL)) return 0;
    if (s->tenant[0] != '\0') snprintf(tenant, sizeof tenant, "X-Scope-OrgID: %s\r\n", s->tenant);
    int size = snprintf(head, sizeof head,
                        "POST %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: firekeep-load/1\r\n"
                        "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf%s\r\n"
                        "X-Prometheus-Remote-Write-Version: %s\r\nContent-Length: %zu\r\n%s\r\n",
                        s->to->path, s->to->host, s->to->port,
                        second ? ";proto=io.prometheus.write.v2.Request" : "",
                        second ? "2.0.0" : "0.1.0", body.size, tenant);
    bool is_sent = channel_send(&s->channel, bytes_of(head, (size_t)size), body);
    unsigned status = is_sent ? read_answer(s) : 0;
    if (status == 0) sender_close(s);
    return status;
}

static void
note_time(struct sender *s, double took_s)
{
    double slot = log(took_s / SLOT_FIRST_S) / log(SLOT_FACTOR);
    unsigned k = slot > 0 ? (unsigned)slot + 1 : 0;
    s->took[k < SENDER_SLOTS ? k : SENDER_SLOTS - 1]++;
    if (took_s <= s->took_max_s) return;
    s->took_max_s = took_s;
    s->took_max_at_s = now_s(CLOCK_REALTIME);
}

void
sender_send(struct sender *s, struct bytes body, uint32_t samples)
{
    double began_s = now_s(CLOCK_MONOTONIC);
    for (;;) {
        unsigned status = send_once(s, body);
        s->statuses[status]++;
        double took_s = now_s(CLOCK_MONOTONIC) - began_s;
        if (status != 0 && status != 429 && status < 500) {
            s->bytes += body.size;
            if (status < 300)
                s->samples += samples;
            else
                s->refused++;
            note_time(s, took_s);
            return;
        }
        if (took_s > RETRY_S) die("the server takes nothing (%s)", s->trouble);
        s->retries++;
        nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    }
}

double
sender_quantile_s(const uint64_t took[SENDER_SLOTS], uint64_t count, double share)
{
    uint64_t seen = 0;
    for (unsigned k = 0; k < SENDER_SLOTS; k++) {
        seen += took[k];
        if (seen > 0 && (double)seen >= share * (double)count)
            return SLOT_FIRST_S * pow(SLOT_FACTOR, k);
    }
    return 0;
}
