// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal report: one page of what many hosts say of themselves. Its input is
 * the JSON of "tcpseal status" of each; it asks no kernel. What one host says is
 * compared with what the other end says of the same: two that contradict each
 * other are a finding, and so is an end that nobody has heard.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtcpseal.h"
#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal report FILE...\n"
"\n"
"FILE: what \"tcpseal -j status\" of a host printed, all of about the same time\n";

struct report {
	json_t *status;			/* by host: an array of documents */
	json_t *hosts, *pairs, *clear, *findings;
};

static void finding(struct report *r, const char *fmt, ...) __printf(2, 3);

static void finding(struct report *r, const char *fmt, ...)
{
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(r->findings, json_string(text));
}

static int read_file(struct report *r, const char *name)
{
	json_error_t err;
	json_t *doc = json_load_file(name, 0, &err);

	if (!doc)
		return refuse("\"%s\": %s", name, err.text);
	if (!json_is_array(json_object_get(doc, "links")) ||
	    !json_is_array(json_object_get(doc, "peers")) ||
	    !json_is_array(json_object_get(doc, "addresses")) ||
	    !json_is_string(json_object_get(doc, "host"))) {
		json_decref(doc);
		return refuse("\"%s\": not what \"tcpseal -j status\" prints",
			      name);
	}
	json_array_append_new(r->status, doc);
	return 0;
}

/* --------------------------------------------------------------- who is who */

static bool has_address(const json_t *doc, const char *addr)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(doc, "addresses"), i, one)
		if (!strcmp(json_string_value(one) ? : "", addr))
			return true;
	return false;
}

/* The host with this address, or NULL */
static const json_t *host_of(const struct report *r, const char *addr)
{
	const json_t *doc;
	size_t i;

	json_array_foreach(r->status, i, doc)
		if (has_address(doc, addr))
			return doc;
	return NULL;
}

static bool prefix_has(const json_t *link, const char *end, const char *addr)
{
	struct tcpseal_prefix prefix = { .len = 0 };
	struct tcpseal_addr one;
	char len[16];

	snprintf(len, sizeof(len), "%s_len", end);
	prefix.len = num(link, len);
	return !tcpseal_addr_parse(str(link, end), &prefix.addr) &&
	       !tcpseal_addr_parse(addr, &one) &&
	       one.len == prefix.addr.len && prefix.len <= 8 * one.len &&
	       tcpseal_prefix_has(&prefix, &one);
}

static bool covered(const json_t *doc, const char *addr)
{
	const json_t *link;
	size_t i;

	json_array_foreach(json_object_get(doc, "links"), i, link)
		if (strcmp(str(link, "mode"), "clear") &&
		    prefix_has(link, "local", addr))
			return true;
	return false;
}

/* ----------------------------------------------------------------- the hosts */

