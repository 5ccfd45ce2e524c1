"""BLEU, ROUGE-L, CIDEr and METEOR as pycocoevalcap counts them; needs the extra `coco`, and Java on the path."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from raddino_reportgen._errors import ReportError
from raddino_reportgen.metrics._overlap import bleus
from raddino_reportgen.metrics._resample import Rows, Statistic, ratio


def coco(candidates: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """`bleu1` to `bleu4`, `rouge_l`, `cider` and `meteor`.

    CIDEr's document frequencies are those of all references and stay so in every replicate. METEOR's statistics are
    summed and scored by its own program, one line a replicate.
    """
    try:
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    except ImportError as error:
        raise ReportError("expected pycocoevalcap; pip install 'raddino-reportgen[coco]'") from error
    if shutil.which("java") is None:
        raise ReportError(
            "expected Java, which the tokeniser and METEOR of pycocoevalcap need, on the path; found none"
        )
    tokens = [_tokens(PTBTokenizer(), texts) for texts in (candidates, references)]
    gold = {i: [text] for i, text in enumerate(tokens[1])}
    mine = {i: [text] for i, text in enumerate(tokens[0])}
    rouge = np.array([Rouge().calc_score(mine[i], gold[i]) for i in gold])
    cider = np.asarray(Cider().compute_score(gold, mine)[1], dtype=float)
    return {
        **bleus(tokens[0], tokens[1], "none"),
        "rouge_l": ratio(rouge),
        "cider": ratio(cider),
        "meteor": _meteor(tokens[0], tokens[1]),
    }


def _tokens(tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Words by white space; the program prints a line for each, and a word of its own keeps empty texts in place."""
    lines = {i: [{"caption": " ".join(text.split()) or "emptytext"}] for i, text in enumerate(texts)}
    return [" ".join(lines[0].split()).replace("emptytext", "") for lines in tokenizer.tokenize(lines).values()]


def _meteor(candidates: Sequence[str], references: Sequence[str]) -> Statistic:
    program = meteor_program()
    lines = [program._stat(c, [r]) for c, r in zip(candidates, references, strict=True)]  # has no public name
    try:
        rows = np.array([[float(word) for word in line.split()] for line in lines])
    except ValueError as error:
        raise ReportError(f"expected statistics of METEOR, got {lines[0][:80]!r}") from error
    # Lengths are first, chunks and matches last. METEOR counts no chunk of a pair that matches word for word.
    same = (rows[:, -2] == rows[:, 0]) & (rows[:, -1] == rows[:, 1]) & (rows[:, -3] == 1)
    rows[same, -3] = 0
    return Statistic(rows, lambda sums: np.array([_ask(program, row) for row in sums]))


def _ask(program: Any, sums: Rows) -> float:
    words = " ".join(f"{value:.17g}" for value in sums)
    program.meteor_p.stdin.write(f"EVAL ||| {words}\n".encode())
    program.meteor_p.stdin.flush()
    program.meteor_p.stdout.readline()  # the score of the only segment, then that of all
    return float(program.meteor_p.stdout.readline())


@cache
def meteor_program() -> Any:
    """METEOR's process, which needs seconds to start; it ends with this one."""
    from pycocoevalcap.meteor.meteor import Meteor

    program = Meteor()
    for pipe in (program.meteor_p.stdout, program.meteor_p.stderr):
        atexit.register(pipe.close)
    return program
