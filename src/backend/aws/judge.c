/*
 * judge.c - reads and judges answers of AWS.
 *
 * The code of an error decides, and the status only if the code is unknown: throttling often has
 * status 400. Messages are shown to people, so possible secrets are removed: a service that finds a
 * signature wrong may return the text that should have been signed, including the session token.
 */
#include "backend/aws/aws.h"

#include <ctype.h>
#include <expat.h>
#include <stdio.h>

#include "backend/common/http_common.h"
#include "base/mem.h"
#include "wire/json/json_scan.h"

enum {
    WORD_BYTES_MAX = 100,  /* in a message, between colons: longer ones may be tokens */
    CLOCK_SLACK_S = 60,    /* a clock this exact is not the reason of a refusal */
    CLOCK_CORRECTIONS = 3, /* consecutive ones, each followed by an immediate retry */
    ERROR_ARENA_BYTES = 2 * AWS_ANSWER_BYTES_MAX,
};

/* --- texts ------------------------------------------------------------------------------------ */

/* True if a part of a word is too long to be harmless: an ARN has colons, a token has none. */
static bool
may_be_secret(struct bytes word)
{
    size_t run = 0;
    for (size_t i = 0; i < word.size && run <= WORD_BYTES_MAX; i++)
        run = word.at[i] == ':' ? 0 : run + 1;
    return run > WORD_BYTES_MAX;
}

/* Writes the first line that is not empty, in printable ASCII, with "..." for possible secrets. */
static void
put_message(char *to, size_t to_bytes, struct bytes text)
{
    size_t used = 0, i = 0;
    while (i < text.size && text.at[i] <= ' ')
        i++;
    while (i < text.size && text.at[i] != '\n' && text.at[i] != '\r') {
        size_t end = i;
        while (end < text.size && text.at[end] > ' ')
            end++;
        struct bytes word = bytes_of(text.at + i, end - i);
        if (may_be_secret(word)) word = bytes_of_text("...");
        if (used + word.size + 2 > to_bytes) break;
        for (size_t k = 0; k < word.size; k++)
            to[used++] = word.at[k] < 0x7f ? (char)word.at[k] : '?';
        if (end < text.size && text.at[end] != '\n' && text.at[end] != '\r') {
            if (used > 0 && to[used - 1] != ' ') to[used++] = ' ';
            end++;
        }
        i = end;
    }
    while (used > 0 && to[used - 1] == ' ')
        used--;
    to[used] = '\0';
}

/* Writes the Code of "namespace#Code:http://...". */
static void
put_code(char *to, size_t to_bytes, struct bytes text)
{
    const uint8_t *hash = text.size == 0 ? NULL : memrchr(text.at, '#', text.size);
    size_t from = hash == NULL ? 0 : (size_t)(hash - text.at) + 1, used = 0;
    for (size_t i = from; i < text.size && used + 1 < to_bytes; i++) {
        uint8_t c = text.at[i];
        if (!isalnum(c) && c != '.' && c != '_' && c != '-') break;
        to[used++] = (char)c;
    }
    to[used] = '\0';
}

/* --- errors ----------------------------------------------------------------------------------- */

/* The body takes precedence over the header. A body may be cut: everything parsed before an
 * error is kept. */
void
aws_json_error(const struct http_call_answer *answer, struct aws_error *ret_error)
{
    struct aws_error error = {.code = ""};
    struct arena arena;
    struct bytes key, body = answer->body;
    if (body.size > AWS_ANSWER_BYTES_MAX) body.size = AWS_ANSWER_BYTES_MAX;
    arena_init(&arena, NULL, ERROR_ARENA_BYTES, 0);
    struct scan s = scan_of(body, &arena);
    scan_expect(&s, '{');
    while (s.bad == NULL && scan_key(&s, &key)) {
        bool is_code = bytes_equal_text(key, "__type") || bytes_equal_text(key, "code");
        bool is_message = bytes_equal_text(key, "message") || bytes_equal_text(key, "Message");
        if ((!is_code && !is_message) || scan_peek(&s) != '"') {
            scan_skip(&s);
            continue;
        }
        struct bytes text = scan_text(&s);
        bool better = error.code[0] == '\0' || bytes_equal_text(key, "__type");
        if (is_message) put_message(error.message, sizeof error.message, text);
        if (is_code && better) put_code(error.code, sizeof error.code, text);
    }
    arena_fini(&arena);
    if (error.code[0] == '\0') {
        put_code(error.code, sizeof error.code,
                 bytes_of_text(answer->wanted[AWS_WANTED_ERROR_TYPE]));
    }
    *ret_error = error;
}

