"""What a Model is called from outside."""

from __future__ import annotations

import pytest

from kubeai.api.address import address


@pytest.mark.parametrize(
    ("namespace", "home", "expected"),
    [
        pytest.param("kubeai", "kubeai", "m", id="plain in KubeAI's own namespace"),
        pytest.param("team", "kubeai", "team/m", id="with its namespace elsewhere"),
        pytest.param("team", None, "m", id="plain where there is only one namespace"),
    ],
)
def test_a_model_has_one_name(namespace: str, home: str | None, expected: str) -> None:
    assert address(namespace, "m", home) == expected
