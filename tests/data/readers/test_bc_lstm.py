import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mman_jax.data.readers import bc_lstm
from mman_jax.errors import InputError
from tests.data.readers.public import refuses

MOSI = Path(__file__).resolve().parents[3] / ".." / "shared/data/mosi"

# Two conversations in training and one in test; rows of the tables are in neither order.
TRANSCRIPTS = [
    ("b_x_1", "FIRST, WITH A COMMA", "3", "1"),
    ("b_x_10", 'TENTH "QUOTED"', "3", "0"),
    ("b_x_2", "SECOND", "3", "1"),
    ("a_1", "OTHER", "1", "0"),
    ("t_2", "TEST", "1", "1"),
    ("t_1", "TEST", "1", "0"),
]
ROWS = {"train": [1, 3, 0, 2], "test": [4, 5]}
DIMS = {"text": 2, "audio": 1, "video": 3}


def csv_text(rows):
    return "".join(
        ",".join('"' + str(v).replace('"', '""') + '"' for v in row) + "\n" for row in rows
    )


def layout(path, rows=ROWS, dims=DIMS, transcripts=TRANSCRIPTS):
    """Feature d of row r is 10 r + d, the same in each modality."""
    (path / "transcripts.csv").write_text(csv_text(transcripts))
    for part, numbers in rows.items():
        table = [[number, 0.5] for number in numbers]
        (path / f"text_{part}.csv").write_text(csv_text(table))
        for name, dim in dims.items():
            (path / name).mkdir(exist_ok=True)
            table = [[*(10.0 * n + d for d in range(dim)), transcripts[n][3]] for n in numbers]
            (path / name / f"{name}_{part}0.csv").write_text(csv_text(table))
    return path


def test_order_names_and_values_by_hand(tmp_path):
    corpus = bc_lstm.read(layout(tmp_path))
    assert corpus.conversation_ids == ("a", "b_x", "t")
    assert corpus.utterance_ids == ("a_1", "b_x_1", "b_x_2", "b_x_10", "t_1", "t_2")
    assert corpus.lengths.tolist() == [1, 3, 2]
    assert corpus.split == ("train", "train", "test")
    assert list(corpus.dims.items()) == [("speech", 1), ("visual", 3), ("text", 2)]
    assert corpus.features["visual"][:, 2].tolist() == [32.0, 2.0, 22.0, 12.0, 52.0, 42.0]
    assert corpus.features["speech"][:, 0].tolist() == [30.0, 0.0, 20.0, 10.0, 50.0, 40.0]
    assert corpus.labels.tolist() == [0, 1, 1, 0, 0, 1]
    assert corpus.label_names == ("negative", "positive")
    assert corpus.source == str(tmp_path)


def test_two_modalities_and_unknown_ones(tmp_path):
    corpus = bc_lstm.read(layout(tmp_path, dims={"gaze": 1, "text": 2}))
    assert corpus.dims == {"text": 2, "gaze": 1}


def test_another_folder_beside_is_passed_over(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "x.txt").write_text("words")
    assert list(bc_lstm.read(layout(tmp_path)).dims) == ["speech", "visual", "text"]


def test_more_labels_are_named_by_number(tmp_path):
    transcripts = [*TRANSCRIPTS[:-1], ("t_1", "TEST", "1", "3")]
    corpus = bc_lstm.read(layout(tmp_path, transcripts=transcripts))
    assert corpus.label_names == ("0", "1", "2", "3")


@pytest.fixture(scope="module")
def mosi():
    if not MOSI.is_dir():
        pytest.skip("CMU-MOSI is not beside the repository")
    return bc_lstm.read(MOSI)


def test_mosi_counts(mosi):
    assert mosi.dims == {"speech": 73, "visual": 100, "text": 100}
    assert (len(mosi.lengths), len(mosi.labels), mosi.lengths.max()) == (93, 2199, 63)
    assert (mosi.split.count("train"), mosi.split.count("test")) == (62, 31)
    part = np.repeat(mosi.split, mosi.lengths)
    assert np.bincount(mosi.labels[part == "train"]).tolist() == [738, 709]
    assert np.bincount(mosi.labels[part == "test"]).tolist() == [285, 467]


def test_mosi_order_and_one_known_row(mosi):
    for index, name in enumerate(mosi.conversation_ids):
        ids = mosi.utterance_ids[mosi.utterances(index)]
        numbers = [int(utterance.rsplit("_", 1)[1]) for utterance in ids]
        assert numbers == sorted(numbers)
        assert {utterance.rsplit("_", 1)[0] for utterance in ids} == {name}
    with (MOSI / "text_train.csv").open() as file:
        row = [float(value.strip('"')) for value in file.readline().strip().split(",")]
    with (MOSI / "transcripts.csv").open() as file:
        name = file.readlines()[int(row[0])].split(",")[0].strip('"')
    at = mosi.utterance_ids.index(name)
    # This table holds the text features once more, printed with fewer digits.
    np.testing.assert_allclose(mosi.features["text"][at], row[1:], rtol=1e-4)


