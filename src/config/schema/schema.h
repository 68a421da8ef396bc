/*
 * schema.h - nested mappings of the configuration file, described by tables: reads them strictly
 * into structs, and prints and compares these.
 *
 * A schema is a mapping and has a row for each key. Nesting deeper than the tables is refused where
 * it begins. A row may be limited to some types, for example of a destination. A type is a number
 * below 32; the reader's `types` names them.
 */
#ifndef CONFIG_SCHEMA_SCHEMA_H
#define CONFIG_SCHEMA_SCHEMA_H

#include "backend/settings.h"
#include "config/schema/text.h"

struct schema;

enum schema_kind {
    SCHEMA_BOOL, /* this and the next seven are stored and written like settings, see config.h */
    SCHEMA_COUNT,
    SCHEMA_COUNT64,
    SCHEMA_SIZE,
    SCHEMA_DURATION,
    SCHEMA_CHOICE,
    SCHEMA_SET,            /* a bit for each choice: [a, b] or "a,b" */
    SCHEMA_OWN,            /* read and printed by the row's functions */
    SCHEMA_TEXT,           /* const char *; NULL: not given */
    SCHEMA_BYTES,          /* struct bytes; `at` NULL: not given */
    SCHEMA_SECRET,         /* the text of a struct secret */
    SCHEMA_SECRET_FILE,    /* path of the file of a struct secret, as with `is_path` */
    SCHEMA_TEXTS,          /* list: const char **, and a count */
    SCHEMA_BYTES_LIST,     /* list: struct bytes *, and a count */
    SCHEMA_SECRETS,        /* list: the texts of struct secret *, and a count */
    SCHEMA_MAPPINGS,       /* list: structs of `inner`, and a count */
    SCHEMA_NAMED_TEXTS,    /* map: struct named_text *, and a count */
    SCHEMA_NAMED_SECRETS,  /* map: struct named_secret *, and a count */
    SCHEMA_NAMED_MAPPINGS, /* map: structs of `inner` that begin with their name, and a count */
    SCHEMA_MAPPING,        /* the struct of `inner`, in place; or a word, see `parse` */
    SCHEMA_SETTING,        /* `setting` of a struct settings, as which the mapping is stored; never
                            * printed, as the next */
    SCHEMA_SKIPPED,        /* another reader reads it */
};

enum {
    SCHEMA_KEYS_MAX = 96,
    SCHEMA_TEXT_BYTES_MAX = 16384, /* the default limit */
    SCHEMA_NAME_BYTES_MAX = 150,   /* for a key of a map; YAML allows 1024, as printed */
    SCHEMA_MAP_ITEMS_MAX = 1000,
    SCHEMA_PATH_BYTES = 96,
};

struct schema_key {
    const char *name;
    enum schema_kind kind;
    size_t offset, size;  /* offset and size of the field */
    size_t count_offset;  /* the offset of the uint32_t count of a list or map */
    const char *fallback; /* the default, as written in a file; NULL: 0, false, not given */
    const char
        *choices; /* "none|gzip", in the order of the enum, which begins with 0, or of bits */
    /* Numbers: as in struct setting. Texts: at most `max` bytes. Lists and maps: `max` items. */
    uint64_t min, max;
    const char *zero_word; /* a word for 0: "never" */
    uint32_t types;        /* bits of the types that have this key; 0: all */
    bool required;
    unsigned group;    /* not 0: at most one of a mapping's keys with this number; if one of them is
                        * required, any will do */
    const char *needs; /* a key that must be given, too */
    bool may_be_empty; /* a text */
    bool may_be_nothing; /* a list, map or mapping may be given as null, for an empty one */
    /* Read as Prometheus reads its files: without a value, or with an empty text, the key is as if
     * it were missing; true may also be True, yes or on; in lists and maps, null is an empty
     * text. */
    bool as_prometheus;
    bool any_case;    /* of a choice: letter case does not matter */
    bool is_plain;    /* a number that must not be in quotes */
    bool is_path;     /* a text, or texts: relative ones begin at the directory of the file */
    bool any_control; /* a text may contain control characters except NUL */
    bool unique;      /* a list of texts without duplicates */
    const char *word; /* a word that may replace the list, or be its only item */
    const char *what; /* the form of a value, for messages; NULL: the kind says it */
    const char *help; /* one phrase, lower case, no full stop */
    const struct schema *inner;
    const struct setting *setting;
    /* Checks a text, or each text of a list or map. Errors are a sentence without the key's
     * name. */
    enum err (*check)(const char *text, struct why *why);
    enum err (*check_name)(const char *name, struct why *why); /* checks the keys of a map */
    /*
     * For SCHEMA_OWN; `base` is the mapping's struct. parse() returns false if the text is not what
     * `what` says. A SCHEMA_MAPPING with these functions may be a word instead: print() gives "" if
     * it is not, and the `check` of `inner` notes that it is not.
     */
    bool (*parse)(struct bytes text, void *base);
    void (*print)(const void *base, char *to, size_t size);
    bool has_password; /* a URL that may contain a password, which is a secret */
    bool is_secret;    /* texts, but not their names, are printed as <secret>; errors do not show
                        * them */
    bool quiet; /* a SCHEMA_MAPPING is not printed if it equals its default; numbers, and the field
                   of a SCHEMA_OWN, are not printed if they are 0 */
};

