"""The command and its snapshots: the figures of real caches, compared as people and CI would."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from cache import Cache
from cache.cli import main
from cache.insight.comparing import Verdict, compare
from cache.insight.snapshots import between, read
from cache.metrics import CacheMetrics
from cache.testing import EmbeddedServer


@pytest.fixture(scope="module")
def url() -> Any:
    """A server of the module's own."""
    with EmbeddedServer() as server:
        yield server.url


def play(cache: Cache, name: str, keys: int, *, every: int) -> None:
    """Look up the same few keys, and one that nobody knows every so often."""
    for i in range(keys):
        cache.get_or_compute("prompt", f"{name}-{every}-{i}" if i % every == 0 else f"{name}-{every}", lambda: "value")


@pytest.fixture
def snapshots(url: str, tmp_path: Path) -> tuple[Path, Path]:
    """Before: one miss in ten; after: one in three."""
    metrics, paths = CacheMetrics(), (tmp_path / "a.json", tmp_path / "b.json")
    with Cache.from_url(url, recorder=metrics.recorder, read_deadline=2, write_deadline=2) as cache:
        for path, every in zip(paths, (10, 3), strict=True):
            play(cache, str(tmp_path), 600 + every, every=every)
            path.write_text(json.dumps(metrics.summary()))
    return paths


def test_a_fallen_ratio_is_worse_and_ends_with_1(
    snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two snapshots of one process: what came after the first is compared with what was there before."""
    code = main(["compare", *map(str, snapshots)])
    out = capsys.readouterr().out

    assert code == 1
    assert "prompt: hit ratio 89.84% -> 66.50%" in out
    assert "misses for `cold`" in out
    assert "610 lookups up to the first snapshot, 603 after it" in out


def test_the_json_says_the_same(snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: the verdict, each comparison, how much chance explains."""
    code = main(["compare", "--json", *map(str, snapshots)])
    told = json.loads(capsys.readouterr().out)
    ratio = next(change for change in told["changes"] if change["what"] == "hit_ratio")

    assert (code, told["verdict"], told["same_accounts"], told["lookups"]) == (1, "worse", True, [610, 603])
    assert (ratio["category"], ratio["verdict"]) == ("prompt", "worse")
    assert ratio["difference"] == pytest.approx(401 / 603 - 548 / 610)
    assert 0 < ratio["chance_share"] < 0.3
    assert told["comparisons"] == len(told["changes"])


def test_the_same_again_is_no_change(
    snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment beside itself: nothing changed; standard input is read as a file is; --all shows everything."""
    other = json.loads(snapshots[0].read_text()) | {"process": 1}
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(other).encode())))
    code = main(["compare", str(snapshots[0]), "-", "--all"])
    out = capsys.readouterr().out

    assert code == 0
    assert "nothing changed that chance does not explain" in out
    assert "prompt hit_ratio" in out


def test_better_is_no_alarm(snapshots: tuple[Path, Path]) -> None:
    """The other way round, as two deployments, the ratio is better; durations are the machine's."""
    before, after = (read(json.loads(path.read_text())) for path in snapshots)
    after = after.since(before)

    found = {change.what: change.verdict for change in compare(after, before).changes}
    assert (found["hit_ratio"], found["misses.cold"]) == (Verdict.BETTER, Verdict.OTHER)


def test_the_older_comes_first(snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Snapshots of one process in the wrong order are refused with the cure: 2."""
    assert main(["compare", str(snapshots[1]), str(snapshots[0])]) == 2
    assert "give the earlier one first" in capsys.readouterr().err


def broken(path: Path, *names: str, value: Any) -> str:
    """The snapshot with one field changed."""
    document = json.loads(path.read_text())
    part = document
    for name in names[:-1]:
        part = part[name]
    part[names[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "is no object"),
        ("{}", "bucket_bounds_s"),
        ('{"hits": 1}', "no JSON of /cache/metrics of this version"),
    ],
)
def test_what_is_no_snapshot_is_named(
    text: str, says: str, snapshots: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any other document ends with 2 and a line that says what is wrong."""
    path = tmp_path / "x.json"
    path.write_text(text)

    assert main(["compare", str(snapshots[0]), str(path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("categories", "prompt", "hits"), -1),
        (("categories", "prompt", "hits"), True),
        (("categories", "prompt", "hits"), 1.5),
        (("categories", "prompt", "hits"), 1 << 60),
        (("categories", "prompt", "miss_reasons"), []),
        (("categories", "prompt", "seconds_avoided"), float("nan")),
        (("categories", "prompt", "buckets", "hit", "counts"), [1]),
        (("categories", "prompt"), 5),
        (("categories",), {"a\nb": {}}),
        (("bucket_bounds_s",), [1, 1]),
        (("bucket_bounds_s",), []),
        (("since",), "yesterday"),
    ],
)
def test_nothing_is_taken_on_trust(
    names: tuple[str, ...], value: Any, snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A field of another kind is named."""
    snapshots[1].write_text(broken(snapshots[1], *names, value=value))

    assert main(["compare", *map(str, snapshots)]) == 2
    assert names[-1] in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A wrong path and a folder end with 2."""
    for path in (str(tmp_path / "none.json"), str(tmp_path)):
        assert main(["compare", path, path]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--level=0", "--level=1.5", "--level=nan", "--at-least=-1", "--at-least=x"])
def test_a_level_is_a_share(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no share between 0 and 1 is refused by the command line: 2."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a", "b", option])
    assert ended.value.code == 2


def test_other_buckets_are_another_version(snapshots: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Histograms that differ are not compared."""
    bounds = json.loads(snapshots[1].read_text())["bucket_bounds_s"]
    snapshots[1].write_text(broken(snapshots[1], "bucket_bounds_s", value=[*bounds[:-1], 20.0]))

    assert main(["compare", *map(str, snapshots)]) == 2
    assert "different buckets" in capsys.readouterr().err


def test_what_is_on_one_side_only_is_said(snapshots: tuple[Path, Path]) -> None:
    """A category that came or went is named, and compared with nothing."""
    first = json.loads(snapshots[0].read_text())
    other = json.loads(snapshots[0].read_text()) | {"process": 1}
    other["categories"]["tool"] = other["categories"].pop("prompt")
    found = compare(*between(read(first), read(other))[:2])

    assert (found.gone, found.new, found.changes) == (("prompt",), ("tool",), ())


def test_other_weights_are_told_apart_from_other_ratios() -> None:
    """When only the mix of categories changed, the whole ratio's fall is the mix's, and nothing is worse."""

    def snapshot(process: int, tools: int) -> Any:
        metrics = CacheMetrics()
        for name, n, ratio in (("context", 1000, 0.9), ("tool", tools, 0.5)):
            for i in range(n):
                (metrics.record_hit if i < ratio * n else metrics.record_miss)(name)
        return read(json.loads(json.dumps(metrics.summary() | {"process": process})))

    found = compare(snapshot(1, 100), snapshot(2, 1000))
    before, after = found.hit_ratio

    assert before is not None
    assert after is not None
    assert found.by_mix == pytest.approx(after - before)
    assert found.verdict is Verdict.SAME
