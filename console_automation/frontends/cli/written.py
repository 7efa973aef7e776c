"""Files that are put into other programs' directories: written once, told from what somebody has edited.

The last line says which command wrote the file and holds a checksum of the rest. So what is unchanged
can be replaced or removed, also by a later version, and anything else is let be.
"""

import os
import re
import zlib

from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from console_automation.frontends.cli.streams import Streams

_SEAL = re.compile(rb"[^\n]*written by `job [a-z ]+`; checksum ([0-9a-f]{8})[^\n]*\n\Z")


def sealed(text: str, command: str, comment: str) -> str:
    """Return a text with its last line; `comment` is a line of comment in its language, with one `%s`."""
    checksum = zlib.crc32(encoded(text))
    return text + comment % f"written by `{command}`; checksum {checksum:08x}" + "\n"


def encoded(text: str) -> bytes:
    """Return a text as it stands in the file; a path in it may be no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def write(streams: "Streams", path: str, content: str) -> None:
    """Write a sealed text to its place, and say so; nothing is done if it is there already.

    Raises Failure for a file that is not ours, or was edited, and OSError.
    """
    found = _read(path)
    if found == encoded(content):
        streams.line(f"unchanged: {path}")
        return
    if found is not None and not _is_untouched(found):
        raise Failure(
            f"{path} is there, and is not ours or was edited: move it away and try again; nothing was"
            " changed in it"
        )
    os.makedirs(os.path.dirname(path), exist_ok=True)
    beside = f"{path}.{os.getpid()}"
    with open(beside, "wb") as file:
        file.write(encoded(content))
    os.replace(beside, path)
    streams.line(f"{'written' if found is None else 'replaced'}: {path}")


def remove(streams: "Streams", path: str) -> bool:
    """Remove a file that was written by `write`, and say so; returns whether it was there.

    Raises Failure for a file that is not ours, or was edited, and OSError.
    """
    found = _read(path)
    if found is None:
        streams.line(f"not there: {path}")
        return False
    if not _is_untouched(found):
        raise Failure(f"{path} is not ours or was edited; remove it yourself: rm {path}")
    os.unlink(path)
    streams.line(f"removed: {path}")
    return True


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _is_untouched(content: bytes) -> bool:
    seal = _SEAL.search(content)
    return seal is not None and zlib.crc32(content[: seal.start()]) == int(seal[1], 16)
