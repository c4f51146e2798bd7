"""Command lines that are refused in one line, with status 2, before anything is written."""

import os
import shlex

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.features import extraction
from mman_jax.features.measuring import digest
from mman_jax.features.text import readers
from tests import tiny
from tests.children import refused

RUN, SWEEP, EXTRACT = (
    "run --workdir=OUT/run",
    "sweep --output=OUT/x.py",
    "extract --output=OUT/c.npz",
)
PREDICT, LISTEN = "predict --checkpoint=OUT/run", "listen --checkpoint=OUT/run"
CONVERT, EXTRACT_CLIP = "convert --output=OUT/c.npz", f"{EXTRACT} --manifest=IN/clips.csv"

# The command line, and what its line contains; OUT is an empty folder, and IN has the input.
CASES = [
    ("rnu", "'run'"),
    ("run", "--workdir is missing"),
    (f"{RUN} stray", "stray"),
    ("run --workdri=x", "workdir"),
    (f"{RUN}{'x' * 253}", "256 bytes"),
    ("run --workdir=gs://bucket/run", "--workdir=gs://bucket/run: "),
    (f"{RUN} --processes=2", "--processes: given for one trial"),
    (f"{RUN} --config=configs/nothing.py", "--config=configs/nothing.py: no such file"),
    (f"{RUN} --config=configs/mmam.py", "did you mean configs/mman.py?"),
    (f"{RUN} --config=mutl", "mult"),
    (f"{RUN} --config=configs/clstm_lf.py:nosuch", "--config=configs/clstm_lf.py:nosuch: no such"),
    (f"{RUN} --config=configs/mman.py:mosi", "recipe: 'mosi'"),
    (f"{RUN} --config.seeds=many", "seeds"),
    (f"{RUN} --config.checkpoint_seconds=nan", "config.checkpoint_seconds: nan"),
    (f"{RUN} --config.checkpoint_seconds=inf", "config.checkpoint_seconds: inf"),
    (f"{RUN} --config.checkpoint_seconds=-1", "config.checkpoint_seconds: -1"),
    (f"{RUN} --config.data.path=nowhere.npz", "nowhere.npz: no such file"),
    (f"{RUN} --config.data.path=gs://b/c", "--config.data.path=gs://b/c: "),
    (
        f"{RUN} --config.data.pth=x",
        "--config.data.pth: no such field; did you mean config.data.path?",
    ),
    (f"{RUN} --config.data.protocol=mman", "mman4"),
    (f"{RUN} --config.train.max_epoch=3", "max_epochs"),
    (f"{RUN} --config.train.learning_rate=1", "config.train.towers.learning_rate.default?"),
    (f"{RUN} --config.train.towers.learning_rate=1", "a group of fields (default)"),
    (f"{RUN} --config.network.unimodal.gaze.hidden=(3,)", "there are default, visual"),
    (f"{SWEEP} --config=nowhere.py", "--config=nowhere.py: no such file"),
    (f"{SWEEP} --hours=nan", "--hours=nan: expected a number"),
    (f"{SWEEP} --fields=dropout,learning_rat", "--fields: unknown 'learning_rat'"),
    (f"{SWEEP} --config.data.test=another.npz", "config.data.test: 'another.npz'"),
    (f"{SWEEP} --config.system=rozgic", "sweep: Rozgic"),
    (f"{SWEEP} --sweep_folds=sessions", "--sweep_folds: sessions"),
    (f"{CONVERT} --input=IN/broken.npz", "broken.npz"),
    (f"{CONVERT} --input=IN/absent.npz", "absent.npz: no such file"),
    (f"{CONVERT} --input=r3d.pth --pool=mean", "--pool: given with weights (r3d.pth)"),
    (f"{CONVERT} --input=r3d.PT --join=wav2vec=a.npz", "--join: given with weights"),
    ("convert --input=r3d.pth --output=OUT/c.jsonl", "c.jsonl: ends in '.jsonl'"),
    ("convert --input=r3d.pth", "--output: missing"),
    ("convert --input=clips --output=OUT/c.csv --pool=mean", "--pool: given with a manifest"),
    (f"{PREDICT} --input=IN/corpus.npz --output=OUT/a.csv", "no trained model"),
    (f"{PREDICT} --stream --input=a.npz", "--input: given with --stream"),
    (f"{PREDICT} --output=OUT/a.csv", "--input: not given"),
    (f"{PREDICT} --input=a.npz --output=OUT/a.csv --state=s", "--state: given without --stream"),
    (f"{PREDICT} --stream --state_seconds=3", "--state_seconds: given without --state"),
    (f"{PREDICT} --stream --state=IN/pipe.csv", "pipe.csv: a pipe"),
    ("serve --checkpoint=OUT/run --state_seconds=3", "--state_seconds: given without --state"),
    (LISTEN, "--input: not given"),
    (f"{LISTEN} --input=a.wav --microphone", "--input: given with --microphone"),
    (f"{LISTEN} --microphone --transcript=w.csv", "--transcript: given with --microphone"),
    ("look --input=IN/noise.mp4 --output=OUT/a.html", "cannot be decoded"),
    ("look --input=IN/page.html", "the recording itself"),
    (
        "look --input=IN/noise.mp4 --labels=IN/labels.csv",
        "labels.csv: conversation a, ",
    ),
    ("look --input=IN/b.mp4 --labels=IN/labels.csv", "b.mp4: no such file"),
    ("look --input=IN --labels=x.csv", "--labels: given for a folder"),
    ("look --input=a.wav --labels=x.csv --checkpoint=OUT/run", "--labels: given with --checkpoint"),
    (f"{EXTRACT} --manifest=IN/pipe.csv", "pipe.csv: a pipe"),
    (f"{EXTRACT} --manifest=IN/clips.csv --beam_option=-x", "--beam_option: given without"),
    (f"{EXTRACT} --manifest=IN/unlabelled.csv --modalities=visual", "unlabelled.csv: no label"),
    ("extract --manifest=IN/clips.csv --output=OUT/c.csv", "c.csv: ends in '.csv'"),
    (f"{EXTRACT_CLIP} --modalities=speech,txt", "'text'?"),
    (f"{EXTRACT_CLIP} --modalities=", "--modalities"),
    (f"{EXTRACT_CLIP} --visual_crop=face", "visual crop: 'face'"),
    (f"{EXTRACT_CLIP} --visual_weights=none.npz", "none.npz"),
    (f"{EXTRACT_CLIP} --fitted=none.npz", "none.npz: no such file"),
    (f"{EXTRACT_CLIP} --fitted=none.npz --speech=compare", "--speech: given with --fitted="),
    (f"{EXTRACT_CLIP} --word_vectors=none.bin", "none.bin"),
    (f"{EXTRACT_CLIP} --on_error=ignore", "on_error"),
    (f"{EXTRACT_CLIP} --sequences=speach", "--sequences: 'speach'; expected 'speech'?"),
    (f"{EXTRACT_CLIP} --modalities=speech --sequences=text", "--sequences: 'text'"),
    (f"{EXTRACT_CLIP} --sequences=text", "--sequences=text: no --words"),
    (f"{EXTRACT_CLIP} --words=w.csv", "--words=w.csv: no text among --sequences"),
    (f"{EXTRACT_CLIP} --words=w.csv --sequences=text", "w.csv: no such file"),
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A folder of input."""
    folder = tmp_path_factory.mktemp("given")
    npz.write(tiny.corpus((2, 1, 1)), folder / "corpus.npz")
    (folder / "broken.npz").write_bytes((folder / "corpus.npz").read_bytes()[:-100])
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "page.html").write_bytes(b"x")
    header = "conversation_id,utterance_id,path,label"
    (folder / "labels.csv").write_text(f"{header}\na,1,noise.mp4,sad\n")
    (folder / "clips.csv").write_text(f"{header},transcript\na,1,none.mp4,sad,yes\n")
    (folder / "unlabelled.csv").write_text(f"{header}\na,1,none.mp4,\n")
    os.mkfifo(folder / "pipe.csv")
    return folder


@pytest.mark.parametrize(("command", "found"), CASES, ids=lambda value: value[:60])
def test_refused(command, found, given, tmp_path):
    before = os.listdir(given)
    arguments = command.replace("OUT", str(tmp_path)).replace("IN", str(given))
    line = refused(*shlex.split(arguments))
    assert line.startswith("error: ")
    assert found in line
    assert os.listdir(tmp_path) == []
    assert os.listdir(given) == before


def test_libraries_refuse_pipes_without_reading_them(given):
    for read in (
        extraction.read_weights,
        extraction.Extraction.load,
        digest,
        readers.check_vectors,
    ):
        with pytest.raises(InputError, match="a pipe"):
            read(given / "pipe.csv")
