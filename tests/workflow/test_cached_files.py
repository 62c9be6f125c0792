"""Results made from files: what anybody changed is never served, by no cache and no spelling."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.folder_tools import Tools, nobody, settle

from cache import Cache
from cache.core.fingerprint import MAX_FILES
from cache.key_generator import generate_tool_key
from cache.redis_client import RedisCacheClient
from cache.workflow.file_tools import file_dispatch, file_registry
from cache.workflow.sandbox import Sandbox, SandboxError
from cache.workflow.tool_executor import execute_tool_call
from cache.workflow.tools import ToolRequest

READS = (("read_file", {"path": "a.txt"}), ("list_files", {}), ("search_text", {"pattern": "alpha"}))


@pytest.mark.parametrize(("name", "payload"), READS)
def test_a_second_call_is_a_hit(tools: Tools, name: str, payload: dict[str, Any]) -> None:
    """The second call gives the same result without running the tool, and says so."""
    first, second = tools.call(name, **payload), tools.call(name, **payload)

    assert (first[0], first[1].pop("cache_hit"), second[1].pop("cache_hit")) == (True, False, True)
    assert first == second
    assert tools.runs == [name]


def overwrite(root: Path) -> None:
    (root / "a.txt").write_text("ALPHA ONE\n")


def overwrite_and_hide(root: Path) -> None:
    """Same size, and the old modification time put back."""
    before = (root / "a.txt").stat()
    (root / "a.txt").write_text("aleph one\n")
    os.utime(root / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(root: Path) -> None:
    (root / "fresh").write_text("omega one\n")
    os.replace(root / "fresh", root / "a.txt")


def through_a_hard_link(root: Path) -> None:
    os.link(root / "a.txt", root.parent / "outside")
    (root.parent / "outside").write_text("theta one\n")


CHANGES = (overwrite, overwrite_and_hide, replace, through_a_hard_link)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_is_read_again(tools: Tools, change: Callable[[Path], None]) -> None:
    """However a file was changed, the next call and the one after it give what is there now."""
    assert tools.call("read_file", path="a.txt")[1]["content"] == "alpha one\n"
    assert tools.call("search_text", pattern="alpha one")[1]["total"] == 1
    change(tools.root)

    for _ in range(2):
        _, result = tools.call("read_file", path="a.txt")
        assert result["content"] == (tools.root / "a.txt").read_text()
    assert tools.call("search_text", pattern=result["content"].strip())[1]["total"] >= 1


def test_a_file_that_changes_at_once_again_is_never_served_old(tools: Tools) -> None:
    """200 changes of one size without a pause between them: each call gives the last one."""
    stale = []
    for n in range(200):
        (tools.root / "a.txt").write_text(f"{n:08}\n")
        stale += [n for _ in range(2) if tools.call("read_file", path="a.txt")[1]["content"] != f"{n:08}\n"]

    assert stale == []


@pytest.mark.parametrize(("name", "payload"), READS)
def test_what_was_read_at_the_moment_of_a_change_is_not_kept(tools: Tools, name: str, payload: dict[str, Any]) -> None:
    """A file or folder whose modification time is not in the past may change again unseen: it is read each time."""
    later = time.time_ns() + 60_000_000_000
    for path in (tools.root / "a.txt", tools.root):
        os.utime(path, ns=(later, later))

    assert [tools.call(name, **payload)[1]["cache_hit"] for _ in range(2)] == [False, False]


def test_results_of_very_many_files_are_not_kept(tools: Tools) -> None:
    """A search over more files than an entry may name is right each time and stored never."""
    for n in range(MAX_FILES):
        (tools.root / f"{n:03}.txt").write_text("needle\n")
    tools.settle()

    found = [tools.call("search_text", pattern="needle")[1] for _ in range(2)]
    assert [(result["total"], result["cache_hit"]) for result in found] == [(MAX_FILES, False)] * 2


def test_new_and_deleted_files_change_listings_and_searches(tools: Tools) -> None:
    """A listing and a search see a file that came or went, in a folder below too."""
    assert tools.call("list_files")[1]["files"] == ["a.txt", "b.txt", "deep/c.txt"]
    assert tools.call("search_text", pattern="alpha")[1]["total"] == 2
    (tools.root / "deep" / "d.txt").write_text("alpha new\n")
    (tools.root / "a.txt").unlink()

    assert tools.call("list_files")[1]["files"] == ["b.txt", "deep/c.txt", "deep/d.txt"]
    found = tools.call("search_text", pattern="alpha")[1]["matches"]
    assert [match["path"] for match in found] == ["deep/c.txt", "deep/d.txt"]


def test_a_deleted_file_is_gone(tools: Tools) -> None:
    """After the file went, the cached content is not served."""
    tools.call("read_file", path="a.txt")
    (tools.root / "a.txt").unlink()

    assert tools.call("read_file", path="a.txt") == (
        False, {"code": "tool_failed", "tool_name": "read_file", "error": "FileNotFoundError", "cache_hit": False},
    )  # fmt: skip


@pytest.mark.parametrize("swapped", ["a.txt", "deep/c.txt"])
def test_a_link_put_in_place_is_refused(tools: Tools, swapped: str) -> None:
    """A file, or the folder above it, that became a link out of the sandbox is refused though it was cached."""
    assert tools.call("read_file", path=swapped)[0]
    outside = tools.root.parent / "elsewhere"
    shutil.copytree(tools.root / "deep", outside)
    (outside / "a.txt").write_text("secret\n")
    shutil.rmtree(tools.root / "deep")
    (tools.root / "deep").symlink_to(outside)
    (tools.root / "a.txt").unlink()
    (tools.root / "a.txt").symlink_to(outside / "a.txt")

    ok, result = tools.call("read_file", path=swapped)
    assert (ok, result["code"]) == (False, "permission_denied")
    assert tools.call("search_text", pattern="secret")[1]["matches"] == []


def test_a_permission_taken_away_is_asked_before_the_hit(client: Any) -> None:
    """A cached file that this process may read no longer is refused; given back, it is read again."""
    root = Path(tempfile.mkdtemp())
    try:
        (root / "a.txt").write_text("mine\n")
        for path in (root, root / "a.txt") if os.geteuid() == 0 else ():
            os.chown(path, 65534, -1)
        settle(root)
        tools = Tools(root, client)
        assert tools.call("read_file", path="a.txt")[1]["cache_hit"] is False
        with nobody():
            assert tools.call("read_file", path="a.txt")[1]["cache_hit"] is True
            (root / "a.txt").chmod(0)
            ok, result = tools.call("read_file", path="a.txt")
            (root / "a.txt").chmod(0o600)

            assert (ok, result["code"]) == (False, "permission_denied")
            assert tools.call("read_file", path="a.txt")[1]["content"] == "mine\n"
    finally:
        shutil.rmtree(root)


class Policed(Sandbox):
    """An application's sandbox: beside the folder's rules it has a list of what is forbidden now."""

    forbidden: frozenset[str] = frozenset()

    def check(self, path: str) -> None:
        super().check(path)
        if self.relative(path) in self.forbidden:
            raise SandboxError("forbidden")


def test_an_applications_own_refusal_comes_before_the_hit(tools: Tools) -> None:
    """What the application's sandbox forbids after it was cached is refused, in each spelling."""
    sandbox = tools.sandbox = Policed(tools.root)
    spellings = ("deep/c.txt", "./deep//c.txt", str(tools.root / "deep" / "c.txt"))
    assert all(tools.call("read_file", path=path)[0] for path in spellings)
    sandbox.forbidden = frozenset({"deep/c.txt"})

    codes = [tools.call("read_file", path=path)[1].get("code") for path in spellings]
    assert codes == ["permission_denied"] * 3


