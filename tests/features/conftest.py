import pytest


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    """Folders of a wav2vec 2.0, a RoBERTa and a CLIP with random weights."""
    from tests.features.encoders import tiny

    return tiny.write(tmp_path_factory.mktemp("encoders"))
