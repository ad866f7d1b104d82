//! The limits that a caller asks for, in the words of options, as settings.

use super::io;
use super::setting::Setting;
use super::value::{bytes, cpu_quota};
use crate::error::Result;

/// What `cgexec` and `container run` take: each as typed, absent where not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes, with units.
    pub memory: Option<String>,
    /// Swap in bytes. Without it a memory limit means none: over its limit a program would swap, not end.
    pub swap: Option<String>,
    /// CPU time: `1.5` CPUs, `20%` of one.
    pub cpus: Option<String>,
    /// The share of CPU time against the groups beside it.
    pub weight: Option<String>,
    /// The CPUs it may run on.
    pub cpuset: Option<String>,
    /// How many processes and threads.
    pub pids: Option<String>,
    /// `DEVICE:rbps=1M`, each.
    pub io: Vec<String>,
    /// Out of memory, all processes end and not just one.
    pub oom_group: bool,
}

impl Limits {
    /// As settings in v2's words, in the order in which they are to be written; `named` are those given by name.
    ///
    /// # Errors
    /// For what is no value of its kind.
    pub fn settings(self, named: impl IntoIterator<Item = Setting>) -> Result<Vec<Setting>> {
        let mut all = Vec::new();
        if let Some(memory) = &self.memory {
            all.push(Setting::new("memory.max", bytes(memory)?.to_string()));
        }
        all.extend(named);
        let about = |names: &[&str], all: &[Setting]| {
            all.iter().any(|setting| names.contains(&&*setting.name))
        };
        if let Some(swap) = &self.swap {
            all.push(Setting::new("memory.swap.max", bytes(swap)?.to_string()));
        } else if about(&["memory.max", "memory.limit_in_bytes"], &all)
            && !about(&["memory.swap.max", "memory.memsw.limit_in_bytes"], &all)
        {
            all.push(Setting::new("memory.swap.max", "0").implied());
        }
        if let Some(cpus) = &self.cpus {
            let (quota, period) = cpu_quota(cpus)?;
            all.push(Setting::new("cpu.max", format!("{quota} {period}")));
        }
        let plain = [
            ("cpu.weight", self.weight),
            ("cpuset.cpus", self.cpuset),
            ("pids.max", self.pids),
        ];
        for (name, value) in plain {
            all.extend(value.map(|value| Setting::new(name, value)));
        }
        for io in &self.io {
            all.push(io::limit(io)?);
        }
        if self.oom_group {
            all.push(Setting::new("memory.oom.group", "1"));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(limits: Limits, named: &[&str]) -> String {
        let named = named.iter().map(|text| Setting::parse(text).unwrap());
        let all = limits.settings(named.collect::<Vec<_>>()).unwrap();
        let word = |s: &Setting| format!("{}={}", s.name, s.value);
        all.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_memory_limit_means_no_swap_unless_asked() {
        let memory = || Limits {
            memory: Some("1K".into()),
            ..Limits::default()
        };
        let swap = |swap: &str| Limits {
            swap: Some(swap.into()),
            ..memory()
        };
        assert_eq!(said(memory(), &[]), "memory.max=1024, memory.swap.max=0");
        assert_eq!(
            said(swap("max"), &[]),
            "memory.max=1024, memory.swap.max=max"
        );
        assert_eq!(
            said(swap("2K"), &["pids.max=3"]),
            "memory.max=1024, pids.max=3, memory.swap.max=2048"
        );
        let none = Limits::default;
        assert_eq!(
            said(none(), &["memory.max=5"]),
            "memory.max=5, memory.swap.max=0"
        );
        assert_eq!(
            said(
                none(),
                &["memory.limit_in_bytes=5", "memory.memsw.limit_in_bytes=9"]
            ),
            "memory.limit_in_bytes=5, memory.memsw.limit_in_bytes=9"
        );
        assert_eq!(said(none(), &["memory.low=5"]), "memory.low=5");
    }

    #[test]
    fn the_rest_is_said_in_the_words_of_v2() {
        let limits = Limits {
            cpus: Some("150%".into()),
            weight: Some("200".into()),
            cpuset: Some("0".into()),
            pids: Some("9".into()),
            io: vec!["8:0:rbps=1K".into()],
            oom_group: true,
            ..Limits::default()
        };
        assert_eq!(
            said(limits, &[]),
            "cpu.max=150000 100000, cpu.weight=200, cpuset.cpus=0, pids.max=9, io.max=8:0 rbps=1024, memory.oom.group=1"
        );
    }
}
