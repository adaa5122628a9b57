# Completion of perch in fish: perch completion fish | source
function __perch_complete
    set -l line (commandline -opc) (commandline -ct)
    set -l answer ($line[1] __complete $line[2..-1] 2>/dev/null)
    if test "$answer" = :files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $answer
    end
end
complete -c perch -f -a '(__perch_complete)'
