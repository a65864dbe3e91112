import platform
import resource

import numpy as np
import pytest

from brain_assets.resources.machine import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory as they like")
def test_memory_that_is_used_again_and_again_is_mapped_once() -> None:
    keep_freed_memory()
    pages = 3_000_000 // resource.getpagesize()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(3_000_000, np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    found = [faults() for _ in range(50)]
    assert np.median(found) < pages / 10, found
