//! `linux.resources` in the words of v2, which are translated where a v1 hierarchy holds the controller; and in v1's
//! own where v2 has none (config-linux.md, "Control groups").

use super::spec::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, Memory, Network, Rdma, Resources, ThrottleDevice,
};
use crate::cgroup::Setting;
use crate::device_rules::{Access, Kind, Rule};
use crate::error::{Error, Result};

/// The settings, in the order in which they are to be written.
///
/// # Errors
/// For what cannot be set.
pub(super) fn settings(resources: &Resources) -> Result<Vec<Setting>> {
    let mut all = Vec::new();
    devices(&mut all, &resources.devices)?;
    memory(&mut all, &resources.memory)?;
    cpu(&mut all, &resources.cpu);
    if let Some(limit) = resources.pids.limit {
        all.push(Setting::new("pids.max", amount(limit)));
    }
    block_io(&mut all, &resources.block_io);
    for limit in &resources.hugepage_limits {
        huge_pages(&mut all, limit)?;
    }
    network(&mut all, &resources.network);
    for (device, limits) in resources.rdma.iter() {
        all.push(rdma(device, limits)?);
    }
    for (name, text) in resources.unified.iter() {
        unified(&mut all, name, text)?;
    }
    Ok(all)
}

/// Below zero is no limit.
fn amount(value: i64) -> String {
    match value {
        ..0 => "max".into(),
        value => value.to_string(),
    }
}

/// The devices that every container may use: all may be made, and these be used.
const USUAL: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// Nothing, then what is asked for, then the devices that every container has.
fn devices(all: &mut Vec<Setting>, rules: &[DeviceRule]) -> Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    all.push(Setting::new("devices.deny", "a *:* rwm"));
    for (at, one) in rules.iter().enumerate() {
        all.push(device(at, one)?);
    }
    all.extend(
        USUAL
            .iter()
            .map(|rule| Setting::new("devices.allow", *rule)),
    );
    Ok(())
}

fn device(at: usize, one: &DeviceRule) -> Result<Setting> {
    let bad = |field: &str, value: &dyn std::fmt::Display| {
        Error::new(format!(
            "linux.resources.devices[{at}].{field}: no such value: {value}"
        ))
    };
    let kind = match &*one.kind {
        "" | "a" => None,
        "b" => Some(Kind::Block),
        "c" => Some(Kind::Character),
        other => return Err(bad("type", &other)),
    };
    // -1 stands for any, as in Go's bindings.
    let number = |name: &str, number: Option<i64>| match number {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n).map(Some).map_err(|_| bad(name, &n)),
    };
    let (major, minor) = (number("major", one.major)?, number("minor", one.minor)?);
    if kind.is_none() && (major.is_some() || minor.is_some()) {
        return Err(bad("type", &"a, with a number"));
    }
    let access = match &*one.access {
        "" => Access::ALL,
        letters => Access::parse(letters).ok_or_else(|| bad("access", &letters))?,
    };
    let rule = Rule {
        allow: one.allow.0,
        kind,
        major,
        minor,
        access,
    };
    let file = if one.allow.0 {
        "devices.allow"
    } else {
        "devices.deny"
    };
    Ok(Setting::new(file, rule.to_string()))
}

