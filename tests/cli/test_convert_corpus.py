"""What the command says and writes of a corpus."""

import numpy as np
import pytest

from mman_jax.cli import convert
from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from mman_jax.features import manifest
from tests.cli.terminal.test_command import run
from tests.data.readers import public, public_folders
from tests.data.small import corpus


def test_what_is_said_by_hand():
    made = corpus(
        split=("train", "valid", "train"),
        labels=np.array([0, 0, -1, 1, 0, 0], np.int32),
        targets={"valence": np.array([-1, 2.5, np.nan, 0, 0, 0], np.float32)},
        source_notes=("read as a layout", "something was decided"),
    )
    assert convert.describe(made) == [
        "  read as a layout",
        "  something was decided",
        "  labels: no 4, yes 1, none 1",
        "  target valence: -1 to 2.5 (5 utterances)",
        "  conversations by part: train 2 (5 utterances), valid 1 (1 utterances)",
    ]
    none = corpus(targets={"valence": np.full(6, np.nan, np.float32)})
    assert "  target valence: none (0 utterances)" in convert.describe(none)
    assert "  conversations by part: no split in the file" in convert.describe(none)
    cells = Sequence(np.ones((7, 2), np.float32), np.array([4, 0, 1, 0, 0, 2], np.int32))
    worded = convert.describe(corpus(sequences={"words": cells}))
    assert "  sequence words: 7 cells of 2, without times, at most 4 an utterance" in worded


def test_the_command(tmp_path):
    public.dump(tmp_path / "mosi.pkl", public.mmsa())
    flags = (f"--input={tmp_path}/mosi.pkl", "--pool=mean_std")
    ended = run("experiments.convert", *flags, f"--output={tmp_path}/mosi.npz")
    assert ended.returncode == 0, ended.stderr
    assert "read as MMSA" in ended.stdout
    assert "mean and standard deviation of the frames; padding in back" in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith(f"{tmp_path}/mosi.npz: 4 conversations, 8 utt")
    made = npz.read(tmp_path / "mosi.npz")
    assert made.dims == {"speech": 4, "visual": 6, "text": 8}
    assert made.source_notes[0].startswith("read as MMSA")


def test_words_are_kept_unless_they_are_pooled(tmp_path, capsys):
    path = str(public.dump(tmp_path / "mosi.pkl", public.mmsa()))
    kept, pooled = tmp_path / "kept.npz", tmp_path / "pooled.npz"
    convert.convert_corpus(path, kept, {}, None)
    assert "sequence text: " in capsys.readouterr().out
    convert.convert_corpus(path, pooled, {}, "mean")
    whole, means = npz.read(kept), npz.read(pooled)
    assert list(whole.sequences) == ["speech", "visual", "text"]
    assert means.sequences == {}
    for name, array in means.features.items():
        np.testing.assert_array_equal(whole.features[name], array)


def test_nothing_is_written_without_an_output_and_of_bad_input(tmp_path):
    public.dump(tmp_path / "mosi.pkl", public.mmsa())
    ended = run("experiments.convert", f"--input={tmp_path}/mosi.pkl")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith("nothing written: 4 conversations")
    value = public.mmsa()
    value["test"]["audio_lengths"][0] = 99
    public.dump(tmp_path / "mosi.pkl", value)
    ended = run("experiments.convert", f"--input={tmp_path}/mosi.pkl", f"--output={tmp_path}/x.npz")
    assert ended.returncode == 2
    assert "mosi.pkl: test: audio_lengths: row 0: length 99" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mosi.pkl"]


def test_lists_of_clips_become_a_manifest(tmp_path, capsys):
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
    with pytest.raises(InputError, match=r"x\.pkl: MMSA.*names no clips"):
        convert.convert_clips(str(tmp_path / "x.pkl"), tmp_path / "clips.csv")
