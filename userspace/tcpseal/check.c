// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal check: what is in the way between this host and one peer, from the
 * module up to the keys, a sentence each. The last step is a handshake of the
 * daemons themselves: whether certificates and clocks are right only those can
 * judge who use them, and their words are the ones that are repeated.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal check ADDR [local ADDR]\n";

#define CONNECT_MS	3000
#define PROBE_MS	500		/* for the answer to a datagram */
#define PROBES		3		/* hosts answer few of them a second */
#define HANDSHAKE_MS	10000
#define LOOK_MS		100
#define RECORD		32		/* what a record adds to a segment */
#define TIMESTAMPS	12		/* TCP's, in nearly all segments */

enum result { GOOD, BAD, NOTE };

static const char *const results[] = { "good", "bad", "note" };

struct check {
	struct tcpseal *ts;
	struct tcpseal_addr here, there;	/* of connections to the peer */
	struct tcpseal_pair key;
	struct tcpseal_stats stats;
	struct list links, pairs, sas;
	const struct tcpseal_link *link;
	const struct tcpseal_pair *pair;
	uint16_t port;
	json_t *steps;
	bool bad;
};

static void add(struct check *c, const char *step, enum result result,
		const char *fmt, ...) __printf(4, 5);

static void add(struct check *c, const char *step, enum result result,
		const char *fmt, ...)
{
	json_t *o = json_object();
	char text[640];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_str(o, "step", step);
	put_str(o, "result", results[result]);
	put_str(o, "text", text);
	json_array_append_new(c->steps, o);
	c->bad |= result == BAD;
}

static socklen_t make_sockaddr(const struct tcpseal_addr *addr, uint16_t port,
			       struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (addr->len == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr->b, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->b, 16);
	return sizeof(*in6);
}

static int bound_socket(const struct check *c, int type)
{
	struct sockaddr_storage ss;
	socklen_t size;
	int fd;

	fd = socket(c->there.len == 4 ? AF_INET : AF_INET6,
		    type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !c->here.len)
		return fd;
	size = make_sockaddr(&c->here, 0, &ss);
	if (!bind(fd, (struct sockaddr *)&ss, size))
		return fd;
	close(fd);
	return -1;
}

static int connect_to(const struct check *c, int fd)
{
	struct sockaddr_storage ss;
	socklen_t size = make_sockaddr(&c->there, c->port, &ss);

	return connect(fd, (struct sockaddr *)&ss, size);
}

/* The address that connections to the peer have, unless it was said */
static bool find_here(struct check *c)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	const struct sockaddr_in6 *in6 = (const void *)&ss;
	const struct sockaddr_in *in = (const void *)&ss;
	char addr[TCPSEAL_ADDR_STRLEN];
	socklen_t size = sizeof(ss);
	int fd = bound_socket(c, SOCK_DGRAM);
	bool found;

	found = fd >= 0 && !connect_to(c, fd) &&
		!getsockname(fd, (struct sockaddr *)&ss, &size);
	if (!found)
		add(c, "route", BAD, "no way to %s from here: %s",
		    tcpseal_addr_format(&c->there, addr, sizeof(addr)),
		    strerror(errno));
	if (fd >= 0)
		close(fd);
	c->here.len = c->there.len;
	memcpy(c->here.b, c->here.len == 4 ? (const void *)&in->sin_addr :
					      (const void *)&in6->sin6_addr,
	       c->here.len);
	return found;
}

/* ------------------------------------------------------------- the kernel */

static int look(struct check *c)
{
	int ret;

	list_free(&c->pairs);
	list_free(&c->sas);
	c->pair = NULL;
	ret = list_peers(c->ts, &c->key, &c->pairs, &c->sas);
	if (!ret && c->pairs.n)
		c->pair = c->pairs.items;
	return ret;
}

