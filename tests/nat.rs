//! nat, with "the internet" as a namespace of the test's own, and nft(8) of Debian as the judge of what the kernel has.
//!
//! ```text
//! wan 203.0.113.1 -- 203.0.113.2 (the test's own namespace) br0 10.9.0.1 -- 10.9.0.2 web
//! ```

use crate::kit::Sandbox;

/// Lays the cables, runs `$DO`, and takes everything away again. The guests are `$wan` and `$web`, by pid.
const LAB: &str = r#"
ip=/sbin/ip
unshare -n sleep 60 & wan=$!
unshare -n sleep 60 & web=$!; pids="$wan $web"
trap 'kill -9 $pids; $ip link del br0; $ip link del w0' EXIT
for pid in $wan $web; do
    while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
done
at() { ns=$1; shift; nsenter -t $ns -n "$@"; }
$ip link set lo up
$ip link add w0 type veth peer name w1 netns $wan
$ip addr add 203.0.113.2/24 dev w0; $ip link set w0 up
at $wan $ip addr add 203.0.113.1/24 dev w1; at $wan $ip link set w1 up
$ip link add br0 type bridge; $ip addr add 10.9.0.1/24 dev br0
$ip addr add fd00:9::1/64 dev br0 nodad; $ip link set br0 up
$ip link add v1h type veth peer name v1 netns $web; $ip link set v1h master br0 up
$ip link set v1h type bridge_slave hairpin on
at $web $ip addr add 10.9.0.2/24 dev v1; at $web $ip addr add fd00:9::2/64 dev v1 nodad
at $web $ip link set v1 up; at $web $ip link set lo up
at $web $ip route add default via 10.9.0.1; at $web $ip -6 route add default via fd00:9::1
serve() { nsenter -t $1 -n busybox httpd -f -p $2 -h $3 & pids="$pids $!"; }
fetch() { timeout 5 busybox wget -qO- $1; }
heard() { while ! at $1 busybox netstat -ltn | grep -q ":$2 "; do sleep 0.02; done; }
sysctls() { cat /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/*/forwarding \
    /proc/sys/net/ipv4/conf/*/route_localnet /proc/sys/net/ipv4/conf/*/accept_redirects; }
"#;

fn lab() -> Sandbox {
    let t = Sandbox::new("nat");
    t.write("web/f", "page of web\n")
        .write("wan/f", "page of wan\n");
    t
}

fn script(what: &str) -> String {
    format!("{LAB}\n{what}")
}

/// Script 23 of the acceptance list, cases 31 to 33 and 37.
#[test]
fn a_subnet_reaches_the_world_and_is_reached() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = script(
        r#"
        sysctls >before
        at $web ping -c1 -W1 203.0.113.1 >/dev/null && echo 'reachable without nat'
        nat add 10.9.0.0/24 2>notes; cat notes
        serve $wan 80 wan; serve $web 8000 web; heard $wan 80; heard $web 8000
        at $web ping -c1 -W1 203.0.113.1 >/dev/null && echo ping
        at $web busybox wget -qO- http://203.0.113.1/f
        fetch http://10.9.0.2:8000/f
        nat add --dnat 8080:10.9.0.2:8000 2>&1
        at $wan busybox wget -qO- http://203.0.113.2:8080/f
        fetch http://203.0.113.2:8080/f; fetch http://127.0.0.1:8080/f
        at $web busybox wget -qO- http://10.9.0.1:8080/f
        nat list | sed 's/[0-9]* packets/N packets/'
        nat del 10.9.0.0/24 2>&1
        nft list ruleset; sysctls | cmp before - && echo restored"#,
    );
    t.run(&line).ok().out(
        "note: net.ipv4.ip_forward was 0 and is 1 now, so that packets pass through\n\
         ping\npage of wan\npage of web\n\
         note: net.ipv4.conf.br0.route_localnet was 0 and is 1 now, so that 127.0.0.1 leads there too (from outside it stays out of reach)\n\
         page of web\npage of web\npage of web\npage of web\n\
         10.9.0.0/24 masquerade, N packets\n8080:10.9.0.2:8000 published, 4 connections\n\
         note: net.ipv4.ip_forward is 0 again\nnote: net.ipv4.conf.br0.route_localnet is 0 again\n\
         restored\n",
    );
}

/// The address of this machine is what the world sees, over IPv6 too, and for UDP.
#[test]
fn the_world_sees_the_address_of_the_machine() {
    needs!(root, busybox, host("ip"), host("nft"), host("perl"));
    let t = lab();
    let line = script(
        r#"
        UDP='use IO::Socket::INET; $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "10.9.0.2", LocalPort => 53);
            while ($s->recv($got, 99)) { $s->send("$got and back") }'
        sysctls >before
        $ip addr add 2001:db8::2/64 dev w0 nodad; at $wan $ip addr add 2001:db8::1/64 dev w1 nodad
        nat add 10.9.0.0/24 fd00:9::/64 --dnat 5300:10.9.0.2:53/udp --dnat '81:[fd00:9::2]:8000' 2>/dev/null
        serve $web 8000 web; heard $web 8000
        nsenter -t $wan -n busybox nc -ll -p 9 -e sh -c 'busybox netstat -tn | grep -o "203.0.113.1:9 .*:" | sort -u' & pids="$pids $!"
        heard $wan 9; at $web timeout 1 busybox nc 203.0.113.1 9 </dev/null | grep -o '203.0.113.2'
        at $web ping -c1 -W1 2001:db8::1 >/dev/null && echo ping6
        at $wan busybox wget -qO- 'http://[2001:db8::2]:81/f'
        nsenter -t $web -n perl -e "$UDP" & pids="$pids $!"
        while ! at $web busybox netstat -lun | grep -q ':53 '; do sleep 0.02; done
        at $wan perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Proto => "udp", PeerAddr => "203.0.113.2:5300");
            $s->send("datagram"); alarm 5; $s->recv($got, 99); print "$got\n"'
        nat del --all 2>/dev/null; nft list ruleset; sysctls | cmp before - && echo restored"#,
    );
    t.run(&line).ok().out_in_order(&[
        "203.0.113.2\n",
        "ping6\n",
        "page of web\n",
        "datagram and back\n",
        "restored\n",
    ]);
}

/// What was there stays as it is, whoever put it there.
#[test]
fn it_is_done_once_and_touches_nothing_else() {
    needs!(root, host("nft"), host("iptables-nft"));
    let t = Sandbox::new("nat");
    let others = "nft add table inet other; nft 'add chain inet other c { type filter hook forward priority 0; }'
        nft add rule inet other c ip saddr 10.9.0.0/24 counter accept
        iptables-nft -A FORWARD -s 10.1.0.0/16 -j ACCEPT 2>/dev/null";
    let line = format!(
        r#"{others}
        nft list ruleset >before
        nat add 10.9.0.0/24 --dnat 80:10.9.0.2:80 2>/dev/null; nft list table inet isobox >one
        nat add 10.9.0.7/24 --dnat 80:10.9.0.2:80; nft list table inet isobox >two
        sed -i 's/packets.*bytes [0-9]*//' one two; cmp one two && echo once
        for i in 1 2 3 4 5 6 7 8; do nat add 10.$i.0.0/24 2>/dev/null & done; wait
        nat list | wc -l
        for i in 1 2 3 4 5 6 7 8; do nat del 10.$i.0.0/24 & done; wait
        nat list | wc -l; cat /proc/sys/net/ipv4/ip_forward
        nat del 10.9.0.0/24 2>/dev/null; nat list
        nft list ruleset | cmp before - && echo untouched; cat /proc/sys/net/ipv4/ip_forward
        nat del 10.9.0.0/24
        nft flush ruleset"#
    );
    t.run(&line)
        .ok()
        .out("once\n10\n2\n1\nuntouched\n0\n")
        .err("note: there was no nat 10.9.0.0/24\n");
}

