"""Checks out the sources of the revision that a version was trained by."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage
from overnight.tasks import child_process
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.lineage import ROOT

_SECONDS = 120


def unavailable_reason(made: CodeLineage, root: Path = ROOT) -> str:
    """Why the sources of a version cannot be checked out; empty if they can."""
    if not made.commit:
        return "it was trained outside a git checkout"
    if not made.clean:
        return "it was trained from a checkout with uncommitted changes"
    if _git(root, "cat-file", "-e", f"{made.commit}^{{commit}}").returncode != 0:
        return f"this checkout does not know the commit {made.commit[:12]}"
    committed = _git(root, "ls-tree", "-r", "-z", "--name-only", made.commit).stdout.split("\0")
    # A file that git ignores leaves the checkout clean.
    if missing := sorted(made.files.keys() - set(committed)):
        return f"{missing[0]} is not in the commit {made.commit[:12]}"
    return ""


@contextmanager
def checkout(code: CodeLineage, folder: Path, root: Path = ROOT) -> Iterator[Path]:
    """Check out the sources of a version into a folder, which is removed on exit.

    Raises:
        StepFailed: git failed, or a file differs from the digest in the manifest.
    """
    # A killed run may have left a worktree there.
    _git(root, "worktree", "remove", "--force", str(folder))
    added = _git(root, "worktree", "add", "--detach", str(folder), code.commit)
    if added.returncode != 0:
        raise StepFailed(f"git cannot check out {code.commit[:12]}: {added.stderr.strip()[-300:]}")
    try:
        for path, sha256 in code.files.items():
            source = folder / path
            if not source.is_file() or digest(source.read_bytes()) != sha256:
                raise StepFailed(f"{path} at {code.commit[:12]} differs from the manifest's digest")
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return child_process.capture(["git", *arguments], folder=root, seconds=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(arguments, 1, "", str(error))
