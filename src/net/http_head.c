/*
 * http_head.c - see http_head.h. Lines end in CRLF or, as RFC 9112 allows and Go accepts, in LF.
 * Folded lines, control characters, and white space around names are refused: proxies disagree
 * about them, and so about where the next request begins. Lines of chunks and trailers end in CRLF
 * only, for the same reason.
 *
 * The parser makes one pass over each part of the text, in place: views get their NUL where their
 * separator was, and unescaping only makes text shorter.
 *
 * Invariants:
 *
 * 1. Fields of headers and arguments are offsets of NUL-terminated texts within `text`.
 * 2. In HTTP_CHUNK_DATA at least one byte of the chunk is left.
 */
#include "net/http_head.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text/hex.h"
#include "base/text/utf8.h"

void
http_head_init(struct http_head *head, struct budget *budget, size_t limit_bytes)
{
    *head = (struct http_head){.target = "/", .path = "/"};
    buf_init(&head->text, budget, limit_bytes + 1);
    buf_init(&head->sent, budget, 2 * limit_bytes + 2);
    buf_init(&head->location, budget, 3 * limit_bytes + 2);
    buf_init(&head->headers, budget, HTTP_HEADERS_MAX * sizeof(struct http_field));
    buf_init(&head->arguments, budget, limit_bytes * sizeof(struct http_field));
    buf_init(&head->dropped, budget, limit_bytes * sizeof(struct http_field));
}

void
http_head_fini(struct http_head *head)
{
    buf_fini(&head->text);
    buf_fini(&head->sent);
    buf_fini(&head->location);
    buf_fini(&head->headers);
    buf_fini(&head->arguments);
    buf_fini(&head->dropped);
}

void
http_head_charge(struct http_head *head, struct budget *above)
{
    struct buf *all[] = {&head->text,    &head->sent,      &head->location,
                         &head->headers, &head->arguments, &head->dropped};
    for (size_t i = 0; i < sizeof all / sizeof *all && all[i]->budget != above; i++) {
        budget_move_up(all[i]->budget, all[i]->capacity, above);
        all[i]->budget = above;
    }
}

