//! selftest: whether isolation works on this machine, shown by the box's own steps. No tool of util-linux.

use argh::{ArgsInfo, FromArgs};
use isobox::error::{Result, printable};
use isobox::selftest::{INSIDE, Verdict, check, inside, names};

use crate::cli::help::print_all;
use crate::cli::{Applet, Exit};

/// show that isolation works on this machine, by the steps that the other applets take
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "selftest",
    example = "selftest",
    example = "selftest -v pid net pivot",
    note = "Each check changes something inside, in a child, and looks for it from outside. A line is its name and ok, FAIL (it was set up, and does not isolate) or skip (it could not be set up), with the reason. Nothing is left behind; needs no other program.",
    note = "The checks are pid net uts ipc mnt user cgroup time chroot pivot overlay layers memory.max pids.max capabilities no_new_privs seccomp landlock and container.",
    error_code(1, "a check FAILs")
)]
pub(crate) struct Args {
    /// show what was seen inside and outside
    #[argh(switch, short = 'v')]
    verbose: bool,
    /// which checks (all)
    #[argh(positional)]
    check: Vec<String>,
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        if self.check == [INSIDE] {
            return print_all(&inside());
        }
        let chosen = super::doctor::chosen("no such check:", &self.check, names().collect())?;
        let mut failed = false;
        for name in chosen {
            let (verdict, seen) = check(name);
            failed |= matches!(verdict, Verdict::Fail(_));
            let why =
                |word: &str, why: &String| format!("{name} {word} ({})\n", printable(why.as_ref()));
            let mut text = match &verdict {
                Verdict::Ok => format!("{name} ok\n"),
                Verdict::Fail(reason) => why("FAIL", reason),
                Verdict::Skip(reason) => why("skip", reason),
            };
            for one in seen.iter().filter(|_| self.verbose) {
                let (within, without) = (
                    printable(one.inside.as_ref()),
                    printable(one.outside.as_ref()),
                );
                text += &format!("    {}: {within} inside, {without} outside\n", one.what);
            }
            print_all(&text)?;
        }
        Ok(Exit::Status(u8::from(failed)))
    }
}