/// 0 is no limit that anything could live with: whoever writes it (docker does, into updates) says nothing.
fn memory(all: &mut Vec<Setting>, memory: &Memory) -> Result<()> {
    let said = |limit: Option<i64>| limit.filter(|limit| *limit != 0);
    let limit = said(memory.limit);
    if let Some(limit) = limit {
        all.push(Setting::new("memory.max", amount(limit)));
    }
    if let Some(both) = said(memory.swap) {
        let swap = match (both, limit) {
            (..0, _) | (_, Some(..0)) => "max".to_owned(),
            (_, None) => {
                return Err(Error::new(
                    "linux.resources.memory.swap: it includes memory, which has no limit",
                ));
            }
            (both, Some(alone)) if both < alone => {
                return Err(Error::new(
                    "linux.resources.memory.swap: it includes memory, whose limit is higher",
                ));
            }
            (both, Some(alone)) => (both - alone).to_string(),
        };
        let nothing_to_limit = matches!(&*swap, "0" | "max");
        let setting = Setting::new("memory.swap.max", swap);
        all.push(if nothing_to_limit {
            setting.implied()
        } else {
            setting
        });
    }
    if let Some(low) = said(memory.reservation) {
        all.push(Setting::new("memory.low", amount(low)));
    }
    let of_v1 = [
        ("memory.kmem.limit_in_bytes", memory.kernel),
        ("memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp),
    ];
    for (name, limit) in of_v1 {
        all.extend(
            limit
                .filter(|limit| *limit > 0)
                .map(|limit| Setting::new(name, limit.to_string())),
        );
    }
    if let Some(swappiness) = memory.swappiness {
        all.push(Setting::new("memory.swappiness", swappiness.to_string()));
    }
    if memory.disable_oom_killer == Some(true) {
        all.push(Setting::new("memory.oom_control", "1"));
    }
    // The kernel counts what is below in any case since 5.11, and no longer knows how not to.
    if memory.use_hierarchy == Some(false) {
        all.push(Setting::new("memory.use_hierarchy", "0"));
    }
    Ok(())
}

fn cpu(all: &mut Vec<Setting>, cpu: &Cpu) {
    let mut add = |name: &str, value: String| all.push(Setting::new(name, value));
    if let Some(shares @ 1..) = cpu.shares {
        add("cpu.shares", shares.to_string());
    }
    let (quota, period) = (
        cpu.quota.filter(|n| *n != 0),
        cpu.period.filter(|n| *n != 0),
    );
    if quota.is_some() || period.is_some() {
        let period = period.unwrap_or(crate::cgroup::value::CPU_PERIOD_USEC);
        add(
            "cpu.max",
            format!("{} {period}", quota.map_or("max".into(), amount)),
        );
    }
    if let Some(burst) = cpu.burst {
        add("cpu.max.burst", burst.to_string());
    }
    // The period first: the time is checked against it.
    if let Some(period @ 1..) = cpu.realtime_period {
        add("cpu.rt_period_us", period.to_string());
    }
    if let Some(runtime) = cpu.realtime_runtime.filter(|n| *n != 0) {
        add("cpu.rt_runtime_us", runtime.to_string());
    }
    for (name, list) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !list.is_empty() {
            add(name, list.clone());
        }
    }
    if let Some(idle) = cpu.idle {
        add("cpu.idle", idle.to_string());
    }
}

fn block_io(all: &mut Vec<Setting>, io: &BlockIo) {
    let mut add = |name: &str, value: String| all.push(Setting::new(name, value));
    if let Some(weight @ 1..) = io.weight {
        add("blkio.weight", weight.to_string());
    }
    if let Some(weight @ 1..) = io.leaf_weight {
        add("blkio.leaf_weight", weight.to_string());
    }
    for one in &io.weight_device {
        let device = format!("{}:{}", one.major, one.minor);
        let mut weight = |name: &str, weight: Option<u16>| {
            if let Some(weight @ 1..) = weight {
                add(name, format!("{device} {weight}"));
            }
        };
        weight("blkio.weight_device", one.weight);
        weight("blkio.leaf_weight_device", one.leaf_weight);
    }
    let throttles: [(&str, &[ThrottleDevice]); 4] = [
        ("rbps", &io.throttle_read_bps_device),
        ("wbps", &io.throttle_write_bps_device),
        ("riops", &io.throttle_read_iops_device),
        ("wiops", &io.throttle_write_iops_device),
    ];
    for (key, devices) in throttles {
        for one in devices {
            // Nothing in a second would be a stop for ever: it is no limit, as on v1.
            let rate = match one.rate {
                0 => "max".into(),
                rate => rate.to_string(),
            };
            add(
                "io.max",
                format!("{}:{} {key}={rate}", one.major, one.minor),
            );
        }
    }
}

/// What is used, and what is reserved, where the kernel counts that.
fn huge_pages(all: &mut Vec<Setting>, limit: &HugepageLimit) -> Result<()> {
    let size = &limit.page_size;
    let number = size
        .strip_suffix("B")
        .and_then(|rest| rest.strip_suffix(['K', 'M', 'G']));
    if !number
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(Error::new(format!(
            "linux.resources.hugepageLimits: no such pageSize: {size}"
        ))
        .because("sizes look like 2MB"));
    }
    let value = limit.limit.to_string();
    all.push(Setting::new(format!("hugetlb.{size}.max"), value.clone()));
    all.push(Setting::new(format!("hugetlb.{size}.rsvd.max"), value).implied());
    Ok(())
}

fn network(all: &mut Vec<Setting>, network: &Network) {
    all.extend(
        network
            .class_id
            .map(|id| Setting::new("net_cls.classid", id.to_string())),
    );
    let priority = |one: &crate::oci::spec::InterfacePriority| {
        Setting::new(
            "net_prio.ifpriomap",
            format!("{} {}", one.name, one.priority),
        )
    };
    all.extend(network.priorities.iter().map(priority));
}