size_t
http_head_end(struct bytes text, size_t *scanned)
{
    while (*scanned < text.size) {
        const uint8_t *lf = memchr(text.at + *scanned, '\n', text.size - *scanned);
        if (lf == NULL) {
            *scanned = text.size;
            return 0;
        }
        size_t at = (size_t)(lf - text.at), left = text.size - at;
        if (left > 1 && lf[1] == '\n') return at + 2;
        if (left > 2 && lf[1] == '\r' && lf[2] == '\n') return at + 3;
        *scanned = at; /* the bytes that decide about this line may not have arrived */
        if (left == 1 || (left == 2 && lf[1] == '\r')) return 0;
        *scanned = at + 1;
    }
    return 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool
is_token_byte(uint8_t c)
{
    return ascii_is_word(c) || (c != '\0' && strchr("!#$%&'*+-.^`|~", c) != NULL);
}

static bool
is_token(const char *text)
{
    const char *at = text;
    while (is_token_byte((uint8_t)*at))
        at++;
    return at > text && *at == '\0';
}

static bool
is_text_byte(uint8_t c)
{
    return c < ' ' ? c == '\t' : c != 0x7f;
}

/* Cuts off the line at `*at`, NUL-terminated in place. False: it has a control character. */
static bool
next_line(char **at, char **ret_line)
{
    char *line = *at, *end = strchr(line, '\n'); /* the text ends in an empty line, and a NUL */
    if (end == NULL) return false;
    *at = end + 1;
    if (end > line && end[-1] == '\r') end--;
    *end = '\0';
    *ret_line = line;
    for (const char *c = line; c < end; c++)
        if (!is_text_byte((uint8_t)*c)) return false;
    return true;
}

/* --- the path --------------------------------------------------------------------------------- */

/* Returns 1 for "." and 2 for "..", with %2e for a dot; 0 for other segments. */
static unsigned
dots_of(struct bytes segment)
{
    unsigned dots = 0;
    for (size_t i = 0; i < segment.size; dots++) {
        uint8_t c;
        size_t step = percent_step(segment.at + i, segment.size - i, &c);
        if (step == 0 || c != '.' || dots == 2) return 0;
        i += step;
    }
    return dots;
}

static struct bytes
segment_at(struct bytes path, size_t at)
{
    const uint8_t *end = memchr(path.at + at, '/', path.size - at);
    return bytes_of(path.at + at, end == NULL ? path.size - at : (size_t)(end - path.at) - at);
}

static bool
is_clean(struct bytes path)
{
    for (size_t at = 1; at < path.size;) {
        struct bytes segment = segment_at(path, at);
        if (segment.size == 0 || dots_of(segment) > 0) return false;
        at += segment.size + 1;
    }
    return true;
}

/* The bytes that stay as they are in a URL; escapes stay, too. */
static const char url_chars[] = "!$&'()*+,;=:@%/?[]{}|";

bool
http_path_clean(struct bytes path, struct buf *to)
{
    size_t begin = to->size;
    if (path.size == 0 || path.at[0] != '/' || is_clean(path)) return false;
    for (size_t at = 1; at < path.size;) {
        struct bytes segment = segment_at(path, at);
        unsigned dots = dots_of(segment);
        at += segment.size + 1;
        if (segment.size == 0 || dots == 1) continue;
        if (dots == 2) {
            while (to->size > begin && to->at[--to->size] != '/') {
            }
            continue;
        }
        buf_put_u8(to, '/');
        buf_put_percent(to, segment, url_chars);
    }
    if (to->size == begin || path.at[path.size - 1] == '/') buf_put_u8(to, '/');
    return true;
}

/* Unescapes in place. Returns the invalid escape, or one of a NUL in a path; NULL: all are fine. */
static const char *
unescape(char *text, bool in_query)
{
    char *to = text;
    if (text[strcspn(text, in_query ? "%+" : "%")] == '\0') return NULL;
    size_t left = strlen(text);
    for (size_t step; left > 0; text += step, left -= step) {
        uint8_t c;
        step = percent_step((const uint8_t *)text, left, &c);
        if (step == 0 || (c == '\0' && !in_query)) return text;
        *to++ = in_query && *text == '+' ? ' ' : (char)c;
    }
    *to = '\0';
    return NULL;
}

/* --- the query -------------------------------------------------------------------------------- */

/* Reads an argument like Go's net/url: checks for semicolons first, and drops a malformed one, of
 * which the name stays as far as it is well-formed. */
static void
read_argument(struct http_head *h, char *text)
{
    char sentence[HTTP_WRONG_BYTES] = "", *value = strchr(text, '=');
    const char *base = (const char *)h->text.at;
    struct http_field field = {.name = (uint32_t)(text - base)};
    if (strchr(text, ';') != NULL) {
        snprintf(sentence, sizeof sentence, "invalid semicolon separator in query");
        if (value != NULL) *value = '\0';
        (void)unescape(text, true);
    } else {
        if (value != NULL) *value++ = '\0';
        const char *wrong = unescape(text, true);
        if (wrong == NULL && value != NULL) wrong = unescape(value, true);
        if (wrong != NULL)
            snprintf(sentence, sizeof sentence, "invalid URL escape \"%.3s\"", wrong);
    }
    if (sentence[0] != '\0') {
        if (h->wrong_query[0] == '\0') memcpy(h->wrong_query, sentence, sizeof sentence);
        buf_put(&h->dropped, &field, sizeof field);
        return;
    }
    field.value = (uint32_t)((value == NULL ? text + strlen(text) : value) - base);
    assert(field.name <= field.value);  /* invariant 1 */
    assert(field.value < h->text.size); /* invariant 1 */
    buf_put(&h->arguments, &field, sizeof field);
}

static void
read_query(struct http_head *h, char *query)
{
    h->bad_query = strstr(query, "%00") != NULL;
    for (char *next; query != NULL; query = next) {
        next = strchr(query, '&');
        if (next != NULL) *next++ = '\0';
        if (query[0] != '\0') read_argument(h, query);
    }
}

/* --- the target ------------------------------------------------------------------------------- */

/* "http://host/path", as clients write it for a proxy, means the path. */
static char *
path_of(char *target)
{
    static char root[] = "/"; /* never written: it has no escapes */
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme == 0) return target;
    char *end = target + scheme + strcspn(target + scheme, "/?");
    if (*end == '/') return end;
    if (*end == '\0') return root;
    end[-1] = '/'; /* before the query; overwrites the host, which is not used */
    return end - 1;
}

