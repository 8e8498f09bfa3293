// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal capture: TCP as the applications have it. On the device tcpdump sees
 * records; before sealing and behind opening the firewall sees plaintext, and
 * hands copies of it to tcpdump by nflog.
 *
 * The rules are in a table that belongs to an nft process ("flags owner"): the
 * kernel removes it with that process. It reads its commands from a pipe whose
 * other end tcpdump holds, without knowing, and so it ends when tcpdump does,
 * by whatever signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "libtcpseal.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal capture [-i DEV] [-w FILE] [-c COUNT] [PREFIX/len | ADDR] [port N]\n";

/* Behind source NAT, before sealing; behind opening, before raw and conntrack */
#define PRIO_OUT	300
#define PRIO_IN		(-398)
#define PATIENCE	10000	/* ms, for nft */

struct filter {
	const char *dev, *file, *count;	/* or NULL */
	struct tcpseal_prefix prefix;
	bool has_prefix;
	uint64_t port;			/* 0: any */
};

static int parse_words(int argc, char **argv, struct filter *f)
{
	static const char *const words[] = { "port", NULL };
	int i = 0, ret;

	if (argc) {
		ret = tcpseal_prefix_parse(argv[0], &f->prefix);
		if (ret == -EDOM)
			return bad_word(argv[0], "bits set behind the prefix length");
		f->has_prefix = !ret;
		i = f->has_prefix;
	}
	if (i == argc)
		return 0;
	if (match_word(argv[i], words) < 0)
		return EXIT_USAGE;
	if (i + 1 == argc)
		return bad_word(argv[i], "needs a value");
	if (i + 2 < argc)
		return bad_word(argv[i + 2], "unexpected word");
	return parse_number(argv[i + 1], 1, 65535, &f->port);
}

static int parse(int argc, char **argv, struct filter *f)
{
	uint64_t n;
	int c;

	memset(f, 0, sizeof(*f));
	optind = 0;
	opterr = 0;
	/* argv[-1] is the name of the command */
	argv--;
	argc++;
	while ((c = getopt(argc, argv, "+:i:w:c:")) != -1) {
		switch (c) {
		case 'i':
			/* it goes into a rule */
			if (!if_nametoindex(optarg))
				return bad_word(optarg, "no such device");
			f->dev = optarg;
			break;
		case 'w':
			f->file = optarg;
			break;
		case 'c':
			if (parse_number(optarg, 1, INT32_MAX, &n))
				return EXIT_USAGE;
			f->count = optarg;
			break;
		case ':':
			return bad_word(argv[optind - 1], "needs a value");
		default:
			return bad_word(argv[optind - 1], "unknown option");
		}
	}
	return parse_words(argc - optind, argv + optind, f);
}

static unsigned int rules_of_chain(const struct filter *f)
{
	return (f->has_prefix ? 2 : 1) * (f->port ? 2 : 1);
}

/*
 * One chain: a rule for each end that the prefix and the port may be at. The
 * first one that fits takes the segment, so that there is one copy of it.
 */
static void print_chain(FILE *to, const struct filter *f, const char *hook,
			int prio, const char *dev, unsigned int group)
{
	char prefix[TCPSEAL_PREFIX_STRLEN];
	unsigned int i;

	tcpseal_prefix_format(&f->prefix, prefix, sizeof(prefix));
	fprintf(to, "add chain inet tcpseal-capture-%u %s { type filter hook %s priority %d; }\n",
		group, hook, hook, prio);
	for (i = 0; i < rules_of_chain(f); i++) {
		fprintf(to, "add rule inet tcpseal-capture-%u %s meta l4proto tcp ",
			group, hook);
		if (f->dev)
			fprintf(to, "%s \"%s\" ", dev, f->dev);
		else
			fprintf(to, "%s != \"lo\" ", dev);
		if (f->has_prefix)
			fprintf(to, "%s %s %s ",
				f->prefix.addr.len == 4 ? "ip" : "ip6",
				i & 1 ? "saddr" : "daddr", prefix);
		if (f->port)
			fprintf(to, "tcp %s %" PRIu64 " ",
				(f->has_prefix ? i & 2 : i & 1) ? "sport" :
								  "dport",
				f->port);
		fprintf(to, "counter log group %u queue-threshold 1 accept\n", group);
	}
}

