"""The texts of reports in each language, and the format of numbers, money and days (CLDR, through Babel)."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from sivera.values import PlatformName

UNDEFINED = "\N{EN DASH}"


class Language(StrEnum):
    """The languages that a team can have, in the order of TEXTS."""

    EN = "en"
    KO = "ko"


TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("Advertising report", "광고 보고서"),
    "written": ("Written {at} ({timezone})", "작성 {at} ({timezone})"),
    "nothing": ("There was no advertising this month.", "이번 달에는 광고 실적이 없습니다."),
    "missing": ("Incomplete figures", "불완전한 수치"),
    "missing_intro": (
        "The figures for these accounts are not complete. This report will be updated once they are.",
        "다음 계정의 수치는 아직 완전하지 않습니다. 수치가 갖춰지면 이 보고서를 다시 작성합니다.",
    ),
    "never_synced": ("not read yet", "아직 읽지 않음"),
    "reconnect": ("someone on your team has to connect it again", "팀에서 계정을 다시 연결해야 함"),
    "day_not_over": (
        "the day is not over in its time zone ({timezone})",
        "계정의 시간대({timezone})에서는 하루가 끝나지 않음",
    ),
    "not_synced": ("not read since the day ended", "하루가 끝난 뒤 아직 읽지 않음"),
    "preparing": ("the platform is still preparing the figures", "플랫폼이 수치를 아직 준비하는 중"),
    "late": ("Figures that start later", "수치가 늦게 시작하는 계정"),
    "late_intro": (
        "Earlier days have not been read. They are unknown, not zero, so sums and comparisons leave them out.",
        "그 전의 날은 읽지 않았습니다. 0이 아니라 알 수 없는 값이므로 합계에 들어 있지 않고, 비교하지도 않습니다.",
    ),
    "figures_since": ("figures since {day}", "{day}부터의 수치"),
    "since": ("complete since {day}", "{day}부터 완전"),
    "part": ("incomplete", "불완전"),
    "not_read": ("not read", "읽지 않음"),
    "not_reported": ("unknown", "알 수 없음"),
    "not_comparable": ("not comparable", "비교 불가"),
    "gap": ("not fully read", "모두 읽지는 않은 날"),
    "unattributed": ("Unattributed", "캠페인 미귀속"),
    "unreported": (
        "Campaigns for which the platforms report no figures: {count}. The sums leave them out.",
        "플랫폼이 수치를 보고하지 않는 캠페인 {count}개는 합계에 들어 있지 않습니다.",
    ),
    "conversions_intro": (
        "Each platform counts conversions its own way, so CPA and ROAS are not given across platforms:",
        "전환을 세는 방법이 플랫폼마다 달라서, 여러 플랫폼을 합한 CPA와 ROAS는 싣지 않습니다.",
    ),
    "provisional": ("Provisional figures", "잠정 수치"),
    "provisional_intro": (
        "The platforms may still correct the figures for this day, conversions above all:",
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
        "Campaigns whose spend changed most from the same weekday a week earlier.",
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
        "{more:,} more are in the CSV file beside this page.",
        "그 밖에 {more:,}개가 더 있습니다. 전체는 이 페이지와 함께 있는 CSV 파일에 있습니다.",
    ),
    "chart_spend": ("Spend in the last {days} days", "최근 {days}일 비용"),
    "chart_conversions": ("Conversions in the last {days} days", "최근 {days}일 전환"),
    "no_currency_sum": (
        "Each currency is reported separately. Currencies are never added together.",
        "통화별로 따로 집계하며 서로 더하지 않습니다.",
    ),
    "ratios": (
        "{undefined}: undefined, because the divisor is zero.",
        "{undefined}: 0으로 나누게 되어 값이 없습니다.",
    ),
}
"""Each text in English and in Korean."""

PURCHASES = "purchase, omni_purchase, offsite_conversion.fb_pixel_purchase"
CONVERSIONS: Mapping[PlatformName, tuple[str, str]] = {
    PlatformName.GOOGLE: (
        (
            "the conversion actions that the account counts, on the day of the click, if they happen within 30 days of "
            "it or within the window that the action sets."
        ),
        "계정이 집계하는 전환 액션을 클릭한 날에 셉니다. 액션에서 달리 정하지 않았다면 클릭 후 30일 안의 전환입니다.",
    ),
    PlatformName.META: (
        (
            "the first of these actions that a row has: {actions}. Since June 2025 each ad set has its own attribution "
            "setting, so campaigns are not strictly comparable."
        ),
        (
            "행에 있는 다음 액션 중 첫째: {actions}. 2025년 6월부터 광고 세트마다 기여 설정이 다르므로 캠페인끼리 "
            "엄밀히 비교할 수는 없습니다."
        ),
    ),
    PlatformName.AMAZON: (
        "purchases within 14 days of a click. For Sponsored Brands and Display, purchases after a view count too.",
        "클릭 후 14일 안의 구매. Sponsored Brands와 Display는 조회 후의 구매도 셉니다.",
    ),
    PlatformName.TIKTOK: (
        "payments completed on websites (complete_payment), within the attribution window that is set on TikTok.",
        "웹사이트에서 완료한 결제(complete_payment)를 TikTok에서 정한 기여 기간 안에서 셉니다.",
    ),
}
"""What each platform counts as a conversion, in English and in Korean."""

PLATFORM_NAMES: Mapping[PlatformName, str] = {
    PlatformName.GOOGLE: "Google Ads",
    PlatformName.META: "Meta Ads",
    PlatformName.AMAZON: "Amazon Ads",
    PlatformName.TIKTOK: "TikTok Ads",
}


class Writer:
    """Writes in a language. An undefined figure is a dash."""

    def __init__(self, language: Language) -> None:
        from babel import dates, numbers  # noqa: PLC0415 - most runs write no report

        self._dates, self._numbers = dates, numbers
        self.language, self._locale = language, language.value
        self._at = list(Language).index(language)

    def text(self, key: str, **values: object) -> str:
        """Return a text with its values filled in."""
        return TEXTS[key][self._at].format(**values)

    def conversion(self, meta_conversion: str | None, platform: PlatformName) -> str:
        """Return what a platform counts as a conversion. On Meta a team may have chosen another action."""
        return CONVERSIONS[platform][self._at].format(actions=meta_conversion or PURCHASES)

    def number(self, number: Decimal | int | None, pattern: str = "#,##0.##") -> str:
        """Format a number with a CLDR pattern, by default with up to two decimals."""
        return UNDEFINED if number is None else str(self._numbers.format_decimal(number, pattern, locale=self._locale))

    def money(self, amount: Decimal | None, currency: str) -> str:
        """Format an amount in major units with the decimals of its currency."""
        if amount is None:
            return UNDEFINED
        return str(self._numbers.format_currency(amount, currency, locale=self._locale))

    def compact(self, number: float) -> str:
        """Format a number on an axis, such as 1.2M."""
        return str(self._numbers.format_compact_decimal(number, fraction_digits=1, locale=self._locale))

    def currency(self, code: str) -> str:
        """Return the name of a currency, or its code if Babel does not know it."""
        return str(self._numbers.get_currency_name(code, locale=self._locale))

    def day(self, day: date, form: str = "long") -> str:
        """Format a day in a CLDR form. `full` includes the weekday."""
        return str(self._dates.format_date(day, form, locale=self._locale))

    def short_day(self, day: date) -> str:
        """Format a day without its year, such as Nov 23."""
        return str(self._dates.format_skeleton("MMMd", day, locale=self._locale))

    def instant(self, when: datetime) -> str:
        """Format a time to the minute, in its own time zone."""
        return f"{self.day(when)} {when:%H:%M}"
