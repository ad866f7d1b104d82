//! container run --network and its companions. "The internet" is a namespace of the test's own.
//!
//! ```text
//! wan 203.0.113.1 -- 203.0.113.2 w0 (the test's own namespace) isobox0 10.87.0.1 -- eth0 in each container
//! ```

use crate::kit::Sandbox;

/// What carries an ordinary user's network.
macro_rules! needs_carriers {
    () => {
        needs!(
            root,
            userns,
            busybox,
            host("ip"),
            host("pasta"),
            host("slirp4netns"),
            host("perl")
        );
    };
}

/// Lays the cables, and leaves nothing: leases are kept in a /run of the test's own.
const LAB: &str = r#"
ip=/sbin/ip
unshare -n sleep 60 & wan=$!; pids=$wan
trap 'kill -9 $pids 2>/dev/null; nat del --all 2>/dev/null; $ip link del isobox0 2>/dev/null; $ip link del w0; umount /run' EXIT
while [ "$(readlink /proc/$wan/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
mount -t tmpfs run /run; $ip link set lo up
$ip link add w0 type veth peer name w1 netns $wan; $ip addr add 203.0.113.2/24 dev w0; $ip link set w0 up
nsenter -t $wan -n $ip addr add 203.0.113.1/24 dev w1; nsenter -t $wan -n $ip link set w1 up
left() { $ip -br link | grep -v '^lo\|^w0' | cut -d' ' -f1; nft list ruleset; ls /run/isobox/network; cat /proc/sys/net/ipv4/ip_forward; }
heard() { while ! nsenter -t $1 -n busybox netstat -ltn 2>/dev/null | grep -q ":$2 "; do sleep 0.02; done; }
fetch() { timeout 5 busybox wget -qO- $1; }
# A name server at udp port 53 of the wan: everybody is 203.0.113.1.
names() { nsenter -t $wan -n perl -e 'use IO::Socket::INET; $s = IO::Socket::INET->new(Proto => "udp", LocalPort => 53);
        while ($s->recv($q, 512)) { substr($q, 2, 6) = "\x81\x80\0\1\0\1";
            $s->send($q . "\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xcb\0\x71\1") }' & pids="$pids $!"
    while ! nsenter -t $wan -n grep -q ':0035 ' /proc/net/udp; do sleep 0.01; done; }
# An ordinary user who may use tap devices, and a page out there.
carried() { mount -t tmpfs dev /dev/net; mknod -m 666 /dev/net/tun c 10 200; trap 'umount /dev/net' 0
    $ip route add default via 203.0.113.1; chown -R 1000:1000 r
    nsenter -t $wan -n busybox httpd -f -p 80 -h wan & pids="$pids $!"; heard $wan 80
    user="setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=$PWD"; }
# pasta calls itself passt.avx2 where it can. What it leaves to be collected is process 1's affair.
gone() { while ps -u 1000 -o stat=,comm= | grep -v '^Z' | grep -q -e passt -e slirp4; do sleep 0.05; done; echo gone; }
# What IPv6 does by itself as a link has come up is not there at once.
settings() { $ip route show table all | grep -v -e ' fe80::' -e '^fe80::' -e ff00::; grep -r . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf 2>/dev/null | sort; }
"#;

fn lab() -> Sandbox {
    let t = Sandbox::new("net");
    t.root("r");
    t.write("r/f", "page of r\n")
        .write("wan/f", "page of wan\n");
    t.run("for a in wget httpd ip nslookup; do ln -s busybox r/bin/$a; done; chmod 755 r")
        .ok();
    t
}

fn run(what: &str) -> String {
    format!("{LAB}\n{what}")
}

/// An address, a way out, names, and nothing left.
#[test]
fn a_bridge_connects_a_container() {
    needs!(root, busybox, host("ip"), host("nft"), host("perl"));
    let t = lab();
    let line = run(r#"
        nsenter -t $wan -n busybox httpd -f -p 80 -h wan & pids="$pids $!"; heard $wan 80; names; settings >before
        container run --rootfs r --network bridge --hostname box --dns 203.0.113.1 --add-host db:10.1.1.1 sh -c '
            ip -o -4 addr show eth0 | grep -o "10.87.0.2/24"; ip route | grep default
            cat /etc/hosts /etc/hostname /etc/resolv.conf; cd /proc/sys/net; cat ipv4/ping_group_range ipv4/ip_unprivileged_port_start ipv6/conf/eth0/disable_ipv6
            wget -qO- http://203.0.113.1/f; nslookup -type=a box.example | tail -2 | grep Addr' 2>notes
        grep -v ip_forward notes; left; settings | cmp before -"#);
    t.run(&line).ok().out(
        "10.87.0.2/24\ndefault via 10.87.0.1 dev eth0 \n\
         127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.87.0.2\tbox\n\
         10.87.0.1\thost.containers.internal host.docker.internal\n10.1.1.1\tdb\nbox\nnameserver 203.0.113.1\n\
         0\t2147483647\n0\n1\npage of wan\nAddress: 203.0.113.1\n0\n",
    );
}

/// What a cloud tells its machines is not told to containers that did not ask to be, whoever is root there.
#[test]
fn the_machine_s_secrets_are_not_for_containers() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        nsenter -t $wan -n $ip addr add 169.254.169.254/32 dev w1; $ip route add 169.254.169.254 dev w0
        nsenter -t $wan -n busybox httpd -f -p 80 -h wan & pids="$pids $!"; heard $wan 80
        for flag in --allow-metadata '' '--name web'; do
            container run --rm --rootfs r --network bridge $flag wget -qO- http://169.254.169.254/f 2>&1 | grep -v forward
        done
        container run --rootfs r --network bridge wget -qO- http://203.0.113.1/f 2>/dev/null
        container run --script --rootfs r --network bridge wget -qO- http://169.254.169.254/f >s; sh s 2>&1 | grep -v forward
        left; umount /run/netns"#);
    t.run(&format!("export ISOBOX_ROOT=$PWD/kept; {line}; rm -rf kept"))
        .out("page of wan\nwget: can't connect to remote host (169.254.169.254): Permission denied\nwget: can't connect to remote host (169.254.169.254): Permission denied\npage of wan\nwget: can't connect to remote host (169.254.169.254): Permission denied\n0\n");
}

/// A port from outside, from the machine itself, and from another container; a port that is taken.
#[test]
fn ports_are_published() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        container run --rootfs r --init --hostname web -p 8080:80 -p 127.0.0.1:81:80 httpd -f -p 80 -h / 2>/dev/null & web=$!; pids="$pids $!"
        until fetch http://10.87.0.2/f >/dev/null 2>&1; do sleep 0.05; done
        nsenter -t $wan -n busybox wget -qO- http://203.0.113.2:8080/f
        nsenter -t $wan -n timeout 1 busybox wget -qO- http://203.0.113.2:81/f 2>/dev/null || echo 'not from outside'
        fetch http://127.0.0.1:8080/f; fetch http://127.0.0.1:81/f; fetch http://203.0.113.2:8080/f
        container run --rootfs r --network bridge wget -qO- http://10.87.0.2/f
        container run --rootfs r -p 8081:80 --init httpd -f -p 80 -h / 2>/dev/null & same=$!; pids="$pids $!"
        until fetch http://127.0.0.1:8081/f 2>/dev/null; do sleep 0.05; done; kill $same; wait $same
        container run --rootfs r -p 8080:80 true; echo $?
        container run --rootfs r --network bridge --ip 10.87.0.2 true; echo $?
        kill $web; wait $web; left"#);
    let ran = t.run(&line);
    ran.ok().out(
        "page of r\nnot from outside\npage of r\npage of r\npage of r\npage of r\npage of r\n125\n125\n0\n",
    );
    ran.err_has("port 8080/tcp is published already")
        .err_has("the address 10.87.0.2 is taken");
}

