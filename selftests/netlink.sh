#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# The netlink family refuses: every attribute missing, short, long, out of range;
# unprivileged callers; other namespaces. With an errno and an extended ack, and
# nothing changed. The requests are made from the spec.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

SPEC=$TOP/Documentation/netlink/specs/tcpseal.yaml

same_as_before()
{
	is "$(seal_b -j link show; seal_b -j sa show)" "$1"
}

begin python3
python3 -c 'import yaml' 2>/dev/null || ktap_skip_all "python3 has no yaml"
[ -e "$SPEC" ] || ktap_skip_all "no $SPEC"
load_module
setup_ns A B

# B has state that nothing in A may touch
must seal_b link add $NET_A4 $NET_B4 mode require keys manual
before=$(seal_b -j link show; seal_b -j sa show)

on_a timeout 100 python3 "$TOOLS/netlink.py" "$SPEC" >"$TMP/netlink.out" 2>"$TMP/netlink.err"
status=$?
while read -r verdict text; do
	case $verdict in
	ok) ktap_test_pass "$text" ;;
	skip) ktap_test_skip "${text%%: *}" "${text#*: }" ;;
	not)
		ktap_test_fail "${text#ok }"
		;;
	esac
done <"$TMP/netlink.out"
check "the prober came to its end" at_most "$status" 1
[ "$status" -le 1 ] || ktap_print_msg "$(tail -n 5 "$TMP/netlink.err")"
check "another namespace has not changed" same_as_before "$before"
check "and sees nothing of this one" is "$(seal_b -j stats | jq .sas)" 0
ktap_finished
