/*
 * inspect.c - `firekeep inspect PATH`: describes files on disk and their sizes. Each print_...()
 * makes a section or a table; tables whose rows are bytes add up to the file, with a row for
 * everything else in it.
 */

#include "cli/inspect/inspect.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "base/text/time_text.h"
#include "cli/cli.h"
#include "cli/lib/terminal.h"
#include "rules/schedule/checkpoint.h"

/* --- values ----------------------------------------------------------------------------------- */

/* Prints 16 hex digits, as in the names of parts and segments. Returns `to`. */
static char *
inspect_number(uint64_t number, char to[17])
{
    snprintf(to, 17, "%016" PRIx64, number);
    return to;
}

static struct report_value
inspect_first(struct time_range range)
{
    return range.min_ms > range.max_ms ? value_none() : value_time(range.min_ms);
}

static struct report_value
inspect_last(struct time_range range)
{
    return range.min_ms > range.max_ms ? value_none() : value_time(range.max_ms);
}

/* Values of a row: both times; and the numbers of floats, histograms and exemplars. */
#define INSPECT_RANGE(range) inspect_first(range), inspect_last(range)
#define INSPECT_KINDS(n)                                                \
    value_count((n)[LEDGER_FLOAT]), value_count((n)[LEDGER_HISTOGRAM]), \
        value_count((n)[LEDGER_EXEMPLAR])
static void
inspect_print_kinds(struct report *r, const uint64_t *counts)
{
    report_field(r, "floats", "floats", value_count(counts[LEDGER_FLOAT]));
    report_field(r, "histograms", "histograms", value_count(counts[LEDGER_HISTOGRAM]));
    report_field(r, "exemplars", "exemplars", value_count(counts[LEDGER_EXEMPLAR]));
}

static void
inspect_print_remarks(struct report *r, const struct inspect_remarks *remarks)
{
    report_table(r, "remarks", "Remarks", "kind|text=what");
    for (uint32_t i = 0; i < remarks->count; i++) {
        const struct inspect_remark *m = &remarks->items[i];
        report_row(r, value_text(m->damage ? "damage" : "note"), value_text(m->text));
    }
    report_table_end(r, remarks->left_out);
    if (remarks->damage_count > 0)
        report_field(r, "damagedPlaces", "damaged places", value_count(remarks->damage_count));
}

/* --- a part ----------------------------------------------------------------------------------- */

static void
print_facts(struct report *r, const struct inspect_part *p)
{
    const struct part_info *f = &p->facts;
    char number[17];
    uint64_t samples = f->sample_count[LEDGER_FLOAT] + f->sample_count[LEDGER_HISTOGRAM];
    report_section(r, "part", "Part");
    report_field(r, "number", "number", value_text(inspect_number(f->number, number)));
    report_field(r, "from", "first time", inspect_first(f->time));
    report_field(r, "to", "last time", inspect_last(f->time));
    report_field(r, "fromPosition", "log from", value_count(f->from_pos));
    report_field(r, "toPosition", "log up to", value_count(f->to_pos));
    report_field(r, "tenants", "tenants", value_count(p->tenants));
    report_field(r, "series", "series", value_count(f->series_count));
    report_field(r, "labelPairs", "label pairs", value_count(f->pair_count));
    report_field(r, "blocks", "blocks", value_count(f->block_count));
    inspect_print_kinds(r, f->sample_count);
    report_field(r, "bytesPerSample", "bytes per sample", value_ratio(f->file_bytes, samples));
    report_field(r, "dataBytes", "data", value_size(f->data_bytes));
    report_field(r, "indexBytes", "index", value_size(f->file_bytes - f->data_bytes));
    report_field(r, "indexBytesPerSeries", "index bytes per series",
                 value_ratio(f->file_bytes - f->data_bytes, f->series_count));
    report_section_end(r);
}

