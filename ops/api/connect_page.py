"""The texts of the pages on which a team's user connects a grant, in English and Korean."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from starlette.requests import Request

from sivera.grants.refusals import Refusal
from sivera.reports.texts import PLATFORM_NAMES
from sivera.values import PlatformName

LANGUAGES = ("en", "ko")
"""The order of the texts below."""

TEXTS: Mapping[str, tuple[str, str]] = {
    "ask_title": ("Connect {platform} for {team}", "{team} 팀의 {platform} 연결"),
    "who": (
        "Sivera asks on behalf of the team “{team}”. If you do not know this team, close this page.",
        "Sivera가 “{team}” 팀을 대신해 요청합니다. 모르는 팀이라면 이 페이지를 닫으세요.",
    ),
    "what_title": ("What Sivera asks for", "요청하는 권한"),
    "what": (
        "To read the campaigns and daily figures of the ad accounts that you have access to.",
        "접근할 수 있는 광고 계정의 캠페인과 일별 수치를 읽을 권한입니다.",
    ),
    "manages": (
        "{platform} has no read-only permission, so its page also mentions managing. Sivera changes nothing.",
        "{platform}에는 읽기 전용 권한이 없어 동의 화면에 관리 권한이 표시됩니다. Sivera는 아무것도 바꾸지 않습니다.",
    ),
    "why_title": ("Why", "이유"),
    "why": (
        "Sivera uses these figures for the team's reports and budgets, and to warn when spending runs away.",
        "이 수치로 팀의 보고서를 작성하고, 예산을 확인하고, 지출이 급증하면 알립니다.",
    ),
    "next_title": ("What happens next", "다음 단계"),
    "next": (
        "{platform} asks you to log in and allow access. Then you return here. You can revoke it there at any time.",
        "{platform}에 로그인해 동의하면 이 페이지로 돌아옵니다. 동의는 언제든지 그곳에서 철회할 수 있습니다.",
    ),
    "region": ("Where is the advertiser registered?", "광고주가 등록된 지역을 선택하세요"),
    "region_na": ("North America", "북미"),
    "region_eu": ("Europe, Middle East, Africa, India", "유럽, 중동, 아프리카, 인도"),
    "region_fe": ("Japan, Australia, Singapore", "일본, 호주, 싱가포르"),
    "button": ("Continue to {platform}", "{platform}로 계속"),
    "again": (
        "The page was open for too long, or your browser blocks cookies. Allow cookies for this page and try again.",
        "페이지를 너무 오래 열어 두었거나 쿠키가 차단되어 있습니다. 이 페이지의 쿠키를 허용하고 다시 눌러 주세요.",
    ),
    "leave_title": ("Continuing to {platform}", "{platform}로 이동합니다"),
    "leave": ("If nothing happens, follow this link.", "이동하지 않으면 이 링크를 누르세요."),
    "done_title": ("{platform} is connected", "{platform} 연결 완료"),
    "done": (
        "Sivera now reads these ad accounts for the team “{team}”:",
        "이제 Sivera가 “{team}” 팀을 위해 다음 광고 계정을 읽습니다:",
    ),
    "later": (
        "The list of its ad accounts was shown here for ten minutes.",
        "광고 계정 목록은 연결 후 10분 동안만 표시됩니다.",
    ),
    "none": (
        "Other users of the team have connected all of its ad accounts already. Nothing is missing.",
        "팀의 다른 사용자가 이미 모든 광고 계정을 연결했습니다. 빠진 계정은 없습니다.",
    ),
    "left_out": (
        "{left_out} more could not be read. Sivera tries again every day.",
        "{left_out}개 계정은 읽지 못했습니다. 매일 다시 시도합니다.",
    ),
    "done_next": (
        "The first figures will be there within two hours. You can close this page.",
        "첫 수치는 두 시간 안에 표시됩니다. 이 페이지를 닫아도 됩니다.",
    ),
    "refused_title": ("Nothing was connected", "연결되지 않았습니다"),
    "said": ("{platform} says: {detail}", "{platform}의 응답: {detail}"),
    "unavailable_title": ("Not available right now", "지금은 사용할 수 없습니다"),
    "unavailable": (
        "Something failed on our side, and nothing was connected. Please open the link again in a few minutes.",
        "일시적인 문제로 연결하지 못했습니다. 몇 분 뒤에 링크를 다시 열어 주세요.",
    ),
}

REFUSALS: Mapping[Refusal, tuple[str, str]] = {
    Refusal.DENIED: (
        "You did not allow access. If that was a mistake, open the link again and allow it.",
        "동의하지 않았습니다. 실수였다면 링크를 다시 열고 동의해 주세요.",
    ),
    Refusal.SCOPE_MISSING: (
        "A permission was not ticked. Open the link again and leave every permission ticked.",
        "일부 권한이 선택되지 않았습니다. 링크를 다시 열고 모든 권한을 선택한 채로 두세요.",
    ),
    Refusal.NO_ACCOUNTS: (
        "This user has no access to an ad account. Open the link again and log in as a user who has it.",
        "이 사용자는 접근할 수 있는 광고 계정이 없습니다. 링크를 다시 열고, 광고 계정이 있는 사용자로 로그인해 주세요.",
    ),
    Refusal.APP_REFUSED: (
        "The platform refuses Sivera's application. Please tell the person who sent you the link.",
        "플랫폼이 Sivera의 앱을 거부했습니다. 링크를 보낸 사람에게 알려 주세요.",
    ),
    Refusal.WRONG_REDIRECT: (
        "The platform does not know the address of this page. Please tell the person who sent you the link.",
        "이 페이지의 주소가 플랫폼에 등록되어 있지 않습니다. 링크를 보낸 사람에게 알려 주세요.",
    ),
    Refusal.CODE_REFUSED: (
        "The platform's answer came too late or twice. Open the link again.",
        "플랫폼의 응답이 너무 늦었거나 두 번 왔습니다. 링크를 다시 열어 주세요.",
    ),
    Refusal.PLATFORM_FAILED: (
        "The platform could not finish the connection. Open the link again in a few minutes.",
        "플랫폼이 연결을 끝내지 못했습니다. 몇 분 뒤에 링크를 다시 열어 주세요.",
    ),
    Refusal.STATE_UNKNOWN: (
        "This address does not belong to a connection that was started here. Open the link that you were sent.",
        "여기에서 시작한 연결의 주소가 아닙니다. 받은 링크를 열어 주세요.",
    ),
    Refusal.STATE_EXPIRED: (
        "Connecting took longer than ten minutes. Open the link again.",
        "10분이 넘게 걸렸습니다. 링크를 다시 열어 주세요.",
    ),
    Refusal.STATE_USED: (
        "This answer was used before. If nothing was connected, open the link again.",
        "이미 사용한 응답입니다. 연결되지 않았다면 링크를 다시 열어 주세요.",
    ),
    Refusal.OTHER_BROWSER: (
        "This was started in another browser, or cookies are blocked. Open the link again in this browser.",
        "다른 브라우저에서 시작했거나 쿠키가 차단되어 있습니다. 이 브라우저에서 링크를 다시 열어 주세요.",
    ),
    Refusal.OTHER_PLATFORM: (
        "This answer does not come from the platform that was asked. Open the link again.",
        "요청한 플랫폼의 응답이 아닙니다. 링크를 다시 열어 주세요.",
    ),
    Refusal.LINK_USED: (
        "This link has connected an account already. To connect again, ask the person who sent it for a new one.",
        "이미 연결에 사용한 링크입니다. 다시 연결하려면 링크를 보낸 사람에게 새 링크를 요청해 주세요.",
    ),
    Refusal.LINK_UNKNOWN: (
        "This link is incomplete or was changed. Copy all of it, or ask the person who sent it for a new one.",
        "링크가 잘렸거나 바뀌었습니다. 링크 전체를 복사하거나, 보낸 사람에게 새 링크를 요청해 주세요.",
    ),
    Refusal.LINK_EXPIRED: (
        "This link is older than 24 hours. Ask the person who sent it for a new one.",
        "24시간이 지난 링크입니다. 링크를 보낸 사람에게 새 링크를 요청해 주세요.",
    ),
}
"""What a refusal means for the team's user."""

