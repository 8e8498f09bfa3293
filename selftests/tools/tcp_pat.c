// SPDX-License-Identifier: GPL-2.0-only
/*
 * tcp_pat - streams whose every byte is known to both ends.
 *
 * The client opens flows and tells the server in a header what each will
 * carry; both ends send, receive and compare. Every flow ends in one of: exact
 * (all bytes arrived, both ends say so), error (the application saw an errno),
 * stalled (nothing moved for the time allowed), corrupt (a wrong byte, or too
 * many). Results are JSON, so that a test decides what is allowed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "pattern.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY		60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY		0x4000000
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP		262
#endif
#define MAGIC			"tcp_pat1"
#define BUF			65536

enum mode { MODE_WRITE, MODE_SENDFILE, MODE_SPLICE, MODE_ZEROCOPY, MODE_URG };

static const char *const mode_names[] = {
	"write", "sendfile", "splice", "zerocopy", "urg", NULL
};

enum verdict { EXACT, ERROR, STALLED, CORRUPT, VERDICTS };

/* What the client tells the server; big endian on the wire */
struct header {
	char	 magic[8] __attribute__((nonstring));
	uint64_t seed, up, down;
	uint32_t chunk;		/* bytes a write */
	uint32_t probe;		/* bytes a request, 0 = a transfer */
	uint32_t urg;
	uint32_t early;		/* data follows the header at once */
	char	 marker[MARKER_LEN] __attribute__((nonstring));
};

/* What the server says last */
struct trailer {
	char	 magic[8] __attribute__((nonstring));
	uint64_t bytes;
};

struct flow {
	int		fd;
	pthread_t	thread;
	struct sockaddr_storage peer;
	uint64_t	seed_out, seed_in;
	uint64_t	out, out_len;
	uint64_t	in, in_len;
	uint32_t	chunk, probe;
	enum mode	mode;
	bool		urg_in, is_client;
	/* zerocopy, sendfile, splice */
	int		file, pipe[2];
	size_t		in_pipe;
	uint8_t		*pages;
	uint32_t	zc_sent, zc_done;
	/* results */
	enum verdict	verdict;
	char		why[160];
	uint64_t	gap_ms, connect_ms;
	uint64_t	marks, marks_wrong, probes;
	uint32_t	retrans, segs_out;
	bool		syn_data;
	uint8_t		buf[BUF], want[BUF];
};

static struct {
	const char *address, *bind, *port, *result, *status, *pidfile, *file;
	const char *md5, *peer, *dev;
	unsigned int flows, interval, timeout, size, pace, seconds, sndbuf, mss;
	uint64_t up, down, seed;
	uint32_t chunk;
	enum mode mode;
	bool fastopen, background, reset, mptcp, transparent;
	int alive;		/* keepalives until it is over */
} opt = {
	.port = "5001", .flows = 1, .timeout = 60, .size = 64, .chunk = BUF,
	.seed = 1,
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	unsigned int flows, running, verdict[VERDICTS];
	uint64_t in, out, gap_ms, connect_ms, marks, marks_wrong, probes;
	uint64_t retrans;
	unsigned int syn_data;
	char why[160];
} total;
static uint64_t progress;		/* bytes sent and verified, all flows */
static volatile sig_atomic_t stopping, kicked;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static void __attribute__((format(printf, 3, 4)))
end_flow(struct flow *f, enum verdict verdict, const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, ap);
	va_end(ap);
}

/* Compare what came in; a difference is shown in hex, to see what it is. */
static bool verify(struct flow *f, const uint8_t *got, size_t len)
{
	char hex[49] = "";
	size_t i, at;

	if (f->in + len > f->in_len) {
		end_flow(f, CORRUPT, "%zu bytes too many at %" PRIu64,
			 (size_t)(f->in + len - f->in_len), f->in);
		return false;
	}
	pattern(f->seed_in, f->in, f->want, len);
	if (!memcmp(got, f->want, len)) {
		f->in += len;
		__atomic_fetch_add(&progress, len, __ATOMIC_RELAXED);
		return true;
	}
	for (at = 0; got[at] == f->want[at]; at++)
		;
	for (i = 0; i < 16 && at + i < len; i++)
		sprintf(hex + 3 * i, "%02x ", got[at + i]);
	end_flow(f, CORRUPT, "wrong byte at %" PRIu64 ": %s", f->in + at, hex);
	return false;
}

