"""The texts of a report in each language, and how it writes numbers, money and days (by Babel, from CLDR)."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from babel.dates import format_date, format_skeleton
from babel.numbers import format_compact_decimal, format_currency, format_decimal, get_currency_name

from sivera.values import PlatformName

UNDEFINED = "\N{EN DASH}"


class Language(StrEnum):
    """The languages that a team can have, in the order of TEXTS."""

    EN = "en"
    KO = "ko"


TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("Advertising report", "광고 보고서"),
    "written": ("Written {at} ({timezone})", "작성 {at} ({timezone})"),
    "nothing": ("There was no advertising in this month.", "이번 달에는 광고 실적이 없습니다."),
    "missing": ("Incomplete figures", "불완전한 수치"),
    "missing_intro": (
        "The figures of these accounts are not complete. This report is written again once they are.",
        "다음 계정의 수치는 아직 완전하지 않습니다. 수치가 갖춰지면 이 보고서를 다시 작성합니다.",
    ),
    "never_synced": ("not read yet", "아직 읽지 않음"),
    "reconnect": ("someone of your team has to connect it again", "팀에서 계정을 다시 연결해야 함"),
    "day_not_over": (
        "the day is not over in its time zone ({timezone})",
        "계정의 시간대({timezone})에서는 하루가 끝나지 않음",
    ),
    "not_synced": ("not read since the day ended", "하루가 끝난 뒤 아직 읽지 않음"),
    "preparing": ("the platform is still preparing the figures", "플랫폼이 수치를 아직 준비하는 중"),
    "provisional": ("Provisional figures", "잠정 수치"),
    "provisional_intro": (
        "The platforms still correct the figures of the day, conversions above all:",
        "플랫폼은 이 날의 수치, 특히 전환을 아직 수정합니다.",
    ),
    "final_on": ("final from {day}", "{day}부터 확정"),
    "day": ("Day", "당일"),
    "day_before": ("vs day before", "전일 대비"),
    "week_before": ("vs a week before", "전주 동요일"),
    "month_to_date": ("Month to date", "이번 달 누계"),
    "spend": ("Spend", "비용"),
    "impressions": ("Impressions", "노출"),
    "clicks": ("Clicks", "클릭"),
    "ctr": ("CTR", "CTR"),
    "cpc": ("CPC", "CPC"),
    "conversions": ("Conversions", "전환"),
    "cpa": ("CPA", "CPA"),
    "roas": ("ROAS", "ROAS"),
    "by_platform": ("By platform", "플랫폼별"),
    "by_account": ("By account", "계정별"),
    "by_campaign": ("By campaign", "캠페인별"),
    "platform": ("Platform", "플랫폼"),
    "account": ("Account", "계정"),
    "campaign": ("Campaign", "캠페인"),
    "movers": ("Top movers", "변동이 큰 캠페인"),
    "movers_intro": (
        "Campaigns whose spend changed most against the same weekday a week before.",
        "전주 같은 요일보다 비용이 가장 많이 달라진 캠페인입니다.",
    ),
    "rising": ("Spent more", "비용 증가"),
    "falling": ("Spent less", "비용 감소"),
    "unmoved": ("No campaign", "해당 캠페인 없음"),
    "more": (
        "These {shown} spent most; {more:,} more are in the CSV file beside this page.",
        "비용이 큰 {shown}개입니다. 그 밖의 {more:,}개까지 전체는 이 페이지와 함께 있는 CSV 파일에 있습니다.",
    ),
    "more_missing": (
        "{more:,} more are in the CSV file beside this page",
        "그 밖에 {more:,}개가 더 있습니다. 전체는 이 페이지와 함께 있는 CSV 파일에 있습니다.",
    ),
    "chart_spend": ("Spend of the last {days} days", "최근 {days}일 비용"),
    "chart_conversions": ("Conversions of the last {days} days", "최근 {days}일 전환"),
    "no_currency_sum": (
        "Currencies are reported one by one and never added.",
        "통화별로 따로 집계하며 서로 더하지 않습니다.",
    ),
    "ratios": (
        "{undefined}: undefined, because it would divide by zero.",
        "{undefined}: 0으로 나누게 되어 값이 없습니다.",
    ),
}
"""Each text in English and in Korean."""


PLATFORM_NAMES: Mapping[PlatformName, str] = {
    PlatformName.GOOGLE: "Google Ads",
    PlatformName.META: "Meta Ads",
    PlatformName.AMAZON: "Amazon Ads",
    PlatformName.TIKTOK: "TikTok Ads",
}


class Writer:
    """Writes in a language; an undefined figure is a dash."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._at = list(Language).index(language)

    def text(self, key: str, **values: object) -> str:
        """Return a text with its values filled in."""
        return TEXTS[key][self._at].format(**values)

    def number(self, number: Decimal | int | None, pattern: str = "#,##0.##") -> str:
        """Write a number after a pattern of CLDR; by default whole, or with up to two decimals."""
        return UNDEFINED if number is None else str(format_decimal(number, pattern, locale=self.language.value))

    def money(self, amount: Decimal | None, currency: str) -> str:
        """Write an amount in major units with as many decimals as its currency has."""
        return UNDEFINED if amount is None else str(format_currency(amount, currency, locale=self.language.value))

    def compact(self, number: float) -> str:
        """Write a number of an axis, such as 1.2M."""
        return str(format_compact_decimal(number, fraction_digits=1, locale=self.language.value))

    def currency(self, code: str) -> str:
        """Write a currency's name; its code if Babel does not know it."""
        return str(get_currency_name(code, locale=self.language.value))

    def day(self, day: date, form: str = "long") -> str:
        """Write a day in a form of CLDR: `full` has its weekday too."""
        return str(format_date(day, form, locale=self.language.value))

    def short_day(self, day: date) -> str:
        """Write a day without year and weekday, such as Nov 23."""
        return str(format_skeleton("MMMd", day, locale=self.language.value))

    def instant(self, when: datetime) -> str:
        """Write a time to the minute, in its own time zone."""
        return f"{self.day(when)} {when:%H:%M}"