/// The same where root inside is nobody outside: his network is his, and no more is.
#[test]
fn a_bridge_connects_ids_of_their_own() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        echo root:1000000:655360 >ids; for f in subuid subgid; do mount --bind ids /etc/$f; done
        export ISOBOX_ROOT=$PWD/kept
        container run -d --name web --rootfs r --cap-add NET_ADMIN -p 8080:80 --init httpd -f -p 80 -h / >/dev/null 2>&1
        until fetch http://127.0.0.1:8080/f 2>/dev/null; do sleep 0.05; done
        nsenter -t $wan -n busybox wget -qO- http://203.0.113.2:8080/f
        container exec web sh -c 'cut -c1-21 /proc/self/uid_map; cat /proc/sys/net/ipv4/ping_group_range; ip link add d0 type dummy 2>/dev/null; ip addr add 10.9.9.9/32 dev lo && ip -o addr show lo | grep -c 10.9.9.9; cat /etc/hostname'
        container run --rootfs r --network bridge sh -c 'cut -c1-21 /proc/self/uid_map; wget -qO- http://10.87.0.2/f' 2>/dev/null
        container inspect -f '{{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.Bridge}}' web
        container run --userns host --rootfs r --network container:web sh -c 'ip -o addr show eth0 | grep -o 10.87.0.2/24'
        container run --rootfs r --network none sh -c 'ip -o link show lo | grep -c UP'
        container rm -f web >/dev/null 2>&1; left; umount /etc/subuid /etc/subgid; rm -rf kept"#);
    t.run(&line).out(
        "page of r\npage of r\n         0    1000000\n0\t65535\n1\nweb\n         0    1065536\npage of r\n10.87.0.2/24 10.87.0.1 isobox0\n10.87.0.2/24\n0\n0\n",
    );
}

