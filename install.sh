#!/bin/sh
# Builds isobox as one static binary, installs it with one link per applet, and starts a first container.
#
# Every file is recorded in PREFIX/share/isobox/installed before it is made: one path below PREFIX a line, and with a
# slash at the end the directories that had to be made. That record is what makes a file ours: a later install replaces
# what it names, --uninstall removes what it names, and nothing else is ever touched. The links are symbolic, so that one
# rename puts a new binary in place of all applets at once, and so that a link can be seen to be ours.

set -eu
umask 022

usage() {
    cat <<'EOF'
Usage: ./install.sh [--prefix DIR] [--no-build | --binary FILE]
       ./install.sh [--prefix DIR] --uninstall

Builds isobox, installs it as DIR/bin/isobox with one link per applet beside it, and runs a first container.
DIR is /usr/local for root and ~/.local for everybody else. Files that are not ours are never overwritten.

  --prefix DIR   install below DIR
  --no-build     install what an earlier run has built
  --binary FILE  install this binary
  --uninstall    remove what an earlier run has installed below DIR
  --help         show this text

Exit status: 0 done, 1 failed, 2 usage, 3 installed, but the first container did not start.
EOF
}

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$1" >&2
    shift
    for hint do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}
misuse() {
    printf 'install.sh: %s\n' "$1" >&2
    usage >&2
    exit 2
}

# --- the build ---------------------------------------------------------------------------------------------------

