"""The dependency audit: what is vulnerable fails, and what could not be looked at is not called clean."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = '{"dependencies": [{"name": "click", "version": "8.5", "vulns": []}], "fixes": []}'
SKIPPED = '{"dependencies": [{"name": "click", "skip_reason": "not found on PyPI"}], "fixes": []}'
HOLED = '{"dependencies": [{"name": "click", "version": "8.5", "vulns": [{"id": "PYSEC-1"}]}], "fixes": []}'


@pytest.mark.parametrize(
    ("report", "status", "said", "code"),
    [
        (CLEAN, 0, "", 0),
        (HOLED, 1, "Found 1 known vulnerability", 1),
        ("", 1, "ConnectionError: nobody at pypi.org", 3),
        ("", 127, "", 3),
        (SKIPPED, 0, "not found on PyPI", 3),
    ],
)
def test_what_the_audit_ends_with(tmp_path: Path, report: str, status: int, said: str, code: int) -> None:
    program = tmp_path / "pip-audit"
    program.write_text(
        f"""#!/bin/sh
echo '{said}' >&2
while [ "$1" != --output ]; do shift; done
printf '%s' '{report}' > "$2"
exit {status}
"""
    )
    program.chmod(0o755)
    done = subprocess.run([ROOT / ".ci" / "audit", program], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("NOT AUDITED" in done.stdout) == (code == 3)
    assert ("no known vulnerability" in done.stdout) == (code == 0)
    if code:
        assert said in done.stdout


def test_a_pip_audit_that_is_not_there_is_no_clean_audit(tmp_path: Path) -> None:
    done = subprocess.run([ROOT / ".ci" / "audit", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "NOT AUDITED" in done.stdout
