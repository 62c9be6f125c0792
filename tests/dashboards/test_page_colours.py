"""The page's colours are those of the dashboards."""

from __future__ import annotations

import colorsys
import re
from pathlib import Path

from dashboards.source import colours

STATIC = Path(__file__).resolve().parent.parent.parent / "cache" / "api" / "static"


def hue(text: str) -> float:
    """Degrees."""
    return colorsys.rgb_to_hsv(*(int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)))[0] * 360


def test_its_hues_are_those_of_the_dashboards() -> None:
    """Dark takes them as they are; light deepens some, by less than 20 degrees of hue. Each word has the same one."""
    css = (STATIC / "page.css").read_text()
    light = dict(re.findall(r"--(\w+): light-dark\((#\w{6}), #\w{6}\)", css))
    dark = dict(re.findall(r"--(\w+): light-dark\(#\w{6}, (#\w{6})\)", css))
    named = {name.lower(): value for name, value in vars(colours).items() if name.isupper() and isinstance(value, str)}
    shared = named.keys() & dark.keys()
    assert {"green", "amber", "red", "violet", "blue", "sky", "pink", "yellow", "brown", "teal", "grey"} <= shared
    assert {name: dark[name] for name in shared} == {name: named[name] for name in shared}
    for name in shared:
        apart = abs(hue(light[name]) - hue(dark[name]))
        assert min(apart, 360 - apart) < 20, name

    words = (STATIC / "words.js").read_text()
    by_value = {value: name for name, value in named.items() if name in dark}
    for category, colour in colours.CATEGORIES.items():
        if category != "all":
            assert f'{category}: "{by_value[colour]}"' in words
    for table in (colours.OUTCOMES, colours.REASONS):
        for word, colour in table.items():
            if word != "ok":
                assert re.search(rf'"?{word}"?: \["{by_value[colour]}"', words), word
