// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseald - negotiates the keys that tcpseal.ko seals with.
 *
 * Concurrency. One thread runs the event loop and owns almost everything:
 * the table of pairs and their timers (pairs.c, attempt.c), the sticky
 * memory, the netlink handle `kernel` and the socket of its events (kernel.c),
 * the listener and the connections that have not said anything yet
 * (listen.c), and connections on their way out (dial.c). None of it is locked.
 *
 * Public-key cryptography takes milliseconds, and a peer may take seconds to
 * answer. So a connected socket with something to read is given, as a struct
 * session, to a small pool of threads (worker.c). A worker brings it as far as
 * it can (session.c), and back to the loop through a queue and an eventfd:
 * where the peer has to answer the loop waits for that, with one deadline for
 * the whole handshake; when it is over the loop decides what follows. What a
 * session needs it brings along: counted references to the setup
 * (configuration and identity) and to the list of links, both never changed
 * once they are made but replaced by the loop, and a netlink handle of its
 * own. It belongs to one thread at a time. The keys are in its memory alone
 * and in the message to the kernel, and both are wiped.
 *
 * Shared between workers are the queues of the pool, the list of handshakes
 * that run (flight.c), and the number of the next generation; each has its
 * lock, none is held while another is taken or anything is waited for.
 *
 * One more thread, where the configuration says so, answers those who ask for
 * metrics (metrics.c). All that it shares are counters, which are atomic.
 *
 * Signals are the loop's: other threads block all of them. SIGHUP reads the file
 * and the certificates anew, SIGTERM and SIGINT end the daemon. The keys stay
 * in the kernel then, and the next daemon finds them there.
 *
 * Any number of threads of this program may die with it at any point: every
 * step between two hosts is safe to leave undone (session.c says why), and
 * the kernel goes on to seal, and to refuse, by itself.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "tcpseald.h"

#define WORKERS_MIN	16
#define WORKERS_MAX	64
#define FILES_WANTED	65536

struct event_base *loop;

static const char *conf_file = TCPSEAL_CONF_FILE;
static struct event *on_term, *on_int, *on_hup;

const char *conf_path(void)
{
	static char path[PATH_MAX];

	return realpath(conf_file, path) ? path : conf_file;
}

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

uint32_t random_u32(void)
{
	uint32_t v;

	if (RAND_bytes((unsigned char *)&v, sizeof(v)) != 1)
		abort();
	return v;
}

uint64_t jitter(uint64_t value)
{
	uint64_t quarter = value / 4;

	return value - quarter + (quarter ? random_u32() % (2 * quarter) : 0);
}

struct timeval ms_timeval(uint64_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000,
				 .tv_usec = ms % 1000 * 1000 };
}

static void want_files(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files) &&
	    files.rlim_cur < FILES_WANTED) {
		files.rlim_cur = files.rlim_max < FILES_WANTED ?
				 files.rlim_max : FILES_WANTED;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static void end_loop(evutil_socket_t sig, short what, void *data)
{
	(void)what, (void)data;
	log_info("%s: ending; keys stay in the kernel", strsignal(sig));
	event_base_loopbreak(loop);
}

static void reload(evutil_socket_t sig, short what, void *data)
{
	(void)sig, (void)what, (void)data;
	notify_reloading();
	setup_reload(conf_file);
	notify("READY=1");
}

static int watch_signals(void)
{
	on_term = evsignal_new(loop, SIGTERM, end_loop, NULL);
	on_int = evsignal_new(loop, SIGINT, end_loop, NULL);
	on_hup = evsignal_new(loop, SIGHUP, reload, NULL);
	if (!on_term || !on_int || !on_hup || evsignal_add(on_term, NULL) ||
	    evsignal_add(on_int, NULL) || evsignal_add(on_hup, NULL))
		return -ENOMEM;
	return 0;
}

static void session_over(struct session *session)
{
	if (session->client) {
		dial_done(session);
		return;
	}
	listen_done(session);
	/* A thread is free */
	attempt_next();
}

static int start_workers(void)
{
	unsigned int n = setup_now->conf->workers;
	sigset_t all, before;
	int ret;

	if (!n) {
		n = 2 * sysconf(_SC_NPROCESSORS_ONLN);
		n = n < WORKERS_MIN ? WORKERS_MIN :
		    n > WORKERS_MAX ? WORKERS_MAX : n;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = worker_start(n, session_over);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

/* In the order of dependence; what fails has said so in error or the log */
static int start(char *error, size_t size)
{
	int ret;

	snprintf(error, size, "out of memory");
	setup_now = setup_read(conf_file, error, size);
	if (!setup_now)
		return -EINVAL;
	log_set_level(setup_now->conf->log_level);
	keylog_warn(setup_now->conf);
	metrics_identity(setup_now);
	loop = event_base_new();
	if (!loop || pairs_init() || watch_signals())
		return -ENOMEM;
	ret = kernel_open(error, size);
	if (!ret)
		ret = trial_start(error, size);
	if (ret)
		return ret;
	snprintf(error, size, "the state in %s cannot be used",
		 setup_now->conf->state);
	ret = sticky_load();
	if (ret)
		return ret;
	sticky_restore();
	snprintf(error, size, "threads cannot be started");
	ret = start_workers();
	if (!ret)
		ret = listen_start(error, size);
	if (!ret)
		ret = kernel_start();
	if (!ret) {
		metrics_start();
		control_start();
	}
	return ret;
}

static void stop(void)
{
	control_stop();
	metrics_stop();
	worker_stop();
	listen_stop();
	if (setup_now && loop)
		sticky_stop();
	kernel_close();
}

static void usage(FILE *to)
{
	fprintf(to, "Usage: tcpseald [-c FILE] [-t | -g]\n"
		    "  -c FILE  configuration, " TCPSEAL_CONF_FILE " by default\n"
		    "  -t       check the configuration and the certificates, and end\n"
		    "  -g       print the rules of its guard (tcpseal-guard), and end\n");
}

static int check_only(void)
{
	char error[512];

	setup_now = setup_read(conf_file, error, sizeof(error));
	if (setup_now)
		return EXIT_SUCCESS;
	log_error("%s", error);
	return EXIT_FAILURE;
}

static int guard_only(void)
{
	char error[512];
	struct conf *conf = conf_read(conf_file, error, sizeof(error));
	int ret;

	if (!conf) {
		log_error("%s", error);
		return EXIT_FAILURE;
	}
	ret = guard_print(conf);
	conf_free(conf);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	bool check = false, guard = false;
	char error[512];
	int c;

	while ((c = getopt(argc, argv, "c:tgh")) != -1) {
		switch (c) {
		case 'c':
			conf_file = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'g':
			guard = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc || (check && guard)) {
		usage(stderr);
		return 2;
	}
	if (check)
		return check_only();
	if (guard)
		return guard_only();
	signal(SIGPIPE, SIG_IGN);
	want_files();
	if (memory_discreet()) {
		log_error("OpenSSL was in use before it could be told to wipe");
		return EXIT_FAILURE;
	}
	if (start(error, sizeof(error))) {
		log_error("%s", error);
		stop();
		return EXIT_FAILURE;
	}
	sas_adopt();
	sticky_greet();
	kernel_poll_wants();
	sandbox_enter();
	log_info("ready, %zu links from %s, %u threads",
		 setup_now->conf->links_n, conf_file, worker_threads());
	notify("READY=1\nSTATUS=%zu links from %s", setup_now->conf->links_n,
	       conf_file);
	event_base_dispatch(loop);
	notify("STOPPING=1");
	trial_stop();
	stop();
	return EXIT_SUCCESS;
}
