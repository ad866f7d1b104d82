//! Who a registry is: certificates, those who sign them, and what may be wrong with them.

use crate::kit::Sandbox;
use crate::kit::registry::{Registry, image, wait_for};
use std::process::{Child, Command, Stdio};

/// Makes `ca.crt`, and certificates by it: `NAME.crt` with `NAME.key`, and one that signed itself.
const CERTIFICATES: &str = "
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=db\nserial=serial\nnew_certs_dir=.\npolicy=p\ndefault_md=sha256\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n' >ca.conf
: >db; echo 01 >serial
own() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout $1.key -out $1.crt -subj /CN=$1 $2 $3 $4 $5; }
leaf() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -out $1.csr -subj /CN=$1 -addext $2 &&
    openssl ca -batch -config ca.conf -cert ca.crt -keyfile ca.key -in $1.csr -out $1.crt -startdate ${3:-20200101000000Z} -enddate ${4:-20400101000000Z}
}
{ own ca && leaf expired subjectAltName=IP:127.0.0.1 20200101000000Z 20210101000000Z && leaf early subjectAltName=IP:127.0.0.1 20390101000000Z &&
leaf other subjectAltName=DNS:other.example,DNS:more.example && leaf nameless basicConstraints=CA:FALSE && leaf old subjectAltName=IP:127.0.0.1 &&
own self -addext subjectAltName=IP:127.0.0.1 && own elsewhere -addext subjectAltName=IP:127.0.0.2 &&
own leafself -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE; } >log 2>&1 || { cat log; exit 1; }";

/// openssl's server with this certificate, ended when dropped.
struct Handshakes(Child, String);

