"""Make, list and revoke tokens for others than you: each is a principal with roles and scopes, who may
run the job definitions that let them, over HTTP, and see nothing but their own jobs.

A token is printed once; the state directory has only its hash. A revoked one is refused at once.

Examples:
  console-automation token add ci --role builder --scope deploy --expires 30d
  console-automation token list
  console-automation token revoke ci
"""

from pathlib import Path

from console_automation import paths
from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.adapters.tokens import Tokens
    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


#: Each command: what it does, and an example.
_COMMANDS = {
    "add": (
        "make a token for a new principal, and print it",
        "console-automation token add ci --role builder --scope deploy --expires 30d",
    ),
    "list": (
        "show the principals, without their tokens",
        "console-automation token list --json",
    ),
    "revoke": ("refuse a principal from now on", "console-automation token revoke ci"),
}


def configure(parser: "ArgumentParser") -> None:
    """Say what `console-automation token` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    of = {
        name: commands.add_parser(
            name,
            help=about,
            description=f"{about[0].upper()}{about[1:]}.",
            epilog=f"examples:\n  {example}",
        )
        for name, (about, example) in _COMMANDS.items()
    }
    add = of["add"].add_argument
    add("name", metavar="NAME", help="of the principal; it is in the audit")
    add("--role", action="append", default=[], help="what they are; may be repeated")
    add("--scope", action="append", default=[], help="what they may; may be repeated")
    add("--expires", type=arguments.duration, metavar="TIME", help="after 12h, 30d; default: never")
    of["add"].set_defaults(run=_add)
    arguments.take_json(of["list"])
    of["list"].set_defaults(run=_list)
    of["revoke"].add_argument("name", metavar="NAME", help="of the principal")
    of["revoke"].set_defaults(run=_revoke)


def _tokens() -> "Tokens":
    from console_automation.adapters.tokens import Tokens

    home = Path(paths.home())
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Tokens(home)


def _add(given: "Namespace", client: "Client", streams: "Streams") -> int:
    lifetime = None if given.expires is None else given.expires / 1000
    from console_automation.errors import BadRequest

    try:
        token = _tokens().add(given.name, roles=given.role, scopes=given.scope, lifetime=lifetime)
    except BadRequest as error:
        raise Failure(error.message, outcome.USAGE) from None
    streams.line(token)
    streams.remark("it is not shown again; send it as `Authorization: Bearer ...`")
    return outcome.DONE


def _list(given: "Namespace", client: "Client", streams: "Streams") -> int:
    principals = _tokens().all()
    if streams.json:
        streams.result({"success": True, "principals": principals})
        return outcome.DONE
    from console_automation.core.text import iso
    from console_automation.frontends.cli import tables

    rows = [
        [
            name,
            " ".join(each["roles"]),
            " ".join(each["scopes"]),
            iso(each["expires"]) if each["expires"] else "never",
        ]
        for name, each in principals.items()
    ]
    tables.table(streams, ["NAME", "ROLES", "SCOPES", "EXPIRES"], rows)
    return outcome.DONE


def _revoke(given: "Namespace", client: "Client", streams: "Streams") -> int:
    if not _tokens().revoke(given.name):
        raise Failure(f"there is no principal {given.name!r}", outcome.NOT_FOUND)
    streams.remark(f"{given.name} is refused from now on")
    return outcome.DONE
