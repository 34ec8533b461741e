"""The content of a report, on its page and in its table."""

import html
import re
from datetime import date
from html.parser import HTMLParser

import pytest

from sivera.reports.spreadsheet import MEASURES
from sivera.reports.texts import CONVERSIONS, PURCHASES, TEXTS, UNDEFINED, Language
from sivera.values import UNPRINTABLE, PlatformName
from tests.unit.reports.books import DAY, ONE_DAY, TODAY, Books, periods, words


def test_figures_are_as_calculated_by_hand(books: Books) -> None:
    google = books.account(books.team())
    books.add_campaign(google, "c1", name="Brand")
    books.ran(google, DAY, "12.50", impressions=1000, clicks=25, conversions="2.5", conversion_value=50)
    books.ran(google, DAY, "7.50", campaign="c2", impressions=1000, clicks=15)
    books.ran(google, DAY - ONE_DAY, 10, impressions=800, clicks=20, conversions=2, conversion_value=30)
    books.ran(google, DAY - 7 * ONE_DAY, 40, impressions=4000, clicks=20)
    books.ran(google, date(2026, 11, 1), 30, impressions=200, clicks=40, conversions=1, conversion_value=60)
    books.ran(google, date(2026, 10, 31), 1000, impressions=1000, clicks=1000, conversions=1000, conversion_value=1000)
    assert books.written(**TODAY) == ([23], [])
    rows = books.table()
    assert {row["period"]: tuple(row[name] for name in MEASURES) for row in rows if row["level"] == "total"} == {
        "day": ("20", "2000", "40", "0.02", "0.5", "2.5", "50", "8", "2.5"),
        "day_before": ("10", "800", "20", "0.025", "0.5", "2", "30", "5", "3"),
        "week_before": ("40", "4000", "20", "0.005", "2", "0", "0", "", "0"),
        "month_to_date": ("100", "7000", "120", "0.017143", "0.833333", "5.5", "140", "18.181818", "1.4"),
    }
    (brand,) = [row for row in rows if row["campaign"] == "Brand" and row["period"] == "day"]
    assert (brand["platform"], brand["account"], brand["campaign_id"]) == ("google", "Shop", "google:c1")
    assert (brand["ctr"], brand["cpc"], brand["cpa"], brand["roas"]) == ("0.025", "0.5", "5", "4")
    text = words(books.page())
    # 20 against 10 and 40, by 8 against 5, and 2.5 against 3 times.
    for written in ("$20.00", "+100.0%", "-50.0%", "2.00%", "$0.50", "$8.00", "+60.0%", "250%", "-16.7%", "$100.00"):
        assert written in text


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", ("Monday, November 23, 2026", "$30.00", "₩1,234,568", "Written November 24, 2026 10:00 (Asia/Seoul)")),
        ("ko", ("2026년 11월 23일 월요일", "US$30.00", "₩1,234,568", "작성 2026년 11월 24일 10:00 (Asia/Seoul)")),
    ],
)
def test_a_report_uses_its_team_s_language_and_adds_neither_currencies_nor_ratios_across_platforms(
    books: Books, language: str, written: tuple[str, ...]
) -> None:
    team, is_korean = books.team(language=language, timezone="Asia/Seoul"), language == "ko"
    for platform in list(PlatformName)[:3]:
        books.ran(books.account(team, platform), spend=10, conversions=2, conversion_value=30)
    books.ran(books.account(team, PlatformName.TIKTOK), spend="1234567.5", currency="KRW")
    books.run(**TODAY)
    page, text = books.page(), words(books.page())
    assert f'lang="{language}"' in page
    said = [texts[is_korean].format(actions=PURCHASES) for texts in CONVERSIONS.values()]
    assert [one for one in (*written, *said, TEXTS["by_campaign"][is_korean]) if one not in text] == []
    assert text.count(UNDEFINED) > 10
    assert not re.search(r"\b(nan|inf|infinity|none)\b", text.lower())
    rows = {(one["level"], one["currency"], one["platform"]): one for one in books.table() if one["period"] == "day"}
    total = rows["total", "USD", ""]
    assert (total["spend"], rows["total", "KRW", ""]["spend"]) == ("30", "1234567.5")
    assert (total["conversions"], total["cpa"], total["roas"]) == ("6", "", "")
    assert rows["platform", "USD", "meta"]["cpa"] == "5"
    of_one, of_several = text.partition("KRW")[2].split("USD")[:2]
    assert "CPA" in of_one
    assert "CPA" not in of_several.partition(TEXTS["by_platform"][is_korean])[0]
    books.execute("UPDATE teams SET meta_conversion = 'lead'")
    books.execute("DELETE FROM reports")
    books.run(**TODAY)
    assert CONVERSIONS[PlatformName.META][is_korean].format(actions="lead") in words(books.page())