static void reap_zerocopy(struct flow *f)
{
	for (;;) {
		char control[256];
		struct msghdr msg = {
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		struct cmsghdr *cm;

		if (recvmsg(f->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return;
		for (cm = CMSG_FIRSTHDR(&msg); cm; cm = CMSG_NXTHDR(&msg, cm)) {
			struct sock_extended_err *e = (void *)CMSG_DATA(cm);

			if (e->ee_origin == SO_EE_ORIGIN_ZEROCOPY)
				f->zc_done += e->ee_data - e->ee_info + 1;
		}
	}
}

static ssize_t send_splice(struct flow *f, size_t n)
{
	loff_t off = f->out + f->in_pipe;
	ssize_t got;

	if (!f->in_pipe) {
		got = splice(f->file, &off, f->pipe[1], NULL, n, SPLICE_F_MOVE);
		if (got <= 0)
			return got ? got : (errno = EIO, -1);
		f->in_pipe = got;
	}
	got = splice(f->pipe[0], NULL, f->fd, NULL, f->in_pipe,
		     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (got > 0)
		f->in_pipe -= got;
	return got;
}

static ssize_t send_some(struct flow *f)
{
	uint64_t left = f->out_len - f->out;
	size_t n = left < f->chunk ? left : f->chunk;
	off_t off = f->out;
	ssize_t got;

	switch (f->mode) {
	case MODE_SENDFILE:
		return sendfile(f->fd, f->file, &off, n);
	case MODE_SPLICE:
		return send_splice(f, n);
	case MODE_ZEROCOPY:
		got = send(f->fd, f->pages + f->out, n,
			   MSG_ZEROCOPY | MSG_NOSIGNAL | MSG_DONTWAIT);
		if (got > 0)
			f->zc_sent++;
		if (got < 0 && errno == ENOBUFS) {
			reap_zerocopy(f);
			errno = EAGAIN;
		}
		return got;
	case MODE_URG:
		/* the last byte of every full chunk is the urgent one */
		pattern(f->seed_out, f->out, f->buf, n);
		return send(f->fd, f->buf, n, MSG_NOSIGNAL | MSG_DONTWAIT |
			    (n == f->chunk ? MSG_OOB : 0));
	default:
		if (n > BUF)
			n = BUF;
		pattern(f->seed_out, f->out, f->buf, n);
		return send(f->fd, f->buf, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
}

static void check_mark(struct flow *f)
{
	int at = 0;

	if (!f->urg_in || ioctl(f->fd, SIOCATMARK, &at) || !at)
		return;
	f->marks++;
	if (f->in % f->chunk != f->chunk - 1)
		f->marks_wrong++;
}

/* Read into the stream. 1: something, 0: end of file, -1: errno or verdict */
static int receive_some(struct flow *f)
{
	uint64_t left = f->in_len - f->in;
	size_t n = left < BUF ? left : BUF;
	ssize_t got;

	check_mark(f);
	/* past the end read one more, to see bytes that nobody sent */
	got = recv(f->fd, f->buf, n ? n : 1, MSG_DONTWAIT);
	if (got <= 0)
		return got;
	return verify(f, f->buf, got) ? 1 : -1;
}

static bool again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/*
 * Both directions at once until @f's are complete. The server knows the end of
 * what comes in by the client's FIN; the client by the count, as a trailer
 * follows.
 */
static bool pump(struct flow *f)
{
	bool eof = f->is_client || !f->in_len, shut = false;
	uint64_t last = now_ms();

	f->verdict = EXACT;
	while (f->out < f->out_len || f->in < f->in_len || !eof || !shut) {
		struct pollfd p = { .fd = f->fd };
		uint64_t now;
		int r;

		if (f->out == f->out_len && !shut) {
			if (f->is_client)
				shutdown(f->fd, SHUT_WR);
			shut = true;
			continue;
		}
		if (f->out < f->out_len)
			p.events |= POLLOUT;
		if (f->in < f->in_len || !eof)
			p.events |= POLLIN;
		r = poll(&p, 1, 200);
		now = now_ms();
		if (f->zc_sent != f->zc_done)
			reap_zerocopy(f);
		if (now - last > f->gap_ms)
			f->gap_ms = now - last;
		if (!r && now - last > opt.timeout * 1000) {
			end_flow(f, STALLED, "stalled at in %" PRIu64 "/%" PRIu64
				 " out %" PRIu64 "/%" PRIu64, f->in, f->in_len,
				 f->out, f->out_len);
			return false;
		}
		if (r <= 0)
			continue;
		if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
			errno = 0;
			r = receive_some(f);
			if (r > 0) {
				last = now;
			} else if (!r) {
				if (f->in < f->in_len || f->is_client) {
					end_flow(f, ERROR, "end of file at %"
						 PRIu64, f->in);
					return false;
				}
				eof = true;
				last = now;
			} else if (f->verdict != EXACT) {
				return false;
			} else if (!again()) {
				end_flow(f, ERROR, "recv: %s at %" PRIu64,
					 strerror(errno), f->in);
				return false;
			}
		}
		if (p.revents & POLLOUT) {
			ssize_t sent = send_some(f);

			if (sent > 0) {
				f->out += sent;
				__atomic_fetch_add(&progress, sent,
						   __ATOMIC_RELAXED);
				last = now;
			} else if (!again()) {
				end_flow(f, ERROR, "send: %s at %" PRIu64,
					 strerror(errno), f->out);
				return false;
			}
		}
	}
	return true;
}

/* All of @len bytes, or a verdict. */
static bool io_all(struct flow *f, void *data, size_t len, bool out)
{
	uint64_t start = now_ms();
	uint8_t *p = data;

	while (len) {
		struct pollfd pfd = {
			.fd = f->fd, .events = out ? POLLOUT : POLLIN,
		};
		ssize_t n;

		if (!poll(&pfd, 1, 200)) {
			if (now_ms() - start < opt.timeout * 1000)
				continue;
			end_flow(f, STALLED, "stalled in the %s",
				 out ? "request" : "answer");
			return false;
		}
		n = out ? send(f->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT) :
			  recv(f->fd, p, len, MSG_DONTWAIT);
		if (!n) {
			end_flow(f, ERROR, "end of file");
			return false;
		}
		if (n < 0 && again())
			continue;
		if (n < 0) {
			end_flow(f, ERROR, "%s: %s", out ? "send" : "recv",
				 strerror(errno));
			return false;
		}
		p += n;
		len -= n;
	}
	if (now_ms() - start > f->gap_ms)
		f->gap_ms = now_ms() - start;
	return true;
}

/* One request and its answer; the streams go on for as long as it takes. */
static bool probe_once(struct flow *f)
{
	pattern(f->seed_out, f->out, f->buf, f->probe);
	if (!io_all(f, f->buf, f->probe, true))
		return false;
	f->out += f->probe;
	if (!io_all(f, f->buf, f->probe, false))
		return false;
	f->in_len = f->in + f->probe;
	if (!verify(f, f->buf, f->probe))
		return false;
	f->probes++;
	return true;
}

static bool probe_server(struct flow *f)
{
	for (;;) {
		struct pollfd p = { .fd = f->fd, .events = POLLIN };
		ssize_t n;

		poll(&p, 1, -1);
		n = recv(f->fd, f->buf, 1, MSG_PEEK);
		if (!n)
			return true;
		if (n < 0) {
			end_flow(f, ERROR, "recv: %s", strerror(errno));
			return false;
		}
		if (!io_all(f, f->buf, f->probe, false))
			return false;
		f->in_len = f->in + f->probe;
		if (!verify(f, f->buf, f->probe))
			return false;
		pattern(f->seed_out, f->out, f->buf, f->probe);
		if (!io_all(f, f->buf, f->probe, true))
			return false;
		f->out += f->probe;
		f->probes++;
	}
}

/* Wait for the next request's time, a SIGUSR1, or the end. false: end. */
static bool probe_wait(struct flow *f, uint64_t started)
{
	uint64_t due = now_ms() + opt.interval;
	int seen = kicked;

	while (now_ms() < due && seen == kicked) {
		uint64_t left = due - now_ms();
		struct pollfd p = { .fd = f->fd, .events = POLLIN };

		if (stopping || (opt.seconds &&
				 now_ms() - started > opt.seconds * 1000))
			return false;
		/* the server says nothing unasked: this is the end of it */
		if (poll(&p, 1, left < 100 ? left : 100) > 0)
			return true;
	}
	return !stopping;
}

static void account(struct flow *f)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (f->fd >= 0 && !getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &info, &len)) {
		f->retrans = info.tcpi_total_retrans;
		f->syn_data = info.tcpi_options & TCPI_OPT_SYN_DATA;
	}
	pthread_mutex_lock(&lock);
	total.flows++;
	total.running--;
	total.verdict[f->verdict]++;
	total.in += f->in;
	total.out += f->out;
	if (f->gap_ms > total.gap_ms)
		total.gap_ms = f->gap_ms;
	if (f->connect_ms > total.connect_ms)
		total.connect_ms = f->connect_ms;
	total.marks += f->marks;
	total.marks_wrong += f->marks_wrong;
	total.probes += f->probes;
	total.retrans += f->retrans;
	total.syn_data += f->syn_data;
	/* the worst is what a reader wants to see */
	if (f->verdict == CORRUPT || (f->verdict != EXACT && !total.why[0]))
		memcpy(total.why, f->why, sizeof(total.why));
	if (f->verdict != EXACT)
		fprintf(stderr, "tcp_pat: flow %u: %s\n", total.flows, f->why);
	pthread_mutex_unlock(&lock);
}

static void report(const char *path)
{
	pthread_mutex_lock(&lock);
	result_write(path,
		     "{\"flows\":%u,\"running\":%u,\"exact\":%u,\"error\":%u,"
		     "\"stalled\":%u,\"corrupt\":%u,\"in\":%" PRIu64
		     ",\"out\":%" PRIu64 ",\"gap_ms\":%" PRIu64
		     ",\"connect_ms\":%" PRIu64 ",\"retrans\":%" PRIu64
		     ",\"syn_data\":%u,\"probes\":%" PRIu64 ",\"marks\":%" PRIu64
		     ",\"marks_wrong\":%" PRIu64 ",\"why\":\"%s\"}\n",
		     total.flows, total.running, total.verdict[EXACT],
		     total.verdict[ERROR], total.verdict[STALLED],
		     total.verdict[CORRUPT], total.in, total.out, total.gap_ms,
		     total.connect_ms, total.retrans, total.syn_data,
		     total.probes, total.marks, total.marks_wrong, total.why);
	pthread_mutex_unlock(&lock);
}

static void nodelay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* What -R and -A ask for, on both ends */
static void set_end(int fd)
{
	struct linger linger = { .l_onoff = 1 };
	int one = 1, idle = 5, interval = 1;

	if (opt.reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	if (!opt.alive)
		return;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &opt.alive, sizeof(opt.alive));
}

static void set_md5(int fd, const char *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *ai;
	struct tcp_md5sig md5 = { .tcpm_keylen = strlen(opt.md5) };

	if (getaddrinfo(address, NULL, &hints, &ai))
		errx(1, "%s: not an address", address);
	memcpy(&md5.tcpm_addr, ai->ai_addr, ai->ai_addrlen);
	memcpy(md5.tcpm_key, opt.md5, md5.tcpm_keylen);
	if (setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &md5, sizeof(md5)))
		err(4, "TCP_MD5SIG");
	freeaddrinfo(ai);
}

static bool read_header(struct flow *f)
{
	struct header h;
	char go = 'g';

	if (!io_all(f, &h, sizeof(h), false))
		return false;
	if (memcmp(h.magic, MAGIC, 8) || memcmp(h.marker, MARKER, MARKER_LEN)) {
		const uint8_t *b = (void *)&h;

		end_flow(f, CORRUPT, "header %02x %02x %02x %02x %02x %02x",
			 b[0], b[1], b[2], b[3], b[4], b[5]);
		return false;
	}
	f->seed_in = be64toh(h.seed);
	f->seed_out = ~f->seed_in;
	f->in_len = be64toh(h.up);
	f->out_len = be64toh(h.down);
	f->chunk = be32toh(h.chunk);
	f->probe = be32toh(h.probe);
	f->urg_in = be32toh(h.urg);
	if (f->urg_in) {
		int one = 1;

		setsockopt(f->fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	}
	if (be32toh(h.early))
		return true;
	return io_all(f, &go, 1, true);
}

static void *serve(void *arg)
{
	struct flow *f = arg;
	struct trailer t = { .magic = MAGIC };

	nodelay(f->fd);
	set_end(f->fd);
	f->verdict = EXACT;
	if (!read_header(f))
		goto out;
	if (f->probe) {
		if (!probe_server(f))
			goto out;
	} else if (!pump(f)) {
		goto out;
	}
	t.bytes = htobe64(f->in);
	io_all(f, &t, sizeof(t), true);
out:
	account(f);
	close(f->fd);
	free(f);
	return NULL;
}

static int listen_on(int family)
{
	struct addrinfo hints = {
		.ai_family = family, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST,
	}, *ai;
	int fd, one = 1, qlen = 64;

	if (getaddrinfo(opt.bind, opt.port, &hints, &ai))
		return -1;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC,
		    opt.mptcp ? IPPROTO_MPTCP : 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (opt.transparent &&
	    setsockopt(fd, family == AF_INET6 ? SOL_IPV6 : SOL_IP,
		       family == AF_INET6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
		       &one, sizeof(one)))
		err(4, "IP_TRANSPARENT");
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (opt.mss)
		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &opt.mss, sizeof(int));
	if (opt.fastopen)
		setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &qlen, sizeof(qlen));
	if (opt.pace)		/* its connections inherit it */
		setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &opt.pace,
			   sizeof(opt.pace));
	if (opt.md5)
		set_md5(fd, opt.peer);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 256))
		err(1, "port %s", opt.port);
	freeaddrinfo(ai);
	return fd;
}

