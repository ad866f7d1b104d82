//! Registries for tests: Debian's docker-registry on a port of its own on the sandbox's loopback, and images for it that
//! umoci makes, so that no test needs the internet.

use super::Sandbox;
use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Brings up the loopback of the sandbox's network namespace.
pub fn loopback(t: &Sandbox) {
    t.cmd("ip link set lo up").host().run().ok();
}

/// A port that no other test of this run uses; each has its network namespace, but people read logs.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(5000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A running docker-registry, ended when dropped.
pub struct Registry<'t> {
    t: &'t Sandbox,
    child: Child,
    /// `127.0.0.1:PORT`.
    pub at: String,
    /// What skopeo needs to reach it.
    pub skopeo: String,
}

impl<'t> Registry<'t> {
    /// One that lets everybody in, over http.
    pub fn start(t: &'t Sandbox) -> Self {
        Self::with(t, "", "")
    }

    /// One with more settings: top-level ones, and some of its `http:` part.
    pub fn with(t: &'t Sandbox, settings: &str, http: &str) -> Self {
        loopback(t);
        let port = port();
        let dir = format!("registry{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root}/{dir}}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{http}\n{settings}\n",
            root = t.work().display(),
        );
        let file = format!("{dir}/config.yml");
        t.write(&file, &config);
        let log = fs::File::create(t.work().join(format!("{dir}/log"))).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(t.work().join(file))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let at = format!("127.0.0.1:{port}");
        wait_for(&at);
        Self {
            t,
            child,
            at,
            skopeo: "--dest-tls-verify=false".into(),
        }
    }

    /// Puts an image of a layout there: `layout` is `DIR:TAG`, `name` is `REPOSITORY:TAG`.
    #[track_caller]
    pub fn fill(&self, layout: &str, name: &str) -> &Self {
        let line = format!(
            "skopeo copy -q {} oci:{layout} docker://{}/{name}",
            self.skopeo, self.at
        );
        self.t.cmd(&line).host().run().ok();
        self
    }

    /// Puts a document there as it is.
    #[track_caller]
    pub fn put_manifest(&self, name: &str, version: &str, media_type: &str, file: &str) {
        let line = format!(
            "curl -sf -X PUT -H 'Content-Type: {media_type}' --data-binary @{file} http://{}/v2/{name}/manifests/{version}",
            self.at
        );
        self.t.cmd(&line).host().run().ok();
    }

    /// Ends it.
    pub fn stop(self) {}
}

impl Drop for Registry<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until somebody listens there.
#[track_caller]
pub fn wait_for(at: &str) {
    let begun = Instant::now();
    while TcpStream::connect(at).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "nobody listens on {at}"
        );
        sleep(Duration::from_millis(10));
    }
}

/// Makes `work/img`, a layout with the image `1`: three layers of which the second deletes a file of the first and the
/// third has `size` random bytes.
pub fn image(t: &Sandbox, size: u32) {
    let script = format!(
        "umoci init --layout img && umoci new --image img:1
         layer() {{ rm -rf b; umoci unpack --image img:1 b && eval \"$1\" && umoci repack --image img:1 b; }}
         {{ layer 'mkdir b/rootfs/a; echo one >b/rootfs/a/x; echo two >b/rootfs/a/y; ln -s /bin/busybox b/rootfs/sh' &&
         layer 'rm b/rootfs/a/x' &&
         layer 'head -c {size} /dev/urandom >b/rootfs/big' &&
         umoci config --image img:1 --config.cmd /bin/sh --config.env A=b; rm -rf b; }} >log 2>&1 || {{ cat log; exit 1; }}"
    );
    t.cmd(&script).host().run().ok();
}
