from unittest import mock

from absl import flags

from configs import mman
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.splits import split
from mman_jax.trial.config import change, leaves
from tests import tiny

# Other commands that tests import in this process have flags of the same names.
with mock.patch.dict(flags.FLAGS._flags(), clear=True):
    from experiments import recommended


def test_every_combination_changes_declared_settings():
    default = dict(leaves(mman.get_config()))
    for name, fields in recommended.COMBINATIONS.items():
        changed = dict(leaves(change(mman.get_config(), fields)))
        assert changed.keys() == default.keys()
        assert (changed != default) == (name != "defaults"), name


def test_the_folds_never_hold_the_test_part(tmp_path):
    corpus = tiny.corpus((10, 3, 4))
    hidden = {corpus.conversation_ids[c] for c in split(corpus).test}
    made = recommended.divide("tiny", corpus, tmp_path / "tiny.npz")
    divided = read_corpus(made[0].path)
    assert len(divided.lengths) == 13
    assert not hidden & set(divided.conversation_ids)
    assert [fold.group for fold in made] == ["1", "3", "5"]
    assert set(divided.sessions) == set("123456")
