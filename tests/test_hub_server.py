"""The Hub on the loopback, as the real client of huggingface_hub sees it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)

from tests.hub_server import Hub

# The client passes an open file where httpx wants bytes.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REPO = "me/my-gan"
WEIGHTS = bytes(range(256)) * 4000
CARD = b"---\nlibrary_name: ganzoo\nlicense: mit\ntags: [gan, dcgan]\ndatasets: mnist\n---\n# A\n"
FILES = {
    "README.md": CARD,
    "config.json": b'{"format": 1}',
    "model.safetensors": b"weights\0" * 100,
    "small/config.json": b"{}",
}
TRANSPORT_ERROR = errors.HfHubHTTPError.__bases__[0]  # of httpx, or httpx2


@pytest.fixture
def api(server: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HfApi:
    """A client with a token that may write; it does not wait between its tries."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return HfApi(endpoint=server.url, token="hf_writing")


def add(files: dict[str, bytes]) -> list[Any]:
    return [CommitOperationAdd(path, content) for path, content in files.items()]


def commit(api: HfApi, files: dict[str, bytes], **options: Any) -> str:
    api.create_repo(REPO, exist_ok=True)
    done = api.create_commit(REPO, add(files), commit_message="Publish", **options)
    return str(done.oid)


def messages(server: Hub, revision: str = "main") -> list[str]:
    return [one.message for _, one in server.repos[REPO].history(revision)]


def asked(server: Hub, words: str) -> list[str]:
    return [request for request in server.requests if words in request]


def status(error: Any) -> int:
    return int(error.value.response.status_code)


# -- accounts and repositories ---------------------------------------------------------------------


def test_tokens_say_who_it_is_and_what_may_be_done(server: Hub, api: HfApi) -> None:
    me = api.whoami()
    assert (me["name"], me["auth"]["accessToken"]["role"]) == ("me", "write")
    assert api.whoami(token="hf_reading")["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(errors.HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_unknown")
    for repo_id, token, refused in [
        (REPO, "hf_reading", 403),
        (REPO, "hf_unknown", 401),
        (REPO, False, 401),
        ("someone/else", "hf_writing", 403),
    ]:
        with pytest.raises(errors.HfHubHTTPError) as error:
            api.create_repo(repo_id, token=token)
        assert status(error) == refused
    assert server.repos == {}


def test_a_repository_is_made_once(server: Hub, api: HfApi) -> None:
    assert str(api.create_repo(REPO, private=True)) == f"{server.url}/{REPO}"
    assert api.create_repo("my-other").repo_id == "me/my-other"
    assert api.create_repo("zoo/gan").repo_id == "zoo/gan"
    assert api.create_repo(REPO, exist_ok=True).repo_id == REPO
    with pytest.raises(errors.HfHubHTTPError) as error:
        api.create_repo(REPO)
    assert status(error) == 409
    assert server.repos[REPO].private and not server.repos["me/my-other"].private
    assert api.list_repo_files(REPO) == [".gitattributes"]


def test_a_private_repository_does_not_exist_for_others(server: Hub, api: HfApi) -> None:
    server.push("someone/open", FILES)
    server.push(REPO, FILES)
    server.repos[REPO].private = True
    assert api.model_info(REPO, token="hf_reading").private
    for repo_id in (REPO, "me/missing"):
        for token, refused in (("hf_stranger", 404), (False, 401)):
            with pytest.raises(errors.RepositoryNotFoundError) as error:
                api.model_info(repo_id, token=token)
            assert status(error) == refused
            assert not isinstance(error.value, errors.GatedRepoError)
    assert [model.id for model in api.list_models(token=False)] == ["someone/open"]
    assert len(list(api.list_models())) == 2


def test_a_gated_repository_shows_itself_but_not_its_files(server: Hub, api: HfApi) -> None:
    server.push("someone/gan", FILES)
    server.repos["someone/gan"].gated = "auto"
    assert api.model_info("someone/gan").gated == "auto"
    for token, refused in (("hf_writing", 403), (False, 401)):
        with pytest.raises(errors.GatedRepoError) as error:
            api.hf_hub_download("someone/gan", "config.json", token=token)
        assert status(error) == refused
    server.repos["someone/gan"].granted.add("me")
    assert Path(api.hf_hub_download("someone/gan", "config.json")).read_bytes() == b'{"format": 1}'


# -- commits ---------------------------------------------------------------------------------------


