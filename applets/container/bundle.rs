//! container run --bundle: the container that a config.json describes, as it stands there. No option that would change it
//! goes with it, so the words are read again as those of a command that has no other.

use std::ffi::OsString;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Doing, Error, Result};
use isobox::oci::lifecycle::{New, Refusal};
use isobox::oci::making::Making;
use isobox::oci::spec::Hooks;
use isobox::oci::{self, Setting, Spec};
use isobox::own_binary;
use nix::unistd::geteuid;

use super::OURS;
use super::kept::{Shelf, new_id};
use super::run::as_status;
use crate::cli::plan::{Explain, ended, environment, observer, perform};
use crate::cli::raw::Raw;
use crate::cli::{Applet, Asked, Entry, Exit, help, parse};

/// run the container that a config.json describes
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "run")]
struct Bundle {
    /// the directory with config.json
    #[argh(option, short = 'b', arg_name = "dir")]
    bundle: Raw,
    /// print a shell script that runs the same container, and do nothing
    #[argh(switch)]
    script: bool,
    /// tell what would be done and do nothing; json for programs, run to tell while doing
    #[argh(option, arg_name = "[=how]")]
    explain: Option<Explain>,
}

/// Runs it; `args` are `run` and what follows.
///
/// # Errors
/// For any other option, and of the container.
pub(super) fn launch(entry: &Entry, args: &[OsString]) -> Result<Exit> {
    let alone = |text| {
        Error::new("--bundle stands alone")
            .because(text)
            .hint("config.json says everything else; container edit changes it")
    };
    let asked = parse::<Bundle>(entry, args.get(1..).unwrap_or_default());
    let exit = match asked.map_err(alone) {
        Ok(Asked::Run(bundle)) => bundle.run(),
        Ok(Asked::Help(_) | Asked::Version) => help::print(entry, Some("run")),
        Err(error) => Err(error),
    };
    exit.map_err(|error| error.or_status(OURS))
}

impl Applet for Bundle {
    fn run(self) -> Result<Exit> {
        let dir = std::path::absolute(&self.bundle.0).doing_to("cannot find", &self.bundle.0)?;
        let setting = Setting {
            input: true,
            ..Setting::default()
        };
        let mut spec = Spec::of_bundle(&dir)?;
        let runs = !self.script && !matches!(self.explain, Some(Explain::Text | Explain::Json));
        if runs && spec.has_company() {
            own_binary::run_protected(&environment())?;
        }
        spec.start_from(&dir);
        let plan = oci::compile(&spec, setting)?;
        if runs && spec.hooks != Hooks::default() {
            return self.run_kept(&dir, &spec);
        }
        if !self.script {
            return perform(&plan, self.explain).map(as_status);
        }
        let left = plan.unsaid();
        if !left.is_empty() {
            return Err(Error::new("no script can say").on(left.join(", ")));
        }
        help::print_all(&plan.script())
    }
}

impl Bundle {
    /// Hooks are told its name, and some run after its start and its end: it is kept as long as it runs.
    fn run_kept(&self, dir: &Path, spec: &Spec) -> Result<Exit> {
        let new = New {
            store: &Shelf::ours().live,
            id: &new_id()?,
            spec,
            bundle: dir,
            making: Making {
                lenient: !geteuid().is_root(),
                ..Making::default()
            },
            pid_file: None,
            pidfd_socket: None,
            systemd: None,
            setting: Setting::default(),
        };
        let outcome = new.run(false, observer(self.explain));
        let exit = outcome.map(ended).map_err(Refusal::into_error)?;
        Ok(as_status(exit))
    }
}
