"""Clips of single utterances, listed by their names."""

from collections import Counter
from pathlib import Path

import pytest

from mman_jax.cli import convert
from mman_jax.data.readers import clip_names
from mman_jax.data.readers.read import read_clips, read_corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest

EMODB = Path(__file__).parents[4] / "shared/data/emodb/wav"

NAMES = {
    "EMO-DB": {
        "03a01Fa.wav": ("03a01Fa", "03", "happy", "male"),
        "wav/16b10Lb.wav": ("16b10Lb", "16", "bored", "female"),
        "10a04Nd.WAV": ("10a04Nd", "10", "neutral", "male"),
    },
    "RAVDESS": {
        "Actor_12/03-01-06-01-02-01-12.wav": ("03-01-06-01-02-01-12", "12", "fear", "female"),
        "Actor_01/02-02-08-02-01-02-01.mp4": ("02-02-08-02-01-02-01", "01", "surprise", "male"),
    },
    "CREMA-D": {
        "1001_DFA_ANG_XX.wav": ("1001_DFA_ANG_XX", "1001", "angry", "male"),
        "AudioWAV/1091_IEO_DIS_HI.wav": ("1091_IEO_DIS_HI", "1091", "disgust", "female"),
    },
    "TESS": {
        "OAF_angry/OAF_back_angry.wav": ("OAF_back_angry", "OAF", "angry", "female"),
        "YAF_dog_ps.wav": ("YAF_dog_ps", "YAF", "surprise", "female"),
    },
    "SAVEE": {
        "DC_a01.wav": ("DC_a01", "DC", "angry", "male"),
        "JE/su15.wav": ("JE_su15", "JE", "surprise", "male"),
        "KL/sa02.wav": ("KL_sa02", "KL", "sad", "male"),
    },
}


def lay(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"RIFF")
    return folder


@pytest.mark.parametrize("corpus", NAMES)
def test_a_name_tells_speaker_emotion_and_gender(corpus, tmp_path):
    lay(tmp_path / "x", *NAMES[corpus])
    (tmp_path / "x" / "readme.txt").write_text("no clip")
    table = read_clips(tmp_path / "x")
    assert (table.layout, table.notes) == (corpus, [])
    convert.convert_clips(str(tmp_path / "x"), tmp_path / "clips.csv")
    header, *_ = (tmp_path / "clips.csv").read_text().splitlines()
    assert header == "utterance_id,path,label,speaker,gender"
    found = {
        str(Path(u.path).relative_to(tmp_path / "x")): (
            u.utterance_id,
            u.speaker,
            u.label,
            dict(u.traits)["gender"],
        )
        for u in manifest.read(tmp_path / "clips.csv")
    }
    assert found == NAMES[corpus]


def test_the_folder_of_a_speaker_is_read_alone(tmp_path):
    lay(tmp_path, "JE/a01.wav")
    assert read_clips(tmp_path / "JE").rows[0].utterance == "JE_a01"


def test_other_clips_and_copies_are_counted_and_left_out(tmp_path):
    lay(tmp_path, "a/OAF_back_sad.wav", "b/OAF_back_sad.wav", "OAF_dog_bored.wav", "x.wav")
    table = read_clips(tmp_path)
    assert [row.utterance for row in table.rows] == ["OAF_back_sad"]
    assert [note.split(": left out")[0] for note in table.notes] == [
        "2 clips with other names (first OAF_dog_bored.wav)",
        "1 clips with the name of another one (first OAF_back_sad.wav)",
    ]


@pytest.mark.parametrize("names", [["a.wav", "b.mp4"], ["03a01Fa.wav", "DC_a01.wav"]])
def test_names_of_no_corpus_or_of_two_are_refused(names, tmp_path):
    with pytest.raises(InputError) as error:
        read_clips(lay(tmp_path, *names))
    assert error.value.place == str(tmp_path)


def test_clips_are_no_corpus_without_features(tmp_path):
    with pytest.raises(InputError, match="mman extract"):
        read_corpus(lay(tmp_path, "DC_a01.wav"))


@pytest.mark.skipif(not EMODB.is_dir(), reason="EMO-DB is not at ../shared/data/emodb/wav")
def test_all_clips_of_emo_db():
    table = clip_names.read(EMODB)
    labels = Counter(table.labels.names[label] for label in table.labels.classes)
    counts = dict(angry=127, bored=81, disgust=46, fear=69, happy=71, neutral=79, sad=62)
    assert (labels, table.notes) == (counts, [])
    assert len({row.speaker for row in table.rows}) == 10
    women = {row.speaker for row in table.rows if row.gender == "female"}
    assert women == {"08", "09", "13", "14", "16"}
