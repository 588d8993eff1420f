"""A folder to a repository of a Hugging Face hub, in one commit."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..runtime.errors import ConfigError, EdgedistillError, MissingDependencyError, first_line

T = TypeVar("T")


def upload_folder(folder: Path, repo: str, *, private: bool = False, keep: str = "bundle/") -> str:
    """Make the repository what the folder is; what is there besides stays, but for `keep`'s older files.

    The token is huggingface_hub's own: that of `hf auth login`, or the environment's HF_TOKEN.

    Args:
        folder: all files in it and below are sent.
        repo: `organisation/name`; made where it does not exist.
        private: a new repository is private.
        keep: a folder of the repository that shall hold nothing but what is sent.

    Returns:
        the repository's address.

    Raises:
        ConfigError: the name is impossible, there is no token, or it may not write there.
        EdgedistillError: the hub cannot be reached, or refuses.
    """
    hub = require_hub()
    check_repo(repo)
    # Asked for now: the library reads the variable when it is imported, which may be long ago.
    api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)

    def send() -> str:
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        sent = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        old = [path for path in api.list_repo_files(repo) if path.startswith(keep) and path not in sent]
        operations: list[Any] = [hub.CommitOperationDelete(path) for path in old]
        operations += [hub.CommitOperationAdd(path, str(file)) for path, file in sent.items()]
        api.create_commit(repo, operations, commit_message="Upload of a bundle with its report")
        return address

    return _telling(repo, api.endpoint, send)


def check_repo(repo: str) -> None:
    """Raise ConfigError unless `repo` is `organisation/name` in characters that a hub takes."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError(f"{repo}: no name of a repository ({first_line(error)}).") from None
    if repo.count("/") != 1:
        raise ConfigError(f"{repo}: give the organisation or user too, as in my-name/my-model.")


def require_hub() -> Any:
    """huggingface_hub; raises MissingDependencyError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise MissingDependencyError(
            '`edgedistill push` needs huggingface_hub, not installed here: pip install "edgedistill[hub]".'
        ) from None
    return huggingface_hub


def _telling(repo: str, endpoint: str, work: Callable[[], T]) -> T:
    """What the library raises, as one line with the way out."""
    # HTTPError is the base of all that the client underneath raises, which is another one from version to version.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    login = "run `hf auth login`, or set HF_TOKEN to a token that may write"
    try:
        return work()
    except LocalTokenNotFoundError:
        raise ConfigError(f"{repo}: {endpoint} asks for a token, and there is none here: {login}.") from None
    except OfflineModeIsEnabled:
        raise ConfigError(f"{repo}: HF_HUB_OFFLINE is set, so that nothing is sent: unset it.") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ConfigError(
                f"{repo}: {endpoint} refuses the token, or has been given none ({status}): {login}."
            ) from None
        raise EdgedistillError(
            f"{repo}: {endpoint} refuses ({first_line(error)}). Nothing was changed there."
        ) from None
    except (HTTPError, ConnectionError) as error:
        raise EdgedistillError(
            f"{repo}: {endpoint} cannot be reached ({first_line(error)}): is there a network? The same command sends "
            "it again."
        ) from None
