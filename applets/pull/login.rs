//! `pull login` and `pull logout`, and the programs that keep credentials for others (docker-credential-helpers).

use std::io::{self, BufRead, IsTerminal, Read, Write, stdin};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use isobox::error::{Doing, Error, Result};
use isobox::image::credentials::{self, Helper, Login};
use isobox::image::reference::{DOCKER_HUB, Reference};
use isobox::image::registries_conf::RegistriesConf;
use isobox::image::registry::{Registry, Safety, Shared};

use super::{Args, environment};
use crate::cli::help::print_all;
use crate::cli::{Exit, say};

/// The most bytes that a helper may say.
const LIMIT: u64 = 1 << 20;

/// Runs helpers from the `PATH`.
pub(super) struct Programs;

impl Helper for Programs {
    fn run(&self, name: &str, verb: &str, input: &[u8]) -> Result<Option<(Vec<u8>, bool)>> {
        let program = format!("docker-credential-{name}");
        let spawned = Command::new(&program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.doing_to("cannot run", &program)?,
        };
        // A helper that does not read what it is told has ended, and its status tells.
        let told = child.stdin.take().map(|mut pipe| pipe.write_all(input));
        drop(told);
        let mut out = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            pipe.take(LIMIT)
                .read_to_end(&mut out)
                .doing_to("cannot read from", &program)?;
        }
        let status = child.wait().doing_to("cannot run", &program)?;
        Ok(Some((out, status.success())))
    }
}

/// The name of a registry as typed.
fn registry_named(text: &str) -> Result<String> {
    let bare = text.trim_start_matches("https://").trim_end_matches('/');
    let bare = if bare.is_empty() || bare == "index.docker.io/v1" {
        DOCKER_HUB
    } else {
        bare
    };
    // A name of an image of it is one that can be checked.
    let reference: Reference = match bare.contains(['.', ':']) || bare == "localhost" {
        true => format!("{bare}/x").parse()?,
        false => {
            return Err(Error::new(format!("'{text}' is no registry"))
                .hint("name it as in registry.example or localhost:5000"));
        }
    };
    Ok(reference.registry)
}

/// Asks the registry whether it knows the name and the password, and keeps them.
pub(super) fn login(
    args: &Args,
    shared: &Shared<'_>,
    conf: &RegistriesConf,
    registry: Option<&str>,
) -> Result<Exit> {
    let registry = registry_named(registry.unwrap_or(DOCKER_HUB))?;
    let (user, password) = ask(args, &registry)?;
    let safety = match conf.is_insecure(&registry) {
        true => Safety::Insecure,
        false => args.safety(),
    };
    let login = Login::Password {
        user: user.clone(),
        password: password.clone(),
    };
    Registry::open(shared, &registry, "", Some(login), safety)?.log_in()?;
    let path = file(args)?;
    let place = credentials::store(&path, &registry, &user, &password, &Programs)?;
    if !args.quiet {
        say(&format!("pull: the password is kept in {place}\n"));
    }
    print_all("Login Succeeded!\n")
}

/// Forgets a password wherever it is kept.
pub(super) fn logout(args: &Args, registry: Option<&str>) -> Result<Exit> {
    let registry = registry_named(registry.unwrap_or(DOCKER_HUB))?;
    let mut found = false;
    for path in environment::auth_files(args.authfile()) {
        found |= credentials::erase(&path, &registry, &Programs)?;
    }
    if !found {
        return Err(Error::new(format!("not logged into {registry}")));
    }
    print_all(&format!("Removed login credentials for {registry}\n"))
}

/// The file that passwords are kept in.
fn file(args: &Args) -> Result<PathBuf> {
    let path = args
        .authfile()
        .or_else(environment::auth_file)
        .or_else(environment::docker_config);
    path.ok_or_else(|| {
        Error::new("there is no file to keep the password in")
            .because("HOME is not set")
            .hint("--authfile names one")
    })
}

/// The name and the password: as given, from standard input, or from the person at the terminal.
fn ask(args: &Args, registry: &str) -> Result<(String, String)> {
    if let Some((user, password)) = args
        .creds
        .as_deref()
        .and_then(|creds| creds.split_once(':'))
    {
        return Ok((user.to_owned(), password.to_owned()));
    }
    let user = match args.username.clone().or_else(|| args.creds.clone()) {
        Some(user) => user,
        None if stdin().is_terminal() && !args.password_stdin => {
            prompt(&format!("Username for {registry}: "))?
        }
        None => {
            return Err(Error::new("there is no name to log in with")
                .hint("--username NAME --password-stdin"));
        }
    };
    let password = if args.password_stdin {
        let mut text = String::new();
        stdin()
            .take(LIMIT)
            .read_to_string(&mut text)
            .doing("cannot read the password")?;
        text.trim_end_matches(['\n', '\r']).to_owned()
    } else if stdin().is_terminal() {
        hidden("Password: ")?
    } else {
        return Err(Error::new("there is nobody to ask for the password")
            .hint("--password-stdin reads it from standard input"));
    };
    if user.is_empty() || password.is_empty() || user.contains(':') {
        return Err(Error::new(
            "the name or the password is empty, or the name has a colon",
        ));
    }
    Ok((user, password))
}

fn prompt(text: &str) -> Result<String> {
    say(text);
    let mut line = String::new();
    stdin()
        .lock()
        .take(LIMIT)
        .read_line(&mut line)
        .doing("cannot read from the terminal")?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks for something that is not shown while it is typed.
fn hidden(text: &str) -> Result<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let doing = "cannot set up the terminal";
    let before = tcgetattr(stdin()).doing(doing)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(stdin(), SetArg::TCSAFLUSH, &silent).doing(doing)?;
    let line = prompt(text);
    tcsetattr(stdin(), SetArg::TCSAFLUSH, &before).doing(doing)?;
    say("\n");
    line
}
