"""A small dataset of two hosts and two defects, for tests of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from defectscout.learning.dataset import Dataset
from defectscout.learning.frames import BULK, FrameOrigin, LabelledFrame
from toy_trainable import toy_frames

DEFECTS = ("v_Mg", "v_S", "Mg_i", "S_Mg")


def toy_dataset(path: Path, *, charges: tuple[int, ...] = (0,), methods: tuple[str, ...] = ("toy",)) -> Path:
    """Four defects with two relaxations of four frames each, and four bulk frames; split by defect."""
    frames: list[LabelledFrame] = []
    for k, defect in enumerate(DEFECTS):
        for charge in charges:
            for method in methods:
                for n, frame in enumerate(toy_frames(8, seed=k + 10 * abs(charge))):
                    origin = FrameOrigin("MgS", defect, charge, f"start-{n // 4}", n % 4, method, f"{defect}.xyz")
                    frames.append(replace(frame, origin=origin))
    for n, frame in enumerate(toy_frames(4, seed=99)):
        frames.append(replace(frame, origin=FrameOrigin("MgS", BULK, 0, "bulk", n, methods[0], "bulk.xyz")))
    with Dataset.create(path) as dataset:
        dataset.add(frames)
        index = dataset.index()
        dataset.mark_selected([row.row for row in index])
        subset = {"S_Mg": "test", "Mg_i": "validation"}
        dataset.write_subsets({row.row: subset.get(row.origin.defect, "train") for row in index})
    return path
