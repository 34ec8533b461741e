"""A collection in Prometheus' text format."""

import math
from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sivera.metrics.definitions import COLLECTION_AGE, EXPORTED, Collection, Kind, Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Families(Collector):
    """The collection in the form that the library takes."""

    def __init__(self, collection: Collection | None, now: datetime) -> None:
        self._collection, self._now = collection, now

    def collect(self) -> Iterator[Family]:
        """Yield each metric with its samples."""
        age = (self._now - self._collection.at).total_seconds() if self._collection else math.inf
        yield GaugeMetricFamily(COLLECTION_AGE.name, COLLECTION_AGE.help, value=age)
        for metric in EXPORTED if self._collection else ():
            family = _family(metric)
            for labels, value in self._collection.values(metric).items() if self._collection else ():
                family.add_metric(labels, value)
            if family.samples:
                yield family


def _family(metric: Metric) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    return family(metric.name, metric.help, labels=metric.labels)


def to_text(collection: Collection | None, now: datetime) -> bytes:
    """Return a collection and its age. If there is none, return only the age, which is infinite."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(collection, now))
    return generate_latest(registry)
