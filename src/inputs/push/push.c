/*
 * push.c - see push.h.
 *
 *     push    text -> families -> with those of the group that stay -> the group's file
 *                              -> samples, and markers for series that went -> request
 *
 * Invariants, under the lock:
 * 1. A file has one group, whose labels are the namespace of all its texts.
 * 2. A request of a push has the samples of the families that were pushed, those of the push
 *    itself, and a marker for each series of a family that was replaced or removed.
 * 3. A series whose marker may not be stored yet is in one of the file's texts of removed series,
 *    whose names begin with a line feed, as none of a family does; and in no family.
 */
#include "inputs/push/push.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/text/base64.h"
#include "base/text/hex.h"
#include "model/labels.h"
#include "model/storage_layout.h"
#include "model/tenant_name.h"
#include "rules/group/kept_series.h"
#include "rules/stored/stored_file.h"
#include "wire/remote/remote_write_fill.h"

enum {
    FAMILY_BYTES_MAX = 8 << 20,
    GROUP_BYTES_MAX = STORED_FILE_BYTES_MAX / 2, /* removed series take twice that at most */
    GROUP_LABELS_MAX = 32,
    GROUP_ID_BYTES = TENANT_NAME_BYTES_MAX + 1,
    HASH_DIGITS = 16,
};
#define TIME_FAMILY    "push_time_seconds"
#define FAILURE_FAMILY "push_failure_time_seconds"

struct push_store {
    struct env *env;
    struct budget *memory;
    char dir[FILE_PATH_BYTES];
    struct lock lock; /* LOCK_RANK_PUSH; held while a group's file is read and written */
};

struct push_family {
    struct bytes name, text;
    uint32_t order; /* of pieces of one name */
};

struct push_families {
    struct push_family *items;
    uint32_t count;
};

/* A change of a group. */
struct pushing {
    struct push_store *store;
    struct arena arena;
    struct rw_request *to;
    uint64_t seed;
    struct text_input input;
    struct input_outcome *outcome;
    struct buf key, labels, file, scratch;
    char id[GROUP_ID_BYTES];
    struct push_families old, new, whole;
    struct kept_series seen;     /* that were pushed or removed */
    bool has_removed, is_marked; /* the removed series that are read were marked before */
    struct why *why;
};

enum err
push_store_new(struct env *env, const char *dir, struct budget *memory, struct push_store **ret,
               struct why *why)
{
    struct push_store *store = mem_new(memory, sizeof *store);
    if (store == NULL) return why_set(why, ERR_NOMEM, "not enough memory for pushed metrics");
    store->env = env;
    store->memory = memory;
    lock_init(&store->lock, LOCK_RANK_PUSH);
    int size = snprintf(store->dir, sizeof store->dir, "%s", dir);
    *ret = store;
    if (size < (int)sizeof store->dir) return OK;
    push_store_free(store);
    return why_set(why, ERR_LIMIT, "%s: path is too long", dir);
}

void
push_store_free(struct push_store *store)
{
    if (store == NULL) return;
    lock_fini(&store->lock);
    mem_free(store->memory, store, sizeof *store);
}

static enum err
push_no_memory(struct pushing *p)
{
    return why_set(p->why, ERR_NOMEM, "not enough memory for pushed metrics");
}

/* --- the labels of a group -------------------------------------------------------------------- */

/* Decodes a part of the path into the arena. `at` is NULL without memory, or if it is malformed. */
static struct bytes
part_of(struct pushing *p, struct bytes part, bool is_escaped, bool is_base64)
{
    struct buf text, bytes;
    struct bytes ret = {NULL, 0};
    uint8_t one;
    buf_init(&text, p->store->memory, 1 << 16);
    buf_init(&bytes, p->store->memory, 1 << 16);
    for (size_t i = 0; i < part.size;) {
        size_t step = is_escaped ? percent_step(part.at + i, part.size - i, &one) : 1;
        if (!is_escaped) one = part.at[i];
        if (is_base64 && one == '-') one = '+'; /* the alphabet of URLs */
        if (is_base64 && one == '_') one = '/';
        if (!is_base64 || one != '=') buf_put_u8(&text, one);
        i += step;
    }
    for (size_t i = text.size; is_base64 && i % 4 != 0; i++)
        buf_put_u8(&text, '=');
    bool is_read = !is_base64 || base64_get(buf_bytes(&text), &bytes) == OK;
    if (is_read && !buf_error(&text) && !buf_error(&bytes)) {
        struct bytes whole = buf_bytes(is_base64 ? &bytes : &text);
        ret = whole.size == 0 ? bytes_of_text("") : arena_copy(&p->arena, whole);
    }
    buf_fini(&bytes);
    buf_fini(&text);
    return ret;
}

