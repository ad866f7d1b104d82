//! Who we are to a registry, and that nobody else learns it.

use crate::kit::Sandbox;
use crate::kit::registry::{Registry, image};
use crate::kit::server::{Answer, Asked, Server};

const HTPASSWD: &str = "auth: {htpasswd: {realm: lab, path: /dev/null}}";

/// A registry that lets in `me` with the password `s3cret`.
fn guarded(t: &Sandbox) -> Registry<'_> {
    t.cmd("htpasswd -Bbn me s3cret >users").host().run().ok();
    let users = t.work().join("users").display().to_string();
    let mut registry = Registry::with(t, &HTPASSWD.replace("/dev/null", &users), "");
    registry.skopeo += " --dest-creds me:s3cret";
    image(t, 1000);
    registry.fill("img:1", "lab/x:1");
    registry
}

#[test]
fn a_password_is_asked_for_kept_and_forgotten() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("htpasswd")
    );
    let t = Sandbox::new("pull");
    let registry = guarded(&t);
    let at = &registry.at;
    let digest = format!("pull --digest {at}/lab/x:1");
    t.run(&digest)
        .fails(1, "pull", &["wants a name and a password"])
        .hint(&format!("pull login {at}"));
    t.run(&format!("{digest} --creds me:s3cret"))
        .ok()
        .out_has("sha256:");
    t.run(&format!("{digest} --creds me:wrong"))
        .fails(1, "pull", &["401"]);
    t.cmd(&format!("pull login {at} -u me --password-stdin"))
        .stdin("wrong\n")
        .run()
        .fails(1, "pull", &["401"]);
    t.run("test -e .docker").status(1);
    t.cmd(&format!("pull login {at} -u me --password-stdin"))
        .stdin("s3cret\n")
        .run()
        .ok()
        .out("Login Succeeded!\n")
        .err_has(".docker/config.json");
    t.run("stat -c '%a %n' .docker .docker/config.json")
        .ok()
        .out("700 .docker\n600 .docker/config.json\n");
    // Docker's format: skopeo reads it too.
    t.cmd(&format!("skopeo inspect --authfile .docker/config.json --tls-verify=false --raw docker://{at}/lab/x:1 | wc -l")).host().run().ok();
    t.run(&digest).ok().out_has("sha256:");
    t.run(&format!("{digest} --no-creds")).status(1);
    t.run(&format!("pull logout {at}"))
        .ok()
        .out(&format!("Removed login credentials for {at}\n"));
    t.run(&format!("pull logout {at}"))
        .fails(1, "pull", &["not logged into"]);
    t.run(&digest).status(1);
}

#[test]
fn files_are_read_in_their_order() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("htpasswd")
    );
    let t = Sandbox::new("pull");
    let registry = guarded(&t);
    let at = &registry.at;
    let digest = format!("pull --digest {at}/lab/x:1");
    let entry = |key: &str, auth: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"{auth}"}}}}}}"#);
    let (right, wrong) = ("bWU6czNjcmV0", "bWU6d3Jvbmc=");
    let (runtime, config, docker) = (
        "run/containers/auth.json",
        ".config/containers/auth.json",
        ".docker/config.json",
    );
    let run = |line: &str| {
        t.cmd(line)
            .env("XDG_RUNTIME_DIR", t.work().join("run"))
            .run()
    };
    t.write(docker, &entry(at, wrong))
        .write(config, &entry(&format!("{at}/lab"), right));
    run(&digest).ok();
    t.write(runtime, &entry(at, wrong));
    run(&digest).status(1);
    t.write("mine.json", &entry(&format!("https://{at}/v2/"), right));
    run(&format!("{digest} --authfile mine.json")).ok();
    run(&format!("REGISTRY_AUTH_FILE=mine.json {digest}")).ok();
    // Nearly the same name is another registry.
    t.write(runtime, &entry(&format!("{at}0"), right))
        .write(config, "{}")
        .write(docker, &entry("127.0.0.1", right));
    run(&digest).fails(1, "pull", &["wants a name"]);
    t.write(runtime, r#"{"auths":{"a":{},"a":{}}}"#);
    run(&digest).fails(
        1,
        "pull",
        &["not a valid file of credentials", "stands twice"],
    );
}

