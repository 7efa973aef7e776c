"""Who may do what: principals, and the rules that job definitions and workflows have about them.

The local user (Unix socket, command line, library) is `LOCAL` and may do everything. Others come with
a token over HTTP; what each may do is decided by roles and scopes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

ADMIN = "admin"
#: Scopes that let a principal see its jobs over the HTTP API, and make, end, retry and remove them.
JOB_READ = "job:read"
JOB_WRITE = "job:write"
Decision = bool | tuple[str, ...]  #: yes, no, or whom to ask


class Action(StrEnum):
    """What a rule is about: of a job definition, or of a workflow."""

    CREATE = "create"  #: make one of a new name, which a setting has the rules for
    READ = "read"  #: see that it exists, and what it takes
    UPDATE = "update"  #: replace it
    DELETE = "delete"  #: remove it
    EXECUTE = "execute"  #: run it
    LIST = "list"  #: see it in listings


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody who asks."""

    name: str
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()

    @property
    def is_admin(self) -> bool:
        return ADMIN in self.roles

    def owns(self, owner: str) -> bool:
        """Whether what has this owner is theirs to see; what has none is the admins' alone."""
        return self.is_admin or (owner != "" and owner == self.name)


LOCAL = Principal(name="local", roles=frozenset({ADMIN}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who may do one thing. One of the roles and one of the scopes has to be there, where it names any;
    then the guard, `FILE.py:FUNCTION`, has to agree where there is one."""

    action: Action
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    guard: str | None = None

    def fits(self, principal: Principal) -> bool:
        """Whether roles and scopes are there; its guard has not been asked."""
        has_role = not self.roles or not principal.roles.isdisjoint(self.roles)
        has_scope = not self.scopes or not principal.scopes.isdisjoint(self.scopes)
        return has_role and has_scope


def decide(
    rules: Iterable[Rule], principal: Principal, action: Action, *, unsaid: bool = True
) -> Decision:
    """Return whether a principal may do something, or the guards of which one has to agree.

    Rules for one action are alternatives. What no rule is about is open to whoever has been let in,
    unless `unsaid` closes it.
    """
    about = [rule for rule in rules if rule.action is action]
    if principal.is_admin or not about:
        return principal.is_admin or unsaid
    fitting = [rule for rule in about if rule.fits(principal)]
    if any(rule.guard is None for rule in fitting):
        return True
    return tuple(rule.guard for rule in fitting if rule.guard is not None) or False
