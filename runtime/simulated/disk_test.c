#include "runtime/simulated/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = CONTENT_SECTOR_SIZE, SEEDS = 300 };

static struct inode *must_open(struct disk *disk, const char *path, unsigned flags)
{
	struct inode *inode = NULL;
	int error = disk_open(disk, path, flags, &inode);

	cr_assert_eq(error, 0, "open %s: %d", path, error);
	return inode;
}

static void put(struct disk *disk, const char *path, const char *text, bool sync)
{
	struct inode *inode = must_open(disk, path, FILE_WRITE | FILE_CREATE | FILE_TRUNCATE);

	cr_assert_eq(disk_write(disk, inode, text, strlen(text), 0), (int64_t)strlen(text));
	if (sync)
		disk_sync(inode);
	disk_close(disk, inode, 0);
}

/* The content as text, "-" when there is no such file. */
static const char *get(struct disk *disk, const char *path)
{
	static char text[256];
	struct inode *inode;
	int64_t size;

	if (disk_open(disk, path, FILE_READ, &inode) != 0)
		return "-";
	size = disk_read(inode, text, sizeof(text) - 1, 0);
	text[size] = '\0';
	disk_close(disk, inode, 0);
	return text;
}

Test(disk, answers_names_as_posix_does)
{
	struct disk *disk = disk_new(1 << 20);
	struct inode *inode;

	cr_assert_eq(disk_make_folder(disk, "/a"), 0);
	cr_assert_eq(disk_make_folder(disk, "/a"), -EEXIST);
	cr_assert_eq(disk_make_folder(disk, "/b/c"), -ENOENT);
	cr_assert_eq(disk_open(disk, "/a/x", FILE_READ, &inode), -ENOENT);
	put(disk, "/a/x", "one", false);
	cr_assert_str_eq(get(disk, "a//./x"), "one");
	cr_assert_str_eq(get(disk, "/a/../a/x"), "one");
	cr_assert_eq(disk_open(disk, "/a", FILE_READ, &inode), -EISDIR);
	cr_assert_eq(disk_open(disk, "/a/x/y", FILE_READ, &inode), -ENOTDIR);
	cr_assert_eq(disk_open(disk, "/a/x", FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &inode),
		-EEXIST);
	cr_assert_eq(disk_remove_folder(disk, "/a"), -ENOTEMPTY);
	cr_assert_eq(disk_remove_folder(disk, "/a/x"), -ENOTDIR);
	cr_assert_eq(disk_unlink(disk, "/a"), -EISDIR);
	cr_assert_eq(disk_unlink(disk, "/a/y"), -ENOENT);
	cr_assert_eq(disk_make_folder(disk, "/a/inner"), 0);
	cr_assert_eq(disk_rename(disk, "/a", "/a/inner/a"), -EINVAL);
	cr_assert_eq(disk_rename(disk, "/a/x", "/a/inner"), -EISDIR);
	cr_assert_eq(disk_rename(disk, "/a/inner", "/a/x"), -ENOTDIR);
	cr_assert_eq(disk_rename(disk, "/none", "/a/x"), -ENOENT);
	put(disk, "/a/z", "two", false);
	cr_assert_eq(disk_rename(disk, "/a/x", "/a/z"), 0);
	cr_assert_str_eq(get(disk, "/a/z"), "one");
	cr_assert_str_eq(get(disk, "/a/x"), "-");
	cr_assert_eq(disk_rename(disk, "/a", "/b"), 0);
	cr_assert_str_eq(get(disk, "/b/z"), "one");
	disk_free(disk);
}

Test(disk, an_open_file_survives_unlink_and_rename)
{
	struct disk *disk = disk_new(1 << 20);
	struct inode *inode;
	char text[8] = {0};

	put(disk, "x", "one", true);
	put(disk, "y", "two", true);
	inode = must_open(disk, "x", FILE_READ);
	cr_assert_eq(disk_rename(disk, "y", "x"), 0);
	cr_assert_eq(disk_unlink(disk, "x"), 0);
	disk_sync_folder(disk, "/");
	cr_assert_eq(disk_read(inode, text, sizeof(text), 0), 3);
	cr_assert_str_eq(text, "one");
	disk_close(disk, inode, 0);
	cr_assert_eq(disk_used_bytes(disk), 0, "what nothing refers to takes no space");
	disk_free(disk);
}

