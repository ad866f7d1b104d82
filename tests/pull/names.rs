//! Finding a registry: names that do not exist, name servers that do not answer, proxies and what is not for them.

use std::time::{Duration, Instant};

use crate::kit::Sandbox;
use crate::kit::lab::Lab;
use crate::kit::server::Server;

/// A name server that knows `lab.example` (first an address where nobody is) and is silent about `silent.*`.
const NAME_SERVER: &str = r"
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 53))
while True:
    q, a = s.recvfrom(2000)
    n, i = [], 12
    while q[i]: n.append(q[i+1:i+1+q[i]].decode()); i += 1 + q[i]
    name, kind = '.'.join(n), struct.unpack('>H', q[i+1:i+3])[0]
    if name.startswith('silent'): continue
    known = name == 'lab.example'
    ips = ['127.0.0.9', '127.0.0.1'] if known and kind == 1 else []
    code = 0 if known else 2 if name.startswith('broken') else 3
    r = q[:2] + struct.pack('>HHHHH', 0x8180 | code, 1, len(ips), 0, 0) + q[12:i+5]
    for ip in ips: r += b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + socket.inet_aton(ip)
    s.sendto(r, a)
";

#[test]
fn a_name_that_leads_nowhere_is_said_to() {
    needs!(root, host("python3"));
    let t = Sandbox::new("names");
    let lab = Lab::new(1000);
    let server = Server::start(&t, move |asked| lab.answer(asked));
    let port = server.at.rsplit(':').next().unwrap();
    t.write("dns.py", NAME_SERVER)
        .write(
            "conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )
        .write("empty", "options timeout:1 attempts:1\n");
    // Everything in a mount namespace of its own: what is bound over resolv.conf is nobody else's.
    let run = |conf: &str, line: &str| {
        t.run(&format!(
            "unshare -m sh -c 'mount --bind {conf} /etc/resolv.conf; python3 dns.py 2>/dev/null & p=$!; sleep 0.3; {line}; s=$?; kill $p 2>/dev/null; exit $s'"
        ))
    };
    run("conf", "pull -q --digest nowhere.example/x").fails(
        1,
        "pull",
        &["cannot reach https://nowhere.example: there is no such host"],
    );
    let nobody = "no name server says where it is";
    for name in ["broken.example", "silent.example"] {
        run("conf", &format!("pull -q --retry 0 --digest {name}/x"))
            .fails(1, "pull", &[name, nobody])
            .hint("/etc/resolv.conf says to ask 127.0.0.1");
    }
    // Where nobody was ever reached, nobody is asked again: who has no network wants to know it now.
    let begun = Instant::now();
    for (conf, name, why) in [
        ("conf", "silent.example", nobody),
        ("conf", "127.0.0.1:9", "Connection refused"),
        ("conf", "192.0.2.9", "Network is unreachable"),
    ] {
        let ran = run(conf, &format!("pull --retry 3 --digest {name}/x"));
        ran.fails(1, "pull", &[name, why]);
        assert!(!ran.stderr.contains("trying again"), "{ran}");
    }
    assert!(begun.elapsed() < Duration::from_secs(6), "{begun:?}");
    run(
        "empty",
        "kill $p; pull -q --retry 0 --digest silent.example/x",
    )
    .fails(1, "pull", &[nobody])
    .hint("names nobody");
    // The first address of a name may be dead.
    run(
        "conf",
        &format!(
            "pull -q --plain-http lab.example:{port}/lab/x:1 | tar t | grep -c blobs/sha256/."
        ),
    )
    .ok()
    .out("3\n");
}

/// A proxy at 127.0.0.1:`$2` that tunnels and forwards to `$1`, whatever is asked for, and writes down what that was.
pub(super) const PROXY: &str = r"
import socket, sys, threading
to = sys.argv[1].rsplit(':', 1)
s = socket.create_server(('127.0.0.1', int(sys.argv[2])))
def copy(a, b):
    try:
        while d := a.recv(65536): b.sendall(d)
    except OSError: pass
    for c in (a, b):
        try: c.shutdown(socket.SHUT_RDWR)
        except OSError: pass
def serve(c):
    head = b''
    while b'\r\n\r\n' not in head: head += c.recv(65536)
    print(head.split(b'\r\n')[0].decode(), *(h.decode() for h in head.split(b'\r\n') if h.lower().startswith(b'proxy-auth')), flush=True)
    if b'refused.example' in head: c.sendall(b'HTTP/1.1 403 Forbidden\r\n\r\n'); c.close(); return
    o = socket.create_connection((to[0], int(to[1])))
    if head.startswith(b'CONNECT'): c.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
    else: o.sendall(head)
    threading.Thread(target=copy, args=(o, c)).start(); copy(c, o)
while True: threading.Thread(target=serve, args=(s.accept()[0],)).start()
";

#[test]
fn a_proxy_is_asked_but_for_what_is_near() {
    needs!(root, host("python3"));
    let t = Sandbox::new("proxy");
    let lab = Lab::new(1000);
    let server = Server::start(&t, move |asked| lab.answer(asked));
    t.write("proxy.py", PROXY);
    let run = |environment: &str, line: &str| {
        t.run(&format!(
            "python3 proxy.py {} 3128 >asked 2>/dev/null & p=$!; sleep 0.3; {environment} {line}; s=$?; kill $p; exit $s",
            server.at
        ))
    };
    // Nobody here could say where these hosts are: only the proxy knows.
    let far = "pull -q --retry 0 --plain-http --no-cache far.example/lab/x:1 -o x.tar";
    let asked = |want: &str| {
        t.run("sort -u asked").ok().out_has(want);
    };
    run("http_proxy=http://127.0.0.1:3128", far).ok();
    asked("far.example");
    run("ALL_PROXY=me:s3cret@127.0.0.1:3128", far).ok();
    asked("Basic bWU6czNjcmV0");
    assert!(!server.saw("bWU6czNjcmV0"), "the proxy's password went on");
    for environment in [
        "http_proxy=127.0.0.1:3128 no_proxy=x,.example",
        "HTTP_PROXY=127.0.0.1:3128 REQUEST_METHOD=GET",
        "https_proxy=127.0.0.1:3128",
    ] {
        run(environment, far).fails(1, "pull", &["cannot reach http://far.example"]);
        t.run("cat asked").ok().out("");
    }
    let near = far.replace("far.example", &server.at);
    run("http_proxy=127.0.0.1:3128", &near).ok();
    t.run("cat asked").ok().out("");
    run(
        "http_proxy=http://me:s3cret@127.0.0.1:3128",
        &far.replace("far", "refused"),
    )
    .fails(1, "pull", &["the proxy refuses"]);
    t.run(&format!("http_proxy=127.0.0.1:1 {far}"))
        .fails(1, "pull", &["Connection refused"]);
    t.run(&format!("http_proxy=socks9://x {far}"))
        .fails(1, "pull", &["cannot use the proxy"]);
}
