"""`make audit`: known vulnerabilities of the packages locked in `uv.lock`.

pip-audit skips packages that its database does not answer for, and still ends well; so the packages
that were really looked up are counted here. Exit code 0: all were looked up, none is vulnerable.
1: a vulnerability is known. 2: some packages could not be looked up.
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
    """Run pip-audit over the lock file, print a summary, and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        locked = Path(folder) / "locked.txt"
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
        audited = subprocess.run(
            audit, capture_output=True, text=True, errors="replace", check=False
        )
    try:
        report = json.loads(audited.stdout)
    except ValueError:
        last = (audited.stderr.strip().splitlines() or ["no output"])[-1]
        print(f"nothing was audited: pip-audit did not reach its database: {last}")
        return 2
    code, text = summarise(report)
    print(text)
    return code


def summarise(report: Mapping[str, Any]) -> tuple[int, str]:
    """Exit code and text for a JSON report of pip-audit."""
    packages = report["dependencies"]
    known = [
        f"{package['name']} {package['version']}: {flaw['id']}; fixed in "
        f"{', '.join(flaw['fix_versions']) or 'no version yet'}"
        for package in packages
        for flaw in package.get("vulns", ())
    ]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    coverage = f"{len(packages) - len(skipped)} of {len(packages)} locked packages were looked up"
    lines = [*known, f"{coverage}; vulnerabilities known: {len(known)}"]
    if skipped:
        lines.append(
            f"NOT looked up, because the database did not answer for them: {len(skipped)} "
            f"({', '.join(skipped[:5])}, …). Run this where the advisories of PyPI can be reached"
        )
    return (1 if known else 2 if skipped else 0), "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
