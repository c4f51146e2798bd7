"""Small valid input of each kind, from which mutations start."""

import io
import json
import pathlib
import pickle
import tempfile
import zipfile
from collections.abc import Callable, Mapping

import jax
import numpy as np

from mman_jax.data.scaling import Scaling
from mman_jax.features.extraction import Extraction
from mman_jax.features.extractor import TrainingData
from mman_jax.features.settings import Settings
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import TfIdfText
from mman_jax.inference.answerer import Answerer, write_states
from mman_jax.inference.familiarity import Familiarity
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.training import checkpoints as stored_checkpoints
from tests import tiny
from tests.data import small
from tests.data.readers import public, public_folders
from tests.report import fake
from tests.robustness.mutations import Files, damage, damage_files

DIMS = {"speech": 2, "text": 3}
CLASSES = ("no", "yes")
NETWORK = {
    "unimodal": {"default": {"hidden": (3,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}},
    "fusion": {"kind": "dense"},
}


def npz() -> list[Files]:
    """A corpus as `.npz`, stored and deflated, in both widths; with words; and a public layout."""
    words = {
        "sequences/text": np.arange(15, dtype=np.float32).reshape(5, 3),
        "sequence_lengths/text": np.array([2, 0, 1, 0, 1, 1], np.int32),
        "intervals/text": np.array([[0, 0.5], [0.5, 1], [0, 1], [0.2, 0.3], [0, 2]]),
        "sequence_names/text": np.array(["so", "it", "is", "not", "é"]),
    }
    corpus = small.arrays()
    wide = {k: a.astype(np.float64) if a.dtype.kind == "f" else a for k, a in corpus.items()}
    examples = []
    several = (np.savez, corpus), (np.savez_compressed, corpus), (np.savez, wide)
    for save, values in (*several, (np.savez, corpus | words), (np.savez, public.mfn())):
        file = io.BytesIO()
        save(file, **values)
        examples.append({"case.npz": pack(*unpack(file.getvalue()))})
    return examples


def layouts() -> list[Files]:
    """Every public pickle, each in one of the protocols."""
    return [
        {"case.pkl": pickle.dumps(make(), number % (pickle.HIGHEST_PROTOCOL + 1))}
        for number, make in enumerate(public.PICKLES.values())
    ]


def folders() -> list[Files]:
    """Every public folder."""
    return [make() for make in public_folders.FOLDERS.values()]


def tables() -> list[Files]:
    """CSV files of utterances: a table of features, and MELD's list."""
    meld = public_folders.meld_csv()["train_sent_emo.csv"]
    return [{"case.csv": public_folders.TABLE}, {"case.csv": meld}]


def csd() -> list[Files]:
    """Computational sequences: frames alone, and frames with labels."""
    import h5py

    files = {}
    for root, width in (("COVAREP", 3), ("Opinion Segment Labels", 1)):
        file = io.BytesIO()
        with h5py.File(file, "w") as content:
            for video, count in (("va", 4), ("vb", 2)):
                group = content.create_group(f"{root}/data/{video}")
                times = np.arange(2.0 * count).reshape(count, 2)
                group.create_dataset("features", data=np.ones((count, width)), compression="gzip")
                group.create_dataset("intervals", data=times)
        files[f"{root.split()[0]}.csd"] = file.getvalue()
    return [{"COVAREP.csd": files["COVAREP.csd"]}, files]


def scores() -> dict:
    """The scores of a run, as `results.json` holds them."""
    head = fake.head(0.5, [[1, 0]] * 2, seeds=2) | {"groups": fake.groups(0.5, seeds=2)}
    spread = head["test"]["accuracy"] | {"interval": [0.3, 0.7]}
    head["test"]["accuracy"] = spread
    del head["ensemble"]  # which has fewer scores than that of a run
    units = {"unit": "speakers", "count": 10}
    difference = {"accuracy": 0.0, "interval": [-0.1, 0.1]} | units
    parts = {name: head[name] for name in ("validation", "test")}
    linear = {"system": "linear", "difference": difference} | parts
    shared = {"towers": {m: head for m in DIMS}, "seconds": {}}
    gain = {"accuracy": 0.0, "interval": [-0.1, 0.1]}
    within = {"0": {"test": {"accuracy": spread}, "cut": 3, "difference": gain}}
    shared |= {"resampled": units, "baseline": linear, "context": within}
    return {"classes": list(CLASSES), **head, **shared}


def runs() -> list[Files]:
    """The JSON files of finished runs: with one task, and with one task per class."""
    head = {
        "system": "mman",
        "protocol": "auto",
        "corpus": {"path": "synthetic", "dimensions": DIMS},
        "seeds": [0, 1],
        "parameters": {"total": 100, **dict.fromkeys(DIMS, 50)},
        "sees": {"cells": "utterances", "context": True, "future": False, "speakers": False},
    }
    config = json.dumps({"system": "mman", "network": NETWORK, "seeds": 2}).encode()
    bodies = (head | scores(), head | {"tasks": {name: scores() for name in CLASSES}})
    return [{"config.json": config, "results.json": json.dumps(b).encode()} for b in bodies]


def lines() -> list[Files]:
    """Utterances of two conversations, one JSON object per line."""
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
    card = {"system": "mman", "seeds": [0]}
    near = Familiarity({m: np.linspace(0, 3, 101, dtype=np.float32) for m in DIMS})
    return Model(params, scaling, NETWORK, DIMS, CLASSES, card, familiarity=near)


def states() -> list[Files]:
    """The states of two conversations, and of none."""
    answerer = Answerer([model()])
    owner = answerer.identity
    two = jax.tree.map(lambda x: np.stack([x, x]), answerer.begin())
    contents = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "states")
        for names, of in ((["c0", "c1"], two), ([], None)):
            write_states(path, names, of, owner)
            contents.append(path.read_bytes())
    return [{"case.npz": pack(*unpack(content))} for content in contents]