static unsigned
read_target(struct http_head *h, char *target, const char **ret_why)
{
    /* The target is a copy unless the parser leaves it as it is. `sent` gets its memory at once:
     * views of it stay valid. */
    bool is_kept = target[0] == '/' && target[strcspn(target, "?%")] == '\0';
    h->target = target;
    if (!is_kept && buf_reserve(&h->sent, 2 * (strlen(target) + 1))) {
        h->target = (const char *)h->sent.at;
        buf_put(&h->sent, target, strlen(target) + 1);
    }
    char *path = path_of(target), *query = strchr(path, '?');
    size_t size = query == NULL ? strlen(path) : (size_t)(query - path);
    *ret_why = "malformed request target";
    if (http_path_clean(bytes_of(path, size), &h->location)) {
        if (query != NULL) buf_put_percent(&h->location, bytes_of_text(query), url_chars);
        buf_put_u8(&h->location, '\0');
    }
    if (query != NULL) *query++ = '\0';
    if (strcasestr(path, "%2f") != NULL && buf_error(&h->sent) == OK) {
        h->sent_path = (const char *)h->sent.at + h->sent.size;
        buf_put(&h->sent, path, size + 1);
    }
    h->path = path;
    if (unescape(path, false) != NULL) return 400;
    if (query != NULL) read_query(h, query);
    *ret_why = "not enough memory";
    bool whole = buf_error(&h->location) == OK && buf_error(&h->sent) == OK &&
                 buf_error(&h->arguments) == OK && buf_error(&h->dropped) == OK;
    return whole ? 0 : 503;
}

static unsigned
read_request_line(struct http_head *h, char *line, const char **ret_why)
{
    char *target = strchr(line, ' '), *version = strrchr(line, ' ');
    *ret_why = "malformed request line";
    if (target == NULL || version == target) return 400;
    *target++ = *version++ = '\0';
    if (!is_token(line) || target[0] == '\0' || target[strcspn(target, " \t")] != '\0') return 400;
    if (strlen(version) != 8 || strncmp(version, "HTTP/", 5) != 0 ||
        !ascii_is_digit((uint8_t)version[5]) || version[6] != '.' ||
        !ascii_is_digit((uint8_t)version[7]))
        return 400;
    if (strcmp(line, "PRI") == 0 && version[5] == '2') { /* how HTTP/2 begins */
        *ret_why = "HTTP/2 is not supported: send OTLP by HTTP, as the exporter otlphttp, and not "
                   "by gRPC as to port 4317";
        return 505;
    }
    h->method = line;
    h->old = version[7] == '0';
    h->keeps = !h->old;
    unsigned status = read_target(h, target, ret_why);
    if (status != 0 || version[5] == '1') return status;
    *ret_why = "HTTP version not supported";
    return 505;
}

/* --- headers ---------------------------------------------------------------------------------- */

/* RFC 9110, 7.2: a name or an address, perhaps with a port. */
static bool
is_host(const char *text)
{
    while (ascii_is_word((uint8_t)*text) ||
           (*text != '\0' && strchr("-.~!$&'()*+,;=:[]%", *text) != NULL))
        text++;
    return *text == '\0';
}

/* Returns false for text that is not a number. More digits than fit become UINT64_MAX. */
static bool
parse_length(const char *text, uint64_t *ret_length)
{
    uint64_t length = 0;
    bool fits = true;
    if (*text == '\0') return false;
    for (; *text != '\0'; text++) {
        if (!ascii_is_digit((uint8_t)*text)) return false;
        fits = fits && !__builtin_mul_overflow(length, 10, &length) &&
               !__builtin_add_overflow(length, (uint64_t)(*text - '0'), &length);
    }
    *ret_length = fits ? length : UINT64_MAX;
    return true;
}

bool
http_list_has(const char *list, const char *word)
{
    size_t size = strlen(word);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        size_t span = strcspn(list, " \t,");
        if (span == size && strncasecmp(list, word, size) == 0) return true;
        list += span;
    }
    return false;
}

