// SPDX-License-Identifier: GPL-2.0-only
/*
 * seal_inject - the attacker on the router: forges, replays and alters.
 *
 * Most actions follow a live flow that they see on a device, so that ports,
 * options, sequence and acknowledgement numbers are those of the moment. "plain"
 * and "seal" need no flow: they make segments from nothing, the latter with a
 * key that the caller knows. Packets leave through raw IP sockets.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "packet.h"

#define KEEP_MAX	4096
#define INJECTED	"<<injected by an attacker>> "

static struct {
	const char *device, *from, *to, *router, *where, *gate;
	unsigned int sport, dport, count, gap, bytes, mtu, wait, quote, min_bytes;
	int64_t offset;
	uint32_t spi, seq, ack;
	uint64_t counter;
	unsigned int lane, index;
	struct packet_key key;
	uint8_t flags;
	bool live_spi, own_index, own_flags;
	bool fragment, route, doff, checksum, badtag;
} opt = { .count = 1, .wait = 10, .bytes = 100, .quote = 500, .where = "cipher" };

static int tap = -1, raw4 = -1, raw6 = -1;
static struct frame live;
static unsigned int sent;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void random_bytes(uint8_t *p, size_t len)
{
	while (len) {
		size_t n = len < 256 ? len : 256;

		if (getrandom(p, n, 0) != (ssize_t)n)
			err(1, "getrandom");
		p += n;
		len -= n;
	}
}

static void emit(const uint8_t *ip, unsigned int len)
{
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	ssize_t n;

	if (ip[0] >> 4 == 4) {
		memcpy(&to4.sin_addr, ip + 16, 4);
		n = sendto(raw4, ip, len, 0, (void *)&to4, sizeof(to4));
	} else {
		memcpy(&to6.sin6_addr, ip + 24, 16);
		n = sendto(raw6, ip, len, 0, (void *)&to6, sizeof(to6));
	}
	/* a firewall or tcpseal on this very host may refuse: that is data */
	if (n < 0 && errno != EPERM && errno != EHOSTUNREACH &&
	    errno != ENETUNREACH)
		err(1, "send of %u bytes", len);
}

static void source_route(struct packet *p)
{
	if (p->family == AF_INET) {
		/* loose route, all of it travelled */
		uint8_t lsrr[8] = { 131, 7, 8, 10, 9, 9, 9, 1 };

		packet_widen(p, lsrr, sizeof(lsrr));
		p->data[0] = 0x40 | p->ip_len / 4;
	} else {
		/* type 4 as of segment routing, no segments left */
		uint8_t rh[24] = { IPPROTO_TCP, 2, 4, 0 };

		packet_widen(p, rh, sizeof(rh));
		p->data[6] = IPPROTO_ROUTING;
	}
}

static void emit_fragments(struct packet *p)
{
	unsigned int l4 = p->len - p->ip_len, cut = l4 / 2 & ~7U;
	struct packet part = *p;
	uint8_t fh[8] = { IPPROTO_TCP };
	unsigned int i;

	if (cut < 24)
		cut = 24;
	random_bytes(fh + 4, 4);
	for (i = 0; i < 2; i++) {
		unsigned int start = i ? cut : 0, n = i ? l4 - cut : cut;

		part.ip_len = p->ip_len;
		part.len = p->ip_len + n;
		memcpy(part.data, p->data, p->ip_len);
		memcpy(part.data + p->ip_len, p->data + p->ip_len + start, n);
		if (p->family == AF_INET) {
			put16(part.data + 6, start / 8 | (i ? 0 : 0x2000));
			memcpy(part.data + 4, fh + 4, 2);
			frame_finish(part.data, part.ip_len, n, IPPROTO_RAW);
			part.data[9] = IPPROTO_TCP;
		} else {
			put16(fh + 2, start | !i);
			packet_widen(&part, fh, sizeof(fh));
			part.data[6] = IPPROTO_FRAGMENT;
			frame_finish(part.data, part.ip_len, n, IPPROTO_RAW);
		}
		emit(part.data, part.len);
	}
}

