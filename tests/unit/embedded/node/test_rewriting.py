"""Mount paths and addresses in a container's arguments and environment."""

from __future__ import annotations

import pytest

from kubeai.embedded.node.rewriting import Address, Rewriting

PATHS = {"/model": "/data/pods/u/volumes/model", "/model/adapters": "/data/adapters", "/dev/shm": "/elsewhere"}
OWN = Rewriting(Address("127.70.1.2"), PATHS, frozenset({8000}))
#: where a Pod has no address of its own
MOVED = Rewriting(Address("127.0.0.1", {8000: 41000}), {}, frozenset({8000}))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("/model", "/data/pods/u/volumes/model", id="a mount itself"),
        pytest.param("--model=/model/a.gguf", "--model=/data/pods/u/volumes/model/a.gguf", id="a path in a flag"),
        pytest.param("/model/adapters/x", "/data/adapters/x", id="the longest mount wins"),
        pytest.param("/model:/model/adapters", "/data/pods/u/volumes/model:/data/adapters", id="a list of paths"),
        pytest.param("/models/a", "/models/a", id="another directory with the same beginning"),
        pytest.param("/model-b/a", "/model-b/a", id="another directory with a longer name"),
        pytest.param("https://host/model", "https://host/model", id="the path of a url"),
        pytest.param("hf://org/model", "hf://org/model", id="a model's url"),
        pytest.param("org/model", "org/model", id="a model's name"),
        pytest.param("/srv/model", "/srv/model", id="the end of another path"),
        pytest.param("/dev/shm/x", "/dev/shm/x", id="shared memory is shared memory"),
        pytest.param("--host=0.0.0.0", "--host=127.70.1.2", id="every address is the Pod's"),
        pytest.param("0.0.0.0:8000", "127.70.1.2:8000", id="with a port"),
        pytest.param("10.0.0.0/8", "10.0.0.0/8", id="an address that only looks like it"),
        pytest.param("http://localhost:8000/x", "http://127.70.1.2:8000/x", id="localhost is the Pod"),
        pytest.param("http://127.0.0.1:8000", "http://127.70.1.2:8000", id="so is 127.0.0.1"),
        pytest.param("http://localhost:9999", "http://localhost:9999", id="a port of somebody else on this machine"),
    ],
)
def test_a_text_is_mapped_to_this_machine(before: str, after: str) -> None:
    assert OWN.text(before) == after


def test_a_moved_path_is_not_moved_again() -> None:
    rewriting = Rewriting(Address("h"), {"/a": "/b", "/b": "/c"})
    assert rewriting.text("/a /b") == "/b /c"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param(["--port=8000"], ("--port=41000",), id="in one word"),
        pytest.param(["--port", "8000"], ("--port", "41000"), id="in two words"),
        pytest.param(["--ctx-size", "8000"], ("--ctx-size", "8000"), id="a number that is no port"),
        pytest.param(["--bind=0.0.0.0:8000"], ("--bind=127.0.0.1:41000",), id="in an address"),
    ],
)
def test_a_port_moves_where_the_pod_cannot_keep_its_own(args: list[str], expected: tuple[str, ...]) -> None:
    assert MOVED.args(args) == expected


def test_ports_in_variables_move_too() -> None:
    before = {"INFINITY_PORT": "8000", "OLLAMA_HOST": "0.0.0.0:8000", "WORKERS": "8000"}
    after = {"INFINITY_PORT": "41000", "OLLAMA_HOST": "127.0.0.1:41000", "WORKERS": "8000"}
    assert MOVED.env(before) == after
