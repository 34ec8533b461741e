"""What a run of collect-metrics did."""

from collections.abc import Iterator
from typing import Self

from sivera.metrics.definitions import Collection
from sivera.values import Value


class CollectionSummary(Value):
    """What a run did.

    `runs` is how many runs of jobs it counted, `deleted` how many old samples it deleted. `exported` is None where no
    endpoint of OpenTelemetry is configured; `failure` says why the figures did not arrive there.
    """

    collection: Collection
    runs: int
    deleted: int
    exported: bool | None
    failure: str | None = None

    @classmethod
    def of(cls, collection: Collection, runs: int, deleted: int, pushed: object) -> Self:
        """Return the summary; `pushed` is what the push returned or raised."""
        failure = str(pushed) if isinstance(pushed, Exception) else None
        exported = None if pushed is None else pushed is True
        return cls(collection=collection, runs=runs, deleted=deleted, exported=exported, failure=failure)

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        parts = [f"{len(self.collection.samples)} samples", f"{self.runs} runs counted"]
        parts += [f"{self.deleted} old samples deleted"] if self.deleted else []
        parts += ["pushed by OTLP"] if self.exported else []
        parts += [f"not pushed: {self.failure}"] if self.failure else []
        return ", ".join(parts)

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the figures as rows of a table."""
        for sample in self.collection.samples:
            labels = ", ".join(f"{label}={value}" for label, value in sample.labels.items())
            yield {"metric": sample.name, "labels": labels, "value": round(sample.value, 3)}