/* The places of a mapping and its keys: for checks that span several keys. */
struct schema_place;

/* A key that other programs or earlier versions have, and the advice in its error. */
struct schema_refusal {
    const char *name;
    const char *sentence; /* begins with a verb: "is not supported; use ..." */
    /* The types in which the key is skipped with a warning, since it only made things faster, and
     * refused in no other type. 0: it is refused. */
    uint32_t skipped_types;
};

struct schema {
    const struct schema_key *keys; /* ended by a NULL name; at most SCHEMA_KEYS_MAX */
    size_t size;                   /* size of the struct */
    bool given_first;              /* the first member is a bool, true if the mapping was given */
    bool null_is_empty;            /* null is a mapping without keys */
    bool partial;                  /* unknown keys are ignored: another reader checks them */
    const struct schema_refusal *refused; /* ended by a NULL name; may be NULL */
    /* Refuses an unknown key with advice; OK: it has none. May be NULL. */
    enum err (*refuse)(struct config_reader *in);
    enum err (*check)(struct schema_place *place, void *base); /* may be NULL */
};

/*
 * A mapping of another schema that was read before, whose keys replace those that the outermost
 * mapping lacks. Keys are taken if both schemas have them under one name and in one form, and for
 * some types only; so is the name. These are the keys that say how to reach a store, not what to do
 * there.
 */
struct schema_used {
    const struct schema *schema;
    unsigned type;
    const void *base;
    const char *key; /* the key that names the other mapping */
};

struct schema_reader {
    struct config_reader *in;
    struct arena *arena;            /* for all texts and lists */
    const char *list;               /* the list that is read, for messages: "destinations" */
    const char *types;              /* types of entries, "file|s3": the first is type 0 */
    unsigned type;                  /* type of the entry being read */
    const void *context;            /* for the checks */
    const struct schema_used *used; /* NULL: no other mapping is used */
};

/* Puts the defaults of a type into a zeroed struct. */
void schema_default(const struct schema *schema, unsigned type, void *base);

/* Reads a mapping, from its first event, which is current, to its last. `base` is zeroed.
 * ERR_INPUT with the place; ERR_NOMEM: the arena is full. */
MUST_CHECK enum err schema_read(struct schema_reader *x, const struct schema *schema, void *base);

/* Returns the key with that name if the type has it, otherwise NULL. */
const struct schema_key *schema_find(const struct schema *schema, struct bytes name, unsigned type);
/* Returns a setting with the limits of a number, for text.h. */
struct setting schema_number(const struct schema_key *key);

