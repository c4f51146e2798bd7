import os
from pathlib import Path

import numpy as np
import pytest

from mman_jax.data.readers import bc_lstm
from tests.data.readers.public_folders import TRANSCRIPTS, lay
from tests.data.readers.public_folders import bc_lstm as layout
from tests.data.small import refuses

MOSI = Path(__file__).resolve().parents[3] / ".." / "shared/data/mosi"


def test_order_names_and_values_by_hand(tmp_path):
    files = layout() | {"notes/x.txt": b"words"}  # a folder that is no modality
    corpus = bc_lstm.read(lay(tmp_path, files))
    assert corpus.conversation_ids == ("a", "b_x", "t")
    assert corpus.utterance_ids == ("a_1", "b_x_1", "b_x_2", "b_x_10", "t_1", "t_2")
    assert corpus.lengths.tolist() == [1, 3, 2]
    assert corpus.split == ("train", "train", "test")
    assert list(corpus.dims.items()) == [("speech", 1), ("visual", 3), ("text", 2)]
    assert corpus.features["visual"][:, 2].tolist() == [32.0, 2.0, 22.0, 12.0, 52.0, 42.0]
    assert corpus.features["speech"][:, 0].tolist() == [30.0, 0.0, 20.0, 10.0, 50.0, 40.0]
    assert corpus.labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert corpus.label_names == ("negative", "positive")


def test_other_modalities_and_labels(tmp_path):
    transcripts = [*TRANSCRIPTS[:-1], ("t_1", "TEST", "1", "3")]
    dims = (("gaze", 1), ("text", 2))
    corpus = bc_lstm.read(lay(tmp_path, layout(dims=dims, transcripts=transcripts)))
    assert corpus.dims == {"text": 2, "gaze": 1}
    assert corpus.label_names == ("0", "1", "2", "3")


@pytest.mark.skipif(not MOSI.is_dir(), reason="CMU-MOSI is not installed")
def test_mosi():
    mosi = bc_lstm.read(MOSI)
    assert mosi.dims == {"speech": 73, "visual": 100, "text": 100}
    assert (len(mosi.lengths), len(mosi.labels), mosi.lengths.max()) == (93, 2199, 63)
    assert (mosi.split.count("train"), mosi.split.count("test")) == (62, 31)
    part = np.repeat(mosi.split, mosi.lengths)
    assert np.bincount(mosi.labels[part == "train"]).tolist() == [738, 709]
    assert np.bincount(mosi.labels[part == "test"]).tolist() == [285, 467]
    for index, name in enumerate(mosi.conversation_ids):
        ids = [i.rsplit("_", 1) for i in mosi.utterance_ids[mosi.utterances(index)]]
        numbers = [int(number) for _, number in ids]
        assert numbers == sorted(numbers)
        assert {conversation for conversation, _ in ids} == {name}
    # Another table has the same text features with fewer digits.
    with (MOSI / "text_train.csv").open() as table, (MOSI / "transcripts.csv").open() as names:
        number, *row = (float(value.strip('"\n')) for value in table.readline().split(","))
        name = names.readlines()[int(number)].split(",")[0].strip('"')
    np.testing.assert_allclose(
        mosi.features["text"][mosi.utterance_ids.index(name)], row, rtol=1e-4
    )


def edit(name, old, new):
    def apply(files):
        assert old in files[name].decode()
        files[name] = files[name].replace(old.encode(), new.encode(), 1)

    return apply


def overwrite(name, content):
    return lambda files: files.update({name: content})


def delete(name):
    return lambda files: files.pop(name)


def only(name):
    def apply(files):
        for other in files.keys() - {name}:
            del files[other]

    return apply


REFUSED = {
    "no modality": (only("transcripts.csv"), ["no modality", "bc-LSTM"]),
    "no transcripts": (delete("transcripts.csv"), ["transcripts.csv", "no such file"]),
    "no row numbers": (delete("text_test.csv"), ["text_test.csv", "no such file"]),
    "no test table": (delete("audio/audio_test0.csv"), ["audio", "*_test0.csv"]),
    "two tables": (overwrite("audio/x_test0.csv", b""), ["audio", "2 files"]),
    "empty table": (overwrite("video/video_train0.csv", b""), ["video_train0.csv", "empty"]),
    "blank table": (overwrite("video/video_train0.csv", b"\n\n"), ["video_train0.csv", "no rows"]),
    "words": (edit("text/text_train0.csv", '"11.0"', '"abc"'), ["text_train0.csv", "abc"]),
    "ragged": (edit("text/text_train0.csv", '"11.0",', ""), ["text_train0.csv", "column"]),
    "label alone": (overwrite("audio/audio_test0.csv", b'"1"\n"0"\n'), ["audio_test0", "columns"]),
    "not finite": (edit("audio/audio_train0.csv", '"10.0"', '"nan"'),
                   ["conversation b_x, utterance b_x_10, modality speech", "nan"]),
    "row missing": (edit("audio/audio_test0.csv", '"50.0","0"\n', ""), ["audio_test0", "1", "2"]),
    "labels disagree": (edit("video/video_train0.csv", '"12.0","0"', '"12.0","1"'),
                        ["video_train0.csv", "utterance b_x_10", "label 1", "transcripts.csv"]),
    "other widths": (overwrite("audio/audio_test0.csv", b'"1","1","1"\n"1","1","0"\n'),
                     ["modality speech", "1 features in train and 2 in test"]),
    "large row number": (edit("text_test.csv", '"4"', '"6"'), ["text_test.csv", "6", "line 0"]),
    "negative row number": (edit("text_test.csv", '"4"', '"-1"'), ["text_test.csv", "-1"]),
    "fractional row number": (edit("text_test.csv", '"4"', '"4.5"'), ["text_test.csv", "4.5"]),
    "utterance twice": (edit("text_train.csv", '"2"', '"0"'), ["text_train.csv", "b_x_1"]),
    "columns of transcripts": (edit("transcripts.csv", ',"3","0"', ""), ["row 1", "2 columns"]),
    "id without number": (edit("transcripts.csv", "b_x_10", "b_x_ten"), ["row 1", "b_x_ten"]),
    "id twice": (edit("transcripts.csv", "b_x_10", "b_x_1"), ["row 1", "b_x_1 again"]),
    "label of words": (edit("transcripts.csv", '"3","0"', '"3","no"'), ["b_x_10", "'no'"]),
    "open quote": (edit("transcripts.csv", '"t_1"', '"t_1'), ["transcripts.csv"]),
    "no text": (overwrite("transcripts.csv", b"\xff\xfe\x00"), ["transcripts.csv"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_damaged_folders_are_refused(tmp_path, name):
    files, (change, words) = layout(), REFUSED[name]
    change(files)
    refuses(lambda: bc_lstm.read(lay(tmp_path, files)), str(tmp_path), *words)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"train": [0, 3, 1], "test": [2, 4, 5]}, "conversation b_x: in two splits"),
        ({"train": [0, 3, 1], "test": [1, 4, 5]}, "utterance b_x_10: in test and already in train"),
    ],
)
def test_conversations_and_utterances_in_two_parts_are_refused(tmp_path, rows, words):
    refuses(lambda: bc_lstm.read(lay(tmp_path, layout(rows))), words)


@pytest.mark.parametrize("name", ["transcripts.csv", "text_test.csv", "text/text_test0.csv"])
def test_pipes_are_refused(tmp_path, name):
    (lay(tmp_path, layout()) / name).unlink()
    os.mkfifo(tmp_path / name)
    refuses(lambda: bc_lstm.read(tmp_path), f"{name}: a pipe")
