"""Repositories of the Hugging Face hub: snapshots of models, and uploads.

The package `huggingface_hub` keeps the cache and the credentials, and reads `HF_ENDPOINT`.
"""

import pathlib
import re
from typing import Any

from mman_jax.errors import InputError, require
from mman_jax.files.tensors import check_name, check_no_pickle

PREFIX = "hf:"

FILES = ("*.json", "*.safetensors", "README.md", "model/extraction.npz")
"""Patterns of the files that are downloaded and uploaded; none of them can be a pickle."""

_NAME = re.compile(r"([\w-][\w.-]{0,95}/[\w-][\w.-]{0,95})(?:@([\w./-]{1,200}))?")


def snapshot(name: str, download: bool) -> pathlib.Path:
    """Returns the folder of a repository's files.

    Args:
        name: `USER/NAME` or `USER/NAME@REVISION`, after `hf:` or alone.
        download: whether files that are not in the cache are downloaded.

    Raises:
        InputError: the name is invalid, the repository is not in the cache or cannot be
            downloaded, or it holds a pickle.
    """
    repo, revision = _parse(name)
    place = f"{PREFIX}{name.removeprefix(PREFIX)}"
    hub = _huggingface_hub(place)
    try:
        if download:
            for path in hub.HfApi().list_repo_files(repo, revision=revision):
                check_name(path, place)
        folder = hub.snapshot_download(
            repo, revision=revision, allow_patterns=list(FILES), local_files_only=not download
        )
    except InputError:
        raise
    except Exception as error:  # of HTTP, files and names
        found = f"cannot be downloaded ({_reason(error)})" if download else "not in the cache"
        expected = (
            "a repository that can be reached"
            if download
            else "a download, with the flag or argument `download`"
        )
        raise InputError(place, found, expected) from error
    check_no_pickle(pathlib.Path(folder))
    return pathlib.Path(folder)


def push(folder: pathlib.Path, name: str, private: bool) -> str:
    """Uploads a folder as one commit; a missing repository is created.

    Returns:
        The address of the commit.

    Raises:
        InputError: the name is invalid, or the hub refuses the upload.
    """
    repo, revision = _parse(name)
    if revision is not None:
        raise InputError(name, "a revision", "USER/NAME")
    api = _huggingface_hub(name).HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="Upload a model of mman_jax",
        )
    except Exception as error:  # of HTTP, files and credentials
        expected = "a repository that you may write, after `hf auth login` or with HF_TOKEN"
        raise InputError(name, f"cannot be uploaded ({_reason(error)})", expected) from error
    return str(commit.commit_url)


def _parse(name: str) -> tuple[str, str | None]:
    match = _NAME.fullmatch(name.removeprefix(PREFIX))
    if match is None:
        raise InputError(name, "no name of a repository", f"{PREFIX}USER/NAME[@REVISION]")
    return match[1], match[2]


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error!s:.200}".rstrip(": ")


def _huggingface_hub(place: str) -> Any:
    hub = require("huggingface_hub", "hub", place)
    require("huggingface_hub.utils.logging", "hub", place).set_verbosity_error()  # retries
    return hub