def test_another_sandbox_has_results_of_its_own(folder: Path, client: Any) -> None:
    """Two folders, one's path beginning with the other's: equal names never give each other's content."""
    other = folder.parent / "root2"
    shutil.copytree(folder, other)
    (other / "a.txt").write_text("not yours\n")
    settle(other)
    first, second = Tools(other, client), Tools(folder, client)

    assert [first.call("read_file", path="a.txt")[1]["content"] for _ in range(2)] == ["not yours\n"] * 2
    assert second.call("read_file", path="a.txt")[1]["content"] == "alpha one\n"


def test_a_write_drops_what_it_changed(folder: Path, glasscache_url: str) -> None:
    """After ``write_file`` the file, the listings and searches above it miss as ``invalidated``; others still hit."""
    with Cache.from_url(glasscache_url) as cache:
        tools = Tools(folder, cache)
        reads = [*READS, ("list_files", {"path": "deep"}), ("read_file", {"path": "b.txt"})]
        for name, payload in reads:
            tools.call(name, **payload)
        ok, result = tools.call("write_file", path="a.txt", content="new\n")
        assert (ok, result) == (True, {"path": "a.txt", "bytes": 4, "cache_hit": False})
        tools.settle()

        hits = [tools.call(name, **payload)[1]["cache_hit"] for name, payload in reads]
        assert hits == [False, False, False, True, True]
        scope = {"version": "1", "root": str(folder.resolve())}
        tools.call("write_file", path="a.txt", content="newer\n")
        looked = cache.lookup("tool", ("read_file", {"path": "a.txt"}, scope), tags=("file:a.txt",))
        assert looked.miss_reason == "invalidated"


