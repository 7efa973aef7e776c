"""What the completions of the shells ask: the words so far, in the shell's own way, and what may come next.

The first line of the answer says what the shell is to complete by itself; then comes a candidate per line,
for zsh and fish with a tab and a word on it.
"""

import re
import signal

from console_automation.frontends.cli import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_SECONDS = 2.0  #: longer than that nobody waits for a Tab
#: A word, a quoted part of one, or blanks; a quote need not be closed yet.
_PIECE = re.compile(r"""'([^']*)'?|"((?:[^"\\]|\\.)*)"?|\\(.?)|([^\s'"\\]+)|(\s+)""", re.DOTALL)
_SPECIAL = re.compile(r"[^\w@%+=:,./-]")


def configure(parser: "ArgumentParser") -> None:
    """Say what the command takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def parse(parser: "ArgumentParser", words: list[str]) -> "Namespace":
    """Parse what is given: a shell, and behind -- words in which `--` means nothing to us."""
    given = parser.parse_args(words[:1])
    given.words = words[2:]
    return given


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print the candidates; nothing if anything is wrong."""
    from console_automation.frontends.cli import completing
    from console_automation.frontends.cli.program import JOB

    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        if given.shell == "bash":
            line, breaks = given.words
            words, begun, raw = split(line)
        else:
            *words, begun = given.words
        kind, found = completing.complete(JOB, words[1:], begun)
    except Exception:  # who presses Tab has not asked for an error
        return outcome.REFUSED
    streams.line(kind)
    for value, about in found:
        if given.shell == "bash":
            streams.line(_SPECIAL.sub(r"\\\g<0>", value)[_kept(raw, breaks) :])
        else:
            streams.line(f"{value}\t{about}")
    return outcome.DONE


def _give_up(number: int, frame: object) -> None:
    raise TimeoutError


def split(line: str) -> tuple[list[str], str, str]:
    """Return the words of a line of bash, the one that is begun at its end, and that one as typed."""
    words, word, raw = list[str](), "", ""
    for piece in _PIECE.finditer(line):
        if piece[5] is not None:
            if raw:
                words.append(word)
            word = raw = ""
        else:
            word += next(part for part in piece.groups()[:4] if part is not None)
            raw += piece[0]
    while words and re.match(r"\w+=", words[0]):  # variables before the command
        del words[0]
    return words, word, raw


def _kept(raw: str, breaks: str) -> int:
    """Return how many characters of a word bash leaves as they are: it completes what follows the last
    of its own word breaks."""
    return max(
        (raw.rfind(character) + 1 for character in breaks if not character.isspace()), default=0
    )
