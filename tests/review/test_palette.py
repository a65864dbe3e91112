"""The colours of words stand out from the ground and from each other, whatever one's colour vision."""

import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from brain_assets.review.app import STATIC

GROUNDS = {"light": "#ffffff", "dark": "#161a20"}
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "trichromacy": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Oklab, https://bottosson.github.io/posts/oklab/
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
LAB = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def seen(colour: str, vision: str) -> np.ndarray:
    return np.array(LAB) @ np.cbrt(np.array(CONES) @ np.clip(np.array(VISIONS[vision]) @ linear(colour), 0, 1))


@pytest.fixture(scope="module", params=GROUNDS)
def words(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    source = (STATIC / "js" / "palette.js").read_text("utf-8")
    (listed,) = re.findall(rf"const WORDS = \{{.*?{request.param}: \[(.*?)\]", source, re.DOTALL)
    return GROUNDS[request.param], re.findall(r"#[0-9A-F]{6}", listed)


def test_there_are_eight_colours(words: tuple[str, list[str]]) -> None:
    assert len(set(words[1])) == 8


@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_colours_look_alike(words: tuple[str, list[str]], vision: str) -> None:
    for one, other in itertools.combinations(words[1], 2):
        assert np.linalg.norm(seen(one, vision) - seen(other, vision)) > 0.07, (one, other)


def test_all_stand_out_from_the_ground(words: tuple[str, list[str]]) -> None:
    ground, colours = words
    assert min(contrast(colour, ground) for colour in colours) > 2


def test_words_beyond_the_first_eight_differ_from_them_in_shape_and_colour() -> None:
    """What the page's own module says, asked where there is something that runs it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = """
        globalThis.document = { documentElement: { dataset: { theme: process.argv[1] } } };
        const { MOST_WORDS, wordColour, wordShape, slotColours } = await import(process.argv[2]);
        const marks = Array.from({ length: MOST_WORDS }, (_, slot) => [wordColour(slot), wordShape(slot)].join(" "));
        console.log(JSON.stringify([marks, Array.from(slotColours("word").subarray(0, MOST_WORDS * 4))]));
    """
    for theme, ground in GROUNDS.items():
        told = subprocess.run(
            [node, "--input-type=module", "-e", script, theme, (STATIC / "js" / "palette.js").as_uri()],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        marks, slots = json.loads(told)
        assert len(set(marks)) == len(marks) == 48
        colours = ["#" + "".join(f"{value:02x}" for value in slots[at : at + 3]) for at in range(0, len(slots), 4)]
        assert min(contrast(colour, ground) for colour in colours) > 2