/* Bytes outside pages have rows of their own, so that the rows add up to the file. */
static void
print_pages(struct report *r, const struct inspect_part *p)
{
    report_field(r, "fileBytes", "file", value_size(p->file_bytes));
    report_table(r, "pages", "Pages",
                 "kind|pages|headerBytes=headers|storedBytes=stored|rawBytes=unpacked|ratio|bytes|"
                 "share=% of file");
    for (unsigned kind = 0; kind < INSPECT_PAGE_KINDS; kind++) {
        const struct inspect_pages *k = &p->pages[kind];
        uint64_t bytes = k->header_bytes + k->stored_bytes;
        if (k->count == 0) continue;
        report_row(r, value_text(inspect_page_word(kind)), value_count(k->count),
                   value_size(k->header_bytes), value_size(k->stored_bytes),
                   value_size(k->raw_bytes), value_ratio(k->raw_bytes, k->stored_bytes),
                   value_size(bytes), value_ratio(100 * bytes, p->file_bytes));
    }
    report_row(r, value_text("header and footer"), value_count(0), value_size(0), value_size(0),
               value_size(0), value_none(), value_size(p->end_bytes),
               value_ratio(100 * p->end_bytes, p->file_bytes));
    if (p->unreadable_bytes > 0) {
        report_row(r, value_text("not a page"), value_count(0), value_size(0), value_size(0),
                   value_size(0), value_none(), value_size(p->unreadable_bytes),
                   value_ratio(100 * p->unreadable_bytes, p->file_bytes));
    }
    report_table_end(r, 0);
}

static void
inspect_resolutions_table(struct report *r)
{
    report_table(r, "resolutions", "Windows of levels of downsampling",
                 "number=part|resolution|from|to|rows|bytes=encoded|bytesPerRow=per row");
}

static void
inspect_resolutions_rows(struct report *r, const struct part_info *f)
{
    for (uint32_t i = 0; i < f->resolution_count; i++) {
        const struct rollup_facts *x = &f->resolutions[i];
        char number[17], resolution[TIME_TEXT_BYTES];
        time_print_duration(x->resolution_ms, resolution);
        report_row(r, value_text(inspect_number(f->number, number)), value_text(resolution),
                   INSPECT_RANGE(x->time), value_count(x->rows), value_size(x->bytes),
                   value_ratio(x->bytes, x->rows));
    }
}

static void
inspect_print_part(struct report *r, const struct inspect_part *p)
{
    if (p->root_whole) print_facts(r, p);
    print_pages(r, p);
    if (p->root_whole) {
        inspect_resolutions_table(r);
        inspect_resolutions_rows(r, &p->facts);
        report_table_end(r, 0);
    }
    inspect_print_remarks(r, &p->remarks);
}

/* --- a segment -------------------------------------------------------------------------------- */

static void
print_header(struct report *r, const struct inspect_segment *s)
{
    const struct wal_segment_info *i = &s->log.segment;
    char number[17];
    report_section(r, "segment", "Log segment");
    report_field(r, "number", "number", value_text(inspect_number(i->number, number)));
    report_field(r, "state", "state", value_text(inspect_segment_word(i->state)));
    report_field(r, "fileBytes", "file", value_size(i->file_bytes));
    if (s->header_bytes > 0) {
        report_field(r, "version", "format version", value_count(i->version));
        report_field(r, "minReader", "readable from version", value_count(i->min_reader));
        report_field(r, "made", "made", value_time(i->made_ms));
        report_field(r, "basePosition", "first position", value_count(i->base_pos));
        report_field(r, "endPosition", "end position", value_count(s->log.end_pos));
        report_field(r, "limitPosition", "position limit", value_count(i->limit_pos));
        report_field(r, "end", "ends", value_text(inspect_end_word(s->log.end)));
        report_field(r, "tornBytes", "torn", value_size(s->log.torn_bytes));
        report_field(r, "previous", "previous segment",
                     i->prev_number == 0 ? value_text("none")
                                         : value_text(inspect_number(i->prev_number, number)));
        report_field(r, "previousEndPosition", "end of previous segment",
                     value_count(i->prev_end_pos));
        report_field(r, "floatsBefore", "floats before", value_count(i->totals[LEDGER_FLOAT]));
        report_field(r, "histogramsBefore", "histograms before",
                     value_count(i->totals[LEDGER_HISTOGRAM]));
        report_field(r, "exemplarsBefore", "exemplars before",
                     value_count(i->totals[LEDGER_EXEMPLAR]));
    }
    report_section_end(r);
}