/* Lengths and checksums right, unless something shall be wrong; and out. */
static void send_packet(struct packet *p)
{
	uint8_t *th;

	if (opt.doff)
		p->data[p->ip_len + 12] = 4 << 4;
	if (opt.route)
		source_route(p);
	frame_finish(p->data, p->ip_len, p->len - p->ip_len, IPPROTO_TCP);
	th = p->data + p->ip_len;
	if (opt.checksum)
		th[16] ^= 0x55;
	if (opt.fragment)
		emit_fragments(p);
	else
		emit(p->data, p->len);
	sent++;
}

/* A packet from nothing; the payload is for the caller. */
static void make(struct packet *p, uint32_t seq, uint32_t ack, uint8_t flags)
{
	int family = strchr(opt.from, ':') ? AF_INET6 : AF_INET;
	uint8_t from[16], to[16];
	uint8_t *th;

	if (!inet_pton(family, opt.from, from) || !inet_pton(family, opt.to, to))
		errx(2, "addresses");
	packet_start(p, family, from, to);
	if (family == AF_INET) {
		random_bytes(p->data + 4, 2);
		p->data[6] = opt.fragment ? 0 : 0x40;
	}
	th = packet_th(p);
	put16(th, opt.sport);
	put16(th + 2, opt.dport);
	put32(th + 4, seq);
	put32(th + 8, ack);
	th[13] = flags;
	put16(th + 14, 8192);
	if (flags & TH_SYN) {
		/* MSS 1400 */
		th[20] = 2;
		th[21] = 4;
		put16(th + 22, 1400);
		p->th_len = 24;
	}
	th[12] = p->th_len / 4 << 4;
	p->len = p->ip_len + p->th_len;
}

static bool wanted(const struct frame *f)
{
	return f->kind == FRAME_TCP && frame_between(f, opt.from, opt.to) &&
	       (!opt.sport || f->sport == opt.sport) &&
	       (!opt.dport || f->dport == opt.dport) &&
	       /* control connections only where asked for */
	       (opt.sport == CTRL_PORT || opt.dport == CTRL_PORT ||
		(f->sport != CTRL_PORT && f->dport != CTRL_PORT)) &&
	       !(f->flags & (TH_SYN | TH_RST | TH_FIN)) &&
	       f->payload_len >= opt.min_bytes;
}

static bool is_record(const uint8_t *p, unsigned int len)
{
	return len >= TCPSEAL_OVERHEAD &&
	       tcpseal_record_shaped((const void *)p, len);
}

/*
 * The newest frame of the flow into @live, and from then on no older one:
 * what is queued in the socket is read to its end.
 */
static void follow(void)
{
	static uint8_t *keep;
	uint64_t end = now_ms() + opt.wait * 1000;
	struct frame f = { .data = malloc(FRAME_MAX) };
	struct pollfd p = { .fd = tap, .events = POLLIN };
	bool found = false;

	if (!keep)
		keep = malloc(FRAME_MAX);
	if (!keep || !f.data)
		err(1, "frame");
	for (;;) {
		if (tap_read(tap, &f)) {
			if (!wanted(&f))
				continue;
			memcpy(keep, f.data, f.len);
			live = f;
			live.data = keep;
			frame_parse(&live);
			found = true;
			continue;
		}
		if (found)
			break;
		if (now_ms() > end)
			errx(3, "no segment of such a flow in %u s", opt.wait);
		poll(&p, 1, 100);
	}
	free(f.data);
}

static uint32_t live_next(void)
{
	return live.seq + live.payload_len;
}

static uint32_t live_spi(void)
{
	const struct tcpseal_record *r = (const void *)live.payload;

	if (!opt.live_spi)
		return opt.spi;
	if (live.payload_len < TCPSEAL_OVERHEAD)
		errx(1, "the flow is not sealed");
	return be32toh(r->spi);
}

