"""The one table of the loopback server's routes: MLflow's tracking API for one run."""

from __future__ import annotations

from aiohttp import web

from runyard.mlflow import answers
from runyard.mlflow.errors import ENDPOINT_NOT_FOUND, MlflowError

from . import artifact_routes, model_routes, run_routes
from .asking import answer


async def health(request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def version(request: web.Request) -> web.Response:
    return web.Response(text=answers.VERSION)


async def server_info(request: web.Request) -> web.Response:
    return answer(answers.SERVER_INFO)


async def unknown(request: web.Request) -> web.Response:
    raise MlflowError(ENDPOINT_NOT_FOUND, f"There is no {request.method} {request.path[:200]} here")


def add_to(app: web.Application) -> None:
    """Put every route into the application, under both of MLflow's prefixes."""
    for prefix in ("/api/2.0", "/ajax-api/2.0"):
        for method, path, handler in (*run_routes.ROUTES, *model_routes.ROUTES, *artifact_routes.ROUTES):
            app.router.add_route(method, prefix + path, handler)
    for path in ("/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"):
        app.router.add_get(path, server_info)
    app.router.add_get("/health", health)
    app.router.add_get("/version", version)
    app.router.add_route("*", "/{anything:.*}", unknown)
