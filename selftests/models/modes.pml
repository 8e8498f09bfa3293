/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The modes of two hosts: what each tells the other, what each kernel makes of
 * it, and that both come to the same; Documentation/models.rst maps each step to
 * its function. That keys work is keys.pml's business: here a key that both ends
 * installed works until one of them loses it.
 *
 * Handshake 0 is opened by host 0, the lower address, handshake 1 by host 1; each
 * again and again, one at a time.
 */
#ifndef CHANGES
#define CHANGES 1	/* of a mode, at either end */
#endif
#ifndef FAULTS
#define FAULTS 1	/* a connection that ends early, keys or a daemon that go */
#endif
#define TRIES	1	/* attempts of each end because a key is missing, in the end */
#define AGAIN	6	/* attempts for other reasons, in the end */

/* enum tcpseal_mode; clear keys with nobody, as none does */
#define NONE	0
#define CLEAR	1
#define AUDIT	2
#define PREFER	3
#define REQUIRE	4
#define UNTOLD	7

/* enum tcpseal_demand */
#define PLAIN	0
#define SEAL	1
#define BLOCK	2

/* sessions, as in keys.pml; the server's has begun before it reads HELLO */
#define S_NONE	0
#define S_HELLO	1
#define S_WAIT	2
#define S_USED	3
#define S_OVER	4

#define M_CHELLO	1
#define M_SHELLO	2
#define M_CONFIRM	4
#define M_READY		8

#define OLD	2		/* the key of a handshake before this one */
#define NOKEY	3
#define CLIENT(h)	(h)
#define SERVER(h)	(1 - (h))
#define K(x, h)		((x) * 3 + (h))
#define F(x, h)		((x) * 2 + (h))

byte mode[2];			/* of the link, in the kernel */
byte known[2];			/* the same, as the daemon has heard of it */
/* struct tcpseal_pair */
bit agreed[2], sticky[2], refused[2];
byte demand[2];
byte kpeer[2];			/* peer_mode */
byte tx[2];			/* key to send with: 0, 1, OLD or NOKEY */
bit pending[4];			/* sending SAs that wait */
byte latest[2];			/* the key that was installed last */
bit rx[6];			/* receiving SAs */
byte peer_of[6];		/* their mode_peer */
/* struct pair of the daemon */
byte told[2], peer[2];
bit complained[2], want[2], unsure[2];
/* sessions */
byte cs[2], ss[2], msg[2], cm[2], sm[2];
bit held[4], lost[4];		/* flights */

byte changes = CHANGES, faults = FAULTS;
bit calm;
byte tries[2], again;

hidden byte i, ret, ours, other;

#define matrix(l, p)							\
	((l) == REQUIRE -> ((p) >= AUDIT -> SEAL : BLOCK) :		\
	 ((l) == PREFER -> ((p) >= PREFER -> SEAL : PLAIN) :		\
	  ((l) == AUDIT && (p) == REQUIRE -> SEAL : PLAIN)))

#define linked(x)	(mode[x] >= AUDIT)
#define say(what, x)	printf(what, 65 + (x))
#define saym(what, x, m)	printf(what, 65 + (x), m)

#define mine(x, h)	(CLIENT(h) == (x) -> cm[h] : sm[h])
#define theirs(x, h)	(CLIENT(h) == (x) -> sm[h] : cm[h])

#define runs(x, h)	((CLIENT(h) == (x) && cs[h] >= S_HELLO && cs[h] <= S_USED) || \
			 (SERVER(h) == (x) && ss[h] >= S_WAIT && ss[h] <= S_USED))

/* pairs_stale() */
#define stale(x)	(told[x] != UNTOLD && known[x] != told[x])

/* --- module/pair.c --- */

/* tcpseal_pair_update(), pair_demand() */
inline update(x)
{
	demand[x] = (!linked(x) -> PLAIN :
		     (!agreed[x] && !sticky[x] && mode[x] != REQUIRE -> PLAIN :
		      (refused[x] && tx[x] == NOKEY -> BLOCK : SEAL)))
}

/* tcpseal_pair_release() */
inline release(x)
{
	if
	:: tx[x] == NOKEY -> agreed[x] = 0; refused[x] = 0
	:: else
	fi;
	sticky[x] = 0
}

