/*
 * discovery_dns.c - members found by DNS. A name whose look-up fails keeps its targets; a name that
 * does not exist, or has no such records, has no targets.
 */
#include "notify/discovery/discovery.h"

#include <assert.h>
#include <stdio.h>

#include "base/log.h"

enum { REFRESH_MS = 30 * 1000, TEXT_BYTES = 1200 };

struct found_name {
    struct outside_question question; /* first: name_answered() casts it */
    struct dns_discovery *of;
    const char *name;
    struct targets targets;
    bool is_cut;     /* the name has too many records, and the log has a line about it */
    bool has_failed; /* the last look-up failed, and the log has a line about it */
};

struct dns_discovery {
    struct discovery base;
    const struct dns_members *settings;
    uint32_t count;
    struct found_name names[];
};

static void
dns_stop(struct discovery *discovery)
{
    struct dns_discovery *d = (struct dns_discovery *)discovery;
    for (uint32_t i = 0; i < d->count; i++)
        outside_give_up_question(d->base.options.outside, &d->names[i].question);
}

static void
dns_discovery_free(struct discovery *discovery)
{
    struct dns_discovery *d = (struct dns_discovery *)discovery;
    for (uint32_t i = 0; i < d->count; i++) {
        assert(!d->names[i].question.is_pending); /* stopped before */
        targets_fini(&d->names[i].targets);
    }
    mem_free(d->base.options.memory, d, sizeof *d + d->count * sizeof *d->names);
}

static void
dns_each(const struct discovery *discovery,
         void (*take)(void *context, const struct targets *targets), void *context)
{
    const struct dns_discovery *d = (const struct dns_discovery *)discovery;
    for (uint32_t i = 0; i < d->count; i++)
        take(context, &d->names[i].targets);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The label that names the host of a record; NULL if it has an address. */
static const char *const host_labels[] = {[DNS_SRV] = "__meta_dns_srv_record_target",
                                          [DNS_A] = NULL,
                                          [DNS_AAAA] = NULL,
                                          [DNS_MX] = "__meta_dns_mx_record_target",
                                          [DNS_NS] = "__meta_dns_ns_record_target"};

static enum err
add_record(const struct found_name *name, const struct dns_answer_record *record,
           struct targets *to, struct why *why)
{
    const struct dns_members *s = name->of->settings;
    const char *host_label = host_labels[s->type];
    struct label labels[4];
    char address[TEXT_BYTES], host[TEXT_BYTES], port[16];
    uint32_t count = 0, number = s->type == DNS_SRV ? record->port : s->port;
    bool is_v6 = strchr(record->target, ':') != NULL;
    if (record->target[0] == '\0') return OK; /* RFC 2782: the service is not available */
    snprintf(address, sizeof address, is_v6 ? "[%s]:%u" : "%s:%u", record->target, number);
    snprintf(host, sizeof host, "%s.", record->target);
    snprintf(port, sizeof port, "%u", number);
    labels[count++] = (struct label){bytes_of_text("__address__"), bytes_of_text(address)};
    labels[count++] = (struct label){bytes_of_text("__meta_dns_name"), bytes_of_text(name->name)};
    if (host_label != NULL)
        labels[count++] = (struct label){bytes_of_text(host_label), bytes_of_text(host)};
    if (s->type == DNS_SRV) {
        labels[count++] =
            (struct label){bytes_of_text("__meta_dns_srv_record_port"), bytes_of_text(port)};
    }
    return targets_add(to, labels, count, why);
}

static void
name_note(struct found_name *name, enum err e, const char *error)
{
    if (e && !name->has_failed) {
        log_warn("notify: cannot look up name, keeping the previous targets",
                 KV("name", name->name), KV("error", error));
    }
    if (e == OK && name->has_failed)
        log_info("notify: name servers answer again", KV("name", name->name),
                 KV("targets", name->targets.count));
    name->has_failed = e != OK;
}

static void
name_answered(struct outside_question *question, const struct dns_answer *answer)
{
    struct found_name *name = (struct found_name *)question;
    struct why why = {""};
    if (answer->e) {
        name_note(name, answer->e, answer->error);
        return;
    }
    struct targets found;
    enum err e = OK;
    targets_init(&found, name->of->base.options.memory);
    for (uint32_t i = 0; i < answer->count && e == OK; i++)
        e = add_record(name, &answer->records[i], &found, &why);
    e = discovery_found(&name->of->base, &name->targets, &found, e);
    name_note(name, e, why_text(&why, e));
    if (answer->is_cut && !name->is_cut) {
        log_warn("notify: too many records of a name, ignoring the rest", KV("name", name->name),
                 KV("records", DNS_RECORDS_MAX));
    }
    name->is_cut = answer->is_cut;
}

/* --- questions -------------------------------------------------------------------------------- */

static void
dns_step(struct discovery *discovery)
{
    struct dns_discovery *d = (struct dns_discovery *)discovery;
    int64_t now_ns = env_monotonic_ns(d->base.options.env);
    int64_t refresh_ms = d->settings->refresh_ms > 0 ? d->settings->refresh_ms : REFRESH_MS;
    if (now_ns < d->base.due_ns) return;
    d->base.due_ns = now_ns + refresh_ms * NS_PER_MS;
    for (uint32_t i = 0; i < d->count; i++) {
        struct found_name *name = &d->names[i];
        struct why why = {""};
        if (name->question.is_pending) continue; /* from the last look */
        enum err e = outside_ask(d->base.options.outside, name->name, d->settings->type,
                                 &name->question, &why);
        if (e) name_note(name, e, why_text(&why, e));
    }
}

enum err
discovery_dns_new(const struct outside_context *options, const struct dns_members *settings,
                  struct discovery **ret_discovery)
{
    static const struct discovery_class class = {
        .step = dns_step, .stop = dns_stop, .free = dns_discovery_free, .each = dns_each};
    uint32_t count = settings->names.count;
    struct dns_discovery *d = mem_new(options->memory, sizeof *d + count * sizeof *d->names);
    if (d == NULL) return ERR_NOMEM;
    d->base = (struct discovery){.class = &class, .options = *options};
    d->settings = settings;
    d->count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct found_name *name = &d->names[i];
        name->question.answered = name_answered;
        name->of = d;
        name->name = settings->names.items[i];
        targets_init(&name->targets, options->memory);
    }
    *ret_discovery = &d->base;
    return OK;
}
