"""The table of built-in kinds: their schemas, defaults and checks."""

from __future__ import annotations

from collections.abc import Iterator

from kubeai.api.k8s import resources as k8s
from kubeai.api.k8s.resources import Resource
from kubeai.embedded.admission import core, definitions, jobs, pods
from kubeai.embedded.admission.cel import RuleCompiler
from kubeai.embedded.kinds import Catalog, Check, Default, Kind, accept, leave
from kubeai.embedded.schemas import core as schemas
from kubeai.embedded.schemas.pods import POD
from kubeai.embedded.schemas.terms import Schema
from kubeai.embedded.status import Cause, JSONObject

#: The namespaces that are there from the start.
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


def _kind(
    resource: Resource,
    schema: Schema,
    default: Default = leave,
    check: Check = accept,
    *,
    status: bool = False,
    status_on_create: bool = False,
    generations: bool = False,
    subresources: tuple[str, ...] = (),
    orphans: bool = False,
) -> Kind:
    return Kind(
        resource,
        schema,
        has_status=status,
        status_on_create=status_on_create,
        counts_generations=generations,
        default=default,
        check=check,
        storage_api_version=resource.api_version,
        further_subresources=subresources,
        orphans_dependents=orphans,
    )


def builtin_catalog() -> Catalog:
    """A new catalog of the built-in kinds, to which CRDs add theirs."""
    compiler = RuleCompiler()

    def check_definition(definition: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
        yield from definitions.check_definition(definition, old, compiler)

    definition = _kind(
        k8s.CUSTOM_RESOURCE_DEFINITIONS,
        schemas.CUSTOM_RESOURCE_DEFINITION,
        definitions.default_definition,
        check_definition,
        status=True,
        generations=True,
    )
    return Catalog((*_KINDS, definition), compiler)


_KINDS = (
    _kind(k8s.NAMESPACES, schemas.NAMESPACE, core.default_namespace, status=True),
    _kind(k8s.NODES, schemas.NODE, status=True, status_on_create=True),
    _kind(
        k8s.PODS,
        POD,
        pods.default_pod,
        pods.check_pod,
        status=True,
        generations=True,
        subresources=("log", "exec", "binding"),
    ),
    _kind(k8s.CONFIG_MAPS, schemas.CONFIG_MAP, check=core.check_config_map),
    _kind(k8s.SECRETS, schemas.SECRET, core.default_secret, core.check_secret),
    _kind(k8s.SERVICES, schemas.SERVICE, core.default_service, status=True),
    _kind(k8s.SERVICE_ACCOUNTS, schemas.SERVICE_ACCOUNT),
    _kind(
        k8s.PERSISTENT_VOLUME_CLAIMS,
        schemas.PERSISTENT_VOLUME_CLAIM,
        core.default_claim,
        core.check_claim,
        status=True,
    ),
    _kind(k8s.EVENTS, schemas.EVENT, check=core.check_event),
    _kind(k8s.JOBS, schemas.JOB, jobs.default_job, jobs.check_job, status=True, generations=True, orphans=True),
    _kind(k8s.LEASES, schemas.LEASE, check=core.check_lease),
)
