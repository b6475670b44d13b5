"""A cluster whose workers are killed during the run gives the front that this process gives."""

import os
import signal

import pytest
from support.explored import plan, summary
from weft_explore.errors import ExploreError
from weft_explore.exploration import Exploration
from weft_explore.workers import ThisProcess

pytest.importorskip("distributed", reason="needs distributed, of the explore extra")


def test_killed_workers_change_nothing(tmp_path):
    from distributed import LocalCluster
    from weft_explore.cluster import Cluster

    here = Exploration(plan(screened=4), tmp_path / "here")
    here.run(8, ThisProcess(here.plan.evaluator))
    killed = []
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:

        def kill_one(progress) -> None:
            """After the second and the fifth result."""
            if progress.done in (2, 5) and len(killed) < (2 if progress.done == 5 else 1):
                worker = next(iter(cluster.workers.values()))
                killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)

        there = Exploration(plan(screened=4), tmp_path / "there")
        with Cluster(there.plan.evaluator, cluster.scheduler_address) as workers:
            there.run(8, workers, kill_one)
    assert len(killed) == 2
    assert summary(there) == summary(here)
    assert (tmp_path / "there" / "designs.csv").read_text() == (tmp_path / "here" / "designs.csv").read_text()


def test_a_scheduler_that_is_not_there(monkeypatch):
    from weft_explore import cluster

    monkeypatch.setattr(cluster, "TIMEOUT", 1)
    with pytest.raises(ExploreError) as caught:
        cluster.Cluster(plan().evaluator, "tcp://127.0.0.1:9")
    assert str(caught.value).startswith("scheduler 'tcp://127.0.0.1:9' does not answer within 1 s (")
    assert str(caught.value).endswith("); start one with `dask scheduler`, and give the address that it prints")
