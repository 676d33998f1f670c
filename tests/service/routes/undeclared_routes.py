"""The API with additional routes, some of them without a declaration of access."""

from sanic import Blueprint
from sanic.response import text

from service import app


def create_app(settings):
    api = app.create_app(settings)

    @api.get("/api/v1/undeclared/<number:int>/")
    async def undeclared(request, number):
        return text("secret")

    @api.get("/declared", ctx_open=True)
    async def declared(request):
        return text(request.caller.username if request.caller else "anyone")

    @api.post("/misdeclared", ctx_open="no")
    async def misdeclared(request):
        return text("secret")

    @api.post("/api/v1/ops/undeclared/")
    async def for_operators(request):
        return text("secret")

    @api.websocket("/socket")
    async def socket(request, ws):
        await ws.send("secret")

    late = Blueprint("late", url_prefix="/late")

    @late.delete("/")
    async def delete(request):
        return text(request.principal.username)

    api.blueprint(late)
    api.static("/own.py", __file__, name="own")
    return api
