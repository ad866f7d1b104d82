//! Telling a plan: every call in order, why it is there, what breaks without it, where to read on.

use super::{Entry, Exec, Explanation, Plan, Side};

/// One line of a told plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its number, from 1.
    pub number: usize,
    /// Who does it: `caller`, `between`, `child` or `outside`.
    pub who: &'static str,
    /// What is done.
    pub what: Explanation,
}

impl Plan {
    /// The whole plan, told in the order in which it would happen, the exec last.
    pub fn tell(&self) -> Vec<Told> {
        (0..self.entries.len() + usize::from(self.exec.is_some()))
            .map(|index| self.tell_entry(index))
            .collect()
    }

    /// One entry told; the entry after the last is the exec.
    pub fn tell_entry(&self, index: usize) -> Told {
        let fork_at = self
            .entries
            .iter()
            .position(|entry| matches!(entry, Entry::Fork(_)));
        let program = if fork_at.is_some_and(|at| at < index) {
            "child"
        } else {
            "caller"
        };
        let (who, what) = match self.entries.get(index) {
            Some(Entry::Step(Side::Outside, step)) => ("outside", step.explain()),
            Some(Entry::Step(Side::Between, step)) => ("between", step.explain()),
            Some(Entry::Step(Side::Program, step)) => (program, step.explain()),
            Some(Entry::Leave(leave)) => (program, leave.explain(self.is_known_farewell(index))),
            Some(Entry::Fork(fork)) => (program, fork.explain(self.may_sleep(fork), self.ahead)),
            None => (
                program,
                self.exec.as_ref().map_or_else(nothing_more, Exec::explain),
            ),
        };
        Told {
            number: index + 1,
            who,
            what,
        }
    }
}

/// What stands behind the last entry of a plan that ends in no program: nobody asks for it.
fn nothing_more() -> Explanation {
    Explanation::new("", "", "", "")
}

/// A line for people, ended by a newline.
///
/// ```text
///  3. child    mount("proc", "/proc", "proc", MS_NOSUID|MS_NOEXEC|MS_NODEV)
///              why      shows the processes of this PID namespace
///              without  ps would list the processes of the host
///              see      proc(5)
/// ```
pub fn text(told: &Told) -> String {
    const MARGIN: &str = "             ";
    let Told { number, who, what } = told;
    let Explanation {
        call,
        why,
        without,
        man,
    } = what;
    format!(
        "{number:2}. {who:<8} {call}\n{MARGIN}why      {why}\n{MARGIN}without  {without}\n{MARGIN}see      {man}\n"
    )
}

/// A told plan as one JSON array, ended by a newline.
pub fn json(told: &[Told]) -> String {
    let rows: Vec<String> = told.iter().map(json_row).collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}

fn json_row(told: &Told) -> String {
    let Told { number, who, what } = told;
    let Explanation {
        call,
        why,
        without,
        man,
    } = what;
    let quote = crate::json::quote;
    format!(
        "  {{\"step\": {number}, \"side\": {}, \"call\": {}, \"why\": {}, \"without\": {}, \"man\": {}}}",
        quote(who),
        quote(call),
        quote(why),
        quote(without),
        quote(man)
    )
}