/// IPv6 beside IPv4, also in a bridge that had none so far; ranges of ports, for both.
#[test]
fn ipv6_and_ranges() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        $ip addr add 2001:db8::2/64 dev w0 nodad; nsenter -t $wan -n $ip addr add 2001:db8::1/64 dev w1 nodad
        nsenter -t $wan -n busybox httpd -f -p 80 -h wan & pids="$pids $!"; heard $wan 80
        container run --rootfs r --network bridge --pids-limit -1 sleep 50 2>/dev/null & first=$!; pids="$pids $!"
        until $ip link show isobox0 up 2>/dev/null | grep -q UP; do sleep 0.02; done; cat /proc/sys/net/ipv6/conf/isobox0/disable_ipv6
        container run --rootfs r --init --ip6 auto --hostname box -p 8000-8002:80-82 -p '[2001:db8::2]:9:81' sh -c '
            cat /proc/sys/net/ipv6/conf/eth0/accept_ra; ip -o -6 addr show eth0 | grep -o "fd87.*/64"; ip -6 route | grep default; grep box /etc/hosts
            wget -qO- http://[2001:db8::1]/f; httpd -p 80 -h /; httpd -p 82 -h /; httpd -f -p 81 -h /' 2>/dev/null >said & web=$!; pids="$pids $!"
        until fetch http://10.87.0.3:81/f >/dev/null 2>&1; do sleep 0.05; done; cat said; nat list | grep -c published
        for at in 203.0.113.2:8000 203.0.113.2:8002 [2001:db8::2]:8000 [2001:db8::2]:9; do nsenter -t $wan -n busybox wget -qO- http://$at/f; done
        nsenter -t $wan -n timeout 1 busybox wget -qO- http://203.0.113.2:9/f 2>/dev/null || echo 'not there'
        container run --rootfs r --ip6 fd87:6973:6f62::2 true; container run --rootfs r --ip6 fd87:6973:6f62::77 wget -qO- http://[fd87:6973:6f62::2]:81/f 2>/dev/null
        kill $web; wait $web; nat list | cut -d, -f1; kill -9 $first; wait $first 2>/dev/null; container run --rootfs r --network bridge true 2>/dev/null
        left; cat /proc/sys/net/ipv6/conf/all/forwarding
        container run --rootfs r -p 10001-10900:1001-1900 --explain true | grep -c 'nat 10.87.0.0/24, dnat 10001:10.87.0.2:1001'
        container run --rootfs r -p 10001-10900:1001-1900 true 2>/dev/null; left"#);
    t.run(&line)
        .ok()
        .out(
            "1\n0\nfd87:6973:6f62::2/64\ndefault via fd87:6973:6f62::1 dev eth0  metric 1024 \n10.87.0.3\tbox\nfd87:6973:6f62::2\tbox\n\
             page of wan\n7\npage of r\npage of r\npage of r\npage of r\nnot there\npage of r\n10.87.0.0/24 masquerade\n0\n0\n1\n0\n",
        )
        .err_has("the address fd87:6973:6f62::2 is taken");
}