Test(disk, a_lock_excludes_the_next_opening_until_it_is_closed)
{
	struct disk *disk = disk_new(1 << 20);
	struct inode *first = must_open(disk, ".lock", FILE_WRITE | FILE_CREATE | FILE_LOCK),
		     *other;

	cr_assert_eq(disk_open(disk, ".lock", FILE_WRITE | FILE_LOCK, &other), -EWOULDBLOCK);
	disk_close(disk, first, FILE_WRITE | FILE_LOCK);
	other = must_open(disk, ".lock", FILE_WRITE | FILE_LOCK);
	disk_close(disk, other, FILE_WRITE | FILE_LOCK);
	disk_free(disk);
}

Test(disk, a_full_disk_takes_what_fits)
{
	struct disk *disk = disk_new(3 * CONTENT_PAGE_SIZE);
	struct inode *inode = must_open(disk, "x", FILE_WRITE | FILE_CREATE);
	static uint8_t data[5 * CONTENT_PAGE_SIZE];

	cr_assert_eq(disk_allocate(disk, inode, sizeof(data)), -ENOSPC);
	cr_assert_eq(disk_file_size(inode), 0);
	cr_assert_eq(disk_write(disk, inode, data, sizeof(data), 100), -ENOSPC);
	cr_assert_eq(disk_file_size(inode), 3 * CONTENT_PAGE_SIZE);
	cr_assert_eq(disk_used_bytes(disk), 3 * CONTENT_PAGE_SIZE);
	cr_assert_eq(disk_write(disk, inode, data, 200, 300), 200, "rewriting takes no space");
	disk_truncate(disk, inode, 0);
	cr_assert_eq(disk_used_bytes(disk), 0);
	disk_close(disk, inode, 0);
	disk_free(disk);
}

Test(disk, preallocated_space_is_charged_but_holds_no_pages)
{
	struct disk *disk = disk_new(20 << 20);
	struct inode *inode = must_open(disk, "x.index", FILE_WRITE | FILE_CREATE);
	char byte = 1;

	cr_assert_eq(disk_allocate(disk, inode, 10 << 20), 0);
	cr_assert_eq(disk_file_size(inode), 10 << 20);
	cr_assert_eq(disk_used_bytes(disk), 10 << 20);
	cr_assert_eq(disk_write(disk, inode, "\1", 1, 0), 1);
	cr_assert_eq(disk_used_bytes(disk), 10 << 20);
	cr_assert_eq(disk_read(inode, &byte, 1, (10 << 20) - 1), 1);
	cr_assert_eq(byte, 0);
	disk_close(disk, inode, 0);
	disk_free(disk);
}

/* What a sector may be after the power went: the old bytes, the new, or new up to some byte. */
static bool sector_is_plausible(const uint8_t *found, uint8_t old, uint8_t new)
{
	size_t i = 0;

	while (i < SECTOR && found[i] == new)
		i++;
	while (i < SECTOR && found[i] == old)
		i++;
	return i == SECTOR;
}

Test(disk, a_power_cut_leaves_each_unsynced_sector_old_or_new)
{
	/* Sectors of 1 are synced, some are overwritten by 2; all is checked for many seeds, and
	 * that between the seeds everything that may happen does. */
	unsigned all_old = 0, all_new = 0, mixed = 0, torn = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		struct inode *inode = must_open(disk, "x", FILE_WRITE | FILE_CREATE);
		uint8_t data[40 * SECTOR], changed[40] = {0};
		unsigned old = 0, new = 0;

		chooser_init(&chooser, seed);
		memset(data, 1, sizeof(data));
		disk_write(disk, inode, data, sizeof(data), 0);
		disk_sync(inode);
		disk_sync_folder(disk, "/");
		memset(data, 2, sizeof(data));
		for (unsigned i = 0; i < 10; i++) {
			uint64_t sector = choose_below(&chooser, 40);

			changed[sector] = 1;
			disk_write(disk, inode, data, SECTOR, sector * SECTOR);
			if (choose_below(&chooser, 8) == 0)
				disk_write_out(disk, &chooser);
		}
		disk_close(disk, inode, 0);
		disk_lose_power(disk, &chooser);
		inode = must_open(disk, "x", FILE_READ);
		cr_assert_eq(disk_read(inode, data, sizeof(data), 0), sizeof(data));
		for (unsigned i = 0; i < 40; i++) {
			const uint8_t *sector = data + i * SECTOR;

			cr_assert(sector_is_plausible(sector, 1, changed[i] ? 2 : 1),
				"seed %lu sector %u", (unsigned long)seed, i);
			if (changed[i] && sector[0] != sector[SECTOR - 1])
				torn++;
			else if (changed[i])
				*(sector[0] == 2 ? &new : &old) += 1;
		}
		all_old += new == 0;
		all_new += old == 0;
		mixed += old > 0 && new > 0;
		disk_close(disk, inode, 0);
		disk_free(disk);
	}
	cr_assert(all_old > 10 && all_new > 10 && mixed > 10 && torn > 3, "%u %u %u %u", all_old,
		all_new, mixed, torn);
}

