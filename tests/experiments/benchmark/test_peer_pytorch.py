import json
import subprocess
import sys

import pytest

from experiments.benchmark import peer_pytorch
from tests.experiments.terminal.test_command import ROOT


def test_the_peer_trains_networks_of_the_same_size():
    torch = pytest.importorskip("torch", reason="the peer needs the extra torch")
    sizes = [p.numel() for p in peer_pytorch.networks(torch).parameters()]
    assert sum(sizes) == 4_392_116


@pytest.mark.parametrize("mode", peer_pytorch.MODES)
def test_the_peer_runs(mode, tmp_path):
    pytest.importorskip("torch", reason="the peer needs the extra torch")
    (tmp_path / "lengths.json").write_text('{"train": [3, 1, 2]}')
    command = [sys.executable, "-m", "experiments.benchmark.peer_pytorch", f"--mode={mode}"]
    ended = subprocess.run(
        [*command, f"--lengths={tmp_path}/lengths.json"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    line = json.loads(ended.stdout)
    assert line["mode"] == mode
    assert line["utterances_per_second"] == pytest.approx(6 / line["seconds"])
