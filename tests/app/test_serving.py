"""The server: what it lets in, what it answers, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from ganzoo import provenance
from ganzoo.app import serving
from ganzoo.app.assets import Assets
from ganzoo.app.doors import Doors
from ganzoo.cli import main
from ganzoo.errors import InputError
from tests.app.conftest import MODELS, Running, needs_gradio, start


def fetch(
    url: str, data: Any = None, method: str | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
    said = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, body, said, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def draw(server: Running, *values: Any) -> str:
    """All that the server says of a call of its one named endpoint."""
    status, body, _ = fetch(f"{server.address}/gradio_api/call/draw", {"data": values})
    if status != 200:
        return body.decode()
    event = json.loads(body)["event_id"]
    return fetch(f"{server.address}/gradio_api/call/draw/{event}")[1].decode()


# -- the doors alone -------------------------------------------------------------------------------


def knock(doors: Doors, method: str, path: str, **headers: str) -> list[Any]:
    """What is said to a request."""
    scope = {
        "type": "http", "method": method, "path": path,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in
                    {"host": "127.0.0.1:7860", **headers}.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(doors(scope, receive, send))
    return sent


def opens(doors: Doors, method: str, path: str, **headers: str) -> bool:
    return bool(knock(doors, method, path, **headers)[0]["status"] == 200)


@pytest.fixture
def doors(tmp_path: Path) -> Doors:
    async def behind(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<body><gradio-app></body>"})

    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"ours")
    (tmp_path / "secret.png").write_bytes(b"not ours")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "a.html").write_text("of another kind")
    (folder / ".a.1.tmp.png").write_bytes(b"half written")
    return Doors(behind, folder, frozenset({"127.0.0.1", "localhost", "::1"}))


def test_files_of_one_folder_are_served(doors: Doors) -> None:
    folder = doors.folder
    assert opens(doors, "GET", f"/gradio_api/file={folder}/a.png")
    for path in (
        "/etc/passwd",
        f"{folder}/../secret.png",
        f"{folder}/link.png",
        f"{folder}/none.png",
        f"{folder}/a.html",
        f"{folder}/.a.1.tmp.png",
        f"{folder}",
        f"{folder}/a.png\0.txt",
        "a.png",
        "http://localhost/a.png",
        "",
    ):
        assert not opens(doors, "GET", f"/gradio_api/file={path}")


def test_what_the_page_does_not_need_is_shut(doors: Doors) -> None:
    for method, path in (
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/proxy=https://example.org"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("GET", "/gradio_api/custom_component/1/a/b/../../c"),
        ("GET", "/monitoring/summary"),
        ("GET", "/docs"),
        ("PUT", "/"),
        ("DELETE", "/"),
    ):
        assert not opens(doors, method, path), path
    assert opens(doors, "GET", "/") and opens(doors, "POST", "/gradio_api/queue/join")
    assert not opens(doors, "POST", "/gradio_api/queue/join", content_length=str(1 << 21))


def test_other_names_of_this_machine_are_no_way_in(doors: Doors) -> None:
    for host in ("127.0.0.1", "localhost:7860", "[::1]:7860", "127.0.0.1:1"):
        assert opens(doors, "GET", "/", host=host)
    for host in ("evil.example", "evil.example:7860", "127.0.0.1.evil.example", ""):
        assert not opens(doors, "GET", "/", host=host)


def test_other_sites_cannot_ask_for_anything(doors: Doors) -> None:
    path = "/gradio_api/queue/join"
    assert opens(doors, "POST", path, origin="http://127.0.0.1:7860", sec_fetch_site="same-origin")
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8888"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},  # another port of this machine
    ):
        assert not opens(doors, "POST", path, **headers), headers
    anywhere = Doors(doors.app, doors.folder, None)
    assert opens(anywhere, "POST", path, host="a.example", origin="http://b.example")


def test_a_request_that_does_not_say_how_long_it_is_ends(tmp_path: Path) -> None:
    read: list[int] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            read.append(len(message["body"]))

    async def endless() -> Any:
        return {"type": "http.request", "body": bytes(1 << 16), "more_body": True}

    doors = Doors(behind, tmp_path, None)
    scope = {"type": "http", "method": "POST", "path": "/gradio_api/queue/join", "headers": []}
    asyncio.run(doors(scope, endless, None))
    assert sum(read) == 1 << 20


def test_a_file_that_goes_meanwhile_is_not_found(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_is_ours", lambda path: True)  # it was there when that was asked
    (answer, body) = knock(doors, "GET", f"/gradio_api/file={doors.folder}/gone.png")
    assert answer["status"] == 404 and body["body"] == b"not found\n"


def test_scripts_are_compressed_once(tmp_path: Path) -> None:
    text = b"export const a = 1;\n" * 100
    (tmp_path / "a-1f.js").write_bytes(text)
    (tmp_path / "b-2f.css").write_bytes(b"a {}")
    (tmp_path / "c.wasm").write_bytes(b"not of these")
    assets = Assets(tmp_path)
    assert "a-1f.js" in assets and "c.wasm" not in assets and "../a-1f.js" not in assets
    headers, body = assets.get("a-1f.js", True)
    assert gzip.decompress(body) == text and dict(headers)[b"content-encoding"] == b"gzip"
    assert assets.get("a-1f.js", True)[1] is body
    headers, body = assets.get("a-1f.js", False)
    assert body == text and b"content-encoding" not in dict(headers)
    assert dict(headers)[b"content-type"].startswith(b"text/javascript")
    assert b"immutable" in dict(headers)[b"cache-control"]


def test_the_page_begins_with_the_first_look(doors: Doors) -> None:
    doors = Doors(doors.app, doors.folder, None, first="<i>ψ</i>")
    start, body = knock(doors, "GET", "/")
    assert body["body"].decode() == "<body><i>ψ</i><gradio-app></body>"
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    _, packed = knock(doors, "GET", "/", accept_encoding="gzip, br")
    assert gzip.decompress(packed["body"]) == body["body"]
    assert b"<i>" not in knock(doors, "GET", "/config")[1]["body"]


# -- the whole server ------------------------------------------------------------------------------


@needs_gradio
def test_the_page_fetches_nothing_from_elsewhere(server: Running) -> None:
    status, page, headers = fetch(server.address)
    assert status == 200 and b"ganzoo" in page
    assert "default-src 'self'" in headers["content-security-policy"]
    assert server.address.startswith("http://127.0.0.1:")
    for word in (b"fonts.googleapis", b"fonts.gstatic", b'<link rel="preconnect" href="http'):
        assert word not in page, word
    config = json.loads(fetch(f"{server.address}/config")[1])
    assert config["analytics_enabled"] is False and not config.get("share")
    assert not any("http" in str(sheet) for sheet in config.get("stylesheets") or [])


@needs_gradio
def test_the_first_grid_is_in_the_page_and_marked(server: Running, tmp_path: Path) -> None:
    page = fetch(server.address)[1].decode()
    images = re.findall(r'<img src="(gradio_api/file=[^"]*)" alt="(\d+)">', page)
    assert [caption for _, caption in images] == [str(seed) for seed in range(16)]
    for seed in (0, 15):
        body = fetch(f"{server.address}/{images[seed][0]}")[1]
        (tmp_path / "a.png").write_bytes(body)
        record = provenance.read_record(tmp_path / "a.png")
        assert record is not None and (record["model"], record["seed"]) == (MODELS[0], seed)


@needs_gradio
def test_the_server_rests_when_nobody_asks(server: Running) -> None:
    """Beside training, a server that looks for work a thousand times a second is felt."""
    tasks = Path(f"/proc/{server.process.pid}/task")
    if not tasks.exists():
        pytest.skip("there is no /proc to count its wake-ups with")

    def woken() -> int:
        count = 0
        for path in tasks.glob("*/status"):
            with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                (n,) = re.findall(r"\nvoluntary_ctxt_switches:\t(\d+)", path.read_text())
                count += int(n)
        return count

    before = woken()
    time.sleep(2)
    assert woken() - before < 2 * 200


@needs_gradio
def test_no_file_beside_its_pictures_can_be_read_or_written(
    server: Running, tmp_path: Path
) -> None:
    for path in ("/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "app.py",
                 f"{tempfolder(server)}/../../etc/passwd", str(Path(__file__))):  # fmt: skip
        for route in ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/"):
            for word in (path, quote(path, safe=""), f"..%2f{quote(path)}"):
                status, body, _ = fetch(f"{server.address}{route}{word}")
                assert status in (403, 404), f"{route}{word}: {status}"
                assert b"root:" not in body and b"Traceback" not in body
    for address in ("http://127.0.0.1:1/", "https://example.org/a.png"):
        assert fetch(f"{server.address}/gradio_api/file={address}")[0] == 404
        assert fetch(f"{server.address}/gradio_api/proxy={address}")[0] == 404
    assert fetch(f"{server.address}/gradio_api/upload", b"x", method="POST")[0] == 404
    status, _, _ = fetch(server.address, Host="evil.example")
    assert status == 404


def tempfolder(server: Running) -> str:
    answer = draw(server, MODELS[0], "1", None, 1, "const")
    path: str = json.loads(answer.split("data: ")[-1])[0][0]["image"]["path"]
    return str(Path(path).parent)


@needs_gradio
def test_what_is_downloaded_is_marked(server: Running, tmp_path: Path) -> None:
    answer = draw(server, "cgan.fashion-mnist", "5-6", 3, 1, "const")
    (gallery, *_) = json.loads(answer.split("data: ")[-1])
    for seed, item in zip((5, 6), gallery, strict=True):
        status, body, headers = fetch(item["image"]["url"])
        assert status == 200 and headers["content-type"] == "image/png"
        path = tmp_path / f"{seed}.png"
        path.write_bytes(body)
        record = provenance.read_record(path)
        assert record is not None and (record["seed"], record["label"]) == (seed, 3)
        done = CliRunner().invoke(main, ["inspect", str(path)])
        assert done.exit_code == 0 and "marked" in done.stdout, done.output


@needs_gradio
@pytest.mark.parametrize(
    "values",
    [
        ("gan.mnist", "<script>alert(1)</script>", None, 1, "const"),
        ("gan.mnist", "0-99999999", None, 1, "const"),
        ("/etc/passwd", "0", None, 1, "const"),
        ("wgan-gp.mnist", "0", None, 1, "const"),
        ("stylegan2.nouns", "0", None, 1e9, "const"),
        ("stylegan2.nouns", "0", None, "a", "const"),
        ("stylegan2.nouns", "0", None, 1, "loud"),
        ("cgan.fashion-mnist", "0", 99, 1, "const"),
        ("cgan.fashion-mnist", "0", {"a": 1}, 1, "const"),
        ({"path": "/etc/passwd"}, "0", None, 1, "const"),
        ("gan.mnist", {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, None, 1, "c"),
        ("gan.mnist",),
        (),
    ],
    ids=str,
)
def test_bad_input_shows_no_traceback(server: Running, values: tuple[Any, ...]) -> None:
    answer = draw(server, *values)
    assert "Traceback" not in answer and ".py" not in answer and "root:" not in answer
    assert '"image"' not in answer
    again = draw(server, "gan.mnist", "0", None, 1, "const")
    assert '"image"' in again, again


@needs_gradio
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data": 3}', b"\xff" * 100])
def test_bad_requests_show_no_traceback(server: Running, body: bytes) -> None:
    for route in ("call/draw", "queue/join"):
        status, answer, _ = fetch(f"{server.address}/gradio_api/{route}", body, method="POST")
        assert status >= 400 and b"Traceback" not in answer and b'File "' not in answer


@needs_gradio
def test_an_end_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    running = start(["app", "gan.mnist", "--host", "0.0.0.0"], cwd=tmp_path)
    assert '"image"' in draw(running, "gan.mnist", "99", None, 1, "const")
    assert len(list((tmp_path / "temporary").glob("ganzoo-app-*/*.png"))) == 16 + 1
    running.process.terminate()
    assert running.process.wait(timeout=300) == 0
    running.close()
    assert "note: whoever can reach this machine" in running.stderr
    assert not list((tmp_path / "temporary").glob("ganzoo-app-*"))


@needs_gradio
def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "ganzoo", "app", "gan.mnist", "--port", str(port)],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        f"error: 127.0.0.1:{port} cannot be listened on: use another --host or --port\n"
    )


@needs_gradio
@pytest.mark.parametrize("killed", [False, True])
def test_a_run_is_watched_until_it_ends(tmp_path: Path, killed: bool) -> None:
    """With Ctrl-C, which is for training alone, or at once."""
    running = start(
        ["train", "gan.mnist", "--data", "shapes?n=64&size=28&channels=1", "--out", "run",
         "--device", "cpu", "--set", "batch=16", "--set", "every.log=5", "--watch"],
        cwd=tmp_path,
    )  # fmt: skip
    status, page, _ = fetch(running.address)
    assert status == 200 and b"ganzoo: run" in page
    training = running.process.pid
    children = Path(f"/proc/{training}/task/{training}/children")
    if children.exists():  # where there is a /proc
        (view,) = map(int, children.read_text().split())
        assert os.getpgid(view) != os.getpgid(training)  # Ctrl-C is for training alone
        assert os.getsid(view) == os.getsid(training)  # or it would not give way to training
        assert os.getpriority(os.PRIO_PROCESS, view) > os.getpriority(os.PRIO_PROCESS, training)
    if killed:
        running.process.kill()
        running.process.wait()
    else:
        assert running.interrupt() == 130
        assert (tmp_path / "run" / "model" / "config.json").is_file()
    for _ in range(1000):  # the page sees it within a second, and closes
        try:
            urllib.request.urlopen(running.address, timeout=5).close()
        except OSError:
            break
        time.sleep(0.2)
    else:
        raise AssertionError("the page is still there")
    running.close()
    assert killed or "interrupted: stopped at step" in running.stderr
    assert "Traceback" not in running.stderr


# -- the command -----------------------------------------------------------------------------------


def test_help_is_quick(tmp_path: Path) -> None:
    code = "import sys; from ganzoo.cli import main\ntry: main(['app', '--help'])\nfinally:\n"
    code += " assert not {'gradio', 'torch', 'pandas'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--watch RUN" in done.stdout, done.stderr


def test_without_gradio_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else found(name, *a)
    )
    monkeypatch.chdir(tmp_path)
    for words in (["app"], ["train", "gan.mnist", "--out", "run", "--watch"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 1
        assert done.stderr == "error: the app needs Gradio: pip install 'ganzoo[app]'\n"
    assert list(tmp_path.iterdir()) == []


@needs_gradio
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gan.mnits"], "no model is called 'gan.mnits': did you mean gan.mnist, "),
        (["nowhere/run"], "nowhere/run"),
        (["--watch", "nowhere"], "nowhere is no run folder"),
        (["gan.mnist", "--save", "file/x"], "file"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for variable in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(variable, "")  # given back after
    done = CliRunner().invoke(main, ["app", *words])
    assert done.exit_code == 1 and said in done.stderr and done.stderr.count("\n") == 1


@needs_gradio
def test_a_port_that_is_taken_meanwhile_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As by another app that starts at once: Gradio takes seconds to listen on a free one."""
    asked: list[int] = []

    class Page:
        def __init__(self) -> None:
            self.blocks: dict[int, Any] = {}
            self._queue = None

        def queue(self, **how: Any) -> None: ...

        def launch(self, *, server_port: int, **how: Any) -> tuple[None, str, None]:
            asked.append(server_port)
            if len(asked) < 3:
                raise OSError("Cannot find empty port")
            return None, f"http://127.0.0.1:{server_port}/", None

        def close(self, *, verbose: bool) -> None: ...

    serving.serve(Page(), {}, tmp_path, ends=lambda: True)
    assert len(set(asked)) == 3 and set(asked) < set(serving.PORTS)
    assert capsys.readouterr().err == f"ganzoo app: http://127.0.0.1:{asked[-1]}/\n"


def test_an_address_of_another_machine_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"this machine has no address '192\.0\.2\.1'"):
        next(serving._free_ports("192.0.2.1"))  # for documentation (RFC 5737)
