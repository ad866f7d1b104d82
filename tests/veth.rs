//! veth: wires between network namespaces, seen from outside by iproute2.
//!
//! Each test has a network and a mount namespace of its own (the sandbox's), in which `/run` and `/etc` are covered, so
//! that names of namespaces and their files are the test's.

use crate::kit::{Ran, Sandbox};

/// The oracle: iproute2's, also where ours is first on the PATH.
const IP: &str = "/usr/sbin/ip";

/// A sandbox in which network namespaces have names.
struct Net {
    t: Sandbox,
    before: String,
}

impl Net {
    fn new() -> Self {
        let t = Sandbox::new("veth");
        let cover = "mkdir up work-dir && mount -t tmpfs isobox-run /run && mkdir /run/up /run/work && \
                     mount -t overlay isobox-etc -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc && \
                     rm -rf /etc/netns && rmdir up work-dir";
        t.cmd(cover).host().run().ok();
        t.cmd(&format!("{IP} link set lo up")).host().run().ok();
        let mut net = Self {
            t,
            before: String::new(),
        };
        net.before = net.state();
        net
    }

    fn run(&self, line: &str) -> Ran<'_> {
        self.t.run(line)
    }

    /// Makes network namespaces with these names.
    fn names(&self, names: &str) {
        for name in names.split(' ') {
            let line = format!("{IP} netns add {name}");
            self.t.cmd(&line).host().run().ok();
        }
    }

    /// Everything of this network namespace that a wire could change.
    fn state(&self) -> String {
        let line = format!(
            "{IP} -o link; {IP} -o addr; {IP} route show table all; {IP} -6 route show table all; \
             nft list ruleset; find /etc/netns 2>/dev/null; \
             grep -r . /proc/sys/net 2>/dev/null | grep -v -e /nf_conntrack_count -e fastopen_key | sort"
        );
        let state = self.t.cmd(&line).host().run().stdout.clone();
        // How long an address is still valid is no setting; whether a wire had been there before lo was looked at is.
        state.replace("\\       valid_lft forever preferred_lft forever", "")
    }

    /// Whether all is as it was before.
    #[track_caller]
    fn as_before(&self) {
        let now = self.state();
        if now == self.before {
            return;
        }
        let lost: Vec<_> = self
            .before
            .lines()
            .filter(|line| !now.contains(line))
            .collect();
        let new: Vec<_> = now
            .lines()
            .filter(|line| !self.before.contains(line))
            .collect();
        let few = |lines: &[&str]| {
            lines
                .iter()
                .take(9)
                .copied()
                .collect::<Vec<_>>()
                .join("\n  ")
        };
        panic!("not as before:\n- {}\n+ {}", few(&lost), few(&new));
    }

    /// Whether `to` answers in the namespace `from`.
    fn reaches(&self, from: &str, to: &str) -> bool {
        let line = format!("{IP} netns exec {from} ping -n -c1 -W1 {to}");
        self.t.cmd(&line).host().run().status == 0
    }

    /// iproute2's words on something. Whether an address is still being looked for elsewhere is a matter of moments.
    fn ip(&self, words: &str) -> String {
        let ran = self.t.cmd(&format!("{IP} {words}")).host().run();
        ran.stdout.replace("tentative ", "")
    }

    /// Ends with nothing left.
    #[track_caller]
    fn end(self) {
        self.as_before();
        self.t
            .cmd(&format!(
                "{IP} -all netns del; umount -l /etc; umount -l /run"
            ))
            .host()
            .run()
            .ok();
    }
}

#[test]
fn one_line_makes_a_working_wire() {
    needs!(root, host("ping"), host("nft"));
    let net = Net::new();
    net.names("blue");
    net.run("veth veth-host@10.99.0.1/24 veth-blue@10.99.0.2/24 --ns blue")
        .ok()
        .out("")
        .err("");
    net.run("ping -c1 10.99.0.2").ok();
    assert!(net.reaches("blue", "10.99.0.1"));
    assert!(net.reaches("blue", "127.0.0.1"), "lo is up");
    let host = net.ip("-br link show veth-host");
    assert!(host.contains(" UP ") || host.contains("LOWER_UP"), "{host}");
    net.run(&format!("{IP} link show veth-blue"))
        .status(1)
        .err_has("does not exist");
    // The end of the namespace takes both ends away.
    net.ip("netns del blue");
    net.run(&format!(
        "for i in $(seq 100); do {IP} link show veth-host >/dev/null 2>&1 || exit 0; sleep 0.05; done; exit 1"
    ))
    .ok();
    net.end();
}

