/*
 * checkpoint.c - see checkpoint.h. Format: docs/format/rules_state.md.
 *
 * A record belongs to the last one of the kind above it, so that a writer need not know how many
 * follow. The reader skips no record: another kind is another version.
 *
 * record_fields() describes a record once, for both directions. checkpoint_open() checks all
 * records, then returns to the first one.
 *
 * Invariants, which the writer asserts and the reader verifies:
 *  1. A record is at most one kind below the record before it.
 *  2. Tenants rise by name, groups of a tenant by file and name, labels and annotations by name.
 *  3. A tenant's name has a size that names of tenants have; an interval is above 0.
 *  4. Texts and numbers of labels are not larger than rules allow.
 */
#include "rules/schedule/checkpoint.h"

#include <assert.h>

#include "base/fields.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "model/tenant_name.h"
#include "rules/rules.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};
static const char PATH[] = STORAGE_RULES "/state", ASIDE[] = STORAGE_RULES "/state.unreadable";

enum { VERSION = 2 };
_Static_assert(CHECKPOINT_ALERT == 4, "docs/format/rules_state.md: kinds are 1 to 4");
_Static_assert(CHECKPOINT_LABELS_MAX == 2 * RULE_TEXTS_MAX, "labels of a rule and its group");

/* --- records ---------------------------------------------------------------------------------- */

/* The writer asserts it, the reader verifies it. */
#define REQUIRE(f, condition)                   \
    do {                                        \
        if ((f)->to != NULL) assert(condition); \
        fields_check(f, condition);             \
    } while (0)

static void
head_fields(const struct fields *f, struct checkpoint_head *head)
{
    field_fixed(f, head->log_id, sizeof head->log_id);
    field_zigzag(f, &head->written_ns);
    field_zigzag(f, &head->latest_ns);
}

static void
text_field(const struct fields *f, struct bytes *text)
{
    field_counted(f, text);
    REQUIRE(f, text->size <= RULE_FILE_BYTES_MAX); /* invariant 4 */
}

/* The reader puts labels into `room`, for CHECKPOINT_LABELS_MAX of them. */
static void
labels_fields(const struct fields *f, const struct label **labels, uint32_t *count,
              struct label *room)
{
    struct bytes last = {NULL, 0};
    field_u32(f, count);
    REQUIRE(f, *count <= CHECKPOINT_LABELS_MAX); /* invariant 4 */
    for (uint32_t i = 0; i < *count && fields_are_good(f); i++) {
        struct label label = {{NULL, 0}, {NULL, 0}};
        if (f->to != NULL) label = (*labels)[i];
        text_field(f, &label.name);
        text_field(f, &label.value);
        REQUIRE(f, bytes_compare(last, label.name) < 0); /* invariant 2 */
        last = label.name;
        if (f->to == NULL) room[i] = label;
    }
    if (f->to == NULL) *labels = room;
}

static void
alert_fields(const struct fields *f, struct alert *was, struct alert_found *found,
             struct label *room)
{
    uint8_t state = (uint8_t)was->state;
    text_field(f, &found->labels);
    labels_fields(f, &found->annotations, &found->annotation_count, room);
    field_le64(f, &found->value_bits);
    field_u8(f, &state);
    REQUIRE(f, state <= ALERT_FIRING);
    was->state = (enum alert_state)state;
    field_zigzag(f, &was->active_at_ns);
    field_zigzag(f, &was->fired_at_ns);
    field_zigzag(f, &was->resolved_at_ns);
    field_zigzag(f, &was->keep_firing_since_ns);
    field_zigzag(f, &was->sent_at_ns);
    field_zigzag(f, &was->valid_until_ns);
    if (f->to == NULL) fields_check(f, labels_valid(found->labels));
}

static void
record_fields(const struct fields *f, struct checkpoint_place *place, struct checkpoint_record *r,
              struct label *room)
{
    uint8_t kind = (uint8_t)r->kind;
    int order;
    field_u8(f, &kind);
    REQUIRE(f, kind >= CHECKPOINT_TENANT && kind <= CHECKPOINT_ALERT);
    REQUIRE(f, kind <= place->kind + 1); /* invariant 1 */
    if (!fields_are_good(f)) return;
    r->kind = (enum checkpoint_kind)kind;
    switch (r->kind) {
    case CHECKPOINT_TENANT:
        field_counted(f, &r->tenant.name);
        field_zigzag(f, &r->tenant.sender_ms);
        order = bytes_compare(place->tenant, r->tenant.name);
        REQUIRE(f, tenant_name_fits(r->tenant.name)); /* invariant 3 */
        REQUIRE(f, place->kind == 0 || order < 0);    /* invariant 2 */
        *place = (struct checkpoint_place){.version = place->version, .tenant = r->tenant.name};
        break;
    case CHECKPOINT_GROUP:
        text_field(f, &r->group.file);
        text_field(f, &r->group.name);
        field_zigzag(f, &r->group.interval_ns);
        field_zigzag(f, &r->group.next_ns);
        field_zigzag(f, &r->group.retired_ns);
        field_zigzag(f, &r->group.evaluated_at_ns);
        if (place->version >= 2) field_zigzag(f, &r->group.recorded_at_ns);
        order = bytes_compare(place->file, r->group.file);
        if (order == 0) order = bytes_compare(place->name, r->group.name);
        REQUIRE(f, r->group.interval_ns > 0);                      /* invariant 3 */
        REQUIRE(f, place->kind == CHECKPOINT_TENANT || order < 0); /* invariant 2 */
        place->file = r->group.file;
        place->name = r->group.name;
        break;
    case CHECKPOINT_RULE:
        text_field(f, &r->rule.name);
        labels_fields(f, &r->rule.labels, &r->rule.label_count, room);
        field_u32(f, &r->rule.nth);
        break;
    case CHECKPOINT_ALERT:
        alert_fields(f, &r->alert.was, &r->alert.found, room);
        break;
    }
    place->kind = kind;
}

