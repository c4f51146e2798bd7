"""Upload an exported model to the Hugging Face hub: `mman share --input=FOLDER --repo=USER/NAME`.

FOLDER is one that `mman export --format=hub` wrote. It is checked first: the model loads, its card
states a licence, and there is no pickle. Then it is uploaded as one commit, with the credentials of
`hf auth login` or of `HF_TOKEN`. Anybody can then give `--checkpoint=hf:USER/NAME`. Needs the extra
`hub`.
"""

import pathlib

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError
from mman_jax.files import hub, tensors
from mman_jax.inference.model import TENSORS
from mman_jax.trial import card
from mman_jax.trial.stored import load_models

_INPUT = command.path_flag("input", "Folder that mman export --format=hub wrote.")
_REPO = flags.DEFINE_string("repo", None, "Repository to write, as USER/NAME.", required=True)
_PRIVATE = flags.DEFINE_bool("private", False, "Whether a new repository is private.")


def main() -> None:
    """Checks a folder and uploads it."""
    folder = pathlib.Path(_INPUT.value)
    if not any(folder.rglob(TENSORS)):
        raise InputError(folder, f"no {TENSORS}", "a folder of mman export --format=hub")
    tensors.check_no_pickle(folder)
    licence = card.licence(folder / "README.md")
    load_models(folder)
    with command.named_flags("repo"):
        address = hub.push(folder, _REPO.value, _PRIVATE.value)
    print(f"{folder}: uploaded under {licence}, {address}")
