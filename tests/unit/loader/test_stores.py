"""Which endpoint, region, certificates and identity a bucket is reached with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from kubeai.api.modelurl import parse_model_url
from kubeai.loader.errors import LoadError
from kubeai.loader.stores import StoreSettings, store_settings, without_dangling

OSS_KEYS = {"OSS_ACCESS_KEY_ID": "k", "OSS_ACCESS_KEY_SECRET": "s", "AWS_ENDPOINT_URL": "http://not-for-oss"}


def oss(endpoint: str, *, virtual: bool = True, **config: object) -> StoreSettings:
    fixed = {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint, "region": "cn-hangzhou"}
    fixed |= {"virtual_hosted_style_request": virtual, "disable_bulk_delete": True}  # type: ignore[dict-item]
    return StoreSettings("s3", "b", fixed | config, endpoint)


SETTINGS: Mapping[str, tuple[str, dict[str, str], StoreSettings]] = {
    "Amazon's own": ("s3://b/k", {}, StoreSettings("s3", "b")),
    "a region in the url": ("s3://b/k?region=eu-west-1", {}, StoreSettings("s3", "b", {"region": "eu-west-1"})),
    "another store with certificates of its own": (
        "s3://b/k",
        {"AWS_ENDPOINT_URL": "https://minio:9000", "AWS_CA_BUNDLE": "/ca.pem"},
        StoreSettings("s3", "b", {}, "https://minio:9000", "/ca.pem"),
    ),
    "Google's": ("gs://b/k", {}, StoreSettings("gs", "b")),
    "an emulator of Google's": (
        "gs://b/k",
        {"STORAGE_EMULATOR_HOST": "http://e:1"},
        StoreSettings("gs", "b", {"base_url": "http://e:1", "bearer_token": "emulator"}, "http://e:1"),
    ),
    "OSS with keys": (
        "oss://b/k",
        OSS_KEYS | {"OSS_REGION": "cn-hangzhou"},
        oss("https://b.s3.oss-cn-hangzhou.aliyuncs.com", access_key_id="k", secret_access_key="s"),
    ),
    "OSS by an inner endpoint": (
        "oss://b/k?region=cn-hangzhou",
        OSS_KEYS | {"OSS_ENDPOINT": "oss-cn-hangzhou-internal.aliyuncs.com"},
        oss("https://b.oss-cn-hangzhou-internal.aliyuncs.com", access_key_id="k", secret_access_key="s"),
    ),
    "OSS with a role": (
        "oss://b/k",
        {"OSS_REGION": "cn-hangzhou", "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/r"},
        oss("https://b.s3.oss-cn-hangzhou.aliyuncs.com"),
    ),
    "a public bucket of OSS": (
        "oss://b/k",
        {"OSS_REGION": "cn-hangzhou"},
        oss("https://b.s3.oss-cn-hangzhou.aliyuncs.com", skip_signature=True),
    ),
    "a stand-in of OSS at an address": (
        "oss://b/k",
        {"OSS_ENDPOINT": "http://127.0.0.1:9"},
        oss("http://127.0.0.1:9", virtual=False, skip_signature=True),
    ),
}


@pytest.mark.parametrize(("url", "environ", "settings"), SETTINGS.values(), ids=SETTINGS.keys())
def test_settings(url: str, environ: dict[str, str], settings: StoreSettings) -> None:
    assert store_settings(parse_model_url(url), environ) == settings


def test_a_profile_of_amazons_tools_counts_where_the_environment_says_nothing(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text("[work]\naws_access_key_id = k\naws_secret_access_key = s%x\n")
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n")
    environ = {"HOME": str(tmp_path), "AWS_PROFILE": "work"}
    url = parse_model_url("s3://b/k")
    keys = {"access_key_id": "k", "secret_access_key": "s%x"}
    assert store_settings(url, environ).config == keys | {"region": "eu-west-1"}
    assert store_settings(url, environ | {"AWS_REGION": "here"}).config == keys
    assert store_settings(url, environ | {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t"}).config == {"region": "eu-west-1"}
    assert store_settings(url, {"HOME": str(tmp_path)}).config == {}


def test_nobody_guesses_the_region_of_oss() -> None:
    with pytest.raises(LoadError, match="set OSS_REGION"):
        store_settings(parse_model_url("oss://b/k"), {})


def test_a_google_key_file_that_its_secret_did_not_bring_leaves_the_workloads_identity(tmp_path: Path) -> None:
    # fault C4
    missing = {"A": "1", "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    assert without_dangling(missing) == {"A": "1"}
    there = missing | {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path)}
    assert without_dangling(there) == there
