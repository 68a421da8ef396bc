/*
 * sim_test.c - the simulated machine keeps all that its model calls durable, loses the rest sooner
 * or later, and otherwise behaves like a kernel.
 */
#include "lib/test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/mem.h"
#include "sys/sim.h"

enum { PAGE = 4096, SECTOR = 512 };

#define must(call) assert_int_equal((call), OK)

static int64_t seed_at_work = -1; /* seed of the machine that is still in use */

static struct sim_env *
sim_make(uint64_t seed)
{
    struct sim_env *sim;
    must(sim_env_new(seed, &sim));
    seed_at_work = (int64_t)seed;
    return sim;
}

static void
sim_done(struct sim_env *sim)
{
    sim_env_free(sim);
    seed_at_work = -1;
}

/* Frees the machine that a failed test left. Runs after each test. */
static int
tell_seed(void **state)
{
    (void)state;
    if (seed_at_work >= 0) print_error("failed with seed %lld\n", (long long)seed_at_work);
    seed_at_work = -1;
    return 0;
}

static struct file
opened(struct env *env, const char *path, enum file_mode mode)
{
    struct file file;
    struct why why = {""};
    if (file_open(env, path, mode, &file, &why)) fail_msg("%s", why.text);
    return file;
}

static void
put(struct file *file, const char *text, uint64_t offset)
{
    must(file_write_at(file, bytes_of_text(text), offset, NULL));
}

/* Writes a file whole; durable if `synced`, its name never. */
static void
put_file(struct env *env, const char *path, const char *text, bool synced)
{
    struct file file = opened(env, path, FILE_REPLACE);
    put(&file, text, 0);
    if (synced) must(file_datasync(&file, NULL));
    must(file_close(&file));
}

/* Returns the contents as text in a buffer of this function; "(missing)" if the file does not
 * exist. */
static const char *
content(struct env *env, const char *path)
{
    static char text[16384];
    struct file file;
    if (file_open(env, path, FILE_READ, &file, NULL)) return "(missing)";
    size_t size;
    must(file_read_some(&file, text, sizeof text - 1, 0, &size, NULL));
    text[size] = '\0';
    must(file_close(&file));
    return text;
}

static bool
there(struct env *env, const char *path)
{
    return strcmp(content(env, path), "(missing)") != 0;
}

UNIT_TEST(test_file_reads_back_what_was_written_at_any_offset)
{
    struct sim_env *sim = sim_make(1);
    struct file file = opened(sim_env_env(sim), "f", FILE_CREATE);
    enum { SIZE = 300000 };
    uint8_t *model = mem_new(NULL, SIZE), *got = mem_new(NULL, SIZE), piece[20000];
    uint64_t end = 0;
    for (unsigned i = 0; i < 300; i++) {
        if (sim_env_random(sim) % 8 == 0) {
            uint64_t cut = sim_env_random(sim) % SIZE;
            must(file_truncate(&file, cut, NULL));
            if (cut < end) memset(model + cut, 0, (size_t)(end - cut));
            end = cut;
        }
        size_t size = (size_t)(sim_env_random(sim) % sizeof piece);
        uint64_t offset = sim_env_random(sim) % (SIZE - sizeof piece);
        memset(piece, (int)(i % 4), size);
        memcpy(model + offset, piece, size);
        must(file_write_at(&file, bytes_of(piece, size), offset, NULL));
        if (size > 0 && offset + size > end) end = offset + size;
        if (sim_env_random(sim) % 4 == 0) must(file_datasync(&file, NULL));
        uint64_t stated;
        size_t got_size;
        must(file_size(&file, &stated, NULL));
        assert_int_equal(stated, end);
        must(file_read_some(&file, got, SIZE, 0, &got_size, NULL));
        assert_int_equal(got_size, end);
        assert_memory_equal(got, model, end);
    }
    mem_free(NULL, model, SIZE);
    mem_free(NULL, got, SIZE);
    sim_done(sim);
}