/* Reads the path into labels. */
static enum err
read_group_path(struct pushing *p, const struct push *push, struct label *labels, uint32_t *count)
{
    static const char base64[] = "@base64";
    const char *at = push->path;
    while (*at != '\0') {
        size_t size = strcspn(at, "/");
        struct bytes name = bytes_of(at, size);
        bool has_value = at[size] == '/';
        at += size + has_value;
        size = strcspn(at, "/");
        struct bytes value = bytes_of(at, size);
        at += size + (at[size] != '\0');
        size_t suffix = sizeof base64 - 1;
        bool is_base64 =
            name.size > suffix && memcmp(name.at + name.size - suffix, base64, suffix) == 0;
        if (is_base64) name.size -= suffix;
        name = part_of(p, name, push->is_escaped, false);
        value = part_of(p, value, push->is_escaped, is_base64);
        if (name.at == NULL || name.size == 0 || value.at == NULL || !has_value)
            return why_set(p->why, ERR_INPUT, "invalid label in the path of the group");
        if (*count == 0 && value.size == 0)
            return why_set(p->why, ERR_INPUT, "job name is required");
        if (bytes_equal_text(name, "__name__") || *count == GROUP_LABELS_MAX)
            return why_set(p->why, ERR_INPUT,
                           "a group has at most %d labels, and __name__ is none of them",
                           GROUP_LABELS_MAX);
        labels[(*count)++] = (struct label){name, value};
    }
    return OK;
}

/* Makes the key of a group, which is the text of its labels, and the name of its file. */
static enum err
make_key(struct pushing *p, const struct push *push)
{
    struct label labels[GROUP_LABELS_MAX + RW_OVERWRITE_MAX], label;
    uint32_t count = 0, sent;
    enum err e = read_group_path(p, push, labels, &count);
    if (e) return e;
    struct cursor c = cursor_of(push->write_labels);
    sent = count;
    while (labels_next(&c, &label)) {
        for (uint32_t i = 0; i < sent; i++)
            if (bytes_equal(labels[i].name, label.name)) labels[i].value = bytes_of_text("");
        if (count < GROUP_LABELS_MAX + RW_OVERWRITE_MAX) labels[count++] = label;
    }
    if (!input_sort_labels(labels, &count))
        return why_set(p->why, ERR_INPUT, "a label of the group is there twice");
    for (uint32_t i = 0; i < count; i++) {
        buf_put_text(&p->key, i == 0 ? "{" : ",");
        text_put_escaped(&p->key, labels[i].name);
        buf_put_u8(&p->key, '=');
        text_put_escaped(&p->key, labels[i].value);
        labels_put(&p->labels, labels[i]);
    }
    buf_put_u8(&p->key, '}');
    if (buf_error(&p->key) || buf_error(&p->labels)) return push_no_memory(p);
    e = stored_name_check(buf_bytes(&p->key), "group's labels", p->why);
    if (e) return e;
    int size = snprintf(p->id, sizeof p->id, "%.*s-%016" PRIx64, (int)push->tenant.size,
                        (const char *)push->tenant.at, hash_bytes(buf_bytes(&p->key), 0));
    if (size < (int)sizeof p->id) return OK;
    return why_set(p->why, ERR_INPUT, "the name of the tenant is too long for pushed metrics");
}

