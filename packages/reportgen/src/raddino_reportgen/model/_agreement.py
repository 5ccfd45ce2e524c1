"""Which of several drafts of a report to keep: the one that would be least wrong were any other the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raddino_reportgen.labels import label_reports


def agree(drafts: Sequence[Sequence[str]]) -> list[str]:
    """Of S drafts of each of N reports the one whose findings have the highest mean F1 against all drafts of it.

    Findings are those that `label` finds present or in doubt; two drafts without any agree. Minimum Bayes risk decoding
    (Kumar and Byrne 2004): the likeliest words leave out what is only probable, and so miss findings that most drafts
    have. The first of equals is kept.
    """
    if len(drafts) == 1:
        return list(drafts[0])
    said = np.stack([np.isin(label_reports(texts), (1, -1)) for texts in drafts], axis=1).astype(float)  # (N, S, 14)
    counts = said.sum(axis=2)
    both, either = said @ said.transpose(0, 2, 1), counts[:, :, None] + counts[:, None, :]
    f1 = np.where(either > 0, 2 * both / np.maximum(either, 1), 1.0)
    best = f1.mean(axis=2).argmax(axis=1)
    return [drafts[draft][row] for row, draft in enumerate(best)]
