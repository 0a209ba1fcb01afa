"""Where frozen defenders answer, and how they are asked there: `compute.answers`, `.asking` and `.vllm` of a recipe."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from aot.backends.openai.pauses import LONGEST_WAIT_S

IN_PROCESS, VLLM = "in_process", "vllm"
"""Values of `compute.answers` beside a URL."""
Placement = Literal["own_gpus", "shared", "time_shared"]


def _shell_words(text: str) -> str:
    try:
        shlex.split(text)
    except ValueError as error:
        raise ValueError(f"cannot be read as a command: {error}") from error
    return text.strip()


ShellWords = Annotated[str, AfterValidator(_shell_words)]
"""A part of a command line, as a shell reads it."""


class AskingSettings(BaseModel, frozen=True, extra="forbid"):
    """How a server is asked: vLLM's, or one behind a URL. All *ours*."""

    concurrency: int = Field(64, gt=0, le=1024)  # questions at once
    timeout_s: float = Field(300, gt=0, le=86_400)  # for an answer
    attempts: int = Field(6, gt=0)  # at a question, before the stage ends
    longest_wait_s: float = Field(LONGEST_WAIT_S, ge=0, le=604_800)  # that the server may ask for
    api_key_env: str = Field("OPENAI_API_KEY", min_length=1)  # environment variable with the URL's key


class VllmSettings(BaseModel, frozen=True, extra="forbid"):
    """A `vllm serve` that a run starts for its frozen defenders and stops. All *ours*."""

    command: ShellWords = Field("vllm", min_length=1)  # the program: a path into another environment, or several words
    # own_gpus: on `gpus`, beside the trainer; shared: on the trainer's, with a share of their memory all the time;
    # time_shared: the same, but its memory is freed (vLLM's sleep mode) whenever nothing is asked.
    placement: Placement = "shared"
    gpus: str = Field("", pattern=r"^(\d+(,\d+)*)?$")  # as in CUDA_VISIBLE_DEVICES; "": those of this process
    memory: float = Field(0.0, ge=0, lt=1)  # share of a GPU's memory; 0: 0.9 on its own GPUs, else 0.35
    tensor_parallel: int = Field(1, gt=0)  # GPUs a copy of the model; there are as many copies as fit on `gpus`
    max_model_len: int = Field(0, ge=0)  # tokens of prompt and answer; 0: the model's own limit
    arguments: ShellWords = ""  # more arguments of `vllm serve`, as in a shell; they stand last
    port: int = Field(0, ge=0, le=65535)  # on 127.0.0.1; 0: a free one
    # Reading 7 B from a network drive and capturing graphs takes minutes.
    start_timeout_s: float = Field(900, gt=0, le=86_400)
    stop_timeout_s: float = Field(30, ge=0, le=86_400)  # from SIGTERM to SIGKILL

    @model_validator(mode="after")
    def _placed(self) -> VllmSettings:
        if self.placement == "own_gpus" and not self.gpus:
            raise ValueError("own_gpus needs the numbers of its GPUs: set gpus, for instance to 1 or 4,5,6,7")
        if self.gpus and len(self.gpus.split(",")) % self.tensor_parallel:
            raise ValueError(f"{self.gpus} cannot be divided into copies of {self.tensor_parallel} GPUs")
        return self

    @property
    def memory_share(self) -> float:
        return self.memory or (0.9 if self.placement == "own_gpus" else 0.35)

    @property
    def copies(self) -> int:
        """Of the model, each on GPUs of its own."""
        return len(self.gpus.split(",")) // self.tensor_parallel if self.gpus else 1

    @property
    def sleeps(self) -> bool:
        return self.placement == "time_shared"
