# What an integrated POSIX shell reads through ENV; the user's own ENV is put back and read in turn.
#
# A command is typed between __console_begin and __console_end; the prompt ends what the shell has
# dropped on the way. Nothing here goes beyond POSIX: dash, busybox, ksh and bash as sh read it.

__console_id=
__console_text=
__console_status=0
__console_open=0
__console_none=
__console_report=${CONSOLE_AUTOMATION_REPORT-}

# Expanded for every prompt: a substitution sees the status and hands it on, but cannot set a variable;
# the arithmetic behind it can, and shows nothing because it is cut from an empty value.
__console_ps1='$( { __console_prompt "$?"; } 2>/dev/null)${__console_none#$((__console_open=0))}'

# The terminal itself, because the user may have sent standard output and error elsewhere.
__console_mark() {
  \command printf '\033]133;%s\007' "$1" >| /dev/tty
}

# Under `set -a` whatever is assigned is exported; neither id nor text may reach any child.
__console_keep() {
  case $- in
    *a*) set +a; __console_id=$1 __console_text=$2; set -a ;;
    *) __console_id=$1 __console_text=$2 ;;
  esac
}

# begin <id> <status before> <the command's text>
__console_begin() {
  __console_status=$2
  __console_keep "$1" "$3"
  __console_open=1
  __console_install
  __console_mark "C;$1" || :
  return "$__console_status"
}

__console_end() {
  __console_status=$?
  __console_install
  __console_finish
  __console_open=0
  __console_keep '' ''
  return "$__console_status"
}

__console_finish() {
  if [ "$__console_open" = 1 ]; then
    __console_tell || :
    __console_mark "D;$__console_status;$__console_id" || :
  fi
}

# In a subshell: a limit of the user's on files, processes or descriptors ends the report and no more.
__console_tell() {
  if [ -n "$__console_report" ]; then
    (
      \command trap '' XFSZ
      { \command printf '%s\0' "$PWD"; \command -p env -0; } >| "$__console_report"
    ) 2>/dev/null
  fi
}

# Runs in a substitution of PS1.
__console_prompt() {
  __console_status=$1
  __console_finish
  __console_mark 'A;sh' || :
  return "$__console_status"
}

__console_install() {
  case ${PS1-} in
    *"$__console_ps1"*) ;;
    *) PS1=$__console_ps1${PS1-} ;;
  esac
}

if [ -n "${CONSOLE_AUTOMATION_ENV+x}" ]; then
  ENV=$CONSOLE_AUTOMATION_ENV
  export ENV
else
  unset ENV
fi
__console_login=${CONSOLE_AUTOMATION_LOGIN-}
unset CONSOLE_AUTOMATION_ENV CONSOLE_AUTOMATION_LOGIN CONSOLE_AUTOMATION_REPORT
__console_install
if [ -n "$__console_login" ]; then
  for __console_file in /etc/profile ~/.profile; do
    if [ -r "$__console_file" ]; then . "$__console_file"; fi
  done
fi
if [ -n "${ENV-}" ]; then
  eval "__console_file=\"$ENV\""
  if [ -r "$__console_file" ]; then . "$__console_file"; fi
fi
unset __console_login __console_file
__console_install
