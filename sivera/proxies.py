"""Names the proxy or certificate variable that may explain a failed call; the clients read the variables themselves."""

import os
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx


def proxy_of(url: str) -> str | None:
    """Return the variable that names the proxy for a URL, or None if none is used."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    names = (f"{parts.scheme}_proxy", "all_proxy")
    return next((spelt for name in names for spelt in (name, name.upper()) if os.environ.get(spelt)), None)


def reason_of(error: Exception, url: str, certificates: str = "SSL_CERT_FILE") -> str:
    """Return why a call failed, with the proxy or certificate that may be the cause, without the URL.

    `certificates` is the variable that names the certificates that this client trusts.
    """
    kind = type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{kind}: its certificate is not trusted; name a file with the issuer's in {certificates}"
    if isinstance(error, httpx.TransportError) and (variable := proxy_of(url)):
        said = f" answered {str(error)[:60]}" if isinstance(error, httpx.ProxyError) else " is used"
        return f"{kind}: the proxy in {variable}{said}"
    return kind


def suspect(url: str) -> str:
    """Return the end of a sentence about an unexpected answer: it may be a proxy's."""
    variable = proxy_of(url)
    return f"; the proxy in {variable} may have answered instead" if variable else ""
