#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 500
#
# Each request that needs something of the kernel, with each thing that it needs
# refused once: memory, ciphers, tables, hooks. It fails and nothing of it stays, or it
# does without; and the next time it works. So does the module itself, and a network
# namespace. Then all of that at once under a connection that must be sealed.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${FAULT_KO:=$TOP/selftests/test_modules/tcpseal_fault.ko}"
SPEC=$TOP/Documentation/netlink/specs/tcpseal.yaml
PARAMETERS=/sys/module/tcpseal_fault/parameters

# What 6.12 calls the functions, and what they return when they refuse
NOTHING="__alloc_skb __kmalloc_cache_noprof __kmalloc_noprof __kvmalloc_node_noprof
	alloc_pages_noprof alloc_workqueue kstrdup nla_strdup pcpu_alloc_noprof genlmsg_put"
NO_MEMORY="__xa_alloc_cyclic __xa_insert crypto_alloc_aead crypto_aead_setkey
	crypto_aead_setauthsize genl_register_family netlink_register_notifier
	nf_defrag_ipv4_enable nf_defrag_ipv6_enable nf_register_net_hooks
	register_netdevice_notifier register_pernet_subsys register_pm_notifier
	register_random_vmfork_notifier rhashtable_init_noprof rhashtable_insert_slow
	pskb_expand_head skb_ensure_writable"

# What goes on when these have no memory: ciphers are looked for once more with the first
# key, and events are hints
WITHOUT=" tcpseal_key_warm_up event_begin "

faults_on()
{
	local function functions='' results=''
	for function in $NOTHING; do
		functions+=,$function results+=,0
	done
	for function in $NO_MEMORY; do
		functions+=,$function results+=,-12
	done
	insmod "$FAULT_KO" function="${functions#,}" result="${results#,}" caller=tcpseal
}

# arm SKIP LEFT EVERY
arm()
{
	echo 0 >$PARAMETERS/hits
	echo 0 >$PARAMETERS/calls
	echo "$1" >$PARAMETERS/skip
	echo "$3" >$PARAMETERS/every
	echo "$2" >$PARAMETERS/left
}

disarm()
{
	echo 0 >$PARAMETERS/left
	read -r HITS <$PARAMETERS/hits
	read -r AT <$PARAMETERS/at
}

# All that requests change
state_of()
{
	{ seal_a -j link show && seal_a -j sa show; } |
		jq -c 'map([.id, .local, .remote, .mode, .peer, .dir, .state])'
}

memory_of()
{
	seal_a -j peer show | jq -c 'map([.local, .remote, .identity, .reason])'
}

# each_refused WHAT LEAST STATE UNDO COMMAND...: STATE says what is there, UNDO takes the
# command back. At least LEAST calls of tcpseal's can be refused.
each_refused()
{
	local what=$1 least=$2 state=$3 undo=$4 n=0 status before wrong='' places=''
	shift 4
	before=$($state)
	while :; do
		arm $n 1 1
		"$@" >"$TMP/refused.out" 2>&1
		status=$?
		disarm
		[ "$HITS" = 1 ] || break
		places+=" ${AT%% *}"
		if [ $status = 0 ]; then
			[[ $WITHOUT = *" ${AT%%[. ]*} "* ]] || wrong+="$AT: goes through; "
			$undo
			before=$($state)
		elif ! grep -qiE 'memory|cannot|no room' "$TMP/refused.out"; then
			wrong+="$AT: says '$(head -n 1 "$TMP/refused.out")'; "
		elif [ "$($state)" != "$before" ]; then
			wrong+="$AT: $before, then $($state); "
		fi
		n=$((n + 1))
	done
	check "$what: no memory for one thing after the other, $n of them" at_least $n "$least"
	ktap_print_msg "refused to:$places"
	check "$what: nothing stays of it" is "$wrong" ""
	check "$what: in the end it works" is "$status $(head -n 1 "$TMP/refused.out")" "0 "
	$undo
}

# What the command line has no words for
netlink()
{
	on_a python3 "$TOOLS/netlink.py" "$SPEC" "$@"
}

# As a daemon does that begins to listen
listener()
{
	on_a python3 - "$TOOLS/netlink.py" "$SPEC" <<-'END'
		import os, socket, sys
		s = socket.socket()
		s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		s.bind(("10.1.0.5", 7325))
		s.listen()
		s.set_inheritable(True)
		os.execvp("python3", ["python3", *sys.argv[1:], "ctrl-new", f"fd={s.fileno()}", "port=7325"])
	END
}

# Only what it complains about
silent()
{
	"$@" >/dev/null
}

no_undo()
{
	:
}

module_there()
{
	module_loaded && echo there
}

load()
{
	insmod "$TCPSEAL_KO"
}

unload()
{
	rmmod tcpseal
}

links_gone()
{
	seal_a link flush --force --weaken
}

sas_gone()
{
	seal_a sa flush
}

add_sa()
{
	new_key ""
	seal_a sa add dir "$1" local "$2" peer "$3" spi "$SPI" key "$KEY" iv "$IV"
}

# Under want of memory everywhere, on both hosts at once: every seventh thing is refused
transfers()
{
	local f address
	for f in 4 6; do
		address=B$f
		snap before
		tap_start wire "$R" ra
		arm 0 60 7
		check "no memory for any seventh thing, IPv$f: the connections are exact" \
			pat "$A" "${!address}" -n 4 -u 300000 -d 300000
		disarm
		tap_stop wire
		ktap_print_msg "refused $HITS times; grown at A: $(growth A before)"
		check "no memory for any seventh thing, IPv$f: it was so" at_least "$HITS" 30
		check "no memory for any seventh thing, IPv$f: nothing plain left" all_sealed wire
	done
}

begin python3 unshare
[ -e "$FAULT_KO" ] || ktap_skip_all "no $FAULT_KO: make test_modules"
[ -e "$TCPSEAL_KO" ] || ktap_skip_all "no $TCPSEAL_KO"
need_own_module
unload
must faults_on
each_refused "the module" 15 module_there unload load
load_module
topo_up
each_refused "a network namespace" 8 no_undo no_undo unshare --net true

# Somebody listens to events
on_a "$TCPSEAL" monitor >"$TMP/monitor" 2>&1 &
monitor=$!
each_refused "the first link" 5 state_of links_gone \
	seal_a link add $NET_A4 $NET_B4 mode require keys manual
each_refused "the first of its family, and to audit" 5 state_of links_gone \
	seal_a link add $NET_A6 $NET_B6 mode audit
must link_both require keys manual
for dir in in out; do
	each_refused "a key for $dir" 8 state_of sas_gone add_sa $dir $A4 $B4
done
must netlink pair-set local=$A4 remote=$B4 identity=old reason=none
each_refused "what a daemon remembers" 2 memory_of no_undo \
	netlink pair-set local=$A4 remote=$B4 identity=new reason=because

# It takes the pair over, whose keys go, unless it fails
must sa_both 4
each_refused "a link that takes a pair over" 4 state_of no_undo \
	seal_a link add 10.1.0.0/24 10.2.0.0/24 mode require aead aes128 keys manual --force
must seal_a link del 10.1.0.0/24 10.2.0.0/24 --force --weaken
each_refused "a listening socket" 1 state_of no_undo listener
for what in "stats" "conf show"; do
	# shellcheck disable=SC2086
	each_refused "tcpseal $what" 1 state_of no_undo silent seal_a $what
done
kill $monitor

must sa_both 4
must sa_both 6
serve "$B"
transfers
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