#[test]
fn helpers_keep_passwords_for_others() {
    needs!(
        root,
        host("docker-registry"),
        host("skopeo"),
        host("umoci"),
        host("htpasswd")
    );
    let t = Sandbox::new("pull");
    let registry = guarded(&t);
    let at = &registry.at;
    t.tool(
        "docker-credential-lab",
        &format!(
            "#!/bin/sh\nread -r server; echo \"$1 $server\" >>{0}/calls\ncase $1 in get) [ -e {0}/gone ] && {{ echo 'credentials not found in native keychain'; exit 1; }}\n echo '{{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"s3cret\"}}';; esac\n",
            t.work().display()
        ),
    );
    let digest = format!("pull --digest {at}/lab/x:1");
    t.write(
        ".docker/config.json",
        &format!(r#"{{"credHelpers":{{"{at}":"lab"}}}}"#),
    );
    t.run(&digest).ok();
    t.cmd(&format!("pull login {at} -u me --password-stdin"))
        .stdin("s3cret")
        .run()
        .ok()
        .err_has("helper lab");
    t.run("cat calls; grep -c s3cret .docker/config.json")
        .out_has(&format!("get {at}\n"))
        .out_has("\"Secret\":\"s3cret\"}")
        .out_has("\n0\n");
    t.run(&format!("pull logout {at}; tail -1 calls"))
        .ok()
        .out_has(&format!("erase {at}\n"));
    t.write("gone", "");
    t.run(&digest).fails(1, "pull", &["wants a name"]);
    // One that is not there is no reason to fail where nobody asks who we are.
    t.write(".docker/config.json", r#"{"credsStore":"desktop"}"#);
    t.run(&digest)
        .status(1)
        .err_has("docker-credential-desktop: there is no such program; going on without it");
    t.write(".docker/config.json", r#"{"credsStore":"../../bin/sh"}"#);
    t.run(&digest).status(1).err_has("impossible name");
}

/// A token server that knows `me`, an identity token, and nobody.
fn token(asked: &Asked) -> Answer {
    let good = match asked.method.as_str() {
        "POST" => ["grant_type=refresh_token", "refresh_token=iden%2Btity"]
            .iter()
            .all(|part| asked.body.contains(part)),
        _ => asked
            .header("authorization")
            .is_none_or(|value| value == "Basic bWU6czNjcmV0"),
    };
    match good {
        true => Answer::new(200, "", r#"{"access_token":"t0ken","expires_in":-1}"#),
        false => Answer::new(401, "", ""),
    }
}

#[test]
fn a_token_is_fetched_and_fetched_again() {
    needs!(root);
    let t = Sandbox::new("pull");
    // Token server and registry in one; a token is good for two requests.
    let used = std::sync::Mutex::new(0);
    let server = Server::start(&t, move |asked| {
        let host = asked.header("host").unwrap_or_default();
        if asked.path.starts_with("/token") {
            *used.lock().unwrap() = 0;
            return token(asked);
        }
        let mut used = used.lock().unwrap();
        *used += 1;
        if asked.header("authorization") != Some("Bearer t0ken") || *used > 2 {
            return Answer::new(
                401,
                &format!(
                    "WWW-Authenticate: Bearer realm=\"http://{host}/token?x=y\",service=\"the lab\",scope=\"other\"\r\n"
                ),
                "",
            );
        }
        match asked.path.as_str() {
            "/v2/lab/x/tags/list?n=1000" => Answer::new(
                200,
                "Link: </v2/lab/x/tags/list?n=1000&last=a>; rel=\"next\"\r\n",
                r#"{"tags":["a","-bad"]}"#,
            ),
            "/v2/lab/x/tags/list?n=1000&last=a" => Answer::new(
                200,
                "Link: </v2/lab/x/tags/list?page=3>; rel=\"next\"\r\n",
                r#"{"tags":["b"]}"#,
            ),
            "/v2/lab/x/tags/list?page=3" => Answer::new(200, "", r#"{"tags":["c"]}"#),
            _ => Answer::nothing(),
        }
    });
    let x = format!("{}/lab/x", server.at);
    t.run(&format!("pull --plain-http --tags {x}"))
        .ok()
        .out("a\nb\nc\n");
    let tokens = server
        .paths()
        .iter()
        .filter(|path| {
            path.starts_with("GET /token?x=y&service=the%20lab&scope=repository%3Alab%2Fx%3Apull")
        })
        .count();
    assert_eq!(tokens, 2, "{:?}", server.paths());
    t.run(&format!("pull --plain-http --tags {x} --creds me:s3cret"))
        .ok()
        .out("a\nb\nc\n");
    assert!(server.saw("account=me"));
    // A login that is stale does not keep us from what everybody may have.
    t.run(&format!("pull --plain-http --tags {x} --creds me:old"))
        .ok()
        .err_has("refuses the credentials; going on without them");
    t.write(
        ".docker/config.json",
        &format!(
            r#"{{"auths":{{"{}":{{"identitytoken":"iden+tity"}}}}}}"#,
            server.at
        ),
    );
    t.run(&format!("pull --plain-http --tags {x}"))
        .ok()
        .out("a\nb\nc\n");
    assert!(
        server.paths().contains(&"POST /token?x=y".to_owned()),
        "{:?}",
        server.paths()
    );
}