/* tcpseal_pair_agree() */
inline agree(x, h)
{
	ours = mine(x, h);
	other = theirs(x, h);
	kpeer[x] = other;
	refused[x] = 0;
	if
	:: matrix(ours, other) == SEAL -> agreed[x] = 1
	:: else -> agreed[x] = 0; release(x)
	fi
}

/* tcpseal_pair_set_peer(), pair_agree_less() */
inline set_peer(x, h)
{
	other = theirs(x, h);
	if
	:: linked(x) ->
		kpeer[x] = other;
		refused[x] = (other <= CLEAR);
		if
		:: refused[x] ->
			agreed[x] = 0;
			tx[x] = NOKEY;
			pending[F(x, 0)] = 0;
			pending[F(x, 1)] = 0
		:: else
		fi;
		if
		:: matrix(mode[x], other) == PLAIN -> release(x)
		:: else
		fi;
		update(x)
	:: else
	fi
}

inline drop_keys(x)
{
	tx[x] = NOKEY;
	for (i : 0 .. 2) {
		rx[K(x, i)] = 0;
		peer_of[K(x, i)] = 0
	}
	pending[F(x, 0)] = 0;
	pending[F(x, 1)] = 0
}

/* tcpseal_pair_relink() */
inline relink(x)
{
	if
	:: refused[x] && matrix(mode[x], kpeer[x]) == PLAIN -> release(x)
	:: else
	fi;
	if
	:: !linked(x) ->
		drop_keys(x);
		agreed[x] = 0;
		refused[x] = 0
	:: else
	fi;
#ifndef MUT_NO_UPDATE
	update(x)
#endif
}

/* --- module/sa-life.c --- */

/* tcpseal_sa_activate(), tx_install() */
inline activate(x, h)
{
	if
	:: pending[F(x, h)] ->
		pending[F(x, h)] = 0;
		if
		:: latest[x] == h -> pending[F(x, 1 - h)] = 0
		:: else
		fi;
		tx[x] = h;
		agree(x, h);
		update(x)
	:: else
	fi
}

/* tcpseal_sa_add(), sa_check(); twice. ret: did it? */
inline install(x, h)
{
	ret = linked(x);
	if
	:: ret ->
		rx[K(x, h)] = 1;
		peer_of[K(x, h)] = theirs(x, h);
		pending[F(x, h)] = 1;
		latest[x] = h
	:: else
	fi
}

/* tcpseal_sa_opened(), sa_news() */
inline opened(x, h)
{
	if
	:: h != OLD -> activate(x, h)
	:: else
	fi;
	if
	:: peer_of[K(x, h)] >= PREFER && linked(x) && mode[x] >= PREFER && agreed[x] ->
		sticky[x] = 1;
		update(x)
	:: else
	fi
}

/* --- userspace/tcpseald --- */

/* a reason of the daemon's own */
inline plan(x)
{
	if
	:: !want[x] && calm ->
		again++;
		assert(again <= AGAIN)
	:: else
	fi;
	want[x] = 1
}

/* settle_sealed(), and what outcome_dialled(), outcome_served() add */
inline settle_sealed(x, h)
{
	if
	:: SERVER(h) == x && cs[x] == S_NONE -> want[x] = 0	/* attempt_unplan() */
	:: else
	fi;
	if
#ifndef MUT_NO_AGAIN
	:: told[x] != UNTOLD && theirs(x, h) != peer[x] -> plan(x)
#endif
#ifndef MUT_SURE
	:: unsure[x] && SERVER(h) == x -> plan(x)
#endif
#ifndef MUT_IDLE_TALK
	:: lost[F(x, h)] && told[x] != UNTOLD && mine(x, h) != told[x] -> plan(x)
#endif
	:: else
	fi;
	unsure[x] = unsure[x] && SERVER(h) == x;
	told[x] = mine(x, h);
	peer[x] = theirs(x, h);
	if
	:: complained[x] -> complained[x] = 0; set_peer(x, h)
	:: else
	fi;
	if
#ifndef MUT_NOT_STALE
	:: stale(x) -> plan(x)
#endif
	:: else
	fi
}

/* settle_plain() */
inline settle_plain(x, h)
{
	told[x] = mine(x, h);
	peer[x] = theirs(x, h);
	complained[x] = 1;
	set_peer(x, h)
}

