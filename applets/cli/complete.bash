# Completions of isobox and its applets for bash. To have them in every shell:
#     isobox --completions bash >/etc/bash_completion.d/isobox
# This hands the line to isobox --complete and shows its answer; see applets/cli/complete.rs.

_isobox() {
    # bash breaks words at = and : too; what has no blank before it belongs to the word before.
    local -a words=() first=()
    local rest=${COMP_LINE:0:COMP_POINT} word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} == 0 || $rest == [[:blank:]]* ]]; then
            rest=${rest#"${rest%%[![:blank:]]*}"}
            words+=('')
            first+=("$i")
        fi
        ((i < COMP_CWORD)) || word=$rest
        words[-1]+=$word
        rest=${rest#"$word"}
    done

    local cur=${words[-1]} line kind argument
    cur=${cur#[\"\']}
    cur=${cur//\\/}
    words[-1]=$cur
    local -a found=()
    COMPREPLY=()
    {
        IFS=$'\t' read -r kind argument
        while IFS= read -r line; do
            found+=("${line%%$'\t'*}")
        done
    } < <(isobox --complete -- "${words[@]}" 2>/dev/null)

    case $kind in
    files | dirs)
        compopt -o filenames
        line=${cur:${#argument}}
        # A leading ~ is for the shell to expand, and only its first part.
        [[ $line == '~'* ]] && line=${line/#\~/$HOME}
        while IFS= read -r line; do
            found+=("$argument$line")
        done < <(if [[ $kind == dirs ]]; then compgen -d -- "$line"; else compgen -f -- "$line"; fi)
        ;;
    command)
        if ((argument == ${#words[@]} - 1)); then
            # Directories too: the program may lie below one.
            [[ $cur == */* ]] && compopt -o filenames
            while IFS= read -r line; do
                found+=("$line")
            done < <(
                compgen -c -- "$cur"
                [[ $cur != */* ]] || compgen -d -- "$cur"
            )
        elif declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset "${first[argument]}"
            return
        elif declare -F _command_offset >/dev/null; then
            _command_offset "${first[argument]}"
            return
        else
            compopt -o filenames
            while IFS= read -r line; do
                found+=("$line")
            done < <(compgen -f -- "$cur")
        fi
        ;;
    esac

    # The reply replaces only what follows the last break.
    local breaks=${COMP_WORDBREAKS//[^=:]/} cut=
    [[ -n $breaks ]] && cut=${cur%"${cur##*[$breaks]}"}
    local -A seen=()
    for line in "${found[@]}"; do
        [[ -n $line && -z ${seen[$line]} ]] || continue
        seen[$line]=1
        COMPREPLY+=("${line#"$cut"}")
    done
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}

complete -F _isobox @NAMES@
