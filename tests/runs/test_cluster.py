"""A Dask cluster of real processes on loopback: the same runs, whatever happens to a worker."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from dask.distributed import Client
from tiny_task import write_backbone, write_task

from peftlab.methods import LoRA
from peftlab.runs.engine import run_folder, run_trials
from peftlab.runs.trial import Trial

SEEDS = (0, 1, 2, 3)
TRIAL = Trial(label="LoRA r=2", method=LoRA(rank=2), learning_rate=1e-2, epochs=2)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    place = tmp_path_factory.mktemp("cluster")
    return {
        "backbone": write_backbone(place / "bert"),
        "task": write_task(place / "toy.tsv"),
        "progress": False,
    }


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments, "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.fixture
def cluster():
    """A scheduler and two workers of one thread each: the address, and the workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    processes = [started("scheduler", "--host", "127.0.0.1", "--port", str(port))]
    try:
        workers = [started("worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]
        processes += workers
        with Client(address, timeout="60s") as client:
            client.wait_for_workers(2, timeout=60)
        yield address, workers
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def timeless(run):
    return replace(run, seconds=0.0, history=dict(run.history) | {"seconds": 0.0})


def test_workers_of_a_cluster_give_the_records_of_processes_here(cluster, where, tmp_path):
    here = run_trials([TRIAL], seeds=SEEDS, folder=tmp_path / "here", **where)
    there = run_trials(
        [TRIAL], seeds=SEEDS, folder=tmp_path / "there", scheduler=cluster[0], **where
    )
    assert [*map(timeless, there)] == [*map(timeless, here)]
    saved = run_folder(tmp_path / "there", TRIAL, where["backbone"], where["task"], 0)
    assert {path.name for path in saved.iterdir()} >= {"run.json", "method.json"}


def test_a_worker_that_is_killed_leaves_its_runs_to_the_other(cluster, where, tmp_path):
    address, (first, _) = cluster
    longer = replace(TRIAL, epochs=40)
    folder = tmp_path / "runs"
    code = (
        "import sys; from test_cluster import *\n"
        "backbone, task, folder, address = sys.argv[1:]\n"
        "run_trials([replace(TRIAL, epochs=40)], seeds=SEEDS, folder=folder, backbone=backbone,"
        " task=task, scheduler=address, progress=False)"
    )
    asked = subprocess.Popen(
        [sys.executable, "-c", code, where["backbone"], where["task"], str(folder), address],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=os.path.dirname(__file__),
    )
    with Client(address) as client:
        while not any(client.processing().values()):
            assert asked.poll() is None
            time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    assert asked.wait(timeout=300) == 0
    found = run_trials([longer], seeds=SEEDS, folder=folder, **where)
    wanted = run_trials([longer], seeds=SEEDS, folder=tmp_path / "here", **where)
    assert [*map(timeless, found)] == [*map(timeless, wanted)]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere"])
def test_a_scheduler_that_does_not_answer_is_told(address, where, tmp_path):
    with pytest.raises(OSError, match=f"no scheduler answers at '{address}'; start one with"):
        run_trials([TRIAL], seeds=SEEDS, folder=tmp_path, scheduler=address, **where)
