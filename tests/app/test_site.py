"""The pages of docs/ lead where they say, are all on the site, and the site needs no network."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)|\[[^\]\n]*\n[^\]\n]*\]\(([^)\s]+)\)")
# What a page loads by itself when it is opened.
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]*\ssrc="?(?:https?:)?//|<link[^>]*\shref="?(?:https?:)?//|@import\s"""
)


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {re.sub(r"\s", "-", one) for one in plain}


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    found = [one or other for one, other in LINK.findall(prose(page))]
    for target in (one for one in found if "://" not in one):
        name, _, anchor = target.partition("#")
        other = page.parent / name if name else page
        assert other.is_file(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(other), f"{page.name}: {target}"
        # The site has the pages below docs/ alone.
        assert page.parent == ROOT or other.resolve().is_relative_to(DOCS), f"{page.name}: {target}"


def test_every_page_is_on_the_site() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))

    def named(entry: object) -> list[str]:
        parts = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else []
        return [entry] if isinstance(entry, str) else [one for part in parts for one in named(part)]

    assert sorted(named(site["nav"])) == [page.relative_to(DOCS).as_posix() for page in PAGES]


def test_every_benchmark_is_on_its_page() -> None:
    there = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("benchmark_*.py")}
    assert (
        set(re.findall(r"^\| `(benchmark_\w+)` \|", (DOCS / "benchmarks.md").read_text("utf-8"), re.MULTILINE)) == there
    )


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    beside = [str(Path(sys.executable).parent), str(ROOT / ".venv-docs" / "bin")]
    program = shutil.which("mkdocs", path=os.pathsep.join(beside))
    if not program:
        pytest.skip("MkDocs is not here: make site")
    built = subprocess.run(
        [program, "build", "--strict", "--site-dir", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)
    assert not [page.name for page in pages if LOADED.search(page.read_text("utf-8"))]
    assert not [
        path.name
        for path in tmp_path.rglob("*.css")
        if re.search(r"url\(\s*['\"]?(?:https?:)?//", path.read_text("utf-8"))
    ]
