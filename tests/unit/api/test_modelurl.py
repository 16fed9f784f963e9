import pytest

from kubeai.api.modelurl import ModelURLError, parse_model_url


@pytest.mark.parametrize(
    ("url", "scheme", "ref", "name", "path"),
    [
        ("hf://org/name", "hf", "org/name", "org/name", ""),
        ("ollama://qwen2:0.5b?pull=false", "ollama", "qwen2:0.5b", "qwen2:0.5b", ""),
        ("pvc://claim", "pvc", "claim", "claim", ""),
        ("pvc://claim/a/b/", "pvc", "claim/a/b/", "claim", "a/b"),
        ("s3://bucket/a/b", "s3", "bucket/a/b", "bucket", "a/b"),
        ("gs://bucket", "gs", "bucket", "bucket", ""),
        ("oss://bucket/a", "oss", "bucket/a", "bucket", "a"),
        ("pypi://my-pkg@1.0rc1/my_pkg/w.gguf", "pypi", "my-pkg@1.0rc1/my_pkg/w.gguf", "my-pkg", "my_pkg/w.gguf"),
        ("file:///models/x/", "file", "/models/x/", "", "/models/x"),
        ("oci://reg:5000/a/b:v1?path=/w/", "oci", "reg:5000/a/b:v1", "reg:5000/a/b:v1", "w"),
    ],
)
def test_takes_a_url_apart(url: str, scheme: str, ref: str, name: str, path: str) -> None:
    parsed = parse_model_url(url)
    assert (parsed.scheme, parsed.ref, parsed.name, parsed.path) == (scheme, ref, name, path)
    assert parsed.source == f"{scheme}://{ref}"
    assert parsed.raw == url


def test_a_wheel_has_a_version() -> None:
    assert parse_model_url("pypi://a@1.0/b").version == "1.0"


def test_parameters_have_defaults() -> None:
    url = parse_model_url("ollama://a")
    assert (url.insecure, url.pull, url.model) == (False, True, None)


def test_parameters_are_read() -> None:
    url = parse_model_url("ollama://a?insecure=true&pull=false&model=qwen%3A1b&model=other")
    assert (url.insecure, url.pull, url.model) == (True, False, "qwen:1b")
    assert url.source == "ollama://a"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        pytest.param("http://a", "must start with one of hf://", id="another scheme"),
        pytest.param("a", "must start with one of", id="no scheme"),
        pytest.param("hf://", "nothing follows hf://", id="nothing behind the scheme"),
        pytest.param("s3:///key", "a name must follow s3://", id="no bucket"),
        pytest.param("file://models", "needs an absolute path", id="a relative path"),
        pytest.param("file:///a/../b", "must not contain '..'", id="a path that climbs out"),
        pytest.param("pvc://claim/..", "must not contain '..'", id="a path out of the claim"),
        pytest.param("pypi://a/b", "pypi://PACKAGE@VERSION", id="a wheel without a version"),
        pytest.param("pypi://a@1/", "pypi://PACKAGE@VERSION", id="a wheel without a path"),
        pytest.param("pypi://-a@1/b", "pypi://PACKAGE@VERSION", id="a package that looks like an option"),
        pytest.param("oci://reg/m", "with its tag or digest", id="an image without a tag"),
        pytest.param("oci://m:v1", "must name an image", id="an image without a registry"),
        pytest.param("oci://reg/m:v1?path=a/../..", "must not contain '..'", id="a path out of the image"),
        # fault O8
        pytest.param("ollama://a b", "spaces or control characters", id="a space"),
        pytest.param("ollama://a\nrm", "spaces or control characters", id="a line break"),
        pytest.param("ollama://a?x=\n", "spaces or control characters", id="a line break in a parameter"),
    ],
)
def test_refuses(url: str, fault: str) -> None:
    with pytest.raises(ModelURLError) as error:
        parse_model_url(url)
    assert fault in str(error.value)
    assert repr(url) in str(error.value)
