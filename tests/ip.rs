//! ip from outside: what it leaves in the kernel, and what only ours does. What it shares with iproute2's is in
//! parity/ip.cases and parity/ip_wrong.cases.
//!
//! Names are files of /run/netns: every line has a /run of its own, in a mount namespace of its own.

use crate::kit::Sandbox;

/// A line in mount and network namespaces of its own, with an empty /run.
fn alone(line: &str) -> String {
    let line = line.replace('\'', "'\\''");
    format!("unshare -mn sh -c 'mount -t tmpfs tmpfs /run && {line}'")
}

/// Acceptance script 4: an empty stack, and what bringing lo up changes.
#[test]
fn an_empty_network_stack() {
    needs!(root, host("ping"));
    let t = Sandbox::new("ip");
    let line = "unshare --net sh -c 'ip -o link | wc -l; ping -c1 -W1 8.8.8.8; ping -c1 -W1 127.0.0.1 >/dev/null 2>&1; \
                echo lo=$?; ip link set lo up; ping -c1 -W1 127.0.0.1 >/dev/null; echo lo=$?'";
    let ran = t.run(line);
    ran.ok().err_has("Network is unreachable");
    assert!(!ran.stdout.contains("lo=0\nlo="), "{ran}");
    ran.out_in_order(&["1\n", "lo=", "lo=0\n"]);
}

/// Acceptance script 21, as the eight lines of every tutorial.
#[test]
fn a_veth_pair_in_eight_lines() {
    needs!(root, host("ping"));
    let t = Sandbox::new("ip");
    t.run(&alone(
        "ip netns add blue; ip link add veth-host type veth peer name veth-blue; ip link set veth-blue netns blue
         ip addr add 10.99.0.1/24 dev veth-host; ip netns exec blue ip addr add 10.99.0.2/24 dev veth-blue
         ip link set veth-host up; ip netns exec blue ip link set veth-blue up; ip -n blue link set lo up
         ping -c1 10.99.0.2 | grep -c \" 0% packet loss\"; ip netns exec blue ping -c1 10.99.0.1 | grep -c \" 0% packet loss\"
         ip link show veth-blue; ip netns del --wait blue; ip link show veth-host
         ip link add veth-container-1-br type veth peer name x",
    ))
    .status(2)
    .out("1\n1\n")
    .err_has("Device \"veth-blue\" does not exist.\nDevice \"veth-host\" does not exist.\n")
    .err_has("Error: Attribute failed policy validation.")
    .err_has("19 bytes, and a link's at most 15");
}

/// Acceptance script 22, in the words of ip: A and C meet B, and not each other.
#[test]
fn three_namespaces_and_two_bridges() {
    needs!(root, host("ping"));
    let t = Sandbox::new("ip");
    t.run(&alone(
        "before=$(ip -o link); for n in a b c; do ip netns add $n; done
         wire() { ip link add h$1 type veth peer name $1 netns $2 && ip link set h$1 master $3 up &&
                  ip -n $2 addr add $4 dev $1 && ip -n $2 link set $1 up; }
         ip link add br1 up type bridge; ip link add br2 up type bridge
         wire va a br1 10.1.0.2/24; wire vb1 b br1 10.1.0.3/24; wire vb2 b br2 10.2.0.2/24; wire vc c br2 10.2.0.3/24
         t() { ip netns exec $1 ping -c1 -W1 $2 >/dev/null 2>&1 && echo \"$1>$2 ok\" || echo \"$1>$2 no\"; }
         t a 10.1.0.3; t b 10.1.0.2; t b 10.2.0.3; t a 10.2.0.3; t c 10.1.0.2
         ip link del br1; ip link del br2; ip -all netns delete --wait; test \"$(ip -o link)\" = \"$before\" && echo as before",
    ))
    .ok()
    .out("a>10.1.0.3 ok\nb>10.1.0.2 ok\nb>10.2.0.3 ok\na>10.2.0.3 no\nc>10.1.0.2 no\nas before\n");
}

/// A namespace by pid and by file, as the kernel sees it from inside.
#[test]
fn a_link_goes_to_a_process_or_a_file() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run(&alone(
        "unshare -n sleep 50 & while ! grep -qx sleep /proc/$!/comm; do sleep 0.02; done
         ip link add a type veth peer name b netns $!; nsenter -t $! -n ip -br link show b | cut -d@ -f1
         ip link add c type veth peer name d netns /proc/$!/ns/net; nsenter -t $! -n ip -br link show d | cut -d@ -f1
         ip -br link show b 2>&1; kill $!",
    ))
    .ok()
    .out("b\nd\nDevice \"b\" does not exist.\n");
}

