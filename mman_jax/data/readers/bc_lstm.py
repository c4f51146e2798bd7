"""bc-LSTM's public files: folders of tables with transcripts, and padded pickles (`*_2way`)."""

import csv
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import items, pooling
from mman_jax.data.readers.items import Array
from mman_jax.data.readers.table import Row, Table, numbered
from mman_jax.errors import InputError, reading
from mman_jax.files.whole import check_regular

MODALITIES = {"audio": "speech", "video": "visual", "text": "text"}
"""Modalities by subfolder; other subfolders are modalities of the same name."""

PARTS = ("train", "test")

PICKLE = "bc-LSTM's padded pickle (seven parts)"
FIELDS = ("train", "train labels", "test", "test labels", "most", "train lengths", "test lengths")
"""The parts of a pickle."""

_POLARITY = ("negative", "positive")


def read(path: str | Path) -> Corpus:
    """Reads a folder: training conversations first, then test, each sorted by id.

    Utterances are ordered by the number that ends their id (1, 2, ..., 10). Labels 0 and 1
    are `negative` and `positive`; if there are others, all are named by their numbers. Rows of
    `transcripts.csv` without features are not part of the corpus.

    Raises:
        InputError: A file is missing, empty or ragged, or its rows differ from the other files';
            labels disagree; an utterance occurs twice; or a conversation is in two parts.
    """
    folder = Path(path)
    tables = _find_tables(folder)
    transcripts = _read_transcripts(folder / "transcripts.csv")
    features: dict[str, list[np.ndarray]] = {modality: [] for modality in tables}
    order: list[tuple[int, str, int, int]] = []
    part_of: dict[str, str] = {}
    used: dict[int, str] = {}
    for index, part in enumerate(PARTS):
        numbers_file = folder / f"text_{part}.csv"
        rows = _row_numbers(numbers_file)
        for modality, files in tables.items():
            values = _read_table(files[part])
            _check_rows(files[part], values, rows, transcripts, numbers_file)
            with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
                features[modality].append(values[:, :-1].astype(np.float32))
        for row in rows:
            conversation, number, _ = transcripts[row]
            where = f"{numbers_file}: utterance {conversation}_{number}"
            if row in used:
                found = f"in {part} and already in {used[row]}"
                raise InputError(where, found, "each utterance once")
            if part_of.setdefault(conversation, part) != part:
                place = f"{folder}: conversation {conversation}"
                raise InputError(place, "in two splits, train and test", "one split")
            order.append((index, conversation, number, len(used)))
            used[row] = part
    take = [position for *_, position in sorted(order)]
    numbers = list(used)
    utterances = [transcripts[numbers[position]] for position in take]
    labels = np.array([label for *_, label in utterances], np.int32)
    lengths = Counter(conversation for conversation, *_ in utterances)
    return Corpus(
        features={name: _concatenate(folder, name, x)[take] for name, x in features.items()},
        labels=labels,
        label_names=_label_names(numbered(labels, str(folder)).names),
        lengths=np.array(list(lengths.values()), np.int32),
        conversation_ids=tuple(lengths),
        utterance_ids=tuple(f"{name}_{number}" for name, number, _ in utterances),
        split=tuple(part_of[name] for name in lengths),
        source=str(folder),
    )


def recognises(loaded: object) -> bool:
    """Returns whether a pickle has the padded layout."""
    if not isinstance(loaded, list | tuple) or len(loaded) != len(FIELDS):
        return False
    return any(isinstance(loaded[i], Array) and loaded[i].ndim == 3 for i in (0, 2))


def read_pickle(place: str, loaded: Any, pool: pooling.How) -> Table:
    """Reads a loaded pickle of one modality; padding follows the utterances.

    The file has no ids: conversations are named by part and row, utterances by position. The
    modality is named `features`, since the file does not name it.
    """
    modality = pooling.Collector("features", pool)
    rows: list[Row] = []
    labels: list[int] = []
    for part, (at, labels_at, lengths_at) in {"train": (0, 1, 5), "test": (2, 3, 6)}.items():
        where, labels_place, lengths_place = (
            f"{place}: part {number} ({FIELDS[number]})" for number in (at, labels_at, lengths_at)
        )
        array = items.array(loaded[at], where)
        if array.ndim != 3:
            raise InputError(where, f"shape {array.shape}", "[conversations, utterances, D]")
        count, most = array.shape[:2]
        marks = items.numbers(loaded[labels_at], labels_place)
        if marks.ndim == 3 and marks.shape[2] > 1:
            marks = marks.argmax(-1)  # one-hot, as its README says
        if marks.size != count * most:
            found = f"shape {np.shape(loaded[labels_at])}"
            raise InputError(labels_place, found, f"{(count, most)}, as the features")
        marks = marks.reshape(count, most)
        lengths = items.lengths(loaded[lengths_at], lengths_place, count, most)
        for span, block in pooling.chunks(array):
            for row, values in enumerate(block, span.start):
                length, name = int(lengths[row]), f"{part}{row:03d}"
                if not length:
                    found = "a conversation without utterances"
                    raise InputError(f"{lengths_place}: row {row}", found, "at least one")
                conversation = f"{place}: conversation {name}"
                modality.add_vectors(values[:length], conversation)
                for position, mark in enumerate(marks[row, :length].tolist()):
                    rows.append(Row(name, str(position), split=part))
                    labels.append(items.label(mark, f"{conversation}, utterance {position}"))
    classes = numbered(labels, f"{place}: labels")
    named = classes._replace(names=_label_names(classes.names))
    notes = ["no ids in the file: conversations are named by part and row"]
    table = Table(place, PICKLE, rows, named, notes)
    table.add(modality)
    return table


