# Completions of isobox and its applets for fish. To have them in every shell:
#     isobox --completions fish >/usr/share/fish/vendor_conf.d/isobox.fish
# This hands the line to isobox --complete and shows its answer; see applets/cli/complete.rs.

function __isobox_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer (isobox --complete -- $words 2>/dev/null)
    set -l head (string split -m 1 \t -- $answer[1])
    set -e answer[1]
    printf '%s\n' $answer
    switch $head[1]
        case files
            set -l typed (string sub -s (math 1 + (string length -- "$head[2]")) -- $words[-1])
            for path in (__fish_complete_path "$typed")
                echo -- $head[2]$path
            end
        case dirs
            set -l typed (string sub -s (math 1 + (string length -- "$head[2]")) -- $words[-1])
            for path in (__fish_complete_directories "$typed" '')
                echo -- $head[2]$path
            end
        case command
            # Words count from 0 there and from 1 here.
            set -l from (math $head[2] + 1)
            set -l command
            if test $from -lt (count $words)
                set command (string escape -- $words[$from..-2])
            end
            complete -C (string join ' ' -- $command $words[-1])
    end
end

for name in @NAMES@
    complete -c $name -e
    complete -c $name -f -a '(__isobox_complete)'
end
