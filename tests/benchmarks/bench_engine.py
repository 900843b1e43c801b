"""A sweep on two workers of a cluster against one, each pinned to a core of its own.

    python tests/benchmarks/bench_engine.py

About three minutes on two free cores; the ratio says nothing when others use them.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

from dask.distributed import Client

from peftlab import LoRA
from peftlab.runs.engine import run_trials
from peftlab.runs.trial import Trial

ROUNDS, SEEDS = 3, range(8)
TRIAL = Trial(label="LoRA", method=LoRA(), learning_rate=3e-3, epochs=2, examples=400)


@contextlib.contextmanager
def cluster(workers):
    """The address of a scheduler with so many workers; worker i has core i to itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port)]]
    commands += [
        ["taskset", "-c", str(core), *dask, "worker", address, "--nthreads", "1", "--no-nanny"]
        for core in range(workers)
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [
        subprocess.Popen([*command, "--no-dashboard"], start_new_session=True, **quiet)
        for command in commands
    ]
    try:
        with Client(address, timeout="60s") as client:
            client.wait_for_workers(workers, timeout=60)
        yield address
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)


def seconds(address, seeds):
    """How long the runs of some seeds take, from nothing."""
    options = {"backbone": "lab-bert", "task": "opinions", "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_trials([TRIAL], seeds=seeds, folder=folder, scheduler=address, **options)
        return time.perf_counter() - started


if __name__ == "__main__":
    with cluster(1) as one, cluster(2) as two:
        for address, seeds in ((one, [0]), (two, [0, 1])):
            seconds(address, seeds)  # what is imported once
        for _ in range(ROUNDS):
            alone, both = seconds(one, SEEDS), seconds(two, SEEDS)
            print(f"one worker {alone:.1f} s, two {both:.1f} s: {alone / both:.2f} times as fast")
