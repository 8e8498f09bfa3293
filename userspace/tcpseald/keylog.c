// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The key log: session keys in a file, so that a laboratory can read its own
 * captures (examples/tcpseal.lua). It gives up what sealing is for, and so it is
 * off unless the configuration says so, each key that goes there is marked in
 * the kernel, and the daemon says so whenever it reads that configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "tcpseald.h"

#define HEX_MAX	(2 * 32 + 1)

/* Only a file of ours that nobody else can read */
static int open_log(const char *path)
{
	struct stat st;
	int fd;

	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		  O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & 077))
		return fd;
	close(fd);
	return -EPERM;
}

static void put_hex(const uint8_t *bytes, size_t len, char *to)
{
	size_t i;

	for (i = 0; i < len; i++)
		sprintf(to + 2 * i, "%02x", bytes[i]);
}

static int write_line(int fd, const struct tcpseal_sa *sa)
{
	bool in = sa->dir == TCPSEAL_DIR_IN;
	char here[TCPSEAL_ADDR_STRLEN], there[TCPSEAL_ADDR_STRLEN];
	char key[HEX_MAX], iv[HEX_MAX], line[512];
	ssize_t done;
	int len;

	tcpseal_addr_format(&sa->local, here, sizeof(here));
	tcpseal_addr_format(&sa->peer, there, sizeof(there));
	put_hex(sa->key, sa->key_len, key);
	put_hex(sa->iv, sizeof(sa->iv), iv);
	len = snprintf(line, sizeof(line), "SA %08x %s %s %s %s %s\n", sa->spi,
		       tcpseal_aead_name(sa->aead), in ? there : here,
		       in ? here : there, key, iv);
	/* one write: lines of two threads do not mix */
	done = write(fd, line, len);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(line, sizeof(line));
	if (done == len)
		return 0;
	return done < 0 ? -errno : -EIO;
}

/* Before it is installed: what is sealed with it can be read from the first record on */
void keylog_write(const struct conf *conf, struct tcpseal_sa *sa)
{
	int fd, ret;

	if (!conf->keylog)
		return;
	fd = open_log(conf->keylog);
	ret = fd < 0 ? fd : write_line(fd, sa);
	if (fd >= 0)
		close(fd);
	if (!ret)
		sa->flags |= TCPSEAL_SA_FLAG_LOGGED;
	else
		log_error("key-log %s: %s", conf->keylog,
			  ret == -EPERM ? "not a file of this user alone (mode 600)" :
					  strerror(-ret));
}

void keylog_warn(const struct conf *conf)
{
	if (conf->keylog)
		log_warn("KEYS ARE WRITTEN TO A FILE: whoever reads %s can read all traffic; for a laboratory only",
			 conf->keylog);
}