UNIT_TEST(test_calls_fail_as_the_kernel_would)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    const struct env_ops *ops = env->ops;
    char longer[300];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';

    assert_int_equal(ops->open(env, "f", FILE_READ), -ENOENT);
    assert_int_equal(ops->open(env, "no/f", FILE_CREATE), -ENOENT);
    assert_int_equal(ops->open(env, longer, FILE_CREATE), -ENAMETOOLONG);
    assert_int_equal(ops->open(env, "../f", FILE_CREATE), -EINVAL);
    assert_int_equal(ops->open(env, "", FILE_CREATE), -ENOENT);
    int f = ops->open(env, "f", FILE_CREATE);
    assert_true(f >= 0);
    assert_int_equal(ops->open(env, "/f", FILE_CREATE), -EEXIST);
    assert_int_equal(ops->open(env, "f/g", FILE_CREATE), -ENOTDIR);
    assert_int_equal(ops->mkdir(env, "f"), -EEXIST);
    assert_int_equal(ops->mkdir(env, "d"), 0);
    assert_int_equal(ops->open(env, "d", FILE_UPDATE), -EISDIR);
    assert_int_equal(ops->unlink(env, "d"), -EISDIR);
    assert_int_equal(ops->rmdir(env, "f"), -ENOTDIR);
    assert_int_equal(ops->rmdir(env, "/"), -EBUSY);
    assert_int_equal(ops->rename(env, "f", "d"), -EISDIR);
    assert_int_equal(ops->rename(env, "d", "f"), -ENOTDIR);
    assert_int_equal(ops->rename(env, "d", "d/e"), -EINVAL);
    assert_int_equal(ops->rename(env, "none", "f"), -ENOENT);
    assert_int_equal(ops->link(env, "d", "e"), -EPERM);
    assert_int_equal(ops->link(env, "f", "f"), -EEXIST);
    assert_int_equal(ops->link(env, "f", "d/./g"), 0);
    assert_int_equal(ops->rmdir(env, "d"), -ENOTEMPTY);
    assert_int_equal(ops->mkdir(env, "e/"), 0);
    assert_int_equal(ops->rename(env, "e", "d"), -ENOTEMPTY);
    assert_int_equal(ops->rename(env, "d", "e"), 0);
    assert_int_equal(ops->rename(env, "f", "e/g"), 0); /* the same file: nothing happens */
    assert_int_equal(ops->unlink(env, "f"), 0);
    assert_int_equal(ops->unlink(env, "f"), -ENOENT);
    assert_int_equal(ops->syncdir(env, "e/g"), -ENOTDIR);
    assert_int_equal(ops->syncdir(env, "none"), -ENOENT);

    static _Alignas(FILE_DIRECT_BYTES) uint8_t sectors[FILE_DIRECT_BYTES + 1];
    int direct = ops->open(env, "e/g", FILE_UPDATE);
    assert_int_equal(ops->direct(env, direct), 1);
    assert_int_equal(ops->pwrite(env, direct, sectors, FILE_DIRECT_BYTES, 1), -EINVAL);
    assert_int_equal(ops->pwrite(env, direct, sectors, 1, 0), -EINVAL);
    assert_int_equal(ops->pwrite(env, direct, sectors + 1, FILE_DIRECT_BYTES, 0), -EINVAL);
    assert_int_equal(ops->close(env, direct), 0);
    direct = ops->open(env, "e/g", FILE_UPDATE);
    assert_int_equal(ops->pwrite(env, direct, "", 0, 1), 0);
    assert_int_equal(ops->close(env, direct), 0);

    int reader = ops->open(env, "e/g", FILE_READ);
    assert_int_equal(ops->pwrite(env, reader, "x", 1, 0), -EBADF);
    assert_int_equal(ops->truncate(env, reader, 0), -EINVAL);
    assert_int_equal(ops->lock(env, reader), 0); /* shared: a writer waits */
    assert_int_equal(ops->lock(env, f), -EAGAIN);
    assert_int_equal(ops->pwrite(env, f, "x", 1, UINT64_C(1) << 50), -EFBIG);
    assert_int_equal(ops->close(env, f), 0);
    assert_int_equal(ops->close(env, f), -EBADF);
    assert_int_equal(ops->pread(env, f, longer, 1, 0), -EBADF);
    assert_int_equal(ops->thread_start(env, "t", NULL, NULL, NULL), -ENOSYS);
    assert_int_equal(ops->listen(env, "", 0, 1), -ENOSYS);
    assert_int_equal(ops->shutdown(env, 3), -ENOSYS);
    sim_done(sim);
}

static struct file_facts
facts_of(struct env *env, const char *path)
{
    struct file_facts facts;
    must(env_facts(env, path, &facts, NULL));
    return facts;
}

