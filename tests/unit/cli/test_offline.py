"""Verbs that need nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from kubeai import __version__

from .conftest import CommandLine

EXAMPLES = Path(__file__).parents[3] / "examples"
GOOD = """\
apiVersion: kubeai.org/v1
kind: Model
metadata:
  name: good
spec:
  url: hf://org/name
  engine: VLLM
  features: [TextGeneration]
"""


def manifest(tmp_path: Path, text: str, name: str = "model.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_version(kubeai: CommandLine) -> None:
    assert kubeai("version").out == f"kubeai {__version__}\n"


def test_crd_is_the_definition_of_models(kubeai: CommandLine) -> None:
    assert yaml.safe_load(kubeai("crd").out)["metadata"]["name"] == "models.kubeai.org"


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_every_example_is_valid_and_can_be_rendered(kubeai: CommandLine, path: Path) -> None:
    assert kubeai("validate", path).out == "1 Model checked, 0 faults\n"
    assert kubeai("render", "--local", path).code == 0


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        pytest.param(("engine: VLLM", "engine: VLM"), 7, "spec.engine: must be one of", id="a value that is unknown"),
        pytest.param(("hf://", "ftp://"), 6, "spec.url: url must start with one of", id="a rule in CEL"),
        pytest.param(("  engine: VLLM\n", ""), 6, "spec.engine: required [required]", id="a field that is missing"),
        pytest.param(("engine:", "engin:"), 7, "unknown field; did you mean engine?", id="a misspelt field"),
        pytest.param(("name: good", "name: Good_"), 4, "metadata.name", id="a name that Kubernetes refuses"),
        pytest.param(("hf://org/name", "pypi://x/y"), 6, "[form of the url]", id="a url that names no source"),
        pytest.param(("kind: Model\n", ""), 1, "kind: required", id="no kind"),
    ],
)
def test_validate_names_line_field_and_rule(
    kubeai: CommandLine, tmp_path: Path, change: tuple[str, str], line: int, says: str
) -> None:
    path = manifest(tmp_path, "---\n" + GOOD.replace(*change))
    done = kubeai("validate", path)
    faults = done.err.splitlines()
    assert done.code == 1
    assert any(fault.startswith(f"{path}:{line + 1}: document 1") and says in fault for fault in faults), faults


def test_validate_counts_documents_and_checks_all(kubeai: CommandLine, tmp_path: Path) -> None:
    other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
    done = kubeai("validate", manifest(tmp_path, GOOD + other + "---\n" + GOOD.replace("VLLM", "X")))
    assert "document 3 (Model good): spec.engine" in done.err
    assert done.out == "2 Models checked, 2 faults; 1 object of other kinds not checked\n"


def test_two_models_of_one_name_are_a_fault(kubeai: CommandLine, tmp_path: Path) -> None:
    first, second = manifest(tmp_path, GOOD, "a.yaml"), manifest(tmp_path, GOOD, "b.yaml")
    assert f"is also the name in {first}: document 1" in kubeai("validate", first, second).err


def test_validate_reads_json_directories_lists_and_standard_input(kubeai: CommandLine, tmp_path: Path) -> None:
    model = yaml.safe_load(GOOD)
    (tmp_path / "d").mkdir()
    manifest(tmp_path / "d", json.dumps({"apiVersion": "v1", "kind": "List", "items": [model]}), "list.json")
    assert kubeai("validate", tmp_path / "d").out == "1 Model checked, 0 faults\n"
    assert kubeai("validate", "-", stdin=GOOD).out == "1 Model checked, 0 faults\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: }", ":1: is not valid YAML", id="broken YAML"),
        pytest.param("on: 1\ntrue: 2\n", ":2: is not valid YAML: the key true is given twice", id="a key in two forms"),
        pytest.param("a: 1\na: 2\n", ":2: is not valid YAML: the key a is given twice", id="a key given twice"),
        pytest.param("- 1\n", ":1: document 1 is not an object but list", id="a list at the top"),
        pytest.param("\udcff", "is not UTF-8 text", id="no text"),
        pytest.param("kind: Model\na: &a [*a]\n", ":1: document 1 contains itself", id="no end"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    kubeai: CommandLine, tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    done = kubeai("validate", path)
    assert (done.code, done.out) == (1, "")
    assert str(path) in done.err
    assert says in done.err


def test_dates_stay_texts_as_in_kubernetes(kubeai: CommandLine, tmp_path: Path) -> None:
    text = GOOD + "  env:\n    SINCE: 2024-01-02\n"
    assert kubeai("validate", manifest(tmp_path, text)).code == 0


def test_keys_are_texts_as_in_kubernetes(kubeai: CommandLine, tmp_path: Path) -> None:
    path = manifest(tmp_path, GOOD + "  env: {1: a, 0x10: b, on: c, 1.5: d}\n")
    assert kubeai("validate", path).code == 0
    env = yaml.safe_load(kubeai("render", path).out)["spec"]["containers"][0]["env"]
    assert {"1": "a", "16": "b", "true": "c", "1.5": "d"}.items() <= {e["name"]: e.get("value") for e in env}.items()
    unknown = kubeai("validate", manifest(tmp_path, GOOD + "  5: 6\n"))
    assert "spec.5: unknown field" in unknown.err


@pytest.mark.parametrize("key", ["[a, b]", "~"])
def test_what_can_be_no_key_is_an_error_with_its_line(kubeai: CommandLine, tmp_path: Path, key: str) -> None:
    done = kubeai("validate", manifest(tmp_path, GOOD + f"  ? {key}\n  : 1\n"))
    assert (done.code, "bug" in done.err) == (1, False)
    assert "model.yaml:9: is not valid YAML: a key must be a text" in done.err


def test_a_file_that_is_missing_is_an_error_of_one_line(kubeai: CommandLine) -> None:
    assert kubeai("validate", "/nowhere.yaml").err == "error: /nowhere.yaml: No such file or directory\n"


SYSTEM = """\
modelAutoscaling: {stateConfigMapName: state}
resourceProfiles:
  cpu: {requests: {cpu: 1}}
