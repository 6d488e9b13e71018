"""An audit reports how many packages were really looked up."""

import pytest

from overnight.infra.audit_dependencies import summarise

FINE = {"name": "flask", "version": "3.1.0", "vulns": []}
FLAWED = {
    "name": "keras",
    "version": "3.9.0",
    "vulns": [{"id": "CVE-2025-1550", "fix_versions": ["3.9.1"]}],
}
UNKNOWN = {"name": "numpy", "skip_reason": "not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "reported"),
    [
        ([FINE], 0, "1 of 1 locked packages were looked up; vulnerabilities known: 0"),
        ([FINE, UNKNOWN], 2, "NOT looked up, because the database did not answer for them: 1"),
        ([FLAWED, UNKNOWN], 1, "keras 3.9.0: CVE-2025-1550; fixed in 3.9.1"),
    ],
)
def test_packages_that_were_not_looked_up_are_not_clean(packages, code, reported):
    found = summarise({"dependencies": packages})

    assert found[0] == code
    assert reported in found[1]
