"""Corpora, lists of clips and weights, converted."""

import numpy as np
import pytest

from mman_jax.cli import convert
from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from mman_jax.features import extraction, manifest
from tests.children import mman, refused
from tests.data.readers import public, public_folders
from tests.data.small import corpus
from tests.features.visual.test_resnet3d import torchvision_state


def test_description_by_hand():
    described = convert.describe(
        corpus(
            split=("train", "valid", "train"),
            labels=np.array([0, 0, -1, 1, 0, 0], np.int32),
            targets={"valence": np.array([-1, 2.5, np.nan, 0, 0, 0], np.float32)},
            source_notes=("read as a layout", "something was decided"),
        )
    )
    assert described == [
        "  read as a layout",
        "  something was decided",
        "  labels: no 4, yes 1, none 1",
        "  target valence: -1 to 2.5 (5 utterances)",
        "  conversations by part: train 2 (5 utterances), valid 1 (1 utterances)",
    ]
    cells = Sequence(np.ones((7, 2), np.float32), np.array([4, 0, 1, 0, 0, 2], np.int32))
    unknown = np.full(6, np.nan, np.float32)
    described = convert.describe(corpus(targets={"valence": unknown}, sequences={"words": cells}))
    assert "  target valence: none (0 utterances)" in described
    assert "  conversations by part: no split in the file" in described
    assert "  sequence words: 7 cells of 2, without times, at most 4 per utterance" in described


def test_a_public_corpus(tmp_path):
    path = public.dump(tmp_path / "mosi.pkl", public.mmsa())
    ended = mman("convert", f"--input={path}", "--pool=mean_std", f"--output={tmp_path}/mosi.npz")
    assert ended.returncode == 0, ended.stderr
    assert "read as MMSA" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith(f"{tmp_path}/mosi.npz: 4 conversations, 8 utt")
    converted = npz.read(tmp_path / "mosi.npz")
    assert converted.dims == {"speech": 4, "visual": 6, "text": 8}
    assert converted.source_notes[0].startswith("read as MMSA")


def test_words_are_kept_unless_they_are_pooled(tmp_path, capsys):
    path = str(public.dump(tmp_path / "mosi.pkl", public.mmsa()))
    convert.convert_corpus(path, None, {}, None)
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing written: 4 conversations")
    assert [path.name for path in tmp_path.iterdir()] == ["mosi.pkl"]
    words, means = tmp_path / "words.npz", tmp_path / "means.npz"
    convert.convert_corpus(path, words, {}, None)
    assert "sequence text: " in capsys.readouterr().out
    convert.convert_corpus(path, means, {}, "mean")
    words, means = npz.read(words), npz.read(means)
    assert list(words.sequences) == ["speech", "visual", "text"]
    assert means.sequences == {}
    for name, array in means.features.items():
        np.testing.assert_array_equal(words.features[name], array)


def test_damaged_corpora_are_refused(tmp_path):
    value = public.mmsa()
    value["test"]["audio_lengths"][0] = 99
    path = public.dump(tmp_path / "mosi.pkl", value)
    line = refused("convert", f"--input={path}", f"--output={tmp_path}/x.npz")
    assert "mosi.pkl: test: audio_lengths: row 0: length 99" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mosi.pkl"]


def test_lists_of_clips_become_manifests(tmp_path, capsys):
    public_folders.lay(tmp_path / "meld", public_folders.meld_csv())
    convert.convert_clips(str(tmp_path / "meld"), tmp_path / "clips.csv")
    assert capsys.readouterr().out.splitlines()[-1].endswith("clips.csv: 3 conversations, 4 clips")
    utterances = manifest.read(tmp_path / "clips.csv")
    assert [u.conversation_id for u in utterances] == ["0000", "0000", "1039", "1153"]
    assert [u.transcript for u in utterances] == ["What?", "Oh, no", "Hi", "Hi"]
    assert utterances[1].path == str(tmp_path / "train/dia0_utt1.mp4")
    assert [u.split for u in utterances] == ["train", "train", "valid", "test"]
    assert utterances[0].speaker == "Ross"
    public_folders.lay(tmp_path / "iemocap", public_folders.emobox())
    convert.convert_clips(str(tmp_path / "iemocap"), tmp_path / "clips.csv")
    first = manifest.read(tmp_path / "clips.csv")[0]
    assert first.path == str(tmp_path / "downloads/Ses02F_impro04_F000.wav")
    assert (first.label, first.session, first.speaker) == ("Neutral", "Ses02", "Ses02_F")
    public.dump(tmp_path / "x.pkl", public.mmsa())
    with pytest.raises(InputError, match=r"x\.pkl: MMSA.*lists no clips"):
        convert.convert_clips(str(tmp_path / "x.pkl"), tmp_path / "clips.csv")


class Harmful:
    def __reduce__(self):
        return (print, ("code ran",))


def test_weights_are_read_without_running_code(tmp_path):
    torch = pytest.importorskip("torch", reason="weights need torch: pip install 'mman_jax[torch]'")
    state = torchvision_state()
    for value, found in (
        (Harmful(), "bad.pth: unreadable"),
        ({"conv.weight": torch.zeros(2)}, "bad.pth: conv.weight: no weight of r3d_18"),
        ([torch.zeros(2)], "bad.pth: a list"),
    ):
        torch.save(value, tmp_path / "bad.pth")
        flags = (f"--input={tmp_path}/bad.pth", f"--output={tmp_path}/out.npz")
        line = refused("convert", *flags)
        assert found in line
        assert "code ran" not in line
        assert not (tmp_path / "out.npz").exists()
    tensors = {name: torch.as_tensor(value) for name, value in state.items()}
    torch.save(tensors, tmp_path / "r3d_18.pth")
    flags = (f"--input={tmp_path}/r3d_18.pth", f"--output={tmp_path}/out.npz")
    ended = mman("convert", *flags)
    assert ended.returncode == 0, ended.stderr
    kernel = extraction.read_weights(tmp_path / "out.npz")["params/layer2_0/shortcut_conv/kernel"]
    expected = state["layer2.0.downsample.0.weight"].transpose(2, 3, 4, 1, 0)
    np.testing.assert_array_equal(kernel, expected)
