// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's SAs: adopted at the start, judged when trust changes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpseald.h"

struct sa_note {
	uint32_t id, dir;
	struct tcpseal_addr local, peer;
	char serial[64], issuer[256], name[128];
};

struct sa_list {
	struct sa_note *note;
	size_t n, room;
};

static int note_sa(const struct tcpseal_sa *sa, struct sa_list *list)
{
	struct sa_note *note;

	if (list->n == list->room) {
		list->room = list->room ? list->room * 2 : 64;
		note = realloc(list->note, list->room * sizeof(*note));
		if (!note)
			return -ENOMEM;
		list->note = note;
	}
	note = &list->note[list->n++];
	note->id = sa->id;
	note->dir = sa->dir;
	note->local = sa->local;
	note->peer = sa->peer;
	memcpy(note->serial, sa->cert_serial, sizeof(note->serial));
	memcpy(note->issuer, sa->cert_issuer, sizeof(note->issuer));
	memcpy(note->name, sa->cert_name, sizeof(note->name));
	return 0;
}

static bool judged_by_cert(const struct tcpseal_sa *sa)
{
	return sa->state != TCPSEAL_SA_STATE_TOMBSTONE &&
	       !(sa->flags & TCPSEAL_SA_FLAG_MANUAL) &&
	       TCPSEAL_HAS(sa, SA_CERT_SERIAL) &&
	       TCPSEAL_HAS(sa, SA_CERT_ISSUER);
}

static int gather_sa(const struct tcpseal_sa *sa, void *data)
{
	return judged_by_cert(sa) ? note_sa(sa, data) : 0;
}

/* The dump is over before SAs are removed: they move under it */
static void gather_sas(struct sa_list *list)
{
	int ret, tries = 0;

	if (!kernel_there())
		return;
	do {
		list->n = 0;
		ret = tcpseal_sa_dump(kernel, gather_sa, list);
	} while (ret == -EINTR && ++tries < 5);
	if (ret && ret != -EINTR)
		log_error("cannot read the SAs: %s", tcpseal_error(kernel));
}

static void remove_sa(const struct sa_note *note)
{
	struct tcpseal_sa sa = {
		.has = TCPSEAL_BIT(SA_ID) | TCPSEAL_BIT(SA_DIR) |
		       TCPSEAL_BIT(SA_LOCAL) | TCPSEAL_BIT(SA_PEER),
		.id = note->id,
		.dir = note->dir,
		.local = note->local,
		.peer = note->peer,
	};

	if (tcpseal_sa_del(kernel, &sa))
		log_warn("cannot remove an SA: %s", tcpseal_error(kernel));
}

static bool of_pair(const struct sa_note *note, const struct pair *pair)
{
	return !tcpseal_addr_cmp(&note->local, &pair->local) &&
	       !tcpseal_addr_cmp(&note->peer, &pair->remote);
}

void sas_remove(const struct pair *pair)
{
	struct sa_list list = {};
	size_t i;

	gather_sas(&list);
	for (i = 0; i < list.n; i++)
		if (of_pair(&list.note[i], pair))
			remove_sa(&list.note[i]);
	free(list.note);
}

static void judge_sa(const struct sa_note *note, const struct ident *now,
		     const struct ident *before)
{
	struct pair *pair = pairs_find_or_add(&note->local, &note->peer);
	char reason[REASON_LEN];
	enum verdict verdict;
	struct addr_text at;

	verdict = judge_again(now, before, note->serial, note->issuer);
	if (verdict == VERDICT_GOOD || !pair)
		return;
	if (verdict == VERDICT_UNKNOWN) {
		pair->judging = true;
		attempt_want_in(pair, pairs_spread());
		return;
	}
	snprintf(reason, sizeof(reason), "certificate %.60s (serial %.40s): %s",
		 note->name, note->serial, verdict == VERDICT_REVOKED ?
		 "revoked by the CRL of its issuer" :
		 "its issuer is no longer among the configured authorities");
	if (!pairs_said(pair, reason))
		log_warn("%s: keys removed: %s", text_of(&note->peer, &at),
			 reason);
	remove_sa(note);
	pair->live = false;
	pairs_set_reason(pair, reason, -1, 0);
}

static void renew(struct pair *pair, void *data)
{
	(void)data;
	if (pair->live)
		attempt_want_in(pair, pairs_spread());
}

static void retry_now(struct pair *pair, void *data)
{
	(void)data;
	pair->not_before = 0;
	pair->failures = 0;
}

void sas_judge(const struct ident *now, const struct ident *before)
{
	struct sa_list list = {};
	size_t i;

	gather_sas(&list);
	for (i = 0; i < list.n; i++)
		judge_sa(&list.note[i], now, before);
	free(list.note);
	if (!before)
		return;
	pairs_each(retry_now, NULL);
	if (memcmp(ident_fingerprint(now), ident_fingerprint(before), 32))
		pairs_each(renew, NULL);
}

/* What a handshake trusted that began under @before and ended just now */
void sas_judge_pair(const struct pair *pair, const struct ident *before)
{
	struct sa_list list = {};
	size_t i;

	gather_sas(&list);
	for (i = 0; i < list.n; i++)
		if (of_pair(&list.note[i], pair))
			judge_sa(&list.note[i], setup_now->ident, before);
	free(list.note);
}

static int adopt_sa(const struct tcpseal_sa *sa, void *data)
{
	struct pair *pair;
	uint64_t when;

	(void)data;
	if (sa->dir != TCPSEAL_DIR_OUT || sa->flags & TCPSEAL_SA_FLAG_MANUAL ||
	    sa->state != TCPSEAL_SA_STATE_CURRENT)
		return 0;
	pair = pairs_find_or_add(&sa->local, &sa->peer);
	if (!pair)
		return 0;
	pair->live = true;
	pair->told = true;
	pair->told_mode = sa->mode_local;
	pair->mode_peer = sa->mode_peer;
	pair->generation = sa->generation;
	when = sa->soft_secs * 1250ULL + 10000;
	if (TCPSEAL_HAS(sa, SA_SOFT_SECS) && !sa->soft_secs)
		when = random_u32() % 5000;
	attempt_plan(pair, now_ms() + when);
	return 0;
}

static int adopt_pair(const struct tcpseal_pair *kp, void *data)
{
	const struct tcpseal_link *link;
	struct pair *pair;

	(void)data;
	pair = pairs_find(&kp->local, &kp->remote);
	if (!pair)
		return 0;
	link = links_of_pair(links_now, &kp->local, &kp->remote);
	if (pair->told && link) {
		pair->told_link = link->id;
		pair->told_aead = TCPSEAL_HAS(link, LINK_AEAD) ? link->aead : 0;
	}
	if (TCPSEAL_HAS(kp, PAIR_REASON) && *kp->reason)
		pair->complained = true;
	return 0;
}

void sas_adopt(void)
{
	int ret, tries = 0;

	do {
		ret = tcpseal_sa_dump(kernel, adopt_sa, NULL);
	} while (ret == -EINTR && ++tries < 5);
	tcpseal_pair_dump(kernel, NULL, adopt_pair, NULL);
	sas_judge(setup_now->ident, NULL);
}