/// The script makes the same network of our applets, and takes it away.
#[test]
fn a_script_says_a_bridge() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        nsenter -t $wan -n busybox httpd -f -p 80 -h wan & pids="$pids $!"; heard $wan 80
        look='ip -o addr show eth0 | sed "s/[0-9]*: //; s/inet6 fe80.*//"; ip route; cat /etc/hosts /etc/resolv.conf /proc/sys/net/ipv4/ping_group_range
            wget -qO- http://203.0.113.1/f; exit 7'
        export ISOBOX_ROOT=$PWD/kept
        set -- --rm --rootfs r --hostname box --name web --ip6 auto --dns 203.0.113.1 -p 8080:80
        container run "$@" sh -c "$look" >one 2>/dev/null; echo $?
        container run --script "$@" sh -c "$look" >script; left; sh ./script >two 2>/dev/null; echo $?; cmp one two && grep page two
        left; ls /run/netns; ip netns add web; sh ./script; echo $?; ip netns del web
        container run --script "$@" --init httpd -f -p 80 -h / >script; sh ./script 2>/dev/null & pid=$!
        until fetch http://127.0.0.1:8080/f 2>/dev/null; do sleep 0.05; done
        kill $(pgrep -P $pid veth); wait $pid; echo $?; left; ls /run/netns; umount /run/netns"#);
    t.run(&line)
        .ok()
        .out("7\n0\n7\npage of wan\n0\n1\npage of r\n143\n0\n")
        .err_has("Cannot create namespace file \"/run/netns/web\": File exists");
}

