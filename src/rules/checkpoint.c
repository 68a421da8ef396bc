/*
 * checkpoint.c - see checkpoint.h. Format: docs/format/rules_state.md.
 *
 * The file is a sequence of records: tenants, their groups, their rules, their alerts. A record
 * belongs to the last one of the kind above it, so that a writer needs not know how many follow. No
 * record is skipped by a reader: another kind is another version.
 *
 * The reader goes over the file twice: first it checks and counts, then, with memory for exactly
 * that, it fills.
 *
 * Invariants, which the writer asserts and the reader verifies:
 *  1. A record is at most one kind below the record before it.
 *  2. Tenants rise by name, groups of a tenant by file and name, labels and annotations by name.
 *  3. A tenant's name has a size that names of tenants have; an interval is above 0.
 *  4. Texts and numbers of labels are not larger than rules allow.
 */
#include "rules/checkpoint.h"

#include <assert.h>
#include <stdio.h>

#include "base/fields.h"
#include "base/framed.h"
#include "model/labels.h"
#include "model/tenant_name.h"
#include "rules/rules.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'R', 'S', 'T', 'A', 'T', 'E'};
static const char DIR_NAME[] = "rules", NAME[] = "state", ASIDE[] = "state.unreadable";

/* Numbers of the format. */
enum record { RECORD_TENANT = 1, RECORD_GROUP, RECORD_RULE, RECORD_ALERT };

enum {
    VERSION = 1,
    TEXT_BYTES_MAX = RULE_FILE_BYTES_MAX,
    LABELS_MAX = 2 * RULE_TEXTS_MAX, /* of a rule and its group */
};

/* --- records ---------------------------------------------------------------------------------- */

/* The writer asserts it, the reader verifies it. */
#define REQUIRE(f, condition)                   \
    do {                                        \
        if ((f)->to != NULL) assert(condition); \
        fields_check(f, condition);             \
    } while (0)

static void
text_field(const struct fields *f, struct bytes *text)
{
    field_counted(f, text);
    REQUIRE(f, text->size <= TEXT_BYTES_MAX); /* invariant 4 */
}

/* The reader puts labels into `room`; NULL: it only checks them. */
static void
labels_fields(const struct fields *f, const struct label **labels, uint32_t *count,
              struct label *room)
{
    struct bytes last = {NULL, 0};
    field_u32(f, count);
    REQUIRE(f, *count <= LABELS_MAX); /* invariant 4 */
    for (uint32_t i = 0; i < *count && fields_are_good(f); i++) {
        struct label label = {{NULL, 0}, {NULL, 0}};
        if (f->to != NULL) label = (*labels)[i];
        text_field(f, &label.name);
        text_field(f, &label.value);
        REQUIRE(f, bytes_compare(last, label.name) < 0); /* invariant 2 */
        last = label.name;
        if (room != NULL) room[i] = label;
    }
    if (f->to == NULL) *labels = room;
}

static void
head_fields(const struct fields *f, struct checkpoint_head *head)
{
    field_fixed(f, head->log_id, sizeof head->log_id);
    field_zigzag(f, &head->written_ns);
    field_zigzag(f, &head->latest_ns);
}

static void
kind_field(const struct fields *f, struct checkpoint_place *place, uint8_t *kind)
{
    field_u8(f, kind);
    REQUIRE(f, *kind >= RECORD_TENANT && *kind <= RECORD_ALERT);
    REQUIRE(f, *kind <= place->depth + 1); /* invariant 1 */
}

static void
tenant_fields(const struct fields *f, struct checkpoint_place *place,
              struct checkpoint_tenant *tenant)
{
    bool is_first = place->depth == 0;
    field_counted(f, &tenant->name);
    field_zigzag(f, &tenant->sender_ms);
    REQUIRE(f, tenant_name_fits(tenant->name));                             /* invariant 3 */
    REQUIRE(f, is_first || bytes_compare(place->tenant, tenant->name) < 0); /* invariant 2 */
    *place = (struct checkpoint_place){.depth = RECORD_TENANT, .tenant = tenant->name};
}

