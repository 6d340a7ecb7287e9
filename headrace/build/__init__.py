"""From a source to its artifact: compiled once, kept in the cache under its content's address."""

from headrace.build.artifact import LEVELS, Artifact, Level
from headrace.build.driver import build
from headrace.build.options import Isa, Kv, Mapping, Options, Weights, default_workers

__all__ = [
    "LEVELS",
    "Artifact",
    "Isa",
    "Kv",
    "Level",
    "Mapping",
    "Options",
    "Weights",
    "build",
    "default_workers",
]