static void
look_at_header(struct http_head *h, const char *name, const char *value)
{
    if (strcasecmp(name, "content-length") == 0) {
        uint64_t was = h->length;
        h->bad |= !parse_length(value, &h->length) || (h->has_length && h->length != was);
        h->has_length = true;
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        /* HTTP/1.0 has none: a proxy of that time would not know where the body ends. */
        if (h->chunked || h->coded || h->old) h->bad = true;
        h->chunked = strcasecmp(value, "chunked") == 0;
        h->coded = !h->chunked;
    } else if (strcasecmp(name, "expect") == 0) {
        h->expects = !h->old;
        if (strcasecmp(value, "100-continue") != 0) h->expects_other = true;
    } else if (strcasecmp(name, "content-encoding") == 0) {
        h->encoding = value;
    } else if (strcasecmp(name, "host") == 0) {
        h->host_count++;
        if (!is_host(value)) h->bad_host = true;
    } else if (strcasecmp(name, "connection") == 0) {
        if (http_list_has(value, "close")) h->closes = true;
        if (h->old && http_list_has(value, "keep-alive")) h->keeps = true;
    }
}

/* Splits a line; the value loses the white space around it. False: not a header. */
static bool
read_header(char *line, char **ret_value)
{
    char *value = strchr(line, ':');
    if (value == NULL) return false;
    *value++ = '\0';
    if (!is_token(line)) return false; /* also a folded line, and a blank before the colon */
    value += strspn(value, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        size--;
    value[size] = '\0';
    *ret_value = value;
    return true;
}

unsigned
http_head_parse(struct http_head *h, const char **ret_why)
{
    bool has_nul = memchr(h->text.at, '\0', h->text.size) != NULL;
    *ret_why = "not enough memory";
    buf_put_u8(&h->text, '\0');
    if (buf_error(&h->text)) return 503;
    if (!buf_reserve(&h->headers, 16 * sizeof(struct http_field))) return 503;
    *ret_why = "malformed request";
    char *base = (char *)h->text.at, *at = base, *line, *value;
    if (has_nul || !next_line(&at, &line)) return 400;
    unsigned status = read_request_line(h, line, ret_why);
    if (status != 0) return status;
    for (;;) {
        *ret_why = "malformed header";
        if (!next_line(&at, &line)) return 400;
        if (line[0] == '\0') break;
        if (!read_header(line, &value)) return 400;
        struct http_field field = {(uint32_t)(line - base), (uint32_t)(value - base)};
        assert(field.value < h->text.size); /* invariant 1 */
        buf_put(&h->headers, &field, sizeof field);
        if (buf_error(&h->headers)) {
            bool many = buf_error(&h->headers) == ERR_LIMIT;
            *ret_why = many ? "too many headers" : "not enough memory";
            return many ? 431 : 503;
        }
        look_at_header(h, line, value);
    }
    if (h->closes) h->keeps = false; /* whichever comes first: RFC 9112, 9.3 */
    *ret_why = h->host_count == 0  ? "missing required Host header"
               : h->host_count > 1 ? "more than one Host header"
                                   : "malformed Host header";
    /* RFC 9112, 3.2: exactly one Host header is required; HTTP/1.0 may omit it. */
    bool fine = h->host_count == 0 ? h->old : h->host_count == 1 && !h->bad_host;
    return fine ? 0 : 400;
}

/* --- look-ups --------------------------------------------------------------------------------- */

static struct http_field
field_at(const struct buf *fields, uint32_t index)
{
    struct http_field field;
    memcpy(&field, fields->at + index * sizeof field, sizeof field);
    return field;
}

static uint32_t
field_count(const struct buf *fields)
{
    assert(fields->size % sizeof(struct http_field) == 0); /* invariant 1 */
    return (uint32_t)(fields->size / sizeof(struct http_field));
}

const char *
http_head_header(const struct http_head *h, const char *name)
{
    const char *base = (const char *)h->text.at;
    for (uint32_t i = 0; i < field_count(&h->headers); i++) {
        struct http_field field = field_at(&h->headers, i);
        if (strcasecmp(base + field.name, name) == 0) return base + field.value;
    }
    return NULL;
}

unsigned
http_head_header_count(const struct http_head *h, const char *name)
{
    const char *base = (const char *)h->text.at;
    unsigned count = 0;
    for (uint32_t i = 0; i < field_count(&h->headers); i++)
        count += strcasecmp(base + field_at(&h->headers, i).name, name) == 0;
    return count;
}

bool
http_head_header_at(const struct http_head *h, uint32_t index, const char **ret_name,
                    const char **ret_value)
{
    const char *base = (const char *)h->text.at;
    if (index >= field_count(&h->headers)) return false;
    struct http_field field = field_at(&h->headers, index);
    *ret_name = base + field.name;
    *ret_value = base + field.value;
    return true;
}

const char *
http_head_argument(const struct http_head *h, const char *name, uint32_t *at)
{
    const char *base = (const char *)h->text.at;
    while (*at < field_count(&h->arguments)) {
        struct http_field field = field_at(&h->arguments, (*at)++);
        if (strcmp(base + field.name, name) == 0) return base + field.value;
    }
    return NULL;
}

bool
http_head_drops(const struct http_head *h, const char *prefix)
{
    const char *base = (const char *)h->text.at;
    bool any = false;
    for (uint32_t i = 0; i < field_count(&h->dropped) && !any; i++)
        any = strncmp(base + field_at(&h->dropped, i).name, prefix, strlen(prefix)) == 0;
    return any;
}

/* --- bodies in chunks ------------------------------------------------------------------------- */

static bool
size_digit(struct http_chunks *c, uint8_t byte)
{
    int digit = hex_digit(byte);
    if (digit < 0 || c->digits == 16) return false;
    c->left = c->left << 4 | (uint64_t)digit;
    c->digits++;
    return true;
}

static bool
after_size(struct http_chunks *c, uint8_t byte)
{
    c->at = byte == '\r'  ? HTTP_CHUNK_SIZE_LF
            : byte == ';' ? HTTP_CHUNK_EXTENSION
                          : HTTP_CHUNK_BLANK;
    return byte == '\r' || byte == ';' || byte == ' ' || byte == '\t';
}

/* Takes a byte that is not data. False: it is not allowed there. */
static bool
control_byte(struct http_chunks *c, uint8_t byte)
{
    bool trailer = c->at >= HTTP_CHUNK_TRAILER;
    if (++c->line_bytes > (trailer ? HTTP_TRAILERS_BYTES_MAX : HTTP_CHUNK_LINE_MAX)) return false;
    switch (c->at) {
    case HTTP_CHUNK_SIZE:
        return size_digit(c, byte) || (c->digits > 0 && after_size(c, byte));
    case HTTP_CHUNK_BLANK:
        return after_size(c, byte);
    case HTTP_CHUNK_EXTENSION:
        if (byte == '\r') c->at = HTTP_CHUNK_SIZE_LF;
        return byte == '\r' || is_text_byte(byte);
    case HTTP_CHUNK_SIZE_LF:
        c->at = c->left > 0 ? HTTP_CHUNK_DATA : HTTP_CHUNK_TRAILER;
        c->line_bytes = 0;
        return byte == '\n';
    case HTTP_CHUNK_DATA_CR:
        c->at = HTTP_CHUNK_DATA_LF;
        return byte == '\r';
    case HTTP_CHUNK_DATA_LF:
        *c = (struct http_chunks){.at = HTTP_CHUNK_SIZE};
        return byte == '\n';
    case HTTP_CHUNK_TRAILER:
        c->at = byte == '\r' ? HTTP_CHUNK_END_LF : HTTP_CHUNK_TRAILER_NAME;
        return byte == '\r' || is_token_byte(byte);
    case HTTP_CHUNK_TRAILER_NAME:
        if (byte == ':') c->at = HTTP_CHUNK_TRAILER_VALUE;
        return byte == ':' || is_token_byte(byte);
    case HTTP_CHUNK_TRAILER_VALUE:
        if (byte == '\r') c->at = HTTP_CHUNK_TRAILER_LF;
        return byte == '\r' || is_text_byte(byte);
    case HTTP_CHUNK_TRAILER_LF:
        c->at = HTTP_CHUNK_TRAILER;
        return byte == '\n';
    case HTTP_CHUNK_END_LF:
        c->at = HTTP_CHUNK_DONE;
        return byte == '\n';
    default:
        return false;
    }
}

enum err
http_chunks_take(struct http_chunks *c, struct bytes *from, struct bytes *ret_piece)
{
    *ret_piece = bytes_of(from->at, 0);
    while (from->size > 0 && c->at != HTTP_CHUNK_DONE) {
        if (c->at == HTTP_CHUNK_DATA) {
            assert(c->left > 0); /* invariant 2 */
            size_t size = from->size < c->left ? from->size : (size_t)c->left;
            *ret_piece = bytes_of(from->at, size);
            *from = bytes_of(from->at + size, from->size - size);
            c->left -= size;
            if (c->left == 0) c->at = HTTP_CHUNK_DATA_CR;
            return OK;
        }
        if (!control_byte(c, from->at[0])) return ERR_INPUT;
        *from = bytes_of(from->at + 1, from->size - 1);
    }
    return OK;
}
