"""The bc-LSTM folder layout: a table of features a modality and part, and transcripts."""

import csv
import re
import warnings
from pathlib import Path

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError

MODALITIES = {"audio": "speech", "video": "visual", "text": "text"}
"""Subfolders and what their modality is called; any other keeps its own name."""

PARTS = ("train", "test")

_POLARITY = ("negative", "positive")
_LARGEST_LABEL = 999


def read(path: str | Path) -> Corpus:
    """Read a folder: training conversations first, then test, each sorted by id.

    Utterances are ordered by the number that ends their id (1, 2, ..., 10). Labels 0 and 1
    are `negative` and `positive`; where there are others, all are named by their number.
    Rows of `transcripts.csv` without features are no part of the corpus.

    Raises:
        InputError: a file missing, empty, ragged or with other rows than its kin; labels that
            disagree; an utterance twice; a conversation in two splits.
    """
    folder = Path(path)
    tables = _find_tables(folder)
    transcripts = _read_transcripts(folder / "transcripts.csv")
    order: list[tuple[int, str, int, int, int]] = []
    features: dict[str, list[np.ndarray]] = {modality: [] for modality in tables}
    used: dict[int, str] = {}
    part_of: dict[str, str] = {}
    base = 0
    for index, part in enumerate(PARTS):
        numbers_file = folder / f"text_{part}.csv"
        rows = _whole(
            _read_table(numbers_file, first_column=True)[:, 0], numbers_file, "row number"
        )
        for modality, files in tables.items():
            table = _read_table(files[part])
            _check_rows(files[part], table, rows, transcripts, numbers_file)
            with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
                features[modality].append(table[:, :-1].astype(np.float32))
        for position, row in enumerate(rows):
            conversation, number, _ = transcripts[row]
            where = f"{numbers_file}: utterance {conversation}_{number}"
            if row in used:
                found = f"in {part} and already in {used[row]}"
                raise InputError(where, found, "each utterance once")
            used[row] = part
            if part_of.setdefault(conversation, part) != part:
                place = f"{folder}: conversation {conversation}"
                raise InputError(place, "in two splits, train and test", "one split")
            order.append((index, conversation, number, base + position, row))
        base += len(rows)
    order.sort()
    take = [position for _, _, _, position, _ in order]
    labels = np.array([transcripts[row][2] for *_, row in order], np.int32)
    conversations: dict[str, int] = {}
    for _, conversation, *_ in order:
        conversations[conversation] = conversations.get(conversation, 0) + 1
    return Corpus(
        features={name: _join(folder, name, features[name])[take] for name in features},
        labels=labels,
        label_names=_label_names(labels),
        lengths=np.array(list(conversations.values()), np.int32),
        conversation_ids=tuple(conversations),
        utterance_ids=tuple(f"{name}_{number}" for _, name, number, *_ in order),
        split=tuple(part_of[name] for name in conversations),
        source=str(folder),
    )


def _find_tables(folder: Path) -> dict[str, dict[str, Path]]:
    """The files of each modality by part; the three known modalities first."""
    found: dict[str, dict[str, Path]] = {}
    for sub in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        files = {part: sorted(sub.glob(f"*_{part}0.csv")) for part in PARTS}
        if not any(files.values()):
            continue
        for part, paths in files.items():
            if len(paths) != 1:
                raise InputError(sub, f"{len(paths)} files *_{part}0.csv", "exactly one")
        modality = MODALITIES.get(sub.name, sub.name)
        found[modality] = {part: paths[0] for part, paths in files.items()}
    if not found:
        expected = "a layout in docs/corpora.md, such as bc-LSTM's text/ with *_train0.csv"
        raise InputError(folder, "no modality's files in this folder", expected)
    known = [name for name in MODALITIES.values() if name in found]
    return {name: found[name] for name in [*known, *(n for n in found if n not in known)]}


def _read_table(path: Path, first_column: bool = False) -> np.ndarray:
    """[rows, columns] float64 of a table of quoted numbers without a header."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(path, "no plain file", "a file of the bc-LSTM layout")
        if not path.stat().st_size:
            raise InputError(path, "an empty file", "a row an utterance")
        with warnings.catch_warnings(action="ignore"):  # of no data, which is refused below
            table = np.loadtxt(
                path,
                delimiter=",",
                quotechar='"',
                comments=None,
                ndmin=2,
                encoding="utf-8",
                usecols=0 if first_column else None,
            )
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(path, "no such file", "a file of the bc-LSTM layout") from None
    except (OSError, ValueError) as error:
        raise InputError(path, str(error), "rows of as many quoted numbers each") from error
    if not table.size:
        raise InputError(path, "no rows", "a row an utterance")
    if not first_column and table.shape[1] < 2:
        raise InputError(path, f"{table.shape[1]} columns", "features, then the label")
    return table


def _read_transcripts(path: Path) -> list[tuple[str, int, int]]:
    """Conversation, number of the utterance in it, and label, for each row."""
    rows = []
    seen: set[tuple[str, int]] = set()
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(path, "no plain file", "the transcripts of the bc-LSTM layout")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.reader(file, strict=True)):
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
                    raise InputError(place, found, f"an integer from 0 to {_LARGEST_LABEL}")
                utterance = (match[1], int(match[2]))
                if utterance in seen:
                    raise InputError(place, f"utterance {row[0]} again", "each utterance once")
                seen.add(utterance)
                rows.append((*utterance, int(row[3])))
    except FileNotFoundError:
        raise InputError(path, "no such file", "the transcripts of the bc-LSTM layout") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(path, str(error), "a CSV file") from error
    return rows


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


def _whole(values: np.ndarray, path: Path, what: str) -> list[int]:
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) > 2**53))
    if len(wrong):
        line = int(wrong[0])
        raise InputError(path, f"{what} {values[line]:g} in line {line}", "a whole number")
    return [int(value) for value in values]


def _join(folder: Path, modality: str, parts: list[np.ndarray]) -> np.ndarray:
    widths = [part.shape[1] for part in parts]
    if len(set(widths)) > 1:
        found = f"{widths[0]} features in train and {widths[1]} in test"
        raise InputError(f"{folder}: modality {modality}", found, "as many in both")
    return np.concatenate(parts)


def _label_names(labels: np.ndarray) -> tuple[str, ...]:
    largest = int(labels.max(initial=0))
    return _POLARITY if largest < 2 else tuple(str(label) for label in range(largest + 1))
