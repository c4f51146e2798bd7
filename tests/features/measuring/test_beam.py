"""Apache Beam's direct runner does what the local pool does."""

import pytest

from tests.experiments.test_extract import LIGHT, extract, load, rows
from tests.features import clips

pytest.importorskip("apache_beam", reason="pipelines need Beam: pip install -e '.[beam]'")


def test_beam_writes_what_the_pool_writes(tmp_path):
    source = clips.manifest(tmp_path, sound_only=True)
    flags = ("--modalities=speech,text", *LIGHT[:2], "--on_error=skip")
    table = rows(source)
    table[2]["path"] = "absent.wav"
    clips.table(source, table)
    local = extract(source, tmp_path / "local.npz", *flags)
    beam = extract(source, tmp_path / "beam.npz", *flags, "--runner=beam")
    assert local.returncode == 0, local.stderr
    assert beam.returncode == 0, beam.stderr
    left_out = "left out: conversation c0, utterance u2"
    assert left_out in local.stdout
    assert left_out in beam.stdout
    assert (tmp_path / "local.npz").read_bytes() == (tmp_path / "beam.npz").read_bytes()
    first, second = (load(tmp_path / f"{name}.extraction.npz") for name in ("local", "beam"))
    assert all((first[key] == second[key]).all() for key in first)
    assert not list((tmp_path / "beam.npz.cache").glob("failures_*"))
    assert len(list((tmp_path / "beam.npz.cache").rglob("*.npy"))) == len(table) - 1
