"""When a failed attempt is followed by another, and after how long."""

from dataclasses import dataclass

#: The reasons retried unless the client names others: of `lost` and `reboot` nobody knows what the
#: attempt has already done, so repeating it is the client's decision.
RETRIED_BY_DEFAULT = frozenset({"exit_code", "signal", "timeout", "idle_timeout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential back-off: the pause before attempt n+1 is `backoff * multiplier ** (n - 1)`."""

    max_attempts: int = 1
    backoff: float = 1.0
    multiplier: float = 2.0
    max_backoff: float = 60.0
    on: frozenset[str] = RETRIED_BY_DEFAULT

    def wants_another(self, attempt: int, reason: str) -> bool:
        """Whether attempt number `attempt` (from 1), ended for `reason`, is to be repeated."""
        return attempt < self.max_attempts and reason in self.on

    def pause(self, attempt: int) -> float:
        """Seconds to wait after attempt number `attempt` (from 1)."""
        try:
            return min(self.max_backoff, self.backoff * self.multiplier ** (attempt - 1))
        except OverflowError:
            return self.max_backoff
