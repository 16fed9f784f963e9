"""Pods (and Pod templates): the defaults that their readers rely on, and the mistakes that must not be stored.

The node agent reads probes, policies and grace periods without asking whether they are set; the defaults are set here,
once, as a real API server does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from kubeai.api.k8s.names import dns_label_fault
from kubeai.api.k8s.quantity import QuantityError, parse_quantity
from kubeai.embedded.admission.schema import forbidden, required, unsupported, wrong
from kubeai.embedded.status import Cause

JSONObject = dict[str, Any]

DEFAULT_GRACE_S = 30
RESTART_POLICIES = ["Always", "OnFailure", "Never"]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
#: What may change in the spec of a Pod that exists.
_MUTABLE = frozenset({"activeDeadlineSeconds", "tolerations", "schedulingGates"})


def default_pod(pod: JSONObject, old: JSONObject | None) -> None:
    spec = pod.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    default_pod_spec(spec)
    _default_addresses(pod.get("status") or {})
    if old is None:
        pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}


def _default_addresses(status: JSONObject) -> None:
    """The one address is the first of all, and the one that counts if they differ."""
    addresses = status.get("podIPs") or [{}]
    if status.get("podIP") and addresses[0].get("ip") != status["podIP"]:
        status["podIPs"] = [{"ip": status["podIP"]}]


def default_pod_spec(spec: JSONObject) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE_S)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in containers_of(spec):
        _default_container(container)
    for volume in spec.get("volumes") or []:
        _default_volume(volume)


def containers_of(spec: JSONObject) -> list[JSONObject]:
    """All containers, those that run first leading."""
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _default_container(container: JSONObject) -> None:
    image = container.get("image", "")
    moving = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
    container.setdefault("imagePullPolicy", "Always" if moving else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    resources = container.setdefault("resources", {})
    if limits := resources.get("limits"):
        resources["requests"] = limits | (resources.get("requests") or {})
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        _default_field(variable.get("valueFrom") or {})
    for hook in (container.get("lifecycle") or {}).values():
        _default_request(hook)
    for name in PROBES:
        if container.get(name) is not None:
            _default_probe(container[name])


def _default_probe(probe: JSONObject) -> None:
    for field, value in _PROBE_DEFAULTS.items():
        # In Go these are plain numbers, so 0 is the same as absent.
        if not probe.get(field):
            probe[field] = value
    _default_request(probe)


def _default_request(handler: JSONObject) -> None:
    if (request := handler.get("httpGet")) is not None:
        request.setdefault("path", "/")
        request.setdefault("scheme", "HTTP")


def _default_field(holder: JSONObject) -> None:
    if field := holder.get("fieldRef"):
        field.setdefault("apiVersion", "v1")


def _default_volume(volume: JSONObject) -> None:
    if not (volume.keys() - {"name"}):
        volume["emptyDir"] = {}
    for source in ("configMap", "secret", "projected", "downwardAPI"):
        if volume.get(source) is not None:
            volume[source].setdefault("defaultMode", 0o644)
    for item in (volume.get("downwardAPI") or {}).get("items") or []:
        _default_field(item)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")


def qos_class(spec: JSONObject) -> str:
    """How the Pod is treated when memory runs out: by what its containers promise not to exceed."""
    resources = [container.get("resources") or {} for container in containers_of(spec)]
    if not any(r.get("requests") or r.get("limits") for r in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (r.get("limits") or {}).keys() and r.get("requests") == r.get("limits") for r in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def check_pod(pod: JSONObject, old: JSONObject | None) -> Iterator[Cause]:
    yield from check_pod_spec(pod["spec"], "spec")
    for index, address in enumerate((pod.get("status") or {}).get("podIPs") or []):
        yield from _check_address(address.get("ip"), f"status.podIPs[{index}]")
    if old is not None:
        yield from _check_update(pod["spec"], old["spec"])


def _check_address(address: Any, path: str) -> Iterator[Cause]:
    try:
        ip_address(address)
    except ValueError:
        yield wrong(path, address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def check_pod_spec(spec: JSONObject, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    if spec["restartPolicy"] not in RESTART_POLICIES:
        yield unsupported(f"{path}.restartPolicy", spec["restartPolicy"], RESTART_POLICIES)
    if spec["terminationGracePeriodSeconds"] < 0:
        grace_s = spec["terminationGracePeriodSeconds"]
        yield wrong(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than or equal to 0")
    volumes = spec.get("volumes") or []
    yield from _check_names(volumes, f"{path}.volumes")
    known = {volume.get("name") for volume in volumes}
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or []):
            yield from _check_container(container, known, f"{path}.{field}[{index}]")
    yield from _check_names(containers_of(spec), f"{path}.containers")


def _check_names(items: Iterable[JSONObject], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        name = item.get("name", "")
        if not name:
            yield required(f"{path}[{index}].name")
        elif fault := dns_label_fault(name):
            yield wrong(f"{path}[{index}].name", name, fault)
        elif name in seen:
            yield Cause(f"{path}[{index}].name", f'Duplicate value: "{name}"', "FieldValueDuplicate")
        seen.add(name)


def _check_container(container: JSONObject, volumes: set[str | None], path: str) -> Iterator[Cause]:
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            shown = f'Not found: "{mount.get("name")}"'
            yield Cause(f"{path}.volumeMounts[{index}].name", shown, "FieldValueNotFound")
    for index, variable in enumerate(container.get("env") or []):
        if not variable.get("name"):
            yield required(f"{path}.env[{index}].name")
    for index, port in enumerate(container.get("ports") or []):
        if not 0 < port.get("containerPort", 0) < 65536:
            value = port.get("containerPort")
            yield wrong(f"{path}.ports[{index}].containerPort", value, "must be between 1 and 65535, inclusive")
    for field in ("requests", "limits"):
        yield from _check_quantities(container["resources"].get(field) or {}, f"{path}.resources.{field}")


def _check_quantities(quantities: JSONObject, path: str) -> Iterator[Cause]:
    for name, value in quantities.items():
        try:
            parse_quantity(value)
        except QuantityError as error:
            yield wrong(f"{path}[{name}]", value, str(error))


def _check_update(new: JSONObject, old: JSONObject) -> Iterator[Cause]:
    """A Pod is what it is: apart from images and a few knobs it is replaced, not changed."""
    if _fixed_part(new, old) != _fixed_part(old, old):
        yield forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)",
        )


def _fixed_part(spec: JSONObject, old: JSONObject) -> JSONObject:
    fixed = {name: value for name, value in spec.items() if name not in _MUTABLE}
    if not old.get("nodeName"):
        # Set once, by whoever schedules (a real API server has the subresource `binding` for it).
        fixed.pop("nodeName", None)
    for field in ("containers", "initContainers", "ephemeralContainers"):
        if fixed.get(field):
            fixed[field] = [{**c, "image": None, "imagePullPolicy": None} for c in fixed[field]]
    return fixed