static enum err
keep_group_labels(void *context, struct text_item *item, struct why *why)
{
    struct buf *labels = context;
    uint32_t count = 0;
    for (uint32_t i = 0; i < item->label_count; i++)
        if (!bytes_equal_text(item->labels[i].name, "__name__"))
            item->labels[count++] = item->labels[i];
    if (!input_sort_labels(item->labels, &count)) return ERR_INPUT;
    for (uint32_t i = 0; i < count; i++)
        labels_put(labels, item->labels[i]);
    (void)why;
    return buf_error(labels);
}

/* Reads the labels of a key. */
static enum err
read_key(struct pushing *p, struct bytes key)
{
    struct input_outcome outcome = {0};
    buf_clear(&p->key);
    buf_clear(&p->labels);
    buf_put_u8(&p->key, 'x');
    buf_put_bytes(&p->key, key);
    buf_put_text(&p->key, " 0");
    if (buf_error(&p->key)) return push_no_memory(p);
    enum err e = text_input_each(&p->input, buf_bytes(&p->key), keep_group_labels, &p->labels,
                                 &outcome, p->why);
    if (e == OK && outcome.refused > 0) e = why_set(p->why, ERR_CORRUPT, "its labels are damaged");
    return e;
}

/* --- families --------------------------------------------------------------------------------- */

static enum err
add_family(struct pushing *p, struct push_families *to, struct bytes name, struct bytes text)
{
    struct push_family *items = arena_push(&p->arena, to->items, to->count, sizeof *items);
    if (items == NULL) return push_no_memory(p);
    to->items = items;
    items[to->count] = (struct push_family){name, text, to->count};
    to->count++;
    return OK;
}