def test_a_campaign_belongs_to_its_account_and_one_that_is_not_listed_has_its_id_as_name(books: Books) -> None:
    team = books.team()
    for name in ("Shop", "Store"):
        account = books.account(team, name=name)
        books.add_campaign(account, "c1", name=f"Brand of {name}")
        books.ran(account, spend=10)
    books.ran(account, spend=5, campaign="c9")
    books.run(**TODAY)
    rows = [row for row in books.table() if (row["level"], row["period"]) == ("campaign", "day")]
    found = sorted((row["account"], row["campaign"], row["spend"]) for row in rows)
    assert found == [("Shop", "Brand of Shop", "10"), ("Store", "Brand of Store", "10"), ("Store", "c9", "5")]


def test_every_text_exists_in_every_language() -> None:
    for texts in TEXTS.values():
        assert len(texts) == len(Language)
        assert len({tuple(sorted(re.findall(r"\{(\w+)", text))) for text in texts}) == 1


def test_unattributed_spend_has_its_own_line(books: Books) -> None:
    google = books.account(books.team())
    books.ran(google, DAY, 100, clicks=50, conversions=4, conversion_value=200)
    books.ran(google, DAY - ONE_DAY, 100)
    books.add_total(google, DAY, 120, 20)
    for back, noise in enumerate(("0.50", "-3", "0.01"), 1):
        books.add_total(google, DAY - back * ONE_DAY, "100.5" if back == 1 else "0.01", noise)
    books.run(**TODAY)
    assert periods(books)["day"][0] == "120"
    assert periods(books)["month_to_date"][0] == "220", "up to half a percent, or a cent, is noise"
    unattributed = {"day": "20", "day_before": "0", "week_before": "0", "month_to_date": "20"}
    assert {period: found[0] for period, found in periods(books, "unattributed").items()} == unattributed
    rows = {row["level"]: row for row in books.table() if row["period"] == "day"}
    total, one = rows["total"], rows["unattributed"]
    assert (total["cpc"], total["cpa"], total["roas"]) == ("2", "25", "2"), "ratios leave unattributed spend out"
    assert (one["clicks"], one["cpa"], one["campaign_id"], one["account"]) == ("", "", "", "Shop")
    text = words(books.page())
    assert "Unattributed Google Ads · Shop $20.00" in text
    assert "Unattributed" not in text.partition("Top movers")[2].partition("By campaign")[0]

    books.add_total(google, DAY, 130, 30)
    assert books.written(check_restated=True, **TODAY) == ([], [23])


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</svg><script>alert(1)</script>",
    "{{ 7 * 7 }}",
    '=HYPERLINK("http://evil.example","x")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    "  =1+1",
    "\uff1d1+1",
    'it\'s, "quoted"\nand broken',
    "\u202etxet \x1b[2J\u2066\u061c",
)


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_names_are_plain_text_on_the_page_and_in_the_table(books: Books) -> None:
    team = books.team(HOSTILE[0])
    account = books.account(team, name=HOSTILE[1])
    books.account(team, name=HOSTILE[2], synced=None)
    for number, name in enumerate(HOSTILE):
        books.add_campaign(account, f"c{number}", name=name)
        books.ran(account, spend=number, campaign=f"c{number}")
    books.ran(account, campaign="=1+1", spend=1, currency="=<b>")
    books.run(**TODAY)
    page = books.page()
    elements = Elements()
    elements.feed(page)
    tags = {tag for tag, _ in elements.found}
    assert not {"script", "img", "iframe", "object", "link", "form", "a"} & tags
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert f"<h1><bdi>{html.escape(HOSTILE[0])}</bdi></h1>" in page
    assert page.count("<bdi>txet [2J</bdi>") > 0
    assert not UNPRINTABLE.search(page)
    policy = next(a["content"] for tag, a in elements.found if tag == "meta" and "content" in a and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert not re.search(r"""(?:src|href)=["'](?!#)""", page), "the page needs nothing else"

    rows = books.table()
    assert {row["campaign"] for row in rows} >= {f"'{name}".replace("\t", " ") for name in HOSTILE[4:11]} | {"txet [2J"}
    assert {row["campaign_id"] for row in rows} >= {"google:=1+1"}
    for name, cell in (item for row in rows for item in row.items()):
        if name in MEASURES:
            assert re.fullmatch(r"-?\d*(\.\d+)?", cell), (name, cell)
        else:
            assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), (name, cell)
    (path,) = books.folder.rglob("*.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel recognizes UTF-8 by it"