/// Killed, it leaves its lease; the next one takes everything back. Many at once get an address each.
#[test]
fn what_a_killed_one_leaves_is_cleared_away() {
    needs!(root, busybox, host("ip"), host("nft"));
    let t = lab();
    let line = run(r#"
        container run --rootfs r --pids-limit -1 --hostname web -p 8080:80 sleep 50 2>/dev/null & web=$!
        until nat list | grep -q 8080; do sleep 0.05; done; kill -9 $web; wait $web 2>/dev/null
        ls /run/isobox/network; cat /proc/sys/net/ipv4/ip_forward
        container run --rootfs r --network bridge true 2>&1 | grep cleared; left
        for i in 1 2 3 4 5 6; do
            container run --rootfs r --network bridge sh -c 'ip -o -4 addr show eth0 | grep -o "10.87.0.[0-9]*/"; sleep 1' 2>/dev/null >out$i & all="$all $!"
        done
        wait $all; cat out* | sort | uniq | wc -l; left"#);
    t.run(&line)
        .ok()
        .out("web\n1\nnote: cleared away what was left of the network of web\n0\n6\n0\n");
}

/// The other kinds, and the files of an image that are links to elsewhere: covered, never followed (T-FS-18).
#[test]
fn kinds_of_network_and_hostile_files() {
    needs!(root, busybox, host("ip"));
    let t = lab();
    let line = run(r#"
        links="grep -o '^ *[a-z0-9]*:' /proc/net/dev"
        container run --rootfs r sh -c "$links; cat /sys/class/net/lo/operstate"
        container run --rootfs r --network none sh -c "$links; cat /sys/class/net/lo/operstate"
        container run --rootfs r --network host sh -c "$links" | sort | tr -d ' \n'; echo
        container run --rootfs r --network ns:/proc/$wan/ns/net sh -c "$links" | sort | tr -d ' \n'; echo
        mkdir canary; cp -r r evil; rm -rf evil/etc; ln -s "$PWD/canary" evil/etc
        container run --rootfs evil --network bridge --dns 1.1.1.1 cat /etc/resolv.conf 2>&1 | grep -c nameserver; ls canary
        cp -r r links; mkdir -p links/etc; for f in hosts hostname resolv.conf; do ln -sf "$PWD/canary/$f" links/etc/$f; done
        ln -sf ../run/systemd/resolve/stub-resolv.conf links/etc/resolv.conf
        container run --rootfs links --network bridge --hostname box --dns 1.1.1.1 cat /etc/resolv.conf /etc/hostname 2>/dev/null
        ls canary; readlink links/etc/resolv.conf; left"#);
    t.run(&line).ok().out(
        "    lo:\nunknown\n    lo:\ndown\nlo:w0:\nlo:w1:\n0\nnameserver 1.1.1.1\nbox\n../run/systemd/resolve/stub-resolv.conf\n0\n",
    );
}

/// An ordinary user's container, by pasta and by slirp4netns: out, in, and nothing left also after a kill -9.
#[test]
fn an_ordinary_users_container_is_carried() {
    needs_carriers!();
    let t = lab();
    let line = run(r#"
        carried; names
        for kind in pasta slirp4netns; do
            $user container run --rootfs r --network $kind --dns 203.0.113.1 sh -c 'cat /etc/resolv.conf; wget -qO- http://203.0.113.1/f
                nslookup -type=a box.example | tail -2 | grep Addr'
            $user container run --rootfs r --network $kind -p 8080:8000 httpd -f -p 8000 -h / & box=$!
            until timeout 2 busybox wget -qO- http://127.0.0.1:8080/f 2>/dev/null; do kill -0 $box || break; sleep 0.1; done
            kill -9 $box; wait $box 2>/dev/null; gone
            busybox nc -l -p 8080 & taken=$!; until ss -tln | grep -q :8080; do sleep 0.02; done
            $user container run --rootfs r --network $kind -p 8080:8000 true; echo $?; kill $taken
        done; kill -9 $pids; umount /dev/net; trap - EXIT; $ip link del w0; umount /run"#);
    let ran = t.run(&line);
    ran.err_has("cannot publish port 8080/tcp: Address already in use");
    ran.ok().out(
        "nameserver 203.0.113.1\npage of wan\nAddress: 203.0.113.1\npage of r\ngone\n125\n"
            .repeat(2)
            .as_str(),
    );
}

/// The script has unshare start the carrier, which goes with the container, also after a kill -9.
#[test]
fn a_script_says_a_carrier() {
    needs_carriers!();
    let t = lab();
    let line = run(r#"
        carried
        for kind in pasta slirp4netns; do
            set -- --rootfs r --hostname box --network $kind --dns 203.0.113.1
            look='cat /etc/hosts /etc/resolv.conf; wget -qO- http://203.0.113.1/f; exit 7'
            $user container run "$@" sh -c "$look" >one; echo $?
            $user container run --script "$@" sh -c "$look" >script; $user sh ./script >two; echo $?; cmp one two && grep page two
            $user container run --script "$@" --init -p 8080:80 httpd -f -p 80 -h / >script
            for signal in TERM KILL; do
                $user sh ./script & box=$!
                until timeout 2 busybox wget -qO- http://127.0.0.1:8080/f 2>/dev/null; do kill -0 $box || break; sleep 0.1; done
                kill -s $signal $box; wait $box 2>/dev/null; echo $?
            done; gone
            $user unshare -r --carrier $kind --publish 8080:8000 sh -c 'cd r && exec busybox httpd -f -p 8000' & box=$!
            until timeout 2 busybox wget -qO- http://127.0.0.1:8080/f 2>/dev/null; do kill -0 $box || break; sleep 0.1; done
            kill -9 $(pgrep -P $box); wait $box; echo $?; gone
        done; kill -9 $pids; umount /dev/net; trap - EXIT; $ip link del w0; umount /run"#);
    t.run(&line).ok().out(
        "7\n7\npage of wan\npage of r\n143\npage of r\n137\ngone\npage of r\n137\ngone\n"
            .repeat(2)
            .as_str(),
    );
    for (args, words) in [
        (
            "unshare -r --publish 80:80 true",
            "--publish requires --carrier",
        ),
        (
            "unshare -r --carrier other true",
            "pasta and slirp4netns are those there are",
        ),
        (
            "unshare -r --carrier pasta --publish 80 true",
            "[ADDRESS:]PORT:PORT",
        ),
    ] {
        t.user().run(args).status(1).err_has(words);
    }
}

/// What cannot be is refused before anything is done.
#[test]
fn refusals() {
    needs!(root, userns, busybox);
    let t = lab();
    let cases: [(&str, &[&str]); 13] = [
        ("--network nonsense", &["unknown network 'nonsense'"]),
        ("--network bridge=sixteen-bytes-ab", &["sixteen-bytes-ab"]),
        ("--network ns:relative", &["absolute path"]),
        ("--network host -p 80:80", &["-p leads into a network"]),
        ("--network host --ip 10.87.0.9", &["--ip is an address"]),
        ("-p 80", &["[ADDRESS:]PORT:PORT"]),
        ("-p 0:80", &["from 1 to 65535"]),
        ("--add-host 'a b:1.2.3.4'", &["letters, digits"]),
        ("--network pasta", &["for ordinary users"]),
        ("-p 80-82:80-81", &["same length"]),
        ("-p [::1]:80:80", &["port 80", "--ip6 auto"]),
        ("--network host --ip6 auto", &["--ip6 is an address"]),
        ("--ip6 10.0.0.1", &["no IPv6 address"]),
    ];
    for (args, words) in cases {
        t.run(&format!("container run --rootfs r {args} true"))
            .fails(125, "container", words)
            .untouched();
    }
    t.user()
        .cmd("container run --rootfs r --network bridge true")
        .env(
            "PATH",
            format!("{}:/nowhere", t.work().join("../bin").display()),
        )
        .run()
        .status(125)
        .err_has("a program that is not installed: pasta or slirp4netns")
        .hint("apt install passt");
}

/// The network of a container that runs already.
#[test]
fn another_containers_network_is_shared() {
    needs!(root, busybox, host("ip"));
    let t = lab();
    t.write(
        "config.json",
        r#"{"ociVersion": "1.0.2", "root": {"path": "r"}, "hostname": "one",
        "process": {"cwd": "/", "args": ["sleep", "50"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network"}, {"type": "uts"}]}}"#,
    );
    let line = run(r#"
        runc run -d one >/dev/null; pid=$(runc state one | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')
        there=$(readlink /proc/$pid/ns/net)
        test $there = $(container run --rootfs r --network container:one readlink /proc/self/ns/net) && echo shared
        container run --rootfs r --network container:two true; echo $?
        test "$(readlink /proc/$pid/ns/pid)" = "$(container run --rootfs r --pid container:one readlink /proc/self/ns/pid)" && echo shared
        export ISOBOX_ROOT=$PWD/kept; id=$(container create --rootfs r true)
        container run --rootfs r --network container:$id true; echo $?
        for same in aa1 aa2; do cp -r kept/containers/$id kept/containers/$same; done
        container run --rootfs r --network container:aa true; echo $?
        runc delete -f one"#);
    t.run(&line)
        .ok()
        .out("shared\n125\nshared\n125\n125\n")
        .err_has("no such container: two")
        .err_has("the container is not running")
        .err_has("several containers have an id that begins with aa");
}

/// The kernel takes longest for some namespaces, which are made by a task on another CPU meanwhile: where there is one, and
/// where that task can be made. It is all the same to the container.
#[test]
fn namespaces_are_its_own_whether_they_were_made_ahead_or_not() {
    needs!(root, two_cpus, busybox, host("strace"), host("taskset"));
    let t = lab();
    t.run(
        r#"numbers() { busybox stat -L -c %i /proc/self/ns/net /proc/self/ns/ipc; }
run="container run --label kept=yes --rootfs r busybox"
own() { "$@" $run stat -L -c %i /proc/self/ns/net /proc/self/ns/ipc >out; "$@" $run cat /sys/class/net/lo/flags >>out
    numbers | grep -c -x -f out; wc -l <out; tail -n 1 out; }
calls() { grep -c "$1(.*CLONE_NEWIPC|.*CLONE_NEWNET" trace; }
own env; own taskset -c 0
own strace -f -o trace -e trace=unshare,setns; calls unshare; grep -c 'setns(.*, CLONE_NEW[A-Z]*' trace
own strace -f -o trace -e trace=clone,clone3 -e inject=clone:error=EAGAIN:when=1; calls 'clone3*'
own strace -f -o trace -e trace=unshare,sched_setaffinity -e inject=sched_setaffinity:error=EPERM; calls unshare"#,
    )
    .ok()
    .out("0\n3\n0x9\n0\n3\n0x9\n0\n3\n0x9\n1\n2\n0\n3\n0x9\n1\n0\n3\n0x9\n1\n");
}
