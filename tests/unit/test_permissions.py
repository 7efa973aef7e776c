"""Who may create what, and what the owner of a workflow is for its rules."""

from dataclasses import replace

import pytest

from console_automation.config import Settings, make
from console_automation.core.access import LOCAL, Action, Principal, Rule
from console_automation.core.definition import Caller
from console_automation.core.workflow import Registration, Step, Workflow
from console_automation.engine.permissions import Kind, Permissions
from console_automation.errors import AccessDenied, BadRequest
from tests.unit.test_workflows import Everybody

CI = Principal(name="ci", roles=frozenset({"builder"}), scopes=frozenset({"deploy"}))
CALLER = Caller(client="test", principal="owner", environment={}, cwd="/")


def may_create(kind: Kind, principal: Principal, **settings: str) -> bool:
    everybody = Everybody()
    permissions = Permissions(settings=Settings(**settings), principals=everybody, guards=everybody)
    try:
        permissions.check_create(kind, "new", principal)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("", False),
        ("*", True),
        ("role:builder", True),
        ("role:other", False),
        ("role:builder+scope:deploy", True),
        ("role:builder+scope:other", False),
        ("role:other+scope:deploy", False),
        ("role:other scope:deploy", True),
        ("role:deploy scope:builder", False),
    ],
)
def test_who_may_create_is_said_by_alternatives(rules: str, allowed: bool) -> None:
    asked = {
        Kind.DEFINITION: {"create_definitions": rules},
        Kind.WORKFLOW: {"create_workflows": rules},
        Kind.SCHEDULE: {"create_schedules": rules},
    }
    for kind, settings in asked.items():
        assert may_create(kind, CI, **settings) is allowed
        assert may_create(kind, LOCAL, **settings)


def test_unless_it_is_said_definitions_want_a_scope_and_the_rest_is_open() -> None:
    author = replace(CI, scopes=frozenset({"definitions:create"}))
    assert not may_create(Kind.DEFINITION, CI) and may_create(Kind.DEFINITION, author)
    assert may_create(Kind.WORKFLOW, CI) and may_create(Kind.SCHEDULE, CI)


@pytest.mark.parametrize(
    "rules", ["builder", "role:", "role:a+role:b", "scope:a+role:b", "role:a+", "**", "*+role:a"]
)
def test_a_rule_that_makes_no_sense_keeps_the_daemon_from_starting(rules: str) -> None:
    with pytest.raises(BadRequest, match=r"create_workflows: .* is not one of \*, role:NAME"):
        make({"create_workflows": f"role:fine {rules}"})


def registration(*rules: Rule, owner: str = "owner") -> Registration:
    workflow = Workflow(name="w", steps=(Step(id="a", job="j"),), permissions=rules)
    caller = replace(CALLER, principal=owner)
    return Registration(workflow=workflow, project="/", caller=caller, registered_at=0.0)


def allowed(kept: Registration, principal: Principal) -> set[str]:
    return {action.value for action in Action if kept.decide(principal, action) is True}


def test_a_workflow_is_its_owner_s_and_the_admins_and_nobody_else_s() -> None:
    every = {action.value for action in Action}
    assert allowed(registration(), Principal(name="owner")) == every
    assert allowed(registration(), LOCAL) == every
    assert allowed(registration(), CI) == set()


@pytest.mark.parametrize(
    ("rules", "actions"),
    [
        ((Rule(action=Action.EXECUTE),), {"execute", "read", "list"}),
        ((Rule(action=Action.UPDATE, roles=("builder",)),), {"update", "read", "list"}),
        ((Rule(action=Action.EXECUTE, roles=("other",)),), set()),
        ((Rule(action=Action.EXECUTE, guard="f.py:g"),), {"read", "list"}),
        (
            (Rule(action=Action.EXECUTE), Rule(action=Action.LIST, roles=("x",))),
            {"execute", "read"},
        ),
        ((Rule(action=Action.READ),), {"read", "list"}),
    ],
)
def test_who_is_let_do_something_may_see_what_they_do_it_with(
    rules: tuple[Rule, ...], actions: set[str]
) -> None:
    assert allowed(registration(*rules), CI) == actions


def test_a_workflow_without_an_owner_is_the_admins_alone_whatever_its_rules() -> None:
    kept = registration(*(Rule(action=action) for action in Action), owner="")
    assert allowed(kept, CI) == allowed(kept, Principal(name="")) == set()
    assert allowed(kept, LOCAL) == {action.value for action in Action}
