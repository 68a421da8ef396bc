/* show.c - prints groups, rules and alerts as in Prometheus' API. */
#include "rules/group/group.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text/time_text.h"
#include "model/permitted.h"
#include "sys/env.h"
#include "wire/number.h"

/* RFC 3339 with as many fraction digits as needed; 0 is printed as Prometheus prints a missing
 * time. */
static void
show_put_time(struct json *to, const char *key, int64_t ns)
{
    char text[TIME_TEXT_BYTES + 16];
    if (ns == 0) {
        json_member_text(to, key, "0001-01-01T00:00:00Z");
        return;
    }
    time_print(ns / NS_PER_S * 1000, text);
    size_t size = strcspn(text, ".Z"); /* without the fraction */
    int64_t fraction = ns % NS_PER_S;
    if (fraction > 0) {
        size += (size_t)snprintf(text + size, sizeof text - size, ".%09lld", (long long)fraction);
        while (text[size - 1] == '0')
            size--;
    }
    memcpy(text + size, "Z", 2);
    json_member_text(to, key, text);
}

static void
put_seconds(struct json *to, const char *key, double seconds)
{
    char digits[NUMBER_TEXT_BYTES];
    json_key(to, key);
    json_put_raw(to, bytes_of(digits, number_print(double_bits(seconds), digits)));
}

/* Returns the number of digits after the first one of a printed number, with or without an
 * exponent. */
static int
more_digits(struct bytes number)
{
    int digits = 0;
    for (size_t i = 0; i < number.size && number.at[i] != 'e'; i++) {
        bool is_digit = number.at[i] >= '0' && number.at[i] <= '9';
        digits += is_digit && (digits > 0 || number.at[i] != '0');
    }
    while (digits > 1 && number.at[number.size - 1] == '0') {
        number.size--;
        digits--;
    }
    return digits > 0 ? digits - 1 : 0;
}

/* Always with an exponent, and with the fewest digits that read back the same. */
static void
show_put_value(struct json *to, uint64_t bits)
{
    char text[48];
    double value = bits_double(bits);
    if (isfinite(value)) {
        char plain[NUMBER_TEXT_BYTES];
        int digits = more_digits(bytes_of(plain, number_print(bits, plain)));
        do {
            snprintf(text, sizeof text, "%.*e", digits++, value);
        } while (strtod(text, NULL) != value);
    } else {
        size_t size = number_print(bits, text);
        text[size] = '\0';
    }
    json_member_text(to, "value", text);
}

static void
put_pairs(struct json *to, const char *key, const struct label *items, uint32_t count)
{
    json_member_object(to, key);
    for (uint32_t i = 0; i < count; i++) {
        json_key_bytes(to, items[i].name);
        json_put_bytes(to, items[i].value);
    }
    json_object_close(to);
}

/* --- alerts ----------------------------------------------------------------------------------- */

static bool
is_shown(const struct alert *alert, const struct permitted *permitted)
{
    return alert_is_active(alert) && (permitted == NULL || permitted_has(permitted, alert->labels));
}

static void
put_alerts_locked(struct json *to, const struct rule_at_work *rule,
                  const struct permitted *permitted)
{
    for (uint32_t i = 0; i < rule->alerts.count; i++) {
        const struct alert *alert = rule->alerts.items[i];
        if (!is_shown(alert, permitted)) continue;
        json_object_open(to);
        json_key(to, "labels");
        labels_put_json(to, alert->labels);
        put_pairs(to, "annotations", alert->annotations->items, alert->annotations->count);
        json_member_text(to, "state", alert_state_word(alert->state));
        show_put_time(to, "activeAt", alert->active_at_ns);
        if (alert->keep_firing_since_ns != 0)
            show_put_time(to, "keepFiringSince", alert->keep_firing_since_ns);
        show_put_value(to, alert->value_bits);
        json_object_close(to);
    }
}

void
group_print_alerts(struct group *g, const struct permitted *permitted, struct json *to)
{
    lock_take(&g->lock);
    for (uint32_t i = 0; i < g->text.rule_count; i++)
        put_alerts_locked(to, &g->rules[i], permitted);
    lock_drop(&g->lock);
}

void
group_each_alert(struct group *g, uint32_t rule,
                 void (*each)(void *context, const struct alert *alert), void *context)
{
    const struct alerts *alerts = &g->rules[rule].alerts;
    for (uint32_t i = 0; i < alerts->count; i++)
        each(context, alerts->items[i]);
}

/* --- rules ------------------------------------------------------------------------------------ */

struct bytes
group_rule_error(struct group *g, uint32_t rule)
{
    return buf_bytes(&g->rules[rule].error);
}

/* For a caller with permitted series an alerting rule has its permitted alerts, and neither its
 * texts nor its outcome, which may tell about other series. */
