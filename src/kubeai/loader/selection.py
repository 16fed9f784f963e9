"""Which files of a source are wanted: patterns, or one file and what belongs to it.

A repository often holds the same weights in several formats; without a choice, several times the bytes are loaded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kubeai.api.modelurl import ModelURL

_SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)")


@dataclass(frozen=True, slots=True)
class Selection:
    """`*` in a pattern also matches `/`; a pattern that ends with `/` means all below it."""

    allow: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    #: Exactly these, whatever the patterns say.
    files: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        if self.files:
            return name in self.files
        return (not self.allow or _matches(name, self.allow)) and not _matches(name, self.ignore)

    @property
    def words(self) -> str:
        """For messages."""
        if self.files:
            return f"?model={self.files[0]}"
        return " and ".join(
            f"{verb} {', '.join(found)}" for verb, found in (("allow", self.allow), ("ignore", self.ignore)) if found
        )


def select(url: ModelURL) -> Selection:
    """What the url's parameters ask for: `?model=FILE`, or `?allow=` and `?ignore=` with commas between patterns."""
    return Selection(_patterns(url, "allow"), _patterns(url, "ignore"), shards(url.model) if url.model else ())


def shards(file: str) -> tuple[str, ...]:
    """A large GGUF file comes in numbered pieces, and a server that is told the first wants all of them."""
    found = _SHARD.fullmatch(file)
    if found is None:
        return (file,)
    return tuple(
        f"{found['stem']}-{index:05}-of-{found['count']}{found['suffix']}"
        for index in range(1, int(found["count"]) + 1)
    )


def _patterns(url: ModelURL, parameter: str) -> tuple[str, ...]:
    return tuple(pattern for pattern in url.params.get(parameter, "").split(",") if pattern)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in patterns)
