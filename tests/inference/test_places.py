from mman_jax.inference.places import Place, Places


def test_the_longest_idle_makes_room_once_it_is_idle_long_enough_and_is_told_so():
    places = Places(2, idle_seconds=10)
    assert places.take("a", 0) == Place(0, begins=True, forgotten=False)
    assert places.take("b", 1) == Place(1, begins=True, forgotten=False)
    assert places.take("a", 5) == Place(0, begins=False, forgotten=False)
    assert places.take("c", 11) is None  # b has been idle for no more than ten seconds
    assert list(places.taken()) == ["b", "a"]
    assert places.take("c", 11.5) == Place(1, begins=True, forgotten=False)
    assert places.find("b") is None
    assert places.take("b", 16) == Place(0, begins=True, forgotten=True)
    assert places.take("b", 17) == Place(0, begins=False, forgotten=False)
    assert places.taken() == {"c": 1, "b": 0}


def test_who_ends_frees_a_place_and_was_not_forgotten():
    places = Places(1, idle_seconds=0)
    places.take("a", 0)
    assert places.take("b", 0) is None  # of the same moment
    assert places.release("a")
    assert not places.release("a")
    assert places.take("b", 0) == Place(0, begins=True, forgotten=False)
    assert len(places) == 1
    assert places.take("a", 1).forgotten is False
    assert places.take("b", 2).forgotten is True


def test_names_of_those_who_went_are_bounded():
    places = Places(2, idle_seconds=0)
    for n in range(100):
        places.take(str(n), n)
    assert places.take("0", 200).forgotten is False
    assert places.take("97", 201).forgotten is True


def test_names_of_those_who_went_are_handed_on_in_their_order():
    places = Places(2, idle_seconds=0)
    for n, name in enumerate("abcd"):
        places.take(name, n)
    assert places.gone() == ["a", "b"]
    other = Places(1, idle_seconds=0)
    other.remember(places.gone())
    assert other.gone() == ["a", "b"]
    assert other.had_to_go("a")
    assert not other.had_to_go("c")
    other.release("a")  # who ends did not have to go
    assert other.gone() == ["b"]
    other.remember(str(n) for n in range(20))
    assert other.gone() == [str(n) for n in range(4, 20)]