Test(disk, a_power_cut_keeps_what_was_synced_of_a_growing_file)
{
	unsigned sizes_between = 0, zeros = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		struct inode *inode = must_open(disk, "log", FILE_WRITE | FILE_CREATE);
		uint8_t data[10000];
		uint64_t size;

		chooser_init(&chooser, seed);
		memset(data, 7, sizeof(data));
		disk_write(disk, inode, data, 3000, 0);
		disk_sync(inode);
		disk_sync_folder(disk, "/");
		for (unsigned i = 3000; i < 10000; i += 1000)
			disk_write(disk, inode, data, 1000, i);
		disk_close(disk, inode, 0);
		disk_lose_power(disk, &chooser);
		inode = must_open(disk, "log", FILE_READ);
		size = disk_file_size(inode);
		cr_assert(size >= 3000 && size <= 10000);
		disk_read(inode, data, sizeof(data), 0);
		for (unsigned i = 0; i < size; i++) {
			cr_assert(data[i] == 7 || (i >= 3000 && data[i] == 0),
				"seed %lu byte %u is %u", (unsigned long)seed, i, data[i]);
			zeros += data[i] == 0;
		}
		sizes_between += size > 3000 && size < 10000;
		disk_close(disk, inode, 0);
		disk_free(disk);
	}
	cr_assert(sizes_between > 10 && zeros > 1000);
}

Test(disk, a_cut_and_what_is_behind_it_survive_in_order)
{
	/* 8 sectors of 1, synced; truncated to 2; 4 of 2 appended. Without the truncation nothing
	 * of 2 may be there, with it no 1 beyond the second sector. */
	unsigned cut_lost = 0, cut_kept = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		struct inode *inode = must_open(disk, "log", FILE_WRITE | FILE_CREATE);
		uint8_t data[8 * SECTOR];
		uint64_t size;

		chooser_init(&chooser, seed);
		memset(data, 1, sizeof(data));
		disk_write(disk, inode, data, sizeof(data), 0);
		disk_sync(inode);
		disk_sync_folder(disk, "/");
		disk_truncate(disk, inode, 2 * SECTOR);
		memset(data, 2, sizeof(data));
		disk_write(disk, inode, data, 4 * SECTOR, 2 * SECTOR);
		disk_write_out(disk, &chooser);
		disk_close(disk, inode, 0);
		disk_lose_power(disk, &chooser);
		inode = must_open(disk, "log", FILE_READ);
		size = disk_file_size(inode);
		disk_read(inode, data, sizeof(data), 0);
		for (unsigned i = 0; i < size; i++) {
			bool is_behind = i >= 2 * SECTOR;

			if (!is_behind || size == sizeof(data))
				cr_assert_eq(data[i], 1);
			else
				cr_assert(data[i] == 2 || data[i] == 0);
		}
		cut_lost += size == sizeof(data);
		cut_kept += size != sizeof(data);
		cr_assert(size == sizeof(data) || (size >= 2 * SECTOR && size <= 6 * SECTOR));
		disk_close(disk, inode, 0);
		disk_free(disk);
	}
	cr_assert(cut_lost > 30 && cut_kept > 30);
}

Test(disk, names_are_lost_until_their_folder_is_synced)
{
	unsigned lost = 0, back = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);

		chooser_init(&chooser, seed);
		disk_make_folder(disk, "d");
		disk_sync_folder(disk, "/");
		put(disk, "d/synced", "s", true);
		put(disk, "d/removed", "r", true);
		disk_sync_folder(disk, "d");
		put(disk, "d/new", "n", true);
		disk_unlink(disk, "d/removed");
		disk_lose_power(disk, &chooser);
		cr_assert_str_eq(get(disk, "d/synced"), "s");
		lost += strcmp(get(disk, "d/new"), "-") == 0;
		if (strcmp(get(disk, "d/removed"), "-") != 0) {
			back++;
			cr_assert_str_eq(get(disk, "d/removed"), "r");
		}
		disk_free(disk);
	}
	cr_assert(lost > 30 && lost < SEEDS - 30 && back > 30 && back < SEEDS - 30);
}

