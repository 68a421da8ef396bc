/*
 * json_tree.c - see json_tree.h. The limits are checked before jansson sees the text: a scan counts
 * brackets and commas outside of strings, which bound the depth and the number of values.
 */
#include "wire/json/json_tree.h"

enum {
    DEPTH_MAX = 16,
    /* The most that jansson 2.14 takes for a value, its name and its place in an object or array:
     * an empty object with its first eight buckets, on 64 bits. */
    VALUE_BYTES = 400,
};

/* Returns the most values that the text can have; 0 if they are nested too deep. */
static size_t
count_values(struct bytes text)
{
    size_t count = 1;
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.at[i];
        if (in_string) {
            if (c == '\\') i++;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            count++;
            if (++depth > DEPTH_MAX) return 0;
        } else if (c == '}' || c == ']') {
            if (depth > 0) depth--; /* jansson stops at the first that closes nothing */
        } else if (c == ',') {
            count++;
        }
    }
    return count;
}

enum err
json_tree_read(struct budget *budget, struct bytes text, uint32_t value_max, struct json_tree *ret,
               struct why *why)
{
    json_error_t error;
    *ret = (struct json_tree){.root = NULL};
    size_t count = count_values(text);
    if (count == 0) return why_set(why, ERR_LIMIT, "JSON is nested deeper than %d", DEPTH_MAX);
    if (count > value_max)
        return why_set(why, ERR_LIMIT, "JSON has more than %u values", value_max);
    uint64_t charged_bytes = count * VALUE_BYTES + 2 * text.size;
    enum err e = budget_take(budget, charged_bytes);
    if (e) return e;
    json_t *root = json_loadb(text.size == 0 ? "" : (const char *)text.at, text.size,
                              JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(root)) {
        *ret = (struct json_tree){root, budget, charged_bytes};
        return OK;
    }
    if (root != NULL)
        e = why_set(why, ERR_INPUT, "JSON is not an object");
    else if (json_error_code(&error) == json_error_out_of_memory)
        e = ERR_NOMEM;
    else if (json_error_code(&error) == json_error_duplicate_key)
        e = why_set(why, ERR_INPUT, "a name occurs twice in a JSON object");
    else
        e = why_set(why, ERR_INPUT, "invalid JSON at byte %d", error.position);
    json_decref(root);
    budget_give(budget, charged_bytes);
    return e;
}

void
json_tree_fini(struct json_tree *json)
{
    json_decref(json->root);
    budget_give(json->budget, json->charged_bytes);
    *json = (struct json_tree){.root = NULL};
}

struct bytes
json_tree_text(const json_t *value)
{
    if (!json_is_string(value)) return bytes_of(NULL, 0);
    return bytes_of(json_string_value(value), json_string_length(value));
}
