/*
 * backup.c - `firekeep backup [list|verify|prune] DIR` and `firekeep restore DIR TO`: backups of a
 * storage directory.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backup/backup.h"
#include "backup/repository.h"
#include "base/log.h"
#include "cli/backup/backup_ends.h"
#include "cli/cli.h"
#include "cli/lib/report.h"
#include "cli/lib/target/target.h"
#include "cli/lib/terminal.h"
#include "sys/paths.h"
#include "tsdb/tsdb.h"

/* For lists of files, and for the files that are stored at once. */
#define MEMORY_BYTES_MAX (((uint64_t)2 << 30) + BACKUP_THREADS_MAX * (uint64_t)BACKUP_FILE_MEMORY)
#define MIB              ((uint64_t)1 << 20)

enum backup_verb { VERB_STORE, VERB_LIST, VERB_VERIFY, VERB_PRUNE, VERB_COUNT };
static const char *const verbs[VERB_COUNT] = {"", "list", "verify", "prune"};

struct backup_command {
    /* Command line. */
    const char *url, *http_config_file, *storage, *id;
    bool create, dry_run, with_bucket;
    uint64_t threads, rate_mib;
    struct kept_policy keep;
    int form; /* -1: not given */
    const char *dir, *to;

    struct budget memory;
    struct place_needs needs;
    struct backup_repository repository;
    struct progress progress;
    struct report *report;
    uint64_t wrong; /* damaged objects and records */
};

static const struct flag flags[] = {
    {"url", 0, FLAG_TEXT, offsetof(struct backup_command, url), "URL",
     "URL of the running server (default $FIREKEEP_URL, or http://127.0.0.1:9201)"},
    HTTP_CONFIG_FLAG(struct backup_command, http_config_file),
    {"storage.path", 0, FLAG_TEXT, offsetof(struct backup_command, storage), "DIRECTORY",
     "storage directory of a stopped server; with --url, where that of the server is here"},
    {"create", 0, FLAG_SWITCH, offsetof(struct backup_command, create), NULL,
     "make DIR a directory of backups, if it is empty or missing"},
    {"with-bucket", 0, FLAG_SWITCH, offsetof(struct backup_command, with_bucket), NULL,
     "with --url: copy also the parts that are only in the server's bucket; they take space on its "
     "disk meanwhile"},
    {"id", 0, FLAG_TEXT, offsetof(struct backup_command, id), "ID",
     "verify: only this backup (default: all)"},
    {"keep", 0, FLAG_COUNT, offsetof(struct backup_command, keep.newest), "N",
     "prune: keep the N newest backups"},
    {"keep-daily", 0, FLAG_COUNT, offsetof(struct backup_command, keep.daily), "N",
     "prune: keep the newest backup of each of the last N days that have one"},
    {"keep-weekly", 0, FLAG_COUNT, offsetof(struct backup_command, keep.weekly), "N",
     "prune: the same for weeks"},
    {"keep-monthly", 0, FLAG_COUNT, offsetof(struct backup_command, keep.monthly), "N",
     "prune: the same for months"},
    {"dry-run", 0, FLAG_SWITCH, offsetof(struct backup_command, dry_run), NULL,
     "prune: print what would be removed, and remove nothing"},
    {"concurrency", 0, FLAG_COUNT, offsetof(struct backup_command, threads), "N",
     "number of files that are read at once (default 4)"},
    {"rate", 0, FLAG_COUNT, offsetof(struct backup_command, rate_mib), "MIB",
     "read at most this many MiB per second (default: no limit)"},
    REPORT_FLAG(struct backup_command),
    {0},
};

static const char notes[] =
    "\nfirekeep backup DIR         back up a server, or a storage directory, into DIR\n"
    "firekeep backup list DIR    list the backups of DIR\n"
    "firekeep backup verify DIR  read all that is stored in DIR, and compare it with its "
    "checksums\n"
    "firekeep backup prune DIR   remove the backups that no --keep flag keeps\n"
    "\nDIR is a directory, or a bucket: s3://BUCKET/PREFIX, with keys such as ?region=, endpoint= "
    "and\n"
    "path_style=true after it; credentials are found as by a destination of type s3.\n"
    "\nA backup has the parts, rules and their state, positions and dead letters of "
    "destinations;\n"
    "of a stopped server also the log. DIR stores equal files once: a backup adds only what no\n"
    "earlier one has, and reads only parts that are new. A backup that was interrupted continues\n"
    "when it is repeated.\n"
    "Of a running server, a snapshot is taken (--web.enable-admin-api) and removed at the end; "
    "its\n"
    "storage directory must be on this machine. firekeep restore restores a backup.\n"
    "\nExit status: 0 done; 1 it failed, or something stored is damaged; 2 wrong usage.\n";

