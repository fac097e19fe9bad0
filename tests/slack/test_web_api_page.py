"""docs/web-api.md says what the table of methods says."""

from __future__ import annotations

from roost.slack.methods import METHODS
from scripts import web_api


def test_the_page_is_what_the_table_makes_of_it() -> None:
    assert web_api.PAGE.read_text() == web_api.page(), "python -m scripts.web_api writes it anew"


def test_every_method_is_on_the_page_and_marked_as_whose_it_is() -> None:
    text = web_api.PAGE.read_text()
    slacks, _, rest = text.partition("## Roost's own methods")
    own, _, missing = rest.partition("## Not answered")
    for name, method in METHODS.items():
        assert f"| `{name}` |" in (own if method.own else slacks), name
    for name in web_api.SLACK:
        assert (f"| `{name}` |" in slacks) != (f"* `{name}`" in missing), name
