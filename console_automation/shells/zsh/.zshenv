# What an integrated zsh reads first, through ZDOTDIR, which is put back at once: zsh then reads the
# user's own files itself.
#
# A command is typed between __console_begin and __console_end; the prompt hook ends what the shell has
# dropped on the way.

if [[ -n ${CONSOLE_AUTOMATION_ZDOTDIR+x} ]]; then
  export ZDOTDIR=$CONSOLE_AUTOMATION_ZDOTDIR
else
  unset ZDOTDIR
fi
typeset -g __console_id='' __console_status=0 __console_line_init='' __console_sp=0
typeset -g __console_report=${CONSOLE_AUTOMATION_REPORT-}
if [[ -n ${CONSOLE_AUTOMATION_RC+x} ]]; then unsetopt rcs; fi
unset CONSOLE_AUTOMATION_ZDOTDIR CONSOLE_AUTOMATION_REPORT CONSOLE_AUTOMATION_RC

# The terminal itself, because the user may have sent standard output and error elsewhere.
__console_mark() {
  \builtin printf '\033]133;%s\007' "$1" >| /dev/tty
}

# With ALL_EXPORT whatever is assigned is exported; the id must not reach any child.
__console_keep() {
  __console_id=$1
  \builtin typeset -g +x __console_id __console_status
}

__console_begin() {
  __console_status=$?
  if [[ -o prompt_sp ]]; then __console_sp=1; else __console_sp=0; fi
  \builtin unsetopt prompt_sp
  __console_opened "$1"
  \builtin return $__console_status
}

__console_opened() {
  \builtin emulate -L zsh
  __console_keep "$1"
  __console_install
  __console_mark "C;$1"
}

__console_end() {
  __console_status=$?
  __console_closed
  __console_partial
  \builtin return $__console_status
}

__console_closed() {
  \builtin emulate -L zsh
  __console_install
  __console_finish
}

# What zsh shows behind an output without a newline comes before the prompt hook; it must not get into
# the output of a command that the hook has to end.
__console_partial() {
  if [[ ${__console_sp-} == 1 ]]; then \builtin setopt prompt_sp; fi
  __console_sp=0
}

__console_finish() {
  if [[ -n ${__console_id-} ]]; then
    __console_tell
    __console_mark "D;$__console_status;$__console_id"
    __console_keep ''
  fi
}

# In a subshell: a limit of the user's on files, processes or descriptors ends the report and no more.
__console_tell() {
  if [[ -n $__console_report ]]; then
    (
      \builtin trap '' XFSZ
      { \builtin printf '%s\0' "$PWD"; \builtin command -p env -0 } >| "$__console_report"
    ) 2>/dev/null
  fi
}

__console_precmd() {
  __console_status=$?
  {
    __console_prompt
    __console_partial
  } 2>/dev/null
}

__console_prompt() {
  \builtin emulate -L zsh
  __console_finish
  __console_attach
  if [[ ! -o zle ]]; then __console_mark 'A;zsh'; fi
}

# What was typed by hand; what was typed by us has a mark of its own.
__console_preexec() {
  {
    if [[ ${3-} != *__console_begin* ]]; then __console_mark C; fi
  } 2>/dev/null
}

# The line editor is ready for typing when it says so, and not before. The user's own widget is kept.
__console_attach() {
  \builtin zmodload -F zsh/zleparameter p:widgets || \builtin return 0
  \builtin local own=${widgets[zle-line-init]-}
  if [[ $own == user:__console_start ]]; then \builtin return 0; fi
  __console_line_init=''
  if [[ -n $own ]]; then
    \builtin zle -A zle-line-init __console_line_init
    __console_line_init=__console_line_init
  fi
  \builtin zle -N zle-line-init __console_start
}

__console_start() {
  if [[ -n $__console_line_init ]]; then \builtin zle $__console_line_init -- "$@"; fi
  if [[ $CONTEXT == start ]]; then { __console_mark 'A;zsh' } 2>/dev/null; fi
  \builtin return 0
}

__console_install() {
  \builtin typeset -ga precmd_functions preexec_functions
  if (( ! ${precmd_functions[(Ie)__console_precmd]} )); then
    precmd_functions=(__console_precmd "${(@)precmd_functions}")
  fi
  if (( ! ${preexec_functions[(Ie)__console_preexec]} )); then
    preexec_functions+=(__console_preexec)
  fi
}

# After the user's files and before the first prompt: they may have made new lists of hooks.
__console_late() {
  {
    \builtin emulate -L zsh
    if (( ! ${precmd_functions[(Ie)__console_precmd]} )); then __console_attach; fi
    __console_install
  } 2>/dev/null
}

if [[ -o interactive ]]; then
  __console_install
  zmodload zsh/sched 2>/dev/null && sched +00:00 __console_late
fi
if [[ -o rcs && -r ${ZDOTDIR:-$HOME}/.zshenv ]]; then source "${ZDOTDIR:-$HOME}/.zshenv"; fi
:
