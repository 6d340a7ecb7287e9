"""The routes of the API."""

from headrace.server.routes import chat, completions, embeddings, models, responses, tokens

ROUTERS = (
    chat.router,
    completions.router,
    responses.router,
    embeddings.router,
    models.router,
    tokens.router,
)
