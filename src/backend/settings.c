/*
 * settings.c - functions of a destination's settings. Secrets are fetched without an env: an
 * unreadable password affects no stored data, and the caller retries.
 */
#include "backend/settings.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash/hash.h"

enum { SECRET_BYTES_MAX = 64 * 1024, VARIABLE_BYTES_MAX = 256 };

const char *
destination_type_word(enum destination_type type)
{
    static const char *const words[DESTINATION_TYPE_COUNT] = {
        [DESTINATION_CLICKHOUSE] = "clickhouse",     [DESTINATION_FILE] = "file",
        [DESTINATION_FIREHOSE] = "firehose",         [DESTINATION_INFLUXDB] = "influxdb",
        [DESTINATION_KINESIS] = "kinesis",           [DESTINATION_OPENTSDB] = "opentsdb",
        [DESTINATION_REMOTE_WRITE] = "remote_write", [DESTINATION_S3] = "s3",
        [DESTINATION_TIMESTREAM] = "timestream",
    };
    return (unsigned)type < DESTINATION_TYPE_COUNT ? words[type] : "unknown";
}

enum destination_type
destination_type_of(struct bytes word)
{
    enum destination_type type = 0;
    while (type < DESTINATION_TYPE_COUNT && !bytes_equal_text(word, destination_type_word(type)))
        type++;
    return type;
}

void
destinations_free(struct destinations *list)
{
    if (list == NULL) return;
    if (list->arena != NULL) arena_fini(list->arena);
    mem_free(NULL, list->arena, list->arena == NULL ? 0 : sizeof *list->arena);
    *list = (struct destinations){NULL};
}

/* --- secrets ---------------------------------------------------------------------------------- */

/* Returns the length of a ${NAME} at the front, with its name in `ret_name`; 0: something else. */
static size_t
variable_at(const char *text, char ret_name[VARIABLE_BYTES_MAX])
{
    if (text[0] != '$' || text[1] != '{') return 0;
    size_t size = 0;
    while (size + 1 < VARIABLE_BYTES_MAX &&
           (isalnum((unsigned char)text[2 + size]) || text[2 + size] == '_') &&
           (size > 0 || !isdigit((unsigned char)text[2]))) {
        ret_name[size] = text[2 + size];
        size++;
    }
    ret_name[size] = 0;
    return size == 0 || text[2 + size] != '}' ? 0 : size + 3;
}

static enum err
secret_expand(const char *text, struct buf *to, struct why *why)
{
    while (*text != 0) {
        char name[VARIABLE_BYTES_MAX];
        size_t size = variable_at(text, name);
        if (size == 0) {
            buf_put_u8(to, (uint8_t)*text++);
            continue;
        }
        const char *value = getenv(name);
        if (value == NULL)
            return why_set(why, ERR_MISSING, "environment variable %s is not set", name);
        buf_put_text(to, value);
        text += size;
    }
    return OK;
}

static enum err
open_secret_file(const char *path, int *ret_fd, struct why *why)
{
    struct stat facts;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        enum err e = errno == ENOENT ? ERR_MISSING : ERR_IO;
        return why_set(why, e, "cannot open %s: %s", path, errno_text(errno).text);
    }
    if (fstat(fd, &facts) == 0 && S_ISFIFO(facts.st_mode)) {
        close(fd);
        return why_set(why, ERR_IO, "cannot read %s: it is a pipe, which may have no writer", path);
    }
    *ret_fd = fd;
    return OK;
}

