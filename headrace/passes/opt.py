"""`headrace-opt`: run passes on the text of a program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pkgutil import iter_modules

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException, ParseError
from xdsl.xdsl_opt_main import xDSLOptMain

from headrace import passes
from headrace.errors import HeadraceError, RequestError
from headrace.ir.dialect import load_dialects


def pass_types() -> Iterator[type[ModulePass]]:
    """The passes that the files of this package define."""
    for file in iter_modules(passes.__path__, f"{passes.__name__}."):
        for value in vars(import_module(file.name)).values():
            is_pass = isinstance(value, type) and issubclass(value, ModulePass)
            if is_pass and value.__module__ == file.name:
                yield value


class HeadraceOpt(xDSLOptMain):
    """xDSL's driver with the dialects and passes of headrace, and no others."""

    version_format = "headrace-opt built from xdsl version {xdsl_version}"

    def register_all_dialects(self) -> None:
        load_dialects(self.ctx)

    def register_all_passes(self) -> None:
        for each in pass_types():
            self.register_pass(each.name, _always(each))

    def setup_pipeline(self) -> None:
        try:
            super().setup_pipeline()
        except ValueError as error:
            known = ", ".join(self.available_passes)
            raise RequestError(str(error), where="--passes", hint=f"one of: {known}") from error

    def apply_passes(self, prog: ModuleOp) -> None:
        """Run the passes; with --verify-diagnostics their errors are output like a verifier's."""
        try:
            super().apply_passes(prog)
        except HeadraceError as error:
            if self.args.verify_diagnostics:
                raise DiagnosticException(str(error)) from error
            raise


def _always(pass_type: type[ModulePass]) -> Callable[[], type[ModulePass]]:
    return lambda: pass_type


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; gives the exit status."""
    try:
        HeadraceOpt("Run the passes of headrace on a program's text", arguments).run()
    except (HeadraceError, DiagnosticException, ParseError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