UNIT_TEST(test_facts_change_with_content_and_names_but_not_with_moved_parents)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    struct file file;
    must(env_mkdir(env, "d", NULL));
    must(file_open(env, "d/one", FILE_CREATE, &file, NULL));
    struct file_facts was = facts_of(env, "d/one"), is;
    assert_int_equal(was.modified_ns, env_realtime_ms(env) * NS_PER_MS);
    must(env_rename(env, "d", "e", NULL));
    is = facts_of(env, "e/one");
    assert_memory_equal(&was, &is, sizeof is);
    sim_env_advance_ns(sim, NS_PER_S);
    must(file_write_at(&file, bytes_of_text("x"), 0, NULL));
    must(file_close(&file));
    is = facts_of(env, "e/one");
    assert_true(is.changed_ns > was.changed_ns);
    assert_int_equal(is.modified_ns, was.modified_ns + NS_PER_S);
    was = is;
    must(env_link(env, "e/one", "e/two", NULL));
    is = facts_of(env, "e/two");
    assert_int_equal(is.number, was.number);
    assert_true(is.changed_ns > was.changed_ns);
    was = is;
    must(env_unlink(env, "e/one", NULL));
    is = facts_of(env, "e/two");
    assert_true(is.changed_ns > was.changed_ns);
    assert_int_equal(is.born_ns, was.born_ns);
    sim_done(sim);
}

UNIT_TEST(test_synced_data_under_a_synced_name_survives_every_power_loss)
{
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        must(env_mkdir(env, "d", NULL));
        must(env_mkdir(env, "d/e", NULL));
        must(env_syncdir(env, "/", NULL));
        must(env_syncdir(env, "d", NULL));
        put_file(env, "d/e/f", "durable", true);
        must(env_syncdir(env, "d/e", NULL));
        for (int i = 0; i < 5; i++) {
            put_file(env, "d/e/g", "other", (seed & 1) != 0);
            sim_env_power_loss(sim);
            assert_string_equal(content(env, "d/e/f"), "durable");
        }
        sim_done(sim);
    }
}

UNIT_TEST(test_unsynced_page_becomes_old_new_or_a_mixture_of_sectors)
{
    enum { SEEDS = 300 };
    unsigned old_count = 0, new_count = 0, mixed_count = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        struct file file = opened(env, "f", FILE_CREATE);
        uint8_t page[PAGE];
        memset(page, 'o', sizeof page);
        must(file_write_at(&file, bytes_of(page, sizeof page), 0, NULL));
        must(file_datasync(&file, NULL));
        must(env_syncdir(env, "/", NULL));
        memset(page, 'n', sizeof page);
        must(file_write_at(&file, bytes_of(page, sizeof page), 0, NULL));
        sim_env_power_loss(sim);
        file = opened(env, "f", FILE_READ);
        must(file_read_at(&file, page, sizeof page, 0, NULL));
        unsigned sectors_new = 0;
        for (unsigned i = 0; i < PAGE; i++) {
            assert_true(page[i] == 'o' || page[i] == 'n');
            assert_int_equal(page[i], page[i / SECTOR * SECTOR]);
            if (i % SECTOR == 0) sectors_new += page[i] == 'n';
        }
        old_count += sectors_new == 0;
        new_count += sectors_new == PAGE / SECTOR;
        mixed_count += sectors_new > 0 && sectors_new < PAGE / SECTOR;
        must(file_close(&file));
        sim_done(sim);
    }
    assert_true(old_count > SEEDS / 10);
    assert_true(new_count > SEEDS / 10);
    assert_true(mixed_count > SEEDS / 20);
}

UNIT_TEST(test_unsynced_size_becomes_old_or_new_and_never_shows_other_bytes)
{
    unsigned sizes[3] = {0, 0, 0};
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        struct file file = opened(env, "f", FILE_CREATE);
        put(&file, "12345", 0);
        must(file_datasync(&file, NULL));
        must(env_syncdir(env, "/", NULL));
        bool grows = seed % 2 == 0;
        if (grows) put(&file, "67", 5);
        if (!grows) must(file_truncate(&file, 2, NULL));
        sim_env_power_loss(sim);

        const char *text = content(env, "f");
        size_t size = strlen(text); /* stops at lost bytes, which are zero */
        file = opened(env, "f", FILE_UPDATE);
        uint64_t stated;
        must(file_size(&file, &stated, NULL));
        assert_true(stated == 5 || stated == (grows ? 7 : 2));
        sizes[stated == 5 ? 0 : grows ? 1 : 2]++;
        assert_memory_equal(text, "1234567", size);
        assert_true(size >= 2);
        /* Bytes beyond the end are zero when the file grows again. */
        uint8_t beyond[16], zeros[16] = {0};
        must(file_truncate(&file, stated + sizeof beyond, NULL));
        must(file_read_at(&file, beyond, sizeof beyond, stated, NULL));
        assert_memory_equal(beyond, zeros, sizeof beyond);
        sim_done(sim);
    }
    assert_true(sizes[0] > 50 && sizes[1] > 20 && sizes[2] > 20);
}

