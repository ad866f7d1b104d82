//! Completions as a person gets them: bash and zsh on a terminal of their own, a key pressed, the line looked at;
//! fish asked by its own `complete -C`.

use crate::kit::Sandbox;

/// What is typed, and the line after the completion key. Words after `@` are applets: more than these may exist.
type Case = (&'static str, &'static str);

/// Lines that every shell completes alike.
const CASES: [Case; 21] = [
    ("isobox --compl", "isobox --completions "),
    ("isobox --completions z", "isobox --completions zsh "),
    ("isobox unsha", "isobox unshare "),
    ("isobox --man unsha", "isobox --man unshare "),
    ("isobox unshare --keep", "isobox unshare --keep-caps "),
    ("unshare --boo", "unshare --boottime "),
    // An optional value stands only behind the equals sign; a value that must be may stand there.
    ("unshare --mount=onef", "unshare --mount=onefile "),
    ("unshare --root=dir", "unshare --root=directory/"),
    ("unshare --root dir", "unshare --root directory/"),
    ("unshare -R dir", "unshare -R directory/"),
    ("nsenter -mone", "nsenter -monefile "),
    ("nsenter -m=one", "nsenter -m=onefile "),
    // Behind the options comes a command, and its arguments.
    ("unshare -p unsha", "unshare -p unshare "),
    ("unshare --pid cat one", "unshare --pid cat onefile "),
    ("container ru", "container run "),
    ("container run --root", "container run --rootfs "),
    ("container run --rootfs ho", "container run --rootfs host "),
    (
        "container run --rootfs=dir",
        "container run --rootfs=directory/",
    ),
    (
        "container run --rootfs host -- cat one",
        "container run --rootfs host -- cat onefile ",
    ),
    (
        "unshare -f -- unshare --keep",
        "unshare -f -- unshare --keep-caps ",
    ),
    ("unshare -R / ./the", "unshare -R / ./theprogram "),
];

fn sandbox(name: &str) -> Sandbox {
    let t = Sandbox::new(name);
    t.write("onefile", "").write("directory/x", "");
    t.run("printf '#!/bin/sh\\n' >theprogram && chmod 755 theprogram")
        .ok();
    t
}

/// Types each line and the completion key into a shell on a terminal of its own; `show` is bound to Escape p there
/// and writes the line to the file `lines`.
fn typed(t: &Sandbox, shell: &str, cases: &[Case]) {
    let keys: String = cases
        .iter()
        .map(|(line, _)| format!("{line}\t\u{1b}p\n"))
        .collect();
    t.write("keys", &format!("{keys}exit\n"));
    t.run(&format!(
        "TERM=dumb script -qec '{shell}' /dev/null <keys >seen 2>&1"
    ))
    .ok();
    let lines = t.run("cat lines").stdout.clone();
    let seen = t.run("cat -v seen").stdout.clone();
    let got: Vec<&str> = lines.lines().collect();
    let want: Vec<String> = cases.iter().map(|(_, want)| format!("<{want}>")).collect();
    assert!(
        got == want,
        "completed:\n{got:#?}\nwanted:\n{want:#?}\non the terminal:\n{seen}"
    );
}

#[test]
fn bash_completes() {
    needs!(host("bash"), host("script"));
    let t = sandbox("bash");
    t.write(
        "rc",
        r#"PS1='$ '
. <(isobox --completions bash)
show() { printf '<%s>\n' "$READLINE_LINE" >>lines; READLINE_LINE=; }
bind -x '"\ep": show'
bind '"\ea": insert-completions'
"#,
    );
    typed(&t, "bash --noprofile --rcfile rc -i", &CASES);
    t.run("bash -n rc && isobox --completions bash | bash -n")
        .ok()
        .err("");
}

#[test]
fn zsh_completes() {
    needs!(host("zsh"), host("script"));
    let t = sandbox("zsh");
    t.write(
        "zdot/.zshrc",
        r#"PS1='$ '
autoload -Uz compinit
compinit -u -D
. <(isobox --completions zsh)
show() { print -r -- "<$BUFFER>" >>lines; BUFFER=; }
zle -N show
bindkey '\ep' show
"#,
    );
    typed(&t, "env ZDOTDIR=zdot zsh -d -i", &CASES);
    // The same as a file that compinit finds.
    t.write("fns/.keep", "");
    t.run("rm lines; isobox --completions zsh >fns/_isobox")
        .ok();
    t.write(
        "zdot/.zshrc",
        r#"PS1='$ '
fpath=($PWD/fns $fpath)
autoload -Uz compinit
compinit -u -D
show() { print -r -- "<$BUFFER>" >>lines; BUFFER=; }
zle -N show
bindkey '\ep' show
"#,
    );
    typed(&t, "env ZDOTDIR=zdot zsh -d -i", &CASES[..4]);
}

#[test]
fn fish_completes() {
    needs!(host("fish"));
    let t = sandbox("fish");
    t.write(
        "rc.fish",
        "isobox --completions fish | source\ncomplete -C \"$LINE\"\n",
    );
    for (line, want) in CASES {
        let word = want.trim_end().rsplit(' ').next().unwrap();
        // fish gives every word that could stand there, each with a tab and its meaning.
        let ran = t.cmd("fish --no-config rc.fish").env("LINE", line).run();
        ran.ok();
        let found = ran
            .stdout
            .lines()
            .any(|line| line.split('\t').next() == Some(word));
        assert!(found, "{line:?} is not completed to {word:?}{ran}");
    }
}

#[test]
fn every_applet_and_verb_is_completed() {
    let t = Sandbox::new("complete");
    let list = t.run("isobox --list").stdout.clone();
    for name in list.lines() {
        t.run(&format!("isobox --complete -- isobox {name}"))
            .ok()
            .out_has(&format!("\n{name}\t"));
        t.run(&format!("isobox --complete -- {name} --hel"))
            .ok()
            .out("words\n--help\tdisplay this help\n");
        for shell in ["bash", "zsh", "fish"] {
            t.run(&format!("isobox --completions {shell} | grep -qw {name}"))
                .ok();
        }
    }
}
