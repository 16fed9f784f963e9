"""What all verbs have in common: help, errors, finding the cluster, starting quickly."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kubeai.cli.errors import BUG, EXPECTED, CLIError, explain

from .conftest import CommandLine, LocalCluster

#: What takes long to import; the verbs that need it import it when they run.
HEAVY = ("aiohttp", "asyncio", "pydantic_core", "yaml", "msgspec", "rich", "uvloop", "kubeai.embedded", "kubeai.kube")
VERBS = ["up", "manager", "operator", "gateway", "apply", "get", "describe", "scale", "delete", "logs"]
VERBS += ["chat", "embed", "validate", "render", "crd", "load", "version", "engines", "keys", "usage"]


def python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=60, env=os.environ
    ).stdout


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom kubeai.cli.main import app\n"
        "for words in (['--help'], ['version']):\n    app(words, standalone_mode=False)\n"
        "print('LOADED', *sys.modules)"
    )
    loaded = set(python("-c", code).rpartition("LOADED")[2].split())
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_unless_it_is_plain(kubeai: CommandLine, verb: str) -> None:
    text = kubeai(verb, "--help").out
    assert text.startswith("Usage: kubeai " + verb)
    assert "Example" in text or verb in ("version", "engines", "keys")


def test_help_lists_every_verb(kubeai: CommandLine) -> None:
    listed = re.findall(r"^  (\w+)  ", kubeai("--help").out.partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(VERBS)


def test_an_unknown_verb_is_a_usage_error(kubeai: CommandLine) -> None:
    done = kubeai("gett")
    assert (done.code, "No such command 'gett'" in done.err) == (2, True)


def test_the_expected_errors_exist() -> None:
    for name in EXPECTED:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), kind), Exception), name


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(CLIError("what to do"), "what to do", id="ours"),
        pytest.param(OSError(2, "No such file", "a.yaml"), "a.yaml: No such file", id="the system's, with a file"),
        pytest.param(KeyError("x"), f"KeyError: 'x'\n{BUG}", id="a bug"),
        pytest.param(ExceptionGroup("g", [CLIError("a"), CLIError("b"), CLIError("a")]), "a\nb", id="several"),
    ],
)
def test_errors_are_explained(error: Exception, text: str) -> None:
    assert explain(error) == text


def test_debug_shows_the_traceback(kubeai: CommandLine) -> None:
    with pytest.raises(CLIError):
        kubeai("--debug", "get")


def test_without_a_cluster_it_is_said_how_to_get_one(kubeai: CommandLine) -> None:
    done = kubeai("get")
    assert done.code == 1
    assert done.err == (
        "error: no cluster found: start one with `kubeai up`, or name one with --kubeconfig or KUBECONFIG\n"
    )


def test_a_running_instance_is_found_by_its_data_directory(kubeai: CommandLine, cluster: LocalCluster) -> None:
    del kubeai.env["KUBECONFIG"]
    assert kubeai("get", "--data-dir", kubeai.data_dir).code == 0
    assert kubeai("get").code == 1, "nobody holds the lock: it does not run"
    (kubeai.data_dir / "lock").write_text(str(os.getpid()))
    assert kubeai("get").code == 0


def test_a_namespace_can_be_named(kubeai: CommandLine, cluster: LocalCluster) -> None:
    assert kubeai("get", "-n", "kube-system").err == "there are no models in namespace kube-system\n"


def test_a_cluster_that_does_not_answer_is_named_without_its_token(kubeai: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
        "clusters: [{name: c, cluster: {server: 'http://kubeai:secret@127.0.0.1:1'}}]\n"
    )
    done = kubeai("get", "--kubeconfig", path)
    assert done.code == 1
    assert done.err.startswith("error: no answer from the API server http://127.0.0.1:1 (Connection refused)\nIs `")
    assert "secret" not in done.err


def test_wrong_credentials_are_said(kubeai: CommandLine, cluster: LocalCluster) -> None:
    path = kubeai.data_dir / "kubeconfig"
    path.write_text(path.read_text().replace("the-token", "another"))
    assert "does not accept the kubeconfig's credentials" in kubeai("get").err


def test_names_of_models_are_completed(kubeai: CommandLine, cluster: LocalCluster) -> None:
    from kubeai.api.k8s.resources import MODELS

    from .test_objects import model

    cluster.put(MODELS, model("small"))
    cluster.put(MODELS, model("large"))
    kubeai.env |= {"_KUBEAI_COMPLETE": "complete_bash", "COMP_WORDS": "kubeai chat sm", "COMP_CWORD": "2"}
    assert kubeai().out.split() == ["small"]


def test_completion_without_a_cluster_is_silent(kubeai: CommandLine) -> None:
    kubeai.env |= {"_KUBEAI_COMPLETE": "complete_bash", "COMP_WORDS": "kubeai chat sm", "COMP_CWORD": "2"}
    done = kubeai()
    assert (done.code, done.out.strip(), done.err) == (0, "", "")
