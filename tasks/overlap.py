"""The lock of a job inside its flow: one instance at a time, also across deployments."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from sivera.errors import ConfigurationError, SiveraError
from sivera.history.rules import ANOTHER_INSTANCE

LEASE_SECONDS = 60
"""The shortest that Prefect allows. After it, the lock of a killed run is free."""


class AnotherInstanceError(SiveraError):
    """The job is already running, or the part of it that was asked for."""

    def __str__(self) -> str:
        return ANOTHER_INSTANCE


@contextmanager
def only_instance(locks: Sequence[str]) -> Iterator[None]:
    """Hold these global concurrency limits, all or none, while the body runs.

    Raises:
        AnotherInstanceError: One of them is held.
        ConfigurationError: One of them does not exist, or is switched off.
    """
    with ExitStack() as stack:
        if locks:
            _check(locks)
            try:
                stack.enter_context(
                    concurrency(
                        list(locks),
                        max_retries=0,
                        strict=True,
                        lease_duration=LEASE_SECONDS,
                        # A busy server that misses a renewal must not end a healthy run. Two runs that overlap do no
                        # harm: every write is an upsert, and an older fetch never overwrites a newer one.
                        raise_on_lease_renewal_failure=False,
                    )
                )
            except ConcurrencySlotAcquisitionError as error:
                # HTTP 423: a limit is held.
                if "423" in str(error):
                    raise AnotherInstanceError from None
                raise ConfigurationError(
                    f"the Prefect server did not give the locks {', '.join(locks)}: look into its log"
                ) from None
        yield


def _check(locks: Sequence[str]) -> None:
    # Asked for several limits, the server ignores those that do not exist.
    with get_client(sync_client=True) as client:
        for name in locks:
            try:
                limit = client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                raise ConfigurationError(f"the concurrency limit {name} does not exist: run `sivera deploy`") from None
            if not limit.active:
                raise ConfigurationError(f"the concurrency limit {name} is switched off: switch it on in the UI")
