"""Where a server is: its URL, its key, the models that it lists.

    checked_url(url) -> (base, shown)      `shown` is without credentials and query: what may be stored and printed
    is_local(url) -> bool                  on this machine: asked past any proxy that the environment names
    api_key(variable) -> str               "" where the environment has none
    offered_models(url, *, api_key_env="OPENAI_API_KEY", timeout=10) -> list[str] | None     None: nobody answers
    listed_models(answer) -> list[str]     from the answer's JSON
    models_hint(models, asked) -> str      the next step for a missing or unknown model
"""

from __future__ import annotations

import json
import os
from urllib.parse import urlsplit

from aot.errors import AotError


def checked_url(url: str) -> tuple[str, str]:
    """The base URL, and as it may be shown and stored: without credentials and query."""
    base = url.strip().rstrip("/").removesuffix("/chat/completions")
    try:
        parts = urlsplit(base)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AotError(f"not a URL ({error})", where=url.split("@")[-1]) from error
    if parts.scheme not in ("http", "https") or not host:
        raise AotError("not a URL of a server", where=url.split("@")[-1], hint="such as http://127.0.0.1:8000/v1")
    shown = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
    return base, shown + parts.path.rstrip("/")


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
    """Names that /models lists; [] where the answer is something else, None where nobody answers."""
    import openai  # takes a second

    from aot.backends.openai.capped import keep_small

    base, _ = checked_url(url)
    key = api_key(api_key_env) or "none"
    http = openai.DefaultHttpxClient(event_hooks={"response": [keep_small]}, trust_env=not is_local(base))
    with openai.OpenAI(base_url=base, api_key=key, max_retries=0, timeout=timeout, http_client=http) as client:
        try:
            return listed_models(client.models.with_raw_response.list().http_response.content)
        except openai.APIStatusError:
            return []
        except openai.APIConnectionError:
            return None


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


def models_hint(models: list[str] | None, asked: str = "") -> str:
    """The next step for a missing or unknown model. `asked`: the name that was tried."""
    if models and asked in models:
        return f"the server lists {asked!r}, and has no chat at this address: check it (it mostly ends with /v1)"
    if models:
        return f"--model, one of: {', '.join(models[:20])}{', ...' if len(models) > 20 else ''}"
    return "check the address (it mostly ends with /v1) and --model"
