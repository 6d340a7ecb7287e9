"""`headrace show` and `ls`, in real processes, on models of every kind."""

from __future__ import annotations

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from safetensors.numpy import save_file

from headrace.checkpoint.origin import Origin, write_origin
from headrace.checkpoint.random_tensors import plan
from headrace.checkpoint.shapes import SHAPES
from headrace.checkpoint.source import find
from headrace.checkpoint.store import entry_of
from headrace.checkpoint.summary import summarise
from headrace.cli.console import byte_count
from headrace.cli.show import count
from headrace.errors import MalformedFileError
from headrace.formats.storage import FORMATS
from tests.build.cached import RANDOM, environment

RUN = """
import sys
from headrace.cli import main
status = main(sys.argv[1:])
heavy = sorted({"torch", "transformers", "huggingface_hub"} & set(sys.modules))
assert not heavy, heavy
sys.exit(status)
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def headrace(*arguments: str, status: int = 0) -> str:
    """What a command of its own process prints."""
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(
        command, env=environment(COLUMNS="200"), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def facts(shown: str) -> dict[str, str]:
    """The lines of name and value before the tables."""
    lines = shown[: shown.index("storage format")].splitlines()
    pairs = (line.split("  ", 1) for line in lines if line.strip())
    return {name: value.strip() for name, value in pairs}


def rows(shown: str, first: str) -> list[list[str]]:
    """Rows of a table whose first cell starts with `first`."""
    lines = (line.split() for line in shown.splitlines())
    return [cells for cells in lines if cells and cells[0] == first]


def save_directory(directory: Path, config: str) -> None:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(config)
    save_file({"w": np.ones((4, 8), np.float32)}, directory / "model.safetensors")


def test_a_model_of_the_cache() -> None:
    assert "headrace pull" in headrace("show", RANDOM, status=1)
    headrace("pull", RANDOM)
    shown = headrace("show", RANDOM)
    found = facts(shown)
    assert found["source"] == "random weights, generated"
    assert found["architecture"] == "llama"
    assert found["context length"] == "512 tokens"
    assert found["licence"] == "the files do not say"
    planned = list(plan(SHAPES["tiny-llama"], FORMATS["q4_0"]))
    assert found["parameters"] == count(sum(prod(each.shape) for each in planned))
    matrices = [each for each in planned if each.format.name == "q4_0"]
    [q4_0] = rows(shown, "q4_0")
    assert q4_0[1] == str(len(matrices))
    assert " ".join(q4_0[4:]) == byte_count(sum(each.nbytes for each in matrices))
    assert rows(shown, "compiled") == [["compiled", "not", "yet"]]
    [listed] = rows(headrace("ls"), RANDOM)
    assert listed[3:] == ["q4_0", "-", "-"]


def test_a_directory_of_the_hub() -> None:
    entry = entry_of("owner/name@v1")
    save_directory(entry, '{"model_type": "llava", "text_config": {"n_ctx": 4096}}')
    card = '---\nlanguage: en\nlicense: other\nlicense_name: "my-\\u001b[31mterms"\n---\n'
    (entry / "README.md").write_text(card.replace("\\u001b", "\x1b"))
    write_origin(entry, Origin("owner/name", "v1", "c0ffee"))
    shown = headrace("show", "hf:owner/name@v1")
    found = facts(shown)
    assert found["model"] == "owner/name@v1"
    assert found["source"] == "hub repository owner/name, revision v1, commit c0ffee"
    assert found["licence"] == "my-[31mterms"
    assert found["context length"] == "4096 tokens"
    assert rows(shown, "f32")
    [listed] = rows(headrace("ls"), "owner/name@v1")
    assert listed[3] == "f32"
    headrace("rm", "hf:owner/name@v1")
    assert not entry.exists()


def test_a_split_file_with_markup_in_its_licence_and_a_type_that_is_not_read(
    tmp_path: Path,
) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=1)
    writer.add_license("[bold]mine[/bold]")
    writer.add_context_length(77)
    for index in range(2):
        raw = np.zeros((4, 66), np.uint8)
        writer.add_tensor(f"t{index}", raw, raw_dtype=GGMLQuantizationType.IQ2_XXS)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "LICENSE").write_text("of something else")
    shown = headrace("show", str(tmp_path / "m-00002-of-00002.gguf"))
    found = facts(shown)
    assert found["licence"] == "[bold]mine[/bold]"
    assert found["path"].endswith("m-00001-of-00002.gguf")
    assert found["context length"] == "77 tokens"
    assert rows(shown, "iq2_xxs") == [["iq2_xxs", "2", "2.05", "k", "528", "B"]]


def test_a_damaged_model_does_not_end_the_list() -> None:
    headrace("pull", RANDOM)
    entry = entry_of("owner/broken:f.gguf")
    entry.mkdir()
    (entry / "f.gguf").write_bytes(b"GGUF?")
    listed = headrace("ls")
    assert rows(listed, "owner/broken:f.gguf")[0][3] == "?"
    assert rows(listed, RANDOM)[0][3] == "q4_0"
    assert "the file ends within" in headrace("show", "owner/broken:f.gguf", status=1)


@pytest.mark.parametrize("config", ["", "[]", json.dumps({"n_positions": "many"})])
def test_odd_configurations(tmp_path: Path, config: str) -> None:
    save_directory(tmp_path / "model", config)
    if config.startswith("{"):
        summary = summarise(find(tmp_path / "model"))
        assert (summary.context, summary.architecture) == (None, None)
    else:
        with pytest.raises(MalformedFileError):
            summarise(find(tmp_path / "model"))
