#!/bin/sh
# Kinds of link that the development machine has not, made by our ip and by iproute2's, and shown by both, as text and as
# JSON; a wire with translation and a limit, on a kernel of another age; what is said where a kind is missing.
# vm: modules dummy 8021q ipvlan ipvtap macvlan macvtap vxlan tun ifb veth bridge nf_tables nft_chain_nat nft_masq nft_fib_inet nft_ct sch_tbf
# vm: add ip
# shellcheck disable=SC2016 # What stands in single quotes is for an inner shell.
# shellcheck source=tests/vm/guest/lib
. /vm/lib

theirs=$(command -v /usr/sbin/ip || command -v /usr/bin/ip)

cat >/tmp/lines <<'LINES'
link add base address 02:00:00:00:00:01 type dummy
link set base up
link add a0 address 02:00:00:00:00:99 mtu 1400 type dummy
link add link base name b0 type vlan id 7
link add link base name b1 type vlan protocol 802.1ad id 4094 reorder_hdr off gvrp on
link add link base name b2 type vlan id 4096
link add link base name c0 address 02:00:00:00:00:99 type macvlan mode bridge
link add link base name c1 address 02:00:00:00:00:98 type macvtap mode vepa
link add base2 address 02:00:00:00:00:03 type dummy
link add link base2 name d0 type ipvlan mode l2
link add link base2 name d1 type ipvlan mode l2 private
link add link base2 name d2 type ipvlan mode bogus
link add link base2 name d3 type ipvtap
link add e0 address 02:00:00:00:00:99 type vxlan id 42 dstport 4789 local 192.0.2.1
link add e1 address 02:00:00:00:00:99 type vxlan id 43 dev base group 239.1.1.1 dstport 4790 ttl 3
link add e2 type vxlan
link add f0 address 02:00:00:00:00:99 type ifb
link add f2 type nosuch
link add f3 type wireguard
tuntap add g0 mode tun
tuntap add g1 mode tap multi_queue user 1000
link set g1 address 02:00:00:00:00:97
link set base2 address 02:00:00:00:00:02
link set a0 name a1
link del b1
LINES
cat >/tmp/make <<'MAKE'
while read -r line; do
    $1 $line 2>/tmp/said || { echo "$line: status $?"; grep -v ^hint: /tmp/said; }
done </tmp/lines
MAKE
cat >/tmp/show <<'SHOW'
for form in '-d' '-d -j' '-d -o' '-br'; do $1 $form link; done
$1 -j tuntap; $1 link show type vlan; $1 -d link show master base
SHOW
look() { /bin/unshare -n sh -c "sh /tmp/make $1; sh /tmp/show $2" >"$3" 2>&1; }

look "$theirs" "$theirs" /tmp/want
look /bin/ip "$theirs" /tmp/made
/bin/unshare -n sh -c "sh /tmp/make /bin/ip; sh /tmp/show /bin/ip" >/tmp/shown 2>&1
check 'links are made as iproute2 makes them' diff /tmp/want /tmp/made
check 'and shown as it shows them' diff /tmp/want /tmp/shown
equal 'all kinds are there' 'dummy:3 ifb:1 ipvlan:2 ipvtap:1 macvlan:1 macvtap:1 tun:2 vlan:1 vxlan:2' \
    sh -c 'grep -o "info_kind\":\"[a-z]*" /tmp/want | cut -d\" -f3 | sort | uniq -c | while read -r n kind; do echo $kind:$n; done | xargs'
fails 'a kind that is missing is named' 'modprobe wireguard' /bin/ip link add w0 type wireguard

# --- a wire, and the way out, told by the one who looks
cat >/tmp/wire <<'WIRE'
mount -t tmpfs run /run && /bin/ip link set lo up && /bin/ip netns add web && /bin/ip netns add wan
/bin/veth up0@203.0.113.2/24 eth0@203.0.113.1/24 --ns wan
/bin/veth -b br0@10.9.0.1/24,fd09::1/64 eth0@10.9.0.2/24,fd09::2/64 --ns web --gw 10.9.0.1 --rate 10mbit
/bin/ip why web 203.0.113.1 | grep FAULT
/bin/nat add 10.9.0.0/24 2>/dev/null
/bin/ip why web 203.0.113.1 | grep -o '203.0.113.1 answers'
/bin/ip why web fd09::1 | grep -o 'fd09::1 answers'
/bin/nat del --all 2>/dev/null; /bin/veth del --all; cat /proc/sys/net/ipv4/ip_forward; /bin/ip -br link | cut -d' ' -f1
WIRE
equal 'a wire, translation and their end' 'FAULT net.ipv4.ip_forward is 0: this namespace passes nothing on
203.0.113.1 answers
fd09::1 answers
0
lo' unshare -mn sh /tmp/wire

# --- parts that are missing
rmmod veth bridge nft_masq 2>/dev/null
fails 'veth is named where it is missing' 'modprobe veth' veth a@10.7.0.1/24 b@10.7.0.2/24 --ns $$
fails 'and bridge' 'modprobe bridge' veth -b br0@10.7.0.1/24 b@10.7.0.2/24 --ns $$
fails 'and what the packet filter needs' 'modprobe nf_tables' nat add 10.9.0.0/24
equal 'and nothing is left' 0 sh -c 'echo $(cat /proc/sys/net/ipv4/ip_forward; /bin/ip -br link show type veth; /bin/ip -br link show type bridge)'
done_checking
