"""Who may do what: roles, scopes, alternatives, guards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.access import LOCAL, Action, Principal, Rule, decide

E, R = Action.EXECUTE, Action.READ
CI = Principal(name="ci", roles=frozenset({"builder"}), scopes=frozenset({"deploy", "read"}))


@pytest.mark.parametrize(
    ("rules", "decision"),
    [
        ((), True),
        ((Rule(action=R, roles=("nobody",)),), True),
        ((Rule(action=E),), True),
        ((Rule(action=E, roles=("x", "builder")),), True),
        ((Rule(action=E, roles=("x",)),), False),
        ((Rule(action=E, scopes=("x", "deploy")),), True),
        ((Rule(action=E, roles=("builder",), scopes=("x",)),), False),
        ((Rule(action=E, roles=("x",), scopes=("deploy",)),), False),
        ((Rule(action=E, roles=("builder",), scopes=("read",)),), True),
        ((Rule(action=E, roles=("x",)), Rule(action=E, scopes=("read",))), True),
        ((Rule(action=E, guard="a.py:f"),), ("a.py:f",)),
        ((Rule(action=E, roles=("x",), guard="a.py:f"),), False),
        ((Rule(action=E, guard="f"), Rule(action=E, roles=("x",), guard="g")), ("f",)),
        ((Rule(action=E, guard="f"), Rule(action=E, scopes=("read",))), True),
    ],
)
def test_a_rules_roles_are_alternatives_and_roles_and_scopes_must_both_hold(
    rules: tuple[Rule, ...], decision: object
) -> None:
    assert decide(rules, CI, E) == decision
    assert decide(rules, LOCAL, E) is True


_WORDS = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
_RULES = st.lists(
    st.builds(Rule, action=st.sampled_from(Action), roles=_WORDS, scopes=_WORDS), max_size=4
)


@given(_RULES, st.frozensets(st.sampled_from("abc")), st.frozensets(st.sampled_from("abc")))
def test_more_roles_and_scopes_never_allow_less(
    rules: list[Rule], roles: frozenset[str], scopes: frozenset[str]
) -> None:
    some = Principal(name="p", roles=roles, scopes=scopes)
    more = Principal(name="p", roles=roles | {"a"}, scopes=scopes | {"b"})
    for action in Action:
        assert not decide(rules, some, action) or decide(rules, more, action)


def test_what_has_no_owner_is_the_admins_alone() -> None:
    assert LOCAL.owns("") and LOCAL.owns("ci") and CI.owns("ci")
    assert not CI.owns("") and not CI.owns("local")
    assert not Principal(name="").owns("")