/* --- writing ---------------------------------------------------------------------------------- */

void
checkpoint_begin(struct checkpoint_writer *w, const struct checkpoint_head *head, struct buf *to)
{
    const struct fields f = {.to = to};
    struct checkpoint_head copy = *head;
    assert(to->size == 0);
    assert(to->limit <= CHECKPOINT_BYTES_MAX);
    *w = (struct checkpoint_writer){.to = to, .place.version = VERSION};
    framed_begin(to);
    head_fields(&f, &copy);
}

void
checkpoint_put(struct checkpoint_writer *w, const struct checkpoint_record *record)
{
    const struct fields f = {.to = w->to};
    struct checkpoint_record copy = *record;
    record_fields(&f, &w->place, &copy, NULL);
}

enum err
checkpoint_end(struct checkpoint_writer *w, struct why *why)
{
    enum err e = buf_error(w->to);
    if (e == ERR_LIMIT) {
        return why_set(why, e,
                       "the state of rules is too large: it has at most %zu bytes; reduce the "
                       "number of alerts",
                       w->to->limit);
    }
    if (e) return why_set(why, e, "not enough memory for the state of rules");
    framed_end(w->to, MAGIC, VERSION);
    return OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

bool
checkpoint_next(struct checkpoint_reader *r, struct checkpoint_record *ret)
{
    const struct fields f = {.from = &r->from};
    if (!fields_follow(&f)) return false;
    *ret = (struct checkpoint_record){.kind = 0};
    record_fields(&f, &r->place, ret, r->labels);
    if (r->is_checked) assert(!r->from.bad);
    return !r->from.bad;
}

enum err
checkpoint_open(struct checkpoint_reader *r, struct bytes file, struct why *why)
{
    const struct fields f = {.from = &r->from};
    struct checkpoint_record record;
    struct bytes piece;
    memset(r, 0, sizeof *r);
    enum err e = framed_open(file, MAGIC, VERSION, &piece, why);
    if (e) return e;
    r->from = cursor_of(piece);
    r->place.version = load_le32(file.at + 8);
    head_fields(&f, &r->head);
    const struct cursor first = r->from;
    while (checkpoint_next(r, &record))
        r->counts[record.kind]++;
    if (r->from.bad)
        return why_set(why, ERR_CORRUPT, "the file is damaged: its content is inconsistent");
    r->from = first;
    r->place = (struct checkpoint_place){.version = r->place.version};
    r->is_checked = true;
    return OK;
}

/* --- files ------------------------------------------------------------------------------------ */

enum err
checkpoint_read(struct env *env, const char *storage_path, struct budget *memory,
                struct checkpoint_reader *r, struct why *why)
{
    char path[FILE_PATH_BYTES];
    struct buf file;
    memset(r, 0, sizeof *r);
    enum err e = path_in(path, sizeof path, storage_path, PATH, why);
    if (e) return e;
    buf_init(&file, memory, CHECKPOINT_BYTES_MAX);
    e = env_read_whole(env, path, &file, why);
    if (e == ERR_LIMIT && buf_error(&file)) {
        e = why_set(why, ERR_CORRUPT, "%s: the file is damaged: it is larger than %d MiB", path,
                    CHECKPOINT_BYTES_MAX >> 20);
    } else if (e == OK) {
        e = checkpoint_open(r, buf_bytes(&file), why);
        if (e) why_prefix(why, e, "%s", path);
    }
    if (e)
        buf_fini(&file);
    else
        r->file = file;
    return e;
}

void
checkpoint_fini(struct checkpoint_reader *r)
{
    buf_fini(&r->file);
}

enum err
checkpoint_replace(struct env *env, const char *storage_path, struct bytes encoded, struct why *why)
{
    char dir[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct file_facts facts;
    enum err e = path_in(path, sizeof path, storage_path, PATH, why);
    if (e == OK) e = path_in(dir, sizeof dir, storage_path, STORAGE_RULES, why);
    if (e) return e;
    /* A directory that has the file is durable. One without it may be the result of an attempt
     * whose sync failed: later syncs prove nothing about it unless it is created again. */
    if (env_facts(env, path, &facts, NULL) == ERR_MISSING) {
        err_ignore(env_rmdir(env, dir, NULL), "one that has other files is durable");
        e = env_mkdir(env, dir, why);
        if (e == OK) e = env_syncdir(env, storage_path, why);
    }
    return e ? e : env_write_whole(env, dir, "state", encoded, why);
}

enum err
checkpoint_put_aside(struct env *env, const char *storage_path, struct why *why)
{
    char path[FILE_PATH_BYTES], aside[FILE_PATH_BYTES];
    struct file_facts facts;
    enum err e = path_in(path, sizeof path, storage_path, PATH, why);
    if (e == OK) e = path_in(aside, sizeof aside, storage_path, ASIDE, why);
    if (e) return e;
    e = env_rename(env, path, aside, why);
    if (e == OK || e == ERR_MISSING) return OK;
    if (env_facts(env, aside, &facts, NULL) != OK || facts.kind != FILE_KIND_DIR) return e;
    return why_set(why, e, "cannot put %.250s aside: %.250s is a directory, rename or remove it",
                   path, aside);
}