#[test]
fn a_process_and_a_file_name_a_namespace_too() {
    needs!(root, host("ping"));
    let net = Net::new();
    let line = "unshare -n sleep 30 & pid=$!; until ! cmp -s /proc/self/ns/net /proc/$pid/ns/net 2>/dev/null && \
                [ $(readlink /proc/$pid/ns/net) != $(readlink /proc/self/ns/net) ]; do sleep 0.01; done; \
                veth h0@10.99.1.1/24 c0@10.99.1.2/24 --ns $pid && ping -c1 10.99.1.2 >/dev/null && \
                veth h1@10.99.2.1/24 c1@10.99.2.2/24 --ns /proc/$pid/ns/net && ping -c1 10.99.2.2 >/dev/null && \
                veth del h0 h1; echo $?; kill $pid";
    net.run(line).out("0\n");
    net.end();
}

/// What two namespaces show of a wire, without what differs from wire to wire.
fn shown(net: &Net, host: &str, guest: &str) -> String {
    let line = format!(
        "for n in '' '-n {guest}'; do {IP} $n -o -4 addr; {IP} $n route; {IP} $n -br link; done"
    );
    let text = net.t.cmd(&line).host().run().stdout.clone();
    let words = text.split_whitespace().map(|word| {
        let is_mac = word.len() == 17 && word.matches(':').count() == 5;
        let word = word.replace(host, "HOST").replace(guest, "GUEST");
        if is_mac { "MAC".to_owned() } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn it_is_what_eight_lines_of_ip_make() {
    needs!(root);
    let net = Net::new();
    net.names("one two");
    let eight = format!(
        "{IP} link add hone type veth peer name eth0; {IP} link set eth0 netns one; \
         {IP} addr add 10.5.0.1/24 brd + dev hone; {IP} -n one addr add 10.5.0.2/24 brd + dev eth0; \
         {IP} link set hone up; {IP} -n one link set eth0 up; {IP} -n one link set lo up; \
         {IP} -n one route add default via 10.5.0.1"
    );
    net.t.cmd(&eight).host().run().ok();
    let theirs = shown(&net, "hone", "one");
    net.ip("link del hone");
    net.run("veth htwo@10.5.0.1/24 eth0@10.5.0.2/24 --ns two --gw 10.5.0.1")
        .ok();
    // The numbers of links go on.
    let plain = |text: &str| {
        let words = text.split(' ').filter(|word| !word.ends_with(':'));
        let words = words.map(|word| word.split("@if").next().unwrap().to_owned());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(plain(&shown(&net, "htwo", "two")), plain(&theirs));
    net.run("veth del htwo").ok();
    net.end();
}

#[test]
fn the_far_end_is_never_seen_here() {
    needs!(root);
    let net = Net::new();
    net.names("blue");
    let line = format!(
        "{IP} -o monitor link >seen & m=$!; sleep 0.3; veth hh@10.9.1.1/24 guest9@10.9.1.2/24 --ns blue; sleep 0.3; \
         kill $m; grep -c hh seen; grep -c guest9 seen; rm seen; veth del hh"
    );
    let ran = net.run(&line);
    let counts: Vec<&str> = ran.stdout.lines().collect();
    assert!(counts[0] != "0", "{ran}");
    // The alias names it; the link itself is never here.
    let seen = net.run("true");
    assert_eq!(seen.status, 0);
    net.end();
}

#[test]
fn bridges_join_and_part_namespaces() {
    needs!(root, host("ping"));
    let net = Net::new();
    net.names("a b c");
    net.run(
        "veth -b br1 va@10.1.0.2/24 --ns a && veth -b br1 vb1@10.1.0.3/24 --ns b && \
         veth -b br2 vb2@10.2.0.2/24 --ns b && veth -b br2 vc@10.2.0.3/24 --ns c",
    )
    .ok();
    let reached = [
        ("a", "10.1.0.3"),
        ("b", "10.1.0.2"),
        ("b", "10.2.0.3"),
        ("a", "10.2.0.3"),
        ("c", "10.1.0.2"),
    ]
    .map(|(from, to)| net.reaches(from, to));
    assert_eq!(reached, [true, true, true, false, false]);
    net.run("veth del br1")
        .fails(1, "veth", &["br1", "links are in it"]);
    net.run("veth del --all").ok();
    net.end();
}

#[test]
fn a_bridge_is_used_again_and_goes_with_its_last_wire() {
    needs!(root, host("ping"));
    let net = Net::new();
    net.names("a b");
    let line = |ns: &str, address: &str| {
        format!("veth -b br0@10.9.0.1/24 h{ns} eth0@{address}/24 --ns {ns} --gw 10.9.0.1")
    };
    net.run(&line("a", "10.9.0.2")).ok();
    let first = net.ip("-o link show br0");
    net.run(&line("b", "10.9.0.3")).ok();
    assert_eq!(net.ip("-o -4 addr show br0").lines().count(), 1);
    // Its hardware address does not change with its ports.
    let mac = |text: &str| text.split("link/ether ").nth(1).unwrap()[..17].to_owned();
    assert_eq!(mac(&net.ip("-o link show br0")), mac(&first));
    assert!(net.reaches("a", "10.9.0.3") && net.reaches("b", "10.9.0.1"));
    // Nobody can announce a router to us over a wire without IPv6.
    net.run("cat /proc/sys/net/ipv6/conf/br0/disable_ipv6 /proc/sys/net/ipv6/conf/ha/disable_ipv6")
        .out("1\n1\n");
    net.run("veth del ha").ok();
    assert!(net.ip("-br link").contains("br0"));
    net.run("veth del hb").ok();
    net.as_before();
    // One that somebody else made is used, and stays as it was.
    net.ip("link add br0 type bridge");
    net.ip("link set br0 up");
    net.run(&line("a", "10.9.0.2")).ok();
    net.run("cat /proc/sys/net/ipv6/conf/br0/disable_ipv6")
        .out("0\n");
    net.run("veth del ha").ok();
    let left = net.ip("-4 -o addr show br0");
    assert!(
        left.contains("10.9.0.1/24"),
        "a bridge that is not ours keeps what it has: {left}"
    );
    net.ip("link del br0");
    net.end();
}

#[test]
fn ipv6_works_at_once() {
    needs!(root, host("ping"));
    let net = Net::new();
    net.names("blue");
    // Nobody is asked for an address first; an answer on a busy machine may take a second for all that.
    net.run(&format!(
        "veth h6@fd00:5::1/64,10.5.0.1/24 g6@fd00:5::2/64,10.5.0.2/24 --ns blue --gw fd00:5::1 --gw 10.5.0.1 && \
         {IP} -n blue -6 -o addr show dev g6 scope global tentative"
    ))
    .ok()
    .out("");
    net.run("ping -n -c1 -W5 fd00:5::2").ok();
    assert!(net.reaches("blue", "fd00:5::1"));
    let routes = net.ip("-n blue route") + &net.ip("-n blue -6 route");
    assert!(routes.contains("default via 10.5.0.1"), "{routes}");
    assert!(routes.contains("default via fd00:5::1"), "{routes}");
    net.run("veth del h6").ok();
    net.end();
}

#[test]
fn options_are_carried_out() {
    needs!(root, host("tc"), host("perl"), host("bash"));
    let net = Net::new();
    net.names("blue");
    let line = "veth hh@10.6.0.1/24 gg@10.6.0.2/24 --ns blue --mtu 1400 --mac 02:00:00:00:00:0a --rate 4mbit \
                --dns 10.6.0.1,fd00::53 --json";
    let json = net.run(line).ok().stdout.clone();
    for part in [
        "{\"host\":{\"name\":\"hh\",\"index\":",
        "\"mac\":\"02:00:00:00:00:0a\",\"mtu\":1400,\"addresses\":[\"10.6.0.2/24\"]}",
        "\"netns\":\"blue\"",
        "\"dns\":[\"10.6.0.1\",\"fd00::53\"],\"rate\":\"4mbit\"}\n",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    net.run(&format!("{IP} netns exec blue cat /etc/resolv.conf"))
        .out("nameserver 10.6.0.1\nnameserver fd00::53\n");
    let both = net.ip("-o link show hh") + &net.ip("-n blue -o link show gg");
    assert_eq!(both.matches("mtu 1400").count(), 2, "{both}");
    for tc in ["tc qdisc show dev hh", "tc -n blue qdisc show dev gg"] {
        net.run(tc).ok().out_has("tbf").out_has("rate 4Mbit");
    }
    // Half a megabyte at half a megabyte a second.
    let server = r#"$s=IO::Socket::INET->new(Listen=>1,LocalPort=>99); open F,">up"; close F; $c=$s->accept;
                    while($r=sysread($c,$b,65536)){$n+=$r} print "$n\n""#;
    let send = format!(
        "{IP} netns exec blue perl -MIO::Socket::INET -e '{server}' & until [ -e up ]; do sleep 0.01; done; rm up; \
         s=$(date +%s%N); bash -c 'head -c 524288 /dev/zero >/dev/tcp/10.6.0.2/99'; wait; \
         ms=$(( ($(date +%s%N) - s) / 1000000 )); [ $ms -gt 500 ] || echo $ms"
    );
    net.run(&send).out("524288\n");
    net.run("veth rate hh 1gbit && tc -n blue qdisc show dev gg")
        .ok()
        .out_has("rate 1Gbit");
    net.run("veth rate hh none && tc qdisc show dev hh")
        .ok()
        .out_has("noqueue");
    net.run("veth ls").ok().out_in_order(&[
        "HOST",
        "hh",
        "10.6.0.1/24",
        "gg",
        "10.6.0.2/24",
        "blue",
    ]);
    net.run("veth ls --json")
        .ok()
        .out_has("\"guest-address\": \"10.6.0.2/24\"");
    net.run("veth del hh && rm -r /etc/netns").ok();
    net.end();
}

#[test]
fn translation_lets_the_other_side_out() {
    needs!(root, host("ping"), host("nft"));
    let net = Net::new();
    net.names("web wan");
    // The world knows us and not what is behind us.
    net.run("veth w0@203.0.113.2/24 w1@203.0.113.1/24 --ns wan")
        .ok();
    let before = net.state();
    let line = "veth -b br0@10.9.0.1/24 v0 v1@10.9.0.2/24,fd09::2/64 --ns web --gw 10.9.0.1";
    net.run(line).ok();
    assert!(!net.reaches("web", "203.0.113.1"));
    net.run("veth del v0").ok();
    net.run(&format!("{line} --nat")).ok().err_has("ip_forward");
    assert!(net.reaches("web", "203.0.113.1"));
    // A failure behind it takes it back.
    net.run(
        "touch /etc/netns; veth -b br3@10.3.0.1/24 e3@10.3.0.2/24 --ns web --nat --dns 10.3.0.1",
    )
    .fails(1, "veth", &["/etc/netns"]);
    net.run("rm /etc/netns && nat list").ok();
    net.run("nat list")
        .ok()
        .out_has("10.9.0.0/24")
        .out_has("fd09::/64");
    net.run("veth -b br3@10.3.0.1/24 v3 e3@10.3.0.2/24 --ns web --nat --hold nat list")
        .ok()
        .out_has("10.3.0.0/24");
    assert!(!net.run("nat list").ok().stdout.contains("10.3.0.0/24"));
    net.run("veth del v0 && nat del 10.9.0.0/24 fd09::/64").ok();
    assert_eq!(net.state(), before);
    net.run("veth b0 b1 --ns web --nat")
        .fails(1, "veth", &["translated"]);
    net.run("veth b0 b1 --ns web -p 80:80")
        .fails(1, "veth", &["no address for port 80"]);
    // Held, all of it goes without a word, also what is of IPv6.
    let held = "veth -b br3@10.3.0.1/24,fd03::1/64 v3 e3@10.3.0.2/24,fd03::2/64 --ns web -p 80-81:90-91 -p [::]:53:53/udp";
    net.run(&format!("{held} --hold nat list"))
        .ok()
        .out_has("80:10.3.0.2:90 published")
        .out_has("81:[fd03::2]:91 published")
        .out_has("[::]:53:[fd03::2]:53/udp published");
    let quiet = net.run(&format!("{held} --hold true"));
    assert!(!quiet.stderr.contains("keeps"), "{quiet}");
    assert!(!net.run("nat list").ok().stdout.contains("10.3.0"));
    net.run("veth del w0").ok();
    net.end();
}

#[test]
fn replace_takes_the_place_of_the_old_one() {
    needs!(root, host("ping"), host("strace"));
    let net = Net::new();
    net.names("blue red");
    let old = "veth hh@10.6.0.1/24 gg@10.6.0.2/24 --ns blue --gw 10.6.0.1";
    net.run(old).ok();
    let good = "veth --replace hh@10.7.0.1/24 gg@10.7.0.2/24 --ns red --gw 10.7.0.1 --rate 1gbit";
    net.run(good).ok();
    assert!(net.reaches("red", "10.7.0.1"));
    assert!(!net.ip("-n blue link").contains("gg"));
    // The same again, in the same namespace, and with the address in a bridge now.
    net.run(good).ok();
    assert!(net.reaches("red", "10.7.0.1"));
    net.run("veth --replace -b br7@10.7.0.1/24 hh gg@10.7.0.2/24 --ns red --gw 10.7.0.1")
        .ok();
    assert!(net.reaches("red", "10.7.0.1"));
    net.run("veth ls")
        .ok()
        .out_in_order(&["hh", "10.7.0.1/24", "br7", "gg", "10.7.0.2/24", "red"]);
    net.run("veth del hh").ok();
    // What cannot be made leaves the old one as it was.
    net.run(old).ok();
    net.run("veth other@10.8.0.1/24 eth0@10.8.0.2/24 --ns red --gw 10.8.0.1")
        .ok();
    let before = net.state();
    for (line, want) in [
        (
            "lo@10.9.0.1/24 gg@10.9.0.2/24 --ns blue",
            "lo is no end of a veth pair",
        ),
        (
            "hh@10.9.0.1/24 gg@10.8.0.2/24 --ns red",
            "the address 10.8.0.2 is taken",
        ),
        (
            "hh@10.8.0.9/24 gg@10.9.0.2/24 --ns red",
            "overlaps that of other",
        ),
        (
            "hh@10.9.0.1/24 eth0@10.9.0.2/24 --ns red",
            "there is a link eth0 already",
        ),
        (
            "hh@10.9.0.1/24 gg@10.9.0.2/24 --ns red --gw 10.9.0.1",
            "a default route already",
        ),
        ("hh@10.9.0.1/24 gg@10.9.0.2/24 --ns nosuch", "nosuch"),
    ] {
        net.run(&format!("veth --replace {line}"))
            .fails(1, "veth", &[want]);
        assert_eq!(net.state(), before, "{line}");
        assert!(net.reaches("blue", "10.6.0.1"), "{line}");
    }
    // Wherever it fails, the old one is there, or is said to be gone.
    let next = good.replace(" --gw 10.7.0.1", "");
    let mut links = net.ip("-br link");
    let (mut kept, mut lost) = (0, 0);
    for at in 1..45 {
        let ran = net.run(&format!(
            "strace -qq -o /dev/null -e inject=sendto:error=ENOBUFS:when={at} {next}"
        ));
        if ran.status == 0 {
            // Nothing was sent so often, or it was a look for a second name of the link.
            net.run(&format!("veth del hh && {old}")).ok();
        } else if net.reaches("blue", "10.6.0.1") {
            assert_eq!(net.ip("-br link"), links, "{at}");
            kept += 1;
            if at % 4 == 0 {
                // Killed at this moment, what it leaves is in nobody's way.
                net.run(&format!(
                    "strace -qq -o /dev/null -e inject=sendto:signal=KILL:when={at} {next}"
                ))
                .status(137);
                net.run(&format!("{next} && veth del hh && {old}")).ok();
            }
        } else {
            assert!(ran.stderr.contains("the old link hh is gone"), "{ran}");
            net.run(old).ok();
            lost += 1;
        }
        links = net.ip("-br link");
        assert!(!net.ip("-n red link").contains("gg"), "{at}");
    }
    assert!(kept > 10 && lost > 5, "{kept} {lost}");
    net.run("veth del --all").ok();
    net.end();
}

/// A single address is asked for, and not looked for among all: that finds it also on a link that is down, and on one that
/// went down, and takes no address of somebody's network for taken.
#[test]
fn a_single_address_is_free_or_is_not() {
    needs!(root);
    let net = Net::new();
    net.names("blue");
    let first = format!(
        "{IP} link add first type bridge; {IP} addr add 10.9.0.1/24 dev first; \
         {IP} addr add fd09::1/64 dev first; {IP} addr add fd09::2/64 dev first nodad"
    );
    net.run(&first).ok();
    let taken = |near: &str, far: &str, by: &str| {
        net.run(&format!("veth a@{near} b@{far} --ns blue"))
            .fails(1, "veth", &["is taken", by]);
    };
    taken("10.9.0.1/32", "10.7.0.2/32", "first");
    taken("fd09::1/128", "fd07::2/128", "first");
    taken("fd09::2/128", "fd07::2/128", "first");
    net.run(&format!("{IP} link set first up; {IP} link set first down"))
        .ok();
    taken("10.9.0.1/32", "10.7.0.2/32", "first");
    let wire = "veth w@10.9.0.9/32,fd09::9/128 v@10.7.0.2/32,fd07::2/128 --ns blue";
    net.run(wire).ok();
    net.run(&wire.replace("veth", "veth --replace")).ok();
    taken("10.9.0.9/32", "10.7.0.3/32", "w has it");
    taken(
        "10.9.0.8/32",
        "10.7.0.2/32",
        "v in the network namespace blue has it",
    );
    taken(
        "10.9.0.8/32",
        "fd07::2/128",
        "v in the network namespace blue has it",
    );
    net.run(&format!("veth del w; {IP} link del first")).ok();
    net.end();
}

/// Lines that make nothing, and what is said of each. In `blue` are `eth0@10.9.0.2/24` with a default route and `e5`;
/// here are `first@10.9.0.1/24` and the bridge `br5@10.5.0.1/24`.
const REFUSED: [(&str, &str); 32] = [
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns nosuch",
        "Cannot open network namespace \"nosuch\"",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns 4194304",
        "there is no process 4194304",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns /etc/passwd",
        "no network namespace",
    ),
    ("veth a@10.7.0.1/24 b@10.7.0.2/24", "--ns"),
    (
        "veth first@10.7.0.1/24 b@10.7.0.2/24 --ns blue",
        "there is a link first already",
    ),
    (
        "veth a@10.7.0.1/24 eth0@10.7.0.2/24 --ns blue",
        "there is a link eth0 already in the network namespace blue",
    ),
    (
        "veth a@10.9.0.1/24 b@10.7.0.2/24 --ns blue",
        "the address 10.9.0.1 is taken",
    ),
    (
        "veth a@10.7.0.1/24 b@10.9.0.2/24 --ns blue",
        "the address 10.9.0.2 is taken",
    ),
    (
        "veth a@10.9.0.1/32 b@10.7.0.2/32 --ns blue",
        "the address 10.9.0.1 is taken: first has it",
    ),
    (
        "veth a@10.7.0.1/32 b@10.9.0.2/32 --ns blue",
        "the address 10.9.0.2 is taken: eth0 in the network namespace blue has it",
    ),
    (
        "veth -b br9@10.5.0.129/25 b@10.5.0.130/25 --ns blue",
        "overlaps that of br5",
    ),
    (
        "veth -b br5@10.9.0.7/24 b@10.7.0.2/24 --ns blue",
        "overlaps that of first",
    ),
    (
        "veth -b first b@10.7.0.2/24 --ns blue",
        "first is no bridge",
    ),
    ("veth a@10.7.0.1/33 b@10.7.0.2/24 --ns blue", "10.7.0.1/33"),
    (
        "veth a@10.7.0.1 b@10.7.0.2/24 --ns blue",
        "no prefix length",
    ),
    (
        "veth a@10.7.0.0/24 b@10.7.0.2/24 --ns blue",
        "the network itself",
    ),
    ("veth a@10.7.0.x/24 b@10.7.0.2/24 --ns blue", "10.7.0.x/24"),
    (
        "veth veth-container-1-br b --ns blue",
        "19 bytes, and 15 is the longest",
    ),
    ("veth a/b c --ns blue", "no slash"),
    ("veth a% c --ns blue", "%d"),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --gw 10.8.0.1",
        "cannot be reached",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --gw 10.7.0.1",
        "there is a default route already",
    ),
    ("veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --mtu 20", "68"),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --mac 01:00:00:00:00:01",
        "several links",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --rate fast",
        "no rate",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns $$ --dns 10.7.0.1",
        "network namespace with a name",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --dns nine",
        "'nine' is no address",
    ),
    (
        "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue --hold",
        "--hold",
    ),
    ("veth del nosuch", "nosuch"),
    ("veth del lo", "lo is no end of a veth pair"),
    ("veth del", "--all"),
    ("veth rate lo 1mbit", "no end of a wire"),
];

#[test]
fn what_cannot_be_made_leaves_nothing() {
    needs!(root, host("nft"));
    let net = Net::new();
    net.names("blue");
    net.run(&format!(
        "veth first@10.9.0.1/24 eth0@10.9.0.2/24 --ns blue --gw 10.9.0.1 && veth -b br5@10.5.0.1/24 e5 --ns blue && \
         {IP} -n blue link set lo down"
    ))
    .ok();
    let before = net.state();
    let inside = net.ip("-n blue -o addr") + &net.ip("-n blue route");
    for (line, want) in REFUSED {
        let ran = net.run(line);
        assert!(
            ran.status == 1 && ran.stderr.contains(want),
            "{want}: {ran}"
        );
        assert!(!ran.stderr.contains("stays"), "{ran}");
    }
    assert_eq!(net.state(), before);
    assert_eq!(net.ip("-n blue -o addr") + &net.ip("-n blue route"), inside);
    net.run("veth veth-container-1-br b --ns blue")
        .hint("would do");
    net.run("veth del --all").ok();
    net.end();
}

/// A line with every kind of step in it.
const FULL: &str = "veth -b br7@10.7.0.1/24 h7 e7@10.7.0.2/24,fd07::2/64 --ns blue --gw 10.7.0.1 --rate 1mbit --dns 10.7.0.1";

#[test]
fn a_failure_at_any_point_undoes_all() {
    needs!(root, host("strace"), host("nft"));
    let net = Net::new();
    net.names("blue");
    let inside = net.ip("-n blue -o addr") + &net.ip("-n blue -br link");
    let mut failed = 0;
    for at in 1..200 {
        let line =
            format!("strace -qq -o /dev/null -e inject=sendto:error=ENOBUFS:when={at} {FULL}");
        let ran = net.run(&line);
        if ran.status == 0 {
            break;
        }
        failed = at;
        assert!(ran.stderr.contains("No buffer space available"), "{ran}");
        net.as_before();
        assert_eq!(
            net.ip("-n blue -o addr") + &net.ip("-n blue -br link"),
            inside,
            "{at}"
        );
    }
    assert!((15..199).contains(&failed), "{failed}");
    net.run("veth del h7 && rm -r /etc/netns").ok();
    net.end();
}

#[test]
fn what_a_kill_leaves_is_cleared_away() {
    needs!(root, host("strace"), host("nft"));
    let net = Net::new();
    net.names("blue");
    let mut killed = 0;
    for at in 1..200 {
        let line = format!("strace -qq -o /dev/null -e inject=sendto:signal=KILL:when={at} {FULL}");
        let ran = net.run(&line);
        // The documented clean-up; a name is needed only for what died before it was marked.
        net.run(
            "veth del --all; veth del h7 2>/dev/null; veth del br7 2>/dev/null; rm -rf /etc/netns",
        )
        .ok();
        net.as_before();
        if ran.status == 0 {
            break;
        }
        killed = at;
    }
    assert!((15..199).contains(&killed), "{killed}");
    net.end();
}

#[test]
fn hold_lasts_as_long_as_its_program() {
    needs!(root, host("ping"));
    let net = Net::new();
    net.names("blue");
    let wire = "veth hh@10.6.0.1/24 gg@10.6.0.2/24 --ns blue --dns 10.6.0.1";
    let inside = net.ip("-n blue -br link");
    net.run(&format!(
        "{wire} --hold sh -c 'ping -c1 10.6.0.2 >/dev/null && exit 3'"
    ))
    .status(3);
    net.as_before();
    net.run(&format!("{wire} --hold nosuch"))
        .fails(127, "veth", &["nosuch"]);
    net.run(&format!("{wire} --ns nosuch --hold true"))
        .status(125);
    for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let line = format!(
            "env --default-signal {wire} --hold sleep 30 & p=$!; \
             until {IP} link show hh >/dev/null 2>&1; do sleep 0.01; done; sleep 0.2; kill -{signal} $p; wait $p"
        );
        net.run(&line).status(status);
        net.as_before();
    }
    assert_eq!(net.ip("-n blue -br link"), inside);
    // After a kill -9 there is something to clear away.
    let line = format!(
        "{wire} --hold sleep 30 & p=$!; until {IP} link show hh >/dev/null 2>&1; do sleep 0.01; done; sleep 0.2; \
         kill -KILL $p $(cat /proc/$p/task/$p/children); wait $p; veth del hh; rm -r /etc/netns"
    );
    net.run(&line).ok();
    net.end();
}

#[test]
fn explaining_does_nothing() {
    needs!(root);
    let net = Net::new();
    net.names("blue");
    net.run(&format!("{FULL} --explain")).ok().out_in_order(&[
        "open(\"/run/netns/blue\"",
        "RTM_NEWLINK(type=bridge",
        "RTM_NEWLINK(type=veth, name=\"h7\", master=\"br7\", peer={name=\"e7\", netns=\"blue\"})",
        "kind=tbf, rate=1mbit",
        "/etc/netns/blue/resolv.conf",
        "RTM_NEWADDR(dev=\"e7\", address=fd07::2/64)",
        "RTM_NEWROUTE(default, gateway=10.7.0.1",
    ]);
    net.as_before();
    net.run(&format!("{FULL} --explain=json"))
        .ok()
        .out_has("RTM_NEWLINK(type=veth");
    net.run(&format!("{FULL} --explain=run"))
        .ok()
        .err_has("done");
    net.run("veth del --explain h7")
        .ok()
        .out_in_order(&["RTM_DELLINK(name=\"h7\")", "br7"]);
    net.run("veth del h7 && rm -r /etc/netns").ok();
    net.end();
}

#[test]
fn who_may_not_is_told_what_is_missing() {
    needs!(root, host("setpriv"));
    let net = Net::new();
    net.names("blue");
    let line = "veth a@10.7.0.1/24 b@10.7.0.2/24 --ns blue";
    net.t
        .user()
        .run(line)
        .fails(1, "veth", &["Operation not permitted"])
        .hint("CAP_NET_ADMIN");
    net.run(&format!(
        "/usr/bin/setpriv --bounding-set -net_admin --inh-caps -net_admin {line}"
    ))
    .fails(1, "veth", &["Operation not permitted"])
    .hint("CAP_NET_ADMIN");
    net.run(&format!(
        "/usr/bin/setpriv --bounding-set -sys_admin --inh-caps -sys_admin {line}"
    ))
    .fails(1, "veth", &["Operation not permitted"])
    .hint("CAP_SYS_ADMIN");
    net.end();
}

#[test]
fn an_ordinary_user_wires_namespaces_of_their_own() {
    needs!(root, userns, host("ping"));
    let net = Net::new();
    net.t
        .user()
        .run(
            "unshare -rn sh -c 'unshare -n sleep 30 & p=$!; sleep 0.3; \
             veth a@10.7.0.1/24 b@10.7.0.2/24 --ns $p && veth ls && ping -c1 -W2 10.7.0.2 >/dev/null; s=$?; kill $p; exit $s'",
        )
        .ok()
        .out_has("10.7.0.2/24");
    net.end();
}