fn rdma(device: &str, limits: &Rdma) -> Result<Setting> {
    let words = [
        limits.hca_handles.map(|n| format!("hca_handle={n}")),
        limits.hca_objects.map(|n| format!("hca_object={n}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() {
        return Err(Error::new(format!(
            "linux.resources.rdma.{device}: it limits nothing"
        )));
    }
    Ok(Setting::new(
        "rdma.max",
        format!("{device} {}", words.join(" ")),
    ))
}

/// Files of v2 by name, a line each: of `io.max` there is one for every device.
fn unified(all: &mut Vec<Setting>, name: &str, text: &str) -> Result<()> {
    let plain = Setting::parse(&format!("{name}="));
    plain.map_err(|error| {
        error.saying(format!(
            "linux.resources.unified: not the name of a file: {name}"
        ))
    })?;
    if text.is_empty() {
        all.push(Setting::new(name, ""));
    }
    all.extend(text.lines().map(|line| Setting::new(name, line)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let resources = Resources::parse(text.as_bytes()).unwrap();
        match settings(&resources) {
            Ok(all) => {
                let word = |s: &Setting| {
                    format!("{}{}={}", s.name, if s.implied { "?" } else { "" }, s.value)
                };
                all.iter().map(word).collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn limits_in_the_words_of_the_kernel() {
        let cases = [
            (
                r#"{"memory": {"limit": 100, "swap": 150, "reservation": 50}}"#,
                "memory.max=100, memory.swap.max=50, memory.low=50",
            ),
            (
                r#"{"memory": {"limit": 100, "swap": 100}}"#,
                "memory.max=100, memory.swap.max?=0",
            ),
            (
                r#"{"memory": {"limit": 100, "swap": -1}}"#,
                "memory.max=100, memory.swap.max?=max",
            ),
            (r#"{"memory": {"limit": -1}}"#, "memory.max=max"),
            (
                r#"{"memory": {"limit": 0, "swap": 0, "reservation": 0, "swappiness": 0}}"#,
                "memory.swappiness=0",
            ),
            (
                r#"{"memory": {"swap": 5}}"#,
                "linux.resources.memory.swap: it includes memory, which has no limit",
            ),
            (
                r#"{"memory": {"limit": 100, "swap": 5}}"#,
                "linux.resources.memory.swap: it includes memory, whose limit is higher",
            ),
            (
                r#"{"memory": {"kernel": -1, "swappiness": 0, "disableOOMKiller": true}}"#,
                "memory.swappiness=0, memory.oom_control=1",
            ),
            (
                r#"{"cpu": {"shares": 512, "quota": 5000, "cpus": "0-1", "idle": 1}}"#,
                "cpu.shares=512, cpu.max=5000 100000, cpuset.cpus=0-1, cpu.idle=1",
            ),
            (
                r#"{"cpu": {"quota": -1, "period": 50000, "burst": 7}}"#,
                "cpu.max=max 50000, cpu.max.burst=7",
            ),
            (r#"{"cpu": {"quota": 0, "shares": 0}}"#, ""),
            (r#"{"pids": {"limit": -1}}"#, "pids.max=max"),
            (r#"{"pids": {"limit": 9}}"#, "pids.max=9"),
            (
                r#"{"blockIO": {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 9}],
                "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
                "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}]}}"#,
                "blkio.weight=100, blkio.weight_device=8:0 9, io.max=8:0 rbps=600, io.max=8:16 wiops=max",
            ),
            (
                r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}"#,
                "hugetlb.2MB.max=4, hugetlb.2MB.rsvd.max?=4",
            ),
            (
                r#"{"hugepageLimits": [{"pageSize": "../x", "limit": 4}]}"#,
                "linux.resources.hugepageLimits: no such pageSize: ../x: sizes look like 2MB",
            ),
            (
                r#"{"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}]}}"#,
                "net_cls.classid=1048577, net_prio.ifpriomap=lo 5",
            ),
            (
                r#"{"rdma": {"mlx": {"hcaHandles": 3, "hcaObjects": 4}}}"#,
                "rdma.max=mlx hca_handle=3 hca_object=4",
            ),
            (
                r#"{"rdma": {"mlx": {}}}"#,
                "linux.resources.rdma.mlx: it limits nothing",
            ),
            (
                r#"{"unified": {"io.max": "8:0 rbps=1\n8:16 rbps=2", "memory.high": "5"}}"#,
                "io.max=8:0 rbps=1, io.max=8:16 rbps=2, memory.high=5",
            ),
            (
                r#"{"unified": {"../x": "1"}}"#,
                "linux.resources.unified: not the name of a file: ../x: names look like memory.max",
            ),
            (
                r#"{"devices": [{"allow": true, "type": "x"}]}"#,
                "linux.resources.devices[0].type: no such value: x",
            ),
            (
                r#"{"devices": [{"allow": true, "type": "c", "access": "q"}]}"#,
                "linux.resources.devices[0].access: no such value: q",
            ),
        ];
        for (text, want) in cases {
            assert_eq!(told(text), want, "{text}");
        }
        let rules = told(
            r#"{"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]}"#,
        );
        assert!(rules.starts_with("devices.deny=a *:* rwm, devices.deny=a *:* rwm, devices.allow=c 10:229 rw, devices.allow=c *:* m"), "{rules}");
    }
}
