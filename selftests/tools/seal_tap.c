// SPDX-License-Identifier: GPL-2.0-only
/*
 * seal_tap - the eavesdropper: looks at every frame of a device until SIGTERM,
 * then says as JSON what could be seen.
 *
 * A super-segment is looked at as the wire segments that it will become. A
 * segment counts as sealed when it has exactly the shape of a record. Records
 * of one super-segment must count their index down to 1 (RST: 0), and no
 * (SPI, lane, counter) may come twice with different bytes; the same bytes
 * twice are a network that duplicates.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "pattern.h"
#include "wire.h"

#define MAX_FLOWS	1024
#define MAX_SHOWN	10

static struct {
	const char *device, *result, *pidfile, *from, *to, *marker;
	unsigned int mtu, port;
	bool in_only, out_only, background, checksums;
} opt = { .marker = MARKER, .port = CTRL_PORT };

static struct {
	uint64_t frames, bytes, tcp_frames, segments, sealed, plain, ctrl;
	uint64_t ctrl_sealed, icmp, fragments, broken, other;
	uint64_t marker, marker_tcp, marker_icmp, marker_other;
	uint64_t syn, fin, rst, empty, bare, data;	/* of sealed records */
	uint64_t plain_syn, plain_fin, plain_rst, plain_data;
	uint64_t oversize, super, max_burst;
	uint64_t duplicates, reuse, index_wrong, rst_wrong;
	uint64_t csum_full, csum_partial, csum_wrong;
} n;

struct shown {
	char text[MAX_SHOWN][256];
	unsigned int count;
};

static struct shown plain_shown, wrong_shown, oversize_shown, marker_shown;
static volatile sig_atomic_t stopping;

static void show(struct shown *s, const struct frame *f, const char *what)
{
	char text[200];

	if (s->count < MAX_SHOWN)
		snprintf(s->text[s->count], sizeof(s->text[0]), "%s%s", what,
			 frame_str(f, text, sizeof(text)));
	s->count++;
}

/*
 * Every nonce seen: open addressing, keyed by SPI, lane and counter; the last
 * bytes of the tag tell a duplicate from a reuse.
 */
struct nonce {
	uint32_t spi, tag;
	uint64_t lane_counter;
};

static struct nonce *nonces;
static size_t nonce_size, nonce_count;

static struct nonce *nonce_slot(struct nonce *table, size_t size,
				const struct nonce *key)
{
	size_t i = pattern_word(key->lane_counter ^ ((uint64_t)key->spi << 32));

	for (;; i++) {
		struct nonce *slot = &table[i & (size - 1)];

		if (!slot->spi || (slot->spi == key->spi &&
				   slot->lane_counter == key->lane_counter))
			return slot;
	}
}

static void nonce_grow(void)
{
	size_t size = nonce_size ? 2 * nonce_size : 1 << 16, i;
	struct nonce *table = calloc(size, sizeof(*table));

	if (!table)
		err(1, "nonces");
	for (i = 0; i < nonce_size; i++) {
		if (nonces[i].spi)
			*nonce_slot(table, size, &nonces[i]) = nonces[i];
	}
	free(nonces);
	nonces = table;
	nonce_size = size;
}

static void see_nonce(const struct frame *f, const struct tcpseal_record *r,
		      const uint8_t *end)
{
	struct nonce key = {
		.spi = r->spi,
		.lane_counter = (uint64_t)r->lane << 48 |
				tcpseal_record_counter(r),
	}, *slot;

	memcpy(&key.tag, end - 4, 4);
	if (2 * nonce_count >= nonce_size)
		nonce_grow();
	slot = nonce_slot(nonces, nonce_size, &key);
	if (!slot->spi) {
		*slot = key;
		nonce_count++;
	} else if (slot->tag == key.tag) {
		n.duplicates++;
	} else {
		n.reuse++;
		show(&wrong_shown, f, "nonce reused: ");
	}
}

/* What every flow did, for questions about lanes and ports */
static struct seen_flow {
	uint16_t sport, dport;
	uint64_t lanes, records;
} flows[MAX_FLOWS];

static void see_flow(const struct frame *f, const struct tcpseal_record *r)
{
	unsigned int i = (f->sport * 31 + f->dport) % MAX_FLOWS, tries;

	for (tries = 0; tries < MAX_FLOWS; tries++, i = (i + 1) % MAX_FLOWS) {
		struct seen_flow *flow = &flows[i];

		if (!flow->records) {
			flow->sport = f->sport;
			flow->dport = f->dport;
		}
		if (flow->sport == f->sport && flow->dport == f->dport) {
			flow->lanes |= 1ULL << (r->lane & 63);
			flow->records++;
			return;
		}
	}
}

