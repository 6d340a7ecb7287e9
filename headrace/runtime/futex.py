"""Sleeping on a word of memory: the host's side of the tokens."""

from __future__ import annotations

import ctypes
import platform

from headrace.errors import MachineError

_WAIT_PRIVATE = 128
_NUMBERS = {"x86_64": 202, "aarch64": 98}

_libc = ctypes.CDLL(None, use_errno=True)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def futex_number() -> int:
    """The system call's number.

    Raises:
        MachineError: the system is not Linux on a known architecture.
    """
    number = _NUMBERS.get(platform.machine())
    if platform.system() != "Linux" or number is None:
        raise MachineError(f"no futex on {platform.system()} {platform.machine()}")
    return number


def futex_wait(address: int, seen: int, timeout: float | None) -> None:
    """Sleep while the 32-bit word at `address` is `seen`, `timeout` seconds at most."""
    limit = None
    if timeout is not None:
        whole = int(timeout)
        limit = ctypes.byref(_Timespec(whole, int((timeout - whole) * 1e9)))
    _libc.syscall(
        ctypes.c_long(futex_number()),
        ctypes.c_void_p(address),
        ctypes.c_int(_WAIT_PRIVATE),
        ctypes.c_uint32(seen & 0xFFFFFFFF),
        limit,
        None,
        ctypes.c_int(0),
    )