static void
print_records(struct report *r, const struct inspect_segment *s)
{
    report_table(r, "records", "Records",
                 "type|records|items|packed|payloadBytes=payload|rawBytes=unpacked|ratio|bytes|"
                 "bytesPerItem=per item");
    for (unsigned t = 0; t <= WAL_TYPE_LAST; t++) {
        const struct inspect_records *k = &s->types[t];
        if (k->count == 0) continue;
        report_row(r, value_text(inspect_record_word(t)), value_count(k->count),
                   value_count(k->items), value_count(k->packed), value_size(k->payload_bytes),
                   value_size(k->raw_bytes), value_ratio(k->raw_bytes, k->payload_bytes),
                   value_size(k->record_bytes), value_ratio(k->record_bytes, k->items));
    }
    report_table_end(r, 0);
}

static void
print_commits(struct report *r, const struct inspect_segment *s)
{
    report_section(r, "commits", "Commits");
    report_field(r, "count", "commits", value_count(s->commits));
    report_field(r, "bytesMedian", "bytes, median", value_size(s->commit_bytes_p50));
    report_field(r, "bytesMax", "bytes, maximum", value_size(s->commit_bytes_max));
    report_field(r, "recordsMax", "records, maximum", value_count(s->commit_records_max));
    if (s->commits > 0) {
        report_field(r, "first", "first", value_time(s->first_commit_ms));
        report_field(r, "last", "last", value_time(s->last_commit_ms));
    }
    report_field(r, "samplesFrom", "samples from", inspect_first(s->samples));
    report_field(r, "samplesTo", "samples to", inspect_last(s->samples));
    inspect_print_kinds(r, s->accepted);
    report_section_end(r);
}

static void
inspect_print_segment(struct report *r, const struct inspect_segment *s)
{
    print_header(r, s);
    if (s->header_bytes > 0) {
        print_records(r, s);
        print_commits(r, s);
        uint64_t records = 0;
        for (unsigned t = 0; t <= WAL_TYPE_LAST; t++)
            records += s->types[t].record_bytes;
        report_section(r, "bytes", "The file");
        report_field(r, "header", "header", value_size(s->header_bytes));
        report_field(r, "records", "records", value_size(records));
        report_field(r, "damaged", "damaged", value_size(s->log.damaged_bytes));
        report_field(r, "rest", "after the end", value_size(s->rest_bytes));
        report_section_end(r);
    }
    inspect_print_remarks(r, &s->remarks);
}

/* --- the state of rules ----------------------------------------------------------------------- */

enum { ALERT_STATES = ALERT_FIRING + 1 };

/* Numbers of groups and alerts of one tenant. */
struct rules_sums {
    struct bytes tenant; /* at == NULL: no tenant so far */
    int64_t sender_ms;
    uint64_t groups;  /* groups in the configuration */
    uint64_t retired; /* groups that left the configuration */
    int64_t next_ns;  /* the earliest evaluation of the configured ones; INT64_MAX: no group is
                         configured */
    uint64_t alerts[ALERT_STATES];
};

static struct report_value
value_time_ns(int64_t ns)
{
    return ns == 0 ? value_none() : value_time(ns / NS_PER_MS);
}

