#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: debug
# timeout: 300
#
# Unit tests in the kernel (selftests/kunit): replay windows, counters, policy,
# records, ciphers, and skbs of every shape. They need a kernel with KUnit, which
# distributions' cloud kernels are not.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${KUNIT_KO:=$SELFTESTS/kunit/tcpseal_kunit.ko}"

# What the kernel said since the test began: KTAP
said()
{
	dmesg --notime | sed "1,/tcpseal selftest $TEST $$ begins/d"
}

begin
[ -e "$KUNIT_KO" ] || ktap_skip_all "no $KUNIT_KO: no KUnit in this kernel"
! module_loaded || ktap_skip_all "the module is loaded, whose tracepoints have the same names"
must modprobe kunit enable=1
depends=$(modinfo -F depends "$KUNIT_KO" | tr ',' ' ')
# shellcheck disable=SC2086
must modprobe -a $depends
must insmod "$KUNIT_KO"
said >"$TMP/said"
while read -r verdict suite case; do
	if [ "$verdict" = ok ]; then
		ktap_test_pass "$suite: $case"
	else
		ktap_test_fail "$suite: $case"
		grep -F -A 8 "# $case: " "$TMP/said" | head -n 40 | sed 's/^/# /'
	fi
done < <(awk '
	$1 == "#" && $2 == "Subtest:" { suite = $3 }
	/^    ok / { print "ok", suite, $3 }
	/^    not ok / { print "bad", suite, $4 }' "$TMP/said")
planned=$(awk '/^    1\.\./ { sub(/.*\.\./, ""); n += $1 } END { print n + 0 }' "$TMP/said")
check "all suites ran" is "$(grep -c '# Subtest: tcpseal_' "$TMP/said")" 5
check "all cases ran" is "$ktap_n" "$((planned + 1))"
must rmmod tcpseal_kunit
ktap_finished
