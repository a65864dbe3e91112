"""A Pillow plugin whose decoder does on purpose what others do by accident; worker processes import it in tests."""

import builtins
import ctypes
import os
import re
import signal
import struct
import time
import warnings
from collections.abc import Callable

from PIL import Image, ImageFile, PngImagePlugin

PREFIX = b"EVIL "
# A PNG with this comment takes down whatever process decodes it.
DEADLY = "deadly"


def eat_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(1 << 24))


def make_noise() -> None:
    os.write(1, b"what a C library prints must not disturb the protocol")
    print("nor what Python prints", flush=True)
    warnings.warn("odd file", UserWarning, stacklevel=1)


DEEDS: dict[str, Callable[[], object]] = {
    "hang": lambda: time.sleep(3600),
    "hang-in-c": lambda: re.match(r"(a+)+$", "a" * 64 + "b"),
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "memory": eat_memory,
    "noise": make_noise,
}


class EvilImage(ImageFile.ImageFile):
    """``EVIL deed`` or ``EVIL ErrorName``: an 8x8 image that does the deed, or raises the error, when it is loaded."""

    format = "EVIL"

    def _open(self) -> None:
        self.deed = self.fp.read(100)[len(PREFIX) :].decode()
        self._size, self._mode = (8, 8), "L"

    def load(self) -> None:
        if self.deed == "struct.error":
            raise struct.error("on purpose")
        if self.deed not in DEEDS:
            raise (getattr(builtins, self.deed, None) or getattr(Image, self.deed))("on purpose")
        DEEDS[self.deed]()
        self.im = Image.core.new("L", (8, 8))


class DeadlyPng(PngImagePlugin.PngImageFile):
    """A PNG decoder with a fatal bug."""

    def load(self) -> object:
        if self.info.get("Comment") == DEADLY:
            os.abort()
        return super().load()


Image.register_open(EvilImage.format, EvilImage, lambda prefix: prefix.startswith(PREFIX))
Image.register_open(DeadlyPng.format, DeadlyPng, lambda prefix: prefix.startswith(b"\x89PNG"))