static int
compare_families(const void *a, const void *b)
{
    const struct push_family *x = a, *y = b;
    int order = bytes_compare(x->name, y->name);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

/* Returns the name at the beginning of a text, which may be in quotes, and in a brace. */
static struct bytes
name_at(struct bytes text)
{
    size_t from = 0, end;
    while (from < text.size && (text.at[from] == ' ' || text.at[from] == '{'))
        from++;
    bool is_quoted = from < text.size && text.at[from] == '"';
    from += is_quoted;
    for (end = from; end < text.size; end++) {
        uint8_t c = text.at[end];
        if (is_quoted ? c == '"' : c == '{' || c == ' ' || c == '\t' || c == '\r') break;
        if (is_quoted && c == '\\') end++;
    }
    return bytes_of(text.at + from, (end < text.size ? end : text.size) - from);
}

/* Says whether a sample of that name is a part of a histogram or a summary. */
static bool
is_part_of(struct bytes family, struct bytes name)
{
    if (name.size < family.size || memcmp(name.at, family.at, family.size) != 0) return false;
    struct bytes rest = bytes_of(name.at + family.size, name.size - family.size);
    return bytes_equal_text(rest, "_bucket") || bytes_equal_text(rest, "_sum") ||
           bytes_equal_text(rest, "_count");
}

/* Says whether a comment gives a type of several samples. */
static bool
has_parts(struct bytes line)
{
    const uint8_t *type = memrchr(line.at, ' ', line.size);
    size_t size = type == NULL ? 0 : (size_t)(line.at + line.size - type);
    return line.at[2] == 'T' && ((size >= 10 && memcmp(type, " histogram", 10) == 0) ||
                                 (size >= 8 && memcmp(type, " summary", 8) == 0));
}

/* Joins pieces of families of one name, in the order of their names. */
static enum err
join_families(struct pushing *p, struct push_families *all)
{
    uint32_t kept = 0;
    if (all->count > 1) qsort(all->items, all->count, sizeof *all->items, compare_families);
    for (uint32_t i = 0, end; i < all->count; i = end) {
        struct push_family *f = &all->items[i];
        size_t size = 0;
        for (end = i; end < all->count && bytes_equal(all->items[end].name, f->name); end++)
            size += all->items[end].text.size;
        uint8_t *text = end == i + 1 ? NULL : arena_alloc(&p->arena, size);
        if (end > i + 1 && text == NULL) return push_no_memory(p);
        for (uint32_t k = i, at = 0; text != NULL && k < end; k++) {
            memcpy(text + at, all->items[k].text.at, all->items[k].text.size);
            at += (uint32_t)all->items[k].text.size;
        }
        if (text != NULL) f->text = bytes_of(text, size);
        enum err e = stored_name_check(f->name, "name of a metric", p->why);
        if (e == OK && size > FAMILY_BYTES_MAX)
            e = why_set(p->why, ERR_LIMIT, "a metric is larger than %d MiB",
                        FAMILY_BYTES_MAX >> 20);
        if (e) return e;
        all->items[kept++] = *f;
    }
    all->count = kept;
    return OK;
}

/* Says whether a family is written by the store alone. */
static bool
is_of_store(struct bytes name)
{
    return bytes_equal_text(name, TIME_FAMILY) || bytes_equal_text(name, FAILURE_FAMILY);
}

/* Divides a text, whose lines are valid, into families. Those that only the store writes are left
 * out. */
static enum err
split_families(struct pushing *p, struct bytes text)
{
    struct bytes family = {NULL, 0};
    bool takes_parts = false; /* the family is a histogram or a summary */
    while (text.size > 0) {
        const uint8_t *feed = memchr(text.at, '\n', text.size);
        size_t size = feed == NULL ? text.size : (size_t)(feed + 1 - text.at);
        struct bytes line = bytes_of(text.at, size), name = {NULL, 0};
        text = bytes_of(text.at + size, text.size - size);
        bool is_comment =
            line.size > 7 && line.at[0] == '#' &&
            (memcmp(line.at, "# HELP ", 7) == 0 || memcmp(line.at, "# TYPE ", 7) == 0 ||
             memcmp(line.at, "# UNIT ", 7) == 0);
        if (is_comment)
            name = name_at(bytes_of(line.at + 7, line.size - 7));
        else if (line.at[0] != '#')
            name = name_at(line);
        while (name.size > 0 && name.at[name.size - 1] == '\n')
            name.size--;
        if (name.size == 0) continue;
        if (!is_comment && takes_parts && is_part_of(family, name)) name = family;
        if (is_comment && line.at[2] == 'T')
            takes_parts = has_parts(line);
        else if (!bytes_equal(name, family))
            takes_parts = false;
        family = name;
        if (is_of_store(name)) continue;
        if (feed == NULL) {
            uint8_t *ended = arena_alloc(&p->arena, size + 1);
            if (ended == NULL) return push_no_memory(p);
            memcpy(ended, line.at, size);
            ended[size] = '\n';
            line = bytes_of(ended, size + 1);
        }
        enum err e = add_family(p, &p->new, name, line);
        if (e) return e;
    }
    return join_families(p, &p->new);
}

static int
compare_name(const void *name, const void *family)
{
    return bytes_compare(*(const struct bytes *)name, ((const struct push_family *)family)->name);
}

static bool
is_removed(const struct push_family *family)
{
    return family->name.at[0] == '\n'; /* invariant 3 */
}

/* Adds the family of the time of a push. */
static enum err
add_time(struct pushing *p, struct push_families *to, const char *name, const char *help,
         int64_t now_ms)
{
    char text[400];
    int size = snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRId64 ".%03d\n",
                        name, help, name, name, now_ms / 1000, (int)(now_ms % 1000));
    struct bytes copy = arena_copy(&p->arena, bytes_of(text, (size_t)size));
    return copy.at == NULL ? push_no_memory(p) : add_family(p, to, bytes_of_text(name), copy);
}

#define TIME_HELP    "Last Unix time when changing this group succeeded."
#define FAILURE_HELP "Last Unix time when changing this group failed."

/* --- files ------------------------------------------------------------------------------------ */

/* Reads the texts of a group's file. ERR_MISSING: there is none. `key` is empty, or that which it
 * must have. */
static enum err
read_group(struct pushing *p, struct bytes key, struct bytes *ret_key)
{
    struct push_store *store = p->store;
    struct stored_texts texts = {NULL, 0};
    buf_clear(&p->file);
    enum err e = stored_read(store->env, store->dir, p->id, &p->file, p->why);
    if (e == OK)
        e = stored_decode(buf_bytes(&p->file), bytes_of_text(p->id), &p->arena, &texts, p->why);
    for (uint32_t i = 0; i < texts.count && e == OK; i++) {
        const struct stored_text *t = &texts.items[i];
        if (i == 0) *ret_key = t->namespace;
        bool is_other = (key.size > 0 && !bytes_equal(key, t->namespace)) ||
                        !bytes_equal(*ret_key, t->namespace); /* invariant 1 */
        if (is_other)
            return why_set(p->why, key.size > 0 ? ERR_INPUT : ERR_CORRUPT,
                           "another group has the hash of these labels");
        e = add_family(p, &p->old, t->name, t->text);
        p->has_removed |= e == OK && is_removed(&p->old.items[i]);
    }
    return e;
}

