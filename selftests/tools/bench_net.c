// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench_net - how many instructions a byte, a transaction or a connection costs
 *
 * Both ends run here, each in its namespace, on one processor of a machine that
 * counts (spin.h).
 *
 * Each run measures a small and a large amount; the value is the slope, so that
 * set-up does not count. With -w the clock is the wall's, and nothing spins; the
 * ends may then be on other machines.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/tls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "spin.h"

#ifndef TCP_ULP
#define TCP_ULP			31
#endif
#ifndef SOL_TLS
#define SOL_TLS			282
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD	4
#endif

#define WRITE_SIZE		65536
#define READ_SIZE		262144
/* what is left over is done, delayed ACKs and timers have fired */
#define SETTLE_NS		100000000L
/* instructions, on average, from sample to sample */
#define PROFILE_PERIOD		20000
/* two runs whose difference is a smaller part of them */
#define AGREED			0.005

enum test { BULK, RR, CONNECT };

static const char *const test_names[] = { "bulk", "rr", "connect" };

static struct {
	enum test test;
	unsigned int flows;
	unsigned int size;
	unsigned int runs;
	uint64_t amount[2];
	bool ktls;
	bool wall;
	const char *where[2];		/* NS, or @HOST */
	const char *there;		/* where @HOST has this program */
	int end;			/* that we are, or -1 */
	const char *profile;
	const char *address;
	const char *port;
} cfg = {
	.flows = 1, .runs = 6, .end = -1, .port = "5201",
	.amount = { 8 << 20, 40 << 20 },
};

static struct {
	volatile uint64_t idle;
} *shared;

static char buffer[READ_SIZE];

static uint64_t now(void)
{
	struct timespec ts;

	if (!cfg.wall)
		return __rdtsc();
	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void settle(void)
{
	const struct timespec ts = { .tv_nsec = SETTLE_NS };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

static void enter(const char *ns)
{
	char path[256];
	int fd;

	if (!ns)
		return;
	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "%s", path);
	close(fd);
}

static struct addrinfo *resolve(bool passive)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV |
			    (passive ? AI_PASSIVE : 0),
	};
	struct addrinfo *ai;
	int ret;

	ret = getaddrinfo(cfg.address, cfg.port, &hints, &ai);
	if (ret)
		errx(1, "%s: %s", cfg.address, gai_strerror(ret));
	return ai;
}

/* The same fixed keys on both ends, in either direction. */
static void ktls_set(int fd, int direction)
{
	struct tls12_crypto_info_aes_gcm_256 info = {
		.info.version = TLS_1_3_VERSION,
		.info.cipher_type = TLS_CIPHER_AES_GCM_256,
		.key = "an example of a key, 32 bytes  ",
		.salt = { 's', 'a', 'l', 't' },
	};

	if (setsockopt(fd, SOL_TLS, direction, &info, sizeof(info)))
		err(1, "kTLS: the kernel refuses AES-256-GCM");
}

static void connection_set(int fd)
{
	int one = 1;

	if (cfg.test == RR &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		err(1, "TCP_NODELAY");
	if (!cfg.ktls)
		return;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		err(1, "kTLS");
	ktls_set(fd, TLS_TX);
	ktls_set(fd, TLS_RX);
	/* decrypts straight into our buffer; kernels before 6.0 lack it */
	setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one, sizeof(one));
}

static void send_all(int fd, size_t len)
{
	ssize_t n;

	while (len) {
		n = send(fd, buffer, len < cfg.size ? len : cfg.size, 0);
		if (n < 0)
			err(1, "send");
		len -= n;
	}
}

/* False at the end of the stream. */
static bool recv_all(int fd, size_t len)
{
	ssize_t n;

	while (len) {
		n = recv(fd, buffer,
			 len < sizeof(buffer) ? len : sizeof(buffer), 0);
		if (n < 0)
			err(1, "recv");
		if (!n)
			return false;
		len -= n;
	}
	return true;
}

/* Until the other end closes. */
static void drain(int fd)
{
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		;
	if (n < 0)
		err(1, "recv");
}

