//! The processes of a container, as ps(1) shows them: for `runc ps` and `container top`.

use isobox::error::{Error, Result};
use isobox::process::{ended, run_to};
use isobox::sys::clone::Change;

/// Command lines are long, and a machine has many.
const MOST: u64 = 64 << 20;

/// The lines of ps that are about these processes.
///
/// # Errors
/// Where ps cannot be run or has no column PID.
pub(crate) fn table(pids: &[i32], options: Vec<String>) -> Result<String> {
    let mut argv = vec!["ps".to_owned()];
    argv.extend(options);
    if argv.len() == 1 {
        argv.push("-ef".into());
    }
    let (end, said) = run_to(&argv, false, MOST)?;
    if end != Change::Exited(0) {
        return Err(Error::new("cannot run ps").because(ended(end)));
    }
    let said = String::from_utf8_lossy(&said);
    let mut lines = said.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID");
    let column = column.ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column);
        let pid = pid.and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    let lines: Vec<&str> = std::iter::once(head).chain(lines.filter(ours)).collect();
    Ok(format!("{}\n", lines.join("\n")))
}