static void
print_tenant(struct report *r, const struct rules_sums *sums)
{
    if (sums->tenant.at == NULL) return;
    report_row(r, value_view(sums->tenant),
               sums->sender_ms == INT64_MIN ? value_none() : value_time(sums->sender_ms),
               value_count(sums->groups), value_count(sums->retired),
               sums->next_ns == INT64_MAX ? value_none() : value_time_ns(sums->next_ns),
               value_count(sums->alerts[ALERT_PENDING]), value_count(sums->alerts[ALERT_FIRING]),
               value_count(sums->alerts[ALERT_INACTIVE]));
}

void
inspect_print_rules(struct report *r, struct checkpoint_reader *rules)
{
    report_section(r, "ruleState", "State of rules");
    report_field(r, "written", "written", value_time_ns(rules->head.written_ns));
    report_field(r, "latest", "latest evaluation", value_time_ns(rules->head.latest_ns));
    report_field(r, "groups", "groups", value_count(rules->counts[CHECKPOINT_GROUP]));
    report_field(r, "alerts", "alerts", value_count(rules->counts[CHECKPOINT_ALERT]));
    report_section_end(r);
    report_table(r, "ruleTenants", "Tenants: state of rules",
                 "tenant|sender=last write|groups|retired=removed groups|next=next "
                 "evaluation|pending|firing|resolved");
    struct checkpoint_record record;
    struct rules_sums sums = {.tenant = {NULL, 0}};
    while (checkpoint_next(rules, &record)) {
        if (record.kind == CHECKPOINT_TENANT) {
            print_tenant(r, &sums);
            sums = (struct rules_sums){.tenant = record.tenant.name,
                                       .sender_ms = record.tenant.sender_ms,
                                       .next_ns = INT64_MAX};
        } else if (record.kind == CHECKPOINT_GROUP && record.group.retired_ns != 0) {
            sums.retired++;
        } else if (record.kind == CHECKPOINT_GROUP) {
            sums.groups++;
            if (record.group.next_ns < sums.next_ns) sums.next_ns = record.group.next_ns;
        } else if (record.kind == CHECKPOINT_ALERT) {
            sums.alerts[record.alert.was.state]++;
        }
    }
    print_tenant(r, &sums);
    report_table_end(r, 0);
}

static uint64_t
sum_samples(const uint64_t *samples)
{
    return samples[LEDGER_FLOAT] + samples[LEDGER_HISTOGRAM];
}

static struct report_value
time_or_none(int64_t ms, int64_t none_ms)
{
    return ms == none_ms ? value_none() : value_time(ms);
}

/* --- a directory ------------------------------------------------------------------------------ */

static void
print_overview(struct report *r, const struct inspect_dir *d)
{
    report_section(r, "storage", "Storage");
    report_field(r, "version", "format version", value_count(d->version));
    report_field(r, "minReader", "readable from version", value_count(d->min_reader));
    if (d->manifest_whole) {
        report_field(r, "edit", "edit of MANIFEST", value_count(d->edit));
        report_field(r, "storePosition", "parts cover the log up to", value_count(d->store_pos));
        report_field(r, "logEndPosition", "log ends at",
                     d->log_end_pos == 0 ? value_none() : value_count(d->log_end_pos));
        report_field(r, "logBytesNotInParts", "log not yet in parts",
                     value_size(d->log_end_pos > d->store_pos ? d->log_end_pos - d->store_pos : 0));
        report_field(r, "newest", "newest sample of a sender",
                     time_or_none(d->newest_ms, INT64_MIN));
        report_field(r, "retentionNow", "time for retention",
                     time_or_none(d->retention_now_ms, INT64_MIN));
    }
    report_field(r, "parts", "parts", value_count(d->part_count));
    report_field(r, "series", "series, part by part", value_count(d->series));
    inspect_print_kinds(r, d->samples);
    report_field(r, "bytesPerSample", "bytes per sample",
                 value_ratio(d->data_bytes + d->index_bytes, sum_samples(d->samples)));
    report_section_end(r);
}