static void on_stop(int sig)
{
	if (sig == SIGUSR1)
		kicked++;
	else
		stopping = 1;
}

static int server(void)
{
	bool md5_v6 = opt.peer && strchr(opt.peer, ':');
	struct pollfd p[2] = {
		{ .fd = -1, .events = POLLIN }, { .fd = -1, .events = POLLIN },
	};
	pthread_t thread;
	unsigned int i;

	if (!opt.bind || !strchr(opt.bind, ':'))
		if (!md5_v6)
			p[0].fd = listen_on(AF_INET);
	if (!opt.bind || strchr(opt.bind, ':'))
		if (!opt.md5 || md5_v6)
			p[1].fd = listen_on(AF_INET6);
	if (p[0].fd < 0 && p[1].fd < 0)
		errx(1, "cannot listen on port %s", opt.port);
	background_ready(opt.pidfile);

	while (!stopping) {
		if (poll(p, 2, 200) <= 0)
			continue;
		for (i = 0; i < 2; i++) {
			struct flow *f;
			int fd;

			if (!(p[i].revents & POLLIN))
				continue;
			fd = accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			f = calloc(1, sizeof(*f));
			if (!f)
				err(1, "flow");
			f->fd = fd;
			f->file = -1;
			pthread_mutex_lock(&lock);
			total.running++;
			pthread_mutex_unlock(&lock);
			/* the flow may be gone before this returns */
			if (pthread_create(&thread, NULL, serve, f))
				err(1, "thread");
			pthread_detach(thread);
		}
	}
	/* flows that end just now are still counted */
	for (i = 0; i < 20 && __atomic_load_n(&total.running, __ATOMIC_RELAXED); i++)
		usleep(50000);
	report(opt.result);
	return 0;
}

