/* replica_labels.c - see replica_labels.h. */
#include "config/replica_labels.h"

#include "base/bytes.h"

enum { NAMES_MAX = 16 }; /* equals REPLICA_LABELS_MAX of views/replicas.h */

enum err
replica_labels_check(const char *text, const char **ret_expected)
{
    struct bytes names[NAMES_MAX];
    uint32_t count = 0;
    *ret_expected = "up to 16 label names with commas between them, each once, and not __name__";
    for (const char *p = text; p[0] != '\0' || p > text;) {
        struct bytes name = bytes_of(p, strcspn(p, ","));
        if (name.size == 0 || count == NAMES_MAX || bytes_equal_text(name, "__name__")) {
            return ERR_INPUT;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (bytes_equal(names[i], name)) return ERR_INPUT;
        }
        names[count++] = name;
        p += name.size;
        if (*p++ == '\0') break;
    }
    return OK;
}