def test_a_commit_of_lfs_and_regular_files(server: Hub, api: HfApi) -> None:
    sha = commit(api, FILES)
    repo = server.repos[REPO]
    assert repo.refs["main"] == sha
    assert messages(server) == ["Publish", "initial commit"]
    files = repo.commits[sha].files
    assert {path: files[path] for path in FILES} == FILES and ".gitattributes" in files
    assert list(server.blobs.values()) == [FILES["model.safetensors"]]
    assert [r.split()[0] for r in asked(server, "lfs")] == ["POST", "PUT", "POST"]
    listed = api.list_repo_commits(REPO)
    assert (listed[0].commit_id, listed[0].title) == (sha, "Publish")
    assert listed[0].authors == ["me"]


def test_what_the_hub_has_is_not_sent_again(server: Hub, api: HfApi) -> None:
    sha = commit(api, FILES)
    server.requests.clear()
    assert commit(api, FILES) == sha
    assert not asked(server, "/commit/")
    new = commit(api, {**FILES, "config.json": b"{}"})
    assert server.repos[REPO].commits[new].parent == sha
    assert len(asked(server, "PUT")) == 0
    assert messages(server) == ["Publish", "Publish", "initial commit"]


def test_files_are_taken_away(server: Hub, api: HfApi) -> None:
    commit(api, FILES)
    gone = [CommitOperationDelete("config.json"), CommitOperationDelete("small/", is_folder=True)]
    api.create_commit(REPO, gone, commit_message="Less")
    assert set(api.list_repo_files(REPO)) == {".gitattributes", "README.md", "model.safetensors"}
    with pytest.raises(errors.EntryNotFoundError):
        api.create_commit(REPO, gone, commit_message="Less")
    assert messages(server)[0] == "Less"


def test_a_commit_on_an_old_parent_is_refused(server: Hub, api: HfApi) -> None:
    old = commit(api, FILES)
    new = server.push(REPO, {"notes.txt": b"theirs"}, sums=False)
    with pytest.raises(errors.HfHubHTTPError) as error:
        commit(api, {"config.json": b"{}"}, parent_commit=old)
    assert status(error) == 412
    assert server.repos[REPO].refs["main"] == new
    commit(api, {"config.json": b"{}"}, parent_commit=new)
    assert messages(server)[:2] == ["Publish", ""]


def test_who_may_not_write_makes_no_commit(server: Hub, api: HfApi) -> None:
    server.push("someone/gan", FILES)
    for token, refused in (("hf_writing", 403), ("hf_reading", 403), (False, 401)):
        with pytest.raises(errors.HfHubHTTPError) as error:
            api.create_commit("someone/gan", add({"a": b"a"}), commit_message="A", token=token)
        assert status(error) == refused
    assert len(server.repos["someone/gan"].commits) == 1


def test_a_pull_request(server: Hub, api: HfApi) -> None:
    before = server.push("someone/gan", {"README.md": CARD, "a.json": b"1"}, sums=False)
    done = api.create_commit("someone/gan", add(FILES), commit_message="Mine", create_pr=True)
    assert (done.pr_num, done.pr_revision) == (1, "refs/pr/1")
    assert done.pr_url == f"{server.url}/someone/gan/discussions/1"
    refs = api.list_repo_refs("someone/gan", include_pull_requests=True)
    assert refs.pull_requests is not None
    assert [(pr.ref, pr.target_commit) for pr in refs.pull_requests] == [("refs/pr/1", done.oid)]
    assert api.model_info("someone/gan").sha == before
    assert api.model_info("someone/gan", revision="refs/pr/1").sha == done.oid
    (pull,) = api.get_repo_discussions("someone/gan")
    assert (pull.title, pull.author, pull.is_pull_request) == ("Mine", "me", True)
    with pytest.raises(errors.HfHubHTTPError):
        api.merge_pull_request("someone/gan", 1)  # only its owner may
    server.tokens["hf_someone"] = type(server.tokens["hf_stranger"])("someone")
    api.merge_pull_request("someone/gan", 1, token="hf_someone")
    assert api.get_discussion_details("someone/gan", 1).status == "merged"
    assert set(api.list_repo_files("someone/gan")) == {*FILES, "a.json"}


def test_a_pull_request_that_starts_empty(server: Hub, api: HfApi) -> None:
    commit(api, FILES)
    pull = api.create_pull_request(REPO, "Mine")
    assert (pull.num, pull.status, pull.git_reference) == (1, "draft", "refs/pr/1")
    commit(api, {"config.json": b"{}"}, revision="refs/pr/1")
    assert len(messages(server, "refs/pr/1")) == 1 + len(messages(server))
    assert api.change_discussion_status(REPO, 1, "open").new_status == "open"


