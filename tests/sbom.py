"""A software bill of materials of what is installed here: ``python -m tests.sbom > sbom.json``.

CycloneDX 1.6 (ECMA-424), from the metadata of the installed packages that the core or a shipped extra needs. Equal installations
give equal files, so that two of them can be compared.
"""

import json
import sys
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import distribution
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.licences import BUNDLED, CORE, PAGE, Package, found

NAMES = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562: of addresses.
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def bom() -> dict[str, Any]:
    """Return the bill of materials as JSON values."""
    project = tomllib.loads((PAGE.parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    packages = dict(sorted(found().items()))
    own = {
        "type": "application",
        "bom-ref": project["name"],
        "name": project["name"],
        "version": distribution(project["name"]).version,
        "purl": f"pkg:pypi/{project['name']}@{distribution(project['name']).version}",
        "licenses": [{"expression": project["license"]}],
    }
    direct = {canonicalize_name(Requirement(text).name) for text in _asked(project)}
    body = {
        "metadata": {"component": own},
        "components": [_component(package) for package in packages.values()],
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": sorted(direct & packages.keys())},
            *({"ref": name, "dependsOn": sorted(one.needs & packages.keys())} for name, one in packages.items()),
        ],
    }
    serial = uuid.uuid5(NAMES, json.dumps(body, sort_keys=True))
    head = {"$schema": SCHEMA, "bomFormat": "CycloneDX", "specVersion": "1.6"}
    return {**head, "serialNumber": f"urn:uuid:{serial}", "version": 1, **body}


def _asked(project: dict[str, Any]) -> Iterator[str]:
    yield from project["dependencies"]
    for texts in project["optional-dependencies"].values():
        yield from texts


def _component(package: Package) -> dict[str, Any]:
    version = distribution(package.name).version
    properties = [{"name": "comes with", "value": ", ".join(sorted(package.needed_by))}]
    if package.name in BUNDLED:
        properties.append({"name": "bundled", "value": BUNDLED[package.name]})
    return {
        "type": "library",
        "bom-ref": package.name,
        "name": package.name,
        "version": version,
        "scope": "required" if CORE in package.needed_by else "optional",
        "licenses": [_licence(package.licence)],
        "purl": f"pkg:pypi/{package.name}@{version.replace('+', '%2B')}",
        "properties": properties,
    }


def _licence(text: str) -> dict[str, Any]:
    """Return a licence as an expression where it is one, else in the words of its authors."""
    try:
        return {"expression": str(canonicalize_license_expression(text))}
    except InvalidLicenseExpression:
        return {"license": {"name": text}}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bom(), indent=2, ensure_ascii=False) + "\n")
