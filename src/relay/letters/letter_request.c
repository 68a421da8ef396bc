/* letter_request.c - see letter_request.h. Format: docs/format/relay.md. */
#include "relay/letters/letter_request.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/hex.h"

static const uint8_t MAGIC[8] = {'F', 'K', 'L', 'E', 'T', 'R', 'E', 'Q'};
static const char SUFFIX[] = ".request";

enum { VERSION = 1, HEADER_BYTES = 24, FILE_BYTES_MAX = 4096, NAME_DIGITS = 32 };

bool
letter_request_means(const struct letter_request *r, uint32_t file, uint64_t offset,
                     struct bytes reason)
{
    if (r->damaged || file > r->file || (file == r->file && offset >= r->offset)) return false;
    return r->reason[0] == '\0' || bytes_equal_text(reason, r->reason);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
request_put(struct buf *to, const struct letter_request *r)
{
    uint8_t header[HEADER_BYTES] = {0};
    buf_put(to, header, sizeof header);
    buf_put_u8(to, (uint8_t)r->wish);
    buf_put_varint(to, r->file);
    buf_put_varint(to, r->offset);
    buf_put_counted(to, bytes_of_text(r->reason));
    if (buf_error(to)) return;
    memcpy(to->at, MAGIC, sizeof MAGIC);
    store_le32(to->at + 8, VERSION);
    store_le32(to->at + 12, VERSION); /* min_reader */
    store_le32(to->at + 16, (uint32_t)(to->size - HEADER_BYTES));
    uint32_t crc = crc32c(0, bytes_of(to->at, 20));
    crc = crc32c(crc, bytes_of(to->at + HEADER_BYTES, to->size - HEADER_BYTES));
    store_le32(to->at + 20, crc);
}

bool
letter_request_is_name(const char *name)
{
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        bool digit = (name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f');
        if (!digit) return false;
    }
    return strcmp(name + NAME_DIGITS, SUFFIX) == 0;
}

/* The greatest moment that a request is named after. */
static enum err
note_moment(void *context, const char *name, bool is_dir)
{
    uint64_t *latest = context, moment;
    if (is_dir || !letter_request_is_name(name)) return OK;
    if (hex_parse_word(bytes_of(name, HEX_WORD_BYTES), &moment) && moment > *latest)
        *latest = moment;
    return OK;
}

enum err
letter_request_write(struct env *env, const char *dir, const struct letter_request *request,
                     struct why *why)
{
    char name[LETTER_REQUEST_NAME_BYTES];
    uint64_t random, latest = 0, moment = (uint64_t)env_realtime_ms(env);
    struct buf content;
    enum err e = env_listdir(env, dir, note_moment, &latest, why);
    if (e) return e;
    /* Its turn is behind those that are there, also of the same moment or of a faster clock. */
    if (moment <= latest && latest < UINT64_MAX) moment = latest + 1;
    e = env_random(env, &random, sizeof random);
    if (e) return why_set(why, e, "cannot get random bytes for a request");
    snprintf(name, sizeof name, "%016" PRIx64 "%016" PRIx64 "%s", moment, random, SUFFIX);
    buf_init(&content, NULL, FILE_BYTES_MAX);
    request_put(&content, request);
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
    char path[sizeof(((struct file *)0)->path)];
    enum err e = path_join(path, sizeof path, dir, request->name);
    if (e) return why_set(why, e, "%s/%s", dir, request->name);
    return env_unlink(env, path, why);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* ERR_CORRUPT; ERR_UNSUPPORTED: a newer version's. */
static enum err
request_get(struct bytes file, struct letter_request *r)
{
    if (file.size < HEADER_BYTES || memcmp(file.at, MAGIC, sizeof MAGIC) != 0) return ERR_CORRUPT;
    struct bytes payload = bytes_of(file.at + HEADER_BYTES, file.size - HEADER_BYTES);
    uint32_t crc = crc32c(crc32c(0, bytes_of(file.at, 20)), payload);
    if (payload.size != load_le32(file.at + 16) || crc != load_le32(file.at + 20)) {
        return ERR_CORRUPT;
    }
    if (load_le32(file.at + 12) > VERSION) return ERR_UNSUPPORTED;
    struct cursor c = cursor_of(payload);
    uint8_t wish = cursor_u8(&c);
    uint64_t number = cursor_varint(&c), offset = cursor_varint(&c);
    struct bytes reason = cursor_counted(&c);
    if (c.bad || wish > DEAD_LETTERS_DROP || number > UINT32_MAX || offset > UINT32_MAX ||
        reason.size >= LETTER_REASON_BYTES) {
        return ERR_CORRUPT;
    }
    r->wish = (enum dead_letters_wish)wish;
    r->file = (uint32_t)number;
    r->offset = (uint32_t)offset;
    if (reason.size > 0) memcpy(r->reason, reason.at, reason.size);
    return OK;
}

enum err
letter_request_examine(struct env *env, const char *dir, const char *name,
                       struct letter_request *ret_request, struct why *why)
{
    uint8_t content[FILE_BYTES_MAX];
    struct file file;
    size_t got;
    char path[sizeof file.path];
    enum err e = path_join(path, sizeof path, dir, name);
    if (e) return why_set(why, e, "%s/%s: path is too long", dir, name);
    e = file_open(env, path, FILE_READ, &file, why);
    if (e) return e;
    e = file_read_some(&file, content, sizeof content, 0, &got, why);
    err_ignore(file_close(&file), "only read");
    if (e) return e;
    e = request_get(bytes_of(content, got), ret_request);
    if (e == ERR_CORRUPT) why_set(why, e, "%s is damaged", path);
    if (e == ERR_UNSUPPORTED) why_set(why, e, "%s was written by a newer version", path);
    return e;
}

static enum err
request_read(struct env *env, const char *dir, struct letter_request *r, struct why *why)
{
    enum err e = letter_request_examine(env, dir, r->name, r, why);
    r->damaged = e == ERR_CORRUPT;
    return r->damaged ? OK : e;
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
        e = request_read(env, dir, &items[i], why);
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
