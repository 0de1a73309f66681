import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from matrixhub.config import (
    HIDDEN,
    Settings,
    data_directory,
    default_text,
    listen_address,
    load_settings,
    public_settings,
)
from matrixhub.model.errors import ConfigurationError

DEFAULTS = tomllib.loads(default_text())
KEY = "0123456789abcdef" * 4


def paths(tree: dict[str, Any], above: str = "") -> list[str]:
    found: list[str] = []
    for key, value in tree.items():
        here = f"{above}.{key}".strip(".")
        found += paths(value, here) if isinstance(value, dict) else [here]
    return found


PATHS = paths(DEFAULTS)


def value_of(settings: Settings, path: str) -> Any:
    found: Any = settings
    for part in path.split("."):
        found = getattr(found, part)
    return found


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "hub.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_setting_has_a_default_and_every_default_is_a_setting() -> None:
    settings = load_settings(None, {})
    assert paths(msgspec.to_builtins(settings)) == PATHS
    for path in PATHS:
        default: Any = DEFAULTS
        for part in path.split("."):
            default = default[part]
        found = value_of(settings, path)
        assert (list(found) if isinstance(found, tuple) else found) == default


def test_every_setting_is_documented_by_the_comment_above_it() -> None:
    documented: set[str] = set()
    section, comment = "", False
    for line in default_text().splitlines():
        if line.startswith("#"):
            comment = True
        elif found := re.match(r"\[([\w.]+)\]", line):
            section, comment = found.group(1), False
        elif found := re.match(r"(\w+) = ", line):
            if comment:
                documented.add(f"{section}.{found.group(1)}")
        else:
            comment = False
    assert documented == set(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_every_setting_can_be_set_by_environment_and_by_override(path: str) -> None:
    default = value_of(load_settings(None, {}), path)
    text: str
    expected: object
    text, expected = {
        "str": ("0.0.0.0:81" if path.endswith("listen") else KEY if "key" in path else "other", None),
        "int": ("7", 7),
        "bool": ("true", True),
        "float": ("7.5", 7.5),
        "tuple": ("[1, 2.5]", (1.0, 2.5)),
    }[type(default).__name__]
    if path == "http.trusted_proxies":
        text, expected = '["10.0.0.5", "10.1.0.0/24"]', ("10.0.0.5", "10.1.0.0/24")
    if path == "deliveries.egress_allow":
        text, expected = '["10.0.0.0/8", "*.example.org"]', ("10.0.0.0/8", "*.example.org")
    if path == "databases.listen":
        text, expected = '["0.0.0.0", "::"]', ("0.0.0.0", "::")
    environment = {"MATRIXHUB_" + path.upper().replace(".", "__"): text}
    if path == "http.public_url":
        environment = dict.fromkeys(environment, text := "https://hub.example.org/m")
    if path == "log.level":
        environment = dict.fromkeys(environment, text := "debug")
    if path == "log.format":
        environment = dict.fromkeys(environment, text := "json")
    if path in ("engines.postgres.dsn", "engines.nats.url"):
        environment |= {"MATRIXHUB_ENGINES__POSTGRES__DSN": text, "MATRIXHUB_ENGINES__NATS__URL": text}
    if path == "http.tls_listen":
        environment |= {"MATRIXHUB_HTTP__TLS_CERTIFICATE": "hub.pem", "MATRIXHUB_HTTP__TLS_KEY": "hub.key"}
    found = value_of(load_settings(None, environment), path)
    assert found == (text if expected is None else expected)


def test_a_file_overrides_the_defaults_the_environment_the_file_and_an_override_everything(tmp_path: Path) -> None:
    file = written(tmp_path, "[http]\nlisten = 'file:1'\n[stop]\ngrace_s = 3\n[log]\nlevel = 'error'")
    settings = load_settings(
        file,
        {"MATRIXHUB_HTTP__LISTEN": "environment:2", "MATRIXHUB_STOP__GRACE_S": "4", "PATH": "/bin"},
        {"http.listen": "override:3"},
    )
    assert (settings.http.listen, settings.stop.grace_s, settings.log.level) == ("override:3", 4.0, "error")
    assert settings.data.dir == ""


def test_variables_that_commands_read_themselves_are_no_settings() -> None:
    environment = {"MATRIXHUB_CONFIG": "x", "MATRIXHUB_KEY": "mhk_x", "MATRIXHUB_URL": "http://x"}
    assert load_settings(None, environment) == load_settings(None, {})


@pytest.mark.parametrize(
    "text,message",
    [
        ("[http]\nlisten = 5", r"http\.listen"),
        ("[http]\nlisten = '8080'", r"http\.listen is host:port"),
        ("[http]\npublic_url = 'hub.example.org'", r"http\.public_url is like"),
        ("[http]\npublic_url = 'https://hub.example.org/?a'", r"http\.public_url is like"),
        ("[http]\nlisten = ':8080'", r"http\.listen is host:port"),
        ("[http]\nlisten = 'host:99999'", r"http\.listen is host:port"),
        ("[htpp]\nlisten = 'x:1'", "there is no setting htpp"),
        ("[http]\nport = 5", r"there is no setting http\.port"),
        ("http = 5", "http is a section, not a value"),
        ("[ingest]\nbody_bytes_max = 0", r"ingest\.body_bytes_max is more than 0"),
        ("[ingest]\nbody_bytes_max = 'many'", r"ingest\.body_bytes_max"),
        ("[deliveries]\nretry_schedule_s = []", r"deliveries\.retry_schedule_s holds at least one"),
        ("[deliveries]\nretry_schedule_s = [1, -1]", r"deliveries\.retry_schedule_s"),
        ("[deliveries]\nretry_schedule_s = ['x']", r"deliveries\.retry_schedule_s"),
        ("[deliveries]\negress_allow = ['10.1.2.3/8']", r"deliveries\.egress_allow: .* write 10\.0\.0\.0/8"),
        ("[deliveries]\negress_allow = ['*']", r"deliveries\.egress_allow: '\*' is neither"),
        ("[deliveries]\nlease_s = -1", r"deliveries\.lease_s is more than 0"),
        ("[log]\nlevel = 'loud'", r"log\.level"),
        ("[secrets]\nmaster_key = 'abc'", r"secrets\.master_key is 64"),
        ("[engines.postgres]\ndsn = 'postgresql://x'", r"engines\.postgres\.dsn and engines\.nats\.url"),
        ("[engines.nats]\nurl = 'nats://x'", r"engines\.postgres\.dsn and engines\.nats\.url"),
        ("[stop]\ngrace_s = true", r"stop\.grace_s"),
        ("not toml", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_setting(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_settings(written(tmp_path, text), {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hub\.toml: cannot be read"):
        load_settings(tmp_path / "hub.toml", {})
    binary = tmp_path / "hub.toml"
    binary.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(binary, {})


@pytest.mark.parametrize(
    "name,value,message",
    [
        ("MATRIXHUB_HTPP__LISTEN", "x:1", "MATRIXHUB_HTPP__LISTEN: there is no setting htpp.listen"),
        ("MATRIXHUB_HTTP", "x:1", "MATRIXHUB_HTTP: http is a section"),
        ("MATRIXHUB_HTTP__LISTEN__X", "1", "MATRIXHUB_HTTP__LISTEN__X: there is no setting"),
        ("MATRIXHUB_STOP__GRACE_S", "soon", "stop.grace_s"),
        ("MATRIXHUB_STOP__GRACE_S", "", "stop.grace_s"),
        ("MATRIXHUB_DELIVERIES__RETRY_SCHEDULE_S", "5", "deliveries.retry_schedule_s"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load_settings(None, {name: value})


@pytest.mark.parametrize(
    "path", ["deliveries.total_timeout_s", "ingest.write_wait_s", "deliveries.retry_spread", "ingest.dedup_window_s"]
)
@pytest.mark.parametrize("value", [float("nan"), -1.0])
def test_a_time_or_part_that_is_none_is_refused(path: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(path)):
        load_settings(None, {}, {path: value})


def test_secrets_are_hidden_when_settings_are_printed() -> None:
    settings = load_settings(
        None,
        {},
        {
            "secrets.master_key": KEY,
            "engines.postgres.dsn": "postgresql://hub:s3cret@db.example/hub",
            "engines.nats.url": "nats://t0ken@one:4222,nats://user:passw0rd@two:4222",
        },
    )
    shown = public_settings(settings)
    for secret in (KEY, "s3cret", "t0ken", "passw0rd"):
        assert secret not in str(shown)
    assert shown["secrets"]["master_key"] == HIDDEN
    assert shown["engines"]["postgres"]["dsn"] == f"postgresql://{HIDDEN}@db.example/hub"
    assert shown["engines"]["nats"]["url"] == f"nats://{HIDDEN}@one:4222,nats://{HIDDEN}@two:4222"
    assert public_settings(load_settings(None, {}))["secrets"]["master_key"] == ""


@pytest.mark.parametrize(
    "dsn", ["postgresql://hub@db.example/hub?password=s3cret", "postgresql://hub:p@s3cret@db.example/hub"]
)
def test_a_password_is_hidden_wherever_the_address_has_it(dsn: str) -> None:
    settings = load_settings(None, {}, {"engines.postgres.dsn": dsn, "engines.nats.url": "nats://x"})
    assert "s3cret" not in str(public_settings(settings))


def test_the_data_directory_follows_the_setting_then_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(None, {})
    assert data_directory(load_settings(None, {}, {"data.dir": str(tmp_path)})) == tmp_path
    assert data_directory(load_settings(None, {}, {"data.dir": "~/x"})) == Path("~/x").expanduser()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert data_directory(settings) == Path("/var/lib/matrixhub")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_directory(settings) == tmp_path / "matrixhub"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_directory(settings) == Path("~/.local/share/matrixhub").expanduser()


@pytest.mark.parametrize(
    "listen,address",
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:0", ("::1", 0)), ("hub.example:443", ("hub.example", 443))],
)
def test_the_address_to_listen_on_has_a_host_and_a_port(listen: str, address: tuple[str, int]) -> None:
    assert listen_address(load_settings(None, {}, {"http.listen": listen})) == address