void
aws_xml_error(const struct http_call_answer *answer, struct aws_error *ret_error)
{
    static const char *const roots[] = {"Error", "ErrorResponse", "Response", NULL};
    struct aws_error error = {.code = ""};
    char code[sizeof error.code], message[2048], region[AWS_REGION_BYTES];
    struct aws_xml_field fields[] = {
        {"Error", "Code", code, sizeof code},
        {"Error", "Message", message, sizeof message},
        {"Error", "Region", region, sizeof region},
    };
    err_ignore(aws_xml_read(answer->body, roots, fields, sizeof fields / sizeof *fields),
               "fields that were read are used; there are none without an error");
    put_code(error.code, sizeof error.code, bytes_of_text(code));
    put_message(error.message, sizeof error.message, bytes_of_text(message));
    put_code(error.region, sizeof error.region, bytes_of_text(region));
    *ret_error = error;
}

/* --- verdicts --------------------------------------------------------------------------------- */

static const char CLOCK[] = "clock"; /* compared by address */

static const struct error_rule {
    const char *code; /* a '*' at its end matches any suffix */
    enum writer_verdict verdict;
    const char *reason;
} rules[] = {
    {"Throttling*", VERDICT_THROTTLED, "throttled"},
    {"Throttled*", VERDICT_THROTTLED, "throttled"},
    {"TooManyRequests*", VERDICT_THROTTLED, "throttled"},
    {"LimitExceeded*", VERDICT_THROTTLED, "throttled"},
    {"RequestLimitExceeded*", VERDICT_THROTTLED, "throttled"},
    {"RequestThrottled*", VERDICT_THROTTLED, "throttled"},
    {"ProvisionedThroughputExceeded*", VERDICT_THROTTLED, "throttled"},
    {"BandwidthLimitExceeded*", VERDICT_THROTTLED, "throttled"},
    {"KMSThrottling*", VERDICT_THROTTLED, "throttled"},
    {"SlowDown*", VERDICT_THROTTLED, "throttled"},

    {"ServiceUnavailable*", VERDICT_RETRY, "unavailable"},
    {"Internal*", VERDICT_RETRY, "unavailable"},
    {"RequestTimeout*", VERDICT_RETRY, "unavailable"},
    {"IDPCommunicationError*", VERDICT_RETRY, "unavailable"},
    {"OperationAborted*", VERDICT_RETRY, "unavailable"},
    {"ConditionalRequestConflict*", VERDICT_RETRY, "conflict"},
    {"ResourceInUse*", VERDICT_RETRY, "unavailable"},
    {"BadDigest*", VERDICT_RETRY, "damaged"},
    {"XAmzContentSHA256Mismatch*", VERDICT_RETRY, "damaged"},

    {"RequestExpired*", VERDICT_AGAIN, CLOCK},
    {"RequestTimeTooSkewed*", VERDICT_AGAIN, CLOCK},
    {"RequestInTheFuture*", VERDICT_AGAIN, CLOCK},

    {"ExpiredToken*", VERDICT_UNPREPARED, "credentials"},
    {"UnrecognizedClient*", VERDICT_UNPREPARED, "credentials"},
    {"InvalidClientTokenId*", VERDICT_UNPREPARED, "credentials"},
    {"InvalidAccessKeyId*", VERDICT_UNPREPARED, "credentials"},
    {"InvalidToken*", VERDICT_UNPREPARED, "credentials"},
    {"TokenRefreshRequired*", VERDICT_UNPREPARED, "credentials"},
    {"InvalidSignature*", VERDICT_UNPREPARED, "credentials"},
    {"SignatureDoesNotMatch*", VERDICT_UNPREPARED, "credentials"},

    {"AccessDenied*", VERDICT_BLOCKED, "access_denied"},
    {"NotAuthorized*", VERDICT_BLOCKED, "access_denied"},
    {"UnauthorizedOperation*", VERDICT_BLOCKED, "access_denied"},
    {"KMSAccessDenied*", VERDICT_BLOCKED, "access_denied"},
    {"AllAccessDisabled*", VERDICT_BLOCKED, "access_denied"},
    {"AccountProblem*", VERDICT_BLOCKED, "access_denied"},
    {"OptInRequired*", VERDICT_BLOCKED, "access_denied"},
    {"IDPRejectedClaim*", VERDICT_BLOCKED, "access_denied"},
    {"InvalidIdentityToken*", VERDICT_BLOCKED, "access_denied"},
    {"ResourceNotFound*", VERDICT_BLOCKED, "not_found"},
    {"NoSuchBucket*", VERDICT_BLOCKED, "not_found"},
    {"KMSNotFound*", VERDICT_BLOCKED, "not_found"},
    {"ServiceQuotaExceeded*", VERDICT_BLOCKED, "quota"},
    {"AuthorizationHeaderMalformed*", VERDICT_BLOCKED, "region"},
    {"PermanentRedirect*", VERDICT_BLOCKED, "region"},
    {"IllegalLocationConstraint*", VERDICT_BLOCKED, "region"},
    {"RegionDisabled*", VERDICT_BLOCKED, "region"},
    {"MissingAuthenticationToken*", VERDICT_BLOCKED, "configuration"},
    {"IncompleteSignature*", VERDICT_BLOCKED, "configuration"},
    {"UnknownOperation*", VERDICT_BLOCKED, "configuration"},
    {"InvalidBucketName*", VERDICT_BLOCKED, "configuration"},
    {"InvalidKMSResource*", VERDICT_BLOCKED, "configuration"},
    {"KMSDisabled*", VERDICT_BLOCKED, "configuration"},
    {"KMSInvalidState*", VERDICT_BLOCKED, "configuration"},
    {"KMSOptInRequired*", VERDICT_BLOCKED, "configuration"},

    {"EntityTooLarge*", VERDICT_TOO_LARGE, "too_large"},
    {"RequestEntityTooLarge*", VERDICT_TOO_LARGE, "too_large"},
    {"RequestTooLarge*", VERDICT_TOO_LARGE, "too_large"},
    {"MaxMessageLengthExceeded*", VERDICT_TOO_LARGE, "too_large"},
};

