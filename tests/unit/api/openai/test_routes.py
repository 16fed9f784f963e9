from kubeai.api.openai.routes import ROUTES

TEXT = ("TextGeneration",)
ANY_TEXT = ("Reranking", "TextEmbedding", "TextGeneration")


def test_only_the_documented_routes_exist() -> None:
    assert {(route.method, path, *sorted(route.features)) for path, route in ROUTES.items()} == {
        ("POST", "/v1/chat/completions", *TEXT),
        ("POST", "/v1/completions", *TEXT),
        ("POST", "/v1/responses", *TEXT),
        ("POST", "/v1/messages", *TEXT),
        ("POST", "/v1/messages/count_tokens", *TEXT),
        ("POST", "/v1/embeddings", "TextEmbedding"),
        ("POST", "/v1/rerank", "Reranking"),
        ("POST", "/v2/rerank", "Reranking"),
        ("POST", "/v1/score", "Reranking", "TextEmbedding"),
        ("POST", "/v1/tokenize", *ANY_TEXT),
        ("POST", "/v1/detokenize", *ANY_TEXT),
        ("POST", "/v1/audio/transcriptions", "SpeechToText"),
        ("POST", "/v1/audio/translations", "SpeechToText"),
        ("POST", "/v1/audio/speech", "TextToSpeech"),
        ("POST", "/v1/images/generations", "ImageGeneration"),
        ("GET", "/v1/models"),
    }


def test_only_audio_comes_as_multipart() -> None:
    forms = [path for path, route in ROUTES.items() if route.body == "multipart"]
    assert forms == ["/v1/audio/transcriptions", "/v1/audio/translations"]


def test_a_route_knows_its_own_path() -> None:
    assert all(route.path == path for path, route in ROUTES.items())


def test_no_two_routes_share_a_spelling() -> None:
    spellings = [spelling for route in ROUTES.values() for spelling in route.spellings]
    assert len(set(spellings)) == len(spellings)
    assert ROUTES["/v1/messages"].spellings == ("/v1/messages", "/anthropic/v1/messages")
