/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcpseal - the command line: what its files share.
 *
 * Every command makes a JSON document of what the kernel said (model.c), and
 * either prints that document (-j) or renders it as text. So the text cannot
 * show anything that JSON lacks.
 */
#ifndef TCPSEAL_CLI_H
#define TCPSEAL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <jansson.h>

struct tcpseal_addr;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define __printf(f, a)	__attribute__((format(printf, f, a)))

/* exit status */
enum {
	EXIT_OK		= 0,
	EXIT_REFUSED	= 1,
	EXIT_USAGE	= 2,
	EXIT_PLAIN	= 3,	/* of "why" only */
	EXIT_DROPPED	= 4,
};

/* main.c */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;	/* one line, or the grammar */
};

extern bool opt_json;
extern bool opt_pretty;

int dispatch(const struct command *table, const char *usage,
	     int argc, char **argv);

/* words.c: the words of the grammar, and what to say about a bad one */
void context_push(const char *word);
void context_reset(void);
const char *context(void);

int refuse(const char *fmt, ...) __printf(1, 2);
int bad_word(const char *word, const char *fmt, ...) __printf(2, 3);
int missing(const char *what);
void note(const char *fmt, ...) __printf(1, 2);
bool wants_help(int argc, char **argv);
int print_usage(const char *usage);

int match_word(const char *word, const char *const *vocabulary);
int parse_number(const char *word, uint64_t min, uint64_t max, uint64_t *val);
int parse_addr(const char *word, struct tcpseal_addr *addr);

/* print.c: one layer for text and JSON */
void json_open(const char *key, char bracket);
void json_put(const char *key, json_t *value);
void json_close(void);
void print_document(json_t *document);
int print_end(void);

const char *str(const json_t *object, const char *key);
uint64_t num(const json_t *object, const char *key);
bool has(const json_t *object, const char *key);
bool has_flag(const json_t *object, const char *flag);

char *fmt_bytes(char *buf, size_t len, uint64_t bytes);
char *fmt_age(char *buf, size_t len, uint64_t secs);
char *fmt_when(char *buf, size_t len, uint64_t epoch);
char *fmt_count(char *buf, size_t len, uint64_t n);

const char *paint(const char *what);	/* "bad", "good", "head", "" */

/*
 * plan.c: what the links of FILE would change of those that came from another
 * file (or NULL), where TCPSEAL_CHANGE_FLAG_... allow more than its words.
 * EXIT_REFUSED if something would be refused.
 */
int plan_show(const char *file, const char *from, uint32_t change);

/* The commands: link.c, sa.c and so on */
int link_main(int argc, char **argv);
int sa_main(int argc, char **argv);
int peer_main(int argc, char **argv);
int leave_main(int argc, char **argv);
int audit_main(int argc, char **argv);
int plan_main(int argc, char **argv);
int apply_main(int argc, char **argv);
int status_main(int argc, char **argv);
int why_main(int argc, char **argv);
int check_main(int argc, char **argv);
int report_main(int argc, char **argv);
int ss_main(int argc, char **argv);
int capture_main(int argc, char **argv);
int top_main(int argc, char **argv);
int stats_main(int argc, char **argv);
int conf_main(int argc, char **argv);
int monitor_main(int argc, char **argv);
int ca_main(int argc, char **argv);
int cert_main(int argc, char **argv);
int verify_main(int argc, char **argv);

#endif /* TCPSEAL_CLI_H */
