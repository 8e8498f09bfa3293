// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal - transparent encryption of TCP between subnets: the command line.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libtcpseal.h"
#include "tcpseal.h"

#ifndef TCPSEAL_VERSION
#define TCPSEAL_VERSION	"0.1"
#endif
#define COMMANDS_MAX	32
#define WORDS_MAX	128		/* of a line of -batch */
#define NETNS_DIR	"/run/netns"

bool opt_json;
bool opt_pretty;

static const struct command commands[] = {
	{ "link",	link_main,	"which subnets are sealed, and how" },
	{ "sa",		sa_main,	"keys in use; keys typed in by hand" },
	{ "peer",	peer_main,	"hosts talked to, and their state" },
	{ "leave",	leave_main,	"have peers forget that this host seals" },
	{ "audit",	audit_main,	"who still talks plaintext" },
	{ "plan",	plan_main,	"what a new configuration would change" },
	{ "apply",	apply_main,	"a new configuration, all of it or nothing" },
	{ "status",	status_main,	"is everything sealed? why not?" },
	{ "why",	why_main,	"would a connection be sealed? why?" },
	{ "check",	check_main,	"what is in the way to a peer" },
	{ "report",	report_main,	"what many hosts say of themselves, compared" },
	{ "ss",		ss_main,	"connections, and what becomes of each" },
	{ "capture",	capture_main,	"TCP in plain, before sealing and behind opening" },
	{ "top",	top_main,	"the busiest pairs, again and again" },
	{ "stats",	stats_main,	"every counter and reason to drop" },
	{ "conf",	conf_main,	"limits of this network namespace" },
	{ "monitor",	monitor_main,	"events as they happen" },
	{ "ca",		ca_main,	"a private certificate authority" },
	{ "cert",	cert_main,	"certificates of hosts" },
	{ "verify",	verify_main,	"module and files, against a manifest" },
	{ }
};

static void show_usage(FILE *file)
{
	const struct command *cmd;

	fprintf(file, "Usage: tcpseal [OPTIONS] OBJECT { COMMAND | help }\n\n");
	for (cmd = commands; cmd->name; cmd++)
		fprintf(file, "  %-9s %s\n", cmd->name, cmd->help);
	fprintf(file, "\n"
		"OPTIONS := { -j[son] | -p[retty] | -n[etns] NAME |"
		" -b[atch] FILE |\n"
		"             -V[ersion] | -h[elp] }\n");
}

/*
 * Runs the command of @table that argv[0] names. No word at all means "show"
 * where there is such a command.
 */
int dispatch(const struct command *table, const char *usage,
	     int argc, char **argv)
{
	const char *names[COMMANDS_MAX] = { NULL };
	size_t i;
	int found;

	if (wants_help(argc, argv))
		return print_usage(usage);
	for (i = 0; i < COMMANDS_MAX - 1 && table[i].name; i++) {
		names[i] = table[i].name;
		if (!argc && !strcmp(names[i], "show")) {
			context_push("show");
			return table[i].run(0, NULL);
		}
	}
	if (!argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	found = match_word(argv[0], names);
	if (found < 0)
		return EXIT_USAGE;
	context_push(names[found]);
	argv[0] = (char *)names[found];
	return table[found].run(argc, argv);
}

static int enter_netns(const char *name)
{
	char path[256];
	int fd, ret;

	if (strchr(name, '/') || snprintf(path, sizeof(path), "%s/%s",
					  NETNS_DIR, name) >= (int)sizeof(path))
		return bad_word(name, "not the name of a network namespace");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse("\"%s\": cannot open the network namespace: %s",
			      name, strerror(errno));
	ret = setns(fd, CLONE_NEWNET);
	if (ret)
		ret = refuse("\"%s\": cannot enter the network namespace: %s",
			     name, strerror(errno));
	close(fd);
	return ret;
}

static int run(int argc, char **argv)
{
	const char *names[ARRAY_SIZE(commands)] = { NULL };
	size_t i;
	int found;

	for (i = 0; commands[i].name; i++)
		names[i] = commands[i].name;
	if (wants_help(argc, argv)) {
		show_usage(stdout);
		return EXIT_OK;
	}
	found = match_word(argv[0], names);
	if (found < 0)
		return EXIT_USAGE;
	context_push(names[found]);
	return commands[found].run(argc - 1, argv + 1);
}

/* One command of a file; "#" begins a comment */
static int run_line(char *line)
{
	char *argv[WORDS_MAX], *word, *rest = NULL;
	int argc = 0;

	for (word = strtok_r(line, " \t\r\n", &rest); word && *word != '#';
	     word = strtok_r(NULL, " \t\r\n", &rest)) {
		if (argc == WORDS_MAX - 1)
			return bad_word(word, "too many words");
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return argc ? run(argc, argv) : EXIT_OK;
}

/* Commands from a file, up to the first that fails; keys are not in "ps" */
static int run_batch(const char *name)
{
	bool opened = strcmp(name, "-");
	FILE *file = opened ? fopen(name, "re") : stdin;
	unsigned int number = 0;
	char *line = NULL;
	int ret = EXIT_OK;
	size_t size = 0;

	if (!file)
		return refuse("\"%s\": %s", name, strerror(errno));
	while (!ret && getline(&line, &size, file) > 0) {
		number++;
		context_reset();
		ret = run_line(line);
		explicit_bzero(line, size);
	}
	if (ret)
		fprintf(stderr, "tcpseal: %s:%u: the command failed, and what follows was not begun\n",
			name, number);
	free(line);
	if (opened)
		fclose(file);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "json",	no_argument,	   NULL, 'j' },
		{ "pretty",	no_argument,	   NULL, 'p' },
		{ "netns",	required_argument, NULL, 'n' },
		{ "batch",	required_argument, NULL, 'b' },
		{ "Version",	no_argument,	   NULL, 'V' },
		{ "version",	no_argument,	   NULL, 'V' },
		{ "help",	no_argument,	   NULL, 'h' },
		{ }
	};
	const char *batch = NULL;
	int ret, c;

	opterr = 0;
	while ((c = getopt_long_only(argc, argv, "+:jpn:b:Vh", longopts,
				     NULL)) != -1) {
		switch (c) {
		case 'j':
			opt_json = true;
			break;
		case 'p':
			opt_pretty = true;
			break;
		case 'n':
			ret = enter_netns(optarg);
			if (ret)
				return ret;
			break;
		case 'b':
			batch = optarg;
			break;
		case 'V':
			printf("tcpseal %s\n", TCPSEAL_VERSION);
			return EXIT_OK;
		case 'h':
			show_usage(stdout);
			return EXIT_OK;
		case ':':
			return bad_word(argv[optind - 1], "needs a value");
		default:
			return bad_word(argv[optind - 1], "unknown option");
		}
	}
	if (batch && optind < argc)
		return bad_word(argv[optind], "beside -batch no command is taken");
	if (batch)
		return run_batch(batch);
	if (optind == argc) {
		show_usage(stderr);
		return EXIT_USAGE;
	}
	return run(argc - optind, argv + optind);
}
