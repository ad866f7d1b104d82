//! Hooks: which run where, and what they are told (config.md, "POSIX-platform Hooks"; runtime.md, "State").

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::json::quote;
use crate::oci::making::Making;
use crate::oci::spec::{self, Spec, VERSION};
use crate::plan::Plan;
use crate::plan::steps::hooks::{RunHooks, StateJson};

/// When and where hooks of a kind run.
struct Moment {
    kind: &'static str,
    place: &'static str,
    status: &'static str,
    outside: bool,
}

const PRESTART: Moment = Moment {
    kind: "prestart",
    place: "outside, before the root is entered",
    status: "creating",
    outside: true,
};
const CREATE_RUNTIME: Moment = Moment {
    kind: "createRuntime",
    ..PRESTART
};
const CREATE_CONTAINER: Moment = Moment {
    kind: "createContainer",
    place: "in the container's namespaces, before the root is entered",
    status: "creating",
    outside: false,
};
const START_CONTAINER: Moment = Moment {
    kind: "startContainer",
    place: "in the container, right before its program",
    status: "created",
    outside: false,
};

/// Those that run when all namespaces and mounts are there.
pub(super) fn before_pivot(plan: &mut Plan, spec: &Spec, making: Option<&Making>) {
    let hooks = &spec.hooks;
    add(plan, spec, making, &PRESTART, &hooks.prestart);
    add(plan, spec, making, &CREATE_RUNTIME, &hooks.create_runtime);
    add(
        plan,
        spec,
        making,
        &CREATE_CONTAINER,
        &hooks.create_container,
    );
}

/// Those that run right before the program.
pub(super) fn before_program(plan: &mut Plan, spec: &Spec, making: Option<&Making>) {
    add(
        plan,
        spec,
        making,
        &START_CONTAINER,
        &spec.hooks.start_container,
    );
}

fn add(
    plan: &mut Plan,
    spec: &Spec,
    making: Option<&Making>,
    moment: &Moment,
    hooks: &[spec::Hook],
) {
    if hooks.is_empty() {
        return;
    }
    let step = RunHooks {
        kind: moment.kind,
        place: moment.place,
        hooks: hooks.iter().map(Hook::from).collect(),
        state: state(spec, making),
        status: moment.status,
    };
    if moment.outside {
        plan.outside(step);
    } else {
        plan.then(step);
    }
}

/// The state of the container that is being made.
pub(super) fn state(spec: &Spec, making: Option<&Making>) -> StateJson {
    let note = making.and_then(|making| making.note.as_ref());
    let id = note.map_or_else(String::new, |note| note.kept.id().to_string());
    let bundle = note.map_or_else(String::new, |note| note.record.borrow().bundle().to_owned());
    state_of(spec, id, bundle)
}

/// The state of the container of this name, from this bundle.
pub(super) fn state_of(spec: &Spec, id: String, bundle: String) -> StateJson {
    let annotations = spec.annotations.clone();
    Rc::new(move |status, pid| state_json(&id, status, pid, &bundle, &annotations))
}

/// A container's state as the specification has it.
fn state_json(
    id: &str,
    status: &str,
    pid: i32,
    bundle: &str,
    annotations: &[(String, String)],
) -> String {
    let pair = |(name, value): &(String, String)| format!("{}:{}", quote(name), quote(value));
    let pairs: Vec<String> = annotations.iter().map(pair).collect();
    let pid = if pid > 0 {
        format!(",\"pid\":{pid}")
    } else {
        String::new()
    };
    format!(
        "{{\"ociVersion\":{},\"id\":{},\"status\":{}{pid},\"bundle\":{},\"annotations\":{{{}}}}}",
        quote(VERSION),
        quote(id),
        quote(status),
        quote(bundle),
        pairs.join(",")
    )
}

/// Runs the hooks that follow a start (`poststart`) or a deletion (`poststop`); `pid` is 0 where the container's first
/// process is gone.
///
/// # Errors
/// Of the first that fails. After a start that is the end of it; after a deletion the others run all the same.
pub fn run(
    kind: &'static str,
    spec: &Spec,
    (id, bundle): (&str, &str),
    (status, pid): (&str, i32),
) -> Result<()> {
    let (hooks, go_on) = match kind {
        "poststart" => (&spec.hooks.poststart, false),
        _ => (&spec.hooks.poststop, true),
    };
    let state = state_json(id, status, pid, bundle, &spec.annotations);
    let mut result = Ok(());
    for (at, hook) in hooks.iter().enumerate() {
        let ran = Hook::from(hook).run(&state).map_err(|error| {
            Error::new(format!("error running {kind} hook #{at}")).because(error.to_string())
        });
        match (ran, go_on) {
            (Err(error), false) => return Err(error),
            // What is to be cleaned up is cleaned up by each; the first that failed is told of.
            (Err(error), true) if result.is_ok() => result = Err(error),
            _ => {}
        }
    }
    result
}

/// The search path of a hook that is given no environment.
const HOOK_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl From<&spec::Hook> for Hook {
    fn from(hook: &spec::Hook) -> Self {
        let or = |words: &[OsString], one: OsString| match words {
            [] => vec![one],
            words => words.to_vec(),
        };
        let seconds = hook.timeout.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            path: hook.path.clone(),
            argv: or(&hook.args, hook.path.clone().into()),
            env: or(&hook.env, HOOK_PATH.into()),
            timeout: seconds.map(Duration::from_secs),
        }
    }
}