/// Killed between the rules and the setting, or at any other moment: the note of what was is in the ruleset, and the
/// next del puts all of it back.
#[test]
fn it_survives_being_killed() {
    needs!(root, host("nft"), host("strace"));
    let t = Sandbox::new("nat");
    for moment in [
        "sendto:signal=KILL:when=4",
        "write:signal=KILL:when=1",
        "exit_group:signal=KILL",
    ] {
        let line = format!(
            r#"nat() {{ isobox nat "$@"; }}
            strace -f -o /dev/null -e inject={moment} isobox nat add 10.9.0.0/24 >/dev/null 2>&1
            echo killed; nat add 10.9.0.0/24 2>/dev/null; cat /proc/sys/net/ipv4/ip_forward
            strace -f -o /dev/null -e inject={moment} isobox nat del 10.9.0.0/24 >/dev/null 2>&1
            nat del 10.9.0.0/24 2>/dev/null; cat /proc/sys/net/ipv4/ip_forward; nft list ruleset"#
        );
        t.run(&line).ok().out("killed\n1\n0\n");
    }
}

/// What cannot be is refused, and says what would.
#[test]
fn refusals() {
    needs!(root, userns, host("nft"));
    let t = Sandbox::new("nat");
    let cases: [(&str, &[&str]); 9] = [
        ("add", &["neither a subnet nor a publication"]),
        ("del", &["neither a subnet nor a publication"]),
        ("add 10.9.0.0/33", &["10.9.0.0/33"]),
        ("add 0.0.0.0/0", &["0.0.0.0/0", "whole world"]),
        ("add nonsense", &["nonsense"]),
        ("add --dnat 80", &["80", "ADDRESS"]),
        ("add --dnat 80:127.0.0.1:80", &["no packet can be led"]),
        ("add --dnat 0:10.9.0.2:80", &["port"]),
        ("add --dnat 80:10.9.0.2:80/sctp", &["tcp or udp"]),
    ];
    for (args, words) in cases {
        t.run(&format!("nat {args}"))
            .fails(1, "nat", words)
            .untouched();
    }
    t.run("nat add --dnat 80:10.9.0.2:80 2>/dev/null").ok();
    t.run("nat add --dnat 80:10.9.0.3:80")
        .fails(1, "nat", &["80/tcp is published already", "10.9.0.2:80"])
        .hint("nat del --dnat 80:10.9.0.2:80");
    t.run("nat del --all 2>/dev/null; nft list ruleset")
        .ok()
        .out("");
    t.user()
        .run("nat add 10.9.0.0/24")
        .fails(1, "nat", &["Operation not permitted"])
        .hint("CAP_NET_ADMIN");
    t.run("nat add --explain=json 10.9.0.0/24 fd00::/64; nft list ruleset")
        .ok()
        .out_has("net.ipv6.conf.all.forwarding")
        .untouched();
}

