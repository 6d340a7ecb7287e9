"""Flags before variables before the file before defaults; whatever is wrong is named."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import ConfigurationError
from headrace.server.auth import all_keys, require_safe
from headrace.server.config import Settings, configure
from headrace.server.named import NamedModel
from headrace.server.shown import as_toml

ports = st.none() | st.integers(0, 65535)
VALUES: dict[str, st.SearchStrategy[object]] = {
    "models": st.lists(st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True), min_size=1),
    "host": st.sampled_from(["127.0.0.1", "::1", "localhost", "0.0.0.0"]),
    "port": st.integers(0, 65535),
    "api_key": st.lists(st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True), min_size=1),
    "insecure": st.booleans(),
    "threads": st.integers(1, 1024),
    "weights": st.sampled_from(["auto", "f32", "q8"]),
    "context": st.integers(1, 1 << 30),
    "kv_tokens": st.integers(1, 1 << 30),
    "receive_timeout": st.floats(0.001, 86400),
    "drain": st.floats(0, 86400),
    "log_prompts": st.booleans(),
}


@given(flag=ports, variable=ports, line=ports)
def test_precedence(
    tmp_path_factory: pytest.TempPathFactory,
    flag: int | None,
    variable: int | None,
    line: int | None,
) -> None:
    file = tmp_path_factory.getbasetemp() / "precedence.toml"
    file.write_text("" if line is None else f"# a remark\nport = {line}\n")
    environment = {} if variable is None else {"HEADRACE_PORT": str(variable)}
    found = configure({"port": flag}, file, environment)
    givers = [
        (flag, "--port"),
        (variable, "environment variable HEADRACE_PORT"),
        (line, f"{file}, line 2, key port"),
        (8000, None),
    ]
    port, giver = next(each for each in givers if each[0] is not None)
    assert found.settings.port == port
    assert found.origins.get("port") == giver


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_what_is_printed_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    """`--print-config` is a file of settings, but for the keys; and so is the environment."""
    texts = {
        f"HEADRACE_{name.upper()}": ",".join(value) if isinstance(value, list) else _text(value)
        for name, value in values.items()
    }
    file = tmp_path_factory.getbasetemp() / "empty.toml"
    file.write_text("")
    found = configure({}, file, texts)
    assert {name: _plain(getattr(found.settings, name)) for name in values} == values
    printed = as_toml(found)
    file.write_text(printed)
    again = configure({}, file, {})
    hidden = msgspec.structs.replace(found.settings, api_key=again.settings.api_key)
    assert again.settings == hidden
    assert set(again.settings.api_key) <= {"hidden"}
    assert tomllib.loads(printed)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@given(st.text())
def test_any_file_is_settings_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(text, "utf-8", errors="replace")
    assert _settings_or_place(file, {}) in (Settings(), str(file))


@given(st.sampled_from(list(VALUES)), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_variable_is_a_setting_or_an_error(name: str, text: str) -> None:
    variable = f"HEADRACE_{name.upper()}"
    found = _settings_or_place(None, {variable: text})
    assert isinstance(found, Settings) or found == f"environment variable {variable}"


def _settings_or_place(file: Path | None, environment: dict[str, str]) -> Settings | str:
    try:
        return configure({}, file, environment).settings
    except ConfigurationError as error:
        return str(error.where).partition(", ")[0]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("port = 8000\nprot = 1\n", "line 2, key prot", "there is no setting 'prot'"),
        ("[server]\nport = 1\n", "line 1, key server", "there is no setting 'server'"),
        ("port = 70000\n", "line 1, key port", "port 70000 is not valid"),
        ('port = "8000"\n', "line 1, key port", "expected int, got str"),
        ('\nmodels = "smollm2"\n', "line 2, key models", "expected array, got str"),
        ("kv_tokens = 1\n", "line 1, key kv_tokens", "there is no setting 'kv_tokens'"),
        ("drain = nan\n", "line 1, key drain", "drain nan is not valid"),
        ("port = \n", "", "no TOML"),
    ],
)
def test_what_is_wrong_in_a_file(tmp_path: Path, text: str, where: str, what: str) -> None:
    file = tmp_path / "headrace.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        configure({}, file, {})
    assert what in raised.value.what
    assert str(raised.value.where).startswith(str(file))
    assert where in str(raised.value.where)


def test_variables_that_are_no_settings_are_told() -> None:
    variables = {
        "HEADRACE_API_KEYS": "a",
        "HEADRACE_CACHE": "b",
        "HEADRACE_CONFIG": "",
        "PORT": "1",
    }
    assert configure({}, None, variables).ignored == ("HEADRACE_API_KEYS",)


def test_keys_are_not_in_errors() -> None:
    with pytest.raises(ConfigurationError) as raised:
        configure({}, None, {"HEADRACE_API_KEY": "sécret"})
    assert "cret" not in str(raised.value)


def test_the_file_here_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert configure({}, None, {}).file is None
    Path("headrace.toml").write_text("port = 1\n")
    assert configure({}, None, {}).settings.port == 1
    Path("other.toml").write_text("port = 2\n")
    assert configure({}, None, {"HEADRACE_CONFIG": "other.toml"}).settings.port == 2
    with pytest.raises(ConfigurationError, match="cannot be read"):
        configure({}, Path("none.toml"), {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_others_need_a_key(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="could use this server"):
        require_safe(Settings(host=host))
    require_safe(Settings(host=host, insecure=True))
    require_safe(Settings(host=host, api_key=("secret",)))
    keys = tmp_path / "keys"
    keys.write_text("# those who may\n\nsecret\nother \n")
    settings = Settings(host=host, api_key_file=str(keys), api_key=("third",))
    require_safe(settings)
    assert all_keys(settings) == ["third", "secret", "other"]


@pytest.mark.parametrize("text", ["", "# nobody\n", "two words\n", "a,b\n"])
def test_a_file_of_keys_has_keys(text: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(text)
    with pytest.raises(ConfigurationError, match="key"):
        all_keys(Settings(api_key_file=str(keys)))


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("smollm2", "smollm2", "smollm2"),
        ("small=smollm2", "small", "smollm2"),
        ("owner/name", "owner/name", "owner/name"),
        ("hf:owner/name@v1", "hf:owner/name@v1", "hf:owner/name@v1"),
        ("/models/a-q4.gguf", "a-q4", "/models/a-q4.gguf"),
        ("x=/models/a=b.gguf", "x", "/models/a=b.gguf"),
    ],
)
def test_names(text: str, name: str, source: str) -> None:
    assert NamedModel.parse(text) == NamedModel(name, source)


def test_names_are_checked(tmp_path: Path) -> None:
    for text in ("=smollm2", "a b=smollm2", "\n=smollm2"):
        with pytest.raises(ConfigurationError, match="is no name for a model"):
            NamedModel.parse(text)
    with pytest.raises(ConfigurationError, match="two models have the name 'smollm2'"):
        Settings(models=("smollm2", "smollm2=other")).named_models()
    with pytest.raises(ConfigurationError, match="there is no model to serve"):
        Settings().named_models()
    directory = tmp_path / "my-model"
    directory.mkdir()
    assert NamedModel.parse(str(directory)).name == "my-model"