static void
put_rule_locked(struct json *to, const struct rule_at_work *rule,
                const struct group_question *question)
{
    static const char *const health[] = {"unknown", "ok", "err"};
    static const struct named_texts none;
    bool records = rule->text->kind == RULE_RECORDING, hides = question->permitted != NULL;
    uint32_t label_count = hides ? 0 : rule->label_count;
    json_object_open(to);
    enum alert_state most = ALERT_INACTIVE;
    for (uint32_t i = 0; i < rule->alerts.count; i++) {
        const struct alert *alert = rule->alerts.items[i];
        if (hides && !is_shown(alert, question->permitted)) continue;
        if (alert->state > most) most = alert->state;
    }
    if (!records) json_member_text(to, "state", alert_state_word(most));
    json_member_text(to, "name", rule->text->name);
    json_key(to, "query");
    json_put_bytes(to, hides ? bytes_of("", 0) : rule->line);
    if (!records) {
        double for_ms = (double)rule->text->for_ms;
        double keep_firing_ms = (double)rule->text->keep_firing_for_ms;
        put_seconds(to, "duration", hides ? 0 : for_ms / 1e3);
        put_seconds(to, "keepFiringFor", hides ? 0 : keep_firing_ms / 1e3);
    }
    if (!records || label_count > 0) put_pairs(to, "labels", rule->labels, label_count);
    if (!records) {
        const struct named_texts *texts = hides ? &none : &rule->text->annotations;
        json_member_object(to, "annotations");
        for (uint32_t i = 0; i < texts->count; i++)
            json_member_text(to, texts->items[i].name, texts->items[i].value);
        json_object_close(to);
        json_key(to, "alerts");
        if (question->without_alerts) {
            json_put_null(to);
        } else {
            json_array_open(to);
            put_alerts_locked(to, rule, question->permitted);
            json_array_close(to);
        }
    }
    json_member_text(to, "health", health[hides ? RULE_UNKNOWN : rule->health]);
    if (!hides && rule->error.size > 0) {
        json_key(to, "lastError");
        json_put_bytes(to, buf_bytes(&rule->error));
    }
    put_seconds(to, "evaluationTime", hides ? 0 : (double)rule->evaluated_for_ns / 1e9);
    show_put_time(to, "lastEvaluation", hides ? 0 : rule->evaluated_at_ns);
    json_member_text(to, "type", records ? "recording" : "alerting");
    json_object_close(to);
}

/* Says whether the set matches the first `label_count` labels of a rule. */
static bool
holds(const struct matcher_set *set, const struct rule_at_work *rule, uint32_t label_count)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct bytes value = {NULL, 0};
        for (uint32_t k = 0; k < label_count; k++) {
            bool same = bytes_equal(rule->labels[k].name, matcher_name(set->matchers[i]));
            if (same) value = rule->labels[k].value;
        }
        if (!matcher_matches(set->matchers[i], value)) return false;
    }
    return true;
}

static bool
show_is_wanted_locked(const struct rule_at_work *rule, const struct group_question *q)
{
    if (!(rule->text->kind == RULE_RECORDING ? q->recording : q->alerting)) return false;
    bool any_shown = q->permitted == NULL;
    for (uint32_t i = 0; i < rule->alerts.count && !any_shown; i++)
        any_shown = is_shown(rule->alerts.items[i], q->permitted);
    if (!any_shown) return false;
    /* Labels that are hidden are not matched either: selectors would find out their texts. */
    uint32_t label_count = q->permitted != NULL ? 0 : rule->label_count;
    bool named = q->names.count == 0, held = q->set_count == 0;
    for (uint32_t i = 0; i < q->names.count && !named; i++)
        named = strcmp(q->names.items[i], rule->text->name) == 0;
    for (uint32_t i = 0; i < q->set_count && named && !held; i++)
        held = holds(&q->sets[i], rule, label_count);
    return named && held;
}

bool
group_answers(struct group *g, const struct group_question *question)
{
    bool any = false;
    lock_take(&g->lock);
    for (uint32_t i = 0; i < g->text.rule_count && !any; i++)
        any = show_is_wanted_locked(&g->rules[i], question);
    lock_drop(&g->lock);
    return any;
}

bool
group_print(struct group *g, const struct group_question *question, struct json *to)
{
    bool any = false;
    lock_take(&g->lock);
    for (uint32_t i = 0; i < g->text.rule_count; i++) {
        if (!show_is_wanted_locked(&g->rules[i], question)) continue;
        if (!any) {
            json_object_open(to);
            json_member_text(to, "name", g->text.name);
            json_member_text(to, "file", g->text.file);
            json_member_array(to, "rules");
        }
        any = true;
        put_rule_locked(to, &g->rules[i], question);
    }
    if (any) {
        json_array_close(to);
        bool hides = question->permitted != NULL;
        put_seconds(to, "interval", (double)g->schedule.interval_ns / 1e9);
        json_member_uint(to, "limit", g->text.limit);
        put_seconds(to, "evaluationTime", hides ? 0 : (double)g->facts.evaluated_for_ns / 1e9);
        show_put_time(to, "lastEvaluation", hides ? 0 : g->facts.evaluated_at_ns);
        json_object_close(to);
    }
    lock_drop(&g->lock);
    return any;
}