/* --- for checks ------------------------------------------------------------------------------- */
/* Returns the reader, whose context a check may need. */
const struct schema_reader *schema_reader_of(const struct schema_place *place);
/* True if the mapping has the key. */
bool schema_given(const struct schema_place *place, const char *key);
/* Returns the key of that group that was given, or NULL. */
const char *schema_given_of(const struct schema_place *place, unsigned group);
/* Returns the line on which the mapping begins, from 1 on. */
uint32_t schema_line(const struct schema_place *place);
uint32_t schema_column(const struct schema_place *place);
/* Returns the line on which the value of a key begins; 0 if the key was not given. */
uint32_t schema_value_line(const struct schema_place *place, const char *key);
/* Returns ERR_INPUT at the value of a key if it was given, otherwise at the beginning of the
 * mapping. */
enum err schema_complain(struct schema_place *place, const char *key, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Appends the mapping's lines, indented; the first begins with "- " if `item` is set. Secrets
 * are printed as <secret>. */
void schema_print(struct buf *to, const struct schema *schema, unsigned type, const void *base,
                  unsigned indent, bool item);

/* Returns true if both have the same values, including secrets; false also if there is not enough
 * memory to compare them. */
bool schema_equal(const struct schema *schema, unsigned type, const void *a, const void *b);
/* Returns a hash of all values, including secrets. ERR_NOMEM. */
MUST_CHECK enum err schema_hash(const struct schema *schema, unsigned type, const void *base,
                                uint64_t *ret_hash);

/* --- keys of the root of the file ------------------------------------------------------------- */

/* The `context` of the schema_reader. */
struct root_context {
    const struct settings *settings; /* in force: from the file and the flags */
    const char *file_name;
    void *state; /* for the rules of the schema */
};

/*
 * Reads the keys of the schema from a YAML text. If the schema is partial, settings_yaml() checks
 * the rest of the text. `base` is zeroed, or has its defaults. The arena, which has all texts, is
 * given, for root_arena_free(); NULL if nothing was read. On an error it is not set, and `base` is
 * zeroed.
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err root_keys_yaml(const struct schema *schema, const struct root_context *root,
                                   struct bytes text, void *base, struct arena **ret_arena,
                                   struct why *why);
/* NULL is fine. */
void root_arena_free(struct arena *arena);

/* --- lists whose entries have a name and a type, which decides their other keys --------------- */

enum { TYPED_LIST_MAX = 64 };

/* Describes a list. */
struct typed_list {
    const char *name;            /* "destinations" */
    const char *entry;           /* "destination" */
    const struct schema *schema; /* describes an entry; all types have its keys "name" and "type" */
    size_t line_offset;          /* in an entry: a uint32_t, the line on which it begins */
    uint32_t max;                /* entries, at most TYPED_LIST_MAX */
    /* The list whose entries can be named by the key `use`, to take names, types and keys from
     * them, see struct schema_used. NULL if this list has no key `use`. */
    const struct typed_list *used;
};

/* The entries of a list; `arena` owns all of it, and is NULL if there are no entries. */
struct typed_entries {
    struct arena *arena;
    void *items;
    uint32_t count;
};

/* The `context` of the schema_reader, for checks of an entry. */
struct typed_context {
    const struct typed_list *list;
    const struct settings *settings;    /* in force: from the file and the flags */
    const struct typed_entries *before; /* entries that were already read */
};

/*
 * Reads the list from a YAML text, and nothing else. The arena of `ret_entries` is given,
 * for root_arena_free().
 *
 * ERR_INPUT with file:line:column. ERR_LIMIT: more than CONFIG_BYTES_MAX. ERR_NOMEM.
 */
MUST_CHECK enum err typed_list_yaml(const struct typed_list *list, const char *file_name,
                                    struct bytes text, const struct settings *settings,
                                    struct typed_entries *ret_entries, struct why *why);

/* Returns the entry with that name, or NULL. */
const void *typed_list_find(const struct typed_list *list, const void *items, uint32_t count,
                            const char *name);

/* For the check of an entry, whose struct is `base`. ERR_INPUT: an earlier entry has its name. */
MUST_CHECK enum err typed_list_check_name(struct schema_place *place, const void *base);

/* Appends the list as YAML, with defaults; secrets are printed as <secret>. */
void typed_list_print(const struct typed_list *list, const void *items, uint32_t count,
                      struct buf *to);

/* Returns true if both have the same type and the same values, including secrets. */
bool typed_list_same(const struct typed_list *list, const void *a, const void *b);

#endif
