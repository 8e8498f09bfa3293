// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sticky memory on disk: the input is the file. What was read is written again,
 * and that is read without complaint.
 */
#include "fuzz.h"

#include "../../userspace/tcpseald/sticky.c"

struct setup *setup_now;
struct event_base *loop;
static struct pair kept;
static bool keeps;

/* One pair at a time: what is remembered of it is what counts here */
struct pair *pairs_find_or_add(const struct tcpseal_addr *local,
			       const struct tcpseal_addr *remote)
{
	memset(&kept, 0, sizeof(kept));
	kept.local = *local;
	kept.remote = *remote;
	keeps = true;
	return &kept;
}

/* What the parser does not call */

struct tcpseal *kernel;

struct pair *pairs_find(const struct tcpseal_addr *local,
			const struct tcpseal_addr *remote)
{
	(void)local, (void)remote;
	return NULL;
}

void pairs_each(void (*fn)(struct pair *pair, void *data), void *data)
{
	(void)fn, (void)data;
}

void attempt_want_in(struct pair *pair, uint64_t delay_ms)
{
	(void)pair, (void)delay_ms;
}

void ident_set_clock_floor(time_t floor)
{
	(void)floor;
}

time_t ident_now(void)
{
	return 0;
}

int64_t ident_seconds_left(const struct ident *ident)
{
	(void)ident;
	return 0;
}

bool kernel_there(void)
{
	return false;
}

void notify(const char *format, ...)
{
	(void)format;
}

uint32_t random_u32(void)
{
	return 0;
}

struct timeval ms_timeval(uint64_t ms)
{
	(void)ms;
	return (struct timeval){};
}

static bool load(const void *text, size_t size)
{
	FILE *file = fmemopen((void *)text, size, "r");
	int ret;

	must(file);
	ret = load_file(file, "file");
	fclose(file);
	return !ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pair first;
	char *text = NULL;
	size_t length;
	FILE *file;

	keeps = false;
	if (!size || !load(data, size) || !keeps)
		return 0;
	first = kept;
	must(first.sticky && first.local.len == first.remote.len);
	file = open_memstream(&text, &length);
	must(file);
	fputs(MAGIC, file);
	save_pair(&first, file);
	fclose(file);
	must(load(text, length));
	must(!memcmp(&first, &kept, sizeof(first)));
	free(text);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set_level(-1);
	return 0;
}
