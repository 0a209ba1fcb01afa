"""Where a server is: its URL, its key, the models that it lists.

    checked_url(url) -> (base, shown)      without query; `shown`, which may be stored: no credentials either
    client_settings(url, key) -> dict      of the library's clients: the address with its query, the key
    check_not_moved(response, shown)       raises where a redirect has lost the question
    http_client(kind, url, hook)           the connections of one, past any proxy where the server is on this machine
    is_local(url) -> bool                  on this machine: asked past any proxy that the environment names
    api_key(variable) -> str               "" where the environment has none
    offered_models(url, *, api_key_env="OPENAI_API_KEY", timeout=10) -> list[str] | None     None: nobody answers
    listed_models(answer) -> list[str]     from the answer's JSON
    models_hint(models, asked) -> str      the next step for a missing or unknown model
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import httpx2

from aot.backends.openai.error_bodies import error_text
from aot.errors import AotError

Client = TypeVar("Client")


def checked_url(url: str) -> tuple[str, str]:
    """The base URL, and as it may be shown and stored: without credentials. Queries are left out of both."""
    base = url.strip().partition("#")[0].partition("?")[0].rstrip("/").removesuffix("/chat/completions")
    hint, given = "such as http://127.0.0.1:8000/v1", url.split("@")[-1]
    try:
        parts = urlsplit(base)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AotError(f"not a URL ({error})", where=given, hint=hint) from error
    if parts.scheme not in ("http", "https") or not host or not base.isprintable():
        raise AotError("not a URL of a server", where=given, hint=hint)
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    return base, shown + parts.path.rstrip("/")


def client_settings(url: str, key: str) -> dict[str, Any]:
    """`url` as the user gave it: Azure's addresses carry the protocol's version in a query, and take keys by a header
    of their own."""
    base, _ = checked_url(url)
    query = dict(parse_qsl(urlsplit(url.strip()).query))
    azure = (urlsplit(base).hostname or "").endswith(".azure.com")
    return {
        "base_url": base,
        "api_key": key or "none",
        "default_query": query,
        "default_headers": {"api-key": key} if azure and key else {},
        "max_retries": 0,
    }


def http_client(kind: Callable[..., Client], url: str, hook: Callable[..., Any]) -> Client:
    """An httpx client of `kind`. Raises `AotError` for proxies and certificates in the environment that are none."""
    try:
        return kind(event_hooks={"response": [hook]}, trust_env=not is_local(url))
    except (ValueError, ImportError, OSError, httpx2.InvalidURL) as error:
        hint = "see HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR in the environment"
        raise AotError(f"no connection can be made ({error})", where=checked_url(url)[1], hint=hint) from error


def is_local(url: str) -> bool:
    """Whether the server is on this machine's loopback. A proxy of the environment would not reach it."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def api_key(variable: str) -> str:
    """The key in an environment variable. Raises `AotError` for one that no header can hold."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise AotError("the key holds characters that no key has", where=f"environment variable {variable}")
    return key


def offered_models(url: str, *, api_key_env: str = "OPENAI_API_KEY", timeout: float = 10) -> list[str] | None:
    """Names that /models lists; [] where the answer is something else, None where nobody answers. Raises `AotError`
    where the server wants another key."""
    import openai  # takes a second

    from aot.backends.openai.capped import keep_small

    key = api_key(api_key_env)
    http = http_client(openai.DefaultHttpxClient, url, keep_small)
    with openai.OpenAI(**client_settings(url, key), timeout=timeout, http_client=http) as client:
        try:
            return listed_models(client.models.with_raw_response.list().http_response.content)
        except openai.APIStatusError as error:
            if error.status_code == 401:
                told = error_text(error.body).replace(key or "\n", "***")
                what, where = f"HTTP 401, not allowed: {told}", checked_url(url)[1]
                raise AotError(what, where=where, hint=key_hint(api_key_env, key)) from None
            return []
        except openai.APIConnectionError:
            return None


def check_not_moved(response: httpx2.Response, shown: str) -> None:
    """Raises `AotError` where the address leads elsewhere and the question, or the key, did not go along."""
    lost = response.request.method != "POST" or response.status_code in (401, 403, 404, 405)
    if response.history and lost:
        to = str(response.url.copy_with(query=None, userinfo=b"")).removesuffix("/chat/completions")
        hint = "give the address that this leads to, where it is the model's"
        raise AotError(f"redirects to {to}", where=shown, hint=hint)


def key_hint(variable: str, key: str) -> str:
    """The next step for a key that a server does not take."""
    return f"put the right key into the environment as {variable}" + ("" if key else ", which is not set")


def listed_models(answer: bytes) -> list[str]:
    """The names in an answer of /models; none where it is something else."""
    try:
        body = json.loads(answer)
    except (ValueError, RecursionError):
        return []
    listed = body.get("data") if isinstance(body, dict) else None
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str)]


def models_hint(models: list[str] | None, asked: str = "", *, is_found: bool = False) -> str:
    """The next step for a missing or unknown model. `asked`: the name that was tried; `is_found`: the address is
    right."""
    if models and asked in models and is_found:
        return f"the server lists {asked!r}: see whether the key may use it, or take another --model"
    if models and asked in models:
        return f"the server lists {asked!r}, and has no chat at this address: check it (it mostly ends with /v1)"
    if models:
        return f"--model, one of: {', '.join(models[:20])}{', ...' if len(models) > 20 else ''}"
    return "check the address (it mostly ends with /v1) and --model"
