import pytest

from configs import clstm_ef, clstm_lf, clstm_mma, mman
from mman_jax.errors import InputError
from mman_jax.study import space
from mman_jax.systems import build

OWNERS = (space.ALL_TOWERS, "visual", "text", "mma", "ef", space.DENSE, space.CLSTM)


def values(pick):
    return {o: {f.name: pick(f) for f in space.fields(o, space.NAMES)} for o in OWNERS}


def lowest(field):
    return field.choices[0] if field.choices else field.near(field.low)


def highest(field):
    return field.choices[-1] if field.choices else field.near(field.high)


@pytest.mark.parametrize("pick", [lowest, highest])
def test_the_ends_of_the_space_build_every_system(pick):
    config = space.apply(mman.get_config(), values(pick))
    for change in (lambda x: x, clstm_ef.system, clstm_lf.system, clstm_mma.system):
        changed = change(config.copy_and_resolve_references().unlock())
        build(changed.network, ["speech", "visual", "text"], 4)


def test_values_stand_where_systems_read_them():
    tried = values(highest)
    config = space.apply(mman.get_config(), tried)
    for owner, own in tried.items():
        assert space.given(config, owner, space.fields(owner, space.NAMES)) == own
    assert config.train.batch == 40
    assert config.train.towers.weight_decay == 0.1
    assert config.train.fusion.weight_decay == mman.get_config().train.fusion.weight_decay
    assert config.network.early.attention.to_dict() == {
        "model": 200, "key": 200, "value": 200, "shared": True, "skip": "add",
    }  # fmt: skip
    assert config.network.unimodal.text.hidden == (300, 300)
    assert config.network.unimodal.default == mman.get_config().network.unimodal.default


def test_a_tower_is_the_same_in_every_system_that_has_it():
    config = space.apply(mman.get_config(), values(highest))
    tower = config.network.unimodal.visual.to_dict()
    late = clstm_lf.system(config.copy_and_resolve_references().unlock())
    alone = mman.unimodal(config.copy_and_resolve_references().unlock(), "visual")
    early = clstm_ef.system(config.copy_and_resolve_references().unlock())
    assert late.network.unimodal.visual.to_dict() == tower
    assert alone.network.unimodal.to_dict() == {"default": tower}
    assert early.network.early.to_dict() == config.baselines.ef.to_dict() | {
        "kind": "concatenation"
    }
    assert late.network.fusion.hidden == config.baselines.clstm.hidden


def test_the_paper_s_smaller_visual_tower_is_mman_s_alone_whatever_its_dropout():
    config = space.apply(mman.get_config(), {"visual": {"dropout": 0.5}})
    assert config.network.unimodal.visual.hidden == (150, 150)
    late = clstm_lf.system(config).network.unimodal
    assert (late.visual.hidden, late.visual.dense, late.visual.dropout) == ((300, 300), 200, 0.5)
    assert set(clstm_lf.system(mman.get_config()).network.unimodal) == {"default"}


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