static void
print_bytes(struct report *r, const struct inspect_dir *d)
{
    report_section(r, "bytes", "Where the bytes are");
    report_field(r, "data", "parts: samples", value_size(d->data_bytes));
    report_field(r, "index", "parts: index", value_size(d->index_bytes));
    report_field(r, "meta", "parts: meta.json", value_size(d->meta_bytes));
    report_field(r, "log", "log", value_size(d->log_bytes));
    report_field(r, "rules", "stored rules, state, pushed metrics", value_size(d->rules_bytes));
    report_field(r, "small", "MANIFEST, small files", value_size(d->small_bytes));
    report_field(r, "others", "other files", value_size(d->other_bytes));
    report_field(r, "total", "total",
                 value_size(d->data_bytes + d->index_bytes + d->meta_bytes + d->log_bytes +
                            d->rules_bytes + d->small_bytes + d->other_bytes));
    report_section_end(r);
}

static void
print_parts(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "partList", "Parts",
                 "number=part|from|to|series|floats|histograms|exemplars|dataBytes=data|indexBytes="
                 "index|bytes=|bytesPerSample=per sample|fromPosition=log from|toPosition=log up "
                 "to|appliedTombstone=|readable=|remote=");
    for (uint32_t i = 0; i < d->part_count; i++) {
        const struct inspect_live_part *p = &d->parts[i];
        const struct part_info *f = &p->facts;
        char number[17];
        report_row(r, value_text(inspect_number(f->number, number)), INSPECT_RANGE(f->time),
                   value_count(f->series_count), INSPECT_KINDS(f->sample_count),
                   value_size(f->data_bytes), value_size(f->file_bytes - f->data_bytes),
                   value_size(f->file_bytes),
                   value_ratio(f->file_bytes, sum_samples(f->sample_count)),
                   value_count(f->from_pos), value_count(f->to_pos), value_count(p->applied),
                   value_bool(!p->unreadable), value_bool(p->remote));
    }
    report_table_end(r, 0);
}

static void
print_partitions(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "partitions", "Partitions of time",
                 "from|to|kind|parts|floats|histograms|exemplars|dataBytes=data|indexBytes=index");
    for (uint32_t i = 0; i < d->partition_count; i++) {
        const struct inspect_partition *p = &d->partitions[i];
        const int64_t day_ms = 24 * 3600 * 1000LL;
        int64_t span;
        bool whole = !__builtin_sub_overflow(p->time.max_ms, p->time.min_ms, &span);
        const char *kind = p->several                    ? "several"
                           : whole && span < day_ms      ? "day"
                           : whole && span < 40 * day_ms ? "month"
                                                         : "other";
        report_row(r, INSPECT_RANGE(p->time), value_text(kind), value_count(p->parts),
                   INSPECT_KINDS(p->samples), value_size(p->data_bytes),
                   value_size(p->index_bytes));
    }
    report_table_end(r, 0);
}

/* A rule without a match stands for all that have no count of their own. */
static void
print_rules(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "ruleCounts",
                 "What rules of retention removed, and those of downsampling replaced",
                 "kind|match|tenants|resolution|samples|exemplars|series|windows|bytes");
    for (uint32_t i = 0; i < d->rule_count; i++) {
        const struct inspect_rule *x = &d->rules[i];
        bool levels = x->windows > 0 || x->resolution_ms > 0;
        char resolution[TIME_TEXT_BYTES];
        time_print_duration(x->resolution_ms, resolution);
        report_row(r, value_text(levels ? "downsampling" : "retention"), value_view(x->match),
                   x->tenants.size == 0 ? value_text("all") : value_view(x->tenants),
                   x->resolution_ms == 0 ? value_none() : value_text(resolution),
                   value_count(x->samples), value_count(x->exemplars), value_count(x->series),
                   value_count(x->windows), value_size(x->bytes));
    }
    report_table_end(r, 0);
}