static void
group_fields(const struct fields *f, struct checkpoint_place *place, struct checkpoint_group *group)
{
    bool is_first = place->depth == RECORD_TENANT;
    text_field(f, &group->file);
    text_field(f, &group->name);
    field_zigzag(f, &group->interval_ns);
    field_zigzag(f, &group->next_ns);
    field_zigzag(f, &group->retired_ns);
    field_zigzag(f, &group->evaluated_at_ns);
    REQUIRE(f, group->interval_ns > 0); /* invariant 3 */
    int order = bytes_compare(place->file, group->file);
    if (order == 0) order = bytes_compare(place->name, group->name);
    REQUIRE(f, is_first || order < 0); /* invariant 2 */
    place->depth = RECORD_GROUP;
    place->file = group->file;
    place->name = group->name;
}

static void
rule_fields(const struct fields *f, struct checkpoint_place *place, struct checkpoint_rule *rule,
            struct label *room)
{
    text_field(f, &rule->name);
    labels_fields(f, &rule->labels, &rule->label_count, room);
    field_u32(f, &rule->nth);
    place->depth = RECORD_RULE;
}

static void
alert_fields(const struct fields *f, struct checkpoint_place *place, struct checkpoint_alert *alert,
             struct label *room)
{
    uint8_t state = (uint8_t)alert->state;
    text_field(f, &alert->found.labels);
    labels_fields(f, &alert->found.annotations, &alert->found.annotation_count, room);
    field_le64(f, &alert->found.value_bits);
    field_u8(f, &state);
    REQUIRE(f, state <= ALERT_FIRING);
    alert->state = (enum alert_state)state;
    field_zigzag(f, &alert->active_at_ns);
    field_zigzag(f, &alert->fired_at_ns);
    field_zigzag(f, &alert->resolved_at_ns);
    field_zigzag(f, &alert->keep_firing_since_ns);
    field_zigzag(f, &alert->sent_at_ns);
    field_zigzag(f, &alert->valid_until_ns);
    place->depth = RECORD_ALERT;
}

/* --- writing ---------------------------------------------------------------------------------- */

void
checkpoint_begin(struct checkpoint_writer *w, const struct checkpoint_head *head, struct buf *to)
{
    const struct fields f = {.to = to};
    struct checkpoint_head copy = *head;
    assert(to->size == 0);
    assert(to->limit <= CHECKPOINT_BYTES_MAX);
    *w = (struct checkpoint_writer){.to = to};
    framed_begin(to);
    head_fields(&f, &copy);
}

static struct fields
begin_record(struct checkpoint_writer *w, enum record kind)
{
    const struct fields f = {.to = w->to};
    uint8_t byte = (uint8_t)kind;
    kind_field(&f, &w->place, &byte);
    return f;
}

void
checkpoint_put_tenant(struct checkpoint_writer *w, const struct checkpoint_tenant *tenant)
{
    const struct fields f = begin_record(w, RECORD_TENANT);
    struct checkpoint_tenant copy = *tenant;
    tenant_fields(&f, &w->place, &copy);
}

void
checkpoint_put_group(struct checkpoint_writer *w, const struct checkpoint_group *group)
{
    const struct fields f = begin_record(w, RECORD_GROUP);
    struct checkpoint_group copy = *group;
    group_fields(&f, &w->place, &copy);
}

void
checkpoint_put_rule(struct checkpoint_writer *w, const struct checkpoint_rule *rule)
{
    const struct fields f = begin_record(w, RECORD_RULE);
    struct checkpoint_rule copy = *rule;
    rule_fields(&f, &w->place, &copy, NULL);
}

