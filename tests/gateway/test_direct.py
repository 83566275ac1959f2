"""The overlay of the built app: destinations, policy and revisions agree, for a gateway and for a
static host."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import httpx
import pytest

from gateway import cli
from gateway.app import create_app
from gateway.direct import OVERLAID, overlay_of, read_file, write
from gateway.gateway import Gateway
from gateway.settings import CannotStart, Settings

CONFIG = """
[destinations.cases]
direct = true
type = "salesforce"
title = "Salesforce"
settings = { instance_url = "https://acme.my.salesforce.com" }
oauth = { client_id = "3MVG9" }

[destinations.desk]
type = "jira"
settings = { base_url = "https://acme.example", project_key = "SUP" }
"""
ORIGIN = "https://acme.my.salesforce.com"
BUILT = {
    "index.html": b'<meta http-equiv="Content-Security-Policy" content="default-src \'self\'; '
    b"connect-src 'self' blob:; img-src 'self'\">\n",
    "static/direct.json": b'{"destinations": {}, "version": 1}\n',
    "static/app.css": b"p { color: red }\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built app, as far as the overlay goes."""
    root = tmp_path / "dist"
    listed = []
    for name, data in BUILT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        listed.append({"url": name, "revision": digest, "bytes": len(data)})
    assets = json.dumps(listed, indent=1) + "\n"
    (root / "assets.json").write_text(assets)
    entries = "".join(f'{{revision:"{a["revision"]}",integrity:"{sri(a)}"}}' for a in listed)
    version = hashlib.sha256(assets.encode()).hexdigest()[:12]
    (root / "service-worker.js").write_text(f'x=[{entries}];v="{version}"')
    return root


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "destinations.toml"
    file.write_text(CONFIG)
    return file


def sri(asset: dict[str, object]) -> str:
    digest = bytes.fromhex(str(asset["revision"]))
    return "sha256-" + base64.b64encode(digest).decode()


def check_agrees(files: dict[str, bytes]) -> None:
    """Every file has the revision that list and service worker say, and the policy the origin."""
    listed = {a["url"]: a for a in json.loads(files["assets.json"])}
    worker = files["service-worker.js"].decode()
    for name in ("index.html", "static/direct.json"):
        digest = hashlib.sha256(files[name]).hexdigest()
        assert listed[name]["revision"] == digest
        assert listed[name]["bytes"] == len(files[name])
        assert worker.count(digest) == worker.count(sri(listed[name])) == 1
    version = hashlib.sha256(files["assets.json"]).hexdigest()[:12]
    assert f'v="{version}"' in worker
    assert listed["static/app.css"]["revision"] in worker
    assert f"connect-src 'self' blob: {ORIGIN};".encode() in files["index.html"]
    assert b'"cases"' in files["static/direct.json"]


def of(site: Path) -> dict[str, bytes]:
    return {name: (site / name).read_bytes() for name in OVERLAID}


def test_a_static_host_is_told_and_told_again(
    site: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["direct", "--destinations", str(config), "--site", str(site)]
    before = of(site)
    assert cli.main(arguments) == 0
    assert f"cases: browsers deliver to {ORIGIN}" in capsys.readouterr().out
    after = of(site)
    check_agrees(after)
    assert cli.main(arguments) == 0
    assert "nothing, it was so already" in capsys.readouterr().out
    assert of(site) == after
    write(site, overlay_of([]))  # taken back, to the last byte but of the file itself
    assert of(site)["index.html"] == before["index.html"]


def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["direct", "--destinations", str(config), "--site", str(tmp_path)]) == 2
    assert "no folder of the built app" in capsys.readouterr().err


async def test_a_gateway_serves_the_same_and_says_so_in_its_policy(
    site: Path, config: Path, tmp_path: Path
) -> None:
    given = Settings(data=tmp_path / "data", site=site, destinations=config)
    settings = cli._with_direct(given)
    gateway = Gateway(settings)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(gateway)), base_url="http://localhost"
    )
    async with client:
        files = {}
        for name in OVERLAID:
            answer = await client.get("/" + name)
            files[name] = answer.content
            policy = answer.headers["content-security-policy"]
            assert re.search(rf"connect-src 'self' blob: {re.escape(ORIGIN)};", policy)
        check_agrees(files)
        assert (await client.get("/")).content == files["index.html"]
        again = await client.get("/", headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 200  # the tag of another file
    gateway.close()
    assert of(site)["static/direct.json"] == BUILT["static/direct.json"]


def test_the_same_file_has_what_the_gateway_relays(config: Path) -> None:
    behind, direct = read_file(config)
    assert list(behind) == ["desk"]
    assert [one.name for one in direct] == ["cases"]


def test_a_mistake_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(CONFIG.replace('"salesforce"', '"zendesk"'))
    with pytest.raises(CannotStart, match=r"destinations\.cases cannot be reached from browsers"):
        read_file(file)
