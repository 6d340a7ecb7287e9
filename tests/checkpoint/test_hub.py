"""Models of the hub, through the real hub library and a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from headrace.checkpoint.hub_name import HubModel, canonical_name, parse_hub
from headrace.checkpoint.origin import NOTE, Origin, read_origin
from headrace.checkpoint.store import partial_entry
from tests.checkpoint.local_hub import MAIN, OLD, REPO, Faults, LocalHub

MEBIBYTE = 1 << 20
#: More than the hub library buffers before it writes (10 MiB).
WEIGHTS = np.random.default_rng(0).integers(0, 256, 24 * MEBIBYTE, np.uint8).tobytes()
MAIN_FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b"{}",
    "README.md": b"---\nlicense: mit\n---\n",
    "LICENSE": b"",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"a pickle, never fetched",
    "modeling_custom.py": b"code, never fetched",
    "model.fp16.safetensors": b"the same weights again",
    "original/model.safetensors": b"another layout, never fetched",
    "small.gguf": b"GGUF" + bytes(100),
    "q4/big-00001-of-00002.gguf": b"GGUF" + bytes(5000),
    "q4/big-00002-of-00002.gguf": b"GGUF" + bytes(6000),
    "q8/half-00001-of-00002.gguf": b"GGUF",
}
OLD_FILES = {
    "config.json": b'{"model_type": "gpt2"}',
    "merges.txt": b"",
    "model.safetensors": b"old weights" * 500,
}
WANTED = ("config.json", "tokenizer.json", "README.md", "LICENSE", "model.safetensors")
RESOLVE = """
import sys
from headrace.checkpoint.source import resolve
from headrace.errors import HeadraceError
for name in sys.argv[1:]:
    try:
        found = resolve(name)
        print(found.kind, found.name, found.path)
    except HeadraceError as error:
        print(type(error).__name__, str(error).replace("\\n", " "))
