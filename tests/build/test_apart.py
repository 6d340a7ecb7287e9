"""A cold start compiles in a process of its own, which tells what happens and leaves no memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.build.cached import environment

BUILD = """
import sys
from headrace.build import Options, build
from headrace.checkpoint.progress import NoProgress
from headrace.errors import HeadraceError

class Labels(NoProgress):
    def start(self, label, total_bytes):
        print(label)

sys.executable = sys.argv[2] or sys.executable
try:
    artifact = build(sys.argv[1], Options(1), Labels())
    print(artifact.packed.exists())
except HeadraceError as error:
    print(type(error).__name__, repr(error.what), error.where, sep="|")
heavy = ("torch", "transformers", "xdsl", "headrace.build.compiler")
print([name for name in heavy if name in sys.modules])
"""


def build(source: Path, cache: Path, executable: str = "") -> list[str]:
    """What a fresh process prints that builds a model."""
    command = [sys.executable, "-c", BUILD, str(source), executable]
    where = {**environment(), "HEADRACE_CACHE": str(cache)}
    ended = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


def test_the_parent_stays_light_and_is_told(tiny: Path, tmp_path: Path) -> None:
    first, *others, packed, heavy = build(tiny, tmp_path)
    assert first.startswith("capturing ")
    assert [each.split()[0] for each in others] == ["mapping", "compiling", "packing"]
    assert (packed, heavy) == ("True", "[]")


def test_errors_arrive_as_they_are(tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    config = json.loads((tiny / "config.json").read_text()) | {"model_type": "nonesuch"}
    (broken / "config.json").write_text(json.dumps(config))
    (broken / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    *_, error, heavy = build(broken, tmp_path / "cache")
    kind, what, where = error.split("|")
    assert kind == "UnsupportedModelError"
    assert "nonesuch" in what
    assert where == str(broken / "config.json")
    assert heavy == "[]"


def test_a_process_that_dies_is_an_error(tiny: Path, tmp_path: Path) -> None:
    *_, error, _ = build(tiny, tmp_path, "/bin/false")
    assert error.startswith("MachineError|'the process that compiles ended with status 1")
