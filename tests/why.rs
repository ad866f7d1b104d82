//! ip why: every fault that a network can have, one after the other, each found and each repaired by the very line that is
//! told. "The internet" is a namespace of the test's own.
//!
//! ```text
//! wan 203.0.113.1 -- 203.0.113.2 w0 (the test's own namespace, the router) br0 10.9.0.1 -- vh vg 10.9.0.2 web
//! ```

use crate::kit::Sandbox;

const LAB: &str = r#"
ip=/sbin/ip
unshare -n sleep 60 & wan=$!
unshare -n sleep 60 & web=$!
trap 'kill -9 $wan $web; nat del --all 2>/dev/null; $ip link del br0 2>/dev/null; $ip link del w0; nft flush ruleset' EXIT
for pid in $wan $web; do
    while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
done
$ip link set lo up
$ip link add w0 type veth peer name w1 netns $wan; $ip addr add 203.0.113.2/24 dev w0; $ip link set w0 up
nsenter -t $wan -n $ip addr add 203.0.113.1/24 dev w1; nsenter -t $wan -n $ip link set w1 up
# Says the fault, and does what is told to help.
fault() {
    ip why $web ${1-203.0.113.1} >told; status=$?
    sed -n "s/\b$web\b/WEB/g; s/^FAULT //p" told | tail -1; echo "status $status"
    sed -n '/^FAULT/,$s/^      try: //p' told | tail -1 >fix
}
mend() { sed -i 's/\biptables\b/iptables-nft/g' fix; sh ./fix 2>/dev/null; }
web() { nsenter -t $web -n "$@"; }
"#;

fn run(what: &str, want: &str) {
    let t = Sandbox::new("why");
    t.run(&format!("{LAB}\n{what}")).ok().out(want);
}

/// From a namespace with nothing to one that reaches the world, by doing what is told.
#[test]
fn each_fault_is_found_and_the_line_told_repairs_it() {
    needs!(root, host("ip"), host("nft"), host("iptables-nft"));
    run(
        r#"
        $ip link add br0 type bridge; $ip link set br0 up; iptables-nft -P FORWARD DROP
        fault
        $ip link add vh type veth peer name vg netns $web
        fault; mend; fault; mend; fault; mend; fault; mend
        fault; $ip addr add 10.9.0.1/24 dev br0
        fault; mend; fault; mend; fault; mend; fault"#,
        "there is no interface but lo\nstatus 1\n\
         vg is down: its addresses and routes do not count\nstatus 1\n\
         vg has no IPv4 address\nstatus 1\n\
         there is no route to 203.0.113.1, nor any but to 10.9.0.0/24\nstatus 1\n\
         vh, the other end of vg, is down\nstatus 1\n\
         the gateway 10.9.0.1 is silent: nobody here has that address\nstatus 1\n\
         br0 has the gateway's address, and vh, the other end of vg, is no port of it\nstatus 1\n\
         net.ipv4.ip_forward is 0: this namespace passes nothing on\nstatus 1\n\
         it is dropped by the policy of chain FORWARD of table ip filter\nstatus 1\n\
         status 0\n",
    );
}

/// The same over IPv6, where an address may not be used before others were asked for it.
#[test]
fn ipv6_is_found_and_repaired_too() {
    needs!(root, host("ip"), host("nft"));
    run(
        r#"
        $ip addr add 2001:db8::2/64 dev w0 nodad; nsenter -t $wan -n $ip addr add 2001:db8::1/64 dev w1 nodad
        all() { while fault 2001:db8::1 >said; ! grep -q 'status 0' said; do head -1 said; mend >/dev/null; done; echo reached; }
        fault 2001:db8::1; sed "s/$web/WEB/" fix
        $ip link add vh type veth peer name vg netns $web; $ip addr add fd00:9::1/64 dev vh nodad
        all | grep -v 'still being asked'
        nft add table ip6 x; nft 'add chain ip6 x f { type filter hook forward priority 10; policy drop; }'
        all; $ip link del vh"#,
        "there is no interface but lo\nstatus 1\n\
         veth vh@fd00:9::1/64 vg@fd00:9::2/64 --gw fd00:9::1 --nat --ns WEB\n\
         vg is down: its addresses and routes do not count\n\
         vg has no IPv6 address\n\
         there is no route to 2001:db8::1, nor any but to fd00:9::/64\n\
         vh, the other end of vg, is down\n\
         net.ipv6.conf.all.forwarding is 0: this namespace passes nothing on\n\
         reached\n\
         it is dropped by the policy of chain f of table ip6 x\nreached\n",
    );
}

