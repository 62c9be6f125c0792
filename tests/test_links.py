"""Links in the documentation: files and headings that relative links name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = {".venv", ".git", "node_modules", ".hypothesis", ".pytest_cache"}
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)")
LINK = re.compile(
    r"""\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*)?\)|^\[[^\]]+\]:\s+(\S+)|(?:href|src)=["']([^"']+)["']""", re.MULTILINE
)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def prose(text: str) -> str:
    """Markdown without its code, where brackets are no links."""
    return INLINE_CODE.sub("", FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings, with its numbers for repeated ones, and those written in HTML."""
    found: set[str] = set(re.findall(r"""<a (?:name|id)=["']([^"']+)""", text))
    for title in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        numbers = (slug if n == 0 else f"{slug}-{n}" for n in range(1000))
        found.add(next(name for name in numbers if name not in found))
    return found


def dead(page: Path, root: Path) -> Iterator[str]:
    """Relative links of a page that lead nowhere, or out of the project."""
    for match in LINK.finditer(prose(page.read_text())):
        link = next(filter(None, match.groups()))
        if ELSEWHERE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_relative_to(root) or not target.exists():
            yield f"{page.relative_to(root)}: {link}"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{page.relative_to(root)}: {link} (no such heading)"


def pages() -> list[Path]:
    """Every page of documentation in the project, without those of installed packages."""
    return [page for page in sorted(ROOT.rglob("*.md")) if not HIDDEN & set(page.relative_to(ROOT).parts)]


def test_no_link_is_dead() -> None:
    """Every relative link and anchor in every page leads somewhere in the project."""
    assert pages(), "there is no page at all"
    assert [link for page in pages() for link in dead(page, ROOT)] == []


def test_dead_links_are_seen(tmp_path: Path) -> None:
    """The check has teeth: lost files, lost headings and ways out of the project are reported, good links are not."""
    (tmp_path / "b.md").write_text("# One thing: `x`\n# One thing: `x`\n")
    good = "[a](b.md#one-thing-x) [b](b.md#one-thing-x-1) [c](#here) [d](https://x.invalid) `[e](no.md)`\n# Here\n"
    bad = "[f](lost.md) [g](b.md#lost) [h](../out.md)\n[i]: gone.png\n```\n[j](no.md)\n```\n"
    (tmp_path / "a.md").write_text(good + bad)
    assert list(dead(tmp_path / "a.md", tmp_path)) == [
        "a.md: lost.md",
        "a.md: b.md#lost (no such heading)",
        "a.md: ../out.md",
        "a.md: gone.png",
    ]