UNIT_TEST(test_directory_keeps_a_prefix_of_its_changes)
{
    enum { FILES = 6 };
    unsigned survivors[FILES + 1] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        char name[16];
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "f%d", i);
            put_file(env, name, "x", true);
        }
        sim_env_power_loss(sim);
        int count = 0;
        for (int i = 0; i < FILES; i++) {
            snprintf(name, sizeof name, "f%d", i);
            if (!there(env, name)) continue;
            assert_int_equal(count, i);
            count++;
        }
        survivors[count]++;
        sim_done(sim);
    }
    for (int i = 0; i <= FILES; i++)
        assert_true(survivors[i] > 20);
}

UNIT_TEST(test_name_change_not_synced_is_old_or_new_but_nothing_between)
{
    unsigned renamed = 0, removed = 0, moved = 0, swept = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        must(env_mkdir(env, "r", NULL));
        must(env_mkdir(env, "u", NULL));
        must(env_mkdir(env, "m", NULL));
        must(env_mkdir(env, "s", NULL));
        put_file(env, "r/target", "old", true);
        put_file(env, "r/source", "new", true);
        put_file(env, "u/f", "x", true);
        put_file(env, "m/f", "x", true);
        put_file(env, "s/f", "x", true);
        must(env_syncdir(env, "/", NULL));
        must(env_syncdir(env, "r", NULL));
        must(env_syncdir(env, "u", NULL));
        must(env_syncdir(env, "m", NULL));
        must(env_syncdir(env, "s", NULL));

        must(env_rename(env, "r/source", "r/target", NULL));
        must(env_unlink(env, "u/f", NULL));
        must(env_rename(env, "m/f", "u/moved", NULL));
        must(env_remove_tree(env, "s", NULL));
        sim_env_power_loss(sim);

        bool is_renamed = strcmp(content(env, "r/target"), "new") == 0;
        assert_string_equal(content(env, "r/target"), is_renamed ? "new" : "old");
        assert_int_equal(there(env, "r/source"), !is_renamed);
        bool is_moved = there(env, "u/moved");
        assert_int_equal(there(env, "m/f"), !is_moved);
        if (is_moved) assert_false(there(env, "u/f")); /* removed before */
        renamed += is_renamed;
        removed += !there(env, "u/f");
        moved += is_moved;
        swept += env->ops->syncdir(env, "s") == -ENOENT;
        sim_done(sim);
    }
    assert_true(renamed > 50 && renamed < 150);
    assert_true(removed > 50 && removed < 190);
    assert_true(moved > 20 && moved < 150);
    assert_true(swept > 20 && swept < 150);
}

UNIT_TEST(test_syncing_one_directory_of_a_move_makes_all_of_it_durable)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        must(env_mkdir(env, "a", NULL));
        must(env_mkdir(env, "b", NULL));
        must(env_mkdir(env, "c", NULL));
        must(env_syncdir(env, "/", NULL));
        put_file(env, "a/f", "x", true);
        must(env_rename(env, "a/f", "b/f", NULL));
        must(env_rename(env, "b/f", "c/f", NULL));
        must(env_syncdir(env, seed % 2 == 0 ? "b" : "c", NULL));
        sim_env_power_loss(sim);
        assert_false(there(env, "a/f"));
        assert_false(there(env, "b/f"));
        assert_true(there(env, "c/f"));
        sim_done(sim);
    }
}

UNIT_TEST(test_directory_without_a_durable_name_is_gone_with_all_in_it)
{
    unsigned gone = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        must(env_mkdir(env, "tmp", NULL));
        put_file(env, "tmp/f", "x", true);
        must(env_syncdir(env, "tmp", NULL));
        must(env_rename(env, "tmp", "part", NULL));
        sim_env_power_loss(sim);
        assert_false(there(env, "tmp/f") && there(env, "part/f"));
        bool has_tmp = env->ops->syncdir(env, "tmp") == 0;
        bool has_part = env->ops->syncdir(env, "part") == 0;
        assert_false(has_tmp && has_part);
        assert_int_equal(there(env, "tmp/f"), has_tmp);
        assert_int_equal(there(env, "part/f"), has_part);
        gone += !has_tmp && !has_part;
        if (gone > 0 && !has_tmp && !has_part) assert_int_equal(sim_env_used_bytes(sim), 0);
        sim_done(sim);
    }
    assert_true(gone > 10 && gone < 70);
}

