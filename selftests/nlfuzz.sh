#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Random netlink requests, made from the spec and then spoiled, by one process and by
# several at once, while connections come and go: the kernel answers all of them, its
# lists agree with its counters, no key comes back, a flush leaves nothing, and the
# other namespace sees nothing of it.
#
# NLFUZZ_REQUESTS=N: how many (4,000), NLFUZZ_SEED=N: other ones.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${NLFUZZ_REQUESTS:=4000}" "${NLFUZZ_SEED:=1}"
SPEC=$TOP/Documentation/netlink/specs/tcpseal.yaml

state_of_b()
{
	seal_b -j link show
	seal_b -j sa show
	seal_b -j conf show
}

begin python3
python3 -c 'import yaml' 2>/dev/null || ktap_skip_all "python3 has no yaml"
[ -e "$SPEC" ] || ktap_skip_all "no $SPEC"
load_module
setup_ns A B
ktap_print_msg "NLFUZZ_SEED=$NLFUZZ_SEED NLFUZZ_REQUESTS=$NLFUZZ_REQUESTS"

must ip -n "$A" link add a0 type dummy
must host_up "$A" a0 $A4/8 $A6/16
must add_links "$B" B A require keys manual
before=$(state_of_b)

verdicts_of "the fuzzer" on_a timeout $((100 * SLOW + NLFUZZ_REQUESTS / 10)) \
	python3 "$TOOLS/nlfuzz.py" "$SPEC" "$NLFUZZ_SEED" "$NLFUZZ_REQUESTS"
check "another namespace has not changed" is "$(state_of_b)" "$before"
check "the namespace can be used as before" add_links "$A" A B require keys manual
ktap_finished
