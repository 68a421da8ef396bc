/*
 * schema.h - mappings of the configuration file that nest, described by tables: reading them
 * strictly into structs, printing and comparing what was read. For config/ only.
 *
 * A schema is a mapping and has a row for each key. Depth is that of the tables: deeper nesting is
 * refused where it begins. Which keys there are may depend on the type of what is described, of a
 * destination for example: a number below 32. What the types are is the reader's matter.
 */
#ifndef CONFIG_SCHEMA_SCHEMA_H
#define CONFIG_SCHEMA_SCHEMA_H

#include "backend/settings.h"
#include "config/schema/reader.h"

struct schema;

enum schema_kind {
    SCHEMA_BOOL, /* this and the next six are stored and written like settings, see config.h */
    SCHEMA_COUNT,
    SCHEMA_COUNT64,
    SCHEMA_SIZE,
    SCHEMA_DURATION,
    SCHEMA_CHOICE,
    SCHEMA_OWN,            /* read and printed by the row's functions */
    SCHEMA_TEXT,           /* const char *; NULL: not given */
    SCHEMA_BYTES,          /* struct bytes; `at` NULL: not given */
    SCHEMA_SECRET,         /* the text of a struct secret */
    SCHEMA_SECRET_FILE,    /* its file */
    SCHEMA_TEXTS,          /* list: const char **, and a count */
    SCHEMA_BYTES_LIST,     /* list: struct bytes *, and a count */
    SCHEMA_SECRETS,        /* list: the texts of struct secret *, and a count */
    SCHEMA_MAPPINGS,       /* list: structs of `inner`, and a count */
    SCHEMA_NAMED_TEXTS,    /* map: struct named_text *, and a count */
    SCHEMA_NAMED_SECRETS,  /* map: struct named_secret *, and a count */
    SCHEMA_NAMED_MAPPINGS, /* map: structs of `inner` that begin with their name, and a count */
    SCHEMA_MAPPING,        /* the struct of `inner`, in place; or a word, see `parse` */
};

enum {
    SCHEMA_KEYS_MAX = 96,
    SCHEMA_TEXT_BYTES_MAX = 16384, /* where the row says nothing else */
    SCHEMA_NAME_BYTES_MAX = 150,   /* in a map; YAML allows 1024 for what is printed of it */
    SCHEMA_MAP_ITEMS_MAX = 1000,
    SCHEMA_PATH_BYTES = 96,
};

struct schema_key {
    const char *name;
    enum schema_kind kind;
    size_t offset, size;  /* of the field */
    size_t count_offset;  /* of a list or map: of its uint32_t count */
    const char *fallback; /* the default, as one would write it; NULL: 0, false, not given */
    const char *choices;  /* "none|gzip", in the order of the enum, which begins with 0 */
    /* Numbers: as in struct setting. Texts: at most `max` bytes. Lists and maps: `max` items. */
    uint64_t min, max;
    const char *zero_word; /* stands for 0: "never" */
    uint32_t types;        /* bits of the types that have this key; 0: all */
    bool required;
    unsigned group;    /* not 0: at most one of a mapping's keys with this number; if one of them is
                        * required, any will do */
    const char *needs; /* a key without which this one says nothing */
    bool may_be_empty; /* a text */
    bool may_be_nothing; /* a list, map or mapping: nothing stands for one without items */
    bool any_control;    /* a text may contain control characters, but for NUL */
    bool unique;         /* of a list of texts: none twice */
    const char *word;    /* that may stand in place of a list, and is the only one in it */
    const char *what;    /* what a value is, for messages; NULL: the kind says it */
    const char *help;    /* one phrase, lower case, no full stop */
    const struct schema *inner;
    /* Rules of a text, or of each in a list or map: OK, or a sentence without the key's name. */
    enum err (*check)(const char *text, struct why *why);
    enum err (*check_name)(const char *name, struct why *why); /* of a map's keys */
    /*
     * SCHEMA_OWN; `base` is the mapping's struct. False: not what `what` says. A SCHEMA_MAPPING
     * that has them may be a word instead: print() gives "" if it is not, and the rule of `inner`
     * notes that it is not.
     */
    bool (*parse)(struct bytes text, void *base);
    void (*print)(const void *base, char *to, size_t size);
    bool has_password; /* a text is a URL whose password is a secret */
    bool quiet; /* SCHEMA_MAPPING: not printed as it is by default; numbers, and the field of a
                 * SCHEMA_OWN: not printed as 0 */
};