/// Every change is a plan, which can be told; telling changes nothing.
#[test]
fn changes_are_told() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run("ip --explain link add v0 type veth peer name v1; ip -br link | wc -l")
        .ok()
        .out_in_order(&[
            "RTM_NEWLINK",
            "NLM_F_CREATE|NLM_F_EXCL",
            "v0 type veth peer name v1",
            "rtnetlink(7)",
            "1\n",
        ]);
    t.run(&alone(
        "ip --explain=json netns add blue; ls /run | wc -l; ip netns add blue; ip --explain -n blue addr add 10.0.0.1/8 dev lo
         ip --explain netns exec blue true; ip -n blue -br addr; ip --explain link show",
    ))
    .status(1)
    .out_in_order(&["\"call\": \"mount(", "unshare(CLONE_NEWNET)", "0\n", "setns(", "RTM_NEWADDR", "setns(", "unshare(CLONE_NEWNS)", "sysfs", "execve"])
    .err_has("changes nothing");
    t.run("ip --explain=run link add v0 type veth; ip link del veth0")
        .ok()
        .err_has("result   done");
}

/// `netns exec` shows the namespace's own /sys, and its files of /etc/netns.
#[test]
fn exec_has_its_own_sys_and_etc() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run(&alone(
        "mkdir -p /run/e /run/w /run/l/netns/blue && echo nameserver 192.0.2.1 >/run/l/netns/blue/resolv.conf &&
         touch /run/l/resolv.conf && mount -t overlay -o lowerdir=/run/l:/etc,upperdir=/run/e,workdir=/run/w o /etc
         ip netns add blue; ip -n blue link add v0 type veth
         ip netns exec blue sh -c \"ls -d /sys/class/net/v0; cat /etc/resolv.conf\"; wc -c </etc/resolv.conf
         grep -c /etc/resolv.conf /proc/self/mountinfo",
    ))
    .status(1)
    .out("/sys/class/net/v0\nnameserver 192.0.2.1\n0\n0\n");
}

/// A name that is not given back where the namespace could not be made, and a namespace that is still in use.
#[test]
fn names_come_and_go() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run(&alone(
        "ip netns attach x 4194303; ls /run/netns | wc -l
         ip netns add x; ip netns exec x sleep 50 & until ip netns pids x | grep -q .; do sleep 0.02; done
         ip netns add y; ip link add v0 type veth peer name v1 netns y; ip netns del --wait y; ip -br link | wc -l; kill $!",
    ))
    .ok()
    .out("0\n1\n")
    .err_has("/proc/4194303/ns/net");
    t.run(&alone(
        "nsenter --net=/proc/self/ns/net true; ip netns add x; readlink /proc/self/ns/net >a
         ip netns exec x sh -c \"ip link set lo up\"; readlink /proc/self/ns/net | cmp - a && ip -br link show lo | tr -s \" \" | cut -d\" \" -f2; rm a",
    ))
    .ok()
    .out("DOWN\n");
}

/// Killed at any moment, what `netns add` leaves is taken away by `netns delete`, or is nothing.
#[test]
fn names_survive_a_kill() {
    needs!(root, host("strace"));
    let t = Sandbox::new("ip");
    t.run(&alone(
        "for moment in unshare setns mount:when=1 mount:when=2 mount:when=3 mount:when=4 openat exit_group; do
             case $moment in *when*) ;; *) moment=$moment:when=1+ ;; esac; call=${moment%%:*}
             strace -o /dev/null -e trace=$call -e inject=$call:signal=KILL:${moment#*:} ip netns add x 2>/dev/null
             ip netns delete x 2>/dev/null; ip netns add x && ip netns exec x true && ip netns delete x && ls /run/netns
         done 2>&1 | grep -v Killed; grep -c /run/netns/ /proc/self/mountinfo",
    ))
    .status(1)
    .out("0\n");
}

/// nsenter takes a name where there is no file of that name.
#[test]
fn nsenter_knows_names() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run(&alone(
        "ip netns add blue; ip -n blue link set lo up; look() { nsenter --net=blue ip -br link show lo | cut -c 1-20; }
         look; touch blue; look; rm blue; ln -s /proc/self/ns/net blue; look; rm blue; nsenter -n./blue true; nsenter --net=.. true",
    ))
    .status(1)
    .out("lo               UNK\nlo               DOW\n")
    .err_has("reassociate to namespace 'ns/net' failed: Invalid argument")
    .err_has("./blue: No such file");
}

