"""`--engine ray`: the same shards, made by the workers of a Ray cluster.

Shards are the unit of work. A worker writes its shard and its done-mark into the output folder,
which all nodes share; what the driver gets back is the done-mark. A shard whose worker or node is
lost is done again elsewhere: its draft never had the final name, so nothing is doubled.
"""

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from extract.pipeline import make_shards
from extract.running.encoder import Encoder
from extract.shards import DoneMark, ShardTask
from extract.sound.decode import Settings
from extract.streams import load_encoders
from features.common.console import log
from features.common.errors import ConfigError, TagbartError
from features.common.here import ROOT
from features.common.memory import keep_freed_memory

# A shard whose workers die this often kills them itself, by its need of memory for instance.
MOST_RETRIES = 8
_ADDRESS_TIMEOUT_S = 10.0


def make_shards_on_ray(
    tasks: Sequence[ShardTask],
    *,
    dump: Path,
    out: Path,
    encoder_options: dict,
    settings: Settings,
) -> Iterator[DoneMark]:
    """Make unfinished shards on the Ray cluster that $RAY_ADDRESS names, or on a local one.

    Args:
        tasks, dump, out, settings: as for `extract.pipeline.make_shards`; `dump`, `out`, the
            weights and this repository have the same absolute paths on every node.
        encoder_options: the arguments of `load_encoders`; each worker process loads once.

    Yields:
        Done-marks, in the order in which shards are finished.

    Raises:
        ConfigError: if Ray is not installed, or no cluster answers at $RAY_ADDRESS.
        TagbartError: if a shard cannot be made, or its workers keep dying.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--engine ray needs Ray: run `make setup-cluster` first") from error
    # Ray prints what its nodes say, a lost one's last words for instance; stdout is for results.
    with redirect_stdout(sys.stderr):
        # Without $RAY_ADDRESS Ray starts a cluster of this machine alone.
        _check_address(os.environ.get("RAY_ADDRESS", ""))
        ray.init(
            log_to_driver=False,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        )
        try:
            yield from _scheduled(ray, tasks, dump, out, encoder_options, settings)
        finally:
            ray.shutdown()


def _check_address(address: str) -> None:
    """Ray itself would try for many minutes to reach a cluster that is not there."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if not port.isdecimal():
        return  # none, `auto` or `local`
    try:
        socket.create_connection((host, int(port)), timeout=_ADDRESS_TIMEOUT_S).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster answers at RAY_ADDRESS={address} ({error}); start one as "
            "docs/cluster.md says, or unset RAY_ADDRESS to use this machine alone"
        ) from error


def _scheduled(
    ray: ModuleType,
    tasks: Sequence[ShardTask],
    dump: Path,
    out: Path,
    encoder_options: dict,
    settings: Settings,
) -> Iterator[DoneMark]:
    """Keep twice as many shards in flight as the cluster has cores; yield as they are finished."""
    options: dict[str, Any] = {"num_cpus": settings.threads, "max_retries": MOST_RETRIES}
    if settings.device.startswith("cuda"):
        options |= {"num_gpus": 1}
    _say_if_none_has_room(ray, settings.threads, options.get("num_gpus", 0))
    remote = ray.remote(**options)(_make_one)
    waiting = list(reversed(tasks))
    running: dict = {}
    in_flight = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))
    while waiting or running:
        while waiting and len(running) < in_flight:
            task = waiting.pop()
            handle = remote.remote(task, dump, out, tuple(encoder_options.items()), settings)
            running[handle] = task
        finished, _ = ray.wait(list(running), num_returns=1)
        for handle in finished:
            task = running.pop(handle)
            try:
                yield ray.get(handle)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise TagbartError(
                    f"{task.path(out)}: could not be made on the cluster ({error}); finished "
                    "shards are intact: run the same command again"
                ) from error


def _say_if_none_has_room(ray: ModuleType, cpus: int, gpus: int) -> None:
    """Ray waits without a word for a node that is large enough; some clusters start one then."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        log(
            f"no node of the cluster has {cpus} cores and {gpus} GPUs now; waiting for one. "
            "Ctrl-C ends it; --threads is what a shard asks for, --device whether it wants a GPU"
        )


def _make_one(
    task: ShardTask, dump: Path, out: Path, encoder_options: tuple, settings: Settings
) -> DoneMark:
    torch.set_num_threads(settings.threads)
    task.make_room(out)  # again, since a lost worker may have tried this shard before
    (mark,) = make_shards(
        [task], dump=dump, out=out, encoders=_encoders(encoder_options), settings=settings
    )
    return mark


@lru_cache(maxsize=1)
def _encoders(options: tuple) -> dict[str, Encoder]:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    keep_freed_memory()
    return load_encoders(**dict(options))
