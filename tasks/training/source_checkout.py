"""The sources as they were at another revision, beside the ones that run."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.lineage import ROOT

_SECONDS = 120


def unavailable_reason(made: CodeLineage, root: Path = ROOT) -> str:
    """Why the sources of a version cannot be had again; empty when they can."""
    if not made.commit:
        return "it was made outside a checkout"
    if not made.clean:
        return "it was made from a checkout with changes that were never committed"
    if _git(root, "cat-file", "-e", f"{made.commit}^{{commit}}").returncode != 0:
        return f"this checkout does not know the commit {made.commit[:12]}"
    return ""


@contextmanager
def checkout(made: CodeLineage, folder: Path, root: Path = ROOT) -> Iterator[Path]:
    """Check the sources of a version out into a folder, which is gone afterwards.

    Raises:
        StepFailed: git says no, or what it brings is not what the manifest lists.
    """
    _git(root, "worktree", "remove", "--force", str(folder))
    added = _git(root, "worktree", "add", "--detach", str(folder), made.commit)
    if added.returncode != 0:
        raise StepFailed(f"git cannot check out {made.commit[:12]}: {added.stderr.strip()[-300:]}")
    try:
        for path, sha256 in made.files.items():
            source = folder / path
            if not source.is_file() or digest(source.read_bytes()) != sha256:
                raise StepFailed(f"{path} at {made.commit[:12]} is not what the manifest lists")
        yield folder
    finally:
        _git(root, "worktree", "remove", "--force", str(folder))


def _git(root: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            ["git", *words],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except OSError as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))
