// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which lines of tcpseal ran: the counters of a tcpseal.ko that was built with
 * -fprofile-arcs, for kernels that have no CONFIG_GCOV_KERNEL (scripts/coverage).
 *
 * With -fprofile-info-section the compiler leaves a pointer to what it knows of an
 * object file in a section, and tcpseal_gcov.lds names both ends of that: no
 * constructor has to run. The counters die with their module, so they are added up
 * here when it goes, behind its exit function. Each object file has a file in
 * debugfs, in the format of .gcda, with what is held and what is live.
 *
 * Load it before tcpseal.
 */
#include <linux/debugfs.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>

#define TAG_DATA	0x67636461
#define TAG_FUNCTION	0x01000000
#define TAG_ARCS	0x01a10000

/* What gcc makes, see gcov-io.h and libgcov.h of the compiler */
#if __GNUC__ >= 15
#define COUNTERS	10
#elif __GNUC__ >= 14
#define COUNTERS	9
#else
#define COUNTERS	8
#endif
#define ARCS		0

struct gcov_ctr_info {
	unsigned int num;
	s64 *values;
};

struct gcov_info;

struct gcov_fn_info {
	const struct gcov_info *key;
	unsigned int ident;
	unsigned int lineno_checksum;
	unsigned int cfg_checksum;
	struct gcov_ctr_info ctrs[];
};

struct gcov_info {
	unsigned int version;
	struct gcov_info *next;
	unsigned int stamp;
	unsigned int checksum;
	const char *filename;
	void *merge[COUNTERS];
	unsigned int n_functions;
	const struct gcov_fn_info *const *functions;
};

/* What the .gcda of one object file has, in words; counters are two of them. */
struct image {
	struct list_head list;
	const struct gcov_info *live;
	char *name;
	u32 *words;
	size_t n_words;
};

static LIST_HEAD(images);
static DEFINE_MUTEX(images_lock);
static struct dentry *dir;

static void put_word(u32 *words, size_t *n, u32 word)
{
	if (words)
		words[*n] = word;
	*n += 1;
}

static void put_function(u32 *words, size_t *n, const struct gcov_info *info,
			 const struct gcov_fn_info *fn)
{
	const struct gcov_ctr_info *ctr;
	unsigned int i;

	put_word(words, n, TAG_FUNCTION);
	/* Of an inline function that several object files have, one counts */
	if (!fn || fn->key != info) {
		put_word(words, n, 0);
		return;
	}
	ctr = &fn->ctrs[ARCS];
	put_word(words, n, 3 * sizeof(u32));
	put_word(words, n, fn->ident);
	put_word(words, n, fn->lineno_checksum);
	put_word(words, n, fn->cfg_checksum);
	put_word(words, n, TAG_ARCS);
	put_word(words, n, ctr->num * sizeof(u64));
	for (i = 0; i < ctr->num; i++) {
		u64 value = READ_ONCE(ctr->values[i]);

		put_word(words, n, lower_32_bits(value));
		put_word(words, n, upper_32_bits(value));
	}
}

/* Returns the number of words; writes them where there is room for them. */
static size_t put_info(u32 *words, const struct gcov_info *info)
{
	unsigned int i;
	size_t n = 0;

	put_word(words, &n, TAG_DATA);
	put_word(words, &n, info->version);
	put_word(words, &n, info->stamp);
	put_word(words, &n, info->checksum);
	for (i = 0; i < info->n_functions; i++)
		put_function(words, &n, info, info->functions[i]);
	put_word(words, &n, 0);
	return n;
}

/* Counters are added; all else of the same object file is the same. */
static void add_words(u32 *sum, const u32 *words, size_t n)
{
	size_t i = 4, end;

	while (i + 2 < n) {
		u32 tag = words[i];

		end = i + 2 + words[i + 1] / sizeof(u32);
		for (i += 2; i < end; i += 2) {
			u64 value;

			if (tag != TAG_ARCS)
				break;
			value = sum[i] + ((u64)sum[i + 1] << 32) +
				words[i] + ((u64)words[i + 1] << 32);
			sum[i] = lower_32_bits(value);
			sum[i + 1] = upper_32_bits(value);
		}
		i = end;
	}
}

