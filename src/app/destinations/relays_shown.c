/* relays_shown.c - prints the destinations for the API and for metrics, one after the other, by
 * relays_each(). */
#include "app/destinations/relays.h"

#include "base/text/time_text.h"
#include "model/ledger.h"

/* Float samples and histograms are shown as one count, other kinds separately. */
enum thing { SAMPLES, EXEMPLARS, METADATA, THINGS };

static bool
is_of(enum thing thing, unsigned kind)
{
    static const unsigned kinds[THINGS] = {
        [SAMPLES] = 1u << ITEM_FLOAT | 1u << ITEM_HISTOGRAM,
        [EXEMPLARS] = 1u << ITEM_EXEMPLAR,
        [METADATA] = 1u << ITEM_METADATA,
    };
    return kinds[thing] >> kind & 1;
}

static uint64_t
sum_of(const uint64_t counts[ITEM_KIND_COUNT], enum thing thing)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        if (is_of(thing, kind)) sum += counts[kind];
    return sum;
}

static uint64_t
fate_of(const struct fates *fates, enum thing thing, unsigned fate)
{
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        if (is_of(thing, kind)) sum += fates->count[kind][fate];
    return sum;
}

/* --- the page --------------------------------------------------------------------------------- */

static void
print_time(struct json *j, const char *key, int64_t ms)
{
    char text[TIME_TEXT_BYTES];
    json_key(j, key);
    if (ms == 0)
        json_put_null(j);
    else
        json_put_text(j, time_print(ms, text));
}

static void
print_fates(struct json *j, const char *key, const struct relay_status *s, enum thing thing)
{
    const struct fates *fates = &s->fates;
    int64_t difference = 0;
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT; kind++)
        if (is_of(thing, kind)) difference += s->difference[kind];
    json_member_object(j, key);
    json_members(j, JSON("taken", sum_of(s->taken, thing)),
                 JSON("delivered", fate_of(fates, thing, FATE_DELIVERED)),
                 JSON("deadLettered", fate_of(fates, thing, FATE_DEAD_LETTERED)),
                 JSON("queued", fate_of(fates, thing, FATE_OPEN)));
    json_member_object(j, "dropped");
    for (unsigned reason = 0; reason < DROP_COUNT; reason++) {
        uint64_t dropped = fate_of(fates, thing, FATE_DROPPED + reason);
        if (dropped > 0) json_member_uint(j, drop_word(reason), dropped);
    }
    json_object_close(j);
    json_member_int(j, "difference", difference);
    json_object_close(j);
}

static void
print_status(struct json *j, const struct relay_status *s)
{
    if (s->dry.since_ms != 0) {
        double days = (double)s->dry.for_ms / (24 * 3600 * 1000.0);
        const struct {
            const char *key;
            uint64_t total;
        } daily[] = {{"samplesPerDay", s->dry.samples},
                     {"bytesPerDay", s->sent_bytes_total},
                     {"billedUnitsPerDay", s->units_total}};
        json_member_object(j, "dryRun");
        json_members(j, JSON("seconds", s->dry.for_ms > 0 ? (uint64_t)s->dry.for_ms / 1000 : 0),
                     JSON("samples", s->dry.samples), JSON("others", s->dry.others),
                     JSON("mapped", s->dry.mapped),
                     JSON("unrepresentable", s->dry.unrepresentable));
        for (size_t i = 0; i < sizeof daily / sizeof *daily; i++) {
            double each = days > 0 ? (double)daily[i].total / days : 0;
            json_member_uint(j, daily[i].key, (uint64_t)each);
        }
        json_object_close(j);
    }
    print_fates(j, "samples", s, SAMPLES);
    print_fates(j, "exemplars", s, EXEMPLARS);
    print_fates(j, "metadata", s, METADATA);
    json_members(j, JSON("replaying", s->replaying), JSON("repeats", s->repeats_total),
                 JSON("lagBytes", s->behind_bytes), JSON("lagSeconds", s->behind_ms / 1000),
                 JSON("position", s->cursor_pos));
    print_time(j, "lastDelivered", s->delivered_ms);
    json_members(j, JSON("lanes", s->lanes), JSON("lanesBusy", s->lanes_busy),
                 JSON("calls", s->calls_total), JSON("callFailures", s->calls_failed_total),
                 JSON("sentBytes", s->sent_bytes_total),
                 JSON("resentSamples", s->resent_samples_total),
                 JSON("billedUnits", s->units_total), JSON("memoryBytes", s->memory_bytes));
}

