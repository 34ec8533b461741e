"""One instance at a time: the lock of a job inside its flow, for runs that a deployment's own limit cannot see."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency._asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from sivera.errors import ConfigurationError, SiveraError
from sivera.occurrences.rules import ANOTHER_INSTANCE
from tasks import announcing

LEASE_SECONDS = 60
"""The shortest that Prefect allows; a killed run's lock is free after it."""


class AnotherInstanceError(SiveraError):
    """The job, or the part of it that was asked for, is running already."""

    def __str__(self) -> str:
        return ANOTHER_INSTANCE


@contextmanager
def only_instance(locks: Sequence[str]) -> Iterator[None]:
    """Hold these global concurrency limits, all or none, while the body runs; tell monitors whether it does.

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
                        # A busy server that misses a renewal must not end a healthy run: two that overlap do no harm,
                        # since every write is an upsert and an older fetch never overwrites a newer one.
                        raise_on_lease_renewal_failure=False,
                    )
                )
            except ConcurrencySlotAcquisitionError as error:
                # HTTP 423: a limit is held.
                if "423" in str(error):
                    announcing.skip(Cancelled(message=str(AnotherInstanceError())))
                    raise AnotherInstanceError from None
                raise ConfigurationError(
                    f"the Prefect server did not give the locks {', '.join(locks)}: look into its log"
                ) from None
        announcing.begin()
        yield


def _check(locks: Sequence[str]) -> None:
    # Of several limits the server takes those that it finds, and says nothing of the others.
    with get_client(sync_client=True) as client:
        for name in locks:
            try:
                limit = client.read_global_concurrency_limit_by_name(name)
            except ObjectNotFound:
                raise ConfigurationError(f"the concurrency limit {name} does not exist: run `sivera deploy`") from None
            if not limit.active:
                raise ConfigurationError(f"the concurrency limit {name} is switched off: switch it on in the UI")
