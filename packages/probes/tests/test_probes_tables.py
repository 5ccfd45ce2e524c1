import csv
import json

import numpy as np
import pytest
from raddino_probes import (
    MEASURES,
    PROTOCOLS,
    Comparison,
    ProbeError,
    Result,
    find_overlap,
    protocol,
    render,
    render_models,
    to_rows,
)

RESULTS = [
    Result("lung_opacity", "auroc", 0.8125, 0.75, 0.875, 200, 40, "linear"),
    Result("hernia", "auroc", np.nan, np.nan, np.nan, 200, 3, "linear", "3 positives in test, at least 10 needed"),
    Result("age|years", "r2", -0.0625, -0.25, 0.125, 180, None, "ridge"),
]


def test_the_terminal_lines_up_and_leaves_empty_columns_out():
    lines = render(RESULTS).splitlines()
    assert lines[0].split() == ["name", "metric", "value", "n", "positives", "method", "reason"]
    assert "0.812 (0.750-0.875)" in lines[1]
    assert "-0.062 (-0.250 to 0.125)" in lines[3]
    assert lines[2].endswith("3 positives in test, at least 10 needed")
    assert len({line.index("auroc") for line in lines[1:3]} | {lines[0].index("metric")}) == 1


def test_csv_and_json_hold_everything_at_full_precision():
    rows = list(csv.DictReader(render(RESULTS, "csv").splitlines()))
    assert [float(row["value"]) for row in rows if row["value"]] == [0.8125, -0.0625]
    assert rows[1]["value"] == rows[2]["positives"] == ""
    found = json.loads(render(RESULTS, "json"))
    assert found[0] == to_rows(RESULTS)[0]
    assert found[1]["value"] is None
    assert list(found[0]) == [
        "name", "metric", "value", "low", "high", "n", "positives", "method", "reason", "group",
    ]  # fmt: skip


def test_markdown_and_latex_escape_their_own_signs():
    assert render(RESULTS, "markdown").splitlines()[1:3] == [
        "|---|---|---|---|---|---|---|",
        "| lung_opacity | auroc | 0.812 (0.750-0.875) | 200 | 40 | linear |  |",
    ]
    assert r"age\|years" in render(RESULTS, "markdown")
    latex = render(RESULTS, "latex")
    assert r"lung\_opacity & auroc" in latex
    assert latex.startswith(r"\begin{tabular}{lllllll}")
    assert (
        render([Result("a^b~c\\", "r2", 0.5, 0, 1, 1, None)], "latex")
        .splitlines()[4]
        .startswith(r"a\textasciicircum{}b\textasciitilde{}c\textbackslash{} & r2 & 0.500 (0.000-1.000)")
    )


def test_comparisons_have_tables_too():
    text = render([Comparison("effusion", "auroc", 0.8, 0.7, 0.1, -0.01, 0.2, 0.07, 0.14, 100, 20)])
    assert "0.100 (-0.010 to 0.200)" in text
    assert "p_holm" in text


def test_models_are_columns_for_people_and_rows_for_programs():
    beyond = Result("lung_opacity", "auroc", 0.6, 0.5, 0.7, 200, 40, "linear", group="beyond view")
    models = {"pixels:32": RESULTS, "runs/first": [RESULTS[1], RESULTS[0], beyond]}
    lines = render_models(models, "markdown").splitlines()
    assert lines[0] == "| name | rows | metric | pixels:32 | runs/first | n | positives | reason |"
    assert lines[2:] == [
        "| lung_opacity |  | auroc | 0.812 (0.750-0.875) | 0.812 (0.750-0.875) | 200 | 40 |  |",
        "| hernia |  | auroc | - | - | 200 | 3 | 3 positives in test, at least 10 needed |",
        "| age\\|years |  | r2 | -0.062 (-0.250 to 0.125) | - | 180 |  |  |",
        "| lung_opacity | beyond view | auroc | - | 0.600 (0.500-0.700) | 200 | 40 |  |",
    ]
    assert r"runs/first & n & positives" in render_models(models, "latex")
    found = json.loads(render_models(models, "json"))
    assert [row["model"] for row in found] == ["pixels:32"] * 3 + ["runs/first"] * 3
    assert {**found[0], "model": None} == {"model": None, **to_rows(RESULTS)[0]}
    assert list(csv.DictReader(render_models(models, "csv").splitlines()))[5]["group"] == "beyond view"
    assert render_models({}, "terminal") == "\n"
    with pytest.raises(ProbeError, match="got 'html'"):
        render_models(models, "html")


def test_no_results_are_an_empty_table_and_an_unknown_form_is_refused():
    for form in ("terminal", "markdown", "latex", "csv"):
        assert "auroc" not in render([], form)
    assert json.loads(render([], "json")) == []
    with pytest.raises(ProbeError, match="expected one of terminal, markdown, latex, csv, json, got 'html'"):
        render(RESULTS, "html")


def test_overlap_is_by_text_and_counts_each_once():
    found = find_overlap(["a", " b", "b", 3], ["b", "c", "3", ""])
    assert (found.shared, found.training, found.test) == (("3", "b"), 3, 3)
    assert str(found) == "2 of 3 test identifiers (66.7 %) are among those of training: 3, b"
    assert str(find_overlap(["a"], ["b"])) == "none of 1 test identifiers is among 1 of training"
    assert str(find_overlap(range(9), range(9))).endswith("0, 1, 2, 3, 4, ...")


def test_an_empty_list_proves_nothing():
    for lists, name in (((["a"], []), "test"), (([" "], ["a"]), "training")):
        with pytest.raises(ProbeError, match=f"in the {name} list, got none"):
            find_overlap(*lists)


def test_protocols_name_metrics_that_exist_and_what_is_not_confirmed():
    for name, one in PROTOCOLS.items():
        assert protocol(name) is one
        assert set(one.metrics) <= set(MEASURES)
        assert one.findings
        assert one.known_from
        assert all(getattr(one, field) for field in one.unconfirmed)
    with pytest.raises(ProbeError, match="expected one of vindr, rsna"):
        protocol("chexpert")
