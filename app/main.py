"""For ``uvicorn app.main:app``."""

from lipstream.server.app import create_app

app = create_app()