def edit(name, old, new):
    def apply(path):
        text = (path / name).read_text()
        assert old in text
        (path / name).write_text(text.replace(old, new, 1))

    return apply


def overwrite(name, text):
    return lambda path: (path / name).write_text(text)


def delete(name):
    def apply(path):
        shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()

    return apply


def empty(path):
    for name in ("text", "audio", "video"):
        shutil.rmtree(path / name)


REFUSED = {
    "nothing": (empty, ["no modality", "bc-LSTM"]),
    "no transcripts": (delete("transcripts.csv"), ["transcripts.csv", "no such file"]),
    "no row numbers": (delete("text_test.csv"), ["text_test.csv", "no such file"]),
    "no test table": (delete("audio/audio_test0.csv"), ["audio", "*_test0.csv"]),
    "two tables": (overwrite("audio/x_test0.csv", ""), ["audio", "2 files"]),
    "empty table": (overwrite("video/video_train0.csv", ""), ["video_train0.csv", "empty"]),
    "blank table": (overwrite("video/video_train0.csv", "\n\n"), ["video_train0.csv", "no rows"]),
    "words": (edit("text/text_train0.csv", '"11.0"', '"abc"'), ["text_train0.csv", "abc"]),
    "ragged": (edit("text/text_train0.csv", '"11.0",', ""), ["text_train0.csv", "column"]),
    "label alone": (overwrite("audio/audio_test0.csv", '"1"\n"0"\n'), ["audio_test0", "columns"]),
    "not finite": (
        edit("audio/audio_train0.csv", '"10.0"', '"nan"'),
        ["conversation b_x", "utterance b_x_10", "modality speech", "nan"],
    ),
    "row missing": (edit("audio/audio_test0.csv", '"50.0","0"\n', ""), ["audio_test0", "1", "2"]),
    "labels disagree": (
        edit("video/video_train0.csv", '"12.0","0"', '"12.0","1"'),
        ["video_train0.csv", "utterance b_x_10", "label 1", "0", "transcripts.csv"],
    ),
    "other widths": (
        overwrite("audio/audio_test0.csv", '"1","1","1"\n"1","1","0"\n'),
        ["modality speech", "1 features in train and 2 in test"],
    ),
    "row number too large": (edit("text_test.csv", '"4"', '"6"'), ["text_test.csv", "6", "line 0"]),
    "row number negative": (edit("text_test.csv", '"4"', '"-1"'), ["text_test.csv", "-1"]),
    "row number between": (edit("text_test.csv", '"4"', '"4.5"'), ["text_test.csv", "4.5"]),
    "utterance twice": (edit("text_train.csv", '"2"', '"0"'), ["text_train.csv", "b_x_1"]),
    "columns of transcripts": (edit("transcripts.csv", ',"3","0"', ""), ["row 1", "2 columns"]),
    "id without number": (edit("transcripts.csv", "b_x_10", "b_x_ten"), ["row 1", "b_x_ten"]),
    "id twice": (edit("transcripts.csv", "b_x_10", "b_x_1"), ["row 1", "b_x_1 again"]),
    "label of words": (edit("transcripts.csv", '"3","0"', '"3","no"'), ["b_x_10", "'no'"]),
    "open quote": (edit("transcripts.csv", '"t_1"', '"t_1'), ["transcripts.csv"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    breaking(layout(tmp_path))
    refuses(lambda: bc_lstm.read(tmp_path), [str(tmp_path), *words])


def test_transcripts_that_are_no_text(tmp_path):
    (layout(tmp_path) / "transcripts.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"transcripts\.csv"):
        bc_lstm.read(tmp_path)


@pytest.mark.parametrize("name", ["transcripts.csv", "text_test.csv", "text/text_test0.csv"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    (layout(tmp_path) / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: a pipe"):
        bc_lstm.read(tmp_path)


def test_conversation_in_two_splits(tmp_path):
    layout(tmp_path, rows={"train": [0, 3, 1], "test": [2, 4, 5]})
    with pytest.raises(InputError, match="conversation b_x: in two splits"):
        bc_lstm.read(tmp_path)


def test_utterance_in_two_splits(tmp_path):
    layout(tmp_path, rows={"train": [0, 3, 1], "test": [1, 4, 5]})
    with pytest.raises(InputError, match=r"utterance b_x_10: in test and already in train"):
        bc_lstm.read(tmp_path)
