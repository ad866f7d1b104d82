//! What container run knows of a container that is kept, and no spec has words for.

use isobox::error::{Doing, Error, Result};
use isobox::oci::Spec;
use isobox::oci::home::{note_root, now};
use isobox::oci::spec::Map;
use isobox::oci::state::Id;
use isobox::process::signal_number;

use super::super::images::Prepared;
use super::super::more::Share;
use super::super::values::{Said, bytes, lines, pair};
use super::{Held, Run};
use crate::cli::raw::Raw;

impl Run {
    /// What a container is to be, and what its spec has no words for.
    pub(in super::super) fn facts_and_spec(mut self, id: &Id) -> Result<(Map<String>, Spec, Held)> {
        let mut facts = Map::default();
        let (image, args) = self.image_and_words(Some(id.as_str()))?;
        let own = if self.init { 2 } else { 0 };
        let command = args.iter().skip(own).map(|word| word.to_string_lossy());
        let command: Vec<_> = command.collect();
        facts.put("created", now());
        facts.put("command", command.join(" "));
        let root = self
            .rootfs
            .as_ref()
            .map(|Raw(dir)| dir.to_string_lossy().into_owned());
        let called = image.as_ref().map(|image| image.name.clone());
        if image.is_some() {
            facts.put("of-image", "yes".into());
        }
        facts.put("image", called.or(root).unwrap_or_default());
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                facts.put(key, value.into());
            }
        };
        let yes = |is: bool| if is { "yes" } else { "" };
        put("rm", yes(self.rm));
        put("terminal", yes(self.tty));
        put(
            "input",
            match (self.interactive, self.detach) {
                (false, _) => "",
                (true, false) => "once",
                (true, true) => "open",
            },
        );
        put("log", &self.log_size()?.to_string());
        put(
            "stop-signal",
            &self.stop_signal_number(image.as_ref())?.to_string(),
        );
        put("stop-timeout", &self.stop_timeout.unwrap_or(10).to_string());
        if let Some(Raw(path)) = &self.pidfile {
            let path = std::path::absolute(path).doing_to("cannot find", path)?;
            put("pidfile", &path.to_string_lossy());
        }
        put("metadata", yes(self.allow_metadata));
        put("landlock", &self.landlock_words());
        put("any-number", yes(self.processes_unlimited()));
        put("shared", &self.shared());
        for (key, text) in self.network_words() {
            put(key, &text);
        }
        let own = image
            .iter()
            .flat_map(|image| image.execution().labels.iter());
        let own = own.map(|(key, value)| (key.clone(), value.clone()));
        for (key, value) in own.chain(self.labels()?) {
            put(
                &format!("label:{key}"),
                if value.is_empty() { " " } else { &value },
            );
        }
        let (spec, taken) = self.spec(args, image.as_ref(), Some(id.as_str()))?;
        if spec.may_nest() {
            facts.put("may-nest", "yes".into());
        }
        note_root(&spec.root, &mut facts);
        Ok((facts, spec, (image, taken)))
    }

    /// What was asked for of the network, as it was typed: one a line.
    fn network_words(&self) -> [(&'static str, String); 6] {
        [
            ("network", lines(self.network.as_slice())),
            ("publish", lines(&self.publish)),
            ("dns", lines(&self.dns)),
            ("add-host", lines(&self.add_host)),
            ("ip", lines(self.ip.as_slice())),
            ("ip6", lines(self.ip6.as_slice())),
        ]
    }

    /// Whether there may be other processes where it is to be.
    pub(in super::super) fn has_company(&self) -> bool {
        let pid = self.pid.as_ref().map(Said::get);
        pid.is_some_and(|share| !matches!(share, Share::Private))
    }

    /// `--landlock` and its rules, a line each; the rules of an empty one are those of its root.
    pub(super) fn landlock_words(&self) -> String {
        let rules = self.landlock_rule.iter();
        let mut all: Vec<_> = rules.map(|Raw(rule)| rule.to_string_lossy()).collect();
        if self.landlock {
            all.push("on".into());
        }
        all.join("\n")
    }

    /// The namespaces that it is to share, a line each.
    pub(super) fn shared(&self) -> String {
        let all = [("pid", &self.pid), ("ipc", &self.ipc), ("uts", &self.uts)];
        let said = |(name, value): (&str, &Option<Said<Share>>)| {
            let said = value.as_ref().map(Said::text);
            said.map_or_else(String::new, |said| format!("{name}={said}\n"))
        };
        all.map(said).concat()
    }

    /// `--label`, by name.
    pub(super) fn labels(&self) -> Result<Vec<(String, String)>> {
        self.label.iter().map(pair).collect()
    }

    /// How long a file of its log may get; 0 where it has none.
    pub(super) fn log_size(&self) -> Result<u64> {
        let mut most = match self.log_driver.as_deref() {
            Some("none") => 0,
            None | Some("k8s-file") => 16 << 20,
            Some(other) => {
                return Err(Error::new("no such log driver:")
                    .on(other)
                    .because("k8s-file and none are those there are"));
            }
        };
        for option in &self.log_opt {
            let size = option.strip_prefix("max-size=").and_then(bytes);
            most = size.filter(|size| *size > 0 && most > 0).ok_or_else(|| {
                Error::new("no such log option:")
                    .on(option)
                    .because("max-size=SIZE is the one there is, where a log is kept")
            })?;
        }
        Ok(most)
    }

    /// The signal that stops it.
    pub(super) fn stop_signal_number(&self, image: Option<&Prepared>) -> Result<i32> {
        let own = image.map(|image| &*image.execution().stop_signal);
        let own = own.filter(|word| !word.is_empty()).unwrap_or("TERM");
        let word = self.stop_signal.as_deref().unwrap_or(own);
        signal_number(word).ok_or_else(|| Error::new("unknown signal").on(word))
    }
}