UNIT_TEST(test_kill_keeps_data_but_neither_handles_nor_locks)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    struct file one = opened(env, "f", FILE_CREATE), other = opened(env, "f", FILE_UPDATE);
    put(&one, "written", 0);
    must(file_lock(&one, NULL));
    must(file_lock(&one, NULL));
    assert_int_equal(file_lock(&other, NULL), ERR_AGAIN);
    must(file_close(&one));
    must(file_lock(&other, NULL));
    for (int round = 0; round < 2; round++) {
        if (round == 0) sim_env_kill(sim);
        if (round == 1) sim_env_power_loss(sim);
        assert_int_equal(file_lock(&other, NULL), ERR_IO);
        one = opened(env, "f", FILE_REPLACE);
        must(file_lock(&one, NULL));
        if (round == 0) assert_int_equal(one.env->ops->close(env, other.handle), -EBADF);
        other.handle = one.handle;
        put(&one, "written", 0);
        must(env_syncdir(env, "/", NULL));
        assert_string_equal(content(env, "f"), "written");
    }
    sim_done(sim);
}

UNIT_TEST(test_open_file_without_name_lives_until_closed)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    struct file file = opened(env, "f", FILE_CREATE);
    put(&file, "still here", 0);
    must(env_unlink(env, "f", NULL));
    put_file(env, "f", "another", true);
    char text[10];
    must(file_read_at(&file, text, sizeof text, 0, NULL));
    assert_memory_equal(text, "still here", sizeof text);
    assert_int_equal(sim_env_used_bytes(sim), 2 * PAGE);
    must(file_close(&file));
    assert_int_equal(sim_env_used_bytes(sim), PAGE);
    sim_done(sim);
}

UNIT_TEST(test_full_device_refuses_new_pages_but_takes_old_ones)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    sim_env_set_capacity(sim, 3 * PAGE);
    struct file file = opened(env, "f", FILE_CREATE);
    static const uint8_t zeros[4 * PAGE];
    uint64_t free_bytes, total_bytes, size;
    assert_int_equal(file_write_at(&file, bytes_of(zeros, sizeof zeros), 0, NULL), ERR_FULL);
    must(env_space(env, "/", &free_bytes, &total_bytes, NULL));
    assert_int_equal(free_bytes, 0);
    assert_int_equal(total_bytes, 3 * PAGE);
    must(file_size(&file, &size, NULL));
    assert_int_equal(size, 3 * PAGE); /* the part that fitted was written */
    put(&file, "over zeros", PAGE);
    must(file_truncate(&file, 100 * PAGE, NULL)); /* a hole needs no space */
    assert_int_equal(file_write_at(&file, bytes_of_text("x"), 50 * PAGE, NULL), ERR_FULL);
    must(file_truncate(&file, PAGE, NULL));
    must(file_write_at(&file, bytes_of_text("x"), 50 * PAGE, NULL));
    must(env_unlink(env, "f", NULL));
    must(file_close(&file));
    assert_int_equal(sim_env_used_bytes(sim), 0);
    sim_done(sim);
}

static int
note_name(void *context, const char *name, bool is_dir)
{
    char *seen = context;
    if (strcmp(name, "stop") == 0) return 7;
    size_t used = strlen(seen);
    snprintf(seen + used, 64 - used, "%s%s ", name, is_dir ? "/" : "");
    return 0;
}

struct sweep {
    struct env *env;
    unsigned count;
};

static enum err
sweep_name(void *context, const char *name, bool is_dir)
{
    struct sweep *sweep = context;
    char path[64];
    assert_false(is_dir);
    must(path_join(path, sizeof path, "d", name));
    sweep->count++;
    return env_unlink(sweep->env, path, NULL);
}

UNIT_TEST(test_listing_names_everything_once_and_may_remove_meanwhile)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    must(env_mkdir(env, "d", NULL));
    char seen[64] = "";
    assert_int_equal(env->ops->listdir(env, "d", note_name, seen), 0);
    assert_string_equal(seen, "");
    for (int i = 0; i < 100; i++) {
        char path[24];
        snprintf(path, sizeof path, "d/%d", i);
        put_file(env, path, "x", false);
    }
    struct sweep sweep = {env, 0};
    must(env_listdir(env, "d", sweep_name, &sweep, NULL));
    assert_int_equal(sweep.count, 100);
    assert_int_equal(env->ops->listdir(env, "/", note_name, seen), 0);
    assert_string_equal(seen, "d/ ");
    put_file(env, "d/stop", "x", false);
    assert_int_equal(env->ops->listdir(env, "d", note_name, seen), 7);
    sim_done(sim);
}

