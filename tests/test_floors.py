"""The versions that CI tests as the oldest are those that setup.cfg claims."""

import configparser
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
FROM_THE_TEST_EXTRA = {"pytest", "hypothesis", "pytest-xdist"}


def padded(version):
    """A version as three numbers: 0.10 is 0.10.0."""
    parts = [*version.split("."), "0", "0"]
    return tuple(int(part) for part in parts[:3])


def versions(lines, between):
    named = (line.partition(between) for line in lines if between in line)
    return {name.strip(): padded(version.split(",")[0].strip()) for name, _, version in named}


def test_ci_installs_the_floors_that_setup_cfg_claims():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    claimed = versions(setup["options"]["install_requires"].splitlines(), ">=")
    extra = versions(setup["options.extras_require"]["test"].splitlines(), ">=")
    claimed |= {name: extra[name] for name in FROM_THE_TEST_EXTRA}
    assert versions((ROOT / ".ci/floors.txt").read_text().splitlines(), "==") == claimed
