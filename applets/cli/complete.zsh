#compdef @NAMES@
# Completions of isobox and its applets for zsh. To have them in every shell, before compinit:
#     isobox --completions zsh >/usr/local/share/zsh/site-functions/_isobox
# This hands the line to isobox --complete and shows its answer; see applets/cli/complete.rs.

_isobox() {
    local -a answer plain open
    local kind argument line word meaning
    answer=("${(@f)$(isobox --complete -- "${(Q@)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=${answer[1]%%$'\t'*}
    argument=${answer[1]#*$'\t'}
    for line in "${(@)answer[2,-1]}"; do
        word=${line%%$'\t'*}
        meaning=${line#*$'\t'}
        # A word that ends in = is not finished.
        if [[ $word == *= ]]; then
            open+=("${word//:/\\:}:$meaning")
        else
            plain+=("${word//:/\\:}:$meaning")
        fi
    done
    local found=1
    (( $#plain )) && _describe -t words isobox plain && found=0
    (( $#open )) && _describe -t open isobox open -S '' && found=0
    case $kind in
    files)
        compset -P "${(b)argument}"
        _files && found=0
        ;;
    dirs)
        compset -P "${(b)argument}"
        _files -/ && found=0
        ;;
    command)
        shift $argument words
        (( CURRENT -= argument ))
        _normal && found=0
        ;;
    esac
    return found
}

if [[ $funcstack[1] == _isobox ]]; then
    _isobox "$@"
else
    compdef _isobox @NAMES@
fi