static void
print_ledgers(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "ledger",
                 "Tenants: ledger of received samples, up to the position that parts cover",
                 "tenant|kind|received|stored|pending|duplicate|superseded|rejected|expired|"
                 "deleted|damaged|passedOn=passed on|downsampled|"
                 "supersededByWindows=superseded by windows|"
                 "missedByWindows=missed by windows");
    for (uint32_t i = 0; i < d->tenant_count; i++) {
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            enum ledger_kind kind = (enum ledger_kind)k;
            const struct ledger *l = &d->tenants[i].totals;
            const uint64_t *c = l->count[k];
            if (c[LEDGER_RECEIVED] == 0 && l->stored[k] == 0) continue;
            report_row(r, value_view(d->tenants[i].name), value_text(ledger_kind_word(kind)),
                       value_count(c[LEDGER_RECEIVED]), value_count(l->stored[k]),
                       value_count(ledger_should_pend(l, kind)), value_count(c[LEDGER_DUPLICATE]),
                       value_count(c[LEDGER_SUPERSEDED]), value_count(ledger_rejected(l, kind)),
                       value_count(c[LEDGER_EXPIRED]), value_count(c[LEDGER_DELETED]),
                       value_count(c[LEDGER_DAMAGED]), value_count(c[LEDGER_PASSED_ON]),
                       value_count(c[LEDGER_DOWNSAMPLED]),
                       value_count(c[LEDGER_SUPERSEDED_BY_WINDOW]),
                       value_count(c[LEDGER_MISSED_BY_WINDOW]));
        }
    }
    report_table_end(r, 0);
}

static void
print_rejected(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "rejected", "Rejected", "tenant|kind|count=rejected|reason");
    for (uint32_t i = 0; i < d->tenant_count; i++) {
        for (unsigned k = 0; k < LEDGER_KIND_COUNT; k++) {
            for (unsigned reason = 0; reason < REJECT_COUNT; reason++) {
                uint64_t n = d->tenants[i].totals.count[k][LEDGER_REJECTED + reason];
                if (n == 0) continue;
                report_row(r, value_view(d->tenants[i].name),
                           value_text(ledger_kind_word((enum ledger_kind)k)), value_count(n),
                           value_text(reject_word((enum reject)reason)));
            }
        }
    }
    report_table_end(r, 0);
}

static void
print_receipts(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "receipts", "Receipts of deletions",
                 "number|state|made|undone|from|to|series|samples|windows|tenant|selector=deleted");
    for (uint32_t i = 0; i < d->receipt_count; i++) {
        const struct tsdb_receipt *x = &d->receipts[i];
        report_row(r, value_count(x->id), value_text(inspect_receipt_word(x->state)),
                   value_time(x->made_ms), time_or_none(x->undone_ms, INT64_MIN),
                   time_or_none(x->range.min_ms, INT64_MIN),
                   time_or_none(x->range.max_ms, INT64_MAX), value_count(x->series),
                   value_count(x->samples), value_count(x->windows), value_view(x->tenant),
                   value_view(x->selector));
    }
    report_table_end(r, 0);
}

static void
print_segments(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "segments", "Log segments",
                 "number=segment|state|made|basePosition=from|endPosition=up "
                 "to|bytes=file|needed=needed by the store");
    for (uint32_t i = 0; i < d->segment_count; i++) {
        const struct wal_segment_info *s = &d->segments[i];
        bool live = s->state == WAL_SEGMENT_LIVE;
        char number[17];
        report_row(r, value_text(inspect_number(s->number, number)),
                   value_text(inspect_segment_word(s->state)),
                   live ? value_time(s->made_ms) : value_none(),
                   live ? value_count(s->base_pos) : value_none(),
                   live ? value_count(s->end_pos) : value_none(), value_size(s->file_bytes),
                   value_bool(live && s->end_pos > d->store_pos));
    }
    report_table_end(r, 0);
}

