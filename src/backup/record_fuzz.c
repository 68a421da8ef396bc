/* record_fuzz.c - any text as the record of a backup: it is refused with a reason, or its files
 * are found by their paths. */
#include <assert.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "backup/repository.h"
#include "base/text/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Appends the last line, so that what is before it is read. */
static void
put_end(struct buf *to)
{
    uint8_t digest[BACKUP_DIGEST_BYTES];
    assert(gnutls_hash_fast(GNUTLS_DIG_SHA256, to->at, to->size, digest) == 0);
    buf_put_text(to, "sha256 ");
    buf_put_hex(to, bytes_of(digest, sizeof digest));
    buf_put_u8(to, '\n');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct why why = {""};
    struct backup_record record;
    struct buf text, again;
    if (size > 1 << 16) return 0;
    buf_init(&text, NULL, 1 << 18);
    buf_init(&again, NULL, 1 << 18);
    buf_put(&text, data, size);
    buf_put_u8(&text, '\n');
    put_end(&text);
    backup_record_init(&record, NULL);
    enum err e = backup_record_parse(&record, buf_bytes(&text), &why);
    if (e) {
        assert(why_text(&why, e)[0] != '\0');
    } else {
        assert(backup_record_print(&record, &again) == OK);
        for (size_t i = 1; i < record.count; i++)
            assert(backup_record_find(&record, record.files[i].path) == &record.files[i]);
    }
    backup_record_fini(&record);
    buf_fini(&text);
    buf_fini(&again);
    return 0;
}