/* Where a mapping and its keys stand: for rules that several keys must agree on. */
struct schema_place;

/* A key that others have and this one does not, and what to do instead. */
struct schema_refusal {
    const char *name;
    const char *sentence; /* which begins with a verb: "is not supported; use ..." */
};

struct schema {
    const struct schema_key *keys; /* ended by a NULL name; at most SCHEMA_KEYS_MAX */
    size_t size;                   /* of the struct */
    bool given_first;              /* its first member is a bool: whether it was given at all */
    bool partial;                  /* other keys of it are somebody else's, who judges them */
    const struct schema_refusal *refused; /* ended by a NULL name; may be NULL */
    enum err (*check)(struct schema_place *place, void *base); /* may be NULL */
};

/*
 * A mapping of another schema that was read before, whose keys stand for those that the outermost
 * mapping lacks. It takes what both have under one name and in one form, for their types only, and
 * the name itself: how to reach a store, not what to do there.
 */
struct schema_used {
    const struct schema *schema;
    unsigned type;
    const void *base;
    const char *key; /* that names it in the mapping being read */
};

struct schema_reader {
    struct config_reader *in;
    struct arena *arena;            /* for all texts and lists */
    const char *list;               /* whose entries are read, for messages: "destinations" */
    const char *types;              /* that entries can have, "file|s3": the first is type 0 */
    unsigned type;                  /* of this one */
    const void *context;            /* of the rules */
    const struct schema_used *used; /* NULL: nothing */
};

/* Puts the defaults of a type into a zeroed struct. */
void schema_default(const struct schema *schema, unsigned type, void *base);

/*
 * Reads a mapping: the event at hand is its first, and will be its last. `base` is zeroed.
 * ERR_INPUT with the place; ERR_NOMEM: the arena is full.
 */
MUST_CHECK enum err schema_read(struct schema_reader *x, const struct schema *schema, void *base);

/* The key of that name which the type has; NULL: none. */
const struct schema_key *schema_find(const struct schema *schema, struct bytes name, unsigned type);
/* A setting with the limits of a number, for text.h. */
struct setting schema_number(const struct schema_key *key);

/* For rules: */
const struct schema_reader *schema_reader_of(const struct schema_place *place);
bool schema_given(const struct schema_place *place, const char *key);
/* The key of that group that was given; NULL: none. */
const char *schema_given_of(const struct schema_place *place, unsigned group);
/* On which the mapping begins, from 1 on. */
uint32_t schema_line(const struct schema_place *place);
/* ERR_INPUT at the value of a key, if it was given, else at the beginning of the mapping. */
enum err schema_complain(struct schema_place *place, const char *key, const char *format, ...)
    PRINTF_LIKE(3, 4);

/*
 * Appends the mapping's lines, indented; before the first of them stands "- " if `item` is set.
 * Secrets are <secret>.
 */
void schema_print(struct buf *to, const struct schema *schema, unsigned type, const void *base,
                  unsigned indent, bool item);

/* Whether both were given the same, secrets too. */
bool schema_equal(const struct schema *schema, unsigned type, const void *a, const void *b);
/* A number of all that was given, secrets too, which may be written down: of what is equal it is
 * the same, in every run of the program. */
uint64_t schema_hash(const struct schema *schema, unsigned type, const void *base);

#endif