static enum err
write_group(struct pushing *p)
{
    struct push_store *store = p->store;
    struct buf file;
    size_t size = 0;
    if (p->whole.count == 0) return stored_remove(store->env, store->dir, p->id, p->why);
    enum err e = join_families(p, &p->whole);
    if (e) return e;
    for (uint32_t i = 0; i < p->whole.count; i++)
        if (!is_removed(&p->whole.items[i])) size += p->whole.items[i].text.size;
    if (size > GROUP_BYTES_MAX)
        return why_set(p->why, ERR_LIMIT, "the group is larger than %d MiB", GROUP_BYTES_MAX >> 20);
    buf_init(&file, store->memory, STORED_FILE_BYTES_MAX);
    stored_begin(bytes_of_text(p->id), p->whole.count, &file);
    for (uint32_t i = 0; i < p->whole.count; i++)
        stored_add(&(struct stored_text){buf_bytes(&p->key), p->whole.items[i].name,
                                         p->whole.items[i].text},
                   &file);
    stored_end(&file);
    e = buf_error(&file);
    if (e == ERR_LIMIT) why_set(p->why, e, "too many series of the group were removed just now");
    if (e == ERR_NOMEM) e = push_no_memory(p);
    if (e == OK) e = env_mkdir(store->env, store->dir, p->why);
    if (e == OK) e = stored_write(store->env, store->dir, p->id, buf_bytes(&file), p->why);
    buf_fini(&file);
    return e;
}

/* --- samples ---------------------------------------------------------------------------------- */

/* The labels of a series without those that the group's replace. */
static enum err
canonical_of(struct pushing *p, struct text_item *item, struct bytes *ret)
{
    struct buf *to = &p->scratch;
    buf_clear(to);
    for (uint32_t i = 0; i < item->label_count; i++)
        if (labels_get(buf_bytes(&p->labels), item->labels[i].name).size == 0)
            labels_put(to, item->labels[i]);
    *ret = buf_bytes(to);
    return buf_error(to);
}

static enum err
fill_pushed(void *context, struct text_item *item, struct why *why)
{
    struct pushing *p = context;
    struct bytes labels;
    bool is_new = true;
    if (item->label_count > 0) {
        for (uint32_t i = 0; i < item->label_count; i++)
            if (bytes_equal_text(item->labels[i].name, "__name__") &&
                is_of_store(item->labels[i].value))
                return OK;
        if (!input_sort_labels(item->labels, &item->label_count))
            return why_set(why, ERR_INPUT, "a label is there twice");
        enum err e = canonical_of(p, item, &labels);
        if (e == OK) e = kept_series_add(&p->seen, labels, &is_new);
        if (e) return e;
    }
    return is_new ? text_item_fill(p->to, item, why)
                  : why_set(why, ERR_INPUT, "the series is there twice");
}

/* Adds a series to the removed ones, which are divided by a hash, as a text has a limit. */
static enum err
add_removed(struct pushing *p, const struct text_item *item, uint64_t hash)
{
    static const char names[] = "\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\nc\nd\ne\nf";
    struct buf *line = &p->scratch;
    buf_clear(line);
    for (uint32_t i = 0; i < item->label_count; i++) {
        bool is_name = bytes_equal_text(item->labels[i].name, "__name__");
        buf_put_u8(line, i == 0 ? '{' : ',');
        if (!is_name) text_put_escaped(line, item->labels[i].name);
        if (!is_name) buf_put_u8(line, '=');
        text_put_escaped(line, item->labels[i].value);
    }
    buf_put_text(line, "} 0\n");
    struct bytes copy = arena_copy(&p->arena, buf_bytes(line));
    if (buf_error(line) || copy.at == NULL) return push_no_memory(p);
    return add_family(p, &p->whole, bytes_of(names + hash % 16 * 2, 2), copy);
}