static bool open_source(struct flow *f)
{
	int one = 1;

	f->file = -1;
	switch (f->mode) {
	case MODE_SENDFILE:
	case MODE_SPLICE:
		f->file = open(opt.file, O_RDONLY | O_CLOEXEC);
		if (f->file < 0)
			err(1, "%s", opt.file);
		if (f->mode == MODE_SPLICE && pipe2(f->pipe, O_CLOEXEC))
			err(1, "pipe");
		return true;
	case MODE_ZEROCOPY:
		if (setsockopt(f->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
			err(4, "SO_ZEROCOPY");
		/* pages of a file where there is one: the page cache goes out */
		if (opt.file) {
			f->file = open(opt.file, O_RDONLY | O_CLOEXEC);
			f->pages = mmap(NULL, f->out_len, PROT_READ, MAP_SHARED,
					f->file, 0);
		} else {
			f->pages = mmap(NULL, f->out_len, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		}
		if (f->pages == MAP_FAILED)
			err(1, "mmap");
		if (!opt.file)
			pattern(f->seed_out, 0, f->pages, f->out_len);
		return true;
	default:
		return true;
	}
}

/* The pages of a zero-copy send must be what they were, and all returned. */
static void check_pages(struct flow *f)
{
	uint64_t start = now_ms(), pos;

	while (f->zc_done != f->zc_sent && now_ms() - start < 5000) {
		struct pollfd p = { .fd = f->fd };

		poll(&p, 1, 100);
		reap_zerocopy(f);
	}
	if (f->zc_done != f->zc_sent) {
		end_flow(f, ERROR, "%u of %u zero-copy sends completed",
			 f->zc_done, f->zc_sent);
		return;
	}
	for (pos = 0; pos < f->out_len; pos += BUF) {
		size_t n = f->out_len - pos < BUF ? f->out_len - pos : BUF;

		pattern(f->seed_out, pos, f->want, n);
		if (memcmp(f->want, f->pages + pos, n)) {
			end_flow(f, CORRUPT, "sent pages changed after %" PRIu64,
				 pos);
			return;
		}
	}
}

static bool connect_flow(struct flow *f)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST,
	}, *ai;
	uint64_t start = now_ms();
	int one = 1, error = 0;
	socklen_t len = sizeof(error);
	struct pollfd p;

	if (getaddrinfo(opt.address, opt.port, &hints, &ai))
		errx(1, "%s port %s: no such address", opt.address, opt.port);
	f->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       opt.mptcp ? IPPROTO_MPTCP : 0);
	if (f->fd < 0)
		err(1, "socket");
	nodelay(f->fd);
	set_end(f->fd);
	if (opt.dev && setsockopt(f->fd, SOL_SOCKET, SO_BINDTODEVICE, opt.dev,
				  strlen(opt.dev)))
		err(1, "%s", opt.dev);
	if (opt.bind) {
		struct addrinfo *local;

		if (getaddrinfo(opt.bind, NULL, &hints, &local))
			errx(1, "%s: not an address", opt.bind);
		if (bind(f->fd, local->ai_addr, local->ai_addrlen))
			err(1, "bind %s", opt.bind);
		freeaddrinfo(local);
	}
	if (opt.pace)
		setsockopt(f->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &opt.pace,
			   sizeof(opt.pace));
	if (opt.sndbuf)
		setsockopt(f->fd, SOL_SOCKET, SO_SNDBUF, &opt.sndbuf,
			   sizeof(opt.sndbuf));
	if (opt.mss)
		setsockopt(f->fd, IPPROTO_TCP, TCP_MAXSEG, &opt.mss, sizeof(int));
	if (opt.md5)
		set_md5(f->fd, opt.address);
	if (opt.fastopen)
		setsockopt(f->fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one,
			   sizeof(one));
	if (connect(f->fd, ai->ai_addr, ai->ai_addrlen) && errno != EINPROGRESS)
		error = errno;
	freeaddrinfo(ai);
	if (opt.fastopen && !error)
		return true;
	p = (struct pollfd){ .fd = f->fd, .events = POLLOUT };
	while (!error && poll(&p, 1, 100) <= 0) {
		if (now_ms() - start > opt.timeout * 1000 || stopping)
			error = ETIMEDOUT;
	}
	f->connect_ms = now_ms() - start;
	if (!error)
		getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		end_flow(f, ERROR, "connect: %s after %" PRIu64 " ms",
			 strerror(error), f->connect_ms);
		return false;
	}
	return true;
}