/* A forged segment that continues the live flow, with its very options. */
static void forge(uint8_t flags, const void *payload, unsigned int len)
{
	static struct packet p;
	uint8_t *th;

	follow();
	packet_take(&p, &live, 0);
	p.len = p.ip_len + p.th_len;
	th = p.data + p.ip_len;
	put32(th + 4, live_next() + opt.offset);
	th[13] = flags;
	memcpy(packet_payload(&p), payload, len);
	p.len += len;
	send_packet(&p);
}

static void forge_text(uint8_t flags)
{
	uint8_t text[65536];
	unsigned int i;

	for (i = 0; i < opt.bytes; i++)
		text[i] = INJECTED[i % (sizeof(INJECTED) - 1)];
	forge(flags, text, opt.bytes);
}

static unsigned int make_record(uint8_t *p, uint32_t spi)
{
	random_bytes(p, TCPSEAL_OVERHEAD + opt.bytes);
	tcpseal_record_set((void *)p, 0, opt.lane, opt.bytes, htobe32(spi),
			   opt.own_index ? opt.index : 1, opt.counter);
	return TCPSEAL_OVERHEAD + opt.bytes;
}

static void forge_record(void)
{
	uint8_t record[65536];
	unsigned int len;

	if (opt.live_spi)
		follow();
	len = make_record(record, live_spi());
	forge(TH_ACK | TH_PSH, record, len);
}

/* Sealed segments of the flow, as they pass, one by one */
static unsigned int capture(struct packet **list, unsigned int max)
{
	unsigned int n = 0;

	while (n < max) {
		unsigned int k, len;

		follow();
		for (k = 0; k < frame_segments(&live) && n < max; k++) {
			const uint8_t *p = frame_segment(&live, k, &len);

			if (!is_record(p, len))
				continue;
			list[n] = malloc(sizeof(**list));
			if (!list[n])
				err(1, "packet");
			packet_take(list[n++], &live, k);
		}
	}
	return n;
}

static void do_replay(void)
{
	struct packet *list[KEEP_MAX];
	unsigned int n, i;

	n = capture(list, opt.count < KEEP_MAX ? opt.count : KEEP_MAX);
	if (opt.gate)
		result_write(opt.gate, "%u\n", n);
	/* the caller takes the file away when it is time */
	for (i = 0; opt.gate && !access(opt.gate, F_OK) && i < 2400; i++)
		usleep(50000);
	for (i = 0; i < n; i++)
		send_packet(list[i]);
}

static void flip(struct packet *p)
{
	uint8_t *r = packet_payload(p);
	unsigned int len = p->data + p->len - r;

	if (!strcmp(opt.where, "version"))
		r[0] ^= 0x80;
	else if (!strcmp(opt.where, "reserved"))
		r[0] ^= 0x20;
	else if (!strcmp(opt.where, "flags"))
		r[0] ^= TCPSEAL_F_FIN;
	else if (!strcmp(opt.where, "lane"))
		r[1] ^= 1;
	else if (!strcmp(opt.where, "length"))
		r[3] ^= 1;
	else if (!strcmp(opt.where, "spi"))
		r[7] ^= 1;
	else if (!strcmp(opt.where, "index"))
		r[9] ^= 2;
	else if (!strcmp(opt.where, "counter"))
		/* beyond what was used: not a replay */
		r[11] ^= 0x40;
	else if (!strcmp(opt.where, "cipher"))
		r[len > TCPSEAL_OVERHEAD ? 20 : 16] ^= 1;
	else if (!strcmp(opt.where, "tag"))
		r[len - 1] ^= 1;
	else if (!strcmp(opt.where, "window"))
		p->data[p->ip_len + 15] ^= 1;
	else if (!strcmp(opt.where, "seq"))
		p->data[p->ip_len + 7] ^= 1;
	else
		errx(2, "flip where? %s", opt.where);
}