static void print_rules(FILE *to, const struct filter *f, unsigned int group)
{
	fprintf(to, "add table inet tcpseal-capture-%u { flags owner; }\n",
		group);
	print_chain(to, f, "postrouting", PRIO_OUT, "oifname", group);
	print_chain(to, f, "prerouting", PRIO_IN, "iifname", group);
	fprintf(to, "list table inet tcpseal-capture-%u\n", group);
}

/* The rules are listed when all of them are there: each has a counter */
static bool rules_taken(int fd, unsigned int rules)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[16384];
	size_t have = 0;
	const char *at;
	unsigned int n;
	ssize_t got;

	while (have < sizeof(buf) - 1 && poll(&pfd, 1, PATIENCE) > 0) {
		got = read(fd, buf + have, sizeof(buf) - 1 - have);
		if (got <= 0)
			return false;
		have += got;
		buf[have] = '\0';
		n = 0;
		for (at = buf; (at = strstr(at, "packets ")); at++)
			n++;
		if (n >= rules)
			return true;
	}
	return false;
}

/* It reads commands from @in and answers to @out; no signal of a terminal ends it */
static bool start_nft(int in, int out)
{
	char *argv[] = { "nft", "-i", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	pid_t pid;
	bool started;

	if (posix_spawn_file_actions_init(&actions))
		return false;
	if (posix_spawnattr_init(&attr)) {
		posix_spawn_file_actions_destroy(&actions);
		return false;
	}
	started = !posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID) &&
		  !posix_spawn_file_actions_adddup2(&actions, in,
						    STDIN_FILENO) &&
		  !posix_spawn_file_actions_adddup2(&actions, out,
						    STDOUT_FILENO) &&
		  !posix_spawnp(&pid, argv[0], &actions, &attr,
				argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return started;
}

static bool send_rules(const struct filter *f, unsigned int group, int in)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	bool sent;

	if (!to)
		return false;
	print_rules(to, f, group);
	/* far less than a pipe has room for */
	sent = !fclose(to) && write(in, text, size) == (ssize_t)size;
	free(text);
	return sent;
}

/*
 * The rules stand as long as anybody holds the write end of @in, and tcpdump
 * will: exec does not close that one.
 */
static bool add_rules(const struct filter *f, unsigned int group)
{
	int in[2], out[2];
	bool taken;

	if (pipe2(in, O_CLOEXEC))
		return false;
	if (pipe2(out, O_CLOEXEC)) {
		close(in[0]);
		close(in[1]);
		return false;
	}
	taken = start_nft(in[0], out[1]);
	close(in[0]);
	close(out[1]);
	taken = taken && send_rules(f, group, in[1]) &&
		rules_taken(out[0], 2 * rules_of_chain(f)) &&
		!fcntl(in[1], F_SETFD, 0);
	close(out[0]);
	if (!taken)
		close(in[1]);
	return taken;
}

/* Opened here: tcpdump gives its privileges up, and plaintext is for root alone */
static bool to_file(const char *name)
{
	umask(0077);
	if (!freopen(name, "w", stdout))
		return false;
	return true;
}

int capture_main(int argc, char **argv)
{
	unsigned int group = 0x8000 | (getpid() & 0x7fff);
	char *words[16], device[32];
	struct filter f;
	int ret, n = 0;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = parse(argc, argv, &f);
	if (ret)
		return ret;
	if (f.file && !to_file(f.file))
		return refuse("\"%s\": %s", f.file, strerror(errno));
	if (!add_rules(&f, group))
		return refuse("nft did not take the rules: is nftables there?");
	snprintf(device, sizeof(device), "nflog:%u", group);
	words[n++] = "tcpdump";
	words[n++] = "-n";
	words[n++] = "--immediate-mode";
	words[n++] = "-i";
	words[n++] = device;
	if (f.count) {
		words[n++] = "-c";
		words[n++] = (char *)f.count;
	}
	if (f.file) {
		words[n++] = "-U";
		words[n++] = "-w";
		words[n++] = "-";
	} else {
		words[n++] = "-l";
		words[n++] = "-A";
	}
	words[n] = NULL;
	fflush(stdout);
	execvp(words[0], words);
	return refuse("tcpdump: %s", strerror(errno));
}