/* Marks a series stale, unless it was pushed or marked. */
static enum err
fill_marker(void *context, struct text_item *item, struct why *why)
{
    struct pushing *p = context;
    struct bytes labels;
    bool is_new;
    (void)why;
    if (item->label_count == 0 || !input_sort_labels(item->labels, &item->label_count)) return OK;
    enum err e = canonical_of(p, item, &labels);
    if (e == OK) e = kept_series_add(&p->seen, labels, &is_new);
    if (e || !is_new) return e;
    e = add_removed(p, item, hash_bytes(labels, 0));
    if (e || p->is_marked) return e;
    e = rw_fill_series(p->to, item->labels, item->label_count);
    return e ? e : rw_fill_float(p->to, p->input.time_ms, STALE_NAN_BITS, 0);
}

/* Makes the group as it will be, and its samples and markers. */
static enum err
change_group(struct pushing *p, const struct push *push)
{
    enum err e = split_families(p, push->text);
    struct input_outcome ignored = {0};
    const struct text_input own = {TEXT_PROMETHEUS, p->input.time_ms, false, p->store->memory};
    bool has_failure = false;
    for (uint32_t i = 0; i < p->old.count && e == OK; i++) {
        const struct push_family *f = &p->old.items[i];
        bool is_time = bytes_equal_text(f->name, TIME_FAMILY);
        bool is_new = p->new.count > 0 && bsearch(&f->name, p->new.items, p->new.count, sizeof *f,
                                                  compare_name) != NULL;
        bool is_failure = bytes_equal_text(f->name, FAILURE_FAMILY);
        bool stays = push->verb != PUSH_DELETE && !is_removed(f) &&
                     ((push->verb == PUSH_MERGE && !is_new) || is_failure);
        if (stays && !is_time) {
            has_failure |= is_failure;
            e = add_family(p, &p->whole, f->name, f->text);
            continue;
        }
        if (is_time && push->verb != PUSH_DELETE) continue;
        p->is_marked = is_removed(f);
        e = text_input_each(&own, f->text, fill_marker, p, &ignored, p->why);
    }
    if (push->verb == PUSH_DELETE) return e;
    for (uint32_t i = 0; i < p->new.count &&e == OK; i++)
        e = add_family(p, &p->whole, p->new.items[i].name, p->new.items[i].text);
    if (e == OK) e = add_time(p, &p->whole, TIME_FAMILY, TIME_HELP, push->now_ms);
    if (e == OK)
        e = text_input_each(&own, p->whole.items[p->whole.count - 1].text, text_item_fill, p->to,
                            &ignored, p->why);
    if (e == OK && !has_failure) e = add_time(p, &p->whole, FAILURE_FAMILY, FAILURE_HELP, 0);
    return e;
}

/* Notes in the group that a push failed. */
static void
note_failure(struct pushing *p, int64_t now_ms)
{
    struct why why = *p->why, *outer = p->why;
    p->why = &why;
    p->whole.count = 0;
    enum err e = OK;
    for (uint32_t i = 0; i < p->old.count && e == OK; i++)
        if (!bytes_equal_text(p->old.items[i].name, FAILURE_FAMILY))
            e = add_family(p, &p->whole, p->old.items[i].name, p->old.items[i].text);
    if (e == OK) e = add_time(p, &p->whole, FAILURE_FAMILY, FAILURE_HELP, now_ms);
    if (e == OK) e = write_group(p);
    err_ignore(e, "the sender gets the first error");
    p->why = outer;
}

static void
pushing_begin(struct pushing *p, struct push_store *store, int64_t now_ms, uint64_t seed,
              struct rw_request *to, struct why *why)
{
    *p = (struct pushing){.store = store, .to = to, .seed = seed, .why = why};
    p->input = (struct text_input){TEXT_PROMETHEUS, now_ms, true, store->memory};
    arena_init(&p->arena, store->memory, 4 * (uint64_t)STORED_FILE_BYTES_MAX, 0);
    buf_init(&p->key, store->memory, 1 << 20);
    buf_init(&p->labels, store->memory, 1 << 20);
    buf_init(&p->file, store->memory, STORED_FILE_BYTES_MAX);
    buf_init(&p->scratch, store->memory, STORED_FILE_BYTES_MAX);
    kept_series_init(&p->seen, store->memory, seed);
}