static bool write_header(struct flow *f)
{
	struct header h = {
		.magic = MAGIC, .seed = htobe64(f->seed_out),
		.up = htobe64(f->out_len), .down = htobe64(f->in_len),
		.chunk = htobe32(f->chunk), .probe = htobe32(f->probe),
		.urg = htobe32(f->mode == MODE_URG),
		.early = htobe32(opt.fastopen), .marker = MARKER,
	};
	char go;

	if (opt.fastopen) {
		/* as much as a SYN may want to carry */
		uint8_t first[4096];
		size_t n = f->out_len < sizeof(first) - sizeof(h) ?
			   f->out_len : sizeof(first) - sizeof(h);

		memcpy(first, &h, sizeof(h));
		pattern(f->seed_out, 0, first + sizeof(h), n);
		if (!io_all(f, first, sizeof(h) + n, true))
			return false;
		f->out += n;
		return true;
	}
	/* the answer keeps the header out of the payload's segments */
	return io_all(f, &h, sizeof(h), true) && io_all(f, &go, 1, false);
}

static bool client_stream(struct flow *f)
{
	uint64_t started = now_ms();
	struct trailer t;
	char more;

	if (f->probe) {
		do {
			if (!probe_once(f))
				return false;
		} while (probe_wait(f, started));
		shutdown(f->fd, SHUT_WR);
	} else if (!pump(f)) {
		return false;
	}
	if (!io_all(f, &t, sizeof(t), false))
		return false;
	if (memcmp(t.magic, MAGIC, 8)) {
		end_flow(f, CORRUPT, "trailer is not one");
		return false;
	}
	if (be64toh(t.bytes) != f->out) {
		end_flow(f, CORRUPT, "the server counts %" PRIu64 " of %" PRIu64,
			 (uint64_t)be64toh(t.bytes), f->out);
		return false;
	}
	if (io_all(f, &more, 1, false)) {
		end_flow(f, CORRUPT, "bytes after the trailer");
		return false;
	}
	/* end of file is what must come; an error there is an error */
	if (strcmp(f->why, "end of file"))
		return false;
	f->verdict = EXACT;
	f->why[0] = '\0';
	return true;
}