static void see_record(const struct frame *f, const struct tcpseal_record *r,
		       unsigned int len)
{
	n.sealed++;
	n.syn += !!(f->flags & TH_SYN);
	n.fin += !!(r->ver_flags & TCPSEAL_F_FIN);
	n.rst += !!(f->flags & TH_RST);
	n.empty += !r->length;
	n.bare += !r->length && !(f->flags & (TH_SYN | TH_RST)) &&
		  !(r->ver_flags & TCPSEAL_F_FIN);
	n.data += !!r->length;
	see_nonce(f, r, (const uint8_t *)r + len);
	see_flow(f, r);
}

/*
 * Index rule within a frame: each record counts down by one, or begins a new
 * burst after a record that said 1; the true sequence number never jumps.
 */
static void see_index(const struct frame *f, const struct tcpseal_record *r,
		      unsigned int k, uint32_t *last)
{
	uint32_t index = be16_to_cpu(r->index);

	if (f->flags & TH_RST) {
		if (index) {
			n.rst_wrong++;
			show(&wrong_shown, f, "RST with an index: ");
		}
		return;
	}
	if (!index || index > TCPSEAL_BURST_MAX ||
	    (k && index != *last - 1 && *last != 1)) {
		n.index_wrong++;
		show(&wrong_shown, f, "index: ");
	}
	if (index > n.max_burst)
		n.max_burst = index;
	*last = index;
}

static void see_plain(const struct frame *f, unsigned int len)
{
	n.plain++;
	n.plain_syn += !!(f->flags & TH_SYN);
	n.plain_fin += !!(f->flags & TH_FIN);
	n.plain_rst += !!(f->flags & TH_RST);
	n.plain_data += !!len;
	show(&plain_shown, f, "");
}

static void see_tcp(const struct frame *f)
{
	bool ctrl = f->sport == opt.port || f->dport == opt.port;
	unsigned int segments = frame_segments(f), k, len;
	uint32_t last = 0;

	n.tcp_frames++;
	n.segments += segments;
	n.super += segments > 1;
	for (k = 0; k < segments; k++) {
		const uint8_t *p = frame_segment(f, k, &len);
		struct tcpseal_record r;
		bool shaped = false;

		if (len >= TCPSEAL_OVERHEAD) {
			memcpy(&r, p, sizeof(r));
			shaped = tcpseal_record_shaped((const void *)p, len);
		}
		if (shaped) {
			n.ctrl_sealed += ctrl;
			see_record(f, (const void *)p, len);
			see_index(f, &r, k, &last);
		} else if (ctrl) {
			n.ctrl++;
		} else {
			see_plain(f, len);
		}
	}
}

static void see_size(const struct frame *f)
{
	unsigned int payload = f->payload_len;
	unsigned int size;

	if (!opt.mtu || !f->df || !f->family)
		return;
	if (f->gso_size && payload > f->gso_size)
		payload = f->gso_size;
	size = f->ip_len + f->th_len + payload;
	if (size <= opt.mtu)
		return;
	n.oversize++;
	show(&oversize_shown, f, "");
}

static void see_checksum(const struct frame *f)
{
	bool partial = f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	n.csum_partial += partial;
	n.csum_full += !partial;
	if (frame_checksum_ok(f))
		return;
	n.csum_wrong++;
	show(&wrong_shown, f, partial ? "partial checksum: " : "checksum: ");
}

static void see_marker(const struct frame *f)
{
	size_t len = strlen(opt.marker);
	const uint8_t *p = f->data, *end = f->data + f->len;

	while ((p = memmem(p, end - p, opt.marker, len))) {
		n.marker++;
		n.marker_tcp += f->kind == FRAME_TCP;
		n.marker_icmp += f->kind == FRAME_ICMP;
		n.marker_other += f->kind != FRAME_TCP && f->kind != FRAME_ICMP;
		show(&marker_shown, f, "");
		p += len;
	}
}

static void see(const struct frame *f)
{
	if ((opt.in_only && f->outgoing) || (opt.out_only && !f->outgoing))
		return;
	if ((opt.from || opt.to) && f->family &&
	    !frame_between(f, opt.from, opt.to))
		return;
	n.frames++;
	n.bytes += f->len;
	see_marker(f);
	switch (f->kind) {
	case FRAME_TCP:
		see_tcp(f);
		if (opt.checksums)
			see_checksum(f);
		break;
	case FRAME_ICMP:
		n.icmp++;
		break;
	case FRAME_FRAGMENT:
		n.fragments++;
		break;
	case FRAME_BROKEN:
		n.broken++;
		break;
	default:
		n.other++;
	}
	see_size(f);
}

static void add_shown(char **text, const char *name, const struct shown *s)
{
	char *old = *text;
	unsigned int i;

	for (i = 0; i < s->count && i < MAX_SHOWN; i++) {
		if (asprintf(text, "%s%s\"%s\"", old ? old : "", i ? "," : "",
			     s->text[i]) < 0)
			err(1, "result");
		free(old);
		old = *text;
	}
	if (asprintf(text, "\"%s\":[%s]", name, old ? old : "") < 0)
		err(1, "result");
	free(old);
}

