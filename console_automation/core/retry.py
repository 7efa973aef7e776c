"""When a failed attempt is followed by another, and after how long."""

from dataclasses import dataclass, replace
from zlib import crc32

_CRC_RANGE = 1 << 32

#: The reasons retried unless the client names others: of `lost` and `reboot` nobody knows what the
#: attempt has already done, so repeating it is the client's decision.
RETRIED_BY_DEFAULT = frozenset({"exit_code", "signal", "timeout", "idle_timeout"})
NOT_KNOWN = frozenset({"lost", "reboot"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off: the pause before attempt n+1 is `backoff * multiplier ** (n - 1)`.

    With `jitter` up to that share of it is taken off, so that what failed together does not come back
    together.
    """

    max_attempts: int = 1
    backoff: float = 1.0
    multiplier: float = 2.0
    max_backoff: float = 60.0
    jitter: float = 0.0
    on: frozenset[str] = RETRIED_BY_DEFAULT

    def wants_another(self, attempt: int, reason: str) -> bool:
        """Whether attempt number `attempt` (from 1), ended for `reason`, is to be repeated."""
        return attempt < self.max_attempts and reason in self.on

    def if_not_known(self) -> "RetryPolicy":
        """Return what it says about attempts of which nobody knows what they have done."""
        on = self.on & NOT_KNOWN
        return replace(self, on=on) if on else RetryPolicy()

    def pause(self, attempt: int, job_id: str) -> float:
        """Seconds to wait after attempt number `attempt` (from 1) of a job.

        The jitter comes of the job's id: the same after a restart, another for every job.
        """
        try:
            pause = min(self.max_backoff, self.backoff * self.multiplier ** (attempt - 1))
        except OverflowError:
            pause = self.max_backoff
        return pause * (1 - self.jitter * crc32(f"{job_id}.{attempt}".encode()) / _CRC_RANGE)
