"""Fixtures that are slow to create, and that no test changes."""

import contextlib
import functools

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure


@contextlib.contextmanager
def blank():
    """Composes pictures, but writes a white pixel: drawing takes longer than training."""
    with pytest.MonkeyPatch.context() as patch:
        white = functools.partial(image.imsave, arr=np.ones((1, 1, 3)), format="png")
        patch.setattr(Figure, "savefig", lambda figure, file, **_: white(file))
        yield


@pytest.fixture(scope="module")
def blank_pictures():
    with blank():
        yield


@pytest.fixture(scope="session")
def corpus_file():
    """The corpus of `tiny` as a file."""
    from tests import gallery

    return gallery.corpus_file()


@pytest.fixture(scope="session")
def sounds():
    """A manifest of sound alone, and the corpus of its speech and text."""
    from tests import gallery
    from tests.children import run
    from tests.features import clips

    def make(folder):
        source = clips.manifest(folder, sound_only=True)
        ended = run(
            *("experiments.extract", f"--manifest={source}", f"--output={folder}/c.npz"),
            *("--modalities=speech,text", "--speech=egemaps"),
            "--processes=2",
        )
        assert ended.returncode == 0, ended.stderr

    folder = gallery.once("sounds", make)
    return folder / "clips.csv", folder / "c.npz"


@pytest.fixture(scope="session")
def trained(sounds):
    """The manifest, the corpus, and the folder of a trial on that."""
    from mman_jax.cli.terminal.screen import Screen
    from mman_jax.trial import runner
    from tests import gallery, tiny

    def make(folder):
        # The tower of attention alone is the smallest system that tells its attention.
        config = gallery.on(sounds[1], tiny.small("clstm_mma"))
        runner.run(config, folder / "run", Screen(quiet=True))

    return *sounds, gallery.once("trained", make) / "run"