static const struct error_rule *
rule_of(const char *code)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        size_t size = strcspn(rules[i].code, "*");
        bool all = rules[i].code[size] == '*';
        if (strncmp(code, rules[i].code, size) == 0 && (all || code[size] == '\0'))
            return &rules[i];
    }
    return NULL;
}

static enum writer_verdict
verdict_of_status(unsigned status)
{
    switch (status) {
    case 408:
    case 421:
    case 425:
        return VERDICT_RETRY;
    case 413:
        return VERDICT_TOO_LARGE;
    case 429:
        return VERDICT_THROTTLED;
    case 401:
    case 403:
    case 404:
    case 405: /* the address is not that of the service */
    case 407:
        return VERDICT_BLOCKED;
    default:
        if (status >= 500 || status < 300) return VERDICT_RETRY; /* an error with status 200 */
        return status >= 400 ? VERDICT_DEAD : VERDICT_BLOCKED;
    }
}

/* Every answer has AWS' own time. A clock that was already right is not the cause; and the limit
 * ends retries if every answer has another time. */
static enum writer_verdict
correct_clock(struct aws_clock *clock, int64_t date_s)
{
    int64_t ahead_s = date_s == 0 ? 0 : date_s - aws_clock_now_s(clock);
    if (ahead_s > -CLOCK_SLACK_S && ahead_s < CLOCK_SLACK_S) return VERDICT_RETRY;
    clock->skew_s += ahead_s;
    if (clock->correction == CLOCK_CORRECTIONS) return VERDICT_RETRY;
    clock->correction++;
    return VERDICT_AGAIN;
}

/* --- messages --------------------------------------------------------------------------------- */

