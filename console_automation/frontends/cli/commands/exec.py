"""Run a defined job by its name and print its result as JSON.

Inputs are NAME=VALUE; a value is text where the definition says so, else JSON (5, true, [1, 2]).
What the job prints is in `job logs`. Exits with the job's exit code.

Examples:
  job exec greet name=World formal=true
  job exec import --input records.json       the whole input from a file; - is stdin
  job exec -b train epochs=100               in the background; prints the job's id
"""

import json
import os

from console_automation.frontends.cli import arguments, following, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_STEP_MS = 1_000


def configure(parser: "ArgumentParser") -> None:
    """Say what `job exec` takes."""
    add = parser.add_argument
    add("name", metavar="DEFINITION", help="which to run; see `job definitions`")
    add("inputs", nargs="*", type=arguments.pair, metavar="NAME=VALUE", help="what it is given")
    add("--input", metavar="FILE", help="take the input from a JSON file; - is stdin")
    add("-b", "--background", action="store_true", help="print the job's id and leave it alone")
    add("-k", "--key", help="start it once: the same key and input again return the first job")
    arguments.take_json(parser)


def parse(parser: "ArgumentParser", words: list[str]) -> "Namespace":
    """Parse a command line. Options may stand among the inputs."""
    return parser.parse_intermixed_args(words)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Start it and wait for its result."""
    asked = {
        "name": given.name,
        "input": _input(given, client),
        "background": True,
        "idempotencyKey": given.key or f"cli:{os.getpid()}:{os.urandom(12).hex()}",
    }
    started = client.call("console_execute_job", asked)
    job_id = started["jobId"]
    if given.background:
        if streams.json:
            streams.result(started)
        else:
            streams.line(job_id)
            streams.remark(f"{started['status']}; job wait {job_id}   job status {job_id}")
        return outcome.DONE
    over = _wait(client, streams, job_id)
    result = client.call("console_get_job_result", {"jobId": job_id})
    if streams.json:
        streams.result(result)
    elif over["status"] != "completed":
        streams.remark(following.line_of(over))
    elif "result" in result:
        streams.line(json.dumps(result["result"], indent=2))
    elif "error" in result:
        streams.remark(result["error"])
    return outcome.of_job(over)


def _input(given: "Namespace", client: "Client") -> "dict[str, Any]":
    whole: dict[str, Any] = {}
    if given.input is not None:
        try:
            with open(0 if given.input == "-" else given.input, encoding="utf-8") as file:
                whole = json.load(file)
        except ValueError as error:
            raise Failure(f"--input {given.input}: {error}", outcome.USAGE) from None
        if not isinstance(whole, dict):
            raise Failure(f"--input {given.input}: it is no JSON object", outcome.USAGE)
    if given.inputs:
        found = client.call("console_list_job_definitions", {"name": given.name})
        schema = found["definitions"][0]["inputSchema"]
        fields, kinds = schema.get("properties", {}), schema.get("$defs", {})
        whole |= {
            name: _value(text, _types(fields.get(name), kinds)) for name, text in given.inputs
        }
    return whole


def _types(schema: "Any", kinds: "Mapping[str, Any]") -> "set[str]":
    """Return the types that a schema takes, as far as it is plain; `kinds` are those it may refer to."""
    if not isinstance(schema, dict):
        return {"any"}
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        rest = {each: kinds[each] for each in kinds if each != name}  # so that it ends
        return _types(kinds.get(name), rest)
    if "anyOf" in schema:
        return {kind for each in schema["anyOf"] for kind in _types(each, kinds)}
    said = schema.get("type", "any")
    return set(said) if isinstance(said, list) else {said}


def _value(text: str, types: "set[str]") -> "Any":
    """Return an input as the definition wants it: text as it is, anything else as JSON."""
    if types == {"string"} or (types == {"string", "null"} and text != "null"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _wait(client: "Client", streams: "Streams", job_id: str) -> "dict[str, Any]":
    """Return the job when it is over; its progress is shown meanwhile."""
    from console_automation.operations.texts import progress

    asked = {"jobId": job_id, "waitMs": _STEP_MS if streams.is_watched else 45_000}
    try:
        while True:
            job: dict[str, Any] = client.call("console_get_job_status", asked)["job"]
            if following.is_over(job):
                streams.progress("")
                return job
            told = progress(job["progress"]) if "progress" in job else job["status"]
            streams.progress(f"{following.handle(job)}: {told}")
    except KeyboardInterrupt:
        following.detached(streams, [job_id])
        raise
