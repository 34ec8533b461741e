"""One instance at a time: the lock of a job inside its flow, for runs that a deployment's own limit cannot see."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from sivera.errors import ConfigurationError, SiveraError

LEASE_SECONDS = 60
"""The shortest that Prefect allows; a killed run's lock is free after it."""


class AnotherInstanceError(SiveraError):
    """The job, or the part of it that was asked for, is running already."""

    def __str__(self) -> str:
        return "Another instance is already running"


@contextmanager
def only_instance(locks: Sequence[str]) -> Iterator[None]:
    """Hold these global concurrency limits, all or none, while the body runs.

    Raises:
        AnotherInstanceError: One of them is held.
        ConfigurationError: One of them does not exist.
    """
    with ExitStack() as stack:
        if locks:
            try:
                stack.enter_context(
                    concurrency(
                        list(locks),
                        max_retries=0,
                        strict=True,
                        lease_duration=LEASE_SECONDS,
                        # A busy server that misses a renewal must not end a healthy run: two that overlap do no harm,
                        # since every write is an upsert and an older fetch never overwrites a newer one.
                        raise_on_lease_renewal_failure=False,
                    )
                )
            except ConcurrencySlotAcquisitionError as error:
                # Prefect raises the same for a held limit (HTTP 423) and for one that does not exist.
                if "423" in str(error):
                    raise AnotherInstanceError from None
                raise ConfigurationError(
                    f"a concurrency limit among {', '.join(locks)} does not exist: run `sivera deploy`"
                ) from None
        yield
