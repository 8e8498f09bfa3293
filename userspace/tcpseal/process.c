// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The processes whose sockets talk, by sock_diag and /proc/PID/fd at the moment
 * of asking. The kernel module does not keep them: on the way in there is no
 * socket yet, a user id is no name, and a name would cost every segment. So a
 * process that has ended is not found any more, and one in another network
 * namespace (behind a gateway) never was.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>

#include "model.h"
#include "tcpseal.h"

#define NAMES_MAX	4	/* of one talker */
#define NAME_LEN	64

/* a socket of a talker */
struct owned {
	uint64_t inode;
	size_t talker;
};

struct processes {
	const struct tcpseal_talker *talkers;
	size_t n;
	struct owned *owned;
	size_t owned_n, room;
	char (*names)[NAMES_MAX][NAME_LEN];
	/* ports of services, so that most sockets need no further look */
	bool here[65536], there[65536];
};

static bool talks(const struct tcpseal_talker *t, const struct inet_diag_msg *d,
		  const struct tcpseal_addr *src,
		  const struct tcpseal_addr *dst)
{
	uint16_t sport = ntohs(d->id.idiag_sport);
	uint16_t dport = ntohs(d->id.idiag_dport);

	if (d->idiag_state == TCP_LISTEN)
		return t->local_port == sport &&
		       (tcpseal_addr_is_zero(src) ||
			!tcpseal_addr_cmp(src, &t->local));
	return (t->local_port ? t->local_port == sport :
				t->remote_port == dport) &&
	       !tcpseal_addr_cmp(src, &t->local) &&
	       !tcpseal_addr_cmp(dst, &t->remote);
}

static void own(struct processes *p, uint64_t inode, size_t talker)
{
	if (p->owned_n == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->owned = reallocarray(p->owned, p->room, sizeof(*p->owned));
		if (!p->owned)
			abort();
	}
	p->owned[p->owned_n].inode = inode;
	p->owned[p->owned_n++].talker = talker;
}

static void see_socket(const struct inet_diag_msg *d, void *data)
{
	struct tcpseal_addr src, dst;
	struct processes *p = data;
	size_t i;

	if (!d->idiag_inode || (!p->here[ntohs(d->id.idiag_sport)] &&
				!p->there[ntohs(d->id.idiag_dport)]))
		return;
	diag_addr(&src, d->idiag_family, d->id.idiag_src);
	diag_addr(&dst, d->idiag_family, d->id.idiag_dst);
	for (i = 0; i < p->n; i++) {
		if (talks(&p->talkers[i], d, &src, &dst))
			own(p, d->idiag_inode, i);
	}
}

static int by_inode(const void *a, const void *b)
{
	const struct owned *one = a;
	const struct owned *other = b;

	return (one->inode > other->inode) - (one->inode < other->inode);
}

static void add_name(struct processes *p, size_t talker, const char *name)
{
	size_t i;

	for (i = 0; i < NAMES_MAX; i++) {
		if (!*p->names[talker][i])
			snprintf(p->names[talker][i], NAME_LEN, "%s", name);
		if (!strcmp(p->names[talker][i], name))
			return;
	}
}

static bool read_name(const char *pid, char *name, size_t size)
{
	char path[300];
	FILE *file;
	bool got;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	got = fgets(name, size, file);
	fclose(file);
	if (got)
		name[strcspn(name, "\n")] = '\0';
	return got && *name;
}

static void see_inode(struct processes *p, uint64_t inode, const char *name)
{
	struct owned key = { .inode = inode }, *found;

	found = bsearch(&key, p->owned, p->owned_n, sizeof(key), by_inode);
	if (!found)
		return;
	while (found > p->owned && found[-1].inode == inode)
		found--;
	for (; found < p->owned + p->owned_n && found->inode == inode; found++)
		add_name(p, found->talker, name);
}

static void see_process(struct processes *p, const char *pid)
{
	char path[300], target[64], name[NAME_LEN];
	struct dirent *entry;
	uint64_t inode;
	ssize_t n;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return;
	if (!read_name(pid, name, sizeof(name))) {
		closedir(dir);
		return;
	}
	fd = dirfd(dir);
	while (fd >= 0 && (entry = readdir(dir))) {
		n = readlinkat(fd, entry->d_name, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (sscanf(target, "socket:[%" SCNu64 "]", &inode) == 1)
			see_inode(p, inode, name);
	}
	closedir(dir);
}

static void see_processes(struct processes *p)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		if (*entry->d_name >= '1' && *entry->d_name <= '9')
			see_process(p, entry->d_name);
	}
	closedir(dir);
}

/* @talkers must outlive it. What cannot be found out is just not there. */
struct processes *processes_find(const struct tcpseal_talker *talkers,
				 size_t n)
{
	struct processes *p = calloc(1, sizeof(*p));
	size_t i;

	if (!p)
		abort();
	p->talkers = talkers;
	p->n = n;
	p->names = calloc(n + 1, sizeof(*p->names));
	if (!p->names)
		abort();
	if (!n)
		return p;
	for (i = 0; i < n; i++) {
		if (talkers[i].local_port)
			p->here[talkers[i].local_port] = true;
		else
			p->there[talkers[i].remote_port] = true;
	}
	/* what has no owner any more need not be sent here */
	diag_dump(~(1U << TCP_TIME_WAIT), see_socket, p);
	if (p->owned_n) {
		qsort(p->owned, p->owned_n, sizeof(*p->owned), by_inode);
		see_processes(p);
	}
	return p;
}

const char *process_of(const struct processes *p, size_t talker, size_t i)
{
	if (i >= NAMES_MAX || !*p->names[talker][i])
		return NULL;
	return p->names[talker][i];
}

void processes_free(struct processes *p)
{
	if (!p)
		return;
	free(p->owned);
	free(p->names);
	free(p);
}
