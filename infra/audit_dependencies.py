"""`make audit`: whether vulnerabilities are known of what `uv.lock` names.

pip-audit passes over what its database does not know, and then finds nothing; so what was really
looked up is counted here. Exit code 0: all of it, and nothing is known. 1: something is. 2: the
database could not be asked about all of it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_BIN = Path(sys.executable).parent
_EXPORT = ("--frozen", "--all-extras", "--all-groups", "--no-emit-project", "--no-header", "-q")
_AUDIT = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")


def main() -> int:
    """Ask, print what is known, and answer with the exit code."""
    with tempfile.TemporaryDirectory() as place:
        locked = Path(place) / "locked.txt"
        export = [
            str(_BIN / "uv"),
            "export",
            *_EXPORT,
            "--format=requirements.txt",
            "-o",
            str(locked),
        ]
        subprocess.run(export, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        audit = [str(_BIN / "pip-audit"), *_AUDIT, "--requirement", str(locked)]
        ended = subprocess.run(audit, capture_output=True, text=True, check=False)
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"nothing was audited: pip-audit did not reach its database: {last}")
        return 2
    code, told = judged(report)
    print(told)
    return code


def judged(report: Mapping[str, Any]) -> tuple[int, str]:
    """The exit code and the words for a report of pip-audit."""
    packages = report["dependencies"]
    known = [
        f"{one['name']} {one['version']}: {flaw['id']}; mended in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for one in packages
        for flaw in one.get("vulns", ())
    ]
    skipped = [one["name"] for one in packages if "skip_reason" in one]
    asked = f"{len(packages) - len(skipped)} of {len(packages)} locked packages were looked up"
    lines = [*known, f"{asked}; vulnerabilities known: {len(known)}"]
    if skipped:
        lines.append(
            f"NOT looked up, because the database did not answer for them: {len(skipped)} "
            f"({', '.join(skipped[:5])}, …). Run this where the advisories of PyPI can be reached"
        )
    return (1 if known else 2 if skipped else 0), "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
