/* tenant_name.c - a name becomes part of paths and headers of destinations. */
#include "model/tenant_name.h"

#include "base/text/quote.h"
#include "base/text/utf8.h"

enum err
tenant_name_check(struct bytes name, struct why *why)
{
    bool dots = bytes_equal_text(name, ".") || bytes_equal_text(name, "..");
    bool allowed = tenant_name_fits(name) && !dots;
    for (size_t i = 0; i < name.size && allowed; i++) {
        uint8_t c = name.at[i];
        allowed =
            ascii_is_letter(c) || ascii_is_digit(c) || (c != '\0' && strchr("!-_.*'()", c) != NULL);
    }
    if (allowed) return OK;
    return why_set(why, ERR_INPUT,
                   "expected a tenant name of at most %d letters, digits and ! - _ . * ' ( ), "
                   "got %s",
                   TENANT_NAME_BYTES_MAX, shown_of(name).text);
}

bool
tenants_next(struct bytes *names, struct bytes *ret_name)
{
    if (names->at == NULL) return false;
    const uint8_t *bar = names->size == 0 ? NULL : memchr(names->at, '|', names->size);
    size_t size = bar == NULL ? names->size : (size_t)(bar - names->at);
    *ret_name = bytes_of(names->at, size);
    *names = bar == NULL ? bytes_of(NULL, 0) : bytes_of(bar + 1, names->size - size - 1);
    return true;
}
