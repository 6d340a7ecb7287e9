"""`headrace serve`: models behind an OpenAI-compatible API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.choices import Kv, Weights
from headrace.cli.console import note

Switch = Parameter(negative="")


def serve(
    *models: str,
    host: str | None = None,
    port: int | None = None,
    api_key: tuple[str, ...] = (),
    api_key_file: Path | None = None,
    insecure: Annotated[bool | None, Switch] = None,
    threads: int | None = None,
    weights: Weights | None = None,
    context: int | None = None,
    kv: Kv | None = None,
    kv_tokens: int | None = None,
    queue: int | None = None,
    slots: int | None = None,
    connections: int | None = None,
    requests: int | None = None,
    max_body: int | None = None,
    receive_timeout: float | None = None,
    request_timeout: float | None = None,
    ping: float | None = None,
    drain: float | None = None,
    log_prompts: Annotated[bool | None, Switch] = None,
    config: Path | None = None,
    print_config: Annotated[bool, Switch] = False,
) -> None:
    """Serve models.

    Args:
        models: MODEL or NAME=MODEL, where MODEL is what `headrace run` takes.
        host: Where to listen: 127.0.0.1 if nothing is said. Elsewhere a key is needed.
        port: 8000 if nothing is said; 0 takes a free one.
        api_key: A key that requests must show; may be given several times. Others on this machine
            can see it here: better --api-key-file, or HEADRACE_API_KEY.
        api_key_file: A file of keys, one a line.
        insecure: Serve other machines without a key, and under any name.
        threads: Workers of each model; the cores divided among the models, if not given.
        weights: Of each model; see `headrace run`.
        context: Tokens that prompt and answer may have together; see `headrace run`.
        kv: How keys and values are kept; see `headrace run`.
        kv_tokens: Tokens of each model whose keys and values are kept; four contexts, if not given.
        queue: Sequences of a model that may wait (256).
        slots: Sequences of a model that are computed at once (64, the most).
        connections: Connections that may be open (1024).
        requests: Requests that may be under way (512).
        max_body: Bytes that a request may have (8388608).
        receive_timeout: Seconds until a request must have come, and in which a client must have
            read what it was sent (30).
        request_timeout: Seconds that an answer may take (600).
        ping: Seconds of silence after which a stream says that it is alive (10).
        drain: Seconds that requests have to end, once the server is to stop (30).
        log_prompts: Write prompts to the log.
        config: A TOML file of settings; $HEADRACE_CONFIG, or headrace.toml here, if not given.
        print_config: Print all settings and who gave them, and end; keys are not shown.
    """
    flags = {name: value for name, value in locals().items() if name not in _OWN}
    if api_key_file is not None:
        flags["api_key_file"] = str(api_key_file)
    from headrace.server.config import configure

    configuration = configure(flags, config)
    for name in configuration.ignored:
        note(f"the variable {name} is no setting, and is ignored")
    if print_config:
        from headrace.server.shown import as_toml

        print(as_toml(configuration), end="")
        return
    from headrace.server.serving import serve as serve_until_signalled

    serve_until_signalled(configuration.settings)


_OWN = ("config", "print_config")
