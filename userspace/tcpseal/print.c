// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The printing layer: JSON is written as it comes, object by object, so that
 * a hub with 100,000 peers is listed without holding the whole document; the
 * renderers of text read the same objects.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcpseal.h"

#define DEPTH_MAX	8

static struct {
	char closing[DEPTH_MAX];
	bool filled[DEPTH_MAX];
	int depth;
} writer;

static void separate(const char *key)
{
	int level = writer.depth - 1;

	if (level >= 0) {
		if (writer.filled[level])
			putchar(',');
		if (writer.filled[level] || opt_pretty)
			printf("\n%*s", opt_pretty ? 2 * writer.depth : 0, "");
		writer.filled[level] = true;
	}
	if (key)
		printf("\"%s\":%s", key, opt_pretty ? " " : "");
}

void json_open(const char *key, char bracket)
{
	separate(key);
	putchar(bracket);
	writer.closing[writer.depth] = bracket == '{' ? '}' : ']';
	writer.filled[writer.depth] = false;
	writer.depth++;
}

/* jansson begins every line at the margin; move it to where we are */
static void put_indented(const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(2));
	char *rest = text;
	char *line;

	if (!text)
		abort();
	line = strsep(&rest, "\n");
	fputs(line, stdout);
	while ((line = strsep(&rest, "\n")))
		printf("\n%*s%s", 2 * writer.depth, "", line);
	free(text);
}

/* takes the reference of @value */
void json_put(const char *key, json_t *value)
{
	separate(key);
	if (opt_pretty)
		put_indented(value);
	else
		json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_COMPACT);
	json_decref(value);
}

void json_close(void)
{
	writer.depth--;
	if (opt_pretty && writer.filled[writer.depth])
		printf("\n%*s", 2 * writer.depth, "");
	putchar(writer.closing[writer.depth]);
	if (!writer.depth)
		putchar('\n');
}

void print_document(json_t *document)
{
	json_put(NULL, document);
	putchar('\n');
}

/* a full disk or a closed pipe must not look like success */
int print_end(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_OK;
	if (errno == EPIPE)
		return EXIT_REFUSED;
	return refuse("cannot write: %s", strerror(errno));
}

const char *str(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

uint64_t num(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool has(const json_t *object, const char *key)
{
	return json_object_get(object, key);
}

bool has_flag(const json_t *object, const char *flag)
{
	json_t *flags = json_object_get(object, "flags");
	json_t *value;
	size_t i;

	json_array_foreach(flags, i, value) {
		if (!strcmp(json_string_value(value), flag))
			return true;
	}
	return false;
}

char *fmt_bytes(char *buf, size_t len, uint64_t bytes)
{
	static const char *const unit[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
	};
	double value = bytes;
	size_t i = 0;

	while (value >= 1024 && i + 1 < ARRAY_SIZE(unit)) {
		value /= 1024;
		i++;
	}
	snprintf(buf, len, "%.*f %s", i ? 2 : 0, value, unit[i]);
	return buf;
}

/* the two largest units, as in "3 h 12 min" */
char *fmt_age(char *buf, size_t len, uint64_t secs)
{
	static const struct {
		uint64_t secs;
		const char *name;
	} unit[] = {
		{ 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" },
	};
	size_t i = 0;

	while (i < ARRAY_SIZE(unit) - 1 && secs < unit[i].secs)
		i++;
	if (i == ARRAY_SIZE(unit) - 1 ||
	    secs % unit[i].secs < unit[i + 1].secs)
		snprintf(buf, len, "%" PRIu64 " %s", secs / unit[i].secs,
			 unit[i].name);
	else
		snprintf(buf, len, "%" PRIu64 " %s %" PRIu64 " %s",
			 secs / unit[i].secs, unit[i].name,
			 secs % unit[i].secs / unit[i + 1].secs,
			 unit[i + 1].name);
	return buf;
}

char *fmt_when(char *buf, size_t len, uint64_t epoch)
{
	time_t when = epoch;
	struct tm tm;

	if (!localtime_r(&when, &tm) ||
	    !strftime(buf, len, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(buf, len, "%" PRIu64, epoch);
	return buf;
}

/* 1234567 as 1,234,567 */
char *fmt_count(char *buf, size_t len, uint64_t n)
{
	char digits[24];
	size_t have, out = 0, i;

	have = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	for (i = 0; i < have && out + 2 < len; i++) {
		if (i && (have - i) % 3 == 0)
			buf[out++] = ',';
		buf[out++] = digits[i];
	}
	buf[out] = '\0';
	return buf;
}

/* colours for a person at a terminal, nothing for a pipe or NO_COLOR */
const char *paint(const char *what)
{
	static int painting = -1;

	if (painting < 0)
		painting = !opt_json && isatty(STDOUT_FILENO) &&
			   !getenv("NO_COLOR");
	if (!painting)
		return "";
	if (!strcmp(what, "bad"))
		return "\033[1;31m";
	if (!strcmp(what, "good"))
		return "\033[32m";
	if (!strcmp(what, "head"))
		return "\033[1m";
	return "\033[0m";
}
