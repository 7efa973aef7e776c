"""From whom a request wants told of an end to what the engine takes."""

from collections.abc import Sequence

from console_automation.config import Settings
from console_automation.core.notify import ANY_END, Channel, Notify
from console_automation.core.webhooks import is_private_host, parse_webhook
from console_automation.errors import BadRequest
from console_automation.operations import requests as ask


def notified(
    settings: Settings, asked: Sequence[ask.Notify], *, field: str = "options.notify"
) -> tuple[Notify, ...]:
    """Return who is to be told. Raises BadRequest for who never can be, as far as that is plain now."""
    return tuple(_notify(settings, each, f"{field}.{number}") for number, each in enumerate(asked))


def _notify(settings: Settings, asked: ask.Notify, field: str) -> Notify:
    on = ANY_END if asked.on is None else frozenset(asked.on)
    if asked.webhook is not None:
        _check_webhook(settings, asked.webhook, f"{field}.webhook")
        return Notify(channel=Channel.WEBHOOK, target=asked.webhook, on=on)
    if asked.email is not None:
        _check_email(settings, f"{field}.email")
        return Notify(channel=Channel.EMAIL, target=asked.email, on=on)
    assert asked.command is not None
    return Notify(channel=Channel.COMMAND, target=asked.command, on=on)


def _check_webhook(settings: Settings, url: str, field: str) -> None:
    host = parse_webhook(url).host
    if is_private_host(host) and not settings.webhook_allow_private:
        raise BadRequest(
            f"{field}: {host} is not a public address. Name another host, or set"
            " webhook_allow_private in the settings if that is meant.",
            field=field,
        )


def _check_email(settings: Settings, field: str) -> None:
    missing = [name for name in ("smtp_host", "smtp_from") if not getattr(settings, name)]
    if missing:
        raise BadRequest(
            f"{field}: no mail can be sent without the setting {' and '.join(missing)}. Set it, or use"
            " webhook or command.",
            field=field,
        )
