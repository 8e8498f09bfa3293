/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Handshakes, keys and their rotation between two hosts, as the code does it;
 * Documentation/models.rst maps each step to its function. Host 0 has the lower
 * address. Handshake 0 is over: its key is in use at both ends. The others run
 * in any order, also at once: odd ones are opened by host 0, even ones by host 1.
 *
 * -DMUT_... breaks a step on purpose: the run must find out.
 */
#ifdef PROGRESS
#define N 4		/* handshakes, the first one included */
#else
#define N 3
#endif
#ifndef CRASHES
#define CRASHES 1	/* daemons killed, or kernels that lose all keys */
#endif

#ifdef TWICE
#define CLIENT(h)	(TWICE)
#else
#define CLIENT(h)	(1 - (h) % 2)
#endif
#define SERVER(h)	(1 - CLIENT(h))
#define LOWER(h)	(CLIENT(h) == 0)
#define I(x, h)		((x) * N + (h))

/* sessions; the two roles wait for different things */
#define S_NONE		0
#define S_HELLO		1	/* client: HELLO is out */
#define S_PUT		2	/* keys are installed, the peer does not know */
#define S_WAIT		3	/* client: for READY, server: for CONFIRM */
#define S_USED		4	/* asked the kernel to send with the key */
#define S_OK		5
#define S_FAIL		6

/* sending SAs */
#define T_NONE		0
#define T_NEXT		1
#define T_CURRENT	2
#define T_GONE		3

/* receiving SAs */
#define R_NONE		0
#define R_NEXT		1
#define R_CURRENT	2
#define R_DRAINING	3
#define R_GONE		4	/* a tombstone: nothing is opened with it */
#define R_LOST		5	/* with all that its host knew */

/* how a handshake ended */
#define WON		1
#define FAILED		2	/* the peer cannot use its keys */
#define UNKNOWN		3	/* the peer may: CONFIRM is out */

#define say(x, what, h)	printf(what, 65 + (x), h)

/* what flies in a connection */
#define M_CHELLO	1
#define M_SHELLO	2
#define M_CONFIRM	4
#define M_READY		8

byte cs[N], ss[N];		/* sessions: client's, server's end */
byte msg[N];			/* sent, not read; M_ bits */
byte tx[2 * N], rx[2 * N];
byte id[2 * N];			/* order of installation at this host */
bit used[2 * N];		/* rx: opened a record within the last 3 s */
byte timer[2 * N];		/* rx draining: 0 runs, 1 is over, 2 unused */
bit net[2 * N];			/* records of this sender and key fly */
bit held[2 * N];		/* flights: over, wait for a lower one */
bit lost[2 * N];		/* flights: a lower one decides */
byte ids[2];
byte crashes = CRASHES;
bit calm;			/* no fault any more */

hidden byte i, j;
hidden byte yes, end;

/* --- module/sa-life.c --- */

#define openable(x, h)	(rx[I(x, h)] >= R_NEXT && rx[I(x, h)] <= R_DRAINING)

/* tx_install() */
inline tx_install(x, h)
{
	for (i : 0 .. N - 1) {
		if
		:: i != h && (tx[I(x, i)] == T_CURRENT ||
			      (tx[I(x, i)] == T_NEXT && id[I(x, i)] < id[I(x, h)])) ->
			tx[I(x, i)] = T_GONE
		:: else
		fi
	}
	tx[I(x, h)] = T_CURRENT
}

/* tcpseal_sa_activate() */
inline activate(x, h)
{
	if
	:: tx[I(x, h)] == T_NEXT -> tx_install(x, h)
	:: else
	fi
}

/* rx_make_current() */
inline rx_make_current(x, h)
{
	for (i : 0 .. N - 1) {
		if
		:: i != h && rx[I(x, i)] == R_CURRENT ->
#ifdef MUT_NO_DRAIN
			rx[I(x, i)] = R_GONE
#else
			rx[I(x, i)] = R_DRAINING;
			timer[I(x, i)] = 0
#endif
		:: i != h && rx[I(x, i)] == R_NEXT && id[I(x, i)] < id[I(x, h)] ->
			rx[I(x, i)] = R_DRAINING;
			timer[I(x, i)] = 2
		:: else
		fi
	}
	rx[I(x, h)] = R_CURRENT;
	timer[I(x, h)] = 0
}