static json_t *links_of(const json_t *doc)
{
	json_t *list = json_array();
	const json_t *link;
	char text[160];
	size_t i;

	json_array_foreach(json_object_get(doc, "links"), i, link) {
		snprintf(text, sizeof(text),
			 "%s/%" PRIu64 " %s/%" PRIu64 " mode %s",
			 str(link, "local"), num(link, "local_len"),
			 str(link, "remote"), num(link, "remote_len"),
			 str(link, "mode"));
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void look_at_links(struct report *r, const json_t *doc)
{
	const json_t *link, *stats;
	uint64_t bytes;
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(doc, "links"), i, link) {
		stats = json_object_get(link, "stats");
		bytes = num(stats, "plain_in_bytes") +
			num(stats, "plain_out_bytes");
		if (strcmp(str(link, "mode"), "clear"))
			continue;
		o = json_object();
		put_str(o, "host", str(doc, "host"));
		put_str(o, "local", str(link, "local"));
		put(o, "local_len", json_integer(num(link, "local_len")));
		put_str(o, "remote", str(link, "remote"));
		put(o, "remote_len", json_integer(num(link, "remote_len")));
		put(o, "bytes", json_integer(bytes));
		json_array_append_new(r->clear, o);
	}
}

static void look_at_host(struct report *r, const json_t *doc)
{
	json_t *o = json_object(), *bare = json_array(), *addr;
	const json_t *text;
	size_t i;

	put_str(o, "host", str(doc, "host"));
	put_str(o, "version", str(json_object_get(doc, "module"), "version"));
	put(o, "links", links_of(doc));
	json_array_foreach(json_object_get(doc, "addresses"), i, addr)
		if (!covered(doc, json_string_value(addr) ? : ""))
			json_array_append(bare, addr);
	json_array_foreach(bare, i, text)
		finding(r, "%s: no link covers its address %s",
			str(doc, "host"), json_string_value(text));
	put(o, "uncovered", bare);
	put(o, "warnings", json_incref(json_object_get(doc, "warnings")));
	json_array_foreach(json_object_get(doc, "warnings"), i, text)
		finding(r, "%s: %s", str(doc, "host"), json_string_value(text));
	json_array_append_new(r->hosts, o);
	look_at_links(r, doc);
}

/* ----------------------------------------------------------- both ends of it */

/* A gateway keys for others, by a local address that is all zero */
static bool is_end(const json_t *doc, const char *local, const char *addr)
{
	if (!strcmp(local, "0.0.0.0") || !strcmp(local, "::"))
		return has_address(doc, addr);
	return !strcmp(local, addr);
}

/* What the other end says of the same pair, or NULL */
static const json_t *mirror_of(const json_t *doc, const json_t *peer,
			       const json_t *there)
{
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(there, "peers"), i, other)
		if (is_end(there, str(other, "local"), str(peer, "remote")) &&
		    is_end(doc, str(peer, "local"), str(other, "remote")))
			return other;
	return NULL;
}

static bool same_key(const json_t *peer, const json_t *other)
{
	const json_t *tx = json_object_get(peer, "tx"), *sa;
	size_t i;

	if (!tx)
		return false;
	/* a rotation may lie between the two documents */
	for (i = 0; i < 2; i++) {
		sa = json_object_get(other, i ? "tx" : "rx");
		if (sa && (num(sa, "spi") == num(tx, "spi") ||
			   !strcmp(str(sa, "state"), "current")))
			return true;
	}
	return false;
}

/* NULL: both ends say that it is sealed */
static const char *wrong_of(const json_t *peer, const json_t *there,
			    const json_t *other)
{
	if (!there)
		return "no report of the other end";
	if (!other)
		return "the other end knows nothing of it";
	if (strcmp(str(peer, "state"), str(other, "state")))
		return "the two ends contradict each other";
	if (has(peer, "mode_peer") &&
	    strcmp(str(peer, "mode_peer"), str(other, "mode_local")))
		return "the modes are not those that were agreed on";
	if (strcmp(str(peer, "state"), "sealed"))
		return "it is not sealed";
	return same_key(peer, other) ? NULL : "the two ends have no key in common";
}

static void look_at_pair(struct report *r, const json_t *doc,
			 const json_t *peer)
{
	const json_t *there = host_of(r, str(peer, "remote")), *other = NULL;
	const char *wrong;
	json_t *o = json_object();

	if (there)
		other = mirror_of(doc, peer, there);
	wrong = wrong_of(peer, there, other);
	put_str(o, "host", str(doc, "host"));
	put_str(o, "local", str(peer, "local"));
	put_str(o, "remote", str(peer, "remote"));
	if (there)
		put_str(o, "peer", str(there, "host"));
	put_str(o, "state", str(peer, "state"));
	if (other)
		put_str(o, "state_peer", str(other, "state"));
	put(o, "agreed", json_boolean(!wrong));
	if (wrong) {
		put_str(o, "text", wrong);
		finding(r, "%s %s, %s %s: %s (%s%s%s)", str(doc, "host"),
			str(peer, "local"), there ? str(there, "host") : "?",
			str(peer, "remote"), wrong, str(peer, "state"),
			other ? " here, there " : "",
			other ? str(other, "state") : "");
	}
	json_array_append_new(r->pairs, o);
}

