/*
 * bucket.c - `firekeep bucket ls|stats|verify|adopt|take`: what a bucket has, a storage directory
 * from it, and a directory that goes on with it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/bucket/bucket_link.h"
#include "cli/cli.h"
#include "cli/lib/report.h"
#include "cli/lib/terminal.h"
#include "tsdb/tsdb_bucket.h"

#define BUCKET_MEMORY_BYTES_MAX ((uint64_t)2 << 30)

enum bucket_verb {
    BUCKET_LS,
    BUCKET_STATS,
    BUCKET_VERIFY,
    BUCKET_ADOPT,
    BUCKET_TAKE,
    BUCKET_VERBS
};
static const char *const bucket_verbs[BUCKET_VERBS] = {"ls", "stats", "verify", "adopt", "take"};

struct bucket_command {
    /* Command line. */
    const char *config_file;
    bool read_all;
    int form; /* -1: not given */
    const char *address, *dir;

    struct budget memory;
    struct object_storage storage;
    struct bucket_link place;
    struct report *report;
};

static const struct flag bucket_flags[] = {
    {"config.file", 0, FLAG_TEXT, offsetof(struct bucket_command, config_file), "FILE",
     "instead of BUCKET: the object_storage of a server's configuration"},
    {"read-all", 0, FLAG_SWITCH, offsetof(struct bucket_command, read_all), NULL,
     "verify: read the content of all parts, not only their checksums"},
    REPORT_FLAG(struct bucket_command),
    {0},
};

static const char bucket_notes[] =
    "\nfirekeep bucket ls BUCKET         list the parts in a bucket\n"
    "firekeep bucket stats BUCKET      show up to when it is complete, and what it has\n"
    "firekeep bucket verify BUCKET     compare all parts in it with their checksums\n"
    "firekeep bucket adopt BUCKET DIR  make a storage directory of what it has; DIR is empty or "
    "missing\n"
    "firekeep bucket take BUCKET DIR   let the server of DIR go on with the bucket, although DIR "
    "is "
    "a\n"
    "                                  copy, or another server has opened the bucket\n"
    "\nBUCKET is a directory, or s3://BUCKET/PREFIX, with keys of object_storage such as "
    "?region=,\n"
    "endpoint= and path_style=true after it; credentials are found as by a destination of type "
    "s3.\n"
    "\nadopt and take make DIR the only writer of the bucket: any other stops writing into it. "
    "See\n"
    "docs/bucket.md.\n"
    "\nExit status: 0 done; 1 it failed, or something is missing or damaged; 2 wrong usage.\n";

static struct report_value
value_time_or_none(int64_t ms)
{
    return ms == INT64_MIN ? value_none() : value_time(ms);
}

/* --- ls, stats -------------------------------------------------------------------------------- */

static void
print_part(void *context, const struct tsdb_bucket_part *p)
{
    struct bucket_command *a = context;
    report_row(a->report, value_count(p->number), value_time(p->time.min_ms),
               value_time(p->time.max_ms), value_size(p->size), value_text(p->key));
}

static enum err
no_catalog(const struct bucket_command *a, struct why *why)
{
    return why_set(why, ERR_MISSING, "%s has no catalog of parts", a->place.objects->shown);
}

static enum err
run_ls(struct bucket_command *a, struct why *why)
{
    struct tsdb_bucket_summary s;
    enum err e = report_new(a->form, stdout, &a->memory, &a->report, why);
    if (e) return e;
    report_table(a->report, "parts", NULL, "number|from|to|bytes=size|key");
    e = tsdb_bucket_read(a->place.objects, &a->memory, print_part, a, &s, why);
    report_table_end(a->report, 0);
    enum err printed = report_end(a->report, e ? NULL : why);
    if (e == OK && s.number == 0) return no_catalog(a, why);
    return err_first(e, printed);
}

static void
print_summary(struct report *r, const struct tsdb_bucket_summary *s)
{
    report_field(r, "catalogNumber", "number of the catalog", value_count(s->number));
    report_field(r, "written", "written", value_time(s->made_ms));
    report_field(r, "completePosition", "complete up to position", value_count(s->complete_pos));
    report_field(r, "completeTime", "newest complete sample", value_time_or_none(s->complete_ms));
    report_field(r, "knownPosition", "end of the log then", value_count(s->known_pos));
    report_field(r, "samplesBeyond", "samples beyond", value_count(s->beyond));
    report_field(r, "parts", "parts", value_count(s->parts));
    report_field(r, "bytes", "size", value_size(s->bytes));
    report_field(r, "samples", "samples", value_count(s->samples));
    report_field(r, "tenants", "tenants", value_count(s->tenants));
    report_field(r, "deletions", "deletions held", value_count(s->deletions));
}

static enum err
run_stats(struct bucket_command *a, struct why *why)
{
    struct tsdb_bucket_summary s;
    enum err e = tsdb_bucket_read(a->place.objects, &a->memory, NULL, NULL, &s, why);
    if (e == OK && s.number == 0) e = no_catalog(a, why);
    if (e == OK) e = report_new(a->form, stdout, &a->memory, &a->report, why);
    if (e) return e;
    print_summary(a->report, &s);
    return report_end(a->report, why);
}

