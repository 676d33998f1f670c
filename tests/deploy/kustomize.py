"""Kustomize, as far as deploy/kubernetes uses it: resources, components, labels, images, patches."""

import yaml

_SELECTORS = {
    "Deployment": [("spec", "selector", "matchLabels"), ("spec", "template", "metadata", "labels")],
    "PodDisruptionBudget": [("spec", "selector", "matchLabels")],
    "Service": [("spec", "selector")],
    "NetworkPolicy": [("spec", "podSelector", "matchLabels")],
}
_KNOWN = {
    "apiVersion",
    "kind",
    "resources",
    "components",
    "labels",
    "images",
    "namespace",
    "patches",
}


def build(folder, found=()):
    """Return the objects that ``kubectl kustomize FOLDER`` prints.

    A component changes those ``found`` before.
    """
    given = yaml.safe_load(folder.joinpath("kustomization.yaml").read_text())
    assert given.keys() <= _KNOWN, "teach this module what else it uses"
    found = list(found)
    for name in given.get("resources", []):
        path = folder / name
        found += build(path.resolve()) if path.is_dir() else _objects(path)
    for name in given.get("components", []):
        found = build(folder.joinpath(name).resolve(), found)
    for one in found:
        _label(one, given.get("labels", []))
        if "namespace" in given:
            one["metadata"]["namespace"] = given["namespace"]
        for image in given.get("images", []):
            _rename(one, image)
        for patch in given.get("patches", []):
            if (
                patch["target"].items()
                <= {"kind": one["kind"], "name": one["metadata"]["name"]}.items()
            ):
                _apply(one, yaml.safe_load(patch["patch"]))
    return found


def containers_of(one):
    return one["spec"]["template"]["spec"]["containers"] if one["kind"] == "Deployment" else []


def _objects(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def _label(one, labels):
    for label in labels:
        one["metadata"].setdefault("labels", {}).update(label["pairs"])
        places = _SELECTORS.get(one["kind"], []) if label.get("includeSelectors") else []
        for place in places:
            inner = one
            for key in place:
                inner = inner[key]  # a selector of everything stays one
            inner |= label["pairs"]
        if one["kind"] == "Deployment":
            for spread in one["spec"]["template"]["spec"]["topologySpreadConstraints"]:
                spread["labelSelector"]["matchLabels"] |= label["pairs"]


def _rename(one, image):
    for container in containers_of(one):
        if container["image"].partition(":")[0] == image["name"]:
            container["image"] = f"{image['newName']}:{image['newTag']}"


def _apply(one, patch):
    if isinstance(patch, dict):
        _merge(one, patch)
        return
    for change in patch:
        assert change["op"] == "add", "teach this module what else it uses"
        assert change["path"].endswith("/-"), "teach this module what else it uses"
        place = one
        for key in change["path"].split("/")[1:-1]:
            place = place[int(key) if key.isdigit() else key]
        place.append(change["value"])


def _merge(one, patch):
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(one.get(key), dict):
            _merge(one[key], value)
        else:
            one[key] = value