static void do_flip(void)
{
	struct packet *p;

	capture(&p, 1);
	flip(p);
	send_packet(p);
	free(p);
}

static void do_truncate(void)
{
	struct packet *p;

	capture(&p, 1);
	p->len -= opt.bytes < TCPSEAL_TAG_LEN ? opt.bytes : TCPSEAL_TAG_LEN;
	send_packet(p);
	free(p);
}

/* An error about the last segment of the flow, sent to who sent that. */
static void do_icmp(bool hard)
{
	static struct packet p, out;
	unsigned int quote, i;
	uint8_t *icmp;

	follow();
	packet_take(&p, &live, frame_segments(&live) - 1);
	frame_finish(p.data, p.ip_len, p.len - p.ip_len, IPPROTO_TCP);
	if (opt.offset)
		put32(p.data + p.ip_len + 4, live.seq + opt.offset);
	quote = p.len < p.ip_len + opt.quote ? p.len : p.ip_len + opt.quote;

	memset(out.data, 0, 64);
	i = p.family == AF_INET ? 20 : 40;
	icmp = out.data + i;
	if (p.family == AF_INET) {
		out.data[0] = 0x45;
		out.data[8] = 64;
		out.data[9] = IPPROTO_ICMP;
		memcpy(out.data + 12, p.data + 16, 4);
		memcpy(out.data + 16, p.data + 12, 4);
		if (opt.router)
			inet_pton(AF_INET, opt.router, out.data + 12);
		icmp[0] = 3;
		icmp[1] = hard ? 3 : 4;
		if (!hard)
			put16(icmp + 6, opt.mtu);
	} else {
		out.data[0] = 0x60;
		out.data[6] = IPPROTO_ICMPV6;
		out.data[7] = 64;
		memcpy(out.data + 8, p.data + 24, 16);
		memcpy(out.data + 24, p.data + 8, 16);
		if (opt.router)
			inet_pton(AF_INET6, opt.router, out.data + 8);
		icmp[0] = hard ? 1 : 2;
		icmp[1] = hard ? 4 : 0;
		if (!hard)
			put32(icmp + 4, opt.mtu);
	}
	memcpy(icmp + 8, p.data, quote);
	frame_finish(out.data, i, 8 + quote,
		     p.family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	emit(out.data, i + 8 + quote);
	sent++;
}

static void do_plain(void)
{
	static struct packet p;
	unsigned int i;

	make(&p, opt.seq, opt.ack, opt.own_flags ? opt.flags : TH_SYN);
	if (!(opt.flags & (TH_SYN | TH_RST)) && opt.own_flags) {
		for (i = 0; i < opt.bytes; i++)
			packet_payload(&p)[i] = INJECTED[i % (sizeof(INJECTED) - 1)];
		p.len += opt.bytes;
	}
	send_packet(&p);
}

/* A record-shaped payload from nothing */
static void do_shaped(void)
{
	static struct packet p;

	make(&p, opt.seq, opt.ack, opt.own_flags ? opt.flags : TH_ACK);
	p.len += make_record(packet_payload(&p), opt.spi);
	send_packet(&p);
}

/* A record that its receiver must accept: all is right, and the key known. */
static void do_seal(void)
{
	static struct packet p;
	uint8_t plain[65536], flags = opt.own_flags ? opt.flags : TH_SYN;
	uint8_t record_flags = 0;
	unsigned int index = flags & TH_RST ? 0 : 1, i;
	unsigned int len = flags & (TH_SYN | TH_RST) ? 0 : opt.bytes;

	if (!opt.key.len)
		errx(2, "seal wants -K KEY and -I IV");
	if (opt.own_index)
		index = opt.index;
	for (i = 0; i < len; i++)
		plain[i] = INJECTED[i % (sizeof(INJECTED) - 1)];
	if (flags & TH_FIN)
		record_flags |= TCPSEAL_F_FIN;
	if (flags & TH_PSH)
		record_flags |= TCPSEAL_F_PSH;
	make(&p, opt.seq - TCPSEAL_OVERHEAD * index, opt.ack, flags);
	tcpseal_record_set((void *)packet_payload(&p), record_flags, opt.lane, len,
			   htobe32(opt.spi), index, opt.counter);
	packet_seal(&p, packet_payload(&p), plain, opt.seq, &opt.key);
	if (opt.badtag)
		packet_payload(&p)[TCPSEAL_HDR_LEN + len] ^= 1;
	p.len += TCPSEAL_OVERHEAD + len;
	send_packet(&p);
	opt.counter++;
}

static uint8_t parse_flags(const char *text)
{
	static const char letters[] = "FSRPAUEC";
	uint8_t flags = 0;

	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			errx(2, "flag %c?", *text);
		flags |= 1 << (at - letters);
	}
	return flags;
}