/// What stands in the way where all is connected.
#[test]
fn what_stands_in_the_way_is_named() {
    needs!(root, host("ip"), host("nft"));
    run(
        r#"
        veth -b br0@10.9.0.1/24 vg@10.9.0.2/24 --gw 10.9.0.1 --ns $web
        echo 1 >/proc/sys/net/ipv4/ip_forward
        fault; mend; fault
        web nft add table inet own; web nft 'add chain inet own out { type filter hook output priority 0; policy drop; }'
        fault; web nft flush ruleset
        nft add table ip x; nft 'add chain ip x f { type filter hook forward priority 10; }'
        nft add rule ip x f ip daddr 203.0.113.0/24 ip protocol icmp drop comment '"not to the wan"'
        fault | sed 's/rule [0-9]*/rule N/'; nft delete table ip x
        nsenter -t $wan -n $ip link set w1 down
        fault; cat fix | sed "s/$wan/WAN/"; mend
        fault 198.51.100.7; fault 203.0.113.77; fault 10.9.0.1; fault 127.0.0.1"#,
        "it leaves w0 as 10.9.0.2, and nobody out there knows the way back to that: there is no address translation\nstatus 1\n\
         status 0\n\
         in the namespace itself, the policy of chain out of table inet own drops it\nstatus 1\n\
         it is dropped by rule N (\"not to the wan\") of chain f of table ip x\nstatus 1\n\
         w1, the other end of w0, is down\nstatus 1\nnsenter -t WAN -n ip link set w1 up\n\
         this namespace, the router, has no route to 198.51.100.7 itself\nstatus 1\n\
         203.0.113.77, the next on the way, is silent\nstatus 1\n\
         status 0\nstatus 0\n",
    );
}

/// What the other faults are mended by is told too, and true: lo, chains, rules, routes that forbid, name servers.
#[test]
fn the_lines_that_are_told_mend() {
    needs!(root, host("ip"), host("nft"), host("perl"));
    run(
        r#"
        both() { fault "$1"; mend; ip why $web "$1" | grep -o '[0-9.]* answers$' | tail -1; }
        both 127.0.0.1
        veth -b br0@10.9.0.1/24 vg@10.9.0.2/24 --gw 10.9.0.1 --ns $web; nat add 10.9.0.0/24 2>/dev/null
        web nft add table inet own; web nft 'add chain inet own out { type filter hook output priority 0; policy drop; }'
        both 203.0.113.1; web nft flush ruleset
        nft add table ip x; nft 'add chain ip x f { type filter hook forward priority 10; }'
        nft add rule ip x f ip daddr 203.0.113.0/24 ip protocol icmp drop; both 203.0.113.1 | sed 's/rule [0-9]*/rule N/'; nft delete table ip x
        nft add table ip x; nft 'add chain ip x i { type filter hook input priority 10; policy drop; }'; both 10.9.0.1; nft delete table ip x
        for kind in blackhole unreachable prohibit; do web ip route add $kind 203.0.113.0/24; both 203.0.113.1; done
        nsenter -t $wan -n $ip addr add 1.1.1.1/32 dev w1; ip route add 1.1.1.1 via 203.0.113.1
        nsenter -t $wan -n perl -e 'use IO::Socket::INET; $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "1.1.1.1", LocalPort => 53);
            while ($s->recv($q, 512)) { substr($q, 2, 6) = "\x81\x80\0\1\0\1";
                $s->send($q . "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xcb\0\x71\1") }' & server=$!
        while ! nsenter -t $wan -n grep -q ':0035 ' /proc/net/udp; do sleep 0.01; done
        for conf in '' 'nameserver 127.0.0.53'; do
            echo "$conf" >conf; nsenter -t $web -n unshare -m sh -c 'mount --bind conf /etc/resolv.conf; exec sleep 60' & pid=$!
            until grep -q sleep /proc/$pid/comm; do sleep 0.01; done
            ip why $pid box.example >told; sed -n 's/^      try: //p' told | tail -1 >fix; mend; ip why $pid box.example | tail -1; kill $pid
        done; kill $server"#,
        "lo is down: nothing in there reaches the namespace itself\nstatus 1\n127.0.0.1 answers\n\
         in the namespace itself, the policy of chain out of table inet own drops it\nstatus 1\n203.0.113.1 answers\n\
         it is dropped by rule N of chain f of table ip x\nstatus 1\n203.0.113.1 answers\n\
         it is dropped by the policy of chain i of table ip x\nstatus 1\n10.9.0.1 answers\n\
         the route 'blackhole 203.0.113.0/24' forbids it\nstatus 1\n203.0.113.1 answers\n\
         the route 'unreachable 203.0.113.0/24' forbids it\nstatus 1\n203.0.113.1 answers\n\
         the route 'prohibit 203.0.113.0/24' forbids it\nstatus 1\n203.0.113.1 answers\n\
         ok    203.0.113.1 answers\nok    203.0.113.1 answers\n",
    );
}

