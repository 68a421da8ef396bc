/* size.c - `firekeep size`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/lib/report.h"
#include "cli/size/prices.h"
#include "cli/size/size_model.h"
#include "config/config.h"

enum { MEMORY_BYTES_MAX = 4 * 1024 * 1024 };

#define GIB         1073741824.0
#define SERIES_MAX  1e10
#define PERCENT_MAX 1000.0
/* A machine has twice what is predicted: for queries, rules, and what the load has that ours has
 * not. */
#define RESERVE 2.0

struct size_flags {
    uint64_t series;
    int64_t interval_ns, retention_ns;
    const char *churn, *late, *prices;
    int form;
};

static const struct flag flags[] = {
    {"series", 0, FLAG_COUNT, offsetof(struct size_flags, series), "NUMBER",
     "number of series that are active at a time"},
    {"interval", 0, FLAG_DURATION, offsetof(struct size_flags, interval_ns), "DURATION",
     "time between two samples of a series (15s)"},
    {"retention", 0, FLAG_DURATION, offsetof(struct size_flags, retention_ns), "DURATION",
     "time for which samples are kept (1y)"},
    {"churn", 0, FLAG_TEXT, offsetof(struct size_flags, churn), "PERCENT",
     "series that others replace within an hour, in percent (0)"},
    {"late", 0, FLAG_TEXT, offsetof(struct size_flags, late), "PERCENT",
     "samples that arrive after later ones of their series, in percent (0)"},
    {"prices", 0, FLAG_TEXT, offsetof(struct size_flags, prices), "FILE",
     "also print costs, with the prices of a file such as docs/prices.txt"},
    {"format", 0, FLAG_CHOICE, offsetof(struct size_flags, form), "text|json",
     "form of the output (text)", report_forms},
    {0},
};

static const char notes[] =
    "\nThe prediction is a sum of measured constants; docs/sizing.md explains it, and says how "
    "far\n"
    "other loads are from the measured one. Memory and CPU are those of receiving, flushing and\n"
    "merging: queries, rules and destinations come on top. Memory is the largest resident size at\n"
    "full speed, and CPU counts cores of the Xeon at 2.1 GHz of docs/BENCHMARKS.md.\n"
    "\nCosts are those of the disk, and of the cheapest machine that has twice the memory and the\n"
    "CPU.\n";

static enum err
percent_parse(const char *name, const char *text, double *ret_part, struct why *why)
{
    char *end = NULL;
    double number = text == NULL ? 0 : strtod(text, &end);
    if (text != NULL && (end == text || (*end != '\0' && strcmp(end, "%") != 0) ||
                         !(number >= 0 && number <= PERCENT_MAX))) {
        return why_set(why, ERR_INPUT, "--%s: expected a percentage from 0 to %.0f, got '%.64s'",
                       name, PERCENT_MAX, text);
    }
    *ret_part = number / 100;
    return OK;
}

static enum err
load_of(const struct size_flags *s, struct size_load *ret, struct why *why)
{
    struct size_load load = {.series = (double)s->series,
                             .interval_s = (double)s->interval_ns / 1e9,
                             .retention_s = (double)s->retention_ns / 1e9};
    if (s->series == 0 || load.series > SERIES_MAX) {
        return why_set(why, ERR_INPUT, "--series: expected a number from 1 to %.0f", SERIES_MAX);
    }
    if (s->interval_ns <= 0) return why_set(why, ERR_INPUT, "--interval: must be above 0");
    if (s->retention_ns < s->interval_ns) {
        return why_set(why, ERR_INPUT, "--retention: must be at least --interval");
    }
    enum err e = percent_parse("churn", s->churn, &load.churn, why);
    if (e == OK) e = percent_parse("late", s->late, &load.late, why);
    if (e == OK && load.late > 1) e = why_set(why, ERR_INPUT, "--late: must be at most 100");
    if (e == OK) *ret = load;
    return e;
}

static struct report_value
rounded_size(double bytes)
{
    return value_size(bytes < 1e18 ? (uint64_t)(bytes + 0.5) : (uint64_t)1e18);
}

static struct report_value
rounded_count(double count)
{
    return value_count(count < 1e18 ? (uint64_t)(count + 0.5) : (uint64_t)1e18);
}

