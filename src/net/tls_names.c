/* tls_names.c - see tls.h: names of versions and cipher suites as priorities of GnuTLS. */
#include "net/tls.h"

#include <string.h>

/* --- tables ----------------------------------------------------------------------------------- */

/* Words of GnuTLS. A suite of TLS 1.3 has neither a key exchange nor a MAC. Suites with RC4 and
 * 3DES are never offered, whatever GnuTLS knows. */
struct suite {
    const char *name;
    const char *exchange; /* NULL: a suite of TLS 1.3 */
    const char *cipher;   /* NULL: not offered */
    const char *mac;
};

#define RSA   "RSA"
#define ECDSA "ECDHE-ECDSA"
#define ERSA  "ECDHE-RSA"

static const struct suite suites[] = {
    {"TLS_AES_128_GCM_SHA256", NULL, "AES-128-GCM", "AEAD"},
    {"TLS_AES_256_GCM_SHA384", NULL, "AES-256-GCM", "AEAD"},
    {"TLS_CHACHA20_POLY1305_SHA256", NULL, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ECDSA, "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", ECDSA, "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", ECDSA, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ERSA, "AES-128-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ERSA, "AES-256-GCM", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", ERSA, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", ECDSA, "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", ECDSA, "AES-256-CBC", "SHA1"},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", ECDSA, "AES-128-CBC", "SHA256"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ERSA, "AES-128-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", ERSA, "AES-256-CBC", "SHA1"},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", ERSA, "AES-128-CBC", "SHA256"},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", RSA, "AES-128-GCM", "AEAD"},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", RSA, "AES-256-GCM", "AEAD"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", RSA, "AES-128-CBC", "SHA1"},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", RSA, "AES-256-CBC", "SHA1"},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", RSA, "AES-128-CBC", "SHA256"},
    /* Go's older names of the same suites. */
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", ECDSA, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", ERSA, "CHACHA20-POLY1305", "AEAD"},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", ECDSA, NULL, NULL},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", ERSA, NULL, NULL},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", ERSA, NULL, NULL},
    {"TLS_RSA_WITH_RC4_128_SHA", RSA, NULL, NULL},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", RSA, NULL, NULL},
};
enum { SUITE_COUNT = sizeof suites / sizeof *suites };

static const struct curve {
    const char *name;
    const char *group; /* NULL: GnuTLS 3.7 does not have it */
} curves[] = {
    {"X25519", "GROUP-X25519"},       {"CurveP256", "GROUP-SECP256R1"},
    {"CurveP384", "GROUP-SECP384R1"}, {"CurveP521", "GROUP-SECP521R1"},
    {"X25519MLKEM768", NULL},         {"SecP256r1MLKEM768", NULL},
    {"SecP384r1MLKEM1024", NULL},
};
enum { CURVE_COUNT = sizeof curves / sizeof *curves };

const char *
tls_suite_name(unsigned index)
{
    return index < SUITE_COUNT ? suites[index].name : NULL;
}

const char *
tls_curve_name(unsigned index)
{
    return index < CURVE_COUNT ? curves[index].name : NULL;
}

/* --- sets of words ---------------------------------------------------------------------------- */

enum { WORDS_MAX = 8 };

struct tls_words {
    const char *items[WORDS_MAX]; /* in order of preference */
    unsigned count;
};

static bool
words_have(const struct tls_words *words, const char *word)
{
    for (unsigned i = 0; i < words->count; i++)
        if (strcmp(words->items[i], word) == 0) return true;
    return false;
}

/* The tables have fewer different words than WORDS_MAX. */
static void
words_add(struct tls_words *words, const char *word)
{
    if (word != NULL && !words_have(words, word)) words->items[words->count++] = word;
}

static void
put_words(struct buf *to, const char *without, const struct tls_words *words)
{
    buf_printf(to, ":-%s", without);
    for (unsigned i = 0; i < words->count; i++)
        buf_printf(to, ":+%s", words->items[i]);
}

/* Lists of what is offered. */
struct offer {
    const struct tls_server_settings *settings;
    struct buf *warnings; /* may be NULL */
    struct tls_words exchanges, ciphers, macs, groups;
    bool is_offered[SUITE_COUNT];
};

static void
warn(const struct offer *o, const char *about, const char *sentence)
{
    if (o->warnings != NULL) buf_printf(o->warnings, "%s %s\n", about, sentence);
}

/* --- cipher suites ---------------------------------------------------------------------------- */

/* Says whether the suite fits the versions that may be negotiated. */
static bool
is_usable(const struct suite *suite, const struct tls_server_settings *settings)
{
    if (suite->cipher == NULL) return false;
    if (suite->exchange == NULL) return settings->max_version == TLS_VERSION_13;
    if (settings->min_version == TLS_VERSION_13) return false;
    return strcmp(suite->mac, "SHA1") == 0 || settings->max_version >= TLS_VERSION_12;
}

static bool
is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Adds a suite under all its names. */
static void
offer_suite(struct offer *o, const struct suite *suite)
{
    words_add(&o->exchanges, suite->exchange);
    words_add(&o->ciphers, suite->cipher);
    words_add(&o->macs, suite->mac);
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        const struct suite *s = &suites[i];
        o->is_offered[i] |= is_same(s->exchange, suite->exchange) &&
                            is_same(s->cipher, suite->cipher) && is_same(s->mac, suite->mac);
    }
}