"""


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    server = LocalHub({"main": dict(MAIN_FILES), "v1": dict(OLD_FILES)})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.faults.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


def start(names: tuple[str, ...], port: int, extra: dict[str, str]) -> subprocess.Popen[str]:
    """`resolve` in a process of its own: the hub library reads its settings when imported."""
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HOME": os.environ["HEADRACE_CACHE"] + "-hf"}
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        environment.pop(name, None)
    command = [sys.executable, "-c", RESOLVE, *names]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment | extra, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
    )


def resolve(hub: LocalHub | int, *names: str, **extra: str) -> list[str]:
    """A line for each name: what was found, or the error."""
    process = start(names, hub if isinstance(hub, int) else hub.server_port, extra)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return out.splitlines()


def entries(cache_root: Path) -> list[str]:
    return [path.name for path in (cache_root / "models").iterdir() if path.suffix != ".lock"]


def content(directory: Path) -> dict[str, bytes]:
    paths = (path for path in directory.rglob("*") if path.is_file() and path.name != NOTE)
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def test_a_repository_is_fetched_once(hub: LocalHub, cache_root: Path) -> None:
    first, again = resolve(hub, f"hf:{REPO}", REPO)
    kind, name, path = first.split()
    assert (kind, name) == ("directory", REPO)
    assert Path(path).parent == cache_root / "models"
    assert content(Path(path)) == {name: MAIN_FILES[name] for name in WANTED}
    assert read_origin(Path(path)) == Origin(REPO, None, MAIN)
    assert again == first
    asked = len(hub.asked)
    assert resolve(hub, REPO, HF_HUB_OFFLINE="1") == [first]
    assert len(hub.asked) == asked, "what is in the cache needs no network"
    assert entries(cache_root) == [Path(path).name]


def test_revisions_are_kept_apart_and_gguf_parts_together(hub: LocalHub) -> None:
    split = "q4/big-0000{}-of-00002.gguf"
    tagged, commit, gguf, part = resolve(
        hub, f"{REPO}@v1", f"{REPO}@{OLD}", f"{REPO}@main:small.gguf", f"{REPO}:{split.format(2)}"
    )
    for line, revision in ((tagged, "v1"), (commit, OLD)):
        _, name, path = line.split()
        assert name == f"{REPO}@{revision}"
        assert content(Path(path)) == OLD_FILES
        assert read_origin(Path(path)) == Origin(REPO, revision, OLD)
    kind, name, path = gguf.split()
    assert (kind, name) == ("gguf", f"{REPO}@main:small.gguf")
    assert Path(path).read_bytes() == MAIN_FILES["small.gguf"]
    assert read_origin(Path(path).parent) == Origin(REPO, "main", MAIN)
    kind, name, path = part.split()
    assert (kind, name) == ("gguf", f"{REPO}:{split.format(1)}"), "the first part stands for all"
    for number in (1, 2):
        held = Path(path).parents[1] / split.format(number)
        assert held.read_bytes() == MAIN_FILES[split.format(number)]


def test_what_the_hub_has_not(hub: LocalHub, cache_root: Path) -> None:
    hub.revisions["v1"] = {"config.json": b"{}", "pytorch_model.bin": b""}
    asked = {
        f"{REPO}:absent.gguf": f"{REPO}:small.gguf",
        f"{REPO}:q8/half-00001-of-00002.gguf": "has no file 'q8/half-00002-of-00002.gguf'",
        "owner/absent": "the hub knows no such model",
        f"{REPO}@v9": "has no revision 'v9'",
        f"{REPO}@v1": "has no safetensors weights",
    }
    for answer, message in zip(resolve(hub, *asked), asked.values(), strict=True):
        assert answer.startswith("SourceError")
        assert message in answer
    assert entries(cache_root) == []


def test_who_may_not_or_cannot_ask(hub: LocalHub) -> None:
    hub.faults = Faults(token="right")
    [answer] = resolve(hub, REPO)
    assert "for a private model set HF_TOKEN" in answer
    [answer] = resolve(hub, REPO, HF_TOKEN="wrong")
    assert "the hub refuses access (HTTP 401)" in answer
    [answer] = resolve(hub, f"{REPO}:small.gguf", HF_TOKEN="right")
    assert answer.startswith("gguf")
    assert all(each.token == "Bearer right" for each in hub.gets("small.gguf"))
    hub.faults = Faults(status=(403, "GatedRepo"))
    [answer] = resolve(hub, REPO)
    assert "this model is gated" in answer
    asked = len(hub.asked)
    [answer] = resolve(hub, REPO, HF_HUB_OFFLINE="1")
    assert "offline mode is on" in answer
    assert len(hub.asked) == asked


def test_a_hub_out_of_reach() -> None:
    [answer] = resolve(9, REPO)
    assert answer.startswith("SourceError the hub cannot be reached")


def test_a_broken_transfer_goes_on_in_the_same_call(hub: LocalHub) -> None:
    hub.faults = Faults(break_after=(15 * MEBIBYTE, 1))
    [answer] = resolve(hub, REPO)
    assert content(Path(answer.split()[2]))["model.safetensors"] == WEIGHTS
    assert [each.range for each in hub.gets("cdn/" + MAIN + "/model.safetensors")] == [
        None,
        f"bytes={10 * MEBIBYTE}-",
    ]


def killed_midway(hub: LocalHub, cache_root: Path) -> Path:
    """The place of what came, after a process that was killed while it downloaded."""
    hub.faults = Faults(stall_after=15 * MEBIBYTE)
    process = start((REPO,), hub.server_port, {})
    staging = wait_until_midway(cache_root)
    process.kill()
    process.communicate()
    hub.faults.released.set()
    hub.faults = Faults()
    hub.asked.clear()
    return next(staging.rglob("*.model.safetensors"))


def wait_until_midway(cache_root: Path) -> Path:
    staging = partial_entry(cache_root / "models" / "owner%2Fmodel")
    deadline = time.monotonic() + 30
    while not _is_midway(staging):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return staging


def _is_midway(staging: Path) -> bool:
    """Whether the small files are there, and of the large one what came before it stalled."""
    small = all((staging / name).exists() for name in WANTED if name != "model.safetensors")
    landed = [path.stat().st_size for path in staging.rglob("*.model.safetensors")]
    return small and landed == [10 * MEBIBYTE]


def test_a_killed_download_is_never_taken_for_complete_and_resumes(
    hub: LocalHub, cache_root: Path
) -> None:
    landed = killed_midway(hub, cache_root)
    assert entries(cache_root) == [".owner%2Fmodel.partial"]
    assert landed.stat().st_size == 10 * MEBIBYTE
    [answer] = resolve(hub, REPO)
    assert content(Path(answer.split()[2])) == {name: MAIN_FILES[name] for name in WANTED}
    ranges = {each.range for each in hub.gets("model.safetensors")}
    assert ranges == {f"bytes={10 * MEBIBYTE}-"}
    assert hub.gets("config.json") == [], "what was complete is not fetched again"


def test_an_interrupt_does_not_wait_for_a_stalled_server(hub: LocalHub, cache_root: Path) -> None:
    hub.faults = Faults(stall_after=15 * MEBIBYTE)
    process = start((REPO,), hub.server_port, {})
    wait_until_midway(cache_root)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    # The hub library would wait 10 s for the rest; 5 leave room for a slow machine.
    assert time.monotonic() - started < 5


def test_the_rest_of_another_commit_is_not_mixed_in(hub: LocalHub, cache_root: Path) -> None:
    killed_midway(hub, cache_root)
    hub.revisions["main"] = dict(OLD_FILES)
    [answer] = resolve(hub, REPO)
    assert content(Path(answer.split()[2])) == OLD_FILES


def test_a_server_without_ranges_sends_it_all_again(hub: LocalHub, cache_root: Path) -> None:
    killed_midway(hub, cache_root)
    hub.faults = Faults(ignore_ranges=True)
    [answer] = resolve(hub, REPO)
    assert content(Path(answer.split()[2]))["model.safetensors"] == WEIGHTS


@pytest.mark.parametrize(
    ("damage", "message"), [("flip", "its SHA-256 is"), ("short", "bytes, not 25165824")]
)
def test_damaged_files_are_detected(
    hub: LocalHub, cache_root: Path, damage: str, message: str
) -> None:
    hub.faults = Faults(damage=damage)
    [answer] = resolve(hub, REPO)
    assert answer.startswith("SourceError model.safetensors did not arrive as the hub holds it")
    assert message in answer
    assert entries(cache_root) == [".owner%2Fmodel.partial"]
    hub.faults = Faults()
    [answer] = resolve(hub, REPO)
    assert content(Path(answer.split()[2]))["model.safetensors"] == WEIGHTS


def test_what_came_before_is_checked_too(hub: LocalHub, cache_root: Path) -> None:
    landed = killed_midway(hub, cache_root)
    landed.write_bytes(bytes(10 * MEBIBYTE))
    (landed.parents[1] / "config.json").write_bytes(b'{"model_type": "gemma"}')
    first, second = resolve(hub, REPO, REPO)
    assert "its SHA-256 is" in first
    assert content(Path(second.split()[2])) == {name: MAIN_FILES[name] for name in WANTED}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", HubModel("owner/name")),
        ("hf:owner/name", HubModel("owner/name")),
        ("o-w.n/Na_me-1.5", HubModel("o-w.n/Na_me-1.5")),
        ("owner/name:sub/f-Q4_0.gguf", HubModel("owner/name", "sub/f-Q4_0.gguf")),
        ("owner/name@v1.0", HubModel("owner/name", None, "v1.0")),
        ("owner/name@refs/pr/1:f.gguf", HubModel("owner/name", "f.gguf", "refs/pr/1")),
        (
            "owner/name:s/f-00002-of-00003.gguf",
            HubModel("owner/name", "s/f-00001-of-00003.gguf"),
        ),
        ("owner/name@", None),
        ("owner/name@../x", None),
        ("owner/name:../f.gguf", None),
        ("owner/name:f.bin", None),
        ("owner/../name", None),
        ("hf:owner", None),
        ("owner", None),
        ("a/b/c", None),
        ("", None),
    ],
)
def test_the_form_of_a_hub_id(text: str, expected: HubModel | None) -> None:
    assert parse_hub(text) == expected
    if expected is not None:
        assert canonical_name(text) == expected.name
        assert parse_hub(expected.name) == expected


@pytest.mark.parametrize("model", [HubModel("a/b"), HubModel("a/b", "q4/f.gguf")])
@pytest.mark.parametrize(
    "name", ["LICENSE/../../victim", "tokenizer/../../victim", "../README.md", "q4/../f.gguf"]
)
def test_a_repository_cannot_place_files_elsewhere(model: HubModel, name: str) -> None:
    assert not model.wants(name)


@pytest.mark.parametrize("note", ["", "[]", "{}", json.dumps({"repository": "a/b"})])
def test_a_damaged_note_of_the_origin_is_none(tmp_path: Path, note: str) -> None:
    (tmp_path / NOTE).write_text(note)
    assert read_origin(tmp_path) is None