static char *flows_text(void)
{
	char *text = strdup("");
	unsigned int i;

	for (i = 0; i < MAX_FLOWS; i++) {
		char *old = text;

		if (!flows[i].records)
			continue;
		if (asprintf(&text, "%s%s{\"sport\":%u,\"dport\":%u,\"lanes\":%"
			     PRIu64 ",\"records\":%" PRIu64 "}", old,
			     *old ? "," : "", flows[i].sport, flows[i].dport,
			     flows[i].lanes, flows[i].records) < 0)
			err(1, "result");
		free(old);
	}
	return text;
}

static void report(uint64_t drops)
{
	char *plain = NULL, *wrong = NULL, *oversize = NULL, *marker = NULL;

	add_shown(&plain, "plain_list", &plain_shown);
	add_shown(&wrong, "wrong_list", &wrong_shown);
	add_shown(&oversize, "oversize_list", &oversize_shown);
	add_shown(&marker, "marker_list", &marker_shown);
#define N(name) "\"" #name "\":%" PRIu64 ","
	result_write(opt.result,
		     "{\"drops\":%" PRIu64 ","
		     N(frames) N(bytes) N(tcp_frames) N(segments) N(sealed)
		     N(plain) N(ctrl) N(ctrl_sealed) N(icmp) N(fragments)
		     N(broken) N(other) N(marker) N(marker_tcp) N(marker_icmp)
		     N(marker_other) N(syn) N(fin) N(rst) N(empty) N(bare)
		     N(data) N(plain_syn) N(plain_fin) N(plain_rst)
		     N(plain_data) N(oversize) N(super) N(max_burst)
		     N(duplicates) N(reuse) N(index_wrong) N(rst_wrong)
		     N(csum_full) N(csum_partial) N(csum_wrong)
		     "\"nonces\":%zu,%s,%s,%s,%s,\"flows\":[%s]}\n",
		     drops, n.frames, n.bytes, n.tcp_frames, n.segments,
		     n.sealed, n.plain, n.ctrl, n.ctrl_sealed, n.icmp,
		     n.fragments, n.broken, n.other, n.marker, n.marker_tcp,
		     n.marker_icmp, n.marker_other, n.syn, n.fin, n.rst,
		     n.empty, n.bare, n.data, n.plain_syn, n.plain_fin,
		     n.plain_rst, n.plain_data, n.oversize, n.super,
		     n.max_burst, n.duplicates, n.reuse, n.index_wrong,
		     n.rst_wrong, n.csum_full, n.csum_partial, n.csum_wrong,
		     nonce_count, plain, wrong, oversize, marker,
		     flows_text());
#undef N
}

static void on_stop(int sig)
{
	(void)sig;
	stopping = 1;
}

static int usage(void)
{
	fputs("Usage: seal_tap -i DEVICE [OPTIONS]\n"
	      "  -o FILE     result, JSON, on SIGTERM   -m MARKER   text to look for\n"
	      "  -f ADDRESS  only from                  -t ADDRESS  only to\n"
	      "  -d in|out   direction of the device    -M MTU      count DF above it\n"
	      "  -p PORT     of control connections, counted apart (7325)\n"
	      "  -c          look at TCP checksums, too\n"
	      "  -D          to the background          -q PIDFILE\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	struct sigaction stop = { .sa_handler = on_stop };
	struct frame f = { .data = malloc(FRAME_MAX) };
	struct pollfd p = { .events = POLLIN };
	int c;

	while ((c = getopt(argc, argv, "i:o:m:f:t:d:M:p:cDq:")) >= 0) {
		switch (c) {
		case 'i': opt.device = optarg; break;
		case 'o': opt.result = optarg; break;
		case 'm': opt.marker = optarg; break;
		case 'f': opt.from = optarg; break;
		case 't': opt.to = optarg; break;
		case 'd':
			opt.in_only = !strcmp(optarg, "in");
			opt.out_only = !strcmp(optarg, "out");
			break;
		case 'M': opt.mtu = atoi(optarg); break;
		case 'p': opt.port = atoi(optarg); break;
		case 'c': opt.checksums = true; break;
		case 'D': opt.background = true; break;
		case 'q': opt.pidfile = optarg; break;
		default: return usage();
		}
	}
	if (!opt.device || optind != argc || !f.data)
		return usage();
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	if (opt.background)
		background_start();
	p.fd = tap_open(opt.device, 512 << 20);
	background_ready(opt.pidfile);
	while (!stopping) {
		if (poll(&p, 1, 500) <= 0)
			continue;
		if (p.revents & POLLERR) {
			/* the device is gone or down; what was seen counts */
			int error;
			socklen_t len = sizeof(error);

			getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len);
		}
		while (tap_read(p.fd, &f))
			see(&f);
	}
	/* what came before the signal belongs to it */
	while (tap_read(p.fd, &f))
		see(&f);
	report(tap_drops(p.fd));
	return 0;
}