static int listen_on(void)
{
	struct addrinfo *ai = resolve(true);
	int fd, one = 1;

	fd = socket(ai->ai_family, ai->ai_socktype, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 2048))
		err(1, "listen on %s port %s", cfg.address, cfg.port);
	freeaddrinfo(ai);
	return fd;
}

static int accept_one(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		err(1, "accept");
	connection_set(fd);
	return fd;
}

static int connect_one(const struct addrinfo *ai)
{
	int fd, size;

	fd = socket(ai->ai_family, ai->ai_socktype, 0);
	if (fd < 0)
		err(1, "socket");
	if (cfg.flows > 1) {
		/* all together stay far below what TCP may use */
		size = (32 << 20) / cfg.flows;
		if (size < WRITE_SIZE)
			size = WRITE_SIZE;
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	if (connect(fd, ai->ai_addr, ai->ai_addrlen))
		err(1, "connect to %s", cfg.address);
	connection_set(fd);
	return fd;
}

static void watch(int epoll, int fd, uint32_t events, void *ptr)
{
	struct epoll_event event = { .events = events, .data.ptr = ptr };

	if (fcntl(fd, F_SETFL, O_NONBLOCK) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		err(1, "epoll");
}

struct flow {
	int fd;
	uint64_t left;
};

static struct flow *flows;

static ssize_t send_some(const struct flow *f)
{
	return send(f->fd, buffer, f->left < cfg.size ? f->left : cfg.size, 0);
}

static ssize_t recv_some(const struct flow *f)
{
	ssize_t len = recv(f->fd, buffer, sizeof(buffer), 0);

	if (!len)
		errx(1, "the other end closed");
	return len;
}

/* Until every flow has nothing left */
static void move_flows(uint32_t when, ssize_t (*some)(const struct flow *f))
{
	struct epoll_event events[64];
	unsigned int i, left = cfg.flows;
	int epoll = epoll_create1(0), n, k;

	for (i = 0; i < cfg.flows; i++)
		watch(epoll, flows[i].fd, when, &flows[i]);
	while (left) {
		n = epoll_wait(epoll, events, 64, -1);
		for (k = 0; k < n; k++) {
			struct flow *f = events[k].data.ptr;
			ssize_t len = some(f);

			if (len < 0 && errno != EAGAIN)
				err(1, "flow");
			if (len > 0)
				f->left -= len;
			if (f->left)
				continue;
			epoll_ctl(epoll, EPOLL_CTL_DEL, f->fd, NULL);
			left--;
		}
	}
	close(epoll);
}

/*
 * The connections stay from one amount to the next: what it costs to open
 * congestion windows and to size buffers differs from run to run, and belongs
 * to another test.
 */
static void bulk(const struct addrinfo *ai, int listener, uint64_t amount)
{
	static bool connected;
	unsigned int i;

	for (i = 0; i < cfg.flows; i++) {
		if (!connected)
			flows[i].fd = ai ? connect_one(ai) :
					   accept_one(listener);
		flows[i].left = amount / cfg.flows;
	}
	connected = true;
	if (cfg.flows > 1)
		return ai ? move_flows(EPOLLOUT, send_some) :
			    move_flows(EPOLLIN, recv_some);
	if (ai)
		send_all(flows[0].fd, amount);
	else if (!recv_all(flows[0].fd, amount))
		errx(1, "the client has closed");
}

static void client(const struct addrinfo *ai, uint64_t amount)
{
	int fd;

	switch (cfg.test) {
	case BULK:
		bulk(ai, -1, amount);
		break;
	case RR:
		fd = connect_one(ai);
		while (amount--) {
			send_all(fd, cfg.size);
			if (!recv_all(fd, cfg.size))
				errx(1, "the server has closed");
		}
		close(fd);
		break;
	case CONNECT:
		while (amount--) {
			fd = connect_one(ai);
			shutdown(fd, SHUT_WR);
			drain(fd);
			close(fd);
		}
		break;
	}
}

static void server(int listener, uint64_t amount)
{
	int fd;

	switch (cfg.test) {
	case BULK:
		bulk(NULL, listener, amount);
		break;
	case RR:
		fd = accept_one(listener);
		while (recv_all(fd, cfg.size))
			send_all(fd, cfg.size);
		close(fd);
		break;
	case CONNECT:
		while (amount--) {
			fd = accept_one(listener);
			drain(fd);
			close(fd);
		}
		break;
	}
}

/* What this machine's processors did so far, in nanoseconds. */
static uint64_t busy(void)
{
	unsigned long long user, nice, system, idle, iowait, irq, softirq;
	FILE *file = fopen("/proc/stat", "r");
	int n = 0;

	if (file) {
		n = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu",
			   &user, &nice, &system, &idle, &iowait, &irq,
			   &softirq);
		fclose(file);
	}
	if (n != 7)
		errx(1, "/proc/stat");
	return (user + nice + system + irq + softirq) *
	       (1000000000ULL / sysconf(_SC_CLK_TCK));
}

/* One end: told an amount, says when it is through. */
struct end {
	int command;
	int report;
	uint64_t busy;
};

static pid_t child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* Amounts arrive at stdin, our reports leave at stdout. */
static void end_run(bool passive)
{
	struct addrinfo *ai = passive ? NULL : resolve(false);
	int listener = passive ? listen_on() : -1;
	uint64_t amount, report;

	do {
		report = busy();
		if (write(1, &report, sizeof(report)) != sizeof(report))
			err(1, "report");
		if (read(0, &amount, sizeof(amount)) != sizeof(amount))
			exit(0);
		if (passive)
			server(listener, amount);
		else
			client(ai, amount);
	} while (true);
}

/* The same program on another machine, by ssh */
static void end_remote(unsigned int which)
{
	char options[256];

	snprintf(options, sizeof(options),
		 "exec '%s' -E %u -p %s -f %u -s %u %s %s '%s'", cfg.there, which,
		 cfg.port, cfg.flows, cfg.size, cfg.ktls ? "-k" : "",
		 test_names[cfg.test], cfg.address);
	execlp("ssh", "ssh", cfg.where[which] + 1, options, NULL);
	err(1, "ssh");
}

static void end_wait(struct end *end)
{
	if (read(end->report, &end->busy, sizeof(end->busy)) !=
	    sizeof(end->busy))
		exit(1);
}

static void end_start(struct end *end, unsigned int which)
{
	int command[2], report[2];

	if (pipe2(command, O_CLOEXEC) || pipe2(report, O_CLOEXEC))
		err(1, "pipe");
	if (!child()) {
		if (dup2(command[0], 0) < 0 || dup2(report[1], 1) < 0)
			err(1, "dup2");
		close(command[1]);
		close(report[0]);
		if (cfg.where[which] && cfg.where[which][0] == '@')
			end_remote(which);
		enter(cfg.where[which]);
		end_run(which);
	}
	end->command = command[1];
	end->report = report[0];
	close(command[0]);
	close(report[1]);
	end_wait(end);
}

/* Tell tcpseal_bench to sample, or (0) to end. */
static void profile(unsigned int period)
{
	FILE *file;

	if (!cfg.profile)
		return;
	file = fopen(cfg.profile, "w");
	if (!file || fprintf(file, "%u", period) < 0 || fclose(file))
		err(1, "%s", cfg.profile);
}

static uint64_t measure(struct end *ends, uint64_t amount, uint64_t *cpu)
{
	uint64_t start, idle, before[2];
	unsigned int i;

	settle();
	before[0] = ends[0].busy;
	before[1] = ends[1].busy;
	start = now();
	idle = shared->idle;
	for (i = 2; i-- > 0; )
		if (write(ends[i].command, &amount, sizeof(amount)) !=
		    sizeof(amount))
			err(1, "command");
	end_wait(&ends[0]);
	end_wait(&ends[1]);
	*cpu = ends[0].busy - before[0];
	/* namespaces of one machine have the same processors */
	if (cfg.where[1] && cfg.where[1][0] == '@')
		*cpu += ends[1].busy - before[1];
	if (cfg.wall)
		return now() - start;
	settle();
	return now() - start - (shared->idle - idle);
}

static void usage(void)
{
	errx(2, "usage: bench_net [-A NS|@HOST] [-B NS|@HOST] [-X PATH] [-p PORT]\n"
	     "\t[-f FLOWS] [-s SIZE] [-n SMALL] [-N LARGE] [-r RUNS] [-k] [-w] [-P FILE]\n"
	     "\tbulk|rr|connect ADDRESS\n"
	     "ADDRESS is the server's, in B. Runs until two in succession agree, at most\n"
	     "RUNS times; prints their mean and how far they are apart. @HOST: by ssh,\n"
	     "where this program is PATH; -k: kTLS; -w: nanoseconds on the wall's clock,\n"
	     "and the processors'; -P: tcpseal_bench samples one more run, FILE is\n"
	     "its parameter");
}

/* The cost of one unit, by slope. */
static double slope(const uint64_t *cost)
{
	return ((double)cost[1] - cost[0]) / (cfg.amount[1] - cfg.amount[0]);
}

/*
 * Until two runs in succession agree: buffers and windows that are still
 * growing, or a timer at a bad moment, make one that does not.
 */
static void run(struct end *ends)
{
	double value = 0, last = 0, processors = 0, apart = 0;
	uint64_t cost[2], cpu[2];
	unsigned int i, k;

	/* the first fills caches: of routes, of slabs, of congestion windows */
	measure(ends, cfg.amount[1], cpu);
	if (cfg.profile) {
		profile(PROFILE_PERIOD);
		measure(ends, cfg.amount[1], cpu);
		profile(0);
	}
	for (i = 0; i < cfg.runs; i++) {
		for (k = 0; k < 2; k++)
			cost[k] = measure(ends, cfg.amount[k], &cpu[k]);
		last = value;
		value = slope(cost);
		processors = slope(cpu);
		fprintf(stderr, "bench_net: %" PRIu64 " %" PRIu64 " %.4f\n",
			cost[0], cost[1], value);
		if (!i)
			continue;
		apart = (value > last ? value - last : last - value) / value;
		if (apart < AGREED)
			break;
	}
	if (cfg.runs > 1)
		value = (value + last) / 2;
	printf("%.4f %.5f", value, apart);
	if (cfg.wall)
		printf(" %.4f", processors);
	putchar('\n');
}

static void parse(int argc, char **argv)
{
	unsigned int i;
	int opt;

	while ((opt = getopt(argc, argv, "A:B:E:X:P:p:f:s:n:N:r:kw")) != -1) {
		switch (opt) {
		case 'A':
			cfg.where[0] = optarg;
			break;
		case 'B':
			cfg.where[1] = optarg;
			break;
		case 'E':
			cfg.end = atoi(optarg);
			break;
		case 'X':
			cfg.there = optarg;
			break;
		case 'P':
			cfg.profile = optarg;
			break;
		case 'p':
			cfg.port = optarg;
			break;
		case 'f':
			cfg.flows = strtoul(optarg, NULL, 0);
			break;
		case 's':
			cfg.size = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			cfg.amount[0] = strtoull(optarg, NULL, 0);
			break;
		case 'N':
			cfg.amount[1] = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			cfg.runs = strtoul(optarg, NULL, 0);
			break;
		case 'k':
			cfg.ktls = true;
			break;
		case 'w':
			cfg.wall = true;
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2)
		usage();
	for (i = 0; i < 3; i++)
		if (!strcmp(argv[optind], test_names[i]))
			cfg.test = i;
	if (strcmp(argv[optind], test_names[cfg.test]))
		usage();
	cfg.address = argv[optind + 1];
	if (!cfg.size)
		cfg.size = cfg.test == BULK ? WRITE_SIZE : 1;
	if (!cfg.runs || !cfg.flows || cfg.size > sizeof(buffer) ||
	    cfg.amount[1] <= cfg.amount[0])
		usage();
}

int main(int argc, char **argv)
{
	struct end ends[2];

	cfg.there = argv[0];
	parse(argc, argv);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 4096, 4096 });
	memset(buffer, 'x', sizeof(buffer));
	flows = calloc(cfg.flows, sizeof(*flows));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!flows || shared == MAP_FAILED)
		err(1, "memory");
	if (cfg.end >= 0)
		end_run(cfg.end);
	if (!cfg.wall && !child())
		spin(&shared->idle);
	end_start(&ends[1], 1);
	end_start(&ends[0], 0);
	run(ends);
	return 0;
}
