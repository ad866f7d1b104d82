//! An image's volumes: directories of the container's own.

use super::{both, registry};
use crate::kit::Sandbox;

#[test]
fn a_volume_is_the_containers_own() {
    needs_images!();
    let t = Sandbox::new("volumes");
    let registry = registry(&t);
    t.cmd("umoci config --image img:1 --config.volume /d/e --config.volume /srv --config.volume /db/./deep --config.entrypoint sh; umoci config --image img:1 --tag bad --config.volume /proc/x; umoci config --image img:1 --tag root --config.volume /..")
        .host()
        .run()
        .ok();
    for (layout, name) in [
        ("img:1", "lab/vol:1"),
        ("img:bad", "lab/bad:1"),
        ("img:root", "lab/root:1"),
    ] {
        registry.fill(layout, name);
    }
    let at = &registry.at;
    let look = "cat /d/e/y; echo 1 >/d/e/1; echo 2 >/db/deep/2; ls /d/e /db/deep; stat -c %u:%a /srv; grep -c \" \\(/d/e\\|/srv\\|/db/deep\\) \" /proc/self/mounts";
    for run in both(
        &t,
        &format!(
            "container run -q {at}/lab/vol:1 -c '{look}'; container run --read-only -v /d/./e -v /closed -v $PWD/img:/srv {at}/lab/vol:1 -c 'touch /db/deep/x /closed/x && ls -d /srv/blobs; touch /y 2>&1'; true"
        ),
    ) {
        let ran = run.run();
        ran.ok().out_has("two\n/d/e:\n1\ny\n\n/db/deep:\n2\n");
        ran.out_has("3\n/srv/blobs\ntouch: /y: Read-only file system\n");
    }
    let line = format!(
        r#"container run -d --name box {at}/lab/vol:1 -c 'echo kept >/d/e/k; echo up >/up; sleep 1000' >/dev/null
        until container exec box cat /up 2>/dev/null; do sleep 0.05; done
        container stop -t 0 box; echo in >f; container cp f box:/d/e/f; container cp box:/d/e/k k; cat k; rm f k
        container start box; container exec box ls /d/e; container inspect -f '{{{{json .Mounts}}}}' box | grep -o '"/d/e"'
        container commit box own:1 >/dev/null; container run own:1 -c 'ls /d/e /up'
        container rm -f box; ls $ISOBOX_ROOT/written"#
    );
    for run in both(&t, &line) {
        run.run()
            .ok()
            .out("up\nbox\nkept\nbox\nf\nk\ny\n\"/d/e\"\n/up\n\n/d/e:\ny\nbox\n");
    }
    for name in ["bad", "root"] {
        for run in both(&t, &format!("container run -q {at}/lab/{name}:1 -c true")) {
            run.run().status(125).err_has("a volume cannot be at /");
        }
    }
}
