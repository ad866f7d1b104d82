//! `linux.netDevices`: a link of the machine (an end of a veth pair, in a namespace of the test's own) goes inside.

use super::{ALL, Config};
use crate::kit::{Ran, Sandbox};

/// A pair whose end `d0` is up, with a lasting address of each family, one for a minute and one for the link alone.
const PAIR: &str = "ip=/sbin/ip; $ip link add d0 mtu 1400 address 02:00:00:00:00:07 type veth peer name d1; $ip link set d1 up; $ip link set d0 up
    $ip addr add 192.0.2.1/24 dev d0; $ip addr add 2001:db8::1/64 dev d0 nodad; $ip addr add 192.0.2.9/32 dev d0 valid_lft 60 preferred_lft 60
    $ip addr add 192.0.2.8/32 dev d0 scope link
";

/// What is outside of it.
const LOOK: &str = "; $ip -o addr show dev d0 | grep -o 'inet.* scope global'; $ip -o link show d0 | grep -o ',UP'";

fn run<'t>(t: &'t Sandbox, script: &str, top: &str, device: &str, around: [&str; 2]) -> Ran<'t> {
    let namespaces = ALL.replace(r#""network""#, r#""network"NET"#);
    let joined = match around[0].contains("unshare") {
        true => r#", "path": "/proc/PID/ns/net""#,
        false => "",
    };
    let config = Config {
        script,
        top,
        linux: &format!(r#""netDevices": {{{device}}},"#),
        namespaces: &namespaces.replace("NET", joined),
        ..Config::default()
    };
    let line = format!(
        "{PAIR}{}sed -i \"s/PID/$!/\" b/config.json; container run -b b{}; kill -9 $! 2>/dev/null; $ip link del d1 2>/dev/null",
        around[0], around[1]
    );
    config.run_by(t, &line)
}

/// In another namespace, where a link has the name `taken` already.
const ANOTHER: &str = "unshare -n sleep 60 & until [ \"$(readlink /proc/$!/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.01; done
    nsenter -t $! -n $ip link add eth0 type veth peer name eth9; ";

#[test]
fn a_device_goes_in_with_what_it_has() {
    needs!(root, busybox, host("ip"));
    let t = Sandbox::new("oci");
    let script = "busybox ip -o addr show dev inside0 | grep -o 'inet.* scope global'; busybox ip -o link show dev inside0 | grep -o 'mtu [0-9]*\\|[,<]UP\\|ether [0-9a-f:]*'";
    let ran = run(
        &t,
        script,
        "",
        r#""d0": {"name": "inside0"}"#,
        ["", "; $ip -br link show d0 2>&1"],
    );
    // What is no hardware goes with the namespace.
    ran.out(
        "inet 192.0.2.1/24 brd 192.0.2.255 scope global\ninet6 2001:db8::1/64 scope global\n,UP\nmtu 1400\nether 02:00:00:00:00:07\n\
         Device \"d0\" does not exist.\n",
    );
}

#[test]
fn a_device_keeps_its_name_or_gets_a_free_one() {
    needs!(root, busybox, host("ip"));
    let t = Sandbox::new("oci");
    let script = "busybox ip -o link | cut -d: -f2 | cut -d@ -f1 | sort | xargs";
    run(&t, script, "", r#""d0": {}"#, ["", ""]).out("d0 lo\n");
    let ran = run(
        &t,
        script,
        "",
        r#""d0": {"name": "eth%d"}"#,
        [ANOTHER, "; nsenter -t $! -n $ip link del eth0"],
    );
    ran.out("eth0 eth1 eth9 lo\n");
}

#[test]
fn a_device_is_back_where_it_cannot_be_used() {
    needs!(root, busybox, host("ip"));
    let t = Sandbox::new("oci");
    let as_it_was =
        "inet 192.0.2.1/24 scope global\ninet6 2001:db8::1/64 scope global\n,UP\n".to_owned();
    let failing = r#""hooks": {"createRuntime": [{"path": "/bin/false"}]},"#;
    let ran = run(
        &t,
        "echo ran",
        failing,
        r#""d0": {"name": "x0"}"#,
        ["", LOOK],
    );
    assert_eq!(
        ran.stdout.replace(" brd 192.0.2.255", ""),
        as_it_was,
        "{ran}"
    );
    ran.err_has("createRuntime hook");
    // A name that is taken there: nothing has moved.
    let ran = run(
        &t,
        "echo ran",
        "",
        r#""d0": {"name": "eth0"}"#,
        [ANOTHER, LOOK],
    );
    assert!(
        ran.stdout.ends_with(",UP\n") && ran.stdout.contains("192.0.2.9"),
        "{ran}"
    );
    ran.err_has("cannot move the link d0: there is one called eth0 already");
    for (device, why) in [
        (r#""d5": {}"#, "cannot find the link d5: No such device"),
        (r#""d0": {"name": "a/b"}"#, "invalid network device name"),
        (r#""lo": {}"#, "cannot move the link lo"),
    ] {
        let ran = run(&t, "echo ran", "", device, ["", ""]);
        assert_eq!(ran.stdout, "", "{ran}");
        ran.err_has(why);
    }
    let config = Config {
        linux: r#""netDevices": {"d0": {}},"#,
        namespaces: r#"{"type": "mount"}"#,
        ..Config::default()
    };
    super::refused(
        &config.run(&t),
        "unable to move network devices without a NET namespace",
    );
}
