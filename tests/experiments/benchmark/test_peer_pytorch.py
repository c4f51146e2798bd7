import json

import pytest

from experiments.benchmark import peer_pytorch
from tests.children import run


def test_the_peer_trains_networks_of_the_same_size():
    torch = pytest.importorskip("torch", reason="the peer needs the extra torch")
    sizes = [p.numel() for p in peer_pytorch.networks(torch).parameters()]
    assert sum(sizes) == 4_392_116


@pytest.mark.parametrize("mode", peer_pytorch.MODES)
def test_the_peer_runs(mode, tmp_path):
    pytest.importorskip("torch", reason="the peer needs the extra torch")
    (tmp_path / "lengths.json").write_text('{"train": [3, 1, 2]}')
    lengths = f"--lengths={tmp_path}/lengths.json"
    ended = run("experiments.benchmark.peer_pytorch", f"--mode={mode}", lengths)
    assert ended.returncode == 0, ended.stderr
    line = json.loads(ended.stdout)
    assert line["mode"] == mode
    assert line["utterances_per_second"] == pytest.approx(6 / line["seconds"])
