"""The label tools that are known, by name."""

import os
from collections.abc import Mapping

from brain_assets.resources.label_tools.cvat import Cvat
from brain_assets.resources.label_tools.door import LabelTool
from brain_assets.resources.label_tools.labelstudio import LabelStudio

TOOLS: Mapping[str, type[LabelStudio] | type[Cvat]] = {one.name: one for one in (LabelStudio, Cvat)}
# Where each is unless somebody says otherwise; both listen there when they are started as their manuals say.
ADDRESSES = {LabelStudio.name: "LABEL_STUDIO_URL", Cvat.name: "CVAT_URL"}
USUAL = "http://localhost:8080"


def tool_of(name: str, url: str | None = None) -> LabelTool:
    """Return a label tool's server: at an address, else where the environment says, else on this machine."""
    return TOOLS[name](url or os.environ.get(ADDRESSES[name]) or USUAL)
