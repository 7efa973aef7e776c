# What an integrated bash reads instead of ~/.bashrc (bash --rcfile), which it reads in turn.
#
# A command is typed between __console_begin and __console_end; the prompt hook ends what the shell has
# dropped on the way. Everything is defined before the user's files, so that no alias gets into it.

__console_id=
__console_status=0
__console_shown=$'\e]133;A;bash\a'
__console_report=${CONSOLE_AUTOMATION_REPORT-}
__console_first='{ __console_prompt && \:; } 2>/dev/null'
__console_last='{ __console_ready; } 3>&2 2>/dev/null'

# The terminal itself, because the user may have sent standard output and error elsewhere.
__console_mark() {
  \builtin printf '\033]133;%s\007' "$1" >| /dev/tty
}

# Under `set -a` whatever is assigned is exported; the id must not reach any child.
__console_keep() {
  __console_id=$1
  \builtin export -n __console_id __console_status
}

__console_begin() {
  __console_status=$?
  __console_keep "$1"
  __console_install
  __console_mark "C;$1"
  \builtin return "$__console_status"
}

__console_end() {
  __console_status=$?
  __console_install
  __console_finish
  \builtin return "$__console_status"
}

__console_finish() {
  if [[ ${__console_id-} ]]; then
    __console_tell
    __console_mark "D;$__console_status;$__console_id"
    __console_keep ''
  fi
}

# In a subshell: a limit of the user's on files, processes or descriptors ends the report and no more.
__console_tell() {
  if [[ $__console_report ]]; then
    (
      \builtin trap '' XFSZ
      { \builtin printf '%s\0' "$PWD"; \builtin command -p env -0; } >| "$__console_report"
    ) 2>/dev/null
  fi
}

# First of the prompt commands: sees the true status, and hands it on to the user's.
__console_prompt() {
  __console_status=$?
  __console_finish
  \builtin return "$__console_status"
}

# Last of the prompt commands: the user's may have made a new PS1. The mark stands in the prompt because
# that is written when the terminal is ready for typing, and in a variable because PS1 may be exported.
__console_ready() {
  \builtin local mark='\[\e]133;A;bash\a\]'
  if \builtin shopt -q promptvars; then mark='\[${__console_shown-}\]'; fi
  if [[ ${PS1-} != *"$mark"* ]] && \builtin printf -v PS1 %s "${PS1-}"; then PS1=$mark$PS1; fi
  if [[ ! -t 3 ]]; then __console_mark 'A;bash'; fi
}

# Put the hooks around the user's prompt commands, unless they are there. One that is readonly stays.
__console_install() {
  \builtin local each commands
  commands=()
  for each in ${PROMPT_COMMAND[@]+"${PROMPT_COMMAND[@]}"}; do
    if [[ ! $each ]]; then \builtin continue; fi
    commands+=("$each")
  done
  if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 501)); then __console_install_one; \builtin return; fi
  if ((${#commands[@]} > 1)) && [[ ${commands[0]} == "$__console_first" ]] &&
    [[ ${commands[${#commands[@]}-1]} == "$__console_last" ]]; then \builtin return; fi
  if ! \builtin unset -v PROMPT_COMMAND; then \builtin return; fi
  PROMPT_COMMAND=("$__console_first")
  for each in ${commands[@]+"${commands[@]}"}; do
    if [[ $each == "$__console_first" || $each == "$__console_last" ]]; then \builtin continue; fi
    each=${each//"$__console_first"/\\:}
    PROMPT_COMMAND+=("${each//"$__console_last"/\\:}")
  done
  PROMPT_COMMAND+=("$__console_last")
}

# Before 5.1 there is one prompt command, with lines.
__console_install_one() {
  \builtin local own=${PROMPT_COMMAND-}
  if [[ $own == "$__console_first"$'\n'*"$__console_last" ]]; then \builtin return; fi
  if ! \builtin unset -v PROMPT_COMMAND; then \builtin return; fi
  own=${own//"$__console_first"/\\:}
  own=${own//"$__console_last"/\\:}
  PROMPT_COMMAND=$__console_first$'\n'${own:+$own$'\n'}$__console_last
}

# The user's files: those of a login shell, the one that was asked for, or ~/.bashrc.
__console_files() {
  \builtin local each
  if [[ ${CONSOLE_AUTOMATION_LOGIN-} ]]; then
    for each in ~/.bash_profile ~/.bash_login ~/.profile; do
      if [[ -r $each ]]; then \builtin break; fi
    done
    __console_files=(/etc/profile "$each")
  elif [[ ${CONSOLE_AUTOMATION_RC+x} ]]; then
    __console_files=("$CONSOLE_AUTOMATION_RC")
  else
    __console_files=(~/.bashrc)
  fi
}

__console_files=()
__console_files
\builtin unset -v CONSOLE_AUTOMATION_REPORT CONSOLE_AUTOMATION_LOGIN CONSOLE_AUTOMATION_RC
\builtin unset -f __console_files
PS0='\e]133;C\a'${PS0-}
__console_install
for __console_file in "${__console_files[@]}"; do
  if [[ -f $__console_file && -r $__console_file ]]; then \builtin source "$__console_file"; fi
done
\builtin unset -v __console_file __console_files
{ __console_install; } 2>/dev/null
\:
