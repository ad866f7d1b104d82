//! Whether the options of container run go together: none is ignored.

use isobox::error::{Error, Result};

use super::super::more::Share;
use super::Run;

impl Run {
    /// An option that only a container can have that somebody looks after.
    pub(super) fn needs_home(&self) -> Option<&'static str> {
        let not_passed = self.sig_proxy.is_some_and(|truth| !truth.0);
        first_given(&[
            self.pidfile.is_some().then_some("--pidfile"),
            (!self.label.is_empty()).then_some("--label"),
            self.stop_signal.is_some().then_some("--stop-signal"),
            self.stop_timeout.is_some().then_some("--stop-timeout"),
            self.log_driver.is_some().then_some("--log-driver"),
            (!self.log_opt.is_empty()).then_some("--log-opt"),
            self.detach_keys.is_some().then_some("--detach-keys"),
            not_passed.then_some("--sig-proxy"),
        ])
    }

    /// What is wrong with the options, where that can be told without looking at anything: none is ignored.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |option: Option<&str>, why: &'static str| match option {
            None => Ok(()),
            Some(option) => Err(Error::new(format!("{option} has no effect here")).because(why)),
        };
        let of_image = [
            self.pull.is_some().then_some("--pull"),
            self.platform.is_some().then_some("--platform"),
            self.copy.then_some("--copy"),
        ];
        if self.rootfs.is_some() {
            wrong(
                first_given(&of_image),
                "a root that is a directory is no image",
            )?;
        }
        let relaxes = |option: &String| {
            matches!(
                option.as_str(),
                "seccomp=unconfined" | "systempaths=unconfined" | "no-new-privileges=false"
            )
        };
        let relaxed = self.security_opt.iter().any(relaxes);
        let loose = [
            self.allow_new_privileges
                .then_some("--allow-new-privileges"),
            relaxed.then_some("--security-opt"),
        ];
        if self.strict {
            wrong(first_given(&loose), "--strict takes it back")?;
        }
        let watching = [
            self.detach_keys.is_some().then_some("--detach-keys"),
            self.sig_proxy.is_some().then_some("--sig-proxy"),
        ];
        if self.detach || self.no_start {
            wrong(first_given(&watching), "nobody watches the container")?;
        }
        let keys = (self.detach_keys.is_some() && !self.interactive).then_some("--detach-keys");
        wrong(keys, "nothing is typed to the container, without -i")?;
        let detach = (self.detach && self.no_start).then_some("--detach");
        wrong(detach, "the container is not started")?;
        let shares = self.uts.as_ref();
        let shares = shares.is_some_and(|uts| *uts.get() != Share::Private);
        let hostname = (shares && self.hostname.is_some()).then_some("--hostname");
        wrong(hostname, "--uts shares the name that somebody else has")?;
        let replace = (self.replace && self.name.is_none()).then_some("--replace");
        wrong(replace, "it is --name that says whose place is taken")?;
        if self.script || self.spec {
            let kept = [
                self.detach.then_some("--detach"),
                self.cidfile.is_some().then_some("--cidfile"),
                self.replace.then_some("--replace"),
            ];
            let why = "what is printed cannot say it";
            wrong(first_given(&kept).or_else(|| self.needs_home()), why)?;
        }
        self.log_size()?;
        self.stop_signal_number(None)?;
        self.labels().map(drop)
    }
}

/// The first of these options that is given.
///
/// Each is a name or none, and not a name beside a truth: is_some() would be stored by an instruction that QEMU's
/// emulation gets wrong in a page of the stack that is new (tests/vm/run says how).
pub(super) fn first_given(options: &[Option<&'static str>]) -> Option<&'static str> {
    options.iter().find_map(|option| *option)
}