/// The monitor says at once who comes and goes.
#[test]
fn names_are_watched() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run(&alone(
        "mkdir /run/netns; ip netns monitor >seen & until ls -l /proc/$!/fd | grep -q inotify; do sleep 0.02; done
         ip netns add x; ip netns del x; until grep -q delete seen; do sleep 0.02; done; kill $!; cat seen; rm seen",
    ))
    .ok()
    .out("add x\ndelete x\n");
}

/// What iproute2 has and we have not says so.
#[test]
fn what_is_missing_says_so() {
    let t = Sandbox::new("ip");
    for line in [
        "ip rule",
        "ip -t link",
        "ip link xstats",
        "ip route add 10.0.0.0/8 encap ip id 1",
        "ip link set lo vf 0 mac 00:11:22:33:44:55",
        "ip neigh show unused",
    ] {
        t.run(line)
            .status(1)
            .out("")
            .err_has("of iproute2 is not in this ip");
    }
    t.run("ip --help")
        .ok()
        .out_has("named here is refused, not ignored");
    t.run("ip link help").status(255).out("").err_has("ip link");
    t.run("ip --version").ok().out_has("ip from isobox");
}

/// An ordinary user: no names outside of namespaces of their own, and names of their own in there.
#[test]
fn names_of_an_ordinary_user() {
    needs!(userns);
    let t = Sandbox::new("ip");
    // It is the user's only where it belongs to the user.
    let runtime = t.work().join("run");
    t.user().cmd("mkdir -m 700 run").run().ok();
    let run = t
        .user()
        .cmd("ip netns add blue")
        .env("XDG_RUNTIME_DIR", &runtime)
        .run();
    run.status(1)
        .err_has("mount --make-shared")
        .hint("unshare -rm");
    std::fs::remove_dir_all(runtime.join("netns")).unwrap();
    t.user()
        .cmd(
            "unshare -rmn sh -c 'ip netns add blue && ip netns && ip -n blue link set lo up && ip -n blue -br link show lo | cut -c 1-2
             ip link add a type veth peer name b netns blue && ip netns exec blue ip -br link show b | cut -c 1
             nsenter --net=$XDG_RUNTIME_DIR/netns/blue ip -o link | wc -l; ip netns del --wait blue; ip -o link | wc -l'; rmdir run/netns run",
        )
        .env("XDG_RUNTIME_DIR", &runtime)
        .run()
        .ok()
        .out("blue\nlo\nb\n2\n1\n");
    // What the hint says is enough, also with the machine's network around it.
    t.user().cmd("mkdir -m 700 run").run().ok();
    t.user()
        .cmd("unshare -rm sh -c 'ip netns add blue && ip -n blue -br link | cut -c 1-2; ip netns del blue'; rmdir run/netns run")
        .env("XDG_RUNTIME_DIR", &runtime)
        .run()
        .ok()
        .out("lo\n");
}

/// A kind of link that the kernel has not is named.
#[test]
fn a_kind_that_is_not_there() {
    needs!(root);
    let t = Sandbox::new("ip");
    t.run("ip link add d0 type nosuchkind")
        .status(2)
        .err_has("Error: Unknown device type.")
        .hint("modprobe nosuchkind");
    t.user()
        .run("ip link add d0 type veth")
        .status(2)
        .err_has("RTNETLINK answers: Operation not permitted")
        .hint("unshare -rn");
}

/// Nothing that is typed makes it fall over.
#[test]
fn odd_words() {
    let t = Sandbox::new("ip");
    for line in [
        "ip \"$(printf 'l\\377')\"",
        "ip link show \"$(printf '\\377')\"",
        "ip link show \"$(printf '\\033[31m')\"",
        "ip addr add ////// dev lo",
        "ip addr add 1.2.3.4.5/99999999999999999999 dev lo",
        "ip link add $(seq -s '' 3000) type veth",
        "ip route add nexthop nexthop nexthop",
        "ip link add a type vlan id 0x ingress-qos-map",
        "ip -n '' link",
        "ip -n ../../etc/passwd link",
        "ip netns exec .. true",
        "ip link set lo address $(seq -s : 9000)",
    ] {
        let ran = t.run(line);
        assert!(matches!(ran.status, 1 | 2 | 255), "{ran}");
        assert!(
            !ran.stderr.contains('\u{1b}') && !ran.stderr.is_empty(),
            "{ran}"
        );
    }
}
