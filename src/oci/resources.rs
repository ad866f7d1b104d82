//! `linux.resources` in the words of v2 (config-linux.md, "Control groups").

use super::spec::Resources;
use crate::cgroup::Setting;
use crate::error::{Error, Result};

/// The settings, in the order in which they are to be written.
///
/// # Errors
/// For what cannot be set.
pub(super) fn settings(resources: &Resources) -> Result<Vec<Setting>> {
    let mut all = Vec::new();
    let limit = |value: i64| match value {
        -1 => "max".to_owned(),
        value => value.to_string(),
    };
    let memory = &resources.memory;
    if let Some(value) = memory.limit {
        all.push(Setting::new("memory.max", limit(value)));
    }
    if let (Some(both), Some(alone)) = (memory.swap, memory.limit) {
        let swap = match (both, alone) {
            (-1, _) | (_, -1) => "max".to_owned(),
            _ if both < alone => {
                return Err(Error::new(
                    "memory.swap is below memory.limit, which it includes",
                ));
            }
            _ => (both - alone).to_string(),
        };
        let nothing_to_limit = matches!(&*swap, "0" | "max");
        let setting = Setting::new("memory.swap.max", swap);
        all.push(if nothing_to_limit {
            setting.implied()
        } else {
            setting
        });
    }
    for (name, text) in resources.unified.iter() {
        all.extend(text.lines().map(|line| Setting::new(name, line)));
    }
    Ok(all)
}
