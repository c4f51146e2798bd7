import subprocess

import numpy as np
import pytest

from mman_jax.features import extraction
from tests.children import run
from tests.features.visual import test_resnet3d

torch = pytest.importorskip("torch", reason="conversion needs torch: pip install 'mman_jax[torch]'")


def convert(source, output, *more) -> subprocess.CompletedProcess:
    return run("experiments.convert", f"--input={source}", f"--output={output}", *more)


def test_weights_convert_once_and_load_without_torch(tmp_path):
    network = test_resnet3d.weights()
    torch.save(network.state_dict(), tmp_path / "r3d_18.pth")
    ended = convert(tmp_path / "r3d_18.pth", tmp_path / "r3d_18.npz")
    assert ended.returncode == 0, ended.stderr
    arrays = extraction.read_weights(tmp_path / "r3d_18.npz")
    kernel = network.state_dict()["layer2.0.downsample.0.weight"].numpy()
    found = arrays["params/layer2_0/shortcut_conv/kernel"]
    np.testing.assert_array_equal(found, kernel.transpose(2, 3, 4, 1, 0))


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Evil(), "unreadable"),
        ({"conv.weight": torch.zeros(2)}, "conv.weight: no weight of r3d_18"),
        ([torch.zeros(2)], "a list that is no state dict"),
    ],
)
def test_refused_in_one_line(tmp_path, content, said):
    torch.save(content, tmp_path / "bad.pth")
    ended = convert(tmp_path / "bad.pth", tmp_path / "out.npz")
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert said in ended.stderr
    assert "bad.pth" in ended.stderr
    assert "code ran" not in ended.stdout
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("out.jsonl", (), "out.jsonl: ends in '.jsonl'; expected .npz"),
        ("out.npz", ("--join=wav2vec=a.npz",), "--join: given with weights"),
    ],
)
def test_weights_are_no_corpus(tmp_path, name, more, said):
    ended = convert(tmp_path / "any.PT", tmp_path / name, *more)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert not list(tmp_path.iterdir())
