#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# tcpseal plan: what it says a configuration file would change is what a reload of the
# daemon changes, and where it says that the kernel refuses, the reload changes nothing.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# file LINK-LINES...: a new configuration, $TMP/new.conf
file()
{
	{
		grep -v '^link' "$TMP/A.conf"
		printf 'link %s\n' "$@"
	} >"$TMP/new.conf"
}

# plan STATUS: of the new file; the document is in $TMP/plan
plan()
{
	local status=0
	seal_a -j plan "$TMP/new.conf" from "$TMP/A.conf" >"$TMP/plan" || status=$?
	is "$status" "$1"
}

# entry REMOTE/len JQ: of the plan's line about the link to that prefix
entry()
{
	jq -e ".[] | select(.link | contains(\" $1 \")) | $2" "$TMP/plan" >/dev/null && return
	cat "$TMP/plan"
	return 1
}

links()
{
	seal_a -j link show | jq -S 'map("\(.local)/\(.local_len) \(.remote)/\(.remote_len) mode \(.mode)") | sort | .[]' -r
}

# The new file is the daemon's
reload()
{
	local before
	before=$(grep -cE 'is in force|stays in force' "$TMP/daemon-A.log")
	cp "$TMP/new.conf" "$TMP/A.conf"
	daemon_reload A
	slowwait 10 reloaded "$before"
}

reloaded()
{
	[ "$(grep -cE 'is in force|stays in force' "$TMP/daemon-A.log")" -gt "$1" ]
}

begin
load_module
topo_up
must pki_up
printf 'link %s\n' "10.1.0.0/16 10.2.0.0/16 mode require" "10.1.0.0/16 10.3.0.0/16" \
	"10.1.0.0/16 10.4.0.0/16 mode prefer" "10.1.0.0/16 10.6.0.0/16" | conf_for A
must daemon_start A
must seal_a link add 10.1.0.0/16 10.9.0.0/16 mode prefer
before=$(links)

file "10.1.0.0/16 10.2.0.0/16 mode require" "10.1.0.0/16 10.3.0.0/16" \
	"10.1.0.0/16 10.4.0.0/16 mode prefer" "10.1.0.0/16 10.6.0.0/16 # same"
check "nothing to do but what stays" plan 0
check "a link of neither file stays" is "$(jq -c '[.[].change]' "$TMP/plan")" '["stay"]'

file "10.1.0.0/16 10.2.0.0/16 mode prefer" "10.1.0.0/16 10.3.0.0/16 mode require" \
	"10.1.0.0/16 10.6.0.0/16"
check "require becomes prefer: exit status" plan 1
check "require becomes prefer: named" entry 10.2.0.0/16 \
	'.change == "change" and .weaker and .refused and .mode_before == "require" and .mode_after == "prefer"'
check "for people" contains "$(seal_a plan "$TMP/new.conf" from "$TMP/A.conf")" \
	"REFUSED: the line does not say weaken"
cp "$TMP/A.conf" "$TMP/old.conf"
must reload
check "the reload is refused" is "$(links)" "$before"
cp "$TMP/old.conf" "$TMP/A.conf"

file "10.1.0.0/16 10.2.0.0/16 mode require" "10.1.0.0/16 10.2.7.0/24 mode clear"
check "a hole in require: exit status" plan 1
check "a hole in require: named" entry 10.2.7.0/24 '.change == "add" and .weaker and .refused'

file "10.1.0.0/16 10.3.0.0/16"
check "require goes: exit status" plan 1
check "require goes: named" entry 10.2.0.0/16 \
	'.change == "remove" and .weaker and .refused and .mode_after == "none"'

file "10.1.0.0/16 10.2.0.0/16 mode prefer weaken" "10.1.0.0/16 10.3.0.0/16 mode require" \
	"10.1.0.0/16 10.3.7.0/24 mode clear weaken" "10.1.0.0/16 10.5.0.0/16 nontcp drop" \
	"10.1.0.0/16 10.6.0.0/16 aead aes128" "10.1.0.0/16 10.7.0.0/16 forward dev a0"
check "a change of everything: exit status" plan 0
check "weaker, and said so" entry 10.2.0.0/16 '.change == "change" and .weaker and (.refused | not)'
check "stronger" entry 10.3.0.0/16 '.change == "change" and (.weaker | not) and .mode_after == "require"'
check "a hole, and said so" entry 10.3.7.0/24 '.change == "add" and (.refused | not)'
check "removed" entry 10.4.0.0/16 '.change == "remove" and .weaker and (.refused | not)'
check "added" entry 10.5.0.0/16 '.change == "add" and .mode_before == "none" and .mode_after == "audit"'
check "another cipher" entry 10.6.0.0/16 '.change == "change" and (.weaker | not)'
check "nothing was changed by asking" is "$(links)" "$before"
{
	jq -r '.[] | select(.change != "remove") | .link' "$TMP/plan" | cut -d ' ' -f 1-4
} | sort >"$TMP/foretold"
must reload
check "and so it comes" diff "$TMP/foretold" <(links)

echo "link 10.1.0.0/16 10.2.0.0/16 mode gladly" >"$TMP/bad.conf"
seal_a plan "$TMP/bad.conf" from "$TMP/A.conf" 2>"$TMP/said"
check "a bad line: status" is $? 1
check "a bad line: named" grep -q "bad.conf:1: .*gladly" "$TMP/said"
seal_a plan /nowhere 2>/dev/null
check "no file: status" is $? 1
seal_a plan "$TMP/new.conf" gladly 2>/dev/null
check "bad words: status" is $? 2
ktap_finished