static void
inspect_print_dir(struct report *r, const struct inspect_dir *d, struct checkpoint_reader *rules)
{
    print_overview(r, d);
    print_bytes(r, d);
    print_parts(r, d);
    print_partitions(r, d);
    inspect_resolutions_table(r);
    for (uint32_t i = 0; i < d->part_count; i++)
        inspect_resolutions_rows(r, &d->parts[i].facts);
    report_table_end(r, 0);
    print_rules(r, d);
    print_ledgers(r, d);
    print_rejected(r, d);
    report_table(r, "tombstones", "Tombstones: deletions not yet applied by merges",
                 "number|made|from|to|position=hides positions before|tenant|selector=series");
    for (uint32_t i = 0; i < d->tombstone_count; i++) {
        const struct tsdb_receipt *t = &d->tombstones[i];
        report_row(r, value_count(t->id), value_time(t->made_ms),
                   time_or_none(t->range.min_ms, INT64_MIN),
                   time_or_none(t->range.max_ms, INT64_MAX), value_count(t->pos),
                   value_view(t->tenant), value_view(t->selector));
    }
    report_table_end(r, 0);
    print_receipts(r, d);
    print_segments(r, d);
    if (rules != NULL) inspect_print_rules(r, rules);
    report_table(r, "snapshots", "Snapshots", "name|parts|bytes=linked|finished");
    for (uint32_t i = 0; i < d->snapshot_count; i++) {
        const struct inspect_snapshot *s = &d->snapshots[i];
        report_row(r, value_text(s->name), value_count(s->parts), value_size(s->bytes),
                   value_bool(s->finished));
    }
    report_table_end(r, 0);
    report_table(r, "others", "Files not listed in MANIFEST", "bytes|path");
    for (uint32_t i = 0; i < d->other_count; i++)
        report_row(r, value_size(d->others[i].bytes), value_text(d->others[i].path));
    report_table_end(r, 0);
    inspect_print_remarks(r, &d->remarks);
}

#define MEMORY_BYTES_MAX ((uint64_t)512 << 20)

enum { MIB_SHIFT = 20 };

struct inspect {
    int form; /* enum report_form */
    struct inspect_target target;
    struct inspect_options options;
    struct budget memory;
    struct progress progress;
};

static const struct flag flags[] = {
    REPORT_FLAG(struct inspect),
    REMOVED_FLAG("top", "/api/v1/status/tsdb has the metrics and labels with the most series"),
    REMOVED_FLAG("start",
                 "ask a server: firekeep query shows the samples of a time or of a tenant"),
    REMOVED_FLAG("end", "ask a server: firekeep query shows the samples of a time or of a tenant"),
    REMOVED_FLAG("tenant",
                 "ask a server: firekeep query shows the samples of a time or of a tenant"),
    {0},
};

static const char notes[] =
    "\nPATH is a storage directory (or a snapshot), DIR/parts/NNNN for one part, or\n"
    "DIR/wal/NNNN.wal for one segment of the log. Changes and locks nothing: it can run beside a\n"
    "server.\n"
    "\nExit status: 0 done, 1 something is damaged or cannot be read (the rest is still printed),\n"
    "2 wrong usage.\n";

/* --- the three uses --------------------------------------------------------------------------- */

static void
show_progress(void *context, uint64_t done, uint64_t all)
{
    struct inspect *x = context;
    bool bytes = x->target.kind != INSPECT_DIRECTORY;
    progress_show(&x->progress, bytes ? done >> MIB_SHIFT : done, done, all);
}

/* Damage was printed already; here it decides the exit status. */
static enum err
verdict(const struct inspect_remarks *remarks, struct why *why)
{
    if (remarks->damage_count == 0) return OK;
    return why_set(why, ERR_CORRUPT, "%" PRIu64 " %s damaged", remarks->damage_count,
                   remarks->damage_count == 1 ? "place is" : "places are");
}

