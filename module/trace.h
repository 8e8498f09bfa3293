/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tcpseal

#if !defined(TCPSEAL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TCPSEAL_TRACE_H

#include <linux/tracepoint.h>
#include "sa.h"

DECLARE_EVENT_CLASS(tcpseal_records,
	TP_PROTO(const struct tcpseal_sa *sa, u8 lane, u64 counter,
		 unsigned int records, unsigned int bytes),
	TP_ARGS(sa, lane, counter, records, bytes),
	TP_STRUCT__entry(
		__field(u32, spi)
		__field(u8, lane)
		__field(u64, counter)
		__field(unsigned int, records)
		__field(unsigned int, bytes)
	),
	TP_fast_assign(
		__entry->spi = be32_to_cpu(sa->spi);
		__entry->lane = lane;
		__entry->counter = counter;
		__entry->records = records;
		__entry->bytes = bytes;
	),
	TP_printk("spi=%08x lane=%u counter=%llu records=%u bytes=%u",
		  __entry->spi, __entry->lane, __entry->counter,
		  __entry->records, __entry->bytes)
);

/* Records sealed, @counter is the first of them */
DEFINE_EVENT(tcpseal_records, tcpseal_seal,
	TP_PROTO(const struct tcpseal_sa *sa, u8 lane, u64 counter,
		 unsigned int records, unsigned int bytes),
	TP_ARGS(sa, lane, counter, records, bytes)
);

/* Records opened */
DEFINE_EVENT(tcpseal_records, tcpseal_open,
	TP_PROTO(const struct tcpseal_sa *sa, u8 lane, u64 counter,
		 unsigned int records, unsigned int bytes),
	TP_ARGS(sa, lane, counter, records, bytes)
);

#define tcpseal_drop_name(reason)					\
	__print_symbolic(reason,					\
		{ TCPSEAL_DROP_PLAIN_IN, "plain-in" },			\
		{ TCPSEAL_DROP_NO_KEY, "no-key" },			\
		{ TCPSEAL_DROP_NO_KEY_IN, "no-key-in" },		\
		{ TCPSEAL_DROP_UNKNOWN_SPI, "unknown-spi" },		\
		{ TCPSEAL_DROP_TOMBSTONE, "tombstone" },		\
		{ TCPSEAL_DROP_BAD_TAG, "bad-tag" },			\
		{ TCPSEAL_DROP_NOISE, "noise" },			\
		{ TCPSEAL_DROP_REPLAY, "replay" },			\
		{ TCPSEAL_DROP_TOO_OLD, "too-old" },			\
		{ TCPSEAL_DROP_SELECTOR, "selector" },			\
		{ TCPSEAL_DROP_MALFORMED, "malformed" })

TRACE_EVENT(tcpseal_drop,
	TP_PROTO(const struct tcpseal_addrs *a, const struct sk_buff *skb,
		 enum tcpseal_drop reason, unsigned int segs),
	TP_ARGS(a, skb, reason, segs),
	TP_STRUCT__entry(
		__field(const void *, skbaddr)
		__field(u32, reason)
		__field(unsigned int, segs)
		__field(u16, family)
		__array(u8, local, 16)
		__array(u8, remote, 16)
	),
	TP_fast_assign(
		__entry->skbaddr = skb;
		__entry->reason = reason;
		__entry->segs = segs;
		__entry->family = a ? a->family : 0;
		memset(__entry->local, 0, 16);
		memset(__entry->remote, 0, 16);
		if (a) {
			memcpy(__entry->local, &a->local,
			       tcpseal_addr_len(a->family));
			memcpy(__entry->remote, &a->remote,
			       tcpseal_addr_len(a->family));
		}
	),
	TP_printk("reason=%s nr=%u segs=%u family=%u local=%*phC remote=%*phC skb=%p",
		  tcpseal_drop_name(__entry->reason), __entry->reason,
		  __entry->segs, __entry->family,
		  __entry->family == AF_INET ? 4 : 16, __entry->local,
		  __entry->family == AF_INET ? 4 : 16, __entry->remote,
		  __entry->skbaddr)
);

/* An SA came, or changed its state */
TRACE_EVENT(tcpseal_sa,
	TP_PROTO(const struct tcpseal_sa *sa),
	TP_ARGS(sa),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, spi)
		__field(u32, dir)
		__field(u32, state)
		__field(u64, generation)
	),
	TP_fast_assign(
		__entry->id = sa->id;
		__entry->spi = be32_to_cpu(sa->spi);
		__entry->dir = sa->dir;
		__entry->state = sa->state;
		__entry->generation = sa->generation;
	),
	TP_printk("id=%u spi=%08x dir=%s state=%s generation=%llu",
		  __entry->id, __entry->spi,
		  __entry->dir == TCPSEAL_DIR_IN ? "in" : "out",
		  __print_symbolic(__entry->state,
				   { TCPSEAL_SA_STATE_NEXT, "next" },
				   { TCPSEAL_SA_STATE_CURRENT, "current" },
				   { TCPSEAL_SA_STATE_DRAINING, "draining" },
				   { TCPSEAL_SA_STATE_TOMBSTONE, "gone" }),
		  __entry->generation)
);

/* Segments of a pair wait (@held > 0), or no longer do */
TRACE_EVENT(tcpseal_hold,
	TP_PROTO(const struct tcpseal_pair *pair, unsigned int held),
	TP_ARGS(pair, held),
	TP_STRUCT__entry(
		__field(u32, pair)
		__field(unsigned int, held)
	),
	TP_fast_assign(
		__entry->pair = pair->id;
		__entry->held = held;
	),
	TP_printk("pair=%u held=%u", __entry->pair, __entry->held)
);

#endif /* TCPSEAL_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
