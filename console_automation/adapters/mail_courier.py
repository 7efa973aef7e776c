"""The Courier for e-mail: one mail to one address, handed to the SMTP server of the settings."""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP

from console_automation.adapters.threads import in_thread
from console_automation.core.messages import Message
from console_automation.errors import BadRequest, Unavailable

_AT_ONCE = 4  #: connections; each has a thread, which a server that is slow may hold up for long


class MailCourier:
    """Sends mails, each over a connection of its own, a few at once."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        user: str,
        password: str,
        sender: str,
        tls: str,
        timeout: float,
    ) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._password = password
        self._sender = sender
        self._tls = tls  #: "starttls", "tls" or "none"
        self._timeout = timeout  #: seconds that the server may be silent
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def deliver(self, message: Message) -> None:
        """Hand the mail over when it is its turn; the server has taken it when this returns."""
        if not self._host or not self._sender:
            raise Unavailable("e-mail needs the settings smtp_host and smtp_from")
        try:
            mail = self._mail(message)
        except ValueError as error:
            raise BadRequest(f"that cannot be a mail: {error}") from None
        try:
            await in_thread(lambda: self._send(mail), self._places)
        except smtplib.SMTPAuthenticationError as error:
            # Without its words: a server may repeat what it was given.
            raise Unavailable(f"{self._host} refused the login with {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            code = max(code for code, _ in error.recipients.values())
            kind = BadRequest if code >= 500 else Unavailable
            raise kind(f"{self._host} refused the recipient with {code}") from None
        except smtplib.SMTPResponseException as error:
            raise Unavailable(f"{self._host} answered with {error.smtp_code}") from None
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._host}:{self._port} cannot be used: {error}") from None

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage(policy=SMTP)  # which refuses a header with a line break in it
        mail["From"] = self._sender
        mail["To"] = message.target
        mail["Subject"] = message.subject
        mail["Message-ID"] = f"<{message.id}@{self._sender.rpartition('@')[2].strip('<> ')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail["Console-Automation-Notification"] = message.id
        mail.set_content(f"{message.subject}\n\n{message.body}\n")
        return mail

    def _send(self, mail: EmailMessage) -> None:
        trust = None if self._tls == "none" else ssl.create_default_context()
        with self._connected(trust) as server:
            if self._tls == "starttls":
                server.starttls(context=trust)
            if self._user:
                server.login(self._user, self._password)
            server.send_message(mail)

    def _connected(self, trust: ssl.SSLContext | None) -> smtplib.SMTP:
        if self._tls == "tls":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout, context=trust)
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout)