static void *client_flow(void *arg)
{
	struct flow *f = arg;

	f->verdict = EXACT;
	if (connect_flow(f) && open_source(f) && write_header(f))
		client_stream(f);
	if (f->pages && f->verdict != CORRUPT && f->verdict != STALLED)
		check_pages(f);
	account(f);
	if (f->fd >= 0)
		close(f->fd);
	return NULL;
}

static int client(void)
{
	struct flow *flows = calloc(opt.flows, sizeof(*flows));
	unsigned int i;

	if (!flows)
		err(1, "flows");
	if ((opt.mode == MODE_SENDFILE || opt.mode == MODE_SPLICE) && !opt.file)
		errx(2, "that mode wants -f FILE");
	total.running = opt.flows;
	background_ready(opt.pidfile);
	for (i = 0; i < opt.flows; i++) {
		struct flow *f = &flows[i];

		f->fd = -1;
		f->is_client = true;
		/* a file is one stream: all flows send the same */
		f->seed_out = opt.file ? opt.seed : opt.seed + i * 1000003ULL;
		f->seed_in = ~f->seed_out;
		f->out_len = opt.up;
		f->in_len = opt.down;
		f->chunk = opt.chunk;
		f->mode = opt.mode;
		f->probe = opt.interval ? opt.size : 0;
		if (pthread_create(&f->thread, NULL, client_flow, f))
			err(1, "thread");
	}
	while (__atomic_load_n(&total.running, __ATOMIC_RELAXED)) {
		usleep(50000);
		if (opt.status)
			result_write(opt.status, "%" PRIu64 "\n",
				     __atomic_load_n(&progress, __ATOMIC_RELAXED));
	}
	for (i = 0; i < opt.flows; i++)
		pthread_join(flows[i].thread, NULL);
	report(opt.result);
	if (total.verdict[CORRUPT])
		return 2;
	return total.verdict[EXACT] == opt.flows ? 0 : 1;
}