Test(disk, a_file_in_a_folder_that_was_lost_is_lost)
{
	struct chooser chooser;
	struct disk *disk = disk_new(1 << 20);
	unsigned seed = 0;

	/* The seed that loses the folder is found by trying. */
	do {
		disk_free(disk);
		disk = disk_new(1 << 20);
		chooser_init(&chooser, ++seed);
		disk_make_folder(disk, "d");
		put(disk, "d/x", "x", true);
		disk_sync_folder(disk, "d");
		disk_lose_power(disk, &chooser);
	} while (strcmp(get(disk, "d/x"), "-") != 0);
	cr_assert_eq(disk_make_folder(disk, "d"), 0);
	cr_assert_eq(disk_used_bytes(disk), 0);
	disk_free(disk);
}

Test(disk, a_rename_survives_wholly_or_not_at_all)
{
	unsigned old = 0, new = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		const char *found;

		chooser_init(&chooser, seed);
		put(disk, "x", "old", true);
		disk_sync_folder(disk, "/");
		put(disk, "x.tmp", "new", true);
		disk_rename(disk, "x.tmp", "x");
		if (seed % 3 == 0)
			disk_sync_folder(disk, "/");
		disk_lose_power(disk, &chooser);
		found = get(disk, "x");
		cr_assert(
			strcmp(found, "new") == 0 || (seed % 3 != 0 && strcmp(found, "old") == 0));
		if (strcmp(found, "new") == 0) {
			new ++;
			cr_assert_str_eq(get(disk, "x.tmp"), "-");
		} else {
			old++;
		}
		disk_free(disk);
	}
	cr_assert(old > 30 && new > 130);
}

Test(disk, a_rename_without_a_sync_of_the_file_can_leave_an_empty_one)
{
	unsigned broken = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		const char *found;

		chooser_init(&chooser, seed);
		put(disk, "x", "old", true);
		disk_sync_folder(disk, "/");
		put(disk, "x.tmp", "new", false);
		disk_rename(disk, "x.tmp", "x");
		disk_sync_folder(disk, "/");
		disk_lose_power(disk, &chooser);
		found = get(disk, "x");
		cr_assert_str_neq(found, "old");
		broken += strcmp(found, "new") != 0;
		disk_free(disk);
	}
	cr_assert(broken > 30);
}

Test(disk, syncing_either_folder_of_a_rename_takes_what_it_needs)
{
	/* a/x is made (not synced) and moved to b/x; syncing b alone must make both durable, or the
	 * file would be lost by a rename. */
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);

		chooser_init(&chooser, seed);
		disk_make_folder(disk, "a");
		disk_make_folder(disk, "b");
		disk_sync_folder(disk, "/");
		put(disk, "a/x", "x", true);
		disk_rename(disk, "a/x", "b/x");
		put(disk, "a/x", "y", true);
		disk_sync_folder(disk, "b");
		disk_lose_power(disk, &chooser);
		cr_assert_str_eq(get(disk, "b/x"), "x");
		cr_assert_str_neq(get(disk, "a/x"), "x");
		disk_free(disk);
	}
}

Test(disk, a_failed_sync_leaves_bytes_in_doubt)
{
	/* The three fates of a dirty page, told apart by what a reader sees and what a power cut
	 * after a second, successful sync leaves. */
	unsigned dropped = 0, stranded = 0, kept = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		struct inode *inode = must_open(disk, "x", FILE_WRITE | FILE_CREATE);
		bool is_seen;
		char byte;

		chooser_init(&chooser, seed);
		disk_write(disk, inode, "1", 1, 0);
		disk_sync(inode);
		disk_sync_folder(disk, "/");
		disk_write(disk, inode, "2", 1, 0);
		disk_sync_fail(disk, inode, &chooser);
		disk_read(inode, &byte, 1, 0);
		is_seen = byte == '2';
		disk_sync(inode);
		disk_close(disk, inode, 0);
		disk_lose_power(disk, &chooser);
		cr_assert(is_seen || get(disk, "x")[0] == '1');
		dropped += !is_seen;
		stranded += is_seen && get(disk, "x")[0] == '1';
		kept += is_seen && get(disk, "x")[0] == '2';
		disk_free(disk);
	}
	cr_assert(dropped > 30 && stranded > 30 && kept > 30);
}