void
checkpoint_put_alert(struct checkpoint_writer *w, const struct checkpoint_alert *alert)
{
    const struct fields f = begin_record(w, RECORD_ALERT);
    struct checkpoint_alert copy = *alert;
    alert_fields(&f, &w->place, &copy, NULL);
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

struct reading {
    struct cursor c;
    struct fields f;
    struct checkpoint_place place;
    struct checkpoint *to; /* its numbers rise as records are passed */
    /* All of a kind. NULL: they are only counted. */
    struct checkpoint_group *groups;
    struct checkpoint_rule *rules;
    struct checkpoint_alert *alerts;
    struct label *labels;
};

static struct label *
label_room(const struct reading *r)
{
    return r->labels == NULL ? NULL : &r->labels[r->to->label_count];
}

static void
read_tenant(struct reading *r)
{
    struct checkpoint_tenant tenant = {.groups = NULL};
    tenant_fields(&r->f, &r->place, &tenant);
    if (r->groups != NULL) {
        tenant.groups = &r->groups[r->to->group_count];
        r->to->tenants[r->to->tenant_count] = tenant;
    }
    r->to->tenant_count++;
}

static void
read_group(struct reading *r)
{
    struct checkpoint_group group = {.rules = NULL};
    group_fields(&r->f, &r->place, &group);
    if (r->groups != NULL) {
        group.rules = &r->rules[r->to->rule_count];
        r->groups[r->to->group_count] = group;
        r->to->tenants[r->to->tenant_count - 1].group_count++;
    }
    r->to->group_count++;
}

static void
read_rule(struct reading *r)
{
    struct checkpoint_rule rule = {.alerts = NULL};
    rule_fields(&r->f, &r->place, &rule, label_room(r));
    if (r->groups != NULL) {
        rule.alerts = &r->alerts[r->to->alert_count];
        r->rules[r->to->rule_count] = rule;
        r->groups[r->to->group_count - 1].rule_count++;
    }
    r->to->rule_count++;
    r->to->label_count += rule.label_count;
}

static void
read_alert(struct reading *r)
{
    struct checkpoint_alert alert = {.state = ALERT_INACTIVE};
    alert_fields(&r->f, &r->place, &alert, label_room(r));
    fields_check(&r->f, labels_valid(alert.found.labels));
    if (r->groups != NULL) {
        r->alerts[r->to->alert_count] = alert;
        r->rules[r->to->rule_count - 1].alert_count++;
    }
    r->to->alert_count++;
    r->to->label_count += alert.found.annotation_count;
}

/* Each record takes some bytes, so their numbers are below the size of the file. */
static void
read_piece(struct reading *r, struct bytes piece)
{
    static void (*const readers[])(struct reading *) = {
        [RECORD_TENANT] = read_tenant,
        [RECORD_GROUP] = read_group,
        [RECORD_RULE] = read_rule,
        [RECORD_ALERT] = read_alert,
    };
    struct checkpoint *to = r->to;
    uint8_t kind = 0;
    r->c = cursor_of(piece);
    r->f = (struct fields){.from = &r->c};
    r->place = (struct checkpoint_place){0};
    to->tenant_count = to->group_count = to->rule_count = to->alert_count = to->label_count = 0;
    head_fields(&r->f, &to->head);
    while (fields_follow(&r->f)) {
        kind_field(&r->f, &r->place, &kind);
        if (!r->c.bad) readers[kind](r);
    }
}

/* Takes room for one more of each, so that no array is NULL. */
static bool
take_memory(struct reading *r)
{
    struct checkpoint *to = r->to;
    to->tenants = arena_alloc(&to->arena, (to->tenant_count + 1) * sizeof *to->tenants);
    r->groups = arena_alloc(&to->arena, (to->group_count + 1) * sizeof *r->groups);
    r->rules = arena_alloc(&to->arena, (to->rule_count + 1) * sizeof *r->rules);
    r->alerts = arena_alloc(&to->arena, (to->alert_count + 1) * sizeof *r->alerts);
    r->labels = arena_alloc(&to->arena, (to->label_count + 1) * sizeof *r->labels);
    return to->tenants != NULL && r->groups != NULL && r->rules != NULL && r->alerts != NULL &&
           r->labels != NULL;
}

enum err
checkpoint_decode(struct bytes file, struct budget *memory, struct checkpoint *ret, struct why *why)
{
    struct checkpoint found = {.tenants = NULL};
    struct reading r = {.to = &found};
    struct bytes piece;
    enum err e = framed_open(file, MAGIC, VERSION, &piece, why);
    if (e) return e;
    read_piece(&r, piece);
    if (r.c.bad) {
        return why_set(why, ERR_CORRUPT, "the file is damaged: its content is inconsistent");
    }
    arena_init(&found.arena, memory, 0, 0);
    if (!take_memory(&r)) {
        arena_fini(&found.arena);
        return why_set(why, ERR_NOMEM, "not enough memory for the state of rules");
    }
    read_piece(&r, piece);
    assert(!r.c.bad);
    *ret = found;
    return OK;
}

void
checkpoint_fini(struct checkpoint *c)
{
    arena_fini(&c->arena);
    buf_fini(&c->file);
}

/* --- files ------------------------------------------------------------------------------------ */

static enum err
path_of(char dir[FILE_PATH_BYTES], char path[FILE_PATH_BYTES], const char *storage_path,
        const char *name, struct why *why)
{
    enum err e = path_in(dir, FILE_PATH_BYTES, storage_path, DIR_NAME, why);
    return e ? e : path_in(path, FILE_PATH_BYTES, dir, name, why);
}

enum err
checkpoint_read(struct env *env, const char *storage_path, struct budget *memory,
                struct checkpoint *ret, struct why *why)
{
    char dir[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct buf file;
    enum err e = path_of(dir, path, storage_path, NAME, why);
    if (e) return e;
    buf_init(&file, memory, CHECKPOINT_BYTES_MAX);
    e = env_read_whole(env, path, &file, why);
    if (e == ERR_LIMIT && buf_error(&file)) {
        e = why_set(why, ERR_CORRUPT, "%s: the file is damaged: it is larger than %d MiB", path,
                    CHECKPOINT_BYTES_MAX >> 20);
    } else if (e == OK) {
        e = checkpoint_decode(buf_bytes(&file), memory, ret, why);
        if (e) why_prefix(why, e, "%s", path);
    }
    if (e)
        buf_fini(&file);
    else
        ret->file = file;
    return e;
}

/* A directory that has the file is durable. One without it may be left of an attempt whose sync
 * failed: later syncs say nothing about it unless it is made once more. */
static enum err
make_dir(struct env *env, const char *storage_path, const char *dir, const char *path,
         struct why *why)
{
    struct file_facts facts;
    if (env_facts(env, path, &facts, NULL) != ERR_MISSING) return OK;
    err_ignore(env_rmdir(env, dir, NULL), "one that has other files is durable");
    enum err e = env_mkdir(env, dir, why);
    return e ? e : env_syncdir(env, storage_path, why);
}

enum err
checkpoint_replace(struct env *env, const char *storage_path, struct bytes encoded, struct why *why)
{
    char dir[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    enum err e = path_of(dir, path, storage_path, NAME, why);
    if (e == OK) e = make_dir(env, storage_path, dir, path, why);
    return e ? e : env_write_whole(env, dir, NAME, encoded, why);
}

enum err
checkpoint_put_aside(struct env *env, const char *storage_path, struct why *why)
{
    char dir[FILE_PATH_BYTES], path[FILE_PATH_BYTES], aside[FILE_PATH_BYTES];
    enum err e = path_of(dir, path, storage_path, NAME, why);
    if (e == OK) e = path_of(dir, aside, storage_path, ASIDE, why);
    if (e == OK) e = env_rename(env, path, aside, why);
    return e == ERR_MISSING ? OK : e;
}
