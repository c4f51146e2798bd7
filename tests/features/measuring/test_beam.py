"""Apache Beam's direct runner does what the local pool does."""

import numpy as np
import pytest

from mman_jax.data.readers import npz
from tests.cli.test_extract import LIGHT, extract, load, rows
from tests.features import clips

pytest.importorskip("apache_beam", reason="pipelines need Beam: pip install 'mman_jax[beam]'")


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


def test_encoders_measure_in_batches_there_too(tmp_path):
    pytest.importorskip("transformers", reason="encoders: pip install 'mman_jax[encoders]'")
    from tests.features.encoders import tiny

    folder = tiny.write(tmp_path / "encoders")
    source = clips.manifest(tmp_path, sound_only=True)
    table = rows(source)
    table[2]["path"] = "absent.wav"
    clips.table(source, table)
    flags = (
        *("--modalities=speech,text", "--sequences=speech", "--on_error=skip"),
        *(f"--speech=hf:{folder}/layered", f"--text=hf:{folder}/text"),
    )
    found = []
    for name, more in (("local", "--processes=1"), ("beam", "--runner=beam")):
        ended = extract(source, tmp_path / f"{name}.npz", *flags, more)
        assert ended.returncode == 0, ended.stderr
        assert "left out: conversation c0, utterance u2" in ended.stdout
        found.append(npz.read(tmp_path / f"{name}.npz"))
    local, beam = found
    assert local.dims == beam.dims == {"speech": 16, "text": 16}
    for modality in local.dims:
        np.testing.assert_allclose(beam.features[modality], local.features[modality], atol=1e-5)
    one, other = (corpus.sequences["speech"] for corpus in found)
    np.testing.assert_allclose(one.values, other.values, atol=1e-5)
