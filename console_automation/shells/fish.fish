# What an integrated fish reads after the user's own files (fish --init-command).
#
# A command is typed between __console_begin and __console_end; the prompt's event ends what the shell
# has dropped on the way.

set -g __console_id ''
set -g __console_text ''
set -g __console_report ''
if set -q CONSOLE_AUTOMATION_REPORT
    set -g __console_report $CONSOLE_AUTOMATION_REPORT
end
set -e CONSOLE_AUTOMATION_REPORT

# The terminal itself, because the user may have sent standard output elsewhere.
function __console_mark
    builtin printf '\e]133;%s\a' $argv[1] >/dev/tty 2>/dev/null
end

# begin <id> <status before> <the command's text>
function __console_begin
    set -g __console_id $argv[1]
    set -g __console_text $argv[3]
    __console_mark "C;$argv[1]"
    return $argv[2]
end

function __console_end
    set -l last $status
    __console_finish $last
    return $last
end

function __console_finish
    if test -n "$__console_id"
        __console_tell
        __console_mark "D;$argv[1];$__console_id"
        set -g __console_id ''
    end
end

function __console_tell
    if test -n "$__console_report"
        begin
            builtin printf '%s\0' $PWD | command cat
            command env -0
        end >$__console_report 2>/dev/null
    end
end

function __console_prompt --on-event fish_prompt
    set -l last $status
    __console_finish $last
    __console_mark 'A;fish'
    return $last
end

# An interrupt clears the line and shows no new prompt.
function __console_cleared --on-event fish_cancel
    __console_mark 'A;fish'
end

# What was typed by hand; what was typed by us has a mark of its own.
function __console_typed --on-event fish_preexec
    if not string match -q '*__console_begin*' -- "$argv[1]"
        __console_mark C
    end
end