static unsigned int parse_hex(const char *text, uint8_t *out, unsigned int max)
{
	unsigned int n = strlen(text) / 2, i;

	if (n > max || strlen(text) % 2)
		errx(2, "hexadecimal of a wrong length");
	for (i = 0; i < n; i++) {
		unsigned int byte;

		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			errx(2, "not hexadecimal");
		out[i] = byte;
	}
	return n;
}

static void parse_wrong(const char *what)
{
	if (!strcmp(what, "fragment"))
		opt.fragment = true;
	else if (!strcmp(what, "route"))
		opt.route = true;
	else if (!strcmp(what, "doff"))
		opt.doff = true;
	else if (!strcmp(what, "checksum"))
		opt.checksum = true;
	else if (!strcmp(what, "tag"))
		opt.badtag = true;
	else
		errx(2, "-x %s?", what);
}

static int usage(void)
{
	fputs("Usage: seal_inject -f FROM -t TO [OPTIONS] ACTION\n"
	      "that follow a live flow from FROM to TO on a device:\n"
	      "  rst fin ack syn data   a plain segment that continues it\n"
	      "  record                 a payload that looks like a record\n"
	      "  replay                 COUNT sealed segments again\n"
	      "  flip truncate          a changed copy of a sealed segment\n"
	      "  icmp-frag icmp-hard    an error about it, to FROM\n"
	      "from nothing:\n"
	      "  plain shaped seal      with ports, SEQ, FLAGS as given\n"
	      "  -i DEVICE   where the flow passes     -s SPORT -p DPORT\n"
	      "  -n COUNT    -g MS between them        -W SEC   wait for the flow (10)\n"
	      "  -o OFFSET   added to the sequence     -b BYTES of payload; cut off by truncate\n"
	      "  -m BYTES    least payload of the segment to follow\n"
	      "  -S SPI|live -L LANE -C COUNTER -X INDEX -K KEY -I IV   of a record\n"
	      "  -q SEQ -a ACK -F FLAGS (of FSRPAUEC)\n"
	      "  -B WHERE    to flip a bit: version reserved flags lane length spi\n"
	      "              index counter cipher tag window seq\n"
	      "  -x WRONG    fragment route doff checksum tag\n"
	      "  -G FILE     replay: made after the capture; sends when it is removed\n"
	      "  -M MTU -Q BYTES quoted -R ROUTER   of an ICMP error\n",
	      stderr);
	return 2;
}