static bool check_link(struct check *c)
{
	char here[TCPSEAL_ADDR_STRLEN], there[TCPSEAL_ADDR_STRLEN];
	char words[TCPSEAL_LINK_STRLEN];

	c->link = link_between(&c->links, &c->here, &c->there);
	if (!c->link) {
		add(c, "link", BAD, "no link covers %s and %s: they talk in plain",
		    tcpseal_addr_format(&c->here, here, sizeof(here)),
		    tcpseal_addr_format(&c->there, there, sizeof(there)));
		return false;
	}
	tcpseal_link_format(c->link, words, sizeof(words));
	if (c->link->mode == TCPSEAL_MODE_CLEAR) {
		add(c, "link", BAD, "%s: a hole, they talk in plain", words);
		return false;
	}
	add(c, "link", GOOD, "%s", words);
	c->key = pair_between(c->link, &c->here, &c->there);
	/* it is the gateway that has to answer */
	c->there = c->key.remote;
	return true;
}

static bool check_daemon(struct check *c)
{
	c->port = c->stats.ctrl_port ? c->stats.ctrl_port : TCPSEAL_PORT;
	if (c->link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL) {
		add(c, "daemon", NOTE, "the link says keys manual: nobody is asked for any");
		return false;
	}
	if (c->stats.ctrl_port)
		add(c, "daemon", GOOD, "tcpseald listens here on port %" PRIu16,
		    c->port);
	else
		add(c, "daemon", BAD, "no tcpseald runs here: systemctl status tcpseald; tcpseald -t says what is wrong with its configuration");
	return true;
}

/* --------------------------------------------------------------- the path */

/* 0, or why there is no connection */
static int connect_port(struct check *c)
{
	struct pollfd pfd = { .events = POLLOUT };
	socklen_t size = sizeof(int);
	int err = ETIMEDOUT;

	pfd.fd = bound_socket(c, SOCK_STREAM);
	if (pfd.fd < 0)
		return errno;
	/* Without a key only what the kernel was told of gets out */
	if ((!c->pair || c->pair->state != TCPSEAL_PAIR_STATE_SEALED) &&
	    tcpseal_ctrl_new(c->ts, pfd.fd, c->port))
		note("%s", tcpseal_error(c->ts));
	if (connect_to(c, pfd.fd) && errno != EINPROGRESS)
		err = errno;
	else if (poll(&pfd, 1, CONNECT_MS) > 0)
		getsockopt(pfd.fd, SOL_SOCKET, SO_ERROR, &err, &size);
	close(pfd.fd);
	return err;
}

static bool check_port(struct check *c)
{
	char there[TCPSEAL_ADDR_STRLEN];
	int err = connect_port(c);

	tcpseal_addr_format(&c->there, there, sizeof(there));
	if (!err)
		add(c, "port", GOOD, "%s answers on port %" PRIu16, there,
		    c->port);
	else if (err == ECONNREFUSED)
		add(c, "port", BAD, "%s refuses connections to port %" PRIu16 ": no tcpseald runs there, or it has another port",
		    there, c->port);
	else if (err == ETIMEDOUT)
		add(c, "port", BAD, "%s does not answer on port %" PRIu16 ": it is down, or a firewall drops what goes there",
		    there, c->port);
	else
		add(c, "port", BAD, "%s cannot be reached on port %" PRIu16 ": %s",
		    there, c->port, strerror(err));
	return !err;
}

/*
 * One datagram of that size, whole, to a port where nobody listens: its
 * refusal says that it arrived. Return: ECONNREFUSED; EMSGSIZE where a router
 * said that it is too large; 0 without an answer.
 */
static int probe(int fd, unsigned int size)
{
	static const char zeros[65536];
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	socklen_t len = sizeof(int);
	int i, err = 0;

	for (i = 0; i < PROBES && !err; i++) {
		if (send(fd, zeros, size, MSG_DONTWAIT) < 0) {
			err = errno;
			break;
		}
		if (poll(&pfd, 1, PROBE_MS) > 0)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	}
	return err;
}