/* Returns the number of suites that are known, also if the allowed versions have none of them. */
static unsigned
offer_named(struct offer *o)
{
    const struct text_list *names = &o->settings->cipher_suites;
    unsigned count = 0;
    for (uint32_t i = 0; i < names->count; i++) {
        unsigned k = 0;
        while (k < SUITE_COUNT && strcmp(suites[k].name, names->items[i]) != 0)
            k++;
        if (k == SUITE_COUNT || suites[k].cipher == NULL) {
            warn(o, names->items[i], "is not supported and is ignored");
            continue;
        }
        count++;
        if (!is_usable(&suites[k], o->settings)) {
            warn(o, suites[k].name, "cannot be used with the allowed versions of TLS");
            continue;
        }
        offer_suite(o, &suites[k]);
        if (suites[k].exchange == NULL || strcmp(suites[k].exchange, RSA) != 0) continue;
        warn(o, suites[k].name, "has no forward secrecy");
    }
    return count;
}

/* Adds the ciphers of TLS 1.3 if the version is allowed and named suites have none of them. */
static void
offer_for_version_13(struct offer *o)
{
    if (o->settings->max_version < TLS_VERSION_13 || words_have(&o->macs, "AEAD")) return;
    for (unsigned i = 0; i < SUITE_COUNT; i++)
        if (suites[i].exchange == NULL) offer_suite(o, &suites[i]);
}

/* Warns of suites that GnuTLS combines from words of others. */
static void
warn_combined(struct offer *o)
{
    for (unsigned i = 0; i < SUITE_COUNT; i++) {
        const struct suite *s = &suites[i];
        if (o->is_offered[i] || s->exchange == NULL || !is_usable(s, o->settings)) continue;
        if (!words_have(&o->exchanges, s->exchange) || !words_have(&o->ciphers, s->cipher) ||
            !words_have(&o->macs, s->mac))
            continue;
        warn(o, s->name, "is offered, too: it combines parts of the suites that are named");
        offer_suite(o, s);
    }
}

/* --- curves ----------------------------------------------------------------------------------- */

static void
offer_curves(struct offer *o)
{
    const struct text_list *names = &o->settings->curve_preferences;
    for (uint32_t i = 0; i < names->count; i++) {
        unsigned k = 0;
        while (k < CURVE_COUNT && strcmp(curves[k].name, names->items[i]) != 0)
            k++;
        if (k == CURVE_COUNT || curves[k].group == NULL)
            warn(o, names->items[i], "is not supported and is ignored");
        else
            words_add(&o->groups, curves[k].group);
    }
    if (o->groups.count > 0) return;
    if (names->count > 0) warn(o, "curve_preferences:", "no curve remains, the defaults are used");
    for (unsigned k = 0; k < CURVE_COUNT; k++)
        words_add(&o->groups, curves[k].group);
}

/* --- the text --------------------------------------------------------------------------------- */

enum err
tls_priority(const struct tls_server_settings *settings, struct buf *to, struct buf *warnings,
             struct why *why)
{
    struct offer o = {.settings = settings, .warnings = warnings};
    if (settings->min_version < TLS_VERSION_12)
        warn(&o, "min_version:", "versions before TLS12 are insecure");
    unsigned named = offer_named(&o);
    if (named == 0) {
        if (settings->cipher_suites.count > 0)
            warn(&o, "cipher_suites:", "no suite remains, the defaults are used");
        for (unsigned i = 0; i < SUITE_COUNT; i++) {
            const struct suite *s = &suites[i];
            if (s->exchange != NULL && strcmp(s->exchange, RSA) == 0) continue;
            if (!is_usable(s, o.settings) || strcmp(s->mac, "SHA256") == 0) continue;
            bool is_old = strcmp(s->mac, "SHA1") == 0;
            if (!is_old || o.settings->min_version < TLS_VERSION_12) offer_suite(&o, &suites[i]);
        }
    } else if (o.ciphers.count == 0 && settings->min_version < TLS_VERSION_13) {
        return why_set(why, ERR_INPUT, "no cipher suite can be used with the allowed versions");
    } else {
        offer_for_version_13(&o);
        warn_combined(&o);
    }
    offer_curves(&o);
    buf_put_text(to, "NORMAL:-VERS-ALL");
    for (int v = (int)settings->max_version; v >= (int)settings->min_version; v--)
        buf_printf(to, ":+VERS-TLS1.%d", v);
    put_words(to, "KX-ALL", &o.exchanges);
    put_words(to, "CIPHER-ALL", &o.ciphers);
    put_words(to, "MAC-ALL", &o.macs);
    put_words(to, "GROUP-ALL", &o.groups);
    if (settings->prefer_server_cipher_suites) buf_put_text(to, ":%SERVER_PRECEDENCE");
    buf_put_u8(to, '\0');
    if (buf_error(to)) return buf_error(to);
    return warnings == NULL ? OK : buf_error(warnings);
}