static enum err
read_secret_file(const char *path, struct buf *to, struct why *why)
{
    int fd = -1;
    enum err e = open_secret_file(path, &fd, why);
    if (e) return e;
    ssize_t got = 1;
    while (got != 0 && e == OK && buf_reserve(to, 1)) {
        got = read(fd, to->at + to->size, to->capacity - to->size);
        if (got > 0) to->size += (size_t)got;
        if (got < 0 && errno != EINTR)
            e = why_set(why, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    close(fd);
    if (to->size > 0 && to->at[to->size - 1] == '\n') to->size--;
    if (to->size > 0 && to->at[to->size - 1] == '\r') to->size--;
    return e;
}

enum err
secret_fetch(const struct secret *secret, struct buf *to, struct why *why)
{
    assert(secret_given(secret));
    /* A separate buffer, so that `to` gets the whole secret or nothing; with room for a newline
     * at a file's end, and for the read that finds the end. */
    struct buf value;
    buf_init_secret(&value, NULL, SECRET_BYTES_MAX + 3);
    enum err e = secret->file != NULL ? read_secret_file(secret->file, &value, why)
                                      : secret_expand(secret->text, &value, why);
    if (e == OK && buf_error(&value) == OK && value.size > SECRET_BYTES_MAX)
        value.failed = ERR_LIMIT;
    if (e == OK && buf_error(&value) != OK) {
        e = why_set(why, buf_error(&value), "%s",
                    buf_error(&value) == ERR_LIMIT ? "secret must be at most 64 KiB"
                                                   : "not enough memory for a secret");
        if (secret->file != NULL) e = why_prefix(why, e, "%s", secret->file);
    }
    if (e == OK) {
        buf_put_bytes(to, buf_bytes(&value));
        e = buf_error(to);
    }
    buf_fini(&value);
    return e;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static uint64_t
mix_bytes(uint64_t hash, struct bytes b)
{
    return hash_mix(hash, hash_bytes(b, 0));
}

static uint64_t
mix_text(uint64_t hash, const char *text)
{
    return text == NULL ? hash_mix(hash, 0) : mix_bytes(hash, bytes_of_text(text));
}

static uint64_t
mix_texts(uint64_t hash, const struct text_list *list)
{
    hash = hash_mix(hash, list->count);
    for (uint32_t i = 0; i < list->count; i++)
        hash = mix_text(hash, list->items[i]);
    return hash;
}

uint64_t
destination_selection_hash(const struct destination_settings *d)
{
    uint64_t hash = mix_text(0, d->tenant_label);
    hash = mix_texts(hash, &d->select);
    hash = mix_texts(hash, &d->tenants);
    hash = hash_mix(hash, d->external_labels.count);
    for (uint32_t i = 0; i < d->external_labels.count; i++) {
        hash = mix_text(hash, d->external_labels.items[i].name);
        hash = mix_text(hash, d->external_labels.items[i].value);
    }
    hash = hash_mix(hash, d->relabel_count);
    for (uint32_t i = 0; i < d->relabel_count; i++) {
        const struct relabel_spec *rule = &d->relabel[i];
        hash = hash_mix(hash, (uint64_t)rule->action);
        hash = hash_mix(hash, rule->source_label_count);
        for (uint32_t k = 0; k < rule->source_label_count; k++)
            hash = mix_bytes(hash, rule->source_labels[k]);
        hash = mix_bytes(hash, rule->separator);
        hash = mix_bytes(hash, rule->regex);
        hash = mix_bytes(hash, rule->target_label);
        hash = mix_bytes(hash, rule->replacement);
        hash = hash_mix(hash, rule->modulus);
    }
    return hash;
}

uint64_t
destination_place_hash(const struct destination_settings *d)
{
#define TEXT(member) offsetof(struct destination_settings, u.member)
    enum { TEXTS_MAX = 5 };
    /* The texts that identify the place, for each type; ends at a 0. */
    static const size_t places[DESTINATION_TYPE_COUNT][TEXTS_MAX] = {
        [DESTINATION_CLICKHOUSE] = {TEXT(clickhouse.url), TEXT(clickhouse.database),
                                    TEXT(clickhouse.table)},
        [DESTINATION_FILE] = {TEXT(file.path)},
        [DESTINATION_FIREHOSE] = {TEXT(firehose.delivery_stream), TEXT(firehose.endpoint)},
        [DESTINATION_INFLUXDB] = {TEXT(influxdb.url), TEXT(influxdb.database),
                                  TEXT(influxdb.retention_policy), TEXT(influxdb.org),
                                  TEXT(influxdb.bucket)},
        [DESTINATION_KINESIS] = {TEXT(kinesis.stream), TEXT(kinesis.endpoint)},
        [DESTINATION_OPENTSDB] = {TEXT(opentsdb.url)},
        [DESTINATION_REMOTE_WRITE] = {TEXT(remote_write.url)},
        [DESTINATION_S3] = {TEXT(s3.bucket), TEXT(s3.prefix), TEXT(s3.endpoint)},
        [DESTINATION_TIMESTREAM] = {TEXT(timestream.database), TEXT(timestream.table),
                                    TEXT(timestream.write_endpoint)},
    };
#undef TEXT
    uint64_t hash = mix_text(mix_text(0, destination_type_word(d->type)), d->aws.region);
    for (size_t i = 0; i < TEXTS_MAX; i++) {
        const char *text = NULL;
        size_t at = places[d->type][i];
        if (at > 0) memcpy(&text, (const char *)d + at, sizeof text);
        hash = mix_text(hash, text);
    }
    return hash;
}

bool
destination_takes_all(const struct destination_settings *d)
{
    bool all_tenants = d->tenants.count == 0 || strcmp(d->tenants.items[0], "all") == 0;
    return d->select.count == 0 && d->relabel_count == 0 && all_tenants;
}