def extractions() -> list[Files]:
    """The fitted extraction of speech and text that `mman extract` writes with a corpus."""
    settings = Settings(speech=OpenSmile(), text=TfIdfText(features=2))
    rng = np.random.default_rng(0)
    fitted = {
        "speech": {name: rng.normal(size=5) for name in ("mean", "scale", "centre")}
        | {"components": rng.normal(size=(5, 2))},
        "text": settings.text.fit(
            ["yes it is", "no it is not", "it rains"], TrainingData(np.zeros(0))
        ),
    }
    return [_saved(lambda folder: Extraction(settings, fitted).save(folder / "case.npz"))]


def models() -> list[Files]:
    """A trained model's folder, as `Model.save` writes it."""
    return [_saved(model().save)]


def checkpoints(scratch: pathlib.Path) -> list[Files]:
    """A folder with one checkpoint, written into an empty folder."""
    state = {"params": model().params}
    stored_checkpoints.save(scratch, state, {"stage": "towers", "finished": []})
    return [_contents(scratch)]


def repack(files: Files, rng: np.random.Generator) -> Files:
    """Damages one array of an archive and makes every checksum right."""
    ((name, content),) = files.items()
    members, packing = unpack(content)
    chosen = list(members)[rng.integers(len(members))]
    members[chosen] = damage(members[chosen], list(members.values()), rng)
    return {name: pack(members, packing)}


def sign(files: Files) -> Files:
    """Makes the digests of a checkpoint right for its current content."""
    with tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch:
        folder = public_folders.lay(pathlib.Path(scratch), files)
        for step in folder.iterdir():
            if step.is_dir():
                stored_checkpoints.sign(step)
        return _contents(folder)


def resign(files: Files, rng: np.random.Generator) -> Files:
    """Damages a file of a checkpoint and then makes the digests right."""
    return sign(damage_files(files, list(files.values()), rng))


def _saved(save: Callable[[pathlib.Path], object]) -> Files:
    """The archive that a function writes into a folder, with fixed dates."""
    with tempfile.TemporaryDirectory(prefix="mman_jax_fuzz_") as scratch:
        save(pathlib.Path(scratch))
        ((name, content),) = _contents(pathlib.Path(scratch)).items()
        return {name: pack(*unpack(content))}


def _contents(folder: pathlib.Path) -> Files:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def unpack(content: bytes) -> tuple[dict[str, bytes], int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        return members, archive.infolist()[0].compress_type


def pack(members: Mapping[str, bytes], packing: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member, data in members.items():
            # A ZipInfo has a fixed date, so that equal cases are equal bytes.
            name = member.encode("utf-8", "replace").decode()
            archive.writestr(zipfile.ZipInfo(name), data, packing)
    return file.getvalue()
