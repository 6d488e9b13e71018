"""The sources of another revision are checked out, or the reason is given."""

import subprocess
from pathlib import Path

import pytest

from overnight.store.objects.digests import digest
from overnight.store.registry.manifest import CodeLineage
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.source_checkout import checkout, unavailable_reason


def git(root: Path, *texts: str) -> str:
    reported = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *reported, *texts], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout whose one source changed since its first commit."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    for text in ("then", "now"):
        (root / "source.py").write_text(text)
        git(root, "add", ".")
        git(root, "commit", "--quiet", "-m", text)
    return root


def made(repository: Path, text: bytes = b"then", **changed: object) -> CodeLineage:
    first = git(repository, "rev-list", "--max-parents=0", "HEAD")
    files = {"source.py": digest(text)}
    return CodeLineage(commit=first, clean=True, digest="d", files=files).model_copy(update=changed)


def test_the_sources_are_as_they_were_and_gone_afterwards(repository, tmp_path):
    with checkout(made(repository), tmp_path / "tree", repository) as tree:
        result = (tree / "source.py").read_text()

    assert result == "then"
    assert (repository / "source.py").read_text() == "now"
    assert not (tmp_path / "tree").exists()


def test_the_worktree_of_a_killed_run_is_replaced(repository, tmp_path):
    lineage = made(repository)
    git(repository, "worktree", "add", "--detach", str(tmp_path / "tree"), lineage.commit)

    with checkout(lineage, tmp_path / "tree", repository) as tree:
        assert (tree / "source.py").read_text() == "then"


def test_sources_other_than_the_manifest_lists_are_refused_by_name(repository, tmp_path):
    lineage = made(repository, text=b"neither")

    with (
        pytest.raises(StepFailed, match=r"source\.py at .* differs from the manifest"),
        checkout(lineage, tmp_path / "tree", repository),
    ):
        pass
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"commit": ""}, "outside a git checkout"),
        ({"clean": False}, "uncommitted changes"),
        ({"commit": "0" * 40}, "does not know the commit 000000000000"),
    ],
)
def test_the_reason_for_unavailable_sources_is_given(repository, changed, reason):
    assert reason in unavailable_reason(made(repository, **changed), made(repository), repository)


def test_a_known_commit_is_available(repository):
    assert unavailable_reason(made(repository), made(repository), repository) == ""


def test_a_file_that_git_ignored_is_named(repository):
    files = {"source.py": digest(b"then"), "vocabulary.txt": digest(b"a")}

    assert "vocabulary.txt is not in the commit" in unavailable_reason(
        made(repository, files=files), made(repository), repository
    )


def test_a_folder_without_git_knows_no_commit(tmp_path):
    lineage = CodeLineage(commit="0" * 40, clean=True, digest="d")

    assert "does not know" in unavailable_reason(lineage, lineage, tmp_path)


def test_another_release_of_overnight_is_named(repository):
    then, now = made(repository, overnight="0.1.0"), made(repository, overnight="0.2.0")

    assert "trained by overnight 0.1.0, and this is overnight 0.2.0" in unavailable_reason(
        then, now, repository
    )


def test_a_project_in_a_folder_of_its_repository_is_checked_out_there(tmp_path):
    # Given a repository of several projects, of which one trained a version with a release.
    root = tmp_path / "checkout"
    (root / "shops" / "one").mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "shops" / "one" / "wine.py").write_text("then")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "then")
    files = {"wine.py": digest(b"then"), "overnight/tasks/step.py": digest(b"released")}
    lineage = made(root, files=files, folder="shops/one", overnight="0.1.0")

    # Then it is available, though the release is not in the repository, and imported from there.
    assert unavailable_reason(lineage, lineage, root / "shops" / "one") == ""
    with checkout(lineage, tmp_path / "tree", root / "shops" / "one") as tree:
        assert (tree / "wine.py").read_text() == "then"