static const struct flag restore_flags[] = {
    {"id", 0, FLAG_TEXT, offsetof(struct backup_command, id), "ID",
     "the backup to restore (default: the newest)"},
    {"concurrency", 0, FLAG_COUNT, offsetof(struct backup_command, threads), "N",
     "number of files that are written at once (default 4)"},
    {"rate", 0, FLAG_COUNT, offsetof(struct backup_command, rate_mib), "MIB",
     "read at most this many MiB per second (default: no limit)"},
    REPORT_FLAG(struct backup_command),
    {0},
};

static const char restore_notes[] =
    "\nRestores a backup of DIR into the directory TO, missing or empty, and compares all files\n"
    "with their checksums. Repeat it after an interruption: it continues. Until all of it is\n"
    "restored, no server starts on TO.\n"
    "\nExit status: 0 done; 1 it failed, or the backup is damaged; 2 wrong usage.\n";

/* --- what all verbs share --------------------------------------------------------------------- */

static void
show_progress(void *context)
{
    struct backup_command *a = context;
    progress_show(&a->progress, atomic_load_explicit(&a->repository.bytes, memory_order_relaxed), 0,
                  0);
}

static enum err
open_repository(struct backup_command *a, enum backup_use use, struct why *why)
{
    struct backup_place place;
    a->needs.stop = interrupt_watch();
    enum err e = repository_place(a->dir, &a->memory, &a->needs, &place, why);
    if (e) return e;
    progress_begin(&a->progress, "bytes");
    a->repository.env = env_real();
    a->repository.memory = &a->memory;
    a->repository.stop = a->needs.stop;
    a->repository.rate_bytes = a->rate_mib * MIB;
    a->repository.step = show_progress;
    a->repository.context = a;
    return backup_open(&a->repository, &place, use, why);
}

static enum err
begin_report(struct backup_command *a, struct why *why)
{
    progress_clear(&a->progress);
    return report_new(a->form, stdout, &a->memory, &a->report, why);
}

static enum err
read_ids(struct backup_command *a, struct buf *ret_ids, struct why *why)
{
    buf_init(ret_ids, &a->memory, BACKUP_RECORD_BYTES_MAX);
    return backup_ids(&a->repository, ret_ids, why);
}

static size_t
id_count(const struct buf *ids)
{
    return ids->size / sizeof(struct backup_id);
}

static const char *
id_at(const struct buf *ids, size_t i)
{
    return ((const struct backup_id *)ids->at)[i].text;
}

/* --- backup ----------------------------------------------------------------------------------- */

/* Backs up the directory of a stopped server, or a snapshot of a running one. */
static enum err
store_locked(struct backup_command *a, const char *dir, struct why *why)
{
    char id[BACKUP_ID_BYTES];
    struct backup_report done;
    struct tsdb_reading_lock lock = TSDB_READING_LOCK_NONE;
    enum err e = tsdb_reading_lock_take(env_real(), dir, &lock, why);
    if (e == OK) e = backup_id_make(&a->repository, id, why);
    if (e == OK) e = backup_store(&a->repository, dir, id, (uint32_t)a->threads, &done, why);
    tsdb_reading_lock_drop(&lock);
    if (e == OK) e = begin_report(a, why);
    if (e) return e;
    report_field(a->report, "id", "backup", value_text(id));
    report_field(a->report, "files", "files", value_count(done.files));
    report_field(a->report, "bytes", "size", value_size(done.bytes));
    report_field(a->report, "newObjects", "new files", value_count(done.new_objects));
    report_field(a->report, "newBytes", "size of new files", value_size(done.new_bytes));
    report_field(a->report, "unchanged", "parts not read again", value_count(done.unchanged));
    return report_end(a->report, why);
}

