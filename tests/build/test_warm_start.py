"""A second start imports no compiler and no PyTorch, and is quick."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from headrace.build import Options, build
from tests.build.cached import environment

HEAVY = ("torch", "transformers", "xdsl", "gguf", "huggingface_hub", "safetensors", "rich", "pydoc")
START = f"""
import sys
from headrace.cli import main
status = main(["run", sys.argv[1], "Hello", "--max-tokens", "4", "--threads", "2"])
loaded = [name for name in {HEAVY} if name in sys.modules]
sys.exit(f"loaded: {{loaded}}" if loaded else status)
"""


def test_a_warm_start_is_light(tiny: Path) -> None:
    build(tiny, Options(workers=2))
    start = time.perf_counter()
    command = [sys.executable, "-c", START, str(tiny)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    assert time.perf_counter() - start < 10  # about 0.5 s on an idle machine