static int make_file(const char *path, uint64_t len)
{
	static uint8_t buf[BUF];
	FILE *file = fopen(path, "w");
	uint64_t pos;

	if (!file)
		err(1, "%s", path);
	for (pos = 0; pos < len; pos += BUF) {
		size_t n = len - pos < BUF ? len - pos : BUF;

		pattern(opt.seed, pos, buf, n);
		if (fwrite(buf, 1, n, file) != n)
			err(1, "%s", path);
	}
	if (fclose(file))
		err(1, "%s", path);
	return 0;
}

static int usage(void)
{
	fputs("Usage: tcp_pat server [OPTIONS]\n"
	      "       tcp_pat client ADDRESS [OPTIONS]\n"
	      "       tcp_pat file FILE BYTES [-s SEED]   a file for sendfile and splice\n"
	      "  -p PORT      5001                  -b ADDRESS  bind\n"
	      "  -I DEVICE    bind, of a client\n"
	      "  -n FLOWS     1                     -s SEED\n"
	      "  -u BYTES     client to server      -d BYTES    server to client\n"
	      "  -m MODE      write sendfile splice zerocopy urg (of the client)\n"
	      "  -f FILE      what sendfile, splice, zerocopy send\n"
	      "  -w BYTES     a write               -r BYTES    a second, SO_MAX_PACING_RATE\n"
	      "  -i MS        requests and answers of -z BYTES this far apart, until\n"
	      "               SIGTERM or -t SEC; SIGUSR1 asks at once\n"
	      "  -T SEC       without progress is a stall (60)\n"
	      "  -B BYTES     SO_SNDBUF             -M BYTES    TCP_MAXSEG\n"
	      "  -F           TCP fast open         -R          close by RST\n"
	      "  -A COUNT     keepalives: after 5 s, one a second, so many\n"
	      "  -k KEY       TCP-MD5; a server wants -P PEER\n"
	      "  -X WHAT      mptcp; transparent (a server, for TPROXY)\n"
	      "  -D           to the background     -q PIDFILE\n"
	      "  -o FILE      result, JSON          -S FILE     bytes moved so far\n",
	      stderr);
	return 2;
}