/* tcpseal_sa_opened(), sa_news() */
inline open_record(x, h)
{
	if
	:: openable(x, h) ->
		used[I(x, h)] = 1;
		if
		:: rx[I(x, h)] == R_NEXT ->
			rx_make_current(x, h);
			activate(x, h)
		:: else
		fi
	:: else
	fi
}

/* tcpseal_sa_remove() of a receiving SA */
inline rx_remove(x, h)
{
	if
	:: openable(x, h) -> rx[I(x, h)] = R_GONE
	:: else
	fi;
	used[I(x, h)] = 0;
	timer[I(x, h)] = 0
}

/* drain_end() */
inline drain_end(x, h)
{
	if
	:: used[I(x, h)] -> rx_make_current(x, h)
	:: else -> rx_remove(x, h)
	fi
}

/* --- userspace/tcpseald/keys.c --- */

/* install_both() */
inline install(x, h)
{
	id[I(x, h)] = ids[x];
	ids[x]++;
	rx[I(x, h)] = R_NEXT;
	tx[I(x, h)] = T_NEXT
#ifdef MUT_NOT_PENDING
	;
	tx_install(x, h)
#endif
}

#ifdef MUT_CONFIRM_FIRST
#define CONFIRM_1(h)	msg[h] = msg[h] | M_CONFIRM
#define CONFIRM_2(h)	install(CLIENT(h), h)
#else
#define CONFIRM_1(h)	install(CLIENT(h), h)
#define CONFIRM_2(h)	msg[h] = msg[h] | M_CONFIRM
#endif

/* --- userspace/tcpseald/flight.c --- */

#define runs(x, h)	((CLIENT(h) == (x) && cs[h] >= S_HELLO && cs[h] <= S_USED) || \
			 (SERVER(h) == (x) && ss[h] >= S_PUT && ss[h] <= S_USED))

inline lower_runs(x, h)
{
	yes = 0;
	for (i : 1 .. N - 1) {
		if
		:: i != h && LOWER(i) && runs(x, i) -> yes = 1
		:: else
		fi
	}
}

/* keys_use(), flight_may_send() */
inline keys_use(x, h)
{
	lower_runs(x, h);
	if
	:: lost[I(x, h)]
	:: !lost[I(x, h)] && !LOWER(h) && yes -> held[I(x, h)] = 1
	:: !lost[I(x, h)] && (LOWER(h) || !yes) -> activate(x, h)
	fi
}

/* flight_leave(), settle_others() */
inline leave(x, h, end)
{
	lower_runs(x, h);
	for (j : 1 .. N - 1) {
		if
		:: LOWER(h) && held[I(x, j)] && end == FAILED && !yes ->
			held[I(x, j)] = 0;
			activate(x, j)
		:: LOWER(h) && held[I(x, j)] && end != FAILED ->
			held[I(x, j)] = 0
#ifdef MUT_REMOVE_LOSER
			;
			if
			:: tx[I(x, j)] != T_NONE -> tx[I(x, j)] = T_GONE
			:: else
			fi
#endif
#ifndef MUT_LATE_LOSER
		:: LOWER(h) && !LOWER(j) && !held[I(x, j)] && runs(x, j) &&
		   end != FAILED ->
			lost[I(x, j)] = 1
#endif
		:: else
		fi
	}
}

#ifdef MUT_TAKE_BACK
#define FAILED_AT_ALL	true
#else
#define FAILED_AT_ALL	(end == FAILED)
#endif

/* keys_end() of a session that failed */
inline fail(x, h)
{
	if
	:: FAILED_AT_ALL && tx[I(x, h)] != T_NONE ->
		tx[I(x, h)] = T_GONE;
		rx_remove(x, h)
	:: else
	fi;
#ifdef MUT_GUESS
	end = FAILED;
#endif
	leave(x, h, end)
}

/* --- steps --- */

#define over(h)		((cs[h] == S_NONE || cs[h] >= S_OK) && \
			 (ss[h] == S_NONE || ss[h] >= S_OK))