def test_tags_and_branches(server: Hub, api: HfApi) -> None:
    first = commit(api, FILES)
    api.create_tag(REPO, tag="v1")
    api.create_branch(REPO, branch="next/one")
    second = commit(api, {"config.json": b"{}"}, revision="next/one")
    with pytest.raises(errors.HfHubHTTPError) as error:
        api.create_tag(REPO, tag="v1", revision=second)
    assert status(error) == 409
    api.create_tag(REPO, tag="v1", revision=second, exist_ok=True)
    refs = api.list_repo_refs(REPO)
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]
    assert {b.name: b.target_commit for b in refs.branches} == {"main": first, "next/one": second}
    for revision, sha in (("v1", first), ("next/one", second), (first[:8], first)):
        assert api.model_info(REPO, revision=revision).sha == sha
    with pytest.raises(errors.RevisionNotFoundError):
        api.model_info(REPO, revision="v2")


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("license: my-own", '"license" must be one of'),
        ("license: [mit, 3]", '"license" must be one of'),
        ("tags: [1, 2]", '"tags" must be'),
        ("datasets: {a: b}", '"datasets" must be'),
        ("library_name: 3", '"library_name" must be'),
        ("a: [", "invalid YAML"),
        ("- a", "must be a mapping"),
        ("model-index: [{results: []}]", 'model-index[0].name" is required'),
        ("model-index: [{name: a, results: [{task: {}}]}]", "results[0].task.type"),
    ],
)
def test_a_card_that_the_hub_refuses(server: Hub, api: HfApi, metadata: str, problem: str) -> None:
    readme = f"---\n{metadata}\n---\n".encode()
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md") as error:
        commit(api, {**FILES, "README.md": readme})
    assert problem in str(error.value)
    assert messages(server) == ["initial commit"] and not server.blobs


# -- reading ---------------------------------------------------------------------------------------


def test_model_info_tells_sizes_and_hashes(server: Hub, api: HfApi) -> None:
    sha = commit(api, FILES)
    info = api.model_info(REPO, files_metadata=True)
    files = {file.rfilename: file for file in info.siblings or []}
    assert (info.sha, info.author, info.library_name) == (sha, "me", "ganzoo")
    assert info.card_data is not None and info.card_data.license == "mit"
    assert {path: files[path].size for path in FILES} == {p: len(c) for p, c in FILES.items()}
    weights = files["model.safetensors"].lfs
    assert weights is not None
    assert weights.sha256 == hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    assert files["config.json"].lfs is None
    git = hashlib.sha1(b"blob 13\0" + FILES["config.json"]).hexdigest()
    assert files["config.json"].blob_id == git
    assert api.model_info(REPO, expand=["downloads"]).sha is None


def test_the_tree_comes_in_pages(server: Hub, api: HfApi) -> None:
    first = commit(api, FILES)
    second = commit(api, {"small/config.json": b'{"a": 1}', "small/more/a.json": b"{}"})
    server.page_size = 2
    server.requests.clear()
    tree = {entry.path: entry for entry in api.list_repo_tree(REPO, recursive=True, expand=True)}
    assert len(asked(server, "/tree/")) == 4
    assert set(tree) == {".gitattributes", *FILES, "small", "small/more", "small/more/a.json"}
    assert tree["model.safetensors"].lfs is not None
    changed = {path: entry.last_commit.oid for path, entry in tree.items() if entry.last_commit}
    assert (changed["config.json"], changed["small"]) == (first, second)
    assert [e.path for e in api.list_repo_tree(REPO, "small")] == [
        "small/config.json",
        "small/more",
    ]
    assert [e.path for e in api.list_repo_tree(REPO, revision=first, recursive=True)][-1] == (
        "small/config.json"
    )
    with pytest.raises(errors.EntryNotFoundError):
        list(api.list_repo_tree(REPO, "absent"))
    (info,) = api.get_paths_info(REPO, ["model.safetensors", "absent"])
    assert info.path == "model.safetensors" and info.lfs is not None


