"""Flags that nothing would read are refused, each in a line that says what to do."""

import pytest
from absl import flags
from absl.testing import flagsaver

from mman_jax.cli import extract
from mman_jax.errors import InputError
from tests.children import run
from tests.features import clips

HF = "hf:somewhere"
SOUND = ("--modalities=speech", "--speech=egemaps")

# Flags of settings that only features made here have, by modality.
VISUAL = [
    *("--visual_weights=w.npz", "--visual_windows=3", "--visual_size=32", "--visual_width=8"),
    *("--visual_crop=upper_body", "--visual_epochs=3"),
]
TEXT = ["--word_vectors=w.bin", "--text_features=3", "--text_frequent=3", "--text_epochs=3"]

# What was chosen, flags without effect on it, and what is said of them.
UNUSED = [
    (["--modalities=visual"], ["--speech=egemaps"], "without speech among --modalities"),
    (
        SOUND,
        ["--visual=hf:x", "--visual_rate=3", "--visual_frames=3", *VISUAL],
        "without visual among --modalities; expected visual among them, or no --visual",
    ),
    (SOUND, ["--text=minilm", *TEXT], "without text among --modalities"),
    ([f"--visual={HF}"], VISUAL, f"with --visual={HF}"),
    (["--text=minilm"], TEXT, "with --text=minilm"),
    ([], ["--encoder_layer=0", "--download"], "given without an encoder; expected hf:FOLDER"),
    (["--text=minilm"], ["--download"], "given for local encoders"),
    (["--visual_weights=w.npz"], ["--visual_epochs=3"], "with --visual_weights"),
    ([], ["--text_epochs=3", "--text_frequent=3"], "given without --word_vectors; expected --word"),
    (SOUND, ["--seed=3"], "no network is trained"),
    (["--visual_weights=w.npz"], ["--seed=3"], "no network is trained"),
    (["--runner=beam"], ["--processes=77"], "given with --runner=beam"),
    ([], ["--beam_option=--streaming"], "given without --runner=beam; expected both, or neither"),
]
FEATURES = [(chosen, flag, said) for chosen, several, said in UNUSED for flag in several]


@pytest.mark.parametrize(("chosen", "flag", "said"), FEATURES, ids=str)
def test_extract_refuses_what_it_would_not_read(chosen, flag, said, table):
    # Here and not in a process of its own, of which each takes half a second.
    with flagsaver.flagsaver():
        for given in (f"--manifest={table}", f"--output={table.with_name('c.npz')}", *chosen, flag):
            name, _, value = given.removeprefix("--").partition("=")
            flags.FLAGS[name].parse(value or "true")
            flags.FLAGS[name].present += 1
        flags.FLAGS.mark_as_parsed()
        with pytest.raises(InputError) as told:
            extract.main()
    assert str(told.value).startswith(f"{flag.partition('=')[0]}: ")
    assert said in str(told.value)
    assert [path.name for path in table.parent.iterdir()] == [table.name]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A manifest of a clip that is not there: nothing gets so far as to look for it."""
    row = {"conversation_id": "c", "utterance_id": "u", "path": "none.wav", "transcript": "yes"}
    return clips.table(tmp_path_factory.mktemp("table") / "clips.csv", [row])


@pytest.mark.parametrize(
    ("command", "flag", "said"),
    [
        (("extract", "--manifest=M", "--output=c.npz"), "--beam_option=-x", "--runner=beam"),
        (("predict", "--checkpoint=D", "--stream"), "--state_seconds=3", "given without --state"),
        (("serve", "--checkpoint=D"), "--state_seconds=3", "given without --state"),
        (("bench", "--case=read"), "--peer", "given with --case=read, which has no peer"),
        (
            ("run", "--config=configs/mman.py", "--workdir=D"),
            "--processes=2",
            "given for one trial, which has no folds; expected --config.data.folds",
        ),
        (
            ("convert", "--input=r3d.pth", "--output=w.npz"),
            "--pool=mean",
            "given with weights (r3d.pth)",
        ),
        (
            ("convert", "--input=clips", "--output=clips.csv"),
            "--pool=mean",
            "given with a manifest (clips.csv)",
        ),
    ],
    ids=str,
)
def test_commands_say_so_in_a_line(command, flag, said):
    ended = run(f"experiments.{command[0]}", *command[1:], flag)
    assert ended.returncode == 2, ended.stdout
    (line,) = ended.stderr.strip().splitlines()
    assert line.startswith(f"error: {flag.split('=')[0]}: ")
    assert said in line