static enum err
store_server(struct backup_command *a, struct why *why)
{
    struct server_snapshot snapshot = {""};
    struct server_snapshot_options options = {
        .url = a->url,
        .http_config_file = a->http_config_file,
        .storage = a->storage,
        .suffix = a->repository.id,
        .with_bucket = a->with_bucket,
        .memory = &a->memory,
    };
    struct why removing = {""};
    enum err e = server_snapshot_take(&options, &snapshot, why);
    if (e == OK) e = store_locked(a, snapshot.dir, why);
    enum err removed = server_snapshot_remove(&snapshot, &removing);
    if (e || removed == OK) return e;
    return why_set(why, removed, "the backup is complete, but its snapshot %s remains: %s",
                   snapshot.dir, why_text(&removing, removed));
}

static enum err
run_store(struct backup_command *a, struct why *why)
{
    enum err e = open_repository(a, a->create ? BACKUP_MAKE : BACKUP_CHANGE, why);
    if (e) return e;
    return a->url != NULL ? store_server(a, why) : store_locked(a, a->storage, why);
}

/* --- list ------------------------------------------------------------------------------------- */

static enum err
list_one(struct backup_command *a, const char *id, struct why *why)
{
    struct backup_record record;
    struct why reason = {""};
    backup_record_init(&record, &a->memory);
    enum err e = backup_record_read(&a->repository, id, &record, &reason);
    if (e == OK) {
        report_row(a->report, value_text(id), value_time(record.time_ms), value_count(record.count),
                   value_size(backup_record_bytes(&record)));
    } else if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED) {
        a->wrong++;
        progress_say(&a->progress, "firekeep backup: %s", reason.text);
        e = OK;
    }
    backup_record_fini(&record);
    return e ? why_set(why, e, "%s", why_text(&reason, e)) : OK;
}

static enum err
run_list(struct backup_command *a, struct why *why)
{
    struct buf ids;
    enum err e = open_repository(a, BACKUP_READ, why);
    if (e) return e;
    e = read_ids(a, &ids, why);
    if (e == OK) e = begin_report(a, why);
    if (e == OK) {
        report_table(a->report, "backups", NULL, "id|time|files|bytes=size");
        for (size_t i = 0; i < id_count(&ids) && e == OK; i++)
            e = list_one(a, id_at(&ids, i), why);
        report_table_end(a->report, 0);
        e = err_first(e, report_end(a->report, e ? NULL : why));
    }
    buf_fini(&ids);
    return e;
}

/* --- verify ----------------------------------------------------------------------------------- */

static void
say_found(void *context, const char *sentence)
{
    struct backup_command *a = context;
    progress_clear(&a->progress);
    printf("%s\n", sentence);
}

static enum err
verify_one(struct backup_command *a, struct backup_verifier *verifier, const char *id,
           struct why *why)
{
    struct backup_report done;
    struct why reason = {""};
    uint64_t wrong = 0;
    enum err e =
        backup_verify(&a->repository, id, (uint32_t)a->threads, verifier, &done, &wrong, &reason);
    if (e == ERR_CORRUPT || e == ERR_UNSUPPORTED) {
        a->wrong++;
        say_found(a, reason.text);
        return OK;
    }
    if (e) return why_set(why, e, "%s", why_text(&reason, e));
    a->wrong += wrong;
    progress_clear(&a->progress);
    if (wrong == 0) {
        printf("%s: ok (%" PRIu64 " file%s, %" PRIu64 " bytes)\n", id, done.files,
               plural(done.files), done.bytes);
    } else {
        printf("%s: %" PRIu64 " of %" PRIu64 " file%s damaged or missing\n", id, wrong, done.files,
               plural(done.files));
    }
    return OK;
}

static enum err
verify_all(struct backup_command *a, struct backup_verifier *verifier, struct why *why)
{
    struct buf ids;
    enum err e = read_ids(a, &ids, why);
    if (e == OK && id_count(&ids) == 0) e = why_set(why, ERR_MISSING, "%s has no backups", a->dir);
    for (size_t i = 0; i < id_count(&ids) && e == OK; i++)
        e = verify_one(a, verifier, id_at(&ids, i), why);
    buf_fini(&ids);
    return e;
}

