"""From what a user types to a model that can be asked. Libraries are imported when they are needed.

    open_backend(name, *, model=None, batch=None, device=None, concurrency=8, requests_per_minute=None, timeout=60,
                 attempts=6, longest_wait_s=1800, api_key_env="OPENAI_API_KEY") -> Backend
    open_defender(name, model=None, *, sampling=None, store=None, **as above) -> Defender

`name`: "miniature", a model's folder, a hub id, or an http(s) URL; `model` is needed where that offers several.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aot.backends.asking.defender import BackendDefender, gold_answers, letters
from aot.backends.asking.store import AnswerStore
from aot.backends.base.backend import Backend, Sampling
from aot.backends.openai.pauses import LONGEST_WAIT_S
from aot.errors import AotError
from aot.players.base import Defender
from aot.players.base_players import is_miniature, player_folder

BATCH, BATCH_OF_THE_MINIATURE = 8, 64


def is_url(name: str) -> bool:
    return name.lower().startswith(("http://", "https://"))


def open_backend(
    name: str,
    *,
    model: str | None = None,
    batch: int | None = None,
    device: str | None = None,
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    timeout: float = 60,
    attempts: int = 6,
    longest_wait_s: float = LONGEST_WAIT_S,
    api_key_env: str = "OPENAI_API_KEY",
) -> Backend:
    """`batch`, `device`: of a model in this process; the others: of one behind a URL. Raises `AotError` where there is
    no such model; for a URL without `model` it says which ones the server offers, if there are several."""
    if is_url(name):
        from aot.backends.openai.backend import OpenAiBackend

        return OpenAiBackend(
            name,
            model_at(name, model, api_key_env=api_key_env),
            api_key_env=api_key_env,
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            timeout=timeout,
            attempts=attempts,
            longest_wait_s=longest_wait_s,
        )
    if model is not None:
        raise AotError("only a URL takes a model's name", where=name, hint="leave out --model, or give a server's URL")
    from aot.backends.local.backend import LocalBackend

    folder, usual = str(_folder(name)), BATCH_OF_THE_MINIATURE if is_miniature(name) else BATCH
    return LocalBackend(folder, batch=batch or usual, device=device, name=name if name == "miniature" else None)


def open_defender(
    name: str,
    model: str | None = None,
    *,
    sampling: Sampling | None = None,
    store: AnswerStore | None = None,
    **settings: Any,
) -> Defender:
    """As `open_backend`, for what wants a `Defender`. Miniatures, shipped or trained here, come as `QwenDefender`:
    the same answers, faster."""
    if not is_url(name) and model is None and is_miniature(name):
        from aot.players.defender.opening import open_defender as opened
        from aot.players.settings import DefenderSettings

        return opened(Path(_folder(name)), DefenderSettings(), name=Path(name).name)
    backend = open_backend(name, model=model, **settings)
    return BackendDefender(
        backend, sampling, store=store, completions=letters if is_url(name) else gold_answers
    )


def _folder(name: str) -> str | Path:
    return player_folder("miniature", "defender") if name == "miniature" else name


def model_at(url: str, model: str | None, *, api_key_env: str = "OPENAI_API_KEY") -> str:
    """The model meant at a URL: `model`, or the only one there is. Raises `AotError` that names those there are."""
    if model:
        return model
    from aot.backends.openai.address import checked_url, models_hint, offered_models

    models, (_, shown) = offered_models(url, api_key_env=api_key_env), checked_url(url)
    if models is None:
        raise AotError("nobody answers at this address", where=shown, hint="start the server, or check the address")
    if len(models) == 1:
        return models[0]
    raise AotError("which of the server's models?", where=shown, hint=models_hint(models))
