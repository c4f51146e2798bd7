"""What takes long to make and nobody changes: extracted once for all tests, and trained on once."""

import functools

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure


@pytest.fixture(scope="module")
def blank_pictures():
    """Pictures are composed but a white pixel is written: to draw them would take longer than to
    train what they show, and `report` has tests of how they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        white = functools.partial(image.imsave, arr=np.ones((1, 1, 3)), format="png")
        patch.setattr(Figure, "savefig", lambda figure, file, **_: white(file))
        yield


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    """The corpus of `tiny` as a file."""
    from mman_jax.data.readers import npz
    from tests import tiny

    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(tiny.corpus(), path)
    return path


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A manifest of sound alone, and the corpus of its speech and text."""
    from tests.children import run
    from tests.features import clips

    folder = tmp_path_factory.mktemp("sounds")
    source = clips.manifest(folder, sound_only=True)
    ended = run(
        *("experiments.extract", f"--manifest={source}", f"--output={folder}/c.npz"),
        *("--modalities=speech,text", "--speech=egemaps"),
        "--processes=2",
    )
    assert ended.returncode == 0, ended.stderr
    return source, folder / "c.npz"


@pytest.fixture(scope="session")
def trained(sounds, tmp_path_factory):
    """The manifest, the corpus, and the folder of a run on that."""
    from tests import tiny
    from tests.trial import test_runner

    source, corpus = sounds
    workdir = tmp_path_factory.mktemp("trained") / "run"
    # The tower of attention alone is the smallest system that tells its attention.
    test_runner.run(test_runner.on(corpus, tiny.small("clstm_mma")), workdir)
    return source, corpus, workdir
