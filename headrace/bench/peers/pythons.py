"""Which Python has which engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.bench.peers.engines import Engine
from headrace.errors import RequestError

PYTHON_VARIABLE = "HEADRACE_PEER_PYTHON"
_LIST = """
import json, re
from importlib.metadata import distributions
names = {each.metadata["Name"] or "" for each in distributions()}
print(json.dumps([re.sub("[-_.]+", "-", name).lower() for name in names]))
"""

#: The packages of each Python, in the order in which they are asked.
Installed = Mapping[str, frozenset[str]]


def peer_pythons(chosen: Sequence[Path] | None) -> tuple[str, ...]:
    """The Pythons that may have peers: those chosen, $HEADRACE_PEER_PYTHON, or this one."""
    if chosen:
        return tuple(map(str, chosen))
    named = os.environ.get(PYTHON_VARIABLE)
    return tuple(named.split(os.pathsep)) if named else (sys.executable,)


def installed_packages(python: str) -> frozenset[str]:
    """Names of the packages that a Python has, as PyPI spells them.

    Raises:
        RequestError: it cannot be started.
    """
    try:
        found = subprocess.run([python, "-P", "-c", _LIST], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RequestError(f"the peer's Python cannot be started: {error}", where=python) from error
    return frozenset(json.loads(found.stdout))


def package_version(python: str, package: str) -> str:
    """The version of a package that a Python has.

    Raises:
        RequestError: it has none.
    """
    code = f"from importlib.metadata import version; print(version({package!r}))"
    try:
        found = subprocess.run([python, "-P", "-c", code], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RequestError(f"the version of {package} is unknown: {error}", where=python) from error
    return found.stdout.decode().strip()


def python_of(engine: Engine, installed: Installed) -> str | None:
    """The first Python that has an engine."""
    for python, packages in installed.items():
        if packages & set(engine.packages) and packages >= set(engine.needs):
            return python
    return None


def missing_text(engine: Engine) -> str:
    """What to say where no Python has it."""
    wanted = " or ".join(engine.packages)
    if engine.needs:
        wanted += f" (with {', '.join(engine.needs)})"
    return f"not installed: {wanted}"
