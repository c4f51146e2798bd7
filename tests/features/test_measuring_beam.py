"""Apache Beam's direct runner does what the local pool does."""

import numpy as np
import pytest

from mman_jax.data.readers import npz
from tests.cli.test_extract import LIGHT, extract, load
from tests.features import clips

pytest.importorskip("apache_beam", reason="pipelines need Beam: pip install 'mman_jax[beam]'")


@pytest.fixture
def extracted(tmp_path):
    """Extracts a manifest with an absent clip by each runner."""
    source = clips.manifest(tmp_path, sound_only=True)
    table = clips.rows(source)
    table[2]["path"] = "absent.wav"
    clips.table(source, table)

    def extract_twice(*flags):
        for name, runner in (("local", "--processes=1"), ("beam", "--runner=beam")):
            output = tmp_path / f"{name}.npz"
            flags = ("--modalities=speech,text", "--on_error=skip", *flags)
            printed = extract(source, output, *flags, runner)
            assert "left out: conversation c0, utterance u2" in printed
            yield output

    return extract_twice


def test_beam_writes_what_the_pool_writes(extracted):
    local, beam = extracted(*LIGHT[:2])
    assert local.read_bytes() == beam.read_bytes()
    first, second = (load(path.with_suffix(".extraction.npz")) for path in (local, beam))
    assert all((first[key] == second[key]).all() for key in first)
    cache = beam.with_name("beam.npz.cache")
    assert not list(cache.glob("failures_*"))
    assert len(list(cache.rglob("*.npy"))) == 14


def test_encoders_measure_in_batches(extracted, request):
    pytest.importorskip("transformers", reason="encoders: pip install 'mman_jax[encoders]'")
    folder = request.getfixturevalue("encoders")
    encoders = (f"--speech=hf:{folder}/layered", f"--text=hf:{folder}/text")
    local, beam = map(npz.read, extracted("--sequences=speech", *encoders))
    assert local.dims == beam.dims == {"speech": 16, "text": 16}
    pairs = [(local.features[m], beam.features[m]) for m in local.dims]
    pairs.append([corpus.sequences["speech"].values for corpus in (local, beam)])
    for first, second in pairs:
        np.testing.assert_allclose(second, first, atol=1e-5)