/* The store does not know rules: their state is read here. */
static enum err
print_directory(struct inspect *x, struct report *r, struct inspect_dir *dir, struct why *why)
{
    struct checkpoint_reader rules;
    struct why reason = {""};
    enum err e = checkpoint_read(x->options.env, x->target.dir, x->options.memory, &rules, &reason);
    bool lacks_memory = e == ERR_NOMEM;
    if (e != OK && e != ERR_MISSING && !lacks_memory)
        lacks_memory = inspect_dir_remark(dir, true, why_text(&reason, e)) != OK;
    inspect_print_dir(r, dir, e == OK ? &rules : NULL);
    checkpoint_fini(&rules);
    if (lacks_memory) return why_set(why, ERR_NOMEM, "not enough memory for the report");
    return verdict(&dir->remarks, why);
}

static enum err
run(struct inspect *x, const char *path, struct why *why)
{
    static const char *const units[] = {"parts", "MiB", "MiB"};
    static const char *const kinds[] = {"directory", "part", "segment"};
    struct inspect_dir dir;
    struct inspect_part part;
    struct inspect_segment segment;
    struct report *r;
    progress_begin(&x->progress, units[x->target.kind]);
    enum err e = report_new(x->form, stdout, &x->memory, &r, why);
    if (e) return e;
    if (x->form == REPORT_JSON) {
        report_field(r, "kind", "kind", value_text(kinds[x->target.kind]));
        report_field(r, "path", "path", value_text(path));
    }
    if (x->target.kind == INSPECT_DIRECTORY)
        e = inspect_dir(&x->options, x->target.dir, &dir, why);
    else if (x->target.kind == INSPECT_PART)
        e = inspect_part(&x->options, &x->target, &part, why);
    else
        e = inspect_segment(&x->options, &x->target, &segment, why);
    progress_clear(&x->progress);
    if (e) {
        /* nothing to print */
    } else if (x->target.kind == INSPECT_DIRECTORY) {
        e = print_directory(x, r, &dir, why);
        inspect_dir_fini(&dir);
    } else if (x->target.kind == INSPECT_PART) {
        inspect_print_part(r, &part);
        e = verdict(&part.remarks, why);
        inspect_part_fini(&part);
    } else {
        inspect_print_segment(r, &segment);
        e = verdict(&segment.remarks, why);
        inspect_segment_fini(&segment);
    }
    e = err_first(e, report_end(r, e ? NULL : why));
    report_free(r);
    return e;
}

static int
run_inspect(int argc, char **argv)
{
    struct inspect x = {.form = REPORT_TEXT};
    struct why why = {""};
    int count = 0;
    signal(SIGPIPE, SIG_DFL); /* a pipe to `head` ends the program without a message */
    budget_init(&x.memory, "inspect", MEMORY_BYTES_MAX, NULL);
    x.options = (struct inspect_options){.env = env_real(),
                                         .memory = &x.memory,
                                         .now_ms = env_realtime_ms(env_real()),
                                         .progress = show_progress,
                                         .context = &x};
    enum err e = flags_parse(flags, &x, argc - 1, argv + 1, &count, &why);
    if (e == OK && count != 1) {
        e = why_set(&why, ERR_INPUT,
                    count == 0 ? "expected PATH"
                               : "expected one PATH; which series are stored is a query");
    }
    if (e) return cli_usage_error("inspect", "%s", why_text(&why, e));
    e = inspect_path(x.options.env, argv[1], &x.target, &why);
    if (e == OK) e = run(&x, argv[1], &why);
    if (e == OK) return EXIT_DONE;
    fflush(stdout);
    bool named = why_names(&why, argv[1]);
    fprintf(stderr, "firekeep inspect: %s%s%s\n", named ? "" : argv[1], named ? "" : ": ",
            why_text(&why, e));
    return EXIT_FAILED;
}

const struct command command_inspect = {
    "inspect",
    "[flags] PATH",
    "show what a storage directory, a part or a log segment contains, and its size",
    run_inspect,
    flags,
    notes};