static void look_at_all(struct report *r)
{
	const json_t *doc, *peer;
	size_t i, k;

	json_array_foreach(r->status, i, doc)
		look_at_host(r, doc);
	json_array_foreach(r->status, i, doc)
		json_array_foreach(json_object_get(doc, "peers"), k, peer)
			look_at_pair(r, doc, peer);
}

/* ------------------------------------------------------------------ the page */

static size_t agreed(const json_t *pairs)
{
	const json_t *o;
	size_t i, n = 0;

	json_array_foreach(pairs, i, o)
		n += json_is_true(json_object_get(o, "agreed"));
	return n;
}

static void print_list(const json_t *list)
{
	const json_t *text;
	size_t i;

	json_array_foreach(list, i, text)
		printf("    %s\n", json_string_value(text));
}

static void print_text(const struct report *r)
{
	const json_t *o;
	char buf[32];
	size_t i;

	printf("%zu hosts, %zu pairs as either end has them, %zu sealed by the word of both ends\n\n",
	       json_array_size(r->hosts), json_array_size(r->pairs),
	       agreed(r->pairs));
	printf("%sFindings: %zu%s\n", paint(json_array_size(r->findings) ?
					    "bad" : "good"),
	       json_array_size(r->findings), paint(""));
	print_list(r->findings);
	printf("\nClear, and so in plain: %zu\n", json_array_size(r->clear));
	json_array_foreach(r->clear, i, o)
		printf("    %s: %s/%" PRIu64 " %s/%" PRIu64 ", %s so far\n",
		       str(o, "host"), str(o, "local"), num(o, "local_len"),
		       str(o, "remote"), num(o, "remote_len"),
		       fmt_bytes(buf, sizeof(buf), num(o, "bytes")));
	printf("\nHosts\n");
	json_array_foreach(r->hosts, i, o) {
		printf("  %s, tcpseal %s\n", str(o, "host"), str(o, "version"));
		print_list(json_object_get(o, "links"));
	}
	printf("\nPairs\n");
	json_array_foreach(r->pairs, i, o)
		printf("  %s %s, %s %s: %s%s%s\n", str(o, "host"),
		       str(o, "local"), has(o, "peer") ? str(o, "peer") : "?",
		       str(o, "remote"), str(o, "state"),
		       has(o, "text") ? ", " : "", str(o, "text"));
	printf("\nNot in it: hosts whose status was not given and that talked with none of these, namespaces of theirs, and what is not TCP.\n");
}

int report_main(int argc, char **argv)
{
	struct report r = {
		.status = json_array(), .hosts = json_array(),
		.pairs = json_array(), .clear = json_array(),
		.findings = json_array(),
	};
	json_t *doc;
	int i, ret = 0;

	if (wants_help(argc, argv)) {
		ret = print_usage(usage);
		goto out;
	}
	if (!argc)
		ret = missing("FILE");
	for (i = 0; i < argc && !ret; i++)
		ret = read_file(&r, argv[i]);
	if (ret)
		goto out;
	look_at_all(&r);
	if (opt_json) {
		doc = json_object();
		put(doc, "hosts", json_incref(r.hosts));
		put(doc, "pairs", json_incref(r.pairs));
		put(doc, "clear", json_incref(r.clear));
		put(doc, "findings", json_incref(r.findings));
		print_document(doc);
	} else {
		print_text(&r);
	}
	ret = print_end();
	if (!ret && json_array_size(r.findings))
		ret = EXIT_REFUSED;
out:
	json_decref(r.status);
	json_decref(r.hosts);
	json_decref(r.pairs);
	json_decref(r.clear);
	json_decref(r.findings);
	return ret;
}
