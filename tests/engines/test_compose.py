"""The cluster to try it with is one that can be started."""

import shlex

import yaml

from tests.test_layers import ROOT


def test_the_compose_file_is_a_head_and_two_workers_that_find_it() -> None:
    services = yaml.safe_load((ROOT / "docs" / "compose.ray.yaml").read_text("utf-8"))["services"]
    started = {name: shlex.split(service["command"]) for name, service in services.items()}
    assert [name for name, words in started.items() if "--head" in words] == ["head"]
    assert "--port=6379" in started["head"]
    assert "--ray-client-server-port=10001" in started["head"]
    for name in ("worker-1", "worker-2"):
        assert "--address=head:6379" in started[name]
        assert services[name]["depends_on"] == ["head"]
    for service in services.values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
        # The run's folder of images is found under its own path.
        assert service["volumes"] == ["${MEDIA:?the folder of images}:${MEDIA}:ro"]
    # Who reaches the head's port can run code on the cluster.
    assert services["head"]["ports"] == ["127.0.0.1:10001:10001"]