static enum mode parse_mode(const char *name)
{
	int i;

	for (i = 0; mode_names[i]; i++) {
		if (!strcmp(name, mode_names[i]))
			return i;
	}
	errx(2, "mode %s?", name);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	struct sigaction stop = { .sa_handler = on_stop };
	int c;

	optind = 2;
	while ((c = getopt(argc, argv, "p:b:I:n:s:u:d:m:f:w:r:i:z:t:T:B:M:FRA:k:P:X:Dq:o:S:")) >= 0) {
		switch (c) {
		case 'p': opt.port = optarg; break;
		case 'b': opt.bind = optarg; break;
		case 'I': opt.dev = optarg; break;
		case 'n': opt.flows = atoi(optarg); break;
		case 's': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'u': opt.up = strtoull(optarg, NULL, 0); break;
		case 'd': opt.down = strtoull(optarg, NULL, 0); break;
		case 'm': opt.mode = parse_mode(optarg); break;
		case 'f': opt.file = optarg; break;
		case 'w': opt.chunk = atoi(optarg); break;
		case 'r': opt.pace = atoi(optarg); break;
		case 'i': opt.interval = atoi(optarg); break;
		case 'z': opt.size = atoi(optarg); break;
		case 't': opt.seconds = atoi(optarg); break;
		case 'T': opt.timeout = atoi(optarg); break;
		case 'B': opt.sndbuf = atoi(optarg); break;
		case 'M': opt.mss = atoi(optarg); break;
		case 'F': opt.fastopen = true; break;
		case 'R': opt.reset = true; break;
		case 'A': opt.alive = atoi(optarg); break;
		case 'k': opt.md5 = optarg; break;
		case 'P': opt.peer = optarg; break;
		case 'X':
			opt.mptcp = !strcmp(optarg, "mptcp");
			opt.transparent = !strcmp(optarg, "transparent");
			if (!opt.mptcp && !opt.transparent)
				return usage();
			break;
		case 'D': opt.background = true; break;
		case 'q': opt.pidfile = optarg; break;
		case 'o': opt.result = optarg; break;
		case 'S': opt.status = optarg; break;
		default: return usage();
		}
	}
	if (opt.size > BUF || !opt.size || !opt.chunk)
		errx(2, "a size is out of range");
	if (opt.md5 && !strcmp(verb, "server") && !opt.peer)
		errx(2, "-k wants -P PEER at a server");
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGUSR1, &stop, NULL);

	if (!strcmp(verb, "file") && argc >= optind + 2)
		return make_file(argv[optind], strtoull(argv[optind + 1], NULL, 0));
	if (!strcmp(verb, "client") && argc == optind + 1)
		opt.address = argv[optind];
	else if (strcmp(verb, "server") || argc != optind)
		return usage();
	if (opt.background)
		background_start();
	return opt.address ? client() : server();
}