/* What was held, and what is live. The caller frees it. */
static u32 *sum_of(const struct image *image)
{
	u32 *sum, *now;

	sum = kvmalloc_array(image->n_words, sizeof(u32), GFP_KERNEL);
	if (!sum)
		return NULL;
	memcpy(sum, image->words, image->n_words * sizeof(u32));
	if (!image->live)
		return sum;
	now = kvmalloc_array(image->n_words, sizeof(u32), GFP_KERNEL);
	if (!now) {
		kvfree(sum);
		return NULL;
	}
	put_info(now, image->live);
	add_words(sum, now, image->n_words);
	kvfree(now);
	return sum;
}

static int image_open(struct inode *inode, struct file *file)
{
	mutex_lock(&images_lock);
	file->private_data = sum_of(inode->i_private);
	mutex_unlock(&images_lock);
	return file->private_data ? 0 : -ENOMEM;
}

static ssize_t image_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	const struct image *image = file_inode(file)->i_private;

	return simple_read_from_buffer(to, count, pos, file->private_data,
				       image->n_words * sizeof(u32));
}

static int image_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
	return 0;
}

static const struct file_operations image_ops = {
	.owner		= THIS_MODULE,
	.open		= image_open,
	.read		= image_read,
	.release	= image_release,
};

static void image_free(struct image *image)
{
	kfree(image->name);
	kvfree(image->words);
	kfree(image);
}

static struct image *image_make(const struct gcov_info *info)
{
	struct image *image = kzalloc(sizeof(*image), GFP_KERNEL);

	if (!image)
		return NULL;
	image->name = kstrdup(info->filename, GFP_KERNEL);
	image->n_words = put_info(NULL, info);
	image->words = kvcalloc(image->n_words, sizeof(u32), GFP_KERNEL);
	if (!image->name || !image->words) {
		image_free(image);
		return NULL;
	}
	/* All but the counters, which nothing has added to before init */
	put_info(image->words, info);
	list_add_tail(&image->list, &images);
	debugfs_create_file(kbasename(image->name), 0400, dir, image, &image_ops);
	return image;
}

static struct image *image_of(const struct gcov_info *info)
{
	struct image *image;

	list_for_each_entry(image, &images, list) {
		if (strcmp(image->name, info->filename))
			continue;
		/* Another build of the module: its counters are other ones */
		return image->words[2] == info->stamp ? image : NULL;
	}
	return image_make(info);
}

static unsigned long symbol_of(struct module *mod, const char *name)
{
	/* Nobody else has the module yet */
	const struct mod_kallsyms *symbols = rcu_dereference_protected(mod->kallsyms, true);
	unsigned int i;

	for (i = 0; i < symbols->num_symtab; i++)
		if (!strcmp(symbols->strtab + symbols->symtab[i].st_name, name))
			return symbols->symtab[i].st_value;
	return 0;
}

static void counters_come(struct module *mod)
{
	const struct gcov_info *const *info, *const *end;

	info = (void *)symbol_of(mod, "tcpseal_gcov_start");
	end = (void *)symbol_of(mod, "tcpseal_gcov_end");
	for (; info < end; info++) {
		struct image *image = image_of(*info);

		if (image)
			image->live = *info;
		else
			pr_warn("tcpseal_gcov: %s is not counted\n", (*info)->filename);
	}
}

static void counters_go(void)
{
	struct image *image;

	list_for_each_entry(image, &images, list) {
		u32 *sum = sum_of(image);

		image->live = NULL;
		if (!sum) {
			pr_warn("tcpseal_gcov: %s lost its counters\n", image->name);
			continue;
		}
		kvfree(image->words);
		image->words = sum;
	}
}

static int module_event(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;

	if (strcmp(mod->name, "tcpseal"))
		return NOTIFY_DONE;
	mutex_lock(&images_lock);
	if (state == MODULE_STATE_COMING)
		counters_come(mod);
	else if (state == MODULE_STATE_GOING)
		counters_go();
	mutex_unlock(&images_lock);
	return NOTIFY_DONE;
}

static struct notifier_block notifier = {
	.notifier_call	= module_event,
};

static int __init gcov_init(void)
{
	dir = debugfs_create_dir("tcpseal_gcov", NULL);
	return register_module_notifier(&notifier);
}

static void __exit gcov_exit(void)
{
	struct image *image, *next;

	unregister_module_notifier(&notifier);
	debugfs_remove(dir);
	list_for_each_entry_safe(image, next, &images, list)
		image_free(image);
}

module_init(gcov_init);
module_exit(gcov_exit);
MODULE_DESCRIPTION("Counters of executed lines of tcpseal, for its tests");
MODULE_LICENSE("GPL");
