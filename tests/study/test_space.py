import pytest

from configs import mman
from mman_jax.errors import InputError
from mman_jax.study import space
from mman_jax.systems import build
from mman_jax.systems.mman import papers

OWNERS = (space.ALL_TOWERS, "visual", "text", "mma", "ef", space.DENSE, space.CLSTM)


def values(pick):
    return {o: {f.name: pick(f) for f in space.fields(o, space.NAMES)} for o in OWNERS}


def lowest(field):
    return field.choices[0] if field.choices else field.near(field.low)


def highest(field):
    return field.choices[-1] if field.choices else field.near(field.high)


@pytest.mark.parametrize("pick", [lowest, highest])
def test_the_ends_of_the_space_build_every_system(pick):
    for name in papers(("visual",)):
        config = space.apply(mman.get_config(name), values(pick))
        wanted = [m for m in config.data.modalities.split(",") if m]
        build(config.network, wanted or ["speech", "visual", "text"], 4)


def test_values_stand_where_systems_read_them():
    tried = values(highest)
    configs = [space.apply(mman.get_config(name), tried) for name in papers(("visual", "text"))]
    for owner, own in tried.items():
        owning = [config for config in configs if space.has(config, owner)]
        assert owning
        for config in owning:
            assert space.given(config, owner, space.fields(owner, space.NAMES)) == own
    config = configs[-1]
    assert config.train.batch == 40
    assert config.train.towers.weight_decay == 0.1
    assert config.train.fusion.weight_decay == mman.get_config().train.fusion.weight_decay
    assert config.network.early.attention.to_dict() == {
        "model": 200, "key": 200, "value": 200, "shared": True, "skip": "add",
    }  # fmt: skip
    assert config.network.unimodal.text.hidden == (300, 300)
    assert config.network.unimodal.default == mman.get_config().network.unimodal.default


def test_a_tower_is_the_same_in_every_system_that_has_it():
    whole, late, alone = (
        space.apply(mman.get_config(name), values(highest)).network.unimodal.visual.to_dict()
        for name in ("mman", "clstm_lf", "clstm_visual")
    )
    assert whole == late == alone


def test_the_paper_s_smaller_visual_tower_is_mman_s_alone_whatever_its_dropout():
    def visual(name):
        return space.apply(mman.get_config(name), {"visual": {"dropout": 0.5}}).network.unimodal

    assert visual("mman").visual.hidden == (150, 150)
    late = visual("clstm_lf").visual
    assert (late.hidden, late.dense, late.dropout) == ((300, 300), 200, 0.5)
    assert set(mman.get_config("clstm_lf").network.unimodal) == {"default"}


def test_a_recipe_s_own_values_are_the_nearest_permitted_ones():
    config = mman.get_config()
    config.train.batch = 200
    config.network.unimodal.default.dropout = 0.3
    fields = space.fields(space.ALL_TOWERS, ["batch", "average"])
    assert space.given(config, space.ALL_TOWERS, fields) == {"batch": 40, "average": 0.0}
    assert space.given(config, "text", space.fields("text", ["dropout"])) == {"dropout": 0.3}


def test_an_unknown_setting_is_refused_with_the_near_match():
    assert space.chosen("dropout, batch") == ("dropout", "batch")
    assert space.chosen("") == space.NAMES
    with pytest.raises(InputError, match="fields: unknown 'droput'; expected 'dropout'"):
        space.chosen("batch,droput")


def test_where_numbers_are_learnt_nothing_of_classes_is_searched():
    assert set(space.NAMES) - set(space.chosen("", numbers=True)) == set(space.OF_CLASSES)
    assert space.chosen("dropout", numbers=True) == ("dropout",)
    with pytest.raises(InputError, match="fields: label_smoothing, a setting of classes"):
        space.chosen("dropout,label_smoothing", numbers=True)
