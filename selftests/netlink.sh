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

verdicts_of "the prober" on_a timeout 100 python3 "$TOOLS/netlink.py" "$SPEC"
check "another namespace has not changed" same_as_before "$before"
check "and sees nothing of this one" is "$(seal_b -j stats | jq .sas)" 0
ktap_finished
