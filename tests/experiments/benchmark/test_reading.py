import pickle

from experiments.benchmark import reading
from mman_jax.data.readers.read import read_corpus


def test_what_is_written_is_read(tmp_path, monkeypatch):
    sizes = {"text": (5, 3), "audio": (4, 2), "vision": (3, 2)}
    monkeypatch.setattr(reading, "SIZES", sizes)
    reading.write(tmp_path / "x.pkl", {"train": 17, "valid": 2, "test": 9})
    corpus = read_corpus(tmp_path / "x.pkl")
    assert corpus.dims == {"speech": 2, "visual": 2, "text": 3}
    assert (len(corpus.labels), corpus.split.count("train")) == (28, 3)
    held = pickle.loads((tmp_path / "x.pkl").read_bytes())
    assert all(part[key].flags.c_contiguous for part in held.values() for key in sizes)
