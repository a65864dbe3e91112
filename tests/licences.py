"""The licences of all that an installation brings along: ``python -m tests.licences > docs/licences.md``.

Read from the metadata of what is installed here; of an extra that is not, the rows of the page as it was stay.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).parent.parent / "docs" / "licences.md"
CORE = "core"
# What tests and maintenance alone need.
NOT_SHIPPED = {"test", "browser"}
# What licences ask little of those who use and pass on what is under them.
PERMISSIVE = re.compile(
    r"(MIT|MIT-0|MIT-CMU|MIT-Modern-Variant|BSD|BSD-[23]-Clause|0BSD|Apache-2\.0|ISC|PSF-2\.0|Python-2\.0|CNRI-Python|HPND|Zlib"
    r"|BSL-1\.0|Unlicense|LLVM-exception|MPL-2\.0|CC0-1\.0|OFL-1\.1|NCSA|FTL|IJG|libpng-2\.0)"
)
COPYLEFT = re.compile(r"(?<!L)GPL")
# What wheels hold beside what their metadata say.
BUNDLED = {
    "av": "its wheels hold FFmpeg with x264 and x265 (GPL-2.0-or-later)",
    "pillow-heif": "its wheels hold libheif and libde265 (LGPL-3.0-or-later) and x265 (GPL-2.0-or-later)",
    "opencv-python-headless": "its wheels hold FFmpeg (LGPL-2.1-or-later)",
    "rawpy": "its wheels hold LibRaw (LGPL-2.1-or-later or CDDL-1.0)",
    "psycopg-binary": "its wheels hold libpq (PostgreSQL) and OpenSSL (Apache-2.0)",
    "psycopg2-binary": "its wheels hold libpq (PostgreSQL) and OpenSSL (Apache-2.0)",
}
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0", "MIT License": "MIT", "BSD License": "BSD", "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL", "The Unlicense (Unlicense)": "Unlicense",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only", "MIT No Attribution License (MIT-0)": "MIT-0",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later", "zlib/libpng License": "Zlib",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only", "Other/Proprietary License": "proprietary",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later", "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only", "Historical Permission Notice and Disclaimer (HPND)": "HPND",
}  # fmt: skip
# What their authors wrote in words of their own.
WORDS = {
    "Apache 2": "Apache-2.0", "Apache License": "Apache-2.0", "Apache Software License": "Apache-2.0",
    "3-Clause BSD": "BSD-3-Clause", "BSD 3-Clause": "BSD-3-Clause", "New BSD": "BSD-3-Clause",
    "NVIDIA Proprietary": "proprietary (NVIDIA)", "LicenseRef-NVIDIA": "proprietary (NVIDIA)",
}  # fmt: skip
HEAD = """\
# Licences

brain-assets is under Apache-2.0. This is what an installation brings along, and what each extra adds, with the
licences that the packages state (written by `python -m tests.licences`, and compared by a test with what is installed; platforms
differ in what torch brings).

**Three extras bring copyleft code.** `jxl` needs pillow-jxl-plugin, which is GPL-3.0-or-later. `video` and `heif` need PyAV and
pillow-heif, which are permissive, but whose wheels hold codecs under the GPL. Who passes on an installation with one of them has
to heed that; to use it asks for nothing. Without: leave the extra out, and such files are rows with the reason `unsupported`, and
frames can be made of videos by a tool of yours, and are a folder of images then; `pip install --no-binary av av` and
`pip install --no-binary pillow-heif pillow-heif` build against FFmpeg and libheif of the system, which may be without GPL parts.
psycopg (`pgvector`) and psycopg2 (`postgres`) are LGPL, which asks nothing of those who only use it.

**Photos of the demo.** `brain demo photos` cuts its objects and grounds out of photos that packages bring, and writes them
into your home alone. scikit-learn: `china.jpg` by danielbuechele and `flower.jpg` by vultilion, both CC BY 2.0. scikit-image:
`chelsea.png` by Stefan van der Walt, `coffee.png` by Rachel Michetti, `grass.png` and `gravel.png`, all CC0; `astronaut.png`
and `hubble_deep_field.jpg` by NASA, public domain; `coins.png` of the Brooklyn Museum, no known restrictions. matplotlib:
`grace_hopper.jpg` by the US Navy, public domain.

| package | licence | comes with | remarks |
| --- | --- | --- | --- |
"""


@dataclass
class Package:
    """A package that an installation brings along; ``needed_by`` are extras, or core, ``needs`` the packages it asks for."""

    name: str
    licence: str = ""
    needed_by: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)

    def row(self) -> str:
        """Return its row of the table."""
        by = CORE if CORE in self.needed_by else ", ".join(f"`{one}`" for one in sorted(self.needed_by))
        return f"| {self.name} | {self.licence} | {by} | {BUNDLED.get(self.name, '')} |"


def found() -> dict[str, Package]:
    """Return all packages that are installed here and that the core or a shipped extra needs."""
    packages: dict[str, Package] = {}
    project = tomllib.loads((PAGE.parent.parent / "pyproject.toml").read_text("utf-8"))["project"]
    for extra, texts in {CORE: project["dependencies"], **project["optional-dependencies"]}.items():
        for text in texts if extra not in NOT_SHIPPED else ():
            _walk(Requirement(text), extra, packages)
    return packages


def _required(one: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for text in one.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def _walk(requirement: Requirement, extra: str, packages: dict[str, Package]) -> None:
    name = canonicalize_name(requirement.name)
    if extra in packages.get(name, Package(name)).needed_by:
        return
    try:
        one = distribution(name)
    except PackageNotFoundError:
        return
    package = packages.setdefault(name, Package(name, licence_of(one)))
    package.needed_by.add(extra)
    for below in _required(one, set(requirement.extras)):
        package.needs.add(canonicalize_name(below.name))
        _walk(below, extra, packages)


def licence_of(one: Distribution) -> str:
    """Return the licence that a package states: as an expression, by a classifier, or in the words of its authors."""
    data = one.metadata
    if expression := data.get("License-Expression"):
        return str(expression)
    named = [text.split(" :: ")[-1] for text in data.get_all("Classifier") or () if text.startswith("License :: ")]
    known = [CLASSIFIERS[name] for name in named if name in CLASSIFIERS]
    stated = str(data.get("License") or "").strip()
    words = (_licence_file(one) if stated in ("", "UNKNOWN") else stated).partition("\n")[0][:40]
    exact = next((value for start, value in WORDS.items() if words.startswith(start)), words)
    if PERMISSIVE.fullmatch(exact) and known in ([], ["BSD"]):
        return exact
    return " OR ".join(dict.fromkeys(known)) or exact or "not stated"


def _licence_file(one: Distribution) -> str:
    """Return the text of the licence that a package brings, empty where it brings none."""
    texts = (
        path.read_text() for path in one.files or () if path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))
    )
    return next((text.strip() for text in texts if text), "")


def rows(page: str) -> dict[str, str]:
    """Return the rows of a page by their packages."""
    lines = [
        line for line in page.splitlines() if line.startswith("| ") and not line.startswith(("| package", "| ---"))
    ]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines}


def page(former: str = "") -> str:
    """Return the page, with the rows of the former one for what is not installed here."""
    here = {name: package.row() for name, package in found().items()}
    return HEAD + "\n".join(line for _, line in sorted((rows(former) | here).items())) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page(PAGE.read_text("utf-8") if PAGE.exists() else ""))
