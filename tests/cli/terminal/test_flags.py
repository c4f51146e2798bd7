"""Flags of `mman extract` without effect are refused."""

import pytest
from absl import flags
from absl.testing import flagsaver

from mman_jax.cli import extract
from mman_jax.errors import InputError

SOUND = ("--modalities=speech", "--speech=egemaps")

# Flags of features that are computed here, by modality.
VISUAL = [
    *("--visual_weights=w.npz", "--visual_windows=3", "--visual_size=32", "--visual_width=8"),
    *("--visual_crop=upper_body", "--visual_epochs=3"),
]
TEXT = ["--word_vectors=w.bin", "--text_features=3", "--text_frequent=3", "--text_epochs=3"]
PICTURES = ["--visual=hf:x", "--visual_rate=3", "--visual_frames=3"]

# Flags that were chosen, flags without effect next to them, and the reason.
UNUSED = [
    (["--modalities=visual"], ["--speech=egemaps"], "without speech among --modalities"),
    (SOUND, [*PICTURES, *VISUAL], "without visual among --modalities"),
    (SOUND, ["--text=minilm", *TEXT], "without text among --modalities"),
    (["--visual=hf:x"], VISUAL, "with --visual=hf:x"),
    (["--text=minilm"], TEXT, "with --text=minilm"),
    ([], ["--encoder_layer=0", "--download"], "without an encoder"),
    (["--text=minilm"], ["--download"], "an encoder that is not a local folder"),
    (["--visual_weights=w.npz"], ["--visual_epochs=3"], "with --visual_weights"),
    ([], ["--text_epochs=3", "--text_frequent=3"], "without --word_vectors"),
    (SOUND, ["--seed=3"], "no network is trained"),
    (["--visual_weights=w.npz"], ["--seed=3"], "no network is trained"),
    (["--runner=beam"], ["--processes=77"], "with --runner=beam"),
    ([], ["--beam_option=--streaming"], "without --runner=beam"),
]
CASES = [(chosen, flag, found) for chosen, unused, found in UNUSED for flag in unused]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "clips.csv"
    path.write_text("conversation_id,utterance_id,path,transcript\nc,u,none.wav,yes\n")
    return path


@pytest.mark.parametrize(("chosen", "flag", "found"), CASES, ids=str)
def test_unused_flags_are_refused(chosen, flag, found, manifest):
    # In this process, since there are many.
    paths = (f"--manifest={manifest}", f"--output={manifest.with_name('c.npz')}")
    with flagsaver.flagsaver():
        for argument in (*paths, *chosen, flag):
            name, _, value = argument.removeprefix("--").partition("=")
            flags.FLAGS[name].parse(value or "true")
            flags.FLAGS[name].present += 1
        flags.FLAGS.mark_as_parsed()
        with pytest.raises(InputError) as error:
            extract.main()
    assert error.value.place == flag.partition("=")[0]
    assert found in str(error.value)
    assert [path.name for path in manifest.parent.iterdir()] == ["clips.csv"]
