"""Where a run computes: settings that nothing which is learned depends on. All *ours*."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from aot.backends.frozen_settings import IN_PROCESS, VLLM, AskingSettings, VllmSettings


class ComputeSettings(BaseModel, frozen=True, extra="forbid"):
    """Where frozen defenders answer."""

    # in_process; vllm: a server that the run starts and stops; or the http(s) URL of one that the user has started.
    answers: str = Field(IN_PROCESS, min_length=1)
    asking: AskingSettings = AskingSettings()
    vllm: VllmSettings = VllmSettings()

    @field_validator("answers")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (IN_PROCESS, VLLM) and not value.lower().startswith(("http://", "https://")):
            raise ValueError(f"{IN_PROCESS}, {VLLM}, or the http(s) URL of a server")
        return value
