"""A collection pushed to an OpenTelemetry collector, by OTLP over HTTP.

Imported only where an endpoint is configured. Everything else is configured as the OpenTelemetry specification has it,
by variables that begin with OTEL_EXPORTER_OTLP_ (opentelemetry.io/docs/specs/otel/protocol/exporter).
"""

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as otel
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from sivera.metrics.definitions import EXPORTED, Collection, Kind, Metric

TIMEOUT_SECONDS = 10
"""All attempts together."""

SCOPE = InstrumentationScope("sivera.metrics")


def push(collection: Collection) -> bool:
    """Push a collection's samples, as of its time; return whether the collector took them."""
    exporter = OTLPMetricExporter(timeout=TIMEOUT_SECONDS)
    try:
        return exporter.export(_to_otel(collection)) is otel.MetricExportResult.SUCCESS
    finally:
        exporter.shutdown()


def _to_otel(collection: Collection) -> otel.MetricsData:
    metrics = [_metric(metric, collection) for metric in EXPORTED if collection.values(metric)]
    scope = otel.ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")
    resource = Resource.create({"service.name": "sivera-jobs"})
    return otel.MetricsData(
        resource_metrics=[otel.ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")]
    )


def _metric(metric: Metric, collection: Collection) -> otel.Metric:
    points = [
        otel.NumberDataPoint(
            attributes=dict(zip(metric.labels, labels, strict=True)),
            # 0 is 'unknown': counters began with the first collection.
            start_time_unix_nano=0,
            time_unix_nano=round(collection.at.timestamp() * 1_000_000) * 1_000,
            value=value,
        )
        for labels, value in collection.values(metric).items()
    ]
    data: otel.Sum | otel.Gauge = (
        otel.Sum(points, aggregation_temporality=otel.AggregationTemporality.CUMULATIVE, is_monotonic=True)
        if metric.kind is Kind.COUNTER
        else otel.Gauge(points)
    )
    return otel.Metric(name=metric.name, description=metric.help, unit=_unit(metric), data=data)


def _unit(metric: Metric) -> str:
    """Return the unit that ends a name, as UCUM writes it."""
    words = metric.name.removesuffix("_total").split("_")
    return {"seconds": "s", "bytes": "By", "ratio": "1"}.get(words[-1], "")