UNIT_TEST(test_damage_flips_one_bit_that_stays_flipped)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_env *sim = sim_make(seed);
        struct env *env = sim_env_env(sim);
        put_file(env, "f", "abc", seed % 2 == 0);
        must(env_syncdir(env, "/", NULL));
        must(sim_env_damage(sim, "f", 1));
        const char *text = content(env, "f");
        assert_int_equal(__builtin_popcount((uint8_t)(text[1] ^ 'b')), 1);
        assert_int_equal(text[0], 'a');
        assert_int_equal(text[2], 'c');
        char bad = text[1];
        if (seed % 2 == 0) {
            sim_env_power_loss(sim);
            assert_int_equal(content(env, "f")[1], bad);
        }
        assert_int_equal(sim_env_damage(sim, "g", 0), ERR_MISSING);
        assert_int_equal(sim_env_damage(sim, "f", 3), ERR_INPUT);
        sim_done(sim);
    }
}

UNIT_TEST(test_clocks_do_not_move_by_themselves)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    assert_int_equal(env_realtime_ms(env), 1767225600000);
    assert_int_equal(env_monotonic_ns(env), NS_PER_S);
    sim_env_advance_ns(sim, 1500 * NS_PER_MS);
    assert_int_equal(env_realtime_ms(env), 1767225601500);
    assert_int_equal(env_monotonic_ns(env), NS_PER_S + 1500 * NS_PER_MS);
    sim_env_set_realtime_ms(sim, -5);
    assert_int_equal(env_realtime_ms(env), -5);
    assert_int_equal(env_monotonic_ns(env), NS_PER_S + 1500 * NS_PER_MS);
    sim_env_advance_ns(sim, NS_PER_S);
    assert_int_equal(env_realtime_ms(env), 995);
    sim_done(sim);
}

struct life {
    struct sim_env *sim;
    int handles[4];
};

static const char *const life_paths[] = {"a", "a/b", "c", "a/f", "c/f", "g", "a/b/h", "c/i"};

static const char *
life_path(struct life *life)
{
    return life_paths[sim_env_random(life->sim) % 8];
}

static int64_t
change_some_name(struct life *life)
{
    struct env *env = sim_env_env(life->sim);
    const char *path = life_path(life);
    switch (sim_env_random(life->sim) % 7) {
    case 0:
        return env->ops->mkdir(env, path);
    case 1:
        return env->ops->rmdir(env, path);
    case 2:
        return env->ops->unlink(env, path);
    case 3:
        return env->ops->rename(env, path, life_path(life));
    case 4:
        return env->ops->link(env, path, life_path(life));
    case 5:
        env->ops->forget_dir(env, path);
        return 0;
    default:
        return env->ops->syncdir(env, path);
    }
}

static int64_t
change_some_file(struct life *life)
{
    struct env *env = sim_env_env(life->sim);
    int *handle = &life->handles[sim_env_random(life->sim) % 4];
    uint64_t at = sim_env_random(life->sim) % 20000;
    uint8_t block[5000];
    memset(block, (int)at, sizeof block);
    switch (sim_env_random(life->sim) % 7) {
    case 0:
        return env->ops->truncate(env, *handle, at);
    case 1:
        return env->ops->datasync(env, *handle);
    case 2:
        return env->ops->close(env, *handle);
    case 3:
        env->ops->forget_file(env, *handle);
        return 0;
    case 4:
        return env->ops->pwrite(env, *handle, block, sizeof block, at);
    case 5:
        return *handle = env->ops->open(env, life_path(life), FILE_REPLACE);
    default:
        return env->ops->pread(env, *handle, block, sizeof block, at) > 0 ? block[7] : -1;
    }
}

