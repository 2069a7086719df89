"""docs/settings.md says of every setting what the code says."""

from __future__ import annotations

from pathlib import Path

from app.settings import ENV_PREFIX, Settings, flag_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def expected_rows():
    """One row of the table for each setting, in the order of the code."""
    shown = Settings().shown()
    for name, field in Settings.model_fields.items():
        default = ",".join(shown[name]) if isinstance(shown[name], list) else shown[name]
        default = str(default).lower() if isinstance(default, bool) else default
        value = f"`{default}`" if default != "" else "none"
        yield f"| `{name}` | `{ENV_PREFIX}{name.upper()}` | `{flag_of(name)}` | {value} | {field.description} |"


def test_the_table_of_settings_is_that_of_the_code():
    """Each setting stands in the table with its variable, flag, default and meaning, and nothing else does."""
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]

    assert rows == list(expected_rows())