impl Handshakes {
    fn start(t: &Sandbox, name: &str, more: &[&str]) -> Self {
        let at = format!("127.0.0.1:{}", crate::kit::registry::port());
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        let child = Command::new("openssl")
            .args([
                "s_server", "-quiet", "-accept", &at, "-cert", &cert, "-key", &key,
            ])
            .args(more)
            .current_dir(t.work())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for(&at);
        Self(child, at)
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_certificate_that_is_no_good_is_told_from_others() {
    needs!(root, host("openssl"));
    let t = Sandbox::new("pull");
    crate::kit::registry::loopback(&t);
    t.cmd(CERTIFICATES).host().run().ok();
    let nobody = "is signed by nobody we know";
    for (name, options, words, hint) in [
        ("expired", "", "its certificate has expired", "'date'"),
        ("early", "", "its certificate is not valid yet", "'date'"),
        (
            "other",
            "",
            "is for another name: other.example, more.example",
            "",
        ),
        (
            "nameless",
            "",
            "its certificate is for no name",
            "subjectAltName",
        ),
        ("self", "", nobody, "certs.d"),
        ("leafself", "", nobody, "--cacert"),
        (
            "elsewhere",
            "--cacert elsewhere.crt",
            "is for another name: 127.0.0.2",
            "",
        ),
    ] {
        let server = Handshakes::start(&t, name, &[]);
        let line = format!(
            "SSL_CERT_FILE=ca.crt pull -q --creds me:s3cret {options} --digest {}/x",
            server.1
        );
        let ran = t.run(&line);
        ran.fails(1, "pull", &["cannot trust https://127.0.0.1", words]);
        if !hint.is_empty() {
            ran.hint(hint);
        }
    }
    let old = ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"];
    let server = Handshakes::start(&t, "old", &old);
    t.run(&format!(
        "SSL_CERT_FILE=ca.crt pull -q --retry 0 --digest {}/x",
        server.1
    ))
    .fails(1, "pull", &["only versions of TLS before 1.2"]);
}

/// docker's manual: make a certificate that signs itself, and copy it to certs.d/HOST:PORT/ca.crt.
#[test]
fn a_registry_may_be_its_own_authority() {
    needs!(
        root,
        host("openssl"),
        host("docker-registry"),
        host("skopeo"),
        host("umoci")
    );
    let t = Sandbox::new("pull");
    t.cmd(CERTIFICATES).host().run().ok();
    let dir = t.work().display().to_string();
    for name in ["self", "leafself"] {
        let tls = format!("  tls: {{certificate: {dir}/{name}.crt, key: {dir}/{name}.key}}\n");
        let registry = Registry::with(&t, "", &tls);
        let at = &registry.at;
        t.run(&format!(
            "d=.config/containers/certs.d/{at}; mkdir -p $d && cp {name}.crt $d/ca.crt && pull --retry 0 --digest {at}/lab/none:1"
        ))
        .fails(1, "pull", &["404"]);
    }
}

/// A proxy is told the name and sees nothing else; the certificate is the registry's all the same.
fn through_a_proxy(t: &Sandbox, at: &str) {
    t.write("proxy.py", super::names::PROXY);
    let port = crate::kit::registry::port();
    let far = |words: &str| {
        t.run(&format!(
            "python3 proxy.py {at} {port} >asked 2>/dev/null & p=$!; sleep 0.3; https_proxy=127.0.0.1:{port} pull -q --retry 0 --no-cache {words} far.example/lab/x:1 -o far.tar; s=$?; kill $p; exit $s"
        ))
    };
    far("").fails(1, "pull", &["cannot trust https://far.example"]);
    far("--cacert ca.crt").ok();
    t.run("tar tf far.tar | grep -c blobs/sha256/.; sort -u asked")
        .ok()
        .out("5\nCONNECT far.example:443 HTTP/1.1\n");
}

#[test]
fn tls_is_trusted_by_those_who_are_named() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("openssl"),
        host("python3")
    );
    let t = Sandbox::new("pull");
    t.cmd(
        "new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj /CN=$1 \"$@\"; }
         { openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=lab-ca -days 2 &&
         for n in server client; do openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj /CN=$n &&
         printf 'subjectAltName=IP:127.0.0.1,DNS:far.example\\n' >ext && openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out $n.crt -days 2 -extfile ext; done; } >log 2>&1 || { cat log; exit 1; }",
    )
    .host()
    .run()
    .ok();
    let dir = t.work().display().to_string();
    let mut registry = Registry::with(
        &t,
        "",
        &format!("  tls: {{certificate: {dir}/server.crt, key: {dir}/server.key}}\n"),
    );
    registry.skopeo = format!("--dest-cert-dir {dir}");
    image(&t, 300_000);
    t.cmd("mkdir certs && cp ca.crt certs").host().run().ok();
    registry.skopeo = format!("--dest-cert-dir {dir}/certs");
    registry.fill("img:1", "lab/x:1");
    let at = registry.at.clone();
    let digest = format!("pull --digest {at}/lab/x:1");
    t.run(&digest)
        .fails(
            1,
            "pull",
            &["cannot trust https://127.0.0.1", "signed by nobody we know"],
        )
        .hint("certs.d");
    t.run(&format!("SSL_CERT_FILE=ca.crt {digest}")).ok();
    t.run(&format!("SSL_CERT_DIR=certs {digest}")).ok();
    t.run(&format!("{digest} --cacert ca.crt")).ok();
    t.run(&format!("{digest} --cert-dir certs")).ok();
    t.run(&format!("{digest} --insecure")).ok();
    t.run(&format!("SSL_CERT_FILE=nowhere {digest}")).fails(
        1,
        "pull",
        &["cannot read the certificates nowhere"],
    );
    t.run(&format!("SSL_CERT_FILE=img/oci-layout {digest}"))
        .fails(1, "pull", &["no certificate in img/oci-layout"]);
    t.run(&format!("d=.config/containers/certs.d/{at}; mkdir -p $d && cp ca.crt $d && {digest} && pull {at}/lab/x:1 | tar t | grep -c blobs/sha256/.")).ok().out_has("\n5\n");
    // The right authority, another name.
    t.run(&format!(
        "{} --cacert ca.crt",
        digest.replace("127.0.0.1", "127.0.0.2")
    ))
    .status(1);
    t.run(&format!("{digest} --plain-http"))
        .fails(1, "pull", &["400"]);
    through_a_proxy(&t, &at);
    registry.stop();
    // A registry that wants to see a certificate of ours.
    let registry = Registry::with(
        &t,
        "",
        &format!(
            "  tls: {{certificate: {dir}/server.crt, key: {dir}/server.key, clientcas: [{dir}/ca.crt]}}\n"
        ),
    );
    let at = &registry.at;
    t.run(&format!(
        "pull --retry 0 --digest {at}/lab/y:1 --cacert ca.crt"
    ))
    .status(1)
    .err_has("ertificate");
    t.run(&format!("cp client.crt certs/client.cert && cp client.key certs && pull --digest {at}/lab/y:1 --cert-dir certs")).fails(1, "pull", &["404"]);
    t.run(&format!(
        "rm certs/client.key; pull --digest {at}/lab/y:1 --cert-dir certs"
    ))
    .fails(1, "pull", &["cannot read the key"]);
}