# Sets `target` and `binary`, to the target triple and where cargo leaves its product.
locate() {
    case $(uname -sm) in
        'Linux x86_64') target=x86_64-unknown-linux-musl ;;
        'Linux aarch64') target=aarch64-unknown-linux-musl ;;
        *) die "this is $(uname -sm); isobox runs on Linux, on x86_64 and aarch64" ;;
    esac
    target_dir=${CARGO_TARGET_DIR:-$here/target}
    # A checkout that belongs to somebody else is not a place to build in.
    if [ -z "${CARGO_TARGET_DIR:-}" ] && ! [ -w "$here" ] && ! [ -w "$target_dir" ]; then
        target_dir=${XDG_CACHE_HOME:-$HOME/.cache}/isobox/target
    fi
    case $target_dir in /*) ;; *) target_dir=$PWD/$target_dir ;; esac
    binary=$target_dir/$target/release/isobox
}

build() {
    # rustup puts its programs here; a shell that was open before it, or sudo, does not have it in PATH.
    command -v cargo >/dev/null 2>&1 || PATH=$PATH:${CARGO_HOME:-${HOME:-/}/.cargo}/bin
    command -v cargo >/dev/null 2>&1 || die 'cargo was not found' \
        'rustup, the Rust installer, brings it: https://rustup.rs' \
        'under sudo: build as yourself first (./install.sh), then run "sudo ./install.sh --no-build"'
    command -v cc >/dev/null 2>&1 || die 'cc was not found' 'a C compiler links the build: apt-get install gcc'

    # From the checkout, so that a rust-toolchain file there is obeyed.
    cd "$here"
    if ! [ -d "$(rustc --print target-libdir --target "$target" 2>/dev/null)" ]; then
        command -v rustup >/dev/null 2>&1 || die "this Rust has no $target and there is no rustup to add it"
        rustup target add "$target" || die "rustup could not add $target"
    fi
    cargo build --release --locked --target "$target" --target-dir "$target_dir" || die 'the build failed'
}

# --- what is ours ------------------------------------------------------------------------------------------------

# Whether the record names this path below the prefix.
recorded() { [ -f "$record" ] && grep -Fqx -e "$1" "$record"; }

# Adds a path to the record.
enter() { printf '%s\n' "${1:-/}" >>"$record" || die "cannot write $record"; }

# Whether this is one of our links: to the binary beside it.
is_link() { [ -h "$1" ] && [ "$(readlink "$1")" = isobox ]; }

# Makes a directory, and appends to `made` those from the prefix down that were missing ("/" is the prefix itself).
make_dirs() {
    missing=
    dir=$1
    while ! [ -d "$dir" ]; do
        case $dir in "$prefix" | "$prefix"/*) missing="${dir#"$prefix"}/ $missing" ;; esac
        dir=$(dirname "$dir")
    done
    mkdir -p "$1" 2>/dev/null || die "cannot make $1" "$(whose "$dir")"
    [ -w "$1" ] || die "cannot write in $1" "$(whose "$1")"
    made="$made $missing"
}

whose() {
    if [ "$(id -u)" = 0 ]; then
        say "look at what stands at $1"
    else
        say "you may not write in $1: choose another --prefix, or become root"
    fi
}

install() {
    if [ -e "$prefix/bin/isobox" ] || [ -h "$prefix/bin/isobox" ]; then
        { recorded bin/isobox && [ -f "$prefix/bin/isobox" ]; } ||
            die "$prefix/bin/isobox is there already and is not ours" 'move it away, or choose another --prefix'
    fi
    made=
    make_dirs "$prefix/bin"
    make_dirs "$prefix/share/isobox"
    for dir in $made; do
        enter "${dir#/}"
    done
    recorded bin/isobox || enter bin/isobox

    # Copied beside, then renamed: whoever runs the old binary keeps it, and there is never half of a new one.
    fresh=$prefix/bin/.isobox.$$
    if ! { cp "$binary" "$fresh" && chmod 755 "$fresh" && mv -f "$fresh" "$prefix/bin/isobox"; }; then
        rm -f "$fresh"
        die "cannot install $prefix/bin/isobox"
    fi

    skipped=
    linked=0
    for applet in $applets; do
        path=$prefix/bin/$applet
        if is_link "$path"; then
            # Of an earlier install, or made by hand: it leads to our binary either way, and is nothing without it.
            recorded "bin/$applet" || enter "bin/$applet"
        elif [ -e "$path" ] || [ -h "$path" ]; then
            skipped="$skipped $applet"
            continue
        else
            recorded "bin/$applet" || enter "bin/$applet"
            ln -s isobox "$path" || die "cannot make $path"
        fi
        linked=$((linked + 1))
    done

    drop_old_links
    say "installed $prefix/bin/isobox and $linked links"
    for applet in $skipped; do
        printf 'install.sh: skipped %s: it is not ours (isobox %s works)\n' "$prefix/bin/$applet" "$applet" >&2
    done
}

# Says what the install means for somebody who types an applet's name.
advise() {
    case ":$PATH:" in
        *":$prefix/bin:"*) ;;
        *)
            say "$prefix/bin is not in your PATH: export PATH=\"$prefix/bin:\$PATH\""
            return
            ;;
    esac
    covered=
    for applet in $applets; do
        [ "$(command -v "$applet")" = "$prefix/bin/$applet" ] || continue
        for dir in /usr/bin /usr/sbin /bin /sbin; do
            [ "$dir" != "$prefix/bin" ] && [ -e "$dir/$applet" ] && covered="$covered $dir/$applet" && break
        done
    done
    [ -z "$covered" ] || say "in your PATH these now come after ours:$covered"
}

# Removes the links of applets that an older isobox had and this one has not, and takes them out of the record.
drop_old_links() {
    while IFS= read -r entry; do
        case $entry in
            bin/isobox | */) ;;
            *)
                for applet in $applets; do
                    [ "bin/$applet" != "$entry" ] || break
                done
                if [ "bin/$applet" != "$entry" ]; then
                    if is_link "$prefix/$entry"; then rm -f "$prefix/$entry"; fi
                    continue
                fi
                ;;
        esac
        printf '%s\n' "$entry"
    done <"$record" >"$record.new"
    mv -f "$record.new" "$record"
}

# Removes what the record names, last made first, and the record before the directory that holds it.
remove() {
    # The record is read into the positional parameters, newest first, and is then gone.
    set --
    while IFS= read -r entry; do set -- "$entry" "$@"; done <"$record"
    rm -f "$record"
    for entry do
        path=$prefix/$entry
        case $entry in
            */) rmdir "$path" 2>/dev/null || : ;;
            bin/isobox) rm -f "$path" ;;
            *)
                if is_link "$path"; then
                    rm -f "$path"
                elif [ -e "$path" ] || [ -h "$path" ]; then
                    printf 'install.sh: kept %s: it is not ours any more\n' "$path" >&2
                fi
                ;;
        esac
    done
}