Test(disk, a_clone_has_its_own_future)
{
	struct chooser chooser;
	struct disk *disk = disk_new(1 << 20), *clone;

	chooser_init(&chooser, 1);
	disk_make_folder(disk, "d");
	put(disk, "d/x", "one", true);
	disk_sync_folder(disk, "/");
	disk_sync_folder(disk, "d");
	put(disk, "d/x", "two", false);
	clone = disk_clone(disk);
	cr_assert_eq(disk_used_bytes(clone), disk_used_bytes(disk));
	put(disk, "d/x", "three", true);
	disk_unlink(disk, "d/x");
	cr_assert_str_eq(get(clone, "d/x"), "two");
	cr_assert_str_eq(get(disk, "d/x"), "-");
	/* The clone's power cut settles what was unsynced when it was made. */
	disk_lose_power(clone, &chooser);
	cr_assert(strcmp(get(clone, "d/x"), "three") != 0);
	disk_free(disk);
	disk_free(clone);
}

Test(disk, rot_flips_one_bit_also_of_what_was_synced)
{
	struct chooser chooser;
	struct disk *disk = disk_new(1 << 20);
	uint8_t before = 'o', after;

	chooser_init(&chooser, 9);
	put(disk, "x", "ooo", true);
	disk_sync_folder(disk, "/");
	cr_assert_eq(disk_rot(disk, &chooser, "x", 3), -ENODATA);
	cr_assert_eq(disk_rot(disk, &chooser, "x", 1), 0);
	disk_lose_power(disk, &chooser);
	after = (uint8_t)get(disk, "x")[1];
	cr_assert_eq(__builtin_popcount(before ^ after), 1);
	disk_free(disk);
}

Test(disk, agrees_with_a_flat_model_whatever_is_done)
{
	/* Random writes, cuts, syncs, write-outs and power cuts; a flat copy of seen and of what is
	 * surely durable is kept beside. */
	enum { SIZE = 20000 };
	static uint8_t seen[SIZE], read[SIZE];

	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct chooser chooser;
		struct disk *disk = disk_new(1 << 20);
		struct inode *inode = must_open(disk, "x", FILE_WRITE | FILE_CREATE);
		uint64_t size = 0;

		chooser_init(&chooser, seed);
		disk_sync_folder(disk, "/");
		memset(seen, 0, sizeof(seen));
		for (unsigned step = 0; step < 300; step++) {
			uint64_t offset = choose_below(&chooser, SIZE);
			uint64_t length = choose_below(&chooser, min_of(SIZE - offset, 6000ul) + 1);

			switch (choose_below(&chooser, 8)) {
			case 0:
				disk_truncate(disk, inode, offset);
				if (offset < size)
					memset(seen + offset, 0, size - offset);
				size = offset;
				break;
			case 1:
				disk_sync(inode);
				break;
			case 2:
				disk_write_out(disk, &chooser);
				break;
			case 3:
				disk_sync(inode);
				disk_close(disk, inode, 0);
				disk_lose_power(disk, &chooser);
				inode = must_open(disk, "x", FILE_WRITE);
				break;
			case 4:
				disk_close(disk, inode, 0);
				disk_lose_power(disk, &chooser);
				inode = must_open(disk, "x", FILE_WRITE);
				size = disk_file_size(inode);
				cr_assert_leq(size, SIZE);
				memset(seen, 0, sizeof(seen));
				disk_read(inode, seen, SIZE, 0);
				break;
			default:
				choose_bytes(&chooser, read, length);
				disk_write(disk, inode, read, length, offset);
				memcpy(seen + offset, read, length);
				if (length > 0)
					size = max_of(size, offset + length);
				break;
			}
			cr_assert_eq(disk_file_size(inode), size);
			memset(read, 0, sizeof(read));
			cr_assert_eq(disk_read(inode, read, SIZE, 0), (int64_t)size);
			cr_assert_arr_eq(read, seen, SIZE);
		}
		disk_close(disk, inode, 0);
		disk_free(disk);
	}
}
