"""Tiny embedding models that tests name as ``python:tests.models:...``."""

import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EMBEDDED: list[int] = []


class Pixels:
    """The image at 8x8 as its vector; counts what it is given in ``EMBEDDED``."""

    version = "pixels-1"
    dimension = 192
    input = 8

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        EMBEDDED.append(len(images))
        return images.reshape(len(images), -1).astype(np.float32) + 1


class Silent(Pixels):
    """Gives NaN for dark images."""

    version = "silent-1"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = super().embed(images)
        vectors[images.mean(axis=(1, 2, 3)) < 8] = np.nan
        return vectors


class Bright(Pixels):
    """A third model."""

    version = "bright-1"


class Broken(Pixels):
    """Fails on dark images."""

    version = "broken-1"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if (images.mean(axis=(1, 2, 3)) < 8).any():
            raise RuntimeError("CUDA error:\nout of everything")
        return super().embed(images)


class Patches:
    """Gives plain crops the peer's recorded vector of the patch that their colour names."""

    version = "patches-1"
    dimension = 64
    input = 8

    def __init__(self) -> None:
        self.vectors = np.load(Path(__file__).parent / "golden" / "seed7" / "inputs.npz")["patch_embeddings"]

    @staticmethod
    def color(patch: int) -> tuple[int, int, int]:
        return patch // 256, patch % 256, 128

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        middle = images[:, 4, 4].astype(np.int64)
        return self.vectors[middle[:, 0] * 256 + middle[:, 1]].astype(np.float32)


def misshapen() -> None:
    """No reducer: it takes nothing, and returns nothing."""


class Held(Pixels):
    """Does not go on while the file that ``BRAIN_TEST_HOLD`` names is there."""

    version = "held-1"

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        while os.path.exists(os.environ.get("BRAIN_TEST_HOLD", "")):
            time.sleep(0.02)
        return super().embed(images)
