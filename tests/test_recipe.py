from configs import mman
from mman_jax import recipe


def test_each_call_gives_settings_of_its_own():
    first = (recipe.network(), recipe.training())
    first[0]["unimodal"]["default"]["dense"] = first[1]["towers"]["learning_rate"]["default"] = 1
    again = mman.get_config()
    assert again.network.unimodal.default.dense == 200
    assert again.train.towers.learning_rate.default == 3e-4
    assert again.network.to_dict() == recipe.network()
    assert again.train.to_dict() == recipe.training()
