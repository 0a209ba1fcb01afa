"""On what a run computes: settings that nothing learned depends on, and which may change while it lasts. *Ours.*

    compute.launch = ""                                                    all stages in this process (the miniature)
    compute.launch = "python"                                              each in a process of its own
    compute.launch = "torchrun --standalone --nproc-per-node 8"            each by eight ranks
    compute.launch = "accelerate launch --config_file fsdp.yaml"           the same, as the file says
    compute.launch = "srun --nodes 2 torchrun --nnodes 2 ..."              on two machines that share the run folder
    compute.launch = "python -m aot.runs.ray_launch --workers 8"           by eight ranks on a Ray cluster

The launcher's command is followed by `-m aot stage RUN NAME`: all of these take a module so. A run may go on with
another launcher, and with more or fewer ranks.

    compute.executor = "ray"       attack rounds and evaluation, in chunks, by a pool of actors, whatever the launcher
"""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator, model_validator

from aot.backends.vllm.settings import IN_PROCESS, VLLM, AskingSettings, ShellWords, VllmSettings
from aot.runs.executor import Executor
from aot.runs.launched import split_command


class ComputeSettings(BaseModel, frozen=True, extra="forbid"):
    """What makes a stage, and where frozen defenders answer. All *ours*."""

    launch: ShellWords = ""  # what starts a stage, and its ranks; "": no launcher, this process makes all
    single: ShellWords = Field("python", min_length=1)  # with a launcher: what starts a stage that one rank makes
    executor: Executor = "local"  # who makes the chunks of rounds and evaluation: the stage's ranks, or actors on Ray
    workers: int | None = Field(None, ge=1, le=100_000)  # such actors; none: as many as the cluster has room for
    worker_gpus: float | None = Field(None, ge=0, le=1_000)  # of each; none: one where the cluster has any
    # A stage with neither a line nor a heartbeat for so long is ended.
    stall_minutes: float = Field(60.0, gt=0, le=100_000)
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

    @model_validator(mode="after")
    def _pooled(self) -> ComputeSettings:
        if self.executor == "ray" and self.answers == VLLM:
            raise ValueError(
                "executor=ray: its actors start no vLLM; take compute.answers=in_process, or the URL of a server that "
                "all of them reach"
            )
        if self.executor == "local" and (self.workers is not None or self.worker_gpus is not None):
            raise ValueError("workers and worker_gpus are for Ray: add compute.executor=ray (--executor ray)")
        return self

    def command(self, *, together: bool) -> list[str]:
        """The words before a stage's own: of a stage that several ranks make `together`, or one. Raises `AotError`
        where the program is not there."""
        prefix = self.launch if together else self.single
        return [*split_command(prefix, where=f"compute.{'launch' if together else 'single'}"), "-m", "aot", "stage"]
