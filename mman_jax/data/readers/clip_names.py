"""Folders of single utterances whose file names contain speaker and emotion."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mman_jax.data.readers.table import Row, Table, labelled
from mman_jax.errors import InputError

SUFFIXES = (
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".ts", ".mts", ".wmv", ".flv"),
    *(".mpeg", ".m2ts", ".3gp", ".ogv"),
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aiff", ".aif"),
    *(".au", ".amr", ".mka"),
)
"""Suffixes of audio and video files."""


class _Naming(NamedTuple):
    """The file names of a corpus.

    Attributes:
        corpus: Name of the corpus.
        pattern: Pattern of a name without its suffix, with groups `speaker` and `code`; it may
            start with the name of the file's folder.
        labels: Names of the labels by code.
        female: Pattern of the female speakers; all others are male.
    """

    corpus: str
    pattern: str
    labels: Mapping[str, str]
    female: str


_NAMINGS = (
    _Naming(
        "EMO-DB",
        r"(?P<speaker>03|08|09|1[0-6])[ab]\d\d(?P<code>[WLEAFTN])[a-z]?",
        dict(W="angry", L="bored", E="disgust", A="fear", F="happy", T="sad", N="neutral"),
        "08|09|13|14|16",
    ),
    _Naming(
        "RAVDESS",
        r"0[1-3]-0[12]-(?P<code>0[1-8])-0[12]-0[12]-0[12]-(?P<speaker>0[1-9]|1\d|2[0-4])",
        {"01": "neutral", "02": "calm", "03": "happy", "04": "sad"}
        | {"05": "angry", "06": "fear", "07": "disgust", "08": "surprise"},
        r"\d[02468]",
    ),
    _Naming(
        "CREMA-D",
        r"(?P<speaker>10[0-8]\d|109[01])_[A-Z]{3}_(?P<code>[A-Z]{3})_(?:LO|MD|HI|XX?)",
        dict(ANG="angry", DIS="disgust", FEA="fear", HAP="happy", NEU="neutral", SAD="sad"),
        "10(?:0[2-46-9]|1[0238]|2[014589]|3[07]|4[3679]|5[2-68]|6[013]|7[2-689]|8[249]|91)",
    ),
    _Naming(
        "TESS",
        r"(?P<speaker>OAF|YAF)_[A-Za-z]+_(?P<code>[a-z]+)",
        dict(angry="angry", disgust="disgust", fear="fear", happy="happy", neutral="neutral")
        | dict(ps="surprise", sad="sad"),
        "OAF|YAF",
    ),
    _Naming(
        "SAVEE",
        r"(?P<speaker>DC|JE|JK|KL)[_/](?P<code>a|d|f|h|n|sa|su)\d\d",
        dict(a="angry", d="disgust", f="fear", h="happy", n="neutral", sa="sad", su="surprise"),
        "",
    ),
)


def recognises(folder: Path) -> bool:
    """Returns whether a folder contains audio or video files, at any depth."""
    return any(True for _ in _clips(folder))


def read(folder: Path) -> Table:
    """Reads the names of a corpus's clips; each is a conversation of one utterance.

    Other files are left out, with a note.
    """
    rows: dict[str, Row] = {}
    labels, others, copies = [], [], []
    corpora: set[str] = set()
    for path in sorted(_clips(folder)):
        named = _match(path)
        if named is None:
            others.append(path.name)
            continue
        naming, match = named
        corpora.add(naming.corpus)
        name, speaker = match["name"].replace("/", "_"), match["speaker"]
        if name in rows:
            copies.append(path.name)
            continue
        gender = "female" if re.fullmatch(naming.female, speaker) else "male"
        clip = str(path.absolute())
        rows[name] = Row(name, name, speaker=speaker, gender=gender, clip=clip)
        labels.append(naming.labels[match["code"]])
    if len(corpora) != 1:
        found = f"clips of {' and '.join(sorted(corpora))}"
        if not corpora:
            found = f"clips of other names (first {others[0]})"
        known = ", ".join(naming.corpus for naming in _NAMINGS)
        raise InputError(folder, found, f"clips named as in one of {known}; or a clips.csv")
    notes = [
        f"{len(names)} clips with {which} (first {names[0]}): left out"
        for names, which in ((others, "other names"), (copies, "the name of another one"))
        if names
    ]
    return Table(folder, corpora.pop(), list(rows.values()), labelled(labels), notes)


def _match(path: Path) -> tuple[_Naming, re.Match[str]] | None:
    """Returns the naming that a clip fits and the parts of its name; None if it fits none."""
    for naming in _NAMINGS:
        pattern = f"(?:.*/)?(?P<name>{naming.pattern})"
        match = re.fullmatch(pattern, f"{path.absolute().parent.name}/{path.stem}")
        if match and match["code"] in naming.labels:
            return naming, match
    return None


def _clips(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