/* keys_use(); handshake 0 is the lower one */
inline keys_use(x, h)
{
	if
	:: lost[F(x, h)]
	:: !lost[F(x, h)] && h == 1 && runs(x, 0) -> held[F(x, h)] = 1
	:: !lost[F(x, h)] && (h == 0 || !runs(x, 0)) -> activate(x, h)
	fi
}

/* flight_leave() */
inline leave(x, h, failed)
{
	if
	:: h == 0 && failed && held[F(x, 1)] -> held[F(x, 1)] = 0; activate(x, 1)
	:: h == 0 && !failed ->
		lost[F(x, 1)] = runs(x, 1);
		held[F(x, 1)] = 0
	:: else
	fi
}

/* keys_end() of what nobody uses */
inline take_back(x, h)
{
	pending[F(x, h)] = 0;
	rx[K(x, h)] = 0;
	peer_of[K(x, h)] = 0;
	if
	:: tx[x] == h -> tx[x] = NOKEY; update(x)
	:: else
	fi
}

/* The slot of a handshake is used again: what it left is old now */
inline begin(h)
{
	for (i : 0 .. 1) {
		if
		:: tx[i] == h ->
			tx[i] = OLD;
			rx[K(1 - i, OLD)] = rx[K(1 - i, h)];
			peer_of[K(1 - i, OLD)] = peer_of[K(1 - i, h)]
		:: else
		fi
	}
	rx[K(0, h)] = 0; rx[K(1, h)] = 0;
	peer_of[K(0, h)] = 0; peer_of[K(1, h)] = 0;
	/* An older key that nobody sends with is of no interest */
	for (i : 0 .. 1) {
		if
		:: tx[1 - i] != OLD -> rx[K(i, OLD)] = 0; peer_of[K(i, OLD)] = 0
		:: else
		fi
	}
	sm[h] = 0;
	pending[F(0, h)] = 0; pending[F(1, h)] = 0;
	held[F(0, h)] = 0; held[F(1, h)] = 0;
	lost[F(0, h)] = 0; lost[F(1, h)] = 0;
	ss[h] = S_NONE; msg[h] = 0
}

/* attempt(), pointless() */
#define pointless(x)	(known[x] < AUDIT && (told[x] == UNTOLD || told[x] == known[x]))
#define idle(h)		(cs[h] == S_NONE && (ss[h] == S_NONE || ss[h] == S_OVER))

/* The loop settles what the workers have done before it begins anything */
#define busy(x)		(cs[x] == S_USED || ss[1 - (x)] == S_USED)

