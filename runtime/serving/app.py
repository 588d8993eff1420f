"""The HTTP interface of a predictor, as a FastAPI app that any ASGI server runs."""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..predictor import Predictor
from .answering import Answering
from .answers import Fault, Health, Labels, Served, served_by
from .limits import Limits
from .measures import CONTENT_TYPE

_FAULTS = {
    400: "The body is empty.",
    408: "The image did not arrive in time.",
    413: "The image has more bytes or pixels than are taken.",
    415: "A form with parts, not an image.",
    422: "No image that can be decoded, or a wrong option.",
    500: "The inference failed.",
    503: "As many images are under way as are taken at once: try again after the seconds of `Retry-After`.",
}
_BODY = {"required": True, "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}


def build_app(predictor: Predictor, limits: Limits | None = None) -> FastAPI:
    """An app that owns a predictor: it closes it when it ends.

    Args:
        predictor: what answers.
        limits: what is taken at most; default: `Limits()`.

    Raises:
        ConfigError: a limit has no sense.
    """
    return app_of(Answering(predictor, limits or Limits()))


def app_of(answering: Answering) -> FastAPI:
    """The interface of what answers."""
    predictor = answering.predictor
    app = FastAPI(
        title=f"{predictor.manifest.name or predictor.artifact.name}, served by edgedistill",
        lifespan=answering.lifespan,
        redoc_url=None,
    )

    @app.post(
        "/predict",
        response_model=Labels,
        responses={code: {"model": Fault, "description": says} for code, says in _FAULTS.items()},
        openapi_extra={"requestBody": _BODY},
    )
    async def predict(
        request: Request,
        top: Annotated[int | None, Query(ge=1, description="The k most probable classes instead.")] = None,
    ) -> Response:
        """The labels of the image that is the body, in any format that `edgedistill predict` reads."""
        return await answering.answer(request, top)

    @app.get("/model")
    async def model() -> Served:
        """What is served."""
        return served_by(predictor)

    @app.get("/health/live")
    async def live() -> Health:
        """The process answers."""
        return Health(status="live")

    @app.get("/health/ready", response_model=Health, responses={503: {"model": Health}})
    async def ready() -> Response:
        """Whether an image would be taken now."""
        full = answering.full
        return JSONResponse({"status": "full" if full else "ready"}, 503 if full else 200)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counts and times, as Prometheus reads them."""
        return Response(answering.measures.page(), media_type=CONTENT_TYPE)

    @app.exception_handler(RequestValidationError)
    async def wrong_option(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())}, 422)

    @app.exception_handler(HTTPException)
    async def wrong_place(request: Request, error: HTTPException) -> JSONResponse:
        what = f"{request.method} {request.url.path}: {error.detail}. /docs lists what there is."
        return JSONResponse({"error": what}, error.status_code, error.headers)

    return app
