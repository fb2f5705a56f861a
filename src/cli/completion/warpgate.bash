# Completion of the warpgate command for bash. Commands and options are read from its own --help, so
# that they are always those of the program that is installed.

_warpgate_options() { # of a command
  "${COMP_WORDS[0]}" "$1" --help 2>/dev/null |
    sed -nE 's/^  (-[a-z], )?(--[a-z-]+).*/\2/p'
}

_warpgate() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2>/dev/null |
      sed -nE '/^  warpgate /d; s/^  ([a-z]+) .{0,20}  +.*/\1/p') --help --version" -- "$word")
    return
  fi
  case $previous in
    --config) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    --data | --plugin-dir) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    --exec) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
    --transport) mapfile -t COMPREPLY < <(compgen -W 'tcp udp any' -- "$word") ;;
    *)
      if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_warpgate_options "${COMP_WORDS[1]}")" -- "$word")
      fi
      ;;
  esac
}

complete -o filenames -F _warpgate warpgate