/* Runs one random life of a small tree; returns a hash of everything seen. */
static uint64_t
random_life(uint64_t seed)
{
    struct life life = {sim_make(seed), {-1, -1, -1, -1}};
    struct env *env = sim_env_env(life.sim);
    uint64_t hash = 0;
    for (int i = 0; i < 400; i++) {
        uint64_t what = sim_env_random(life.sim) % 64;
        if (what == 0) sim_env_power_loss(life.sim);
        if (what == 1) sim_env_kill(life.sim);
        int64_t result = what % 2 == 0 ? change_some_name(&life) : change_some_file(&life);
        hash = (hash ^ (uint64_t)result) * 0x100000001b3u;
    }
    sim_env_power_loss(life.sim);
    for (int i = 0; i < 8; i++) {
        err_ignore(env_remove_tree(env, life_paths[i], NULL), "some are files");
        (void)env->ops->unlink(env, life_paths[i]);
    }
    assert_int_equal(sim_env_used_bytes(life.sim), 0);
    sim_done(life.sim);
    return hash;
}

UNIT_TEST(test_same_seed_lives_the_same_life)
{
    for (uint64_t seed = 0; seed < 300; seed++)
        assert_int_equal(random_life(seed), random_life(seed));
    assert_int_not_equal(random_life(1), random_life(2));
}

/* Returns false when all allocations have been refused once. */
static bool
live_with_nth_allocation_refused(uint64_t nth)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    const struct env_ops *ops = env->ops;
    must(env_mkdir(env, "d", NULL));
    put_file(env, "d/f", "old content", true);
    must(env_syncdir(env, "/", NULL));
    must(env_syncdir(env, "d", NULL));
    char text[64], seen[64] = "";

    mem_fail_nth(nth, false);
    int results[] = {
        ops->mkdir(env, "e"),
        ops->rename(env, "d/f", "d/g"),
        ops->link(env, "d/g", "e/h"),
        ops->unlink(env, "d/g"),
        ops->listdir(env, "d", note_name, seen),
    };
    int file = ops->open(env, "d/new", FILE_REPLACE);
    if (file >= 0) {
        (void)!ops->pwrite(env, file, "abc", 3, 100000);
        (void)!ops->truncate(env, file, 50);
        (void)!ops->pread(env, file, text, sizeof text, 0);
        assert_int_equal(ops->close(env, file), 0);
    }
    bool fired = mem_fail_fired();
    mem_fail_nth(0, false);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        assert_true(results[i] == 0 || results[i] == -ENOMEM || results[i] == -ENOENT);
    mem_fail_nth(1, true);
    sim_env_power_loss(sim); /* needs no memory */
    assert_false(mem_fail_fired());
    mem_fail_nth(0, false);
    unsigned copies = (unsigned)there(env, "d/f") + there(env, "d/g") + there(env, "e/h");
    if (copies == 0) assert_int_equal(results[3], 0); /* only a removal loses it */
    sim_done(sim);
    return fired;
}

UNIT_TEST(test_refused_allocation_is_an_error_and_nothing_else)
{
    struct sim_env *sim;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        mem_fail_nth(nth, false);
        assert_int_equal(sim_env_new(1, &sim), ERR_NOMEM);
    }
    mem_fail_nth(0, false);
    uint64_t nth = 1;
    while (live_with_nth_allocation_refused(nth))
        nth++;
    assert_true(nth > 5);
}

UNIT_TEST(test_many_handles_fit_and_too_many_are_refused)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    int handle, count = 0;
    while ((handle = env->ops->open(env, "f", FILE_REPLACE)) >= 0)
        count++;
    assert_int_equal(handle, -EMFILE);
    assert_int_equal(count, 4096);
    sim_env_kill(sim);
    assert_true(env->ops->open(env, "f", FILE_READ) >= 0);
    sim_done(sim);
}

static void *
write_own_file(void *argument)
{
    struct sim_env *sim = argument;
    struct env *env = sim_env_env(sim);
    char path[32];
    snprintf(path, sizeof path, "t%llx", (unsigned long long)sim_env_random(sim));
    for (int i = 0; i < 300; i++) {
        struct file file;
        if (file_open(env, path, FILE_REPLACE, &file, NULL)) return argument;
        if (file_write_at(&file, bytes_of_text(path), 0, NULL)) return argument;
        if (file_datasync(&file, NULL)) return argument;
        if (env_syncdir(env, "/", NULL)) return argument;
        if (file_close(&file)) return argument;
        sim_env_advance_ns(sim, 1000);
    }
    return strcmp(path, "") == 0 ? argument : NULL;
}

UNIT_TEST(test_threads_share_a_machine)
{
    struct sim_env *sim = sim_make(1);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_own_file, sim), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(env_monotonic_ns(sim_env_env(sim)), NS_PER_S + 4 * 300 * 1000);
    sim_env_power_loss(sim);
    assert_int_equal(sim_env_used_bytes(sim), 4 * PAGE);
    sim_done(sim);
}

