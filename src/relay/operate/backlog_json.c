/*
 * backlog_json.c - writes and reads the backlog of a destination as JSON. Format:
 * docs/operations.md.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text/json.h"
#include "relay/operate/backlog.h"

enum { HASH_TEXT_BYTES = 17 };

static const char *const condition_words[BACKLOG_CONDITION_COUNT] = {"resting", "closed", "blocked",
                                                                     "file"};

/* --- written ---------------------------------------------------------------------------------- */

/* Puts a hash as text: it may exceed the largest number of JSON. */
static void
put_hash(struct json *j, const char *key, bool known, uint64_t hash)
{
    char text[HASH_TEXT_BYTES];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    json_key(j, key);
    if (known)
        json_put_text(j, text);
    else
        json_put_null(j);
}

void
relay_backlog_print(const struct relay_backlog *b, struct json *j)
{
    json_member_text(j, "condition", condition_words[b->condition]);
    json_member_text(j, "problem", b->unreadable.text);
    json_key(j, "type");
    if (b->type == DESTINATION_TYPE_COUNT)
        json_put_null(j);
    else
        json_put_text(j, destination_type_word(b->type));
    put_hash(j, "place", b->destination_known, b->place);
    put_hash(j, "selection", b->selection_known, b->selection);
    json_member_bool(j, "queuedKnown", b->queued_known);
    json_member_uint(j, "samplesAtMost", b->samples);
    json_member_uint(j, "exemplarsAtMost", b->exemplars);
    json_member_uint(j, "logBytes", b->log_bytes);
    json_member_bool(j, "filling", b->filling);
    json_member_bool(j, "logGone", b->gone);
    json_member_bool(j, "deadLettersKnown", b->letters_known);
    json_member_uint(j, "deadLetters", b->letters);
    json_member_text(j, "deadLettersProblem", b->letters_problem.text);
    json_member_uint(j, "objects", b->own_files.objects);
    json_member_uint(j, "objectBytes", b->own_files.object_bytes);
    json_member_uint(j, "files", b->own_files.files);
    json_member_uint(j, "fileBytes", b->own_files.file_bytes);
}

/* --- read ------------------------------------------------------------------------------------- */

static const char *
text_of(const json_t *one, const char *key)
{
    const char *text = json_string_value(json_object_get(one, key));
    return text == NULL ? "" : text;
}

static uint64_t
uint_of(const json_t *one, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(one, key));
    return value > 0 ? (uint64_t)value : 0;
}

static bool
bool_of(const json_t *one, const char *key)
{
    return json_is_true(json_object_get(one, key));
}

static bool
hash_of(const json_t *one, const char *key, uint64_t *ret_hash)
{
    char *end;
    const char *text = text_of(one, key);
    *ret_hash = strtoull(text, &end, 16);
    return strlen(text) == HASH_TEXT_BYTES - 1 && *end == '\0';
}

enum err
relay_backlog_take(const json_t *one, char ret_name[DESTINATION_NAME_BYTES_MAX + 1],
                   struct relay_backlog *ret_backlog)
{
    struct relay_backlog b = {
        .type = destination_type_of(bytes_of_text(text_of(one, "type"))),
        .queued_known = bool_of(one, "queuedKnown"),
        .samples = uint_of(one, "samplesAtMost"),
        .exemplars = uint_of(one, "exemplarsAtMost"),
        .log_bytes = uint_of(one, "logBytes"),
        .filling = bool_of(one, "filling"),
        .gone = bool_of(one, "logGone"),
        .letters_known = bool_of(one, "deadLettersKnown"),
        .letters = uint_of(one, "deadLetters"),
        .own_files = {.objects = uint_of(one, "objects"),
                      .object_bytes = uint_of(one, "objectBytes"),
                      .files = uint_of(one, "files"),
                      .file_bytes = uint_of(one, "fileBytes")},
    };
    const char *name = text_of(one, "name");
    size_t size = strlen(name);
    if (size == 0 || size > DESTINATION_NAME_BYTES_MAX) return ERR_UNSUPPORTED;
    /* The absence of errors is stated explicitly. */
    const char *word = text_of(one, "condition");
    unsigned condition = 0;
    while (condition < BACKLOG_CONDITION_COUNT && strcmp(word, condition_words[condition]) != 0) {
        condition++;
    }
    if (condition == BACKLOG_CONDITION_COUNT) return ERR_UNSUPPORTED;
    b.condition = (enum backlog_condition)condition;
    b.destination_known = hash_of(one, "place", &b.place);
    b.selection_known = hash_of(one, "selection", &b.selection);
    snprintf(b.unreadable.text, sizeof b.unreadable.text, "%s", text_of(one, "problem"));
    snprintf(b.letters_problem.text, sizeof b.letters_problem.text, "%s",
             text_of(one, "deadLettersProblem"));
    memcpy(ret_name, name, size + 1);
    *ret_backlog = b;
    return OK;
}