static unsigned int mtu_of(const struct check *c, int fd)
{
	bool v4 = c->there.len == 4;
	socklen_t len = sizeof(int);
	int mtu = 0;

	getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		   v4 ? IP_MTU : IPV6_MTU, &mtu, &len);
	return mtu;
}

static void say_mtu(struct check *c, unsigned int mtu, int err, bool small)
{
	unsigned int headers = (c->there.len == 4 ? 20 : 40) + 20 + TIMESTAMPS +
			       RECORD;

	if (err == ECONNREFUSED)
		add(c, "mtu", GOOD, "packets of %u bytes arrive: %u bytes of payload in a segment, beside the %u of its record",
		    mtu, mtu - headers, RECORD);
	else if (!small)
		add(c, "mtu", NOTE, "no answer to UDP probes: whether packets of %u bytes arrive is not known",
		    mtu);
	else
		add(c, "mtu", BAD, "packets of %u bytes vanish, small ones arrive: somewhere the MTU is smaller, and the ICMP errors that would say so are lost; let them pass, or set the MTU of the route",
		    mtu);
}

static void check_mtu(struct check *c)
{
	bool v4 = c->there.len == 4;
	unsigned int mtu, headers = v4 ? 28 : 48;
	int probing = v4 ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
	int fd = bound_socket(c, SOCK_DGRAM), err, tries = 4;

	if (fd < 0)
		return;
	if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
		       v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &probing,
		       sizeof(probing)) || connect_to(c, fd))
		goto out;
	do {
		mtu = mtu_of(c, fd);
		if (mtu <= headers || mtu > 65535)
			goto out;
		err = probe(fd, mtu - headers);
	} while (err == EMSGSIZE && --tries);
	say_mtu(c, mtu, err, err != ECONNREFUSED &&
		probe(fd, 100) == ECONNREFUSED);
out:
	close(fd);
}

/* ------------------------------------------------------------ a handshake */

