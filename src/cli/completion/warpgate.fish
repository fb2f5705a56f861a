# Completion of the warpgate command for fish. Commands and options are read from its own --help, so
# that they are always those of the program that is installed.

function __warpgate_commands
    warpgate --help 2>/dev/null | sed -nE '/^  warpgate /d; s/^  ([a-z]+) .{0,20}  +(.*)$/\1\t\2/p'
end

function __warpgate_options
    set -l words (commandline -opc)
    warpgate $words[2] --help 2>/dev/null |
        sed -nE 's/^  (-[a-z], )?(--[a-z-]+)( [^ ]+)? +(.*)$/\2\t\4/p'
end

complete -c warpgate -n __fish_use_subcommand -f -a '(__warpgate_commands)'
complete -c warpgate -n 'not __fish_use_subcommand' -f -a '(__warpgate_options)'
complete -c warpgate -n 'not __fish_use_subcommand' -l config -r -F
complete -c warpgate -n 'not __fish_use_subcommand' -l data -r -a '(__fish_complete_directories)'
complete -c warpgate -n 'not __fish_use_subcommand' -l transport -x -a 'tcp udp any'
