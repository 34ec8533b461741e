"""A server in this process that answers as S3 does."""

from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import httpx


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the URL of a server with a bucket `sivera`."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # Buckets belong to the process, so those of an earlier server are still there.
    httpx.post(f"{url}/moto-api/reset", timeout=60).raise_for_status()
    bucket(url).mkdir("sivera")
    try:
        yield url
    finally:
        server.stop()


def bucket(url: str) -> fsspec.AbstractFileSystem:
    return fsspec.filesystem("s3", **credentials(url), skip_instance_cache=True, use_listings_cache=False)


def credentials(url: str) -> dict[str, str]:
    return {"key": "example-key", "secret": "example-secret", "endpoint_url": url}