static void
pushing_end(struct pushing *p)
{
    kept_series_fini(&p->seen);
    buf_fini(&p->scratch);
    buf_fini(&p->file);
    buf_fini(&p->labels);
    buf_fini(&p->key);
    arena_fini(&p->arena);
}

/* Sets the file of a damaged group aside; it then has nothing. */
static enum err
set_group_aside(struct pushing *p)
{
    struct push_store *store = p->store;
    struct why why = *p->why;
    char aside[FILE_PATH_BYTES];
    p->old.count = 0;
    enum err e = stored_set_aside(store->env, store->dir, p->id, aside, p->why);
    if (e == OK) e = stored_remove(store->env, store->dir, p->id, p->why);
    if (e == OK)
        log_error("a group of pushed metrics is damaged, and was set aside", KV("file", aside),
                  KV("error", why.text));
    return e;
}

static enum err
take_locked(struct pushing *p, const struct push *push)
{
    struct bytes key;
    enum err e = read_group(p, buf_bytes(&p->key), &key);
    if (e == ERR_CORRUPT) e = set_group_aside(p);
    if (e == ERR_MISSING) e = OK;
    if (e) return e;
    rw_fill_begin(p->to, p->seed, push->text.size + p->file.size);
    e = text_input_each(&p->input, push->text, fill_pushed, p, p->outcome, p->why);
    if (e == OK && p->outcome->refused > 0)
        e = why_set(p->why, ERR_INPUT, "%s", p->outcome->first.text);
    if (e == OK) e = change_group(p, push);
    if (e == OK && (p->whole.count > 0 || p->old.count > 0)) e = write_group(p);
    if (e == ERR_INPUT) note_failure(p, push->now_ms);
    return e;
}

enum err
push_take(struct push_store *store, const struct push *push, uint64_t seed, struct rw_request *to,
          struct input_outcome *ret, struct why *why)
{
    struct pushing p;
    uint32_t changed;
    *ret = (struct input_outcome){0};
    pushing_begin(&p, store, push->now_ms, seed, to, why);
    p.outcome = ret;
    enum err e = make_key(&p, push);
    if (e == OK) {
        lock_take(&store->lock);
        e = take_locked(&p, push);
        lock_drop(&store->lock);
    }
    if (e == OK) {
        rw_fill_end(to);
        e = rw_overwrite_labels(to, buf_bytes(&p.labels), &changed, why);
    }
    if (e) rw_request_clear(to);
    pushing_end(&p);
    return e;
}

/* --- writing again ---------------------------------------------------------------------------- */

/* Appends the name of a group's file, with its NUL. */
static enum err
keep_push_name(void *context, const char *id)
{
    struct buf *names = context;
    size_t size = strlen(id);
    if (size > HASH_DIGITS + 1 && id[size - HASH_DIGITS - 1] == '-') buf_put(names, id, size + 1);
    return buf_error(names);
}

/* Fills the request with the samples of a group. *ret_there: it is still there. */
static enum err
fill_group(struct pushing *p, const char *id, bool *ret_there)
{
    struct push_store *store = p->store;
    struct input_outcome outcome = {0};
    struct bytes key;
    uint32_t changed;
    snprintf(p->id, sizeof p->id, "%s", id);
    lock_take(&store->lock);
    enum err e = read_group(p, bytes_of(NULL, 0), &key);
    *ret_there = e == OK && p->old.count > 0;
    if (*ret_there) e = read_key(p, key);
    if (e == ERR_CORRUPT) {
        *ret_there = false;
        e = set_group_aside(p);
    }
    lock_drop(&store->lock);
    if (e == ERR_MISSING) return OK; /* deleted just now */
    if (e || !*ret_there) return e;
    p->input.refuses_times = false;
    rw_fill_begin(p->to, p->seed, p->file.size);
    for (uint32_t i = 0; i < p->old.count && e == OK; i++)
        e = is_removed(&p->old.items[i])
                ? text_input_each(&p->input, p->old.items[i].text, fill_marker, p, &outcome, p->why)
                : text_input_each(&p->input, p->old.items[i].text, text_item_fill, p->to, &outcome,
                                  p->why);
    if (e) return e;
    rw_fill_end(p->to);
    return rw_overwrite_labels(p->to, buf_bytes(&p->labels), &changed, p->why);
}

