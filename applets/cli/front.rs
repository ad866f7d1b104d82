//! The box itself, declared as an applet is: `isobox --list`, `--install`, `--man`, `--completions`.

use std::ffi::OsString;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs, SubCommandInfo};
use isobox::error::{Doing, Error, Result};

use super::raw::{Raw, words};
use super::{Applet, Entry, Exit, complete, help, man, near};
use crate::install::{self, Link};
use crate::table;

/// many small tools that isolate processes, in one file
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "isobox",
    example = "isobox --install -s /usr/local/bin",
    example = "isobox unshare -r id -u",
    example = "isobox --man unshare | man -l -",
    example = ". <(isobox --completions bash)",
    note = "An applet is called by its own name through a link to isobox, or as a word behind isobox. One that is named as the command of another applet runs inside whatever root that one leads into, where no such file need be.",
    note = "No output is coloured, so NO_COLOR has nothing to switch off.",
    error_code(1, "a failure of isobox itself"),
    error_code(127, "there is no such applet")
)]
pub(crate) struct Args {
    /// list the applets
    #[argh(switch)]
    list: bool,
    /// make a link to isobox for each applet in the directory that follows; names that are taken are skipped
    #[argh(switch)]
    install: bool,
    /// with --install: make symbolic links
    #[argh(switch, short = 's')]
    symbolic: bool,
    /// print the manual page of the applet that follows, or of isobox, for man -l
    #[argh(switch)]
    man: bool,
    /// write all manual pages below this directory, as man1/unshare.1
    #[argh(option, arg_name = "dir")]
    man_dir: Option<Raw>,
    /// print the completions for this shell
    #[argh(option, arg_name = "bash|zsh|fish")]
    completions: Option<String>,
    /// what may stand in place of the last of these words: the completions ask this
    #[argh(switch, hidden_help)]
    complete: bool,
    /// what an option applies to
    #[argh(positional, hidden_help)]
    operand: Vec<Raw>,
}

/// The box's own entry. It stands beside the table: no link of its name is made.
pub(crate) const BOX: Entry = Entry {
    name: "isobox",
    usage_status: 1,
    section: 1,
    info: declaration,
    run: Args::launch,
};

/// The box's declaration, its applets as its verbs.
fn declaration() -> CommandInfoWithArgs {
    let applets = table::sorted();
    let commands = applets.iter().map(|entry| SubCommandInfo {
        name: entry.name,
        command: (entry.info)(),
    });
    CommandInfoWithArgs {
        commands: commands.collect(),
        ..Args::get_args_info()
    }
}

impl Applet for Args {
    fn run(self) -> Result<Exit> {
        let operands = words(self.operand);
        let actions = [self.list, self.install, self.man, self.complete];
        let asked = actions.iter().filter(|asked| **asked).count()
            + usize::from(self.man_dir.is_some())
            + usize::from(self.completions.is_some());
        if asked > 1 || (self.symbolic && !self.install) {
            return Err(misuse("these options do not go together"));
        }
        match (&operands[..], self.completions, self.man_dir) {
            ([dir], ..) if self.install && self.symbolic => {
                install::install(dir.as_ref(), Link::Symbolic)
            }
            ([dir], ..) if self.install => install::install(dir.as_ref(), Link::Hard),
            _ if self.install => Err(misuse("--install takes one directory")),
            (typed, ..) if self.complete => help::print_all(&complete::answer(typed)),
            ([], ..) if self.man => help::print_all(&man::page(&BOX)),
            ([name], ..) if self.man => help::print_all(&man::page(known(name)?)),
            ([help], ..) if help == "help" && asked == 0 => help::print(&BOX, None),
            ([help, name, ..], ..) if help == "help" && asked == 0 => {
                let applet = known(name)?;
                (applet.run)(applet, &["--help".into()])
            }
            ([extra, ..], ..) => Err(misuse(format!("unexpected argument '{}'", extra.display()))),
            ([], Some(shell), _) => help::print_all(&complete::script(&shell)?),
            ([], None, Some(dir)) => write_pages(&dir.into_path()),
            ([], None, None) if self.list => help::print_all(&list()),
            ([], None, None) => help::print(&BOX, None),
        }
    }
}

fn misuse(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(text.into()).hint("try 'isobox --help' for more information")
}

/// One name a line.
fn list() -> String {
    let applets = table::sorted();
    let names = applets.iter().flat_map(|entry| [entry.name, "\n"]);
    names.collect()
}

fn known(name: &OsString) -> Result<&'static Entry> {
    let name = name.to_string_lossy();
    table::find(&name)
        .or((name == BOX.name).then_some(&BOX))
        .ok_or_else(|| no_such_applet(&name))
}

/// What is said, and with which status, where there is no applet of this name.
pub(crate) fn no_such_applet(name: &str) -> Error {
    let near = near::nearest(name, &mut table::all().map(|entry| entry.name));
    let guess = near.map_or_else(String::new, |name| format!("did you mean {name}? "));
    Error::new(format!("applet not found: {name}"))
        .status(NO_SUCH_APPLET)
        .hint(guess + "isobox --list shows what there is")
}

/// What a shell gives for a command that is not there; busybox and toybox do for an applet.
const NO_SUCH_APPLET: u8 = 127;

/// Writes every manual page below `dir`, where man(1) looks for it.
fn write_pages(dir: &std::path::Path) -> Result<Exit> {
    for entry in table::all().chain([&BOX]) {
        let section = dir.join(format!("man{}", entry.section));
        std::fs::create_dir_all(&section).doing_to("cannot make", &section)?;
        let file = section.join(format!("{}.{}", entry.name, entry.section));
        std::fs::write(&file, man::page(entry)).doing_to("cannot write", &file)?;
    }
    Ok(Exit::OK)
}