static void
print_one(void *context, const struct relays_view *view)
{
    struct json *j = context;
    const struct relay_status *s = &view->status;
    json_object_open(j);
    json_members(j, JSON("name", view->settings->name),
                 JSON("type", destination_type_word(view->settings->type)),
                 JSON("state", view->opened ? relay_state_text(s->state) : "closed"),
                 JSON("lastError", view->opened ? s->error : view->error));
    print_time(j, "lastErrorAt", view->opened ? s->error_ms : 0);
    if (view->counted) print_status(j, s);
    json_object_close(j);
}

void
relays_print(struct relays *all, struct json *to)
{
    json_array_open(to);
    relays_each(all, print_one, to);
    json_array_close(to);
}

/* --- metrics ---------------------------------------------------------------------------------- */

#define COUNTER(n, h)                                         \
    {                                                         \
        .name = (n), .help = (h), .kind = METRIC_KIND_COUNTER \
    }
#define GAUGE(n, h)                                         \
    {                                                       \
        .name = (n), .help = (h), .kind = METRIC_KIND_GAUGE \
    }

/* One metric of each kind. `that` continues its name. */
#define FAMILIES(kind_, suffix, that)                                                   \
    {                                                                                   \
        {"firekeep_destination_samples_" suffix, "Samples " that, kind_},               \
            {"firekeep_destination_exemplars_" suffix, "Exemplars " that, kind_},       \
            {"firekeep_destination_metadata_" suffix, "Metadata entries " that, kind_}, \
    }

static const struct metric_family taken_families[THINGS] =
    FAMILIES(METRIC_KIND_COUNTER, "taken_total", "that the destination took from the log.");
static const struct metric_family again_families[THINGS] =
    FAMILIES(METRIC_KIND_COUNTER, "taken_again_total",
             "that are counted as taken once more: dead letters replayed, dropped or lost, and "
             "what is sent again after a restart.");
static const struct metric_family dropped_families[THINGS] = FAMILIES(
    METRIC_KIND_COUNTER, "dropped_total", "that were neither delivered nor kept, by reason.");
static const struct {
    unsigned fate;
    struct metric_family families[THINGS];
} fates_shown[] = {
    {FATE_DELIVERED,
     FAMILIES(METRIC_KIND_COUNTER, "delivered_total", "that the destination confirmed.")},
    {FATE_DEAD_LETTERED,
     FAMILIES(METRIC_KIND_COUNTER, "dead_lettered_total",
              "that are kept as dead letters: refused permanently, or not representable.")},
    {FATE_OPEN,
     FAMILIES(METRIC_KIND_GAUGE, "queued",
              "that the destination took and that are not yet delivered, dropped or kept.")},
};

static void
collect_fates(struct metric_sink *sink, const struct relays_view *view)
{
    struct metric_pair pairs[2] = {{"destination", bytes_of_text(view->settings->name)}};
    const struct relay_shown *shown = &view->status.shown;
    if (!view->counted) return;
    for (unsigned thing = 0; thing < THINGS; thing++) {
        for (unsigned reason = 0; reason < DROP_COUNT; reason++) {
            pairs[1] = (struct metric_pair){"reason", bytes_of_text(drop_word(reason))};
            metric_put_u64(sink, &dropped_families[thing], pairs, 2,
                           fate_of(&shown->fates, thing, FATE_DROPPED + reason));
        }
        for (size_t i = 0; i < sizeof fates_shown / sizeof *fates_shown; i++) {
            metric_put_u64(sink, &fates_shown[i].families[thing], pairs, 1,
                           fate_of(&shown->fates, thing, fates_shown[i].fate));
        }
        metric_put_u64(sink, &again_families[thing], pairs, 1, sum_of(shown->again, thing));
        metric_put_u64(sink, &taken_families[thing], pairs, 1, sum_of(shown->taken, thing));
    }
}

