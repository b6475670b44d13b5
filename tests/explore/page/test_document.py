"""Pages that need nothing else: what may stand in them, and what a browser lets them do."""

import json
import math
import re

from support.browser import chromium, show
from weft_explore.page.document import document, embedded_json

HOSTILE = '</script><script>alert("1")</script>'


def test_embedded_json_stays_in_its_element():
    text = embedded_json({"name": HOSTILE, "list": (1, [2.5, None, True])})
    assert "<" not in text
    assert json.loads(text) == {"name": HOSTILE, "list": [1, [2.5, None, True]]}


def test_numbers_that_json_has_not_become_their_names():
    assert json.loads(embedded_json([math.nan, math.inf, -math.inf])) == ["NaN", "Infinity", "-Infinity"]


def test_a_title_is_escaped():
    assert document(HOSTILE, "body").count("<script>") == 0


def test_a_page_may_ask_for_nothing(tmp_path):
    """Its policy refuses what a script in it would load; without the policy the test would see the request."""
    asks = "fetch('http://weft.invalid/x').catch(() => {}).then(() => { document.title = 'asked'; });"
    policed = document("asks", "", scripts=[asks])
    pages = {"policed": policed, "free": re.sub(r'<meta http-equiv="Content-Security[^>]*>', "", policed)}
    with chromium() as browser:
        for name, text in pages.items():
            file = tmp_path / f"{name}.html"
            file.write_text(text)
            shown = show(browser, file)
            shown.page.wait_for_function("document.title === 'asked'")
            assert shown.requests == ([] if name == "policed" else ["http://weft.invalid/x"])