def test_search(server: Hub, api: HfApi) -> None:
    server.page_size = 3
    for number in range(8):
        server.push(f"me/gan-{number}", FILES)
        server.repos[f"me/gan-{number}"].downloads = number * 3 % 8
    server.push("someone/gan-9", {"README.md": CARD.replace(b"dcgan", b"wgan")})
    server.push("someone/else", {"README.md": b"---\nlicense: [\n---\n"})

    def found(**options: Any) -> list[str]:
        return [model.id for model in api.list_models(**options)]

    server.requests.clear()
    assert len(found(filter="ganzoo")) == 9
    assert len(asked(server, "/api/models?")) == 3
    assert found(filter=["ganzoo", "wgan"]) == ["someone/gan-9"]
    assert len(found(filter="dataset:mnist")) == len(found(filter="license:mit")) == 9
    assert found(author="someone", filter="gan") == ["someone/gan-9"]
    assert found(search="GAN-3") == ["me/gan-3"]
    server.requests.clear()
    assert found(sort="downloads", limit=4) == [f"me/gan-{n}" for n in (5, 2, 7, 4)]
    assert len(asked(server, "/api/models?")) == 2
    plain = next(iter(api.list_models(author="me")))
    full = next(iter(api.list_models(author="me", full=True)))
    assert (plain.sha, full.sha) == (None, server.repos["me/gan-0"].refs["main"])
    assert full.last_modified is not None and full.tags is not None and "dcgan" in full.tags


def test_a_snapshot(server: Hub, api: HfApi, tmp_path: Path) -> None:
    sha = commit(api, FILES)
    folder = Path(api.snapshot_download(REPO, cache_dir=tmp_path))
    assert folder.name == sha
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert {path: found[path] for path in FILES} == FILES
    assert server.repos[REPO].downloads == 1  # as the fetches of config.json
    server.requests.clear()
    assert Path(snapshot_download(REPO, revision=sha, cache_dir=tmp_path, endpoint=server.url))
    assert not asked(server, "GET /me/my-gan/resolve")


def test_what_is_told_of_a_file(server: Hub, api: HfApi) -> None:
    sha = commit(api, FILES)
    for path, digest in [
        ("model.safetensors", hashlib.sha256(FILES["model.safetensors"]).hexdigest()),
        ("config.json", hashlib.sha1(b"blob 13\0" + FILES["config.json"]).hexdigest()),
    ]:
        told = get_hf_file_metadata(hf_hub_url(REPO, path, endpoint=server.url))
        assert (told.commit_hash, told.etag, told.size) == (sha, digest, len(FILES[path]))
    with pytest.raises(errors.EntryNotFoundError):
        api.hf_hub_download(REPO, "absent.json")


# -- faults ----------------------------------------------------------------------------------------

BODY = r"GET .*/resolve/.*model.safetensors"


def fetch(server: Hub, cache: Path) -> bytes:
    path = hf_hub_download(REPO, "model.safetensors", cache_dir=cache, endpoint=server.url)
    return Path(path).read_bytes()


def test_a_dropped_connection_is_gone_on_with(
    server: Hub, api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**16)  # else it keeps 10 MiB at least
    server.push(REPO, {"model.safetensors": WEIGHTS})
    server.fail("drop", BODY)
    with contextlib.suppress(TRANSPORT_ERROR):  # an older client goes on only when called again
        fetch(server, tmp_path)
    assert fetch(server, tmp_path) == WEIGHTS
    first, second = (r.headers.get("Range") for r in server.asked if r.method == "GET")
    assert first is None and second is not None
    start = int(second.removeprefix("bytes=").partition("-")[0])
    assert 0 < start <= len(WEIGHTS) // 2


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("truncate", OSError, "Consistency check failed"),
        ("reset", TRANSPORT_ERROR, "reset"),
        ("503", errors.HfHubHTTPError, "503"),
        ("403", errors.HfHubHTTPError, "403"),
    ],
)
def test_a_fault_of_a_body_is_an_error(
    server: Hub, api: HfApi, tmp_path: Path, kind: str, error: type[Exception], text: str
) -> None:
    server.push(REPO, FILES)
    server.fail(kind, BODY)
    with pytest.raises(error, match=text):
        fetch(server, tmp_path)
    assert [fault.times for fault in server.faults] == [0]
    assert fetch(server, tmp_path) == FILES["model.safetensors"]


def test_a_flipped_bit_and_a_wrong_etag_are_not_noticed(
    server: Hub, api: HfApi, tmp_path: Path
) -> None:
    right = FILES["model.safetensors"]
    server.push(REPO, FILES)
    server.fail("flip", BODY)
    got = fetch(server, tmp_path / "flip")
    assert [a ^ b for a, b in zip(got, right, strict=True) if a != b] == [1]
    server.fail("etag", r"HEAD .*/resolve/.*model.safetensors")
    assert fetch(server, tmp_path / "etag") == right
    assert list((tmp_path / "etag").rglob(f"blobs/{'0' * 64}"))