/* --- verify ----------------------------------------------------------------------------------- */

static void
say_line(void *context, const char *line)
{
    (void)context;
    printf("%s\n", line);
}

static enum err
run_verify_bucket(struct bucket_command *a, struct why *why)
{
    struct tsdb_bucket_verdict v;
    enum err e =
        tsdb_bucket_verify(a->place.objects, &a->memory, a->read_all, say_line, NULL, &v, why);
    if (e && (e != ERR_CORRUPT || v.bad == 0)) return e;
    printf("%" PRIu64 " part%s, %" PRIu64 " missing or damaged, %" PRIu64 " archived\n", v.parts,
           plural(v.parts), v.bad, v.archived);
    if (v.unnamed > 0) {
        printf("%" PRIu64 " object%s of %" PRIu64 " bytes that the catalog does not name\n",
               v.unnamed, plural(v.unnamed), v.unnamed_bytes);
    }
    return e;
}

/* --- adopt, take ------------------------------------------------------------------------------ */

static enum err
run_adopt(struct bucket_command *a, struct why *why)
{
    struct tsdb_bucket_summary s;
    enum err e = tsdb_bucket_adopt(env_real(), a->place.objects, a->dir, &a->memory, &s, why);
    if (e == OK) e = report_new(a->form, stdout, &a->memory, &a->report, why);
    if (e) return e;
    print_summary(a->report, &s);
    return report_end(a->report, why);
}

static enum err
run_take(struct bucket_command *a, struct why *why)
{
    uint64_t number;
    enum err e = tsdb_bucket_take(env_real(), a->place.objects, a->dir, &a->memory, &number, why);
    if (e == OK) printf("%s goes on with the bucket after number %" PRIu64 "\n", a->dir, number);
    return e;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Finds the verb, and the words after it. */
static enum err
find_words(struct bucket_command *a, int count, char **words, enum bucket_verb *ret_verb,
           struct why *why)
{
    enum bucket_verb verb = BUCKET_LS;
    while (count > 0 && verb < BUCKET_VERBS && strcmp(words[0], bucket_verbs[verb]) != 0)
        verb++;
    if (count == 0 || verb == BUCKET_VERBS)
        return why_set(why, ERR_INPUT, "expected ls, stats, verify, adopt or take");
    bool has_dir = verb == BUCKET_ADOPT || verb == BUCKET_TAKE, has_file = a->config_file != NULL;
    if (count != 1 + !has_file + has_dir || words[count - 1][0] == '\0') {
        return why_set(why, ERR_INPUT, "expected %s%s", has_file ? "" : "BUCKET",
                       !has_dir   ? has_file ? "no more words" : ""
                       : has_file ? "DIR"
                                  : " and DIR");
    }
    if (!has_file) a->address = words[1];
    if (has_dir) a->dir = words[count - 1];
    if (a->read_all && verb != BUCKET_VERIFY)
        return why_set(why, ERR_INPUT, "--read-all is only valid with verify");
    if (a->form >= 0 && (verb == BUCKET_VERIFY || verb == BUCKET_TAKE))
        return why_set(why, ERR_INPUT, "--format is not valid with %s", bucket_verbs[verb]);
    *ret_verb = verb;
    return OK;
}

static enum err
open_place(struct bucket_command *a, struct config_lists *lists, struct why *why)
{
    struct settings settings;
    enum err e = OK;
    if (a->config_file == NULL) {
        e = bucket_link_read(a->address, &a->memory, &a->storage, why);
    } else {
        e = check_file(a->config_file, &settings, lists, why);
        if (e == OK && !lists->objects.given)
            e = why_set(why, ERR_INPUT, "%s has no object_storage", a->config_file);
        if (e == OK) a->storage = lists->objects;
        lists->objects = (struct object_storage){.given = false};
    }
    if (e == OK)
        e = bucket_link_open(env_real(), &a->storage, &a->memory, interrupt_watch(), &a->place,
                             why);
    return e;
}

static int
run_bucket(int argc, char **argv)
{
    static enum err (*const runs[BUCKET_VERBS])(struct bucket_command * a, struct why * why) = {
        run_ls, run_stats, run_verify_bucket, run_adopt, run_take};
    struct bucket_command a = {.form = -1};
    struct config_lists lists = {0};
    struct why why = {""};
    enum bucket_verb verb = BUCKET_LS;
    int count = 0;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    budget_init(&a.memory, "bucket", BUCKET_MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(bucket_flags, &a, argc - 1, argv + 1, &count, &why);
    if (e == OK) e = find_words(&a, count, argv + 1, &verb, &why);
    if (e) return cli_usage_error("bucket", "%s", why.text);
    e = open_place(&a, &lists, &why);
    if (e == OK) e = runs[verb](&a, &why);
    report_free(a.report);
    bucket_link_close(&a.place);
    object_storage_free(&a.storage);
    config_lists_free(&lists);
    return e ? cli_failed("bucket", e, &why) : EXIT_DONE;
}

const struct command command_bucket = {
    "bucket",
    "ls|stats|verify|adopt|take [flags] BUCKET [DIR]",
    "show or verify what a bucket has, or make a storage directory of it",
    run_bucket,
    bucket_flags,
    bucket_notes};
