/* inspect_print_dir.c - prints a storage directory, or the places of series in it. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text/time_text.h"
#include "cli/inspect/inspect_print.h"

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
    report_field(r, "rules", "stored rules, state", value_size(d->rules_bytes));
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
                 "to|appliedTombstone=|readable=");
    for (uint32_t i = 0; i < d->part_count; i++) {
        const struct inspect_live_part *p = &d->parts[i];
        const struct inspect_part_facts *f = &p->facts;
        char number[17];
        report_row(r, value_text(inspect_number(f->number, number)), INSPECT_RANGE(f->time),
                   value_count(f->series), INSPECT_KINDS(f->samples), value_size(f->data_bytes),
                   value_size(f->file_bytes - f->data_bytes), value_size(f->file_bytes),
                   value_ratio(f->file_bytes, sum_samples(f->samples)), value_count(f->from_pos),
                   value_count(f->to_pos), value_count(p->applied), value_bool(!p->unreadable));
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
print_tombstones(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "tombstones", "Tombstones: deletions not yet applied by merges",
                 "number|made|from|to|position=hides positions before|tenant|selector=series");
    for (uint32_t i = 0; i < d->tombstone_count; i++) {
        const struct inspect_tombstone *t = &d->tombstones[i];
        report_row(r, value_count(t->id), value_time(t->made_ms),
                   time_or_none(t->range.min_ms, INT64_MIN),
                   time_or_none(t->range.max_ms, INT64_MAX), value_count(t->pos),
                   value_view(t->tenant), value_view(t->selector));
    }
    report_table_end(r, 0);
}

static void
print_receipts(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "receipts", "Receipts of deletions",
                 "number|state|made|undone|from|to|series|samples|windows|tenant|selector=deleted");
    for (uint32_t i = 0; i < d->receipt_count; i++) {
        const struct inspect_receipt *x = &d->receipts[i];
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
print_snapshots(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "snapshots", "Snapshots", "name|parts|bytes=linked|finished");
    for (uint32_t i = 0; i < d->snapshot_count; i++) {
        const struct inspect_snapshot *s = &d->snapshots[i];
        report_row(r, value_text(s->name), value_count(s->parts), value_size(s->bytes),
                   value_bool(s->finished));
    }
    report_table_end(r, 0);
}

static void
print_others(struct report *r, const struct inspect_dir *d)
{
    report_table(r, "others", "Files not listed in MANIFEST", "bytes|path");
    for (uint32_t i = 0; i < d->other_count; i++) {
        report_row(r, value_size(d->others[i].bytes), value_text(d->others[i].path));
    }
    report_table_end(r, 0);
}

void
inspect_print_dir(struct report *r, const struct inspect_dir *d, struct checkpoint_reader *rules)
{
    print_overview(r, d);
    print_bytes(r, d);
    print_parts(r, d);
    print_partitions(r, d);
    inspect_resolutions_table(r);
    for (uint32_t i = 0; i < d->part_count; i++) {
        inspect_resolutions_rows(r, &d->parts[i].facts);
    }
    report_table_end(r, 0);
    print_rules(r, d);
    print_ledgers(r, d);
    print_rejected(r, d);
    print_tombstones(r, d);
    print_receipts(r, d);
    print_segments(r, d);
    if (rules != NULL) inspect_print_rules(r, rules);
    print_snapshots(r, d);
    print_others(r, d);
    inspect_print_remarks(r, &d->remarks);
}