"""


def test_with_a_configuration_the_names_in_it_are_checked(kubeai: CommandLine, tmp_path: Path) -> None:
    config = manifest(tmp_path, SYSTEM, "system.yaml")
    path = manifest(tmp_path, GOOD + "  resourceProfile: gpu:1\n")
    done = kubeai("validate", path, "--config", config)
    assert f"{path}:9: document 1 (Model good): spec.resourceProfile: 'gpu' is not in" in done.err
    assert kubeai("validate", path).code == 0


def test_render_prints_the_pod_of_each_model(kubeai: CommandLine, tmp_path: Path) -> None:
    config = manifest(tmp_path, SYSTEM, "system.yaml")
    text = GOOD + "  resourceProfile: cpu:2\n---\n" + GOOD.replace("name: good", "name: other")
    pods = list(yaml.safe_load_all(kubeai("render", manifest(tmp_path, text), "--config", config).out))
    assert [pod["metadata"]["labels"]["model"] for pod in pods] == ["good", "other"]
    assert pods[0]["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}


def test_render_refuses_a_model_with_faults(kubeai: CommandLine, tmp_path: Path) -> None:
    done = kubeai("render", manifest(tmp_path, GOOD.replace("VLLM", "X")))
    assert (done.code, done.out) == (1, "")
    assert "spec.engine" in done.err


def test_a_configuration_with_a_fault_names_file_and_key(kubeai: CommandLine, tmp_path: Path) -> None:
    config = manifest(tmp_path, SYSTEM + "nonsense: 1\n", "system.yaml")
    done = kubeai("render", EXAMPLES / "smollm2.yaml", "--config", config)
    assert done.code == 1
    assert f"error: {config}: nonsense: unknown key" in done.err


def test_load_takes_patterns(kubeai: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("a.json", "b.json", "c.bin"):
        (tmp_path / "src" / name).write_text(name)
    flags = ("--allow", "*.json", "--ignore", "b*")
    done = kubeai("load", f"file://{tmp_path}/src", tmp_path / "dest", *flags)
    assert (done.code, [path.name for path in (tmp_path / "dest").iterdir()]) == (0, ["a.json"])


def test_load_brings_a_directory(kubeai: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    manifest(tmp_path / "src", "weights", "w.bin")
    done = kubeai("load", f"file://{tmp_path}/src", tmp_path / "dest")
    assert done.code == 0
    assert (tmp_path / "dest" / "w.bin").read_text() == "weights"


def test_load_says_what_is_wrong_with_a_url(kubeai: CommandLine, tmp_path: Path) -> None:
    done = kubeai("load", "nonsense", tmp_path)
    assert done.code == 1
    assert done.err.startswith("error: url 'nonsense': must start with one of")
