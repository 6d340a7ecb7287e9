"""The models that a server has, by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.errors import ModelNotFoundError
from headrace.server.link.client import EngineClient


class Models:
    """Engines in the order in which they were given; the first is what a page shows first."""

    def __init__(self, clients: Sequence[EngineClient]) -> None:
        self._clients = {client.name: client for client in clients}

    def __iter__(self) -> Iterator[EngineClient]:
        return iter(self._clients.values())

    @property
    def names(self) -> list[str]:
        return list(self._clients)

    def get(self, name: str) -> EngineClient:
        """The engine of a model.

        Raises:
            ModelNotFoundError: none is served by that name.
        """
        if name not in self._clients:
            raise ModelNotFoundError(
                f"the model '{name}' is not served",
                where="model",
                hint=f"one of: {', '.join(self._clients)}",
            )
        return self._clients[name]

    @property
    def ready(self) -> bool:
        """Whether all are loaded and run."""
        return all(client.state == "ready" for client in self)
