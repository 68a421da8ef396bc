/* letter_request.c - see letter_request.h. Format: docs/format/relay.md. */
#include "relay/letters/letter_request.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fields.h"
#include "base/framed.h"
#include "base/text/hex.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'L', 'E', 'T', 'R', 'E', 'Q'};
static const char SUFFIX[] = ".request";

enum { VERSION = 1, FILE_BYTES_MAX = 4096, NAME_DIGITS = 2 * HEX_WORD_BYTES };

bool
letter_request_means(const struct letter_request *r, uint32_t file, uint64_t offset,
                     struct bytes reason)
{
    if (r->damaged || file > r->file || (file == r->file && offset >= r->offset)) return false;
    return r->reason[0] == '\0' || bytes_equal_text(reason, r->reason);
}

static void
request_fields(const struct fields *f, struct letter_request *r)
{
    uint8_t wish = (uint8_t)r->wish;
    field_u8(f, &wish);
    field_u32(f, &r->file);
    field_u32(f, &r->offset);
    field_text(f, r->reason, sizeof r->reason);
    fields_check(f, wish <= DEAD_LETTERS_DROP);
    r->wish = (enum dead_letters_wish)wish;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Two words: the moment, and a random one. */
static bool
is_name(const char *name, uint64_t *ret_moment)
{
    uint64_t random;
    const char *rest = hex_name_number(name, HEX_WORD_BYTES, ret_moment);
    if (rest != NULL) rest = hex_name_number(rest, HEX_WORD_BYTES, &random);
    return rest != NULL && strcmp(rest, SUFFIX) == 0;
}

bool
letter_request_is_name(const char *name)
{
    uint64_t moment;
    return is_name(name, &moment);
}

/* The greatest moment that a request is named after. */
static enum err
note_moment(void *context, const char *name, bool is_dir)
{
    uint64_t *latest = context, moment;
    if (!is_dir && is_name(name, &moment) && moment > *latest) *latest = moment;
    return OK;
}

enum err
letter_request_write(struct env *env, const char *dir, const struct letter_request *request,
                     struct why *why)
{
    char name[LETTER_REQUEST_NAME_BYTES];
    uint64_t random, latest = 0, moment = (uint64_t)env_realtime_ms(env);
    struct letter_request copy = *request;
    struct buf content;
    enum err e = env_listdir(env, dir, note_moment, &latest, why);
    if (e) return e;
    /* Its turn is after those that are there, also of the same moment or of a faster clock. */
    if (moment <= latest && latest < UINT64_MAX) moment = latest + 1;
    e = env_random(env, &random, sizeof random);
    if (e) return why_set(why, e, "cannot get random bytes for a request");
    snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64 "%s", moment, random, SUFFIX);
    buf_init(&content, NULL, FILE_BYTES_MAX);
    framed_begin(&content);
    request_fields(&(const struct fields){.to = &content}, &copy);
    framed_end(&content, MAGIC, VERSION);
    e = buf_error(&content);
    if (e)
        why_set(why, e, "not enough memory for a request");
    else
        e = env_write_whole(env, dir, name, buf_bytes(&content), why);
    buf_fini(&content);
    return e;
}

enum err
letter_request_remove(struct env *env, const char *dir, const struct letter_request *request,
                      struct why *why)
{
    char path[FILE_PATH_BYTES];
    enum err e = path_in(path, sizeof path, dir, request->name, why);
    return e ? e : env_unlink(env, path, why);
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err
letter_request_examine(struct env *env, const char *dir, const char *name,
                       struct letter_request *ret_request, struct why *why)
{
    uint8_t content[FILE_BYTES_MAX];
    size_t got;
    char path[FILE_PATH_BYTES];
    enum err e = path_in(path, sizeof path, dir, name, why);
    if (e == OK) e = env_read_some(env, path, content, sizeof content, &got, why);
    if (e) return e;
    struct bytes payload = {NULL, 0};
    struct letter_request r = *ret_request; /* with its name */
    e = framed_open(bytes_of(content, got), MAGIC, VERSION, &payload, why);
    struct cursor c = cursor_of(payload);
    if (e == OK) request_fields(&(const struct fields){.from = &c}, &r);
    if (e == OK && c.bad) {
        e = why_set(why, ERR_CORRUPT, "the file is damaged: its content is inconsistent");
    }
    if (e) return why_prefix(why, e, "%s", path);
    *ret_request = r;
    return OK;
}

static enum err
note_name(void *context, const char *name, bool is_dir)
{
    struct letter_requests *requests = context;
    if (is_dir || !letter_request_is_name(name)) return OK;
    if (requests->count == LETTER_REQUESTS_MAX) return OK; /* its turn comes */
    struct letter_request request = {.offset = 0};
    memcpy(request.name, name, NAME_DIGITS + sizeof SUFFIX);
    buf_put(&requests->memory, &request, sizeof request);
    requests->count++;
    return buf_error(&requests->memory);
}

static int
order_names(const void *a, const void *b)
{
    const struct letter_request *x = a, *y = b;
    return strcmp(x->name, y->name);
}

void
letter_requests_fini(struct letter_requests *requests)
{
    buf_fini(&requests->memory);
}

enum err
letter_requests_read(struct letter_requests *ret_requests, struct env *env, const char *dir,
                     struct budget *memory, struct why *why)
{
    struct letter_requests r = {.count = 0};
    buf_init(&r.memory, memory, LETTER_REQUESTS_MAX * sizeof(struct letter_request));
    enum err e = env_listdir(env, dir, note_name, &r, why);
    if (e == ERR_NOMEM) why_set(why, e, "%s: not enough memory for requests", dir);
    struct letter_request *items = (struct letter_request *)(void *)r.memory.at;
    uint32_t kept = 0;
    if (e == OK && r.count > 0) qsort(items, r.count, sizeof *items, order_names);
    for (uint32_t i = 0; i < r.count && e == OK; i++) {
        e = letter_request_examine(env, dir, items[i].name, &items[i], why);
        items[i].damaged = e == ERR_CORRUPT;
        if (items[i].damaged) e = OK;
        if (e == OK) items[kept++] = items[i];
        /* Done meanwhile, or not for us. */
        if (e == ERR_MISSING || e == ERR_UNSUPPORTED) e = OK;
    }
    r.items = items;
    r.count = kept;
    if (e)
        letter_requests_fini(&r);
    else
        *ret_requests = r;
    return e;
}
