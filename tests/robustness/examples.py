"""Small valid input of each kind, for mutations to start from."""

import io
import json
import pathlib
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from mman_jax.data.scaling import Scaling
from mman_jax.features.extraction import Extraction
from mman_jax.features.extractor import TrainingData
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import TfIdfText
from mman_jax.inference import states as kept
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.tasks.metrics import METRICS
from mman_jax.training import checkpoints as saved
from tests import tiny
from tests.data.readers import public
from tests.robustness.mutations import Files, damage, damage_files

DIMS = {"speech": 2, "text": 3}
CLASSES = ("no", "yes")
NETWORK = {
    "unimodal": {"default": {"hidden": (3,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}},
    "fusion": {"kind": "dense"},
}


def arrays() -> dict[str, np.ndarray]:
    """The arrays of a small corpus: three conversations, one a part."""
    lengths = [2, 1, 3]
    made = {
        f"features/{name}": np.arange(6 * d, dtype=np.float32).reshape(6, d)
        for name, d in DIMS.items()
    }
    return made | {
        "labels": np.array([0, 1, -1, 1, 0, 1], np.int32),
        "label_names": np.array(CLASSES),
        "lengths": np.array(lengths, np.int32),
        "conversation_ids": np.array(["c0", "c1", "c2"]),
        "utterance_ids": np.array([f"u{u}" for length in lengths for u in range(length)]),
        "groups/gender": np.array(["f", "m", "f", "f", "m", "f"]),
        "speakers": np.array(["A", "B", "A", "A", "B", "C"]),
        "sessions": np.array(["S1", "S1", "S2"]),
        "split": np.array(["train", "valid", "test"]),
    }


def npz() -> list[Files]:
    """A corpus as `.npz`, stored and deflated, in both widths; with words; and a public layout."""
    words = {
        "sequences/text": np.arange(15, dtype=np.float32).reshape(5, 3),
        "sequence_lengths/text": np.array([2, 0, 1, 0, 1, 1], np.int32),
        "intervals/text": np.array([[0, 0.5], [0.5, 1], [0, 1], [0.2, 0.3], [0, 2]]),
        "sequence_names/text": np.array(["so", "it", "is", "not", "é"]),
    }
    wide = {k: a.astype(np.float64) if a.dtype.kind == "f" else a for k, a in arrays().items()}
    found = []
    several = (np.savez, arrays()), (np.savez_compressed, arrays()), (np.savez, wide)
    for save, values in (*several, (np.savez, arrays() | words), (np.savez, public.mfn())):
        file = io.BytesIO()
        save(file, **values)
        found.append({"case.npz": _pack(*_unpack(file.getvalue()))})
    return found


def nine_tuple(names: tuple[str, ...] = ("Ses01F_a", "Ses05M_b")) -> tuple:
    """The DialogueRNN-style tuple; conversation number i has i + 1 utterances."""
    sizes = {name: index + 1 for index, name in enumerate(names)}

    def each(item: Callable[[int], object]) -> dict[str, list]:
        return {name: [item(u) for u in range(size)] for name, size in sizes.items()}

    vectors = (each(lambda u, d=d: np.full(d, u + 0.5, np.float32)) for d in (3, 2, 4))
    ids = each(lambda u: f"u{u}")
    speakers, labels = each(lambda u: "FM"[u % 2]), each(lambda u: u % 2)
    sentences = each(lambda _: "words")
    return (ids, speakers, labels, *vectors, sentences, set(names[:-1]), set(names[-1:]))


def pickles() -> list[Files]:
    """The 9-tuple in each protocol, with IEMOCAP's ids and with others."""
    dialogues = [nine_tuple(), nine_tuple(("a", "b", "c"))]
    return [
        {"case.pkl": pickle.dumps(dialogues[protocol % 2], protocol)}
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]


def folder() -> list[Files]:
    """The bc-LSTM layout: two conversations in training, one in test."""
    labels = [1, 0, 1, 0, 1, 0]
    ids = ["b_x_1", "b_x_10", "b_x_2", "a_1", "t_2", "t_1"]
    rows = {"train": [1, 3, 0, 2], "test": [4, 5]}
    files = {
        "transcripts.csv": _csv([[i, "WORDS", 3, y] for i, y in zip(ids, labels, strict=True)])
    }
    for part, numbers in rows.items():
        files[f"text_{part}.csv"] = _csv([[n, 0.5] for n in numbers])
        for name, d in {"text": 2, "audio": 1, "video": 3}.items():
            table = [[*(10.0 * n + i for i in range(d)), labels[n]] for n in numbers]
            files[f"{name}/{name}_{part}0.csv"] = _csv(table)
    return [files]


def scores() -> dict:
    """The scores of a run, as `results.json` holds them."""
    spread = {"mean": 0.5, "std": 0.1, "per_seed": [0.4, 0.6]}
    part = {name: spread for name in METRICS}
    part |= {"majority_accuracy": 0.5, "confusion": [[1, 0]] * 2}
    part["calibration"] = {"before": 0.1, "after": 0.05, "temperature": 1.5}
    part["per_class"] = [
        dict.fromkeys(("precision", "recall", "f1"), spread) | {"support": 5} for _ in CLASSES
    ]
    head = {
        "validation": part | {"loss": spread},
        "test": part,
        "test_oracle": {"accuracy": spread},
        "best_epoch": [1, 2],
    }
    group = {"accuracy": spread, "unweighted_recall": spread}
    group |= {"utterances": 3, "conversations": 2}
    gap = {"first": "f", "second": "m", "difference": 0.1, "interval": [-0.1, 0.3]}
    gender = {"groups": {"f": group, "m": group}, "gap": gap, "left_out": []}
    head |= {"groups": {"gender": gender}}
    return {"classes": list(CLASSES), **head, "towers": {m: head for m in DIMS}, "seconds": {}}


def runs() -> list[Files]:
    """The JSON files of a finished run: of one task, and of one task a class."""
    head = {
        "system": "mman",
        "protocol": "auto",
        "corpus": {"path": "synthetic", "dimensions": DIMS},
        "seeds": [0, 1],
        "parameters": {"total": 100, **dict.fromkeys(DIMS, 50)},
    }
    config = json.dumps({"system": "mman", "network": NETWORK, "seeds": 2}).encode()
    bodies = (head | scores(), head | {"tasks": {name: scores() for name in CLASSES}})
    return [{"config.json": config, "results.json": json.dumps(b).encode()} for b in bodies]


def lines() -> list[Files]:
    """Utterances of two conversations, a JSON object a line."""
    turns = [
        {"conversation": f"c{i % 2}", "features": {m: [0.5 * i] * d for m, d in DIMS.items()}}
        for i in range(4)
    ]
    return [{"case.jsonl": "".join(json.dumps(turn) + "\n" for turn in turns).encode()}]


def model() -> Model:
    """An untrained network of one seed."""
    network = build(NETWORK, list(DIMS), len(CLASSES))
    params = tiny.params(network, DIMS, seeds=1)
    scaling = Scaling(
        {m: np.zeros(d, np.float32) for m, d in DIMS.items()},
        {m: np.ones(d, np.float32) for m, d in DIMS.items()},
    )
    return Model(params, scaling, NETWORK, DIMS, CLASSES, {"system": "mman", "seeds": [0]})


def states() -> list[Files]:
    """The states of two conversations, and of none."""
    answerer = Answerer([model()])
    owner = kept.identity(answerer.models)
    several = ({"c0": answerer.begin(), "c1": answerer.begin()}, {})
    contents = [kept.to_bytes(found, owner) for found in several]
    return [{"case.npz": _pack(*_unpack(content))} for content in contents]


def extractions() -> list[Files]:
    """What `experiments.extract` writes beside a corpus: of speech, and of text."""
    settings = Settings(speech=OpenSmile(), text=TfIdfText(features=2))
    rng = np.random.default_rng(0)
    fitted = {
        "speech": {name: rng.normal(size=5) for name in ("mean", "scale", "centre")}
        | {"components": rng.normal(size=(5, 2))},
        "text": settings.text.fit(
            ["yes it is", "no it is not", "it rains"], TrainingData(np.zeros(0))
        ),
    }
    with tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch:
        path = pathlib.Path(scratch) / "case.npz"
        Extraction(settings, fitted).save(path)
        return [{path.name: _pack(*_unpack(path.read_bytes()))}]


def models() -> list[Files]:
    """A trained model's folder, as `Model.save` writes it."""
    with tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch:
        model().save(scratch)
        (path,) = pathlib.Path(scratch).iterdir()
        return [{path.name: _pack(*_unpack(path.read_bytes()))}]


def checkpoints(scratch: pathlib.Path) -> list[Files]:
    """A folder of checkpoints with one in it, written into an empty one."""
    saved.save(scratch, {"params": model().params}, {"stage": "towers", "finished": []})
    found = {str(p.relative_to(scratch)): p for p in scratch.rglob("*") if p.is_file()}
    return [{name: path.read_bytes() for name, path in found.items()}]


def repack(files: Files, rng: np.random.Generator) -> Files:
    """An archive again, with one of its arrays damaged and every checksum right."""
    ((name, content),) = files.items()
    members, packing = _unpack(content)
    chosen = list(members)[rng.integers(len(members))]
    members[chosen] = damage(members[chosen], list(members.values()), rng)
    return {name: _pack(members, packing)}


def sign(files: Files) -> Files:
    """A checkpoint's folder with digests that are right for what it now holds."""
    with tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch:
        place = pathlib.Path(scratch)
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
        for step in place.iterdir():
            if step.is_dir():
                saved.sign(step)
        return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def resign(files: Files, rng: np.random.Generator) -> Files:
    """A checkpoint with one of its files damaged by somebody who then wrote its digests."""
    return sign(damage_files(files, list(files.values()), rng))


def _unpack(content: bytes) -> tuple[dict[str, bytes], int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        return members, archive.infolist()[0].compress_type


def _pack(members: Mapping[str, bytes], packing: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            # A ZipInfo made by hand carries a fixed date: the same case is the same bytes.
            archive.writestr(zipfile.ZipInfo(member), data, packing)
    return file.getvalue()


def _csv(rows: list[list[object]]) -> bytes:
    return "".join(",".join(f'"{value}"' for value in row) + "\n" for row in rows).encode()