static enum err
run_verify(struct backup_command *a, struct why *why)
{
    struct backup_verifier verifier = {.found = say_found, .context = a};
    enum err e = open_repository(a, BACKUP_READ, why);
    if (e) return e;
    e = a->id != NULL ? verify_one(a, &verifier, a->id, why) : verify_all(a, &verifier, why);
    backup_verifier_fini(&verifier, &a->memory);
    return e;
}

/* --- prune ------------------------------------------------------------------------------------ */

struct prune_printer {
    bool dry_run;
    uint64_t count;
};

static void
print_removed(void *context, const char *id)
{
    struct prune_printer *p = context;
    printf("%s %s\n", p->dry_run ? "would remove" : "removed", id);
    p->count++;
}

static enum err
run_prune(struct backup_command *a, struct why *why)
{
    struct prune_printer printer = {.dry_run = a->dry_run};
    struct backup_pruned pruned;
    size_t kept;
    enum err e = open_repository(a, a->dry_run ? BACKUP_READ : BACKUP_CHANGE, why);
    if (e == OK) {
        e = kept_prune(&a->repository, &a->keep, a->dry_run, print_removed, &printer, &kept,
                       &pruned, why);
    }
    if (e) return e;
    printf("%" PRIu64 " backup%s %s, %zu kept", printer.count, plural(printer.count),
           a->dry_run ? "would be removed" : "removed", kept);
    if (!a->dry_run) { /* otherwise it is not known which files would be */
        printf("; %" PRIu64 " file%s, %" PRIu64 " bytes freed", pruned.objects,
               plural(pruned.objects), pruned.bytes);
    }
    printf("\n");
    return OK;
}

/* --- restore ---------------------------------------------------------------------------------- */

/* Chooses the newest backup unless one is named. */
static enum err
choose_id(struct backup_command *a, char to[BACKUP_ID_BYTES], struct why *why)
{
    struct buf ids;
    if (a->id != NULL) {
        snprintf(to, BACKUP_ID_BYTES, "%s", a->id);
        return OK;
    }
    enum err e = read_ids(a, &ids, why);
    size_t count = id_count(&ids);
    if (e == OK && count == 0) e = why_set(why, ERR_MISSING, "%s has no backups", a->dir);
    if (e == OK) snprintf(to, BACKUP_ID_BYTES, "%s", id_at(&ids, count - 1));
    buf_fini(&ids);
    return e;
}

static enum err
run_restore_files(struct backup_command *a, struct why *why)
{
    char id[BACKUP_ID_BYTES];
    struct backup_report done;
    char dir[REAL_PATH_BYTES], to[REAL_PATH_BYTES];
    if (real_path(a->dir, dir) == OK && real_path(a->to, to) == OK && real_path_is_within(to, dir))
        return why_set(why, ERR_INPUT, "%s is in the directory of backups: choose another", a->to);
    enum err e = open_repository(a, BACKUP_READ, why);
    if (e == OK) e = choose_id(a, id, why);
    if (e == OK) e = backup_restore(&a->repository, id, a->to, (uint32_t)a->threads, &done, why);
    if (e == OK) e = begin_report(a, why);
    if (e) return e;
    report_field(a->report, "id", "backup", value_text(id));
    report_field(a->report, "files", "files", value_count(done.files));
    report_field(a->report, "bytes", "size", value_size(done.bytes));
    return report_end(a->report, why);
}

/* --- commands --------------------------------------------------------------------------------- */

static enum err
check_numbers(struct backup_command *a, struct why *why)
{
    if (a->threads == 0) a->threads = BACKUP_THREADS;
    if (a->threads > BACKUP_THREADS_MAX)
        return why_set(why, ERR_INPUT, "--concurrency must be at most %d", BACKUP_THREADS_MAX);
    return a->rate_mib > UINT64_MAX / MIB / 1024 ? why_set(why, ERR_INPUT, "--rate is too high")
                                                 : OK;
}