static double
disk_bytes(const struct size_prediction *p)
{
    return p->parts_bytes + p->merge_bytes + p->log_bytes;
}

static void
print_prediction(struct report *r, const struct size_prediction *p)
{
    report_section(r, "load", "Load");
    report_field(r, "samplesPerSecond", "samples per second", value_number(p->samples_per_s));
    report_field(r, "samplesKept", "samples kept", rounded_count(p->samples_kept));
    report_field(r, "seriesKept", "series kept", rounded_count(p->series_kept));
    report_section_end(r);
    report_section(r, "disk", "Disk");
    report_field(r, "parts", "parts", rounded_size(p->parts_bytes));
    report_field(r, "merge", "free space for a merge", rounded_size(p->merge_bytes));
    report_field(r, "log", "log", rounded_size(p->log_bytes));
    report_field(r, "all", "all", rounded_size(disk_bytes(p)));
    report_section_end(r);
    report_section(r, "memory", "Memory");
    report_field(r, "rss", "largest resident size", rounded_size(p->rss_bytes));
    report_section_end(r);
    report_section(r, "cpu", "CPU");
    report_field(r, "secondsPerMillionSamples", "s per million samples",
                 value_number(p->cpu_s_per_million_samples));
    report_field(r, "cores", "cores", value_number(p->cores));
    report_section_end(r);
}

static void
print_costs(struct report *r, const struct size_prediction *p, const struct prices *prices)
{
    double disk = disk_bytes(p) / GIB * prices->disk;
    const struct machine_price *m =
        prices_machine(prices, RESERVE * p->cores, RESERVE * p->rss_bytes / GIB);
    report_section(r, "costs", "Costs per month");
    report_field(r, "prices", "prices", value_text(prices->what));
    report_field(r, "date", "as of", value_text(prices->date));
    report_field(r, "disk", "disk", value_number(disk));
    report_field(r, "machine", "machine", m == NULL ? value_none() : value_text(m->name));
    report_field(r, "machinePrice", "price of the machine",
                 m == NULL ? value_none() : value_number(m->price));
    report_section_end(r);
}

static enum err
read_prices(const char *path, struct prices *ret, struct why *why)
{
    struct buf file;
    enum err e = config_read(path, PRICES_BYTES_MAX, &file, why);
    if (e == OK && file.size > PRICES_BYTES_MAX) {
        e = why_set(why, ERR_LIMIT, "%s has more than %d bytes", path, PRICES_BYTES_MAX);
    }
    if (e == OK) {
        e = prices_read(buf_bytes(&file), ret, why);
        if (e) e = why_prefix(why, e, "%s", path);
    }
    buf_fini(&file);
    return e;
}

static enum err
size(const struct size_flags *s, const struct size_load *load, struct why *why)
{
    static struct prices prices;
    struct budget memory;
    struct report *r;
    struct size_prediction p;
    budget_init(&memory, "size", MEMORY_BYTES_MAX, NULL);
    enum err e = s->prices == NULL ? OK : read_prices(s->prices, &prices, why);
    if (e) return e;
    e = report_new((enum report_form)s->form, stdout, &memory, &r);
    if (e) return why_set(why, e, "not enough memory for the report");
    size_predict(load, &p);
    print_prediction(r, &p);
    if (s->prices != NULL) print_costs(r, &p, &prices);
    e = report_end(r);
    if (e) e = why_set(why, e, "the report is incomplete: not enough memory");
    report_free(r);
    return e;
}

static int
run_size(int argc, char **argv)
{
    struct size_flags s = {.interval_ns = 15000000000, .retention_ns = 365 * 86400 * 1000000000LL};
    struct size_load load;
    struct why why = {""};
    int count = 0;
    enum err e = flags_parse(flags, &s, argc - 1, argv + 1, &count, &why);
    if (e == OK && count > 0) e = why_set(&why, ERR_INPUT, "unexpected argument '%.64s'", argv[1]);
    if (e == OK) e = load_of(&s, &load, &why);
    if (e) return cli_usage_error("size", "%s", why.text);
    e = size(&s, &load, &why);
    return e ? cli_failed("size", e, &why) : EXIT_DONE;
}

const struct command command_size = {"size",
                                     "--series=NUMBER [flags]",
                                     "predict the disk, memory, CPU and costs of a load",
                                     run_size,
                                     flags,
                                     notes};
