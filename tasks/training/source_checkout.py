"""Checks out the sources of the revision that a version was trained by."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage
from overnight.tasks import child_process
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.lineage import RELEASED

_SECONDS = 120


def unavailable_reason(made: CodeLineage, now: CodeLineage, root: Path) -> str:
    """Why the sources of a version cannot be checked out; empty if they can.

    `root` is in the repository of the model, and `now` the code that is there.
    """
    if made.overnight != now.overnight:
        then, here = (f"overnight {code.overnight or 'in a checkout'}" for code in (made, now))
        return (
            f"it was trained by {then}, and this is {here}; in an environment with that release "
            "its sources would be used"
        )
    if not made.commit:
        return "it was trained outside a git checkout"
    if not made.clean:
        return "it was trained from a checkout with uncommitted changes"
    if _git(root, "cat-file", "-e", f"{made.commit}^{{commit}}").returncode != 0:
        return f"this checkout does not know the commit {made.commit[:12]}"
    # From its top, wherever in it `root` is.
    listing = ("ls-tree", "-r", "-z", "--name-only", "--full-tree", made.commit)
    committed = _git(root, *listing).stdout.split("\0")
    # A file that git ignores leaves the checkout clean.
    paths = {_path(made, name) for name in _of_the_repository(made)}
    if missing := sorted(paths - set(committed)):
        return f"{missing[0]} is not in the commit {made.commit[:12]}"
    return ""


@contextmanager
def checkout(code: CodeLineage, folder: Path, root: Path) -> Iterator[Path]:
    """Check out the sources of a version into `folder`, which is removed on exit.

    Yields the folder in it from which they are imported. `root` is in their repository.

    Raises:
        StepFailed: git failed, or a file differs from the digest in the manifest.
    """
    # A killed run may have left a worktree there.
    _git(root, "worktree", "remove", "--force", str(folder))
    added = _git(root, "worktree", "add", "--detach", str(folder), code.commit)
    if added.returncode != 0:
        raise StepFailed(f"git cannot check out {code.commit[:12]}: {added.stderr.strip()[-300:]}")
    try:
        for name in _of_the_repository(code):
            source = folder / _path(code, name)
            if not source.is_file() or digest(source.read_bytes()) != code.files[name]:
                raise StepFailed(f"{name} at {code.commit[:12]} differs from the manifest's digest")
        yield folder / code.folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _of_the_repository(code: CodeLineage) -> list[str]:
    """The files that git has: those of a release of overnight are in the environment."""
    return [name for name in code.files if not (code.overnight and name.startswith(RELEASED))]


def _path(code: CodeLineage, name: str) -> str:
    """The path of a file in the repository."""
    return f"{code.folder}/{name}" if code.folder else name


def _git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return child_process.capture(["git", *arguments], folder=root, seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(arguments, 1, "", str(error))