/* Takes the removed series out of the group, whose markers are stored, unless it was changed. */
static enum err
forget_removed(struct pushing *p)
{
    const uint64_t hash = hash_bytes(buf_bytes(&p->file), 0);
    struct bytes key;
    p->old = p->whole = (struct push_families){NULL, 0};
    lock_take(&p->store->lock);
    enum err e = read_group(p, bytes_of(NULL, 0), &key);
    bool is_same = e == OK && hash_bytes(buf_bytes(&p->file), 0) == hash;
    buf_clear(&p->key);
    if (is_same) buf_put_bytes(&p->key, key);
    for (uint32_t i = 0; i < p->old.count && e == OK && is_same; i++)
        if (!is_removed(&p->old.items[i]))
            e = add_family(p, &p->whole, p->old.items[i].name, p->old.items[i].text);
    if (e == OK && is_same) e = buf_error(&p->key) ? push_no_memory(p) : write_group(p);
    lock_drop(&p->store->lock);
    return e == ERR_MISSING ? OK : e;
}

enum err
push_repeat(struct push_store *store, int64_t now_ms, uint64_t seed, struct rw_request *request,
            enum err (*each)(void *context, struct bytes tenant, struct rw_request *request,
                             bool settles, struct why *why),
            void *context, struct why *why)
{
    struct buf names;
    buf_init(&names, store->memory, 64 << 20);
    enum err e = stored_each(store->env, store->dir, keep_push_name, &names, why);
    if (e == ERR_MISSING) e = OK;
    bool stops = e != OK; /* a group that fails keeps no other from being written */
    for (size_t at = 0, size; at < names.size && !stops; at += size + 1) {
        const char *id = (const char *)names.at + at;
        struct pushing p;
        struct why one;
        bool is_there;
        const enum err before = e;
        pushing_begin(&p, store, now_ms, seed, request, before == OK ? why : &one);
        e = fill_group(&p, id, &is_there);
        size = strlen(id);
        struct bytes tenant = bytes_of(id, size - HASH_DIGITS - 1);
        if (e == OK && is_there) e = each(context, tenant, request, p.has_removed, p.why);
        if (e == OK && is_there && p.has_removed) e = forget_removed(&p);
        stops = e == ERR_CANCELED;
        if (e == OK || before != OK) e = before;
        rw_request_clear(request);
        pushing_end(&p);
    }
    buf_fini(&names);
    return e;
}

struct push_links {
    struct push_store *store;
    const char *to;
    struct why *why;
};

static enum err
link_group(void *context, const char *id)
{
    struct push_links *l = context;
    char name[GROUP_ID_BYTES + 8], from[FILE_PATH_BYTES], to[FILE_PATH_BYTES];
    snprintf(name, sizeof name, "%s.groups", id);
    enum err e = path_in(from, sizeof from, l->store->dir, name, l->why);
    if (e == OK) e = path_in(to, sizeof to, l->to, name, l->why);
    return e ? e : env_link(l->store->env, from, to, l->why);
}

enum err
push_link(struct push_store *store, const char *to, struct why *why)
{
    char dir[FILE_PATH_BYTES];
    struct push_links links = {store, dir, why};
    enum err e = path_in(dir, sizeof dir, to, STORAGE_PUSHED, why);
    if (e == OK) e = env_mkdir(store->env, dir, why);
    lock_take(&store->lock);
    if (e == OK) e = stored_each(store->env, store->dir, link_group, &links, why);
    lock_drop(&store->lock);
    if (e == ERR_MISSING) e = OK; /* nothing was ever pushed */
    return e ? e : env_syncdir(store->env, dir, why);
}
