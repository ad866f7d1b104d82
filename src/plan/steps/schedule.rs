//! When the program runs, where its memory comes from, and which machine it believes to be on.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Doing, Result};
use crate::plan::{Context, Explanation, Shell, Step};
use crate::sys::schedule::{
    Attributes, set_attributes, set_io_priority, set_memory_policy, set_personality,
};

/// Sets the scheduling policy (sched_setattr(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetScheduler {
    /// The policy and what belongs to it.
    pub attributes: Attributes,
}

impl Step for SetScheduler {
    fn perform(&self, _: &mut Context) -> Result<()> {
        set_attributes(self.attributes).doing("cannot set the scheduling policy")
    }

    fn explain(&self) -> Explanation {
        let Attributes {
            policy,
            nice,
            priority,
            ..
        } = self.attributes;
        Explanation::new(
            format!("sched_setattr({{policy={policy}, nice={nice}, priority={priority}}})"),
            "says when the program runs against others",
            "it would be scheduled as its caller is",
            "sched(7)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the scheduler")
    }
}

/// Keeps this process, and its children, on these CPUs (sched_setaffinity(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAffinity {
    /// As they were given: `0-1,3`.
    pub list: String,
    /// A bit each.
    pub cpus: Vec<u64>,
}

impl Step for SetAffinity {
    fn perform(&self, _: &mut Context) -> Result<()> {
        let mut set = CpuSet::new();
        let all = self.cpus.iter().enumerate();
        let bits = all.flat_map(|(at, word)| {
            (0..64)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| at * 64 + bit)
        });
        let set = bits
            .into_iter()
            .try_for_each(|cpu| set.set(cpu))
            .map(|()| set);
        set.and_then(|set| sched_setaffinity(Pid::from_raw(0), &set))
            .doing(format!("cannot keep to the CPUs {}", self.list))
    }

    fn moves(&self) -> bool {
        false
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("sched_setaffinity(0, {{{}}})", self.list),
            "a program that joins is to disturb no others than those on these CPUs",
            "it would run wherever its caller may, or all of the container",
            "sched_setaffinity(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("CPU affinity")
    }
}

/// Sets the priority of input and output (ioprio_set(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetIoPriority {
    /// 1 realtime, 2 best effort, 3 idle.
    pub class: u16,
    /// 0, the first, to 7.
    pub priority: u16,
}

impl Step for SetIoPriority {
    fn perform(&self, _: &mut Context) -> Result<()> {
        set_io_priority(self.class, self.priority)
            .doing("cannot set the priority of input and output")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!(
                "ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE({}, {}))",
                self.class, self.priority
            ),
            "says whose reads and writes go first, where the disk's scheduler looks at it",
            "they would go as the caller's",
            "ioprio_set(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the io priority")
    }
}

/// Says which NUMA nodes memory comes from (set_mempolicy(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMemoryPolicy {
    /// `MPOL_*` with its flags.
    pub mode: i32,
    /// The nodes, as words of bits.
    pub nodes: Vec<u64>,
}

impl Step for SetMemoryPolicy {
    fn perform(&self, _: &mut Context) -> Result<()> {
        set_memory_policy(self.mode, &self.nodes).doing("cannot set the memory policy")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("set_mempolicy({:#x}, {:x?})", self.mode, self.nodes),
            "says which NUMA nodes the program's memory comes from",
            "it would come from the node that the program runs on",
            "set_mempolicy(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the memory policy")
    }
}

/// Sets the execution domain (personality(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetPersonality {
    /// `PER_*`
    pub domain: u64,
}

impl Step for SetPersonality {
    fn perform(&self, _: &mut Context) -> Result<()> {
        set_personality(self.domain)
            .map(drop)
            .doing("cannot set the execution domain")
    }

    fn explain(&self) -> Explanation {
        Explanation::new(
            format!("personality({:#x})", self.domain),
            "says which kind of machine uname(2) tells of",
            "a program for 32 bits would take the machine for what it is",
            "personality(2)",
        )
    }

    fn shell(&self) -> Shell {
        Shell::Unsaid("the personality")
    }
}