def test_a_write_whose_tags_are_refused_is_still_a_write(folder: Path, glasscache_url: str) -> None:
    """A path too long for a tag is written, said to be written, and read as it is."""
    path = "/".join(["x" * 200] * 3)
    (folder / path).parent.mkdir(parents=True)
    with Cache.from_url(glasscache_url) as cache:
        tools = Tools(folder, cache)
        assert tools.call("write_file", path=path, content="1")[0] is True
        tools.settle()
        assert [tools.call("read_file", path=path)[1]["content"] for _ in range(2)] == ["1", "1"]


def test_reading_with_caching_off_drops_nothing(folder: Path, glasscache_url: str) -> None:
    """``enable_caching=False`` runs a reading tool and leaves what is cached alone."""
    with Cache.from_url(glasscache_url) as cache:
        tools = Tools(folder, cache)
        tools.call("read_file", path="a.txt")
        request = ToolRequest("read_file", {"path": "a.txt"})
        ok, result = execute_tool_call(request, file_registry(), tools.sandbox, file_dispatch(), cache, False)

        assert (ok, result["cache_hit"]) == (True, False)
        assert tools.call("read_file", path="a.txt")[1]["cache_hit"] is True


def test_the_clients_json_keeps_what_a_result_was_made_from(folder: Path, glasscache_url: str) -> None:
    """Under the specification's key stand the content and its fingerprint; JSON without one is no answer for a file."""
    with RedisCacheClient(glasscache_url) as client:
        tools, key = Tools(folder, client), generate_tool_key("read_file", {"path": "a.txt"})
        tools.call("read_file", path="a.txt")
        stored = client.get_json(key)
        assert (stored["content"], len(stored["_files"])) == ("alpha one\n", 1)

        for forged in ({"content": "forged"}, {**stored, "_files": [[1]]}, {**stored, "_files": 5}, ["x"]):
            client.set_json(key, forged)
            assert tools.call("read_file", path="a.txt")[1]["content"] == "alpha one\n"


def test_a_tool_that_names_no_files_is_watched_by_its_paths(folder: Path, client: Any) -> None:
    """A function that returns a plain dict is served from the cache until the file that its payload names changes."""
    runs = []

    def count(payload: dict[str, Any], sandbox: Sandbox) -> dict[str, int]:
        runs.append(1)
        return {"bytes": os.stat(sandbox.absolute(payload["path"])).st_size}

    def call() -> Any:
        request = ToolRequest("read_file", {"path": "a.txt"})
        return execute_tool_call(request, file_registry(), Sandbox(folder), {"read_file": count}, client)[1]

    assert [call()["cache_hit"] for _ in range(2)] == [False, True]
    (folder / "a.txt").write_text("longer than before\n")
    assert (call()["bytes"], len(runs)) == (19, 2)


def test_readers_beside_a_writer_never_see_an_old_file(tools: Tools) -> None:
    """4 threads read while another writes 60 versions: no reader sees half a file, or one older than it saw before."""
    done, problems = threading.Event(), []
    tools.call("write_file", path="a.txt", content="0000 " * 500)

    def read(_: int) -> None:
        last = 0
        while not done.is_set():
            words = set(tools.call("read_file", path="a.txt")[1]["content"].split())
            if len(words) != 1 or int(min(words)) < last:
                problems.append(words)
            last = int(min(words))

    def write() -> None:
        try:
            for n in range(1, 60):
                assert tools.call("write_file", path="a.txt", content=f"{n:04} " * 500)[0]
        finally:
            done.set()

    with ThreadPoolExecutor(5) as pool:
        for task in [*[pool.submit(read, n) for n in range(4)], pool.submit(write)]:
            task.result(60)

    assert problems == []
    assert tools.call("read_file", path="a.txt")[1]["content"] == "0059 " * 500