uninstall() {
    [ -f "$record" ] || die "nothing of ours is installed below $prefix"
    for dir in "$prefix/bin" "$prefix/share/isobox"; do
        ! [ -d "$dir" ] || [ -w "$dir" ] || die "cannot write in $dir" "$(whose "$dir")"
    done
    remove
    say "removed isobox from $prefix"
}

# --- the first container -----------------------------------------------------------------------------------------

# Prints five lines: pid, host name, namespaces (as NAME:INODE words), number of mounts, user. Runs on both sides.
# shellcheck disable=SC2016 # Expanded by the shell that runs it.
look='
    echo $$
    uname -n
    for kind in mnt pid net uts ipc cgroup user time; do
        printf "%s " "$(readlink /proc/self/ns/$kind)"
    done
    echo
    grep -c "" /proc/self/mounts
    echo "$(id -un) (uid $(id -u))"
'

prove() {
    outside=$(sh -c "$look" 2>/dev/null)
    read -r before _ </proc/uptime
    inside=$("$prefix/bin/isobox" container run --rootfs host -- /bin/sh -c "$look") || return 1
    read -r after _ </proc/uptime
    { say "$outside"; say "$inside"; } | awk -v took="$(say "$before $after" | awk '{ printf "%.2f", $2 - $1 }')" '
        { seen[NR] = $0 }
        END {
            if (NR != 10) exit 1
            count = split(seen[3], host, " ")
            split(seen[8], box, " ")
            for (i = 1; i <= count; i++) {
                name = host[i]
                sub(/:.*/, "", name)
                if (host[i] == box[i]) shared = shared " " name
                else { own = own " " name; fresh[name] = 1 }
            }
            row("", "outside", "inside a container")
            row("pid", seen[1], seen[6])
            row("host name", seen[2], seen[7])
            row("namespaces", "the machine\047s " count, "its own:" own)
            row("", "", "shared:" (shared == "" ? " none" : shared))
            row("mounts", seen[4], seen[9])
            row("user", seen[5], seen[10])
            printf "started, looked round and gone in %s s\n", took
            exit !(fresh["mnt"] && fresh["pid"])
        }
        function row(name, left, right) { printf "  %-12s %-24s %s\n", name, left, right }
    '
}

# --- what was asked ----------------------------------------------------------------------------------------------

prefix=
binary=
given=
action=build
while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --binary)
            [ $# -ge 2 ] || misuse "$1 needs an argument"
            [ -n "$2" ] || misuse "$1 needs an argument that is not empty"
            case $1 in
                --prefix) prefix=$2 ;;
                --binary) given=$2 action=install ;;
            esac
            shift
            ;;
        --prefix=?*) prefix=${1#*=} ;;
        --binary=?*) given=${1#*=} action=install ;;
        --no-build) action=install ;;
        --uninstall) action=uninstall ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) misuse "unknown argument '$1'" ;;
    esac
    shift
done

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
if [ -z "$prefix" ]; then
    if [ "$(id -u)" = 0 ]; then
        prefix=/usr/local
    else
        prefix=${HOME:?is not set, so there is no default: say --prefix DIR}/.local
    fi
fi
# Absolute and without a slash at the end, before any cd: the record holds paths below it.
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
while [ "${prefix%/}" != "$prefix" ]; do prefix=${prefix%/}; done
record=$prefix/share/isobox/installed

if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi

if [ -n "$given" ]; then
    case $given in /*) binary=$given ;; *) binary=$PWD/$given ;; esac
else
    locate
fi
[ "$action" = install ] || build
[ -f "$binary" ] || die "there is no binary at $binary" 'run ./install.sh without --no-build to build it'
applets=$("$binary" --list) || die "$binary does not run here"
[ -n "$applets" ] || die "$binary lists no applets"

install

if ! prove; then
    printf 'install.sh: isobox is installed, but its first container did not start\n' >&2
    exit 3
fi
advise