UNIT_TEST(test_file_of_hundred_mebibytes_is_held_and_recovered)
{
    struct sim_env *sim = sim_make(1);
    struct env *env = sim_env_env(sim);
    static const uint8_t zeros[1 << 20];
    struct file file = opened(env, "big", FILE_CREATE);
    for (uint64_t i = 0; i < 100; i++)
        must(file_write_at(&file, bytes_of(zeros, sizeof zeros), i << 20, NULL));
    must(file_datasync(&file, NULL));
    must(env_syncdir(env, "/", NULL));
    for (uint64_t i = 0; i < 100; i++)
        put(&file, "mark", i << 20);
    assert_int_equal(sim_env_used_bytes(sim), 100 << 20);
    must(file_datasync(&file, NULL));
    sim_env_power_loss(sim);
    file = opened(env, "big", FILE_READ);
    for (uint64_t i = 0; i < 100; i++) {
        char mark[5];
        must(file_read_at(&file, mark, sizeof mark, i << 20, NULL));
        assert_memory_equal(mark, "mark", sizeof mark);
    }
    sim_done(sim);
}

UNIT_TEST(test_a_copy_has_the_files_and_facts_of_its_original_and_its_own_life)
{
    struct sim_env *sim = sim_make(1), *copy;
    struct env *env = sim_env_env(sim), *other;
    struct file_facts was, is;
    char got[5];
    must(env_mkdir(env, "d", NULL));
    struct file file = opened(env, "d/f", FILE_CREATE);
    put(&file, "text", PAGE - 2); /* not synced */
    sim_env_advance_ns(sim, 7 * NS_PER_S);
    must(sim_env_copy(sim, 2, &copy));
    other = sim_env_env(copy);
    put(&file, "more", PAGE - 2);
    sim_env_power_loss(copy);
    struct file copied = opened(other, "d/f", FILE_UPDATE);
    must(file_read_at(&copied, got, 4, PAGE - 2, NULL));
    assert_memory_equal(got, "text", 4);
    must(env_facts(env, "d", &was, NULL));
    must(env_facts(other, "d", &is, NULL));
    assert_true(file_facts_same_file(&was, &is));
    must(env_facts(other, "d/f", &is, NULL));
    must(env_facts(env, "d/f", &was, NULL));
    assert_true(file_facts_same_file(&was, &is));
    assert_int_equal(env_monotonic_ns(other), env_monotonic_ns(env));
    assert_int_equal(sim_env_used_bytes(copy), sim_env_used_bytes(sim));
    must(file_close(&copied));
    sim_env_free(copy);
    must(file_close(&file));
    sim_done(sim);
}

#define seeded(test) cmocka_unit_test_teardown(test, tell_seed)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        seeded(test_file_reads_back_what_was_written_at_any_offset),
        seeded(test_calls_fail_as_the_kernel_would),
        seeded(test_facts_change_with_content_and_names_but_not_with_moved_parents),
        seeded(test_synced_data_under_a_synced_name_survives_every_power_loss),
        seeded(test_unsynced_page_becomes_old_new_or_a_mixture_of_sectors),
        seeded(test_unsynced_size_becomes_old_or_new_and_never_shows_other_bytes),
        seeded(test_directory_keeps_a_prefix_of_its_changes),
        seeded(test_name_change_not_synced_is_old_or_new_but_nothing_between),
        seeded(test_syncing_one_directory_of_a_move_makes_all_of_it_durable),
        seeded(test_directory_without_a_durable_name_is_gone_with_all_in_it),
        seeded(test_kill_keeps_data_but_neither_handles_nor_locks),
        seeded(test_open_file_without_name_lives_until_closed),
        seeded(test_full_device_refuses_new_pages_but_takes_old_ones),
        seeded(test_listing_names_everything_once_and_may_remove_meanwhile),
        seeded(test_damage_flips_one_bit_that_stays_flipped),
        seeded(test_clocks_do_not_move_by_themselves),
        seeded(test_same_seed_lives_the_same_life),
        seeded(test_refused_allocation_is_an_error_and_nothing_else),
        seeded(test_many_handles_fit_and_too_many_are_refused),
        seeded(test_threads_share_a_machine),
        seeded(test_file_of_hundred_mebibytes_is_held_and_recovered),
        seeded(test_a_copy_has_the_files_and_facts_of_its_original_and_its_own_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
