"""`--engine ray` on a local cluster of two nodes: a node is lost midway, the result stays the same.

The driver runs in a process of its own, as on a cluster, and finds it by its address.
"""

import os
import subprocess
import sys
import time

import pytest

from features.verify import verify
from tests.extract.command import contents, options, run_small, write_clips
from tests.forking import ROOT

SHARDS, SHARD_CLIPS = 16, 3
LONGEST_WAIT_S = 600.0


@pytest.mark.cluster
@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_an_address_where_no_cluster_is_ends_in_one_line(
    tiny_weights, tmp_path, monkeypatch, address
):
    pytest.importorskip("ray", reason="Ray is not installed: make setup-cluster")
    write_clips(tmp_path / "dump", 1)
    monkeypatch.setenv("RAY_ADDRESS", address)
    chosen = {"engine": "ray", "streams": "vggish"}
    done = run_small(tmp_path / "dump", tmp_path / "out", tiny_weights, **chosen)
    assert done.code == 2 and done.stdout == "" and "Traceback" not in done.stderr
    (line,) = done.errors
    assert f"no Ray cluster answers at RAY_ADDRESS={address}" in line and "unset" in line


@pytest.mark.cluster
def test_a_cluster_that_loses_a_node_makes_the_local_result(tiny_weights, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: make setup-cluster")
    from ray.cluster_utils import Cluster

    dump, out, local, log = (tmp_path / name for name in ("dump", "out", "local", "log"))
    write_clips(dump, SHARDS * SHARD_CLIPS)
    chosen = {"shard_clips": SHARD_CLIPS, "workers": 0, "streams": "yamnet,vggish"}
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    # The head only coordinates; shards are made on two nodes of one core each.
    arguments = ["run", str(dump), *options(out, tiny_weights, engine="ray", **chosen)]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        with log.open("w") as stderr:
            driver = subprocess.Popen(
                [sys.executable, "-m", "extract", *arguments],
                cwd=ROOT,
                env={**os.environ, "RAY_ADDRESS": cluster.address},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
            deadline = time.monotonic() + LONGEST_WAIT_S
            while len(list(out.glob("all/*.json"))) < 3:
                assert driver.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            cluster.remove_node(nodes[0], allow_graceful=False)
            assert not (out / "features.json").exists()
            printed, _ = driver.communicate(timeout=LONGEST_WAIT_S)
    finally:
        cluster.shutdown()
    assert driver.returncode == 0, log.read_text()
    assert printed == ""
    assert "Traceback" not in log.read_text()
    assert run_small(dump, local, tiny_weights, **chosen).code == 0
    assert contents(out) == contents(local)
    assert verify(out) == []
    assert list(out.glob("*/.*.part")) == []