def _find_tables(folder: Path) -> dict[str, dict[str, Path]]:
    """Returns the files of each modality by part, with the three known modalities first."""
    tables: dict[str, dict[str, Path]] = {}
    for sub in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        files = {part: sorted(sub.glob(f"*_{part}0.csv")) for part in PARTS}
        if not any(files.values()):
            continue
        for part, paths in files.items():
            if len(paths) != 1:
                raise InputError(sub, f"{len(paths)} files *_{part}0.csv", "exactly one")
        modality = MODALITIES.get(sub.name, sub.name)
        tables[modality] = {part: paths[0] for part, paths in files.items()}
    if not tables:
        expected = "a layout in docs/corpora.md, such as bc-LSTM's text/ with *_train0.csv"
        raise InputError(folder, "no modality's files in this folder", expected)
    names = dict.fromkeys((*MODALITIES.values(), *tables))
    return {name: tables[name] for name in names if name in tables}


def _read_table(path: Path, column: int | None = None) -> np.ndarray:
    """Reads a table of quoted numbers without a header as [rows, columns] float64."""
    check_regular(path, "a file of the bc-LSTM layout")
    if not path.stat().st_size:
        raise InputError(path, "an empty file", "one row per utterance")
    with (
        reading(path, "rows with equal numbers of quoted numbers", (OSError, ValueError)),
        warnings.catch_warnings(action="ignore"),  # empty files are an error below
    ):
        form: Any = dict(delimiter=",", quotechar='"', comments=None, encoding="utf-8")
        table = np.loadtxt(path, ndmin=2, usecols=column, **form)
    if not table.size:
        raise InputError(path, "no rows", "one row per utterance")
    if column is None and table.shape[1] < 2:
        raise InputError(path, f"{table.shape[1]} columns", "features, then the label")
    return table


def _row_numbers(path: Path) -> list[int]:
    """Returns the indices into the transcripts of a part's rows, in the order of its tables."""
    values = _read_table(path, column=0)[:, 0]
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) > 2**53))
    if len(wrong):
        line = int(wrong[0])
        raise InputError(path, f"row number {values[line]:g} in line {line}", "a whole number")
    return [int(value) for value in values]


def _read_transcripts(path: Path) -> list[tuple[str, int, int]]:
    """Returns the conversation, the utterance's number in it, and the label of each row."""
    rows: dict[tuple[str, int], int] = {}
    check_regular(path, "the transcripts of the bc-LSTM layout")
    with (
        reading(path, "a CSV file in UTF-8", (OSError, UnicodeDecodeError, csv.Error)),
        path.open(newline="", encoding="utf-8") as file,
    ):
        lines = list(csv.reader(file, strict=True))
    for line, row in enumerate(lines):
        place = f"{path}: row {line}"
        if len(row) != 4:
            expected = "utterance id, transcript, a number, label"
            raise InputError(place, f"{len(row)} columns", expected)
        match = re.fullmatch(r"(.+)_(\d{1,9})", row[0])
        if not match:
            found = f"utterance id {row[0]!r:.60}"
            raise InputError(place, found, "a conversation id, _ and a number")
        if not re.fullmatch(r"\d{1,3}", row[3]):
            found = f"utterance {row[0]} has label {row[3]!r:.60}"
            raise InputError(place, found, f"an integer from 0 to {items.LARGEST_LABEL}")
        utterance = (match[1], int(match[2]))
        if utterance in rows:
            raise InputError(place, f"utterance {row[0]} again", "each utterance once")
        rows[utterance] = int(row[3])
    return [(*utterance, label) for utterance, label in rows.items()]


def _check_rows(
    path: Path,
    table: np.ndarray,
    rows: list[int],
    transcripts: list[tuple[str, int, int]],
    numbers_file: Path,
) -> None:
    if len(table) != len(rows):
        raise InputError(path, f"{len(table)} utterances", f"{len(rows)}, as in {numbers_file}")
    for line, (row, label) in enumerate(zip(rows, table[:, -1], strict=True)):
        if not 0 <= row < len(transcripts):
            found = f"row number {row} in line {line}"
            raise InputError(numbers_file, found, f"a row of the {len(transcripts)} transcripts")
        conversation, number, expected = transcripts[row]
        if label != expected:
            place = f"{path}: row {line}, utterance {conversation}_{number}"
            raise InputError(place, f"label {label:g}", f"{expected}, as in transcripts.csv")


def _concatenate(folder: Path, modality: str, parts: list[np.ndarray]) -> np.ndarray:
    train, test = (part.shape[1] for part in parts)
    if train != test:
        found = f"{train} features in train and {test} in test"
        raise InputError(f"{folder}: modality {modality}", found, "equal numbers")
    return np.concatenate(parts)


def _label_names(numbers: tuple[str, ...]) -> tuple[str, ...]:
    return _POLARITY if len(numbers) <= len(_POLARITY) else numbers
