"""Print what a shell needs to complete the words of `job`: its commands, their options, and the jobs and
sessions there are.

Examples:
  eval "$(job completions bash)"                                 in ~/.bashrc
  eval "$(job completions zsh)"                                  in ~/.zshrc, after compinit
  job completions fish > ~/.config/fish/completions/job.fish
"""

from console_automation.frontends.cli import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_BASH = r"""
_job() {
    local line kind=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
    done < <(command job complete bash -- "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS")
    case $kind in
        files) compopt -o default ;;
        directories) compopt -o dirnames ;;
        commands) while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -c -- "$2") ;;
    esac
} 2>/dev/null
complete -F _job job
"""

_ZSH = r"""
#compdef job
_job() {
    local -a answer described
    local line
    answer=("${(@f)$(command job complete zsh -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
    case $answer[1] in
        files) _files; return ;;
        directories) _files -/; return ;;
        commands) _command_names -e; return ;;
    esac
    for line in "${(@)answer[2,-1]}"; do
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    _describe -V job described
}
if [ "$funcstack[1]" = _job ]; then _job "$@"; else compdef _job job; fi
"""

_FISH = r"""
function __job_complete
    set -l answer (command job complete fish -- (commandline -opc) (commandline -ct) 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path (commandline -ct)
        case directories
            __fish_complete_directories (commandline -ct)
        case commands
            __fish_complete_command
    end
    printf '%s\n' $answer[2..]
end
complete -c job -f -a '(__job_complete)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def configure(parser: "ArgumentParser") -> None:
    """Say what `job completions` takes."""
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="for which shell")


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print the script."""
    streams.text(_SCRIPTS[given.shell].lstrip())
    return outcome.DONE
