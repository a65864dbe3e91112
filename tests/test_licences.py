"""What an installation brings along is under licences that are told, and permissive but for what is named."""

from tests import sbom
from tests.licences import BUNDLED, COPYLEFT, CORE, PAGE, PERMISSIVE, found, page, rows

# Extras of which the page says that they bring copyleft code.
NAMED = {"jxl", "video", "heif"}


def test_the_page_is_what_the_packages_state() -> None:
    written = PAGE.read_text("utf-8")
    assert page(written) == written, "run `python -m tests.licences > docs/licences.md`"


def test_what_is_not_permissive_is_an_extra_that_the_page_warns_of() -> None:
    warned = PAGE.read_text("utf-8").split("| --- |")[0]
    assert all(f"`{extra}`" in warned for extra in NAMED)
    for package in found().values():
        parts = package.licence.replace(" AND ", " OR ").replace(" WITH ", " OR ").strip("()").split(" OR ")
        asks = not all(PERMISSIVE.fullmatch(part.strip(" ()")) for part in parts)
        copyleft = COPYLEFT.search(f"{package.licence} {BUNDLED.get(package.name, '')}")
        assert not asks or CORE not in package.needed_by, f"{package.name}: {package.licence}"
        assert not copyleft or package.needed_by <= NAMED | {"test"}, f"{package.name}: {package.licence}"


def test_every_extra_has_its_packages_on_the_page() -> None:
    named = " ".join(rows(PAGE.read_text("utf-8")).values())
    for extra in ("excel", "hf", "jxl", "raw", "video", "heif", "s3", "faiss", "qdrant", "redis", "elasticsearch"):
        assert f"`{extra}`" in named, extra


def test_the_bill_of_materials_names_every_package_once_and_what_it_needs() -> None:
    said = sbom.bom()
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    refs = [one["bom-ref"] for one in said["components"]]
    assert refs == sorted(set(found()))
    needs = {one["ref"]: one["dependsOn"] for one in said["dependencies"]}
    assert needs.keys() == {*refs, said["metadata"]["component"]["bom-ref"]}
    assert {name for below in needs.values() for name in below} <= {*refs}
    reached, ahead = set[str](), ["brain-assets"]
    while ahead:
        one = ahead.pop()
        ahead += [below for below in needs[one] if below not in reached]
        reached.add(one)
    assert reached == needs.keys()
    assert all(one["licenses"] and one["version"] in one["purl"].replace("%2B", "+") for one in said["components"])
    assert sbom.bom() == said