#define SESSION(h)							\
	:: d_step { want[CLIENT(h)] && idle(h) && !busy(CLIENT(h)) ->	\
		want[CLIENT(h)] = 0;						\
		if							\
		:: pointless(CLIENT(h))					\
		:: else ->						\
			begin(h); cm[h] = known[CLIENT(h)];			\
			cs[h] = S_HELLO; msg[h] = M_CHELLO;		\
			saym("%c: dials, mode %d\n", CLIENT(h), cm[h])	\
		fi }							\
	/* no link: the server says so without proof */			\
	:: d_step { ss[h] == S_NONE && msg[h] & M_CHELLO && known[SERVER(h)] == NONE -> \
		ss[h] = S_OVER; msg[h] = 0; cs[h] = S_NONE;		\
		if							\
		:: cm[h] < AUDIT -> told[CLIENT(h)] = cm[h]			\
		:: else							\
		fi;							\
		leave(CLIENT(h), h, 1);					\
		say("%c: no link, turns it away\n", SERVER(h)) }		\
	/* session_new(): what the daemon knows of the link is fixed */	\
	:: d_step { ss[h] == S_NONE && msg[h] & M_CHELLO &&		\
		    known[SERVER(h)] != NONE && !busy(SERVER(h)) ->	\
		sm[h] = known[SERVER(h)]; ss[h] = S_HELLO;			\
		saym("%c: serves, mode %d\n", SERVER(h), sm[h]) }		\
	:: d_step { ss[h] == S_HELLO && msg[h] & M_CHELLO ->		\
		msg[h] = M_SHELLO;					\
		if							\
		:: cm[h] < AUDIT || sm[h] < AUDIT ->			\
			ss[h] = S_OVER; settle_plain(SERVER(h), h)		\
		:: else ->						\
			install(SERVER(h), h);				\
			if						\
			:: ret -> ss[h] = S_WAIT			\
			:: else -> ss[h] = S_OVER; msg[h] = 0		\
			fi						\
		fi;							\
		say("%c: answers HELLO\n", SERVER(h)) }			\
	:: d_step { cs[h] == S_HELLO && msg[h] & M_SHELLO ->		\
		if							\
		:: cm[h] < AUDIT || sm[h] < AUDIT ->			\
			msg[h] = 0; cs[h] = S_NONE;			\
			settle_plain(CLIENT(h), h); leave(CLIENT(h), h, 1)	\
		:: else ->						\
			install(CLIENT(h), h);				\
			if						\
			:: ret -> cs[h] = S_WAIT; msg[h] = M_CONFIRM	\
			:: else -> msg[h] = 0; cs[h] = S_NONE;		\
				leave(CLIENT(h), h, 1); plan(CLIENT(h))		\
			fi						\
		fi;							\
		say("%c: has HELLO\n", CLIENT(h)) }				\
	:: d_step { ss[h] == S_WAIT && msg[h] & M_CONFIRM ->		\
		msg[h] = M_READY; keys_use(SERVER(h), h); ss[h] = S_USED;	\
		say("%c: has CONFIRM\n", SERVER(h)) }			\
	:: d_step { ss[h] == S_USED ->					\
		ss[h] = S_OVER; leave(SERVER(h), h, 0);			\
		settle_sealed(SERVER(h), h);					\
		say("%c: served\n", SERVER(h)) }				\
	:: d_step { cs[h] == S_WAIT && msg[h] & M_READY ->		\
		msg[h] = 0; keys_use(CLIENT(h), h); cs[h] = S_USED;		\
		say("%c: has READY\n", CLIENT(h)) }				\
	:: d_step { cs[h] == S_USED ->					\
		cs[h] = S_NONE; leave(CLIENT(h), h, 0);			\
		settle_sealed(CLIENT(h), h);					\
		say("%c: is through\n", CLIENT(h)) }				\
	/* the other end is gone */					\
	:: d_step { (cs[h] == S_HELLO || cs[h] == S_WAIT) && ss[h] == S_OVER && !msg[h] -> \
		GIVE_UP_CLIENT(h) }					\
	:: d_step { ss[h] >= S_HELLO && ss[h] <= S_WAIT && cs[h] == S_NONE && \
		    !(msg[h] & (M_CHELLO | M_CONFIRM)) ->		\
		GIVE_UP_SERVER(h) }					\
	/* or it takes too long */					\
	:: d_step { faults > 0 && (cs[h] == S_HELLO || cs[h] == S_WAIT) -> \
		faults--; GIVE_UP_CLIENT(h) }				\
	:: d_step { faults > 0 && ss[h] >= S_HELLO && ss[h] <= S_WAIT -> \
		faults--; GIVE_UP_SERVER(h) }

#define GIVE_UP_CLIENT(h)						\
	ret = cs[h] == S_WAIT; cs[h] = S_NONE;				\
	if								\
	:: !ret && rx[K(CLIENT(h), h)] -> take_back(CLIENT(h), h)			\
	:: else								\
	fi;								\
	if								\
	:: ret -> leave(CLIENT(h), h, 0)					\
	:: else -> leave(CLIENT(h), h, 1)					\
	fi;								\
	complained[CLIENT(h)] = 1; unsure[CLIENT(h)] = ret;		\
	if								\
	:: ret || tx[CLIENT(h)] != NOKEY || cm[h] < AUDIT -> want[CLIENT(h)] = 1 \
	:: else								\
	fi;								\
	say("%c: gives up\n", CLIENT(h))

#define GIVE_UP_SERVER(h)						\
	ret = ss[h] == S_WAIT; ss[h] = S_OVER; msg[h] = 0;		\
	if								\
	:: ret -> take_back(SERVER(h), h); leave(SERVER(h), h, 1)			\
	:: else								\
	fi;								\
	say("%c: gives up on its guest\n", SERVER(h))

/* --- what passes --- */

#define good(x)		(tx[x] != NOKEY && rx[K(1 - (x), tx[x])])