/// An accept of ours is not the last word: whoever drops is named, with the line that helps, and with that line all is
/// well.
#[test]
fn who_will_drop_is_named() {
    needs!(root, host("nft"), host("iptables-nft"));
    let t = Sandbox::new("nat");
    let docker = "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER
        iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT";
    let own = "nft add table inet fw; nft 'add chain inet fw passing { type filter hook forward priority 10; policy drop; }'
        nft add rule inet fw passing ct state established,related accept
        nft add rule inet fw passing ip saddr 10.1.0.0/16 accept";
    let reject = "nft add table ip x; nft 'add chain ip x f { type filter hook forward priority 0; }'
        nft add rule ip x f meta l4proto tcp tcp dport 81 ip daddr 10.9.0.0/24 counter reject comment '\"no guests\"'";
    let limited = "nft add table ip x; nft 'add chain ip x f { type filter hook forward priority 0; policy drop; }'
        nft add rule ip x f limit rate 5/second accept";
    let bridge = "/sbin/ip link add br0 type bridge; /sbin/ip addr add 10.9.0.1/24 dev br0; /sbin/ip link set br0 up";
    let cases: [(&str, &str, Option<[&str; 2]>); 8] = [
        ("", "10.9.0.0/24", None),
        (
            docker,
            "10.9.0.0/24",
            Some([
                "10.9.0.0/24 will be dropped by the policy of chain FORWARD of table ip filter",
                "-I DOCKER-USER",
            ]),
        ),
        (docker, "fd00::/64", None),
        (
            own,
            "10.9.0.0/24",
            Some([
                "will be dropped by the policy of chain passing of table inet fw",
                "nft insert rule inet fw passing",
            ]),
        ),
        (own, "10.1.7.0/24", None),
        (
            reject,
            "--dnat 80:10.9.0.2:81",
            Some([
                "10.9.0.2 will be dropped by rule",
                "(\"no guests\") of chain f of table ip x",
            ]),
        ),
        (reject, "--dnat 80:10.9.0.2:82", None),
        (
            limited,
            "10.9.0.0/24",
            Some([
                "may be dropped by the policy of chain f",
                "nft insert rule ip x f",
            ]),
        ),
    ];
    for (others, entry, want) in cases {
        let line = format!(
            "{{ {bridge}\n{others}\n}} >/dev/null 2>&1; nat add {entry} 2>&1 | grep dropped; nat del {entry} 2>/dev/null"
        );
        let ran = t.run(&line);
        match want {
            None => ran.ok().out(""),
            Some(words) => ran.ok().out_in_order(&words),
        };
        // The line that it tells really helps.
        t.run(&format!(
            "nat add {entry} 2>&1 | sed -n 's/.*not ours to change: //p' | sed 's/iptables/iptables-nft/g' >fix; sh ./fix
            nat add {entry} 2>&1 | grep dropped; nat del --all 2>/dev/null
            nft flush ruleset; /sbin/ip link del br0 2>/dev/null; rm -f fix; true"
        ))
        .ok()
        .out("");
    }
}