def test_a_busy_hub_says_when_to_come_back(
    server: Hub, api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.push(REPO, FILES)
    server.fail("429", BODY, 2, Retry_After="7")
    assert fetch(server, tmp_path) == FILES["model.safetensors"]
    assert waits in ([8, 8], [1, 2])  # a second is added; an older client has its own waits
    assert len(asked(server, "GET")) == 3
    server.fail("503", r"GET /api/models/", Retry_After="3")
    with pytest.raises(errors.HfHubHTTPError) as error:
        api.model_info(REPO)
    assert (status(error), error.value.response.headers["Retry-After"]) == (503, "3")


def test_a_slow_body(server: Hub, api: HfApi, tmp_path: Path) -> None:
    server.push(REPO, FILES)
    server.pause = 0.01
    server.fail("slow", BODY)
    started = time.monotonic()
    assert fetch(server, tmp_path) == FILES["model.safetensors"]
    assert time.monotonic() - started > 0.4


@pytest.mark.parametrize("kind", ["503", "reset", "drop", "lose"])
def test_an_upload_is_tried_again(server: Hub, api: HfApi, kind: str) -> None:
    server.fail(kind, r"PUT /lfs/")
    with contextlib.suppress(RuntimeError):  # an older client tries again only after a status
        commit(api, {"model.safetensors": WEIGHTS})
    sha = commit(api, {"model.safetensors": WEIGHTS})
    assert len(asked(server, "PUT")) == 2 or kind == "lose"  # then the first had arrived
    assert messages(server) == ["Publish", "initial commit"]
    assert server.repos[REPO].commits[sha].files["model.safetensors"] == WEIGHTS


def test_an_upload_that_is_forbidden(server: Hub, api: HfApi) -> None:
    server.fail("403", r"PUT /lfs/", 99)
    with pytest.raises(RuntimeError) as error:
        commit(api, FILES)
    assert isinstance(error.value.__cause__, errors.HfHubHTTPError)
    assert messages(server) == ["initial commit"] and not server.blobs


@pytest.mark.parametrize(
    ("kind", "landed"), [("lose", True), ("drop", False), ("reset", False), ("503", False)]
)
def test_a_commit_whose_answer_is_bad(server: Hub, api: HfApi, kind: str, landed: bool) -> None:
    server.fail(kind, r"POST .*/commit/")
    with pytest.raises(TRANSPORT_ERROR):
        commit(api, FILES)
    assert len(messages(server)) == 1 + landed
    assert commit(api, FILES) == server.repos[REPO].refs["main"]
    assert messages(server) == ["Publish", "initial commit"]


def test_wrong_hashes_are_told(server: Hub, api: HfApi) -> None:
    commit(api, FILES)
    server.lies = True
    info = api.model_info(REPO, files_metadata=True)
    told = [file.lfs.sha256 for file in info.siblings or [] if file.lfs]
    told += [entry.lfs.sha256 for entry in api.list_repo_tree(REPO) if getattr(entry, "lfs", None)]
    assert told == ["0" * 64] * 2


def test_a_hub_that_goes_and_comes_back(server: Hub, api: HfApi) -> None:
    sha, url = commit(api, FILES), server.url
    server.stop()
    with pytest.raises(TRANSPORT_ERROR):
        api.model_info(REPO)
    server.start()
    assert server.url == url
    assert api.model_info(REPO).sha == sha


def test_a_hub_without_xet(
    server: Hub, api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    pytest.importorskip("hf_xet")
    api.create_repo(REPO)
    path = tmp_path / "model.safetensors"
    path.write_bytes(FILES[path.name])
    try:
        api.create_commit(REPO, [CommitOperationAdd(path.name, path)], commit_message="By path")
    except (OSError, RuntimeError):  # of the client or of hf_xet
        assert asked(server, "/xet-write-token/") and not asked(server, "PUT")
    else:  # an older client asks for LFS first
        assert asked(server, "PUT") and not asked(server, "/xet-write-token/")
        return
    opened = io.BytesIO(path.read_bytes())  # goes by LFS
    api.create_commit(REPO, [CommitOperationAdd(path.name, opened)], commit_message="By LFS")
    assert messages(server) == ["By LFS", "initial commit"]