#ifdef PROGRESS
#define all_over	(over(1) && over(2) && over(3))
#define EACH(OP)	OP(1) OP(2) OP(3)
#define EACH_KEY(OP)	OP(0, 0) OP(0, 1) OP(0, 2) OP(0, 3) \
			OP(1, 0) OP(1, 1) OP(1, 2) OP(1, 3)
#else
#define all_over	(over(1) && over(2))
#define EACH(OP)	OP(1) OP(2)
#define EACH_KEY(OP)	OP(0, 0) OP(0, 1) OP(0, 2) OP(1, 0) OP(1, 1) OP(1, 2)
#endif

#ifdef TWICE
/* one attempt of a pair at a time, one session of an address at a time */
#define may_dial(h)	(h == 1 || cs[1] >= S_OK)
#define may_serve(h)	(h == 1 || ss[1] == S_NONE || ss[1] >= S_OK)
#else
/* the last one is opened when faults have stopped */
#define may_dial(h)	((h == 3) == calm)
#define may_serve(h)	1
#endif

#define SESSION(h)							\
	:: d_step { cs[h] == S_NONE && may_dial(h) ->			\
		cs[h] = S_HELLO; msg[h] = M_CHELLO;			\
		say(CLIENT(h), "%c: sends HELLO %d\n", h) }			\
	:: d_step { ss[h] == S_NONE && msg[h] & M_CHELLO && may_serve(h) -> \
		msg[h] = msg[h] & ~M_CHELLO;				\
		install(SERVER(h), h); ss[h] = S_PUT;			\
		say(SERVER(h), "%c: installs %d\n", h) }				\
	:: d_step { ss[h] == S_PUT ->					\
		msg[h] = msg[h] | M_SHELLO; ss[h] = S_WAIT;		\
		say(SERVER(h), "%c: sends HELLO %d\n", h) }			\
	:: d_step { cs[h] == S_HELLO && msg[h] & M_SHELLO ->		\
		msg[h] = msg[h] & ~M_SHELLO;				\
		CONFIRM_1(h); cs[h] = S_PUT;				\
		say(CLIENT(h), "%c: installs %d\n", h) }				\
	:: d_step { cs[h] == S_PUT ->					\
		CONFIRM_2(h); cs[h] = S_WAIT;				\
		say(CLIENT(h), "%c: sends CONFIRM %d\n", h) }			\
	:: d_step { ss[h] == S_WAIT && msg[h] & M_CONFIRM ->		\
		msg[h] = msg[h] & ~M_CONFIRM | M_READY;			\
		keys_use(SERVER(h), h); ss[h] = S_USED;			\
		say(SERVER(h), "%c: has CONFIRM, sends READY %d\n", h) }		\
	:: d_step { ss[h] == S_USED ->					\
		ss[h] = S_OK; leave(SERVER(h), h, WON);			\
		say(SERVER(h), "%c: is through %d\n", h) }			\
	:: d_step { cs[h] == S_WAIT && msg[h] & M_READY ->		\
		msg[h] = msg[h] & ~M_READY;				\
		keys_use(CLIENT(h), h); cs[h] = S_USED;			\
		say(CLIENT(h), "%c: has READY %d\n", h) }			\
	:: d_step { cs[h] == S_USED ->					\
		cs[h] = S_OK; leave(CLIENT(h), h, WON);			\
		say(CLIENT(h), "%c: is through %d\n", h) }			\
	/* lost, reset, too late */					\
	:: d_step { !calm && cs[h] >= S_HELLO && cs[h] <= S_WAIT ->	\
		end = (cs[h] == S_WAIT -> UNKNOWN : FAILED);		\
		cs[h] = S_FAIL; fail(CLIENT(h), h);			\
		say(CLIENT(h), "%c: gives up %d\n", h) }				\
	:: d_step { !calm && ss[h] >= S_PUT && ss[h] <= S_WAIT ->	\
		end = FAILED; ss[h] = S_FAIL; fail(SERVER(h), h);	\
		say(SERVER(h), "%c: gives up %d\n", h) }

