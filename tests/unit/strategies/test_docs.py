"""What docs/strategies.md says of the strategies is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from strategies.registry import STRATEGIES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "strategies.md").read_text("utf-8")


def test_the_table_lists_every_strategy_with_its_parameters() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert {name: re.findall(r"`(\w+)`", cell) for name, cell in rows.items()} == {
        entry.name: list(entry.make.model_fields) for entry in STRATEGIES.values()
    }


def test_the_snippet_without_our_engines_runs_without_celery_or_sql() -> None:
    page = (ROOT / "docs" / "library.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page.partition("## Without our engines")[2], re.DOTALL)
    code += "\nimport sys\nassert not {'celery', 'sqlalchemy', 'sqlmodel', 'worker', 'models'} & set(sys.modules)\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"This prints `{done.stdout.strip()}`." in page
