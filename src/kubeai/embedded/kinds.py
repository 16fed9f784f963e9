"""Which kinds the server knows, and what it does with each: a table of the built-in ones, and those that CRDs add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kubeai.api.k8s.resources import Resource
from kubeai.embedded.admission.cel import RuleCompiler, RuleNode
from kubeai.embedded.schemas.meta import API_VERSION, KIND, OBJECT_META
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]
#: Fills in what the object leaves open; on an update it also sees the stored one.
Default = Callable[[JSONObject, JSONObject | None], None]
#: Finds mistakes beyond the schema.
Check = Callable[[JSONObject, JSONObject | None], Iterable[Cause]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of tables: of CRDs by path, of built-in kinds by the function that computes it."""

    name: str
    path: str
    type: str = "string"
    format: str = ""
    description: str = ""
    #: columns above 0 are only shown with -o wide
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what its scale subresource shows, as dotted paths from the object's root."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


def leave(obj: JSONObject, old: JSONObject | None) -> None:
    """The `Default` of kinds that have none beyond their schema's."""


def accept(obj: JSONObject, old: JSONObject | None) -> Iterable[Cause]:
    """The `Check` of kinds that have none beyond their schema's."""
    return ()


@dataclass(frozen=True)
class Kind:
    """One served version of one kind."""

    resource: Resource
    schema: JSONObject
    custom: bool = False
    has_status: bool = False
    #: status may come with a create, and metadata with a status update (nodes and their agents do so)
    status_on_create: bool = False
    counts_generations: bool = False
    scale: ScalePaths | None = None
    columns: tuple[Column, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    default: Default = leave
    check: Check = accept
    rules: RuleNode | None = None
    #: the apiVersion that objects are stored in; another one is only what readers are shown
    storage_api_version: str = ""
    warning: str = ""
    further_subresources: tuple[str, ...] = ()
    #: who deletes it without a word on its dependents leaves them behind
    orphans_dependents: bool = False
    verbs: tuple[str, ...] = field(
        default=("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    )

    @property
    def key(self) -> str:
        """The store's name for it: the same in all versions."""
        return self.resource.group_plural

    @property
    def subresources(self) -> tuple[str, ...]:
        status = ("status",) if self.has_status else ()
        scale = ("scale",) if self.scale else ()
        return status + scale + self.further_subresources


class Catalog:
    """All kinds that are served now."""

    def __init__(self, builtin: Iterable[Kind], compiler: RuleCompiler) -> None:
        self._builtin = tuple(builtin)
        self._compiler = compiler
        #: store key of the definition's kind -> its served versions
        self._custom: dict[str, tuple[Kind, ...]] = {}
        #: changes with every change of what is served, so that documents made from it can be kept
        self.edition = 0
        self._by_path: Mapping[tuple[str, str, str], Kind] = {}
        self._stored: Mapping[str, Kind] = {}
        self._index()

    def __iter__(self) -> Iterator[Kind]:
        yield from self._builtin
        for kinds in self._custom.values():
            yield from kinds

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def stored(self, key: str) -> Kind | None:
        """The kind in its storage version, by the store's name for it."""
        return self._stored.get(key)

    def groups(self) -> dict[str, list[str]]:
        """Group -> its versions, preferred first."""
        found: dict[str, list[str]] = {}
        for kind in self:
            versions = found.setdefault(kind.resource.group, [])
            if kind.resource.version not in versions:
                versions.append(kind.resource.version)
        return found

    def in_group(self, group: str, version: str) -> list[Kind]:
        return [k for k in self if (k.resource.group, k.resource.version) == (group, version)]

    def install(self, definition: JSONObject) -> None:
        """Serve the kind that a definition describes, from now on."""
        kinds = tuple(custom_kinds(definition, self._compiler))
        self._custom[definition["metadata"]["name"]] = kinds
        self._changed()

    def uninstall(self, name: str) -> None:
        self._custom.pop(name, None)
        self._changed()

    def _changed(self) -> None:
        self.edition += 1
        self._index()

    def _index(self) -> None:
        self._by_path = {(k.resource.group, k.resource.version, k.resource.plural): k for k in self}
        self._stored = {k.key: k for k in self if k.storage_api_version == k.resource.api_version}


def custom_kinds(definition: JSONObject, compiler: RuleCompiler) -> Iterator[Kind]:
    """The served versions of a (checked and defaulted) CustomResourceDefinition."""
    spec = definition["spec"]
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    for version in spec["versions"]:
        # The storage version is kept even where it is not served: it is what objects are checked against.
        if version.get("served") or version["name"] == stored:
            yield _custom_kind(spec, version, f"{spec['group']}/{stored}", compiler)


def _custom_kind(spec: JSONObject, version: JSONObject, stored: str, compiler: RuleCompiler) -> Kind:
    names = spec["names"]
    resource = Resource(
        spec["group"],
        version["name"],
        names["plural"],
        names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
    )
    schema = _with_metadata(version["schema"]["openAPIV3Schema"])
    subresources = version.get("subresources") or {}
    columns = version.get("additionalPrinterColumns")
    return Kind(
        resource,
        schema,
        custom=True,
        has_status=subresources.get("status") is not None,
        counts_generations=True,
        scale=_scale_paths(subresources.get("scale")),
        columns=tuple(map(_column, columns)) if columns else (AGE,),
        selectable_fields=tuple(f["jsonPath"].lstrip(".") for f in version.get("selectableFields") or ()),
        rules=compiler.compile(schema),
        storage_api_version=stored,
        warning=_warning(resource, version),
    )


def _with_metadata(schema: JSONObject) -> JSONObject:
    """A definition speaks of its own fields only; its objects have metadata like all others."""
    properties = schema.get("properties", {})
    own = properties.get("metadata", {})
    metadata = OBJECT_META | {"properties": OBJECT_META["properties"] | own.get("properties", {})}
    return schema | {"properties": {"apiVersion": API_VERSION, "kind": KIND} | properties | {"metadata": metadata}}


#: What a CRD without columns of its own shows beside the name.
AGE = Column("Age", ".metadata.creationTimestamp", "date", description="How long ago it was created.")


def _column(column: JSONObject) -> Column:
    return Column(
        column["name"],
        column["jsonPath"],
        column.get("type", "string"),
        column.get("format", ""),
        column.get("description", ""),
        column.get("priority", 0),
    )


def _scale_paths(scale: JSONObject | None) -> ScalePaths | None:
    if scale is None:
        return None
    paths = (scale.get(name, "") for name in ("specReplicasPath", "statusReplicasPath", "labelSelectorPath"))
    return ScalePaths(*paths)


def _warning(resource: Resource, version: JSONObject) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated")