/* Parses "... is not authorized to perform: ACTION on resource: ARN ..." */
static bool
put_missing_permission(const struct aws_error *error, char *to, size_t to_bytes)
{
    /* not shown: looked for in answers */
    static const char marks[][32] = {"is not authorized to perform: ", "on resource: "};
    const char *action = strstr(error->message, marks[0]);
    if (action == NULL) return false;
    action += strlen(marks[0]);
    int action_size = (int)strcspn(action, " ,");
    const char *resource = strstr(action, marks[1]);
    if (resource != NULL) resource += strlen(marks[1]);
    int resource_size = resource == NULL ? 0 : (int)strcspn(resource, " ,");
    snprintf(to, to_bytes, "%s: permission %.*s%s%.*s is missing: %s", error->code, action_size,
             action, resource_size > 0 ? " on " : "", resource_size,
             resource == NULL ? "" : resource, error->message);
    return true;
}

static void
put_answer(const struct http_call_answer *answer, const struct aws_error *error,
           enum writer_verdict verdict, char *to, size_t to_bytes)
{
    char begin[160];
    if (verdict == VERDICT_BLOCKED && put_missing_permission(error, to, to_bytes)) return;
    if (error->code[0] != '\0') {
        snprintf(to, to_bytes, "%s%s%s", error->code, error->message[0] == '\0' ? "" : ": ",
                 error->message);
        return;
    }
    put_message(begin, sizeof begin, answer->body);
    snprintf(to, to_bytes, "HTTP status %u%s%s", answer->status, begin[0] == '\0' ? "" : ": ",
             begin);
}

static void
judge_error(struct aws_clock *clock, const struct http_call_answer *answer,
            const struct aws_error *error, struct writer_step *ret)
{
    const struct error_rule *rule = rule_of(error->code);
    /* A wrong signature may be due to its time rather than its key. */
    bool of_signature = strncmp(error->code, "InvalidSignature", 16) == 0 ||
                        strncmp(error->code, "SignatureDoesNotMatch", 21) == 0;
    bool names_time = strcasestr(error->message, "signature expired") != NULL ||
                      strcasestr(error->message, "signature not yet current") != NULL;
    if ((rule != NULL && rule->reason == CLOCK) || (of_signature && names_time)) {
        ret->verdict = correct_clock(clock, answer->date_s);
        snprintf(ret->reason, sizeof ret->reason, "%s", CLOCK);
    } else if (rule != NULL) {
        ret->verdict = rule->verdict;
        snprintf(ret->reason, sizeof ret->reason, "%s", rule->reason);
    } else {
        ret->verdict = verdict_of_status(answer->status);
        /* AWS gives a reason for refusing data, or status 419: without them the answer comes
         * from a proxy or portal. */
        bool is_aws = error->code[0] != '\0' || answer->status == 419;
        if (ret->verdict == VERDICT_DEAD && !is_aws) ret->verdict = VERDICT_BLOCKED;
        snprintf(ret->reason, sizeof ret->reason, "http_%u", answer->status);
    }
    ret->wait_ms = answer->retry_after_ns / NS_PER_MS;
    put_answer(answer, error, ret->verdict, ret->answer, sizeof ret->answer);
}

static void
judge_answer(struct aws_clock *clock, const struct http_call_answer *answer, bool is_xml,
             struct writer_step *ret)
{
    struct aws_error error = {.code = ""};
    *ret = (struct writer_step){.next = WRITER_DONE, .verdict = VERDICT_DELIVERED};
    if (answer->failure != HTTP_CALL_ANSWERED) {
        http_judge_silence(answer, ret);
        return;
    }
    bool good = answer->status >= 200 && answer->status < 300;
    if (is_xml)
        aws_xml_error(answer, &error);
    else if (!good)
        aws_json_error(answer, &error);
    if (good && error.code[0] == '\0')
        clock->correction = 0;
    else
        judge_error(clock, answer, &error, ret);
}

void
aws_json_judge(struct aws_clock *clock, const struct http_call_answer *answer,
               struct writer_step *ret_step)
{
    judge_answer(clock, answer, false, ret_step);
}

void
aws_xml_judge(struct aws_clock *clock, const struct http_call_answer *answer,
              struct writer_step *ret_step)
{
    judge_answer(clock, answer, true, ret_step);
}

/* --- XML -------------------------------------------------------------------------------------- */

/* Without a document type there are no entities to define, so no text expands. */

enum { NAME_BYTES = 40 /* names that are searched for are shorter */ };

struct xml_reading {
    XML_Parser parser;
    const struct aws_xml_form *form;
    char names[AWS_XML_DEPTH_MAX][NAME_BYTES]; /* the open elements */
    unsigned depth;
    struct aws_xml_field *taking; /* NULL: the text here is not wanted */
    unsigned taking_depth;
    enum err stopped;
};