/* egress_decide(): a segment is sealed whenever there is a key; ingress */
#define TRAFFIC(x, h)							\
	:: d_step { tx[I(x, h)] == T_CURRENT && !net[I(x, h)] ->	\
		say(x, "%c: seals with %d\n", h);				\
		assert(openable(1 - x, h) || rx[I(1 - x, h)] == R_LOST); \
		net[I(x, h)] = 1 }					\
	:: d_step { net[I(x, h)] ->					\
		assert(rx[I(1 - x, h)] != R_GONE) }			\
	:: d_step { net[I(x, h)] && (openable(1 - x, h)) ->		\
		open_record(1 - x, h);					\
		say(1 - x, "%c: opens with %d\n", h) }				\
	:: d_step { rx[I(x, h)] == R_DRAINING && timer[I(x, h)] == 1 -> \
		drain_end(x, h);					\
		say(x, "%c: ends draining %d\n", h) }

/* 3 s pass: what flew has arrived or is lost, and what came late on a key that
 * drains does not tell that the peer still uses it; draining for 10 s means that
 * no handshake of that time runs any more
 */
inline pass_time()
{
	for (i : 0 .. 2 * N - 1) {
		net[i] = 0;
#ifdef MUT_STRAY
		if
		:: rx[i] == R_DRAINING && timer[i] == 0
		:: else -> used[i] = 0
		fi;
#else
		used[i] = 0;
#endif
		if
		:: timer[i] == 2 && all_over -> timer[i] = 1
		:: rx[i] == R_DRAINING && timer[i] == 0 -> timer[i] = 1
		:: else
		fi
	}
}

/* kill -9 of a daemon: no cleanup, its flights are forgotten */
inline kill_daemon(x)
{
	for (i : 1 .. N - 1) {
		if
		:: CLIENT(i) == x && cs[i] >= S_HELLO && cs[i] <= S_USED -> cs[i] = S_FAIL
		:: SERVER(i) == x && ss[i] >= S_PUT && ss[i] <= S_USED -> ss[i] = S_FAIL
		:: else
		fi;
		held[I(x, i)] = 0;
		lost[I(x, i)] = 0
	}
}

/* tcpseal_sa_flush(): suspend, a cloned machine */
inline lose_keys(x)
{
	for (i : 0 .. N - 1) {
		if
		:: openable(x, i) -> rx[I(x, i)] = R_LOST
		:: else
		fi;
		if
		:: tx[I(x, i)] != T_NONE -> tx[I(x, i)] = T_GONE
		:: else
		fi;
		used[I(x, i)] = 0;
		timer[I(x, i)] = 0
	}
}

#define FAULT(x)							\
	:: d_step { crashes > 0 -> crashes--; kill_daemon(x); skip }	\
	:: d_step { crashes > 0 -> crashes--; lose_keys(x); skip }		\
	:: d_step { crashes > 0 -> crashes--; kill_daemon(x); lose_keys(x); skip }

/* this host has a key that the other one opens */
#ifdef PROGRESS
#define works(x)	(sends(x, 0) || sends(x, 1) || sends(x, 2) || sends(x, 3))
#else
#define works(x)	(sends(x, 0) || sends(x, 1) || sends(x, 2))
#endif
#define sends(x, h)	(tx[I(x, h)] == T_CURRENT && openable(1 - x, h))

init {



	d_step {
		tx[I(0, 0)] = T_CURRENT; tx[I(1, 0)] = T_CURRENT;
		rx[I(0, 0)] = R_CURRENT; rx[I(1, 0)] = R_CURRENT;
		ids[0] = 1; ids[1] = 1
	}
	do
	EACH(SESSION)
	EACH_KEY(TRAFFIC)
	FAULT(0)
	FAULT(1)
	:: d_step { pass_time(); printf("3 s pass\n") }
#ifdef PROGRESS
	:: d_step { !calm && over(1) && over(2) ->
		calm = 1; crashes = 0; msg[1] = 0; msg[2] = 0;
		printf("no more faults\n") }
	:: d_step { cs[3] == S_OK && ss[3] == S_OK ->
		assert(works(0) && works(1)) }
#else
	:: d_step { cs[1] == S_OK && ss[1] == S_OK && cs[2] == S_OK && ss[2] == S_OK &&
		crashes == CRASHES ->
		assert(works(0) && works(1)) }
#endif
	od
}
