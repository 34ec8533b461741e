"""The OpenAPI document of the HTTP API, built from the models of its parameters and answers."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ops.api.answers import Finished, Healthy, Listing, Refusal, Started
from ops.api.jobs import Job

HEALTH, OPENAPI, METRICS, JOBS = "/healthz", "/openapi.json", "/metrics", "/api/cron"
"""`JOBS` lists the jobs, and each job is below it."""

SECRET = "secret"  # noqa: S105 - the name of the security scheme

Schema = dict[str, Any]


def describe(jobs: Mapping[str, Job]) -> Schema:
    """Return the OpenAPI document."""
    answers = (Healthy, Listing, Started, Finished, Refusal)
    taken = {model for job in jobs.values() for model in (job.options, job.query)}
    refs, schemas = models_json_schema(
        [*((model, "serialization") for model in answers), *((model, "validation") for model in taken)],
        ref_template="#/components/schemas/{model}",
    )

    def answer(model: type[BaseModel], text: str) -> Schema:
        return _content(text, "application/json", refs[model, "serialization"])

    unavailable = {"503": answer(Refusal, "The Prefect server does not answer, or the secret is missing or invalid.")}
    guarded = unavailable | {"401": answer(Refusal, "The secret is missing or wrong.")}
    starts = guarded | {
        "200": answer(Finished, "With `wait`: the run has ended."),
        "202": answer(Started, "The run was created."),
        "409": answer(Refusal, "The job is running already."),
        "422": answer(Refusal, "The parameters do not fit; nothing was started."),
    }

    def start(job: Job, method: str) -> Schema:
        query = schemas["$defs"][refs[job.query, "validation"]["$ref"].rpartition("/")[2]]
        body = {"anyOf": [refs[job.options, "validation"], {"type": "null"}]}
        return {
            "summary": f"Start {job.name}",
            "description": job.description,
            "operationId": f"{method}_{job.name.replace('-', '_')}",
            "security": [{SECRET: []}],
            "parameters": [
                {"name": name, "in": "query", "required": False, "schema": schema}
                for name, schema in query["properties"].items()
            ],
            **({"requestBody": {"content": {"application/json": {"schema": body}}}} if method == "post" else {}),
            "responses": starts,
        }

    def read(summary: str, responses: Schema, *, is_open: bool = False) -> Schema:
        return {"get": {"summary": summary, "security": [] if is_open else [{SECRET: []}], "responses": responses}}

    health_answers = unavailable | {"200": answer(Healthy, "Jobs can be started.")}
    figures = guarded | {"200": _content("The figures.", "text/plain", {"type": "string"})}
    listing = guarded | {"200": answer(Listing, "The jobs.")}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sivera Jobs",
            "summary": "Starts the scheduled jobs over HTTP.",
            "version": version("sivera-jobs"),
        },
        "paths": {
            HEALTH: read("Say whether jobs can be started", health_answers, is_open=True),
            METRICS: read("Return the last collection of collect-metrics in Prometheus' text format", figures),
            JOBS: read("List the jobs: their schedules, the next run, and the last result", listing),
            **{f"{JOBS}/{name}": {m: start(job, m) for m in ("get", "post")} for name, job in jobs.items()},
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                SECRET: {"type": "http", "scheme": "bearer", "description": "The secret of the block `cron-secret`."}
            },
        },
    }


def _content(text: str, kind: str, schema: Schema) -> Schema:
    return {"description": text, "content": {kind: {"schema": schema}}}