/// Names: no server, one that answers only elsewhere, one that is silent, one that answers.
#[test]
fn names_are_looked_into() {
    needs!(root, host("ip"), host("perl"));
    run(
        r#"
        veth -b br0@10.9.0.1/24 vg@10.9.0.2/24 --gw 10.9.0.1 --ns $web
        nat add 10.9.0.0/24 2>/dev/null
        ask() { echo "$1" >conf; nsenter -t $web -n unshare -m sh -c 'mount --bind conf /etc/resolv.conf; echo $$ >pid; exec sleep 60' &
            while ! [ -s pid ] || ! grep -q sleep /proc/$(cat pid)/comm; do sleep 0.01; done
            ip why $(cat pid) box.example | sed "s/$(cat pid)/PID/g" | grep -e FAULT -e answers -e says; kill $(cat pid); rm pid; }
        ask ''; ask 'nameserver 127.0.0.53'; ask 'nameserver 203.0.113.9'
        nsenter -t $wan -n perl -e 'use IO::Socket::INET; $s = IO::Socket::INET->new(Proto => "udp", LocalPort => 53);
            while ($s->recv($q, 512)) { substr($q, 2, 6) = "\x81\x80\0\1\0\1";
                $s->send($q . "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xcb\0\x71\1") }' & server=$!
        while ! nsenter -t $wan -n grep -q ':0035 ' /proc/net/udp; do sleep 0.01; done
        ask 'nameserver 203.0.113.1'; kill $server"#,
        "FAULT /proc/PID/root/etc/resolv.conf names no name server\n\
         FAULT /proc/PID/root/etc/resolv.conf names 127.0.0.53, which answers only in the namespace of the machine\n\
         FAULT the name server 203.0.113.9 is silent\n\
         ok    the gateway 10.9.0.1, br0 here, answers\n\
         FAULT 203.0.113.9, the next on the way, is silent\n\
         ok    203.0.113.1 says that box.example is 203.0.113.1\n\
         ok    203.0.113.1 answers\n",
    );
}

/// What a link hangs on is looked for in every namespace that can be found: here, in there, by name, by process.
#[test]
fn a_far_end_that_is_down_is_found() {
    needs!(root, host("ip"));
    run(
        r#"
        mount -t tmpfs run /run; $ip netns add blue
        $ip link add far type veth peer name vg netns $web; $ip link set far netns blue; web $ip link set vg up
        web $ip addr add 10.9.0.2/24 dev vg; $ip -n blue addr add 10.9.0.1/24 dev far
        both() { fault 10.9.0.1; cat fix | sed "s/\b$web\b/WEB/g; s/\b$wan\b/WAN/g"; mend; ip why $web 10.9.0.1 | grep -o '[0-9.]* answers$'; }
        carries() { for i in $(seq 100); do web $ip link show $1 | grep -o LOWER_UP && break; sleep 0.05; done; }
        both; $ip -n blue link del far
        $ip link add far type veth peer name vg netns $web; $ip link set far netns $wan; web $ip link set vg up
        web $ip addr add 10.9.0.2/24 dev vg; nsenter -t $wan -n $ip addr add 10.9.0.1/24 dev far
        both; web $ip link del vg
        web $ip link add far type veth peer name vg; web $ip link set vg up; web $ip addr add 10.9.0.2/24 dev vg
        fault 10.9.0.1; mend; carries vg; web $ip link del vg
        web $ip link add br7 type bridge; web $ip link set br7 up; web $ip addr add 10.9.0.2/24 dev br7
        web $ip link add dm type veth peer name dn; web $ip link set dn up; web $ip link set dm master br7
        fault 10.9.0.1; sed -i s/LINK/dm/ fix; mend; carries br7
        web $ip link del br7; $ip link add low type veth peer name end; $ip link set end up
        $ip link add link low name vg netns $web type macvlan
        web $ip link set vg up; web $ip addr add 10.9.0.2/24 dev vg; fault 10.9.0.1; cat fix; mend
        carries vg; $ip link del low; umount -l /run"#,
        "far, the other end of vg, is down\nstatus 1\nip netns exec blue ip link set far up\n10.9.0.1 answers\n\
         far, the other end of vg, is down\nstatus 1\nnsenter -t WAN -n ip link set far up\n10.9.0.1 answers\n\
         far, the other end of vg, is down\nstatus 1\nLOWER_UP\n\
         br7 is up and has no carrier: no port of it is up\nstatus 1\nLOWER_UP\n\
         low, the link below vg, is down\nstatus 1\nip link set low up\nLOWER_UP\n",
    );
}

