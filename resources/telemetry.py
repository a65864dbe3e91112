"""Telemetry of the libraries below, switched off: importing this module is enough, and processes inherit what it sets.

Every package of ours imports it first, so that it holds before any library is loaded. Some libraries read their switch
as they are imported, others when they first work; ONNX Runtime would else look up its maker's host as soon as a session
is made, and keep a device id and a queue of events under ``~/.cache``.
"""

import os

OFF = {
    "DAGSTER_DISABLE_TELEMETRY": "1",  # also for instances whose dagster.yaml does not say so
    "DISABLE_TELEMETRY": "1",  # earlier releases of huggingface_hub and transformers
    "DO_NOT_TRACK": "1",  # donottrack.sh, which several libraries follow
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

os.environ |= OFF