ACCEPTED = re.compile(r"\s*([a-z]+)(?:-[a-z0-9-]+)?\s*(?:;\s*q=([01](?:\.[0-9]*)?)\s*)?")
"""A language and its weight in an Accept-Language header."""

MANAGES = (PlatformName.GOOGLE, PlatformName.AMAZON)
"""Platforms without a read-only permission."""


def render(kind: str, request: Request, *, platform: PlatformName | None = None, **said: Any) -> str:
    """Return a page in the browser's preferred language. `said` fills in the texts and the template."""
    language = language_of(request.headers.get("accept-language", ""))
    named = {"platform": PLATFORM_NAMES[platform] if platform else "", **said}

    def text(key: str | Refusal) -> str:
        texts = REFUSALS[key] if isinstance(key, Refusal) else TEXTS[key]
        return texts[LANGUAGES.index(language)].format(**named)

    return _template().render(kind=kind, t=text, language=language, manages=platform in MANAGES, **named)


def language_of(accepted: str) -> str:
    """Return which of our languages a browser prefers (RFC 9110, 12.5.4); English if it names neither."""
    named = [found for part in accepted.lower().split(",") if (found := ACCEPTED.fullmatch(part))]
    known = [(float(found[2] or 1), found[1]) for found in named if found[1] in LANGUAGES]
    weight, language = max(known, key=lambda each: each[0], default=(0.0, ""))
    return language if weight > 0 else LANGUAGES[0]


@cache
def _template() -> Template:
    loader = PackageLoader("ops.api")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("connect.html.j2")
