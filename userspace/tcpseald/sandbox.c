// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the daemon can still ask of the kernel once it has started. Whoever
 * makes it run code of his own has its memory and its sockets, but starts no
 * program, makes no thread, maps nothing executable, traces nobody, and gets
 * no kind of socket that the daemon does not use. Anything else ends the
 * process, and the kernel logs which call it was.
 *
 * By libseccomp, which knows the numbers of each architecture.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <seccomp.h>

#include "tcpseald.h"

static const char *const allowed[] = {
	/* files: the configuration, certificates, state */
	"access", "close", "dup", "dup3", "faccessat", "faccessat2", "fcntl",
	"fdatasync", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd",
	"getdents64", "lseek", "lstat", "mkdir", "mkdirat",
	"newfstatat", "open", "openat", "pread64", "pwrite64", "read",
	"readlink", "readlinkat", "readv", "rename", "renameat", "renameat2",
	"stat", "statx", "umask", "unlink", "unlinkat", "write", "writev",
	/* sockets; socket(2) itself is below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname",
	"getsockopt", "listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg",
	"sendmsg", "sendto", "setsockopt", "shutdown",
	/* waiting */
	"clock_nanosleep", "epoll_create1", "epoll_ctl", "epoll_pwait",
	"epoll_pwait2", "epoll_wait", "eventfd2", "futex", "nanosleep",
	"pipe2", "poll", "ppoll", "pselect6", "restart_syscall", "sched_yield",
	"select", "timerfd_create", "timerfd_gettime", "timerfd_settime",
	/* memory; mmap(2) and mprotect(2) are below */
	"brk", "madvise", "mremap", "munmap",
	/* signals, and the end */
	"exit", "exit_group", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sigaltstack", "tgkill",
	/* who, when, how much */
	"clock_getres", "clock_gettime", "getegid", "geteuid", "getgid",
	"getpid", "getppid", "getrandom", "getrlimit", "getrusage", "gettid",
	"gettimeofday", "getuid", "rseq", "sched_getaffinity",
	"set_robust_list", "sysinfo", "time", "uname",
};

static const int families[] = { AF_INET, AF_INET6, AF_NETLINK, AF_UNIX };

/*
 * Of sockets that do not wait; of stdio, which asks for a terminal; and names
 * of devices, which links have.
 */
static const unsigned int ioctls[] = {
	FIONBIO, FIONREAD, TCGETS, SIOCGIFINDEX, SIOCGIFNAME,
};

/* A call that one architecture lacks is no error: nobody can make it there */
static int allow(scmp_filter_ctx filter, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);

	if (call == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
}

static int allow_some(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp data =
		SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp reads = SCMP_A2(SCMP_CMP_EQ, 0);
	struct scmp_arg_cmp which;
	int ret;
	size_t i;

	ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				     &data);
	if (!ret)
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					     SCMP_SYS(mprotect), 1, &data);
	/* limits are asked for, not set */
	if (!ret)
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					     SCMP_SYS(prlimit64), 1, &reads);
	for (i = 0; !ret && i < sizeof(families) / sizeof(*families); i++) {
		which = SCMP_A0(SCMP_CMP_EQ, families[i]);
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					     SCMP_SYS(socket), 1, &which);
	}
	for (i = 0; !ret && i < sizeof(ioctls) / sizeof(*ioctls); i++) {
		which = SCMP_A1(SCMP_CMP_EQ, ioctls[i]);
		ret = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					     SCMP_SYS(ioctl), 1, &which);
	}
	return ret;
}

static int allow_all(scmp_filter_ctx filter)
{
	int ret = allow_some(filter);
	size_t i;

	for (i = 0; !ret && i < sizeof(allowed) / sizeof(*allowed); i++)
		ret = allow(filter, allowed[i]);
	return ret;
}

/*
 * For all threads, and there are no more after this. A kernel that cannot do
 * it is no reason to seal nothing, but is said.
 */
void sandbox_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int ret = filter ? 0 : -ENOMEM;

	if (!ret)
		ret = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!ret)
		ret = allow_all(filter);
	if (!ret)
		ret = seccomp_load(filter);
	seccomp_release(filter);
	if (ret)
		log_warn("system calls are not filtered: %s", strerror(-ret));
}
