"""What the manager asks of the API server, read from its source: (API group, resource, verb).

Every use of a resource's constant (PODS, MODELS, ...) is either a call that is understood here or one that only names
the kind; anything else is an error, so that no new way to call the server goes unseen.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from kubeai.api.k8s import resources
from kubeai.api.k8s.resources import PODS, Resource

SOURCE = Path(resources.__file__).parents[2]
#: Rooms of the house that run in the manager and speak with the API server.
ROOMS = ("access", "controller", "gateway", "inference", "kube", "planning", "routing", "scaling")
FILES = ("app/run.py", "app/wiring.py")

Permission = tuple[str, str, str]

#: Methods of the client, the planner's actions, and the informer -> verbs.
VERBS: dict[str, tuple[str, ...]] = {
    "get": ("get",),
    "list": ("list",),
    "create": ("create",),
    "replace": ("update",),
    "patch": ("patch",),
    "delete": ("delete",),
    "Create": ("create",),
    "Patch": ("patch",),
    "Delete": ("delete",),
    "Delete.of": ("delete",),
    "Informer": ("list", "watch"),
    # The lease writes by whichever of two methods fits.
    "write": ("create", "update"),
    # Patch's own constructor for Models.
    "cls": ("patch",),
}
#: Attributes that only name the kind.
NAMING = frozenset(("api_version", "kind", "plural", "group_plural"))
CONSTANTS: dict[str, Resource] = {name: value for name, value in vars(resources).items() if isinstance(value, Resource)}


def permissions(*parts: str) -> set[Permission]:
    """What these rooms and files need; all of them if none is named."""
    found = [SOURCE / part for part in parts or (*ROOMS, *FILES)]
    files = [path for part in found for path in ([part] if part.is_file() else part.rglob("*.py"))]
    return {permission for path in files for permission in _of_file(path)}


def _of_file(path: Path) -> Iterator[Permission]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    understood: set[ast.expr] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node, understood)
        elif isinstance(node, ast.Attribute) and node.attr in NAMING:
            understood.add(node.value)
        elif isinstance(node, ast.Return) and node.value is not None:
            understood.add(node.value)  # an action names the kind that it is about; who carries it out calls
        elif isinstance(node, ast.Compare):
            understood |= {node.left, *node.comparators}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in CONSTANTS and node not in understood:
            raise AssertionError(f"{path.relative_to(SOURCE)}:{node.lineno}: this use of {node.id} is not understood")


def _of_call(call: ast.Call, understood: set[ast.expr]) -> Iterator[Permission]:
    name = _name(call.func)
    if name == "logs":
        yield (PODS.group, "pods/log", "get")
    if name == "exec":
        yield (PODS.group, "pods/exec", "get")
        yield (PODS.group, "pods/exec", "create")  # a websocket needs it, too, from Kubernetes 1.35 on
    if name == "_path":  # the client's own, for a Pod's log
        understood |= set(call.args)
    for argument in call.args:
        if isinstance(argument, ast.Name) and argument.id in CONSTANTS and name in VERBS:
            understood.add(argument)
            resource = CONSTANTS[argument.id]
            for verb in VERBS[name]:
                yield (resource.group, resource.plural + _subresource(call), verb)


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute(value=ast.Name(id="Delete"), attr="of"):
            return "Delete.of"
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Subscript(value=ast.Name(id=name)):
            return name
    return ""


def _subresource(call: ast.Call) -> str:
    for keyword in call.keywords:
        if keyword.arg == "subresource" and isinstance(keyword.value, ast.Constant):
            return f"/{ast.literal_eval(keyword.value)}"
    return ""
