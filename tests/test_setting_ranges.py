"""Every number of every setting has a range: what lies outside is refused by its name before anything is begun."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import BaseModel

from aot.arena.players.settings import ArenaSettings
from aot.audit.plan import AuditSettings
from aot.bench.command import settings_of
from aot.coevolve.recipes.load import RECIPES, load_recipe
from aot.errors import AotError
from aot.experiment.run import experiment_settings
from aot.experiment.settings import EXPERIMENTS
from aot.forge.pipeline import ForgeSettings
from aot.miniature.pretrain.run import PretrainSettings, wide_settings
from aot.plan.phases import Hardware
from aot.runs.overrides import overridden, validated
from aot.train.attacker.sft.command import SftRunSettings
from aot.train.defender.command import DefenderSftRunSettings

ROOTS = (
    *(make() for make in RECIPES.values()),
    *(make() for make in EXPERIMENTS.values()),
    *(make() for make in (AuditSettings, ArenaSettings, ForgeSettings, PretrainSettings, wide_settings)),
    *(make() for make in (SftRunSettings, DefenderSftRunSettings, Hardware)),
)
BELOW_0 = {"local_ssim_min", "global_ssim_min", "corruption_ssim_min"}
"""Of local similarity, which is between -1 and 1."""


def found(settings: BaseModel) -> Iterator[BaseModel]:
    yield settings
    for value in dict(settings).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from found(one)


@cache
def numbers() -> dict[tuple[type[BaseModel], str], BaseModel]:
    """By class and name of each setting that is a number, or several, settings that hold it."""
    return {
        (type(one), name): one
        for root in ROOTS
        for one in found(root)
        for name, value in dict(one).items()
        if is_number(value) or (isinstance(value, tuple) and value and is_number(value[0]))
    }


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("value", [-3, 1e10, 1e-300, float("nan"), float("inf")])
def test_no_setting_takes_a_number_without_meaning(value: float) -> None:
    taken = []
    for (kind, name), settings in numbers().items():
        before = dict(settings.model_dump())
        given: Any = [value] * len(before[name]) if isinstance(before[name], list | tuple) else value
        try:
            validated(kind, before | {name: given}, where="test")
        except AotError:
            continue
        taken.append(f"{kind.__name__}.{name}")
    assert len(numbers()) > 350
    assert sorted(name for name in taken if not name.endswith("seed")) == []


def test_numbers_of_things_end_at_ten_million() -> None:
    with pytest.raises(AotError, match=r"dapo\.updates: must be at most 10000000 \(given: 10000001\)"):
        load_recipe("smoke", ["dapo.updates=10000001"])
    assert load_recipe("smoke", ["dapo.updates=10000000", "seed=10000001"]).seed == 10_000_001


@pytest.mark.parametrize(
    ("settings", "change", "told"),
    [
        (AuditSettings, "pixels.eps=[2,256]", r"eps must lie between 0 and 255 levels with norm=linf \(given: 256\)"),
        (AuditSettings, "pixels.eps=[0]", r"pixels\.eps\.0: input should be greater than 0"),
        (AuditSettings, "pixels.pgd.steps=0", r"pixels\.pgd\.steps: input should be greater than or equal to 1"),
        (AuditSettings, "pixels.pgd.eps=4", r"pgd\.eps has no effect here: set eps"),
        (AuditSettings, "pixels.robust_vlm.eps=2", r"robust_vlm\.eps has no effect here"),
        (AuditSettings, "pixels.apgd.first_step=3", r"less than or equal to 2"),
        (AuditSettings, "threads=1000000", r"threads: input should be less than or equal to 1024"),
        (AuditSettings, "sampling.temperature=-1", r"sampling\.temperature: must be 0 .*, or from 0\.01 to 100"),
        (AuditSettings, "sampling.max_new_tokens=0", r"sampling\.max_new_tokens: input should be greater than 0"),
        (AuditSettings, "strengths.noise_levels=[0,0]", r"the second limit must be above 0"),
        (ArenaSettings, "draws=100000", r"draws: input should be less than or equal to 1024"),
        (ForgeSettings, "photos.propose.kinds.add=-1", r"photos\.propose\.kinds\.add: input should be greater than or"),
        (ForgeSettings, 'photos.propose.kinds={"add":0,"remove":0,"replace":0,"hybrid":0}', r"above 0"),
        (ForgeSettings, "photos.canvas.share=[0.5,0.3]", r"the first limit must not be above the second"),
        (ForgeSettings, "photos.canvas.share=[-1,5]", r"both limits must lie between 0\.01 and 1"),
        (PretrainSettings, "defender.phases=[]", r"defender\.phases"),
        (PretrainSettings, "defender.shape.heads=5", r"hidden must be a multiple of 2 x heads"),
        (PretrainSettings, "defender.shape.patch_px=7", r"image_px must be a multiple of patch_px x merge"),
        (PretrainSettings, "editor.shape.axes_dims_rope=[8,8,8]", r"even numbers from 2 that sum to head_dim, 32"),
        (PretrainSettings, "attacker_gate.add=2", r"attacker_gate\.add: input should be less than or equal to 1"),
    ],
)
def test_a_value_out_of_range_is_told_with_the_range(settings: type[BaseModel], change: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        overridden(settings, settings().model_dump(), [change], where="test")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("measure.eps=[0]", "greater than 0"),
        ("measure.eps=[4,4]", "one is named twice"),
        ("pgd_eps=[256]", "less than or equal to 255"),
        ("measure.families=[]", "at least 1 item"),
        ('measure.families=["noise","noise"]', "one is named twice"),
    ],
)
def test_of_an_experiment_too(change: str, told: str) -> None:
    with pytest.raises(AotError, match=told):
        experiment_settings("smoke", [change])


def test_l2_has_a_range_of_its_own() -> None:
    changes = ["pixels.norm=l2", "pixels.eps=[765]"]  # 3 where values go from 0 to 1: usual for ImageNet
    assert overridden(AuditSettings, AuditSettings().model_dump(), changes, where="test").pixels.eps == (765,)
    with pytest.raises(AotError, match="1e\\+06 levels with norm=l2"):
        overridden(AuditSettings, AuditSettings().model_dump(), ["pixels.norm=l2", "pixels.eps=[1e7]"], where="test")


def test_a_temperature_on_the_command_line_too() -> None:
    with pytest.raises(AotError, match="must be 0"):
        settings_of(temperature=1e-30)
