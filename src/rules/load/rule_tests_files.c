/*
 * rule_tests_files.c - finds the rule files that a test file names. A pattern is expanded element
 * by element: the part before a '/' with wildcards becomes paths, and the rest is appended to each
 * of them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text/path_from.h"
#include "base/text/shown.h"
#include "rules/load/rule_tests.h"
#include "sys/env.h"
#include "sys/file_pattern.h"

/* Links in circles multiply directories. */
enum { EXPANDED_MAX = 20000 };

struct rule_files_found {
    struct env *env;
    const char *file;  /* the test file */
    uint32_t expanded; /* elements with wildcards, for each of which a directory is listed */
    struct arena *arena;
    struct text_list found;
    uint32_t first;   /* the current pattern's first match */
    const char *rest; /* the rest of the current pattern, after the element being expanded */
    struct why *why;
};

static enum err
found_no_memory(struct why *why)
{
    return why_set(why, ERR_NOMEM, "not enough memory for the names of rule files");
}

/* True if all brackets are closed and not empty, and no element ends in a backslash. */
static bool
is_complete(const char *p)
{
    for (; *p != '\0'; p++) {
        if (*p == '\\' && *++p == '\0') return false;
        if (*p != '[') continue;
        p += p[1] == '^' ? 2 : 1;
        for (bool first = true; first || *p != ']'; first = false, p++) {
            if (*p == '\0' || *p == ']' || *p == '-') return false;
            if (*p == '\\' && *++p == '\0') return false;
            if (p[1] != '-') continue;
            p += 2;
            if (*p == '\0' || *p == ']' || *p == '-') return false;
            if (*p == '\\' && *++p == '\0') return false;
        }
    }
    return true;
}

static enum err expand_from(struct rule_files_found *f, const char *pattern);

/* Adds a path of an element. */
static enum err
found_take_path(void *context, const char *path)
{
    struct rule_files_found *f = context;
    const char *rest = f->rest;
    size_t size = strlen(path), rest_size = strlen(rest);
    char *whole = arena_alloc(f->arena, size + rest_size + 1);
    if (whole == NULL) return found_no_memory(f->why);
    memcpy(whole, path, size);
    memcpy(whole + size, rest, rest_size + 1);
    if (rest_size > 0) {
        enum err e = expand_from(f, whole);
        f->rest = rest;
        return e;
    }
    if (f->found.count == RULE_TESTS_FILES_MAX) {
        return why_set(f->why, ERR_LIMIT, "%s: rule_files: at most %d files are allowed", f->file,
                       RULE_TESTS_FILES_MAX);
    }
    const char **items = arena_push(f->arena, f->found.items, f->found.count, sizeof(const char *));
    if (items == NULL) return found_no_memory(f->why);
    f->found.items = items;
    items[f->found.count++] = whole;
    return OK;
}

static enum err
expand_from(struct rule_files_found *f, const char *pattern)
{
    struct file_facts facts;
    if (!file_pattern_is_wild(pattern)) {
        enum err e = env_facts(f->env, pattern, &facts, f->why);
        f->rest = "";
        return e ? OK : found_take_path(f, pattern); /* a missing file matches nothing */
    }
    if (f->expanded++ == EXPANDED_MAX) {
        return why_set(f->why, ERR_LIMIT, "%s: rule_files: more than %d directories to search",
                       f->file, EXPANDED_MAX);
    }
    size_t wild = strcspn(pattern, "*?[\\");
    size_t end = wild + strcspn(pattern + wild, "/");
    char *element = arena_alloc(f->arena, end + 1);
    if (element == NULL) return found_no_memory(f->why);
    memcpy(element, pattern, end);
    element[end] = '\0';
    f->rest = pattern + end;
    enum err e = file_pattern_expand(f->env, element, found_take_path, f, f->why);
    /* Nothing is below a name that is not a directory. */
    return e == ERR_IO || e == ERR_INPUT ? OK : e;
}

static int
compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts the matches of a pattern, and drops those of earlier patterns. */
static void
sort_new(struct rule_files_found *f)
{
    const char **items = f->found.items;
    uint32_t count = f->first;
    if (f->found.count > f->first + 1) {
        qsort(items + f->first, f->found.count - f->first, sizeof *items, compare_paths);
    }
    for (uint32_t i = f->first; i < f->found.count; i++) {
        bool known = false;
        for (uint32_t k = 0; k < count && !known; k++) {
            known = strcmp(items[k], items[i]) == 0;
        }
        if (!known) items[count++] = items[i];
    }
    f->found.count = count;
}

enum err
rule_tests_find_files(struct env *env, const char *file, const struct text_list *patterns,
                      struct arena *arena, void (*unmatched)(void *context, const char *pattern),
                      void *context, struct text_list *ret_paths, struct why *why)
{
    struct rule_files_found f = {.env = env, .file = file, .arena = arena, .why = why};
    for (uint32_t i = 0; i < patterns->count; i++) {
        const char *pattern = patterns->items[i];
        if (pattern[0] != '\0') pattern = path_from(arena, file, pattern);
        if (pattern == NULL) return found_no_memory(why);
        if (!is_complete(pattern)) {
            return why_set(why, ERR_INPUT, "%s: rule_files: %s: syntax error in pattern", file,
                           shown_of(bytes_of_text(patterns->items[i])).text);
        }
        f.first = f.found.count;
        enum err e = pattern[0] == '\0' ? OK : expand_from(&f, pattern);
        if (e) return e;
        if (f.found.count == f.first) unmatched(context, pattern);
        sort_new(&f);
    }
    *ret_paths = f.found;
    return OK;
}