static void
collect_state(struct metric_sink *sink, const struct relays_view *view)
{
    static const struct metric_family family =
        GAUGE("firekeep_destination_state",
              "1 for the current state of the destination, 0 for the others.");
    static const struct metric_family closed =
        GAUGE("firekeep_destination_open", "1 if the destination is open, else 0.");
    struct metric_pair pairs[2] = {{"destination", bytes_of_text(view->settings->name)}};
    metric_put_u64(sink, &closed, pairs, 1, view->opened);
    for (enum relay_state_word state = RELAY_RUNNING; state <= RELAY_DRY_RUN; state++) {
        bool is = view->opened && view->status.state == state;
        pairs[1] = (struct metric_pair){"state", bytes_of_text(relay_state_text(state))};
        metric_put_u64(sink, &family, pairs, 2, is);
    }
}

static void
collect_work(struct metric_sink *sink, const struct relays_view *view)
{
    const struct relay_status *s = &view->status;
    const struct {
        struct metric_family family;
        double value;
    } numbers[] = {
        {GAUGE("firekeep_destination_lag_bytes",
               "Size of the log that waits for the destination, in bytes."),
         (double)s->behind_bytes},
        {GAUGE("firekeep_destination_lag_seconds",
               "Age of the oldest sample that waits for the destination, in seconds."),
         (double)s->behind_ms / 1000},
        {COUNTER("firekeep_destination_calls_total",
                 "Requests to the destination, retries included."),
         (double)s->calls_total},
        {COUNTER("firekeep_destination_call_failures_total",
                 "Requests to the destination that failed."),
         (double)s->calls_failed_total},
        {COUNTER("firekeep_destination_sent_bytes_total",
                 "Bytes sent to the destination in request bodies."),
         (double)s->sent_bytes_total},
        {COUNTER("firekeep_destination_resent_samples_total",
                 "Samples sent again because it is unknown whether they arrived."),
         (double)s->resent_samples_total},
        {COUNTER(
             "firekeep_destination_repeated_samples_total",
             "Samples read from the store once more because they share a part with missing ones."),
         (double)s->repeats_total},
        {COUNTER("firekeep_destination_billed_units_total",
                 "Units billed by the provider of the destination, as far as known."),
         (double)s->units_total},
        {GAUGE("firekeep_destination_log_budget_bytes", "Log budget of the destination, in bytes."),
         (double)view->settings->log_budget_bytes},
        {GAUGE("firekeep_destination_lanes",
               "Maximum number of concurrent requests to the destination."),
         s->lanes},
    };
    struct metric_pair pair = {"destination", bytes_of_text(view->settings->name)};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        metric_put_double(sink, &numbers[i].family, &pair, 1, numbers[i].value);
}

static void
collect_one(void *context, const struct relays_view *view)
{
    collect_state(context, view);
    collect_fates(context, view);
    static const struct metric_family family =
        GAUGE(LEDGER_DIFFERENCE_NAME, LEDGER_DIFFERENCE_HELP);
    struct metric_pair pairs[2] = {{"destination", bytes_of_text(view->settings->name)}};
    for (unsigned kind = 0; kind < ITEM_KIND_COUNT && view->counted; kind++) {
        pairs[1] = (struct metric_pair){"kind", bytes_of_text(item_kind_word(kind))};
        metric_put_double(context, &family, pairs, 2, (double)view->status.difference[kind]);
    }
    collect_work(context, view);
}

void
relays_collect(struct metric_sink *sink, void *relays)
{
    relays_each(relays, collect_one, sink);
}