/// A name server that can be reached and says nothing: the line that is told names one that answers, asked from inside.
#[test]
fn a_silent_name_server_is_replaced_by_one_that_answers() {
    needs!(root, host("ip"), host("perl"));
    run(
        r#"
        veth -b br0@10.9.0.1/24 vg@10.9.0.2/24 --gw 10.9.0.1 --ns $web; nat add 10.9.0.0/24 2>/dev/null
        nsenter -t $wan -n perl -e 'use IO::Socket::INET; $s = IO::Socket::INET->new(Proto => "udp", LocalPort => 53);
            while ($s->recv($q, 512)) { substr($q, 2, 6) = "\x81\x80\0\1\0\1";
                $s->send($q . "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xcb\0\x71\1") }' & server=$!
        while ! nsenter -t $wan -n grep -q ':0035 ' /proc/net/udp; do sleep 0.01; done
        echo 'nameserver 203.0.113.1' >machine; mount --bind machine /etc/resolv.conf
        echo 'nameserver 10.9.0.1' >conf
        nsenter -t $web -n unshare -m sh -c 'mount --bind conf /etc/resolv.conf; exec sleep 60' & pid=$!
        until grep -q sleep /proc/$pid/comm; do sleep 0.01; done
        for what in box.example 203.0.113.1; do
            echo 'nameserver 10.9.0.1' >conf; ip why $pid $what >told; echo $?; grep silent told
            sed -n 's/^      try: //p' told | tail -1 >fix; sed "s/$pid/PID/" fix; mend; ip why $pid $what | tail -1
        done
        echo 'nameserver 10.9.0.1' | tee conf machine >/dev/null; ip why $pid box.example | sed "s/$pid/PID/"
        kill $pid $server; umount /etc/resolv.conf"#,
        "1\nFAULT the name server 10.9.0.1 is silent\necho 'nameserver 203.0.113.1' >/proc/PID/root/etc/resolv.conf\n\
         ok    203.0.113.1 answers\n\
         0\nnote  but the name server 10.9.0.1 is silent\necho 'nameserver 203.0.113.1' >/proc/PID/root/etc/resolv.conf\n\
         ok    203.0.113.1 answers\n\
         FAULT the name server 10.9.0.1 is silent\n      try: echo 'nameserver SERVER' >/proc/PID/root/etc/resolv.conf\n\
         ok    10.9.0.2 leaves by vg\nok    10.9.0.1 answers\n",
    );
}

/// For programs, and what cannot be asked.
#[test]
fn json_and_refusals() {
    needs!(root, userns, host("ip"));
    let t = Sandbox::new("why");
    t.run("unshare -n sleep 9 & sleep 0.2; ip -j why $! 10.0.0.1; echo $?; kill $!; wait")
        .ok()
        .out_in_order(&[
            "{\"reachable\": false, \"findings\": [\n",
            "{\"about\": \"lo\", \"fault\": false, ",
            "{\"about\": \"link\", \"fault\": true, \"says\": \"there is no interface but lo\", \"fix\": \"veth ",
            "]}\n1\n",
        ]);
    for (line, status, words) in [
        ("ip why", 255, "NETNS|PID ADDRESS"),
        ("ip why nowhere-at-all 10.0.0.1", 1, "nowhere-at-all"),
        ("ip why $$ 'no name'", 255, "neither an address nor a name"),
        ("ip why 999999999 10.0.0.1", 1, "999999999"),
    ] {
        t.run(line).status(status).err_has(words).untouched();
    }
    t.run("unshare -n sleep 9 & sleep 0.2; setpriv --reuid 1000 --clear-groups ip why $! 10.0.0.1; echo $?; kill $!; wait")
        .ok()
        .err_has("Permission denied");
}