#define HOST(x)								\
	/* link_set(): the kernel first */				\
	CHANGE(x, NONE) CHANGE(x, CLEAR) CHANGE(x, AUDIT)		\
	CHANGE(x, PREFER) CHANGE(x, REQUIRE)				\
	/* links_settled(), check_link(), listen_retry() */		\
	:: d_step { known[x] != mode[x] ->				\
		known[x] = mode[x];					\
		if							\
		:: stale(x) -> plan(x)					\
		:: else							\
		fi;							\
		say("%c: the daemon hears of it\n", x) }		\
	/* egress_decide(): plain, sealed, or a key is wanted */	\
	:: d_step { demand[x] == PLAIN && linked(x) ->			\
		assert(mode[x] != REQUIRE && !sticky[x]) }		\
	:: d_step { demand[x] != PLAIN && good(x) && !seen(x) ->	\
		opened(1 - x, tx[x]);					\
		say("%c: seals, and it is opened\n", x) }		\
	/* tcpseal_pair_acquire(): no key, or nobody opens what it seals */ \
	:: d_step { linked(x) && !good(x) && !want[x] && idle(x) && known[x] >= AUDIT && \
		    (!calm || tries[x] < TRIES) ->			\
		if							\
		:: calm -> tries[x]++					\
		:: else							\
		fi;							\
		want[x] = 1 }						\
	/* tcpseal_sa_flush() */					\
	:: d_step { faults > 0 && tx[x] != NOKEY ->			\
		faults--; drop_keys(x); update(x);			\
		say("%c: loses its keys\n", x) }

/* would the peer learn anything from another record? */
#define seen(x)		((tx[x] == OLD || !pending[F(1 - (x), tx[x])]) && \
			 (sticky[1 - (x)] || peer_of[K(1 - (x), tx[x])] < PREFER || \
			  mode[1 - (x)] < PREFER || !agreed[1 - (x)]))

#define CHANGE(x, m)							\
	:: d_step { changes > 0 && mode[x] != m ->			\
		changes--; mode[x] = m; relink(x);		\
		saym("%c: mode %d\n", x, m) }

#define quiet	(!want[0] && !want[1] && idle(0) && idle(1) && \
		 known[0] == mode[0] && known[1] == mode[1])

/* Both ends have come to what the matrix says */
#define says(x)	matrix(mode[x], mode[1 - (x)])
inline converged()
{
	if
	:: !linked(0) || !linked(1) ->
		assert(linked(0) || demand[0] == PLAIN);
		assert(linked(1) || demand[1] == PLAIN);
		assert(mode[0] != REQUIRE || demand[0] != PLAIN);
		assert(mode[1] != REQUIRE || demand[1] != PLAIN)
	:: else ->
		if
		:: says(0) == SEAL || says(1) == SEAL ->
			assert(demand[0] == SEAL && demand[1] == SEAL);
			assert(good(0) && good(1))
		:: else ->
			assert(demand[0] == PLAIN && demand[1] == PLAIN)
		fi
	fi
}

init {
	d_step {
		tx[0] = NOKEY; tx[1] = NOKEY;
		told[0] = UNTOLD; told[1] = UNTOLD;
		peer[0] = UNTOLD; peer[1] = UNTOLD
	}
#ifdef FIRST
	d_step { mode[0] = FIRST; mode[1] = SECOND };
#else
	if
	:: mode[0] = NONE :: mode[0] = CLEAR :: mode[0] = AUDIT
	:: mode[0] = PREFER :: mode[0] = REQUIRE
	fi;
	if
	:: mode[1] = NONE :: mode[1] = CLEAR :: mode[1] = AUDIT
	:: mode[1] = PREFER :: mode[1] = REQUIRE
	fi;
#endif
	d_step {
		known[0] = mode[0]; known[1] = mode[1];
		update(0); update(1);
		printf("modes %d %d\n", mode[0], mode[1])
	}
	do
	SESSION(0)
	SESSION(1)
	HOST(0)
	HOST(1)
	:: d_step { !calm && quiet -> calm = 1; changes = 0; faults = 0;
		printf("no more changes\n") }
	:: d_step { calm && quiet && (tries[0] >= TRIES || good(0) || !linked(0)) &&
		    (tries[1] >= TRIES || good(1) || !linked(1)) ->
		converged() }
	od
}
