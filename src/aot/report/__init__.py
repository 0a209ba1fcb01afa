"""The report of a run: an HTML page, the README's picture, the table at the end of `make demo`. Layout, parts and
style of the page are those of the audit's and the arena's, too. Builds on `attacks/base`."""

from __future__ import annotations

from aot.report.charts import arms_race_figure
from aot.report.page import build_report
from aot.report.picture import save_png
from aot.report.terminal import comparison_table, terminal_table

__all__ = ["arms_race_figure", "build_report", "comparison_table", "save_png", "terminal_table"]