static void
xml_stop(struct xml_reading *r, enum err e)
{
    r->stopped = e;
    XML_StopParser(r->parser, XML_FALSE);
}

static void
on_start(void *context, const char *name, const char **attributes)
{
    struct xml_reading *r = context;
    const struct aws_xml_form *form = r->form;
    (void)attributes;
    if (r->stopped != OK) return;
    if (r->depth == AWS_XML_DEPTH_MAX) {
        xml_stop(r, ERR_LIMIT);
        return;
    }
    const char *const *root = form->roots;
    while (r->depth == 0 && *root != NULL && strcmp(*root, name) != 0)
        root++;
    if (*root == NULL) {
        xml_stop(r, ERR_MISSING);
        return;
    }
    size_t size = strlen(name);
    if (size >= NAME_BYTES) size = 0;
    memcpy(r->names[r->depth], name, size);
    r->names[r->depth][size] = '\0';
    const char *parent = r->depth == 0 ? "" : r->names[r->depth - 1];
    r->depth++;
    for (uint32_t i = 0; i < form->count && r->taking == NULL; i++) {
        struct aws_xml_field *f = &form->fields[i];
        if (f->to[0] != '\0' || strcmp(f->name, name) != 0) continue;
        if (f->parent != NULL && strcmp(f->parent, parent) != 0) continue;
        r->taking = f;
        r->taking_depth = r->depth;
    }
}

static void
on_end(void *context, const char *name)
{
    struct xml_reading *r = context;
    const struct aws_xml_form *form = r->form;
    if (r->stopped != OK) return;
    if (r->taking != NULL && r->depth == r->taking_depth) r->taking = NULL;
    r->depth--;
    if (form->item == NULL || strcmp(form->item, name) != 0) return;
    enum err e = form->each(form->context);
    if (e) xml_stop(r, e);
    for (uint32_t i = 0; i < form->count; i++) {
        const char *parent = form->fields[i].parent;
        if (parent != NULL && strcmp(parent, name) == 0) form->fields[i].to[0] = '\0';
    }
}

static void
on_text(void *context, const char *text, int size)
{
    struct xml_reading *r = context;
    struct aws_xml_field *f = r->taking;
    if (f == NULL || r->stopped != OK || r->depth != r->taking_depth) return;
    size_t used = strlen(f->to), more = (size_t)size;
    if (more > f->to_bytes - 1 - used) {
        more = f->to_bytes - 1 - used;
        if (r->form->is_exact) xml_stop(r, ERR_INPUT);
    }
    memcpy(f->to + used, text, more);
    f->to[used + more] = '\0';
}

static void
on_doctype(void *context, const char *name, const char *system, const char *public, int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    xml_stop(context, ERR_INPUT);
}

enum err
aws_xml_walk(struct bytes body, const struct aws_xml_form *form)
{
    struct xml_reading r = {.form = form};
    for (uint32_t i = 0; i < form->count; i++)
        form->fields[i].to[0] = '\0';
    bool whole = body.size <= form->bytes_max;
    /* S3 sends blanks before the document to keep a connection open while it works. */
    while (body.size > 0 && body.at[0] <= ' ')
        body = bytes_of(body.at + 1, body.size - 1);
    int size = (int)(body.size < form->bytes_max ? body.size : form->bytes_max);
    r.parser = XML_ParserCreate(NULL);
    if (r.parser == NULL) return ERR_NOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    const char *at = body.size == 0 ? "" : (const char *)body.at;
    bool read = XML_Parse(r.parser, at, size, whole) == XML_STATUS_OK;
    bool no_memory = !read && XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    if (r.stopped != OK) return r.stopped;
    if (no_memory) return ERR_NOMEM;
    if (!read) return ERR_INPUT;
    return whole ? OK : ERR_LIMIT;
}

enum err
aws_xml_read(struct bytes body, const char *const *roots, struct aws_xml_field *fields,
             uint32_t count)
{
    const struct aws_xml_form form = {
        .roots = roots, .fields = fields, .count = count, .bytes_max = AWS_XML_BYTES_MAX};
    return aws_xml_walk(body, &form);
}
