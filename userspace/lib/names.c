// SPDX-License-Identifier: LGPL-2.1-or-later
/* Numbers of the contract and their names; the matrix of two modes. */
#include <errno.h>
#include <string.h>

#include "internal.h"

#define COUNT(table)	(sizeof(table) / sizeof(*(table)))
#define NAME(table, nr) \
	((nr) < COUNT(table) && (table)[nr] ? (table)[nr] : "?")

static const char *const modes[] = {
	[TCPSEAL_MODE_NONE] = "none",
	[TCPSEAL_MODE_CLEAR] = "clear",
	[TCPSEAL_MODE_AUDIT] = "audit",
	[TCPSEAL_MODE_PREFER] = "prefer",
	[TCPSEAL_MODE_REQUIRE] = "require",
};

static const char *const aeads[] = {
	[TCPSEAL_AEAD_AES256_GCM] = "aes256",
	[TCPSEAL_AEAD_AES128_GCM] = "aes128",
};

static const char *const dirs[] = {
	[TCPSEAL_DIR_IN] = "in",
	[TCPSEAL_DIR_OUT] = "out",
};

static const char *const sa_states[] = {
	[TCPSEAL_SA_STATE_NEXT] = "next",
	[TCPSEAL_SA_STATE_CURRENT] = "current",
	[TCPSEAL_SA_STATE_DRAINING] = "draining",
	[TCPSEAL_SA_STATE_TOMBSTONE] = "tombstone",
};

static const char *const pair_states[] = {
	[TCPSEAL_PAIR_STATE_PLAIN] = "plain",
	[TCPSEAL_PAIR_STATE_SEALED] = "sealed",
	[TCPSEAL_PAIR_STATE_WAITING] = "waiting",
	[TCPSEAL_PAIR_STATE_BLOCKED] = "blocked",
};

static const char *const expire_whys[] = {
	[TCPSEAL_EXPIRE_WHY_TIME] = "time",
	[TCPSEAL_EXPIRE_WHY_VOLUME] = "volume",
	[TCPSEAL_EXPIRE_WHY_INTEGRITY] = "integrity",
	[TCPSEAL_EXPIRE_WHY_IDLE] = "idle",
	[TCPSEAL_EXPIRE_WHY_REMOVED] = "removed",
};

static const char *const acquire_whys[] = {
	[TCPSEAL_ACQUIRE_WHY_TRAFFIC] = "traffic",
	[TCPSEAL_ACQUIRE_WHY_REKEY] = "rekey",
	[TCPSEAL_ACQUIRE_WHY_STATE_LOSS] = "state-loss",
	[TCPSEAL_ACQUIRE_WHY_OPERATOR] = "operator",
};

static const char *const cmds[] = {
	[TCPSEAL_CMD_ACQUIRE_NTF] = "acquire",
	[TCPSEAL_CMD_EXPIRE_NTF] = "expire",
	[TCPSEAL_CMD_TAMPER_NTF] = "tamper",
	[TCPSEAL_CMD_PAIR_NTF] = "pair",
	[TCPSEAL_CMD_LINK_NTF] = "link",
};

#define X(nr, id, name, text) [nr] = name,
static const char *const drop_names[] = { TCPSEAL_DROP_REASONS(X) };
static const char *const note_names[] = { TCPSEAL_NOTES(X) };
#undef X

#define X(nr, id, name, text) [nr] = text,
static const char *const drop_texts[] = { TCPSEAL_DROP_REASONS(X) };
static const char *const note_texts[] = { TCPSEAL_NOTES(X) };
#undef X

static const char *const outcomes[] = {
	[TCPSEAL_OUTCOME_PLAIN] = "plain",
	[TCPSEAL_OUTCOME_SEALED] = "sealed",
	[TCPSEAL_OUTCOME_SEALED_STICKY] = "sealed, sticky",
	[TCPSEAL_OUTCOME_BLOCKED] = "blocked",
};

static int find(const char *const *table, uint32_t n, uint32_t from,
		const char *word, uint32_t *value)
{
	uint32_t i;

	for (i = from; i < n; i++) {
		if (!table[i] || strcmp(table[i], word))
			continue;
		*value = i;
		return 0;
	}
	return -EINVAL;
}

const char *tcpseal_mode_name(uint32_t mode)
{
	return NAME(modes, mode);
}

/* "none" is an answer, not a mode that a link can have */
int tcpseal_mode_parse(const char *word, uint32_t *mode)
{
	return find(modes, COUNT(modes), TCPSEAL_MODE_CLEAR, word, mode);
}

const char *tcpseal_aead_name(uint32_t aead)
{
	return NAME(aeads, aead);
}

int tcpseal_aead_parse(const char *word, uint32_t *aead)
{
	return find(aeads, COUNT(aeads), 1, word, aead);
}

unsigned int tcpseal_aead_keylen(uint32_t aead)
{
	switch (aead) {
	case TCPSEAL_AEAD_AES256_GCM:
		return 32;
	case TCPSEAL_AEAD_AES128_GCM:
		return 16;
	}
	return 0;
}

const char *tcpseal_dir_name(uint32_t dir)
{
	return NAME(dirs, dir);
}

int tcpseal_dir_parse(const char *word, uint32_t *dir)
{
	return find(dirs, COUNT(dirs), 1, word, dir);
}

const char *tcpseal_sa_state_name(uint32_t state)
{
	return NAME(sa_states, state);
}

const char *tcpseal_pair_state_name(uint32_t state)
{
	return NAME(pair_states, state);
}

const char *tcpseal_expire_why_name(uint32_t why)
{
	return NAME(expire_whys, why);
}

const char *tcpseal_acquire_why_name(uint32_t why)
{
	return NAME(acquire_whys, why);
}

const char *tcpseal_cmd_name(uint8_t cmd)
{
	return NAME(cmds, cmd);
}

const char *tcpseal_drop_name(uint32_t reason)
{
	return NAME(drop_names, reason);
}

const char *tcpseal_drop_text(uint32_t reason)
{
	return NAME(drop_texts, reason);
}

const char *tcpseal_note_name(uint32_t note)
{
	return NAME(note_names, note);
}

const char *tcpseal_note_text(uint32_t note)
{
	return NAME(note_texts, note);
}

/* Documentation/protocol.rst has this as a table; the kernel has its own */
enum tcpseal_outcome tcpseal_matrix(uint32_t local, int peer)
{
	bool willing = peer >= TCPSEAL_MODE_AUDIT;
	bool both = local >= TCPSEAL_MODE_PREFER && peer >= TCPSEAL_MODE_PREFER;

	if (local < TCPSEAL_MODE_AUDIT)
		return TCPSEAL_OUTCOME_PLAIN;
	if (both)
		return TCPSEAL_OUTCOME_SEALED_STICKY;
	if (local == TCPSEAL_MODE_REQUIRE)
		return willing ? TCPSEAL_OUTCOME_SEALED :
				 TCPSEAL_OUTCOME_BLOCKED;
	if (local == TCPSEAL_MODE_AUDIT && peer == TCPSEAL_MODE_REQUIRE)
		return TCPSEAL_OUTCOME_SEALED;
	return TCPSEAL_OUTCOME_PLAIN;
}

const char *tcpseal_outcome_name(enum tcpseal_outcome outcome)
{
	return NAME(outcomes, outcome);
}