/* Refuses flags that the verb does not use. */
static enum err
check_verb(const struct backup_command *a, enum backup_verb verb, struct why *why)
{
    const struct kept_policy *k = &a->keep;
    bool keeps = k->newest || k->daily || k->weekly || k->monthly;
    bool source = a->url != NULL || a->http_config_file != NULL || a->storage != NULL ||
                  a->create || a->with_bucket;
    if (verb != VERB_STORE && source) {
        return why_set(why, ERR_INPUT,
                       "--url, --http.config.file, --storage.path, --create and --with-bucket are "
                       "not valid with %s",
                       verbs[verb]);
    }
    if (verb != VERB_VERIFY && a->id != NULL)
        return why_set(why, ERR_INPUT, "--id is only valid with verify, and for firekeep restore");
    if (verb != VERB_PRUNE && (keeps || a->dry_run))
        return why_set(why, ERR_INPUT, "--keep... and --dry-run are only valid with prune");
    if (verb == VERB_PRUNE && !keeps) {
        return why_set(why, ERR_INPUT,
                       "prune requires --keep, --keep-daily, --keep-weekly or "
                       "--keep-monthly");
    }
    if (a->form >= 0 && verb != VERB_STORE && verb != VERB_LIST)
        return why_set(why, ERR_INPUT, "--format is not valid with %s", verbs[verb]);
    return OK;
}

static int
finish(struct backup_command *a, const char *command, enum err e, const struct why *why)
{
    report_free(a->report);
    backup_close(&a->repository);
    place_needs_fini(&a->needs);
    progress_clear(&a->progress);
    if (e) return cli_failed(command, e, why);
    return a->wrong > 0 ? EXIT_FAILED : EXIT_DONE;
}

static int
run_backup(int argc, char **argv)
{
    static enum err (*const runs[VERB_COUNT])(struct backup_command * a, struct why * why) = {
        run_store, run_list, run_verify, run_prune};
    struct backup_command a = {.form = -1};
    struct why why = {""};
    enum backup_verb verb = VERB_STORE;
    int count = 0;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    budget_init(&a.memory, "backup", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(flags, &a, argc - 1, argv + 1, &count, &why);
    for (enum backup_verb v = VERB_LIST; e == OK && count > 0 && v < VERB_COUNT; v++)
        if (strcmp(argv[1], verbs[v]) == 0) verb = v;
    bool has_dir = count == (verb == VERB_STORE ? 1 : 2) && argv[count][0] != '\0';
    if (e == OK && !has_dir) e = why_set(&why, ERR_INPUT, "expected one DIR");
    if (e == OK) e = check_numbers(&a, &why);
    if (e == OK) e = check_verb(&a, verb, &why);
    bool of_server = verb == VERB_STORE && (a.url != NULL || a.storage == NULL);
    if (e == OK && a.with_bucket && !of_server)
        e = why_set(&why, ERR_INPUT, "--with-bucket requires --url, and a running server");
    if (e == OK && of_server) e = target_settle_url(&a.url, &why);
    if (e) return cli_usage_error("backup", "%s", why.text);
    a.dir = argv[count];
    e = runs[verb](&a, &why);
    return finish(&a, "backup", e, &why);
}

static int
run_restore(int argc, char **argv)
{
    struct backup_command a = {.form = -1};
    struct why why = {""};
    int count = 0;
    log_configure(LOG_ERROR, LOG_LOGFMT);
    budget_init(&a.memory, "restore", MEMORY_BYTES_MAX, NULL);
    enum err e = flags_parse(restore_flags, &a, argc - 1, argv + 1, &count, &why);
    bool has_both = count == 2 && argv[1][0] != '\0' && argv[2][0] != '\0';
    if (e == OK && !has_both) e = why_set(&why, ERR_INPUT, "expected DIR and TO");
    if (e == OK) e = check_numbers(&a, &why);
    if (e) return cli_usage_error("restore", "%s", why.text);
    a.dir = argv[1];
    a.to = argv[2];
    e = run_restore_files(&a, &why);
    return finish(&a, "restore", e, &why);
}

const struct command command_backup = {"backup",
                                       "[list|verify|prune] [flags] DIR",
                                       "back up a storage directory, incrementally",
                                       run_backup,
                                       flags,
                                       notes};

const struct command command_restore = {
    "restore",   "[flags] DIR TO", "restore a backup into a new storage directory",
    run_restore, restore_flags,    restore_notes};
