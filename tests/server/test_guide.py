"""`docs/server.md` says what the code does: settings, paths, refusals, codes of errors, figures."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from headrace.server.app import create_app
from headrace.server.config import Settings
from headrace.server.errors import SHAPES
from headrace.server.link.models import Models
from headrace.server.metrics import COUNTED, MEASURED
from headrace.server.protocol import chat, completions, embeddings, responses

GUIDE = (Path(__file__).parents[2] / "docs/server.md").read_text()
FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_is_in_the_table(name: str) -> None:
    flag = "MODEL…" if name == "models" else f"--{name.replace('_', '-')}"
    [row] = [line for line in GUIDE.splitlines() if f"| `HEADRACE_{name.upper()}` |" in line]
    assert row.startswith(f"| `{flag}`")
    default = FIELDS[name].default
    if isinstance(default, bool):
        assert f"| {str(default).lower()} |" in row
    elif isinstance(default, str):
        assert f"| `{default}` |" in row
    elif isinstance(default, int | float):
        assert f"| {default:g} |".replace("8.38861e+06", "8388608") in row


def test_each_path_is_told() -> None:
    for path in create_app(Models([]), Settings()).openapi()["paths"]:
        assert path in GUIDE


@pytest.mark.parametrize("protocol", [chat, completions, embeddings, responses])
def test_each_refused_field_is_told(protocol: object) -> None:
    for each in protocol.UNSUPPORTED:
        assert f"`{each.field}`" in GUIDE


def test_each_code_of_errors_is_told() -> None:
    for _, shape in SHAPES:
        assert str(shape.status) in GUIDE
        assert shape.code is None or f"`{shape.code}`" in GUIDE


def test_each_counter_is_told() -> None:
    for _, name, _ in COUNTED:
        assert f"`{name}_total`" in GUIDE
    for _, name, _ in MEASURED:
        assert f"`{name}`" in GUIDE


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", GUIDE):
        assert (Path(__file__).parents[2] / "docs" / target).exists()