static void act(const char *action)
{
	if (!strcmp(action, "rst"))
		forge(TH_RST | TH_ACK, "", 0);
	else if (!strcmp(action, "fin"))
		forge(TH_FIN | TH_ACK, "", 0);
	else if (!strcmp(action, "ack"))
		forge(TH_ACK, "", 0);
	else if (!strcmp(action, "syn"))
		forge(TH_SYN, "", 0);
	else if (!strcmp(action, "data"))
		forge_text(TH_ACK | TH_PSH);
	else if (!strcmp(action, "record"))
		forge_record();
	else if (!strcmp(action, "flip"))
		do_flip();
	else if (!strcmp(action, "truncate"))
		do_truncate();
	else if (!strcmp(action, "icmp-frag"))
		do_icmp(false);
	else if (!strcmp(action, "icmp-hard"))
		do_icmp(true);
	else if (!strcmp(action, "plain"))
		do_plain();
	else if (!strcmp(action, "shaped"))
		do_shaped();
	else if (!strcmp(action, "seal"))
		do_seal();
	else
		errx(2, "action %s?", action);
}

static void open_sockets(bool follows)
{
	int one = 1, buffer = 32 << 20;

	raw4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	raw6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (raw4 < 0 || raw6 < 0)
		err(4, "raw socket");
	setsockopt(raw4, IPPROTO_IP, IP_HDRINCL, &one, sizeof(one));
	/* room for a burst: what the attacker sends must arrive */
	setsockopt(raw4, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	setsockopt(raw6, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (!follows)
		return;
	if (!opt.device)
		errx(2, "to follow a flow takes -i DEVICE");
	tap = tap_open(opt.device, 64 << 20);
}

int main(int argc, char **argv)
{
	const char *action;
	bool replay, nothing;
	unsigned int i;
	int c;

	while ((c = getopt(argc, argv, "i:f:t:s:p:n:g:W:o:b:m:S:L:C:X:K:I:q:a:F:B:x:M:Q:R:G:")) >= 0) {
		switch (c) {
		case 'i': opt.device = optarg; break;
		case 'f': opt.from = optarg; break;
		case 't': opt.to = optarg; break;
		case 's': opt.sport = atoi(optarg); break;
		case 'p': opt.dport = atoi(optarg); break;
		case 'n': opt.count = atoi(optarg); break;
		case 'g': opt.gap = atoi(optarg); break;
		case 'W': opt.wait = atoi(optarg); break;
		case 'o': opt.offset = strtoll(optarg, NULL, 0); break;
		case 'b': opt.bytes = atoi(optarg); break;
		case 'm': opt.min_bytes = atoi(optarg); break;
		case 'S':
			opt.live_spi = !strcmp(optarg, "live");
			opt.spi = strtoul(optarg, NULL, 0);
			break;
		case 'L': opt.lane = atoi(optarg); break;
		case 'C': opt.counter = strtoull(optarg, NULL, 0); break;
		case 'X':
			opt.index = atoi(optarg);
			opt.own_index = true;
			break;
		case 'K': opt.key.len = parse_hex(optarg, opt.key.key, 32); break;
		case 'I': parse_hex(optarg, opt.key.iv, 12); break;
		case 'q': opt.seq = strtoul(optarg, NULL, 0); break;
		case 'a': opt.ack = strtoul(optarg, NULL, 0); break;
		case 'F':
			opt.flags = parse_flags(optarg);
			opt.own_flags = true;
			break;
		case 'B': opt.where = optarg; break;
		case 'x': parse_wrong(optarg); break;
		case 'M': opt.mtu = atoi(optarg); break;
		case 'Q': opt.quote = atoi(optarg); break;
		case 'G': opt.gate = optarg; break;
		case 'R': opt.router = optarg; break;
		default: return usage();
		}
	}
	if (!opt.from || !opt.to || optind + 1 != argc || opt.bytes > 60000)
		return usage();
	action = argv[optind];
	replay = !strcmp(action, "replay");
	nothing = !strcmp(action, "plain") || !strcmp(action, "shaped") ||
		  !strcmp(action, "seal");
	open_sockets(!nothing);
	if (replay)
		do_replay();
	for (i = 0; i < opt.count && !replay; i++) {
		act(action);
		if (opt.gap)
			usleep(opt.gap * 1000);
	}
	result_write(NULL, "{\"sent\":%u}\n", sent);
	return 0;
}
