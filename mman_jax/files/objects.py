"""Python objects that `numpy.savez` pickled into an archive: dicts of text and numbers."""

from pathlib import Path

from mman_jax.errors import InputError
from mman_jax.files import archive, arrays, unpickler


def keys(path: Path) -> list[str]:
    """The keys of an archive; none where the file is no archive."""
    try:
        with path.open("rb") as file:
            return [member.name.removesuffix(".npy") for member in archive.members(path, file)]
    except Exception:
        # Bytes that are no archive can fail in any way; who reads the file says how.
        return []


def read(path: str | Path) -> dict[str, object]:
    """What each array of an archive holds, where that is one pickled object.

    Raises:
        InputError: no archive, a damaged one, an array of another kind, or a pickle that
            `unpickler` refuses.
    """
    path, found = Path(path), {}
    try:
        with path.open("rb") as file:
            for member in archive.members(path, file):
                key = member.name.removesuffix(".npy")
                array = arrays.stored(file, f"{path}: {key}", member)
                if not array.dtype.hasobject or array.shape:
                    raise InputError(array.place, f"an array of {array.dtype}", "a pickled dict")
                content = b"".join(archive.chunks(file, member))[array.header :]
                loaded = unpickler.loads(array.place, content)
                item = getattr(loaded, "item", None)
                found[key] = loaded if item is None else item()
    except InputError:
        raise
    except Exception as error:
        # Bytes that are no archive can fail in any way; none of them is a bug of ours.
        found_here = f"unreadable ({error!s:.200})"
        raise InputError(path, found_here, "an archive of pickled dicts") from error
    return found
