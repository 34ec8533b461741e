"""Prometheus' text format."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from sivera.metrics.definitions import COLLECTION_AGE, EXPORTED, Collection

CONTENT_TYPE = CONTENT_TYPE_LATEST


@dataclass(eq=False)
class _Families(Collector):
    collection: Collection | None
    now: datetime

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield each metric with its samples."""
        found = self.collection
        age = (self.now - found.at).total_seconds() if found else math.inf
        yield GaugeMetricFamily(COLLECTION_AGE.name, COLLECTION_AGE.help, value=age)
        for metric in EXPORTED:
            make = CounterMetricFamily if metric.name.endswith("_total") else GaugeMetricFamily
            family = make(metric.name, metric.help, labels=metric.labels)
            for labels, value in found.values(metric).items() if found else ():
                family.add_metric(labels, value)
            if family.samples:
                yield family


def to_text(collection: Collection | None, now: datetime) -> bytes:
    """Return a collection and its age; without a collection only the age, which is infinite."""
    return generate_latest(_Families(collection, now))