static uint64_t last_generation(const struct check *c)
{
	const struct tcpseal_sa *sa = c->sas.items;
	uint64_t last = 0;
	size_t i;

	for (i = 0; c->pair && i < c->sas.n; i++)
		if (!tcpseal_addr_cmp(&sa[i].local, &c->pair->local) &&
		    !tcpseal_addr_cmp(&sa[i].peer, &c->pair->remote) &&
		    sa[i].generation > last)
			last = sa[i].generation;
	return last;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

/* Has the daemon said why there is no key, so many milliseconds ago at most? */
static bool new_reason(const struct check *c, uint64_t msecs)
{
	return c->pair && *c->pair->reason &&
	       c->pair->reason_secs * 1000ULL <= msecs;
}

/* Return: true, once it is over */
static bool handshake(struct check *c)
{
	const struct timespec nap = { .tv_nsec = LOOK_MS * 1000000L };
	uint64_t before = last_generation(c), asked = now_ms();

	/* what it said just now must be told from what it will say */
	while (new_reason(c, 0) && now_ms() - asked < 2000) {
		nanosleep(&nap, NULL);
		if (look(c))
			return false;
	}
	if (tcpseal_pair_rekey(c->ts, &c->key)) {
		add(c, "handshake", BAD, "%s", tcpseal_error(c->ts));
		return false;
	}
	for (asked = now_ms(); now_ms() - asked < HANDSHAKE_MS;) {
		nanosleep(&nap, NULL);
		if (look(c))
			return false;
		if (last_generation(c) > before ||
		    new_reason(c, now_ms() - asked))
			return true;
	}
	add(c, "handshake", BAD, "tcpseald was asked for a key, and has not said what came of it: its log may know");
	return false;
}

static void say_key(struct check *c)
{
	const struct tcpseal_sa *tx = find_sa(&c->sas, c->pair->tx_id);

	if (!tx)
		tx = find_sa(&c->sas, c->pair->rx_id);
	if (!tx) {
		add(c, "handshake", GOOD, "the certificates are in order on both sides");
		return;
	}
	add(c, "handshake", GOOD, "the certificates are in order on both sides: the peer is %s, certificate %s of %s",
	    tx->cert_name, tx->cert_serial, tx->cert_issuer);
	add(c, "group", strstr(tx->kex, "MLKEM") ? GOOD : NOTE,
	    "%s%s", tx->kex, strstr(tx->kex, "MLKEM") ? ", post-quantum" :
	    ": not post-quantum, which takes OpenSSL 3.5 at both ends");
}

static void check_modes(struct check *c)
{
	uint32_t here = c->pair->mode_local, there = c->pair->mode_peer;
	enum tcpseal_outcome outcome;

	if (!TCPSEAL_HAS(c->pair, PAIR_MODE_PEER)) {
		add(c, "mode", NOTE, "%s here; the peer has not said its mode",
		    tcpseal_mode_name(here));
		return;
	}
	outcome = tcpseal_matrix(here, there);
	add(c, "mode", outcome == TCPSEAL_OUTCOME_PLAIN ? NOTE :
	    outcome == TCPSEAL_OUTCOME_BLOCKED ? BAD : GOOD,
	    "%s here, %s there: %s", tcpseal_mode_name(here),
	    tcpseal_mode_name(there), tcpseal_outcome_name(outcome));
}

static void check_handshake(struct check *c)
{
	uint64_t before = last_generation(c);

	if (!c->stats.ctrl_port || !handshake(c))
		return;
	if (last_generation(c) > before)
		say_key(c);
	else
		add(c, "handshake", BAD, "%s", c->pair->reason);
	check_modes(c);
}

static int check_all(struct check *c)
{
	int ret;

	if (tcpseal_stats_get(c->ts, &c->stats))
		return kernel_refused(c->ts);
	add(c, "module", GOOD, "tcpseal %s, protocol %" PRIu32,
	    c->stats.version, c->stats.protocol);
	ret = list_links(c->ts, &c->links);
	if (ret)
		return ret;
	c->port = TCPSEAL_PORT;
	if (!find_here(c) || !check_link(c))
		return 0;
	ret = look(c);
	if (ret || !check_daemon(c))
		return ret;
	if (check_port(c))
		check_mtu(c);
	check_handshake(c);
	return 0;
}

static int parse(int argc, char **argv, struct check *c)
{
	static const char *const words[] = { "local", NULL };

	if (!argc)
		return missing("ADDR");
	if (parse_addr(argv[0], &c->there))
		return EXIT_USAGE;
	if (argc == 1)
		return 0;
	if (match_word(argv[1], words) < 0)
		return EXIT_USAGE;
	if (argc == 2)
		return bad_word(argv[1], "needs a value");
	if (argc > 3)
		return bad_word(argv[3], "unexpected word");
	if (parse_addr(argv[2], &c->here))
		return EXIT_USAGE;
	if (c->here.len != c->there.len)
		return bad_word(argv[2], "not of the same family as %s",
				argv[0]);
	return 0;
}

static void print_text(const json_t *steps)
{
	const json_t *o;
	size_t i;

	json_array_foreach(steps, i, o)
		printf("%-10s %s%-4s%s  %s\n", str(o, "step"),
		       paint(strcmp(str(o, "result"), "note") ?
			     str(o, "result") : ""), str(o, "result"),
		       paint(""), str(o, "text"));
}

int check_main(int argc, char **argv)
{
	struct check c = { .bad = false };
	struct tcpseal_err err = { };
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = parse(argc, argv, &c);
	if (ret)
		return ret;
	c.steps = json_array();
	if (tcpseal_open(&c.ts, &err))
		add(&c, "module", BAD, "%s", err.text);
	else
		ret = check_all(&c);
	tcpseal_close(c.ts);
	if (!ret) {
		if (opt_json)
			print_document(json_incref(c.steps));
		else
			print_text(c.steps);
		ret = print_end();
	}
	json_decref(c.steps);
	list_free(&c.sas);
	list_free(&c.pairs);
	list_free(&c.links);
	return ret ? ret : c.bad ? EXIT_REFUSED : EXIT_OK;
}
